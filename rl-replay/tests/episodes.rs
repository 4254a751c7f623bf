//! Complete episodes: the same number from each environment, none cut, none begun before the last `clear`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::prop;
use proptest::{prop_assert, prop_assert_eq, proptest};
use rl_core::{End, StepBatch};
use rl_replay::{EpisodeRows, Episodes};

fn gathered(episodes: &Episodes<f32, u32>) -> EpisodeRows<f32, u32> {
    let mut rows = EpisodeRows::default();
    // Twice, to check that old contents of the buffers are overwritten.
    episodes.gather(&mut rows);
    episodes.gather(&mut rows);
    rows
}

/// One step of every environment: reward and observation are the step's number, the action is the index of the
/// environment.
fn step(shown: &mut StepBatch<f32>, number: usize, ends: &[Option<End>]) -> Vec<u32> {
    shown.begin_step();
    let rows = shown.rows_mut();
    for (i, end) in ends.iter().enumerate() {
        rows.rewards[i] = number as f32;
        rows.ends[i] = *end;
        // The next observation of this step, on which the next step acts.
        rows.observations[i] = (number + 1) as f32;
        rows.finals[i] = -(number as f32);
    }
    (0..ends.len() as u32).collect()
}

fn end(code: u8) -> Option<End> {
    match code {
        0 => Some(End::Terminated),
        1 => Some(End::Truncated),
        _ => None,
    }
}

