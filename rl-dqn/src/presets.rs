//! Tuned settings, from `presets/`.

use crate::{DqnConfig, QLearningConfig};

rl_core::presets! {
    "dqn", DqnConfig::preset, DqnConfig::default() =>
        "CartPole-v1" "CartPolePixels-v0" "MountainCar-v0" "Acrobot-v1" "LunarLander-v3" "MinAtar";
    "rainbow", DqnConfig::rainbow_preset, DqnConfig::rainbow() => "MinAtar";
    "q-learning", QLearningConfig::preset, QLearningConfig::default() => "CliffWalking-v1" "FrozenLake-v1";
}
