//! Reproducibility: bit-identical results with the same seed, with one and two threads, and after resuming; unusual
//! shapes, and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    Agent, BoxSpace, CheckpointDir, Env, MemorySink, Metrics, Policy, Progress, Result, Rng, Row,
    Sections, Seeds, SerialVecEnv, Step, ThreadedVecEnv, TimeLimit, Trainer, TrainerConfig, VecEnv,
    check_resume,
};
use rl_ddpg::{
    Ddpg, DdpgConfig, EntCoef, NoiseConfig, Rule, Sac, SacConfig, Td3, Td3Config, Tqc, TqcConfig,
};
use rl_envs::Pendulum;
use rl_nets::{Action, Backend, NetworkConfig, OptimizerConfig, TrainedPolicy};

fn small() -> NetworkConfig {
    NetworkConfig { hidden: vec![8], ..NetworkConfig::default() }
}

/// Settings with small networks, n-step targets, and two gradient steps for every five steps over the three
/// environments.
macro_rules! small {
    ($config:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $config {
            actor: small(),
            critic: small(),
            batch_size: 16,
            buffer_size: 400,
            learning_starts: 50,
            train_freq: 5,
            gradient_steps: 2,
            n_step: 3,
            $($field: $value,)*
            ..$config::default()
        }
    };
}

fn ddpg() -> DdpgConfig {
    small!(DdpgConfig {})
}

fn td3() -> Td3Config {
    small!(Td3Config { normalize_observations: true })
}

fn sac() -> SacConfig {
    small!(SacConfig { exploration: Some(NoiseConfig::ornstein_uhlenbeck(0.3)) })
}

fn tqc() -> TqcConfig {
    small!(TqcConfig { n_critics: 3, n_quantiles: 5 })
}

fn pendulums(n: usize) -> Vec<TimeLimit<Pendulum>> {
    (0..n).map(|_| TimeLimit::new(Pendulum::default(), 33).unwrap()).collect()
}

fn serial(n: usize) -> SerialVecEnv<TimeLimit<Pendulum>> {
    SerialVecEnv::new(pendulums(n), Seeds::new(3)).unwrap()
}

