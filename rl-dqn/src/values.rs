//! Choices among action values, and the targets that they are regressed on.

use rl_core::{Result, check};
use rl_nets::Error;

/// The regression targets `y = r + discount Q'(s', a*)`, `[batch]`, where the discount is 0 after a
/// termination.
///
/// `next` is the target network's `Q'(s', ·)`, `[batch, actions]`. With Double DQN `chosen` holds the
/// online network's choices, `[batch]`; without, `a*` is the target network's own.
pub(crate) fn td_targets(
    (rewards, discounts): (&[f32], &[f32]),
    next: &[f32],
    chosen: Option<&[u32]>,
    targets: &mut [f32],
) {
    let actions = next.len() / targets.len().max(1);
    for (i, (y, next)) in targets.iter_mut().zip(next.chunks_exact(actions)).enumerate() {
        let value = match chosen {
            Some(chosen) => next[chosen[i] as usize],
            None => next.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        *y = rewards[i] + discounts[i] * value;
    }
}

/// The index of the largest value of each row of `q`, `[n, actions]`; the first of equals.
pub(crate) fn argmax_rows(q: &[f32], actions: usize, best: &mut [u32]) -> Result<()> {
    check::len("actions", q.len() / actions, best.len())?;
    for (best, row) in best.iter_mut().zip(q.chunks_exact(actions)) {
        let mut top = (0, f32::NEG_INFINITY);
        for (i, &q) in row.iter().enumerate() {
            if q.is_nan() {
                return Err(Error::NotFinite { what: "an action value", value: q.into() }.into());
            }
            if q > top.1 {
                top = (i, q);
            }
        }
        *best = top.0 as u32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_and_never_nan() {
        let mut best = [9; 3];
        argmax_rows(
            &[1.0, 2.0, 2.0, -1.0, -3.0, -2.0, f32::NEG_INFINITY, -1e30, 0.0],
            3,
            &mut best,
        )
        .unwrap();
        assert_eq!(best, [1, 0, 2]);
        assert!(argmax_rows(&[0.0, f32::NAN], 2, &mut [0]).is_err());
        assert!(argmax_rows(&[0.0, 1.0], 2, &mut [0, 0]).is_err());
    }

    /// Against numbers that PyTorch computed (rl-nets/tests/fixtures/generate.py).
    #[test]
    fn targets_equal_the_reference_data() {
        let path = format!("{}/tests/fixtures/losses.json", env!("CARGO_MANIFEST_DIR"));
        let data: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let flat = |key: &str| -> Vec<f32> {
            let rows = data["dqn"][key].as_array().unwrap().iter();
            let numbers = rows.flat_map(|row| row.as_array().cloned().unwrap_or(vec![row.clone()]));
            numbers.map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let gamma = data["dqn"]["gamma"].as_f64().unwrap() as f32;
        let ends = data["dqn"]["terminated"].as_array().unwrap();
        let discounts: Vec<f32> =
            ends.iter().map(|end| if end.as_bool().unwrap() { 0.0 } else { gamma }).collect();
        let (rewards, next) = (flat("rewards"), flat("target_q_next"));
        let (mut chosen, mut targets) = ([0; 8], [0.0; 8]);
        argmax_rows(&flat("online_q_next"), 3, &mut chosen).unwrap();
        for (key, chosen) in [("dqn_target", None), ("double_dqn_target", Some(&chosen[..]))] {
            td_targets((&rewards, &discounts), &next, chosen, &mut targets);
            for (got, expected) in targets.iter().zip(flat(key)) {
                assert!((got - expected).abs() < 1e-5, "{key}: {got} {expected}");
            }
        }
        assert_ne!(flat("dqn_target"), flat("double_dqn_target"));
    }
}
