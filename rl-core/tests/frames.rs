//! Wrappers of images beside OpenCV, by which Stable-Baselines3 turns frames grey and resizes them, and beside their
//! definitions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::prop;
use proptest::{prop_assert_eq, proptest};
use rl_core::{
    BoxSpace, ClipReward, Crop, Discrete, End, Env, FrameSkip, FrameStack, Greyscale, MapReward,
    NormalizeReward, Resize, Result, Rng, Seeds, SerialVecEnv, Space, Step, ToSign, VecEnv,
};

/// Shows given frames one after another, the first at a reset, and terminates with the last. The reward is the number of
/// the frame.
#[derive(Clone)]
struct Film {
    space: BoxSpace<u8>,
    frames: Vec<Vec<u8>>,
    at: usize,
}

impl Film {
    fn new(shape: &[usize], frames: &[Vec<u8>]) -> Self {
        Film { space: BoxSpace::image(shape).unwrap(), frames: frames.to_vec(), at: 0 }
    }
}

impl Env for Film {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = usize;

    fn observation_space(&self) -> BoxSpace<u8> {
        self.space.clone()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(1).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.at = 0;
        obs.copy_from_slice(&self.frames[0]);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.at += 1;
        obs.copy_from_slice(&self.frames[self.at]);
        Ok(Step::terminated_if(self.at + 1 == self.frames.len(), self.at as f32))
    }
    fn state(&self) -> Option<usize> {
        Some(self.at)
    }
    fn set_state(&mut self, at: usize) -> Result<()> {
        self.at = at;
        Ok(())
    }
}

fn rng() -> Rng {
    Seeds::new(0).stream("env", 0)
}

fn first_frame(mut env: impl Env<Obs = BoxSpace<u8>>) -> Vec<u8> {
    let mut obs = vec![7; env.observation_space().width()];
    env.reset(&mut rng(), &mut obs).unwrap();
    obs
}

#[test]
fn frames_equal_those_of_opencv() {
    let mut rest = &include_bytes!("fixtures/frames.bin")[..];
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at(n);
        rest = left;
        (taken.to_vec(), left.is_empty())
    };
    for case in 0.. {
        let header = take(20).0;
        let mut sizes = header.chunks_exact(4).map(|x| u32::from_le_bytes(x.try_into().unwrap()));
        let mut next = || sizes.next().unwrap() as usize;
        let (kind, height, width, to_height, to_width) = (next(), next(), next(), next(), next());
        let channels = if kind == 0 { 3 } else { 1 };
        let before = take(channels * height * width).0;
        let (after, last) = take(to_height * to_width);
        let film = Film::new(&[channels, height, width], &[before]);
        if kind == 0 {
            assert_eq!(first_frame(Greyscale::new(film).unwrap()), after);
        } else {
            let got = first_frame(Resize::new(film, to_height, to_width).unwrap());
            let far = got.iter().zip(&after).filter(|(a, b)| a.abs_diff(**b) > 1).count();
            assert_eq!(far, 0, "case {case}");
            // Most are the same to the bit; rounding of halves differs.
            let same = got.iter().zip(&after).filter(|(a, b)| a == b).count();
            assert!(same * 100 > got.len() * 97, "case {case}: {same} of {}", got.len());
        }
        if last {
            assert_eq!(case, 5);
            return;
        }
    }
}

fn play(env: &mut impl Env<Obs = BoxSpace<u8>, Action = Discrete>) -> Vec<(Vec<u8>, f32)> {
    let (mut rng, mut obs) = (rng(), vec![7; env.observation_space().width()]);
    env.reset(&mut rng, &mut obs).unwrap();
    let mut shown = vec![(obs.clone(), 0.0)];
    loop {
        let step = env.step(0, &mut rng, &mut obs).unwrap();
        shown.push((obs.clone(), step.reward));
        if let Some(end) = step.end {
            assert_eq!(end, End::Terminated);
            return shown;
        }
    }
}

