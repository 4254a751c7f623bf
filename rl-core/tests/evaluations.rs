//! Evaluations while training.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::toy::Guess;
use rl_core::{
    BoxSpace, ClipReward, Discrete, Env, Error, EvaluateEvery, MemorySink, NormalizeReward, Result,
    Rng, Seeds, SerialVecEnv, Step, ThreadedVecEnv, Trainer, TrainerConfig, VecEnv,
};

/// Its reward is the number of steps that it has ever taken: its state outlasts a reset. An episode has two steps.
#[derive(Clone, Default)]
struct Ages {
    steps: u64,
    /// What its state is before the first reset.
    fresh: Option<Fresh>,
}

#[derive(Clone, Copy)]
enum Fresh {
    Refused,
    Panics,
}

impl Env for Ages {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = u64;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.fresh = None;
        obs.fill(1.0);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.steps += 1;
        obs.fill(1.0);
        Ok(Step::terminated_if(self.steps.is_multiple_of(2), self.steps as f32))
    }
    fn state(&self) -> Option<u64> {
        assert!(!matches!(self.fresh, Some(Fresh::Panics)), "not begun");
        Some(self.steps)
    }
    fn set_state(&mut self, steps: u64) -> Result<()> {
        if self.fresh.is_some() {
            return Err(Error::Env("not begun".into()));
        }
        self.steps = steps;
        Ok(())
    }
}

type Envs = Box<dyn VecEnv<Obs = BoxSpace, Action = Discrete>>;

fn ages(fresh: Option<Fresh>) -> Vec<Ages> {
    vec![Ages { steps: 0, fresh }]
}

fn serial(fresh: Option<Fresh>) -> SerialVecEnv<Ages> {
    SerialVecEnv::new(ages(fresh), Seeds::new(0)).unwrap()
}

/// The returns of four evaluations in these environments.
fn evaluations(envs: Envs) -> Vec<f64> {
    let sink = MemorySink::default();
    let training: Envs = Box::new(serial(None));
    let mut trainer = Trainer::new(training, Guess::default(), TrainerConfig::new(40))
        .unwrap()
        .with_callback(EvaluateEvery::new(envs, Seeds::new(0), 10, 1).unwrap())
        .with_sink(sink.clone());
    trainer.run().unwrap();
    let rows = sink.rows();
    let values = rows.iter().flat_map(|row| &row.values);
    values.filter(|(name, _)| name == "evaluation_return").map(|(_, value)| *value).collect()
}

/// A run that is resumed has evaluation environments that are new: those of one that was not stopped are to be like them.
#[test]
fn each_evaluation_begins_from_the_same_state() {
    let threaded = ThreadedVecEnv::new(ages(None), Seeds::new(0), 1).unwrap();
    let all: [Envs; 4] = [
        Box::new(serial(None)),
        Box::new(threaded),
        Box::new(ClipReward::new(serial(None))),
        Box::new(NormalizeReward::new(serial(None), 0.9, 5.0).unwrap()),
    ];
    for envs in all {
        // Returns are of the environments' own rewards.
        assert_eq!(evaluations(envs), [3.0; 4]);
    }
}

/// Where there is no state before the first reset, evaluations go on from one another.
#[test]
fn environments_without_a_first_state_are_evaluated() {
    for fresh in [Fresh::Refused, Fresh::Panics] {
        let threaded = ThreadedVecEnv::new(ages(Some(fresh)), Seeds::new(0), 1).unwrap();
        let all: [Envs; 2] = [Box::new(serial(Some(fresh))), Box::new(threaded)];
        for envs in all {
            assert_eq!(evaluations(envs), [3.0, 7.0, 11.0, 15.0]);
        }
    }
}
