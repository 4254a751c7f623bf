//! Probe environments with continuous actions: every algorithm finds the exact answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{BoxSpace, Policy, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig};
use rl_ddpg::{
    Ddpg, DdpgConfig, EntCoef, NoiseConfig, Rule, Sac, SacConfig, Td3, Td3Config, Tqc, TqcConfig,
};
use rl_envs::{Probe, ProbeKind};
use rl_nets::{Activation, Backend, NetworkConfig};

fn small() -> NetworkConfig {
    NetworkConfig { hidden: vec![16, 16], activation: Activation::Tanh, ..NetworkConfig::default() }
}

/// Settings with the values common to the algorithms here.
macro_rules! small {
    ($config:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $config {
            actor: small(),
            critic: small(),
            actor_learning_rate: rate(),
            critic_learning_rate: rate(),
            tau: 0.02,
            batch_size: 32,
            buffer_size: 2_000,
            learning_starts: 500,
            gamma: 0.9,
            $($field: $value,)*
            ..$config::default()
        }
    };
}

/// Strong noise, so that the values of all actions are learned.
const NOISE: NoiseConfig = NoiseConfig::Gaussian { std: 0.4 };

fn rate() -> Schedule {
    Schedule::linear(3e-3, 1e-5)
}

fn ddpg() -> DdpgConfig {
    small!(DdpgConfig { exploration: NOISE })
}

fn td3() -> Td3Config {
    small!(Td3Config { exploration: NOISE, target_noise: 0.05 })
}

/// A very small entropy bonus, since the bonus adds to the value.
fn sac() -> SacConfig {
    small!(SacConfig { ent_coef: EntCoef::Fixed(1e-3), ent_coef_learning_rate: rate() })
}

/// As SAC, with the published number of critics.
fn tqc() -> TqcConfig {
    small!(TqcConfig {
        ent_coef: EntCoef::Fixed(1e-3),
        ent_coef_learning_rate: rate(),
        n_critics: 5,
        n_quantiles: 5,
        top_quantiles_to_drop_per_net: 1,
    })
}

fn two(make: impl Fn() -> Probe<BoxSpace>) -> SerialVecEnv<Probe<BoxSpace>> {
    SerialVecEnv::new((0..2).map(|_| make()).collect(), Seeds::new(1)).unwrap()
}

macro_rules! probes {
    ($algorithm:ident, $agent:ident, $config:expr) => {
        mod $algorithm {
            use super::*;

            fn trained(
                make: impl Fn() -> Probe<BoxSpace>,
                backend: &Backend,
                steps: u64,
            ) -> Trainer<SerialVecEnv<Probe<BoxSpace>>, $agent> {
                let agent = $agent::new(&$config, &two(&make), backend, Seeds::new(2)).unwrap();
                let mut trainer =
                    Trainer::new(two(&make), agent, TrainerConfig::new(steps)).unwrap();
                trainer.run().unwrap();
                trainer
            }

            /// The value of the policy's action, in [-1, 1], in a state.
            fn value(make: impl Fn() -> Probe<BoxSpace>, observation: f32) -> f32 {
                let mut trainer = trained(make, &Backend::cpu(), 6_000);
                let mut action = [0.0];
                trainer.agent_mut().act_greedily(&[observation], &mut action).unwrap();
                // The probe's bounds are [-2, 1].
                let unit = (action[0] + 0.5) / 1.5;
                trainer.agent_mut().rule_mut().values(&[observation], &[unit]).unwrap()[0]
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
                    (ProbeKind::Endless, 0.0, 10.0f32),
                ] {
                    let got = value(|| Probe::new(kind), observation);
                    let near = (got - expected).abs() <= 0.02 * expected.abs().max(1.0);
                    assert!(near, "{kind:?}: {got}, expected {expected}");
                }
            }

            #[test]
            fn truncation_taken_for_termination_loses_value() {
                let value = value(|| Probe::mistaken(ProbeKind::Endless), 0.0);
                assert!(value < 9.0, "{value}: the probe would not notice the mistake");
            }

            #[test]
            fn the_best_number_is_found() {
                for (kind, seen, best) in [
                    (ProbeKind::Choice, [0.0, 0.0], [0.5, 0.5]),
                    (ProbeKind::ObservationChoice, [-1.0, 1.0], [-0.5, 0.5]),
                ] {
                    for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
                        if kind == ProbeKind::Choice && backend.device().is_some() {
                            continue; // The other kind tests the same and more.
                        }
                        let mut trainer = trained(|| Probe::new(kind), &backend, 6_000);
                        let mut actions = [9.0; 2];
                        trainer.agent_mut().act_greedily(&seen, &mut actions).unwrap();
                        let near = actions.iter().zip(best).all(|(a, b)| (a - b).abs() < 0.1);
                        assert!(near, "{kind:?}: {actions:?}, best {best:?}");
                    }
                }
            }
        }
    };
}

probes!(deterministic, Ddpg, ddpg());
probes!(twin_delayed, Td3, td3());
probes!(soft, Sac, sac());
probes!(truncated, Tqc, tqc());
