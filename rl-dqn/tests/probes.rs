//! Probe environments: the exact answers, and the exact answers lost where a mistake is made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, BoxSpace, Discrete, Env, Metrics, Policy, Progress, Schedule, Sections, Seeds,
    SerialVecEnv, VecEnv, evaluate,
};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{Probe, ProbeKind};
use rl_nets::{Backend, NetworkConfig};

fn config() -> DqnConfig {
    DqnConfig {
        network: NetworkConfig { hidden: vec![32, 32], ..NetworkConfig::default() },
        learning_rate: Schedule::linear(3e-3, 1e-4),
        gamma: 0.9,
        buffer_size: 2_000,
        learning_starts: 50,
        train_freq: 1,
        target_update_interval: 50,
        epsilon: Schedule::constant(0.5),
        ..DqnConfig::default()
    }
}

/// Trains for `steps` steps, by hand.
fn train<E>(config: &DqnConfig, env: E, backend: &Backend, steps: u64) -> Dqn
where
    E: Env<Obs = BoxSpace, Action = Discrete>,
{
    let seeds = Seeds::new(1);
    let mut envs = SerialVecEnv::new(vec![env], seeds).unwrap();
    let mut agent = Dqn::new(config, &envs, backend, seeds).unwrap();
    let (mut actions, mut metrics) = ([0], Metrics::default());
    envs.reset().unwrap();
    for step in 0..steps {
        let progress = Progress { step, total: steps };
        agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
        envs.step(&actions).unwrap();
        agent.observe(&envs.batch().transitions(&actions)).unwrap();
        agent.update(progress, &mut metrics).unwrap();
    }
    agent
}

fn values(config: &DqnConfig, kind: ProbeKind, observation: f32) -> Vec<f32> {
    let mut agent = train(config, Probe::<Discrete>::new(kind), &Backend::cpu(), 3_000);
    agent.action_values(&[observation]).unwrap().to_vec()
}

fn assert_near(got: &[f32], expected: [f32; 2]) {
    for (q, e) in got.iter().zip(expected) {
        assert!((q - e).abs() <= 0.02 * e.abs().max(1.0), "{got:?}, expected {expected:?}");
    }
}

#[test]
fn a_constant_reward() {
    assert_near(&values(&config(), ProbeKind::Constant, 0.0), [1.0, 1.0]);
}

#[test]
fn a_reward_that_is_seen() {
    assert_near(&values(&config(), ProbeKind::Observation, 1.0), [1.0, 1.0]);
    assert_near(&values(&config(), ProbeKind::Observation, -1.0), [-1.0, -1.0]);
}

#[test]
fn a_discounted_reward() {
    for double_q in [false, true] {
        let config = DqnConfig { double_q, ..config() };
        assert_near(&values(&config, ProbeKind::Discount, 0.0), [0.9, 0.9]);
        assert_near(&values(&config, ProbeKind::Discount, 1.0), [1.0, 1.0]);
    }
    let two_steps = DqnConfig { n_step: 2, ..config() };
    assert_near(&values(&two_steps, ProbeKind::Discount, 0.0), [0.9, 0.9]);
}

#[test]
fn a_choice() {
    assert_near(&values(&config(), ProbeKind::Choice, 0.0), [-1.0, 1.0]);
}

#[test]
fn a_choice_that_depends_on_what_is_seen() {
    for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
        let probe = || Probe::<Discrete>::new(ProbeKind::ObservationChoice);
        let mut agent = train(&config(), probe(), &backend, 2_000);
        assert_near(agent.action_values(&[1.0]).unwrap(), [-1.0, 1.0]);
        assert_near(agent.action_values(&[-1.0]).unwrap(), [1.0, -1.0]);
        let mut envs = SerialVecEnv::new(vec![probe()], Seeds::new(5)).unwrap();
        assert_eq!(evaluate(&mut agent, &mut envs, 20).unwrap().mean(), 1.0);
    }
}

#[test]
fn an_endless_task_is_worth_one_over_one_minus_gamma() {
    for n_step in [1, 3] {
        let config = DqnConfig { n_step, ..config() };
        assert_near(&values(&config, ProbeKind::Endless, 0.0), [10.0, 10.0]);
    }
}

#[test]
fn truncation_taken_for_termination_loses_that_value() {
    let env = Probe::<Discrete>::mistaken(ProbeKind::Endless);
    // One step in ten is then worth 1 alone: Q = 1 + 0.9 * 0.9 Q. (Huber would settle higher, since
    // it clips the large errors of those steps.)
    let config = DqnConfig { loss: rl_nets::TdLoss::Mse, ..config() };
    let q = train(&config, env, &Backend::cpu(), 3_000).action_values(&[0.0]).unwrap()[0];
    assert!((q - 1.0 / 0.19).abs() < 0.5, "{q}");
}

#[test]
fn greedy_actions_draw_no_random_numbers() {
    let mut agent =
        train(&config(), Probe::<Discrete>::new(ProbeKind::Choice), &Backend::cpu(), 100);
    let saved = |agent: &Dqn| {
        let mut sections = Sections::default();
        agent.save(&mut sections).unwrap();
        sections
    };
    let before = saved(&agent);
    agent.act_greedily(&[0.0; 7], &mut [0; 7]).unwrap();
    assert!(saved(&agent) == before);
}
