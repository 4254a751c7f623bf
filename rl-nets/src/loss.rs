//! Losses: each gives its value and the gradient of the network's output in one pass, and is
//! defined a second time in candle's operations.

use crate::Result;
use rl_core::check;
use serde::{Deserialize, Serialize};

/// How a temporal-difference error is penalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TdLoss {
    /// The square, `d²`, whose gradient is `2 d` (PyTorch's `mse_loss`).
    Mse,
    /// `d² / 2` within ±1 and `|d| - 1/2` outside (Huber, 1964; PyTorch's `smooth_l1_loss`). Its
    /// gradient is the error clipped at ±1, as in Mnih et al. (2015).
    Huber,
}

impl TdLoss {
    /// The loss of an error and its derivative.
    #[inline(always)]
    fn at(self, d: f32) -> (f32, f32) {
        match self {
            TdLoss::Mse => (d * d, 2.0 * d),
            TdLoss::Huber if d.abs() < 1.0 => (0.5 * d * d, d),
            TdLoss::Huber => (d.abs() - 0.5, d.signum()),
        }
    }

    /// The mean loss of `Q(s, a)` for the actions taken.
    ///
    /// `q` is `[batch, actions]`, `actions` and `targets` `[batch]`; the gradient of the mean loss
    /// with respect to `q` is written into `grad`, `[batch, actions]`.
    ///
    /// ```
    /// use rl_nets::TdLoss;
    /// let mut grad = [9.0; 4];
    /// let loss = TdLoss::Mse.of_taken(&[1.0, 2.0, 3.0, 4.0], &[1, 0], &[1.0, 3.0], &mut grad)?;
    /// assert_eq!((loss, grad), (0.5, [0.0, 1.0, 0.0, 0.0]));
    /// # Ok::<(), rl_nets::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not fit, or an action out of range.
    pub fn of_taken(
        self,
        q: &[f32],
        actions: &[u32],
        targets: &[f32],
        grad: &mut [f32],
    ) -> Result<f64> {
        self.sum(q, (actions, targets), |_| 1.0, grad, |_, _| {})
    }

    /// The same with a weight a row, `[batch]`; writes the magnitude of each error into `errors`, `[batch]`.
    ///
    /// # Errors
    /// Those of [`of_taken`](TdLoss::of_taken).
    pub fn of_taken_weighted(
        self,
        q: &[f32],
        (actions, targets, weights): (&[u32], &[f32], &[f32]),
        grad: &mut [f32],
        errors: &mut [f32],
    ) -> Result<f64> {
        check::len("weights", targets.len(), weights.len())?;
        check::len("errors", targets.len(), errors.len())?;
        self.sum(q, (actions, targets), |i| weights[i], grad, |i, error| errors[i] = error.abs())
    }

    #[inline(always)]
    fn sum(
        self,
        q: &[f32],
        (actions, targets): (&[u32], &[f32]),
        weight: impl Fn(usize) -> f32,
        grad: &mut [f32],
        mut tell: impl FnMut(usize, f32),
    ) -> Result<f64> {
        let batch = targets.len();
        check::len("actions", batch, actions.len())?;
        check::len("gradient", q.len(), grad.len())?;
        check::len("q values", q.len() / batch.max(1) * batch, q.len())?;
        let width = q.len() / batch.max(1);
        grad.fill(0.0);
        let share = 1.0 / batch as f32;
        let mut total = 0.0;
        let rows = q.chunks_exact(width).zip(grad.chunks_exact_mut(width));
        let known = actions.iter().zip(targets).enumerate();
        for ((q, grad), (i, (&action, &target))) in rows.zip(known) {
            let action = action as usize;
            let (Some(q), Some(grad)) = (q.get(action), grad.get_mut(action)) else {
                let expected = format!("an index below {width}");
                return Err(rl_core::Error::mismatch("action", expected, action).into());
            };
            let (loss, slope) = self.at(q - target);
            let weight = weight(i);
            total += f64::from(weight * loss);
            *grad = weight * (slope * share);
            tell(i, q - target);
        }
        Ok(total / batch as f64)
    }
}
