//! Invalid-action masking: forbidden actions are never taken, and what they would have earned is never
//! learned from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    ActionMask, Agent, AppendMask, BoxSpace, Discrete, Env, Policy, Result, Rng, Seeds,
    SerialVecEnv, Step, Trainer, TrainerConfig, VecEnv, evaluate,
};
use rl_nets::{ActorCriticConfig, Backend};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};

/// Four actions, of which two are allowed; the better one is worth 1, the other 0. A forbidden one
/// would be worth 100 but is an error.
#[derive(Clone)]
struct Gate {
    open: [bool; 4],
    nothing: bool,
}

impl Gate {
    fn new() -> Self {
        Gate { open: [false; 4], nothing: false }
    }
}

impl Env for Gate {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = [bool; 4];

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0], vec![1.0]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(4).unwrap()
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.open = [false; 4];
        let first = rng.below(4);
        self.open[first] = true;
        self.open[(first + 1 + rng.below(3)) % 4] = true;
        obs.fill(0.5);
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        assert!(self.open[action], "action {action} is forbidden");
        obs.fill(0.5);
        let best = self.open.iter().rposition(|&open| open) == Some(action);
        Ok(Step::terminated_if(true, if best { 1.0 } else { 0.0 }))
    }
    fn state(&self) -> [bool; 4] {
        self.open
    }
    fn set_state(&mut self, open: [bool; 4]) -> Result<()> {
        self.open = open;
        Ok(())
    }
}

impl ActionMask for Gate {
    fn action_mask(&self, mask: &mut [f32]) {
        let allowed = |open: &bool| if *open && !self.nothing { 1.0 } else { 0.0 };
        mask.iter_mut().zip(&self.open).for_each(|(m, open)| *m = allowed(open));
    }
}

fn gates(nothing: bool) -> SerialVecEnv<AppendMask<Gate>> {
    let gate = || AppendMask::new(Gate { nothing, ..Gate::new() }).unwrap();
    SerialVecEnv::new((0..4).map(|_| gate()).collect(), Seeds::new(0)).unwrap()
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
    for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
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
