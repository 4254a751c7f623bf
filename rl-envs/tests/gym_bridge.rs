//! The Gymnasium bridge against Gymnasium itself. The environment variable `RL_PYTHON` names an interpreter with the
//! packages `gymnasium[mujoco]` and `ale-py`; `cargo xtask ci` makes one.
#![allow(clippy::unwrap_used, clippy::panic)] // How a test fails.

use rl_core::{
    BadNumbers, BoxSpace, Discrete, Element, End, Env, Image, Metrics, Render, Result, Seeds,
    SerialVecEnv, Space, Step, TimeLimit, VecEnv,
};
use rl_envs::{
    AnyVecEnv, Copies, GymAction, GymConfig, GymEnv, GymObs, GymVecEnv, Kind, Options, Spec,
    find_with,
};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn python() -> PathBuf {
    let Some(python) = std::env::var_os("RL_PYTHON") else {
        panic!(
            "RL_PYTHON is not set: it names a Python interpreter with gymnasium[mujoco] and ale-py"
        );
    };
    python.into()
}

fn config(name: &str) -> GymConfig {
    GymConfig { python: python(), ..GymConfig::parse(name).unwrap() }
}

/// An environment of `fixtures/gym_worlds.py`. Tests run in the crate's folder.
fn world(name: &str) -> GymConfig {
    config(&format!("tests.fixtures.gym_worlds:{name}"))
}

fn make<O: GymObs, A: GymAction>(
    config: &GymConfig,
    envs: usize,
    workers: usize,
) -> GymVecEnv<O, A> {
    GymVecEnv::new(config, envs, workers, Seeds::new(7)).unwrap()
}

fn refused<O: GymObs, A: GymAction>(config: &GymConfig) -> String {
    GymVecEnv::<O, A>::new(config, 1, 1, Seeds::new(7)).unwrap_err().to_string()
}

fn find(name: &str) -> Spec {
    find_with(name, &Options { python: Some(python()), ..Options::default() }).unwrap()
}

/// An element's bytes, as Python has them.
trait Bytes: Element {
    fn put(self, to: &mut Vec<u8>);
}
impl Bytes for f32 {
    fn put(self, to: &mut Vec<u8>) {
        to.extend(self.to_ne_bytes());
    }
}
impl Bytes for u32 {
    fn put(self, to: &mut Vec<u8>) {
        to.extend(self.to_ne_bytes());
    }
}
impl Bytes for u8 {
    fn put(self, to: &mut Vec<u8>) {
        to.push(self);
    }
}

fn bytes<T: Bytes>(row: &[T]) -> Vec<u8> {
    let mut all = Vec::new();
    row.iter().for_each(|x| x.put(&mut all));
    all
}

