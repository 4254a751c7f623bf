//! The same bits from the same seed, on one thread and on two and over a resume; and odd shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, BoxSpace, MemorySink, NormalizeObs, NormalizeReward, Policy, Row, Sections, Seeds,
    SerialVecEnv, ThreadedVecEnv, TimeLimit, Trainer, TrainerConfig, VecEnv, check_resume,
};
use rl_envs::{CartPole, Pendulum};
use rl_nets::Backend;
use rl_ppo::{Ppo, PpoConfig};

fn config() -> PpoConfig {
    // 3 environments, 40 steps: 120 rows, which minibatches of 50 do not divide.
    PpoConfig { n_steps: 40, batch_size: 50, n_epochs: 3, ..PpoConfig::default() }
}

fn pendulums(n: usize) -> Vec<TimeLimit<Pendulum>> {
    (0..n).map(|_| TimeLimit::new(Pendulum::default(), 33).unwrap()).collect()
}

fn normalised<V: VecEnv<Obs = BoxSpace>>(envs: V) -> NormalizeReward<NormalizeObs<V>> {
    NormalizeReward::new(NormalizeObs::new(envs, 10.0).unwrap(), 0.99, 10.0).unwrap()
}

#[test]
fn one_seed_gives_the_same_bits_on_one_thread_and_on_two() {
    fn leaves<V: VecEnv<Obs = BoxSpace, Action = BoxSpace>>(
        envs: V,
        seed: u64,
    ) -> (Sections, Vec<Row>) {
        let envs = normalised(envs);
        let agent = Ppo::continuous(&config(), &envs, &Backend::Fused, Seeds::new(seed)).unwrap();
        let sink = MemorySink::default();
        let mut trainer =
            Trainer::new(envs, agent, TrainerConfig::new(1_000)).unwrap().with_sink(sink.clone());
        trainer.run().unwrap();
        let mut sections = Sections::default();
        trainer.agent().save(&mut sections).unwrap();
        (sections, sink.rows())
    }
    let serial = |seed| leaves(SerialVecEnv::new(pendulums(3), Seeds::new(seed)).unwrap(), seed);
    let threaded = ThreadedVecEnv::new(pendulums(3), Seeds::new(7), 2).unwrap();
    assert_eq!(serial(7), serial(7));
    assert_eq!(serial(7), leaves(threaded, 7));
    assert_ne!(serial(7), serial(8));
}

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    // 1,500 steps, of which a checkpoint keeps 501: in the middle of a rollout of 120.
    for backend in ["cpu", "reference"] {
        let [pendulum, cart_pole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let backend = Backend::by_name(backend).unwrap();
        let make = || {
            let envs = normalised(SerialVecEnv::new(pendulums(3), Seeds::new(3))?);
            let agent = Ppo::continuous(&config(), &envs, &backend, Seeds::new(3))?;
            Ok((envs, agent))
        };
        assert_eq!(check_resume(pendulum.path(), make, 1_500).unwrap(), [""; 0]);
        let make = || {
            let env = || TimeLimit::new(CartPole::default(), 20);
            let envs = SerialVecEnv::new(vec![env()?, env()?, env()?], Seeds::new(3))?;
            let agent = Ppo::discrete(&config(), &envs, &backend, Seeds::new(3))?;
            Ok((envs, agent))
        };
        assert_eq!(check_resume(cart_pole.path(), make, 1_500).unwrap(), [""; 0]);
    }
}

#[test]
fn odd_shapes_work_or_are_config_errors() {
    let run = |envs: usize, config: PpoConfig| {
        let make = || SerialVecEnv::new(pendulums(envs), Seeds::new(0)).unwrap();
        let agent = Ppo::continuous(&config, &make(), &Backend::Fused, Seeds::new(0))?;
        Trainer::new(make(), agent, TrainerConfig::new(1_300))?.run()
    };
    run(1, config()).unwrap_err(); // 40 rows are fewer than a minibatch
    run(1, PpoConfig { batch_size: 40, ..config() }).unwrap();
    run(1, PpoConfig { batch_size: 1, ..config() }).unwrap();
    run(64, config()).unwrap();
    run(3, PpoConfig { n_steps: 1, batch_size: 2, ..config() }).unwrap();
    let error = |config| run(2, config).unwrap_err().to_string();
    assert_eq!(
        error(PpoConfig { n_steps: 0, ..config() }),
        "n_steps: expected an integer >= 1, got 0"
    );
    assert_eq!(
        error(PpoConfig { batch_size: 81, ..config() }),
        "batch_size: expected at most n_steps * envs (80), got 81"
    );
    assert!(error(PpoConfig { gae_lambda: 1.1, ..config() }).starts_with("gae_lambda"));
    assert!(error(PpoConfig { log_std_init: f64::NAN, ..config() }).starts_with("log_std_init"));
}

#[test]
fn actions_are_clipped_to_the_bounds_on_their_way_out() {
    let envs = SerialVecEnv::new(pendulums(50), Seeds::new(0)).unwrap();
    let wild = PpoConfig { log_std_init: 3.0, ..config() };
    let mut agent = Ppo::continuous(&wild, &envs, &Backend::Fused, Seeds::new(0)).unwrap();
    let mut actions = vec![0.0; 50];
    let progress = rl_core::Progress { step: 0, total: 1 };
    agent.act(&[0.1; 150], progress, &mut actions).unwrap();
    assert!(actions.iter().all(|a| a.abs() <= 2.0));
    assert!(actions.iter().filter(|a| a.abs() == 2.0).count() > 30, "{actions:?}");
    agent.act_greedily(&[0.1; 150], &mut actions).unwrap();
    assert!(actions.iter().all(|a| a.abs() < 2.0));
}

#[test]
fn a_policy_that_moves_too_far_ends_the_epochs() {
    let steps_taken = |target_kl| {
        let make = || SerialVecEnv::new(pendulums(3), Seeds::new(0)).unwrap();
        let config =
            PpoConfig { learning_rate: rl_core::Schedule::constant(0.05), target_kl, ..config() };
        let agent = Ppo::continuous(&config, &make(), &Backend::Fused, Seeds::new(0)).unwrap();
        let sink = MemorySink::default();
        let trainer_config = TrainerConfig { log_every: 120, ..TrainerConfig::new(120) };
        let mut trainer =
            Trainer::new(make(), agent, trainer_config).unwrap().with_sink(sink.clone());
        trainer.run().unwrap();
        let row = sink.rows().remove(0);
        row.values.iter().find(|(name, _)| name == "gradient_steps").unwrap().1
    };
    // 3 epochs of 3 minibatches.
    assert_eq!(steps_taken(None), 9.0);
    assert!(steps_taken(Some(0.01)) < 9.0);
}
