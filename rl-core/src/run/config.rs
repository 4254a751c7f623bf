//! The settings of a run.

use super::settings::{first_difference, from_table, merge, put, table_of, value_of};
use crate::{
    BadNumbers, BoxSpace, Error, NormalizeObs, NormalizeReward, Result, SETTINGS_FILE, Seeds,
    Space, VecEnv, check,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that determines a run, as stored in its folder. [`Run`](super::Run) goes by `seed`, `steps`,
/// `checkpoint_every`, `evaluate_every`, `save_replay`, `write_errors`, `bad_numbers` and `init_from`; the environments and the
/// agent that it is given are made by the others: `envs`, `env_threads`, `normalize`, `python`; `threads`, `device`, `agent`.
///
/// ```
/// use rl_core::run::RunConfig;
/// let mut config = RunConfig::new("dqn", "CartPole-v1", 50_000);
/// config.set("learning_rate=1e-3")?;
/// config.set("evaluate_every=1e4")?;
/// assert_eq!(config.agent["learning_rate"].as_float(), Some(1e-3));
/// assert_eq!(config.evaluate_every, Some(10_000));
/// assert_eq!(RunConfig::parse("copy", &config.to_toml()?)?, config);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The algorithm's name.
    pub algorithm: String,
    /// The environment's name.
    pub env: String,
    /// The seed of all randomness; 0.
    #[serde(default)]
    pub seed: u64,
    /// Environment steps, summed over all environments.
    pub steps: u64,
    /// Environments stepped together; 1.
    #[serde(default = "one")]
    pub envs: usize,
    /// Threads that step the environments; 1.
    #[serde(default = "one")]
    pub env_threads: usize,
    /// Threads that learning is shared out among; 1.
    #[serde(default = "one")]
    pub threads: usize,
    /// Where the networks are computed; `cpu`.
    #[serde(default = "cpu")]
    pub device: String,
    /// Environment steps between two checkpoints; none: a tenth of the run.
    #[serde(default, with = "crate::optional")]
    pub checkpoint_every: Option<u64>,
    /// Environment steps between two evaluations; none: a twentieth of the run.
    #[serde(default, with = "crate::optional")]
    pub evaluate_every: Option<u64>,
    /// Whether checkpoints hold the replay memory, without which a resumed run gathers it anew; yes.
    #[serde(default = "yes")]
    pub save_replay: bool,
    /// What becomes of the run when a checkpoint or a row of metrics cannot be written; `stop`.
    #[serde(default)]
    pub write_errors: WriteErrors,
    /// What happens where an environment gives a number that is NaN or infinite; `stop`.
    #[serde(default)]
    pub bad_numbers: BadNumbers,
    /// The folder of a run whose last policy this one starts from; none.
    #[serde(default, with = "crate::optional")]
    pub init_from: Option<PathBuf>,
    /// The Python interpreter of environments that need one; none: `python3`.
    #[serde(default, with = "crate::optional", skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Running normalisation around the training environments; none.
    #[serde(default)]
    pub normalize: Normalize,
    /// A published return to compare with; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// The algorithm's own settings.
    #[serde(default)]
    pub agent: toml::Table,
}

/// What becomes of a run when something of it cannot be written, as where a disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WriteErrors {
    /// It ends with the error. The checkpoints that are there stay whole.
    #[default]
    Stop,
    /// It goes on, says so as a [notice](super::Run::with_notices), and tries again with the next checkpoint or row.
    Continue,
}

/// Running normalisation around the training environments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalize {
    /// Whether observations are brought to mean 0 and standard deviation 1; no.
    pub observations: bool,
    /// Whether rewards are divided by the standard deviation of the discounted return, the algorithm's `gamma` being
    /// the discount; no.
    pub rewards: bool,
}

/// A published return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The mean return.
    #[serde(rename = "return")]
    pub value: f64,
    /// Who published it.
    pub source: String,
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

/// The bound on normalised observations and rewards (Andrychowicz et al., 2021).
const CLIP: f32 = 10.0;

/// The most environments and threads of a run: more are a mistake, and would take long to be made.
const MAX_ENVS: u64 = 1 << 16;
const MAX_THREADS: u64 = 1 << 10;

/// The settings of the run itself that can be set by name.
const OF_THE_RUN: [&str; 14] = [
    "seed",
    "steps",
    "envs",
    "env_threads",
    "threads",
    "device",
    "checkpoint_every",
    "evaluate_every",
    "save_replay",
    "write_errors",
    "bad_numbers",
    "init_from",
    "python",
    "normalize",
];

