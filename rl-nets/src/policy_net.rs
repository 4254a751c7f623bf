//! A network that gives the parameters of a distribution of actions.

use crate::{Distribution, Layout, Mlp, MlpConfig, Module, Result, Threads};
use candle_core::Tensor;
use rl_core::Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where the log standard deviations of continuous actions come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStd {
    /// Parameters of their own, the same in every state, which start at this number (Schulman et al.,
    /// 2015).
    Free(f64),
    /// Outputs of the network, held within [-20, 2] (Haarnoja et al., 2018). Beyond, they have no gradient.
    OfState,
}

/// What a log standard deviation that depends on the state is held within.
const LOG_STD_RANGE: (f32, f32) = (-20.0, 2.0);

impl LogStd {
    /// Checks the initial value.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for one outside [-20, 20].
    pub fn validate(&self) -> rl_core::Result<()> {
        match self {
            LogStd::Free(init) if !(-20.0..=20.0).contains(init) => {
                Err(rl_core::Error::config("log_std.free", "a number in [-20, 20]", init))
            }
            _ => Ok(()),
        }
    }
}

/// A perceptron whose output is the parameters of a distribution.
///
/// ```
/// use rl_nets::{DiagGaussian, LogStd, MlpConfig, Module, PolicyNet};
/// let mlp = MlpConfig { hidden: vec![8], ..MlpConfig::default() };
/// let net = PolicyNet::new("actor", 3, &DiagGaussian::new(2), &mlp, LogStd::Free(0.0))?;
/// assert_eq!((net.output_len(), net.layout().len()), (4, 3 * 8 + 8 + 8 * 2 + 2 + 2));
/// let net = PolicyNet::new("actor", 3, &DiagGaussian::new(2), &mlp, LogStd::OfState)?;
/// assert_eq!((net.output_len(), net.layout().len()), (4, 3 * 8 + 8 + 8 * 4 + 4));
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PolicyNet {
    layout: Layout,
    mlp: Mlp,
    mlp_params: Range<usize>,
    /// The log standard deviations that are parameters of their own.
    log_std_params: Range<usize>,
    initial_log_std: f32,
    /// The outputs of the perceptron that are log standard deviations.
    log_std_outputs: Range<usize>,
    output: Vec<f32>,
    grad: Vec<f32>,
    tangent: Vec<f32>,
}

impl PolicyNet {
    /// A network from `inputs` numbers to the parameters of `distribution`; `prefix` begins its
    /// parameters' names. `log_std` is for distributions that have one.
    ///
    /// # Errors
    /// Those of [`Mlp::new`] and [`LogStd::validate`].
    pub fn new(
        prefix: &str,
        inputs: usize,
        distribution: &impl Distribution,
        config: &MlpConfig,
        log_std: LogStd,
    ) -> Result<Self> {
        log_std.validate()?;
        let (params, log_stds) = (distribution.params_len(), distribution.log_stds());
        let (free, initial) = match log_std {
            LogStd::Free(initial) => (log_stds, initial as f32),
            LogStd::OfState => (0, 0.0),
        };
        let outputs = params - free;
        let mlp = Mlp::new(prefix, inputs, outputs, config)?;
        let mut layout = mlp.layout().clone();
        let mlp_params = 0..layout.len();
        if free > 0 {
            layout.push(format!("{prefix}.log_std"), &[free]);
        }
        Ok(PolicyNet {
            log_std_params: mlp_params.end..layout.len(),
            layout,
            mlp,
            mlp_params,
            initial_log_std: initial,
            log_std_outputs: params - log_stds..outputs,
            output: Vec::new(),
            grad: Vec::new(),
            tangent: Vec::new(),
        })
    }

    /// Whether the perceptron's output is the result as it stands.
    fn is_plain(&self) -> bool {
        self.log_std_params.is_empty() && self.log_std_outputs.is_empty()
    }

    /// Whether an output of the last forward pass was held back at a bound.
    fn held(&self, row: usize, column: usize) -> bool {
        let (low, high) = LOG_STD_RANGE;
        let x = self.output[row * self.output_len() + column];
        self.log_std_outputs.contains(&column) && (x <= low || x >= high)
    }
}

impl Module for PolicyNet {
    fn input_len(&self) -> usize {
        self.mlp.input_len()
    }

    fn output_len(&self) -> usize {
        self.mlp.output_len() + self.log_std_params.len()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        self.mlp.init(&mut params[self.mlp_params.clone()], rng);
        params[self.log_std_params.clone()].fill(self.initial_log_std);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        let (plain, width) = (self.is_plain(), self.output_len());
        let output = self.mlp.forward(&params[self.mlp_params.clone()], input);
        if plain {
            return output;
        }
        let log_std = &params[self.log_std_params.clone()];
        let n = width - log_std.len();
        self.output.resize(output.len() / n * width, 0.0);
        for (row, output) in self.output.chunks_exact_mut(width).zip(output.chunks_exact(n)) {
            row[..n].copy_from_slice(output);
            row[n..].copy_from_slice(log_std);
            let (low, high) = LOG_STD_RANGE;
            row[self.log_std_outputs.clone()].iter_mut().for_each(|x| *x = x.clamp(low, high));
        }
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        mut grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) {
        let params = &params[self.mlp_params.clone()];
        if self.is_plain() {
            return self.mlp.backward(params, input, grad_output, grads, grad_input);
        }
        let (width, n) = (self.output_len(), self.mlp.output_len());
        self.grad.clear();
        for row in grad_output.chunks_exact(width) {
            self.grad.extend_from_slice(&row[..n]);
            if let Some(grads) = &mut grads {
                let log_std = grads[self.log_std_params.clone()].iter_mut();
                log_std.zip(&row[n..]).for_each(|(sum, g)| *sum += g);
            }
        }
        for i in 0..self.grad.len() {
            if self.held(i / n, i % n) {
                self.grad[i] = 0.0;
            }
        }
        let grads = grads.map(|grads| &mut grads[self.mlp_params.clone()]);
        self.mlp.backward(params, input, &self.grad, grads, grad_input);
    }

    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        let (plain, width) = (self.is_plain(), self.output_len());
        let mlp = self.mlp_params.clone();
        let (params, along) = (&params[mlp.clone()], &direction[mlp]);
        if plain {
            return self.mlp.tangent(params, input, along);
        }
        let tangent = self.mlp.tangent(params, input, along)?;
        let log_std = &direction[self.log_std_params.clone()];
        let n = width - log_std.len();
        self.tangent.clear();
        for row in tangent.chunks_exact(n) {
            self.tangent.extend_from_slice(row);
            self.tangent.extend_from_slice(log_std);
        }
        for i in 0..self.tangent.len() {
            if self.held(i / width, i % width) {
                self.tangent[i] = 0.0;
            }
        }
        Some(&self.tangent)
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let output = self.mlp.reference(&part(&self.mlp_params)?, input)?;
        if !self.log_std_params.is_empty() {
            let rows = (output.dim(0)?, self.log_std_params.len());
            let log_std = part(&self.log_std_params)?.unsqueeze(0)?.broadcast_as(rows)?;
            return Tensor::cat(&[output, log_std], 1);
        }
        if self.log_std_outputs.is_empty() {
            return Ok(output);
        }
        let Range { start, end } = self.log_std_outputs;
        let (means, log_std) = (output.narrow(1, 0, start)?, output.narrow(1, start, end - start)?);
        let (low, high) = LOG_STD_RANGE;
        Tensor::cat(&[means, log_std.clamp(low, high)?], 1)
    }

    fn share_among(&mut self, threads: &Threads) {
        self.mlp.share_among(threads);
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
