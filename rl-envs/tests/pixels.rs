//! CartPole and Pendulum from pictures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{Env, Image, Render, Seeds, Space, TimeLimit, VecEnv};
use rl_envs::*;

/// The numbers of a frame.
const FRAME: usize = 84 * 84;

#[test]
fn the_checker_accepts_them() {
    let cart_pole = || TimeLimit::new(cart_pole_pixels().unwrap(), 10).unwrap();
    assert_eq!(check_env(cart_pole, 3), [""; 0]);
    let pendulum = || TimeLimit::new(pendulum_pixels().unwrap(), 10).unwrap();
    assert_eq!(check_env(pendulum, 3), [""; 0]);
}

#[test]
fn the_registry_knows_them() {
    let copies = Copies::new(2, Seeds::new(0));
    let envs = make_pixels("CartPolePixels-v0", copies).unwrap();
    assert_eq!(envs.observation_space().shape(), [4, 84, 84]);
    assert_eq!((envs.observation_space().high()[0], envs.action_space().n()), (255, 2));
    let envs = make_pixels_continuous("PendulumPixels-v0", copies).unwrap();
    assert_eq!(envs.observation_space().shape(), [4, 84, 84]);
    assert_eq!((envs.observation_space().high()[0], envs.action_space().high()), (255, &[2.0][..]));
    for (name, kind, limit) in [
        ("CartPolePixels-v0", Kind::Pixels, 500),
        ("PendulumPixels-v0", Kind::PixelsContinuous, 200),
    ] {
        let spec = find(name).unwrap();
        assert_eq!((spec.kind, spec.max_episode_steps), (kind, Some(limit)));
    }
    let error = make_pixels("PendulumPixels-v0", copies).err().unwrap().to_string();
    assert_eq!(
        error,
        "environment 'PendulumPixels-v0': expected images and discrete actions, it has images and \
         continuous actions"
    );
    assert!(make_pixels_continuous("CartPolePixels-v0", copies).is_err());
}

type Action<V> = <<V as VecEnv>::Action as Space>::Elem;

/// Saves in the middle of episodes, loads that into `copy`, and goes on with both.
fn restores_exactly<V: VecEnv>(mut envs: V, mut copy: V, act: impl Fn(usize) -> Vec<Action<V>>) {
    envs.reset().unwrap();
    copy.reset().unwrap();
    for step in 0..17 {
        envs.step(&act(step)).unwrap();
    }
    assert!(envs.batch().observations() != copy.batch().observations());
    copy.load(&envs.save().unwrap()).unwrap();
    assert!(envs.batch().observations() == copy.batch().observations());
    for step in 17..70 {
        let before = envs.batch().observations().to_vec();
        envs.step(&act(step)).unwrap();
        copy.step(&act(step)).unwrap();
        assert!(envs.batch().observations() == copy.batch().observations(), "step {step}");
        assert_eq!(envs.batch().rewards(), copy.batch().rewards());
        assert!(envs.batch().observations() != before, "step {step}: nothing moves");
    }
}

#[test]
fn states_are_restored_exactly() {
    let copies = |seed| Copies::new(2, Seeds::new(seed));
    // Long enough that poles fall and episodes begin anew.
    let cart_pole = |seed| make_pixels("CartPolePixels-v0", copies(seed)).unwrap();
    restores_exactly(cart_pole(0), cart_pole(1), |step| vec![(step / 9 % 2) as u32, 1]);
    let pendulum = |seed| make_pixels_continuous("PendulumPixels-v0", copies(seed)).unwrap();
    restores_exactly(pendulum(0), pendulum(1), |step| vec![(step as f32).sin(), 2.0]);
}

/// The newest frame after one step from a state.
fn frame_after<E: Env<Obs = rl_core::BoxSpace<u8>>>(
    mut env: E,
    state: E::State,
    action: <E::Action as Space>::Value<'_>,
) -> Vec<u8> {
    env.set_state(state).unwrap();
    let mut obs = vec![0; 4 * FRAME];
    env.step(action, &mut Seeds::new(0).stream("env", 0), &mut obs).unwrap();
    obs[3 * FRAME..].to_vec()
}

