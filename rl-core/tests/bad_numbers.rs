//! What happens where an environment gives a number that is NaN or infinite: stop, skip or count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::toy::{Guess, Sign};
use rl_core::{
    Agent, BadNumbers, BoxSpace, CheckpointDir, CheckpointEvery, ClipReward, Discrete, End, Env,
    Episode, EvaluateEvery, Latest, MapReward, MemorySink, Metrics, NormalizeObs, NormalizeReward,
    Policy, Progress, Result, RewardMap, Rng, Sections, Seeds, SerialVecEnv, Step, StepBatch,
    StopAt, ThreadedVecEnv, Trainer, TrainerConfig, Transitions, VecEnv, evaluate,
};
use std::cell::RefCell;
use std::rc::Rc;

/// Shows the step of its episode and a random number; the reward is the step's number too. An episode has seven steps. Every
/// `every`-th of all steps is bad; none where that is 0.
#[derive(Clone)]
struct Faulty {
    steps: u64,
    t: u64,
    every: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Reward(f32),
    Observation(f32),
    /// The last observation of an episode, which ends at this step.
    Final(f32),
    /// The first observation of the episode that follows a bad step.
    First(f32),
}

impl Faulty {
    fn is_bad(&self) -> bool {
        self.steps > 0 && self.steps.is_multiple_of(self.every)
    }
}

impl Env for Faulty {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = (u64, u64);

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(2).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.t = 0;
        obs.copy_from_slice(&[0.0, rng.uniform(0.0, 1.0) as f32]);
        if let (How::First(value), true) = (self.how, self.is_bad()) {
            obs[1] = value;
        }
        Ok(())
    }
    fn step(&mut self, _: usize, rng: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        (self.steps, self.t) = (self.steps + 1, self.t + 1);
        obs.copy_from_slice(&[self.t as f32, rng.uniform(0.0, 1.0) as f32]);
        let (mut reward, mut ends) = (self.t as f32, self.t == 7);
        if self.is_bad() {
            match self.how {
                How::Reward(value) => reward = value,
                How::Observation(value) => obs[0] = value,
                How::Final(value) => (obs[0], ends) = (value, true),
                How::First(_) => ends = true,
            }
        }
        Ok(Step::terminated_if(ends, reward))
    }
    fn state(&self) -> Option<(u64, u64)> {
        Some((self.steps, self.t))
    }
    fn set_state(&mut self, state: (u64, u64)) -> Result<()> {
        (self.steps, self.t) = state;
        Ok(())
    }
}

/// Environments of which the second goes wrong.
fn faulty(n: usize, every: u64, how: How) -> Vec<Faulty> {
    let every = |i| if i == 1 { every } else { 0 };
    (0..n).map(|i| Faulty { steps: 0, t: 0, every: every(i), how }).collect()
}

fn serial(n: usize, every: u64, how: How) -> SerialVecEnv<Faulty> {
    SerialVecEnv::new(faulty(n, every, how), Seeds::new(0)).unwrap()
}

type Envs = Box<dyn VecEnv<Obs = BoxSpace, Action = Discrete>>;

/// The same environments on the calling thread and on one, two and three others.
fn everywhere(every: u64, how: How) -> Vec<Envs> {
    let mut all: Vec<Envs> = vec![Box::new(serial(3, every, how))];
    for threads in 1..=3 {
        let envs = faulty(3, every, how);
        all.push(Box::new(ThreadedVecEnv::new(envs, Seeds::new(0), threads).unwrap()));
    }
    all
}

/// A transition of one environment, without the random number: acted on, reward, next, end, and what is acted on next.
type Seen = (f32, f32, f32, Option<End>, f32);

fn seen(batch: &StepBatch<f32>, env: usize) -> Seen {
    let shown = batch.transitions(&[0; 3]);
    let (next, first) = (shown.next_observation(env)[0], batch.observations()[2 * env]);
    let acted_on = shown.observations()[2 * env];
    (acted_on, shown.rewards()[env], next, shown.ends()[env], first)
}

