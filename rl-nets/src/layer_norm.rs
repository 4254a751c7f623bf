//! Layer normalisation, applied by [`Linear`](crate::Linear) before its activation.

use crate::Layout;
#[cfg(feature = "candle")]
use crate::Result;
use crate::kernels::{add_column_sums, dispatch};
#[cfg(feature = "candle")]
use candle_core::{D, Tensor};
use std::ops::Range;

const EPS: f32 = 1e-5;

/// The parameters of a layer normalisation and the values stored by its last forward pass.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
    /// The normalised rows, `[batch, width]`.
    pub(crate) unit: Vec<f32>,
    /// The reciprocal standard deviation of each row, `[batch]`.
    pub(crate) inverse_std: Vec<f32>,
    /// A buffer for the gradient of the scale when it is not requested, `[width]`.
    unasked: Vec<f32>,
}

/// Normalises each row of `y` to mean 0 and variance 1, then scales and shifts it; stores the normalised rows and the
/// reciprocals of their standard deviations.
pub(crate) fn normalise(
    (weight, bias): (&[f32], &[f32]),
    y: &mut [f32],
    unit: &mut [f32],
    inverse_std: &mut [f32],
) {
    let width = weight.len();
    dispatch(
        #[inline(always)]
        || {
            let rows = y.chunks_exact_mut(width).zip(unit.chunks_exact_mut(width));
            for ((y, unit), inverse_std) in rows.zip(inverse_std) {
                let mean = y.iter().sum::<f32>() / width as f32;
                let squares = y.iter().map(|y| (y - mean) * (y - mean)).sum::<f32>();
                *inverse_std = 1.0 / (squares / width as f32 + EPS).sqrt();
                for (((y, u), w), b) in y.iter_mut().zip(unit).zip(weight).zip(bias) {
                    *u = (*y - mean) * *inverse_std;
                    *y = u.mul_add(*w, *b);
                }
            }
        },
    );
}

impl LayerNorm {
    /// Adds a scale and a shift for rows of `width` elements to `layout`.
    pub(crate) fn new(layout: &mut Layout, width: usize) -> Self {
        let mut add = |name: &str| {
            let start = layout.push(name, &[width]);
            start..start + width
        };
        LayerNorm {
            weight: add("norm.weight"),
            bias: add("norm.bias"),
            unit: Vec::new(),
            inverse_std: Vec::new(),
            unasked: Vec::new(),
        }
    }

    pub(crate) fn init(&self, params: &mut [f32]) {
        params[self.weight.clone()].fill(1.0);
        params[self.bias.clone()].fill(0.0);
    }

    /// Written in elementary operations, since candle's fused layer norm has no gradient.
    #[cfg(feature = "candle")]
    pub(crate) fn reference(&self, params: &Tensor, x: &Tensor) -> Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let unit = centred.broadcast_div(&(variance + f64::from(EPS))?.sqrt()?)?;
        let scaled = unit.broadcast_mul(&part(&self.weight)?)?;
        Ok(scaled.broadcast_add(&part(&self.bias)?)?)
    }

    /// Replaces the forward derivative of the input with that of the output, for a range of rows of the last forward
    /// pass.
    pub(crate) fn tangent(
        &self,
        params: &[f32],
        direction: &[f32],
        rows: Range<usize>,
        tangent: &mut [f32],
    ) {
        let width = self.weight.len();
        let (weight, scale_tangent) =
            (&params[self.weight.clone()], &direction[self.weight.clone()]);
        let bias = &direction[self.bias.clone()];
        let units = self.unit[rows.start * width..].chunks_exact(width);
        let scales = units.zip(&self.inverse_std[rows]);
        for (t, (unit, inverse_std)) in tangent.chunks_exact_mut(width).zip(scales) {
            let mean = t.iter().sum::<f32>() / width as f32;
            let along = t.iter().zip(unit).map(|(t, u)| t * u).sum::<f32>() / width as f32;
            let scales = weight.iter().zip(scale_tangent).zip(bias);
            for ((t, u), ((w, dw), db)) in t.iter_mut().zip(unit).zip(scales) {
                *t = w * (*t - mean - u * along) * inverse_std + dw * u + db;
            }
        }
    }

    /// Replaces the gradient of the output with that of the input.
    pub(crate) fn backward(&mut self, params: &[f32], grad: &mut [f32], grads: Option<&mut [f32]>) {
        let width = self.weight.len();
        let weight = &params[self.weight.clone()];
        let grad_weight = match grads {
            Some(grads) => {
                add_column_sums(&mut grads[self.bias.clone()], grad);
                &mut grads[self.weight.clone()]
            }
            None => {
                self.unasked.resize(width, 0.0);
                &mut self.unasked[..]
            }
        };
        dispatch(
            #[inline(always)]
            || {
                let rows = grad.chunks_exact_mut(width).zip(self.unit.chunks_exact(width));
                for ((g, unit), inverse_std) in rows.zip(&self.inverse_std) {
                    let (mut mean, mut along) = (0.0, 0.0);
                    for (((g, u), w), gw) in
                        g.iter_mut().zip(unit).zip(weight).zip(grad_weight.iter_mut())
                    {
                        *gw += *g * u;
                        *g *= w;
                        mean += *g;
                        along += *g * u;
                    }
                    (mean, along) = (mean / width as f32, along / width as f32);
                    for (g, u) in g.iter_mut().zip(unit) {
                        *g = (*g - mean - u * along) * inverse_std;
                    }
                }
            },
        );
    }
}
