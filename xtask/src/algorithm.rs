//! Algorithms by name, over environments of the kind that each needs.

use crate::preset::{RunConfig, known_algorithm};
use crate::{Error, Result};
use rl_core::{
    Agent, BoxSpace, Discrete, NormalizeObs, NormalizeReward, Seeds, Space, VecEnv, check,
};
use rl_ddpg::{Ddpg, DdpgConfig, Sac, SacConfig, Td3, Td3Config};
use rl_dqn::{Dqn, DqnConfig, QLearning, QLearningConfig};
use rl_envs::Copies;
use rl_nets::Backend;
use rl_pg::{
    A2c, A2cConfig, EvolutionStrategies, EvolutionStrategiesConfig, HillClimbing,
    HillClimbingConfig, QActorCritic, QActorCriticConfig, Reinforce, ReinforceConfig,
    SimulatedAnnealing, SimulatedAnnealingConfig,
};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Every algorithm's name.
pub(crate) static NAMES: &[&str] = &[
    "a2c",
    "ddpg",
    "dqn",
    "evolution-strategies",
    "hill-climbing",
    "ppo",
    "ppo-kl",
    "q-actor-critic",
    "q-learning",
    "reinforce",
    "sac",
    "simulated-annealing",
    "td3",
    "trpo",
];

/// Those that act on the CPU alone.
const NO_GRADIENTS: [&str; 4] =
    ["evolution-strategies", "hill-climbing", "q-learning", "simulated-annealing"];

/// Environments and an agent for them.
pub(crate) struct Pair<O: Space, A: Space> {
    pub(crate) envs: Box<dyn VecEnv<Obs = O, Action = A>>,
    pub(crate) agent: Box<dyn Agent<Obs = O, Action = A>>,
    /// The settings with every default filled in.
    pub(crate) settings: toml::Table,
}

/// A pair of whichever kind.
pub(crate) enum Built {
    Discrete(Pair<BoxSpace, Discrete>),
    Continuous(Pair<BoxSpace, BoxSpace>),
    Tabular(Pair<Discrete, Discrete>),
}

/// Reads the algorithm's settings, naming the field where one is unknown.
fn settings<C: DeserializeOwned + Serialize>(config: &RunConfig) -> Result<(C, toml::Table)> {
    let parsed: C = config.agent.clone().try_into().map_err(|e: toml::de::Error| {
        Error::usage(format_args!("{}: {}", config.algorithm, e.message()))
    })?;
    let table = toml::Table::try_from(&parsed).map_err(Error::usage)?;
    Ok((parsed, table))
}

/// Steps after which an evaluation gives up on an episode that has no limit of its own.
const EVALUATION_LIMIT: u32 = 1_000;

fn copies(config: &RunConfig, seeds: Seeds, frozen: bool) -> Result<Copies> {
    check::at_least("envs", 1, config.envs as u64)?;
    check::at_least("env_threads", 1, config.env_threads as u64)?;
    let limit = frozen.then_some(EVALUATION_LIMIT);
    Ok(Copies { envs: config.envs, seeds, threads: config.env_threads, limit })
}

/// Puts the normalisers around the environments; frozen for an evaluation.
fn normalised<A: Space>(
    config: &RunConfig,
    envs: Box<dyn VecEnv<Obs = BoxSpace, Action = A>>,
    frozen: bool,
) -> Result<Box<dyn VecEnv<Obs = BoxSpace, Action = A>>> {
    let mut envs = envs;
    if config.normalize.observations {
        let wrapped = NormalizeObs::new(envs, 10.0)?;
        envs = Box::new(if frozen { wrapped.frozen() } else { wrapped });
    }
    match config.normalize.rewards_gamma {
        Some(gamma) if !frozen => Ok(Box::new(NormalizeReward::new(envs, gamma, 10.0)?)),
        _ => Ok(envs),
    }
}

fn discrete(config: &RunConfig, seeds: Seeds, frozen: bool) -> Result<rl_envs::DiscreteVecEnv> {
    normalised(config, rl_envs::make_discrete(&config.env, copies(config, seeds, frozen)?)?, frozen)
}

fn continuous(config: &RunConfig, seeds: Seeds, frozen: bool) -> Result<rl_envs::ContinuousVecEnv> {
    normalised(
        config,
        rl_envs::make_continuous(&config.env, copies(config, seeds, frozen)?)?,
        frozen,
    )
}

impl Built {
    /// The settings with every default filled in.
    pub(crate) fn settings(&self) -> &toml::Table {
        match self {
            Built::Discrete(pair) => &pair.settings,
            Built::Continuous(pair) => &pair.settings,
            Built::Tabular(pair) => &pair.settings,
        }
    }
}

