//! `cargo xtask list`.

use crate::Result;
use crate::algorithm::ALGORITHMS;
use crate::preset::{envs, presets};

pub(crate) fn main() -> Result<()> {
    println!("algorithms");
    for algorithm in ALGORITHMS {
        let kinds: Vec<&str> = algorithm.kinds.iter().map(|kind| kind.describe()).collect();
        println!("  {:<34} {}", algorithm.name, kinds.join("; "));
    }
    println!(
        "\nenvironments; besides, gym:ID and gym:my_module:MyEnv are those of Python's Gymnasium"
    );
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
