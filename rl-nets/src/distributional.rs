//! Losses of distributions of returns: categorical (C51) and quantiles (QR-DQN).

use crate::Result;
use rl_core::check;
use serde::{Deserialize, Serialize};

/// Probabilities of equally spaced returns, the support of a categorical distribution (Bellemare et al., 2017).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// How many returns; 51 as published.
    pub atoms: usize,
    /// The smallest.
    pub v_min: f64,
    /// The largest.
    pub v_max: f64,
}

impl Support {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for fewer atoms than two or more than 1,024, or bounds that are not finite and in
    /// rising order, in single precision.
    pub fn validate(&self) -> rl_core::Result<()> {
        check::at_least("atoms", 2, self.atoms as u64)?;
        check::at_most(
            "atoms",
            MOST_ATOMS as u64,
            "the atoms that there is room for",
            self.atoms as u64,
        )?;
        let Support { v_min, v_max, .. } = *self;
        let (low, high) = (v_min as f32, v_max as f32);
        if low.is_finite() && high.is_finite() && (high - low).is_finite() && low < high {
            return Ok(());
        }
        let got = format_args!("[{v_min}, {v_max}]");
        Err(rl_core::Error::config(
            "v_min, v_max",
            "v_min < v_max, both finite and apart in single precision",
            got,
        ))
    }

    fn step(&self) -> f64 {
        (self.v_max - self.v_min) / (self.atoms - 1) as f64
    }

    /// The mean of the distribution with these logits, `[atoms]`.
    ///
    /// ```
    /// let support = rl_nets::Support { atoms: 3, v_min: 0.0, v_max: 2.0 };
    /// assert_eq!(support.mean(&[0.0, 0.0, 0.0]), 1.0);
    /// assert!((support.mean(&[-50.0, -50.0, 0.0]) - 2.0).abs() < 1e-6);
    /// ```
    pub fn mean(&self, logits: &[f32]) -> f32 {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut total) = (0.0, 0.0);
        for (i, logit) in logits.iter().enumerate() {
            let p = (logit - largest).exp();
            sum += p * (self.v_min + self.step() * i as f64) as f32;
            total += p;
        }
        sum / total
    }

    /// Writes the projection of `reward + discount Z` onto the support, `Z` having these logits, `[atoms]`, into
    /// `target`, `[atoms]`: each return's probability goes to its two neighbours, by nearness (Bellemare et al., 2017,
    /// algorithm 1).
    ///
    /// # Errors
    /// Those of [`validate`](Support::validate); [`rl_core::Error::Mismatch`] for slices of another length.
    pub fn project(
        &self,
        logits: &[f32],
        reward: f32,
        discount: f32,
        target: &mut [f32],
    ) -> rl_core::Result<()> {
        self.validate()?;
        check::len("logits", self.atoms, logits.len())?;
        check::len("target", self.atoms, target.len())?;
        softmax(logits, target);
        // In place: what moves away is kept aside, atom by atom.
        let mut moved = [0.0f32; MOST_ATOMS];
        let moved = &mut moved[..self.atoms];
        let (step, last) = (self.step(), (self.atoms - 1) as f64);
        for (i, p) in target.iter().enumerate() {
            let z = self.v_min + step * i as f64;
            let z = f64::from(reward) + f64::from(discount) * z;
            let at = ((z.clamp(self.v_min, self.v_max) - self.v_min) / step).clamp(0.0, last);
            let below = at.floor();
            let share = (at - below) as f32;
            moved[below as usize] += p * (1.0 - share);
            if share > 0.0 {
                moved[below as usize + 1] += p * share;
            }
        }
        target.copy_from_slice(moved);
        Ok(())
    }
}

/// The most atoms of a [`Support`], for which memory is on the stack.
const MOST_ATOMS: usize = 1_024;

fn softmax(logits: &[f32], out: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for (out, logit) in out.iter_mut().zip(logits) {
        *out = (logit - largest).exp();
        total += *out;
    }
    out.iter_mut().for_each(|p| *p /= total);
}

