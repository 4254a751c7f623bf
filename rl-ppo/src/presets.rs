//! Tuned settings, from `presets/`.

use crate::{PpoConfig, PpoKlConfig, TrpoConfig};

rl_core::presets! {
    "ppo", PpoConfig::preset:
        "CartPole-v1" "Acrobot-v1" "Pendulum-v1" "MountainCar-v0" "LunarLander-v3"
        "BipedalWalker-v3" "MinAtar" "ALE" "MuJoCo" "Swimmer-v5";
    "ppo-kl", PpoKlConfig::preset: "CartPole-v1" "Acrobot-v1" "Pendulum-v1";
    "trpo", TrpoConfig::preset: "CartPole-v1" "Acrobot-v1" "Pendulum-v1";
}
