//! An environment and an agent of one's own, with this crate alone: a walk along six cells, Q-learning with a table, and
//! the [`Trainer`] that runs every agent.
//!
//! `cargo run --release --package rl-core --example own_agent`
#![allow(clippy::print_stdout, clippy::expect_used)] // A program prints; the spaces are constant.

use rl_core::{
    Agent, Discrete, End, Env, Metrics, Policy, Progress, Result, Rng, Sections, Seeds,
    SerialVecEnv, Step, TimeLimit, Trainer, TrainerConfig, Transitions, check, evaluate,
};

const CELLS: usize = 6;

/// Walks left (0) or right (1) from cell 0 to the last one. Each step costs 1.
#[derive(Clone, Default)]
struct Walk(u32);

impl Env for Walk {
    type Obs = Discrete; // the number of a cell; `BoxSpace` is a row of numbers
    type Action = Discrete;
    type State = u32; // what a checkpoint keeps

    fn observation_space(&self) -> Discrete {
        Discrete::new(CELLS as u32).expect("six cells")
    }

    fn action_space(&self) -> Discrete {
        Discrete::new(2).expect("two actions")
    }

    fn reset(&mut self, _: &mut Rng, obs: &mut [u32]) -> Result<()> {
        (self.0, obs[0]) = (0, 0);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [u32]) -> Result<Step> {
        self.0 = if action == 1 { self.0 + 1 } else { self.0.saturating_sub(1) };
        obs[0] = self.0;
        Ok(Step::terminated_if(self.0 as usize == CELLS - 1, -1.0))
    }

    fn state(&self) -> Option<u32> {
        Some(self.0)
    }

    fn set_state(&mut self, state: u32) -> Result<()> {
        self.0 = state;
        Ok(())
    }
}

/// The value of each action in each cell. All begin at 0, more than any is worth, so that each is tried.
struct Table {
    values: Vec<[f32; 2]>,
}

impl Policy for Table {
    type Obs = Discrete;
    type Action = Discrete;

    fn act_greedily(&mut self, cells: &[u32], actions: &mut [u32]) -> Result<()> {
        for (cell, action) in cells.iter().zip(actions) {
            let [left, right] = self.values[*cell as usize];
            *action = u32::from(right > left);
        }
        Ok(())
    }
}

impl Agent for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn act(&mut self, cells: &[u32], _: Progress, actions: &mut [u32]) -> Result<()> {
        self.act_greedily(cells, actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, u32, u32>) -> Result<()> {
        transitions.check(1)?;
        let [left, right] = self.values[transitions.next_observation(0)[0] as usize];
        // After a termination nothing follows; after a truncation the value still counts.
        let ended = transitions.ends()[0] == Some(End::Terminated);
        let target = transitions.rewards()[0] + if ended { 0.0 } else { left.max(right) };
        let (cell, action) = (transitions.observations()[0], transitions.actions()[0]);
        let value = &mut self.values[cell as usize][action as usize];
        *value += 0.5 * (target - *value);
        Ok(())
    }

    fn update(&mut self, _: Progress, metrics: &mut Metrics) -> Result<()> {
        metrics.record("value_of_start", self.values[0][1].into());
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put("values", &self.values)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        let values: Vec<[f32; 2]> = from.get("values")?;
        check::len("values", CELLS, values.len())?;
        self.values = values;
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        self.load_policy(from)
    }
}

fn main() -> Result<()> {
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(Walk::default(), 50)?], Seeds::new(0));
    let agent = Table { values: vec![[0.0; 2]; CELLS] };
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(2_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert_eq!(mean, -5.0, "five steps to the right");
    println!("Q-learning with a table: mean return {mean}");
    Ok(())
}
