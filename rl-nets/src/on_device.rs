//! Networks on candle: parameters, gradients and graphs on a device. Everything that a [`Network`](crate::Network) and an
//! [`Optimizer`] do there; without the feature `candle`, `no_device.rs` stands in its place.

use crate::optimizer::{check_rates, clip_factor};
use crate::{Backend, Error, InputRows, Module, Optimizer, OptimizerConfig, Result, check_finite};
pub use candle_core::Device;
use candle_core::{DType, Tensor, Var};

/// The parameters and gradients of a network on a device, and the output of its last pass in memory.
pub(crate) struct OnDevice {
    device: Device,
    params: Tensor,
    grads: Tensor,
    pub(crate) output: Vec<f32>,
}

/// The tensors that a backward pass needs.
pub(crate) struct Graph {
    params: Var,
    /// A variable, unless it was made of bytes.
    input: Tensor,
    output: Tensor,
}

impl OnDevice {
    /// For a module, if `backend` asks for candle or the module has no fused pass.
    pub(crate) fn wanted(
        backend: &Backend,
        module: &dyn Module,
        params: &[f32],
    ) -> Result<Option<Self>> {
        let device = match backend.device() {
            None if !module.is_fused() => &Device::Cpu,
            None => return Ok(None),
            Some(device) => device,
        };
        let len = params.len();
        Ok(Some(OnDevice {
            params: Tensor::from_slice(params, len, device)?,
            grads: Tensor::zeros(len, DType::F32, device)?,
            device: device.clone(),
            output: Vec::new(),
        }))
    }

    pub(crate) fn twin(&self) -> Result<Self> {
        let OnDevice { device, params, grads, .. } = self;
        let (device, params) = (device.clone(), params.clone());
        Ok(OnDevice { device, params, grads: grads.zeros_like()?, output: Vec::new() })
    }

    pub(crate) fn params(&self) -> Result<Vec<f32>> {
        Ok(self.params.to_vec1()?)
    }

    pub(crate) fn grads(&self) -> Result<Vec<f32>> {
        Ok(self.grads.to_vec1()?)
    }

    pub(crate) fn set_params(&mut self, new: &[f32]) -> Result<()> {
        self.params = Tensor::from_slice(new, new.len(), &self.device)?;
        Ok(())
    }

    pub(crate) fn zero_grads(&mut self) -> Result<()> {
        self.grads = self.grads.zeros_like()?;
        Ok(())
    }

    pub(crate) fn move_towards(&mut self, other: &Self, tau: f64) -> Result<()> {
        self.params = if tau == 1.0 {
            other.params.clone()
        } else {
            (&self.params + ((&other.params - &self.params)? * tau)?)?
        };
        Ok(())
    }

    /// The rows as a tensor on the device, `[batch, width]`; bytes are transferred as bytes.
    fn upload(&self, rows: InputRows<'_>, width: usize, byte_range: f32) -> Result<Tensor> {
        let shape = (rows.len() / width, width);
        Ok(match rows {
            InputRows::F32(rows) => Tensor::from_slice(rows, shape, &self.device)?,
            InputRows::U8(bytes) => {
                let bytes = Tensor::from_slice(bytes, shape, &self.device)?;
                // Not `/`, which multiplies by the rounded reciprocal.
                let range = Tensor::new(&[byte_range], &self.device)?;
                bytes.to_dtype(DType::F32)?.broadcast_div(&range)?
            }
        })
    }

    pub(crate) fn predict(
        &mut self,
        module: &dyn Module,
        rows: InputRows<'_>,
        byte_range: f32,
    ) -> Result<()> {
        let x = self.upload(rows, module.input_len(), byte_range)?;
        self.output = module.reference(&self.params, &x)?.flatten_all()?.to_vec1()?;
        Ok(())
    }

    /// A forward pass with its graph.
    pub(crate) fn forward(
        &mut self,
        module: &dyn Module,
        rows: InputRows<'_>,
        byte_range: f32,
    ) -> Result<Graph> {
        let x = self.upload(rows, module.input_len(), byte_range)?;
        let params = Var::from_tensor(&self.params)?;
        // Few ask for the gradient of bytes, which takes long for images.
        let input = match rows {
            InputRows::F32(_) => Var::from_tensor(&x)?.into_inner(),
            InputRows::U8(_) => x,
        };
        let output = module.reference(&params, &input)?;
        self.output = output.flatten_all()?.to_vec1()?;
        Ok(Graph { params, input, output })
    }

