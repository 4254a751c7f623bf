//! Presets: tuned settings as data, each citing its source; and the full settings of a run.

use crate::{Error, Result};
use rl_core::check;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    /// Steps between two checkpoints; none: a tenth of the run.
    #[serde(default, with = "rl_core::optional")]
    pub(crate) checkpoint_every: Option<u64>,
    /// Steps between two evaluations; none: a twentieth of the run.
    #[serde(default, with = "rl_core::optional")]
    pub(crate) evaluate_every: Option<u64>,
    /// Whether checkpoints hold the replay memory, without which a resumed run gathers it anew; yes.
    #[serde(default = "yes")]
    pub(crate) save_replay: bool,
    /// The folder of a run whose policy this one starts from; none.
    #[serde(default, with = "rl_core::optional")]
    pub(crate) init_from: Option<PathBuf>,
    /// The Python interpreter of environments `gym:ID`; none: `python3`.
    #[serde(default, with = "rl_core::optional", skip_serializing_if = "Option::is_none")]
    pub(crate) python: Option<PathBuf>,
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
    /// Whether observations are brought to mean 0 and standard deviation 1; no.
    pub(crate) observations: bool,
    /// Whether rewards are divided by the standard deviation of the discounted return, the algorithm's `gamma` being
    /// the discount; no.
    pub(crate) rewards: bool,
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
fn yes() -> bool {
    true
}
fn cpu() -> String {
    "cpu".to_owned()
}

/// Tuned settings of an algorithm in an environment, or in each of a family of environments.
pub(crate) struct Preset {
    pub(crate) algorithm: &'static str,
    /// The environment, or the family: what stands before the first slash of the environments' names.
    pub(crate) env: &'static str,
    text: &'static str,
}

macro_rules! presets {
    ($($algorithm:literal: $($env:literal)+;)*) => {
        &[$($(Preset {
            algorithm: $algorithm,
            env: $env,
            text: include_str!(concat!("../presets/", $algorithm, "/", $env, ".toml")),
        },)+)*]
    };
}

/// Every preset.
pub(crate) static PRESETS: &[Preset] = presets![
    "dqn": "CartPole-v1" "CartPolePixels-v0" "MountainCar-v0" "Acrobot-v1" "MinAtar";
    "rainbow": "MinAtar";
    "ppo": "MinAtar" "CartPole-v1" "Acrobot-v1" "Pendulum-v1" "MountainCar-v0";
    "ppo-kl": "CartPole-v1" "Acrobot-v1" "Pendulum-v1";
    "trpo": "CartPole-v1" "Acrobot-v1" "Pendulum-v1";
    "reinforce": "CartPole-v1";
    "q-actor-critic": "CartPole-v1";
    "a2c": "MinAtar" "CartPole-v1" "Acrobot-v1" "Pendulum-v1";
    "ddpg": "Pendulum-v1" "MountainCarContinuous-v0";
    "td3": "Pendulum-v1" "MountainCarContinuous-v0";
    "sac": "Pendulum-v1" "MountainCarContinuous-v0";
    "tqc": "Pendulum-v1";
    "hill-climbing": "CartPole-v1";
    "simulated-annealing": "CartPole-v1";
    "evolution-strategies": "CartPole-v1";
    "q-learning": "CliffWalking-v1" "FrozenLake-v1";
];

impl Preset {
    /// The environments that it is for.
    pub(crate) fn envs(&self) -> Vec<&'static str> {
        let ids = rl_envs::registry().iter().map(|spec| &*spec.id);
        ids.filter(|id| *id == self.env || family(id) == Some(self.env)).collect()
    }

    /// The settings of a run in one of its environments. Those of a family have a table of references, one a game.
    pub(crate) fn config(&self, env: &str) -> Result<RunConfig> {
        let what = format!("{}/{}", self.algorithm, self.env);
        let parse_error =
            |e: toml::de::Error| Error::usage(format_args!("{what}: {}", e.message()));
        let mut table: toml::Table = toml::from_str(self.text).map_err(parse_error)?;
        table.entry("env").or_insert_with(|| env.into());
        if let Some(toml::Value::Table(references)) = table.remove("references") {
            // Published returns are of the games' own rules, whose names end in a version.
            let game = env.split(['/', '-']).nth(1).filter(|_| !env.ends_with("-gymnax"));
            let game = game.unwrap_or_default();
            if let (Some(value), Some(source)) = (references.get(game), references.get("source")) {
                let reference = [("return", value.clone()), ("source", source.clone())];
                let reference = reference.map(|(key, value)| (key.to_owned(), value));
                table.insert("reference".to_owned(), toml::Table::from_iter(reference).into());
            }
        }
        from_table(&what, table)
    }
}

/// `MinAtar` of `MinAtar/Breakout-v1`.
fn family(env: &str) -> Option<&str> {
    env.split_once('/').map(|(family, _)| family)
}

impl RunConfig {
    pub(crate) fn parse(what: &str, text: &str) -> Result<Self> {
        let parse_error =
            |e: toml::de::Error| Error::usage(format_args!("{what}: {}", e.message()));
        from_table(what, toml::from_str(text).map_err(parse_error)?)
    }

