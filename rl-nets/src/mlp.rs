//! The multilayer perceptron.

use crate::kernels::{Matrix, add_column_sums, dispatch, fill_rows, product};
use crate::{Activation, Init, Layout, Module, Result, Threads};
use candle_core::{D, Tensor};
use rl_core::{Rng, check};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The shape of a multilayer perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// Widths of the hidden layers; `[64, 64]`, as Stable-Baselines3's `MlpPolicy`.
    pub hidden: Vec<usize>,
    /// After each hidden layer; relu.
    pub activation: Activation,
    /// Whether to normalise each hidden layer before its activation (Ba et al., 2016); no.
    pub layer_norm: bool,
    /// How hidden layers start; as in PyTorch.
    pub init: Init,
    /// How the output layer starts; as in PyTorch.
    pub output_init: Init,
    /// After the output layer; none.
    pub output_activation: Activation,
}

impl Default for MlpConfig {
    fn default() -> Self {
        MlpConfig {
            hidden: vec![64, 64],
            activation: Activation::Relu,
            layer_norm: false,
            init: Init::Pytorch,
            output_init: Init::Pytorch,
            output_activation: Activation::Identity,
        }
    }
}

impl MlpConfig {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a layer without units.
    pub fn validate(&self) -> rl_core::Result<()> {
        self.hidden.iter().try_for_each(|&h| check::at_least("hidden", 1, h as u64))
    }
}

const NORM_EPS: f32 = 1e-5;

/// A multilayer perceptron: linear layers with an activation between them.
///
/// Parameters are named `{prefix}.{layer}.weight` `[out, in]`, `{prefix}.{layer}.bias` `[out]` and,
/// with layer norm, `{prefix}.{layer}.norm.weight` and `.norm.bias`.
///
/// ```
/// use rl_nets::{Mlp, MlpConfig, Module};
/// let mlp = Mlp::new("q", 4, 2, &MlpConfig::default())?;
/// assert_eq!(mlp.layout().entries()[0].name, "q.0.weight");
/// assert_eq!(mlp.layout().len(), 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    layout: Layout,
    layers: Vec<Layer>,
    threads: Threads,
    /// The gradient that travels backwards, and the one it becomes.
    grads: [Vec<f32>; 2],
    /// The same for the derivative that travels forwards.
    tangents: [Vec<f32>; 2],
}

#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    init: Init,
    weight: Range<usize>,
    bias: Range<usize>,
    norm: Option<Norm>,
    /// The output, `[batch, outputs]`.
    y: Vec<f32>,
    /// The activation's input, `[batch, outputs]`, where its derivative needs it.
    z: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Range<usize>,
    bias: Range<usize>,
    /// The normalised rows, `[batch, outputs]`.
    unit: Vec<f32>,
    /// One over the standard deviation of each row, `[batch]`.
    inverse_std: Vec<f32>,
    /// Where the gradient of the scale goes that nobody asked for, `[outputs]`.
    unasked: Vec<f32>,
}

impl Mlp {
    /// A perceptron from `inputs` to `outputs` numbers; `prefix` begins its parameters' names.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a layer without units.
    pub fn new(prefix: &str, inputs: usize, outputs: usize, config: &MlpConfig) -> Result<Self> {
        config.validate()?;
        check::at_least("inputs", 1, inputs as u64)?;
        check::at_least("outputs", 1, outputs as u64)?;
        let mut layout = Layout::default();
        let mut layers = Vec::new();
        let widths = config.hidden.iter().copied().chain([outputs]);
        let mut previous = inputs;
        for (i, width) in widths.enumerate() {
            let last = i == config.hidden.len();
            let mut add = |name: &str, shape: &[usize]| {
                let offset = layout.push(format!("{prefix}.{i}.{name}"), shape);
                offset..offset + shape.iter().product::<usize>()
            };
            layers.push(Layer {
                inputs: previous,
                outputs: width,
                activation: if last { config.output_activation } else { config.activation },
                init: if last { config.output_init } else { config.init },
                weight: add("weight", &[width, previous]),
                bias: add("bias", &[width]),
                norm: (config.layer_norm && !last).then(|| Norm {
                    weight: add("norm.weight", &[width]),
                    bias: add("norm.bias", &[width]),
                    unit: Vec::new(),
                    inverse_std: Vec::new(),
                    unasked: Vec::new(),
                }),
                y: Vec::new(),
                z: Vec::new(),
            });
            previous = width;
        }
        let pair = || [Vec::new(), Vec::new()];
        Ok(Mlp { layout, layers, threads: Threads::one(), grads: pair(), tangents: pair() })
    }

    /// The output of the last forward pass.
    pub(crate) fn output(&self) -> &[f32] {
        self.layers.last().map_or(&[], |layer| &layer.y)
    }
}

