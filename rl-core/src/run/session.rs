//! A run from its settings to its summary.

use super::report::Reporting;
use super::{Reporter, RunConfig, RunFolder, Summary, Which, WriteErrors, give_policy};
use crate::{
    Agent, Callback, CheckpointEvery, Context, Error, EvaluateEvery, FileFormat, FileSink, Latest,
    Normalizer, Outcome, Result, SETTINGS_FILE, Sections, Seeds, Signal, StopAt, Trainer,
    TrainerConfig, VecEnv, check, one_line, write_atomically,
};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Episodes of the evaluation at the end of a run.
pub const FINAL_EPISODES: usize = 100;
/// Environments that an evaluation steps together, and episodes of one while training.
const EVALUATION_ENVS: usize = 10;

/// A run: training with a folder, checkpoints, metrics, evaluations and a summary. See the [module](super).
///
/// Nothing is written before [`train`](Run::train), so settings that the environments or the agent refuse leave nothing
/// behind.
pub struct Run {
    config: RunConfig,
    /// Where a new run begins, once it does; none: the first free name under `runs/`.
    out: Option<PathBuf>,
    opened: Option<Opened>,
    /// Whether the settings in the folder are to be replaced.
    changed: bool,
    stop_at: Option<u64>,
    stop: Arc<AtomicBool>,
    reporter: Option<Rc<RefCell<dyn Reporter>>>,
    notices: Notices,
}

/// Where a person is told, if anywhere.
#[derive(Clone, Default)]
struct Notices(Option<Rc<RefCell<dyn Write>>>);

impl Notices {
    fn notice(&self, text: std::fmt::Arguments<'_>) {
        if let Some(writer) = &self.0 {
            let _ = writeln!(writer.borrow_mut(), "{}", one_line(text));
        }
    }
}

/// The folder of a run that has begun.
struct Opened {
    folder: RunFolder,
    /// Held while this process works in the folder.
    _lock: File,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = self.folder().map(RunFolder::path);
        f.debug_struct("Run")
            .field("config", &self.config)
            .field("folder", &folder)
            .finish_non_exhaustive()
    }
}

impl Run {
    fn with(config: RunConfig, opened: Option<Opened>) -> Self {
        Run {
            config,
            out: None,
            opened,
            changed: false,
            stop_at: None,
            stop: Arc::default(),
            reporter: None,
            notices: Notices::default(),
        }
    }

