//! Action distributions, parametrised by one row of a network's output.
//!
//! Each provides its log-probability, entropy and Kullback-Leibler divergence, with gradients with respect to the
//! row, so that a policy loss needs one pass over the output. Each is also defined in candle's operations, over all
//! rows at once.

use crate::PolicyOutput;
use crate::kernels::exp;
use rl_core::{BoxSpace, Discrete, Element, Rng, Space};

/// A family of action distributions, with parameters from a network.
pub trait Distribution: Clone + Send {
    /// The action space.
    type Action: Space<Elem = Self::Elem>;
    /// The element type of an action.
    type Elem: Element;

    /// The number of parameters in a row.
    fn params_len(&self) -> usize;

    /// The number of log standard deviations, which are the last parameters.
    fn log_stds(&self) -> usize {
        0
    }

    /// The number of actions, if the space is discrete.
    fn choices(&self) -> Option<usize> {
        None
    }

    /// The width of an action.
    fn action_len(&self) -> usize;

    /// What the parameters mean, as data, for actions in `space`; none by default.
    fn describe(&self, space: &Self::Action) -> Option<PolicyOutput> {
        let _ = space;
        None
    }

    /// Samples an action.
    fn sample(&self, params: &[f32], rng: &mut Rng, action: &mut [Self::Elem]);

    /// The most likely action.
    fn mode(&self, params: &[f32], action: &mut [Self::Elem]);

    /// The log-probability (or log-density) of an action.
    fn log_prob(&self, params: &[f32], action: &[Self::Elem]) -> f32;

    /// The entropy.
    fn entropy(&self, params: &[f32]) -> f32;

    /// The Kullback-Leibler divergence `KL(old || new)`.
    fn kl(&self, old: &[f32], new: &[f32]) -> f32;

    /// Adds `scale` times the gradient of the log-probability to `grad`, `[params_len]`.
    fn add_log_prob_grad(
        &self,
        params: &[f32],
        action: &[Self::Elem],
        scale: f32,
        grad: &mut [f32],
    );

    /// Adds `scale` times the gradient of the entropy to `grad`.
    fn add_entropy_grad(&self, params: &[f32], scale: f32, grad: &mut [f32]);

    /// Adds `scale` times the gradient of `KL(old || new)` with respect to `new` to `grad`.
    fn add_kl_grad(&self, old: &[f32], new: &[f32], scale: f32, grad: &mut [f32]);

    /// Writes the Fisher-vector product at `params` with `direction`, `[params_len]`. The Fisher information matrix
    /// is the Hessian of `KL(params || new)` at `new = params`.
    fn fisher_product(&self, params: &[f32], direction: &[f32], out: &mut [f32]);
}

/// An action space with its usual policy distribution, so that a policy's type follows from its environment's.
pub trait PolicySpace: Space {
    /// The distribution.
    type Distribution: Distribution<Action = Self, Elem = Self::Elem>;

    /// The distribution over this action space.
    fn distribution(&self) -> Self::Distribution;
}

impl PolicySpace for Discrete {
    type Distribution = Categorical;

    fn distribution(&self) -> Categorical {
        Categorical::new(self.n())
    }
}

impl PolicySpace for BoxSpace {
    type Distribution = DiagGaussian;

    fn distribution(&self) -> DiagGaussian {
        DiagGaussian::new(self.width())
    }
}

/// A categorical distribution over `n` choices, with `n` logits.
///
/// ```
/// use rl_nets::{Categorical, Distribution};
/// let coin = Categorical::new(2);
/// assert!((coin.log_prob(&[0.0, 0.0], &[1]) - 0.5f32.ln()).abs() < 1e-6);
/// assert!((coin.entropy(&[3.0, 3.0]) - 2f32.ln()).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Categorical {
    pub(crate) n: usize,
}

impl Categorical {
    /// A distribution over `n` choices.
    pub fn new(n: usize) -> Self {
        Categorical { n }
    }

    /// The expectation of `values`, one per choice, `[n]`.
    pub fn expectation(&self, logits: &[f32], values: &[f32]) -> f32 {
        let total = log_sum_exp(logits);
        logits.iter().zip(values).map(|(&x, value)| exp(x - total) * value).sum()
    }
}

/// `log sum_i e^(x_i)`, without overflow.
#[inline(always)]
fn log_sum_exp(x: &[f32]) -> f32 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    max + x.iter().map(|&x| exp(x - max)).sum::<f32>().ln()
}

