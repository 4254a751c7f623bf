//! `cargo xtask list`.

use crate::Result;
use crate::algorithm::ALGORITHMS;
use crate::preset::{PRESETS, RunConfig};

pub(crate) fn main() -> Result<()> {
    let names: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
    println!("algorithms: {}", names.join(", "));
    println!("\nenvironments");
    for spec in rl_envs::registry() {
        let kind = match spec.kind {
            rl_envs::Kind::Discrete => "discrete actions",
            rl_envs::Kind::Continuous => "continuous actions",
            rl_envs::Kind::Tabular => "numbered states",
        };
        let limit = spec.max_episode_steps.map_or("-".to_owned(), |n| n.to_string());
        println!("  {:<34} {kind:<20} {limit:>5} steps an episode at most", spec.id);
    }
    println!("\npresets");
    for (name, text) in PRESETS {
        let config = RunConfig::parse(name, text)?;
        let reference =
            config.reference.map_or(String::new(), |r| format!("{} ({})", r.value, r.source));
        println!("  {name:<34} {:>9} steps   reference {reference}", config.steps);
    }
    Ok(())
}
