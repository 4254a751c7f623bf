//! Several value functions side by side.

use crate::{Layout, Mlp, MlpConfig, Module, Result};
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
    critics: Vec<Mlp>,
    ranges: Vec<Range<usize>>,
    output: Vec<f32>,
    tangent: Vec<f32>,
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
        let (mut critics, mut ranges) = (Vec::new(), Vec::new());
        for i in 0..count {
            let critic = Mlp::new(&format!("critic.{i}"), inputs, 1, config)?;
            ranges.push(layout.append(critic.layout()));
            critics.push(critic);
        }
        Ok(Critics {
            layout,
            critics,
            ranges,
            output: Vec::new(),
            tangent: Vec::new(),
            grad: Vec::new(),
            grad_input: Vec::new(),
        })
    }
}

impl Module for Critics {
    fn input_len(&self) -> usize {
        self.critics.first().map_or(0, Mlp::input_len)
    }

    fn output_len(&self) -> usize {
        self.critics.len()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for (critic, range) in self.critics.iter().zip(&self.ranges) {
            critic.init(&mut params[range.clone()], rng);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        let (batch, count) = (input.len() / self.input_len(), self.critics.len());
        self.output.resize(batch * count, 0.0);
        for (i, (critic, range)) in self.critics.iter_mut().zip(&self.ranges).enumerate() {
            let values = critic.forward(&params[range.clone()], input);
            let column = self.output[i..].iter_mut().step_by(count);
            column.zip(values).for_each(|(out, value)| *out = *value);
        }
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        mut grads: Option<&mut [f32]>,
        mut grad_input: Option<&mut [f32]>,
    ) {
        let count = self.critics.len();
        for (i, (critic, range)) in self.critics.iter_mut().zip(&self.ranges).enumerate() {
            self.grad.clear();
            self.grad.extend(grad_output[i..].iter().step_by(count));
            let part = grads.as_deref_mut().map(|grads| &mut grads[range.clone()]);
            let params = &params[range.clone()];
            match grad_input.as_deref_mut() {
                None => critic.backward(params, input, &self.grad, part, None),
                Some(out) if i == 0 => {
                    critic.backward(params, input, &self.grad, part, Some(out));
                }
                // A critic that has no part in the loss adds nothing.
                Some(_) if part.is_none() && self.grad.iter().all(|&g| g == 0.0) => {}
                Some(out) => {
                    self.grad_input.resize(out.len(), 0.0);
                    critic.backward(params, input, &self.grad, part, Some(&mut self.grad_input));
                    out.iter_mut().zip(&self.grad_input).for_each(|(g, more)| *g += more);
                }
            }
        }
    }

    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        let count = self.critics.len();
        self.tangent.resize(self.output.len(), 0.0);
        for (i, (critic, range)) in self.critics.iter_mut().zip(&self.ranges).enumerate() {
            let along = &direction[range.clone()];
            let values = critic.tangent(&params[range.clone()], input, along)?;
            let column = self.tangent[i..].iter_mut().step_by(count);
            column.zip(values).for_each(|(out, value)| *out = *value);
        }
        Some(&self.tangent)
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        let each = self.critics.iter().zip(&self.ranges);
        let columns: candle_core::Result<Vec<Tensor>> = each
            .map(|(critic, range)| {
                critic.reference(&params.narrow(0, range.start, range.len())?, input)
            })
            .collect();
        Tensor::cat(&columns?, 1)
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
