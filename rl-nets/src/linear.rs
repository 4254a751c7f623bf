//! The fully connected layer.

use crate::aligned::{Aligned, resize};
use crate::kernels::{Matrix, add_column_sums, fill_rows, product};
use crate::layer_norm::{LayerNorm, normalise};
use crate::{Activation, Init, Layout, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};
use std::ops::Range;

/// A fully connected layer: `activation(norm(x Wᵀ + b))`, with parameters `weight`, `[outputs, inputs]`, `bias`,
/// `[outputs]`, and with layer norm `norm.weight` and `norm.bias`, `[outputs]`.
///
/// ```
/// use rl_nets::{Activation, Init, Linear, Module};
/// let layer = Linear::new(3, 2)?
///     .with_activation(Activation::Tanh)
///     .with_init(Init::Orthogonal { gain: 1.0 })
///     .with_layer_norm();
/// assert_eq!(layer.layout().len(), 3 * 2 + 2 + 2 + 2);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    init: Init,
    layout: Layout,
    weight: Range<usize>,
    bias: Range<usize>,
    norm: Option<LayerNorm>,
    threads: Threads,
    /// The output, `[batch, outputs]`.
    y: Aligned,
    /// The activation's input, `[batch, outputs]`, where its derivative needs it.
    z: Aligned,
}

impl Linear {
    /// A layer from `inputs` to `outputs` numbers, without an activation, that starts as in PyTorch.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero.
    pub fn new(inputs: usize, outputs: usize) -> Result<Self> {
        check::at_least("inputs", 1, inputs as u64)?;
        check::at_least("outputs", 1, outputs as u64)?;
        let most = isize::MAX as usize / size_of::<f32>() / inputs;
        check::at_most("outputs", most as u64, "what memory can hold", outputs as u64)?;
        let mut layout = Layout::default();
        layout.push("weight", &[outputs, inputs]);
        let bias = layout.push("bias", &[outputs]);
        Ok(Linear {
            inputs,
            outputs,
            activation: Activation::Identity,
            init: Init::Pytorch,
            weight: 0..bias,
            bias: bias..layout.len(),
            layout,
            norm: None,
            threads: Threads::one(),
            y: Aligned::default(),
            z: Aligned::default(),
        })
    }

    /// Ends the layer with an activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Linear { activation, ..self }
    }

    /// Starts the weights and biases otherwise.
    pub fn with_init(self, init: Init) -> Self {
        Linear { init, ..self }
    }

    /// Normalises each row before the activation (Ba et al., 2016).
    pub fn with_layer_norm(mut self) -> Self {
        if self.norm.is_none() {
            self.norm = Some(LayerNorm::new(&mut self.layout, self.outputs));
        }
        self
    }

    fn batch(&self, input: &[f32]) -> usize {
        input.len() / self.inputs
    }

    /// Multiplies a gradient, or a forward derivative, by the activation's slope, in place, for some of the rows
    /// of the last forward pass.
    fn chain(&self, rows: Range<usize>, grad: &mut [f32]) {
        let part = rows.start * self.outputs..rows.end * self.outputs;
        self.activation.chain_part(grad, part, &self.y, &self.z);
    }
}

impl Module for Linear {
    fn describe(&self) -> Option<ModuleDescription> {
        Some(ModuleDescription::Linear {
            inputs: self.inputs,
            outputs: self.outputs,
            activation: self.activation,
            layer_norm: self.norm.is_some(),
        })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.outputs
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        let (weight, rest) = params.split_at_mut(self.bias.start);
        self.init.fill(weight, &mut rest[..self.outputs], 1, rng);
        if let Some(norm) = &self.norm {
            norm.init(params);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        let (batch, inputs, outputs) = (self.batch(input), self.inputs, self.outputs);
        let work = batch * self.work();
        let Linear { activation, weight, bias, norm, threads, y, z, .. } = self;
        y.resize(batch * outputs, 0.0)?;
        z.resize(if activation.needs_input() { y.len() } else { 0 }, 0.0)?;
        let (weight, bias) = (&params[weight.clone()], &params[bias.clone()]);
        let mut none = (Vec::new(), Vec::new());
        let (norm, unit, inverse_std) = match norm {
            None => (None, &mut none.0, &mut none.1),
            Some(LayerNorm { weight, bias, unit, inverse_std, .. }) => {
                resize(unit, y.len(), 0.0)?;
                inverse_std.resize(batch, 0.0);
                (Some((&params[weight.clone()], &params[bias.clone()])), unit, inverse_std)
            }
        };
        threads.share(batch, work, [y, z, unit, inverse_std], |rows, [y, z, unit, inverse_std]| {
            fill_rows(y, bias);
            let x = Matrix::new(input, batch, inputs).rows(rows);
            product(y, x, Matrix::new(weight, outputs, inputs).t(), true);
            if let Some(norm) = norm {
                normalise(norm, y, unit, inverse_std);
            }
            z.iter_mut().zip(&*y).for_each(|(z, y)| *z = *y);
            activation.apply(y);
        });
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.y
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        mut grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let (batch, inputs, outputs) = (self.batch(input), self.inputs, self.outputs);
        let work = batch * self.work();
        let layer = &*self;
        let grad = grad_output;
        self.threads.share(batch, work, [grad], |rows, [grad]| layer.chain(rows, grad));
        if let Some(norm) = &mut self.norm {
            norm.backward(params, grad, grads.as_deref_mut());
        }
        if let Some(grads) = grads {
            add_column_sums(&mut grads[self.bias.clone()], grad);
            let (grad, x) = (Matrix::new(grad, batch, outputs), Matrix::new(input, batch, inputs));
            let weight = &mut grads[self.weight.clone()];
            self.threads.share(outputs, work, [weight], |rows, [weight]| {
                product(weight, grad.t().rows(rows), x, true);
            });
        }
        if let Some(out) = grad_input {
            let weight = Matrix::new(&params[self.weight.clone()], outputs, inputs);
            let grad = Matrix::new(grad, batch, outputs);
            self.threads.share(batch, work, [out], |rows, [out]| {
                product(out, grad.rows(rows), weight, false);
            });
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        let (batch, inputs, outputs) = (self.batch(input), self.inputs, self.outputs);
        let layer = &*self;
        self.threads.share(batch, 2 * batch * self.work(), [out], |rows, [out]| {
            fill_rows(out, &direction[layer.bias.clone()]);
            let linear = |out: &mut [f32], x: &[f32], weight: &[f32]| {
                let (x, weight) = (Matrix::new(x, batch, inputs), &weight[layer.weight.clone()]);
                product(out, x.rows(rows.clone()), Matrix::new(weight, outputs, inputs).t(), true);
            };
            linear(out, input, direction);
            if let Some(moved) = input_tangent {
                linear(out, moved, params);
            }
            if let Some(norm) = &layer.norm {
                norm.tangent(params, direction, rows.clone(), out);
            }
            layer.chain(rows, out);
        });
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let weight = part(&self.weight)?.reshape((self.outputs, self.inputs))?;
        let mut y = input.matmul(&weight.t()?)?.broadcast_add(&part(&self.bias)?)?;
        if let Some(norm) = &self.norm {
            y = norm.reference(params, &y)?;
        }
        Ok(self.activation.reference(&y)?)
    }

    fn work(&self) -> usize {
        self.inputs * self.outputs
    }

    fn share_among(&mut self, threads: &Threads) {
        self.threads = threads.clone();
    }
}
