//! `cargo xtask train`.

use crate::algorithm::{self, Pair, RunEnvs, build, with_pair};
use crate::interrupt::Interrupt;
use crate::{Error, Result, preset};
use rl_core::run::{
    ProgressDisplay, Run, RunConfig, RunFolder, Summary, parse_count, train_without_folder,
};
use rl_core::{Space, VecEnv};
use rl_envs::Kind;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Clone, Default)]
pub(crate) struct Args {
    /// The algorithm, as `cargo xtask list` names it.
    pub(crate) algorithm: String,
    /// The environment, as `cargo xtask list` names it; gym:ID for any of Python's Gymnasium.
    pub(crate) env: String,
    /// The seed of all randomness; 0 where left out.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) seed: Option<u64>,
    /// Environment steps, such as 100_000 or 1e5; the preset's where left out.
    #[arg(long, value_parser = parse_count)]
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
    #[arg(long, value_parser = parse_count)]
    pub(crate) stop_at: Option<u64>,
    /// Prints one line of JSON last.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// The run's full settings, from the preset and what the arguments change.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        check_names(&self.algorithm, &self.env)?;
        let mut config = match &self.preset {
            Some(path) => RunConfig::read(path)?,
            None => preset::find_or_defaults(&self.algorithm, &self.env)?,
        };
        expect_same("algorithm", &self.algorithm, &config.algorithm, "the preset")?;
        expect_same("environment", &self.env, &config.env, "the preset")?;
        config.seed = self.seed.unwrap_or(config.seed);
        config.steps = self.steps.unwrap_or(config.steps);
        config.envs = self.envs.unwrap_or(config.envs);
        config.threads = self.threads.unwrap_or(config.threads);
        config.env_threads = self.env_threads.unwrap_or(config.env_threads);
        config.device = self.device.clone().unwrap_or(config.device);
        config.python = self.python.as_deref().map(lasting).or(config.python);
        config.init_from = self.init_from.clone().or(config.init_from);
        let named = |error: rl_core::Error| match error {
            rl_core::Error::Settings { what, problem } if what == "setting" => {
                Error::usage(format_args!("--set: {problem}"))
            }
            rl_core::Error::Settings { what, problem } => {
                Error::usage(format_args!("--set {what}: {problem}"))
            }
            error => error.into(),
        };
        self.set.iter().try_for_each(|assignment| config.set(assignment)).map_err(named)?;
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

pub(crate) fn main(args: &Args) -> Result<()> {
    let mut run = match &args.resume {
        Some(path) => {
            check_names(&args.algorithm, &args.env)?;
            let run = Run::resume(path)?;
            let of = format!("the run in {}", path.display());
            expect_same("algorithm", &args.algorithm, &run.config().algorithm, &of)?;
            expect_same("environment", &args.env, &run.config().env, &of)?;
            match args.steps {
                Some(steps) => run.with_steps(steps)?,
                None => run,
            }
        }
        None => match &args.out {
            Some(out) => Run::new(args.config()?)?.in_folder(out),
            None => Run::new(args.config()?)?,
        },
    };
    let interrupt = Interrupt::listen()?;
    run = run
        .with_reporter(ProgressDisplay::stderr())
        .with_notices(std::io::stderr())
        .stop_when(interrupt.flag());
    if let Some(step) = args.stop_at {
        run = run.stop_at(step);
    }
    // Built before the folder is made: a bad setting leaves nothing behind.
    let built = build(run.config(), run.seeds())?;
    run.put_settings(built.settings())?;
    if let (None, Some(from)) = (&args.resume, &run.config().init_from) {
        RunFolder::open(from)?;
    }
    if args.resume.is_none() && args.preset.is_none() {
        let kind = with_pair!(&built, |pair| pair.spec.kind);
        say_where_defaults_are_used(run.config(), kind)?;
    }
    let before = saved_at(&run);
    let trained = with_pair!(built, |pair| train(&mut run, pair));
    let summary = trained.inspect_err(|_| say_what_is_saved(&run, before))?;
    match summary {
        Some(summary) => {
            print!("{}", summary.beside(run.config()));
            println!("  {:<20} {}", "folder", folder(&run));
            if args.json {
                println!("{}", json(&summary)?);
            }
            Ok(())
        }
        None => {
            let at = saved_at(&run).map_or(String::new(), |step| format!(" at step {step}"));
            println!("stopped{at}; go on with: {}", resuming(&run));
            if interrupt.happened() { Err(Error::Interrupted) } else { Ok(()) }
        }
    }
}

fn folder(run: &Run) -> String {
    run.folder().map(|folder| folder.path().display().to_string()).unwrap_or_default()
}

/// The step of the newest checkpoint.
fn saved_at(run: &Run) -> Option<u64> {
    run.folder()?.checkpoints().steps().ok()?.last().copied()
}

/// The command that goes on with a run.
fn resuming(run: &Run) -> String {
    let RunConfig { algorithm, env, .. } = run.config();
    format!("cargo xtask train {algorithm} {} --resume {}", quoted(env), quoted(&folder(run)))
}

/// A run that an error ends may have been saved since it began, or went on, at the step `before`.
fn say_what_is_saved(run: &Run, before: Option<u64>) {
    if let Some(step) = saved_at(run).filter(|step| Some(*step) > before) {
        // A closed stream changes nothing.
        let _ = writeln!(
            std::io::stderr(),
            "saved at step {step}; go on from there with: {}",
            resuming(run)
        );
    }
}

/// Whether a network of these full settings has convolutions.
fn has_convolutions(settings: &toml::Table) -> bool {
    settings.iter().any(|(key, value)| match value {
        toml::Value::Array(layers) => key == "conv" && !layers.is_empty(),
        toml::Value::Table(inner) => has_convolutions(inner),
        _ => false,
    })
}

/// Defaults are nobody's tuning: who compares algorithms must know.
fn say_where_defaults_are_used(config: &RunConfig, kind: Kind) -> Result<()> {
    let RunConfig { algorithm, env, steps, .. } = config;
    if preset::find(algorithm, env)?.is_none() {
        let images = match kind {
            Kind::Pixels | Kind::PixelsContinuous if !has_convolutions(&config.agent) => {
                ", whose networks have no convolutions,"
            }
            _ => ",",
        };
        // A closed stream ends no run.
        let _ = writeln!(
            std::io::stderr(),
            "no preset for {algorithm} in {env}: {algorithm}'s defaults{images} for {steps} steps \
             (cargo xtask settings {algorithm})"
        );
    }
    Ok(())
}

fn train<O, A>(run: &mut Run, pair: Pair<O, A>) -> rl_core::Result<Option<Summary>>
where
    O: Space,
    A: Space,
    Envs<O, A>: RunEnvs<Obs = O, Action = A>,
{
    let (config, spec) = (run.config().clone(), pair.spec);
    let evaluation = move |envs, seeds| Envs::<O, A>::for_evaluation(&config, &spec, envs, seeds);
    run.train(pair.envs, pair.agent, evaluation)
}

/// As a shell reads it: names may have arguments, `gym:FrozenLake-v1?is_slippery=false`, and folders spaces.
fn quoted(name: &str) -> std::borrow::Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:".contains(c);
    match name.chars().all(plain) {
        true => name.into(),
        false => format!("'{}'", name.replace('\'', r"'\''")).into(),
    }
}

pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::usage)
}

type Envs<O, A> = Box<dyn VecEnv<Obs = O, Action = A>>;

/// Trains without a folder and without a word: for benches.
pub(crate) fn train_quietly(config: &RunConfig) -> Result<Summary> {
    fn run<O, A>(config: &RunConfig, pair: Pair<O, A>) -> rl_core::Result<Summary>
    where
        O: Space,
        A: Space,
        Envs<O, A>: RunEnvs<Obs = O, Action = A>,
    {
        let evaluation =
            |envs, seeds| Envs::<O, A>::for_evaluation(config, &pair.spec, envs, seeds);
        train_without_folder(config, pair.envs, pair.agent, evaluation)
    }
    Ok(with_pair!(build(config, config.seeds())?, |pair| run(config, pair))?)
}

/// A program's path as another folder can use it; names that are looked up stay.
fn lasting(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}
