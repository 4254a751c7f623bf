//! Invalid-action masking in the actor-critic with action values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    AppendMask, Policy, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig, evaluate,
};
use rl_envs::MaskProbe;
use rl_nets::Backend;
use rl_pg::{QActorCritic, QActorCriticConfig};

fn gates() -> SerialVecEnv<AppendMask<MaskProbe>> {
    let gate = AppendMask::new(MaskProbe::default()).unwrap();
    SerialVecEnv::new(vec![gate; 8], Seeds::new(0)).unwrap()
}

/// The probe returns an error for a forbidden action.
#[test]
fn only_allowed_actions_are_taken_and_the_better_is_learned() {
    let config = QActorCriticConfig {
        actor_learning_rate: Schedule::constant(3e-3),
        critic_learning_rate: Schedule::constant(5e-3),
        action_mask: true,
        ..QActorCriticConfig::default()
    };
    for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
        let agent = QActorCritic::new(&config, &gates(), &backend, Seeds::new(1)).unwrap();
        let mut trainer = Trainer::new(gates(), agent, TrainerConfig::new(24_000)).unwrap();
        trainer.run().unwrap();
        assert_eq!(evaluate(trainer.agent_mut(), &mut gates(), 100).unwrap().mean(), 1.0);
        let nothing = trainer.agent_mut().act_greedily(&[0.5, 0.0, 0.0, 0.0, 0.0], &mut [0]);
        assert!(nothing.unwrap_err().to_string().starts_with("action mask of environment 0"));
    }
}