    /// Adds the gradient of the parameters to that accumulated if `gather`; writes it, and that of the input, where asked.
    pub(crate) fn backward(
        &mut self,
        module: &dyn Module,
        graph: &Graph,
        grad_output: &[f32],
        gather: bool,
        own: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let upstream = Tensor::from_slice(grad_output, graph.output.shape(), &self.device)?;
        let Graph { params, input, output } = graph;
        let (input, output) = if grad_input.is_none() || input.is_variable() {
            (input.clone(), output.clone())
        } else {
            let input = Var::from_tensor(input)?.into_inner();
            let output = module.reference(params, &input)?;
            (input, output)
        };
        let found = (output * upstream)?.sum_all()?.backward()?;
        if let Some(grad) = found.get(params) {
            if gather {
                self.grads = (&self.grads + grad.detach())?;
            }
            if let Some(own) = own {
                own.copy_from_slice(&grad.to_vec1::<f32>()?);
            }
        } else if let Some(own) = own {
            own.fill(0.0);
        }
        if let Some(out) = grad_input {
            match found.get(&input) {
                Some(grad) => out.copy_from_slice(&grad.flatten_all()?.to_vec1::<f32>()?),
                None => out.fill(0.0),
            }
        }
        Ok(())
    }

    pub(crate) fn optimizer(&self, config: OptimizerConfig) -> Result<Optimizer> {
        Optimizer::on_device(config, self.params.elem_count(), &self.device)
    }

    pub(crate) fn step(
        &mut self,
        optimizer: &mut Optimizer,
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        let (new, norm) =
            optimizer.step_on_device(&self.params, &self.grads, learning_rate, max_norm)?;
        self.params = new.detach();
        Ok(norm)
    }
}

impl Optimizer {
    /// An optimiser for `len` parameters on a device.
    ///
    /// # Errors
    /// Those of [`OptimizerConfig::validate`], and errors of candle.
    pub fn on_device(config: OptimizerConfig, len: usize, device: &Device) -> Result<Self> {
        config.validate()?;
        let slots = DeviceSlots::new(&config, len, device)?;
        Ok(Optimizer::with_slots(config, len, slots))
    }

    /// Like [`step`](Optimizer::step), for parameters on a device; returns the new parameters and the norm before clipping.
    ///
    /// # Errors
    /// Those of [`step`](Optimizer::step), and errors of candle.
    pub fn step_on_device(
        &mut self,
        params: &Tensor,
        grad: &Tensor,
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<(Tensor, f64)> {
        check_rates(learning_rate, max_norm)?;
        let norm = f64::from(grad.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?);
        check_finite("the gradient's norm", norm)?;
        let (config, t, slots) = self.begin_step_on_device(params.elem_count())?;
        let grad = (grad * clip_factor(norm, max_norm))?;
        Ok((slots.step(config, t, params, &grad, learning_rate)?, norm))
    }
}

/// An optimiser's moments on a device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSlots(Vec<Tensor>);

impl DeviceSlots {
    fn new(config: &OptimizerConfig, len: usize, device: &Device) -> Result<Self> {
        let slots = config.slots().into_iter().map(|start| Tensor::full(start, len, device));
        Ok(DeviceSlots(slots.collect::<candle_core::Result<_>>()?))
    }

    pub(crate) fn to_vecs(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self.0.iter().map(|slot| slot.to_vec1()).collect::<candle_core::Result<_>>()?)
    }

    pub(crate) fn set(&mut self, slots: Vec<Vec<f32>>) -> Result<()> {
        let Some(device) = self.0.first().map(|slot| slot.device().clone()) else { return Ok(()) };
        let tensor = |slot: Vec<f32>| Tensor::from_slice(&slot, slot.len(), &device);
        self.0 = slots.into_iter().map(tensor).collect::<candle_core::Result<_>>()?;
        Ok(())
    }

