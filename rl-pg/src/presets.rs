//! Tuned settings, from `presets/`.

use crate::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    SimulatedAnnealingConfig,
};

rl_core::presets! {
    "reinforce", ReinforceConfig::preset: "CartPole-v1";
    "q-actor-critic", QActorCriticConfig::preset: "CartPole-v1";
    "a2c", A2cConfig::preset:
        "CartPole-v1" "Acrobot-v1" "Pendulum-v1" "MinAtar";
    "hill-climbing", HillClimbingConfig::preset: "CartPole-v1";
    "simulated-annealing", SimulatedAnnealingConfig::preset:
        "CartPole-v1";
    "evolution-strategies", EvolutionStrategiesConfig::preset:
        "CartPole-v1";
}
