//! Tuned settings, from `presets/`.

use crate::{DqnConfig, QLearningConfig};

rl_core::presets! {
    "dqn", DqnConfig::preset:
        "CartPole-v1" "CartPolePixels-v0" "MountainCar-v0" "Acrobot-v1" "LunarLander-v3" "MinAtar"
        "MinAtar-Freeway" "Pong" "ALE";
    "rainbow", DqnConfig::rainbow_preset: "MinAtar";
    "q-learning", QLearningConfig::preset: "CliffWalking-v1" "FrozenLake-v1";
}
