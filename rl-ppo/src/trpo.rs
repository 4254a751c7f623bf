use crate::on_policy::{builds, shared_trunk, validate_settings};
use crate::{Learner, OnPolicy, OnPolicyConfig, OnPolicySettings, Rule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Schedule, check};
use rl_nets::{
    ActorCriticConfig, Coefficients, Distribution, FisherProduct, InputSpace, OptimizerConfig,
    PolicyRows, check_finite, policy_gradient,
};
use rl_replay::normalise;
use serde::{Deserialize, Serialize};

/// Trust region policy optimisation (Schulman et al., 2015), for discrete and continuous actions.
///
/// ```text
/// for each rollout of n_steps steps in every environment:
///     advantages A and returns R by generalised advantage estimation
///     L(θ) = mean(pi_θ(a | s) / pi_old(a | s) A),   g = ∇L
///     x ≈ F⁻¹ g by conjugate gradients, F v = Fisher product + cg_damping v
///     full step s = sqrt(2 target_kl / (xᵀ F x)) x
///     for s, s · line_search_shrink, s · line_search_shrink², …:
///         accept θ + s if L increases and mean KL(pi_old || pi) < target_kl
///     if no step is accepted: θ is unchanged
///     n_critic_epochs times, over shuffled minibatches: one gradient step on (V - R)²
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ppo::{Trpo, TrpoConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = TrpoConfig { n_steps: 64, ..TrpoConfig::default() };
/// let agent = Trpo::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(256))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Trpo<D, O = BoxSpace> = OnPolicy<D, TrustRegion, O>;

builds!(TrpoConfig, Trpo);

/// The settings of [`Trpo`]. Defaults are those of SB3-contrib (2.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrpoConfig {
    /// The networks; the policy and the value function cannot share a body.
    pub network: ActorCriticConfig,
    /// The learning rate of the value function; 1e-3.
    pub learning_rate: Schedule,
    /// The optimiser of the value function; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// Steps of each environment per rollout; 2048.
    pub n_steps: usize,
    /// Transitions per minibatch of the value function; 128.
    pub batch_size: usize,
    /// Epochs of the value function over each rollout; 10.
    pub n_critic_epochs: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The GAE parameter lambda; 0.95.
    pub gae_lambda: f64,
    /// The maximum mean KL divergence of the policy update on a rollout; 0.01.
    pub target_kl: Schedule,
    /// The maximum number of conjugate gradient iterations; 15.
    pub cg_max_steps: usize,
    /// The damping added to the diagonal of the Fisher information matrix; 0.1.
    pub cg_damping: f64,
    /// The factor by which the line search shrinks the step; 0.8.
    pub line_search_shrink: f64,
    /// The maximum number of line search steps; 10.
    pub line_search_max_steps: usize,
    /// Whether advantages are normalised; yes.
    pub normalize_advantage: bool,
}

impl Default for TrpoConfig {
    fn default() -> Self {
        TrpoConfig {
            network: ActorCriticConfig::default(),
            learning_rate: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam_with_eps(1e-5),
            n_steps: 2048,
            batch_size: 128,
            n_critic_epochs: 10,
            gamma: 0.99,
            gae_lambda: 0.95,
            target_kl: Schedule::constant(0.01),
            cg_max_steps: 15,
            cg_damping: 0.1,
            line_search_shrink: 0.8,
            line_search_max_steps: 10,
            normalize_advantage: true,
        }
    }
}

impl TrpoConfig {
    /// Checks all fields, for rollouts of `num_envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        validate_settings(self.settings(), self.batch_size, num_envs)?;
        if self.network.trunk.is_some() {
            return Err(shared_trunk());
        }
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        check::repeats("n_critic_epochs", "epochs of a rollout", self.n_critic_epochs as u64)?;
        self.target_kl.validate("target_kl", check::positive)?;
        check::at_least("cg_max_steps", 1, self.cg_max_steps as u64)?;
        check::non_negative("cg_damping", self.cg_damping)?;
        check::positive_fraction("line_search_shrink", self.line_search_shrink)?;
        check::at_least("line_search_max_steps", 1, self.line_search_max_steps as u64)
    }
}

impl OnPolicyConfig for TrpoConfig {
    fn validate(&self, num_envs: usize) -> Result<()> {
        TrpoConfig::validate(self, num_envs)
    }

    fn settings(&self) -> OnPolicySettings<'_> {
        let TrpoConfig { network, optimizer, n_steps, gamma, gae_lambda, .. } = self;
        OnPolicySettings {
            network,
            optimizer,
            n_steps: *n_steps,
            gamma: *gamma,
            gae_lambda: *gae_lambda,
        }
    }
}

/// Whether a parameter belongs to the policy.
fn is_policy(name: &str) -> bool {
    name.starts_with("actor.")
}

/// The [`Rule`] of [`Trpo`].
#[derive(Clone, Debug)]
pub struct TrustRegion {
    config: TrpoConfig,
    scratch: Scratch,
}

