//! Plays MuJoCo's tasks beside Gymnasium. Only with the feature `mujoco`, and the models that `cargo xtask setup mujoco`
//! fetches; RL_PYTHON names an interpreter with gymnasium 1.4.0 and mujoco 3.17.0.
#![cfg(feature = "mujoco")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{End, Env, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv};
use rl_envs::{
    Ant, Copies, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum,
    MujocoEnv, MujocoTask, Pusher, Reacher, Swimmer, Walker2d, check_env, find, make_continuous,
};
use std::process::Command;

/// Steps of a trace.
const STEPS: usize = 5_000;

/// A trace of Gymnasium's, as numbers.
fn trace(name: &str) -> Vec<f64> {
    let python = std::env::var_os("RL_PYTHON")
        .expect("RL_PYTHON must name a Python with gymnasium 1.4.0 and mujoco 3.17.0");
    let file = std::env::temp_dir().join(format!("rl-mujoco-{}-{name}", std::process::id()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mujoco_traces.py");
    let told =
        Command::new(&python).args([script, name]).arg(STEPS.to_string()).arg(&file).output();
    let told = told.unwrap_or_else(|e| panic!("{}: {e}", python.display()));
    assert!(told.status.success(), "{script}: {}", String::from_utf8_lossy(&told.stderr));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    bytes.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap())).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Positions and velocities bit by bit, observations rounded to `f32`, rewards within 1e-6, ends.
fn equals_gymnasium<T: MujocoTask>(name: &str, task: T) {
    let mut env = MujocoEnv::new(task).unwrap();
    let numbers = trace(name);
    let (header, records) = numbers.split_at(4);
    let [nq, nv, na, no] = [0, 1, 2, 3].map(|i| header[i] as usize);
    assert_eq!((env.observation_space().width(), env.action_space().width()), (no, na), "{name}");
    let mut rng = Seeds::new(0).stream("unused", 0);
    let mut obs = vec![0.0; no];
    let (mut steps, mut resets) = (0, 0);
    for (i, record) in records.chunks_exact(1 + na + nq + nv + no + 2).enumerate() {
        let (kind, rest) = record.split_first().unwrap();
        let (action, rest) = rest.split_at(na);
        let (qpos, rest) = rest.split_at(nq);
        let (qvel, rest) = rest.split_at(nv);
        let (expected, rest) = rest.split_at(no);
        if *kind == 0.0 {
            env.reset_to(qpos, qvel, &mut obs).unwrap();
            resets += 1;
        } else {
            let action: Vec<f32> = action.iter().map(|a| *a as f32).collect();
            let step = env.step(&action, &mut rng, &mut obs).unwrap();
            let difference = (f64::from(step.reward) - rest[0]).abs();
            assert!(difference <= 1e-6, "{name}, record {i}: reward {step:?}, not {}", rest[0]);
            let end = (rest[1] == 1.0).then_some(End::Terminated);
            assert_eq!(step.end, end, "{name}, record {i}");
            steps += 1;
        }
        assert_eq!(bits(env.simulation().qpos()), bits(qpos), "{name}, record {i}: positions");
        assert_eq!(bits(env.simulation().qvel()), bits(qvel), "{name}, record {i}: velocities");
        let expected: Vec<u32> = expected.iter().map(|x| (*x as f32).to_bits()).collect();
        let got: Vec<u32> = obs.iter().map(|x| x.to_bits()).collect();
        assert_eq!(got, expected, "{name}, record {i}: observation");
    }
    assert_eq!(steps, STEPS, "{name}");
    assert!(resets > 10, "{name}: {resets} episodes");
}

/// A checkpoint, in the middle of an episode and right after a reset, goes on to the same bits; so do the laws of
/// environments.
fn goes_on<T: MujocoTask + Clone>(name: &str, task: T) {
    let make = || MujocoEnv::new(task.clone()).unwrap();
    for steps in [0, 1, 37] {
        let (mut env, mut copy) = (make(), make());
        let mut rng = Seeds::new(steps).stream("env", 0);
        let space = env.action_space();
        let (mut obs, mut action) =
            (vec![0.0; env.observation_space().width()], vec![0.0; space.width()]);
        // Something behind it, that the copy has not.
        env.reset(&mut rng, &mut obs).unwrap();
        env.step(&action, &mut rng, &mut obs).unwrap();
        env.reset(&mut rng, &mut obs).unwrap();
        for _ in 0..steps {
            space.sample(&mut rng, &mut action);
            env.step(&action, &mut rng, &mut obs).unwrap();
        }
        let bytes = rl_core::codec::encode(&env.state().unwrap()).unwrap();
        copy.set_state(rl_core::codec::decode("state", &bytes).unwrap()).unwrap();
        let mut obs_copy = vec![f32::NAN; obs.len()];
        for step in 0..200 {
            space.sample(&mut rng, &mut action);
            let a = env.step(&action, &mut rng, &mut obs).unwrap();
            let b = copy.step(&action, &mut rng, &mut obs_copy).unwrap();
            let place = format!("{name}, {step} steps after a checkpoint at {steps}");
            assert_eq!((a.reward.to_bits(), a.end), (b.reward.to_bits(), b.end), "{place}");
            assert!(obs.iter().zip(&obs_copy).all(|(a, b)| a.to_bits() == b.to_bits()), "{place}");
            assert_eq!(env.state(), copy.state(), "{place}");
        }
    }
    let problems = check_env(make, 3);
    assert!(problems.is_empty(), "{name}: {problems:?}");
}

macro_rules! tasks {
    ($($module:ident, $name:literal, $task:ty, $limit:literal;)*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn it_equals_gymnasium() {
                equals_gymnasium($name, <$task>::default());
            }

            #[test]
            fn a_checkpoint_goes_on() {
                goes_on($name, <$task>::default());
            }

            #[test]
            fn it_has_a_name() {
                assert_eq!(find($name).unwrap().max_episode_steps, Some($limit));
                let envs = make_continuous($name, Copies::new(1, Seeds::new(0))).unwrap();
                let env = MujocoEnv::new(<$task>::default()).unwrap();
                assert_eq!(*envs.observation_space(), env.observation_space());
                assert_eq!(*envs.action_space(), env.action_space());
            }
        }
    )*};
}

