//! Critics, `Q(s, a)` of continuous actions, with target networks.

use rl_core::{Result, Rng, Sections, check};
use rl_nets::{Backend, Body, Learned, Network, OptimizerConfig, check_finite, critics};

/// The action value that the actor maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionGradient {
    /// That of the first critic, as in DDPG and TD3.
    First,
    /// The minimum over critics, as in SAC.
    Smallest,
}

/// Measurements of a gradient step of the critics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticStep {
    /// The mean squared error, summed over critics.
    pub loss: f64,
    /// The mean action value before the step.
    pub value: f64,
}

/// One or more critics `Q_i(s, a)`, their target networks `Q_i'`, and their optimiser.
///
/// ```
/// use rl_core::Seeds;
/// use rl_ddpg::{ActionGradient, Critic};
/// use rl_nets::{Backend, NetworkConfig, OptimizerConfig};
/// let (body, adam) = (NetworkConfig::default(), OptimizerConfig::adam());
/// let mut rng = Seeds::new(0).stream("init", 0);
/// // Two critics of observations of three numbers and actions of one.
/// let mut critic = Critic::new(2, (3, 1), &body, &adam, &Backend::cpu(), &mut rng)?;
/// let stats = critic.step(&[0.1, 0.2, 0.3], &[0.5], &[1.0], 1e-3, None)?;
/// assert!(stats.loss > 0.0);
/// let (mut gradient, which) = ([0.0], ActionGradient::Smallest);
/// let value = critic.action_gradient(&[0.1, 0.2, 0.3], &[0.5], which, &mut gradient)?;
/// # let _ = value;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Critic {
    learned: Learned,
    width: usize,
    action_width: usize,
    /// Scratch buffers: rows of observation and action; gradients of the critics' outputs and of those rows.
    rows: Vec<f32>,
    grad: Vec<f32>,
    grad_rows: Vec<f32>,
}

impl Critic {
    /// `count` critics for observations of `width` elements and actions of `action_width` elements.
    ///
    /// # Errors
    /// Those of the body and of the optimiser's settings, and errors of candle.
    pub fn new(
        count: usize,
        (width, action_width): (usize, usize),
        body: &dyn Body,
        optimizer: &OptimizerConfig,
        backend: &Backend,
        init: &mut Rng,
    ) -> Result<Self> {
        let network = Network::new(critics(body, count, &[width + action_width])?, backend, init)?;
        Ok(Critic {
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

    /// The number of critics.
    fn count(&self) -> usize {
        self.learned.network().output_len()
    }

    /// The number of parameters of all critics, without target networks.
    pub fn num_params(&self) -> usize {
        self.learned.network().num_params()
    }

    /// The action values of the first critic, `[n]`.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        self.join(observations, actions)?;
        let count = self.count();
        Ok(self.learned.predict(&self.rows)?.iter().copied().step_by(count).collect())
    }

    /// Writes `min_i Q_i'(s, a)` into `values`, `[n]`.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn target_values(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        values: &mut [f32],
    ) -> Result<()> {
        self.join(observations, actions)?;
        let count = self.count();
        let output = self.learned.predict_target(&self.rows)?;
        check::len("values", output.len() / count, values.len())?;
        for (row, value) in output.chunks_exact(count).zip(values) {
            *value = row.iter().copied().fold(f32::INFINITY, f32::min);
        }
        Ok(())
    }

    /// One gradient step on `Σ_i mean (Q_i(s, a) - y)²`, where `y` are the `targets`, `[n]`. The gradient is clipped
    /// to the norm `max_grad_norm`.
    ///
    /// # Errors
    /// [`NotFinite`](rl_nets::Error::NotFinite) for a non-finite loss; slices that do not match.
    pub fn step(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        targets: &[f32],
        learning_rate: f64,
        max_grad_norm: Option<f64>,
    ) -> Result<CriticStep> {
        self.join(observations, actions)?;
        let count = self.count();
        let pass = self.learned.forward(&self.rows)?;
        let output = pass.output();
        check::len("targets", output.len() / count, targets.len())?;
        self.grad.clear();
        let (mut loss, mut value) = (0.0, 0.0);
        let share = 2.0 / targets.len() as f32;
        for (row, target) in output.chunks_exact(count).zip(targets) {
            for q in row {
                let error = q - target;
                loss += f64::from(error * error);
                value += f64::from(*q);
                self.grad.push(share * error);
            }
        }
        let n = targets.len() as f64;
        let stats = CriticStep { loss: loss / n, value: value / (n * count as f64) };
        check_finite("the loss", stats.loss)?;
        pass.step(&mut self.grad, learning_rate, max_grad_norm)?;
        Ok(stats)
    }

    /// Writes the gradient of `-mean Q(s, a)` with respect to the actions into `gradient`, `[n, action
    /// width]`; returns the mean.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn action_gradient(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        which: ActionGradient,
        gradient: &mut [f32],
    ) -> Result<f64> {
        check::len("gradient", actions.len(), gradient.len())?;
        self.join(observations, actions)?;
        let count = self.count();
        let pass = self.learned.forward(&self.rows)?.into_pass();
        let output = pass.output();
        let n = output.len() / count;
        self.grad.clear();
        self.grad.resize(output.len(), 0.0);
        let mut total = 0.0;
        for (row, grad) in output.chunks_exact(count).zip(self.grad.chunks_exact_mut(count)) {
            let smaller = |best: usize, i: usize| if row[i] < row[best] { i } else { best };
            let chosen = match which {
                ActionGradient::First => 0,
                ActionGradient::Smallest => (0..count).fold(0, smaller),
            };
            total += f64::from(row[chosen]);
            grad[chosen] = -1.0 / n as f32;
        }
        self.grad_rows.resize(self.rows.len(), 0.0);
        pass.input_gradient(&mut self.grad, &mut self.grad_rows)?;
        let rows = self.grad_rows.chunks_exact(self.width + self.action_width);
        for (row, out) in rows.zip(gradient.chunks_exact_mut(self.action_width)) {
            out.copy_from_slice(&row[self.width..]);
        }
        Ok(total / n as f64)
    }

    /// Soft update of the target networks: moves them towards the critics by the fraction `tau`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn soft_update(&mut self, tau: f64) -> Result<()> {
        Ok(self.learned.soft_update(tau)?)
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        self.learned.network_mut()
    }

    /// Writes the critics, the target networks and the optimiser state.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learned.save("critic", out)?)
    }

    /// Decodes the state written by [`save`](Critic::save), to be applied with [`replace`](Critic::replace) once
    /// everything else has been decoded.
    ///
    /// # Errors
    /// Those of [`Learned::loaded`].
    pub fn loaded(&self, from: &Sections) -> Result<Learned> {
        Ok(self.learned.loaded("critic", from)?)
    }

    /// Applies the result of [`loaded`](Critic::loaded).
    pub fn replace(&mut self, learned: Learned) {
        self.learned = learned;
    }
}
