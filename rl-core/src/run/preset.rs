//! Presets: tuned settings as data, each citing its source.

use super::RunConfig;
use super::settings::{from_table, table_of};
use crate::{Error, Result};

/// Tuned settings of an algorithm in an environment, or in each of a group of environments: TOML that begins with a comment
/// that cites its source.
///
/// A group has a list `environments`, in which `MinAtar/*` is every name that begins so, and may have a table `references`
/// of published returns, one a game: `Breakout` is that of `MinAtar/Breakout-v1`.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    algorithm: &'static str,
    name: &'static str,
    text: &'static str,
}

impl Preset {
    /// A preset; `name` is the environment's or the group's.
    pub const fn new(algorithm: &'static str, name: &'static str, text: &'static str) -> Self {
        Preset { algorithm, name, text }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The environment's or the group's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The settings as they are written, with the comments that say where they come from.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Whether it is for this environment.
    pub fn fits(&self, env: &str) -> bool {
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(prefix) => env.starts_with(prefix),
            None => name == env,
        };
        match self.environments() {
            Some(names) => names.iter().any(|name| fits(name)),
            None => self.name == env,
        }
    }

    /// What a group is for.
    fn environments(&self) -> Option<Vec<String>> {
        let table = table_of(self.name, self.text).ok()?;
        let names = table.get("environments")?.as_array()?;
        Some(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// The settings of a run in one of its environments.
    ///
    /// # Errors
    /// [`Error::Settings`] for an environment that it is not for, and for a text that is not a preset.
    pub fn config(&self, env: &str) -> Result<RunConfig> {
        let what = format!("{}/{}", self.algorithm, self.name);
        if !self.fits(env) {
            return Err(Error::settings(what, format_args!("not for {env}")));
        }
        let mut table = table_of(&what, self.text)?;
        table.remove("environments");
        table.insert("env".to_owned(), env.into());
        if let Some(toml::Value::Table(references)) = table.remove("references") {
            // Published returns are of the games' own rules, whose names end in a version.
            let game = env.rsplit('/').next().and_then(|name| name.split('-').next());
            let game = game.filter(|_| !env.ends_with("-gymnax")).unwrap_or_default();
            if let (Some(value), Some(source)) = (references.get(game), references.get("source")) {
                let reference = [("return", value.clone()), ("source", source.clone())];
                let reference = reference.map(|(key, value)| (key.to_owned(), value));
                table.insert("reference".to_owned(), toml::Table::from_iter(reference).into());
            }
        }
        from_table(&what, table)
    }
}

/// The presets of a crate.
///
/// ```
/// use rl_core::run::{Preset, Presets};
/// const PRESETS: Presets = Presets::new(&[Preset::new(
///     "sarsa",
///     "CliffWalking-v1",
///     "# Sutton and Barto (2018), example 6.6.\nalgorithm = \"sarsa\"\nsteps = 10_000\nagent.gamma = 1.0",
/// )]);
/// let config = PRESETS.find("sarsa", "CliffWalking-v1")?;
/// assert_eq!((config.steps, config.agent["gamma"].as_float()), (10_000, Some(1.0)));
/// assert_eq!(
///     PRESETS.find("sarsa", "Taxi-v3").unwrap_err().to_string(),
///     "sarsa: no preset for Taxi-v3; there are: CliffWalking-v1"
/// );
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Presets(&'static [Preset]);

impl Presets {
    /// These presets.
    pub const fn new(presets: &'static [Preset]) -> Self {
        Presets(presets)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'static, Preset> {
        self.0.iter()
    }

    /// The settings of a run of an algorithm in an environment.
    ///
    /// # Errors
    /// [`Error::Settings`] that lists what there is, where there is none.
    pub fn find(&self, algorithm: &str, env: &str) -> Result<RunConfig> {
        let of_algorithm = || self.iter().filter(|preset| preset.algorithm == algorithm);
        match of_algorithm().find(|preset| preset.fits(env)) {
            Some(preset) => preset.config(env),
            None => {
                let names: Vec<_> = of_algorithm().map(|preset| preset.name).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let problem = format_args!("no preset for {env}; there are: {names}");
                Err(Error::settings(algorithm, problem))
            }
        }
    }
}

/// Declares the presets of a crate: a constant `PRESETS`, and for each algorithm a function of its settings that reads
/// them. The texts are the files `../presets/ALGORITHM/NAME.toml` beside the file that declares them.
///
/// ```text
/// rl_core::presets! {
///     "dqn", DqnConfig::preset: "CartPole-v1" "MinAtar";
///     "rainbow", DqnConfig::rainbow_preset: "MinAtar";
/// }
/// ```
#[macro_export]
macro_rules! presets {
    ($($algorithm:literal, $config:ident::$function:ident: $($name:literal)+;)*) => {
        /// The presets of this crate's algorithms: tuned settings, each citing its source.
        pub const PRESETS: $crate::run::Presets = $crate::run::Presets::new(&[$($(
            $crate::run::Preset::new(
                $algorithm,
                $name,
                include_str!(concat!("../presets/", $algorithm, "/", $name, ".toml")),
            ),
        )+)*]);

        $(impl $config {
            /// The settings of the preset for an environment, without those of the run, which [`PRESETS`] has too.
            ///
            /// # Errors
            /// `rl_core::Error::Settings` that lists what there is, where there is none.
            pub fn $function(env: &str) -> $crate::Result<Self> {
                PRESETS.find($algorithm, env)?.settings()
            }
        })*
    };
}
