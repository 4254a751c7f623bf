//! The losses of policy gradient methods. Each is one pass over the output of an actor-critic network that returns
//! statistics and the gradient of that output; each is also defined in candle.

use crate::kernels::dispatch;
use crate::{Distribution, Result};
use rl_core::check;

/// The coefficients of a policy loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// The value loss.
    pub value: f32,
    /// The entropy bonus.
    pub entropy: f32,
}

/// The rows of a minibatch for a policy loss; all slices except `actions` have one element per row.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRows<'a, A> {
    /// `[n, action width]`.
    pub actions: &'a [A],
    /// The log-probabilities computed when acting.
    pub log_probs: &'a [f32],
    /// The advantages, normalised or not.
    pub advantages: &'a [f32],
    /// The returns, the critic's targets.
    pub returns: &'a [f32],
    /// The value estimates made when acting.
    pub values: &'a [f32],
}

/// Means over a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyStats {
    /// The policy loss.
    pub policy_loss: f64,
    /// The mean squared error of the critic (not halved).
    pub value_loss: f64,
    /// The entropy of the policy.
    pub entropy: f64,
    /// `mean((ratio - 1) - log ratio)`, an estimate of KL(old || new) (Schulman, 2020).
    pub approx_kl: f64,
    /// The fraction of rows whose ratio is outside the clip range.
    pub clip_fraction: f64,
    /// The exact KL(old || new), if the loss computes it.
    pub kl: f64,
}

/// The clipped surrogate objective of PPO (Schulman et al., 2017, equations 7 and 9), as a loss to minimise:
///
/// ```text
/// ratio = pi(a | s) / pi_old(a | s)
/// L = mean( -min(ratio A, clip(ratio, 1 - c, 1 + c) A)
///           + value_coefficient (V - R)^2 - entropy_coefficient H )
/// ```
///
/// With `clip_range_value` the value estimate is clipped to this range around the old one, as in the reference code:
/// `max((V - R)^2, (V_clipped - R)^2)`. If both terms of the minimum are equal, the gradient is that of the unclipped
/// one.
///
/// `output` is `[n, policy parameters + 1]`; its gradient is written into `grad`, of the same shape.
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for slices that do not match.
pub fn ppo_clip<D: Distribution>(
    distribution: &D,
    output: &[f32],
    rows: PolicyRows<'_, D::Elem>,
    clip_range: f32,
    clip_range_value: Option<f32>,
    coefficients: Coefficients,
    grad: &mut [f32],
) -> Result<PolicyStats> {
    let surrogate = |row: RowOf| {
        let ratio = row.log_ratio.exp();
        let clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range);
        let (free, bound) = (ratio * row.advantage, clipped * row.advantage);
        let slope = if free <= bound { -free } else { 0.0 };
        (-free.min(bound), slope)
    };
    let terms = Terms { clip_range, clip_range_value, coefficients, penalty: None };
    policy_loss(distribution, output, rows, surrogate, terms, grad)
}

/// A KL penalty on the change of a policy.
#[derive(Clone, Copy, Debug)]
pub struct KlPenalty<'a> {
    /// The distribution parameters when acting, `[n, params_len]`.
    pub old_params: &'a [f32],
    /// The coefficient of the penalty.
    pub beta: f32,
}

/// The KL-penalised surrogate objective of PPO (Schulman et al., 2017, equation 8), as a loss to minimise:
///
/// ```text
/// L = mean( -ratio A + beta KL(pi_old(. | s) || pi(. | s))
///           + value_coefficient (V - R)^2 - entropy_coefficient H )
/// ```
///
/// `output` is `[n, policy parameters + 1]`; its gradient is written into `grad`, of the same shape. The policy loss
/// in the statistics excludes the penalty.
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for slices that do not match.
pub fn ppo_kl<D: Distribution>(
    distribution: &D,
    output: &[f32],
    rows: PolicyRows<'_, D::Elem>,
    penalty: KlPenalty<'_>,
    coefficients: Coefficients,
    grad: &mut [f32],
) -> Result<PolicyStats> {
    let surrogate = |row: RowOf| {
        let gain = row.log_ratio.exp() * row.advantage;
        (-gain, -gain)
    };
    let expected = rows.advantages.len() * distribution.params_len();
    check::len("old policy parameters", expected, penalty.old_params.len())?;
    let terms = Terms { penalty: Some(penalty), ..Terms::plain(coefficients) };
    policy_loss(distribution, output, rows, surrogate, terms, grad)
}