proptest! {
    #[test]
    fn a_stack_holds_the_last_frames(
        frames in prop::collection::vec(prop::collection::vec(0u8.., 6), 2..12), n in 1usize..5,
    ) {
        let mut env = FrameStack::new(Film::new(&[2, 1, 3], &frames), n).unwrap();
        let space = env.observation_space();
        prop_assert_eq!(space.shape(), [2 * n, 1, 3]);
        for _ in 0..2 {
            for (t, (obs, _)) in play(&mut env).into_iter().enumerate() {
                let expected: Vec<u8> =
                    (0..n).flat_map(|k| frames[(t + k + 1).saturating_sub(n)].clone()).collect();
                prop_assert_eq!(obs, expected);
            }
        }
    }

    /// A copy that goes on from a saved state shows what the original shows.
    #[test]
    fn a_stack_goes_on_from_its_state(frames in prop::collection::vec(prop::collection::vec(0u8.., 2), 8), n in 1usize..5, at in 0usize..6) {
        let make = || FrameStack::new(Film::new(&[1, 1, 2], &frames), n).unwrap();
        let (mut env, mut copy, mut rng) = (make(), make(), rng());
        let (mut obs, mut of_copy) = (vec![0; 2 * n], vec![0; 2 * n]);
        env.reset(&mut rng, &mut obs).unwrap();
        for _ in 0..at {
            env.step(0, &mut rng, &mut obs).unwrap();
        }
        copy.set_state(env.state().unwrap()).unwrap();
        env.step(0, &mut rng, &mut obs).unwrap();
        copy.step(0, &mut rng, &mut of_copy).unwrap();
        prop_assert_eq!(obs, of_copy);
    }

    #[test]
    fn skipped_frames_are_added_up_and_compared(
        frames in prop::collection::vec(prop::collection::vec(0u8.., 4), 2..20), skip in 1usize..5,
    ) {
        let mut env = FrameSkip::new(Film::new(&[1, 2, 2], &frames), skip as u32).unwrap();
        for (k, (obs, reward)) in play(&mut env).into_iter().enumerate().skip(1) {
            let (first, last) = ((k - 1) * skip + 1, (k * skip).min(frames.len() - 1));
            prop_assert_eq!(reward, (first..=last).sum::<usize>() as f32);
            let before = &frames[(last - 1).max(first)];
            let larger: Vec<u8> =
                frames[last].iter().zip(before).map(|(a, b)| *a.max(b)).collect();
            prop_assert_eq!(obs, larger);
        }
    }

    #[test]
    fn a_crop_shows_its_pixels(top in 0usize..4, height in 1usize..3, left in 0usize..3, width in 1usize..4) {
        let frame: Vec<u8> = (0..2 * 6 * 6).collect();
        let film = Film::new(&[2, 6, 6], &[frame]);
        let got = first_frame(Crop::new(film, top..top + height, left..left + width).unwrap());
        let mut expected = Vec::new();
        for (c, y) in (0..2).flat_map(|c| (top..top + height).map(move |y| (c, y))) {
            expected.extend((left..left + width).map(|x| (36 * c + 6 * y + x) as u8));
        }
        prop_assert_eq!(got, expected);
    }

    /// A mean of areas keeps what is the same everywhere, and the mean of the whole.
    #[test]
    fn a_smaller_image_keeps_its_mean(
        frame in prop::collection::vec(0u8.., 12 * 15), height in 1usize..13, width in 1usize..16,
    ) {
        let mean = |x: &[u8]| x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
        let film = Film::new(&[1, 12, 15], std::slice::from_ref(&frame));
        let got = first_frame(Resize::new(film, height, width).unwrap());
        proptest::prop_assert!((mean(&got) - mean(&frame)).abs() <= 0.501);
        let same = first_frame(Resize::new(Film::new(&[1, 12, 15], &[vec![frame[0]; 180]]), height, width).unwrap());
        prop_assert_eq!(same, vec![frame[0]; height * width]);
    }
}

/// Rewards of given sizes.
struct Paid(Vec<f32>);

impl Env for Paid {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = Vec<f32>;

