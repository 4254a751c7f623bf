//! A network: an architecture, its parameters, and where they live.

use crate::kernels;
use crate::{Backend, Error, Module, Optimizer, OptimizerConfig, Result, Threads, weights};
use candle_core::{DType, Device, Tensor, Var};
use rl_core::{Rng, check};

/// A module with parameters, on either path. Algorithms are written once against this type.
///
/// Rows go in and out as slices. On the fused path they are used where they lie; on a device the
/// input is uploaded once, and parameters, gradients and optimiser moments stay there: only the
/// output and its gradient cross over, which are a row's actions wide.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Mlp, MlpConfig, Network, OptimizerConfig};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mlp = Mlp::new("f", 1, 1, &MlpConfig::default())?;
/// let mut net = Network::new(mlp, &Backend::Fused, &mut rng)?;
/// let mut adam = net.optimizer(OptimizerConfig::adam())?;
/// for _ in 0..200 {
///     let x = [-1.0, 0.0, 1.0];
///     let y = net.forward(&x)?;
///     let grad: Vec<f32> = y.iter().zip(&x).map(|(y, x)| 2.0 * (y - x * x)).collect();
///     net.backward(&x, &grad, None)?;
///     net.step(&mut adam, 1e-2, None)?;
/// }
/// assert!((net.predict(&[1.0])?[0] - 1.0).abs() < 0.1);
/// # Ok::<(), rl_nets::Error>(())
/// ```
pub struct Network {
    module: Box<dyn Module>,
    store: Store,
    threads: Threads,
}

enum Store {
    Fused { params: Vec<f32>, grads: Vec<f32> },
    Candle { device: Device, params: Tensor, grads: Tensor, graph: Option<Graph>, output: Vec<f32> },
}

/// The last forward pass on a device, kept for its backward pass.
struct Graph {
    params: Var,
    input: Var,
    output: Tensor,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("input_len", &self.input_len())
            .field("output_len", &self.output_len())
            .field("parameters", &self.module.layout().len())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// A network with freshly drawn parameters. The draw does not depend on the backend.
    ///
    /// # Errors
    /// Those of candle, where the parameters go to a device.
    pub fn new(module: impl Module + 'static, backend: &Backend, rng: &mut Rng) -> Result<Self> {
        Self::from_boxed(Box::new(module), backend, rng)
    }

    /// The same for an architecture that is known only when it runs.
    ///
    /// # Errors
    /// Those of candle, where the parameters go to a device.
    pub fn from_boxed(
        mut module: Box<dyn Module>,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut params = vec![0.0; module.layout().len()];
        module.init(&mut params, rng);
        let len = params.len();
        let threads = match backend {
            Backend::Threaded(threads) => threads.clone(),
            _ => Threads::one(),
        };
        module.share_among(&threads);
        let store = match backend {
            Backend::Fused | Backend::Threaded(_) => Store::Fused { params, grads: vec![0.0; len] },
            Backend::Candle(device) => Store::Candle {
                params: Tensor::from_vec(params, len, device)?,
                grads: Tensor::zeros(len, candle_core::DType::F32, device)?,
                device: device.clone(),
                graph: None,
                output: Vec::new(),
            },
        };
        Ok(Network { module, store, threads })
    }

    /// A second network with the same parameters: a target network.
    pub fn twin(&self) -> Self {
        let store = match &self.store {
            Store::Fused { params, grads } => {
                Store::Fused { params: params.clone(), grads: vec![0.0; grads.len()] }
            }
            Store::Candle { device, params, grads, .. } => Store::Candle {
                device: device.clone(),
                params: params.clone(),
                grads: grads.clone(),
                graph: None,
                output: Vec::new(),
            },
        };
        Network { module: self.module.boxed_clone(), store, threads: self.threads.clone() }
    }

    /// An optimiser whose moments live where the parameters do.
    ///
    /// # Errors
    /// Those of [`OptimizerConfig::validate`], and of candle.
    pub fn optimizer(&self, config: OptimizerConfig) -> Result<Optimizer> {
        let len = self.module.layout().len();
        match &self.store {
            Store::Fused { .. } => Ok(Optimizer::new(config, len)?.shared_among(&self.threads)),
            Store::Candle { device, .. } => Optimizer::on_device(config, len, device),
        }
    }

    /// Numbers in one input row.
    pub fn input_len(&self) -> usize {
        self.module.input_len()
    }

    /// Numbers in one output row.
    pub fn output_len(&self) -> usize {
        self.module.output_len()
    }

    /// How many parameters there are.
    pub fn num_params(&self) -> usize {
        self.module.layout().len()
    }

