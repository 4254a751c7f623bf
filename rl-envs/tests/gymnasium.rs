//! Compares every environment with traces and tables recorded from Gymnasium (rl-nets/tests/fixtures/generate.py).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{Env, Result, Seeds, TimeLimit};
use rl_envs::{
    Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum, Table, Tabular, find,
};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/gym_{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Equal up to rounding of one f32.
fn same_f32(a: f32, b: f64) -> bool {
    (f64::from(a) - b).abs() <= f64::from(f32::EPSILON) * b.abs().max(1e-3)
}

/// The differences between kinds of environments when following a trace.
trait Traced: Env<Obs = rl_core::BoxSpace> + Default {
    fn start(&mut self, state: &[f64]) -> Result<()>;
    fn numbers(&self) -> Vec<f64>;
    fn act(&mut self, action: &Value, obs: &mut [f32]) -> rl_core::Step;
}

macro_rules! traced {
    ($env:ty, $start:expr, $numbers:expr, $action:expr) => {
        impl Traced for $env {
            fn start(&mut self, state: &[f64]) -> Result<()> {
                self.set_state($start(state))
            }
            fn numbers(&self) -> Vec<f64> {
                $numbers(self.state().unwrap())
            }
            fn act(&mut self, action: &Value, obs: &mut [f32]) -> rl_core::Step {
                let mut rng = Seeds::new(0).stream("unused", 0);
                self.step($action(action), &mut rng, obs).unwrap()
            }
        }
    };
}

fn index(action: &Value) -> usize {
    action.as_u64().unwrap() as usize
}

traced!(CartPole, |s: &[f64]| s.try_into().unwrap(), |s: [f64; 4]| s.to_vec(), index);
traced!(MountainCar, |s: &[f64]| s.try_into().unwrap(), |s: [f64; 2]| s.to_vec(), index);
traced!(Acrobot, |s: &[f64]| s.try_into().unwrap(), |s: [f64; 4]| s.to_vec(), index);
traced!(Pendulum, |s: &[f64]| s.try_into().unwrap(), |s: [f64; 2]| s.to_vec(), |a: &Value| {
    &*Box::leak(Box::new([numbers(a)[0] as f32]))
});
traced!(
    MountainCarContinuous,
    |s: &[f64]| (s[0], s[1], true),
    |s: (f64, f64, bool)| vec![s.0, s.1],
    |a: &Value| &*Box::leak(Box::new([numbers(a)[0] as f32]))
);

fn follows_its_traces<E: Traced>(name: &str) {
    let data = fixture(name);
    let limit = data["max_episode_steps"].as_u64().unwrap() as u32;
    assert_eq!(find(name).unwrap().max_episode_steps, Some(limit));
    let mut total = 0;
    for (k, episode) in data["episodes"].as_array().unwrap().iter().enumerate() {
        let mut env = E::default();
        env.start(&numbers(&episode["start_state"])).unwrap();
        let steps = episode["steps"].as_array().unwrap();
        for (t, expected) in steps.iter().enumerate() {
            let mut obs = vec![f32::NAN; numbers(&expected["obs"]).len()];
            let step = env.act(&expected["action"], &mut obs);
            let place = format!("{name}, episode {k}, step {t}");
            for (a, b) in env.numbers().iter().zip(numbers(&expected["state"])) {
                assert!((a - b).abs() <= 1e-9, "{place}: state {a}, expected {b}");
            }
            for (a, b) in obs.iter().zip(numbers(&expected["obs"])) {
                assert!(same_f32(*a, b), "{place}: observation {a}, expected {b}");
            }
            let reward = expected["reward"].as_f64().unwrap();
            assert!(
                same_f32(step.reward, reward),
                "{place}: reward {}, expected {reward}",
                step.reward
            );
            let terminated = expected["terminated"].as_bool().unwrap();
            assert_eq!(step.end.is_some(), terminated, "{place}: terminated");
            // The time limit is applied by a wrapper, exactly at the limit.
            let truncated = expected["truncated"].as_bool().unwrap();
            assert_eq!(truncated, !terminated && t + 1 == limit as usize, "{place}: truncated");
            total += 1;
        }
    }
    assert!(total > 500, "{name}: {total} steps are too few to mean anything");
}

#[test]
fn cart_pole_follows_gymnasium() {
    follows_its_traces::<CartPole>("CartPole-v1");
}
#[test]
fn mountain_car_follows_gymnasium() {
    follows_its_traces::<MountainCar>("MountainCar-v0");
}
#[test]
fn mountain_car_continuous_follows_gymnasium() {
    follows_its_traces::<MountainCarContinuous>("MountainCarContinuous-v0");
}
#[test]
fn acrobot_follows_gymnasium() {
    follows_its_traces::<Acrobot>("Acrobot-v1");
}
#[test]
fn pendulum_follows_gymnasium() {
    follows_its_traces::<Pendulum>("Pendulum-v1");
}

fn table_of(data: &Value) -> Table {
    let transitions = data
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(key, value)| key.starts_with("transitions").then_some(value))
        .unwrap();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let outcome = |o: &Value| rl_envs::Successor {
        probability: o[0].as_f64().unwrap(),
        next_state: o[1].as_u64().unwrap() as u32,
        reward: o[2].as_f64().unwrap() as f32,
        terminated: o[3].as_bool().unwrap(),
    };
    let actions = |s: &Value| {
        list(s).iter().map(|a| list(a).iter().map(outcome).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    Table {
        transitions: list(transitions).iter().map(actions).collect(),
        start: numbers(&data["initial_state_distribution"]),
    }
}

#[test]
fn toy_text_tables_are_gymnasiums() {
    for (name, env) in [
        ("FrozenLake-v1", Tabular::frozen_lake_4x4(true)),
        ("CliffWalking-v1", Tabular::cliff_walking()),
        ("Taxi-v4", Tabular::taxi()),
    ] {
        let data = fixture(name);
        let limit = data["max_episode_steps"].as_u64().map(|n| n as u32);
        assert_eq!(find(name).unwrap().max_episode_steps, limit, "{name}");
        let expected = table_of(&data);
        assert_eq!(env.table().start, expected.start, "{name}: start");
        for (s, (a, b)) in env.table().transitions.iter().zip(&expected.transitions).enumerate() {
            assert_eq!(a, b, "{name}: state {s}");
        }
        assert_eq!(env.table().transitions.len(), expected.transitions.len());
        Tabular::new(expected).unwrap();
    }
}

#[test]
fn time_limits_truncate_at_the_last_step_and_not_before() {
    let mut env = TimeLimit::new(Pendulum::default(), 200).unwrap();
    let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 3]);
    env.reset(&mut rng, &mut obs).unwrap();
    for t in 1..=200 {
        let end = env.step(&[0.0], &mut rng, &mut obs).unwrap().end;
        assert_eq!(end, (t == 200).then_some(rl_core::End::Truncated));
    }
}