const BAD: [How; 5] = [
    How::Reward(f32::NAN),
    How::Reward(f32::NEG_INFINITY),
    How::Observation(f32::INFINITY),
    How::Observation(f32::NAN),
    How::Final(f32::NAN),
];

/// What learners are shown of the fourth step, which is bad.
fn fourth_step(envs: &mut Envs, bad_numbers: BadNumbers) -> Seen {
    envs.set_bad_numbers(bad_numbers).unwrap();
    envs.reset().unwrap();
    for _ in 0..3 {
        envs.step(&[0; 3]).unwrap();
        assert_eq!(envs.batch().bad_steps(), 0);
    }
    envs.step(&[0; 3]).unwrap();
    // The others are as they would be.
    for other in [0, 2] {
        assert_eq!(seen(envs.batch(), other), (3.0, 4.0, 4.0, None, 4.0));
    }
    seen(envs.batch(), 1)
}

#[test]
fn a_bad_step_stops_or_is_skipped_or_is_counted() {
    for how in BAD {
        for mut envs in everywhere(4, how) {
            fourth_step(&mut envs, BadNumbers::Stop);
            let (what, got) = match how {
                How::Reward(value) => ("reward", value),
                How::Final(value) => ("final observation[0]", value),
                How::Observation(value) | How::First(value) => ("observation[0]", value),
            };
            let expected =
                format!("{what} of environment 1 at step 9: expected a finite number, got {got:?}");
            assert_eq!(envs.batch().check_finite(9).unwrap_err().to_string(), expected);
            assert_eq!(envs.batch().bad_steps(), 0);
        }
        for mut envs in everywhere(4, how) {
            // Cut off at the new observation, with the number that was acted on where that is bad; another episode begins.
            let good = matches!(how, How::Reward(_));
            let expected = (3.0, 0.0, if good { 4.0 } else { 3.0 }, Some(End::Truncated), 0.0);
            assert_eq!(fourth_step(&mut envs, BadNumbers::Skip), expected, "{how:?}");
            let batch = envs.batch();
            // The other number is good.
            assert_ne!(batch.finals()[3], batch.transitions(&[0; 3]).observations()[3]);
            assert_eq!(batch.episodes(), [Episode { env: 1, episode_return: 6.0, length: 4 }]);
            assert_eq!(batch.bad_steps(), 1);
            batch.check_finite(9).unwrap();
            envs.step(&[0; 3]).unwrap();
            assert_eq!(seen(envs.batch(), 1), (0.0, 1.0, 1.0, None, 1.0));
            assert_eq!(envs.batch().bad_steps(), 0);
        }
        for mut envs in everywhere(4, how) {
            let expected = match how {
                How::Reward(_) => (3.0, 0.0, 4.0, None, 4.0),
                How::Observation(_) | How::First(_) => (3.0, 4.0, 0.0, None, 0.0),
                How::Final(_) => (3.0, 4.0, 0.0, Some(End::Terminated), 0.0),
            };
            assert_eq!(fourth_step(&mut envs, BadNumbers::Count), expected, "{how:?}");
            assert_eq!(envs.batch().bad_steps(), 1);
            envs.batch().check_finite(9).unwrap();
            // What is returned is the sum of the rewards that are shown.
            let mut rewards = 1.0 + 2.0 + 3.0 + f64::from(expected.1);
            while envs.batch().episodes().is_empty() {
                envs.step(&[0; 3]).unwrap();
                rewards += f64::from(envs.batch().rewards()[1]);
            }
            let episode = *envs.batch().episodes().iter().find(|e| e.env == 1).unwrap();
            assert_eq!(episode.episode_return, rewards);
        }
    }
}

