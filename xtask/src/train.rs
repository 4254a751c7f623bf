//! `cargo xtask train`.

use crate::algorithm::{self, Built, Pair, RunEnvs, build, with_pair};
use crate::interrupt::Interrupt;
use crate::preset::RunConfig;
use crate::progress::Progress;
use crate::run_dir::RunDir;
use crate::{Error, Result, plot};
use rl_core::{
    Agent, CheckpointEvery, EvaluateEvery, FileFormat, FileSink, Latest, Outcome, RunningMoments,
    Sections, Seeds, Space, StopAt, Trainer, TrainerConfig, VecEnv, check, evaluate,
};
use rl_envs::Spec;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Episodes of the evaluation at the end of a run.
pub(crate) const FINAL_EPISODES: usize = 100;
/// Environments that an evaluation steps together.
const EVALUATION_ENVS: usize = 10;

#[derive(clap::Args, Clone, Default)]
pub(crate) struct Args {
    /// The algorithm, as `cargo xtask list` names it.
    pub(crate) algorithm: String,
    /// The environment, as `cargo xtask list` names it; gym:ID for any of Python's Gymnasium.
    pub(crate) env: String,
    /// The seed of all randomness; 0 where left out.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) seed: Option<u64>,
    /// Environment steps; the preset's where left out.
    #[arg(long)]
    pub(crate) steps: Option<u64>,
    /// Environments stepped together; the preset's where left out.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) envs: Option<usize>,
    /// Threads that learning is shared out among, where the networks are large enough to gain by it.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) threads: Option<usize>,
    /// Threads that step the environments, where their steps take long enough to gain by it.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) env_threads: Option<usize>,
    /// The Python interpreter of environments gym:ID, such as venv/bin/python; python3 where left out.
    #[arg(long, value_name = "PATH", conflicts_with = "resume")]
    pub(crate) python: Option<PathBuf>,
    /// cpu, reference (candle on the CPU), cuda or metal.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) device: Option<String>,
    /// A preset file of your own.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) preset: Option<PathBuf>,
    /// Changes a setting of the algorithm, or normalize.observations and the like; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    pub(crate) set: Vec<String>,
    /// Starts from the last policy of the run in this folder, with its normalisation of observations. Critics that are
    /// not part of the policy begin as in a new run.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) init_from: Option<PathBuf>,
    /// The run's folder; the first free name under runs/ where left out.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Goes on with the run in this folder; with --steps, to so many.
    #[arg(long)]
    pub(crate) resume: Option<PathBuf>,
    /// Writes a checkpoint at this step and stops, to be resumed later.
    #[arg(long)]
    pub(crate) stop_at: Option<u64>,
    /// Prints one line of JSON last.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) algorithm: String,
    pub(crate) env: String,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) episodes: u64,
    pub(crate) mean_return: f64,
    pub(crate) std_return: f64,
    /// The mean return of the last 100 training episodes, exploration included.
    #[serde(default)]
    pub(crate) training_return: Option<f64>,
    pub(crate) train_seconds: f64,
    pub(crate) steps_per_second: f64,
}

impl Args {
    /// The run's full settings, from the preset and what the arguments change.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        check_names(&self.algorithm, &self.env)?;
        let mut config = match &self.preset {
            Some(path) => RunConfig::read(path)?,
            None => RunConfig::preset(&self.algorithm, &self.env)?,
        };
        expect_same("algorithm", &self.algorithm, &config.algorithm, "the preset")?;
        expect_same("environment", &self.env, &config.env, "the preset")?;
        config.seed = self.seed.unwrap_or(config.seed);
        config.steps = self.steps.unwrap_or(config.steps);
        config.envs = self.envs.unwrap_or(config.envs);
        config.threads = self.threads.unwrap_or(config.threads);
        config.env_threads = self.env_threads.unwrap_or(config.env_threads);
        config.device = self.device.clone().unwrap_or(config.device);
        config.python = self.python.clone().or(config.python);
        config.init_from = self.init_from.clone().or(config.init_from);
        self.set.iter().try_for_each(|assignment| config.set(assignment))?;
        Ok(config)
    }
}