/// Settings of a run that may be changed before it is resumed: what is learned does not depend on them, or they say how far
/// it goes and where.
const CHANGEABLE: [&str; 10] = [
    "steps",
    "env_threads",
    "threads",
    "device",
    "checkpoint_every",
    "evaluate_every",
    "save_replay",
    "write_errors",
    "python",
    "reference",
];

/// Several environments of observations `O` and actions `A`.
type Envs<O, A> = Box<dyn VecEnv<Obs = O, Action = A>>;

impl RunConfig {
    /// A run of `steps` environment steps, all else as by default.
    pub fn new(algorithm: &str, env: &str, steps: u64) -> Self {
        RunConfig {
            algorithm: algorithm.to_owned(),
            env: env.to_owned(),
            seed: 0,
            steps,
            envs: one(),
            env_threads: one(),
            threads: one(),
            device: cpu(),
            checkpoint_every: None,
            evaluate_every: None,
            save_replay: yes(),
            write_errors: WriteErrors::default(),
            bad_numbers: BadNumbers::default(),
            init_from: None,
            python: None,
            normalize: Normalize::default(),
            reference: None,
            agent: toml::Table::new(),
        }
    }

    /// Reads settings from TOML; `what` names the text in errors.
    ///
    /// # Errors
    /// [`Error::Settings`] for text that is not TOML, an unknown field, a missing one or one of the wrong type.
    pub fn parse(what: &str, text: &str) -> Result<Self> {
        from_table(what, table_of(what, text)?)
    }

