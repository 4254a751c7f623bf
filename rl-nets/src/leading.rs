//! Selection of the leading elements of each row.

use crate::{Module, ModuleDescription, Result};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::check;

/// Passes on the leading elements of each row; the rest, for example an action mask, is not seen by the following
/// layers.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Leading, Network};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mut net = Network::new(Leading::new(3, 2)?, &Backend::cpu(), &mut rng)?;
/// assert_eq!(net.predict(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?, [1.0, 2.0, 4.0, 5.0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Leading {
    inputs: usize,
    outputs: usize,
    output: Vec<f32>,
}

impl Leading {
    /// The first `outputs` of `inputs` elements.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for zero outputs, or more outputs than inputs.
    pub fn new(inputs: usize, outputs: usize) -> Result<Self> {
        check::at_least("outputs", 1, outputs as u64)?;
        check::at_most("outputs", inputs as u64, "inputs", outputs as u64)?;
        Ok(Leading { inputs, outputs, output: Vec::new() })
    }

    /// The leading elements of each row.
    fn rows<'a>(&self, rows: &'a [f32]) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let outputs = self.outputs;
        rows.chunks_exact(self.inputs).map(move |row| &row[..outputs])
    }
}

impl Module for Leading {
    fn describe(&self) -> Option<ModuleDescription> {
        Some(ModuleDescription::Leading { inputs: self.inputs, outputs: self.outputs })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.outputs
    }

    fn forward(&mut self, _: &[f32], input: &[f32]) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        self.rows(input).for_each(|row| output.extend_from_slice(row));
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
        let rows = grad_input.into_iter().flat_map(|out| out.chunks_exact_mut(self.inputs));
        for (out, grad) in rows.zip(grad_output.chunks_exact(self.outputs)) {
            let (first, rest) = out.split_at_mut(self.outputs);
            first.copy_from_slice(grad);
            rest.fill(0.0);
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
            Some(tangent) => {
                let rows = self.rows(tangent).zip(out.chunks_exact_mut(self.outputs));
                rows.for_each(|(row, out)| out.copy_from_slice(row));
            }
            None => out.fill(0.0),
        }
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, _: &Tensor, input: &Tensor) -> Result<Tensor> {
        Ok(input.narrow(1, 0, self.outputs)?)
    }
}

#[cfg(all(test, feature = "candle"))]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)] // Tests fail by panicking.
    fn both_forms_agree() {
        let leading = Leading::new(5, 3).unwrap();
        let problems = crate::check_module(&leading).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    }
}
