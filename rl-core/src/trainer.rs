//! The training loop for every algorithm.

use crate::checkpoint_writer::CheckpointWriter;
use crate::{
    Agent, BadNumbers, Callback, CheckpointDir, Context, Episode, Error, Manifest, Metrics,
    Progress, Result, Row, SETTINGS_FILE, Sections, Signal, Sink, Space, VecEnv, check,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;

/// The length of training and the logging interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainerConfig {
    /// Environment steps to take, summed over all environments. The last round may exceed it by fewer steps than
    /// there are environments.
    pub total_steps: u64,
    /// Environment steps between two rows of metrics.
    pub log_every: u64,
    /// Number of recent episodes over which return and length are averaged; 100, as is usual.
    pub window: usize,
    /// What happens where an environment gives a number that is NaN or infinite; the run stops.
    #[serde(default)]
    pub bad_numbers: BadNumbers,
}

impl TrainerConfig {
    /// `total_steps` steps and one hundred rows of metrics.
    pub fn new(total_steps: u64) -> Self {
        TrainerConfig {
            total_steps,
            log_every: (total_steps / 100).max(1),
            window: 100,
            bad_numbers: BadNumbers::default(),
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is zero.
    pub fn validate(&self) -> Result<()> {
        check::at_least("total_steps", 1, self.total_steps)?;
        check::at_least("log_every", 1, self.log_every)?;
        check::at_least("window", 1, self.window as u64)
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All steps were taken.
    Finished,
    /// A callback stopped the run.
    Stopped,
}

/// What decides whether a run goes on after an error of writing.
pub(crate) type OnWriteError = Box<dyn FnMut(Error) -> Result<()>>;
/// The section with [`TrainerConfig::bad_numbers`] and the count of bad steps.
const BAD_NUMBERS: &str = "bad_numbers";

/// The state of the loop itself that a resumed run needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counters {
    step: u64,
    episodes: u64,
    /// The step of the last row of metrics.
    last_row: Option<u64>,
    recent: VecDeque<Episode>,
    metrics: Metrics,
}

/// Trains an agent in environments: act, step, observe, update.
///
/// Evaluation, checkpoints and the progress display are attached as [`Callback`]s; metrics are written to [`Sink`]s.
///
/// ```
/// use rl_core::toy::{Guess, Sign};
/// use rl_core::{MemorySink, Outcome, Seeds, SerialVecEnv, Trainer, TrainerConfig};
/// let envs = SerialVecEnv::new(vec![Sign::default()], Seeds::new(0))?;
/// let sink = MemorySink::default();
/// let mut trainer = Trainer::new(envs, Guess::default(), TrainerConfig::new(1_000))?
///     .with_sink(sink.clone());
/// assert_eq!(trainer.run()?, Outcome::Finished);
/// assert_eq!(sink.rows().len(), 100);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub struct Trainer<V: VecEnv, A> {
    envs: V,
    agent: A,
    config: TrainerConfig,
    callbacks: Vec<Box<dyn Callback<V, A>>>,
    sinks: Vec<Box<dyn Sink>>,
    checkpoints: Option<CheckpointWriter>,
    on_write_error: Option<OnWriteError>,
    /// In every checkpoint.
    settings: Option<String>,
    save_replay: bool,
    actions: Vec<<V::Action as Space>::Elem>,
    counters: Counters,
    /// Not one of the counters: runs that stop at a bad number have no count, and their checkpoints stay as they were.
    bad_steps: u64,
    started: bool,
}

impl<V: VecEnv + std::fmt::Debug, A: std::fmt::Debug> std::fmt::Debug for Trainer<V, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("envs", &self.envs)
            .field("agent", &self.agent)
            .field("config", &self.config)
            .field("step", &self.counters.step)
            .finish_non_exhaustive()
    }
}