#[test]
fn threads_make_no_difference() {
    for how in BAD {
        for bad_numbers in [BadNumbers::Skip, BadNumbers::Count] {
            let runs = everywhere(5, how).into_iter().map(|mut envs| {
                envs.set_bad_numbers(bad_numbers).unwrap();
                envs.reset().unwrap();
                let mut all = Vec::new();
                for _ in 0..60 {
                    envs.step(&[0; 3]).unwrap();
                    let b = envs.batch();
                    let rows = [b.observations(), b.rewards(), b.finals()].map(<[f32]>::to_vec);
                    all.push((rows, b.ends().to_vec(), b.episodes().to_vec(), b.bad_steps()));
                }
                (all, envs.save().unwrap())
            });
            let runs: Vec<_> = runs.collect();
            let bad: u64 = runs[0].0.iter().map(|step| step.3).sum();
            assert_eq!(bad, 12);
            assert!(runs.iter().all(|run| *run == runs[0]), "{how:?} {bad_numbers:?}");
        }
    }
}

/// What a wrapper clips is refused all the same, through another wrapper too.
#[test]
fn wrappers_do_not_hide_what_is_infinite() {
    let inf = f32::INFINITY;
    let (observation, reward) =
        (serial(3, 4, How::Observation(inf)), || serial(3, 4, How::Reward(inf)));
    let wrapped: [(&str, Envs); 3] = [
        ("observation[0]", Box::new(NormalizeObs::new(observation, 10.0).unwrap())),
        ("reward", Box::new(ClipReward::new(reward()))),
        ("reward", Box::new(NormalizeReward::new(reward(), 0.99, 10.0).unwrap())),
    ];
    for (what, envs) in wrapped {
        let envs: Envs = Box::new(ClipReward::new(envs));
        let mut trainer = trainer(envs, BadNumbers::Stop);
        let expected =
            format!("{what} of environment 1 at step 9: expected a finite number, got inf");
        assert_eq!(trainer.run().unwrap_err().to_string(), expected);
    }
    let mut envs = ClipReward::new(reward());
    let error = evaluate(&mut Keeps::default(), &mut envs, 6).unwrap_err().to_string();
    assert!(error.starts_with("in an evaluation, reward of environment 1 at step 9"), "{error}");
    // What a wrapper makes of good numbers is looked at too.
    let mut envs = MapReward::wrap(serial(3, 0, How::Reward(inf)), ToNan);
    envs.reset().unwrap();
    envs.step(&[0; 3]).unwrap();
    let error = envs.check_finite(0).unwrap_err().to_string();
    assert!(error.starts_with("reward of environment 0 at step 0"), "{error}");
}

#[derive(Clone)]
struct ToNan;

impl RewardMap for ToNan {
    fn map(&mut self, rewards: &mut [f32], _: &[Option<End>], _: bool) -> Result<()> {
        rewards.fill(f32::NAN);
        Ok(())
    }
}

/// Final observations of an evaluation that failed are not those of the next.
#[test]
fn bad_numbers_do_not_outlast_a_reset() {
    let mut envs = serial(3, 4, How::Final(f32::NAN));
    evaluate(&mut Keeps::default(), &mut envs, 6).unwrap_err();
    envs.set_bad_numbers(BadNumbers::Count).unwrap();
    evaluate(&mut Keeps::default(), &mut envs, 6).unwrap();
}

/// A first observation cannot be skipped: it stops, or is counted.
#[test]
fn a_bad_first_observation_is_an_error_or_is_counted() {
    for bad_numbers in [BadNumbers::Stop, BadNumbers::Skip] {
        for mut envs in everywhere(4, How::First(f32::NAN)) {
            fourth_step(&mut envs, bad_numbers);
            let error = envs.batch().check_finite(9).unwrap_err().to_string();
            let expected =
                "observation[1] of environment 1 at step 9: expected a finite number, got NaN";
            assert_eq!((&*error, envs.batch().bad_steps()), (expected, 0));
            let mut trainer = trainer(envs, bad_numbers);
            assert_eq!(
                trainer.run().unwrap_err().to_string(),
                expected.replace("step 9", "step 0")
            );
        }
    }
    for mut envs in everywhere(4, How::First(f32::NAN)) {
        let step = fourth_step(&mut envs, BadNumbers::Count);
        assert_eq!(step, (3.0, 4.0, 4.0, Some(End::Terminated), 0.0));
        assert_eq!((envs.batch().observations()[3], envs.batch().bad_steps()), (0.0, 1));
        // Its next reset is bad as well.
        envs.reset().unwrap();
        assert_eq!((envs.batch().observations()[3], envs.batch().bad_steps()), (0.0, 1));
        let mut trainer = trainer(envs, BadNumbers::Count);
        trainer.run().unwrap();
        assert_eq!(trainer.bad_steps(), 1 + STEPS / 4);
    }
}

