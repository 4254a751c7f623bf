//! Reproducibility: bit-identical results with the same seed, with one and two threads, and after resuming; and
//! unusual shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    Agent, BoxSpace, CheckpointDir, Discrete, MemorySink, Metrics, NormalizeObs, NormalizeReward,
    Policy, Progress, Row, Sections, Seeds, SerialVecEnv, ThreadedVecEnv, TimeLimit, Trainer,
    TrainerConfig, VecEnv, check_resume,
};
use rl_envs::{CartPole, Pendulum, Probe, ProbeKind};
use rl_nets::{
    Action, ActorCriticConfig, Backend, ConvConfig, LogStd, NetworkConfig, TrainedPolicy,
};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};

/// Without candle there is the fused path alone.
const BACKENDS: usize = if cfg!(feature = "candle") { 2 } else { 1 };

fn config() -> PpoConfig {
    // 3 environments, 40 steps: 120 rows, not divisible by the minibatch size of 50.
    PpoConfig { n_steps: 40, batch_size: 50, n_epochs: 3, ..PpoConfig::default() }
}

fn pendulums(n: usize) -> Vec<TimeLimit<Pendulum>> {
    (0..n).map(|_| TimeLimit::new(Pendulum::default(), 33).unwrap()).collect()
}

fn normalised<V: VecEnv<Obs = BoxSpace>>(envs: V) -> NormalizeReward<NormalizeObs<V>> {
    NormalizeReward::new(NormalizeObs::new(envs, 10.0).unwrap(), 0.99, 10.0).unwrap()
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
                    let envs = normalised(envs);
                    let seeds = Seeds::new(seed);
                    let agent = $agent::new(&$config, &envs, &Backend::cpu(), seeds).unwrap();
                    let sink = MemorySink::default();
                    let trainer = Trainer::new(envs, agent, TrainerConfig::new(1_000)).unwrap();
                    let mut trainer = trainer.with_sink(sink.clone());
                    trainer.run().unwrap();
                    let mut sections = Sections::default();
                    trainer.agent().save(&mut sections).unwrap();
                    (sections, sink.rows())
                }
                let serial =
                    |seed| leaves(SerialVecEnv::new(pendulums(3), Seeds::new(seed)).unwrap(), seed);
                let threaded = ThreadedVecEnv::new(pendulums(3), Seeds::new(7), 2).unwrap();
                assert_eq!(serial(7), serial(7));
                assert_eq!(serial(7), leaves(threaded, 7));
                assert_ne!(serial(7), serial(8));
            }

            #[test]
            fn learning_on_two_threads_gives_the_same_bits_as_on_one() {
                let run = |threads| {
                    let mut config = $config;
                    let wide = vec![256, 256];
                    (config.network.actor.hidden, config.network.critic.hidden) =
                        (wide.clone(), wide);
                    let envs = SerialVecEnv::new(pendulums(3), Seeds::new(7)).unwrap();
                    let backend = Backend::cpu().with_threads(threads).unwrap();
                    let agent = $agent::new(&config, &envs, &backend, Seeds::new(7)).unwrap();
                    let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(240)).unwrap();
                    trainer.run().unwrap();
                    trainer.sections().unwrap()
                };
                assert_eq!(run(1), run(2));
            }

            #[test]
            fn a_resumed_run_ends_in_the_same_bits() {
                // 1,500 steps with a checkpoint at step 501, in the middle of a rollout of 120.
                for backend in &["cpu", "reference"][..BACKENDS] {
                    let [pendulum, cart_pole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
                    let backend = Backend::by_name(backend).unwrap();
                    let make = || {
                        let envs = normalised(SerialVecEnv::new(pendulums(3), Seeds::new(3))?);
                        let agent = $agent::new(&$config, &envs, &backend, Seeds::new(3))?;
                        Ok((envs, agent))
                    };
                    assert_eq!(check_resume(pendulum.path(), make, 1_500).unwrap(), [""; 0]);
                    let make = || {
                        let env = || TimeLimit::new(CartPole::default(), 20);
                        let envs = SerialVecEnv::new(vec![env()?, env()?, env()?], Seeds::new(3))?;
                        let agent = $agent::new(&$config, &envs, &backend, Seeds::new(3))?;
                        Ok((envs, agent))
                    };
                    assert_eq!(check_resume(cart_pole.path(), make, 1_500).unwrap(), [""; 0]);
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
            fn odd_shapes_work_or_are_config_errors() {
                let run = |envs: usize, n_steps: usize, batch_size: usize| {
                    let config = || {
                        let mut config = $config;
                        (config.n_steps, config.batch_size) = (n_steps, batch_size);
                        config
                    };
                    let make = || SerialVecEnv::new(pendulums(envs), Seeds::new(0)).unwrap();
                    let agent = $agent::new(&config(), &make(), &Backend::cpu(), Seeds::new(0))?;
                    Trainer::new(make(), agent, TrainerConfig::new(1_300))?.run()
                };
                run(1, 40, 40).unwrap();
                run(1, 40, 1).unwrap();
                run(64, 40, 50).unwrap();
                run(3, 1, 2).unwrap();
                let error = |envs, n_steps, batch_size| {
                    run(envs, n_steps, batch_size).unwrap_err().to_string()
                };
                let zero = "expected an integer >= 1, got 0";
                assert_eq!(error(1, 0, 1), format!("n_steps: {zero}"));
                assert_eq!(error(1, 1, 0), format!("batch_size: {zero}"));
                let many = "batch_size: expected at most n_steps * envs (80), got 81";
                assert_eq!(error(2, 40, 81), many);
            }
        }
    };
}

