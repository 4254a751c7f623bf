//! Reproducibility: bit-identical results with the same seed, with one and two threads, and after resuming; and
//! unusual shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    Agent, BoxSpace, CheckpointDir, Discrete, MemorySink, Metrics, Policy, Progress, Row, Sections,
    Seeds, SerialVecEnv, ThreadedVecEnv, TimeLimit, Trainer, TrainerConfig, VecEnv, check_resume,
};
use rl_envs::{CartPole, Pendulum};
use rl_nets::{Action, Backend, Categorical, TrainedPolicy};
use rl_pg::{
    A2c, A2cConfig, EvolutionStrategies, EvolutionStrategiesConfig, HillClimbing,
    HillClimbingConfig, PolicySearch, QActorCritic, QActorCriticConfig, Reinforce, ReinforceConfig,
    SearchRule, SimulatedAnnealing, SimulatedAnnealingConfig,
};

fn cart_poles(n: usize) -> Vec<TimeLimit<CartPole>> {
    (0..n).map(|_| TimeLimit::new(CartPole::default(), 30).unwrap()).collect()
}

fn pendulums(n: usize) -> Vec<TimeLimit<Pendulum>> {
    (0..n).map(|_| TimeLimit::new(Pendulum::default(), 33).unwrap()).collect()
}

/// An agent's action as a loaded policy gives it.
trait ToAction {
    fn to_action(self) -> Action;
}

impl ToAction for u32 {
    fn to_action(self) -> Action {
        Action::Discrete(self)
    }
}

impl ToAction for f32 {
    fn to_action(self) -> Action {
        Action::Continuous(vec![self])
    }
}

/// `$make` builds the agent `|envs, backend, seeds|` for `$env` environments.
macro_rules! exact {
    ($algorithm:ident, $env:ident, $action:ty, |$envs:ident, $backend:ident, $seeds:ident| $make:expr) => {
        mod $algorithm {
            use super::*;

            #[test]
            fn one_seed_gives_the_same_bits_on_one_thread_and_on_two() {
                fn leaves<V: VecEnv<Obs = BoxSpace, Action = $action>>(
                    envs: V,
                    seed: u64,
                ) -> (Sections, Vec<Row>) {
                    let ($envs, $backend, $seeds) = (&envs, &Backend::cpu(), Seeds::new(seed));
                    let agent = $make.unwrap();
                    let sink = MemorySink::default();
                    let trainer = Trainer::new(envs, agent, TrainerConfig::new(1_000)).unwrap();
                    let mut trainer = trainer.with_sink(sink.clone());
                    trainer.run().unwrap();
                    let mut sections = Sections::default();
                    trainer.agent().save(&mut sections).unwrap();
                    (sections, sink.rows())
                }
                let serial =
                    |seed| leaves(SerialVecEnv::new($env(3), Seeds::new(seed)).unwrap(), seed);
                let threaded = ThreadedVecEnv::new($env(3), Seeds::new(7), 2).unwrap();
                // Compared as text, because a NaN (no data yet) is not equal to itself.
                let same = |a: &(Sections, Vec<Row>), b: &(Sections, Vec<Row>)| {
                    a.0 == b.0 && format!("{:?}", a.1) == format!("{:?}", b.1)
                };
                let reference = serial(7);
                assert!(same(&reference, &serial(7)));
                assert!(same(&reference, &leaves(threaded, 7)));
                assert!(!same(&reference, &serial(8)));
            }

            #[test]
            fn a_resumed_run_ends_in_the_same_bits() {
                for backend in ["cpu", "reference"] {
                    let dir = tempfile::tempdir().unwrap();
                    let backend = Backend::by_name(backend).unwrap();
                    let make = || {
                        let envs = SerialVecEnv::new($env(3), Seeds::new(3))?;
                        let ($envs, $backend, $seeds) = (&envs, &backend, Seeds::new(3));
                        let _ = $backend; // A search does not use a backend.
                        let agent = $make?;
                        Ok((envs, agent))
                    };
                    assert_eq!(check_resume(dir.path(), make, 1_501).unwrap(), [""; 0]);
                }
            }

            #[test]
            fn a_policy_from_its_folder_acts_as_its_agent() {
                let mut envs = SerialVecEnv::new($env(3), Seeds::new(3)).unwrap();
                envs.reset().unwrap();
                let ($envs, $backend, $seeds) = (&envs, &Backend::cpu(), Seeds::new(3));
                let mut agent = $make.unwrap();
                let (mut sections, dir) = (Sections::default(), tempfile::tempdir().unwrap());
                agent.save(&mut sections).unwrap();
                sections.put_acting(&agent, &envs).unwrap();
                CheckpointDir::new(dir.path()).write(agent.name(), 0, &sections).unwrap();
                let mut loaded = TrainedPolicy::load(dir.path()).unwrap();
                let (rows, mut actions) = (envs.batch().observations(), [Default::default(); 3]);
                agent.act_greedily(rows, &mut actions).unwrap();
                for (row, action) in rows.chunks_exact(rows.len() / 3).zip(actions) {
                    assert_eq!(loaded.act(row).unwrap(), action.to_action());
                }
            }
        }
    };
}

