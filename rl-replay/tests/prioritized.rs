//! The laws of prioritised replay, beside their formulas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::prop;
use proptest::{prop_assert, prop_assert_eq, proptest};
use rl_core::{Schedule, Sections, Seeds, StepBatch};
use rl_replay::{Batch, Horizon, Prioritized, PrioritizedConfig, Replay, Rows, Sampler};

fn config(alpha: f64, beta: f64) -> PrioritizedConfig {
    PrioritizedConfig { alpha, beta: Schedule::constant(beta), ..PrioritizedConfig::default() }
}

/// What a list of updates and overwrites makes of the priorities, by the formula.
fn by_hand(n: usize, alpha: f64, changes: &[(usize, Option<f32>)]) -> Vec<f64> {
    let (mut priorities, mut largest) = (vec![1.0; n], 1.0f64);
    for (place, error) in changes {
        priorities[place % n] = match error {
            Some(error) => (f64::from(*error) + 1e-6).powf(alpha),
            None => largest,
        };
        largest = largest.max(priorities[place % n]);
    }
    priorities
}

fn changed(sampler: &mut Prioritized, n: usize, changes: &[(usize, Option<f32>)]) {
    sampler.added(0..n);
    for (place, error) in changes {
        let place = place % n;
        match error {
            Some(error) => sampler.update(&[place], &[*error]).unwrap(),
            None => sampler.added(place..place + 1),
        }
    }
}

fn changes() -> impl proptest::strategy::Strategy<Value = Vec<(usize, Option<f32>)>> {
    prop::collection::vec((0usize..100, prop::option::of(0.0f32..9.0)), 0..60)
}

proptest! {
    /// Chi-square of the draws beside the probabilities. With n - 1 degrees of freedom its mean is n - 1 and its
    /// variance 2 (n - 1) for independent draws; stratified ones deviate less.
    #[test]
    fn draws_follow_the_priorities(n in 2usize..40, alpha in 0.0f64..1.0, changes in changes(), seed: u64) {
        let mut sampler = Prioritized::new(&config(alpha, 1.0), n).unwrap();
        changed(&mut sampler, n, &changes);
        let priorities = by_hand(n, alpha, &changes);
        let total: f64 = priorities.iter().sum();
        let (mut rng, mut counts, draws) = (Seeds::new(seed).stream("t", 0), vec![0.0; n], 4_000);
        let (mut indices, mut weights) = ([0; 8], [0.0; 8]);
        for _ in 0..draws / 8 {
            sampler.sample(n, 0.0, &mut rng, &mut indices, &mut weights);
            indices.iter().for_each(|i| counts[*i] += 1.0);
        }
        let mut chi = 0.0;
        for (place, priority) in priorities.iter().enumerate() {
            let p = priority / total;
            prop_assert!((sampler.probability(place) - p).abs() < 1e-12);
            let expected = f64::from(draws) * p;
            // Rare places make the statistic wild: they are counted by a bound of their own.
            if expected >= 5.0 {
                chi += (counts[place] - expected).powi(2) / expected;
            } else {
                prop_assert!(counts[place] < 30.0);
            }
        }
        let degrees = (n - 1) as f64;
        prop_assert!(chi < degrees + 7.0 * (2.0 * degrees).sqrt() + 10.0, "{chi} of {degrees}");
    }

    #[test]
    fn weights_equal_their_formula(
        n in 2usize..40, alpha in 0.0f64..1.0, from in 0.0f64..1.0, fraction in 0.0f64..1.0, changes in changes(), seed: u64,
    ) {
        let annealed = PrioritizedConfig { beta: Schedule::linear(from, 1.0), ..config(alpha, 0.0) };
        let mut sampler = Prioritized::new(&annealed, n).unwrap();
        changed(&mut sampler, n, &changes);
        let priorities = by_hand(n, alpha, &changes);
        let total: f64 = priorities.iter().sum();
        let (mut indices, mut weights) = ([0; 16], [0.0; 16]);
        sampler.sample(n, fraction, &mut Seeds::new(seed).stream("t", 0), &mut indices, &mut weights);
        let beta = from + (1.0 - from) * fraction;
        let raw = indices.map(|i| (n as f64 * priorities[i] / total).powf(-beta));
        let largest = raw.iter().copied().fold(0.0, f64::max);
        for (weight, raw) in weights.iter().zip(raw) {
            prop_assert!((f64::from(*weight) - raw / largest).abs() < 1e-5);
        }
    }

    #[test]
    fn saved_priorities_are_the_same(n in 1usize..40, changes in changes(), seed: u64) {
        let mut sampler = Prioritized::new(&config(0.6, 0.4), n).unwrap();
        changed(&mut sampler, n, &changes);
        let mut copy = sampler.loaded(&sampler.save().unwrap(), n).unwrap();
        let draw = |sampler: &mut dyn Sampler| {
            let (mut indices, mut weights) = ([0; 8], [0.0; 8]);
            sampler.sample(n, 0.5, &mut Seeds::new(seed).stream("t", 0), &mut indices, &mut weights);
            (indices, weights)
        };
        prop_assert_eq!(draw(&mut *copy), draw(&mut sampler));
        prop_assert!(sampler.loaded(&sampler.save().unwrap()[..20], n).is_err());
    }
}