impl Distribution for Categorical {
    type Action = Discrete;
    type Elem = u32;

    fn describe(&self, _: &Discrete) -> Option<PolicyOutput> {
        Some(PolicyOutput::Categorical { actions: self.n })
    }

    fn params_len(&self) -> usize {
        self.n
    }

    fn choices(&self) -> Option<usize> {
        Some(self.n)
    }

    fn action_len(&self) -> usize {
        1
    }

    #[inline(always)]
    fn sample(&self, logits: &[f32], rng: &mut Rng, action: &mut [u32]) {
        let total = log_sum_exp(logits);
        let mut left = rng.uniform(0.0, 1.0) as f32;
        // Rounding may leave a small remainder, which goes to the last choice with non-zero probability.
        let mut chosen = 0;
        for (i, &logit) in logits.iter().enumerate() {
            let p = exp(logit - total);
            if p > 1e-30 {
                chosen = i;
                left -= p;
                if left < 0.0 {
                    break;
                }
            }
        }
        action.fill(chosen as u32);
    }

    fn mode(&self, logits: &[f32], action: &mut [u32]) {
        let first = (0, f32::NEG_INFINITY);
        let better = |top: (usize, f32), (i, &x)| if x > top.1 { (i, x) } else { top };
        action.fill(logits.iter().enumerate().fold(first, better).0 as u32);
    }

    #[inline(always)]
    fn log_prob(&self, logits: &[f32], action: &[u32]) -> f32 {
        let chosen = action.first().and_then(|&a| logits.get(a as usize));
        chosen.map_or(f32::NEG_INFINITY, |x| x - log_sum_exp(logits))
    }

    #[inline(always)]
    fn entropy(&self, logits: &[f32]) -> f32 {
        let total = log_sum_exp(logits);
        -logits.iter().map(|&x| exp(x - total) * (x - total)).sum::<f32>()
    }

    #[inline(always)]
    fn kl(&self, old: &[f32], new: &[f32]) -> f32 {
        let (a, b) = (log_sum_exp(old), log_sum_exp(new));
        old.iter().zip(new).map(|(&o, &n)| exp(o - a) * ((o - a) - (n - b))).sum()
    }

    #[inline(always)]
    fn add_log_prob_grad(&self, logits: &[f32], action: &[u32], scale: f32, grad: &mut [f32]) {
        let total = log_sum_exp(logits);
        let chosen = action.first().map_or(usize::MAX, |&a| a as usize);
        for (i, (g, &x)) in grad.iter_mut().zip(logits).enumerate() {
            let hit = if i == chosen { 1.0 } else { 0.0 };
            *g += scale * (hit - exp(x - total));
        }
    }

    #[inline(always)]
    fn add_entropy_grad(&self, logits: &[f32], scale: f32, grad: &mut [f32]) {
        // dH/dx_i = -p_i (log p_i + H)
        let (total, entropy) = (log_sum_exp(logits), self.entropy(logits));
        for (g, &x) in grad.iter_mut().zip(logits) {
            *g -= scale * exp(x - total) * ((x - total) + entropy);
        }
    }

    #[inline(always)]
    fn add_kl_grad(&self, old: &[f32], new: &[f32], scale: f32, grad: &mut [f32]) {
        let (a, b) = (log_sum_exp(old), log_sum_exp(new));
        for ((g, &o), &n) in grad.iter_mut().zip(old).zip(new) {
            *g += scale * (exp(n - b) - exp(o - a));
        }
    }

    #[inline(always)]
    fn fisher_product(&self, logits: &[f32], direction: &[f32], out: &mut [f32]) {
        // (diag(p) - p pᵀ) d
        let total = log_sum_exp(logits);
        let p = |x: f32| exp(x - total);
        let mean: f32 = logits.iter().zip(direction).map(|(&x, d)| p(x) * d).sum();
        for ((o, &x), d) in out.iter_mut().zip(logits).zip(direction) {
            *o = p(x) * (d - mean);
        }
    }
}

/// A diagonal Gaussian distribution, with parameters `[mean_1 … mean_d, log_std_1 … log_std_d]` in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagGaussian {
    pub(crate) d: usize,
}

/// `log(2 pi) / 2`.
const HALF_LOG_TAU: f32 = 0.918_938_5;

impl DiagGaussian {
    /// A distribution of `d` dimensions.
    pub fn new(d: usize) -> Self {
        DiagGaussian { d }
    }