impl<V, A> Trainer<V, A>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    /// A trainer for `agent` in `envs`.
    ///
    /// # Errors
    /// Those of [`TrainerConfig::validate`] and [`VecEnv::set_bad_numbers`].
    pub fn new(mut envs: V, agent: A, config: TrainerConfig) -> Result<Self> {
        config.validate()?;
        envs.set_bad_numbers(config.bad_numbers)?;
        let width = envs.num_envs() * envs.action_space().width();
        Ok(Trainer {
            envs,
            agent,
            config,
            callbacks: Vec::new(),
            sinks: Vec::new(),
            checkpoints: None,
            on_write_error: None,
            settings: None,
            save_replay: true,
            actions: vec![<V::Action as Space>::Elem::default(); width],
            counters: Counters::default(),
            bad_steps: 0,
            started: false,
        })
    }

    /// Calls `callback` after every round.
    pub fn with_callback(mut self, callback: impl Callback<V, A> + 'static) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Sends metrics to `sink`.
    pub fn with_sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Sets the folder for the checkpoints that callbacks request. They are written in a thread of their own while training
    /// goes on; a new one waits for the one before, and [`run`](Trainer::run) for the last.
    pub fn with_checkpoints(mut self, checkpoints: CheckpointDir) -> Self {
        self.checkpoints = Some(CheckpointWriter::new(checkpoints));
        self
    }

    /// Asks `decide` what becomes of the run where something cannot be written ([`Error::Io`] of checkpoints, sinks, and what
    /// callbacks hand to [`Context::written`]): an error that it returns ends the run. Otherwise the run goes on and the
    /// checkpoints that are there stay. A [`FileSink`](crate::FileSink) keeps its rows until they can be written, and there
    /// are no checkpoints before that, which could not be resumed without them. By default the run ends with the error.
    pub fn with_write_errors(mut self, decide: impl FnMut(Error) -> Result<()> + 'static) -> Self {
        self.on_write_error = Some(Box::new(decide));
        self
    }

    /// Settings that each checkpoint then has beside the state, as the file [`SETTINGS_FILE`], for a
    /// reader to compare with its own.
    pub fn with_settings(mut self, settings: String) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Leaves the replay buffer, the largest part, out of checkpoints. A run resumed from such a checkpoint starts
    /// with an empty buffer, so it is not bit-identical to an uninterrupted run.
    pub fn without_replay(mut self) -> Self {
        self.save_replay = false;
        self
    }

    /// The agent.
    pub fn agent(&self) -> &A {
        &self.agent
    }

    /// The agent, for example to evaluate it.
    pub fn agent_mut(&mut self) -> &mut A {
        &mut self.agent
    }

    /// The environments.
    pub fn envs(&self) -> &V {
        &self.envs
    }

    /// Returns the environments and the agent after the run.
    pub fn into_parts(self) -> (V, A) {
        (self.envs, self.agent)
    }

    /// Environment steps taken so far.
    pub fn step(&self) -> u64 {
        self.counters.step
    }

    /// The step of the last row of metrics, if any; a metrics file ends with this row.
    pub fn last_row(&self) -> Option<u64> {
        self.counters.last_row
    }

    /// Episodes finished so far.
    pub fn episodes(&self) -> u64 {
        self.counters.episodes
    }

    /// Steps so far with numbers that were NaN or infinite and were [skipped or counted](BadNumbers). A reset counts as one.
    pub fn bad_steps(&self) -> u64 {
        self.bad_steps
    }

    /// The mean return of the last [`TrainerConfig::window`] episodes, if any has finished.
    pub fn recent_return(&self) -> Option<f64> {
        mean_return(&self.counters.recent)
    }

    /// Trains until all steps are taken or a callback stops the run.
    ///
    /// # Errors
    /// Those of the agent, the environments, the callbacks and the sinks.
    pub fn run(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::Finished;
        while self.counters.step < self.config.total_steps {
            match self.round() {
                Ok(Outcome::Finished) => {}
                Ok(stopped) => {
                    outcome = stopped;
                    break;
                }
                Err(error) => {
                    // Whoever reads the folder next finds nothing being written.
                    let _ = self.finish_checkpoint();
                    return Err(error);
                }
            }
        }
        let flushed = self.flush();
        self.decide(flushed)?;
        self.finish_earlier()?;
        Ok(outcome)
    }

    /// One step of every environment, followed by the agent's update.
    fn round(&mut self) -> Result<Outcome> {
        if !self.started {
            self.envs.reset()?;
            self.take_numbers(self.counters.step)?;
            self.started = true;
        }
        let before = self.counters.step;
        self.agent.act(self.envs.batch().observations(), self.progress(), &mut self.actions)?;
        let width = self.envs.action_space().width();
        check::finite_rows("action", &self.actions, width, before)?;
        self.envs.step(&self.actions)?;
        self.take_numbers(before)?;
        self.envs.record(&mut self.counters.metrics);
        self.counters.step += self.envs.num_envs() as u64;
        self.agent.observe(&self.envs.batch().transitions(&self.actions))?;
        let progress = self.progress();
        self.agent.update(progress, &mut self.counters.metrics)?;
        for episode in self.envs.batch().episodes() {
            self.counters.episodes += 1;
            // There may be more of a run that had a longer window.
            while self.counters.recent.len() >= self.config.window {
                self.counters.recent.pop_front();
            }
            self.counters.recent.push_back(*episode);
        }
        let (checkpoint, outcome) = self.call_back(before)?;
        // Callbacks may record metrics for this row, and the checkpoint includes the row.
        if is_due(before, self.counters.step, self.config.log_every) {
            self.log()?;
        }
        if checkpoint {
            self.finish_earlier()?;
            let begun = self.begin_checkpoint(false);
            self.decide(begun)?;
        } else if self.checkpoints.as_ref().is_some_and(CheckpointWriter::is_over) {
            self.finish_earlier()?;
        }
        Ok(outcome)
    }

    fn decide(&mut self, written: Result<()>) -> Result<()> {
        decide(&mut self.on_write_error, written)
    }

    fn flush(&mut self) -> Result<()> {
        // Each, and then the first error.
        let flushed: Vec<_> = self.sinks.iter_mut().map(|sink| sink.flush()).collect();
        flushed.into_iter().collect()
    }

    /// Checks what the environments show, also where they mend bad numbers: a wrapper can make one of good ones, and a first
    /// observation is not skipped.
    fn take_numbers(&mut self, step: u64) -> Result<()> {
        self.envs.check_finite(step)?;
        self.bad_steps += self.envs.batch().bad_steps();
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { step: self.counters.step, total: self.config.total_steps }
    }

    fn log(&mut self) -> Result<()> {
        let recent = &self.counters.recent;
        let mut values = vec![("episodes".to_owned(), self.counters.episodes as f64)];
        if self.config.bad_numbers != BadNumbers::Stop {
            values.push(("bad_steps".to_owned(), self.bad_steps as f64));
        }
        let returns = mean_return(recent);
        let lengths = mean(recent.iter().map(|e| e.length as f64));
        values.extend(returns.map(|r| ("episode_return".to_owned(), r)));
        values.extend(lengths.map(|l| ("episode_length".to_owned(), l)));
        values.extend(self.counters.metrics.means().map(|(name, v)| (name.to_owned(), v)));
        let row = Row { step: self.counters.step, values };
        self.counters.metrics.clear();
        self.counters.last_row = Some(self.counters.step);
        for at in 0..self.sinks.len() {
            let written = self.sinks[at].write(&row);
            self.decide(written)?;
        }
        Ok(())
    }

    /// Runs the callbacks; returns whether one requested a checkpoint and whether one stopped the run.
    fn call_back(&mut self, before: u64) -> Result<(bool, Outcome)> {
        let progress = self.progress();
        let (mut checkpoint, mut outcome) = (false, Outcome::Finished);
        for callback in &mut self.callbacks {
            let mut context = Context {
                before,
                progress,
                episodes: self.counters.episodes,
                recent: &self.counters.recent,
                agent: &mut self.agent,
                envs: &mut self.envs,
                metrics: &mut self.counters.metrics,
                on_write_error: &mut self.on_write_error,
            };
            match callback.after_round(&mut context)? {
                Signal::Continue => {}
                Signal::Checkpoint => checkpoint = true,
                Signal::Stop => outcome = Outcome::Stopped,
            }
        }
        Ok((checkpoint, outcome))
    }

    /// Writes a checkpoint of the whole run: agent, environments, callbacks, counters.
    ///
    /// # Errors
    /// [`Error::Config`] without [`with_checkpoints`](Trainer::with_checkpoints); [`Error::Io`].
    pub fn save_checkpoint(&mut self) -> Result<PathBuf> {
        self.finish_earlier()?;
        // This may be the last one: what it shares with those before is looked at.
        self.begin_checkpoint(true)?;
        self.finish_checkpoint()?;
        let path = self.checkpoints.as_ref().and_then(CheckpointWriter::path);
        path.ok_or_else(no_checkpoints)
    }

    /// Begins to write a checkpoint; the one before is to be written.
    fn begin_checkpoint(&mut self, verify: bool) -> Result<()> {
        self.flush()?;
        let mut sections = self.checkpoints.as_ref().ok_or_else(no_checkpoints)?.sections(verify);
        if !self.save_replay {
            sections = sections.without_replay();
        }
        self.save(&mut sections)?;
        let writer = self.checkpoints.as_mut().ok_or_else(no_checkpoints)?;
        writer.begin(self.agent.name(), self.counters.step, sections)
    }

    /// Waits for a checkpoint that was begun; where it cannot be written, the run may go on.
    fn finish_earlier(&mut self) -> Result<()> {
        let finished = self.finish_checkpoint();
        self.decide(finished)
    }

    fn finish_checkpoint(&mut self) -> Result<()> {
        self.checkpoints.as_mut().map_or(Ok(()), CheckpointWriter::finish)
    }

    /// The state of the whole run as the sections of a checkpoint.
    ///
    /// # Errors
    /// If a part cannot be encoded.
    pub fn sections(&self) -> Result<Sections> {
        let mut sections = Sections::default();
        self.save(&mut sections)?;
        Ok(sections)
    }

    fn save(&self, sections: &mut Sections) -> Result<()> {
        self.agent.save(sections)?;
        sections.put("envs", &self.envs.save()?)?;
        sections.put_acting(&self.agent, &self.envs)?;
        let callbacks: Result<Vec<_>> = self.callbacks.iter().map(|c| c.save()).collect();
        sections.put("callbacks", &callbacks?)?;
        sections.put("trainer", &self.counters)?;
        if self.config.bad_numbers != BadNumbers::Stop {
            sections.put(BAD_NUMBERS, &(self.config.bad_numbers, self.bad_steps))?;
        }
        if let Some(settings) = &self.settings {
            sections.put_file(SETTINGS_FILE, settings.clone().into_bytes());
        }
        Ok(())
    }

    /// Resumes from a checkpoint. The trainer must be built like the one that wrote the checkpoint.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another algorithm's checkpoint, another number of environments or
    /// callbacks, or an agent of another shape; [`Error::Config`] for one with other
    /// [`TrainerConfig::bad_numbers`]; [`Error::NotFinite`] where an episode had to begin with such a number;
    /// [`Error::Corrupt`] for damaged parts.
    pub fn resume(&mut self, manifest: &Manifest, sections: &Sections) -> Result<()> {
        self.finish_checkpoint()?;
        if manifest.algorithm != self.agent.name() {
            return Err(Error::mismatch(
                "checkpoint",
                format_args!("one of {}", self.agent.name()),
                format_args!("one of {}", manifest.algorithm.escape_debug()),
            ));
        }
        let counters: Counters = sections.get("trainer")?;
        let counts = [counters.step, counters.episodes];
        for count in counts.into_iter().chain(counters.metrics.counts()) {
            check::count("trainer.bin: count", count)?;
        }
        for episode in &counters.recent {
            check::finite("trainer.bin: a return", episode.episode_return)?;
        }
        let bad_steps = self.saved_bad_steps(sections)?;
        let envs: Vec<u8> = sections.get("envs")?;
        let callbacks: Vec<Vec<u8>> = sections.get("callbacks")?;
        check::len("saved callbacks", self.callbacks.len(), callbacks.len())?;
        self.agent.load(sections)?;
        self.envs.load(&envs)?;
        for (callback, bytes) in self.callbacks.iter_mut().zip(&callbacks) {
            callback.load(bytes)?;
        }
        self.bad_steps = bad_steps;
        self.take_numbers(counters.step)?;
        self.counters = counters;
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.resumed(manifest.step);
        }
        // One from before the first reset has no episodes to go on with.
        let begun = self.envs.batch().reset_since().contains(&true);
        self.started = self.counters.step > 0 || begun;
        Ok(())
    }

    /// The count of bad steps in a checkpoint, of a run that treats them as this one does.
    fn saved_bad_steps(&self, sections: &Sections) -> Result<u64> {
        let file = format!("{BAD_NUMBERS}.bin");
        let (saved, count) = match sections.find(&file) {
            Some(_) => sections.get(BAD_NUMBERS)?,
            None => (BadNumbers::Stop, 0),
        };
        check::count("bad_numbers.bin: count", count)?;
        if saved != self.config.bad_numbers {
            let expected = format!("{saved}, with which the run was trained so far");
            return Err(Error::config(BAD_NUMBERS, expected, self.config.bad_numbers));
        }
        Ok(count)
    }
}

/// Passes over an error of writing, if the run is to go on after it.
pub(crate) fn decide(on_write_error: &mut Option<OnWriteError>, written: Result<()>) -> Result<()> {
    match (written, on_write_error) {
        (Err(error @ Error::Io { .. }), Some(decide)) => decide(error),
        (written, _) => written,
    }
}

fn no_checkpoints() -> Error {
    Error::config("checkpoints", "a folder to write to", "none")
}

/// Whether a multiple of `every` lies in `(before, now]`.
pub(crate) fn is_due(before: u64, now: u64, every: u64) -> bool {
    before / every != now / every
}

/// The mean return of the given episodes, if any.
pub(crate) fn mean_return(episodes: &VecDeque<Episode>) -> Option<f64> {
    mean(episodes.iter().map(|e| e.episode_return))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(s, n), v| (s + v, n + 1));
    (count > 0).then(|| sum / count as f64)
}
