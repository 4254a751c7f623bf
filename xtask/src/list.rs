//! `cargo xtask list`.

use crate::Result;
use crate::algorithm::ALGORITHMS;
use crate::preset::{envs, presets};

pub(crate) fn main() -> Result<()> {
    let names: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.name).collect();
    println!("algorithms: {}", names.join(", "));
    println!("\nenvironments");
    for spec in rl_envs::registry() {
        let kind = spec.kind.describe();
        let limit = spec.max_episode_steps.map_or("-".to_owned(), |n| n.to_string());
        println!("  {:<34} {kind:<20} {limit:>5} steps per episode at most", spec.id);
    }
    println!("\npresets");
    for preset in presets() {
        for env in envs(preset) {
            let config = preset.config(env)?;
            let name = format!("{}/{env}", preset.algorithm());
            let reference =
                config.reference.map_or("-".to_owned(), |r| format!("{} ({})", r.value, r.source));
            println!("  {name:<34} {:>9} steps   reference {reference}", config.steps);
        }
    }
    Ok(())
}