macro_rules! exact {
    ($algorithm:ident, $agent:ident, $config:expr) => {
        mod $algorithm {
            use super::*;

            #[test]
            fn one_seed_gives_the_same_bits_on_one_thread_and_on_two() {
                fn leaves<V: VecEnv<Obs = BoxSpace, Action = BoxSpace>>(
                    envs: V,
                    seed: u64,
                ) -> (Sections, Vec<Row>) {
                    let seeds = Seeds::new(seed);
                    let agent = $agent::new(&$config, &envs, &Backend::cpu(), seeds).unwrap();
                    let sink = MemorySink::default();
                    let trainer = Trainer::new(envs, agent, TrainerConfig::new(600)).unwrap();
                    let mut trainer = trainer.with_sink(sink.clone());
                    trainer.run().unwrap();
                    let mut sections = Sections::default();
                    trainer.agent().save(&mut sections).unwrap();
                    (sections, sink.rows())
                }
                let one =
                    |seed| leaves(SerialVecEnv::new(pendulums(3), Seeds::new(seed)).unwrap(), seed);
                let threaded = ThreadedVecEnv::new(pendulums(3), Seeds::new(7), 2).unwrap();
                assert_eq!(one(7), one(7));
                assert_eq!(one(7), leaves(threaded, 7));
                assert_ne!(one(7), one(8));
            }

            #[test]
            fn learning_on_two_threads_gives_the_same_bits_as_on_one() {
                let run = |threads| {
                    let mut config = $config;
                    let wide = NetworkConfig { hidden: vec![256, 256], ..NetworkConfig::default() };
                    (config.actor, config.critic) = (wide.clone(), wide);
                    config.batch_size = 100;
                    let backend = Backend::cpu().with_threads(threads).unwrap();
                    let agent = $agent::new(&config, &serial(3), &backend, Seeds::new(7)).unwrap();
                    let config = TrainerConfig::new(150);
                    let mut trainer = Trainer::new(serial(3), agent, config).unwrap();
                    trainer.run().unwrap();
                    trainer.sections().unwrap()
                };
                assert_eq!(run(1), run(2));
            }

            /// 1,501 steps with a replay buffer of 400; the checkpoint falls between two rounds of gradient steps and
            /// within an episode.
            #[test]
            fn a_resumed_run_ends_in_the_same_bits() {
                for backend in ["cpu", "reference"] {
                    let dir = tempfile::tempdir().unwrap();
                    let backend = Backend::by_name(backend).unwrap();
                    let make = || {
                        let envs = serial(3);
                        let agent = $agent::new(&$config, &envs, &backend, Seeds::new(3))?;
                        Ok((envs, agent))
                    };
                    assert_eq!(check_resume(dir.path(), make, 1_501).unwrap(), [""; 0]);
                }
            }

            #[test]
            fn a_policy_from_its_folder_acts_as_its_agent() {
                let mut envs = SerialVecEnv::new(pendulums(3), Seeds::new(3)).unwrap();
                envs.reset().unwrap();
                let mut agent =
                    $agent::new(&$config, &envs, &Backend::cpu(), Seeds::new(3)).unwrap();
                let (mut sections, dir) = (Sections::default(), tempfile::tempdir().unwrap());
                agent.save(&mut sections).unwrap();
                sections.put_acting(&agent, &envs).unwrap();
                CheckpointDir::new(dir.path()).write(agent.name(), 0, &sections).unwrap();
                let mut loaded = TrainedPolicy::load(dir.path()).unwrap();
                let (rows, mut actions) = (envs.batch().observations(), [Default::default(); 3]);
                agent.act_greedily(rows, &mut actions).unwrap();
                for (row, action) in rows.chunks_exact(rows.len() / 3).zip(actions) {
                    assert_eq!(loaded.act(row).unwrap(), Action::Continuous(vec![action]));
                }
            }

            #[test]
            fn one_environment_and_many_learn_as_often() {
                let steps = |n: usize| {
                    let agent =
                        $agent::new(&$config, &serial(n), &Backend::cpu(), Seeds::new(0)).unwrap();
                    let sink = MemorySink::default();
                    let config = TrainerConfig { log_every: 1, ..TrainerConfig::new(1_280) };
                    let mut trainer =
                        Trainer::new(serial(n), agent, config).unwrap().with_sink(sink.clone());
                    trainer.run().unwrap();
                    let learned = |row: &&Row| row.values.iter().any(|(n, _)| n == "critic_loss");
                    sink.rows().iter().filter(learned).count()
                };
                // From step 50 on, every fifth step starts a round; 64 environments have at most one round per call.
                assert_eq!(steps(1), (1_280 - 50) / 5 + 1);
                assert_eq!(steps(64), 20);
            }

            #[test]
            fn a_diverged_actor_is_an_error_that_names_the_dimension() {
                let envs = serial(1);
                let mut agent =
                    $agent::new(&$config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
                let mut action = [0.0];
                let error = agent.act_greedily(&[f32::NAN, 0.0, 0.0], &mut action).unwrap_err();
                let expected = "action dimension 0: expected a finite number";
                assert!(error.to_string().starts_with(expected), "{error}");
                // Unbounded losses make an actor diverge.
                let config = {
                    let mut config = $config;
                    config.learning_starts = 0;
                    config
                };
                let wild = Boom { t: 0 };
                let envs = || SerialVecEnv::new(vec![wild.clone()], Seeds::new(0)).unwrap();
                let agent = $agent::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
                let mut trainer = Trainer::new(envs(), agent, TrainerConfig::new(500)).unwrap();
                let error = trainer.run().unwrap_err().to_string();
                assert!(error.contains("not a finite number"), "{error}");
            }
        }
    };
}

exact!(deterministic, Ddpg, ddpg());
exact!(twin_delayed, Td3, td3());
exact!(soft, Sac, sac());
exact!(truncated, Tqc, tqc());

/// Rewards that grow without bound.
#[derive(Clone)]
struct Boom {
    t: i32,
}

impl Env for Boom {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = i32;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0], vec![1.0]).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.t = 0;
        obs.fill(0.0);
        Ok(())
    }
    fn step(&mut self, _: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.t += 1;
        obs.fill(1.0);
        Ok(Step::running(10f32.powi(self.t.min(38))))
    }
    fn state(&self) -> Option<i32> {
        Some(self.t)
    }
    fn set_state(&mut self, t: i32) -> Result<()> {
        self.t = t;
        Ok(())
    }
}

/// An environment with the given bounds of its two action dimensions.
#[derive(Clone)]
struct Bounds([f32; 2], [f32; 2]);

impl Env for Bounds {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = ();

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> BoxSpace {
        BoxSpace::new(self.0.to_vec(), self.1.to_vec()).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        obs.fill(0.0);
        Ok(())
    }
    fn step(&mut self, action: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let inside = (0..2).all(|i| (self.0[i]..=self.1[i]).contains(&action[i]));
        assert!(inside, "{action:?} outside {:?}", self);
        obs.fill(0.0);
        Ok(Step::running(0.0))
    }
    fn state(&self) -> Option<()> {
        Some(())
    }
    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} to {:?}", self.0, self.1)
    }
}

