//! `bad_numbers` as a setting of whole runs.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::run::{Run, RunConfig, Summary};
use rl_core::toy::Guess;
use rl_core::{
    BadNumbers, BoxSpace, Discrete, Env, Result, Rng, Seeds, SerialVecEnv, Step, StepBatch, VecEnv,
};
use std::collections::BTreeMap;
use std::path::Path;

/// The tenth and the twentieth step of each episode, its last, have bad rewards, unless they are good.
struct Faulty {
    t: u64,
    good: bool,
}

impl Env for Faulty {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = u64;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.t = 0;
        obs.fill(rng.uniform(0.0, 1.0) as f32);
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.t += 1;
        obs.fill(action as f32);
        let bad = self.t.is_multiple_of(10) && !self.good;
        let reward = if bad { f32::NAN } else { -1.0 };
        Ok(Step::terminated_if(self.t == 20, reward))
    }
    fn state(&self) -> Option<u64> {
        Some(self.t)
    }
    fn set_state(&mut self, t: u64) -> Result<()> {
        self.t = t;
        Ok(())
    }
}

fn envs(n: usize, good: bool, seeds: Seeds) -> SerialVecEnv<Faulty> {
    SerialVecEnv::new((0..n).map(|_| Faulty { t: 0, good }).collect(), seeds).unwrap()
}

fn config(set: &[&str]) -> RunConfig {
    let mut config = RunConfig::new("guess", "Faulty-v0", 1_000);
    config.envs = 2;
    set.iter().for_each(|set| config.set(set).unwrap());
    config
}

fn train(mut run: Run, good_evaluation: bool) -> Result<Option<Summary>> {
    let seeds = run.seeds();
    let evaluation = |n, seeds| Ok(envs(n, good_evaluation, seeds));
    run.train(envs(2, false, seeds), Guess::default(), evaluation)
}

/// The files of a folder, but those that depend on the clock.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if !name.ends_with("summary.json") && !name.ends_with("learning_curve.svg") {
                all.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_run_skips_or_counts_as_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let new = |config, name: &str| Run::new(config).unwrap().in_folder(dir.path().join(name));
    let error = train(new(config(&[]), "stop"), true).unwrap_err().to_string();
    assert_eq!(error, "reward of environment 0 at step 18: expected a finite number, got NaN");
    for set in ["skip", "count"] {
        let config = || config(&[&format!("bad_numbers={set}"), "checkpoint_every=300"]);
        let whole = format!("{set}-whole");
        let summary = train(new(config(), &whole), false).unwrap().unwrap();
        assert_eq!(summary.bad_steps, Some(100));
        assert!(summary.evaluation_bad_steps > Some(0), "{summary}");
        assert!(summary.to_string().contains("100 steps while training"), "{summary}");
        let written = RunConfig::read(&dir.path().join(&whole).join("config.toml")).unwrap();
        assert_eq!(written, RunConfig { agent: written.agent.clone(), ..config() });
        let metrics = std::fs::read_to_string(dir.path().join(&whole).join("metrics.csv")).unwrap();
        let columns = metrics.lines().next().unwrap();
        assert!(columns.starts_with("step,episodes,bad_steps,"), "{columns}");
        assert!(columns.contains("evaluation_bad_steps"), "{columns}");

        // Stopped half way and resumed: the same files.
        let part = format!("{set}-part");
        assert!(train(new(config(), &part).stop_at(500), false).unwrap().is_none());
        let folder = dir.path().join(&part);
        let settings = folder.join("config.toml");
        let text = std::fs::read_to_string(&settings).unwrap();
        let other = if set == "skip" { "count" } else { "skip" };
        std::fs::write(&settings, text.replace(set, other)).unwrap();
        let error = train(Run::resume(&folder).unwrap(), false).unwrap_err().to_string();
        let expected = format!(
            "bad_numbers: expected \"{set}\", with which the run was trained so far, got \"{other}\""
        );
        assert_eq!(error, expected);
        std::fs::write(&settings, text).unwrap();
        let resumed = train(Run::resume(&folder).unwrap(), false).unwrap().unwrap();
        assert_eq!(resumed.bad_steps, summary.bad_steps);
        assert_eq!(resumed.evaluation_bad_steps, summary.evaluation_bad_steps);
        assert!(files(&folder) == files(&dir.path().join(&whole)));
    }
}

#[test]
fn a_run_that_stops_has_no_count() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    assert_eq!(config.bad_numbers, BadNumbers::Stop);
    let mut run = Run::new(config).unwrap().in_folder(dir.path().join("run"));
    let seeds = run.seeds();
    let evaluation = |n, seeds| Ok(envs(n, true, seeds));
    let summary = run.train(envs(2, true, seeds), Guess::default(), evaluation).unwrap().unwrap();
    assert_eq!((summary.bad_steps, summary.evaluation_bad_steps), (None, None));
    assert!(!summary.to_string().contains("bad numbers"));
    for (name, bytes) in files(dir.path()) {
        assert!(!name.contains("bad_numbers"), "{name}");
        assert!(!String::from_utf8_lossy(&bytes).contains("bad_steps"), "{name}");
    }
}

/// Environments that know nothing of bad numbers.
struct Plain(SerialVecEnv<Faulty>);

impl VecEnv for Plain {
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
}

#[test]
fn a_run_that_is_refused_leaves_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut run = Run::new(config(&["bad_numbers=skip"])).unwrap().in_folder(&folder);
    let seeds = run.seeds();
    let plain = |n, seeds| Ok(Plain(envs(n, true, seeds)));
    let error = run.train(plain(2, seeds).unwrap(), Guess::default(), plain).unwrap_err();
    assert!(error.to_string().starts_with("bad_numbers: expected stop, for environments"));
    assert!(!folder.exists());
}
