//! Algorithms by name, over environments of the kinds that each serves.

use crate::error::did_you_mean;
use crate::{Error, Result, preset};
use rl_core::run::RunConfig;
use rl_core::{Agent, BoxSpace, Discrete, Seeds, Space, VecEnv, check};
use rl_ddpg::{DdpgConfig, SacConfig, Td3Config, TqcConfig};
use rl_dqn::{DqnConfig, QLearningConfig};
use rl_envs::{
    ContinuousVecEnv, Copies, DiscreteVecEnv, Kind, PixelContinuousVecEnv, PixelVecEnv, Spec,
    TabularVecEnv,
};
use rl_nets::{AgentConfig, Backend};
use rl_pg::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    SimulatedAnnealingConfig,
};
use rl_ppo::{PpoConfig, PpoKlConfig, TrpoConfig};

/// An algorithm that can be trained by name.
pub(crate) struct Algorithm {
    pub(crate) name: &'static str,
    /// The kinds of environment that it serves.
    pub(crate) kinds: &'static [Kind],
    /// The name of the type of its settings.
    pub(crate) config: &'static str,
    /// The settings of a run with every default filled in.
    pub(crate) settings: fn(&RunConfig) -> Result<toml::Table>,
    build: fn(&RunConfig, Spec, Kind, Seeds) -> Result<Built>,
}

macro_rules! algorithms {
    ($($name:literal, $config:ty: $($kind:ident)+ $(, $defaults:expr)?;)*) => {
        &[$(Algorithm {
            name: $name,
            kinds: &[$(Kind::$kind),+],
            config: stringify!($config),
            settings: |run| {
                let settings = settings!(run, $config $(, $defaults)?)?;
                toml::Table::try_from(&settings).map_err(Error::usage)
            },
            #[allow(unreachable_patterns)] // Where an algorithm serves every kind.
            build: |run, spec, kind, seeds| {
                let settings = settings!(run, $config $(, $defaults)?)?;
                match kind {
                $(Kind::$kind => Ok(Built::$kind(Pair::build(run, &settings, spec, seeds)?)),)+
                kind => Err(Error::usage(format_args!("{} does not serve {kind:?}", $name))),
            }},
        }),*]
    };
}

/// The settings of a run, over those of the algorithm where they are not the defaults of the type.
macro_rules! settings {
    ($run:expr, $config:ty) => {
        $run.settings::<$config>()
    };
    ($run:expr, $config:ty, $defaults:expr) => {
        $run.settings_over::<$config>(&$defaults)
    };
}

/// Every algorithm: its name, its settings, the kinds of environment that it serves, and its defaults where they are not
/// those of the settings.
pub(crate) static ALGORITHMS: &[Algorithm] = algorithms![
    "a2c", A2cConfig: Discrete Continuous Pixels PixelsContinuous;
    "ddpg", DdpgConfig: Continuous;
    "dqn", DqnConfig: Discrete Pixels;
    "evolution-strategies", EvolutionStrategiesConfig: Discrete Continuous;
    "hill-climbing", HillClimbingConfig: Discrete Continuous;
    "ppo", PpoConfig: Discrete Continuous Pixels PixelsContinuous;
    "ppo-kl", PpoKlConfig: Discrete Continuous Pixels PixelsContinuous;
    "q-actor-critic", QActorCriticConfig: Discrete;
    "q-learning", QLearningConfig: Tabular;
    "rainbow", DqnConfig: Discrete Pixels, DqnConfig::rainbow();
    "reinforce", ReinforceConfig: Discrete Continuous;
    "sac", SacConfig: Continuous;
    "simulated-annealing", SimulatedAnnealingConfig: Discrete Continuous;
    "td3", Td3Config: Continuous;
    "tqc", TqcConfig: Continuous;
    "trpo", TrpoConfig: Discrete Continuous Pixels PixelsContinuous;
];

/// Finds an algorithm by name.
pub(crate) fn find(name: &str) -> Result<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name).ok_or_else(|| {
        let hint = did_you_mean(name, ALGORITHMS.iter().map(|algorithm| algorithm.name));
        Error::usage(format_args!("unknown algorithm '{name}'{hint}"))
    })
}

/// Environments and an agent for them.
pub(crate) struct Pair<O: Space, A: Space> {
    pub(crate) envs: Box<dyn VecEnv<Obs = O, Action = A>>,
    pub(crate) agent: Box<dyn Agent<Obs = O, Action = A>>,
    /// What the environments were made by.
    pub(crate) spec: Spec,
    /// The settings with every default filled in.
    pub(crate) settings: toml::Table,
}

/// A pair of whichever kind.
pub(crate) enum Built {
    Discrete(Pair<BoxSpace, Discrete>),
    Continuous(Pair<BoxSpace, BoxSpace>),
    Tabular(Pair<Discrete, Discrete>),
    Pixels(Pair<BoxSpace<u8>, Discrete>),
    PixelsContinuous(Pair<BoxSpace<u8>, BoxSpace>),
}

