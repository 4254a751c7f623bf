//! `cargo xtask eval`.

use crate::algorithm::{Pair, RunEnvs, build, with_pair};
use crate::train::json;
use crate::{Error, Result};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use rl_core::run::{RunConfig, RunFolder, Which, give_policy, parse_count};
use rl_core::{
    BadNumbers, Evaluation, Latest, Sections, Seeds, Space, VecEnv, evaluate_watched, one_line,
};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's folder.
    dir: PathBuf,
    /// Episodes to run.
    #[arg(long, default_value_t = 100)]
    episodes: usize,
    /// Random seed of the evaluation; default: that of the run.
    #[arg(long)]
    seed: Option<u64>,
    /// Evaluates the best policy of the run instead of the last one.
    #[arg(long, conflicts_with = "checkpoint")]
    best: bool,
    /// Evaluates the policy of the checkpoint of this step.
    #[arg(long, value_name = "STEP", value_parser = parse_count)]
    checkpoint: Option<u64>,
    /// The Python interpreter of environments gym:ID; default: that of the run.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Prints one line of JSON at the end.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let (folder, mut config) = RunFolder::open(&args.dir)?;
    config.python = args.python.clone().or(config.python);
    let which = match (args.best, args.checkpoint) {
        (true, _) => Which::Best,
        (false, Some(step)) => Which::Step(step),
        (false, None) => Which::Last,
    };
    let Latest { manifest, sections, skipped } = folder.policy(which)?;
    skipped.iter().for_each(|error| eprintln!("skipped: {}", one_line(error)));
    let seeds = Seeds::new(args.seed.unwrap_or(config.seed)).child("eval", 0);
    let built = build(&config, Seeds::new(config.seed))?;
    // The agent's name, which is not always the settings': Rainbow is DQN with settings.
    let name = with_pair!(&built, |pair| pair.agent.name());
    if manifest.algorithm != name {
        return Err(Error::usage(format_args!(
            "{}: its checkpoint is of {}, its settings are of {}",
            args.dir.display(),
            manifest.algorithm,
            config.algorithm
        )));
    }
    let evaluation = with_pair!(built, |pair| run(&config, pair, &sections, seeds, args.episodes))?;
    let (mean, std, n) = (evaluation.mean(), evaluation.std(), evaluation.returns.len());
    println!(
        "{} on {}: return {mean:.2}, standard deviation {std:.2}, over {n} episodes, policy of step {}",
        config.algorithm, config.env, manifest.step
    );
    let bad_steps = (config.bad_numbers != BadNumbers::Stop).then_some(evaluation.bad_steps);
    if let Some(bad_steps) = bad_steps {
        println!("  steps with numbers that are NaN or infinite: {bad_steps}");
    }
    if args.json {
        let mut value = serde_json::json!({
            "algorithm": config.algorithm,
            "env": config.env,
            "step": manifest.step,
            "episodes": n,
            "mean_return": mean,
            "std_return": std,
        });
        if let Some(bad_steps) = bad_steps {
            value["bad_steps"] = bad_steps.into();
        }
        println!("{}", json(&value)?);
    }
    Ok(())
}

fn run<O, A>(
    config: &RunConfig,
    mut pair: Pair<O, A>,
    sections: &Sections,
    seeds: Seeds,
    episodes: usize,
) -> Result<Evaluation>
where
    O: Space,
    A: Space,
    Box<dyn VecEnv<Obs = O, Action = A>>: RunEnvs<Obs = O, Action = A>,
{
    let mut envs =
        Box::<dyn VecEnv<Obs = O, Action = A>>::for_evaluation(config, &pair.spec, 10, seeds)?;
    give_policy(sections, &mut pair.agent, &mut envs)?;
    envs.set_bad_numbers(config.bad_numbers)?;
    let mut shown = Shown::new(episodes);
    let evaluation =
        evaluate_watched(&mut pair.agent, &mut envs, episodes, |so_far| shown.show(so_far));
    shown.bar.finish_and_clear();
    Ok(evaluation?)
}

/// A bar with the rate, the remaining time and the mean return; a line every five seconds where there is no terminal.
struct Shown {
    bar: ProgressBar,
    last_line: Instant,
    /// Of the returns that were shown: a mean anew after each of many episodes takes long.
    sum: f64,
}

impl Shown {
    fn new(episodes: usize) -> Self {
        let bar = ProgressBar::new(episodes as u64);
        let template = "{bar:30} {human_pos}/{human_len} episodes  {per_sec}, {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Shown { bar, last_line: Instant::now(), sum: 0.0 }
    }

    fn show(&mut self, so_far: &Evaluation) {
        let (done, before) = (so_far.returns.len(), self.bar.position() as usize);
        self.sum += so_far.returns[before..].iter().sum::<f64>();
        let mean = self.sum / done as f64;
        self.bar.set_position(done as u64);
        self.bar.set_message(format!("return {mean:.1}"));
        if self.bar.is_hidden() && self.last_line.elapsed() >= Duration::from_secs(5) {
            self.last_line = Instant::now();
            let (all, left) = (self.bar.length().unwrap_or_default(), self.bar.eta());
            let line = format!("{done}/{all} episodes: return {mean:.1}");
            // A line that cannot be written is not worth the evaluation.
            let _ = writeln!(std::io::stderr(), "{line}, {:#} left", HumanDuration(left));
        }
    }
}