/// Plays 10,000 steps of random actions over the bridge and in Python, from the same seeds.
fn equals_python<O, A>(name: &str)
where
    O: GymObs<Elem: Bytes>,
    A: GymAction<Elem: Bytes>,
{
    const STEPS: usize = 10_000;
    let config = config(name);
    let mut envs = make::<O, A>(&config, 1, 1);
    let mut rng = Seeds::new(1).stream("actions", 0);
    let width = envs.action_space().width();
    let mut actions = vec![A::Elem::default(); STEPS * width];
    actions.chunks_exact_mut(width).for_each(|row| envs.action_space().sample(&mut rng, row));
    envs.reset().unwrap();
    let mut shown = Vec::new();
    for action in actions.chunks_exact(width) {
        envs.step(action).unwrap();
        let batch = envs.batch();
        let transitions = batch.transitions(action);
        let end = match batch.ends()[0] {
            None => 0u32,
            Some(End::Terminated) => 1,
            Some(End::Truncated) => 2,
        };
        shown.extend(crc32fast::hash(&bytes(transitions.next_observation(0))).to_ne_bytes());
        shown.extend(batch.rewards()[0].to_ne_bytes());
        shown.extend(end.to_ne_bytes());
        shown.extend(crc32fast::hash(&bytes(batch.observations())).to_ne_bytes());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |what: &str, bytes: &[u8]| {
        let path = folder.join(format!("{}.{what}", name.replace(['/', ':', '.', '?'], "-")));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    // Every episode's seed is one draw of the environment's stream.
    let mut stream = Seeds::new(7).stream("env", 0);
    let seeds: Vec<u8> =
        (0..=STEPS).flat_map(|_| (stream.below(1 << 31) as u64).to_ne_bytes()).collect();
    let kwargs = serde_json::to_string(&config.kwargs).unwrap();
    let output = Command::new(python())
        .args(["-c", include_str!("fixtures/gym_reference.py"), &config.id, &kwargs])
        .arg(file("seeds", &seeds))
        .arg(file("actions", &bytes(&actions)))
        .arg(STEPS.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.len(), 16 * STEPS);
    let differing = output.stdout.chunks(16).zip(shown.chunks(16)).position(|(a, b)| a != b);
    assert_eq!(differing, None, "{name}: the step that differs");
}

#[test]
fn cart_pole_equals_pythons() {
    equals_python::<BoxSpace, Discrete>("CartPole-v1");
}

#[test]
fn half_cheetah_equals_pythons() {
    equals_python::<BoxSpace, BoxSpace>("HalfCheetah-v5");
}

#[test]
fn pong_equals_pythons() {
    equals_python::<BoxSpace<u8>, Discrete>("ALE/Pong-v5");
}

#[test]
fn frozen_lake_equals_pythons() {
    equals_python::<Discrete, Discrete>("FrozenLake-v1?is_slippery=true");
}

#[test]
fn nested_observations_equal_pythons() {
    equals_python::<BoxSpace, BoxSpace>("tests.fixtures.gym_worlds:Nest?length=23");
}

#[test]
fn ones_own_class_equals_pythons() {
    equals_python::<Discrete, Discrete>("tests.fixtures.gym_worlds:Maze");
}

type Shown = (Vec<f32>, Vec<f32>, Vec<Option<End>>, Vec<rl_core::Episode>);

fn play(envs: &mut impl VecEnv<Obs = BoxSpace, Action = Discrete>, steps: usize) -> Vec<Shown> {
    let mut rng = Seeds::new(3).stream("actions", 0);
    let mut actions = vec![0; envs.num_envs()];
    let mut shown = Vec::new();
    for _ in 0..steps {
        let space = *envs.action_space();
        actions.chunks_exact_mut(1).for_each(|row| space.sample(&mut rng, row));
        envs.step(&actions).unwrap();
        let batch = envs.batch();
        let transitions = batch.transitions(&actions);
        let next = (0..envs.num_envs()).flat_map(|i| transitions.next_observation(i)).copied();
        let next = next.chain(batch.observations().iter().copied()).collect();
        shown.push((
            next,
            batch.rewards().to_vec(),
            batch.ends().to_vec(),
            batch.episodes().to_vec(),
        ));
    }
    shown
}

#[test]
fn workers_make_no_difference() {
    let config = config("CartPole-v1");
    let one = GymEnv::<BoxSpace, Discrete>::several(&config, 3).unwrap();
    let mut serial = SerialVecEnv::new(one, Seeds::new(7)).unwrap();
    serial.reset().unwrap();
    let expected = play(&mut serial, 300);
    for workers in [1, 2, 3] {
        let mut envs = make::<BoxSpace, Discrete>(&config, 3, workers);
        envs.reset().unwrap();
        assert_eq!(play(&mut envs, 300), expected, "{workers} workers");
        // The same streams give the same episodes again.
        envs.reseed(Seeds::new(7)).unwrap();
        envs.reset().unwrap();
        assert_eq!(play(&mut envs, 300), expected);
    }
}

#[test]
fn a_loaded_state_begins_new_episodes() {
    let config = config("CartPole-v1");
    let mut envs = make::<BoxSpace, Discrete>(&config, 2, 1);
    envs.reset().unwrap();
    play(&mut envs, 50);
    let saved = envs.save().unwrap();
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let mut envs = make::<BoxSpace, Discrete>(&config, 2, 2);
        envs.load(&saved).unwrap();
        assert!(!envs.resumes_exactly());
        assert_eq!(envs.batch().reset_since(), [true, true]);
        resumed.push(play(&mut envs, 50));
        let again = envs.save().unwrap();
        envs.load(&saved).unwrap();
        assert_eq!(play(&mut envs, 50), resumed[0]);
        assert_eq!(envs.save().unwrap(), again);
    }
    assert_eq!(resumed[0], resumed[1]);
    let one = GymEnv::<BoxSpace, Discrete>::several(&config, 2).unwrap();
    let mut serial = SerialVecEnv::new(one, Seeds::new(7)).unwrap();
    assert!(!serial.resumes_exactly());
    serial.reset().unwrap();
    play(&mut serial, 50);
    let saved = serial.save().unwrap();
    serial.load(&saved).unwrap();
    assert_eq!(play(&mut serial, 50), resumed[0]);
}

#[test]
fn spaces_are_shown() {
    let envs = make::<BoxSpace, BoxSpace>(&world("Nest"), 1, 1);
    assert_eq!(envs.observation_space().shape(), [3 + 2 + 5 + 4]);
    assert_eq!(
        (envs.action_space().shape(), envs.action_space().high()),
        (&[2, 2][..], &[2.0; 4][..])
    );
    let envs = make::<Discrete, Discrete>(&world("Maze"), 1, 1);
    assert_eq!((envs.observation_space().n(), envs.action_space().n()), (7, 2));
    let mut envs = make::<BoxSpace, Discrete>(&GymConfig { one_hot: true, ..world("Maze") }, 2, 1);
    envs.reset().unwrap();
    envs.step(&[0, 1]).unwrap();
    for row in envs.batch().observations().chunks_exact(7) {
        let mut sorted = row.to_vec();
        sorted.sort_by(f32::total_cmp);
        assert_eq!(sorted, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    let mut envs = make::<BoxSpace<u8>, Discrete>(&world("Picture"), 1, 1);
    assert_eq!(envs.observation_space().shape(), [3, 4, 5]);
    envs.reset().unwrap();
    let planes = (0..3).flat_map(|c| (0..20).map(move |i| 3 * i + c));
    assert_eq!(envs.batch().observations(), planes.collect::<Vec<u8>>());
    // Channels that come first already, a single one, and no image.
    for (shape, shown) in [("[3,4,5]", &[3, 4, 5][..]), ("[4,5]", &[1, 4, 5]), ("[8]", &[8])] {
        let mut envs =
            make::<BoxSpace<u8>, Discrete>(&world(&format!("Picture?shape={shape}&high=1")), 1, 1);
        assert_eq!(
            (envs.observation_space().shape(), envs.observation_space().high()[0]),
            (shown, 1)
        );
        envs.reset().unwrap();
        assert!(
            envs.batch()
                .observations()
                .iter()
                .copied()
                .eq(0..shown.iter().product::<usize>() as u8)
        );
    }
}

#[test]
fn masks_follow_observations_where_asked_for() {
    let masked = |config| GymConfig { action_mask: true, ..config };
    let mut envs = make::<BoxSpace, Discrete>(&masked(world("Numbers")), 2, 1);
    assert_eq!(envs.observation_space().shape(), [7]);
    assert_eq!((envs.observation_space().low()[3], envs.observation_space().high()[6]), (0.0, 1.0));
    envs.reset().unwrap();
    assert_eq!(envs.batch().observations()[3..7], [1.0, 0.0, 1.0, 0.0]);
    envs.step(&[0, 0]).unwrap();
    assert_eq!(envs.batch().observations()[7..], [0.1, 0.1, 0.1, 1.0, 0.0, 1.0, 1.0]);
    assert_eq!(make::<BoxSpace, Discrete>(&masked(world("Maze")), 1, 1).batch().width(), 9);
    assert_eq!(make::<BoxSpace, Discrete>(&world("Numbers"), 1, 1).batch().width(), 3);
    let error = refused::<BoxSpace, Discrete>(&masked(world("Numbers?mask=false")));
    assert!(
        error.contains("expected info['action_mask'] with 4 numbers after a reset, got none"),
        "{error}"
    );
    let error = refused::<BoxSpace<u8>, Discrete>(&masked(world("Picture")));
    assert!(
        error.contains(
            "expected observations that a mask can follow, got Box(0, 255, (4, 5, 3), uint8)"
        ),
        "{error}"
    );
}

#[test]
fn numbers_of_the_last_info_are_recorded() {
    let mut envs = make::<BoxSpace, BoxSpace>(&world("Nest?length=3"), 2, 2);
    envs.reset().unwrap();
    let mut metrics = Metrics::default();
    for _ in 0..6 {
        envs.step(&[0.0; 8]).unwrap();
        envs.record(&mut metrics);
    }
    assert_eq!((metrics.mean("info/is_success"), metrics.count("info/is_success")), (Some(1.0), 4));
    assert_eq!((metrics.mean("info/steps"), metrics.mean("info/lives")), (Some(3.0), Some(-1.0)));
    assert_eq!(metrics.means().count(), 3);
}

/// However many names there are, the metrics have room for them.
#[test]
fn names_of_numbers_are_bounded() {
    let mut envs = make::<BoxSpace, Discrete>(&world("Names"), 1, 1);
    envs.reset().unwrap();
    let mut metrics = Metrics::default();
    for _ in 0..300 {
        envs.step(&[0]).unwrap();
        envs.record(&mut metrics);
    }
    assert_eq!((metrics.means().count(), metrics.count("info_left_out")), (257, 300 - 256));
}

#[test]
fn frames_are_drawn() {
    let mut env =
        GymEnv::<BoxSpace, Discrete>::new(&GymConfig { render: true, ..config("CartPole-v1") })
            .unwrap();
    let mut rng = Seeds::new(0).stream("env", 0);
    env.reset(&mut rng, &mut [0.0; 4]).unwrap();
    assert_eq!(env.image_size(), [400, 600]);
    for (height, width) in [(400, 600), (40, 60)] {
        let mut pixels = vec![7; 3 * height * width];
        env.render(&mut Image::new(&mut pixels, height, width).unwrap()).unwrap();
        // White, a black cart on a black line, and a pole.
        let count =
            |colour| pixels.iter().filter(|x| **x == colour).count() as f64 / pixels.len() as f64;
        assert!(count(255) > 0.9 && count(0) > 0.005, "{} {}", count(255), count(0));
    }
    let env = GymEnv::<BoxSpace, Discrete>::new(&config("CartPole-v1")).unwrap();
    let error = env.render(&mut Image::new(&mut [0; 3], 1, 1).unwrap()).unwrap_err().to_string();
    assert_eq!(error, "render: expected true, for an environment to be drawn, got false");
}

/// A list of processes shows no program.
#[test]
#[cfg(target_os = "linux")]
fn the_command_of_a_worker_is_short() {
    let _env = GymEnv::<BoxSpace, Discrete>::new(&config("CartPole-v1")).unwrap();
    let mine = format!("PPid:\t{}\n", std::process::id());
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let workers = processes.filter(|process| {
        std::fs::read_to_string(process.join("status")).is_ok_and(|status| status.contains(&mine))
    });
    let commands: Vec<_> = workers
        .filter_map(|worker| std::fs::read(worker.join("cmdline")).ok())
        .filter(|command| command.windows(14).any(|part| part == b"rl-envs worker"))
        .collect();
    assert!(!commands.is_empty() && commands.iter().all(|command| command.len() < 400));
}

#[test]
fn a_start_that_fails_says_why() {
    let missing = GymConfig { python: "/no/such/python".into(), ..config("CartPole-v1") };
    let error = refused::<BoxSpace, Discrete>(&missing);
    assert!(error.contains("cannot start Python, '/no/such/python': No such file"), "{error}");
    let alone =
        GymConfig { python: "tests/fixtures/python_alone.sh".into(), ..config("CartPole-v1") };
    let error = refused::<BoxSpace, Discrete>(&alone);
    assert!(error.contains("has no Python package 'gymnasium': pip install gymnasium"), "{error}");
    for (name, expected) in [
        (
            "CartPol-v1",
            "CartPol-v1: Environment `CartPol` doesn't exist. Did you mean: `CartPole`?",
        ),
        ("Nowhere/Game-v0", "Namespace Nowhere not found"),
        ("no_module:Env", "there is no Python module 'no_module' in /"),
        (
            "tests.fixtures.gym_worlds:Nets",
            "module 'tests.fixtures.gym_worlds' has nothing of this name",
        ),
        ("tests.fixtures.gym_worlds:not_an_environment", "expected a gymnasium.Env, "),
        (
            "tests.fixtures.gym_worlds:Nest?size=3",
            "TypeError: Nest.__init__() got an unexpected keyword argument 'size'",
        ),
        ("tests.fixtures.gym_broken:Env", "No module named 'a_package_that_does_not_exist'\nat /"),
        (
            "gym_worlds",
            "Environment `gym_worlds` doesn't exist. One's own class is my_module:MyEnv.",
        ),
        (
            "./gym_worlds.py:Nest",
            "expected the name of a module, as in my_module:MyEnv, got './gym_worlds.py'",
        ),
    ] {
        let error = refused::<BoxSpace, Discrete>(&config(name));
        assert!(error.starts_with("environment: ") && error.contains(expected), "{error}");
    }
    let error = refused::<BoxSpace, Discrete>(&world("Numbers?space=text"));
    assert!(error.contains("or a Dict or Tuple of these, got Text(1, 5, "), "{error}");
    let error = refused::<BoxSpace, Discrete>(&world("Numbers?space=actions"));
    assert!(
        error.ends_with(
            "actions: expected Discrete, or a Box of floating-point numbers, got MultiBinary(2)"
        ),
        "{error}"
    );
    let error = refused::<BoxSpace, BoxSpace>(&world("Numbers"));
    assert_eq!(error, "actions: expected boxes of numbers, got numbers of states or actions");
    let error = refused::<BoxSpace<u8>, Discrete>(&world("Numbers"));
    assert_eq!(error, "observations: expected bytes, got boxes of numbers");
}

#[test]
fn a_reset_that_returns_something_else_is_refused() {
    let mut envs = make::<BoxSpace, Discrete>(&world("OldReset"), 1, 1);
    let error = envs.reset().unwrap_err().to_string();
    let expected =
        "environment 0: reset: expected to return (observation, info), got array([0., 0.]";
    assert!(error.contains(expected), "{error}");
}

/// The error of the third step of the last of four environments, on two workers.
fn fault(name: &str) -> (String, Duration) {
    let config =
        GymConfig { timeout: Duration::from_secs(12), ..world(&format!("Numbers?fault={name}")) };
    let mut envs = make::<BoxSpace, Discrete>(&config, 4, 2);
    envs.reset().unwrap();
    (0..2).for_each(|_| envs.step(&[0, 1, 2, 3]).unwrap());
    let started = Instant::now();
    let error = envs.step(&[0, 1, 2, 3]).unwrap_err().to_string();
    (error, started.elapsed())
}

#[test]
fn a_step_that_fails_says_why_and_where() {
    for (name, expected) in [
        ("raise", "environment 0: ValueError: the simulator is on fire\nat /"),
        (
            "shape",
            "environment 0: observation: expected Box(-inf, inf, (3,), float64), got float64 of shape (4,)",
        ),
        (
            "type",
            "environment 0: observation: expected Box(-inf, inf, (3,), float64), got <U1 of shape (3,)",
        ),
        ("reward", "environment 0: reward: expected a number, got None"),
        (
            "tuple",
            "environment 0: step: expected to return (observation, reward, terminated, truncated, info), got (array(",
        ),
        ("die", "the worker has ended, signal: 9 (SIGKILL); its last words:\na last word"),
        ("exit", "environment 0: SystemExit: 7\nat /"),
        ("surrogate", "environment 0: ValueError: half of \\udcff, after all"),
    ] {
        let (error, took) = fault(name);
        let expected = format!("environment: tests.fixtures.gym_worlds:Numbers: {expected}");
        assert!(error.starts_with(&expected), "{error}");
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
    }
    // A process that it has started holds its pipes.
    let (error, took) = fault("fork");
    assert!(error.contains("the worker has ended, signal: 9 (SIGKILL)"), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let (error, took) = fault("hang");
    assert!(error.contains("no reply within 12 s; the worker was stopped"), "{error}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_is_no_number_passes_and_agents_refuse_it() {
    let mut envs = make::<BoxSpace, Discrete>(&world("Numbers?fault=nan"), 1, 1);
    envs.reset().unwrap();
    (0..3).for_each(|_| envs.step(&[0]).unwrap());
    assert!(envs.batch().observations()[0].is_nan() && envs.batch().rewards()[0].is_infinite());
    assert!(envs.batch().transitions(&[0]).check(1).is_err());
}

/// Workers that step several environments skip a step of one as environments in workers of their own do.
#[test]
fn bad_numbers_are_skipped_and_counted() {
    let config = world("Numbers?fault=sometimes");
    for how in [BadNumbers::Skip, BadNumbers::Count] {
        let one = GymEnv::<BoxSpace, Discrete>::several(&config, 3).unwrap();
        let mut serial = SerialVecEnv::new(one, Seeds::new(7)).unwrap();
        serial.set_bad_numbers(how).unwrap();
        serial.reset().unwrap();
        let expected = play(&mut serial, 200);
        let skipped = expected.iter().flat_map(|(_, _, ends, _)| ends);
        let skipped = skipped.filter(|end| **end == Some(End::Truncated)).count();
        assert!(if how == BadNumbers::Skip { skipped > 50 } else { skipped == 0 }, "{skipped}");
        for workers in [1, 2, 3] {
            let mut envs = make::<BoxSpace, Discrete>(&config, 3, workers);
            envs.set_bad_numbers(how).unwrap();
            envs.reset().unwrap();
            assert_eq!(play(&mut envs, 200), expected, "{workers} workers");
            envs.batch().check_finite(0).unwrap();
        }
    }
}

#[test]
fn an_environment_goes_on_after_an_error() {
    let mut envs = make::<BoxSpace, Discrete>(&world("Numbers?fault=raise"), 2, 1);
    envs.reset().unwrap();
    assert!((0..3).map(|_| envs.step(&[0, 0])).any(|step| step.is_err()));
    envs.reset().unwrap();
    envs.step(&[0, 0]).unwrap();
    assert_eq!(envs.batch().observations(), [0.1; 6]);
}

#[test]
fn names_of_modules_and_their_own_registrations() {
    // A registered name of a module, with its time limit.
    let spec = find("gym:tests.fixtures.gym_worlds:Registered-v0");
    assert_eq!((spec.kind, spec.max_episode_steps), (Kind::Discrete, Some(5)));
    let mut envs = spec.make_discrete(Copies::new(1, Seeds::new(0))).unwrap();
    envs.reset().unwrap();
    let ends: Vec<_> = play(&mut envs, 5).into_iter().map(|shown| shown.2[0]).collect();
    assert_eq!(ends, [None, None, None, None, Some(End::Truncated)]);
}

#[test]
fn environments_have_kinds_by_name() {
    let copies = Copies::new(3, Seeds::new(0));
    for (name, kind, limit) in [
        ("gym:CartPole-v1", Kind::Discrete, Some(500)),
        ("gym:Pendulum-v1", Kind::Continuous, Some(200)),
        ("gym:FrozenLake-v1?is_slippery=false", Kind::Tabular, Some(100)),
        ("gym:tests.fixtures.gym_worlds:Picture", Kind::Pixels, None),
    ] {
        let spec = find(name);
        assert_eq!((&*spec.id, spec.kind, spec.max_episode_steps), (name, kind, limit));
        let made = match spec.make(copies).unwrap() {
            AnyVecEnv::Discrete(envs) => envs.num_envs(),
            AnyVecEnv::Continuous(envs) => envs.num_envs(),
            AnyVecEnv::Tabular(envs) => envs.num_envs(),
            AnyVecEnv::Pixels(envs) => envs.num_envs(),
            AnyVecEnv::PixelsContinuous(envs) => envs.num_envs(),
        };
        assert_eq!(made, 3);
    }
    let lake = find("gym:FrozenLake-v1?map_name=8x8");
    assert_eq!(lake.make_discrete(copies).unwrap().batch().width(), 64);
    assert_eq!(lake.make_tabular(copies).unwrap().observation_space().n(), 64);
    let error = lake.make_continuous(copies).map(drop).unwrap_err().to_string();
    assert!(error.contains("expected continuous actions, it has numbered states"), "{error}");
    // Without a limit of its own an evaluation sets one.
    let endless = find("gym:tests.fixtures.gym_worlds:Numbers");
    let mut envs = endless.make_discrete(Copies::for_evaluation(1, Seeds::new(0))).unwrap();
    envs.reset().unwrap();
    let mut steps = 0;
    while envs.batch().ends()[0].is_none() {
        envs.step(&[0]).unwrap();
        steps += 1;
    }
    assert_eq!(steps, 10_000);
}

#[test]
fn atari_games_are_preprocessed_and_their_episodes_are_whole_games() {
    let spec = find("gym:ALE/Breakout-v5");
    assert_eq!(spec.kind, Kind::Pixels);
    let copies = Copies { threads: 2, ..Copies::new(2, Seeds::new(0)) };
    let mut training = spec.make_pixels(copies).unwrap();
    assert_eq!(
        (training.observation_space().shape(), training.action_space().n()),
        (&[4, 84, 84][..], 4)
    );
    assert!(!training.resumes_exactly());
    training.reset().unwrap();
    let mut rng = Seeds::new(3).stream("actions", 0);
    let (mut ends, mut episodes, mut rewards) = ([0; 2], Vec::new(), [0.0; 2]);
    while episodes.len() < 2 {
        let actions = [0; 2].map(|_| rng.below(4) as u32);
        training.step(&actions).unwrap();
        let batch = training.batch();
        for i in 0..2 {
            ends[i] += u32::from(batch.ends()[i].is_some());
            rewards[i] += batch.rewards()[i];
            assert!([-1.0, 0.0, 1.0].contains(&batch.rewards()[i]));
        }
        episodes.extend_from_slice(batch.episodes());
    }
    // Five lives a game.
    for episode in &episodes {
        assert!(ends[episode.env] >= 5, "{ends:?} {episodes:?}");
        assert!(
            episode.episode_return >= f64::from(rewards[episode.env].min(1.0)),
            "{episodes:?} {rewards:?}"
        );
    }
    // An evaluation plays whole games too, and launches the ball in each life: a policy that never does is not left to
    // stand until the emulator cuts the game, after 27,000 steps.
    let mut evaluation = spec.make_pixels(Copies::for_evaluation(1, Seeds::new(0))).unwrap();
    evaluation.reset().unwrap();
    let (mut lives, mut steps) = (0, 0);
    while evaluation.batch().episodes().is_empty() {
        evaluation.step(&[0]).unwrap();
        lives += u32::from(evaluation.batch().ends()[0].is_some());
        steps += 1;
    }
    assert!(lives == 5 && steps < 2_000, "{lives} {steps}");
    // Other observations than pictures are not preprocessed.
    let ram = find("gym:ALE/Breakout-v5?obs_type=ram")
        .make_pixels(Copies::new(1, Seeds::new(0)))
        .unwrap();
    assert_eq!(ram.observation_space().shape(), [128]);
}

/// A worker whose parent disappears in the midst of a step ends by itself.
#[test]
fn a_worker_does_not_outlive_its_parent() {
    let mut child = Command::new(python())
        .args(["-c", include_str!("../src/gymnasium/worker.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let frame = |kind: u8, payload: &[u8]| {
        let mut frame = 0x7247u16.to_ne_bytes().to_vec();
        frame.extend([1, kind]);
        frame.extend((payload.len() as u32).to_ne_bytes());
        frame.extend(payload);
        frame
    };
    let order = r#"{"id": "tests.fixtures.gym_worlds:Numbers", "kwargs": {"fault": "hang"}, "envs": 1, "first": 0,
        "auto_reset": true, "action_mask": false, "one_hot": false, "render": false, "limit": null}"#;
    stdin.write_all(&frame(1, order.as_bytes())).unwrap();
    stdin.write_all(&frame(3, &[0; 8])).unwrap();
    let mut replies = [0; 2_000];
    let mut got = 0;
    // The greeting and the first observation, whose row of three numbers comes last.
    while got < 8 || !replies[..got].windows(4).any(|bytes| bytes == frame(3, b"")[..4].to_vec()) {
        got += stdout.read(&mut replies[got..]).unwrap();
    }
    for _ in 0..3 {
        stdin.write_all(&frame(2, &[0; 12])).unwrap();
    }
    drop(stdin);
    let started = Instant::now();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// The same steps one at a time, as the trait defines it: a limit, here one that is never reached, has to count them.
fn single<E: Env>(env: E) -> TimeLimit<E> {
    TimeLimit::new(env, u32::MAX).unwrap()
}

/// An observation, the one before it, and the step that led there.
type Repeated<T> = (Vec<T>, Vec<T>, Step);

/// Episodes of repeated actions: all that they show.
fn repeated<E>(mut env: E) -> Vec<Repeated<<E::Obs as Space>::Elem>>
where
    E: Env<Action = Discrete>,
{
    let (mut rng, width) = (Seeds::new(3).stream("env", 0), env.observation_space().width());
    let (mut obs, mut before) = (vec![Default::default(); width], vec![Default::default(); width]);
    env.reset(&mut rng, &mut obs).unwrap();
    let (mut seen, n) = (Vec::new(), env.action_space().n());
    for i in 0..120 {
        let (action, times) = (i / 7 % n, [4, 1, 0, 2, 9][i % 5]);
        let step = env.repeat(action, times, &mut rng, &mut obs, &mut before).unwrap();
        seen.push((obs.clone(), before.clone(), step));
        if step.end.is_some() {
            env.reset(&mut rng, &mut obs).unwrap();
        }
    }
    seen
}

#[test]
fn a_repeated_action_is_so_many_steps() {
    type Poles = GymEnv<BoxSpace, Discrete>;
    let poles = || Poles::new(&config("CartPole-v1")).unwrap();
    let seen = repeated(poles());
    assert!(seen.iter().filter(|(_, _, step)| step.end.is_some()).count() > 3, "episodes end");
    assert_eq!(seen, repeated(single(poles())));
    let pong = || {
        let config = config("ALE/Pong-v5?frameskip=1");
        GymEnv::<BoxSpace<u8>, Discrete>::new(&config).unwrap()
    };
    assert!(repeated(pong()) == repeated(single(pong())), "frames of Pong");
    let alias = |reward: &str| {
        let masked = GymConfig { action_mask: true, ..world(&format!("Alias?reward={reward}")) };
        GymEnv::<BoxSpace, Discrete>::new(&masked).unwrap()
    };
    assert_eq!(repeated(alias("0.7")), repeated(single(alias("0.7"))));
    for reward in ["none", "None", "[1]"] {
        let mut env = alias(reward);
        let (mut rng, mut obs, mut before) = (Seeds::new(3).stream("env", 0), [0.0; 5], [0.0; 5]);
        env.reset(&mut rng, &mut obs).unwrap();
        let error = env.repeat(0, 4, &mut rng, &mut obs, &mut before).unwrap_err().to_string();
        assert!(error.contains("reward: expected a number, got "), "{error}");
    }
    let mut failing = GymEnv::<BoxSpace, Discrete>::new(&world("Numbers?fault=raise")).unwrap();
    let (mut rng, mut obs, mut before) = (Seeds::new(3).stream("env", 0), [0.0; 3], [0.0; 3]);
    failing.reset(&mut rng, &mut obs).unwrap();
    let error = failing.repeat(0, 5, &mut rng, &mut obs, &mut before).unwrap_err().to_string();
    assert!(error.contains("in step: raise ValueError"), "{error}");
}

/// What is refused is not sent: the next reply is that of the next command.
#[test]
fn misuse_of_one_environment_leaves_no_reply_behind() {
    let mut env = GymEnv::<BoxSpace, Discrete>::new(&config("CartPole-v1")).unwrap();
    let mut twin = GymEnv::<BoxSpace, Discrete>::new(&config("CartPole-v1")).unwrap();
    let (mut rng, mut obs, mut before) = (Seeds::new(3).stream("env", 0), [0.0; 4], [0.0; 4]);
    let (mut same, mut expected) = (rng.clone(), [0.0; 4]);
    let wrong = "observation: expected 4 elements, got 2";
    let short = |result: Result<Step>, text: &str| {
        assert_eq!(result.unwrap_err().to_string(), text);
    };
    assert_eq!(env.reset(&mut rng, &mut [0.0; 2]).unwrap_err().to_string(), wrong);
    env.reset(&mut rng, &mut obs).unwrap();
    twin.reset(&mut same, &mut expected).unwrap();
    assert_eq!(obs, expected, "and no randomness was used");
    short(env.step(1, &mut rng, &mut [0.0; 2]), wrong);
    short(env.step(2, &mut rng, &mut obs), "action: expected an index below 2, got 2");
    short(env.repeat(1, 2, &mut rng, &mut [0.0; 2], &mut before), wrong);
    short(
        env.repeat(2, 2, &mut rng, &mut obs, &mut before),
        "action: expected an index below 2, got 2",
    );
    let text = "observation before: expected 4 elements, got 3";
    short(env.repeat(1, 2, &mut rng, &mut obs, &mut before[1..]), text);
    env.step(0, &mut rng, &mut obs).unwrap();
    twin.step(0, &mut same, &mut expected).unwrap();
    assert_eq!(obs, expected);
    let mut several = make::<BoxSpace, Discrete>(&config("CartPole-v1"), 2, 1);
    several.reset().unwrap();
    short(
        several.step(&[0, 7]).map(|()| unreachable!()),
        "action: expected an index below 2, got 7",
    );
    several.step(&[0, 1]).unwrap();
    let mut swing = GymEnv::<BoxSpace, BoxSpace>::new(&config("Pendulum-v1")).unwrap();
    swing.reset(&mut rng, &mut obs[..3]).unwrap();
    short(swing.step(&[0.1, 0.2], &mut rng, &mut obs[..3]), "action: expected 1 elements, got 2");
    swing.step(&[0.1], &mut rng, &mut obs[..3]).unwrap();
}