tasks! {
    half_cheetah, "HalfCheetah-v5", HalfCheetah, 1_000;
    hopper, "Hopper-v5", Hopper, 1_000;
    walker2d, "Walker2d-v5", Walker2d, 1_000;
    ant, "Ant-v5", Ant, 1_000;
    humanoid, "Humanoid-v5", Humanoid, 1_000;
    swimmer, "Swimmer-v5", Swimmer, 1_000;
    inverted_pendulum, "InvertedPendulum-v5", InvertedPendulum, 1_000;
    inverted_double_pendulum, "InvertedDoublePendulum-v5", InvertedDoublePendulum, 1_000;
    reacher, "Reacher-v5", Reacher, 50;
    pusher, "Pusher-v5", Pusher, 100;
}

#[test]
fn an_ant_without_forces_shows_the_rest() {
    let make = |name| make_continuous(name, Copies::new(1, Seeds::new(3))).unwrap();
    let (mut all, mut rest) = (make("Ant-v5"), make("AntWithoutForces-v5"));
    all.reset().unwrap();
    rest.reset().unwrap();
    for step in 0..200 {
        let (full, part) = (all.batch(), rest.batch());
        assert_eq!(part.observations(), &full.observations()[..27], "step {step}");
        assert_eq!((part.rewards(), part.ends()), (full.rewards(), full.ends()), "step {step}");
        all.step(&[0.5; 8]).unwrap();
        rest.step(&[0.5; 8]).unwrap();
    }
}

/// Neither steps nor resets allocate in this library; MuJoCo has an arena of its own.
#[test]
fn an_episode_allocates_nothing() {
    let mut env = MujocoEnv::new(Humanoid::default()).unwrap();
    let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 348]);
    let allocated = allocation_counter::measure(|| {
        env.reset(&mut rng, &mut obs).unwrap();
        while env.step(&[0.3; 17], &mut rng, &mut obs).unwrap().end.is_none() {}
    });
    assert_eq!(allocated.count_total, 0);
}

/// Threads have no say in the results, and what they save can be loaded without them.
#[test]
fn threads_step_to_the_same_bits() {
    for name in ["Hopper-v5", "Humanoid-v5"] {
        let copies = |threads| Copies { threads, ..Copies::new(4, Seeds::new(5)) };
        let mut serial = make_continuous(name, copies(1)).unwrap();
        let mut threaded = make_continuous(name, copies(2)).unwrap();
        let space = serial.action_space().clone();
        let mut rng = Seeds::new(6).stream("actions", 0);
        let mut actions = vec![0.0; 4 * space.width()];
        serial.reset().unwrap();
        threaded.reset().unwrap();
        for step in 0..200 {
            actions.chunks_exact_mut(space.width()).for_each(|row| space.sample(&mut rng, row));
            serial.step(&actions).unwrap();
            threaded.step(&actions).unwrap();
            let (a, b) = (serial.batch(), threaded.batch());
            assert_eq!(a.observations(), b.observations(), "{name}, step {step}");
            assert_eq!((a.rewards(), a.ends()), (b.rewards(), b.ends()), "{name}, step {step}");
            if step == 100 {
                let saved = threaded.save().unwrap();
                assert_eq!(saved, serial.save().unwrap());
                serial = make_continuous(name, copies(1)).unwrap();
                serial.load(&saved).unwrap();
            }
        }
    }
}