/// Checks both names, as far as that takes no time: environments of Gymnasium are found when they are made.
fn check_names(algorithm: &str, env: &str) -> Result<()> {
    algorithm::find(algorithm)?;
    if !env.starts_with("gym:") {
        rl_envs::find(env)?;
    }
    Ok(())
}

fn expect_same(what: &str, asked: &str, found: &str, of: &str) -> Result<()> {
    if asked == found {
        return Ok(());
    }
    Err(Error::usage(format_args!("{what}: asked for {asked}, but {of} is of {found}")))
}

/// Parts that the kinds of run have in common.
struct Session {
    config: RunConfig,
    dir: RunDir,
    resume: bool,
    stop_at: Option<u64>,
    /// Held while this process works in the folder.
    _lock: std::fs::File,
}

/// The last policy of the run in a folder, with the moments of its normalisers.
fn policy_of(path: &Path) -> Result<Sections> {
    let (dir, _) = RunDir::open(path)?;
    Ok(dir.checkpoints().read_latest()?.sections)
}

/// Gives a saved policy and its normalisers' moments to the agent and the environments of a new run.
fn start_from(policy: &Sections, built: &mut Built) -> Result<()> {
    fn give<O: Space, A: Space>(from: &Sections, to: &mut Pair<O, A>) -> rl_core::Result<()> {
        let moments: Vec<RunningMoments> = from.get("moments")?;
        to.agent.load_policy(from)?;
        to.envs.set_moments(&moments)
    }
    with_pair!(built, |pair| give(policy, pair))
        .map_err(|error| Error::usage(format_args!("init_from: {error}")))
}

/// What a new run keeps of the policy that it starts from, so that it can begin anew however that run goes on.
fn kept(built: &Built) -> Result<Sections> {
    fn keep<O: Space, A: Space>(pair: &Pair<O, A>) -> rl_core::Result<Sections> {
        let mut sections = Sections::default();
        pair.agent.save_policy(&mut sections)?;
        sections.put("moments", &pair.envs.moments())?;
        Ok(sections)
    }
    Ok(with_pair!(built, |pair| keep(pair))?)
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let (session, built) = match &args.resume {
        Some(path) => {
            check_names(&args.algorithm, &args.env)?;
            let (dir, mut config) = RunDir::open(path)?;
            let of = format!("the run in {}", path.display());
            expect_same("algorithm", &args.algorithm, &config.algorithm, &of)?;
            expect_same("environment", &args.env, &config.env, &of)?;
            let lock = dir.lock()?;
            dir.repair()?;
            let extended = match args.steps {
                Some(steps) => extend(&mut config, &dir, steps)?,
                None => false,
            };
            let mut built = build(&config, Seeds::new(config.seed))?;
            if extended {
                dir.write_config(&config)?;
            }
            // A run that was killed before its first checkpoint begins anew.
            if config.init_from.is_some() && dir.checkpoints().is_empty()? {
                start_from(&dir.init().read_latest()?.sections, &mut built)?;
            }
            (Session { config, dir, resume: true, stop_at: args.stop_at, _lock: lock }, built)
        }
        None => {
            let mut config = args.config()?;
            // Built before the folder is made: a bad setting leaves nothing behind.
            let mut built = build(&config, Seeds::new(config.seed))?;
            let mut policy = None;
            if let Some(path) = &config.init_from {
                start_from(&policy_of(path)?, &mut built)?;
                policy = Some(kept(&built)?);
            }
            TrainerConfig::new(config.steps).validate()?;
            config.validate()?;
            config.agent = built.settings().clone();
            if let Some(stop_at) = args.stop_at {
                check::at_least("stop_at", 1, stop_at)?;
            }
            let (dir, lock) = RunDir::create(args.out.as_deref(), &config, policy.as_ref())?;
            (Session { config, dir, resume: false, stop_at: args.stop_at, _lock: lock }, built)
        }
    };
    if let Some(summary) = session.finished()? {
        return session.report(&summary, args.json);
    }
    let interrupt = Interrupt::listen()?;
    let summary = with_pair!(built, |pair| session.train(pair, &interrupt))?;
    match summary {
        Some(summary) => session.report(&summary, args.json),
        None => {
            let Session { config, dir, .. } = &session;
            println!(
                "stopped; go on with: cargo xtask train {} {} --resume {}",
                config.algorithm,
                quoted(&config.env),
                dir.path().display()
            );
            match interrupt.happened() {
                true => Err(Error::Interrupted),
                false => Ok(()),
            }
        }
    }
}