    /// Pairs of mean and log standard deviation.
    #[inline(always)]
    fn pairs<'a>(&self, params: &'a [f32]) -> impl Iterator<Item = (f32, f32)> + 'a {
        let (mean, log_std) = params.split_at(self.d.min(params.len()));
        mean.iter().copied().zip(log_std.iter().copied())
    }
}

impl Distribution for DiagGaussian {
    type Action = BoxSpace;
    type Elem = f32;

    fn describe(&self, space: &BoxSpace) -> Option<PolicyOutput> {
        Some(PolicyOutput::Gaussian { bounds: space.into() })
    }

    fn params_len(&self) -> usize {
        2 * self.d
    }

    fn log_stds(&self) -> usize {
        self.d
    }

    fn action_len(&self) -> usize {
        self.d
    }

    #[inline(always)]
    fn sample(&self, params: &[f32], rng: &mut Rng, action: &mut [f32]) {
        for (a, (mean, log_std)) in action.iter_mut().zip(self.pairs(params)) {
            *a = mean + exp(log_std) * rng.normal() as f32;
        }
    }

    fn mode(&self, params: &[f32], action: &mut [f32]) {
        action.iter_mut().zip(params).for_each(|(a, mean)| *a = *mean);
    }

    #[inline(always)]
    fn log_prob(&self, params: &[f32], action: &[f32]) -> f32 {
        let each = |((mean, log_std), a): ((f32, f32), &f32)| {
            let z = (a - mean) * exp(-log_std);
            -0.5 * z * z - log_std - HALF_LOG_TAU
        };
        self.pairs(params).zip(action).map(each).sum()
    }

    #[inline(always)]
    fn entropy(&self, params: &[f32]) -> f32 {
        self.pairs(params).map(|(_, log_std)| 0.5 + HALF_LOG_TAU + log_std).sum()
    }

    #[inline(always)]
    fn kl(&self, old: &[f32], new: &[f32]) -> f32 {
        let each = |((m0, s0), (m1, s1)): ((f32, f32), (f32, f32))| {
            let shift = (m0 - m1) * exp(-s1);
            s1 - s0 + 0.5 * (exp(2.0 * (s0 - s1)) + shift * shift) - 0.5
        };
        self.pairs(old).zip(self.pairs(new)).map(each).sum()
    }

    #[inline(always)]
    fn add_log_prob_grad(&self, params: &[f32], action: &[f32], scale: f32, grad: &mut [f32]) {
        let (grad_mean, grad_log_std) = grad.split_at_mut(self.d);
        let grads = grad_mean.iter_mut().zip(grad_log_std);
        for ((gm, gs), ((mean, log_std), a)) in grads.zip(self.pairs(params).zip(action)) {
            let inverse = exp(-log_std);
            let z = (a - mean) * inverse;
            *gm += scale * z * inverse;
            *gs += scale * (z * z - 1.0);
        }
    }

    #[inline(always)]
    fn add_entropy_grad(&self, _: &[f32], scale: f32, grad: &mut [f32]) {
        grad.iter_mut().skip(self.d).for_each(|g| *g += scale);
    }

    #[inline(always)]
    fn add_kl_grad(&self, old: &[f32], new: &[f32], scale: f32, grad: &mut [f32]) {
        let (grad_mean, grad_log_std) = grad.split_at_mut(self.d);
        let grads = grad_mean.iter_mut().zip(grad_log_std);
        let pairs = self.pairs(old).zip(self.pairs(new));
        for ((gm, gs), ((m0, s0), (m1, s1))) in grads.zip(pairs) {
            let inverse = exp(-s1);
            let shift = (m1 - m0) * inverse;
            *gm += scale * shift * inverse;
            *gs += scale * (1.0 - exp(2.0 * (s0 - s1)) - shift * shift);
        }
    }

    #[inline(always)]
    fn fisher_product(&self, params: &[f32], direction: &[f32], out: &mut [f32]) {
        // 1 / std² for a mean, 2 for a log standard deviation.
        let (out_mean, out_log_std) = out.split_at_mut(self.d);
        let outs = out_mean.iter_mut().zip(out_log_std);
        for ((om, os), ((_, log_std), (dm, ds))) in
            outs.zip(self.pairs(params).zip(self.pairs(direction)))
        {
            *om = dm * exp(-2.0 * log_std);
            *os = 2.0 * ds;
        }
    }
}
