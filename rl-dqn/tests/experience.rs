//! Where a DQN's transitions come from: its own steps, resets in between, another's data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, End, Metrics, Progress, Schedule, Sections, Seeds, SerialVecEnv, StepBatch, VecEnv,
};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{Probe, ProbeKind};
use rl_nets::{Backend, NetworkConfig, TdLoss};

fn envs() -> SerialVecEnv<Probe<rl_core::Discrete>> {
    SerialVecEnv::new(vec![Probe::new(ProbeKind::Discount)], Seeds::new(0)).unwrap()
}

fn dqn(config: &DqnConfig) -> Dqn {
    Dqn::new(config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap()
}

/// Offline: transitions of another's making, no step of an environment. The probe's first observation is worth gamma.
#[test]
fn values_are_learned_from_offline_data() {
    let config = DqnConfig {
        network: NetworkConfig::mlp(&[32]),
        learning_rate: Schedule::constant(3e-3),
        loss: TdLoss::Mse,
        target_update_interval: 1,
        tau: 0.05,
        gamma: 0.5,
        ..DqnConfig::default()
    };
    let mut agent = dqn(&config);
    let rows = [([0.0], 0.0, None, [1.0]), ([1.0], 1.0, Some(End::Terminated), [1.0])];
    for (observation, reward, end, next) in rows {
        for action in 0..2 {
            let shown =
                StepBatch::of_transitions(&observation, &[reward], &[end], &next, false).unwrap();
            agent.remember(&shown.transitions(&[action])).unwrap();
        }
    }
    let (mut metrics, progress) = (Metrics::default(), Progress { step: 0, total: 1 });
    for step in 0..1_500u64 {
        agent.gradient_step(progress, &mut metrics).unwrap();
        // The target follows by the steps observed, of which there are none here.
        if step % 100 == 0 {
            let mut policy = Sections::default();
            agent.save_policy(&mut policy).unwrap();
            agent.load_policy(&policy).unwrap();
        }
    }
    for (observation, expected) in [([0.0], 0.5), ([1.0], 1.0)] {
        for value in agent.action_values(&observation).unwrap() {
            assert!((value - expected).abs() < 0.05, "{observation:?}: {value}, not {expected}");
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut agent = dqn(&DqnConfig::default());
    let shown = StepBatch::of_transitions(&[0.0], &[0.0], &[None], &[1.0], false).unwrap();
    let error = agent.remember(&shown.transitions(&[2])).unwrap_err().to_string();
    assert_eq!(error, "action: expected an index below 2, got 2");
    let two =
        StepBatch::of_transitions(&[0.0; 2], &[0.0; 2], &[None; 2], &[1.0; 2], false).unwrap();
    assert!(agent.remember(&two.transitions(&[0, 0])).is_err());
    assert!(StepBatch::<f32>::of_transitions(&[0.0], &[0.0], &[], &[1.0], false).is_err());
}

/// The loop by hand with a reset in the middle of an episode: an n-step return ends there.
#[test]
fn an_n_step_return_does_not_run_across_a_reset() {
    let loss = |reset: bool| {
        let config = DqnConfig {
            learning_rate: Schedule::constant(0.0),
            loss: TdLoss::Mse,
            n_step: 3,
            batch_size: 512,
            ..DqnConfig::default()
        };
        let (mut envs, mut agent) = (envs(), dqn(&config));
        envs.reset().unwrap();
        for step in 0..3 {
            if step == 1 && reset {
                envs.reset().unwrap();
            }
            envs.step(&[0]).unwrap();
            agent.observe(&envs.batch().transitions(&[0])).unwrap();
        }
        let mut metrics = Metrics::default();
        agent.gradient_step(Progress { step: 0, total: 1 }, &mut metrics).unwrap();
        metrics.mean("loss").unwrap()
    };
    assert_ne!(loss(true), loss(false));
}

/// A checkpoint without its replay memory: what else there is comes back.
#[test]
fn an_agent_without_its_replay_goes_on_with_an_empty_one() {
    let mut agent = dqn(&DqnConfig::default());
    let shown = StepBatch::of_transitions(&[0.0], &[0.0], &[None], &[1.0], false).unwrap();
    agent.observe(&shown.transitions(&[0])).unwrap();
    let mut sections = Sections::default();
    agent.save(&mut sections).unwrap();
    sections.remove("replay.bin");
    let mut copy = dqn(&DqnConfig::default());
    copy.load(&sections).unwrap();
    let error = copy.gradient_step(Progress { step: 0, total: 1 }, &mut Metrics::default());
    assert_eq!(error.unwrap_err().to_string(), "replay: nothing to sample from yet");
}
