//! Environments by name.

use rl_core::{
    BoxSpace, Discrete, Env, Result, Seeds, SerialVecEnv, ThreadedVecEnv, VecEnv, nearest_name,
};
use std::borrow::Cow;
use std::path::PathBuf;
use table::REGISTRY;

/// Environments with f32 observations and discrete actions.
pub type DiscreteVecEnv = Box<dyn VecEnv<Obs = BoxSpace, Action = Discrete>>;
/// Environments with f32 observations and continuous actions.
pub type ContinuousVecEnv = Box<dyn VecEnv<Obs = BoxSpace, Action = BoxSpace>>;
/// Environments with numbered states and discrete actions.
pub type TabularVecEnv = Box<dyn VecEnv<Obs = Discrete, Action = Discrete>>;

/// Environments with images, or planes, of bytes and discrete actions.
pub type PixelVecEnv = Box<dyn VecEnv<Obs = BoxSpace<u8>, Action = Discrete>>;
/// Environments with images of bytes and continuous actions.
pub type PixelContinuousVecEnv = Box<dyn VecEnv<Obs = BoxSpace<u8>, Action = BoxSpace>>;

/// What went wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No environment has this name.
    #[error("unknown environment '{name}'{}", hint(name, *nearest))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The most similar name, where one is similar at all.
        nearest: Option<&'static str>,
    },
    /// The environment belongs to a feature that this crate was built without.
    #[error("environment '{name}': needs the feature `{feature}` of rl-envs; {how}")]
    Feature {
        /// The name asked for.
        name: String,
        /// The feature.
        feature: &'static str,
        /// How to get it.
        how: &'static str,
    },
    /// The environment has actions or observations of another kind.
    #[error("environment '{name}': expected {expected}, it has {got}")]
    Kind {
        /// The name asked for.
        name: String,
        /// The kind asked for.
        expected: &'static str,
        /// The kind it has.
        got: &'static str,
    },
    /// An error of `rl-core`.
    #[error(transparent)]
    Core(#[from] rl_core::Error),
}

/// What else a name may have meant.
fn hint(name: &str, nearest: Option<&str>) -> String {
    match nearest {
        _ if name.contains(':') || name.starts_with("ALE/") => {
            format!("; environments of Python are gym:ID, as gym:{name}")
        }
        Some(nearest) => format!("; did you mean '{nearest}'?"),
        None => String::new(),
    }
}

impl From<Error> for rl_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            error => rl_core::Error::other(error),
        }
    }
}

// Exhaustive, as `AnyVecEnv` is: a program that leaves out a kind is to be told by the compiler.
/// The kind of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// f32 observations, discrete actions.
    Discrete,
    /// f32 observations, continuous actions.
    Continuous,
    /// Numbered states, discrete actions.
    Tabular,
    /// Images or planes of bytes, discrete actions.
    Pixels,
    /// Images of bytes, continuous actions.
    PixelsContinuous,
}

impl Kind {
    /// The kind in words.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::Pixels => "images and discrete actions",
            Kind::PixelsContinuous => "images and continuous actions",
            Kind::Discrete => "discrete actions",
            Kind::Continuous => "continuous actions",
            Kind::Tabular => "numbered states and discrete actions",
        }
    }
}

/// How many copies of an environment to make, and how to run them.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// Copies stepped together.
    pub envs: usize,
    /// Where their randomness comes from.
    pub seeds: Seeds,
    /// Threads to step them on; 1 steps them on the caller's.
    pub threads: usize,
    /// Whether they are made for an evaluation. Episodes are then truncated where the environment has no limit of its
    /// own: a bad policy, or a perfect one, might never end one. Atari games have one.
    pub limited: bool,
}

impl Copies {
    /// `envs` copies on the caller's thread.
    pub fn new(envs: usize, seeds: Seeds) -> Self {
        Copies { envs, seeds, threads: 1, limited: false }
    }

    /// `envs` copies on the caller's thread for an evaluation, see [`limited`](Copies::limited).
    pub fn for_evaluation(envs: usize, seeds: Seeds) -> Self {
        Copies { limited: true, ..Self::new(envs, seeds) }
    }
}