/// Steps of each environment in a run.
const STEPS: u64 = 100;

type Shown = (Vec<f32>, f32, Vec<f32>, Option<End>);

/// Keeps what it is shown of the second environment, and learns a number of it.
#[derive(Default)]
struct Keeps {
    shown: Rc<RefCell<Vec<Shown>>>,
    learned: f32,
}

impl Policy for Keeps {
    type Obs = BoxSpace;
    type Action = Discrete;
    fn act_greedily(&mut self, _: &[f32], actions: &mut [u32]) -> Result<()> {
        actions.fill(0);
        Ok(())
    }
}

impl Agent for Keeps {
    fn name(&self) -> &'static str {
        "keeps"
    }
    fn act(&mut self, obs: &[f32], _: Progress, actions: &mut [u32]) -> Result<()> {
        self.act_greedily(obs, actions)
    }
    fn observe(&mut self, t: &Transitions<'_, f32, u32>) -> Result<()> {
        t.check(t.len())?;
        let acted_on = t.observations()[2..4].to_vec();
        let next = t.next_observation(1).to_vec();
        self.learned = 0.9 * self.learned + t.rewards()[1] + next[1] - 0.5 * acted_on[1];
        self.shown.borrow_mut().push((acted_on, t.rewards()[1], next, t.ends()[1]));
        Ok(())
    }
    fn update(&mut self, _: Progress, metrics: &mut Metrics) -> Result<()> {
        metrics.record("learned", self.learned.into());
        Ok(())
    }
    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put("learned", &self.learned)
    }
    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.learned = from.get("learned")?;
        Ok(())
    }
    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)
    }
    fn load(&mut self, from: &Sections) -> Result<()> {
        self.load_policy(from)
    }
}

fn trainer(envs: Envs, bad_numbers: BadNumbers) -> Trainer<Envs, Keeps> {
    let config = TrainerConfig { bad_numbers, log_every: 30, ..TrainerConfig::new(3 * STEPS) };
    Trainer::new(envs, Keeps::default(), config).unwrap()
}

#[test]
fn agents_see_a_truncation_and_finite_numbers() {
    for how in BAD {
        for envs in everywhere(4, how) {
            let mut trainer = trainer(envs, BadNumbers::Skip);
            trainer.run().unwrap();
            let shown = trainer.agent().shown.borrow().clone();
            for (step, (acted_on, reward, next, end)) in shown.iter().enumerate() {
                // Four steps an episode, the last of which is cut off.
                let t = (step % 4) as f32;
                match end {
                    None => assert_eq!((acted_on[0], *reward, next[0]), (t, t + 1.0, t + 1.0)),
                    Some(end) => {
                        assert_eq!((t, *end), (3.0, End::Truncated));
                        assert_eq!(*reward, 0.0);
                        assert_eq!(acted_on[0] != next[0], matches!(how, How::Reward(_)));
                    }
                }
                assert!(acted_on.iter().chain(next).all(|x| x.is_finite()));
            }
            assert_eq!(shown.iter().filter(|shown| shown.3.is_some()).count(), 25);
            assert_eq!(trainer.bad_steps(), 25);
            // 14 episodes of each of the other two.
            assert_eq!(trainer.episodes(), 25 + 28);
        }
        let mut trainer = trainer(everywhere(4, how).remove(0), BadNumbers::Count);
        trainer.run().unwrap();
        assert_eq!(trainer.bad_steps(), 25);
        let shown = trainer.agent().shown.borrow().clone();
        assert!(shown.iter().all(|(acted_on, reward, next, end)| {
            let finite = acted_on.iter().chain(next).chain([reward]).all(|x| x.is_finite());
            finite && *end != Some(End::Truncated)
        }));
    }
}