/// Scratch buffers for learning from a rollout, reused for the next one.
#[derive(Clone, Debug, Default)]
struct Scratch {
    /// `[rows]`.
    advantages: Vec<f32>,
    /// The policy's distribution parameters when acting, `[rows, params_len]`.
    old_params: Vec<f32>,
    /// The gradient of the network's output, `[rows, params_len + 1]`.
    grad: Vec<f32>,
    /// The network's parameters before the step, and a copy for reading and writing, `[num_params]`.
    before: Vec<f32>,
    narrow: Vec<f32>,
    product: Vec<f32>,
    /// The gradient of the objective, `[num_params]`.
    gradient: Vec<f64>,
    fisher: FisherProduct,
    solver: ConjugateGradients,
    /// Zero advantages of a minibatch on which the policy is not updated.
    none: Vec<f32>,
}

impl TrustRegion {
    /// One policy step within the trust region.
    fn improve_policy<D: Distribution, O: InputSpace>(
        &mut self,
        learner: &mut Learner<D, O>,
        target_kl: f64,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let TrustRegion { config, scratch } = self;
        let Scratch { advantages, before, narrow, .. } = scratch;
        advantages.clear();
        advantages.extend_from_slice(learner.collector.rollout.advantages());
        if config.normalize_advantage {
            normalise(advantages);
        }
        before.resize(learner.policy.network().num_params(), 0.0);
        learner.policy.network().read_params(before)?;
        narrow.resize(before.len(), 0.0);
        let curvature = search_direction(config, scratch, learner)?;

        let Scratch { advantages, old_params, before, narrow, gradient, solver, .. } = scratch;
        let direction = &solver.x;
        let (objective, _) = judge(learner, advantages, old_params)?;
        metrics.record("policy_loss", -objective);
        metrics.record("grad_norm", dot(gradient, gradient).sqrt());
        let mut step = if curvature > 0.0 { (2.0 * target_kl / curvature).sqrt() } else { 0.0 };
        for _ in 0..config.line_search_max_steps {
            for ((moved, p), d) in narrow.iter_mut().zip(&*before).zip(direction) {
                *moved = p + (step * d) as f32;
            }
            learner.policy.network_mut().set_params(narrow)?;
            let (reached, kl) = judge(learner, advantages, old_params)?;
            // A step that leads to NaN is rejected too, since a NaN is never greater.
            if reached > objective && kl < target_kl {
                metrics.record("kl", kl);
                metrics.record("line_search_success", 1.0);
                return Ok(());
            }
            step *= config.line_search_shrink;
        }
        learner.policy.network_mut().set_params(before)?;
        metrics.record("kl", 0.0);
        metrics.record("line_search_success", 0.0);
        Ok(())
    }
}

/// Runs the network on the rollout and computes the policy's distribution parameters, the gradient `g` of the
/// objective and `x ≈ F⁻¹ g`; returns `xᵀ F x`.
fn search_direction<D: Distribution, O: InputSpace>(
    config: &TrpoConfig,
    scratch: &mut Scratch,
    learner: &mut Learner<D, O>,
) -> Result<f64> {
    let Scratch { advantages, old_params, grad, narrow, product, gradient, fisher, solver, .. } =
        scratch;
    let Learner { policy, collector, .. } = learner;
    let (rollout, distribution) = (&collector.rollout, policy.distribution().clone());
    let params = policy.network().num_params();
    let mut pass = policy.forward(rollout.observations())?.into_pass();
    let width = distribution.params_len();
    old_params.clear();
    let rows = pass.output().chunks_exact(width + 1);
    rows.for_each(|row| old_params.extend_from_slice(&row[..width]));

    // At pi = pi_old the gradient of the ratio equals that of the log-probability.
    let rows = PolicyRows {
        actions: rollout.actions(),
        log_probs: rollout.log_probs(),
        advantages,
        returns: rollout.returns(),
        values: rollout.values(),
    };
    grad.resize(pass.output().len(), 0.0);
    let alone = Coefficients { value: 0.0, entropy: 0.0 };
    policy_gradient(&distribution, pass.output(), rows, alone, grad)?;
    product.resize(params, 0.0);
    pass.vjp(grad, product)?;
    gradient.clear();
    gradient.extend(product.iter().map(|&g| -f64::from(g)));

    let damped = |v: &[f64], out: &mut [f64]| -> Result<()> {
        narrow.iter_mut().zip(v).for_each(|(narrow, v)| *narrow = *v as f32);
        fisher.product(&mut pass, &distribution, narrow, product)?;
        for ((out, p), v) in out.iter_mut().zip(&*product).zip(v) {
            *out = f64::from(*p) + config.cg_damping * v;
        }
        Ok(())
    };
    solver.solve(damped, gradient, config.cg_max_steps)
}

