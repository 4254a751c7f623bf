//! Running mean and variance.

use crate::{Error, Result, check};
use serde::{Deserialize, Serialize};

/// Running mean and variance of each dimension over a stream of rows, by Welford's algorithm (1962).
///
/// ```
/// let mut moments = rl_core::RunningMoments::new(1);
/// moments.update(&[1.0, 2.0, 3.0]);
/// moments.update(&[4.0]);
/// assert_eq!((moments.mean()[0], moments.variance(0)), (2.5, 1.25));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningMoments {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared deviations from the mean.
    squares: Vec<f64>,
}

impl RunningMoments {
    /// Statistics of rows of `width` numbers, without data.
    pub fn new(width: usize) -> Self {
        RunningMoments { count: 0.0, mean: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// Statistics with these means and variances, `[width]` each, as if of one row.
    pub(crate) fn of(mean: Vec<f64>, variance: Vec<f64>) -> Self {
        RunningMoments { count: 1.0, mean, squares: variance }
    }

    /// The width of a row.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The number of rows so far.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The means, `[width]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The variance of dimension `i` over all rows (not the unbiased estimate); 1 without data.
    pub fn variance(&self, i: usize) -> f64 {
        if self.count > 0.0 { self.squares[i] / self.count } else { 1.0 }
    }

    /// Adds rows, `[n, width]`. Rows with a non-finite value are skipped.
    pub fn update(&mut self, rows: &[f32]) {
        for row in rows.chunks_exact(self.mean.len()) {
            if row.iter().any(|x| !x.is_finite()) {
                continue;
            }
            self.count += 1.0;
            for ((mean, squares), &x) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
                let delta = f64::from(x) - *mean;
                *mean += delta / self.count;
                *squares += delta * (f64::from(x) - *mean);
            }
        }
    }

    /// Checks that these are statistics of rows of `width` numbers.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width, [`Error::Config`] for numbers that
    /// are no statistics.
    pub fn check(&self, width: usize) -> Result<()> {
        check::len("normalisation moments", width, self.mean.len())?;
        check::len("normalisation moments", width, self.squares.len())?;
        check::non_negative("rows of the normalisation moments", self.count)?;
        self.mean.iter().try_for_each(|x| check::finite("a normalisation mean", *x))?;
        let valid = self.squares.iter().find(|x| !(x.is_finite() && **x >= 0.0));
        let what = "squares of a normalisation";
        valid.map_or(Ok(()), |bad| Err(Error::config(what, "a finite number >= 0", bad)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // How a test fails.
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_two_pass_formula(rows in prop::collection::vec(-1e3f32..1e3, 2..200), split in 0usize..100) {
            let split = split % rows.len();
            let mut moments = RunningMoments::new(1);
            moments.update(&rows[..split]);
            moments.update(&rows[split..]);
            let n = rows.len() as f64;
            let mean = rows.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let variance = rows.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
            prop_assert!((moments.mean()[0] - mean).abs() < 1e-9 * 1e3);
            prop_assert!((moments.variance(0) - variance).abs() < 1e-9 * 1e6);
        }
    }

    /// What was written of others, or damaged, is refused.
    #[test]
    fn what_are_no_statistics_is_refused() {
        for (count, mean, squares, expected) in [
            (1.0, vec![0.0], vec![f64::INFINITY], "squares of a normalisation: "),
            (1.0, vec![f64::NAN], vec![1.0], "a normalisation mean: "),
            (-1.0, vec![0.0], vec![1.0], "rows of the normalisation moments: "),
            (1.0, vec![0.0], vec![], "normalisation moments: "),
            (1.0, vec![0.0, 0.0], vec![0.0, 0.0], "normalisation moments: "),
        ] {
            let error = RunningMoments { count, mean, squares }.check(1).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        RunningMoments::new(1).check(1).unwrap();
    }
}
