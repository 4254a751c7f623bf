//! Tests that the gradient estimates are unbiased: the mean over many samples equals the exact gradient.
//!
//! The task is small enough to enumerate: two states, two actions, two steps, no discount. The first action
//! determines the next state, and the reward depends on state and action.

use crate::q_actor_critic::StepRows;
use crate::{
    A2c, A2cConfig, QActorCritic, QActorCriticConfig, Reinforce, ReinforceConfig, ReturnForm,
};
use rl_core::{
    Agent, BoxSpace, Discrete, Env, Progress, Result, Rng, Seeds, SerialVecEnv, Step, VecEnv,
};
use rl_nets::{ActorCriticConfig, Backend, Init, Network, NetworkConfig};

/// `REWARD[state][action]`; the first step is in state 0.
const REWARD: [[f32; 2]; 2] = [[1.0, -0.5], [0.3, 2.0]];

#[derive(Clone, Default)]
struct TwoSteps {
    state: usize,
    t: u8,
}

fn show(state: usize, obs: &mut [f32]) {
    obs.fill(0.0);
    obs[state] = 1.0;
}

impl Env for TwoSteps {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = (usize, u8);

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![0.0; 2], vec![1.0; 2]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        (self.state, self.t) = (0, 0);
        show(0, obs);
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let reward = REWARD[self.state][action];
        self.t += 1;
        self.state = action;
        show(self.state, obs);
        Ok(Step::terminated_if(self.t == 2, reward))
    }
    fn state(&self) -> Option<(usize, u8)> {
        Some((self.state, self.t))
    }
    fn set_state(&mut self, (state, t): (usize, u8)) -> Result<()> {
        (self.state, self.t) = (state, t);
        Ok(())
    }
}

/// A linear policy: `[2, 2]` weights, then 2 biases.
fn linear() -> NetworkConfig {
    let init = Init::Uniform { bound: 0.7 };
    NetworkConfig { hidden: vec![], output_init: Some(init), ..NetworkConfig::default() }
}

const PARAMS: usize = 6;

fn probabilities(policy: &[f64], state: usize) -> [f64; 2] {
    let logit = |a: usize| policy[2 * a + state] + policy[4 + a];
    let odds = [logit(0).exp(), logit(1).exp()];
    odds.map(|o| o / (odds[0] + odds[1]))
}

/// The expected return of the policy, by enumeration.
fn expected_return(policy: &[f64]) -> f64 {
    let first = probabilities(policy, 0);
    let mut total = 0.0;
    for a in 0..2 {
        let second = probabilities(policy, a);
        let later: f64 = (0..2).map(|b| second[b] * f64::from(REWARD[a][b])).sum();
        total += first[a] * (f64::from(REWARD[0][a]) + later);
    }
    total
}

/// Its gradient, by central differences in double precision.
fn exact_gradient(policy: &[f32]) -> Vec<f64> {
    let policy: Vec<f64> = policy.iter().map(|&p| p.into()).collect();
    let at = |i: usize, h: f64| {
        let mut moved = policy.clone();
        moved[i] += h;
        expected_return(&moved)
    };
    (0..policy.len()).map(|i| (at(i, 1e-5) - at(i, -1e-5)) / 2e-5).collect()
}

/// Samples of a gradient estimate.
struct Samples {
    exact: Vec<f64>,
    sums: Vec<f64>,
    squares: Vec<f64>,
    n: f64,
}

impl Samples {
    fn of(policy: &[f32]) -> Self {
        let zeros = vec![0.0; PARAMS];
        Samples { exact: exact_gradient(policy), sums: zeros.clone(), squares: zeros, n: 0.0 }
    }

    /// Adds the gradient of a loss, which is minus the gradient estimate.
    fn take(&mut self, network: &mut Network) {
        let grads = network.grads().unwrap();
        network.zero_grads().unwrap();
        for (i, g) in grads[..PARAMS].iter().enumerate() {
            self.sums[i] -= f64::from(*g);
            self.squares[i] += f64::from(*g).powi(2);
        }
        self.n += 1.0;
    }

    fn mean(&self, i: usize) -> f64 {
        self.sums[i] / self.n
    }

    /// The variance of the estimate, summed over its components.
    fn variance(&self) -> f64 {
        (0..PARAMS).map(|i| self.squares[i] / self.n - self.mean(i).powi(2)).sum()
    }

    /// Asserts that the mean is within four standard errors of the exact gradient in every component.
    fn assert_unbiased(&self, what: &str) {
        assert!(self.exact.iter().any(|g| g.abs() > 0.1), "a gradient worth finding");
        for (i, exact) in self.exact.iter().enumerate() {
            let variance = self.squares[i] / self.n - self.mean(i).powi(2);
            let error = (variance / self.n).sqrt();
            let off = (self.mean(i) - exact).abs();
            assert!(
                off <= 4.0 * error + 1e-6,
                "{what}[{i}]: {} not {exact} ± {error}",
                self.mean(i)
            );
        }
    }
}

