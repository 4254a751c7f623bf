//! Advantages compared with their defining sums, and with reference data (rl-nets/tests/fixtures/generate.py).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::{Strategy, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rl_core::{BoxSpace, Discrete, End, Rng, Seeds, StepBatch, StochasticPolicy};
use rl_replay::{Collector, Estimates, Minibatch, Rollout, explained_variance, normalise, shuffle};
use serde_json::Value;

/// One environment's step.
#[derive(Clone, Debug)]
struct Cell {
    reward: f32,
    value: f32,
    end: Option<End>,
    final_value: f32,
}

/// A rollout of `cells[t][e]`, with row numbers as observations and actions.
fn rollout_of(cells: &[Vec<Cell>]) -> Rollout<f32, u32> {
    let envs = cells[0].len();
    let mut rollout = Rollout::new(cells.len(), envs, 1, 1).unwrap();
    for (t, row) in cells.iter().enumerate() {
        let mut shown = StepBatch::new(envs, 1);
        let column = |f: fn(&Cell) -> f32| row.iter().map(f).collect::<Vec<f32>>();
        let numbers: Vec<u32> = (0..envs).map(|e| (t * envs + e) as u32).collect();
        for (e, x) in shown.rows_mut().observations.iter_mut().enumerate() {
            *x = (t * envs + e) as f32;
        }
        shown.begin_step();
        shown.rows_mut().rewards.copy_from_slice(&column(|c| c.reward));
        for (end, cell) in shown.rows_mut().ends.iter_mut().zip(row) {
            *end = cell.end;
        }
        let (values, final_values) = (column(|c| c.value), column(|c| c.final_value));
        let estimates = Estimates {
            actions: &numbers,
            values: &values,
            log_probs: &vec![0.0; envs],
            final_values: &final_values,
        };
        rollout.push(&shown.transitions(&numbers), estimates).unwrap();
    }
    rollout
}

#[test]
fn advantages_equal_the_reference_data() {
    for name in ["gae_lambda_0.0", "gae_lambda_0.95", "gae_lambda_1.0"] {
        let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let data: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let number = |key: &str, t: usize, e: usize| data[key][t][e].as_f64().unwrap() as f32;
        let flag = |key: &str, t: usize, e: usize| data[key][t][e].as_bool().unwrap();
        let cell = |t, e| Cell {
            reward: number("rewards[t][env]", t, e),
            value: number("values[t][env]", t, e),
            final_value: number("final_value[t][env] (used where truncated)", t, e),
            end: match (flag("terminated", t, e), flag("truncated", t, e)) {
                (true, _) => Some(End::Terminated),
                (_, true) => Some(End::Truncated),
                _ => None,
            },
        };
        let cells: Vec<Vec<Cell>> = (0..24).map(|t| (0..3).map(|e| cell(t, e)).collect()).collect();
        let mut rollout = rollout_of(&cells);
        let last: Vec<f32> =
            (0..3).map(|e| data["bootstrap_value[env]"][e].as_f64().unwrap() as f32).collect();
        let setting = |key: &str| data[key].as_f64().unwrap();
        rollout.finish(&last, setting("gamma"), setting("lambda")).unwrap();
        for t in 0..24 {
            for e in 0..3 {
                let (a, r) = (rollout.advantages()[t * 3 + e], rollout.returns()[t * 3 + e]);
                assert!((a - number("advantages", t, e)).abs() < 1e-5, "{name} [{t}, {e}]: {a}");
                assert!((r - number("returns", t, e)).abs() < 1e-5, "{name} [{t}, {e}]: {r}");
            }
        }
    }
}

fn cells() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    let ends = vec![None, None, None, None, Some(End::Terminated), Some(End::Truncated)];
    let cell = (-2.0f32..2.0, -2.0f32..2.0, -2.0f32..2.0, prop::sample::select(ends))
        .prop_map(|(reward, value, final_value, end)| Cell { reward, value, end, final_value });
    (1usize..4).prop_flat_map(move |envs| {
        prop::collection::vec(prop::collection::vec(cell.clone(), envs), 1..20)
    })
}