/// As a shell reads it: names may have arguments, `gym:FrozenLake-v1?is_slippery=false`.
fn quoted(name: &str) -> std::borrow::Cow<'_, str> {
    match name.contains(['?', '&', '*', '[', '"', ' ', '$']) {
        true => format!("'{name}'").into(),
        false => name.into(),
    }
}

/// Gives a run that is resumed another number of steps; says whether it is another. Schedules then go by the new number, from here on.
fn extend(config: &mut RunConfig, dir: &RunDir, steps: u64) -> Result<bool> {
    let checkpoints = dir.checkpoints();
    let reached =
        if checkpoints.is_empty()? { 0 } else { checkpoints.read_latest()?.manifest.step };
    if steps == config.steps {
        return Ok(false);
    }
    check::at_least("steps", reached.max(1), steps)?;
    config.steps = steps;
    Ok(true)
}

impl Session {
    /// The summary of a run that is over: there is nothing left to do.
    fn finished(&self) -> Result<Option<Summary>> {
        if !self.resume || self.dir.checkpoints().is_empty()? {
            return Ok(None);
        }
        let latest = self.dir.checkpoints().read_latest()?;
        let summary = self.dir.read_summary()?;
        Ok(summary.filter(|summary| {
            latest.manifest.step >= self.config.steps
                && latest.skipped.is_empty()
                && summary.steps == latest.manifest.step
        }))
    }

    fn train<O, A>(&self, pair: Pair<O, A>, interrupt: &Interrupt) -> Result<Option<Summary>>
    where
        O: Space,
        A: Space,
        Box<dyn VecEnv<Obs = O, Action = A>>: RunEnvs<Obs = O, Action = A>,
    {
        let (config, dir) = (&self.config, &self.dir);
        let seeds = Seeds::new(config.seed);
        let evaluation_envs = Box::<dyn VecEnv<Obs = O, Action = A>>::for_evaluation(
            config,
            &pair.spec,
            seeds,
            EVALUATION_ENVS,
        )?;
        let evaluate_every = config.evaluate_every.unwrap_or((config.steps / 20).max(1));
        let checkpoint_every = config.checkpoint_every.unwrap_or((config.steps / 10).max(1));
        let evaluation =
            EvaluateEvery::new(evaluation_envs, seeds, evaluate_every, EVALUATION_ENVS)?;

        // A run that was stopped before its first checkpoint begins anew.
        let found = match self.resume && !dir.checkpoints().is_empty()? {
            true => Some(dir.checkpoints().read_latest()?),
            false => None,
        };
        let first_step = found.as_ref().map_or(0, |found| found.manifest.step);
        if self.resume && found.is_none() {
            eprintln!("no checkpoint: the run begins anew");
        }
        if let Some(stop_at) = self.stop_at {
            check::at_least("stop_at", first_step + 1, stop_at)?;
        }
        let mut trainer = Trainer::new(pair.envs, pair.agent, TrainerConfig::new(config.steps))?
            .with_checkpoints(dir.checkpoints())
            .with_callback(evaluation.keep_best(dir.best()))
            .with_callback(CheckpointEvery::new(checkpoint_every)?)
            .with_callback(Progress::new(first_step, config.steps))
            .with_callback(StopAt(self.stop_at.unwrap_or(u64::MAX)))
            .with_callback(interrupt.clone());
        if !config.save_replay {
            trainer = trainer.without_replay();
        }
        if let Some(Latest { manifest, sections, skipped }) = &found {
            for error in skipped {
                eprintln!("skipped: {error}");
            }
            trainer.resume(manifest, sections)?;
            if !trainer.envs().resumes_exactly() {
                eprintln!(
                    "{} cannot be saved: new episodes begin, and the old ones end as truncations",
                    config.env
                );
            }
        }
        let last_row = trainer.last_row();
        let sink = |path, format| match found {
            Some(_) => FileSink::resume(path, format, first_step, last_row),
            None => FileSink::create(path, format),
        };
        trainer = trainer
            .with_sink(sink(dir.metrics_jsonl(), FileFormat::Jsonl)?)
            .with_sink(sink(dir.metrics_csv(), FileFormat::Csv)?);

        let started = Instant::now();
        let outcome = trainer.run()?;
        let train_seconds = started.elapsed().as_secs_f64();
        trainer.save_checkpoint()?;
        if outcome == Outcome::Stopped && trainer.step() < config.steps {
            return Ok(None);
        }
        let title = format!("{} on {}, seed {}", config.algorithm, config.env, config.seed);
        plot::learning_curve(&dir.metrics_jsonl(), &dir.learning_curve(), &title)?;
        let summary = summarise(config, &pair.spec, &mut trainer, first_step, train_seconds)?;
        rl_core::write_atomically(&dir.summary(), json(&summary)?.as_bytes())?;
        Ok(Some(summary))
    }