#[test]
fn a_run_stops_at_a_bad_number_by_default() {
    let config = TrainerConfig::new(3 * STEPS);
    assert_eq!(config.bad_numbers, BadNumbers::Stop);
    for how in BAD {
        for envs in everywhere(4, how) {
            let mut trainer = Trainer::new(envs, Keeps::default(), config.clone()).unwrap();
            let error = trainer.run().unwrap_err().to_string();
            assert!(error.contains(" of environment 1 at step 9: expected a finite"), "{error}");
        }
    }
}

/// What a run gives that never meets a bad number is the same, but for the count, whatever it would do; runs that stop have
/// neither column nor section.
#[test]
fn the_count_is_shown_where_a_run_counts() {
    let run = |every, bad_numbers| {
        let sink = MemorySink::default();
        let mut trainer = trainer(Box::new(serial(3, every, How::Reward(f32::NAN))), bad_numbers)
            .with_sink(sink.clone());
        trainer.run().unwrap();
        let sections = trainer.sections().unwrap();
        (sink.rows(), sections)
    };
    let (plain, sections) = run(0, BadNumbers::Stop);
    assert!(sections.find("bad_numbers.bin").is_none());
    assert!(plain.iter().all(|row| row.values.iter().all(|(name, _)| name != "bad_steps")));
    for bad_numbers in [BadNumbers::Skip, BadNumbers::Count] {
        let (mut rows, mut others) = run(0, bad_numbers);
        for row in &mut rows {
            assert_eq!(row.values.remove(1), ("bad_steps".to_owned(), 0.0));
        }
        assert_eq!(rows, plain);
        others.remove("bad_numbers.bin");
        assert_eq!(others, sections);
        let counts: Vec<f64> = run(4, bad_numbers).0.iter().map(|row| row.values[1].1).collect();
        // A row every ten steps of each environment.
        assert_eq!(counts, [2.0, 5.0, 7.0, 10.0, 12.0, 15.0, 17.0, 20.0, 22.0, 25.0]);
    }
}

#[test]
fn a_resumed_run_has_the_same_bits_and_count() {
    for how in BAD {
        for bad_numbers in [BadNumbers::Skip, BadNumbers::Count] {
            let dir = tempfile::tempdir().unwrap();
            let [whole, first, second] = [(); 3].map(|()| MemorySink::default());
            let with = |envs, folder: &str, stop, sink: &MemorySink| {
                trainer(envs, bad_numbers)
                    .with_sink(sink.clone())
                    .with_checkpoints(CheckpointDir::new(dir.path().join(folder)))
                    .with_callback(CheckpointEvery::new(117).unwrap())
                    .with_callback(StopAt(stop))
            };
            let make = |i| everywhere(4, how).remove(i);
            let mut uninterrupted = with(make(0), "a", u64::MAX, &whole);
            uninterrupted.run().unwrap();
            // Stopped after the checkpoint, after which the very next step is bad; begun on one thread and continued on two.
            with(make(0), "b", 150, &first).run().unwrap();
            let Latest { manifest, sections, .. } =
                CheckpointDir::new(dir.path().join("b")).read_latest().unwrap();
            assert_eq!(manifest.step, 117);
            let mut resumed = with(make(2), "b", u64::MAX, &second);
            resumed.resume(&manifest, &sections).unwrap();
            assert_eq!(resumed.bad_steps(), 9);
            resumed.run().unwrap();
            assert_eq!(resumed.bad_steps(), 25);
            let (ended, expected) =
                (resumed.sections().unwrap(), uninterrupted.sections().unwrap());
            assert_eq!(ended.differences(&expected), [""; 0]);
            let rows: Vec<_> = first.rows().into_iter().filter(|r| r.step <= 117).collect();
            assert_eq!([rows, second.rows()].concat(), whole.rows());

            let mut other = trainer(make(0), BadNumbers::Stop)
                .with_callback(CheckpointEvery::new(117).unwrap())
                .with_callback(StopAt(u64::MAX));
            let error = other.resume(&manifest, &sections).unwrap_err().to_string();
            let expected = format!(
                "bad_numbers: expected {bad_numbers}, with which the run was trained so far, got stop"
            );
            assert_eq!(error, expected);
            let mut none = sections.clone();
            none.remove("bad_numbers.bin");
            let error = resumed.resume(&manifest, &none).unwrap_err().to_string();
            assert!(error.starts_with("bad_numbers: expected stop"), "{error}");
        }
    }
}

