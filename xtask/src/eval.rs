//! `cargo xtask eval`.

use crate::algorithm::{Pair, RunEnvs, build, with_pair};
use crate::train::json;
use crate::{Error, Result};
use rl_core::run::{RunConfig, RunFolder, Which, give_policy, parse_count};
use rl_core::{BadNumbers, Evaluation, Latest, Sections, Seeds, Space, VecEnv, evaluate, one_line};
use std::path::PathBuf;

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
        "{} on {}: return {mean:.2} ± {std:.2} over {n} episodes, policy of step {}",
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
    Ok(evaluate(&mut pair.agent, &mut envs, episodes)?)
}
