//! Tuned settings, from `presets/`.

use crate::{DdpgConfig, SacConfig, Td3Config, TqcConfig};

rl_core::presets! {
    "ddpg", DdpgConfig::preset, DdpgConfig::default() => "Pendulum-v1" "MountainCarContinuous-v0";
    "td3", Td3Config::preset, Td3Config::default() =>
        "Pendulum-v1" "MountainCarContinuous-v0" "MuJoCo";
    "sac", SacConfig::preset, SacConfig::default() =>
        "Pendulum-v1" "MountainCarContinuous-v0" "MuJoCo";
    "tqc", TqcConfig::preset, TqcConfig::default() => "Pendulum-v1" "MuJoCo";
}