/// The mean column of what is bright in a row of a frame.
fn bright_column(frame: &[u8], row: usize) -> f64 {
    let bright = |x: usize| f64::from(frame[row * 84 + x]);
    let total: f64 = (0..84).map(bright).sum();
    (0..84).map(|x| x as f64 * bright(x)).sum::<f64>() / total
}

#[test]
fn a_tilt_of_two_degrees_is_seen() {
    let tilted = |degrees: f64| {
        let state = (vec![0; 4 * FRAME], [0.1, 0.0, degrees.to_radians(), 0.0]);
        frame_after(cart_pole_pixels().unwrap(), state, 0)
    };
    let frames = [-2.0, 0.0, 2.0].map(tilted);
    // Two rows below the top of the pole.
    let [left, middle, right] = frames.each_ref().map(|frame| bright_column(frame, 8));
    let shifts = [middle - left, right - middle];
    // A step on, the pole stands a little differently; and edges lie on a raster of quarters of the larger picture.
    assert!(shifts.iter().all(|shift| (0.4..0.75).contains(shift)), "{shifts:?} pixels");
    let pairs = frames[1].iter().zip(&frames[2]);
    let changed = pairs.filter(|(a, b)| a.abs_diff(**b) > 10).count();
    assert!(changed > 40, "{changed} pixels");

    let turned = |angle: f64| {
        let state = (vec![0; 4 * FRAME], [angle, 0.0]);
        frame_after(pendulum_pixels().unwrap(), state, &[0.0])
    };
    let (before, after) = (turned(1.0), turned(1.035));
    let changed = before.iter().zip(&after).filter(|(a, b)| a.abs_diff(**b) > 10).count();
    assert!(changed > 40, "{changed} pixels");
}

#[test]
fn the_crops_hold_all_that_moves() {
    let mut picture = vec![0; 3 * 200 * 300];
    let mut cart = CartPole::default();
    let mut reached = [false; 2];
    for (x, theta) in [(-2.4, -0.22), (2.4, 0.22), (0.0, 0.0), (1.0, 0.1)] {
        cart.set_state([x, 0.0, theta, 0.0]).unwrap();
        cart.render(&mut Image::new(&mut picture, 200, 300).unwrap()).unwrap();
        for (i, row) in picture.chunks_exact(300).enumerate() {
            let (y, white) = (i % 200, row.iter().all(|pixel| *pixel == 255));
            assert!(white || (80..164).contains(&y), "row {y}");
            reached[0] |= !white && y < 88;
            reached[1] |= !white && y > 155;
        }
    }
    assert_eq!(reached, [true; 2], "the crop is hardly higher than it must be");

    let (mut pendulum, picture) = (Pendulum::default(), &mut picture[..3 * 200 * 200]);
    for degrees in 0..360 {
        pendulum.set_state([f64::from(degrees).to_radians(), 0.0]).unwrap();
        pendulum.render(&mut Image::new(picture, 200, 200).unwrap()).unwrap();
        let inside = 48..152;
        for (i, pixel) in picture.iter().enumerate() {
            let (y, x) = (i / 200 % 200, i % 200);
            let seen = *pixel == 255 || (inside.contains(&y) && inside.contains(&x));
            assert!(seen, "{degrees} degrees: {y} {x}");
        }
    }
}

#[test]
fn a_reset_shows_the_first_frame_four_times() {
    let mut env = cart_pole_pixels().unwrap();
    let mut obs = vec![0; 4 * FRAME];
    env.reset(&mut Seeds::new(0).stream("env", 0), &mut obs).unwrap();
    let (first, rest) = obs.split_at(FRAME);
    assert!(rest.chunks_exact(FRAME).all(|frame| frame == first));
    // Nothing above the pole, the pole, and the cart, which is black where it is drawn.
    let brightest = |row: usize| first[84 * row..84 * (row + 1)].iter().max().copied().unwrap();
    assert_eq!((brightest(2), brightest(75)), (0, 255));
    assert!((55..136).contains(&brightest(30)), "{}", brightest(30));
}
