//! The combination of a value with advantages.

use crate::{Module, Result};
use candle_core::Tensor;

/// Action values from rows of a value and an advantage an action, `[V, A_1 … A_n]` (Wang et al., 2016, equation 9):
///
/// ```text
/// Q_i = V + A_i - mean A
/// ```
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Dueling, Network};
/// let mut net = Network::new(Dueling::new(2)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// assert_eq!(net.predict(&[10.0, 1.0, 3.0])?, [9.0, 11.0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dueling {
    actions: usize,
    output: Vec<f32>,
}

impl Dueling {
    /// For `actions` actions.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for none.
    pub fn new(actions: usize) -> Result<Self> {
        rl_core::check::at_least("actions", 1, actions as u64)?;
        Ok(Dueling { actions, output: Vec::new() })
    }

    /// The combination of each row, which is linear: of its derivative too.
    fn combine<'a>(&self, rows: &'a [f32]) -> impl Iterator<Item = f32> + use<'a> {
        let n = self.actions;
        rows.chunks_exact(1 + n).flat_map(move |row| {
            let mean = row[1..].iter().sum::<f32>() / n as f32;
            row[1..].iter().map(move |a| row[0] + a - mean)
        })
    }
}

impl Module for Dueling {
    fn input_len(&self) -> usize {
        1 + self.actions
    }

    fn output_len(&self) -> usize {
        self.actions
    }

    fn forward(&mut self, _: &[f32], input: &[f32]) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        output.extend(self.combine(input));
        self.output = output;
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(
        &mut self,
        _: &[f32],
        _: &[f32],
        grad_output: &mut [f32],
        _: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let rows = grad_input.into_iter().flat_map(|out| out.chunks_exact_mut(1 + self.actions));
        for (out, grad) in rows.zip(grad_output.chunks_exact(self.actions)) {
            out[0] = grad.iter().sum();
            let mean = out[0] / self.actions as f32;
            out[1..].iter_mut().zip(grad).for_each(|(out, g)| *out = g - mean);
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        _: &[f32],
        _: &[f32],
        _: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        match input_tangent {
            Some(tangent) => out.iter_mut().zip(self.combine(tangent)).for_each(|(o, q)| *o = q),
            None => out.fill(0.0),
        }
        Ok(())
    }

    fn reference(&self, _: &Tensor, input: &Tensor) -> Result<Tensor> {
        let (value, advantages) = (input.narrow(1, 0, 1)?, input.narrow(1, 1, self.actions)?);
        let mean = advantages.mean_keepdim(1)?;
        Ok(advantages.broadcast_add(&(value - mean)?)?)
    }
}