/// What is skipped or counted is so before a normaliser clips it, and the count passes through wrappers.
#[test]
fn wrappers_are_shown_finite_numbers() {
    for how in BAD {
        for bad_numbers in [BadNumbers::Skip, BadNumbers::Count] {
            let envs = NormalizeObs::new(serial(3, 4, how), 10.0).unwrap();
            let envs: Envs = Box::new(NormalizeReward::new(envs, 0.9, 10.0).unwrap());
            let mut trainer = trainer(envs, bad_numbers);
            trainer.run().unwrap();
            assert_eq!(trainer.bad_steps(), 25);
            let moments = trainer.envs().moments();
            assert!(moments[0].mean().iter().all(|x| x.is_finite()));
            assert!((0..2).all(|i| moments[0].variance(i).is_finite()));
        }
    }
}

/// Chooses numbers that are none.
struct Broken;

impl Policy for Broken {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    fn act_greedily(&mut self, _: &[f32], actions: &mut [f32]) -> Result<()> {
        actions.fill(f32::NAN);
        Ok(())
    }
}

impl Agent for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    fn act(&mut self, obs: &[f32], _: Progress, actions: &mut [f32]) -> Result<()> {
        self.act_greedily(obs, actions)
    }
    fn observe(&mut self, _: &Transitions<'_, f32, f32>) -> Result<()> {
        Ok(())
    }
    fn update(&mut self, _: Progress, _: &mut Metrics) -> Result<()> {
        Ok(())
    }
    fn save_policy(&self, _: &mut Sections) -> Result<()> {
        Ok(())
    }
    fn load_policy(&mut self, _: &Sections) -> Result<()> {
        Ok(())
    }
    fn save(&self, _: &mut Sections) -> Result<()> {
        Ok(())
    }
    fn load(&mut self, _: &Sections) -> Result<()> {
        Ok(())
    }
}

/// Takes any number for an action, and gives good ones.
struct Calm;

impl Env for Calm {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = ();
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        obs.fill(0.0);
        Ok(())
    }
    fn step(&mut self, _: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        obs.fill(0.0);
        Ok(Step::running(0.0))
    }
    fn state(&self) -> Option<()> {
        Some(())
    }
    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_bad_action_always_stops() {
    for bad_numbers in [BadNumbers::Stop, BadNumbers::Skip, BadNumbers::Count] {
        let envs = SerialVecEnv::new(vec![Calm], Seeds::new(0)).unwrap();
        let config = TrainerConfig { bad_numbers, ..TrainerConfig::new(10) };
        let error = Trainer::new(envs, Broken, config).unwrap().run().unwrap_err().to_string();
        let expected = "action of environment 0 at step 0: expected a finite number, got NaN";
        assert_eq!(error, expected);
    }
}

/// Environments that know nothing of bad numbers.
struct Plain(SerialVecEnv<Sign>);

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
fn environments_that_cannot_do_it_say_so() {
    let make = |bad_numbers| {
        let envs = Plain(SerialVecEnv::new(vec![Sign::default()], Seeds::new(0)).unwrap());
        let config = TrainerConfig { bad_numbers, ..TrainerConfig::new(10) };
        let trainer = Trainer::new(envs, Guess::default(), config);
        trainer.and_then(|mut trainer| trainer.run()).map_err(|error| error.to_string())
    };
    make(BadNumbers::Stop).unwrap();
    for bad_numbers in [BadNumbers::Skip, BadNumbers::Count] {
        let expected =
            "bad_numbers: expected stop, for environments that can neither skip nor count";
        assert_eq!(make(bad_numbers).unwrap_err(), format!("{expected}, got {bad_numbers}"));
    }
}

