//! The networks of critics, which read an observation and an action.

use rl_core::{Result, Rng, Sections, check};
use rl_nets::{Backend, Learned, Module, Network, OptimizerConfig};

/// Networks that read rows of concatenated observation and action, with their target networks and their optimiser.
/// What their outputs mean is the caller's to say.
#[derive(Debug)]
pub(crate) struct QNetwork {
    learned: Learned,
    width: usize,
    action_width: usize,
    /// Scratch buffers: rows of observation and action; gradients of the outputs and of those rows.
    rows: Vec<f32>,
    grad: Vec<f32>,
    grad_rows: Vec<f32>,
}

impl QNetwork {
    /// A network for observations of `width` elements and actions of `action_width` elements.
    pub(crate) fn new(
        module: impl Module + 'static,
        (width, action_width): (usize, usize),
        optimizer: &OptimizerConfig,
        backend: &Backend,
        init: &mut Rng,
    ) -> Result<Self> {
        let network = Network::new(module, backend, init)?;
        Ok(QNetwork {
            learned: Learned::new(network, optimizer)?.with_target()?,
            width,
            action_width,
            rows: Vec::new(),
            grad: Vec::new(),
            grad_rows: Vec::new(),
        })
    }

    /// Concatenates observations, `[n, width]`, and actions, `[n, action width]`.
    fn join(&mut self, observations: &[f32], actions: &[f32]) -> Result<()> {
        let n = observations.len() / self.width;
        check::len("observations", n * self.width, observations.len())?;
        check::len("actions", n * self.action_width, actions.len())?;
        self.rows.clear();
        let pairs =
            observations.chunks_exact(self.width).zip(actions.chunks_exact(self.action_width));
        for (observation, action) in pairs {
            self.rows.extend_from_slice(observation);
            self.rows.extend_from_slice(action);
        }
        Ok(())
    }

    /// The width of an output row.
    pub(crate) fn output_len(&self) -> usize {
        self.learned.network().output_len()
    }

    pub(crate) fn num_params(&self) -> usize {
        self.learned.network().num_params()
    }

    /// The outputs, `[n, output_len]`.
    pub(crate) fn predict(&mut self, observations: &[f32], actions: &[f32]) -> Result<&[f32]> {
        self.join(observations, actions)?;
        Ok(self.learned.predict(&self.rows)?)
    }

    /// The outputs of the target networks, `[n, output_len]`.
    pub(crate) fn predict_target(
        &mut self,
        observations: &[f32],
        actions: &[f32],
    ) -> Result<&[f32]> {
        self.join(observations, actions)?;
        Ok(self.learned.predict_target(&self.rows)?)
    }

    /// One gradient step on a loss, which reads the outputs, `[n, output_len]`, and writes its gradient with respect to
    /// them into the second slice. The gradient is clipped to the norm `max_grad_norm`.
    pub(crate) fn step<S>(
        &mut self,
        (observations, actions): (&[f32], &[f32]),
        loss: impl FnOnce(&[f32], &mut [f32]) -> Result<S>,
        learning_rate: f64,
        max_grad_norm: Option<f64>,
    ) -> Result<S> {
        self.join(observations, actions)?;
        let pass = self.learned.forward(&self.rows)?;
        self.grad.resize(pass.output().len(), 0.0);
        let stats = loss(pass.output(), &mut self.grad)?;
        pass.step(&mut self.grad, learning_rate, max_grad_norm)?;
        Ok(stats)
    }

    /// Writes the gradient of a loss with respect to the actions into `gradient`, `[n, action width]`. The loss is as
    /// for [`step`](QNetwork::step); the networks do not learn from it.
    pub(crate) fn action_gradient<S>(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        loss: impl FnOnce(&[f32], &mut [f32]) -> S,
        gradient: &mut [f32],
    ) -> Result<S> {
        check::len("gradient", actions.len(), gradient.len())?;
        self.join(observations, actions)?;
        let pass = self.learned.forward(&self.rows)?.into_pass();
        self.grad.resize(pass.output().len(), 0.0);
        let stats = loss(pass.output(), &mut self.grad);
        self.grad_rows.resize(self.rows.len(), 0.0);
        pass.input_gradient(&mut self.grad, &mut self.grad_rows)?;
        let rows = self.grad_rows.chunks_exact(self.width + self.action_width);
        for (row, out) in rows.zip(gradient.chunks_exact_mut(self.action_width)) {
            out.copy_from_slice(&row[self.width..]);
        }
        Ok(stats)
    }

    /// Soft update of the target networks: moves them towards the networks by the fraction `tau`.
    pub(crate) fn soft_update(&mut self, tau: f64) -> Result<()> {
        Ok(self.learned.soft_update(tau)?)
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learned.save("critic", out)?)
    }

    /// Decodes the state written by [`save`](QNetwork::save), to be applied with [`replace`](QNetwork::replace).
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Learned> {
        Ok(self.learned.loaded("critic", from)?)
    }

    pub(crate) fn replace(&mut self, learned: Learned) {
        self.learned = learned;
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        self.learned.network_mut()
    }
}
