//! A layer of one's own: the gated linear unit (Dauphin et al., 2017), `(x Aᵀ + a) sigmoid(x Bᵀ + b)`. It is written
//! twice, as a fused pass from the library's kernels and in candle. The two are compared; then a network of such layers
//! learns the product of two numbers.
//!
//! `cargo run --release --package rl-nets --example own_layer`
#![allow(clippy::print_stdout)]

use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use rl_core::{Rng, Seeds};
use rl_nets::kernels::{Matrix, add_column_sums, dispatch, fill_rows, product, tanh};
use rl_nets::{
    Backend, Chain, Init, Layout, Linear, Module, Network, OptimizerConfig, Result, check_module,
};

/// Parameters are `weight`, `[2 outputs, inputs]`, the values' rows first, and `bias`, `[2 outputs]`.
#[derive(Clone)]
struct Gated {
    layout: Layout,
    inputs: usize,
    outputs: usize,
    /// The value and the gate of each output, `[batch, 2 outputs]`, and their gradient.
    parts: Vec<f32>,
    grad: Vec<f32>,
    output: Vec<f32>,
}

impl Gated {
    fn new(inputs: usize, outputs: usize) -> Self {
        let mut layout = Layout::default();
        layout.push("weight", &[2 * outputs, inputs]);
        layout.push("bias", &[2 * outputs]);
        Gated { layout, inputs, outputs, parts: vec![], grad: vec![], output: vec![] }
    }

    /// Where the bias begins.
    fn bias(&self) -> usize {
        2 * self.outputs * self.inputs
    }
}

impl Module for Gated {
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
        let (weight, bias) = params.split_at_mut(self.bias());
        Init::Pytorch.fill(weight, bias, 1, rng);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        let (batch, n) = (input.len() / self.inputs, self.outputs);
        let (weight, bias) = params.split_at(self.bias());
        self.parts.resize(batch * 2 * n, 0.0);
        self.output.resize(batch * n, 0.0);
        fill_rows(&mut self.parts, bias);
        let x = Matrix::new(input, batch, self.inputs);
        product(&mut self.parts, x, Matrix::new(weight, 2 * n, self.inputs).t(), true);
        let rows = self.parts.chunks_exact_mut(2 * n).zip(self.output.chunks_exact_mut(n));
        dispatch(
            #[inline(always)]
            || {
                for (parts, output) in rows {
                    let (values, gates) = parts.split_at_mut(n);
                    for ((y, value), gate) in output.iter_mut().zip(values).zip(gates) {
                        *gate = 0.5 + 0.5 * tanh(0.5 * *gate);
                        *y = *value * *gate;
                    }
                }
            },
        );
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let (batch, n) = (input.len() / self.inputs, self.outputs);
        self.grad.resize(self.parts.len(), 0.0);
        let rows = self.parts.chunks_exact(2 * n).zip(self.grad.chunks_exact_mut(2 * n));
        for ((parts, grad), upstream) in rows.zip(grad_output.chunks_exact(n)) {
            for (i, g) in upstream.iter().enumerate() {
                let (value, gate) = (parts[i], parts[n + i]);
                grad[i] = g * gate;
                grad[n + i] = g * value * gate * (1.0 - gate);
            }
        }
        let grad = Matrix::new(&self.grad, batch, 2 * n);
        if let Some(grads) = grads {
            let (weight, bias) = grads.split_at_mut(self.bias());
            product(weight, grad.t(), Matrix::new(input, batch, self.inputs), true);
            add_column_sums(bias, &self.grad);
        }
        if let Some(out) = grad_input {
            let weight = Matrix::new(&params[..self.bias()], 2 * n, self.inputs);
            product(out, grad, weight, false);
        }
        Ok(())
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let (n, bias) = (self.outputs, self.bias());
        let weight = params.narrow(0, 0, bias)?.reshape((2 * n, self.inputs))?;
        let parts = input.matmul(&weight.t()?)?;
        let parts = parts.broadcast_add(&params.narrow(0, bias, 2 * n)?)?;
        Ok((parts.narrow(1, 0, n)? * sigmoid(&parts.narrow(1, n, n)?)?)?)
    }
}

fn main() -> Result<()> {
    assert_eq!(check_module(&Gated::new(3, 5))?, [""; 0]);

    let layers = Chain::new(2).then(Gated::new(2, 16))?.then(Linear::new(16, 1)?)?;
    let seeds = Seeds::new(0);
    let mut net = Network::new(layers, &Backend::cpu(), &mut seeds.stream("init", 0))?;
    let mut adam = net.optimizer(OptimizerConfig::adam())?;
    let (mut rng, mut loss) = (seeds.stream("data", 0), f32::INFINITY);
    for _ in 0..2_000 {
        let x = [0.0; 2 * 64].map(|_: f32| rng.uniform(-1.0, 1.0) as f32);
        let pass = net.forward(&x)?;
        let rows = pass.output().iter().zip(x.chunks_exact(2));
        let mut errors: Vec<f32> = rows.map(|(y, x)| (y - x[0] * x[1]) / 64.0).collect();
        loss = 64.0 * errors.iter().map(|error| error * error).sum::<f32>();
        pass.backward(&mut errors)?;
        net.step(&mut adam, 1e-2, None)?;
    }
    assert!(loss < 1e-3, "{loss}");
    println!("gated linear units multiply two numbers: mean squared error {loss:.6}");
    Ok(())
}
