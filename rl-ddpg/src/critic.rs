//! Learned action values of continuous actions, with their targets.

use rl_core::{Result, Rng, Sections, check};
use rl_nets::{Backend, Critics, MlpConfig, Network, Optimizer, OptimizerConfig, check_finite};

/// Which value the actor climbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionGradient {
    /// The first critic's, as in DDPG and TD3.
    First,
    /// The smallest, as in SAC.
    Smallest,
}

/// What a gradient step of the critic told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticStep {
    /// The squared error, summed over critics.
    pub loss: f64,
    /// The mean value, before the step.
    pub value: f64,
}

/// One or several action values `Q_i(s, a)`, their slowly following targets `Q_i'`, and their optimiser.
///
/// ```
/// use rl_core::Seeds;
/// use rl_ddpg::{ActionGradient, Critic};
/// use rl_nets::{Backend, MlpConfig, OptimizerConfig};
/// let (config, adam) = (MlpConfig::default(), OptimizerConfig::adam());
/// let mut rng = Seeds::new(0).stream("init", 0);
/// // Two critics of observations of three numbers and actions of one.
/// let mut critic = Critic::new(2, (3, 1), &config, &adam, &Backend::Fused, &mut rng)?;
/// let told = critic.step(&[0.1, 0.2, 0.3], &[0.5], &[1.0], 1e-3)?;
/// assert!(told.loss > 0.0);
/// let (mut gradient, which) = ([0.0], ActionGradient::Smallest);
/// let value = critic.action_gradient(&[0.1, 0.2, 0.3], &[0.5], which, &mut gradient)?;
/// # let _ = value;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Critic {
    online: Network,
    target: Network,
    optimizer: Optimizer,
    width: usize,
    action_width: usize,
    /// Scratch: rows of observation and action; gradients of the critics' output and of those rows.
    rows: Vec<f32>,
    grad: Vec<f32>,
    grad_rows: Vec<f32>,
}

impl Critic {
    /// `count` critics for observations of `width` and actions of `action_width` numbers.
    ///
    /// # Errors
    /// Those of [`Critics::new`], of the optimiser's settings, and of candle.
    pub fn new(
        count: usize,
        (width, action_width): (usize, usize),
        config: &MlpConfig,
        optimizer: &OptimizerConfig,
        backend: &Backend,
        init: &mut Rng,
    ) -> Result<Self> {
        let critics = Critics::new(count, width + action_width, config)?;
        let online = Network::new(critics, backend, init)?;
        Ok(Critic {
            target: online.twin(),
            optimizer: online.optimizer(optimizer.clone())?,
            online,
            width,
            action_width,
            rows: Vec::new(),
            grad: Vec::new(),
            grad_rows: Vec::new(),
        })
    }

    /// Puts observations, `[n, width]`, and actions, `[n, action width]`, side by side.
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

    /// Parameters of all critics, without their targets.
    pub fn num_params(&self) -> usize {
        self.online.num_params()
    }

    /// The values of the first critic, `[n]`.
    ///
    /// # Errors
    /// Slices that do not fit.
    pub fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        self.join(observations, actions)?;
        let count = self.online.output_len();
        Ok(self.online.predict(&self.rows)?.iter().copied().step_by(count).collect())
    }

    /// Writes `min_i Q_i'(s, a)` into `values`, `[n]`.
    ///
    /// # Errors
    /// Slices that do not fit.
    pub fn target_values(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        values: &mut [f32],
    ) -> Result<()> {
        self.join(observations, actions)?;
        let count = self.target.output_len();
        let output = self.target.predict(&self.rows)?;
        check::len("values", output.len() / count, values.len())?;
        for (row, value) in output.chunks_exact(count).zip(values) {
            *value = row.iter().copied().fold(f32::INFINITY, f32::min);
        }
        Ok(())
    }

    /// One gradient step on `Σ_i mean (Q_i(s, a) - y)²`, with `y` the `targets`, `[n]`.
    ///
    /// # Errors
    /// [`NotFinite`](rl_nets::Error::NotFinite) for a loss that is not; slices that do not fit.
    pub fn step(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        targets: &[f32],
        learning_rate: f64,
    ) -> Result<CriticStep> {
        self.join(observations, actions)?;
        let count = self.online.output_len();
        let output = self.online.forward(&self.rows)?;
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
        let told = CriticStep { loss: loss / n, value: value / (n * count as f64) };
        check_finite("the loss", told.loss)?;
        self.online.backward(&self.rows, &self.grad, None)?;
        self.online.step(&mut self.optimizer, learning_rate, None)?;
        Ok(told)
    }

    /// Writes the gradient of `-mean Q(s, a)` with respect to the actions into `gradient`, `[n, action
    /// width]`; returns the mean.
    ///
    /// # Errors
    /// Slices that do not fit.
    pub fn action_gradient(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        which: ActionGradient,
        gradient: &mut [f32],
    ) -> Result<f64> {
        check::len("gradient", actions.len(), gradient.len())?;
        self.join(observations, actions)?;
        let count = self.online.output_len();
        let output = self.online.forward(&self.rows)?;
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
        self.online.input_gradient(&self.rows, &self.grad, &mut self.grad_rows)?;
        let rows = self.grad_rows.chunks_exact(self.width + self.action_width);
        for (row, out) in rows.zip(gradient.chunks_exact_mut(self.action_width)) {
            out.copy_from_slice(&row[self.width..]);
        }
        Ok(total / n as f64)
    }

    /// Moves the targets towards the critics by the share `tau`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn track(&mut self, tau: f64) -> Result<()> {
        Ok(self.target.move_towards(&self.online, tau)?)
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        &mut self.online
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        out.put_file("critic.safetensors", self.online.save()?);
        out.put_file("critic_target.safetensors", self.target.save()?);
        out.put_file("critic_optimizer.bin", self.optimizer.save()?);
        Ok(())
    }

    /// A copy that went back to what [`save`](Critic::save) wrote.
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Self> {
        let (mut online, mut target) = (self.online.twin(), self.target.twin());
        let mut optimizer = self.optimizer.clone();
        online.load(from.file("critic.safetensors")?)?;
        target.load(from.file("critic_target.safetensors")?)?;
        optimizer.load(from.file("critic_optimizer.bin")?)?;
        Ok(Critic {
            online,
            target,
            optimizer,
            width: self.width,
            action_width: self.action_width,
            rows: Vec::new(),
            grad: Vec::new(),
            grad_rows: Vec::new(),
        })
    }
}
