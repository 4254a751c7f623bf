//! The tanh-squashed Gaussian distribution.

use crate::kernels::{dispatch, exp, tanh};
use rl_core::Rng;

/// Independent Gaussian distributions squashed by tanh into (-1, 1) (Haarnoja et al., 2018, appendix C), with
/// parameters `[mean_1 … mean_d, log_std_1 … log_std_d]` in a row.
///
/// ```text
/// u = mean + std ε,   ε ~ N(0, 1),   a = tanh(u)
/// log pi(a) = log N(u; mean, std) - Σ log(1 - tanh(u)²)
/// log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2u))           which holds for any u without rounding to 0
/// ```
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::SquashedGaussian;
/// let (pi, mut rng) = (SquashedGaussian::new(1), Seeds::new(0).stream("agent", 0));
/// let (mut noise, mut action) = ([0.0], [0.0]);
/// let log_prob = pi.sample(&[100.0, -3.0], &mut rng, &mut noise, &mut action);
/// assert!(action[0] > 0.999_999 && log_prob.is_finite());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SquashedGaussian {
    pub(crate) d: usize,
}

/// `log(2 pi) / 2`.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// `log(1 - tanh(u)²)`.
#[inline(always)]
fn log_slope(u: f32) -> f32 {
    // softplus(-2u) = max(-2u, 0) + log(1 + e^-|2u|)
    let softplus = (-2.0 * u).max(0.0) + exp(-(2.0 * u).abs()).ln_1p();
    2.0 * (std::f32::consts::LN_2 - u - softplus)
}

impl SquashedGaussian {
    /// A distribution of `d` dimensions.
    pub fn new(d: usize) -> Self {
        SquashedGaussian { d }
    }

    /// The width of a row of parameters.
    pub fn params_len(&self) -> usize {
        2 * self.d
    }

    /// The deterministic action, `tanh(mean)`, `[d]`.
    pub fn mode(&self, params: &[f32], action: &mut [f32]) {
        let means = params.iter().take(self.d);
        dispatch(
            #[inline(always)]
            || action.iter_mut().zip(means).for_each(|(a, mean)| *a = tanh(*mean)),
        );
    }

    /// Samples an action, `[d]`, and stores the noise used for it, `[d]`; returns its log-density.
    pub fn sample(
        &self,
        params: &[f32],
        rng: &mut Rng,
        noise: &mut [f32],
        action: &mut [f32],
    ) -> f32 {
        noise.fill_with(|| rng.normal() as f32);
        self.push(params, noise, action)
    }

    /// The action for the given `noise`, `[d]`, and its log-density.
    pub fn push(&self, params: &[f32], noise: &[f32], action: &mut [f32]) -> f32 {
        let (mean, log_std) = params.split_at(self.d);
        dispatch(
            #[inline(always)]
            || {
                let mut log_prob = 0.0;
                for (((a, e), mean), log_std) in action.iter_mut().zip(noise).zip(mean).zip(log_std)
                {
                    let u = mean + exp(*log_std) * e;
                    *a = tanh(u);
                    log_prob -= 0.5 * e * e + log_std + HALF_LOG_TAU + log_slope(u);
                }
                log_prob
            },
        )
    }

    /// Adds the gradient of a loss with respect to the parameters, with the noise held fixed, to `grad`, `[2 d]`.
    /// `grad_action`, `[d]`, is the gradient of the loss with respect to the action, and `weight` that with respect
    /// to its log-density.
    pub fn add_grad(
        &self,
        params: &[f32],
        noise: &[f32],
        action: &[f32],
        (grad_action, weight): (&[f32], f32),
        grad: &mut [f32],
    ) {
        let log_std = &params[self.d..];
        let (grad_mean, grad_log_std) = grad.split_at_mut(self.d);
        dispatch(
            #[inline(always)]
            || {
                for i in 0..self.d {
                    // da/du = 1 - a²; d log pi/du = 2 a, since the Gaussian term depends only on the noise.
                    let a = action[i];
                    let along = grad_action[i] * (1.0 - a * a) + weight * 2.0 * a;
                    grad_mean[i] += along;
                    grad_log_std[i] += along * exp(log_std[i]) * noise[i] - weight;
                }
            },
        );
    }
}