fn bounded(low: [f32; 2], high: [f32; 2]) -> SerialVecEnv<Bounds> {
    SerialVecEnv::new(vec![Bounds(low, high)], Seeds::new(0)).unwrap()
}

#[test]
fn asymmetric_bounds_are_kept_and_infinite_ones_are_refused() {
    let (backend, seeds) = (Backend::cpu(), Seeds::new(0));
    let envs = || bounded([-3.0, 10.0], [-1.0, 1e4]);
    let noisy = Td3Config { exploration: NoiseConfig::Gaussian { std: 3.0 }, ..td3() };
    let agent = Td3::new(&noisy, &envs(), &backend, seeds).unwrap();
    Trainer::new(envs(), agent, TrainerConfig::new(300)).unwrap().run().unwrap();
    let agent = Sac::new(&sac(), &envs(), &backend, seeds).unwrap();
    Trainer::new(envs(), agent, TrainerConfig::new(300)).unwrap().run().unwrap();

    let open = bounded([-1.0, f32::NEG_INFINITY], [1.0, 2.0]);
    let expected = "action dimension 1: expected finite bounds, got [-inf, 2]";
    assert_eq!(Ddpg::new(&ddpg(), &open, &backend, seeds).unwrap_err().to_string(), expected);
    assert_eq!(Td3::new(&td3(), &open, &backend, seeds).unwrap_err().to_string(), expected);
    assert_eq!(Sac::new(&sac(), &open, &backend, seeds).unwrap_err().to_string(), expected);
    assert_eq!(Tqc::new(&tqc(), &open, &backend, seeds).unwrap_err().to_string(), expected);
    let error = BoxSpace::new(vec![0.0, 2.0], vec![1.0, 2.0]).unwrap_err().to_string();
    assert_eq!(error, "box dimension 1: expected low < high, got [2, 2]");
}

#[test]
fn settings_out_of_range_are_named() {
    let (backend, seeds) = (Backend::cpu(), Seeds::new(0));
    let of = |config: DdpgConfig| {
        Ddpg::new(&config, &serial(2), &backend, seeds).unwrap_err().to_string()
    };
    let at_least_one = "expected an integer >= 1, got 0";
    assert_eq!(of(DdpgConfig { n_step: 0, ..ddpg() }), format!("n_step: {at_least_one}"));
    let expected = "buffer_size: expected an integer >= 2, got 1";
    assert_eq!(of(DdpgConfig { buffer_size: 1, batch_size: 1, ..ddpg() }), expected);
    assert!(of(DdpgConfig { gamma: 1.5, ..ddpg() }).starts_with("gamma"));
    let config = Td3Config { target_noise: -1.0, ..td3() };
    let error = Td3::new(&config, &serial(1), &backend, seeds).unwrap_err().to_string();
    assert_eq!(error, "target_noise: expected a finite number >= 0, got -1");
    let config = SacConfig { ent_coef: EntCoef::Fixed(f64::NAN), ..sac() };
    let error = Sac::new(&config, &serial(1), &backend, seeds).unwrap_err().to_string();
    assert!(error.starts_with("ent_coef.fixed"), "{error}");
    let of =
        |config: TqcConfig| Tqc::new(&config, &serial(1), &backend, seeds).unwrap_err().to_string();
    assert_eq!(of(TqcConfig { n_critics: 0, ..tqc() }), format!("n_critics: {at_least_one}"));
    assert_eq!(of(TqcConfig { n_quantiles: 0, ..tqc() }), format!("n_quantiles: {at_least_one}"));
    let expected = "expected at most one less than the quantiles of a critic (4), got 5";
    assert_eq!(
        of(TqcConfig { top_quantiles_to_drop_per_net: 5, ..tqc() }),
        format!("top_quantiles_to_drop_per_net: {expected}")
    );
    assert!(of(TqcConfig { ent_coef: EntCoef::Auto(0.0), ..tqc() }).starts_with("ent_coef.auto"));
    let config = TqcConfig { target_entropy: Some(f64::NAN), ..tqc() };
    assert!(of(config).starts_with("target_entropy"));
}

