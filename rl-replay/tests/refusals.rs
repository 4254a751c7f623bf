//! What a memory refuses, whoever asks.
#![allow(clippy::unwrap_used)] // How a test fails.

use rl_core::{Sections, Seeds, StepBatch};
use rl_replay::{
    Batch, Episodes, Horizon, Prioritized, PrioritizedConfig, Replay, Rollout, Rows, Sampler,
    Store, Uniform,
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
fn a_saved_memory_of_other_elements() {
    let memory = |n| Replay::<f32, u32>::uniform(n, 1, 2, 1).unwrap();
    let mut replay = memory(8);
    let step = StepBatch::of_transitions(&[0.5; 2], &[1.0], &[None], &[1.5; 2], false).unwrap();
    replay.push(&step.transitions(&[7])).unwrap();
    let mut saved = Sections::default();
    replay.save(&mut saved).unwrap();
    assert_eq!(memory(8).loaded(&saved).unwrap().len(), 1);
    // As many bytes, which would be read as other numbers.
    let others = Replay::<f32, f32>::uniform(8, 1, 2, 1).unwrap();
    let error = others.loaded(&saved).unwrap_err().to_string();
    let what = "elements of the replay's observations and actions";
    assert_eq!(error, format!("{what}: expected f32 and f32, got f32 and u32"));
    let others = Replay::<u8, u32>::uniform(8, 1, 2, 1).unwrap();
    assert!(others.loaded(&saved).unwrap_err().to_string().starts_with(what));
}

#[test]
fn a_sampler_of_another_size() {
    let prioritized = |places| Prioritized::new(&PrioritizedConfig::default(), places);
    let replay = |places| {
        let store: Box<dyn Store<f32, u32>> = Box::new(Rows::new(64, 1, 2, 1).unwrap());
        Replay::new(store, Box::new(prioritized(places).unwrap()))
    };
    let error = replay(8).unwrap_err().to_string();
    assert_eq!(error, "places of the sampler: expected as many as the store's (64) or more, got 8");
    assert!(replay(64).is_ok() && replay(100).is_ok());
    // A size that is not a multiple of a node's is itself.
    assert_eq!(prioritized(37).unwrap().places(), Some(37));
    assert!(replay(63).is_err());
    let error = prioritized(0).unwrap_err().to_string();
    assert_eq!(error, "buffer_size: expected an integer >= 1, got 0");
    // Where there is no transition, none is drawn.
    let mut sampler = prioritized(8).unwrap();
    sampler.added(0..2);
    let places = [0, 1, 2, 7, 1_000];
    assert_eq!(places.map(|place| sampler.probability(place)), [0.5, 0.5, 0.0, 0.0, 0.0]);
}

#[test]
fn what_another_sampler_saved() {
    let prioritized = Prioritized::new(&PrioritizedConfig::default(), 4).unwrap();
    let error = prioritized.loaded(&Uniform.save().unwrap(), 0).map(drop).unwrap_err();
    let expected = "saved sampler: expected priorities, got none, as uniform sampling saves";
    assert_eq!(error.to_string(), expected);
    let error = Uniform.loaded(&prioritized.save().unwrap(), 0).map(drop).unwrap_err();
    let expected = "saved sampler: expected nothing, as uniform sampling saves, got priorities";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn discounts_of_a_rollout_that_are_none() {
    let mut rollout = Rollout::<f32, u32>::new(1, 1, 1, 1).unwrap();
    for (gamma, lambda, field) in [
        (f64::NAN, 0.9, "gamma: "),
        (1.5, 0.9, "gamma: "),
        (0.9, -0.1, "gae_lambda: "),
        (0.9, f64::INFINITY, "gae_lambda: "),
    ] {
        let error = rollout.finish(&[0.0], gamma, lambda).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    assert!(rollout.finish(&[0.0], 1.0, 1.0).is_ok());
    // An environment that there is none of has no open episode.
    rollout.truncate(7, 0.0);
    assert!(!rollout.is_open(7));
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
