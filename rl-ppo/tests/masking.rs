//! Invalid-action masking: forbidden actions are never taken and never learned from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    Agent, AppendMask, BoxSpace, Discrete, Policy, Seeds, SerialVecEnv, Trainer, TrainerConfig,
    VecEnv, evaluate,
};
use rl_envs::MaskProbe;
use rl_nets::{ActorCriticConfig, Backend};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};

fn gates(nothing: bool) -> SerialVecEnv<AppendMask<MaskProbe>> {
    let gate = if nothing { MaskProbe::closed() } else { MaskProbe::default() };
    SerialVecEnv::new(vec![AppendMask::new(gate).unwrap(); 4], Seeds::new(0)).unwrap()
}

fn masked() -> ActorCriticConfig {
    ActorCriticConfig { action_mask: true, ..ActorCriticConfig::default() }
}

fn learns<A>(agent: A)
where
    A: Agent<Obs = BoxSpace, Action = Discrete>,
{
    let mut trainer = Trainer::new(gates(false), agent, TrainerConfig::new(20_000)).unwrap();
    trainer.run().unwrap();
    assert_eq!(evaluate(trainer.agent_mut(), &mut gates(false), 100).unwrap().mean(), 1.0);
}

#[test]
fn only_allowed_actions_are_taken_and_the_better_is_learned() {
    let seeds = Seeds::new(1);
    // Without candle there is the fused path alone.
    for backend in [Some(Backend::cpu()), Backend::by_name("reference").ok()].into_iter().flatten()
    {
        let clip = PpoConfig { network: masked(), n_steps: 64, ..PpoConfig::default() };
        learns(Ppo::new(&clip, &gates(false), &backend, seeds).unwrap());
    }
    let penalty = PpoKlConfig { network: masked(), n_steps: 64, ..PpoKlConfig::default() };
    learns(PpoKl::new(&penalty, &gates(false), &Backend::cpu(), seeds).unwrap());
    let region = TrpoConfig { network: masked(), n_steps: 64, ..TrpoConfig::default() };
    learns(Trpo::new(&region, &gates(false), &Backend::cpu(), seeds).unwrap());
}

#[test]
fn a_state_that_allows_nothing_is_an_error_that_says_so() {
    let config = PpoConfig { network: masked(), n_steps: 64, ..PpoConfig::default() };
    let agent = || Ppo::new(&config, &gates(false), &Backend::cpu(), Seeds::new(1)).unwrap();
    let mut trainer = Trainer::new(gates(true), agent(), TrainerConfig::new(100)).unwrap();
    let expected =
        "action mask of environment 0: expected at least one action that is allowed, got none";
    assert_eq!(trainer.run().unwrap_err().to_string(), expected);
    let error = agent().act_greedily(&[0.5, 1.0, 0.3, 0.0, 1.0], &mut [0]).unwrap_err().to_string();
    assert_eq!(error, "action mask of environment 0, action 1: expected 0 or 1, got 0.3");
    assert_eq!(gates(false).observation_space().low(), [-1.0, 0.0, 0.0, 0.0, 0.0]);
}