exact!(reinforce, cart_poles, Discrete, |envs, backend, seeds| {
    let config = ReinforceConfig { episodes: 6, ..ReinforceConfig::default() };
    Reinforce::new(&config, envs, backend, seeds)
});
exact!(reinforce_continuous, pendulums, BoxSpace, |envs, backend, seeds| {
    let config = ReinforceConfig { episodes: 3, ..ReinforceConfig::default() };
    Reinforce::new(&config, envs, backend, seeds)
});
exact!(q_actor_critic, cart_poles, Discrete, |envs, backend, seeds| {
    QActorCritic::new(&QActorCriticConfig::default(), envs, backend, seeds)
});
exact!(a2c, cart_poles, Discrete, |envs, backend, seeds| {
    A2c::new(&A2cConfig::default(), envs, backend, seeds)
});
exact!(a2c_continuous, pendulums, BoxSpace, |envs, backend, seeds| {
    A2c::new(&A2cConfig { n_steps: 7, ..A2cConfig::default() }, envs, backend, seeds)
});
exact!(hill_climbing, cart_poles, Discrete, |envs, _backend, seeds| {
    HillClimbing::new(&HillClimbingConfig::default(), envs, &Backend::cpu(), seeds)
});
exact!(simulated_annealing, pendulums, BoxSpace, |envs, _backend, seeds| {
    SimulatedAnnealing::new(&SimulatedAnnealingConfig::default(), envs, &Backend::cpu(), seeds)
});
exact!(evolution_strategies, cart_poles, Discrete, |envs, _backend, seeds| {
    EvolutionStrategies::new(&EvolutionStrategiesConfig::default(), envs, &Backend::cpu(), seeds)
});

#[test]
fn odd_shapes_work_or_are_config_errors() {
    let make = |n| SerialVecEnv::new(cart_poles(n), Seeds::new(0)).unwrap();
    let a2c = |n, n_steps| {
        let config = A2cConfig { n_steps, ..A2cConfig::default() };
        let agent = A2c::new(&config, &make(n), &Backend::cpu(), Seeds::new(0))?;
        Trainer::new(make(n), agent, TrainerConfig::new(700))?.run()
    };
    a2c(1, 1).unwrap();
    a2c(64, 5).unwrap();
    assert_eq!(a2c(1, 0).unwrap_err().to_string(), "n_steps: expected an integer >= 1, got 0");
    let reinforce = |n, episodes| {
        let config = ReinforceConfig { episodes, ..ReinforceConfig::default() };
        let agent = Reinforce::new(&config, &make(n), &Backend::cpu(), Seeds::new(0))?;
        Trainer::new(make(n), agent, TrainerConfig::new(700))?.run()
    };
    reinforce(1, 1).unwrap();
    reinforce(64, 64).unwrap();
    let expected = "episodes: expected a multiple of the number of environments (64), got 1";
    assert_eq!(reinforce(64, 1).unwrap_err().to_string(), expected);
    assert!(reinforce(1, 0).unwrap_err().to_string().starts_with("episodes"));
    let climb = |n, episodes| {
        let config = HillClimbingConfig { episodes, ..HillClimbingConfig::default() };
        let agent = HillClimbing::new(&config, &make(n), &Backend::cpu(), Seeds::new(0))?;
        Trainer::new(make(n), agent, TrainerConfig::new(700))?.run()
    };
    climb(64, 1).unwrap();
    assert!(climb(1, 0).unwrap_err().to_string().starts_with("episodes"));
}