/// Does the same with a pair of whichever kind.
macro_rules! with_pair {
    ($built:expr, |$pair:ident| $body:expr) => {
        match $built {
            $crate::algorithm::Built::Discrete($pair) => $body,
            $crate::algorithm::Built::Continuous($pair) => $body,
            $crate::algorithm::Built::Tabular($pair) => $body,
            $crate::algorithm::Built::Pixels($pair) => $body,
            $crate::algorithm::Built::PixelsContinuous($pair) => $body,
        }
    };
}
pub(crate) use with_pair;

impl Built {
    /// The settings with every default filled in.
    pub(crate) fn settings(&self) -> &toml::Table {
        with_pair!(self, |pair| &pair.settings)
    }
}

impl<O: Space, A: Space> Pair<O, A>
where
    Box<dyn VecEnv<Obs = O, Action = A>>: RunEnvs<Obs = O, Action = A>,
{
    fn build<C>(run: &RunConfig, settings: &C, spec: Spec, seeds: Seeds) -> Result<Self>
    where
        C: AgentConfig<O, A>,
    {
        let envs = Box::<dyn VecEnv<Obs = O, Action = A>>::make(run, &spec, seeds, false)?;
        let settings_table = toml::Table::try_from(settings).map_err(Error::usage)?;
        let gamma = settings_table.get("gamma").and_then(toml::Value::as_float);
        let envs = run.normalized_rewards(envs, gamma)?;
        if !run.save_replay && !settings_table.contains_key("buffer_size") {
            let expected = format!("true for {}, which has no replay buffer", run.algorithm);
            return Err(rl_core::Error::config("save_replay", expected, false).into());
        }
        let backend = Backend::by_name(&run.device)?.with_threads(run.threads)?;
        let agent = Box::new(settings.build(&envs, &backend, seeds)?);
        Ok(Pair { envs, agent, spec, settings: settings_table })
    }
}

/// Builds the environments and the agent of a run.
pub(crate) fn build(run: &RunConfig, seeds: Seeds) -> Result<Built> {
    let algorithm = find(&run.algorithm)?;
    let spec = rl_envs::find_with(&run.env, &preset::options(run))?;
    let kind = algorithm.kind_for(&spec);
    (algorithm.build)(run, spec, kind, seeds)
}

impl Algorithm {
    /// As which kind it sees an environment: numbered states also as observations, one-hot. Where it serves none that
    /// would do, making the environment says so.
    fn kind_for(&self, spec: &Spec) -> Kind {
        let served = |kind: &Kind| self.kinds.contains(kind);
        let one_hot = Some(Kind::Discrete).filter(|_| spec.kind == Kind::Tabular);
        let fits = Some(spec.kind).filter(served).or(one_hot.filter(served));
        fits.unwrap_or(self.kinds[0])
    }
}

/// The environments of a run, with its normaliser of observations around them; frozen for an evaluation.
pub(crate) trait RunEnvs: VecEnv + Sized {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self>;

    /// The environments of an evaluation: as the training ones, with frozen normalisers and plain rewards.
    fn for_evaluation(
        run: &RunConfig,
        spec: &Spec,
        envs: usize,
        seeds: Seeds,
    ) -> rl_core::Result<Self> {
        let run = RunConfig { envs, env_threads: 1, ..run.clone() };
        Self::make(&run, spec, seeds, true).map_err(Error::into_core)
    }
}

impl RunEnvs for DiscreteVecEnv {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self> {
        let envs = spec.make_discrete(copies(run, seeds, frozen)?)?;
        // A mask stays what it is.
        let masks = if preset::options(run).action_mask { envs.action_space().n() } else { 0 };
        Ok(run.normalized_observations(envs, masks, frozen)?)
    }
}

impl RunEnvs for ContinuousVecEnv {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self> {
        let envs = spec.make_continuous(copies(run, seeds, frozen)?)?;
        Ok(run.normalized_observations(envs, 0, frozen)?)
    }
}

impl RunEnvs for TabularVecEnv {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self> {
        refuse_normaliser(run, "numbered states")?;
        Ok(spec.make_tabular(copies(run, seeds, frozen)?)?)
    }
}

impl RunEnvs for PixelVecEnv {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self> {
        refuse_normaliser(run, "images")?;
        Ok(spec.make_pixels(copies(run, seeds, frozen)?)?)
    }
}

impl RunEnvs for PixelContinuousVecEnv {
    fn make(run: &RunConfig, spec: &Spec, seeds: Seeds, frozen: bool) -> Result<Self> {
        refuse_normaliser(run, "images")?;
        Ok(spec.make_pixels_continuous(copies(run, seeds, frozen)?)?)
    }
}

fn refuse_normaliser(run: &RunConfig, kind: &str) -> Result<()> {
    if run.normalize.observations {
        let expected = format!("false for {kind}");
        return Err(rl_core::Error::config("normalize.observations", expected, true).into());
    }
    Ok(())
}

fn copies(run: &RunConfig, seeds: Seeds, frozen: bool) -> Result<Copies> {
    check::at_least("envs", 1, run.envs as u64)?;
    check::at_least("env_threads", 1, run.env_threads as u64)?;
    Ok(Copies { envs: run.envs, seeds, threads: run.env_threads, limited: frozen })
}
