//! The settings of the preprocessing of Atari games: each counts, and what makes no sense is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod toy;

use rl_core::{
    AtariConfig, BoxSpace, Discrete, End, Env, EpisodicLife, FireStart, Lives, NoopStart, Result,
    Rng, Seeds, Space, Step, VecEnv,
};
use toy::Toy;

/// Noise with a life, of any shape and with any number of actions.
struct Noise {
    space: BoxSpace<u8>,
    actions: u32,
}

impl Noise {
    fn new(shape: &[usize], actions: u32) -> Self {
        Noise { space: BoxSpace::image(shape).unwrap(), actions }
    }
}

impl Env for Noise {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = ();

    fn observation_space(&self) -> BoxSpace<u8> {
        self.space.clone()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(self.actions).unwrap()
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.space.sample(rng, obs);
        Ok(())
    }
    fn step(&mut self, _: usize, rng: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.space.sample(rng, obs);
        Ok(Step::running(0.0))
    }
    fn state(&self) -> Option<()> {
        Some(())
    }
    fn set_state(&mut self, _: ()) -> Result<()> {
        Ok(())
    }
}

impl Lives for Noise {
    fn lives(&self) -> u32 {
        1
    }
}

#[test]
fn every_setting_of_the_stack_counts() {
    let plain = AtariConfig {
        frame_skip: 1,
        noop_max: 0,
        terminal_on_life_loss: false,
        screen_size: 10,
        frame_stack: 1,
        clip_reward: false,
        ..AtariConfig::default()
    };
    let shape = |config: &AtariConfig| {
        config.wrap(Toy::default()).unwrap().observation_space().shape().to_vec()
    };
    let frames = |config: &AtariConfig, steps: usize| {
        let mut env = config.wrap(Toy::default()).unwrap();
        let mut obs = vec![0; env.observation_space().width()];
        let mut rng = Seeds::new(0).stream("env", 0);
        env.reset(&mut rng, &mut obs).unwrap();
        for _ in 0..steps {
            env.step(0, &mut rng, &mut obs).unwrap();
        }
        let (_, (_, _, game)) = env.state().unwrap();
        game.t
    };
    let earned = |config: &AtariConfig, actions: &[u32]| {
        let mut envs = config.vectorise(vec![Toy::default()], Seeds::new(0)).unwrap();
        envs.reset().unwrap();
        let mut step = |action: &u32| {
            envs.step(&[*action]).unwrap();
            (envs.batch().rewards()[0], envs.batch().ends()[0])
        };
        actions.iter().map(&mut step).collect::<Vec<_>>()
    };
    assert_eq!((shape(&plain), frames(&plain, 0), frames(&plain, 3)), (vec![1, 10, 10], 0, 3));
    assert_eq!(earned(&plain, &[2, 3]), [(5.0, None), (-2.0, None)]);
    let dying = [1, 3, 3, 3, 3];
    assert_eq!(earned(&plain, &dying)[4].1, None);

    assert_eq!(frames(&AtariConfig { frame_skip: 3, ..plain.clone() }, 2), 6);
    assert!((1..=2).contains(&frames(&AtariConfig { noop_max: 2, ..plain.clone() }, 0)));
    let by_life = AtariConfig { terminal_on_life_loss: true, ..plain.clone() };
    assert_eq!(earned(&by_life, &dying)[4].1, Some(End::Terminated));
    assert_eq!(frames(&AtariConfig { fire_on_reset: true, ..plain.clone() }, 0), 2);
    assert_eq!(shape(&AtariConfig { screen_size: 7, ..plain.clone() }), [1, 7, 7]);
    assert_eq!(shape(&AtariConfig { frame_stack: 3, ..plain.clone() }), [3, 10, 10]);
    let clipped = AtariConfig { clip_reward: true, ..plain };
    assert_eq!(earned(&clipped, &[2, 3]), [(1.0, None), (-1.0, None)]);
}

#[test]
fn a_file_sets_the_stack() {
    let read = |text: &str| toml::from_str::<AtariConfig>(text);
    let published = AtariConfig {
        frame_skip: 4,
        noop_max: 30,
        terminal_on_life_loss: true,
        fire_on_reset: false,
        screen_size: 84,
        frame_stack: 4,
        clip_reward: true,
    };
    assert_eq!(read("").unwrap(), published);
    published.validate().unwrap();
    let set = AtariConfig { noop_max: 0, fire_on_reset: true, ..published };
    assert_eq!(read(&toml::to_string(&set).unwrap()).unwrap(), set);
    assert!(read("frameskip = 4").unwrap_err().to_string().contains("unknown field `frameskip`"));
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let of = |error: Option<rl_core::Error>| error.unwrap().to_string();
    let few = || Noise::new(&[3, 4, 4], 2);
    let none = AtariConfig::default;
    let game = |config: AtariConfig| of(config.wrap(Toy::default()).err());
    let life = EpisodicLife::new(few()).unwrap();
    let noop = NoopStart::new(few(), 108_000).unwrap();
    let too_long = "expected at most the frames of half an hour (108000), got 4294967295";
    let one_pixel = AtariConfig { screen_size: 1, ..none() };
    let fire = AtariConfig { screen_size: 1, fire_on_reset: true, ..none() };
    for (error, expected) in [
        (of(NoopStart::new(few(), 0).err()), "noop_max: expected an integer >= 1, got 0"),
        (of(NoopStart::new(few(), u32::MAX).err()), &format!("noop_max: {too_long}")),
        (of(noop.with_noop(2).err()), "no-op action: expected an index below 2, got 2"),
        (
            of(life.with_noop(usize::MAX).err()),
            "no-op action: expected an index below 2, got 18446744073709551615",
        ),
        (of(FireStart::new(few()).err()), "action at a start: expected an index below 2, got 2"),
        (of(fire.wrap(few()).err()), "action at a start: expected an index below 2, got 2"),
        (
            game(AtariConfig { frame_skip: 0, ..none() }),
            "frame_skip: expected an integer >= 1, got 0",
        ),
        (game(AtariConfig { frame_skip: u32::MAX, ..none() }), &format!("frame_skip: {too_long}")),
        (game(AtariConfig { noop_max: u32::MAX, ..none() }), &format!("noop_max: {too_long}")),
        (
            game(AtariConfig { screen_size: 0, ..none() }),
            "screen_size: expected an integer >= 1, got 0",
        ),
        (game(none()), "screen_size: expected at most the images' smaller side (40), got 84"),
        (
            game(AtariConfig { frame_stack: 0, ..none() }),
            "frame_stack: expected an integer >= 1, got 0",
        ),
        (
            game(AtariConfig { frame_stack: usize::MAX, ..none() }),
            "frame_stack: expected at most the longest stack (256), got 18446744073709551615",
        ),
        (
            of(none().vectorise(Vec::<Toy>::new(), Seeds::new(0)).err()),
            "envs: expected at least one environment, got 0",
        ),
        (
            of(one_pixel.wrap(Noise::new(&[3, 4], 4)).err()),
            "observations: expected images, [channels, height, width], got [3, 4]",
        ),
        (
            of(one_pixel.wrap(Noise::new(&[1, 4, 4], 4)).err()),
            "observations to turn grey: expected [3, height, width], got [1, 4, 4]",
        ),
    ] {
        assert_eq!(error, expected);
    }
}
