//! Presets: tuned settings as data, each citing its source; and the full settings of a run.

use crate::error::did_you_mean;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that determines a run, as stored in its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunConfig {
    pub(crate) algorithm: String,
    pub(crate) env: String,
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    #[serde(default = "one")]
    pub(crate) envs: usize,
    #[serde(default = "one")]
    pub(crate) env_threads: usize,
    #[serde(default = "one")]
    pub(crate) threads: usize,
    #[serde(default = "cpu")]
    pub(crate) device: String,
    /// Steps between two checkpoints; a tenth of the run where left out.
    pub(crate) checkpoint_every: Option<u64>,
    /// Steps between two evaluations; a twentieth of the run where left out.
    pub(crate) evaluate_every: Option<u64>,
    #[serde(default)]
    pub(crate) normalize: Normalize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Reference>,
    /// The algorithm's own settings.
    #[serde(default)]
    pub(crate) agent: toml::Table,
}

/// Running normalisation around the training environments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Normalize {
    pub(crate) observations: bool,
    /// The discount of the return whose deviation rewards are divided by; none: rewards stay.
    pub(crate) rewards_gamma: Option<f64>,
}

/// A published return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    #[serde(rename = "return")]
    pub(crate) value: f64,
    pub(crate) source: String,
}

fn one() -> usize {
    1
}
fn cpu() -> String {
    "cpu".to_owned()
}

macro_rules! presets {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../presets/", $path, ".toml")))),*]
    };
}

/// Name (`algorithm/environment`) and text of every preset.
pub(crate) static PRESETS: &[(&str, &str)] = presets![
    "dqn/CartPole-v1",
    "dqn/MountainCar-v0",
    "dqn/Acrobot-v1",
    "ppo/CartPole-v1",
    "ppo/Acrobot-v1",
    "ppo/Pendulum-v1",
    "ppo/MountainCar-v0",
    "ppo-kl/CartPole-v1",
    "ppo-kl/Acrobot-v1",
    "ppo-kl/Pendulum-v1",
    "trpo/CartPole-v1",
    "trpo/Acrobot-v1",
    "trpo/Pendulum-v1",
    "reinforce/CartPole-v1",
    "q-actor-critic/CartPole-v1",
    "a2c/CartPole-v1",
    "a2c/Acrobot-v1",
    "a2c/Pendulum-v1",
    "ddpg/Pendulum-v1",
    "ddpg/MountainCarContinuous-v0",
    "td3/Pendulum-v1",
    "td3/MountainCarContinuous-v0",
    "sac/Pendulum-v1",
    "sac/MountainCarContinuous-v0",
    "hill-climbing/CartPole-v1",
    "simulated-annealing/CartPole-v1",
    "evolution-strategies/CartPole-v1",
    "q-learning/CliffWalking-v1",
    "q-learning/FrozenLake-v1",
];

impl RunConfig {
    pub(crate) fn parse(what: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::usage(format_args!("{what}: {}", e.message())))
    }

    /// The preset of an algorithm in an environment, or the algorithm's defaults for 100,000 steps.
    pub(crate) fn preset(algorithm: &str, env: &str) -> Result<Self> {
        let name = format!("{algorithm}/{env}");
        match PRESETS.iter().find(|(n, _)| *n == name) {
            Some((name, text)) => Self::parse(name, text),
            None => Self::parse(
                "defaults",
                &format!("algorithm = {algorithm:?}\nenv = {env:?}\nsteps = 100_000"),
            ),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&path.display().to_string(), &text)
    }

    pub(crate) fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(Error::usage)
    }

    /// Applies `key=value`, the key being a path into the algorithm's settings, the value TOML.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<()> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Error::usage(format_args!(
                "--set: expected key=value, got '{assignment}'"
            )));
        };
        let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .ok()
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        let mut table = &mut self.agent;
        let mut parts = key.trim().split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value);
                break;
            }
            let inner = table.entry(part).or_insert_with(|| toml::Table::new().into());
            let Some(inner) = inner.as_table_mut() else {
                return Err(Error::usage(format_args!("--set: '{part}' has no fields")));
            };
            table = inner;
        }
        Ok(())
    }
}

/// Checks the algorithm's name.
pub(crate) fn known_algorithm(name: &str) -> Result<()> {
    let known = crate::algorithm::NAMES;
    if known.contains(&name) {
        return Ok(());
    }
    let hint = did_you_mean(name, known.iter().copied());
    Err(Error::usage(format_args!("unknown algorithm '{name}'{hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rl_core::Seeds;

    #[test]
    fn every_preset_builds() {
        for (name, text) in PRESETS {
            let config = RunConfig::parse(name, text).unwrap();
            assert_eq!(*name, format!("{}/{}", config.algorithm, config.env));
            assert!(config.reference.is_some() && text.starts_with('#'), "{name} cites its source");
            crate::algorithm::build(&config, Seeds::new(0)).map(drop).unwrap();
        }
    }

    #[test]
    fn settings_are_set_by_path() {
        let mut config = RunConfig::preset("dqn", "CartPole-v1").unwrap();
        config.set("network.hidden=[8]").unwrap();
        config.set("gamma = 0.5").unwrap();
        config.set("loss=mse").unwrap();
        assert_eq!(config.agent["network"]["hidden"][0].as_integer(), Some(8));
        assert_eq!(config.agent["gamma"].as_float(), Some(0.5));
        assert_eq!(config.agent["loss"].as_str(), Some("mse"));
        assert!(config.set("gamma").is_err());
        assert!(config.set("gamma.x=1").is_err());
    }
}
