//! Fully connected layers with learned noise.

use crate::{Activation, Init, Layout, Linear, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};

/// A fully connected layer whose weights carry noise of a learned size, by which an agent explores (Fortunato et al.,
/// 2018, with factorised noise):
///
/// ```text
/// y = (W + S ⊙ f(e_out) f(e_in)ᵀ) x + b + s ⊙ f(e_out),   f(e) = sgn(e) sqrt(|e|)
/// ```
///
/// Noise is drawn by [`resample`](Module::resample) and is zero without a generator. Parameters are `weight` and
/// `weight_sigma`, `[outputs, inputs]`, `bias` and `bias_sigma`, `[outputs]`.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Network, NoisyLinear};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mut net = Network::new(NoisyLinear::new(2, 1, 0.5)?, &Backend::cpu(), &mut rng)?;
/// let quiet = net.predict(&[1.0, 2.0])?[0];
/// net.resample(Some(&mut rng));
/// assert_ne!(net.predict(&[1.0, 2.0])?[0], quiet);
/// net.resample(None);
/// assert_eq!(net.predict(&[1.0, 2.0])?[0], quiet);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoisyLinear {
    layout: Layout,
    /// Computes with the noisy weights.
    inner: Linear,
    inputs: usize,
    outputs: usize,
    sigma: f64,
    /// `f(e_in)` and `f(e_out)`; zero without noise.
    noise_in: Vec<f32>,
    noise_out: Vec<f32>,
    /// The noisy weights and biases of the last pass, and their gradient, `[outputs * inputs + outputs]`.
    effective: Vec<f32>,
    grad: Vec<f32>,
}

impl NoisyLinear {
    /// A layer from `inputs` to `outputs` numbers. Noise starts at `sigma / sqrt(inputs)`; 0.5 as published.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, or a size of noise that is negative or not finite.
    pub fn new(inputs: usize, outputs: usize, sigma: f64) -> Result<Self> {
        check::non_negative("sigma", sigma)?;
        let inner = Linear::new(inputs, outputs)?;
        // Of each parameter the mean and the size of its noise.
        let params = inputs.checked_mul(outputs).and_then(|weights| weights.checked_add(outputs));
        let bytes = params.and_then(|params| params.checked_mul(2 * size_of::<f32>()));
        check::memory("outputs", outputs, bytes)?;
        let mut layout = Layout::default();
        layout.push("weight", &[outputs, inputs]);
        layout.push("bias", &[outputs]);
        layout.push("weight_sigma", &[outputs, inputs]);
        layout.push("bias_sigma", &[outputs]);
        Ok(NoisyLinear {
            layout,
            inner,
            inputs,
            outputs,
            sigma,
            noise_in: vec![0.0; inputs],
            noise_out: vec![0.0; outputs],
            effective: Vec::new(),
            grad: Vec::new(),
        })
    }

    /// The same with an activation behind it.
    pub fn with_activation(self, activation: Activation) -> Self {
        NoisyLinear { inner: self.inner.with_activation(activation), ..self }
    }

    /// Writes what noise makes of parameters `[mean, size of noise]` in the order of the inner layer's.
    fn perturb(&self, params: &[f32], out: &mut Vec<f32>) {
        let (mean, sigma) = params.split_at(params.len() / 2);
        out.clear();
        out.extend_from_slice(mean);
        let (weights, biases) = out.split_at_mut(self.inputs * self.outputs);
        let (weight_sigma, bias_sigma) = sigma.split_at(self.inputs * self.outputs);
        let rows =
            weights.chunks_exact_mut(self.inputs).zip(weight_sigma.chunks_exact(self.inputs));
        for ((row, sigma), out) in rows.zip(&self.noise_out) {
            for ((w, s), x) in row.iter_mut().zip(sigma).zip(&self.noise_in) {
                *w += s * (out * x);
            }
        }
        for ((b, s), out) in biases.iter_mut().zip(bias_sigma).zip(&self.noise_out) {
            *b += s * out;
        }
    }
}

impl Module for NoisyLinear {
    fn describe(&self) -> Option<ModuleDescription> {
        let ModuleDescription::Linear { inputs, outputs, activation, .. } =
            self.inner.describe()?
        else {
            return None;
        };
        Some(ModuleDescription::NoisyLinear { inputs, outputs, activation })
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
        let (mean, sigma) = params.split_at_mut(params.len() / 2);
        let (weights, biases) = mean.split_at_mut(self.inputs * self.outputs);
        Init::Pytorch.fill(weights, biases, 1, rng);
        sigma.fill((self.sigma / (self.inputs as f64).sqrt()) as f32);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        let mut effective = std::mem::take(&mut self.effective);
        self.perturb(params, &mut effective);
        self.effective = effective;
        self.inner.forward(&self.effective, input)
    }

    fn output(&self) -> &[f32] {
        self.inner.output()
    }