    /// A new run.
    ///
    /// # Errors
    /// Those of [`RunConfig::validate`].
    pub fn new(config: RunConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::with(config, None))
    }

    /// Goes on with the run in a folder, from its newest intact checkpoint; one that was stopped before its first begins
    /// anew. What a crash has interrupted in the folder is completed.
    ///
    /// # Errors
    /// [`Error::Run`] for a folder without a run, and where another process is training in it.
    pub fn resume(folder: impl AsRef<Path>) -> Result<Self> {
        let (folder, config) = RunFolder::open(folder)?;
        let lock = folder.lock()?;
        folder.repair()?;
        config.validate()?;
        Ok(Self::with(config, Some(Opened { folder, _lock: lock })))
    }

    /// Goes on with the run in a folder if there is one, and begins it there otherwise: for jobs that are started again until
    /// they are done. A run that has begun keeps its settings, but for the number of steps, which is `config`'s.
    ///
    /// # Errors
    /// Those of [`resume`](Run::resume), [`with_steps`](Run::with_steps) and [`new`](Run::new); [`Error::Run`] if the run in
    /// the folder is of another algorithm, environment or seed.
    pub fn begin_or_resume(folder: impl AsRef<Path>, config: RunConfig) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.join("config.toml").is_file() {
            return Ok(Self::new(config)?.in_folder(folder));
        }
        let run = Self::resume(folder)?;
        let named = |config: &RunConfig| {
            format!("{} on {}, seed {}", config.algorithm, config.env, config.seed)
        };
        match named(&config) == named(&run.config) {
            true => run.with_steps(config.steps),
            false => Err(Error::run(folder, format_args!("has a run of {}", named(&run.config)))),
        }
    }

    /// Where a new run is written: a folder that is empty or not there yet. By default the first free name under `runs/`.
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// Gives the run another number of steps. Schedules then go by the new number, from where it is.
    ///
    /// # Errors
    /// Fewer steps than were taken.
    pub fn with_steps(mut self, steps: u64) -> Result<Self> {
        if steps != self.config.steps {
            let newest = self.newest()?;
            let reached = newest.map_or(0, |newest| newest.manifest.step);
            check::at_least("steps", reached.max(1), steps)?;
            self.config.steps = steps;
            self.config.validate()?;
            self.changed = true;
        }
        Ok(self)
    }

    /// Saves the run and stops it at a step, to be resumed later. [`train`](Run::train) refuses a step that lies behind.
    pub fn stop_at(mut self, step: u64) -> Self {
        self.stop_at = Some(step);
        self
    }

    /// Saves the run and stops it, after the current step, once `stop` is true; a signal handler may set it.
    pub fn stop_when(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Shows how far the run has come. By default nothing is shown.
    pub fn with_reporter(mut self, reporter: impl Reporter + 'static) -> Self {
        self.reporter = Some(Rc::new(RefCell::new(reporter)));
        self
    }

    /// Writes what a person should know, such as damaged checkpoints that were skipped, as lines. By default nothing is
    /// written.
    pub fn with_notices(mut self, writer: impl Write + 'static) -> Self {
        self.notices = Notices(Some(Rc::new(RefCell::new(writer))));
        self
    }

    /// The settings.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The streams of all randomness.
    pub fn seeds(&self) -> Seeds {
        self.config.seeds()
    }

    /// The algorithm's settings. A new run writes them to its folder with every default, so that it stays what it is where
    /// defaults change.
    ///
    /// # Errors
    /// Those of [`RunConfig::settings`].
    pub fn settings<C: Default + serde::Serialize + serde::de::DeserializeOwned>(
        &mut self,
    ) -> Result<C> {
        let settings: C = self.config.settings()?;
        self.put_settings(&settings)?;
        Ok(settings)
    }

    /// Takes over the algorithm's settings, every field, if the run is new.
    ///
    /// # Errors
    /// Those of [`RunConfig::put_settings`].
    pub fn put_settings(&mut self, settings: &impl serde::Serialize) -> Result<()> {
        match self.opened {
            Some(_) => Ok(()),
            None => self.config.put_settings(settings),
        }
    }

    /// The folder, once the run has begun.
    pub fn folder(&self) -> Option<&RunFolder> {
        self.opened.as_ref().map(|opened| &opened.folder)
    }

    fn newest(&self) -> Result<Option<Latest>> {
        match self.folder().map(RunFolder::checkpoints) {
            // A run that was stopped before its first checkpoint begins anew.
            Some(checkpoints) if !checkpoints.is_empty()? => match checkpoints.read_latest() {
                // A run that leaves its replay memory out can go on where it is damaged in every checkpoint.
                Err(error) if !self.config.save_replay => {
                    let mut rest =
                        checkpoints.read_latest_files(|file| !Sections::is_replay(file))?;
                    rest.skipped.insert(0, error);
                    Ok(Some(rest))
                }
                latest => latest.map(Some),
            },
            _ => Ok(None),
        }
    }

    /// A notice that cannot be written is not worth the run.
    fn notice(&self, text: std::fmt::Arguments<'_>) {
        self.notices.notice(text);
    }

    /// Lets training go on where something cannot be written, and says each such thing once.
    fn passing_over_write_errors<V, A>(&self, trainer: Trainer<V, A>) -> Trainer<V, A>
    where
        V: VecEnv,
        A: Agent<Obs = V::Obs, Action = V::Action>,
    {
        let (notices, mut told) = (self.notices.clone(), BTreeSet::new());
        trainer.with_write_errors(move |error| {
            let text = error.to_string();
            // Checkpoints are named after their steps, and parts of them after their checksums.
            if told.insert(text.replace(|c: char| c.is_ascii_hexdigit(), "")) {
                notices.notice(format_args!("not written: {text}; the run goes on"));
            }
            Ok(())
        })
    }

    /// Trains, and evaluates the final policy; nothing is left to do in a run that is over. `evaluation` makes as many
    /// environments as it is asked for, like `envs` but without learning of their own: with normalisers that are
    /// [frozen](crate::NormalizeObs::frozen), whose moments the run copies.
    ///
    /// Returns the summary; none if the run was stopped, and saved.
    ///
    /// # Errors
    /// Those of the environments, the agent, and files; [`Error::Config`] for environments that do not normalise
    /// observations as the run says, and for a step to stop at that lies behind.
    pub fn train<V, A>(
        &mut self,
        envs: V,
        agent: A,
        evaluation: impl Fn(usize, Seeds) -> Result<V>,
    ) -> Result<Option<Summary>>
    where
        V: VecEnv + 'static,
        A: Agent<Obs = V::Obs, Action = V::Action> + 'static,
    {
        self.train_with(envs, agent, evaluation, |trainer| trainer)
    }

    /// Like [`train`](Run::train) with callbacks and sinks of one's own, which `attach` adds to the trainer. A run is resumed
    /// with as many callbacks as it had; a sink gets the rows from here on.
    ///
    /// # Errors
    /// Those of [`train`](Run::train).
    pub fn train_with<V, A>(
        &mut self,
        mut envs: V,
        mut agent: A,
        evaluation: impl Fn(usize, Seeds) -> Result<V>,
        attach: impl FnOnce(Trainer<V, A>) -> Trainer<V, A>,
    ) -> Result<Option<Summary>>
    where
        V: VecEnv + 'static,
        A: Agent<Obs = V::Obs, Action = V::Action> + 'static,
    {
        // Read once: it may hold a large replay memory.
        let newest = self.newest()?;
        let config = self.config.clone();
        // Another algorithm's checkpoint is refused as such, below.
        if let Some(newest) = newest.as_ref().filter(|n| n.manifest.algorithm == agent.name()) {
            config.check_determining(newest.sections.file(SETTINGS_FILE)?)?;
        }
        if let Some(summary) = self.finished(newest.as_ref())? {
            return Ok(Some(summary));
        }
        let reached = newest.as_ref().map_or(0, |newest| newest.manifest.step);
        // The last round may go further, by fewer steps than there are environments.
        let least = reached.saturating_sub(config.envs as u64 - 1);
        check::at_least("steps", least, config.steps)?;
        if config.normalize.observations != envs.normalizer().is_some() {
            let (expected, got) = match config.normalize.observations {
                true => ("environments behind `RunConfig::normalized_observations`", "others"),
                false => ("true for environments behind a normaliser", "false"),
            };
            return Err(Error::config("normalize.observations", expected, got));
        }
        // Refused here where they cannot: a run that is refused leaves no folder.
        envs.set_bad_numbers(config.bad_numbers)?;
        let seeds = config.seeds();
        let every =
            |chosen: Option<u64>, share: u64| chosen.unwrap_or((config.steps / share).max(1));
        let evaluate_every = EvaluateEvery::new(
            evaluation(EVALUATION_ENVS, seeds)?,
            seeds,
            every(config.evaluate_every, 20),
            EVALUATION_ENVS,
        )?
        .with_bad_numbers(config.bad_numbers)?;
        let first_step = reached;
        if let Some(stop_at) = self.stop_at {
            check::at_least("stop_at", first_step + 1, stop_at)?;
        }
        let folder = self.begin(&mut envs, &mut agent)?;
        let untrained = learned_of(&agent)?;
        let reporter = self.reporter.clone();
        let stop_at = self.stop_at.take().unwrap_or(u64::MAX);
        let mut trainer = Trainer::new(envs, agent, trainer_config(&config))?
            .with_checkpoints(folder.checkpoints())
            .with_settings(config.determining()?)
            .with_callback(evaluate_every.keep_best(folder.best().root()))
            .with_callback(CheckpointEvery::new(every(config.checkpoint_every, 10))?)
            .with_callback(Reporting { reporter, first_step, evaluation_return: None })
            .with_callback(StopAt(stop_at))
            .with_callback(StopWhen(self.stop.clone()));
        if !config.save_replay {
            trainer = trainer.without_replay();
        }
        if config.write_errors == WriteErrors::Continue {
            trainer = self.passing_over_write_errors(trainer);
        }
        trainer = attach(trainer);
        if let Some(Latest { manifest, sections, skipped }) = &newest {
            for error in skipped {
                self.notice(format_args!("skipped: {error}"));
            }
            trainer.resume(manifest, sections)?;
            if !trainer.envs().resumes_exactly() {
                self.notice(format_args!(
                    "{} cannot be saved: new episodes begin, and the old ones end as truncations",
                    config.env
                ));
            }
        }
        let (last_row, resumes) = (trainer.last_row(), newest.is_some());
        // It may hold a large replay memory, which the agent has now.
        drop(newest);
        let sink = |path: PathBuf, format| {
            if resumes && path.exists() {
                return FileSink::resume(path, format, first_step, last_row);
            }
            if resumes {
                self.notice(format_args!("{}: is not there; it begins anew", path.display()));
            }
            FileSink::create(path, format)
        };
        trainer = trainer
            .with_sink(sink(folder.metrics_jsonl(), FileFormat::Jsonl)?)
            .with_sink(sink(folder.metrics_csv(), FileFormat::Csv)?);

        // Once nothing is left that can be refused.
        folder.forget_end()?;
        if std::mem::take(&mut self.changed) {
            folder.write_config(&config)?;
        }
        let started = Instant::now();
        let outcome = trainer.run()?;
        let train_seconds = started.elapsed().as_secs_f64();
        trainer.save_checkpoint()?;
        if outcome == Outcome::Stopped && trainer.step() < config.steps {
            return Ok(None);
        }
        let learned = || Ok(learned_of(trainer.agent())? != untrained);
        if first_step == 0 && untrained.files().next().is_some() && !learned()? {
            self.notice(format_args!(
                "nothing was learned: the policy is that of the beginning, as no update took place in {} steps or none \
                 changed it",
                trainer.step()
            ));
        }
        // Before the summary, with which the run is over.
        #[cfg(feature = "plot")]
        if let Err(error) = super::curve::draw(&folder, &config) {
            self.notice(format_args!("no learning curve: {error}"));
        }
        let envs = evaluation(EVALUATION_ENVS, Summary::seeds(seeds))?;
        let summary = Summary::of(&config, envs, &mut trainer, first_step, train_seconds)?;
        let text = serde_json::to_vec(&summary).map_err(|e| Error::corrupt("summary", e))?;
        write_atomically(&folder.summary(), &text)?;
        Ok(Some(summary))
    }

    /// The summary of a run that is over: there is nothing left to do.
    fn finished(&self, newest: Option<&Latest>) -> Result<Option<Summary>> {
        let (Some(folder), Some(newest)) = (self.folder(), newest) else { return Ok(None) };
        let over = |summary: &Summary| {
            let step = newest.manifest.step;
            step >= self.config.steps && newest.skipped.is_empty() && summary.steps == step
        };
        Ok(folder.read_summary()?.filter(over))
    }

    /// Begins the run in its folder, or prepares what was begun to go on; returns the folder.
    fn begin<V, A>(&mut self, envs: &mut V, agent: &mut A) -> Result<RunFolder>
    where
        V: VecEnv,
        A: Agent<Obs = V::Obs, Action = V::Action>,
    {
        let Some(Opened { folder, .. }) = &self.opened else {
            let mut kept = None;
            if let Some(path) = self.config.init_from.clone() {
                let from = RunFolder::open(&path)?.0.policy(Which::Last)?;
                from.skipped.iter().for_each(|e| self.notice(format_args!("skipped: {e}")));
                let of = format!("the policy of {} in {}", from.manifest.algorithm, path.display());
                kept = Some(start_from(&of, &from.sections, agent, envs)?);
            }
            // Before anything is made: settings that cannot be written leave nothing behind.
            self.config.to_toml()?;
            let (folder, lock) =
                RunFolder::create(self.out.as_deref(), &self.config, kept.as_ref())?;
            self.opened = Some(Opened { folder: folder.clone(), _lock: lock });
            return Ok(folder);
        };
        let folder = folder.clone();
        if folder.checkpoints().is_empty()? {
            if self.config.init_from.is_some() {
                start_from("init/", &folder.init().read_latest()?.sections, agent, envs)?;
            }
            self.notice(format_args!("no checkpoint: the run begins anew"));
        }
        Ok(folder)
    }
}

