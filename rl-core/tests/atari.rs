//! The wrappers of Atari games beside those of Stable-Baselines3 and Gymnasium, on the game of fixtures/atari.py.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

mod toy;

use rl_core::{
    AtariConfig, BoxSpace, Discrete, End, Env, EpisodicLife, FireStart, FrameSkip, Greyscale,
    Lives, NoopStart, Resize, Rng, Seeds, Space, VecEnv,
};
use toy::Toy;

/// The action by which the fixture marks a reset.
const RESET: u32 = 255;

struct Row {
    action: u32,
    /// The no-op steps after each reset of the game within this one.
    noops: u32,
    end: Option<End>,
    lives: u32,
    /// Whether the newest frame is the same by design.
    comparable: bool,
    game: i32,
    reward: f32,
    shown: Vec<u8>,
}

struct Trace {
    kind: u32,
    config: AtariConfig,
    rows: Vec<Row>,
}

/// Everything in fixtures/atari.bin, whose format is described in atari.py.
fn traces() -> Vec<Trace> {
    let mut rest = &include_bytes!("fixtures/atari.bin")[..];
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at(n);
        rest = left;
        (taken, left.is_empty())
    };
    let number = |bytes: &[u8], i: usize| -> [u8; 4] { bytes[4 * i..][..4].try_into().unwrap() };
    let mut all = Vec::new();
    loop {
        let header = take(36).0;
        let field = |i| u32::from_le_bytes(number(header, i));
        let kind = field(0);
        let config = AtariConfig {
            noop_max: field(1),
            frame_skip: field(2),
            terminal_on_life_loss: field(3) == 1,
            fire_on_reset: field(4) == 1,
            screen_size: field(5) as usize,
            frame_stack: field(6) as usize,
            clip_reward: field(7) == 1,
        };
        let bytes = if kind < 4 { 4 } else { config.frame_stack * config.screen_size.pow(2) };
        let (mut rows, mut last) = (Vec::new(), false);
        for _ in 0..field(8) {
            let head = take(28).0;
            let field = |i| u32::from_le_bytes(number(head, i));
            let (shown, end) = take(bytes);
            last = end;
            rows.push(Row {
                action: field(0),
                noops: field(1),
                end: [None, Some(End::Terminated), Some(End::Truncated)][field(2) as usize],
                lives: field(3),
                comparable: field(4) == 1,
                game: field(5) as i32,
                reward: f32::from_le_bytes(number(head, 6)),
                shown: shown.to_vec(),
            });
        }
        all.push(Trace { kind, config, rows });
        if last {
            return all;
        }
    }
}

/// Seeds whose first environment draws the recorded number of no-ops, several times: some resets hold more than one.
fn seeds_with(noops: u32, noop_max: u32) -> Seeds {
    let draws = |mut rng: Rng| (0..3).all(|_| rng.below(noop_max as usize) + 1 == noops as usize);
    let fits = |seeds: &Seeds| noops == 0 || draws(seeds.stream("env", 0));
    (0..).map(Seeds::new).find(fits).unwrap()
}

/// Plays the recorded actions and compares all but the frames, which `compare` gets with their row.
fn replay<E>(mut env: E, trace: &Trace, game: impl Fn(&E) -> i32, compare: impl Fn(&[u8], &Row))
where
    E: Lives<Obs = BoxSpace<u8>, Action = Discrete>,
{
    let mut obs = vec![0; env.observation_space().width()];
    let mut before = None;
    for (i, row) in trace.rows.iter().enumerate() {
        let mut rng = seeds_with(row.noops, trace.config.noop_max).stream("env", 0);
        if row.action == RESET {
            env.reset(&mut rng, &mut obs).unwrap();
            assert_eq!(env.continued(), before == Some(row.game), "row {i}");
        } else {
            let step = env.step(row.action as usize, &mut rng, &mut obs).unwrap();
            assert_eq!((step.reward, step.end), (row.reward, row.end), "row {i}");
        }
        assert_eq!((env.lives(), game(&env)), (row.lives, row.game), "row {i}");
        compare(&obs, row);
        before = Some(row.game);
    }
}

fn equal_checksum(obs: &[u8], row: &Row) {
    if row.comparable {
        assert_eq!(
            crc32fast::hash(obs).to_le_bytes(),
            row.shown[..],
            "a frame of game {}",
            row.game
        );
    }
}