exact!(clip, Ppo, config());
exact!(
    kl_penalty,
    PpoKl,
    PpoKlConfig { n_steps: 40, batch_size: 50, n_epochs: 3, ..PpoKlConfig::default() }
);
exact!(trust_region, Trpo, TrpoConfig { n_steps: 40, batch_size: 50, ..TrpoConfig::default() });

#[test]
fn settings_out_of_range_are_named() {
    let error = |config: PpoConfig| {
        let envs = SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
        Ppo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap_err().to_string()
    };
    assert!(error(PpoConfig { gae_lambda: 1.1, ..config() }).starts_with("gae_lambda"));
    let log_std = |log_std| ActorCriticConfig { log_std, ..ActorCriticConfig::default() };
    let wild = PpoConfig { network: log_std(LogStd::Free(f64::NAN)), ..config() };
    assert!(error(wild).starts_with("network.log_std.free"));
    let masked = ActorCriticConfig { action_mask: true, ..ActorCriticConfig::default() };
    assert_eq!(
        error(PpoConfig { network: masked, ..config() }),
        "network.action_mask: expected false for continuous actions, got true"
    );
    // Convolutions that do not fit are named with the network's part.
    let layer = ConvConfig { channels: 2, kernel: 3, stride: 1, padding: 0 };
    let conv = NetworkConfig { conv: vec![layer], ..NetworkConfig::tanh() };
    let images = "expected observations of [channels, height, width], got";
    for (part, shape, network) in [
        ("actor", "[3]", ActorCriticConfig { actor: conv.clone(), ..ActorCriticConfig::default() }),
        (
            "critic",
            "[3]",
            ActorCriticConfig { critic: conv.clone(), ..ActorCriticConfig::default() },
        ),
        ("trunk", "[3]", ActorCriticConfig { trunk: Some(conv), ..ActorCriticConfig::default() }),
    ] {
        let got = error(PpoConfig { network, ..config() });
        assert_eq!(got, format!("network.{part}.conv: {images} {shape}"));
    }
    let shared = ActorCriticConfig {
        trunk: Some(ActorCriticConfig::default().actor),
        ..ActorCriticConfig::default()
    };
    let envs = SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
    let config = TrpoConfig { network: shared, ..TrpoConfig::default() };
    let error = Trpo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap_err().to_string();
    assert!(error.starts_with("network.trunk: expected none"), "{error}");
}