    /// The preset of an algorithm in an environment, or the algorithm's defaults for 100,000 steps. Gymnasium's own
    /// `gym:CartPole-v1` has the preset of `CartPole-v1`.
    pub(crate) fn preset(algorithm: &str, env: &str) -> Result<Self> {
        if let Some(id) = env.strip_prefix("gym:") {
            return Ok(RunConfig { env: env.to_owned(), ..Self::preset(algorithm, id)? });
        }
        let fits =
            |p: &&Preset| p.algorithm == algorithm && (p.env == env || family(env) == Some(p.env));
        match PRESETS.iter().find(fits) {
            Some(preset) => preset.config(env),
            None => Self::parse(
                "defaults",
                &format!("algorithm = {algorithm:?}\nenv = {env:?}\nsteps = 100_000"),
            ),
        }
    }

    /// How environments of other processes are reached.
    pub(crate) fn options(&self) -> rl_envs::Options {
        fn masks(table: &toml::Table) -> bool {
            let on = |value: &toml::Value| value.as_bool() == Some(true);
            table.get("action_mask").is_some_and(on)
                || table.values().filter_map(toml::Value::as_table).any(masks)
        }
        rl_envs::Options { python: self.python.clone(), action_mask: masks(&self.agent) }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Checks what the agent does not check itself.
    pub(crate) fn validate(&self) -> Result<()> {
        let every =
            [("checkpoint_every", self.checkpoint_every), ("evaluate_every", self.evaluate_every)];
        for (field, every) in every {
            every.map_or(Ok(()), |every| check::at_least(field, 1, every))?;
        }
        Ok(())
    }

    pub(crate) fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(Error::usage)
    }

    /// Applies `key=value`, the value being TOML. The key is a path: `normalize.observations` and other settings of the
    /// run in [`RUN_SETTINGS`], else into the algorithm's settings.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<()> {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Error::usage(format_args!(
                "--set: expected key=value, got '{assignment}'"
            )));
        };
        let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
            .ok()
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));
        let key = key.trim();
        let first = key.split('.').next().unwrap_or_default();
        if RUN_SETTINGS.contains(&first) {
            let mut table = toml::Table::try_from(&*self).map_err(Error::usage)?;
            put(&mut table, key, value)?;
            *self = from_table("--set", table)?;
            return Ok(());
        }
        put(&mut self.agent, key, value)
    }
}

/// What `--set` changes of the run itself.
const RUN_SETTINGS: [&str; 5] =
    ["normalize", "checkpoint_every", "evaluate_every", "save_replay", "init_from"];

/// Puts a value at a path.
fn put(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<()> {
    let (mut table, mut parts) = (table, key.split('.').peekable());
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.insert(part.to_owned(), value);
            break;
        }
        let inner = table.entry(part).or_insert_with(|| toml::Table::new().into());
        let Some(inner) = inner.as_table_mut() else {
            return Err(Error::usage(format_args!("--set {key}: '{part}' has no fields")));
        };
        table = inner;
    }
    Ok(())
}

/// Reads settings; an error names the field by its path.
pub(crate) fn from_table<C: DeserializeOwned>(what: &str, table: toml::Table) -> Result<C> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
        let (path, message) = (e.path().to_string(), e.inner().message());
        // Of an unknown field, which ends its path, the message gives the name.
        let path = match (message.starts_with("unknown field"), path.rsplit_once('.')) {
            (true, Some((parent, _))) => parent,
            (true, None) => ".",
            (false, _) => &path,
        };
        match path {
            "." => Error::usage(format_args!("{what}: {message}")),
            path => Error::usage(format_args!("{what}: {path}: {message}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rl_core::{Agent, Seeds};

    #[test]
    fn every_preset_builds() {
        for preset in PRESETS {
            assert!(
                preset.text.starts_with('#'),
                "{}/{} cites its source",
                preset.algorithm,
                preset.env
            );
            assert!(!preset.envs().is_empty());
            for env in preset.envs() {
                let config = RunConfig::preset(preset.algorithm, env).unwrap();
                assert_eq!((&*config.algorithm, &*config.env), (preset.algorithm, env));
                // Published returns are of the games' own rules.
                let own_rules = !env.ends_with("-gymnax");
                assert_eq!(config.reference.is_some(), own_rules, "{env} names a reference");
                let built = crate::algorithm::build(&config, Seeds::new(0)).unwrap();
                let name = crate::algorithm::with_pair!(built, |pair| pair.agent.name());
                // Rainbow is DQN with settings.
                let expected = config.algorithm.replace("rainbow", "dqn");
                assert_eq!(name, expected);
            }
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
        config.set("max_grad_norm=none").unwrap();
        assert_eq!(config.agent["max_grad_norm"].as_str(), Some("none"));
        config.set("normalize.observations=true").unwrap();
        config.set("checkpoint_every=100").unwrap();
        assert!(config.normalize.observations && config.checkpoint_every == Some(100));
        config.set("checkpoint_every = none").unwrap();
        assert_eq!(config.checkpoint_every, None);
        let error = config.set("normalize.rewards=maybe").unwrap_err().to_string();
        assert!(error.starts_with("--set: normalize.rewards: invalid type"), "{error}");
    }
}