fn one() -> SerialVecEnv<TwoSteps> {
    SerialVecEnv::new(vec![TwoSteps::default()], Seeds::new(0)).unwrap()
}

const PROGRESS: Progress = Progress { step: 0, total: 1 };

fn network() -> ActorCriticConfig {
    ActorCriticConfig { actor: linear(), critic: linear(), ..ActorCriticConfig::default() }
}

fn reinforce(returns: ReturnForm, baseline: bool, episodes: usize) -> Samples {
    let config = ReinforceConfig {
        network: network(),
        episodes,
        gamma: 1.0,
        returns,
        baseline,
        ..ReinforceConfig::default()
    };
    let mut envs = one();
    let mut agent = Reinforce::new(&config, &envs, &Backend::cpu(), Seeds::new(5)).unwrap();
    if baseline {
        // The exact values, to which a learned baseline converges: the critic's weights follow the actor's.
        let mut params = agent.policy.network().params().unwrap();
        let policy: Vec<f64> = params[..PARAMS].iter().map(|&p| p.into()).collect();
        let of = |state: usize| -> f64 {
            let p = probabilities(&policy, state);
            (0..2).map(|a| p[a] * f64::from(REWARD[state][a])).sum()
        };
        // State 0 occurs in both steps, so its baseline is the mean of its two values.
        let values = [f64::midpoint(expected_return(&policy), of(0)), of(1)];
        params[PARAMS] = values[0] as f32;
        params[PARAMS + 1] = values[1] as f32;
        params[PARAMS + 2] = 0.0;
        agent.policy.network_mut().set_params(&params).unwrap();
    }
    let mut samples = Samples::of(&agent.policy.network().params().unwrap()[..PARAMS]);
    envs.reset().unwrap();
    let mut action = [0];
    for _ in 0..20_000 {
        while !agent.episodes.is_full() {
            agent.act(envs.batch().observations(), PROGRESS, &mut action).unwrap();
            envs.step(&action).unwrap();
            agent.observe(&envs.batch().transitions(&action)).unwrap();
        }
        agent.loss().unwrap().backward().unwrap();
        samples.take(agent.policy.network_mut());
        agent.episodes.clear();
    }
    samples
}

#[test]
fn reinforce_is_unbiased_in_each_form_and_its_baseline_lowers_the_variance() {
    let whole = reinforce(ReturnForm::WholeEpisode, false, 1);
    let to_go = reinforce(ReturnForm::RewardToGo, false, 1);
    let with_baseline = reinforce(ReturnForm::RewardToGo, true, 1);
    reinforce(ReturnForm::RewardToGo, false, 3).assert_unbiased("reward to go, of three episodes");
    whole.assert_unbiased("whole episode");
    to_go.assert_unbiased("reward to go");
    with_baseline.assert_unbiased("with baseline");
    let variances = [&whole, &to_go, &with_baseline].map(Samples::variance);
    assert!(variances[0] > 1.2 * variances[1], "{variances:?}");
    assert!(variances[1] > 1.2 * variances[2], "{variances:?}");
}

#[test]
fn a2c_is_unbiased_with_returns_to_the_end() {
    // With two-step rollouts and lambda 1 the critic acts only as a baseline, whatever its values.
    let config = A2cConfig {
        network: network(),
        n_steps: 2,
        gamma: 1.0,
        vf_coef: 0.0,
        ..A2cConfig::default()
    };
    let mut envs = one();
    let mut agent = A2c::new(&config, &envs, &Backend::cpu(), Seeds::new(6)).unwrap();
    let mut samples = Samples::of(&agent.policy.network().params().unwrap()[..PARAMS]);
    // The loss of a rollout is a mean over its two rows; the policy gradient theorem has a sum.
    samples.exact.iter_mut().for_each(|g| *g /= 2.0);
    envs.reset().unwrap();
    let mut action = [0];
    for _ in 0..20_000 {
        for _ in 0..2 {
            agent.act(envs.batch().observations(), PROGRESS, &mut action).unwrap();
            envs.step(&action).unwrap();
            agent.observe(&envs.batch().transitions(&action)).unwrap();
        }
        agent.loss().unwrap().backward().unwrap();
        samples.take(agent.policy.network_mut());
        agent.collector.rollout.clear();
    }
    samples.assert_unbiased("A2C");
}

