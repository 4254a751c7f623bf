//! Pictures of environments and of wrappers around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use proptest::prelude::*;
use rl_core::toy::Sign;
use rl_core::{
    BoxSpace, Discrete, Env, FrameSkip, FrameStack, Image, MapAction, Render, Rendered, Result,
    Seeds, Space, TimeLimit, interleave,
};

fn picture(env: &impl Render) -> Vec<u8> {
    let [height, width] = env.image_size();
    let mut pixels = vec![7; Image::bytes(height, width).unwrap()];
    env.render(&mut Image::new(&mut pixels, height, width).unwrap()).unwrap();
    pixels
}

/// Swaps the two actions.
#[derive(Clone)]
struct Swap;

impl<E: Env<Action = Discrete>> rl_core::ActionMap<E> for Swap {
    type Action = Discrete;
    fn space(&self, env: &E) -> Result<Discrete> {
        Ok(env.action_space())
    }
    fn map(&self, action: usize, to: &mut [u32]) -> Result<()> {
        to[0] = 1 - action as u32;
        Ok(())
    }
}

/// The picture of the first state of an episode.
fn first_picture(mut env: impl Render<Obs = BoxSpace>) -> Vec<u8> {
    let mut obs = vec![0.0; env.observation_space().width()];
    env.reset(&mut Seeds::new(3).stream("env", 0), &mut obs).unwrap();
    picture(&env)
}

#[test]
fn wrappers_pass_the_picture_on() {
    let sign = || Sign::with_length(9);
    let plain = first_picture(sign());
    assert!(plain.len() == 3 * 4 * 6 && plain != picture(&sign()), "the state is seen");
    assert_eq!(first_picture(TimeLimit::new(sign(), 5).unwrap()), plain);
    assert_eq!(first_picture(FrameStack::new(sign(), 3).unwrap()), plain);
    assert_eq!(first_picture(FrameSkip::new(sign(), 2).unwrap()), plain);
    assert_eq!(first_picture(MapAction::wrap(sign(), Swap).unwrap()), plain);
    let mut rendered = Rendered::new(sign(), 2, 5).unwrap();
    let mut obs = [7; 3 * 2 * 5];
    rendered.reset(&mut Seeds::new(3).stream("env", 0), &mut obs).unwrap();
    assert_eq!(picture(&rendered), plain);
    assert_eq!(obs, [plain[0]; 30]);
}

#[test]
fn a_picture_follows_each_step() {
    let mut env = Rendered::new(Sign::with_length(9), 1, 1).unwrap();
    let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0; 3]);
    env.reset(&mut rng, &mut obs).unwrap();
    for _ in 0..9 {
        let before = obs;
        env.step(0, &mut rng, &mut obs).unwrap();
        assert_eq!(obs, [(127.5 * (env.state().unwrap().0 + 1.0)) as u8; 3]);
        assert_ne!(obs, before);
    }
}

proptest! {
    #[test]
    fn interleaved_rows_hold_the_same_pixels(pixels in 1usize..70, seed: u8) {
        let picture: Vec<u8> = (0..3 * pixels).map(|i| (i as u8).wrapping_mul(7) ^ seed).collect();
        let mut rows = vec![0; picture.len()];
        interleave(&picture, &mut rows).unwrap();
        for (i, pixel) in rows.chunks_exact(3).enumerate() {
            prop_assert_eq!(pixel, [0, 1, 2].map(|c| picture[c * pixels + i]));
        }
        prop_assert!(interleave(&picture, &mut rows[1..]).is_err());
        prop_assert!(interleave(&picture[1..], &mut rows).is_err());
    }
}