    fn step(
        &mut self,
        config: &OptimizerConfig,
        t: u64,
        params: &Tensor,
        grad: &Tensor,
        lr: f64,
    ) -> candle_core::Result<Tensor> {
        let slots = &mut self.0[..];
        let decayed =
            |old: &Tensor, new: &Tensor, decay: f64| (old * decay)? + (new * (1.0 - decay))?;
        match *config {
            OptimizerConfig::Adam { beta1, beta2, eps, weight_decay, .. } => {
                let [m, v, largest @ ..] = slots else { return Ok(params.clone()) };
                *m = decayed(m, grad, beta1)?;
                *v = decayed(v, &grad.sqr()?, beta2)?;
                let second = match largest {
                    [largest, ..] => {
                        *largest = largest.maximum(&*v)?;
                        &*largest
                    }
                    [] => &*v,
                };
                let root = (1.0 - beta2.powf(t as f64)).sqrt();
                let step = lr / (1.0 - beta1.powf(t as f64));
                let change = (&*m / ((second.sqrt()? / root)? + eps)?)?;
                (params * (1.0 - lr * weight_decay))? - (change * step)?
            }
            OptimizerConfig::RmsProp {
                alpha, eps, eps_inside_root, centered, momentum, ..
            } => {
                let Some((squares, rest)) = slots.split_first_mut() else {
                    return Ok(params.clone());
                };
                *squares = decayed(squares, &grad.sqr()?, alpha)?;
                let mut second = squares.clone();
                let buffer = match rest {
                    [mean, rest @ ..] if centered => {
                        *mean = decayed(mean, grad, alpha)?;
                        // Rounding can bring it below zero where all gradients are alike.
                        second = (second - mean.sqr()?)?.relu()?;
                        rest.first_mut()
                    }
                    rest => rest.first_mut(),
                };
                let root =
                    if eps_inside_root { (second + eps)?.sqrt()? } else { (second.sqrt()? + eps)? };
                let mut change = (grad / root)?;
                if let Some(buffer) = buffer {
                    *buffer = ((&*buffer * momentum)? + change)?;
                    change = buffer.clone();
                }
                params - (change * lr)?
            }
            OptimizerConfig::Sgd { momentum, nesterov } => {
                let mut change = grad.clone();
                if let Some(buffer) = slots.first_mut() {
                    *buffer = ((&*buffer * momentum)? + grad)?;
                    change =
                        if nesterov { (grad + (&*buffer * momentum)?)? } else { buffer.clone() };
                }
                params - (change * lr)?
            }
        }
    }
}

/// The derivative of a module's output along `direction` by central differences in double precision, on the CPU.
pub(crate) fn differences(
    module: &dyn Module,
    (params, rows): (&[f32], &[f32]),
    direction: &[f32],
    out: &mut [f32],
) -> Result<()> {
    let double = |x: &[f32]| Tensor::from_slice(x, x.len(), &Device::Cpu)?.to_dtype(DType::F64);
    let x = double(rows)?.reshape(((), module.input_len()))?;
    let (params, direction) = (double(params)?, double(direction)?);
    let norm = |x: &Tensor| x.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>();
    // The step is 1e-5 of the parameters' size, independent of the length of the direction.
    let length = norm(&direction)?;
    let h = if length > 0.0 { 1e-5 * (1.0 + norm(&params)?) / length } else { 1.0 };
    let single_only = |error: Error| {
        let why = "its forward derivative, as TRPO needs it, is taken in double precision, in which it does not compute";
        Error::Model(format!("{why}: {error}"))
    };
    let at = |h: f64| module.reference(&(&params + (&direction * h)?)?, &x).map_err(single_only);
    let slope = ((at(h)? - at(-h)?)? / (2.0 * h))?;
    out.copy_from_slice(&slope.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        // candle appends a backtrace if one is requested; the first line is the reason.
        Error::Candle(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// The backend of a name that is not the fused path's.
pub(crate) fn backend_by_name(name: &str) -> Result<Backend> {
    let error = |problem: String| Error::Device { device: name.to_owned(), problem };
    let compiled = |available: bool, feature: &str| match available {
        true => Ok(()),
        false => Err(error(format!("not compiled in; build with --features {feature}"))),
    };
    let there = |device: candle_core::Result<Device>| {
        device.map_err(|e| error(format!("not there: {}", Error::from(e))))
    };
    match name {
        "reference" => Ok(Backend::candle(Device::Cpu)),
        "cuda" => {
            compiled(candle_core::utils::cuda_is_available(), "cuda")?;
            Ok(Backend::candle(there(Device::new_cuda(0))?))
        }
        "metal" => {
            compiled(candle_core::utils::metal_is_available(), "metal")?;
            Ok(Backend::candle(there(Device::new_metal(0))?))
        }
        _ => Err(error("unknown; expected cpu, reference, cuda or metal".to_owned())),
    }
}