    /// Reads settings from a file.
    ///
    /// # Errors
    /// Those of [`parse`](RunConfig::parse); [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The settings as TOML.
    ///
    /// # Errors
    /// Settings that TOML cannot express.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::settings("settings", e))
    }

    /// Checks what neither the agent nor the environments check.
    ///
    /// # Errors
    /// [`Error::Config`] for a number of steps, environments or threads that is zero.
    pub fn validate(&self) -> Result<()> {
        check::at_least("steps", 1, self.steps)?;
        // Its files have whole numbers of 63 bits.
        let largest = i64::MAX as u64;
        for (field, value) in [("seed", self.seed), ("steps", self.steps)] {
            check::at_most(field, largest, "the largest that settings can be", value)?;
        }
        check::at_least("envs", 1, self.envs as u64)?;
        check::at_least("env_threads", 1, self.env_threads as u64)?;
        check::at_least("threads", 1, self.threads as u64)?;
        check::at_most("envs", MAX_ENVS, "environments that can be", self.envs as u64)?;
        for (field, threads) in [("env_threads", self.env_threads), ("threads", self.threads)] {
            check::at_most(field, MAX_THREADS, "threads that can be", threads as u64)?;
        }
        let every =
            [("checkpoint_every", self.checkpoint_every), ("evaluate_every", self.evaluate_every)];
        for (field, every) in every {
            every.map_or(Ok(()), |every| check::at_least(field, 1, every))?;
        }
        Ok(())
    }

    /// The settings that determine what is learned, as TOML: those of a run that is resumed must be those of its checkpoint.
    ///
    /// # Errors
    /// Settings that TOML cannot express.
    pub(super) fn determining(&self) -> Result<String> {
        let mut table = table_from(self)?;
        CHANGEABLE.iter().for_each(|key| drop(table.remove(*key)));
        toml::to_string_pretty(&table).map_err(|e| Error::settings("settings", e))
    }

    /// Checks that the settings that determine what is learned are `trained`, those of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`] that names the first setting that is another.
    pub(super) fn check_determining(&self, trained: &[u8]) -> Result<()> {
        let mut trained = table_of(SETTINGS_FILE, &String::from_utf8_lossy(trained))?;
        // Read as settings, so that what it leaves out is what a run has by default.
        trained.insert("steps".to_owned(), 1.into());
        let trained: RunConfig = from_table(SETTINGS_FILE, trained)?;
        let trained = table_of(SETTINGS_FILE, &trained.determining()?)?;
        let own = table_of("settings", &self.determining()?)?;
        match first_difference(&own, &trained)? {
            None => Ok(()),
            Some((field, got, expected)) => {
                let expected = format!("{expected}, with which the run was trained so far");
                Err(Error::config(field, expected, got))
            }
        }
    }

    /// The streams of all randomness.
    pub fn seeds(&self) -> Seeds {
        Seeds::new(self.seed)
    }

    /// The algorithm's settings, with its defaults where the run says nothing, inside of tables too: to set
    /// `optimizer.eps` alone leaves the rest of the optimiser as it is by default.
    ///
    /// # Errors
    /// [`Error::Settings`] that names the field.
    pub fn settings<C: Default + Serialize + DeserializeOwned>(&self) -> Result<C> {
        self.settings_over(&C::default())
    }

    /// The algorithm's settings, with those of `defaults` where the run says nothing. Tables are joined field by field,
    /// unless they are of another `kind`.
    ///
    /// # Errors
    /// Those of [`settings`](RunConfig::settings).
    pub fn settings_over<C: Serialize + DeserializeOwned>(&self, defaults: &C) -> Result<C> {
        let mut agent = table_from(defaults)?;
        merge(&mut agent, &self.agent);
        from_table(&self.algorithm, agent)
    }

    /// Takes over settings of the algorithm, every field.
    ///
    /// # Errors
    /// Settings that TOML cannot express.
    pub fn put_settings(&mut self, settings: &impl Serialize) -> Result<()> {
        self.agent = table_from(settings)?;
        Ok(())
    }

    /// Applies `key=value`, the value being TOML, a whole number as `1e5` too. The key is a path: `steps`,
    /// `normalize.observations` and other settings of the run, else into the algorithm's settings, which `agent.` before it
    /// names too.
    ///
    /// # Errors
    /// [`Error::Settings`] for another form, a path through what has no fields, the names of algorithm and environment,
    /// and, of settings of the run, for a value of the wrong type. Settings of the algorithm are checked when they are read.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let Some((key, value)) = assignment.split_once('=') else {
            let problem = format_args!("expected key=value, got '{assignment}'");
            return Err(Error::settings("setting", problem));
        };
        let key = key.trim();
        let value = value_of(key, value)?;
        match key.split('.').next().unwrap_or_default() {
            "algorithm" | "env" | "reference" => {
                Err(Error::settings("setting", format_args!("{key} is what the run is of")))
            }
            first if OF_THE_RUN.contains(&first) => {
                let mut table = table_from(&*self)?;
                put(&mut table, key, value)?;
                *self = from_table("setting", table)?;
                Ok(())
            }
            _ => put(&mut self.agent, key.strip_prefix("agent.").unwrap_or(key), value),
        }
    }

    /// Environments with the normalisation of observations that the run asks for, frozen for an evaluation. The last
    /// `except_last` numbers of an observation stay what they are: an action mask, which has one for each action.
    ///
    /// # Errors
    /// Those of [`NormalizeObs::new`] and [`NormalizeObs::except_last`].
    pub fn normalized_observations<A: Space>(
        &self,
        envs: Envs<BoxSpace, A>,
        except_last: usize,
        frozen: bool,
    ) -> Result<Envs<BoxSpace, A>> {
        if !self.normalize.observations {
            return Ok(envs);
        }
        let envs = NormalizeObs::new(envs, CLIP)?.except_last(except_last)?;
        Ok(Box::new(if frozen { envs.frozen() } else { envs }))
    }

    /// Environments with the normalisation of rewards that the run asks for; `gamma` is the algorithm's, none where it has
    /// none.
    ///
    /// # Errors
    /// [`Error::Config`] for an algorithm without a discount; those of [`NormalizeReward::new`].
    pub fn normalized_rewards<O: Space, A: Space>(
        &self,
        envs: Envs<O, A>,
        gamma: Option<f64>,
    ) -> Result<Envs<O, A>> {
        if !self.normalize.rewards {
            return Ok(envs);
        }
        let Some(gamma) = gamma else {
            let expected = format!("false for {}, which has no discount", self.algorithm);
            return Err(Error::config("normalize.rewards", expected, true));
        };
        Ok(Box::new(NormalizeReward::new(envs, gamma, CLIP)?))
    }
}