/// An evaluation says how many steps were bad. One with an episode that was cut off is not the best.
#[test]
fn evaluations_tell_bad_steps() {
    let mut envs = serial(2, 4, How::Reward(f32::NAN));
    evaluate(&mut Keeps::default(), &mut envs, 2).unwrap_err();
    envs.set_bad_numbers(BadNumbers::Skip).unwrap();
    assert!(evaluate(&mut Keeps::default(), &mut envs, 2).unwrap().bad_steps > 0);
    for (bad_numbers, bests) in [(BadNumbers::Skip, 0), (BadNumbers::Count, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let make = || -> Envs { Box::new(serial(3, 4, How::Reward(f32::NAN))) };
        let every = EvaluateEvery::new(make(), Seeds::new(0), 150, 3).unwrap();
        let every = every.stop_at(-100.0).keep_best(dir.path()).with_bad_numbers(bad_numbers);
        let sink = MemorySink::default();
        let mut trainer =
            trainer(make(), bad_numbers).with_callback(every.unwrap()).with_sink(sink.clone());
        trainer.run().unwrap();
        // The target is reached by whatever counts.
        assert_eq!(trainer.step(), if bests == 1 { 150 } else { 3 * STEPS });
        let rows = sink.rows();
        let of = |name: &str| {
            let values = rows.iter().flat_map(|row| &row.values);
            values.filter(|(n, _)| n == name).map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(of("evaluation_bad_steps").len(), of("evaluation_return").len());
        assert!(of("evaluation_bad_steps").iter().all(|bad| *bad > 0.0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), bests);
    }
}

/// An environment whose state cannot be saved begins an episode where it is loaded: a bad first observation stops or is
/// counted there too.
#[test]
fn a_bad_first_observation_of_a_loaded_environment_does_not_pass() {
    #[derive(Clone)]
    struct Unsaved {
        spoiled: bool,
    }
    impl Env for Unsaved {
        type Obs = BoxSpace;
        type Action = Discrete;
        type State = ();
        fn observation_space(&self) -> BoxSpace {
            BoxSpace::unbounded(2).unwrap()
        }
        fn action_space(&self) -> Discrete {
            Discrete::new(2).unwrap()
        }
        fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
            obs.fill(if self.spoiled { f32::NAN } else { 1.0 });
            Ok(())
        }
        fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
            obs.fill(1.0);
            Ok(Step::running(1.0))
        }
        fn state(&self) -> Option<()> {
            None
        }
        fn set_state(&mut self, (): ()) -> Result<()> {
            Ok(())
        }
    }
    for bad_numbers in [BadNumbers::Stop, BadNumbers::Skip, BadNumbers::Count] {
        for threads in [0, 2] {
            let make = |spoiled| {
                let envs = vec![Unsaved { spoiled }; 3];
                let envs: Envs = match threads {
                    0 => Box::new(SerialVecEnv::new(envs, Seeds::new(0)).unwrap()),
                    n => Box::new(ThreadedVecEnv::new(envs, Seeds::new(0), n).unwrap()),
                };
                let envs = NormalizeObs::new(envs, 10.0).unwrap();
                let dir = tempfile::tempdir().unwrap();
                (
                    trainer(Box::new(envs), bad_numbers)
                        .with_checkpoints(CheckpointDir::new(dir.path())),
                    dir,
                )
            };
            let (mut before, dir) = make(false);
            before.run().unwrap();
            before.save_checkpoint().unwrap();
            let Latest { manifest, sections, .. } =
                CheckpointDir::new(dir.path()).read_latest().unwrap();
            let (mut after, _dir) = make(true);
            let outcome = after.resume(&manifest, &sections).map_err(|error| error.to_string());
            if bad_numbers == BadNumbers::Count {
                outcome.unwrap();
                assert_eq!(after.bad_steps(), 3);
            } else {
                let expected = "observation[0] of environment 0 at step 300";
                assert!(outcome.unwrap_err().starts_with(expected));
            }
        }
    }
}
