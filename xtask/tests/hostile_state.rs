//! State with a right checksum and wrong content is refused when it is loaded, and the agent stays as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, BoxSpace, Env, Rng, Sections, Seeds, SerialVecEnv, Space, TimeLimit, Trainer,
    TrainerConfig, VecEnv,
};
use rl_ddpg::SacConfig;
use rl_dqn::{DqnConfig, QLearningConfig};
use rl_envs::{CartPole, Copies, Pendulum, make_tabular};
use rl_nets::{AgentConfig, Backend};
use rl_pg::HillClimbingConfig;
use rl_ppo::PpoConfig;
use rl_replay::Rollout;

fn saved<C, V>(settings: C, envs: V) -> (C::Agent, Sections)
where
    V: VecEnv + 'static,
    C: AgentConfig<V::Obs, V::Action>,
{
    let agent = settings.build(&envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(200)).unwrap();
    trainer.run().unwrap();
    let sections = trainer.sections().unwrap();
    (trainer.into_parts().1, sections)
}

/// Loads what was tampered with: the error, once the agent is seen to be unchanged.
fn refused<A: Agent>(agent: &mut A, tampered: &Sections) -> String {
    let state = |agent: &A| {
        let mut sections = Sections::default();
        agent.save(&mut sections).unwrap();
        sections
    };
    let before = state(agent);
    let error = agent.load(tampered).unwrap_err().to_string();
    assert_eq!(state(agent).differences(&before), Vec::<String>::new());
    error
}

fn cart_pole() -> SerialVecEnv<TimeLimit<CartPole>> {
    let env = TimeLimit::new(CartPole::default(), 50).unwrap();
    SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap()
}

fn rng() -> Rng {
    Seeds::new(0).stream("agent", 0)
}

#[test]
fn counters_that_run_ahead() {
    let config = DqnConfig { buffer_size: 100, ..DqnConfig::default() };
    let (mut agent, mut sections) = saved(config, cart_pole());
    sections.put("dqn", &(rng(), 100u64, 101u64)).unwrap();
    let error = refused(&mut agent, &sections);
    assert_eq!(error, "dqn.bin: steps learned from: expected at most steps (100), got 101");
    // To learn from so many would take for ever.
    sections.put("dqn", &(rng(), 1u64 << 60, 0u64)).unwrap();
    let error = refused(&mut agent, &sections);
    let expected = "dqn.bin: steps not yet learned from: expected at most buffer_size (100), got 1152921504606846976";
    assert_eq!(error, expected);
    sections.put("dqn", &(rng(), u64::MAX, u64::MAX)).unwrap();
    let error = refused(&mut agent, &sections);
    let expected = "dqn.bin: steps: expected at most the largest count (9223372036854775807), got 18446744073709551615";
    assert_eq!(error, expected);

    let env = TimeLimit::new(Pendulum::default(), 50).unwrap();
    let envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    let config = SacConfig { buffer_size: 300, learning_starts: 150, ..SacConfig::default() };
    let (mut agent, mut sections) = saved(config, envs);
    let none: Option<Vec<f64>> = None;
    sections.put("off_policy", &(rng(), none, 100u64, 101u64)).unwrap();
    let error = refused(&mut agent, &sections);
    assert_eq!(error, "off_policy.bin: steps learned from: expected at most steps (100), got 101");
    sections.put("off_policy", &(rng(), None::<Vec<f64>>, 1u64 << 60, 0u64)).unwrap();
    let error = refused(&mut agent, &sections);
    let expected = "off_policy.bin: steps not yet learned from: expected at most buffer_size (300), got 1152921504606846976";
    assert_eq!(error, expected);
}

#[test]
fn rows_that_are_out_of_range() {
    let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
    let (mut agent, mut sections) = saved(config, cart_pole());
    type Learner = (Rng, Vec<u32>, Rollout<f32, u32>);
    let (rng, order, rollout): Learner = sections.get("learner").unwrap();
    for (at, row) in [(0, 64), (3, u32::MAX), (5, order[6])] {
        let mut wrong = order.clone();
        wrong[at] = row;
        sections.put("learner", &(&rng, &wrong, &rollout)).unwrap();
        let error = refused(&mut agent, &sections);
        assert_eq!(error, "learner.bin: the order of rows lacks one of them");
    }
}

#[test]
fn episodes_that_are_nowhere() {
    let (mut agent, mut sections) = saved(HillClimbingConfig::default(), cart_pole());
    // As a search stores them: candidates, returns, the next episode, and the environments'.
    type Generation = (Vec<f32>, Vec<Option<f64>>, usize, Vec<(Option<usize>, bool, f64)>);
    let (rng, (candidates, returns, next, lanes)): (Rng, Generation) =
        sections.get("search").unwrap();
    let mut lost = lanes.clone();
    lost[0].0 = Some(usize::MAX);
    for wrong in [
        (candidates.clone(), returns.clone(), next, lost),
        (candidates.clone(), returns.clone(), usize::MAX, lanes.clone()),
        (candidates, vec![None; returns.len()], returns.len(), vec![(None, true, 0.0)]),
    ] {
        sections.put("search", &(&rng, &wrong)).unwrap();
        let error = refused(&mut agent, &sections);
        assert_eq!(error, "search.bin: episodes that are neither played, nor done, nor to come");
    }
    let none: Generation = (Vec::new(), Vec::new(), 0, vec![(None, true, 0.0)]);
    sections.put("search", &(&rng, &none)).unwrap();
    let error = refused(&mut agent, &sections);
    assert_eq!(error, "search.bin: candidates: expected an integer >= 1, got 0");
}

#[test]
fn weights_that_are_no_numbers() {
    let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
    let (mut agent, mut sections) = saved(config, cart_pole());
    let mut bytes = sections.file("policy.safetensors").unwrap().to_vec();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    sections.put_file("policy.safetensors", bytes);
    let error = refused(&mut agent, &sections);
    assert!(error.ends_with("has NaN, not a finite number"), "{error}");

    let envs = make_tabular("CliffWalking-v1", Copies::new(1, Seeds::new(0))).unwrap();
    let (mut agent, mut sections) = saved(QLearningConfig::default(), envs);
    let mut table: Vec<f64> = sections.get("table").unwrap();
    table[3] = f64::INFINITY;
    sections.put("table", &table).unwrap();
    let error = refused(&mut agent, &sections);
    assert_eq!(error, "table.bin: has inf, not a finite number");
}

#[test]
fn returns_and_candidates_that_are_no_numbers() {
    let (mut agent, mut sections) = saved(HillClimbingConfig::default(), cart_pole());
    type Generation = (Vec<f32>, Vec<Option<f64>>, usize, Vec<(Option<usize>, bool, f64)>);
    let (rng, (mut candidates, returns, next, lanes)): (Rng, Generation) =
        sections.get("search").unwrap();
    candidates[2] = f32::NAN;
    sections.put("search", &(&rng, &(candidates, returns, next, lanes))).unwrap();
    let error = refused(&mut agent, &sections);
    assert_eq!(error, "search.bin: a parameter or a return: expected a finite number, got NaN");
}

#[test]
fn episodes_longer_than_their_limit() {
    let mut env = TimeLimit::new(CartPole::default(), 50).unwrap();
    let mut obs = vec![0.0; BoxSpace::width(&env.observation_space())];
    env.reset(&mut rng(), &mut obs).unwrap();
    let (_, state) = env.state().unwrap();
    let error = env.set_state((u32::MAX, state)).unwrap_err().to_string();
    assert_eq!(error, "steps of the episode: expected at most max_steps (50), got 4294967295");
}
