//! Critics, `Q(s, a)` of continuous actions, with target networks.

use crate::q_network::QNetwork;
use rl_core::{Result, Rng, Sections, check};
#[cfg(test)]
use rl_nets::Network;
use rl_nets::{Backend, Body, Learned, OptimizerConfig, check_finite, critics};

/// The action value that the actor maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActionGradient {
    /// That of the first critic, as in DDPG and TD3.
    First,
    /// The minimum over critics, as in SAC.
    Smallest,
}

/// Measurements of a gradient step of the critics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticStep {
    /// The loss that the step was taken on.
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
    q: QNetwork,
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
        let module = critics(body, count, &[width + action_width])?;
        Ok(Critic { q: QNetwork::new(module, (width, action_width), optimizer, backend, init)? })
    }

    /// The number of critics.
    fn count(&self) -> usize {
        self.q.output_len()
    }

    /// The number of parameters of all critics, without target networks.
    pub fn num_params(&self) -> usize {
        self.q.num_params()
    }

    /// The action values of the first critic, `[n]`.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        let count = self.count();
        let output = self.q.predict(observations, actions)?;
        Ok(output.iter().copied().step_by(count).collect())
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
        let count = self.count();
        let output = self.q.predict_target(observations, actions)?;
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
        let count = self.count();
        let loss = |output: &[f32], grad: &mut [f32]| {
            check::len("targets", output.len() / count, targets.len())?;
            let (mut loss, mut value) = (0.0, 0.0);
            let share = 2.0 / targets.len() as f32;
            let rows = output.chunks_exact(count).zip(grad.chunks_exact_mut(count));
            for ((row, grad), target) in rows.zip(targets) {
                for (q, grad) in row.iter().zip(grad) {
                    let error = q - target;
                    loss += f64::from(error * error);
                    value += f64::from(*q);
                    *grad = share * error;
                }
            }
            let n = targets.len() as f64;
            let stats = CriticStep { loss: loss / n, value: value / (n * count as f64) };
            check_finite("the loss", stats.loss)?;
            Ok(stats)
        };
        self.q.step((observations, actions), loss, learning_rate, max_grad_norm)
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
        let count = self.count();
        let loss = |output: &[f32], grad: &mut [f32]| {
            let n = output.len() / count;
            grad.fill(0.0);
            let mut total = 0.0;
            for (row, grad) in output.chunks_exact(count).zip(grad.chunks_exact_mut(count)) {
                let smaller = |best: usize, i: usize| if row[i] < row[best] { i } else { best };
                let chosen = match which {
                    ActionGradient::First => 0,
                    ActionGradient::Smallest => (0..count).fold(0, smaller),
                };
                total += f64::from(row[chosen]);
                grad[chosen] = -1.0 / n as f32;
            }
            total / n as f64
        };
        self.q.action_gradient(observations, actions, loss, gradient)
    }

    /// Soft update of the target networks: moves them towards the critics by the fraction `tau`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn soft_update(&mut self, tau: f64) -> Result<()> {
        self.q.soft_update(tau)
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        self.q.network()
    }

    /// Writes the critics, the target networks and the optimiser state.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save(&self, out: &mut Sections) -> Result<()> {
        self.q.save(out)
    }

    /// Decodes the state written by [`save`](Critic::save), to be applied with [`replace`](Critic::replace) once
    /// everything else has been decoded.
    ///
    /// # Errors
    /// Those of [`Learned::loaded`].
    pub fn loaded(&self, from: &Sections) -> Result<Learned> {
        self.q.loaded(from)
    }

    /// Applies the result of [`loaded`](Critic::loaded).
    pub fn replace(&mut self, learned: Learned) {
        self.q.replace(learned);
    }
}