    /// All parameters in the order of the layout, `[num_params]`.
    ///
    /// # Errors
    /// Those of candle, where they are on a device.
    pub fn params(&self) -> Result<Vec<f32>> {
        match &self.store {
            Store::Fused { params, .. } => Ok(params.clone()),
            Store::Candle { params, .. } => Ok(params.to_vec1()?),
        }
    }

    /// The gradient gathered since the last step, `[num_params]`.
    ///
    /// # Errors
    /// Those of candle, where it is on a device.
    pub fn grads(&self) -> Result<Vec<f32>> {
        match &self.store {
            Store::Fused { grads, .. } => Ok(grads.clone()),
            Store::Candle { grads, .. } => Ok(grads.to_vec1()?),
        }
    }

    /// Replaces all parameters.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of them.
    pub fn set_params(&mut self, new: &[f32]) -> Result<()> {
        check::len("parameters", self.num_params(), new.len())?;
        match &mut self.store {
            Store::Fused { params, .. } => params.copy_from_slice(new),
            Store::Candle { params, device, .. } => {
                *params = Tensor::from_slice(new, new.len(), device)?;
            }
        }
        Ok(())
    }

    fn batch(&self, what: &str, len: usize, row: usize) -> Result<usize> {
        if len == 0 || !len.is_multiple_of(row) {
            let expected = format!("rows of {row} elements");
            return Err(rl_core::Error::mismatch(what, expected, format_args!("{len}")).into());
        }
        Ok(len / row)
    }

    /// The output `[batch, output_len]` for `input`, `[batch, input_len]`, without keeping anything
    /// for a backward pass.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for an input that is not whole rows; those of candle.
    pub fn predict(&mut self, input: &[f32]) -> Result<&[f32]> {
        let batch = self.batch("network input", input.len(), self.input_len())?;
        match &mut self.store {
            Store::Fused { params, .. } => Ok(self.module.forward(params, input)),
            Store::Candle { device, params, output, .. } => {
                let x = Tensor::from_slice(input, (batch, self.module.input_len()), device)?;
                *output = self.module.reference(params, &x)?.flatten_all()?.to_vec1()?;
                Ok(output)
            }
        }
    }

    /// The same, kept for the [`backward`](Network::backward) that follows.
    ///
    /// # Errors
    /// Those of [`predict`](Network::predict).
    pub fn forward(&mut self, input: &[f32]) -> Result<&[f32]> {
        let batch = self.batch("network input", input.len(), self.input_len())?;
        match &mut self.store {
            Store::Fused { params, .. } => Ok(self.module.forward(params, input)),
            Store::Candle { device, params, graph, output, .. } => {
                let x = Tensor::from_slice(input, (batch, self.module.input_len()), device)?;
                let (params, input) = (Var::from_tensor(params)?, Var::from_tensor(&x)?);
                let y = self.module.reference(&params, &input)?;
                *output = y.flatten_all()?.to_vec1()?;
                *graph = Some(Graph { params, input, output: y });
                Ok(output)
            }
        }
    }

    /// Adds to the gradient, given that of the output of the last forward pass, `[batch, output_len]`;
    /// `input` is that pass's. Where asked, writes the gradient of the input, `[batch, input_len]`.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not fit, or without a forward pass; those of candle.
    pub fn backward(
        &mut self,
        input: &[f32],
        grad_output: &[f32],
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let batch = self.batch("network input", input.len(), self.input_len())?;
        check::len("output gradient", batch * self.output_len(), grad_output.len())?;
        if let Some(out) = &grad_input {
            check::len("input gradient", input.len(), out.len())?;
        }
        self.backpropagate(input, grad_output, true, grad_input)
    }

    /// Writes the gradient of the input, `[batch, input_len]`, and leaves that of the parameters alone:
    /// how an actor learns from a critic. Otherwise as [`backward`](Network::backward).
    ///
    /// # Errors
    /// Those of [`backward`](Network::backward).
    pub fn input_gradient(
        &mut self,
        input: &[f32],
        grad_output: &[f32],
        grad_input: &mut [f32],
    ) -> Result<()> {
        let batch = self.batch("network input", input.len(), self.input_len())?;
        check::len("output gradient", batch * self.output_len(), grad_output.len())?;
        check::len("input gradient", input.len(), grad_input.len())?;
        self.backpropagate(input, grad_output, false, Some(grad_input))
    }