proptest! {
    /// A_t is the sum of (gamma lambda)^k delta_{t+k} up to the end of the episode or the rollout.
    #[test]
    fn advantages_equal_their_sum(cells in cells(), gamma in 0.5f64..1.0, lambda in 0.0f64..1.0) {
        let mut rollout = rollout_of(&cells);
        let (steps, envs) = (cells.len(), cells[0].len());
        prop_assert_eq!((rollout.capacity(), rollout.len()), (steps * envs, steps * envs));
        prop_assert!(rollout.is_full() && !rollout.is_empty());
        let last: Vec<f32> = (0..envs).map(|e| e as f32 - 1.0).collect();
        rollout.finish(&last, gamma, lambda).unwrap();
        for e in 0..envs {
            let delta = |t: usize| {
                let cell = &cells[t][e];
                let next = match cell.end {
                    Some(End::Terminated) => 0.0,
                    Some(End::Truncated) => cell.final_value,
                    None => cells.get(t + 1).map_or(last[e], |row| row[e].value),
                };
                f64::from(cell.reward) + gamma * f64::from(next) - f64::from(cell.value)
            };
            for t in 0..steps {
                let end = (t..steps).find(|&s| cells[s][e].end.is_some()).unwrap_or(steps - 1);
                let sum: f64 =
                    (t..=end).map(|s| (gamma * lambda).powi((s - t) as i32) * delta(s)).sum();
                let got = rollout.advantages()[t * envs + e];
                prop_assert!((f64::from(got) - sum).abs() < 1e-3, "{got} {sum}");
                let value = rollout.values()[t * envs + e];
                prop_assert_eq!(rollout.returns()[t * envs + e], got + value);
            }
        }
    }

    #[test]
    fn minibatches_visit_every_row_once(n in 1usize..60, size in 1usize..20, seed: u64) {
        let cell = Cell { reward: 0.0, value: 0.0, end: None, final_value: 0.0 };
        let rollout = rollout_of(&vec![vec![cell]; n]);
        let mut order: Vec<u32> = (0..n as u32).collect();
        shuffle(&mut order, &mut Seeds::new(seed).stream("t", 0));
        let (mut minibatch, mut seen) = (Minibatch::default(), Vec::new());
        for indices in order.chunks(size) {
            rollout.gather(indices, &mut minibatch);
            for (x, a) in minibatch.observations.iter().zip(&minibatch.actions) {
                prop_assert_eq!(*x as u32, *a);
                seen.push(*a);
            }
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..n as u32).collect::<Vec<_>>());
    }

    #[test]
    fn normalised_advantages_have_mean_zero_and_deviation_one(mut xs in prop::collection::vec(-9.0f32..9.0, 3..50)) {
        xs[0] = 10.0;
        normalise(&mut xs);
        let n = xs.len() as f32;
        let mean = xs.iter().sum::<f32>() / n;
        let variance = xs.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / (n - 1.0);
        prop_assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4);
    }
}

#[test]
fn shuffles_are_uniform() {
    let mut rng = Seeds::new(0).stream("t", 0);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..24_000 {
        let mut order = [0, 1, 2, 3];
        shuffle(&mut order, &mut rng);
        *counts.entry(order).or_insert(0u32) += 1;
    }
    // 24 orders, 1000 each, standard deviation 31.
    assert!(counts.len() == 24 && counts.values().all(|c| c.abs_diff(1_000) < 160), "{counts:?}");
}

#[test]
fn a_perfect_critic_explains_all_and_a_constant_one_nothing() {
    let returns = [1.0, 2.0, 3.0];
    assert!((explained_variance(&returns, &returns) - 1.0).abs() < 1e-9);
    assert!(explained_variance(&[5.0; 3], &returns).abs() < 1e-9);
    assert!(explained_variance(&returns, &[1.0; 3]).is_nan());
    assert!(explained_variance(&returns[1..], &returns).is_nan());
}

