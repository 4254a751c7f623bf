//! On-policy rollouts: a fixed number of steps of every environment.

use crate::{Error, Result};
use rl_core::{Element, End, Rng, Transitions, check};
use serde::{Deserialize, Serialize};

/// The agent's actions, value estimates and log-probabilities at one step, one of each per environment.
#[derive(Clone, Copy, Debug)]
pub struct Estimates<'a, A> {
    /// The policy's actions before clipping to the bounds, `[envs, action width]`.
    pub actions: &'a [A],
    /// The value estimate of the observation acted on, `[envs]`.
    pub values: &'a [f32],
    /// The log-probability of that action, `[envs]`.
    pub log_probs: &'a [f32],
    /// The value estimate of the final observation if this step truncated an episode, otherwise any number, `[envs]`.
    pub final_values: &'a [f32],
}

/// A rollout of `steps` steps of `envs` environments, stored in columns `[steps, envs]` that are allocated once. Row
/// `t * envs + e` is step `t` of environment `e`.
///
/// ```
/// use rl_core::StepBatch;
/// use rl_replay::{Estimates, Rollout};
/// let mut rollout: Rollout<f32, u32> = Rollout::new(1, 1, 1, 1)?;
/// let mut shown = StepBatch::new(1, 1);
/// shown.begin_step();
/// shown.rows_mut().rewards[0] = 1.0;
/// let estimates = Estimates { actions: &[0], values: &[0.5], log_probs: &[0.0], final_values: &[0.0] };
/// rollout.push(&shown.transitions(&[0]), estimates)?;
/// rollout.finish(&[2.0], 0.9, 0.95)?;
/// assert_eq!(rollout.returns(), [1.0 + 0.9 * 2.0]);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Element, A: Element")]
pub struct Rollout<T, A> {
    steps: usize,
    envs: usize,
    width: usize,
    action_width: usize,
    filled: usize,
    observations: Vec<T>,
    actions: Vec<A>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
    values: Vec<f32>,
    log_probs: Vec<f32>,
    final_values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
    /// The next observations of the last step, `[envs, width]`.
    next_observations: Vec<T>,
}

impl<T: Element, A: Element> Rollout<T, A> {
    /// An empty rollout for `steps` steps of `envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] if an argument is zero.
    pub fn new(steps: usize, envs: usize, width: usize, action_width: usize) -> Result<Self> {
        check::at_least("n_steps", 1, steps as u64)?;
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("observation width", 1, width as u64)?;
        check::at_least("action width", 1, action_width as u64)?;
        let row = width.saturating_mul(size_of::<T>());
        let row = row
            .saturating_add(action_width.saturating_mul(size_of::<A>()))
            .saturating_add(6 * size_of::<f32>() + size_of::<Option<End>>());
        let rows = steps.checked_mul(envs);
        check::memory("n_steps", steps, rows.and_then(|rows| rows.checked_mul(row)))?;
        let n = steps * envs;
        Ok(Rollout {
            steps,
            envs,
            width,
            action_width,
            filled: 0,
            observations: vec![T::default(); n * width],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
            values: vec![0.0; n],
            log_probs: vec![0.0; n],
            final_values: vec![0.0; n],
            advantages: vec![0.0; n],
            returns: vec![0.0; n],
            next_observations: vec![T::default(); envs * width],
        })
    }

    /// The width of an observation.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The capacity in transitions.
    pub fn capacity(&self) -> usize {
        self.steps * self.envs
    }

    /// The number of stored transitions.
    pub fn len(&self) -> usize {
        self.filled * self.envs
    }

    /// Whether no transitions are stored.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether the rollout is complete.
    pub fn is_full(&self) -> bool {
        self.filled == self.steps
    }

    /// Clears the rollout to begin the next one.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Stores one step of every environment.
    ///
    /// # Errors
    /// [`Error::Full`] if the rollout is complete; [`rl_core::Error::Mismatch`] for slices that do not match.
    pub fn push(
        &mut self,
        transitions: &Transitions<'_, T, A>,
        estimates: Estimates<'_, A>,
    ) -> Result<()> {
        if self.is_full() {
            return Err(Error::Full);
        }
        let n = self.envs;
        transitions.check(n)?;
        check::len("observations", n * self.width, transitions.observations().len())?;
        check::len("actions", n * self.action_width, estimates.actions.len())?;
        check::len("values", n, estimates.values.len())?;
        check::len("log-probabilities", n, estimates.log_probs.len())?;
        check::len("final values", n, estimates.final_values.len())?;
        let (at, w, aw) = (self.filled * n, self.width, self.action_width);
        self.observations[at * w..][..n * w].copy_from_slice(transitions.observations());
        self.actions[at * aw..][..n * aw].copy_from_slice(estimates.actions);
        self.rewards[at..][..n].copy_from_slice(transitions.rewards());
        self.ends[at..][..n].copy_from_slice(transitions.ends());
        self.values[at..][..n].copy_from_slice(estimates.values);
        self.log_probs[at..][..n].copy_from_slice(estimates.log_probs);
        self.final_values[at..][..n].copy_from_slice(estimates.final_values);
        for (i, row) in self.next_observations.chunks_exact_mut(w).enumerate() {
            row.copy_from_slice(transitions.next_observation(i));
        }
        self.filled += 1;
        Ok(())
    }