    fn observation_space(&self) -> BoxSpace<u8> {
        BoxSpace::image(&[1]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(1).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, _: &mut [u8]) -> Result<()> {
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, _: &mut [u8]) -> Result<Step> {
        Ok(Step::running(self.0.remove(0)))
    }
    fn state(&self) -> Option<Vec<f32>> {
        Some(self.0.clone())
    }
    fn set_state(&mut self, state: Vec<f32>) -> Result<()> {
        self.0 = state;
        Ok(())
    }
}

#[test]
fn rewards_become_their_sign() {
    let paid = Paid(vec![7.5, -0.1, 0.0, -0.0, f32::INFINITY, f32::NAN]);
    let mut envs = ClipReward::new(SerialVecEnv::new(vec![paid], Seeds::new(0)).unwrap());
    envs.reset().unwrap();
    let mut next = || {
        envs.step(&[0]).unwrap();
        envs.batch().rewards()[0]
    };
    assert_eq!([next(), next(), next(), next(), next()], [1.0, -1.0, 0.0, 0.0, 1.0]);
    assert!(next().is_nan());
}

/// Binary planes stay binary: a network divides by the bound.
#[test]
fn bounds_of_the_values_are_kept() {
    let planes = || {
        let mut film = Film::new(&[3, 4, 4], &[vec![1; 48]]);
        film.space = BoxSpace::planes(&[3, 4, 4], 1).unwrap();
        film
    };
    let highest = |space: BoxSpace<u8>| space.high().to_vec();
    assert_eq!(highest(Crop::new(planes(), 1..3, 0..4).unwrap().observation_space()), [1; 24]);
    assert_eq!(highest(Resize::new(planes(), 2, 2).unwrap().observation_space()), [1; 12]);
    assert_eq!(highest(Greyscale::new(planes()).unwrap().observation_space()), [1; 16]);
    assert_eq!(highest(FrameStack::new(planes(), 2).unwrap().observation_space()), [1; 96]);
}

/// Games are scored by their own rewards, whatever the agent is shown.
#[test]
fn episodes_keep_their_own_rewards() {
    let film = Film::new(&[1, 1, 1], &[vec![0], vec![0], vec![0], vec![0]]);
    let mut envs = ClipReward::new(SerialVecEnv::new(vec![film], Seeds::new(0)).unwrap());
    envs.reset().unwrap();
    (0..3).for_each(|_| envs.step(&[0]).unwrap());
    let returns: Vec<f64> = envs.batch().episodes().iter().map(|e| e.episode_return).collect();
    assert_eq!((returns, envs.batch().rewards()), (vec![6.0], &[1.0][..]));
}

#[test]
fn what_is_no_image_or_does_not_fit_is_named() {
    let film = |shape: &[usize]| Film::new(shape, &[]);
    let of = |error: Option<rl_core::Error>| error.unwrap().to_string();
    for (error, expected) in [
        (
            of(Greyscale::new(film(&[1, 4, 4])).err()),
            "observations to turn grey: expected [3, height, width], got [1, 4, 4]",
        ),
        (
            of(Crop::new(film(&[1, 4, 4]), 0..5, 0..4).err()),
            "rows: expected a range within 0..4, got 0..5",
        ),
        (
            of(Crop::new(film(&[1, 4, 4]), 0..4, 2..2).err()),
            "columns: expected a range within 0..4, got 2..2",
        ),
        (
            of(Crop::new(film(&[4]), 0..1, 0..1).err()),
            "observations: expected images, [channels, height, width], got [4]",
        ),
        (
            of(Resize::new(film(&[1, 4, 4]), 0, 4).err()),
            "height: expected 1 to 4, as many as the image has, got 0",
        ),
        (
            of(Resize::new(film(&[1, 4, 4]), 4, 5).err()),
            "width: expected 1 to 4, as many as the image has, got 5",
        ),
        (
            of(FrameStack::new(film(&[1, 4, 4]), 0).err()),
            "frames of a stack: expected an integer >= 1, got 0",
        ),
        (
            of(FrameStack::new(film(&[1, 4, 4]), usize::MAX / 100).err()),
            "frames of a stack: expected as many as fit the memory, got 184467440737095516",
        ),
        (of(FrameSkip::new(film(&[1, 4, 4]), 0).err()), "skip: expected an integer >= 1, got 0"),
    ] {
        assert_eq!(error, expected);
    }
}

/// What has no state of its own saves that of its environments, and what is off shows what they show.
#[test]
fn a_map_of_rewards_saves_and_can_be_off() {
    let envs = || {
        let paid = Paid(vec![3.0, -2.0, 5.0]);
        SerialVecEnv::new(vec![paid], Seeds::new(0)).unwrap()
    };
    let rewards = |envs: &mut dyn VecEnv<Obs = BoxSpace<u8>, Action = Discrete>| {
        envs.step(&[0]).unwrap();
        envs.batch().rewards()[0]
    };
    let (mut plain, mut clipped) = (envs(), ClipReward::new(envs()));
    let mut off = MapReward::wrap(envs(), None::<ToSign>);
    let mut on = MapReward::wrap(envs(), Some(ToSign));
    plain.reset().unwrap();
    clipped.reset().unwrap();
    off.reset().unwrap();
    on.reset().unwrap();
    for reward in [3.0f32, -2.0] {
        assert_eq!((rewards(&mut plain), rewards(&mut off)), (reward, reward));
        let sign = reward.signum();
        assert_eq!((rewards(&mut clipped), rewards(&mut on)), (sign, sign));
    }
    let saved = plain.save().unwrap();
    assert_eq!(clipped.save().unwrap(), saved);
    assert_eq!((off.save().unwrap(), on.save().unwrap()), (saved.clone(), saved.clone()));
    off.load(&saved).unwrap();
    on.load(&saved).unwrap();
    assert_eq!((rewards(&mut off), rewards(&mut on)), (5.0, 1.0));

    // A scale is its state, in front of which that of the environments stands; what is damaged changes nothing.
    let scaled = || NormalizeReward::new(envs(), 0.9, 10.0).unwrap();
    let (mut one, mut other) = (scaled(), scaled());
    one.reset().unwrap();
    rewards(&mut one);
    rewards(&mut one);
    let bytes = one.save().unwrap();
    type Saved = (Vec<u8>, rl_core::RunningMoments, Vec<f32>);
    let decode = |bytes: &[u8]| -> Saved { rl_core::codec::decode("a scale", bytes).unwrap() };
    let (inner, moments, returns) = decode(&bytes);
    assert_eq!((inner, moments.count(), returns), (saved, 2.0, vec![3.0f32 * 0.9 - 2.0]));
    other.load(&bytes).unwrap();
    assert!(other.load(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(other.save().unwrap(), bytes);
    assert_eq!(rewards(&mut one), rewards(&mut other));

    // An evaluation leaves the scale alone, and a reset cuts the discounted return.
    let mut scaled = NormalizeReward::new(envs(), 0.9, 10.0).unwrap();
    scaled.reset().unwrap();
    rewards(&mut scaled);
    scaled.set_evaluating(true);
    rewards(&mut scaled);
    scaled.reset().unwrap();
    let (_, moments, returns) = decode(&scaled.save().unwrap());
    assert_eq!((moments.count(), returns), (1.0, vec![0.0]));
}