impl Copies {
    fn make<E>(self, make: impl Fn() -> Result<E>) -> Result<Made<E::Obs, E::Action>>
    where
        E: Env + 'static,
    {
        self.stepped((0..self.envs).map(|_| make()).collect::<Result<Vec<E>>>()?)
    }

    /// Made environments, stepped on as many threads as asked for.
    fn stepped<E>(self, envs: Vec<E>) -> Result<Made<E::Obs, E::Action>>
    where
        E: Env + 'static,
    {
        Ok(if self.threads > 1 {
            Box::new(ThreadedVecEnv::new(envs, self.seeds, self.threads)?)
        } else {
            Box::new(SerialVecEnv::new(envs, self.seeds)?)
        })
    }
}

type Made<O, A> = Box<dyn VecEnv<Obs = O, Action = A>>;

/// A made environment of whichever kind.
pub enum AnyVecEnv {
    /// f32 observations, discrete actions.
    Discrete(DiscreteVecEnv),
    /// f32 observations, continuous actions.
    Continuous(ContinuousVecEnv),
    /// Numbered states, discrete actions.
    Tabular(TabularVecEnv),
    /// Images or planes of bytes, discrete actions.
    Pixels(PixelVecEnv),
    /// Images of bytes, continuous actions.
    PixelsContinuous(PixelContinuousVecEnv),
}

/// An environment that can be made by its name.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name, Gymnasium's where it is one of Gymnasium's.
    pub id: Cow<'static, str>,
    /// Its kind.
    pub kind: Kind,
    /// Steps after which an episode is truncated, where there is a limit.
    pub max_episode_steps: Option<u32>,
    maker: Maker,
}

/// How an environment is made.
#[derive(Clone, Debug)]
enum Maker {
    Native {
        make: fn(&Spec, Copies) -> Result<AnyVecEnv>,
        /// The same with its numbered states shown one-hot, where it has such.
        one_hot: Option<fn(&Spec, Copies) -> Result<DiscreteVecEnv>>,
    },
    #[cfg(feature = "gymnasium")]
    Gym(gym::GymMaker),
}

/// How environments in other processes are reached. The default suits most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The Python interpreter of environments `gym:ID`; `python3`.
    pub python: Option<PathBuf>,
    /// Whether the action masks of environments `gym:ID` follow their observations; false.
    pub action_mask: bool,
}

#[cfg(feature = "gymnasium")]
mod gym;
mod table;

#[cfg(not(feature = "mujoco"))]
fn without_feature(name: &str) -> Option<Error> {
    let how =
        "`cargo xtask setup mujoco` once, then `cargo xtask-mujoco` in place of `cargo xtask`";
    let known = table::MUJOCO.contains(&name);
    known.then(|| Error::Feature { name: name.to_owned(), feature: "mujoco", how })
}

#[cfg(feature = "mujoco")]
fn without_feature(_name: &str) -> Option<Error> {
    None
}

/// Every registered environment.
pub fn registry() -> &'static [Spec] {
    REGISTRY
}

/// The beginning of the names of Gymnasium's environments.
const GYM: &str = "gym:";

/// Finds an environment by name, by the default [`Options`].
///
/// ```
/// assert_eq!(rl_envs::find("CartPole-v1")?.max_episode_steps, Some(500));
/// let error = rl_envs::find("CartPol-v1").unwrap_err().to_string();
/// assert_eq!(error, "unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'?");
/// # Ok::<(), rl_envs::Error>(())
/// ```
///
/// # Errors
/// Those of [`find_with`].
pub fn find(name: &str) -> std::result::Result<Spec, Error> {
    find_with(name, &Options::default())
}