    /// The next observation of an environment's last step, `[width]`, if a step is stored.
    pub fn next_observation(&self, env: usize) -> Option<&[T]> {
        let row = self.next_observations.get(env * self.width..(env + 1) * self.width);
        row.filter(|_| self.filled > 0)
    }

    /// Whether an environment's episode continues after its last step.
    pub fn is_open(&self, env: usize) -> bool {
        self.filled > 0
            && env < self.envs
            && self.ends[(self.filled - 1) * self.envs + env].is_none()
    }

    /// Marks an environment's running episode as truncated; `final_value` is the value of the next observation of its
    /// last step.
    pub fn truncate(&mut self, env: usize, final_value: f32) {
        if self.is_open(env) {
            let newest = (self.filled - 1) * self.envs + env;
            self.ends[newest] = Some(End::Truncated);
            self.final_values[newest] = final_value;
        }
    }

    /// Computes advantages and returns by generalised advantage estimation (Schulman et al., 2016):
    ///
    /// ```text
    /// delta_t = r_t + gamma V(s_{t+1}) - V(s_t)
    /// A_t     = delta_t + gamma lambda A_{t+1}
    /// R_t     = A_t + V(s_t)
    /// ```
    ///
    /// After a termination `V(s_{t+1})` is 0; after a truncation it is the value of the final observation. In both
    /// cases `A_{t+1}` belongs to another episode and is omitted. `last_values`, `[envs]`, are the values of the next
    /// observations of the last step. With `lambda = 1` the returns are discounted sums of rewards, bootstrapped at
    /// the end.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a wrong number of last values; [`rl_core::Error::Config`] for a `gamma` or
    /// `gae_lambda` outside `[0, 1]`.
    pub fn finish(&mut self, last_values: &[f32], gamma: f64, gae_lambda: f64) -> Result<()> {
        check::len("last values", self.envs, last_values.len())?;
        check::fraction("gamma", gamma)?;
        check::fraction("gae_lambda", gae_lambda)?;
        let (gamma, decay) = (gamma as f32, (gamma * gae_lambda) as f32);
        for (env, &last) in last_values.iter().enumerate() {
            let (mut next, mut carried) = (last, 0.0);
            for t in (0..self.filled).rev() {
                let i = t * self.envs + env;
                let (next_value, later) = match self.ends[i] {
                    None => (next, carried),
                    Some(End::Truncated) => (self.final_values[i], 0.0),
                    Some(End::Terminated) => (0.0, 0.0),
                };
                let delta = self.rewards[i] + gamma * next_value - self.values[i];
                carried = delta + decay * later;
                next = self.values[i];
                self.advantages[i] = carried;
                self.returns[i] = carried + self.values[i];
            }
        }
        Ok(())
    }

    /// Replaces the value estimates of the observations, `[len]`, before another [`finish`](Rollout::finish). Those of final
    /// observations of truncated episodes stay: only their values are stored, not they themselves.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of values.
    pub fn set_values(&mut self, values: impl ExactSizeIterator<Item = f32>) -> Result<()> {
        check::len("values", self.len(), values.len())?;
        self.values.iter_mut().zip(values).for_each(|(old, new)| *old = new);
        Ok(())
    }

    /// The observations, `[len, width]`.
    pub fn observations(&self) -> &[T] {
        &self.observations[..self.len() * self.width]
    }

    /// The actions, `[len, action width]`.
    pub fn actions(&self) -> &[A] {
        &self.actions[..self.len() * self.action_width]
    }

    /// The value estimates, `[len]`: those made when acting, or what [`set_values`](Rollout::set_values) was given.
    pub fn values(&self) -> &[f32] {
        &self.values[..self.len()]
    }

    /// The log-probabilities computed when acting, `[len]`.
    pub fn log_probs(&self) -> &[f32] {
        &self.log_probs[..self.len()]
    }

