//! What a memory refuses, whoever asks.
#![allow(clippy::unwrap_used)] // How a test fails.

use rl_core::{Seeds, StepBatch};
use rl_replay::{
    Batch, Episodes, Horizon, Prioritized, PrioritizedConfig, Replay, Rollout, Sampler,
};

#[test]
fn priorities_of_what_is_not_stored() {
    let mut sampler = Prioritized::new(&PrioritizedConfig::default(), 4).unwrap();
    sampler.added(0..2);
    for place in [2, 7, 9, usize::MAX] {
        let error = sampler.update(&[0, place], &[1.0, 1.0]).unwrap_err().to_string();
        let expected = "sampled transition: expected a place of a stored transition";
        assert_eq!(error, format!("{expected}, got {place}"));
    }
    sampler.update(&[0, 1], &[1.0, 1.0]).unwrap();
}

#[test]
fn horizons_that_are_none() {
    let mut replay: Replay<f32, u32> = Replay::uniform(4, 1, 1, 1).unwrap();
    let step = StepBatch::of_transitions(&[0.0], &[1.0], &[None], &[1.0], false).unwrap();
    replay.push(&step.transitions(&[0])).unwrap();
    let (mut batch, mut rng) = (Batch::new(1, 1, 1).unwrap(), Seeds::new(0).stream("t", 0));
    for (n_step, gamma, field) in [
        (0, 0.9, "n_step: "),
        (1, f64::NAN, "gamma: "),
        (1, f64::INFINITY, "gamma: "),
        (1, 2.0, "gamma: "),
        (1, -1.0, "gamma: "),
    ] {
        let horizon = Horizon { n_step, gamma };
        let error = replay.sample(&mut rng, 0.0, horizon, &mut batch).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn sizes_that_cannot_be_had() {
    let most = usize::MAX;
    for error in [
        Rollout::<f32, u32>::new(1, 1, most, 1).unwrap_err(),
        Rollout::<f32, u32>::new(1, 1, 1, most).unwrap_err(),
        Episodes::<f32, u32>::new(1, 1, most, 1).unwrap_err(),
    ] {
        assert!(error.to_string().contains("a size that fits in memory"), "{error}");
    }
}