/// The critics and the quantiles of each are as many as the settings say, and dropped quantiles lower the values.
#[test]
fn the_settings_of_truncated_critics_are_used() {
    let (backend, seeds) = (Backend::cpu(), Seeds::new(0));
    let agent = |config: &TqcConfig| Tqc::new(config, &serial(1), &backend, seeds).unwrap();
    let params = |n_critics: usize, n_quantiles: usize| {
        let agent = agent(&TqcConfig { n_critics, n_quantiles, ..tqc() });
        let [actor, critics] = ["policy", "critic"].map(|name| weights(&agent, name).len());
        assert_eq!(agent.rule().num_params(), actor + critics);
        critics
    };
    let body = (3 + 1) * 8 + 8;
    for (critics, quantiles) in [(1, 3), (2, 3), (5, 3), (2, 25)] {
        assert_eq!(params(critics, quantiles), critics * (body + 9 * quantiles));
    }
    let value = |drop: usize| {
        let config = TqcConfig {
            top_quantiles_to_drop_per_net: drop,
            critic_learning_rate: rl_core::Schedule::constant(3e-3),
            tau: 0.1,
            train_freq: 1,
            ..tqc()
        };
        let mut trainer = Trainer::new(serial(1), agent(&config), TrainerConfig::new(400)).unwrap();
        trainer.run().unwrap();
        trainer.agent_mut().rule_mut().values(&[1.0, 0.0, 0.0], &[0.0]).unwrap()[0]
    };
    let values = [0, 2, 4].map(value);
    assert!(values[0] > values[1] && values[1] > values[2], "{values:?}");
}

/// A checkpoint with other settings is rejected, and the agent is unchanged.
#[test]
fn a_foreign_checkpoint_changes_nothing() {
    let (backend, seeds) = (Backend::cpu(), Seeds::new(0));
    let fixed = SacConfig { ent_coef: EntCoef::Fixed(0.1), ..sac() };
    let other = Sac::new(&fixed, &serial(1), &backend, seeds).unwrap();
    let mut agent = Sac::new(&sac(), &serial(1), &backend, Seeds::new(1)).unwrap();
    let (mut foreign, mut before, mut after) =
        (Sections::default(), Sections::default(), Sections::default());
    other.save(&mut foreign).unwrap();
    agent.save(&mut before).unwrap();
    agent.load(&foreign).unwrap_err();
    agent.save(&mut after).unwrap();
    assert_eq!(before, after);

    // Critics of another number and of other quantiles.
    let of = |n_critics, n_quantiles| {
        let config = TqcConfig { n_critics, n_quantiles, ..tqc() };
        Tqc::new(&config, &serial(1), &backend, seeds).unwrap()
    };
    let (mut foreign, mut before, mut after) =
        (Sections::default(), Sections::default(), Sections::default());
    of(2, 3).save(&mut foreign).unwrap();
    let mut agent = of(3, 5);
    agent.save(&mut before).unwrap();
    agent.load(&foreign).unwrap_err();
    agent.save(&mut after).unwrap();
    assert_eq!(before, after);
}

/// The temperature decreases if the entropy exceeds its target, and increases otherwise.
#[test]
fn the_temperature_follows_its_target() {
    let alpha = |target: f64| {
        let config = SacConfig {
            target_entropy: Some(target),
            actor_learning_rate: rl_core::Schedule::constant(1e-2),
            critic_learning_rate: rl_core::Schedule::constant(1e-2),
            ent_coef_learning_rate: rl_core::Schedule::constant(1e-2),
            train_freq: 1,
            ..sac()
        };
        let agent = Sac::new(&config, &serial(1), &Backend::cpu(), Seeds::new(0)).unwrap();
        let mut trainer = Trainer::new(serial(1), agent, TrainerConfig::new(150)).unwrap();
        trainer.run().unwrap();
        trainer.agent().rule().alpha()
    };
    assert!(alpha(-20.0) < 0.5, "{}", alpha(-20.0));
    assert!(alpha(5.0) > 2.0, "{}", alpha(5.0));
}

