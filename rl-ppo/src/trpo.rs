use crate::on_policy::validate_rollout;
use crate::{Learner, OnPolicy, Rule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Schedule, Seeds, VecEnv, check};
use rl_nets::{
    ActorCriticConfig, Backend, Coefficients, Distribution, OptimizerConfig, PolicyRows,
    PolicySpace, check_finite, fisher_product, policy_gradient,
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
///         take θ + s where L has risen and mean KL(pi_old || pi) < target_kl
///     where none was found: θ stays
///     n_critic_epochs times, over shuffled minibatches: one gradient step on (V - R)²
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ppo::{Trpo, TrpoConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = TrpoConfig { n_steps: 64, ..TrpoConfig::default() };
/// let agent = Trpo::new(&config, &envs, &rl_nets::Backend::Fused, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(256))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Trpo<D> = OnPolicy<D, TrpoConfig>;

/// The settings of [`Trpo`]. Defaults are those of SB3-contrib's (2.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrpoConfig {
    /// The networks; the policy and the value function cannot share a trunk.
    pub network: ActorCriticConfig,
    /// The step size of the value function; 1e-3.
    pub learning_rate: Schedule,
    /// The optimiser of the value function; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// Steps of each environment in a rollout; 2048.
    pub n_steps: usize,
    /// Transitions in a gradient step of the value function; 128.
    pub batch_size: usize,
    /// Passes of the value function over a rollout; 10.
    pub n_critic_epochs: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The decay of the advantage estimator; 0.95.
    pub gae_lambda: f64,
    /// How far the policy may move in a rollout's learning, as a mean KL divergence; 0.01.
    pub target_kl: Schedule,
    /// The most iterations of conjugate gradients; 15.
    pub cg_max_steps: usize,
    /// What is added to the diagonal of the Fisher information; 0.1.
    pub cg_damping: f64,
    /// The factor between one step that is tried and the next; 0.8.
    pub line_search_shrink: f64,
    /// The most steps that are tried; 10.
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
    /// Checks every field, for rollouts of `num_envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        self.network.validate()?;
        if self.network.trunk.is_some() {
            let expected = "none: the policy's step must leave the value function alone";
            return Err(rl_core::Error::config("network.trunk", expected, "one"));
        }
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        let rollout = (self.n_steps, self.batch_size, num_envs);
        validate_rollout(rollout, (self.gamma, self.gae_lambda))?;
        check::at_least("n_critic_epochs", 1, self.n_critic_epochs as u64)?;
        self.target_kl.validate("target_kl", check::positive)?;
        check::at_least("cg_max_steps", 1, self.cg_max_steps as u64)?;
        check::non_negative("cg_damping", self.cg_damping)?;
        check::positive_fraction("line_search_shrink", self.line_search_shrink)?;
        check::at_least("line_search_max_steps", 1, self.line_search_max_steps as u64)
    }

    /// One step of the policy within the trust region.
    fn improve_policy<D: Distribution>(
        &self,
        learner: &mut Learner<D>,
        target_kl: f64,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let mut advantages = learner.collector.rollout.advantages().to_vec();
        if self.normalize_advantage {
            normalise(&mut advantages);
        }
        let mut old_params = Vec::new();
        learner.policy_params(&mut old_params)?;
        let before = learner.policy.network().params()?;

        // At pi = pi_old the gradient of the ratio is that of the log-probability.
        let gradient = gradient(learner, &advantages)?;
        let observations = learner.collector.rollout.observations();
        let distribution = learner.policy.distribution().clone();
        let network = learner.policy.network_mut();
        let fisher = |v: &[f64]| -> Result<Vec<f64>> {
            let narrow: Vec<f32> = v.iter().map(|&v| v as f32).collect();
            let product = fisher_product(network, &distribution, observations, &narrow)?;
            Ok(product.iter().zip(v).map(|(p, v)| f64::from(*p) + self.cg_damping * v).collect())
        };
        let (direction, curvature) = conjugate_gradients(fisher, &gradient, self.cg_max_steps)?;

        let (objective, _) = judge(learner, &advantages, &old_params)?;
        metrics.record("policy_loss", -objective);
        metrics.record("grad_norm", dot(&gradient, &gradient).sqrt());
        let mut step = if curvature > 0.0 { (2.0 * target_kl / curvature).sqrt() } else { 0.0 };
        for _ in 0..self.line_search_max_steps {
            let moved = before.iter().zip(&direction).map(|(p, d)| p + (step * d) as f32);
            learner.policy.network_mut().set_params(&moved.collect::<Vec<_>>())?;
            let (reached, kl) = judge(learner, &advantages, &old_params)?;
            // A step so long that it leaves the numbers is not taken either: NaN is never above.
            if reached > objective && kl < target_kl {
                metrics.record("kl", kl);
                metrics.record("line_search_success", 1.0);
                return Ok(());
            }
            step *= self.line_search_shrink;
        }
        learner.policy.network_mut().set_params(&before)?;
        metrics.record("kl", 0.0);
        metrics.record("line_search_success", 0.0);
        Ok(())
    }
}

