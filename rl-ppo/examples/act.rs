//! Acts with a policy that was trained, from its folder alone.
//!
//! ```text
//! cargo run --release --package rl-ppo --example act -- runs/cartpole
//! ```
#![allow(clippy::print_stdout)] // A program, unlike the libraries, prints.

use rl_ppo::TrainedPolicy;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or("runs/cartpole".to_owned());
    let mut policy = TrainedPolicy::load(folder)?;
    // Where the cart is and how fast, the pole's angle and how fast: it falls to the right.
    let action = policy.act(&[0.0, 0.0, 0.1, 0.5])?;
    println!("{action:?}");
    Ok(())
}
