//! Heads that learn the distribution of returns.

use crate::{Head, TdRows};
use rl_core::Result;
use rl_nets::{PolicyOutput, Support, cross_entropy, quantile_huber};

/// The return's distribution over fixed values (C51; Bellemare et al., 2017): an action's numbers are the logits of a
/// [`Support`]'s values; the loss is the cross-entropy with the projected distribution of `r + discount Z(s', a')`. The
/// error is their divergence (Hessel et al., 2018), which lacks the target's entropy: that cannot be learned away.
#[derive(Clone, Debug)]
pub struct CategoricalReturn {
    support: Support,
    /// Scratch: the projected distribution, `[atoms]`.
    target: Vec<f32>,
}

impl CategoricalReturn {
    /// Distributions over this support.
    ///
    /// # Errors
    /// Those of [`Support::validate`].
    pub fn new(support: Support) -> Result<Self> {
        support.validate()?;
        Ok(CategoricalReturn { support, target: vec![0.0; support.atoms] })
    }
}

impl Head for CategoricalReturn {
    fn describe(&self, actions: usize, action_mask: bool) -> Option<PolicyOutput> {
        Some(PolicyOutput::CategoricalValues { actions, action_mask, support: self.support })
    }

    fn atoms(&self) -> usize {
        self.support.atoms
    }

    fn values(&self, output: &[f32], values: &mut [f32]) {
        for (value, logits) in values.iter_mut().zip(output.chunks_exact(self.support.atoms)) {
            *value = self.support.mean(logits);
        }
    }

    fn loss(&mut self, rows: TdRows<'_>, grad: &mut [f32], errors: &mut [f32]) -> Result<f64> {
        let atoms = self.support.atoms;
        rows.check(atoms, grad, errors)?;
        grad.fill(0.0);
        let (n, mut total) = (rows.weights.len() as f32, 0.0);
        for (i, error) in errors.iter_mut().enumerate() {
            let (taken, next) = rows.slots(i, atoms);
            let (reward, discount) = (rows.rewards[i], rows.discounts[i]);
            let next = &rows.next_output[next];
            self.support.project(next, reward, discount, &mut self.target)?;
            let weight = rows.weights[i] / n;
            let (logits, grad) = (&rows.output[taken.clone()], &mut grad[taken]);
            let loss = cross_entropy(logits, &self.target, weight, grad)?;
            let entropy: f32 = self.target.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            let divergence = loss - entropy;
            // Rounding can carry it below zero where the two are all but the same. (Not `max`, which would hide NaN.)
            *error = if divergence < 0.0 { 0.0 } else { divergence };
            total += f64::from(weight * loss);
        }
        Ok(total)
    }
}

/// The return's distribution by its quantiles (QR-DQN; Dabney et al., 2018): an action's numbers are the quantiles of
/// equally spaced midpoints, its value their mean; the loss is the quantile Huber loss beside the target's quantiles. The
/// error is the difference of the two means, which vanishes where the values are right, as the loss does not.
#[derive(Clone, Debug)]
pub struct QuantileReturn {
    quantiles: usize,
    kappa: f32,
    /// Scratch: the target's quantiles.
    target: Vec<f32>,
}

impl QuantileReturn {
    /// So many quantiles, with the loss quadratic within `kappa`; 200 and 1 as published.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for no quantiles, or a `kappa` that is not positive.
    pub fn new(quantiles: usize, kappa: f64) -> Result<Self> {
        rl_core::check::at_least("quantiles", 1, quantiles as u64)?;
        rl_core::check::at_most("quantiles", 1 << 20, "quantiles that can be", quantiles as u64)?;
        rl_core::check::positive("kappa", kappa)?;
        Ok(QuantileReturn { quantiles, kappa: kappa as f32, target: Vec::new() })
    }
}

fn mean(x: &[f32]) -> f32 {
    x.iter().sum::<f32>() / x.len() as f32
}

