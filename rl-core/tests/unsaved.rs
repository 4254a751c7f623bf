//! Environments that cannot save their state: a resumed run begins new episodes, as truncations.
#![allow(clippy::unwrap_used, clippy::panic)] // How a test fails.

use rl_core::toy::{Guess, Sign};
use rl_core::{
    BoxSpace, Discrete, End, Env, MapReward, MemorySink, Metrics, NormalizeObs, NormalizeReward,
    Result, Rng, Seeds, SerialVecEnv, Step, StepBatch, ThreadedVecEnv, TimeLimit, ToSign, Trainer,
    TrainerConfig, VecEnv,
};

/// Shows a random number that does not change within an episode, and the step. Every second of them can be saved.
struct Draw {
    number: f32,
    t: u32,
    saves: bool,
}

impl Env for Draw {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = (f32, u32);
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(2).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(1).unwrap()
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        (self.number, self.t) = (rng.uniform(0.0, 1.0) as f32, 0);
        obs.copy_from_slice(&[self.number, 0.0]);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.t += 1;
        obs.copy_from_slice(&[self.number, self.t as f32]);
        Ok(Step::running(self.number))
    }
    fn state(&self) -> Option<(f32, u32)> {
        self.saves.then_some((self.number, self.t))
    }
    fn set_state(&mut self, state: (f32, u32)) -> Result<()> {
        (self.number, self.t) = state;
        Ok(())
    }
}

const ENVS: usize = 4;

fn draws() -> Vec<TimeLimit<Draw>> {
    let draw = |i| Draw { number: 0.0, t: 0, saves: i % 2 == 1 };
    (0..ENVS).map(|i| TimeLimit::new(draw(i), 5).unwrap()).collect()
}

fn serial() -> SerialVecEnv<TimeLimit<Draw>> {
    SerialVecEnv::new(draws(), Seeds::new(0)).unwrap()
}

/// Before the first reset there is no episode to begin again.
#[test]
fn an_unsaved_environment_waits_for_its_first_reset() {
    let saved = serial().save().unwrap();
    let threaded = ThreadedVecEnv::new(draws(), Seeds::new(0), 2).unwrap();
    let loaded: [&mut dyn VecEnv<Obs = BoxSpace, Action = Discrete>; 2] =
        [&mut serial(), &mut { threaded }];
    for envs in loaded {
        envs.load(&saved).unwrap();
        assert_eq!(envs.batch().reset_since(), [false; ENVS]);
        assert!(envs.step(&[0; ENVS]).is_err());
        envs.reset().unwrap();
        envs.step(&[0; ENVS]).unwrap();
        // As if it had never been loaded.
        let mut fresh = serial();
        fresh.reset().unwrap();
        fresh.step(&[0; ENVS]).unwrap();
        assert_eq!(envs.batch().observations(), fresh.batch().observations());
    }
}

#[test]
fn an_unsaved_environment_begins_an_episode_when_it_is_loaded() {
    let mut envs = serial();
    envs.reset().unwrap();
    (0..8).for_each(|_| envs.step(&[0; ENVS]).unwrap());
    let (saved, before) = (envs.save().unwrap(), envs.batch().observations().to_vec());
    assert!(!envs.resumes_exactly());

    let mut resumed = serial();
    resumed.load(&saved).unwrap();
    assert_eq!(resumed.batch().reset_since(), [true, false, true, false]);
    for (i, (old, new)) in
        before.chunks(2).zip(resumed.batch().observations().chunks(2)).enumerate()
    {
        match i % 2 {
            0 => assert!(new[0] != old[0] && new[1] == 0.0, "{old:?}, then {new:?}"),
            _ => assert_eq!(old, new),
        }
    }
    // Saved after three steps of its second episode: two are left of the one that goes on, five of the one that began.
    for step in 1..=5 {
        resumed.step(&[0; ENVS]).unwrap();
        let transitions = resumed.batch().transitions(&[0; ENVS]);
        assert_eq!(transitions.resets()[0], step == 1);
        assert_eq!(transitions.ends()[0], (step == 5).then_some(End::Truncated));
        assert_eq!(transitions.ends()[1], (step == 2).then_some(End::Truncated));
        for episode in resumed.batch().episodes() {
            assert_eq!(episode.length, 5);
        }
    }
}

