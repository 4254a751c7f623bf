//! Tuned settings, from `presets/`.

use crate::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    SimulatedAnnealingConfig,
};

rl_core::presets! {
    "reinforce", ReinforceConfig::preset, ReinforceConfig::default() => "CartPole-v1";
    "q-actor-critic", QActorCriticConfig::preset, QActorCriticConfig::default() => "CartPole-v1";
    "a2c", A2cConfig::preset, A2cConfig::default() =>
        "CartPole-v1" "Acrobot-v1" "Pendulum-v1" "MinAtar";
    "hill-climbing", HillClimbingConfig::preset, HillClimbingConfig::default() => "CartPole-v1";
    "simulated-annealing", SimulatedAnnealingConfig::preset, SimulatedAnnealingConfig::default() =>
        "CartPole-v1";
    "evolution-strategies", EvolutionStrategiesConfig::preset, EvolutionStrategiesConfig::default() =>
        "CartPole-v1";
}
