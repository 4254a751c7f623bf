//! Whatever state play leads to can be loaded; games grow harder where asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{BoxSpace, Discrete, Env, Seeds, Space, VecEnv};
use rl_envs::{Asterix, Copies, MinAtar, SpaceInvaders, make_pixels};

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

/// The step from which a game that grows harder differs from one that does not, an end and a beginning included.
fn parting(mut games: [impl Env<Obs = BoxSpace<u8>, Action = Discrete>; 2]) -> usize {
    let mut rngs = [(); 2].map(|()| Seeds::new(2).stream("env", 0));
    let mut shown = games.each_ref().map(|game| vec![0; game.observation_space().width()]);
    let mut steps = 0;
    let mut ended = [true; 2];
    while shown[0] == shown[1] && ended[0] == ended[1] && steps < 10_000 {
        for (i, game) in games.iter_mut().enumerate() {
            if ended[i] {
                game.reset(&mut rngs[i], &mut shown[i]).unwrap();
            }
            ended[i] = game.step(0, &mut rngs[i], &mut shown[i]).unwrap().end.is_some();
        }
        steps += 1;
    }
    steps
}

#[test]
fn games_grow_harder_where_asked() {
    let asterix = [true, false].map(|on| MinAtar::<Asterix>::default().with_ramping(on));
    let invaders = [true, false].map(|on| MinAtar::<SpaceInvaders>::default().with_ramping(on));
    // Asterix first after 100 frames, Space Invaders with the second wave, which an idle player does not live to see.
    assert!((101..10_000).contains(&parting(asterix)));
    assert_eq!(parting(invaders), 10_000);
}
