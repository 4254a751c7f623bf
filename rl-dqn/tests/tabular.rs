//! Tabular Q-learning reaches what value iteration computes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_dqn::{QLearning, QLearningConfig};
use rl_envs::Tabular;

#[test]
fn cliff_walking_is_walked_in_thirteen_steps() {
    for seed in 0..5 {
        let seeds = Seeds::new(seed);
        let envs = || SerialVecEnv::new(vec![Tabular::cliff_walking()], seeds).unwrap();
        let config = QLearningConfig { gamma: 1.0, ..QLearningConfig::default() };
        let agent = QLearning::new(&config, &envs(), &rl_nets::Backend::cpu(), seeds).unwrap();
        let mut trainer = Trainer::new(envs(), agent, TrainerConfig::new(50_000)).unwrap();
        trainer.run().unwrap();
        // Limited, so that a policy that goes round in circles fails rather than hangs.
        let limited = TimeLimit::new(Tabular::cliff_walking(), 100).unwrap();
        let mut envs = SerialVecEnv::new(vec![limited], seeds).unwrap();
        assert_eq!(
            evaluate(trainer.agent_mut(), &mut envs, 1).unwrap().mean(),
            -13.0,
            "seed {seed}"
        );
    }
}

#[test]
fn slippery_ice_is_valued_within_two_hundredths() {
    let gamma = 0.99;
    let lake = Tabular::frozen_lake_4x4(true);
    let optimal = lake.table().optimal_values(gamma, 1e-12)[0];
    let config = QLearningConfig {
        gamma,
        learning_rate: Schedule::exponential(0.3, 0.002),
        epsilon: Schedule::constant(1.0),
        ..QLearningConfig::default()
    };
    for seed in 0..3 {
        let seeds = Seeds::new(seed);
        let envs = || {
            let lake = TimeLimit::new(Tabular::frozen_lake_4x4(true), 100).unwrap();
            SerialVecEnv::new(vec![lake], seeds).unwrap()
        };
        let agent = QLearning::new(&config, &envs(), &rl_nets::Backend::cpu(), seeds).unwrap();
        let mut trainer = Trainer::new(envs(), agent, TrainerConfig::new(1_500_000)).unwrap();
        trainer.run().unwrap();
        let values = trainer.agent().values(0).unwrap();
        let value = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((value - optimal).abs() <= 0.02, "seed {seed}: {value}, optimal {optimal}");
    }
}

/// Where all that is known of actions is alike, any of them is tried: the first alone would lead nowhere.
#[test]
fn a_firm_lake_is_crossed_by_the_defaults() {
    for seed in 0..5 {
        let seeds = Seeds::new(seed);
        let envs = || {
            let lake = TimeLimit::new(Tabular::frozen_lake_4x4(false), 100).unwrap();
            SerialVecEnv::new(vec![lake], seeds).unwrap()
        };
        let config = QLearningConfig::default();
        let agent = QLearning::new(&config, &envs(), &rl_nets::Backend::cpu(), seeds).unwrap();
        let mut trainer = Trainer::new(envs(), agent, TrainerConfig::new(50_000)).unwrap();
        trainer.run().unwrap();
        let evaluation = evaluate(trainer.agent_mut(), &mut envs(), 1).unwrap();
        assert_eq!(evaluation.mean(), 1.0, "seed {seed}");
    }
}