impl Layer {
    /// Multiplications of the linear part, forwards or backwards.
    fn work(&self, batch: usize) -> usize {
        batch * self.inputs * self.outputs
    }

    /// `y = act(norm(x Wᵀ + b))`.
    fn forward(&mut self, threads: &Threads, params: &[f32], x: &[f32]) {
        let batch = x.len() / self.inputs;
        let (inputs, outputs, work) = (self.inputs, self.outputs, self.work(batch));
        let Layer { activation, weight, bias, norm, y, z, .. } = self;
        y.resize(batch * outputs, 0.0);
        z.resize(if activation.needs_input() { y.len() } else { 0 }, 0.0);
        let (weight, bias) = (&params[weight.clone()], &params[bias.clone()]);
        let mut none = (Vec::new(), Vec::new());
        let (norm, unit, inverse_std) = match norm {
            None => (None, &mut none.0, &mut none.1),
            Some(Norm { weight, bias, unit, inverse_std, .. }) => {
                unit.resize(y.len(), 0.0);
                inverse_std.resize(batch, 0.0);
                (Some((&params[weight.clone()], &params[bias.clone()])), unit, inverse_std)
            }
        };
        threads.share(batch, work, [y, z, unit, inverse_std], |rows, [y, z, unit, inverse_std]| {
            fill_rows(y, bias);
            let x = Matrix::new(x, batch, inputs).rows(rows);
            product(y, x, Matrix::new(weight, outputs, inputs).t(), true);
            if let Some(norm) = norm {
                normalise(norm, y, unit, inverse_std);
            }
            z.iter_mut().zip(&*y).for_each(|(z, y)| *z = *y);
            activation.apply(y);
        });
    }

    /// Multiplies a gradient, or a derivative, by the activation's slope, in place, for some of the rows of the
    /// last forward pass.
    fn chain(&self, rows: Range<usize>, grad: &mut [f32]) {
        let part = rows.start * self.outputs..rows.end * self.outputs;
        self.activation.chain(grad, &self.y[part.clone()], self.z.get(part).unwrap_or_default());
    }

    /// Turns the gradient of the output, in place, into that of the linear part, and adds the
    /// gradients of this layer's parameters where asked.
    fn backward(
        &mut self,
        threads: &Threads,
        params: &[f32],
        x: &[f32],
        grad: &mut [f32],
        mut grads: Option<&mut [f32]>,
    ) {
        let batch = x.len() / self.inputs;
        let (inputs, outputs, work) = (self.inputs, self.outputs, self.work(batch));
        let layer = &*self;
        threads.share(batch, work, [grad], |rows, [grad]| layer.chain(rows, grad));
        if let Some(norm) = &mut self.norm {
            norm.backward(params, grad, grads.as_deref_mut());
        }
        let Some(grads) = grads else { return };
        add_column_sums(&mut grads[self.bias.clone()], grad);
        let (grad, x) = (Matrix::new(grad, batch, outputs), Matrix::new(x, batch, inputs));
        let weight = &mut grads[self.weight.clone()];
        threads.share(outputs, work, [weight], |rows, [weight]| {
            product(weight, grad.t().rows(rows), x, true);
        });
    }

    /// The gradient of this layer's input, given that of its linear part.
    fn input_gradient(&self, threads: &Threads, params: &[f32], grad: &[f32], out: &mut [f32]) {
        let batch = grad.len() / self.outputs;
        let weight = Matrix::new(&params[self.weight.clone()], self.outputs, self.inputs);
        let grad = Matrix::new(grad, batch, self.outputs);
        threads.share(batch, self.work(batch), [out], |rows, [out]| {
            product(out, grad.rows(rows), weight, false);
        });
    }

    /// The derivative of the output where the parameters move in `direction` and the input by `moved`.
    fn tangent(
        &self,
        threads: &Threads,
        params: &[f32],
        x: &[f32],
        direction: &[f32],
        moved: Option<&[f32]>,
        out: &mut Vec<f32>,
    ) {
        let batch = x.len() / self.inputs;
        let (inputs, outputs) = (self.inputs, self.outputs);
        out.resize(batch * outputs, 0.0);
        threads.share(batch, 2 * self.work(batch), [out], |rows, [out]| {
            fill_rows(out, &direction[self.bias.clone()]);
            let linear = |out: &mut [f32], x: &[f32], weight: &[f32]| {
                let (x, weight) = (Matrix::new(x, batch, inputs), &weight[self.weight.clone()]);
                product(out, x.rows(rows.clone()), Matrix::new(weight, outputs, inputs).t(), true);
            };
            linear(out, x, direction);
            if let Some(moved) = moved {
                linear(out, moved, params);
            }
            if let Some(norm) = &self.norm {
                norm.tangent(params, direction, rows.clone(), out);
            }
            self.chain(rows, out);
        });
    }

