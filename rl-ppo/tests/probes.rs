//! Probe environments: the exact answers, with discrete and with continuous actions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    BoxSpace, Discrete, Env, Policy, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig,
    evaluate,
};
use rl_envs::{Probe, ProbeKind};
use rl_nets::{Backend, Categorical, DiagGaussian, MlpConfig};
use rl_ppo::{Ppo, PpoConfig};

fn config() -> PpoConfig {
    let small = |mlp: MlpConfig| MlpConfig { hidden: vec![16, 16], ..mlp };
    let default = PpoConfig::default();
    PpoConfig {
        actor: small(default.actor.clone()),
        critic: small(default.critic.clone()),
        learning_rate: Schedule::linear(5e-3, 1e-4),
        n_steps: 32,
        gamma: 0.9,
        ..default
    }
}

fn four<E: Env>(make: impl Fn() -> E) -> SerialVecEnv<E> {
    SerialVecEnv::new((0..4).map(|_| make()).collect(), Seeds::new(1)).unwrap()
}

fn discrete<E>(make: impl Fn() -> E, backend: &Backend, steps: u64) -> Ppo<Categorical>
where
    E: Env<Obs = BoxSpace, Action = Discrete>,
{
    let agent = Ppo::discrete(&config(), &four(&make), backend, Seeds::new(2)).unwrap();
    let mut trainer = Trainer::new(four(&make), agent, TrainerConfig::new(steps)).unwrap();
    trainer.run().unwrap();
    let mut out = Ppo::discrete(&config(), &four(&make), backend, Seeds::new(2)).unwrap();
    let mut sections = rl_core::Sections::default();
    rl_core::Agent::save(trainer.agent(), &mut sections).unwrap();
    rl_core::Agent::load(&mut out, &sections).unwrap();
    out
}

fn value(kind: ProbeKind, observation: f32) -> f32 {
    let mut agent = discrete(|| Probe::<Discrete>::new(kind), &Backend::Fused, 16_384);
    agent.values(&[observation]).unwrap()[0]
}

fn assert_near(got: f32, expected: f32) {
    assert!((got - expected).abs() <= 0.02 * expected.abs().max(1.0), "{got}, expected {expected}");
}

#[test]
fn values_are_exact() {
    assert_near(value(ProbeKind::Constant, 0.0), 1.0);
    assert_near(value(ProbeKind::Observation, 1.0), 1.0);
    assert_near(value(ProbeKind::Observation, -1.0), -1.0);
    assert_near(value(ProbeKind::Discount, 0.0), 0.9);
    assert_near(value(ProbeKind::Discount, 1.0), 1.0);
}

#[test]
fn an_endless_task_is_worth_one_over_one_minus_gamma() {
    assert_near(value(ProbeKind::Endless, 0.0), 10.0);
}

#[test]
fn truncation_taken_for_termination_loses_that_value() {
    let make = || Probe::<Discrete>::mistaken(ProbeKind::Endless);
    let value = discrete(make, &Backend::Fused, 16_384).values(&[0.0]).unwrap()[0];
    assert!(value < 9.0, "{value}: the probe would not notice the mistake");
}

#[test]
fn choices_are_made_right() {
    for backend in [Backend::Fused, Backend::by_name("reference").unwrap()] {
        for kind in [ProbeKind::Choice, ProbeKind::ObservationChoice] {
            let make = || Probe::<Discrete>::new(kind);
            let mut agent = discrete(make, &backend, 4_096);
            assert_eq!(evaluate(&mut agent, &mut four(make), 40).unwrap().mean(), 1.0, "{kind:?}");
        }
    }
}

#[test]
fn continuous_actions_find_the_best_number() {
    for (kind, best) in
        [(ProbeKind::Choice, [0.5, 0.5]), (ProbeKind::ObservationChoice, [-0.5, 0.5])]
    {
        let make = || four(|| Probe::<BoxSpace>::new(kind));
        let agent: Ppo<DiagGaussian> =
            Ppo::continuous(&config(), &make(), &Backend::Fused, Seeds::new(3)).unwrap();
        let mut trainer = Trainer::new(make(), agent, TrainerConfig::new(40_960)).unwrap();
        trainer.run().unwrap();
        let mut actions = [9.0; 2];
        trainer.agent_mut().act_greedily(&[-1.0, 1.0], &mut actions).unwrap();
        if kind == ProbeKind::Choice {
            trainer.agent_mut().act_greedily(&[0.0, 0.0], &mut actions).unwrap();
        }
        let near = actions.iter().zip(best).all(|(a, b)| (a - b).abs() < 0.1);
        assert!(near, "{kind:?}: {actions:?}, best {best:?}");
    }
}
