//! Whatever state play leads to can be loaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{Seeds, VecEnv};
use rl_envs::{Copies, make_pixels};

#[test]
fn each_state_that_play_leads_to_is_loaded() {
    for name in ["Breakout", "Asterix", "Freeway", "SpaceInvaders"] {
        let copies = Copies::new(8, Seeds::new(0));
        let mut envs = make_pixels(&format!("MinAtar/{name}-v0"), copies).unwrap();
        let mut rng = Seeds::new(1).stream("actions", 0);
        let mut actions = [0; 8];
        envs.reset().unwrap();
        for step in 0..4_000 {
            // The half of them hold an action for a while, which leads further than shaking does.
            for (i, action) in actions.iter_mut().enumerate() {
                if i % 2 == 0 || step % 8 == 0 {
                    *action = rng.below(6) as u32;
                }
            }
            envs.step(&actions).unwrap();
            let saved = envs.save().unwrap();
            envs.load(&saved).unwrap_or_else(|error| panic!("{name}, step {step}: {error}"));
        }
    }
}