/// What a task draws for a start lies within its noise, and reaches most of it.
#[test]
fn starts_are_spread_like_gymnasiums() {
    let mut rng = Seeds::new(1).stream("env", 0);
    let mut obs = [0.0; 17];
    let mut env = MujocoEnv::new(HalfCheetah::default()).unwrap();
    let n = 2_000;
    let (mut position, mut velocity) = (Vec::new(), Vec::new());
    for _ in 0..n {
        env.reset(&mut rng, &mut obs).unwrap();
        position.extend_from_slice(env.simulation().qpos());
        velocity.extend_from_slice(env.simulation().qvel());
    }
    let spread = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    assert!(position.iter().all(|x| x.abs() <= 0.1));
    // A uniform number in [-0.1, 0.1) deviates by 0.1 / sqrt(3).
    assert!((spread(&position) - 0.1 / 3f64.sqrt()).abs() < 1e-3, "{}", spread(&position));
    assert!((spread(&velocity) - 0.1).abs() < 2e-3, "{}", spread(&velocity));
    assert!(velocity.iter().any(|x| x.abs() > 0.25));

    let mut env = MujocoEnv::new(Reacher::default()).unwrap();
    let mut obs = [0.0; 10];
    for _ in 0..n {
        env.reset(&mut rng, &mut obs).unwrap();
        let (qpos, qvel) = (env.simulation().qpos(), env.simulation().qvel());
        assert!(qpos[2].hypot(qpos[3]) < 0.2 && qvel[2..] == [0.0, 0.0]);
        assert!(qpos[..2].iter().all(|x| x.abs() <= 0.1) && qvel.iter().all(|x| x.abs() <= 5e-3));
    }

    let mut env = MujocoEnv::new(Pusher::default()).unwrap();
    let mut obs = [0.0; 23];
    for _ in 0..n {
        env.reset(&mut rng, &mut obs).unwrap();
        let (qpos, qvel) = (env.simulation().qpos(), env.simulation().qvel());
        assert!(qpos[7].hypot(qpos[8]) > 0.17 && (-0.3..=0.0).contains(&qpos[7]));
        assert!(qpos[8].abs() <= 0.2 && qpos[9..] == [0.0, 0.0] && qvel[7..] == [0.0; 4]);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let error = MujocoEnv::with_model(Hopper::default(), "/nowhere.xml").unwrap_err().to_string();
    assert!(error.contains("/nowhere.xml: no such file"), "{error}");
    assert!(error.contains("cargo xtask setup mujoco"), "{error}");
    let hopper = rl_envs::mujoco_models().join("hopper.xml");
    let error = MujocoEnv::with_model(Reacher::default(), hopper).unwrap_err().to_string();
    assert!(error.contains("no body 'fingertip'"), "{error}");

    let mut env = MujocoEnv::new(Hopper::default()).unwrap();
    let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 11]);
    env.reset(&mut rng, &mut obs).unwrap();
    let error = env.step(&[0.0; 2], &mut rng, &mut obs).unwrap_err().to_string();
    assert_eq!(error, "action: expected 3 elements, got 2");
    let error = env.step(&[0.0, f32::NAN, 0.0], &mut rng, &mut obs).unwrap_err().to_string();
    assert_eq!(error, "action dimension 1: expected a number, got NaN");
    let mut state = env.state().unwrap();
    state.physics[1] = f64::NAN;
    let error = env.set_state(state.clone()).unwrap_err().to_string();
    assert_eq!(error, "state.physics: expected finite numbers, got NaN");
    state.physics.pop();
    assert!(env.set_state(state).unwrap_err().to_string().starts_with("state.physics: expected"));
}

/// A time limit is a truncation, and the final observation is kept.
#[test]
fn the_time_limit_truncates() {
    let env = TimeLimit::new(MujocoEnv::new(Reacher::default()).unwrap(), 50).unwrap();
    let mut envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    envs.reset().unwrap();
    for step in 1..=50 {
        envs.step(&[0.1, -0.1]).unwrap();
        assert_eq!(envs.batch().ends()[0], (step == 50).then_some(End::Truncated));
    }
}
