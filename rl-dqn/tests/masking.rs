//! Invalid-action masking: forbidden actions are never taken, exploring or not, and never bootstrapped from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, AppendMask, End, Metrics, Policy, Progress, Schedule, Seeds, SerialVecEnv, StepBatch,
    Trainer, TrainerConfig, evaluate,
};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{MaskProbe, PixelProbe};
use rl_nets::{Backend, NetworkConfig, TdLoss};

fn gates() -> SerialVecEnv<AppendMask<MaskProbe>> {
    let gate = AppendMask::new(MaskProbe::default()).unwrap();
    SerialVecEnv::new(vec![gate; 4], Seeds::new(0)).unwrap()
}

fn config(double_q: bool) -> DqnConfig {
    DqnConfig {
        network: NetworkConfig::mlp(&[32]),
        learning_rate: Schedule::linear(5e-3, 1e-5),
        target_update_interval: 100,
        epsilon: Schedule::constant(0.5),
        action_mask: true,
        double_q,
        ..DqnConfig::default()
    }
}

fn dqn(config: &DqnConfig, backend: &Backend) -> Dqn {
    Dqn::new(config, &gates(), backend, Seeds::new(1)).unwrap()
}

/// The probe fails on a forbidden action. What an action earns on average rises with its number, so the largest allowed
/// one is learned to be the best without the network seeing the mask.
#[test]
fn only_allowed_actions_are_taken_and_the_better_is_learned() {
    for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
        for double_q in [false, true] {
            let agent = dqn(&config(double_q), &backend);
            let mut trainer = Trainer::new(gates(), agent, TrainerConfig::new(8_000)).unwrap();
            trainer.run().unwrap();
            assert_eq!(evaluate(trainer.agent_mut(), &mut gates(), 100).unwrap().mean(), 1.0);
        }
    }
}

#[test]
fn without_the_setting_the_mask_is_part_of_the_observation() {
    let with = dqn(&config(false), &Backend::cpu());
    let without = dqn(&DqnConfig { action_mask: false, ..config(false) }, &Backend::cpu());
    assert_eq!(without.network().num_params() - with.network().num_params(), 4 * 32);
}

/// What follows is worth what an allowed action is worth there.
#[test]
fn a_target_does_not_rest_on_a_forbidden_action() {
    let after = |mask: [f32; 4], double_q: bool| {
        let config = DqnConfig {
            learning_rate: Schedule::constant(0.0),
            loss: TdLoss::Mse,
            batch_size: 1,
            ..config(double_q)
        };
        let mut agent = dqn(&config, &Backend::cpu());
        let row = |mask: [f32; 4]| [&[0.5][..], &mask].concat().repeat(4);
        let (first, next) = (row([1.0; 4]), row(mask));
        let shown = StepBatch::of_transitions(&first, &[0.0; 4], &[None; 4], &next, false).unwrap();
        agent.remember(&shown.transitions(&[0; 4])).unwrap();
        let values = agent.action_values(&first[..5]).unwrap().to_vec();
        let mut metrics = Metrics::default();
        agent.gradient_step(Progress { step: 0, total: 1 }, &mut metrics).unwrap();
        (values, metrics.mean("loss").unwrap())
    };
    for (allowed, double_q) in (0..4).flat_map(|a| [(a, false), (a, true)]) {
        let mut mask = [0.0; 4];
        mask[allowed] = 1.0;
        let (values, loss) = after(mask, double_q);
        let expected = (values[0] - 0.99 * values[allowed]).powi(2);
        assert!((loss - f64::from(expected)).abs() < 1e-6, "{loss} {expected}");
    }
}

/// What a mask forbids is refused from others too, and something must be allowed where the task goes on.
#[test]
fn what_the_masks_forbid_is_not_learned_from() {
    let mut agent = dqn(&config(false), &Backend::cpu());
    let (open, shut) = ([0.5, 0.0, 1.0, 1.0, 1.0], [0.5, 0.0, 0.0, 0.0, 0.0]);
    let mut remember = |action: u32, end, next: &[f32; 5]| {
        let (first, next) = (open.repeat(4), next.repeat(4));
        let shown = StepBatch::of_transitions(&first, &[0.0; 4], &[end; 4], &next, false).unwrap();
        agent.remember(&shown.transitions(&[action; 4]))
    };
    let error = remember(0, None, &open).unwrap_err().to_string();
    assert_eq!(error, "action of environment 0: expected one that its mask allows, got 0");
    for end in [None, Some(End::Truncated)] {
        let error = remember(1, end, &shut).unwrap_err().to_string();
        assert!(
            error.starts_with("action mask of environment 0: expected at least one"),
            "{error}"
        );
    }
    remember(1, Some(End::Terminated), &shut).unwrap();
}

/// Whatever the number of observations or actions, the answer is an error or one action for each.
#[test]
fn slices_that_do_not_fit_are_errors() {
    for epsilon in [0.0, 1.0] {
        let config = DqnConfig { epsilon: Schedule::constant(epsilon), ..config(false) };
        for mask in [true, false] {
            let mut agent =
                dqn(&DqnConfig { action_mask: mask, ..config.clone() }, &Backend::cpu());
            let progress = Progress { step: 0, total: 1 };
            let row = [0.5, 1.0, 1.0, 1.0, 1.0];
            for (rows, actions) in [(0, 5), (1, 2), (3, 4), (8, 4)] {
                let mut actions = vec![9; actions];
                assert!(agent.act(&row.repeat(rows), progress, &mut actions).is_err());
                assert!(agent.act_greedily(&row.repeat(rows), &mut actions).is_err());
            }
            assert!(agent.act(&row[..3], progress, &mut [0]).is_err());
            let mut actions = [9; 7];
            agent.act(&row.repeat(7), progress, &mut actions).unwrap();
            assert!(actions.iter().all(|action| *action < 4));
        }
    }
}

#[test]
fn masks_that_cannot_be_are_errors() {
    let mut agent = dqn(&config(false), &Backend::cpu());
    let error = agent.act_greedily(&[0.5, 0.0, 0.0, 0.0, 0.0], &mut [0]).unwrap_err().to_string();
    let expected =
        "action mask of environment 0: expected at least one action that is allowed, got none";
    assert_eq!(error, expected);
    let progress = Progress { step: 0, total: 1 };
    assert!(agent.act(&[0.5; 20], progress, &mut [0; 4]).is_err());
    let pixels = SerialVecEnv::new(vec![PixelProbe::default()], Seeds::new(0)).unwrap();
    let agent = Dqn::new(&config(false), &pixels, &Backend::cpu(), Seeds::new(0));
    let error = agent.unwrap_err().to_string();
    assert!(error.starts_with("action_mask: expected false for bytes"), "{error}");
}