/// The cross-entropy `-Σ_i target_i log p_i` of a distribution with these logits, `[atoms]`; writes `weight` times its
/// gradient, `p - target`, into `grad`, `[atoms]`.
///
/// ```
/// let mut grad = [0.0; 2];
/// let loss = rl_nets::cross_entropy(&[0.0, 0.0], &[1.0, 0.0], 2.0, &mut grad)?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6 && grad == [-1.0, 1.0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for slices of different lengths.
pub fn cross_entropy(logits: &[f32], target: &[f32], weight: f32, grad: &mut [f32]) -> Result<f32> {
    check::len("target", logits.len(), target.len())?;
    check::len("gradient", logits.len(), grad.len())?;
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    let normaliser = largest + total.ln();
    let mut loss = 0.0;
    for ((grad, logit), target) in grad.iter_mut().zip(logits).zip(target) {
        let log_p = logit - normaliser;
        loss -= target * log_p;
        *grad = weight * (log_p.exp() - target);
    }
    Ok(loss)
}

/// The quantile Huber loss of `quantiles`, `[n]`, for the midpoints `(i + 1/2) / n`, beside samples of the target,
/// `[m]` (Dabney et al., 2018, equation 10): the sum over quantiles of the mean over samples. Writes `weight` times its
/// gradient into `grad`, `[n]`.
///
/// ```text
/// Σ_i 1/m Σ_j |tau_i - 1{u_ij < 0}| L_kappa(u_ij) / kappa,   u_ij = target_j - quantile_i
/// ```
///
/// ```
/// let mut grad = [0.0];
/// // The median: half the absolute error, as far as it is beyond kappa.
/// let loss = rl_nets::quantile_huber(&[0.0], &[3.0], 1.0, 1.0, &mut grad)?;
/// assert_eq!((loss, grad), (0.5 * 2.5, [-0.5]));
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for a gradient of another length, or without a target;
/// [`rl_core::Error::Config`] for a `kappa` that is not positive.
pub fn quantile_huber(
    quantiles: &[f32],
    targets: &[f32],
    kappa: f32,
    weight: f32,
    grad: &mut [f32],
) -> Result<f32> {
    check::len("gradient", quantiles.len(), grad.len())?;
    check::at_least("targets", 1, targets.len() as u64)?;
    check::positive("kappa", kappa.into())?;
    let (n, share) = (quantiles.len() as f32, 1.0 / targets.len() as f32);
    let mut loss = 0.0;
    for (i, (quantile, grad)) in quantiles.iter().zip(grad.iter_mut()).enumerate() {
        let tau = (i as f32 + 0.5) / n;
        let (mut sum, mut slope) = (0.0, 0.0);
        for target in targets {
            let u = target - quantile;
            let tilt = if u < 0.0 { 1.0 - tau } else { tau };
            let size = u.abs();
            sum += tilt * if size <= kappa { 0.5 * u * u / kappa } else { size - 0.5 * kappa };
            slope -= tilt * (u / kappa).clamp(-1.0, 1.0);
        }
        loss += share * sum;
        *grad = weight * share * slope;
    }
    Ok(loss)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A projection is a distribution, and keeps the mean where nothing leaves the support.
        #[test]
        fn projections_keep_mass_and_mean(logits in prop::collection::vec(-3.0f32..3.0, 11), reward in -0.5f32..0.5, discount in 0.0f32..0.9) {
            let support = Support { atoms: 11, v_min: -5.0, v_max: 5.0 };
            let mut target = [0.0; 11];
            support.project(&logits, reward, discount, &mut target).unwrap();
            prop_assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert!(target.iter().all(|p| *p >= 0.0));
            let mean: f32 = (-5..=5).zip(target).map(|(z, p)| z as f32 * p).sum();
            prop_assert!((mean - (reward + discount * support.mean(&logits))).abs() < 1e-4);
        }

        /// Gradients equal differences of the losses.
        #[test]
        fn gradients_equal_differences(
            quantiles in prop::collection::vec(-3.0f32..3.0, 1..6), targets in prop::collection::vec(-3.0f32..3.0, 1..6),
        ) {
            let mut grad = vec![0.0; quantiles.len()];
            quantile_huber(&quantiles, &targets, 1.0, 1.0, &mut grad).unwrap();
            let h = 1e-2;
            for i in 0..quantiles.len() {
                let at = |x: f32| {
                    let mut moved = quantiles.clone();
                    moved[i] += x;
                    quantile_huber(&moved, &targets, 1.0, 1.0, &mut vec![0.0; quantiles.len()]).unwrap()
                };
                // The loss is once differentiable; its slope changes by at most one over the distance.
                prop_assert!((grad[i] - (at(h) - at(-h)) / (2.0 * h)).abs() < 2e-2);
            }
        }
    }

    /// Against numbers that PyTorch computed (tests/fixtures/distributional.py).
    #[test]
    fn losses_equal_the_reference_data() {
        let data: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/distributional.json")).unwrap();
        let flat = |of: &str, key: &str| -> Vec<f32> {
            let numbers = data[of][key].as_array().unwrap().iter();
            numbers.map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let near = |a: &[f32], b: &[f32]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        let support = Support { atoms: 7, v_min: -2.0, v_max: 4.0 };
        let of = |key| flat("categorical", key);
        let (logits, nexts, targets, grads) =
            (of("logits"), of("next_logits"), of("target"), of("grad"));
        for i in 0..6 {
            let row = i * 7..(i + 1) * 7;
            let (mut target, mut grad) = ([0.0; 7], [0.0; 7]);
            let (reward, discount) = (of("rewards")[i], of("discounts")[i]);
            support.project(&nexts[row.clone()], reward, discount, &mut target).unwrap();
            assert!(near(&target, &targets[row.clone()]), "{i}: {target:?}");
            let loss = cross_entropy(&logits[row.clone()], &target, 1.0, &mut grad).unwrap();
            assert!((loss - of("losses")[i]).abs() < 1e-5, "{i}: {loss}");
            assert!(near(&grad, &grads[row.clone()]), "{i}: {grad:?}");
            assert!((support.mean(&logits[row]) - of("means")[i]).abs() < 1e-5);
        }
        let of = |key| flat("quantile", key);
        let (quantiles, targets) = (of("quantiles"), of("targets"));
        let mut grad = [0.0; 5];
        let loss = quantile_huber(&quantiles, &targets, 0.5, 1.0, &mut grad).unwrap();
        assert!((f64::from(loss) - data["quantile"]["loss"].as_f64().unwrap()).abs() < 1e-5);
        assert!(near(&grad, &of("grad")), "{grad:?}");
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let support = Support { atoms: 3, v_min: -1.0, v_max: 1.0 };
        assert!(support.project(&[0.0; 2], 0.0, 1.0, &mut [0.0; 3]).is_err());
        assert!(support.project(&[0.0; 3], 0.0, 1.0, &mut [0.0; 4]).is_err());
        let beyond = Support { atoms: 5_000, ..support };
        assert!(beyond.project(&[0.0; 5_000], 0.0, 1.0, &mut [0.0; 5_000]).is_err());
    }

    #[test]
    fn what_leaves_the_support_is_held_at_its_ends() {
        let support = Support { atoms: 3, v_min: -1.0, v_max: 1.0 };
        let mut target = [0.0; 3];
        support.project(&[0.0; 3], 100.0, 1.0, &mut target).unwrap();
        assert_eq!(target, [0.0, 0.0, 1.0]);
        support.project(&[0.0; 3], 0.25, 0.0, &mut target).unwrap();
        assert!((target[1] - 0.75).abs() < 1e-6 && (target[2] - 0.25).abs() < 1e-6);
    }

    #[test]
    fn supports_that_are_none_are_named() {
        let of = |atoms, v_min, v_max| {
            Support { atoms, v_min, v_max }.validate().unwrap_err().to_string()
        };
        assert_eq!(of(1, 0.0, 1.0), "atoms: expected an integer >= 2, got 1");
        assert!(of(3, 1.0, 1.0).starts_with("v_min, v_max: expected v_min < v_max"));
        assert!(of(3, f64::NAN, 1.0).starts_with("v_min, v_max"));
    }
}