/// Builds the environments and the agent of a run.
pub(crate) fn build(config: &RunConfig, seeds: Seeds) -> Result<Built> {
    known_algorithm(&config.algorithm)?;
    let spec = rl_envs::find(&config.env)?;
    if NO_GRADIENTS.contains(&config.algorithm.as_str()) {
        // Neither has any effect where no gradient is computed.
        if config.threads != 1 {
            let expected = format!("1 for {}", config.algorithm);
            return Err(rl_core::Error::config("threads", expected, config.threads).into());
        }
        if config.device != "cpu" {
            let expected = format!("cpu for {}", config.algorithm);
            return Err(rl_core::Error::config("device", expected, &config.device).into());
        }
    }
    let backend = Backend::by_name(&config.device)?.with_threads(config.threads)?;
    // An algorithm for either kind of action: the agent's type follows from the environments'.
    macro_rules! either {
        ($settings:ty, |$parsed:ident, $envs:ident| $agent:expr) => {{
            let ($parsed, settings) = settings::<$settings>(config)?;
            if spec.kind == rl_envs::Kind::Continuous {
                let envs = continuous(config, seeds, false)?;
                let $envs = &envs;
                let agent = Box::new($agent?);
                return Ok(Built::Continuous(Pair { envs, agent, settings }));
            }
            let envs = discrete(config, seeds, false)?;
            let $envs = &envs;
            let agent = Box::new($agent?);
            Ok(Built::Discrete(Pair { envs, agent, settings }))
        }};
    }
    // An algorithm for continuous actions.
    macro_rules! control {
        ($settings:ty, |$parsed:ident, $envs:ident| $agent:expr) => {{
            let ($parsed, settings) = settings::<$settings>(config)?;
            let envs = continuous(config, seeds, false)?;
            let $envs = &envs;
            let agent = Box::new($agent?);
            Ok(Built::Continuous(Pair { envs, agent, settings }))
        }};
    }
    match config.algorithm.as_str() {
        "q-learning" => {
            let (parsed, settings) = settings::<QLearningConfig>(config)?;
            let envs = rl_envs::make_tabular(&config.env, copies(config, seeds, false)?)?;
            let agent = Box::new(QLearning::for_envs(&parsed, &envs, seeds)?);
            Ok(Built::Tabular(Pair { envs, agent, settings }))
        }
        "ddpg" => control!(DdpgConfig, |c, e| Ddpg::new(&c, e, &backend, seeds)),
        "td3" => control!(Td3Config, |c, e| Td3::new(&c, e, &backend, seeds)),
        "sac" => control!(SacConfig, |c, e| Sac::new(&c, e, &backend, seeds)),
        "q-actor-critic" => {
            let (parsed, settings) = settings::<QActorCriticConfig>(config)?;
            let envs = discrete(config, seeds, false)?;
            let agent = Box::new(QActorCritic::new(&parsed, &envs, &backend, seeds)?);
            Ok(Built::Discrete(Pair { envs, agent, settings }))
        }
        "reinforce" => either!(ReinforceConfig, |c, e| Reinforce::new(&c, e, &backend, seeds)),
        "a2c" => either!(A2cConfig, |c, e| A2c::new(&c, e, &backend, seeds)),
        "ppo" => either!(PpoConfig, |c, e| Ppo::new(&c, e, &backend, seeds)),
        "ppo-kl" => either!(PpoKlConfig, |c, e| PpoKl::new(&c, e, &backend, seeds)),
        "trpo" => either!(TrpoConfig, |c, e| Trpo::new(&c, e, &backend, seeds)),
        "hill-climbing" => either!(HillClimbingConfig, |c, e| HillClimbing::agent(&c, e, seeds)),
        "simulated-annealing" => {
            either!(SimulatedAnnealingConfig, |c, e| SimulatedAnnealing::agent(&c, e, seeds))
        }
        "evolution-strategies" => {
            either!(EvolutionStrategiesConfig, |c, e| EvolutionStrategies::agent(&c, e, seeds))
        }
        _ => {
            let (parsed, settings) = settings::<DqnConfig>(config)?;
            let envs = discrete(config, seeds, false)?;
            let agent = Box::new(Dqn::new(&parsed, &envs, &backend, seeds)?);
            Ok(Built::Discrete(Pair { envs, agent, settings }))
        }
    }
}

fn for_evaluation(config: &RunConfig, envs: usize) -> RunConfig {
    RunConfig { envs, env_threads: 1, ..config.clone() }
}

/// The environments of an evaluation: as the training ones, with frozen normalisers and plain rewards.
pub(crate) trait EvaluationEnvs: VecEnv + Sized {
    fn for_evaluation(config: &RunConfig, seeds: Seeds, envs: usize) -> Result<Self>;
}

impl EvaluationEnvs for rl_envs::DiscreteVecEnv {
    fn for_evaluation(config: &RunConfig, seeds: Seeds, envs: usize) -> Result<Self> {
        discrete(&for_evaluation(config, envs), seeds, true)
    }
}

impl EvaluationEnvs for rl_envs::ContinuousVecEnv {
    fn for_evaluation(config: &RunConfig, seeds: Seeds, envs: usize) -> Result<Self> {
        continuous(&for_evaluation(config, envs), seeds, true)
    }
}

impl EvaluationEnvs for rl_envs::TabularVecEnv {
    fn for_evaluation(config: &RunConfig, seeds: Seeds, envs: usize) -> Result<Self> {
        let copies = copies(&for_evaluation(config, envs), seeds, true)?;
        Ok(rl_envs::make_tabular(&config.env, copies)?)
    }
}