fn at_most_one_apart(obs: &[u8], expected: &[u8]) {
    assert_eq!(obs.len(), expected.len());
    let far = obs.iter().zip(expected).filter(|(a, b)| a.abs_diff(**b) > 1).count();
    assert_eq!(far, 0, "of {} pixels", obs.len());
}

#[test]
fn each_wrapper_shows_what_that_of_stable_baselines_shows() {
    let mut seen = [0; 5];
    for trace in traces().iter().filter(|trace| trace.kind < 5) {
        let Trace { kind, config, .. } = trace;
        seen[*kind as usize] += 1;
        match kind {
            0 => {
                let env = NoopStart::new(Toy::default(), config.noop_max).unwrap();
                replay(env, trace, |env| env.state().unwrap().game, equal_checksum);
            }
            1 => {
                let env = FrameSkip::new(Toy::default(), config.frame_skip).unwrap();
                replay(env, trace, |env| env.state().unwrap().game, equal_checksum);
            }
            2 => {
                let env = EpisodicLife::new(Toy::default()).unwrap();
                replay(env, trace, |env| env.state().unwrap().2.game, equal_checksum);
            }
            3 if config.terminal_on_life_loss => {
                let env = FireStart::new(EpisodicLife::new(Toy::default()).unwrap()).unwrap();
                replay(env, trace, |env| env.state().unwrap().2.game, equal_checksum);
            }
            3 => {
                let env = FireStart::new(Toy::default()).unwrap();
                replay(env, trace, |env| env.state().unwrap().game, equal_checksum);
            }
            _ => {
                let size = config.screen_size;
                let env = Resize::new(Greyscale::new(Toy::default()).unwrap(), size, size).unwrap();
                let compare = |obs: &[u8], row: &Row| at_most_one_apart(obs, &row.shown);
                replay(env, trace, |env| env.state().unwrap().game, compare);
            }
        }
    }
    assert_eq!(seen, [1, 1, 1, 2, 1]);
}

/// Through the vectorised environment, with its automatic resets, its clipped rewards and its episodes of whole games.
#[test]
fn the_whole_stack_shows_what_theirs_show() {
    let (mut compared, mut games) = (0, 0);
    for trace in traces().iter().filter(|trace| trace.kind == 5) {
        let Trace { config, rows, .. } = trace;
        let mut envs = config.vectorise(vec![Toy::default()], Seeds::new(0)).unwrap();
        let frame = config.screen_size.pow(2);
        // How many of the newest frames are the same by design.
        let mut good = 0;
        let mut check = |obs: &[u8], row: &Row| {
            good = match (row.comparable, row.action) {
                (false, _) => 0,
                (true, RESET) => config.frame_stack,
                (true, _) => config.frame_stack.min(good + 1),
            };
            let from = obs.len() - good * frame;
            at_most_one_apart(&obs[from..], &row.shown[from..]);
            compared += good;
        };
        envs.reseed(seeds_with(rows[0].noops, config.noop_max)).unwrap();
        envs.reset().unwrap();
        check(envs.batch().observations(), &rows[0]);
        let (mut total, mut length) = (0.0, 0);
        for (i, row) in rows.iter().enumerate().skip(1).filter(|(_, row)| row.action != RESET) {
            let next = rows.get(i + 1).filter(|next| next.action == RESET);
            if let Some(next) = next {
                envs.reseed(seeds_with(next.noops, config.noop_max)).unwrap();
            }
            envs.step(&[row.action]).unwrap();
            let batch = envs.batch();
            assert_eq!((batch.rewards()[0], batch.ends()[0]), (row.reward, row.end), "row {i}");
            (total, length) = (total + f64::from(row.reward), length + 1);
            let over = next.is_some_and(|next| next.game != row.game);
            assert_eq!(batch.episodes().len(), usize::from(over), "row {i}");
            if let [episode] = batch.episodes() {
                assert_eq!(episode.length, length);
                if !config.clip_reward {
                    assert_eq!(episode.episode_return, total);
                }
                (total, length, games) = (0.0, 0, games + 1);
            }
            match next {
                None => check(batch.observations(), row),
                Some(next) => {
                    check(batch.finals(), row);
                    check(batch.observations(), next);
                }
            }
        }
    }
    // Nearly all frames are the same by design, and a good many games ended.
    assert!(compared > 1000 && games > 30, "{compared} frames, {games} games");
}
