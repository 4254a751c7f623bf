//! The log standard deviations of a Gaussian policy.

use crate::module::copy_tangent;
use crate::{Layout, Module, ModuleDescription, Result};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};
use serde::{Deserialize, Serialize};

/// The source of the log standard deviations for continuous actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogStd {
    /// State-independent parameters with this initial value (Schulman et al., 2015).
    Free(f64),
    /// Outputs of the network, clipped to [-20, 2] (Haarnoja et al., 2018). The gradient is zero outside.
    OfState,
}

/// The bounds of a state-dependent log standard deviation.
const RANGE: (f32, f32) = (-20.0, 2.0);

impl LogStd {
    /// Checks the initial value.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a value outside [-20, 20].
    pub fn validate(&self) -> rl_core::Result<()> {
        match self {
            LogStd::Free(init) if !(-20.0..=20.0).contains(init) => {
                Err(rl_core::Error::config("log_std.free", "a number in [-20, 20]", init))
            }
            _ => Ok(()),
        }
    }
}

/// Appends state-independent parameters, `log_std`, to each row.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, FreeLogStd, Network};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mut net = Network::new(FreeLogStd::new(1, 2, -0.5), &Backend::cpu(), &mut rng)?;
/// assert_eq!(net.predict(&[3.0])?, [3.0, -0.5, -0.5]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FreeLogStd {
    inputs: usize,
    layout: Layout,
    initial: f32,
    output: Vec<f32>,
}

impl FreeLogStd {
    /// Appends `count` parameters with initial value `initial` to rows of `inputs` elements.
    pub fn new(inputs: usize, count: usize, initial: f32) -> Self {
        let mut layout = Layout::default();
        layout.push("log_std", &[count]);
        FreeLogStd { inputs, layout, initial, output: Vec::new() }
    }
}

impl Module for FreeLogStd {
    fn describe(&self) -> Option<ModuleDescription> {
        Some(ModuleDescription::FreeLogStd { inputs: self.inputs, count: self.layout.len() })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.inputs + self.layout.len()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], _: &mut Rng) {
        params.fill(self.initial);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        self.output.clear();
        for row in input.chunks_exact(self.inputs) {
            self.output.extend_from_slice(row);
            self.output.extend_from_slice(params);
        }
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
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let rows = grad_output.chunks_exact(self.output_len());
        if let Some(grads) = grads {
            for row in rows.clone() {
                grads.iter_mut().zip(&row[self.inputs..]).for_each(|(sum, g)| *sum += g);
            }
        }
        if let Some(out) = grad_input {
            for (out, row) in out.chunks_exact_mut(self.inputs).zip(rows) {
                out.copy_from_slice(&row[..self.inputs]);
            }
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        _: &[f32],
        _: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        for (i, row) in out.chunks_exact_mut(self.output_len()).enumerate() {
            let (moved, log_std) = row.split_at_mut(self.inputs);
            copy_tangent(input_tangent.map(|all| &all[i * self.inputs..][..self.inputs]), moved);
            log_std.copy_from_slice(direction);
        }
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let log_std = params.unsqueeze(0)?.broadcast_as((input.dim(0)?, self.layout.len()))?;
        Ok(Tensor::cat(&[input.clone(), log_std], 1)?)
    }
}

/// Clips the last elements of each row, which are log standard deviations, to [-20, 2]; the gradient is zero outside.
#[derive(Clone, Debug)]
pub struct ClampLogStd {
    inputs: usize,
    count: usize,
    output: Vec<f32>,
}

impl ClampLogStd {
    /// Clips the last `count` of `inputs` elements.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] if `count` exceeds the width of a row.
    pub fn new(inputs: usize, count: usize) -> Result<Self> {
        check::at_most("log standard deviations", inputs as u64, "inputs", count as u64)?;
        Ok(ClampLogStd { inputs, count, output: Vec::new() })
    }

    /// Zeroes the entries of clipped outputs.
    fn mask(&self, rows: &mut [f32]) {
        let (low, high) = RANGE;
        let start = self.inputs - self.count;
        let outputs = self.output.chunks_exact(self.inputs);
        for (row, output) in rows.chunks_exact_mut(self.inputs).zip(outputs) {
            for (x, y) in row[start..].iter_mut().zip(&output[start..]) {
                if *y <= low || *y >= high {
                    *x = 0.0;
                }
            }
        }
    }
}

impl Module for ClampLogStd {
    fn describe(&self) -> Option<ModuleDescription> {
        Some(ModuleDescription::ClampLogStd { inputs: self.inputs, count: self.count })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.inputs
    }

    fn forward(&mut self, _: &[f32], input: &[f32]) -> Result<()> {
        let (low, high) = RANGE;
        self.output.clear();
        self.output.extend_from_slice(input);
        for row in self.output.chunks_exact_mut(self.inputs) {
            row[self.inputs - self.count..].iter_mut().for_each(|x| *x = x.clamp(low, high));
        }
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
        if let Some(out) = grad_input {
            out.copy_from_slice(grad_output);
            self.mask(out);
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
        copy_tangent(input_tangent, out);
        self.mask(out);
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, _: &Tensor, input: &Tensor) -> Result<Tensor> {
        let start = self.inputs - self.count;
        let (means, log_std) = (input.narrow(1, 0, start)?, input.narrow(1, start, self.count)?);
        let (low, high) = RANGE;
        Ok(Tensor::cat(&[means, log_std.clamp(low, high)?], 1)?)
    }
}