    fn backpropagate(
        &mut self,
        input: &[f32],
        grad_output: &[f32],
        parameters: bool,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        match &mut self.store {
            Store::Fused { params, grads } => {
                let grads = parameters.then_some(&mut grads[..]);
                self.module.backward(params, input, grad_output, grads, grad_input);
            }
            Store::Candle { device, grads, graph, .. } => {
                let Some(graph) = graph.take() else {
                    return Err(
                        rl_core::Error::mismatch("backward", "a forward pass", "none").into()
                    );
                };
                let upstream = Tensor::from_slice(grad_output, graph.output.shape(), device)?;
                let store = (graph.output * upstream)?.sum_all()?.backward()?;
                if let (true, Some(grad)) = (parameters, store.get(&graph.params)) {
                    *grads = (&*grads + grad.detach())?;
                }
                if let (Some(out), Some(grad)) = (grad_input, store.get(&graph.input)) {
                    out.copy_from_slice(&grad.flatten_all()?.to_vec1::<f32>()?);
                }
            }
        }
        Ok(())
    }

    /// The derivative of the output of the last forward pass, `[batch, output_len]`, where the
    /// parameters move in `direction`, `[num_params]`; `input` is that pass's. On a device, and for
    /// modules that define no pass of their own, it is a central difference in double precision.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not fit; those of candle.
    pub fn tangent(&mut self, input: &[f32], direction: &[f32]) -> Result<Vec<f32>> {
        let batch = self.batch("network input", input.len(), self.input_len())?;
        check::len("direction", self.num_params(), direction.len())?;
        let (device, params) = match &self.store {
            Store::Fused { params, .. } => {
                if let Some(tangent) = self.module.tangent(params, input, direction) {
                    return Ok(tangent.to_vec());
                }
                (&Device::Cpu, Tensor::from_slice(params, params.len(), &Device::Cpu)?)
            }
            Store::Candle { device, params, .. } => (device, params.clone()),
        };
        let double =
            |x: &[f32], shape: &[usize]| Tensor::from_slice(x, shape, device)?.to_dtype(DType::F64);
        let x = double(input, &[batch, self.module.input_len()])?;
        let (params, direction) =
            (params.to_dtype(DType::F64)?, double(direction, &[direction.len()])?);
        const H: f64 = 1e-5;
        let at = |h: f64| self.module.reference(&(&params + (&direction * h)?)?, &x);
        let slope = ((at(H)? - at(-H)?)? / (2.0 * H))?;
        Ok(slope.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    /// Forgets the gradient gathered so far.
    ///
    /// # Errors
    /// Those of candle.
    pub fn zero_grads(&mut self) -> Result<()> {
        match &mut self.store {
            Store::Fused { grads, .. } => grads.fill(0.0),
            Store::Candle { grads, .. } => *grads = grads.zeros_like()?,
        }
        Ok(())
    }

    /// Clips the gathered gradient to the global norm `max_norm` where one is given, takes one step,
    /// forgets the gradient, and returns its norm before clipping.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a gradient that is not finite, the parameters being as they were.
    pub fn step(
        &mut self,
        optimizer: &mut Optimizer,
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        let norm = match &mut self.store {
            Store::Fused { params, grads } => {
                optimizer.step(params, grads, learning_rate, max_norm)?
            }
            Store::Candle { params, grads, .. } => {
                let (new, norm) =
                    optimizer.step_on_device(params, grads, learning_rate, max_norm)?;
                *params = new.detach();
                norm
            }
        };
        self.zero_grads()?;
        Ok(norm)
    }

    /// Moves towards `other` by the share `tau`; with `tau = 1` it becomes a copy.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a network of another shape or backend.
    pub fn move_towards(&mut self, other: &Network, tau: f64) -> Result<()> {
        check::len("parameters", self.num_params(), other.num_params())?;
        match (&mut self.store, &other.store) {
            (Store::Fused { params, .. }, Store::Fused { params: other, .. }) => {
                if tau == 1.0 {
                    params.copy_from_slice(other);
                } else {
                    kernels::move_towards(params, other, tau as f32);
                }
            }
            (Store::Candle { params, .. }, Store::Candle { params: other, .. }) => {
                *params = if tau == 1.0 {
                    other.clone()
                } else {
                    (&*params + ((other - &*params)? * tau)?)?
                };
            }
            _ => {
                let error = rl_core::Error::mismatch("networks", "one backend", "two");
                return Err(Error::Core(error));
            }
        }
        Ok(())
    }

    /// The parameters as a safetensors file with one tensor a name, which PyTorch loads.
    ///
    /// # Errors
    /// Those of candle, where they are on a device.
    pub fn save(&self) -> Result<Vec<u8>> {
        weights::write(self.module.layout(), &self.params()?)
    }

    /// Takes over a safetensors file. On an error the parameters are as they were.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is damaged, or has other names, shapes or precision.
    pub fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let params = weights::read(self.module.layout(), bytes)?;
        self.set_params(&params)
    }
}