/// Finds an environment by name.
///
/// `gym:ID` is an environment of Python's Gymnasium, for which the feature `gymnasium` is needed: a worker is started
/// once to learn its kind. The id may have keyword arguments, `gym:FrozenLake-v1?is_slippery=false`, and may be one's own,
/// `gym:module:Class`; see `GymConfig`. Games of the namespace `ALE` are preprocessed by
/// [`AtariConfig`](rl_core::AtariConfig)'s default settings, unless `obs_type` asks for something else than pictures.
///
/// ```no_run
/// use rl_envs::{Options, find_with};
/// let options = Options { python: Some("venv/bin/python".into()), ..Options::default() };
/// let spec = find_with("gym:LunarLander-v3", &options)?;
/// assert_eq!(spec.max_episode_steps, Some(1000));
/// # Ok::<(), rl_envs::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`], with the nearest name; [`Error::Feature`] for one that was not built in; of `gym:` the
/// error of the worker; `python` set for another.
pub fn find_with(name: &str, options: &Options) -> std::result::Result<Spec, Error> {
    if let Some(id) = name.strip_prefix(GYM) {
        #[cfg(feature = "gymnasium")]
        return Ok(gym::find(name, id, options)?);
        #[cfg(not(feature = "gymnasium"))]
        return Err({
            let _ = (id, options);
            let how = "cargo's `--features` turns it on, and `cargo xtask` has it";
            Error::Feature { name: name.to_owned(), feature: "gymnasium", how }
        });
    }
    if let Some(python) = &options.python {
        let got = format_args!("{} for {name}", python.display());
        return Err(
            rl_core::Error::config("python", "one for environments gym:ID only", got).into()
        );
    }
    REGISTRY.iter().find(|spec| spec.id == name).cloned().ok_or_else(|| {
        if let Some(error) = without_feature(name) {
            return error;
        }
        let nearest = nearest_name(name, REGISTRY.iter().map(|spec| &*spec.id), 0.7);
        Error::Unknown { name: name.to_owned(), nearest }
    })
}

impl Spec {
    /// Makes copies of this environment, whichever kind it has.
    ///
    /// # Errors
    /// No environments or no threads; a worker that cannot be started.
    pub fn make(&self, copies: Copies) -> std::result::Result<AnyVecEnv, Error> {
        match &self.maker {
            Maker::Native { make, .. } => Ok(make(self, copies)?),
            #[cfg(feature = "gymnasium")]
            Maker::Gym(maker) => Ok(maker.make(self.kind, copies)?),
        }
    }

    /// Makes it with discrete actions; with numbered states shown one-hot.
    ///
    /// # Errors
    /// [`Error::Kind`], and those of [`make`](Spec::make).
    pub fn make_discrete(&self, copies: Copies) -> std::result::Result<DiscreteVecEnv, Error> {
        match &self.maker {
            Maker::Native { one_hot: Some(make), .. } => return Ok(make(self, copies)?),
            Maker::Native { .. } => {}
            #[cfg(feature = "gymnasium")]
            Maker::Gym(maker) if self.kind == Kind::Tabular => {
                return Ok(maker.make_one_hot(copies)?);
            }
            #[cfg(feature = "gymnasium")]
            Maker::Gym(_) => {}
        }
        self.of_kind(Kind::Discrete)?;
        match self.make(copies)? {
            AnyVecEnv::Discrete(envs) => Ok(envs),
            _ => Err(self.kind_error(Kind::Discrete)),
        }
    }

    /// Makes it with continuous actions.
    ///
    /// # Errors
    /// [`Error::Kind`], and those of [`make`](Spec::make).
    pub fn make_continuous(&self, copies: Copies) -> std::result::Result<ContinuousVecEnv, Error> {
        self.of_kind(Kind::Continuous)?;
        match self.make(copies)? {
            AnyVecEnv::Continuous(envs) => Ok(envs),
            _ => Err(self.kind_error(Kind::Continuous)),
        }
    }

    /// Makes it with numbered states.
    ///
    /// # Errors
    /// [`Error::Kind`], and those of [`make`](Spec::make).
    pub fn make_tabular(&self, copies: Copies) -> std::result::Result<TabularVecEnv, Error> {
        self.of_kind(Kind::Tabular)?;
        match self.make(copies)? {
            AnyVecEnv::Tabular(envs) => Ok(envs),
            _ => Err(self.kind_error(Kind::Tabular)),
        }
    }