#[test]
fn threads_make_no_difference() {
    let threaded = |threads| ThreadedVecEnv::new(draws(), Seeds::new(0), threads).unwrap();
    let mut one = serial();
    one.reset().unwrap();
    (0..8).for_each(|_| one.step(&[0; ENVS]).unwrap());
    let saved = one.save().unwrap();
    one.load(&saved).unwrap();
    for threads in [1, 3, 4] {
        let (mut one, mut other) = (serial(), threaded(threads));
        assert!(!other.resumes_exactly());
        other.reset().unwrap();
        (0..8).for_each(|_| other.step(&[0; ENVS]).unwrap());
        assert_eq!(other.save().unwrap(), saved);
        one.load(&saved).unwrap();
        other.load(&saved).unwrap();
        for _ in 0..12 {
            one.step(&[0; ENVS]).unwrap();
            other.step(&[0; ENVS]).unwrap();
            let both = [one.batch(), other.batch()];
            let shown = both.map(|b| (b.observations(), b.rewards(), b.ends(), b.episodes()));
            assert_eq!(shown[0], shown[1]);
            let resets = both.map(|b| b.transitions(&[0; ENVS]).resets().to_vec());
            assert_eq!(resets[0], resets[1]);
        }
        assert_eq!(one.save().unwrap(), other.save().unwrap());
    }
}

#[test]
fn normalisers_show_the_new_first_observation() {
    let make = || {
        let envs = NormalizeObs::new(serial(), 10.0).unwrap();
        NormalizeReward::new(envs, 0.9, 10.0).unwrap()
    };
    let mut envs = make();
    envs.reset().unwrap();
    (0..8).for_each(|_| envs.step(&[0; ENVS]).unwrap());
    let (saved, before) = (envs.save().unwrap(), envs.batch().observations().to_vec());
    let moments = envs.moments();
    envs.load(&saved).unwrap();
    assert!(!envs.resumes_exactly());
    assert_eq!(envs.moments(), moments);
    let after = envs.batch().observations();
    assert_eq!((&before[2..4], &before[6..]), (&after[2..4], &after[6..]));
    // An episode's first step is normalised as zero is.
    let zero = ((0.0 - moments[0].mean()[1]) / (moments[0].variance(1) + 1e-8).sqrt()) as f32;
    assert!((after[1] - zero).abs() < 1e-5 && after[1] != before[1], "{after:?} {zero}");
    assert_eq!(envs.batch().reset_since(), [true, false, true, false]);
}

/// Environments that measure something of each episode.
struct Measured(SerialVecEnv<Sign>);

impl VecEnv for Measured {
    type Obs = BoxSpace;
    type Action = Discrete;
    fn observation_space(&self) -> &BoxSpace {
        self.0.observation_space()
    }
    fn action_space(&self) -> &Discrete {
        self.0.action_space()
    }
    fn batch(&self) -> &StepBatch<f32> {
        self.0.batch()
    }
    fn reset(&mut self) -> Result<()> {
        self.0.reset()
    }
    fn step(&mut self, actions: &[u32]) -> Result<()> {
        self.0.step(actions)
    }
    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        self.0.reseed(seeds)
    }
    fn save(&self) -> Result<Vec<u8>> {
        self.0.save()
    }
    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.load(bytes)
    }
    fn record(&self, metrics: &mut Metrics) {
        for episode in self.0.batch().episodes() {
            metrics.record(format!("info/length_{}", episode.length), 2.0);
        }
    }
}

#[test]
fn what_environments_measure_reaches_the_metrics() {
    let signs = SerialVecEnv::new(vec![Sign::with_length(5)], Seeds::new(0)).unwrap();
    let envs: Box<dyn VecEnv<Obs = BoxSpace, Action = Discrete>> =
        Box::new(MapReward::wrap(Measured(signs), Some(ToSign)));
    let sink = MemorySink::default();
    let config = TrainerConfig { log_every: 10, ..TrainerConfig::new(20) };
    let mut trainer = Trainer::new(envs, Guess::default(), config).unwrap().with_sink(sink.clone());
    trainer.run().unwrap();
    for row in sink.rows() {
        assert!(row.values.contains(&("info/length_5".to_owned(), 2.0)), "{row:?}");
    }
    assert_eq!(sink.rows().len(), 2);
}
