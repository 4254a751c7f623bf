//! Where a DQN's transitions come from: its own steps, resets in between, another's data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{Agent, End, Metrics, Progress, Schedule, Sections, Seeds, SerialVecEnv, StepBatch};
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

/// The loop by hand with a reset in the middle of an episode: an n-step return ends there, bootstrapped from what the cut
/// episode had shown last. Values start at what the network says, so the loss is known.
#[test]
fn an_n_step_return_does_not_run_across_a_reset() {
    let config = DqnConfig {
        learning_rate: Schedule::constant(0.0),
        loss: TdLoss::Mse,
        n_step: 3,
        batch_size: 1,
        gamma: 0.5,
        ..DqnConfig::default()
    };
    let mut agent = dqn(&config);
    let mut value = |x: f32| -> f32 { agent.action_values(&[x]).unwrap()[0] };
    let best = |agent: &mut Dqn, x: f32| {
        agent.action_values(&[x]).unwrap().iter().copied().fold(f32::NEG_INFINITY, f32::max)
    };
    let (q0, q5) = (value(0.0), value(5.0));
    let after = [best(&mut agent, 1.0), best(&mut agent, 6.0)];
    // 0 -> 1, reset, 5 -> 6, each worth 1: two transitions of one step each.
    let mut shown = StepBatch::new(1, 1);
    for (from, to) in [(0.0, 1.0), (5.0, 6.0)] {
        shown.begin_episodes();
        shown.rows_mut().observations[0] = from;
        shown.begin_step();
        (shown.rows_mut().observations[0], shown.rows_mut().rewards[0]) = (to, 1.0);
        agent.observe(&shown.transitions(&[0])).unwrap();
    }
    let expected = [(q0, after[0]), (q5, after[1])].map(|(q, next)| (q - 1.0 - 0.5 * next).powi(2));
    let mut seen = [false; 2];
    for _ in 0..50 {
        let mut metrics = Metrics::default();
        agent.gradient_step(Progress { step: 0, total: 1 }, &mut metrics).unwrap();
        let loss = metrics.mean("loss").unwrap() as f32;
        let which = expected.iter().position(|e| (e - loss).abs() < 1e-5);
        seen[which.unwrap_or_else(|| panic!("{loss} is none of {expected:?}"))] = true;
    }
    assert_eq!(seen, [true; 2]);
}

/// Rows of others stand by themselves: an n-step return runs neither into them nor out of them.
#[test]
fn offline_rows_between_steps_stand_alone() {
    let config = DqnConfig {
        learning_rate: Schedule::constant(0.0),
        loss: TdLoss::Mse,
        n_step: 3,
        batch_size: 1,
        gamma: 0.0,
        ..DqnConfig::default()
    };
    let mut agent = dqn(&config);
    let mut shown = StepBatch::new(1, 1);
    let mut step = |agent: &mut Dqn, reward: f32| {
        shown.begin_step();
        shown.rows_mut().rewards[0] = reward;
        agent.observe(&shown.transitions(&[0])).unwrap();
    };
    // Rewards far apart, summed without discount: a sum of two would show.
    let summed = DqnConfig { gamma: 1.0, ..config };
    let mut agent_summed = dqn(&summed);
    for agent in [&mut agent, &mut agent_summed] {
        step(agent, 0.0);
        let other = StepBatch::of_transitions(&[0.0], &[1e4], &[None], &[0.0], false).unwrap();
        agent.remember(&other.transitions(&[0])).unwrap();
        step(agent, 0.0);
    }
    let losses = |agent: &mut Dqn| {
        let mut losses: Vec<f64> = (0..60)
            .map(|_| {
                let mut metrics = Metrics::default();
                agent.gradient_step(Progress { step: 0, total: 1 }, &mut metrics).unwrap();
                metrics.mean("loss").unwrap()
            })
            .collect();
        losses.sort_by(f64::total_cmp);
        losses.dedup();
        losses
    };
    // One kind of row with the large reward and one without, whatever the discount.
    assert_eq!(losses(&mut agent).iter().filter(|loss| **loss > 1e6).count(), 1);
    let summed = losses(&mut agent_summed);
    assert_eq!(summed.iter().filter(|loss| **loss > 1e6).count(), 1, "{summed:?}");
}

/// Whether the newest rows are another's is part of a checkpoint: a return does not run from them into the agent's own after
/// a resume either, and loading does not cut the agent's own.
#[test]
fn a_checkpoint_knows_whose_rows_are_newest() {
    let config = DqnConfig { n_step: 3, batch_size: 1, ..DqnConfig::default() };
    let one =
        |x: f32, reset| StepBatch::of_transitions(&[x], &[x], &[None], &[x + 1.0], reset).unwrap();
    let state = |agent: &Dqn| {
        let mut sections = Sections::default();
        agent.save(&mut sections).unwrap();
        sections
    };
    for foreign in [false, true] {
        let (mut agent, mut copy) = (dqn(&config), dqn(&config));
        agent.observe(&one(0.0, true).transitions(&[0])).unwrap();
        if foreign {
            agent.remember(&one(5.0, false).transitions(&[0])).unwrap();
        } else {
            copy.remember(&one(7.0, false).transitions(&[0])).unwrap();
        }
        copy.load(&state(&agent)).unwrap();
        for agent in [&mut agent, &mut copy] {
            agent.observe(&one(1.0, false).transitions(&[0])).unwrap();
        }
        assert_eq!(state(&agent), state(&copy), "{foreign}");
    }
}

#[test]
fn refused_rows_change_nothing() {
    let mut agent = dqn(&DqnConfig { n_step: 3, ..DqnConfig::default() });
    let row =
        |reward| StepBatch::of_transitions(&[0.0], &[reward], &[None], &[1.0], false).unwrap();
    agent.observe(&row(1.0).transitions(&[0])).unwrap();
    let state = |agent: &Dqn| {
        let mut sections = Sections::default();
        agent.save(&mut sections).unwrap();
        sections
    };
    let before = state(&agent);
    let error = agent.remember(&row(f32::NAN).transitions(&[0])).unwrap_err().to_string();
    assert!(error.starts_with("reward of environment 0: "), "{error}");
    for tau in [0.0, -1.0, 2.0, f64::NAN, 1e-60] {
        assert!(agent.update_target(tau).unwrap_err().to_string().starts_with("tau: "));
    }
    assert_eq!(state(&agent), before);
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

/// Learning begins with the step that `learning_starts` names, also where a smaller memory is full before.
#[test]
fn learning_begins_at_its_step() {
    for (learning_starts, buffer_size) in [(10, 100), (10, 10), (12, 5)] {
        let config = DqnConfig {
            learning_starts,
            buffer_size,
            batch_size: 4,
            train_freq: 1,
            ..DqnConfig::default()
        };
        let mut agent = dqn(&config);
        for step in 1..=15 {
            let shown =
                StepBatch::of_transitions(&[0.0], &[0.0], &[None], &[1.0], step > 1).unwrap();
            agent.observe(&shown.transitions(&[0])).unwrap();
            let mut metrics = Metrics::default();
            agent.update(Progress { step, total: 15 }, &mut metrics).unwrap();
            let learned = metrics.means().any(|(name, _)| name == "loss");
            assert_eq!(learned, step >= learning_starts, "{step} {learning_starts} {buffer_size}");
        }
    }
}
