//! Choices among action values.

use rl_core::{Result, check};
use rl_nets::Error;

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
}