#[test]
fn actions_are_clipped_to_the_bounds_on_their_way_out() {
    let envs = SerialVecEnv::new(pendulums(50), Seeds::new(0)).unwrap();
    let wild = PpoConfig {
        network: ActorCriticConfig { log_std: LogStd::Free(3.0), ..ActorCriticConfig::default() },
        ..config()
    };
    let mut agent = Ppo::new(&wild, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut actions = vec![0.0; 50];
    let progress = rl_core::Progress { step: 0, total: 1 };
    agent.act(&[0.1; 150], progress, &mut actions).unwrap();
    assert!(actions.iter().all(|a| a.abs() <= 2.0));
    assert!(actions.iter().filter(|a| a.abs() == 2.0).count() > 30, "{actions:?}");
    agent.act_greedily(&[0.1; 150], &mut actions).unwrap();
    assert!(actions.iter().all(|a| a.abs() < 2.0));
}

/// The number of gradient steps on one rollout of 120 steps.
fn gradient_steps<V: VecEnv>(envs: V, agent: impl Agent<Obs = V::Obs, Action = V::Action>) -> f64 {
    let sink = MemorySink::default();
    let config = TrainerConfig { log_every: 120, ..TrainerConfig::new(120) };
    let mut trainer = Trainer::new(envs, agent, config).unwrap().with_sink(sink.clone());
    trainer.run().unwrap();
    let row = sink.rows().remove(0);
    row.values.iter().find(|(name, _)| name == "gradient_steps").unwrap().1
}

#[test]
fn a_policy_that_moves_too_far_ends_the_epochs() {
    let steps_taken = |target_kl| {
        let envs = SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
        let config =
            PpoConfig { learning_rate: rl_core::Schedule::constant(0.05), target_kl, ..config() };
        let agent = Ppo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        gradient_steps(envs, agent)
    };
    // 3 epochs of 3 minibatches.
    assert_eq!(steps_taken(None), 9.0);
    assert!(steps_taken(Some(0.01)) < 9.0);
}

#[test]
fn a_policy_that_moves_too_far_under_a_penalty_ends_the_epochs() {
    let steps_taken = |kl_early_stop| {
        let envs = SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
        let config = PpoKlConfig {
            n_steps: 40,
            batch_size: 40,
            n_epochs: 3,
            learning_rate: rl_core::Schedule::constant(0.05),
            kl_early_stop,
            initial_beta: 0.75,
            ..PpoKlConfig::default()
        };
        let agent = PpoKl::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        assert_eq!(agent.rule().beta(), 0.75);
        gradient_steps(envs, agent)
    };
    // 3 epochs of 3 minibatches; the last epoch is skipped because this learning rate exceeds the KL limit.
    let [all, far, near] = [None, Some(1e9), Some(4.0)].map(steps_taken);
    assert_eq!((all, far), (9.0, 9.0));
    assert!(near < 9.0 && near % 3.0 == 0.0, "{near}");
}

/// The trust region holds: no update exceeds the KL limit.
#[test]
fn the_trust_region_is_kept() {
    let make = || SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
    let config = TrpoConfig { n_steps: 40, batch_size: 120, ..TrpoConfig::default() };
    let agent = Trpo::new(&config, &make(), &Backend::cpu(), Seeds::new(0)).unwrap();
    let sink = MemorySink::default();
    let trainer_config = TrainerConfig { log_every: 120, ..TrainerConfig::new(2_400) };
    let mut trainer = Trainer::new(make(), agent, trainer_config).unwrap().with_sink(sink.clone());
    trainer.run().unwrap();
    let of = |name: &str| -> Vec<f64> {
        let value = |row: &Row| row.values.iter().find(|(n, _)| n == name).unwrap().1;
        sink.rows().iter().map(value).collect()
    };
    let (kl, success) = (of("kl"), of("line_search_success"));
    assert!(kl.iter().all(|kl| (0.0..0.01).contains(kl)), "{kl:?}");
    assert!(success.iter().sum::<f64>() > 10.0, "{success:?}");
}

/// Where every step earns 1 and ends, all advantages are `1 - V`: the objective of the policy that acted is their mean.
#[test]
fn the_objective_is_the_mean_of_the_advantages() {
    let probe = Probe::<Discrete>::new(ProbeKind::Constant);
    let envs = SerialVecEnv::new(vec![probe], Seeds::new(0)).unwrap();
    let config = TrpoConfig {
        n_steps: 8,
        batch_size: 8,
        n_critic_epochs: 1,
        normalize_advantage: false,
        ..TrpoConfig::default()
    };
    let agent = Trpo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let sink = MemorySink::default();
    let trainer_config = TrainerConfig { log_every: 8, ..TrainerConfig::new(8) };
    let mut trainer = Trainer::new(envs, agent, trainer_config).unwrap().with_sink(sink.clone());
    trainer.run().unwrap();
    let row = sink.rows().remove(0);
    let of = |name: &str| row.values.iter().find(|(n, _)| n == name).unwrap().1;
    // The loss of the values is the mean of `(V - 1)²`.
    assert!((of("policy_loss").powi(2) - of("value_loss")).abs() < 1e-6, "{row:?}");
    assert!(of("value_loss") > 0.1);
}

/// With a single line search step, which is too long about half of the time: the policy changes if and only if the
/// step is accepted.
#[test]
fn a_failed_line_search_restores_the_policy() {
    let mut envs = SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
    let config = TrpoConfig {
        n_steps: 40,
        batch_size: 120,
        cg_damping: 0.02, // Small enough that a full step reaches the boundary of the trust region.
        line_search_max_steps: 1,
        ..TrpoConfig::default()
    };
    let mut agent = Trpo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let (mut metrics, mut actions, mut mode) = (Metrics::default(), [0.0; 3], [0.0]);
    let mut taken = [0, 0];
    envs.reset().unwrap();
    for step in 0..40 * 40 {
        let progress = Progress { step, total: 10_000 };
        agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
        envs.step(&actions).unwrap();
        agent.observe(&envs.batch().transitions(&actions)).unwrap();
        agent.act_greedily(&[0.1, 0.2, 0.3], &mut mode).unwrap();
        let before = mode;
        agent.update(progress, &mut metrics).unwrap();
        if let Some(success) = metrics.mean("line_search_success") {
            agent.act_greedily(&[0.1, 0.2, 0.3], &mut mode).unwrap();
            assert_eq!(mode != before, success == 1.0);
            taken[success as usize] += 1;
            metrics.clear();
        }
    }
    assert!(taken[0] > 3 && taken[1] > 3, "{taken:?}");
}
