//! The pictures of MinAtar's games, byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{Env, Image, Render, Seeds, Space};
use rl_envs::{Asterix, Breakout, Freeway, Game, MinAtar, SpaceInvaders};

const COLOURS: [[u8; 3]; 8] = [
    [0, 0, 0],
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

fn picture<G: Game>(env: &MinAtar<G>, height: usize, width: usize) -> Vec<u8> {
    let mut pixels = vec![77; 3 * height * width];
    env.render(&mut Image::new(&mut pixels, height, width).unwrap()).unwrap();
    pixels
}

/// The picture that belongs to an observation.
fn expected(planes: &[u8], height: usize, width: usize) -> Vec<u8> {
    let colour = |y: usize, x: usize| {
        let cell = (y * 10 / height) * 10 + x * 10 / width;
        let highest = (0..planes.len() / 100).rev().find(|c| planes[100 * c + cell] == 1);
        COLOURS[highest.map_or(0, |c| c + 1)]
    };
    let cells = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let colours: Vec<[u8; 3]> = cells.map(|(y, x)| colour(y, x)).collect();
    [0, 1, 2].into_iter().flat_map(|channel| colours.iter().map(move |c| c[channel])).collect()
}

fn shows_its_observations<G: Game>() {
    let mut env = MinAtar::<G>::default();
    let (mut rng, mut actions) = (Seeds::new(0).stream("env", 0), Seeds::new(1).stream("act", 0));
    let mut obs = vec![0; env.observation_space().width()];
    let check = |env: &MinAtar<G>, obs: &[u8]| {
        for (height, width) in [(10, 10), (20, 30), (7, 23), (1, 1), (11, 84)] {
            assert!(picture(env, height, width) == expected(obs, height, width));
        }
    };
    // Black before the first reset.
    check(&env, &obs);
    env.reset(&mut rng, &mut obs).unwrap();
    let mut ends = 0;
    // Freeway's episodes have 2,501 frames.
    for _ in 0..2_600 {
        check(&env, &obs);
        let step = env.step(actions.below(6), &mut rng, &mut obs).unwrap();
        if step.end.is_some() {
            // The last frame of an episode is shown too.
            check(&env, &obs);
            env.reset(&mut rng, &mut obs).unwrap();
            ends += 1;
        }
    }
    assert!(ends > 0);
    let mut copy = MinAtar::<G>::default();
    copy.set_state(env.state().unwrap()).unwrap();
    check(&copy, &obs);
}

#[test]
fn breakout_shows_its_observations() {
    shows_its_observations::<Breakout>();
}

#[test]
fn asterix_shows_its_observations() {
    shows_its_observations::<Asterix>();
}

#[test]
fn freeway_shows_its_observations() {
    shows_its_observations::<Freeway>();
}

#[test]
fn space_invaders_shows_its_observations() {
    shows_its_observations::<SpaceInvaders>();
}