/// The objective, `mean(pi(a | s) / pi_old(a | s) A)`, and `mean KL(pi_old || pi)`, of the current policy.
fn judge<D: Distribution, O: InputSpace>(
    learner: &mut Learner<D, O>,
    advantages: &[f32],
    old_params: &[f32],
) -> Result<(f64, f64)> {
    let distribution = learner.policy.distribution().clone();
    let (width, action_len) = (distribution.params_len(), distribution.action_len());
    let rollout = &learner.collector.rollout;
    let output = learner.policy.network_mut().predict(rollout.observations())?;
    let rows = output.chunks_exact(width + 1).zip(old_params.chunks_exact(width));
    let known = rollout.actions().chunks_exact(action_len).zip(rollout.log_probs());
    let (mut objective, mut kl) = (0.0, 0.0);
    for (((row, old), (action, log_prob)), advantage) in rows.zip(known).zip(advantages) {
        let ratio = (distribution.log_prob(&row[..width], action) - log_prob).exp();
        objective += f64::from(ratio * advantage);
        kl += f64::from(distribution.kl(old, &row[..width]));
    }
    let n = advantages.len() as f64;
    Ok((objective / n, kl / n))
}

/// Solves `A x = b` for a positive definite `A`, given as a matrix-vector product, by conjugate gradients (Hestenes
/// and Stiefel, 1952).
#[derive(Clone, Debug, Default)]
struct ConjugateGradients {
    /// The solution.
    x: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    product: Vec<f64>,
}

impl ConjugateGradients {
    /// Computes `x`; returns `xᵀ A x`. `times` writes the product of `A` with its first argument.
    fn solve(
        &mut self,
        mut times: impl FnMut(&[f64], &mut [f64]) -> Result<()>,
        b: &[f64],
        max_steps: usize,
    ) -> Result<f64> {
        const TOLERANCE: f64 = 1e-10;
        let ConjugateGradients { x, residual, direction, product } = self;
        for (vector, start) in [(&mut *residual, b), (&mut *direction, b)] {
            vector.clear();
            vector.extend_from_slice(start);
        }
        for vector in [&mut *x, &mut *product] {
            vector.clear();
            vector.resize(b.len(), 0.0);
        }
        let mut size = dot(residual, residual);
        for _ in 0..max_steps {
            if size < TOLERANCE {
                break;
            }
            times(direction, product)?;
            let alpha = size / dot(direction, product);
            add(x, alpha, direction);
            add(residual, -alpha, product);
            let smaller = dot(residual, residual);
            let beta = smaller / size;
            direction.iter_mut().zip(&*residual).for_each(|(d, r)| *d = r + beta * *d);
            size = smaller;
        }
        times(x, product)?;
        let curvature = dot(x, product);
        check_finite("the curvature of the trust region", curvature)?;
        Ok(curvature)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], scale: f64, y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += scale * y);
}

impl<D: Distribution, O: InputSpace> Rule<D, O> for TrustRegion {
    const NAME: &'static str = "trpo";
    const SHARES_TRUNK: bool = false;
    type Config = TrpoConfig;
    type State = ();

    fn new(config: &TrpoConfig) -> Self {
        TrustRegion { config: config.clone(), scratch: Scratch::default() }
    }

    fn config(&self) -> &TrpoConfig {
        &self.config
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let target_kl = self.config.target_kl.at(progress.fraction());
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        self.improve_policy(learner, target_kl, metrics)?;
        let Scratch { before, narrow, none, .. } = &mut self.scratch;
        learner.policy.network().read_params(before)?;
        // The policy's part of this loss is zero.
        for _ in 0..self.config.n_critic_epochs {
            for places in learner.shuffled(self.config.batch_size) {
                learner.gather(places, false);
                let loss = learner.loss(|distribution, output, rows, grad| {
                    let alone = Coefficients { value: 1.0, entropy: 0.0 };
                    none.resize(rows.advantages.len(), 0.0);
                    let rows = PolicyRows { advantages: none, ..rows };
                    policy_gradient(distribution, output, rows, alone, grad)
                })?;
                metrics.record("value_loss", loss.stats.value_loss);
                metrics.record("entropy", loss.stats.entropy);
                loss.step(learning_rate, None)?;
            }
        }
        // Weight decay applies only to the value function; otherwise it could move the policy out of the trust
        // region.
        let network = learner.policy.network_mut();
        network.read_params(narrow)?;
        for entry in network.layout().entries().iter().filter(|entry| is_policy(&entry.name)) {
            let range = entry.offset..entry.offset + entry.len();
            narrow[range.clone()].copy_from_slice(&before[range]);
        }
        network.set_params(narrow)?;
        metrics.record("learning_rate", learning_rate);
        Ok(())
    }

    fn state(&self) {}

    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjugate_gradients_solve_a_system_in_as_many_steps_as_it_has_unknowns() {
        let matrix = [[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]];
        let times = |v: &[f64], out: &mut [f64]| {
            out.iter_mut().zip(&matrix).for_each(|(out, row)| *out = dot(row, v));
            Ok(())
        };
        let mut solver = ConjugateGradients::default();
        let curvature = solver.solve(times, &[1.0, 2.0, 3.0], 3).unwrap();
        let x = solver.x;
        let b: Vec<f64> = matrix.iter().map(|row| dot(row, &x)).collect();
        assert!(b.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{b:?}");
        assert!((curvature - dot(&x, &[1.0, 2.0, 3.0])).abs() < 1e-12);
    }
}