/// The gradient of the objective at `pi = pi_old`, over the whole rollout: `[num_params]`, zero for the
/// value function.
fn gradient<D: Distribution>(learner: &mut Learner<D>, advantages: &[f32]) -> Result<Vec<f64>> {
    let distribution = learner.policy.distribution().clone();
    let rollout = &learner.collector.rollout;
    let rows = PolicyRows {
        actions: rollout.actions(),
        log_probs: rollout.log_probs(),
        advantages,
        returns: rollout.returns(),
        values: rollout.values(),
    };
    let network = learner.policy.network_mut();
    let output = network.forward(rollout.observations())?;
    let mut grad = vec![0.0; output.len()];
    let alone = Coefficients { value: 0.0, entropy: 0.0 };
    policy_gradient(&distribution, output, rows, alone, &mut grad)?;
    network.zero_grads()?;
    network.backward(rollout.observations(), &grad, None)?;
    let gradient = network.grads()?.iter().map(|&g| -f64::from(g)).collect();
    network.zero_grads()?;
    Ok(gradient)
}

/// The objective, `mean(pi(a | s) / pi_old(a | s) A)`, and `mean KL(pi_old || pi)` of the present policy.
fn judge<D: Distribution>(
    learner: &mut Learner<D>,
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

/// Solves `A x = b` for a positive definite `A`, given as its product with a vector (Hestenes and
/// Stiefel, 1952); returns `x` and `xᵀ A x`.
fn conjugate_gradients(
    mut product: impl FnMut(&[f64]) -> Result<Vec<f64>>,
    b: &[f64],
    max_steps: usize,
) -> Result<(Vec<f64>, f64)> {
    const TOLERANCE: f64 = 1e-10;
    let (mut x, mut residual, mut direction) = (vec![0.0; b.len()], b.to_vec(), b.to_vec());
    let mut size = dot(&residual, &residual);
    for _ in 0..max_steps {
        if size < TOLERANCE {
            break;
        }
        let turned = product(&direction)?;
        let alpha = size / dot(&direction, &turned);
        add(&mut x, alpha, &direction);
        add(&mut residual, -alpha, &turned);
        let smaller = dot(&residual, &residual);
        let beta = smaller / size;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + beta * *d);
        size = smaller;
    }
    let curvature = dot(&x, &product(&x)?);
    check_finite("the curvature of the trust region", curvature)?;
    Ok((x, curvature))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], scale: f64, y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += scale * y);
}

impl<D: Distribution> Trpo<D> {
    /// An agent for `envs`.
    ///
    /// # Errors
    /// Those of [`TrpoConfig::validate`], and of candle.
    pub fn new<V>(config: &TrpoConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate(envs.num_envs())?;
        let distribution = envs.action_space().distribution();
        let TrpoConfig { network, optimizer, n_steps, .. } = config;
        let lives = (backend, seeds);
        let learner = Learner::new(envs, distribution, network, optimizer, *n_steps, lives)?;
        Ok(OnPolicy::with_rule(learner, config.clone()))
    }
}

impl<D: Distribution> Rule<D> for TrpoConfig {
    const NAME: &'static str = "trpo";
    type State = ();

    fn discounts(&self) -> (f64, f64) {
        (self.gamma, self.gae_lambda)
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let target_kl = self.target_kl.at(progress.fraction());
        let learning_rate = self.learning_rate.at(progress.fraction());
        self.improve_policy(learner, target_kl, metrics)?;
        // The policy's part of this loss is zero, and the optimiser, which has never seen a gradient of
        // the policy's parameters, leaves them as they are.
        for _ in 0..self.n_critic_epochs {
            for places in learner.shuffled(self.batch_size) {
                learner.gather(places, false);
                let stats = learner.loss(|distribution, output, rows, grad| {
                    let alone = Coefficients { value: 1.0, entropy: 0.0 };
                    let none = vec![0.0; rows.advantages.len()];
                    let rows = PolicyRows { advantages: &none, ..rows };
                    policy_gradient(distribution, output, rows, alone, grad)
                })?;
                metrics.record("value_loss", stats.value_loss);
                metrics.record("entropy", stats.entropy);
                learner.step(learning_rate, None)?;
            }
        }
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
        let product = |v: &[f64]| Ok(matrix.iter().map(|row| dot(row, v)).collect());
        let (x, curvature) = conjugate_gradients(product, &[1.0, 2.0, 3.0], 3).unwrap();
        let b: Vec<f64> = matrix.iter().map(|row| dot(row, &x)).collect();
        assert!(b.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{b:?}");
        assert!((curvature - dot(&x, &[1.0, 2.0, 3.0])).abs() < 1e-12);
    }
}
