//! The same seed gives the same bits, a resumed run those of one that was not stopped, and a bad
//! checkpoint changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, MemorySink, Result, Row, Schedule, Sections, Seeds, SerialVecEnv, ThreadedVecEnv,
    TimeLimit, Trainer, TrainerConfig, VecEnv, check_resume,
};
use rl_dqn::{Dqn, DqnConfig, QLearning, QLearningConfig};
use rl_envs::{CartPole, Tabular};
use rl_nets::Backend;

fn config(double_q: bool) -> DqnConfig {
    DqnConfig {
        learning_rate: Schedule::linear(1e-3, 1e-4),
        buffer_size: 1_000,
        target_update_interval: 130,
        tau: 0.5,
        n_step: 3,
        double_q,
        ..DqnConfig::default()
    }
}

fn cart_poles() -> Vec<TimeLimit<CartPole>> {
    (0..3).map(|_| TimeLimit::new(CartPole::default(), 50).unwrap()).collect()
}

fn dqn(seed: u64, double_q: bool, backend: &Backend) -> Dqn {
    let envs = SerialVecEnv::new(cart_poles(), Seeds::new(seed)).unwrap();
    Dqn::new(&config(double_q), &envs, backend, Seeds::new(seed)).unwrap()
}

/// Everything that a run leaves: all sections of its checkpoint, and its metrics.
fn leaves<V, A>(envs: V, agent: A) -> (Sections, Vec<Row>)
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    let sink = MemorySink::default();
    let mut trainer =
        Trainer::new(envs, agent, TrainerConfig::new(3_000)).unwrap().with_sink(sink.clone());
    trainer.run().unwrap();
    (trainer.sections().unwrap(), sink.rows())
}

#[test]
fn one_seed_gives_the_same_bits_on_one_thread_and_on_two() {
    let run = |seed, threads| {
        let agent = dqn(seed, true, &Backend::cpu());
        if threads == 1 {
            leaves(SerialVecEnv::new(cart_poles(), Seeds::new(seed)).unwrap(), agent)
        } else {
            leaves(ThreadedVecEnv::new(cart_poles(), Seeds::new(seed), threads).unwrap(), agent)
        }
    };
    let first = run(7, 1);
    assert_eq!(first, run(7, 1));
    assert_eq!(first, run(7, 2));
    assert_ne!(first, run(8, 1));
}

#[test]
fn a_resumed_dqn_ends_in_the_same_bits() {
    for backend in ["cpu", "reference"] {
        for double_q in [false, true] {
            let (dir, backend) = (tempfile::tempdir().unwrap(), Backend::by_name(backend).unwrap());
            let make = || {
                let envs = SerialVecEnv::new(cart_poles(), Seeds::new(3))?;
                Ok((envs, dqn(3, double_q, &backend)))
            };
            assert_eq!(check_resume(dir.path(), make, 3_000).unwrap(), [""; 0]);
        }
    }
}

#[test]
fn a_resumed_table_ends_in_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let envs = SerialVecEnv::new(vec![Tabular::frozen_lake_4x4(true)], Seeds::new(3))?;
        let config = QLearningConfig {
            learning_rate: Schedule::linear(0.5, 0.1),
            ..QLearningConfig::default()
        };
        let agent = QLearning::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(3))?;
        Ok((envs, agent))
    };
    assert_eq!(check_resume(dir.path(), make, 3_000).unwrap(), [""; 0]);
}

/// An agent that forgets its generator is found out.
#[test]
fn what_is_forgotten_is_noticed() {
    struct Forgetful(Dqn);
    impl rl_core::Policy for Forgetful {
        type Obs = rl_core::BoxSpace;
        type Action = rl_core::Discrete;
        fn act_greedily(&mut self, x: &[f32], a: &mut [u32]) -> Result<()> {
            self.0.act_greedily(x, a)
        }
    }
    impl Agent for Forgetful {
        fn name(&self) -> &'static str {
            "forgetful"
        }
        fn act(&mut self, x: &[f32], p: rl_core::Progress, a: &mut [u32]) -> Result<()> {
            self.0.act(x, p, a)
        }
        fn observe(&mut self, t: &rl_core::Transitions<'_, f32, u32>) -> Result<()> {
            self.0.observe(t)
        }
        fn update(&mut self, p: rl_core::Progress, m: &mut rl_core::Metrics) -> Result<()> {
            self.0.update(p, m)
        }
        fn save_policy(&self, out: &mut Sections) -> Result<()> {
            self.0.save_policy(out)
        }
        fn load_policy(&mut self, from: &Sections) -> Result<()> {
            self.0.load_policy(from)
        }
        fn save(&self, out: &mut Sections) -> Result<()> {
            self.0.save_policy(out)
        }
        fn load(&mut self, from: &Sections) -> Result<()> {
            self.0.load_policy(from)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let envs = SerialVecEnv::new(cart_poles(), Seeds::new(3))?;
        Ok((envs, Forgetful(dqn(3, false, &Backend::cpu()))))
    };
    let problems = check_resume(dir.path(), make, 3_000).unwrap();
    assert!(problems.contains(&"policy.safetensors differs".to_owned()), "{problems:?}");
}

#[test]
fn a_checkpoint_that_does_not_fit_changes_nothing() {
    let mut sections = Sections::default();
    dqn(0, false, &Backend::cpu()).save(&mut sections).unwrap();
    let smaller = DqnConfig { buffer_size: 900, ..config(false) };
    let envs = SerialVecEnv::new(cart_poles(), Seeds::new(1)).unwrap();
    let mut other = Dqn::new(&smaller, &envs, &Backend::cpu(), Seeds::new(1)).unwrap();
    let state = |agent: &Dqn| {
        let mut sections = Sections::default();
        agent.save(&mut sections).unwrap();
        sections
    };
    let before = state(&other);
    // The networks fit, the replay memory does not.
    assert!(other.load(&sections).unwrap_err().to_string().starts_with("replay"));
    assert_eq!(state(&other), before);
    sections.put_file("policy_optimizer.bin", vec![1, 2, 3]);
    assert!(other.load(&sections).is_err());
    assert_eq!(state(&other), before);
}