/// With alpha 0 every transition is as likely, and every weight is 1.
#[test]
fn alpha_zero_is_uniform() {
    let mut sampler = Prioritized::new(&config(0.0, 1.0), 10).unwrap();
    sampler.added(0..10);
    sampler.update(&[3], &[100.0]).unwrap();
    let (mut indices, mut weights) = ([0; 10], [0.0; 10]);
    sampler.sample(10, 0.0, &mut Seeds::new(0).stream("t", 0), &mut indices, &mut weights);
    assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(weights.iter().all(|w| (w - 1.0).abs() < 1e-6));
}

#[test]
fn errors_that_are_none_are_refused_and_settings_named() {
    let mut sampler = Prioritized::new(&config(0.6, 0.4), 4).unwrap();
    sampler.added(0..4);
    let before = sampler.clone();
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let error = sampler.update(&[0, 1], &[1.0, bad]).unwrap_err().to_string();
        assert!(error.starts_with("error of a sampled transition: expected a finite number >= 0"));
        assert_eq!(sampler, before);
    }
    for (bad, field) in [
        (PrioritizedConfig { alpha: 1.5, ..config(0.0, 0.0) }, "alpha"),
        (config(0.0, -1.0), "beta"),
        (PrioritizedConfig { eps: 0.0, ..config(0.0, 0.0) }, "eps"),
    ] {
        assert!(Prioritized::new(&bad, 4).unwrap_err().to_string().starts_with(field));
    }
    // eps keeps what has been predicted exactly from never being drawn.
    sampler.update(&[0, 1, 2, 3], &[0.0; 4]).unwrap();
    assert!((0..4).all(|place| sampler.probability(place) == 0.25));
}

/// Through the whole memory: what was wrong is drawn more often, over a resume too.
#[test]
fn a_replay_draws_what_was_wrong() {
    let make = || {
        let sampler = Prioritized::new(&config(1.0, 0.5), 10).unwrap();
        let rows = Rows::new(10, 1, 1, 1).unwrap();
        Replay::<f32, u32>::new(Box::new(rows), Box::new(sampler)).unwrap()
    };
    let mut replay = make();
    for i in 0..13 {
        let x = i as f32;
        let shown = StepBatch::of_transitions(&[x], &[x], &[None], &[x + 1.0], true).unwrap();
        replay.push(&shown.transitions(&[0])).unwrap();
    }
    let (mut batch, horizon) = (Batch::new(10, 1, 1).unwrap(), Horizon { n_step: 1, gamma: 0.9 });
    let mut rng = Seeds::new(0).stream("t", 0);
    replay.sample(&mut rng, 0.0, horizon, &mut batch).unwrap();
    // All new: each once, since draws are stratified.
    let mut seen: Vec<f32> = batch.observations().to_vec();
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, (3..13).map(|i| i as f32).collect::<Vec<_>>());
    let errors: Vec<f32> =
        batch.observations().iter().map(|x| if *x == 7.0 { 1e6 } else { 0.0 }).collect();
    replay.update(&batch, &errors).unwrap();
    let mut saved = Sections::default();
    replay.save(&mut saved).unwrap();
    for mut replay in [replay, make().loaded(&saved).unwrap()] {
        replay.sample(&mut rng, 0.0, horizon, &mut batch).unwrap();
        assert_eq!(batch.observations(), [7.0; 10]);
        assert_eq!(batch.weights(), [1.0; 10]);
    }
}
