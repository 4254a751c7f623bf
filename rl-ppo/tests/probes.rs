//! Probe environments: every algorithm finds the exact answer, with discrete and with continuous actions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    BoxSpace, Discrete, Env, Policy, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig,
    evaluate,
};
use rl_envs::{Probe, ProbeKind};
use rl_nets::{ActorCriticConfig, Backend};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};

fn small() -> ActorCriticConfig {
    let mut network = ActorCriticConfig::default();
    network.actor.hidden = vec![16, 16];
    network.critic.hidden = vec![16, 16];
    network
}

fn four<E: Env>(make: impl Fn() -> E) -> SerialVecEnv<E> {
    SerialVecEnv::new((0..4).map(|_| make()).collect(), Seeds::new(1)).unwrap()
}

fn assert_near(got: f32, expected: f32) {
    assert!((got - expected).abs() <= 0.02 * expected.abs().max(1.0), "{got}, expected {expected}");
}

macro_rules! probes {
    ($algorithm:ident, $agent:ident, $config:expr) => {
        mod $algorithm {
            use super::*;

            /// The value estimate of an observation after training.
            fn value(probe: &Probe<Discrete>, observation: f32) -> f32 {
                let make = || four(|| probe.clone());
                let agent = $agent::new(&$config, &make(), &Backend::cpu(), Seeds::new(2)).unwrap();
                let mut trainer = Trainer::new(make(), agent, TrainerConfig::new(16_384)).unwrap();
                trainer.run().unwrap();
                trainer.agent_mut().values(&[observation]).unwrap()[0]
            }

            #[test]
            fn values_are_exact() {
                for (kind, observation, expected) in [
                    (ProbeKind::Constant, 0.0, 1.0),
                    (ProbeKind::Observation, 1.0, 1.0),
                    (ProbeKind::Observation, -1.0, -1.0),
                    (ProbeKind::Discount, 0.0, 0.9),
                    (ProbeKind::Discount, 1.0, 1.0),
                    // The value is 1 / (1 - gamma) if truncated episodes are bootstrapped.
                    (ProbeKind::Endless, 0.0, 10.0),
                ] {
                    assert_near(value(&Probe::new(kind), observation), expected);
                }
            }

            #[test]
            fn truncation_taken_for_termination_loses_value() {
                let value = value(&Probe::mistaken(ProbeKind::Endless), 0.0);
                assert!(value < 9.0, "{value}: the probe would not notice the mistake");
            }

            #[test]
            fn choices_are_made_right() {
                // Without candle there is the fused path alone.
                for backend in
                    [Some(Backend::cpu()), Backend::by_name("reference").ok()].into_iter().flatten()
                {
                    for kind in [ProbeKind::Choice, ProbeKind::ObservationChoice] {
                        let make = || four(|| Probe::<Discrete>::new(kind));
                        let agent =
                            $agent::new(&$config, &make(), &backend, Seeds::new(2)).unwrap();
                        let mut trainer =
                            Trainer::new(make(), agent, TrainerConfig::new(4_096)).unwrap();
                        trainer.run().unwrap();
                        let mean = evaluate(trainer.agent_mut(), &mut make(), 40).unwrap().mean();
                        assert_eq!(mean, 1.0, "{kind:?}");
                    }
                }
            }

            #[test]
            fn continuous_actions_find_the_best_number() {
                for (kind, best) in
                    [(ProbeKind::Choice, [0.5, 0.5]), (ProbeKind::ObservationChoice, [-0.5, 0.5])]
                {
                    let make = || four(|| Probe::<BoxSpace>::new(kind));
                    let agent =
                        $agent::new(&$config, &make(), &Backend::cpu(), Seeds::new(3)).unwrap();
                    let mut trainer =
                        Trainer::new(make(), agent, TrainerConfig::new(40_960)).unwrap();
                    trainer.run().unwrap();
                    let mut actions = [9.0; 2];
                    let seen = if kind == ProbeKind::Choice { [0.0, 0.0] } else { [-1.0, 1.0] };
                    trainer.agent_mut().act_greedily(&seen, &mut actions).unwrap();
                    let near = actions.iter().zip(best).all(|(a, b)| (a - b).abs() < 0.1);
                    assert!(near, "{kind:?}: {actions:?}, best {best:?}");
                }
            }
        }
    };
}

probes!(
    clip,
    Ppo,
    PpoConfig {
        network: small(),
        learning_rate: Schedule::linear(5e-3, 1e-4),
        n_steps: 32,
        gamma: 0.9,
        ..PpoConfig::default()
    }
);
probes!(
    kl_penalty,
    PpoKl,
    PpoKlConfig {
        network: small(),
        learning_rate: Schedule::linear(5e-3, 1e-4),
        n_steps: 32,
        gamma: 0.9,
        ..PpoKlConfig::default()
    }
);
probes!(
    trust_region,
    Trpo,
    TrpoConfig {
        network: small(),
        learning_rate: Schedule::linear(5e-3, 1e-4),
        target_kl: Schedule::linear(0.02, 1e-4),
        n_steps: 32,
        gamma: 0.9,
        ..TrpoConfig::default()
    }
);