proptest! {
    #[test]
    fn every_environment_gives_its_share_of_whole_episodes(
        envs in 1usize..4, share in 1usize..4, codes in prop::collection::vec(0u8..6, 1..400),
    ) {
        let mut episodes: Episodes<f32, u32> = Episodes::new(envs * share, envs, 1, 1).unwrap();
        let mut shown = StepBatch::new(envs, 1);
        // The expected result: the steps of each environment's running episode, and the step of the last `clear`.
        let mut open: Vec<Vec<usize>> = vec![Vec::new(); envs];
        let mut expected: Vec<Vec<Vec<usize>>> = vec![Vec::new(); envs];
        let mut cleared = 0;
        for (number, codes) in codes.chunks_exact(envs).enumerate() {
            let ends: Vec<Option<End>> = codes.iter().map(|&c| end(c)).collect();
            let actions = step(&mut shown, number, &ends);
            episodes.push(&shown.transitions(&actions), &actions).unwrap();
            for i in 0..envs {
                open[i].push(number);
                if ends[i].is_some() {
                    let episode = std::mem::take(&mut open[i]);
                    if episode[0] >= cleared && expected[i].len() < share {
                        expected[i].push(episode);
                    }
                }
            }
            prop_assert_eq!(episodes.is_full(), expected.iter().all(|e| e.len() == share));
            if episodes.is_full() {
                let rows = gathered(&episodes);
                let flat: Vec<f32> =
                    expected.iter().flatten().flatten().map(|&n| n as f32).collect();
                prop_assert_eq!(&rows.rewards, &flat);
                // A step acts on the next observation of the previous step, which holds the step's own number.
                prop_assert!(rows.observations.iter().zip(&flat).all(|(o, n)| o == n));
                let lengths: Vec<usize> = expected.iter().flatten().map(Vec::len).collect();
                prop_assert_eq!(&rows.lengths, &lengths);
                let finals: Vec<f32> =
                    expected.iter().flatten().map(|e| -(*e.last().unwrap() as f32)).collect();
                prop_assert_eq!(&rows.finals, &finals);
                let owners = expected.iter().enumerate();
                let owners: Vec<u32> = owners
                    .flat_map(|(i, e)| vec![i as u32; e.iter().map(Vec::len).sum()])
                    .collect();
                prop_assert_eq!(&rows.actions, &owners);
                // Encoding and decoding in the middle of an episode preserves everything.
                let bytes = rl_core::codec::encode(&episodes).unwrap();
                let copy: Episodes<f32, u32> = rl_core::codec::decode("episodes", &bytes).unwrap();
                episodes.check_same_shape(&copy).unwrap();
                prop_assert_eq!(&copy, &episodes);
                episodes.clear();
                expected.iter_mut().for_each(Vec::clear);
                cleared = number + 1;
            }
        }
    }

    #[test]
    fn returns_equal_the_sum_that_defines_them(
        codes in prop::collection::vec(0u8..5, 1..60), gamma in 0.0f64..=1.0, value in -3.0f32..3.0,
    ) {
        let n = codes.iter().filter(|&&c| c < 2).count();
        if n == 0 {
            return Ok(());
        }
        let mut episodes: Episodes<f32, u32> = Episodes::new(n, 1, 1, 1).unwrap();
        let mut shown = StepBatch::new(1, 1);
        for (number, &code) in codes.iter().enumerate() {
            step(&mut shown, number, &[end(code)]);
            episodes.push(&shown.transitions(&[0]), &[0]).unwrap();
        }
        let rows = gathered(&episodes);
        let mut returns = vec![9.0];
        rows.returns(gamma, &vec![value; n], &mut returns).unwrap();
        let mut start = 0;
        for (&length, end) in rows.lengths.iter().zip(&rows.ends) {
            for (t, got) in returns.iter().enumerate().skip(start).take(length) {
                let later = start + length - t;
                let sum: f64 = (0..later)
                    .map(|k| gamma.powi(k as i32) * f64::from(rows.rewards[t + k]))
                    .sum();
                let tail = match end {
                    End::Truncated => gamma.powi(later as i32) * f64::from(value),
                    End::Terminated => 0.0,
                };
                let expected = sum + tail;
                let error = (f64::from(*got) - expected).abs();
                prop_assert!(error < 1e-4 * (1.0 + expected.abs()), "{got} {expected}");
            }
            start += length;
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let error = |n, envs| Episodes::<f32, u32>::new(n, envs, 1, 1).unwrap_err().to_string();
    assert_eq!(error(0, 1), "episodes: expected an integer >= 1, got 0");
    assert_eq!(
        error(3, 2),
        "episodes: expected a multiple of the number of environments (2), got 3"
    );
    let mut episodes: Episodes<f32, u32> = Episodes::new(2, 2, 1, 1).unwrap();
    let shown = StepBatch::new(1, 1);
    assert!(episodes.push(&shown.transitions(&[0]), &[0]).is_err());
    let rows = gathered(&episodes);
    assert!(rows.returns(0.9, &[0.0], &mut Vec::new()).is_err());
    let other: Episodes<f32, u32> = Episodes::new(4, 2, 1, 1).unwrap();
    assert!(episodes.check_same_shape(&other).is_err());
}

#[test]
fn an_episode_that_clearing_cuts_is_not_stored() {
    let mut episodes: Episodes<f32, u32> = Episodes::new(1, 1, 1, 1).unwrap();
    let mut shown = StepBatch::new(1, 1);
    for (number, code) in [9, 0, 9, 0].into_iter().enumerate() {
        step(&mut shown, number, &[end(code)]);
        episodes.push(&shown.transitions(&[0]), &[0]).unwrap();
        if number == 0 {
            episodes.clear();
        }
        assert_eq!(episodes.is_full(), number == 3);
    }
    assert_eq!(gathered(&episodes).rewards, [2.0, 3.0]);
}

/// A reset from outside ends the running episode as truncated, with its last observation as the final one.
#[test]
fn an_episode_does_not_run_across_a_reset() {
    let mut episodes: Episodes<f32, u32> = Episodes::new(2, 1, 1, 1).unwrap();
    let mut shown = StepBatch::new(1, 1);
    for number in 0..5 {
        if number == 3 {
            shown.begin_episodes();
            shown.rows_mut().observations[0] = 100.0;
        }
        let end = (number == 4).then_some(End::Terminated);
        let actions = step(&mut shown, number, &[end]);
        episodes.push(&shown.transitions(&actions), &actions).unwrap();
    }
    let rows = gathered(&episodes);
    assert_eq!(rows.lengths, [3, 2]);
    assert_eq!(rows.ends, [End::Truncated, End::Terminated]);
    assert_eq!(rows.finals, [3.0, -4.0]);
    assert_eq!(rows.observations[3], 100.0);
    // The episode was cut while its environment waited for the others; the next one is stored.
    episodes.clear();
    shown.begin_episodes();
    for end in [None, Some(End::Terminated), Some(End::Terminated)] {
        let actions = step(&mut shown, 9, &[end]);
        episodes.push(&shown.transitions(&actions), &actions).unwrap();
    }
    assert!(episodes.is_full());
}