fn policy_of(agent: &impl Agent) -> Result<Sections> {
    let mut policy = Sections::default();
    agent.save_policy(&mut policy)?;
    Ok(policy)
}

/// What of a policy is learned by updates: moments of observations are gathered without.
fn learned_of(agent: &impl Agent) -> Result<Sections> {
    let mut policy = policy_of(agent)?;
    policy.remove(Normalizer::FILE);
    Ok(policy)
}

fn trainer_config(config: &RunConfig) -> TrainerConfig {
    TrainerConfig { bad_numbers: config.bad_numbers, ..TrainerConfig::new(config.steps) }
}

/// Gives a saved policy and its normalisers' moments to the agent and the environments of a new run. Returns what the run
/// keeps of it, so that it can begin anew however the other run goes on.
fn start_from<V, A>(of: &str, policy: &Sections, agent: &mut A, envs: &mut V) -> Result<Sections>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    give_policy(policy, agent, envs)
        .map_err(|e| Error::settings("init_from", format!("{of}: {e}")))?;
    let mut kept = policy_of(agent)?;
    kept.put_acting(agent, envs)?;
    Ok(kept)
}

/// Stops a run when told to.
struct StopWhen(Arc<AtomicBool>);

impl<V, A> Callback<V, A> for StopWhen {
    fn after_round(&mut self, _: &mut Context<'_, V, A>) -> Result<Signal> {
        Ok(if self.0.load(Ordering::SeqCst) { Signal::Stop } else { Signal::Continue })
    }
}

/// Trains without a folder, checkpoints or evaluations on the way: for measuring.
///
/// # Errors
/// Those of the environments and the agent.
pub fn train_without_folder<V, A>(
    config: &RunConfig,
    envs: V,
    agent: A,
    evaluation: impl Fn(usize, Seeds) -> Result<V>,
) -> Result<Summary>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    let started = Instant::now();
    let mut trainer = Trainer::new(envs, agent, trainer_config(config))?;
    trainer.run()?;
    let train_seconds = started.elapsed().as_secs_f64();
    let envs = evaluation(EVALUATION_ENVS, Summary::seeds(config.seeds()))?;
    Summary::of(config, envs, &mut trainer, 0, train_seconds)
}
