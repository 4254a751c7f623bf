//! Tuned settings, from `presets/`.

use crate::{DdpgConfig, SacConfig, Td3Config, TqcConfig};

rl_core::presets! {
    "ddpg", DdpgConfig::preset: "Pendulum-v1" "MountainCarContinuous-v0";
    "td3", Td3Config::preset:
        "Pendulum-v1" "MountainCarContinuous-v0" "MuJoCo";
    "sac", SacConfig::preset:
        "Pendulum-v1" "MountainCarContinuous-v0" "BipedalWalker-v3" "MuJoCo";
    "tqc", TqcConfig::preset: "Pendulum-v1" "MuJoCo";
}