    /// Makes it with images of bytes and discrete actions.
    ///
    /// # Errors
    /// [`Error::Kind`], and those of [`make`](Spec::make).
    pub fn make_pixels(&self, copies: Copies) -> std::result::Result<PixelVecEnv, Error> {
        self.of_kind(Kind::Pixels)?;
        match self.make(copies)? {
            AnyVecEnv::Pixels(envs) => Ok(envs),
            _ => Err(self.kind_error(Kind::Pixels)),
        }
    }

    /// Makes it with images of bytes and continuous actions.
    ///
    /// # Errors
    /// [`Error::Kind`], and those of [`make`](Spec::make).
    pub fn make_pixels_continuous(
        &self,
        copies: Copies,
    ) -> std::result::Result<PixelContinuousVecEnv, Error> {
        self.of_kind(Kind::PixelsContinuous)?;
        match self.make(copies)? {
            AnyVecEnv::PixelsContinuous(envs) => Ok(envs),
            _ => Err(self.kind_error(Kind::PixelsContinuous)),
        }
    }

    /// Refuses another kind before anything is made.
    fn of_kind(&self, expected: Kind) -> std::result::Result<(), Error> {
        if self.kind == expected { Ok(()) } else { Err(self.kind_error(expected)) }
    }

    fn kind_error(&self, expected: Kind) -> Error {
        let (expected, got) = (expected.describe(), self.kind.describe());
        Error::Kind { name: self.id.clone().into_owned(), expected, got }
    }
}

/// Makes an environment with discrete actions; one with numbered states is shown one-hot.
///
/// ```
/// use rl_core::{Seeds, VecEnv};
/// use rl_envs::Copies;
/// let copies = Copies::new(2, Seeds::new(0));
/// assert_eq!(rl_envs::make_discrete("CartPole-v1", copies)?.batch().width(), 4);
/// assert_eq!(rl_envs::make_discrete("FrozenLake-v1", copies)?.batch().width(), 16);
/// assert!(rl_envs::make_discrete("Pendulum-v1", copies).is_err());
/// # Ok::<(), rl_envs::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`], [`Error::Kind`], or no environments or threads.
pub fn make_discrete(name: &str, copies: Copies) -> std::result::Result<DiscreteVecEnv, Error> {
    find(name)?.make_discrete(copies)
}

/// Makes an environment with continuous actions.
///
/// # Errors
/// [`Error::Unknown`], [`Error::Kind`], or no environments or threads.
pub fn make_continuous(name: &str, copies: Copies) -> std::result::Result<ContinuousVecEnv, Error> {
    find(name)?.make_continuous(copies)
}

/// Makes an environment with numbered states.
///
/// # Errors
/// [`Error::Unknown`], [`Error::Kind`], or no environments or threads.
pub fn make_tabular(name: &str, copies: Copies) -> std::result::Result<TabularVecEnv, Error> {
    find(name)?.make_tabular(copies)
}

/// Makes an environment with images of bytes.
///
/// ```
/// use rl_core::{Seeds, VecEnv};
/// let envs = rl_envs::make_pixels("MinAtar/Breakout-v1", rl_envs::Copies::new(2, Seeds::new(0)))?;
/// assert_eq!((envs.observation_space().shape(), envs.action_space().n()), (&[4, 10, 10][..], 3));
/// # Ok::<(), rl_envs::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`], [`Error::Kind`], or no environments or threads.
pub fn make_pixels(name: &str, copies: Copies) -> std::result::Result<PixelVecEnv, Error> {
    find(name)?.make_pixels(copies)
}

/// Makes an environment with images of bytes and continuous actions.
///
/// ```
/// use rl_core::{Seeds, VecEnv};
/// let copies = rl_envs::Copies::new(2, Seeds::new(0));
/// let envs = rl_envs::make_pixels_continuous("PendulumPixels-v0", copies)?;
/// assert_eq!((envs.observation_space().shape(), envs.batch().width()), (&[4, 84, 84][..], 4 * 84 * 84));
/// # Ok::<(), rl_envs::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`], [`Error::Kind`], or no environments or threads.
pub fn make_pixels_continuous(
    name: &str,
    copies: Copies,
) -> std::result::Result<PixelContinuousVecEnv, Error> {
    find(name)?.make_pixels_continuous(copies)
}