    fn reference(&self, params: &Tensor, x: &Tensor) -> candle_core::Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let weight = part(&self.weight)?.reshape((self.outputs, self.inputs))?;
        let mut y = x.matmul(&weight.t()?)?.broadcast_add(&part(&self.bias)?)?;
        if let Some(norm) = &self.norm {
            // Spelt out: candle's fused layer norm carries no gradient.
            let centred = y.broadcast_sub(&y.mean_keepdim(D::Minus1)?)?;
            let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
            let unit = centred.broadcast_div(&(variance + f64::from(NORM_EPS))?.sqrt()?)?;
            y = unit.broadcast_mul(&part(&norm.weight)?)?.broadcast_add(&part(&norm.bias)?)?;
        }
        self.activation.reference(&y)
    }
}

/// Normalises each row of `y` to mean 0 and variance 1, then scales and shifts; keeps the normalised rows
/// and one over their standard deviations.
fn normalise(
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
                *inverse_std = 1.0 / (squares / width as f32 + NORM_EPS).sqrt();
                for (((y, u), w), b) in y.iter_mut().zip(unit).zip(weight).zip(bias) {
                    *u = (*y - mean) * *inverse_std;
                    *y = u.mul_add(*w, *b);
                }
            }
        },
    );
}

impl Norm {
    /// Turns the derivative of the input into that of the output, in place, for some of the rows of the last
    /// forward pass.
    fn tangent(&self, params: &[f32], direction: &[f32], rows: Range<usize>, tangent: &mut [f32]) {
        let width = self.weight.len();
        let (weight, turned) = (&params[self.weight.clone()], &direction[self.weight.clone()]);
        let bias = &direction[self.bias.clone()];
        let units = self.unit[rows.start * width..].chunks_exact(width);
        let scales = units.zip(&self.inverse_std[rows]);
        for (t, (unit, inverse_std)) in tangent.chunks_exact_mut(width).zip(scales) {
            let mean = t.iter().sum::<f32>() / width as f32;
            let along = t.iter().zip(unit).map(|(t, u)| t * u).sum::<f32>() / width as f32;
            let scales = weight.iter().zip(turned).zip(bias);
            for ((t, u), ((w, dw), db)) in t.iter_mut().zip(unit).zip(scales) {
                *t = w * (*t - mean - u * along) * inverse_std + dw * u + db;
            }
        }
    }

    /// Turns the gradient of the output into that of the input, in place.
    fn backward(&mut self, params: &[f32], grad: &mut [f32], grads: Option<&mut [f32]>) {
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

impl Module for Mlp {
    fn input_len(&self) -> usize {
        self.layers.first().map_or(0, |l| l.inputs)
    }

    fn output_len(&self) -> usize {
        self.layers.last().map_or(0, |l| l.outputs)
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for layer in &self.layers {
            let (before, rest) = params.split_at_mut(layer.bias.start);
            layer.init.fill(&mut before[layer.weight.clone()], &mut rest[..layer.outputs], rng);
            if let Some(norm) = &layer.norm {
                params[norm.weight.clone()].fill(1.0);
                params[norm.bias.clone()].fill(0.0);
            }
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        for i in 0..self.layers.len() {
            let (done, rest) = self.layers.split_at_mut(i);
            let x = done.last().map_or(input, |layer| &layer.y);
            rest[0].forward(&self.threads, params, x);
        }
        self.output()
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        mut grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) {
        let [grad, next] = &mut self.grads;
        grad.clear();
        grad.extend_from_slice(grad_output);
        for i in (0..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            let layer = &mut rest[0];
            let x = before.last().map_or(input, |layer| &layer.y);
            layer.backward(&self.threads, params, x, grad, grads.as_deref_mut());
            if i > 0 {
                next.resize(x.len(), 0.0);
                layer.input_gradient(&self.threads, params, grad, next);
                std::mem::swap(grad, next);
            }
        }
        if let (Some(out), Some(first)) = (grad_input, self.layers.first()) {
            first.input_gradient(&self.threads, params, grad, out);
        }
    }

    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        let [tangent, next] = &mut self.tangents;
        for (i, layer) in self.layers.iter().enumerate() {
            let x = i.checked_sub(1).map_or(input, |before| &self.layers[before].y);
            layer.tangent(
                &self.threads,
                params,
                x,
                direction,
                (i > 0).then_some(&tangent[..]),
                next,
            );
            std::mem::swap(tangent, next);
        }
        Some(tangent)
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        self.layers.iter().try_fold(input.clone(), |x, layer| layer.reference(params, &x))
    }

    fn share_among(&mut self, threads: &Threads) {
        self.threads = threads.clone();
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