impl Head for QuantileReturn {
    fn describe(&self, actions: usize, action_mask: bool) -> Option<PolicyOutput> {
        Some(PolicyOutput::QuantileValues { actions, action_mask, quantiles: self.quantiles })
    }

    fn atoms(&self) -> usize {
        self.quantiles
    }

    fn values(&self, output: &[f32], values: &mut [f32]) {
        for (value, quantiles) in values.iter_mut().zip(output.chunks_exact(self.quantiles)) {
            *value = mean(quantiles);
        }
    }

    fn loss(&mut self, rows: TdRows<'_>, grad: &mut [f32], errors: &mut [f32]) -> Result<f64> {
        rows.check(self.quantiles, grad, errors)?;
        grad.fill(0.0);
        let (n, mut total) = (rows.weights.len() as f32, 0.0);
        for (i, error) in errors.iter_mut().enumerate() {
            let (taken, next) = rows.slots(i, self.quantiles);
            let (reward, discount) = (rows.rewards[i], rows.discounts[i]);
            self.target.clear();
            self.target.extend(rows.next_output[next].iter().map(|z| reward + discount * z));
            let weight = rows.weights[i] / n;
            let (quantiles, grad) = (&rows.output[taken.clone()], &mut grad[taken]);
            let loss = quantile_huber(quantiles, &self.target, self.kappa, weight, grad)?;
            *error = (mean(&self.target) - mean(quantiles)).abs();
            total += f64::from(weight * loss);
        }
        Ok(total)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;

    /// Losses and errors of rows of one action, whose next state is terminal.
    fn learned(head: &mut dyn Head, output: &[f32], rewards: &[f32]) -> (f64, Vec<f32>) {
        let n = rewards.len();
        let rows = TdRows {
            output,
            actions: &vec![0; n],
            rewards,
            discounts: &vec![0.0; n],
            next_output: &vec![0.0; output.len()],
            next_actions: &vec![0; n],
            weights: &vec![1.0; n],
        };
        let (mut grad, mut errors) = (vec![0.0; output.len()], vec![0.0; n]);
        let loss = head.loss(rows, &mut grad, &mut errors).unwrap();
        (loss, errors)
    }

    /// What is predicted as well as can be has no error, on an atom or between two, and only then.
    #[test]
    fn errors_vanish_where_nothing_is_left_to_learn() {
        let support = Support { atoms: 3, v_min: -1.0, v_max: 1.0 };
        let mut head = CategoricalReturn::new(support).unwrap();
        // Rewards of 0 and of 0.5: all mass on the middle, half of it on the last two.
        let output = [-40.0, 0.0, -40.0, -40.0, 0.0, 0.0];
        let (loss, errors) = learned(&mut head, &output, &[0.0, 0.5]);
        assert!((loss - 0.5 * 2f64.ln()).abs() < 1e-6 && errors.iter().all(|e| *e < 1e-6));
        assert!(learned(&mut head, &output, &[0.5, 0.0]).1.iter().all(|e| *e > 0.5));
        let mut head = QuantileReturn::new(2, 1.0).unwrap();
        // The mean is right though the quantiles are spread.
        let (loss, errors) = learned(&mut head, &[-1.0, 1.0], &[0.0]);
        assert!(loss > 0.0 && errors == [0.0]);
        assert_eq!(learned(&mut head, &[-1.0, 1.0], &[3.0]).1, [3.0]);
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden() {
        let support = Support { atoms: 3, v_min: -1.0, v_max: 1.0 };
        let mut categorical = CategoricalReturn::new(support).unwrap();
        let mut quantile = QuantileReturn::new(3, 1.0).unwrap();
        for head in [&mut categorical as &mut dyn Head, &mut quantile] {
            for (output, reward) in [([0.0; 3], f32::NAN), ([f32::NAN; 3], 0.0)] {
                let (loss, errors) = learned(head, &output, &[reward]);
                assert!(loss.is_nan() && errors[0].is_nan());
            }
        }
    }
}