#[test]
fn misuse_is_an_error() {
    let error = Rollout::<f32, u32>::new(0, 1, 1, 1).unwrap_err().to_string();
    assert_eq!(error, "n_steps: expected an integer >= 1, got 0");
    let cell = Cell { reward: 0.0, value: 0.0, end: None, final_value: 0.0 };
    let mut rollout = rollout_of(&[vec![cell]]);
    let mut shown = StepBatch::new(1, 1);
    shown.begin_step();
    let estimates =
        Estimates { actions: &[0], values: &[0.0], log_probs: &[0.0], final_values: &[0.0] };
    assert!(
        rollout
            .push(&shown.transitions(&[0]), estimates)
            .unwrap_err()
            .to_string()
            .contains("complete")
    );
    assert!(rollout.finish(&[0.0, 0.0], 0.9, 0.9).is_err());
}

/// Samples uniformly; every value estimate from `values` is 7.
struct Coin;

impl StochasticPolicy for Coin {
    type Obs = BoxSpace;
    type Action = Discrete;
    fn sample(
        &mut self,
        _: &[f32],
        _: &mut Rng,
        actions: &mut [u32],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> rl_core::Result<()> {
        actions.fill(1);
        log_probs.fill(0.0);
        values.fill(0.5);
        Ok(())
    }
    fn log_probs(
        &mut self,
        observations: &[f32],
        actions: &[u32],
        log_probs: &mut [f32],
    ) -> rl_core::Result<()> {
        // Different from the results of `sample`, and different for each pair.
        let pairs = observations.iter().zip(actions);
        pairs.zip(log_probs).for_each(|((x, a), out)| *out = -x - 3.0 * *a as f32);
        Ok(())
    }
    fn values(&mut self, _: &[f32], values: &mut [f32]) -> rl_core::Result<()> {
        values.fill(7.0);
        Ok(())
    }
}

/// After a safety filter or a demonstration, the executed action is stored.
#[test]
fn an_action_taken_in_place_of_the_policys_own_is_stored_with_its_log_probability() {
    let space = BoxSpace::unbounded(1).unwrap();
    let mut collector = Collector::new(1, 2, &space, Discrete::new(2).unwrap()).unwrap();
    let (mut rng, mut actions) = (Seeds::new(0).stream("t", 0), [9, 9]);
    let mut shown: StepBatch<f32> = StepBatch::new(2, 1);
    shown.rows_mut().observations.copy_from_slice(&[0.25, 0.5]);
    collector.act(&mut Coin, &[0.25, 0.5], &mut rng, &mut actions).unwrap();
    assert_eq!(actions, [1, 1]);
    shown.begin_step();
    collector.observe(&mut Coin, &shown.transitions(&[1, 0])).unwrap();
    assert_eq!(collector.rollout.actions(), [1, 0]);
    assert_eq!(collector.rollout.log_probs(), [0.0, -0.5]);
    assert_eq!(collector.rollout.values(), [0.5, 0.5]);

    // `act` was not called before this step, so its values and log-probabilities are computed from its observations.
    collector.rollout.clear();
    collector.observe(&mut Coin, &shown.transitions(&[1, 0])).unwrap();
    assert_eq!(collector.rollout.log_probs(), [-3.25, -0.5]);
    assert_eq!(collector.rollout.values(), [7.0, 7.0]);
}

/// Transitions whose shapes do not match are an error.
#[test]
fn a_collector_refuses_what_does_not_fit() {
    let space = BoxSpace::unbounded(2).unwrap();
    let mut collector = Collector::new(4, 2, &space, Discrete::new(2).unwrap()).unwrap();
    for (envs, width, actions) in
        [(1, 2, &[1, 0][..]), (3, 2, &[1, 0]), (2, 1, &[1, 0]), (2, 2, &[1]), (2, 2, &[1, 2])]
    {
        let mut shown: StepBatch<f32> = StepBatch::new(envs, width);
        shown.rows_mut().ends[envs - 1] = Some(End::Truncated);
        let transitions = shown.transitions(actions);
        collector.observe(&mut Coin, &transitions).unwrap_err();
        assert!(collector.rollout.is_empty());
    }
}

/// A rollout does not depend on earlier rollouts of the collector: otherwise a resumed run would differ from an
/// uninterrupted one.
#[test]
fn a_rollout_holds_nothing_of_the_one_before() {
    let space = BoxSpace::unbounded(1).unwrap();
    let collect = |earlier: Option<End>| {
        let mut collector = Collector::new(2, 1, &space, Discrete::new(2).unwrap()).unwrap();
        let (mut rng, mut actions) = (Seeds::new(0).stream("t", 0), [0]);
        let mut shown: StepBatch<f32> = StepBatch::new(1, 1);
        for ends in [[earlier, None], [None, Some(End::Terminated)]] {
            collector.rollout.clear();
            for end in ends {
                collector.act(&mut Coin, &[0.0], &mut rng, &mut actions).unwrap();
                shown.begin_step();
                shown.rows_mut().ends[0] = end;
                collector.observe(&mut Coin, &shown.transitions(&actions)).unwrap();
            }
            collector.finish(&mut Coin, 0.9, 0.9).unwrap();
        }
        collector.rollout
    };
    assert_eq!(collect(Some(End::Truncated)), collect(None));
}

/// As [`Coin`], but values what it sees.
struct Eye;

impl StochasticPolicy for Eye {
    type Obs = BoxSpace;
    type Action = Discrete;
    fn sample(
        &mut self,
        observations: &[f32],
        rng: &mut Rng,
        actions: &mut [u32],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> rl_core::Result<()> {
        Coin.sample(observations, rng, actions, log_probs, values)
    }
    fn log_probs(&mut self, x: &[f32], a: &[u32], out: &mut [f32]) -> rl_core::Result<()> {
        Coin.log_probs(x, a, out)
    }
    fn values(&mut self, observations: &[f32], values: &mut [f32]) -> rl_core::Result<()> {
        values.copy_from_slice(observations);
        Ok(())
    }
}

/// An episode cut by a reset from outside is bootstrapped from its last observation, in any rollout.
#[test]
fn advantages_do_not_run_across_a_reset() {
    let space = BoxSpace::unbounded(1).unwrap();
    let collect = |cut: bool, end: Option<End>| {
        let mut collector = Collector::new(2, 1, &space, Discrete::new(2).unwrap()).unwrap();
        let (mut rng, mut actions) = (Seeds::new(0).stream("t", 0), [0]);
        let mut shown: StepBatch<f32> = StepBatch::new(1, 1);
        for step in 0..2 {
            if step == 1 && cut {
                shown.begin_episodes();
                shown.rows_mut().observations[0] = 100.0;
            }
            collector.act(&mut Eye, shown.observations(), &mut rng, &mut actions).unwrap();
            shown.begin_step();
            let rows = shown.rows_mut();
            (rows.observations[0], rows.finals[0], rows.rewards[0]) = (5.0, 5.0, 1.0);
            rows.ends[0] = end.filter(|_| step == 0);
            collector.observe(&mut Eye, &shown.transitions(&actions)).unwrap();
        }
        collector.finish(&mut Eye, 0.9, 0.8).unwrap();
        collector.rollout.advantages().to_vec()
    };
    assert_eq!(collect(true, None), collect(false, Some(End::Truncated)));
    assert_ne!(collect(true, None), collect(false, None));
    // An episode that had already ended is unaffected.
    assert_eq!(collect(true, Some(End::Terminated)), collect(false, Some(End::Terminated)));
}
