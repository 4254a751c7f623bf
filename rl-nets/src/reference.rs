//! Losses and distributions a second time, in candle's operations: they say what is right, and serve those who compose on a
//! device.

use crate::{Categorical, Coefficients, DiagGaussian, Distribution, SquashedGaussian, TdLoss};
use candle_core::{D, Tensor};

/// `log(2 pi) / 2`.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// A [`Distribution`] over all rows at once, in candle's operations.
pub trait ReferenceDistribution: Distribution {
    /// Actions in the form that the candle definitions below use, `[n, one_hot or action_len]`.
    ///
    /// # Errors
    /// Errors of candle.
    fn reference_actions(
        &self,
        actions: &[Self::Elem],
        like: &Tensor,
    ) -> candle_core::Result<Tensor>;

    /// [`log_prob`](Distribution::log_prob) of each row of `params`, `[n, params_len]`, for `actions` from
    /// [`reference_actions`](ReferenceDistribution::reference_actions): `[n]`.
    ///
    /// # Errors
    /// Errors of candle.
    fn reference_log_prob(&self, params: &Tensor, actions: &Tensor) -> candle_core::Result<Tensor>;

    /// [`entropy`](Distribution::entropy) of each row, `[n]`.
    ///
    /// # Errors
    /// Errors of candle.
    fn reference_entropy(&self, params: &Tensor) -> candle_core::Result<Tensor>;

    /// [`kl`](Distribution::kl) of each row, `[n]`.
    ///
    /// # Errors
    /// Errors of candle.
    fn reference_kl(&self, old: &Tensor, new: &Tensor) -> candle_core::Result<Tensor>;
}

impl ReferenceDistribution for Categorical {
    fn reference_actions(&self, actions: &[u32], like: &Tensor) -> candle_core::Result<Tensor> {
        let hit = |row: usize, choice: usize| f32::from(u8::from(actions[row] as usize == choice));
        let n = self.n;
        let one_hot: Vec<f32> = (0..actions.len() * n).map(|i| hit(i / n, i % n)).collect();
        Tensor::from_vec(one_hot, (actions.len(), n), like.device())?.to_dtype(like.dtype())
    }

    fn reference_log_prob(&self, logits: &Tensor, actions: &Tensor) -> candle_core::Result<Tensor> {
        (reference_log_softmax(logits)? * actions)?.sum(D::Minus1)
    }

    fn reference_entropy(&self, logits: &Tensor) -> candle_core::Result<Tensor> {
        let log_p = reference_log_softmax(logits)?;
        (log_p.exp()? * log_p)?.sum(D::Minus1)?.neg()
    }

    fn reference_kl(&self, old: &Tensor, new: &Tensor) -> candle_core::Result<Tensor> {
        let (old, new) = (reference_log_softmax(old)?, reference_log_softmax(new)?);
        (old.exp()? * (old - new)?)?.sum(D::Minus1)
    }
}

/// Written in elementary operations, since candle's fused softmax has no gradient.
fn reference_log_softmax(logits: &Tensor) -> candle_core::Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

impl DiagGaussian {
    /// Means and log standard deviations, `[n, d]` each.
    fn halves(&self, params: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        Ok((params.narrow(D::Minus1, 0, self.d)?, params.narrow(D::Minus1, self.d, self.d)?))
    }
}

impl ReferenceDistribution for DiagGaussian {
    fn reference_actions(&self, actions: &[f32], like: &Tensor) -> candle_core::Result<Tensor> {
        let shape = (actions.len() / self.d, self.d);
        Tensor::from_slice(actions, shape, like.device())?.to_dtype(like.dtype())
    }

    fn reference_log_prob(&self, params: &Tensor, actions: &Tensor) -> candle_core::Result<Tensor> {
        let (mean, log_std) = self.halves(params)?;
        let z = ((actions - mean)? * log_std.neg()?.exp()?)?;
        let each = ((z.sqr()? * -0.5)? - log_std)?;
        (each - f64::from(HALF_LOG_TAU))?.sum(D::Minus1)
    }

    fn reference_entropy(&self, params: &Tensor) -> candle_core::Result<Tensor> {
        (self.halves(params)?.1 + (0.5 + f64::from(HALF_LOG_TAU)))?.sum(D::Minus1)
    }

    fn reference_kl(&self, old: &Tensor, new: &Tensor) -> candle_core::Result<Tensor> {
        let ((m0, s0), (m1, s1)) = (self.halves(old)?, self.halves(new)?);
        let shift = ((m0 - m1)? * s1.neg()?.exp()?)?;
        let spread = ((&s0 - &s1)? * 2.0)?.exp()?;
        let each = ((s1 - s0)? + ((spread + shift.sqr()?)? * 0.5)?)?;
        (each - 0.5)?.sum(D::Minus1)
    }
}

impl TdLoss {
    /// The same loss in candle: `q` is `[batch, actions]`, `taken` a one-hot mask of the same shape,
    /// `targets` `[batch]`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reference(
        self,
        q: &Tensor,
        taken: &Tensor,
        targets: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let error = ((q * taken)?.sum(1)? - targets)?;
        match self {
            TdLoss::Mse => error.sqr()?.mean_all(),
            TdLoss::Huber => {
                let size = error.abs()?;
                let inside = size.detach().lt(1.0)?.to_dtype(size.dtype())?;
                let outside = (1.0 - &inside)?;
                let square = (error.sqr()? * 0.5)?;
                ((square * inside)? + ((size - 0.5)? * outside)?)?.mean_all()
            }
        }
    }
}