    /// The advantages, `[len]`, after `finish`.
    pub fn advantages(&self) -> &[f32] {
        &self.advantages[..self.len()]
    }

    /// The returns, `[len]`, after `finish`.
    pub fn returns(&self) -> &[f32] {
        &self.returns[..self.len()]
    }

    /// Copies the rows `indices` into `minibatch`, whose buffers are reused. The rollout itself is not reordered: an
    /// epoch shuffles indices.
    pub fn gather(&self, indices: &[u32], minibatch: &mut Minibatch<T, A>) {
        let (w, aw) = (self.width, self.action_width);
        minibatch.clear();
        for &i in indices {
            let i = i as usize;
            minibatch.observations.extend_from_slice(&self.observations[i * w..][..w]);
            minibatch.actions.extend_from_slice(&self.actions[i * aw..][..aw]);
            minibatch.values.push(self.values[i]);
            minibatch.log_probs.push(self.log_probs[i]);
            minibatch.advantages.push(self.advantages[i]);
            minibatch.returns.push(self.returns[i]);
        }
    }

    /// Checks that a stored rollout has the same shape as this one, before a resumed run loads it.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another shape or columns of another length.
    pub fn check_same_shape(&self, stored: &Self) -> Result<()> {
        let shape = |r: &Self| [r.steps, r.envs, r.width, r.action_width];
        if shape(self) != shape(stored) || stored.filled > self.steps {
            let what = "rollout [steps, envs, width, action width]";
            let (expected, got) = (format!("{:?}", shape(self)), format!("{:?}", shape(stored)));
            return Err(rl_core::Error::mismatch(what, expected, got).into());
        }
        check::len("rollout observations", self.observations.len(), stored.observations.len())?;
        check::len("rollout actions", self.actions.len(), stored.actions.len())?;
        let next = (self.next_observations.len(), stored.next_observations.len());
        check::len("rollout next observations", next.0, next.1)?;
        let columns = [&stored.rewards, &stored.values, &stored.log_probs, &stored.final_values];
        for column in columns.into_iter().chain([&stored.advantages, &stored.returns]) {
            check::len("rollout column", self.capacity(), column.len())?;
        }
        Ok(check::len("rollout ends", self.capacity(), stored.ends.len())?)
    }
}

/// A minibatch of rows of a [`Rollout`], contiguous.
#[derive(Clone, Debug, Default)]
pub struct Minibatch<T, A> {
    /// The observations, `[n, width]`.
    pub observations: Vec<T>,
    /// The actions, `[n, action width]`.
    pub actions: Vec<A>,
    /// The value estimates made when acting, `[n]`.
    pub values: Vec<f32>,
    /// The log-probabilities computed when acting, `[n]`.
    pub log_probs: Vec<f32>,
    /// The advantages, `[n]`.
    pub advantages: Vec<f32>,
    /// The returns, `[n]`.
    pub returns: Vec<f32>,
}

impl<T, A> Minibatch<T, A> {
    fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.values.clear();
        self.log_probs.clear();
        self.advantages.clear();
        self.returns.clear();
    }
}

/// Shuffles `indices` (Fisher and Yates, 1938).
pub fn shuffle(indices: &mut [u32], rng: &mut Rng) {
    for i in (1..indices.len()).rev() {
        indices.swap(i, rng.below(i + 1));
    }
}

/// Normalises to mean 0 and standard deviation 1 (the unbiased estimate, plus 1e-8); a single number is left
/// unchanged.
pub fn normalise(advantages: &mut [f32]) {
    let n = advantages.len() as f64;
    if n < 2.0 {
        return;
    }
    let mean = advantages.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
    let squares = advantages.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>();
    let std = (squares / (n - 1.0)).sqrt() + 1e-8;
    advantages.iter_mut().for_each(|a| *a = ((f64::from(*a) - mean) / std) as f32);
}

/// The explained variance: the fraction of the variance of the returns that the values explain, at most 1; NaN if all
/// returns are equal, or where there are not as many values.
pub fn explained_variance(values: &[f32], returns: &[f32]) -> f64 {
    if values.len() != returns.len() {
        return f64::NAN;
    }
    let n = returns.len() as f64;
    let variance = |xs: &mut dyn Iterator<Item = f64>| {
        let (sum, squares) = xs.fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
        squares / n - (sum / n).powi(2)
    };
    let total = variance(&mut returns.iter().map(|&r| f64::from(r)));
    let errors = returns.iter().zip(values).map(|(r, v)| f64::from(*r) - f64::from(*v));
    if total > 0.0 { 1.0 - variance(&mut errors.into_iter()) / total } else { f64::NAN }
}