#[test]
fn learning_waits_for_its_start_and_acts_at_random_before() {
    // Moments are saved with a policy, and do not wait.
    let config = Td3Config { normalize_observations: false, ..td3() };
    let mut agent = Td3::new(&config, &serial(1), &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut envs = serial(1);
    envs.reset().unwrap();
    let (mut metrics, mut actions, mut seen) = (Metrics::default(), [0.0], Vec::new());
    for step in 0..49 {
        let progress = Progress { step, total: 100 };
        agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
        seen.push(actions[0]);
        envs.step(&actions).unwrap();
        agent.observe(&envs.batch().transitions(&actions)).unwrap();
        agent.update(progress, &mut metrics).unwrap();
    }
    // Uniform over [-2, 2]: a new actor with noise of 0.1 would stay near the middle.
    assert!(seen.iter().filter(|a| a.abs() > 1.0).count() > 12, "{seen:?}");
    let mut before = Sections::default();
    agent.save_policy(&mut before).unwrap();
    let fresh = Td3::new(&config, &serial(1), &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut expected = Sections::default();
    fresh.save_policy(&mut expected).unwrap();
    assert_eq!(before, expected);
}

/// With plain gradient descent no update is longer than the learning rate times the maximum norm.
#[test]
fn gradients_are_clipped() {
    macro_rules! moved {
        ($agent:ident, $config:expr) => {
            [None, Some(1e-6)].map(|max_grad_norm| {
                let mut config = $config;
                config.optimizer = OptimizerConfig::Sgd { momentum: 0.0, nesterov: false };
                config.max_grad_norm = max_grad_norm;
                let envs = serial(1);
                let agent = $agent::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
                let before = ["policy", "critic"].map(|name| weights(&agent, name));
                let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(100)).unwrap();
                trainer.run().unwrap();
                let after = ["policy", "critic"].map(|name| weights(trainer.agent(), name));
                [0, 1].map(|i| {
                    let steps = before[i].iter().zip(&after[i]).map(|(a, b)| (a - b).abs());
                    steps.fold(0.0f32, f32::max)
                })
            })
        };
    }
    let (soft, truncated) = (moved!(Sac, sac()), moved!(Tqc, tqc()));
    for [free, clipped] in [moved!(Ddpg, ddpg()), moved!(Td3, td3()), soft, truncated] {
        assert!(free.iter().all(|moved| *moved > 1e-6), "{free:?}");
        assert!(clipped.iter().all(|moved| *moved < 1e-6), "{clipped:?}");
    }
}

/// The weights in a file of an agent, which follow the header of a safetensors file.
fn weights(agent: &impl Agent, name: &str) -> Vec<f32> {
    let mut sections = Sections::default();
    agent.save(&mut sections).unwrap();
    let (header, rest) =
        sections.file(&format!("{name}.safetensors")).unwrap().split_first_chunk().unwrap();
    let values = &rest[u64::from_le_bytes(*header) as usize..];
    values.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Each of SAC's three learning rates affects only the parameters it is named after.
#[test]
fn each_step_size_is_its_own() {
    let (still, moving) = (rl_core::Schedule::constant(0.0), rl_core::Schedule::constant(1e-3));
    let after = |rates: [bool; 3]| {
        let rates = rates.map(|moves| if moves { moving.clone() } else { still.clone() });
        let [actor_learning_rate, critic_learning_rate, ent_coef_learning_rate] = rates;
        let config = SacConfig {
            actor_learning_rate,
            critic_learning_rate,
            ent_coef_learning_rate,
            ..sac()
        };
        let agent = Sac::new(&config, &serial(1), &Backend::cpu(), Seeds::new(0)).unwrap();
        let mut trainer = Trainer::new(serial(1), agent, TrainerConfig::new(55)).unwrap();
        trainer.run().unwrap();
        let agent = trainer.agent();
        (weights(agent, "policy"), weights(agent, "critic"), agent.rule().alpha())
    };
    let none = after([false; 3]);
    for i in 0..3 {
        let one = after([0, 1, 2].map(|j| i == j));
        let moved = [one.0 != none.0, one.1 != none.1, one.2 != none.2];
        assert_eq!(moved, [0, 1, 2].map(|j| i == j));
    }
}

/// Demonstrations, with actions within the environment's bounds, are stored and learned from without environment
/// steps.
#[test]
fn offline_data_is_learned_from() {
    let mut agent = Td3::new(&td3(), &serial(1), &Backend::cpu(), Seeds::new(0)).unwrap();
    let before = weights(&agent, "critic");
    let (row, next) = ([1.0, 0.0, 0.5], [0.9, 0.1, 0.4]);
    let shown = rl_core::StepBatch::of_transitions(&row, &[-1.0], &[None], &next, false).unwrap();
    agent.remember(&shown.transitions(&[1.5])).unwrap();
    let (mut metrics, progress) = (Metrics::default(), Progress { step: 0, total: 1 });
    agent.gradient_step(progress, &mut metrics).unwrap();
    assert_ne!(weights(&agent, "critic"), before);
    let error = agent.remember(&shown.transitions(&[2.5])).unwrap_err().to_string();
    assert_eq!(error, "action dimension 0: expected a number in [-2.0, 2.0], got 2.5");
}