fn table_from(value: &impl Serialize) -> Result<toml::Table> {
    toml::Table::try_from(value).map_err(|e| Error::settings("settings", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_path() {
        let mut config = RunConfig::new("dqn", "CartPole-v1", 1);
        config.set("network.hidden=[8]").unwrap();
        config.set("gamma = 0.5").unwrap();
        config.set("loss=mse").unwrap();
        config.set("buffer_size=1e5").unwrap();
        config.set("learning_rate=1e-5").unwrap();
        assert_eq!(config.agent["network"]["hidden"][0].as_integer(), Some(8));
        assert_eq!(config.agent["gamma"].as_float(), Some(0.5));
        assert_eq!(config.agent["loss"].as_str(), Some("mse"));
        assert_eq!(config.agent["buffer_size"].as_integer(), Some(100_000));
        assert_eq!(config.agent["learning_rate"].as_float(), Some(1e-5));
        assert!(config.set("gamma").is_err());
        assert!(config.set("gamma.x=1").is_err());
        config.set("max_grad_norm=none").unwrap();
        assert_eq!(config.agent["max_grad_norm"].as_str(), Some("none"));
        config.set("normalize.observations=true").unwrap();
        config.set("checkpoint_every=100").unwrap();
        assert!(config.normalize.observations && config.checkpoint_every == Some(100));
        config.set("checkpoint_every = none").unwrap();
        assert_eq!(config.checkpoint_every, None);
        config.set("steps=2.5e6").unwrap();
        config.set("agent.gamma=0.25").unwrap();
        assert_eq!((config.steps, config.agent["gamma"].as_float()), (2_500_000, Some(0.25)));
        assert!(config.set("env=Other-v0").is_err());
        config.set("bad_numbers=skip").unwrap();
        assert_eq!(config.bad_numbers, BadNumbers::Skip);
        let error = config.set("bad_numbers=ignore").unwrap_err().to_string();
        let expected = "setting: bad_numbers: unknown variant `ignore`, expected one of `stop`, `skip`, `count`";
        assert_eq!(error, expected);
        let error = config.set("normalize.rewards=maybe").unwrap_err().to_string();
        assert!(error.starts_with("setting: normalize.rewards: invalid type"), "{error}");
        let error = config.set("max_grad_norm.x=1").unwrap_err().to_string();
        let expected = "max_grad_norm.x: 'max_grad_norm' is \"none\", which has no fields";
        assert_eq!(error, expected);
        for value in ["[99999999999999999999]", "{kind=\"linear\",}x}", "[1,2,,]"] {
            let error = config.set(&format!("network.hidden={value}")).unwrap_err().to_string();
            assert!(error.starts_with("network.hidden: ") && error.ends_with(value), "{error}");
        }
    }

    /// What a person types is TOML: messages do not speak of Rust's types.
    #[test]
    fn messages_are_in_words_of_settings() {
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        enum Head {
            Plain,
        }
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)] // Only read.
        struct Settings {
            n_step: Option<usize>,
            gamma: Option<f64>,
            head: Option<Head>,
            network: Option<Normalize>,
        }
        let error = |text: &str| {
            let table = table_of("dqn", text).unwrap();
            from_table::<Settings>("dqn", table).unwrap_err().to_string()
        };
        for (text, expected) in [
            (
                "n_step = 2.5",
                "n_step: invalid type: floating point `2.5`, expected a whole number >= 0",
            ),
            ("gamma = 'x'", "gamma: invalid type: string \"x\", expected a number"),
            ("head = 1", "head: invalid type: integer `1`, expected a table with kind = \"...\""),
            ("network = 1", "network: invalid type: integer `1`, expected a table"),
        ] {
            assert_eq!(error(text), format!("dqn: {expected}"));
        }
    }

    #[test]
    fn settings_are_joined_by_field_and_by_kind() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Settings {
            gamma: f64,
            head: toml::Table,
        }
        let head = |text: &str| table_of("head", text).unwrap();
        let defaults = Settings { gamma: 0.9, head: head("kind = \"a\"\nwidth = 1\ndepth = 2") };
        let over = |text: &str| {
            let mut config = RunConfig::new("x", "y", 1);
            config.agent = head(text);
            config.settings_over(&defaults).unwrap()
        };
        let joined = over("head.width = 3");
        assert_eq!(
            (joined.gamma, &joined.head),
            (0.9, &head("kind = \"a\"\nwidth = 3\ndepth = 2"))
        );
        assert_eq!(over("head = { kind = \"b\" }").head, head("kind = \"b\""));
        let defaults = Settings { gamma: 0.9, head: head("auto = 1.0") };
        let mut config = RunConfig::new("x", "y", 1);
        config.agent = head("head.fixed = 0.5");
        assert_eq!(config.settings_over(&defaults).unwrap().head, head("fixed = 0.5"));
    }
}