/// After loading a policy, a search continues from it and does not only act with it.
#[test]
fn a_search_goes_on_from_a_policy_that_it_is_given() {
    fn check<R: SearchRule>(make: impl Fn(u64) -> PolicySearch<Categorical, R>) {
        let (other, mut agent) = (make(1), make(0));
        let mut policy = Sections::default();
        other.save_policy(&mut policy).unwrap();
        assert_ne!(agent.rule().best(), other.rule().best());
        agent.load_policy(&policy).unwrap();
        assert_eq!(agent.rule().best(), other.rule().best());
        let mut again = Sections::default();
        agent.save_policy(&mut again).unwrap();
        assert_eq!(policy, again);
        // The search continues without an error, even in the middle of an episode.
        let envs = SerialVecEnv::new(cart_poles(2), Seeds::new(0)).unwrap();
        let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(501)).unwrap();
        trainer.run().unwrap();
        trainer.agent_mut().load_policy(&policy).unwrap();
        let (envs, agent) = trainer.into_parts();
        Trainer::new(envs, agent, TrainerConfig::new(500)).unwrap().run().unwrap();
    }
    let make = || SerialVecEnv::new(cart_poles(2), Seeds::new(0)).unwrap();
    let backend = Backend::cpu();
    let seeds = Seeds::new;
    check(|s| {
        HillClimbing::new(&HillClimbingConfig::default(), &make(), &backend, seeds(s)).unwrap()
    });
    let annealing = SimulatedAnnealingConfig::default();
    check(|s| SimulatedAnnealing::new(&annealing, &make(), &backend, seeds(s)).unwrap());
    let evolution = EvolutionStrategiesConfig::default();
    check(|s| EvolutionStrategies::new(&evolution, &make(), &backend, seeds(s)).unwrap());
}

/// A custom loop with a reset in the middle of an episode: the score of a candidate comes from a complete episode.
#[test]
fn a_score_does_not_run_across_a_reset() {
    let score = |reset_at: Option<u64>| {
        let mut envs = SerialVecEnv::new(pendulums(1), Seeds::new(0)).unwrap();
        let config = HillClimbingConfig { episodes: 1, trials: 1, ..HillClimbingConfig::default() };
        let mut agent = HillClimbing::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        let (mut actions, mut metrics) = ([0.0], Metrics::default());
        let progress = Progress { step: 0, total: 1 };
        envs.reset().unwrap();
        for step in 0.. {
            if reset_at == Some(step) {
                envs.reseed(Seeds::new(0)).unwrap();
                envs.reset().unwrap();
            }
            agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
            envs.step(&actions).unwrap();
            agent.observe(&envs.batch().transitions(&actions)).unwrap();
            agent.update(progress, &mut metrics).unwrap();
            if let Some(score) = metrics.mean("score") {
                return score;
            }
        }
        unreachable!()
    };
    // The same start state again, so the episode is the same, whatever happened before the reset.
    assert_eq!(score(Some(5)), score(None));
}

/// The best of outputs that are no numbers is no action.
#[test]
fn a_search_does_not_act_on_what_is_no_number() {
    let env = TimeLimit::new(rl_envs::CartPole::default(), 20).unwrap();
    let envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    let config = HillClimbingConfig::default();
    let mut agent = HillClimbing::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let (rows, progress) = ([f32::NAN; 4], Progress { step: 0, total: 1 });
    let errors = [agent.act(&rows, progress, &mut [0]), agent.act_greedily(&rows, &mut [0])];
    for error in errors.map(|outcome| outcome.unwrap_err().to_string()) {
        assert!(error.starts_with("an output of the policy is NaN"), "{error}");
    }
}
