//! What a run came to.

use super::{FINAL_EPISODES, RunConfig};
use crate::{Agent, BadNumbers, Result, Seeds, Trainer, VecEnv, evaluate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a run came to, as `summary.json` in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The algorithm's name.
    pub algorithm: String,
    /// The environment's name.
    pub env: String,
    /// The seed.
    pub seed: u64,
    /// Environment steps taken.
    pub steps: u64,
    /// Episodes finished while training.
    pub episodes: u64,
    /// The mean return of the final policy over [`FINAL_EPISODES`] episodes, without exploration.
    pub mean_return: f64,
    /// The standard deviation of those returns.
    pub std_return: f64,
    /// The mean return of the last 100 training episodes, exploration included.
    #[serde(default)]
    pub training_return: Option<f64>,
    /// Steps of training with numbers that were NaN or infinite; none of a run that stops at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_steps: Option<u64>,
    /// The same of the evaluation of the final policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_bad_steps: Option<u64>,
    /// Seconds of training, of this process.
    pub train_seconds: f64,
    /// Environment steps a second, of this process.
    pub steps_per_second: f64,
}

impl Summary {
    /// The streams of the evaluation at the end.
    pub(super) fn seeds(run: Seeds) -> Seeds {
        run.child("final evaluation", 0)
    }

    /// Evaluates the final policy over [`FINAL_EPISODES`] episodes in `envs` and says what a run came to that this process
    /// began at `first_step`.
    pub(super) fn of<V, A>(
        config: &RunConfig,
        mut envs: V,
        trainer: &mut Trainer<V, A>,
        first_step: u64,
        train_seconds: f64,
    ) -> Result<Self>
    where
        V: VecEnv,
        A: Agent<Obs = V::Obs, Action = V::Action>,
    {
        envs.set_moments(&trainer.envs().moments())?;
        envs.set_bad_numbers(config.bad_numbers)?;
        let evaluation = evaluate(trainer.agent_mut(), &mut envs, FINAL_EPISODES)?;
        let counts = config.bad_numbers != BadNumbers::Stop;
        Ok(Summary {
            algorithm: config.algorithm.clone(),
            env: config.env.clone(),
            seed: config.seed,
            steps: trainer.step(),
            episodes: trainer.episodes(),
            mean_return: evaluation.mean(),
            std_return: evaluation.std(),
            training_return: trainer.recent_return(),
            bad_steps: counts.then(|| trainer.bad_steps()),
            evaluation_bad_steps: counts.then_some(evaluation.bad_steps),
            train_seconds,
            steps_per_second: (trainer.step() - first_step) as f64 / train_seconds.max(1e-9),
        })
    }

    /// As lines of text, beside the published return that the run names.
    pub fn beside(&self, config: &RunConfig) -> String {
        let mut text = self.to_string();
        if let Some(reference) = &config.reference {
            text += &line("reference", format_args!("{} ({})", reference.value, reference.source));
        }
        text
    }
}

fn line(name: &str, value: fmt::Arguments<'_>) -> String {
    format!("  {name:<20} {value}\n")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}, seed {}", self.algorithm, self.env, self.seed)?;
        let (mean, std) = (self.mean_return, self.std_return);
        let of = format_args!(
            "{mean:.2}, standard deviation {std:.2}, over {FINAL_EPISODES} episodes of the final policy"
        );
        f.write_str(&line("return", of))?;
        if let Some(training) = self.training_return {
            let of =
                format_args!("{training:.2} over the last {} episodes", self.episodes.min(100));
            f.write_str(&line("while training", of))?;
        }
        let of = format_args!("{} in {} episodes", self.steps, self.episodes);
        f.write_str(&line("steps", of))?;
        if let (Some(training), Some(evaluation)) = (self.bad_steps, self.evaluation_bad_steps) {
            let of =
                format_args!("{training} steps while training, {evaluation} in the evaluation");
            f.write_str(&line("bad numbers", of))?;
        }
        let (seconds, rate) = (self.train_seconds, self.steps_per_second);
        f.write_str(&line("time", format_args!("{seconds:.1} s, {rate:.0} steps/s")))
    }
}