/// The policy gradient loss with a critic (Mnih et al., 2016), to minimise:
/// `mean(-A log pi(a | s) + value_coefficient (V - R)^2 - entropy_coefficient H)`.
///
/// `output` is `[n, policy parameters + 1]`; its gradient is written into `grad`, of the same shape.
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for slices that do not match.
pub fn policy_gradient<D: Distribution>(
    distribution: &D,
    output: &[f32],
    rows: PolicyRows<'_, D::Elem>,
    coefficients: Coefficients,
    grad: &mut [f32],
) -> Result<PolicyStats> {
    let surrogate = |row: RowOf| (-row.advantage * row.log_prob, -row.advantage);
    policy_loss(distribution, output, rows, surrogate, Terms::plain(coefficients), grad)
}

/// The quantities of one row that a policy loss may depend on.
struct RowOf {
    log_prob: f32,
    log_ratio: f32,
    advantage: f32,
}

/// The terms of a loss besides the surrogate.
struct Terms<'a> {
    clip_range: f32,
    clip_range_value: Option<f32>,
    coefficients: Coefficients,
    penalty: Option<KlPenalty<'a>>,
}

impl Terms<'_> {
    fn plain(coefficients: Coefficients) -> Self {
        Terms { clip_range: f32::INFINITY, clip_range_value: None, coefficients, penalty: None }
    }
}

/// The common code of the losses. `surrogate` returns the policy loss of one row and its derivative with respect to
/// the log-probability.
fn policy_loss<D: Distribution>(
    distribution: &D,
    output: &[f32],
    rows: PolicyRows<'_, D::Elem>,
    surrogate: impl Fn(RowOf) -> (f32, f32),
    terms: Terms<'_>,
    grad: &mut [f32],
) -> Result<PolicyStats> {
    let (n, width, action_width) =
        (rows.advantages.len(), distribution.params_len() + 1, distribution.action_len());
    check::len("output", n * width, output.len())?;
    check::len("gradient", n * width, grad.len())?;
    check::len("actions", n * action_width, rows.actions.len())?;
    check::len("log-probabilities", n, rows.log_probs.len())?;
    check::len("returns", n, rows.returns.len())?;
    check::len("values", n, rows.values.len())?;
    grad.fill(0.0);
    let Terms { clip_range, clip_range_value, coefficients, penalty } = terms;
    let share = 1.0 / n as f32;
    let mut stats = PolicyStats::default();
    // Compiled for the processor as a whole, since the exponentials take most of the time.
    dispatch(
        #[inline(always)]
        || {
            let each = output
                .chunks_exact(width)
                .zip(grad.chunks_exact_mut(width))
                .zip(rows.actions.chunks_exact(action_width));
            for (i, ((output, grad), action)) in each.enumerate() {
                let (params, value) = (&output[..width - 1], output[width - 1]);
                let (grad, grad_value) = grad.split_at_mut(width - 1);

                let log_prob = distribution.log_prob(params, action);
                let log_ratio = log_prob - rows.log_probs[i];
                let row = RowOf { log_prob, log_ratio, advantage: rows.advantages[i] };
                let (loss, slope) = surrogate(row);
                distribution.add_log_prob_grad(params, action, slope * share, grad);
                distribution.add_entropy_grad(params, -coefficients.entropy * share, grad);
                if let Some(KlPenalty { old_params, beta }) = penalty {
                    let old = &old_params[i * params.len()..][..params.len()];
                    distribution.add_kl_grad(old, params, beta * share, grad);
                    stats.kl += f64::from(distribution.kl(old, params));
                }

                let error = value - rows.returns[i];
                let (mut square, mut value_slope) = (error * error, 2.0 * error);
                if let Some(limit) = clip_range_value {
                    let moved = (value - rows.values[i]).clamp(-limit, limit);
                    let clipped = rows.values[i] + moved - rows.returns[i];
                    if clipped * clipped > square {
                        let free = (value - rows.values[i]).abs() <= limit;
                        (square, value_slope) =
                            (clipped * clipped, if free { 2.0 * clipped } else { 0.0 });
                    }
                }
                grad_value.fill(coefficients.value * value_slope * share);

                let ratio = log_ratio.exp();
                stats.policy_loss += f64::from(loss);
                stats.value_loss += f64::from(square);
                stats.entropy += f64::from(distribution.entropy(params));
                stats.approx_kl += f64::from(ratio - 1.0 - log_ratio);
                stats.clip_fraction += f64::from(u8::from((ratio - 1.0).abs() > clip_range));
            }
        },
    );
    let n = n as f64;
    Ok(PolicyStats {
        policy_loss: stats.policy_loss / n,
        value_loss: stats.value_loss / n,
        entropy: stats.entropy / n,
        approx_kl: stats.approx_kl / n,
        clip_fraction: stats.clip_fraction / n,
        kl: stats.kl / n,
    })
}
