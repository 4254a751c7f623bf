//! Critics that learn the distribution of the return, by its quantiles.

use crate::CriticStep;
use crate::q_network::QNetwork;
use rl_core::{Result, Rng, Sections, check};
#[cfg(test)]
use rl_nets::Network;
use rl_nets::{
    Backend, Body, Learned, OptimizerConfig, check_finite, quantile_critics, quantile_huber,
};

/// One or more critics `Z_i(s, a)` of a number of quantiles each, their target networks `Z_i'`, and their optimiser.
///
/// ```
/// use rl_core::Seeds;
/// use rl_ddpg::QuantileCritic;
/// use rl_nets::{Backend, NetworkConfig, OptimizerConfig};
/// let (body, adam) = (NetworkConfig::default(), OptimizerConfig::adam());
/// let mut rng = Seeds::new(0).stream("init", 0);
/// // Two critics of 25 quantiles, of observations of three numbers and actions of one.
/// let mut critic = QuantileCritic::new((2, 25), (3, 1), &body, &adam, &Backend::cpu(), &mut rng)?;
/// // Without the two largest quantiles a critic 46 of the 50 are left.
/// let mut kept = Vec::new();
/// critic.truncated_targets(&[0.1, 0.2, 0.3], &[0.5], 2, &mut kept)?;
/// assert_eq!(kept.len(), 46);
/// let stats = critic.step(&[0.1, 0.2, 0.3], &[0.5], &kept, 1e-3, None)?;
/// assert!(stats.loss > 0.0);
/// let mut gradient = [0.0];
/// let value = critic.action_gradient(&[0.1, 0.2, 0.3], &[0.5], &mut gradient)?;
/// # let _ = value;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct QuantileCritic {
    q: QNetwork,
    quantiles: usize,
    /// Scratch buffer: the pooled quantiles of one state, in rising order.
    pool: Vec<f32>,
}

impl QuantileCritic {
    /// `count` critics of `quantiles` quantiles for observations of `width` elements and actions of `action_width`
    /// elements.
    ///
    /// # Errors
    /// Those of [`quantile_critics`] and of the optimiser's settings, and errors of candle.
    pub fn new(
        (count, quantiles): (usize, usize),
        (width, action_width): (usize, usize),
        body: &dyn Body,
        optimizer: &OptimizerConfig,
        backend: &Backend,
        init: &mut Rng,
    ) -> Result<Self> {
        let module = quantile_critics(body, count, quantiles, &[width + action_width])?;
        let q = QNetwork::new(module, (width, action_width), optimizer, backend, init)?;
        Ok(QuantileCritic { q, quantiles, pool: Vec::new() })
    }

    /// The number of critics.
    fn count(&self) -> usize {
        self.q.output_len() / self.quantiles
    }

    /// The number of parameters of all critics, without target networks.
    pub fn num_params(&self) -> usize {
        self.q.num_params()
    }

    /// The action values of the first critic, the means of its quantiles, `[n]`.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        let (width, quantiles) = (self.q.output_len(), self.quantiles);
        let rows = self.q.predict(observations, actions)?.chunks_exact(width);
        Ok(rows.map(|row| row[..quantiles].iter().sum::<f32>() / quantiles as f32).collect())
    }

    /// Writes the quantiles `Z_i'(s, a)` of all target networks together, in rising order and without the `drop`
    /// largest a critic (Kuznetsov et al., 2020, equation 11), into `kept`: `[n, count (quantiles - drop)]`.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] if none would be left; slices that do not match.
    pub fn truncated_targets(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        drop: usize,
        kept: &mut Vec<f32>,
    ) -> Result<()> {
        check_drop("drop", drop, self.quantiles)?;
        let left = self.count() * (self.quantiles - drop);
        let width = self.q.output_len();
        kept.clear();
        for row in self.q.predict_target(observations, actions)?.chunks_exact(width) {
            self.pool.clear();
            self.pool.extend_from_slice(row);
            self.pool.sort_unstable_by(f32::total_cmp);
            kept.extend_from_slice(&self.pool[..left]);
        }
        Ok(())
    }

    /// One gradient step on the quantile Huber loss of every critic beside the same `targets`, `[n, targets a row]`,
    /// the mean over rows, critics, quantiles and targets as in the code of Kuznetsov et al. (2020). The gradient is
    /// clipped to the norm `max_grad_norm`.
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
        let shape = (self.count(), self.quantiles);
        let loss = |output: &[f32], grad: &mut [f32]| quantile_loss(shape, output, targets, grad);
        self.q.step((observations, actions), loss, learning_rate, max_grad_norm)
    }

    /// Writes the gradient of `-mean Q(s, a)` with respect to the actions into `gradient`, `[n, action width]`, `Q`
    /// being the mean of the quantiles of all critics; returns the mean.
    ///
    /// # Errors
    /// Slices that do not match.
    pub fn action_gradient(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        gradient: &mut [f32],
    ) -> Result<f64> {
        let loss = |output: &[f32], grad: &mut [f32]| {
            grad.fill(-1.0 / output.len() as f32);
            mean(output)
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

    /// Decodes the state written by [`save`](QuantileCritic::save), to be applied with
    /// [`replace`](QuantileCritic::replace) once everything else has been decoded.
    ///
    /// # Errors
    /// Those of [`Learned::loaded`].
    pub fn loaded(&self, from: &Sections) -> Result<Learned> {
        self.q.loaded(from)
    }

    /// Applies the result of [`loaded`](QuantileCritic::loaded).
    pub fn replace(&mut self, learned: Learned) {
        self.q.replace(learned);
    }
}

/// Checks that quantiles are left when `drop` of them are dropped.
pub(crate) fn check_drop(field: &str, drop: usize, quantiles: usize) -> Result<()> {
    let most = quantiles.saturating_sub(1) as u64;
    check::at_most(field, most, "one less than the quantiles of a critic", drop as u64)
}

/// The point from which on the Huber loss is linear, as published.
const KAPPA: f32 = 1.0;

/// The quantile Huber loss of rows of `count` critics of `quantiles` quantiles beside rows of `targets`; writes its
/// gradient with respect to the quantiles into `grad`.
pub(crate) fn quantile_loss(
    (count, quantiles): (usize, usize),
    output: &[f32],
    targets: &[f32],
    grad: &mut [f32],
) -> Result<CriticStep> {
    let n = output.len() / (count * quantiles);
    let kept = targets.len() / n.max(1);
    check::len("targets", n * kept, targets.len())?;
    check::at_least("targets", 1, kept as u64)?;
    let share = 1.0 / output.len() as f32;
    let rows = output.chunks_exact(count * quantiles).zip(targets.chunks_exact(kept));
    let mut loss = 0.0;
    for ((row, targets), grad) in rows.zip(grad.chunks_exact_mut(count * quantiles)) {
        let critics = row.chunks_exact(quantiles).zip(grad.chunks_exact_mut(quantiles));
        for (critic, grad) in critics {
            loss += f64::from(quantile_huber(critic, targets, KAPPA, share, grad)?);
        }
    }
    let stats = CriticStep { loss: loss / output.len() as f64, value: mean(output) };
    check_finite("the loss", stats.loss)?;
    Ok(stats)
}

fn mean(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / numbers.len() as f64
}