#[test]
fn the_q_actor_critic_is_unbiased_where_its_values_are_exact() {
    let sampled = |baseline: bool| {
        let config = QActorCriticConfig {
            actor: linear(),
            critic: linear(),
            gamma: 1.0,
            baseline,
            ..QActorCriticConfig::default()
        };
        let mut agent = QActorCritic::new(&config, &one(), &Backend::cpu(), Seeds::new(7)).unwrap();
        let policy = agent.actor.network().params().unwrap();
        let exact: Vec<f64> = policy.iter().map(|&p| p.into()).collect();
        // In the last step the action values are the rewards. The first step has other values in the same state; the
        // critic cannot distinguish the steps, so its parameters are set for each.
        let second = |state: usize| -> f64 {
            let p = probabilities(&exact, state);
            (0..2).map(|a| p[a] * f64::from(REWARD[state][a])).sum()
        };
        let mut rng = Seeds::new(8).stream("t", 0);
        let mut samples = Samples::of(&policy);
        for _ in 0..20_000 {
            let (mut state, mut sum) = (0, vec![0.0; PARAMS]);
            for t in 0..2 {
                let q = |s: usize, a: usize| {
                    let later = if t == 0 { second(a) } else { 0.0 };
                    REWARD[s][a] + later as f32
                };
                let values = [q(0, 0), q(1, 0), q(0, 1), q(1, 1), 0.0, 0.0];
                agent.critic.network_mut().set_params(&values).unwrap();
                let first = rng.uniform(0.0, 1.0) < probabilities(&exact, state)[0];
                let action = usize::from(!first);
                let mut observations = vec![0.0; 2];
                show(state, &mut observations);
                let step =
                    StepRows { observations, actions: vec![action as u32], ..StepRows::default() };
                agent.actor_loss(&step).unwrap().backward().unwrap();
                let grads = agent.actor.network().grads().unwrap();
                agent.actor.network_mut().zero_grads().unwrap();
                sum.iter_mut().zip(&grads).for_each(|(s, g)| *s -= f64::from(*g));
                state = action;
            }
            for (i, g) in sum.iter().enumerate() {
                samples.sums[i] += g;
                samples.squares[i] += g * g;
            }
            samples.n += 1.0;
        }
        samples.assert_unbiased("Q actor-critic");
        samples.variance()
    };
    let (with, without) = (sampled(true), sampled(false));
    assert!(1.2 * with < without, "{with} {without}");
}

/// One row checked by hand: the advantage is `Q(s, a) - Σ_b pi(b | s) Q(s, b)`.
#[test]
fn the_q_actor_critic_credits_an_action_with_what_it_is_worth_more_than_the_rest() {
    let config =
        QActorCriticConfig { actor: linear(), critic: linear(), ..QActorCriticConfig::default() };
    let mut agent = QActorCritic::new(&config, &one(), &Backend::cpu(), Seeds::new(7)).unwrap();
    agent.actor.network_mut().set_params(&[0.4, 0.0, -0.3, 0.0, 0.0, 0.0]).unwrap();
    agent.critic.network_mut().set_params(&[2.0, 0.0, 5.0, 0.0, 0.0, 0.0]).unwrap();
    let step = StepRows { observations: vec![1.0, 0.0], actions: vec![1], ..StepRows::default() };
    agent.actor_loss(&step).unwrap().backward().unwrap();
    let p = probabilities(&[0.4, 0.0, -0.3, 0.0, 0.0, 0.0], 0);
    let credit = 5.0 - (2.0 * p[0] + 5.0 * p[1]);
    let biases = &agent.actor.network().grads().unwrap()[4..];
    for (got, expected) in biases.iter().zip([credit * p[0], -credit * (1.0 - p[1])]) {
        assert!((f64::from(*got) - expected).abs() < 1e-5, "{biases:?} {expected}");
    }
}

#[test]
fn the_q_actor_critics_loss_of_several_rows_is_the_mean_of_each() {
    let config = QActorCriticConfig {
        actor: linear(),
        critic: linear(),
        ent_coef: 0.3,
        ..QActorCriticConfig::default()
    };
    let mut agent = QActorCritic::new(&config, &one(), &Backend::cpu(), Seeds::new(7)).unwrap();
    let mut gradient = |rows: &[(usize, u32)]| {
        let mut step = StepRows::default();
        for (state, action) in rows {
            let mut shown = [0.0; 2];
            show(*state, &mut shown);
            step.observations.extend(shown);
            step.actions.push(*action);
        }
        agent.actor.network_mut().zero_grads().unwrap();
        agent.actor_loss(&step).unwrap().backward().unwrap();
        agent.actor.network().grads().unwrap().to_vec()
    };
    let rows = [(0, 1), (1, 0), (1, 1)];
    let all = gradient(&rows);
    let each = rows.map(|row| gradient(&[row]));
    for (i, got) in all.iter().enumerate() {
        let mean = each.iter().map(|gradient| gradient[i]).sum::<f32>() / 3.0;
        assert!((got - mean).abs() < 1e-6, "{i}: {got} {mean}");
    }
    assert!(all.iter().any(|x| x.abs() > 1e-3), "{all:?}");
}