    fn report(&self, summary: &Summary, as_json: bool) -> Result<()> {
        let row = |name: &str, value: String| println!("  {name:<20} {value}");
        println!("{} on {}, seed {}", summary.algorithm, summary.env, summary.seed);
        row(
            "return",
            format!(
                "{:.2} ± {:.2} over {FINAL_EPISODES} episodes, final policy",
                summary.mean_return, summary.std_return
            ),
        );
        if let Some(training) = summary.training_return {
            row("while training", format!("{training:.2} over the last 100 episodes"));
        }
        if let Some(reference) = &self.config.reference {
            row("reference", format!("{} ({})", reference.value, reference.source));
        }
        row("steps", format!("{} in {} episodes", summary.steps, summary.episodes));
        row(
            "time",
            format!("{:.1} s, {:.0} steps/s", summary.train_seconds, summary.steps_per_second),
        );
        row("folder", self.dir.path().display().to_string());
        if as_json {
            println!("{}", json(summary)?);
        }
        Ok(())
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::usage)
}

type Envs<O, A> = Box<dyn VecEnv<Obs = O, Action = A>>;

/// Evaluates the final policy over [`FINAL_EPISODES`] episodes and says what a run came to that began
/// at `first_step`.
fn summarise<O, A>(
    config: &RunConfig,
    spec: &Spec,
    trainer: &mut Trainer<Envs<O, A>, Box<dyn Agent<Obs = O, Action = A>>>,
    first_step: u64,
    train_seconds: f64,
) -> Result<Summary>
where
    O: Space,
    A: Space,
    Envs<O, A>: RunEnvs<Obs = O, Action = A>,
{
    let seeds = Seeds::new(config.seed).child("final evaluation", 0);
    let mut envs = Envs::<O, A>::for_evaluation(config, spec, seeds, EVALUATION_ENVS)?;
    envs.set_moments(&trainer.envs().moments())?;
    let evaluation = evaluate(trainer.agent_mut(), &mut envs, FINAL_EPISODES)?;
    Ok(Summary {
        algorithm: config.algorithm.clone(),
        env: config.env.clone(),
        seed: config.seed,
        steps: trainer.step(),
        episodes: trainer.episodes(),
        mean_return: evaluation.mean(),
        std_return: evaluation.std(),
        training_return: trainer.recent_return(),
        train_seconds,
        steps_per_second: (trainer.step() - first_step) as f64 / train_seconds.max(1e-9),
    })
}

/// Trains without a folder and without a word: for benches.
pub(crate) fn train_quietly(config: &RunConfig) -> Result<Summary> {
    fn run<O, A>(config: &RunConfig, pair: Pair<O, A>) -> Result<Summary>
    where
        O: Space,
        A: Space,
        Box<dyn VecEnv<Obs = O, Action = A>>: RunEnvs<Obs = O, Action = A>,
    {
        let started = Instant::now();
        let mut trainer = Trainer::new(pair.envs, pair.agent, TrainerConfig::new(config.steps))?;
        trainer.run()?;
        let train_seconds = started.elapsed().as_secs_f64();
        summarise(config, &pair.spec, &mut trainer, 0, train_seconds)
    }
    with_pair!(build(config, Seeds::new(config.seed))?, |pair| run(config, pair))
}
