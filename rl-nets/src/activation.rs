//! Activation functions, on both paths.

use crate::kernels::{dispatch, exp, tanh};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An element-wise activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// `x` itself.
    Identity,
    /// `max(x, 0)`, with derivative 0 at 0 as in PyTorch.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x` if positive, otherwise `e^x - 1` (Clevert et al., 2015).
    Elu,
    /// `x sigmoid(x)` (Hendrycks and Gimpel, 2016).
    Silu,
    /// `x Phi(x)` in its tanh approximation (Hendrycks and Gimpel, 2016).
    Gelu,
}

/// sqrt(2 / pi) and the cubic coefficient of the tanh approximation of GELU.
const GELU: (f32, f32) = (0.797_884_6, 0.044_715);

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    0.5f32.mul_add(tanh(0.5 * x), 0.5)
}

#[inline(always)]
fn gelu_inner(x: f32) -> f32 {
    tanh(GELU.0 * (GELU.1 * x * x).mul_add(x, x))
}

impl Activation {
    /// Whether the derivative needs the input, which must then be stored; otherwise it is computed from the output.
    pub fn needs_input(self) -> bool {
        matches!(self, Activation::Silu | Activation::Gelu)
    }

    /// Applies the function in place.
    pub fn apply(self, x: &mut [f32]) {
        macro_rules! each {
            ($f:expr) => {
                dispatch(
                    #[inline(always)]
                    || x.iter_mut().for_each(|x| *x = $f(*x)),
                )
            };
        }
        match self {
            Activation::Identity => {}
            // Not `max`, which would turn NaN into zero.
            Activation::Relu => each!(|x: f32| if x < 0.0 { 0.0 } else { x }),
            Activation::Tanh => each!(tanh),
            Activation::Sigmoid => each!(sigmoid),
            Activation::Elu => each!(|x: f32| if x > 0.0 { x } else { exp(x) - 1.0 }),
            Activation::Silu => each!(|x: f32| x * sigmoid(x)),
            Activation::Gelu => each!(|x: f32| 0.5 * x * (1.0 + gelu_inner(x))),
        }
    }

    /// Multiplies `grad` by the derivative, in place. `y` is the output; `x` is the input if
    /// [`needs_input`](Activation::needs_input), otherwise ignored.
    pub fn chain(self, grad: &mut [f32], y: &[f32], x: &[f32]) {
        macro_rules! each {
            ($of:expr, $f:expr) => {
                dispatch(
                    #[inline(always)]
                    || grad.iter_mut().zip($of).for_each(|(g, v)| *g *= $f(*v)),
                )
            };
        }
        match self {
            Activation::Identity => {}
            Activation::Relu => each!(y, |y: f32| if y > 0.0 { 1.0 } else { 0.0 }),
            Activation::Tanh => each!(y, |y: f32| 1.0 - y * y),
            Activation::Sigmoid => each!(y, |y: f32| y * (1.0 - y)),
            Activation::Elu => each!(y, |y: f32| if y > 0.0 { 1.0 } else { y + 1.0 }),
            Activation::Silu => each!(x, |x: f32| {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }),
            Activation::Gelu => each!(x, |x: f32| {
                let t = gelu_inner(x);
                let slope = GELU.0 * (1.0 + 3.0 * GELU.1 * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope
            }),
        }
    }

    /// The same for a `part` of a layer; `y` and `x` are those of the whole layer.
    pub(crate) fn chain_part(self, grad: &mut [f32], part: Range<usize>, y: &[f32], x: &[f32]) {
        self.chain(grad, &y[part.clone()], x.get(part).unwrap_or_default());
    }

    /// The same in candle's operations.
    ///
    /// # Errors
    /// Errors of candle.
    #[cfg(feature = "candle")]
    pub fn reference(self, x: &Tensor) -> candle_core::Result<Tensor> {
        let sigmoid = |x: &Tensor| ((x * 0.5)?.tanh()? * 0.5)? + 0.5;
        match self {
            Activation::Identity => Ok(x.clone()),
            // Not `relu()`, whose derivative at 0 is 1 in candle.
            Activation::Relu => x * positive(x)?,
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
            Activation::Elu => {
                // Only negative values reach the exponential, so that it cannot overflow.
                let mask = positive(x)?;
                let kept = (x * &mask)?;
                let bent = ((x - &kept)?.exp()? - 1.0)?;
                kept + bent
            }
            Activation::Silu => x * sigmoid(x)?,
            Activation::Gelu => {
                let cube = (x.sqr()? * x)?;
                let inner = ((x + (cube * f64::from(GELU.1))?)? * f64::from(GELU.0))?.tanh()?;
                ((inner + 1.0)? * x)? * 0.5
            }
        }
    }
}

/// 1 where `x` is positive, otherwise 0; without a gradient.
#[cfg(feature = "candle")]
fn positive(x: &Tensor) -> candle_core::Result<Tensor> {
    x.detach().gt(0.0)?.to_dtype(x.dtype())
}