    fn backward(
        &mut self,
        _: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let NoisyLinear { inner, effective, grad, .. } = self;
        let Some(grads) = grads else {
            return inner.backward(effective, input, grad_output, None, grad_input);
        };
        grad.clear();
        grad.resize(effective.len(), 0.0);
        inner.backward(effective, input, grad_output, Some(grad), grad_input)?;
        let (mean, sigma) = grads.split_at_mut(grad.len());
        mean.iter_mut().zip(&*grad).for_each(|(m, g)| *m += g);
        let (weights, biases) = grad.split_at(self.inputs * self.outputs);
        let (weight_sigma, bias_sigma) = sigma.split_at_mut(self.inputs * self.outputs);
        let rows =
            weight_sigma.chunks_exact_mut(self.inputs).zip(weights.chunks_exact(self.inputs));
        for ((row, grad), out) in rows.zip(&self.noise_out) {
            for ((s, g), x) in row.iter_mut().zip(grad).zip(&self.noise_in) {
                *s += g * (out * x);
            }
        }
        for ((s, g), out) in bias_sigma.iter_mut().zip(biases).zip(&self.noise_out) {
            *s += g * out;
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        _: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        let mut moved = std::mem::take(&mut self.grad);
        self.perturb(direction, &mut moved);
        let done = self.inner.tangent(&self.effective, input, &moved, input_tangent, out);
        self.grad = moved;
        done
    }

    fn resample(&mut self, rng: Option<&mut Rng>) {
        let noise = self.noise_in.iter_mut().chain(&mut self.noise_out);
        match rng {
            None => noise.for_each(|x| *x = 0.0),
            Some(rng) => noise.for_each(|x| {
                let e = rng.normal();
                *x = (e.signum() * e.abs().sqrt()) as f32;
            }),
        }
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let (device, precision) = (params.device(), params.dtype());
        let n = self.inputs * self.outputs + self.outputs;
        let row = Tensor::from_slice(&self.noise_in, (1, self.inputs), device)?;
        let column = Tensor::from_slice(&self.noise_out, (self.outputs, 1), device)?;
        let weights = column.matmul(&row)?.flatten_all()?;
        let noise = Tensor::cat(&[weights, column.flatten_all()?], 0)?.to_dtype(precision)?;
        let effective = (params.narrow(0, 0, n)? + (params.narrow(0, n, n)? * noise)?)?;
        self.inner.reference(&effective, input)
    }

    fn work(&self) -> usize {
        self.inner.work()
    }

    fn share_among(&mut self, threads: &Threads) {
        self.inner.share_among(threads);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;
    use rl_core::Seeds;

    #[test]
    fn a_layer_that_does_not_fit_in_memory_is_an_error() {
        let error = NoisyLinear::new(4, 1 << 58, 0.5).unwrap_err().to_string();
        assert!(error.starts_with("outputs: expected a size that fits in memory"), "{error}");
    }

    #[cfg(feature = "candle")]
    #[test]
    fn both_forms_agree_with_noise_and_without() {
        let mut rng = Seeds::new(1).stream("noise", 0);
        let mut layer = NoisyLinear::new(5, 3, 0.5).unwrap().with_activation(Activation::Tanh);
        for _ in 0..2 {
            let problems = crate::check_module(&layer).unwrap();
            assert!(problems.is_empty(), "{problems:?}");
            layer.resample(Some(&mut rng));
        }
    }

    /// Against numbers that PyTorch computed (tests/fixtures/distributional.py).
    #[test]
    fn passes_equal_the_reference_data() {
        let data: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/distributional.json")).unwrap();
        let flat = |key: &str| -> Vec<f32> {
            let numbers = data["noisy"][key].as_array().unwrap().iter();
            numbers.map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let near = |what: &str, got: &[f32], expected: &str| {
            let expected = flat(expected);
            assert_eq!(got.len(), expected.len(), "{what}");
            let far = got.iter().zip(&expected).find(|(a, b)| (**a - **b).abs() > 1e-5);
            assert!(far.is_none(), "{what}: {far:?}");
        };
        let mut layer = NoisyLinear::new(5, 3, 0.5).unwrap();
        (layer.noise_in, layer.noise_out) = (flat("noise_in"), flat("noise_out"));
        let (params, x) = (flat("params"), flat("x"));
        layer.forward(&params, &x).unwrap();
        near("output", layer.output(), "y");
        let (mut grads, mut grad_x) = (vec![0.0; params.len()], vec![0.0; x.len()]);
        let (mut up, into) = (flat("up"), Some(&mut grad_x[..]));
        layer.backward(&params, &x, &mut up, Some(&mut grads), into).unwrap();
        near("gradient", &grads, "grads");
        near("gradient of the input", &grad_x, "grad_x");
    }

    /// The noise of an output is normal-like of the size that the parameters say, and independent from draw to draw.
    #[test]
    fn noise_has_its_size() {
        let mut layer = NoisyLinear::new(4, 1, 0.5).unwrap();
        // Means of zero: what comes out is noise alone, sigma (Σ f(e_i) + 1) f(e_out) for inputs of one.
        let params = [[0.0; 5], [0.25; 5]].concat();
        let (mut rng, mut squares, n) = (Seeds::new(0).stream("noise", 0), 0.0, 20_000);
        for _ in 0..n {
            layer.resample(Some(&mut rng));
            layer.forward(&params, &[1.0; 4]).unwrap();
            squares += f64::from(layer.output()[0]).powi(2);
        }
        // E f(e)² = E|e| = sqrt(2 / pi), and the terms are uncorrelated.
        let e = (2.0 / std::f64::consts::PI).sqrt();
        let expected = 0.25f64.powi(2) * e * (4.0 * e + 1.0);
        assert!((squares / f64::from(n) / expected - 1.0).abs() < 0.1, "{squares} {expected}");
    }
}