impl SquashedGaussian {
    /// The same in candle: actions, `[n, d]`, and their log-densities, `[n]`, for `params`, `[n, 2 d]`, and `noise`,
    /// `[n, d]`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn reference(
        &self,
        params: &Tensor,
        noise: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let (mean, log_std) = (params.narrow(1, 0, self.d)?, params.narrow(1, self.d, self.d)?);
        let u = (mean + (log_std.exp()? * noise)?)?;
        let twice = (&u * 2.0)?;
        // |2u| through its sign, since the derivative of candle's `abs` is zero.
        let sign = (twice.detach().ge(0.0)?.to_dtype(u.dtype())? * 2.0)?;
        let size = (&twice * (sign - 1.0)?)?;
        let softplus = (((&size - &twice)? * 0.5)? + (size.neg()?.exp()? + 1.0)?.log()?)?;
        let log_slope = (((&u + softplus)?.neg()? + std::f64::consts::LN_2)? * 2.0)?;
        let normal = (((noise.sqr()? * 0.5)? + log_std)? + f64::from(HALF_LOG_TAU))?;
        Ok((u.tanh()?, (normal + log_slope)?.sum(D::Minus1)?.neg()?))
    }
}

/// [`PolicyRows`](crate::PolicyRows) for the candle definitions of the losses: `actions` are those of
/// [`ReferenceDistribution::reference_actions`], all others are `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceRows<'a> {
    /// The actions.
    pub actions: &'a Tensor,
    /// The log-probabilities computed when acting.
    pub log_probs: &'a Tensor,
    /// The advantages.
    pub advantages: &'a Tensor,
    /// The returns, the critic's targets.
    pub returns: &'a Tensor,
    /// The value estimates made when acting.
    pub values: &'a Tensor,
}

/// [`ppo_clip`](crate::ppo_clip()) in candle's operations: the loss, a scalar.
///
/// # Errors
/// Errors of candle.
pub fn ppo_clip_reference<D: ReferenceDistribution>(
    distribution: &D,
    output: &Tensor,
    rows: ReferenceRows<'_>,
    clip_range: f64,
    clip_range_value: Option<f64>,
    coefficients: Coefficients,
) -> candle_core::Result<Tensor> {
    let (params, value) = parts(distribution, output)?;
    let ratio =
        (distribution.reference_log_prob(&params, rows.actions)? - rows.log_probs)?.exp()?;
    let free = (&ratio * rows.advantages)?;
    let bound = (ratio.clamp(1.0 - clip_range, 1.0 + clip_range)? * rows.advantages)?;
    let surrogate = smaller(&free, &bound)?;
    let mut square = (&value - rows.returns)?.sqr()?;
    if let Some(limit) = clip_range_value {
        let moved = (value - rows.values)?.clamp(-limit, limit)?;
        let clipped = ((rows.values + moved)? - rows.returns)?.sqr()?;
        square = smaller(&square.neg()?, &clipped.neg()?)?.neg()?;
    }
    total(distribution, &params, surrogate.neg()?, square, coefficients)
}

/// [`ppo_kl`](crate::ppo_kl()) in candle's operations: the loss, a scalar.
///
/// # Errors
/// Errors of candle.
pub fn ppo_kl_reference<D: ReferenceDistribution>(
    distribution: &D,
    output: &Tensor,
    rows: ReferenceRows<'_>,
    (old_params, beta): (&Tensor, f64),
    coefficients: Coefficients,
) -> candle_core::Result<Tensor> {
    let (params, value) = parts(distribution, output)?;
    let ratio =
        (distribution.reference_log_prob(&params, rows.actions)? - rows.log_probs)?.exp()?;
    let penalty = (distribution.reference_kl(old_params, &params)? * beta)?;
    let loss = (penalty - (ratio * rows.advantages)?)?;
    total(distribution, &params, loss, (value - rows.returns)?.sqr()?, coefficients)
}

/// [`policy_gradient`](crate::policy_gradient()) in candle's operations: the loss, a scalar.
///
/// # Errors
/// Errors of candle.
pub fn policy_gradient_reference<D: ReferenceDistribution>(
    distribution: &D,
    output: &Tensor,
    rows: ReferenceRows<'_>,
    coefficients: Coefficients,
) -> candle_core::Result<Tensor> {
    let (params, value) = parts(distribution, output)?;
    let log_prob = distribution.reference_log_prob(&params, rows.actions)?;
    let loss = (log_prob * rows.advantages)?.neg()?;
    total(distribution, &params, loss, (value - rows.returns)?.sqr()?, coefficients)
}

/// Splits an output into the policy parameters, `[n, params_len]`, and the values, `[n]`.
fn parts<D: ReferenceDistribution>(
    distribution: &D,
    output: &Tensor,
) -> candle_core::Result<(Tensor, Tensor)> {
    let n = distribution.params_len();
    Ok((output.narrow(1, 0, n)?, output.narrow(1, n, 1)?.squeeze(1)?))
}

/// The minimum of two, with the gradient of the first if they are equal: candle's own minimum splits ties.
fn smaller(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    let first = a.detach().le(&b.detach())?.to_dtype(a.dtype())?;
    (a * &first)? + (b * (1.0 - first)?)?
}

/// Adds the terms of a loss.
fn total<D: ReferenceDistribution>(
    distribution: &D,
    params: &Tensor,
    policy_loss: Tensor,
    square: Tensor,
    coefficients: Coefficients,
) -> candle_core::Result<Tensor> {
    let entropy = (distribution.reference_entropy(params)? * f64::from(coefficients.entropy))?;
    ((policy_loss - entropy)? + (square * f64::from(coefficients.value))?)?.mean_all()
}
