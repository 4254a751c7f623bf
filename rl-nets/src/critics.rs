//! Several value functions side by side.

use crate::{Layout, Mlp, MlpConfig, Module, Result, Threads};
use candle_core::Tensor;
use rl_core::{Rng, check};
use std::ops::Range;

/// Perceptrons of one shape that read the same input, over one flat parameter vector: the twin critics of
/// TD3 and SAC. A row of output has one number of each.
///
/// ```
/// use rl_nets::{Critics, MlpConfig, Module};
/// let critics = Critics::new(2, 3 + 1, &MlpConfig::default())?;
/// assert_eq!((critics.input_len(), critics.output_len()), (4, 2));
/// assert_eq!(critics.layout().entries()[0].name, "critic.0.0.weight");
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Critics {
    layout: Layout,
    critics: Vec<Critic>,
    threads: Threads,
    output: Vec<f32>,
    tangent: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Critic {
    mlp: Mlp,
    params: Range<usize>,
    /// The gradients of its output and of its input.
    grad: Vec<f32>,
    grad_input: Vec<f32>,
}

impl Critics {
    /// `count` perceptrons from `inputs` numbers to one.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero; those of [`Mlp::new`].
    pub fn new(count: usize, inputs: usize, config: &MlpConfig) -> Result<Self> {
        check::at_least("critics", 1, count as u64)?;
        let mut layout = Layout::default();
        let mut critics = Vec::new();
        for i in 0..count {
            let mlp = Mlp::new(&format!("critic.{i}"), inputs, 1, config)?;
            let params = layout.append(mlp.layout());
            critics.push(Critic { mlp, params, grad: Vec::new(), grad_input: Vec::new() });
        }
        let (output, tangent) = (Vec::new(), Vec::new());
        Ok(Critics { layout, critics, threads: Threads::one(), output, tangent })
    }
}

impl Module for Critics {
    fn input_len(&self) -> usize {
        self.critics.first().map_or(0, |critic| critic.mlp.input_len())
    }

    fn output_len(&self) -> usize {
        self.critics.len()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for Critic { mlp, params: range, .. } in &self.critics {
            mlp.init(&mut params[range.clone()], rng);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        let (batch, count) = (input.len() / self.input_len(), self.critics.len());
        self.threads.each(&mut self.critics, batch * params.len(), [], |_, critic, []| {
            critic.mlp.forward(&params[critic.params.clone()], input);
        });
        self.output.resize(batch * count, 0.0);
        for (i, critic) in self.critics.iter().enumerate() {
            let column = self.output[i..].iter_mut().step_by(count);
            column.zip(critic.mlp.output()).for_each(|(out, value)| *out = *value);
        }
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) {
        let (count, wanted) = (self.critics.len(), grad_input.is_some());
        let (with_grads, grads) = (grads.is_some(), grads.unwrap_or_default());
        let work = 2 * grad_output.len() / count * params.len();
        self.threads.each(&mut self.critics, work, [grads], |i, critic, [grads]| {
            let Critic { mlp, params: range, grad, grad_input } = critic;
            grad.clear();
            grad.extend(grad_output[i..].iter().step_by(count));
            grad_input.clear();
            // A critic that has no part in the loss adds nothing.
            if !with_grads && grad.iter().all(|&g| g == 0.0) {
                return;
            }
            grad_input.resize(if wanted { input.len() } else { 0 }, 0.0);
            let into = wanted.then_some(&mut grad_input[..]);
            let grads = with_grads.then_some(grads);
            mlp.backward(&params[range.clone()], input, grad, grads, into);
        });
        if let Some(out) = grad_input {
            out.fill(0.0);
            for critic in &self.critics {
                out.iter_mut().zip(&critic.grad_input).for_each(|(g, more)| *g += more);
            }
        }
    }

    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        let count = self.critics.len();
        self.tangent.resize(self.output.len(), 0.0);
        for (i, Critic { mlp, params: range, .. }) in self.critics.iter_mut().enumerate() {
            let along = &direction[range.clone()];
            let values = mlp.tangent(&params[range.clone()], input, along)?;
            let column = self.tangent[i..].iter_mut().step_by(count);
            column.zip(values).for_each(|(out, value)| *out = *value);
        }
        Some(&self.tangent)
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        let each = |critic: &Critic| {
            let Critic { mlp, params: range, .. } = critic;
            mlp.reference(&params.narrow(0, range.start, range.len())?, input)
        };
        let columns: candle_core::Result<Vec<Tensor>> = self.critics.iter().map(each).collect();
        Tensor::cat(&columns?, 1)
    }

    fn share_among(&mut self, threads: &Threads) {
        self.critics.iter_mut().for_each(|critic| critic.mlp.share_among(threads));
        self.threads = threads.clone();
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
