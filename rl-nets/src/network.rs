//! Networks: a module, its parameters, and its backend.

use crate::aligned::Aligned;
use crate::on_device::OnDevice;
use crate::pass::Pass;
use crate::{
    Backend, Error, InputRows, InputSpace, Layout, Module, ModuleDescription, Optimizer,
    OptimizerConfig, Result, Threads,
};
use crate::{kernels, weights};
use rl_core::{Rng, check};
use std::collections::HashSet;

/// The key of the metadata in a safetensors file.
const METADATA: &str = "__metadata__";

/// A module with parameters, on either path. All algorithms are implemented with this type.
///
/// Inputs and outputs are slices of rows. The fused path uses them without copying. On a device, the input is
/// uploaded once, and parameters, gradients and optimiser state stay there; only the small output and its gradient
/// are transferred.
///
/// A forward pass is a value, [`Pass`], that borrows the network, so that nothing can change the network between a
/// forward pass and its backward pass.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Activation, Backend, Chain, Linear, Network, OptimizerConfig};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let module = Chain::new(1)
///     .then(Linear::new(1, 64)?.with_activation(Activation::Relu))?
///     .then(Linear::new(64, 1)?)?;
/// let mut net = Network::new(module, &Backend::cpu(), &mut rng)?;
/// let mut adam = net.optimizer(OptimizerConfig::adam())?;
/// for _ in 0..200 {
///     let x = [-1.0, 0.0, 1.0];
///     let pass = net.forward(&x)?;
///     let mut grad: Vec<f32> = pass.output().iter().zip(x).map(|(y, x)| 2.0 * (y - x * x)).collect();
///     pass.backward(&mut grad)?;
///     net.step(&mut adam, 1e-2, None)?;
/// }
/// assert!((net.predict(&[1.0])?[0] - 1.0).abs() < 0.1);
/// # Ok::<(), rl_nets::Error>(())
/// ```
pub struct Network {
    pub(crate) module: Box<dyn Module>,
    pub(crate) store: Store,
    threads: Threads,
    /// The divisor of byte inputs.
    pub(crate) byte_range: f32,
    /// Byte inputs converted to numbers.
    pub(crate) scaled: Aligned,
}

pub(crate) enum Store {
    Fused { params: Aligned, grads: Aligned },
    Candle(OnDevice),
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("module", &self.module).finish_non_exhaustive()
    }
}

impl Network {
    /// A network with newly initialised parameters, which do not depend on the backend. A module without a fused pass
    /// is computed by candle on the CPU if the backend requests the fused path.
    ///
    /// # Errors
    /// [`Error::Weights`] if two parameters have the same name; [`rl_core::Error::Config`] for a module without
    /// inputs or outputs; errors of candle if the parameters are on a device.
    pub fn new(module: impl Module + 'static, backend: &Backend, rng: &mut Rng) -> Result<Self> {
        let mut module: Box<dyn Module> = Box::new(module);
        let mut names = HashSet::new();
        let mut entries = module.layout().entries().iter();
        if let Some(twice) = entries.find(|entry| !names.insert(&entry.name)) {
            return Err(Error::Weights(format!("two parameters are named '{}'", twice.name)));
        }
        if names.contains(&METADATA.to_owned()) {
            return Err(Error::Weights(format!("no parameter may be named '{METADATA}'")));
        }
        check::at_least("outputs of the network", 1, module.output_len() as u64)?;
        check::at_least("inputs of the network", 1, module.input_len() as u64)?;
        // With gradients, two moments, a target with gradients, and what saving them takes.
        let numbers = module.layout().len();
        check::memory(
            "parameters of the network",
            numbers,
            numbers.checked_mul(8 * size_of::<f32>()),
        )?;
        let mut params = vec![0.0; numbers];
        module.init(&mut params, rng);
        module.share_among(backend.threads());
        let store = match OnDevice::wanted(backend, &*module, &params)? {
            Some(on_device) => Store::Candle(on_device),
            None => Store::Fused {
                grads: Aligned::filled(params.len(), 0.0),
                params: Aligned::of(&params),
            },
        };
        let threads = backend.threads().clone();
        Ok(Network { module, store, threads, byte_range: 255.0, scaled: Aligned::default() })
    }

    /// A network for observations of a space; bytes are divided by the space's largest value.
    ///
    /// # Errors
    /// Those of [`new`](Network::new); [`rl_core::Error::Mismatch`] for a module with another input width.
    pub fn for_space(
        module: impl Module + 'static,
        space: &impl InputSpace,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        check::len("inputs of the network", space.width(), module.input_len())?;
        let network = Self::new(module, backend, rng)?;
        Ok(network.with_byte_range(space.byte_range().unwrap_or(u8::MAX)))
    }

    /// Divides byte inputs by `largest`: 255, the default, for pixels, 1 for binary planes.
    pub fn with_byte_range(self, largest: u8) -> Self {
        Network { byte_range: f32::from(largest.max(1)), ..self }
    }

    /// A second network with the same parameters and without gradients: a target network.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn twin(&self) -> Result<Self> {
        let store = match &self.store {
            Store::Fused { params, grads } => {
                Store::Fused { params: params.clone(), grads: Aligned::filled(grads.len(), 0.0) }
            }
            Store::Candle(on_device) => Store::Candle(on_device.twin()?),
        };
        Ok(Network {
            module: self.module.clone(),
            store,
            threads: self.threads.clone(),
            byte_range: self.byte_range,
            scaled: Aligned::default(),
        })
    }

    /// An optimiser whose state is stored on the same backend as the parameters.
    ///
    /// # Errors
    /// Those of [`OptimizerConfig::validate`], and errors of candle.
    pub fn optimizer(&self, config: OptimizerConfig) -> Result<Optimizer> {
        let len = self.num_params();
        match &self.store {
            Store::Fused { .. } => Ok(Optimizer::new(config, len)?.shared_among(&self.threads)),
            Store::Candle(on_device) => on_device.optimizer(config),
        }
    }

    /// What the network computes, as data; none if it has a module that is not described.
    pub fn describe(&self) -> Option<ModuleDescription> {
        self.module.describe()
    }

    /// The divisor of byte inputs.
    pub(crate) fn largest_byte(&self) -> u8 {
        self.byte_range as u8
    }

    /// The width of an input row.
    pub fn input_len(&self) -> usize {
        self.module.input_len()
    }

    /// The width of an output row.
    pub fn output_len(&self) -> usize {
        self.module.output_len()
    }

    /// The names, shapes and order of the parameters.
    pub fn layout(&self) -> &Layout {
        self.module.layout()
    }

    /// The number of parameters.
    pub fn num_params(&self) -> usize {
        self.module.layout().len()
    }

    /// All parameters in the order of the layout, `[num_params]`.
    ///
    /// # Errors
    /// Errors of candle, if they are on a device.
    pub fn params(&self) -> Result<Vec<f32>> {
        let mut params = vec![0.0; self.num_params()];
        self.read_params(&mut params)?;
        Ok(params)
    }

    /// Writes all parameters into `out`, `[num_params]`.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a slice of another length; errors of candle if they are on a device.
    pub fn read_params(&self, out: &mut [f32]) -> Result<()> {
        check::len("parameters", self.num_params(), out.len())?;
        match &self.store {
            Store::Fused { params, .. } => out.copy_from_slice(params),
            Store::Candle(on_device) => out.copy_from_slice(&on_device.params()?),
        }
        Ok(())
    }

    /// The gradient accumulated since the last step, `[num_params]`.
    ///
    /// # Errors
    /// Errors of candle, if it is on a device.
    pub fn grads(&self) -> Result<Vec<f32>> {
        match &self.store {
            Store::Fused { grads, .. } => Ok(grads.to_vec()),
            Store::Candle(on_device) => on_device.grads(),
        }
    }

    /// Replaces all parameters.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a wrong number of parameters.
    pub fn set_params(&mut self, new: &[f32]) -> Result<()> {
        check::len("parameters", self.num_params(), new.len())?;
        match &mut self.store {
            Store::Fused { params, .. } => params.copy_from_slice(new),
            Store::Candle(on_device) => on_device.set_params(new)?,
        }
        Ok(())
    }

    pub(crate) fn check_rows(&self, rows: InputRows<'_>) -> Result<()> {
        let (len, row) = (rows.len(), self.input_len());
        if len == 0 || !len.is_multiple_of(row) {
            let expected = format!("rows of {row} elements");
            let error = rl_core::Error::mismatch("network input", expected, format_args!("{len}"));
            return Err(error.into());
        }
        Ok(())
    }

    /// Converts byte inputs to numbers and stores them.
    pub(crate) fn scale(&mut self, rows: InputRows<'_>) -> Result<()> {
        if let InputRows::U8(bytes) = rows {
            let range = self.byte_range;
            self.scaled.resize(bytes.len(), 0.0)?;
            let scaled = self.scaled.iter_mut().zip(bytes);
            scaled.for_each(|(x, &byte)| *x = f32::from(byte) / range);
        }
        Ok(())
    }

    /// The output `[batch, output_len]` for `input`, `[batch, input_len]`, without storing anything for a backward
    /// pass.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for an input whose length is not a multiple of the row width; errors of candle.
    pub fn predict<'a>(&mut self, input: impl Into<InputRows<'a>>) -> Result<&[f32]> {
        self.predict_rows(input.into())?;
        Ok(self.output())
    }

    /// Computes the [`output`](Network::output).
    pub(crate) fn predict_rows(&mut self, rows: InputRows<'_>) -> Result<()> {
        self.check_rows(rows)?;
        if let Store::Candle(on_device) = &mut self.store {
            return on_device.predict(&*self.module, rows, self.byte_range);
        }
        self.scale(rows)?;
        if let Store::Fused { params, .. } = &self.store {
            self.module.forward(params, numbers(rows, &self.scaled))?;
        }
        Ok(())
    }

    /// The output of the last pass.
    pub fn output(&self) -> &[f32] {
        match &self.store {
            Store::Fused { .. } => self.module.output(),
            Store::Candle(on_device) => &on_device.output,
        }
    }

    /// A forward pass of `input`, `[batch, input_len]`, that stores what its backward pass needs.
    ///
    /// # Errors
    /// Those of [`predict`](Network::predict).
    pub fn forward<'a>(&'a mut self, input: impl Into<InputRows<'a>>) -> Result<Pass<'a>> {
        Pass::new(self, input.into())
    }

    /// Resamples the noise of noisy layers for the following passes; `None` switches the noise off, which is the
    /// default. Value-based agents explore with it.
    pub fn resample(&mut self, rng: Option<&mut Rng>) {
        self.module.resample(rng);
    }

    /// Clears the accumulated gradient.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn zero_grads(&mut self) -> Result<()> {
        match &mut self.store {
            Store::Fused { grads, .. } => grads.fill(0.0),
            Store::Candle(on_device) => on_device.zero_grads()?,
        }
        Ok(())
    }

    /// Clips the accumulated gradient to the global norm `max_norm`, if given, takes one step, clears the gradient,
    /// and returns its norm before clipping.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a non-finite gradient, in which case the parameters are unchanged.
    pub fn step(
        &mut self,
        optimizer: &mut Optimizer,
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        let norm = self.step_by(optimizer, learning_rate, max_norm);
        // An unusable gradient must not be added to the next one.
        self.zero_grads()?;
        norm
    }

    fn step_by(
        &mut self,
        optimizer: &mut Optimizer,
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        match &mut self.store {
            Store::Fused { params, grads } => {
                optimizer.step(params, grads, learning_rate, max_norm)
            }
            Store::Candle(on_device) => on_device.step(optimizer, learning_rate, max_norm),
        }
    }

    /// Soft update: moves the parameters towards those of `other` by the fraction `tau`; with `tau = 1` they become a
    /// copy.
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
            (Store::Candle(own), Store::Candle(other)) => own.move_towards(other, tau)?,
            _ => {
                let error = rl_core::Error::mismatch("networks", "one backend", "two");
                return Err(Error::Core(error));
            }
        }
        Ok(())
    }

    /// The parameters as a safetensors file with one tensor per name; PyTorch can load it.
    ///
    /// # Errors
    /// Errors of candle, if they are on a device.
    pub fn save(&self) -> Result<Vec<u8>> {
        weights::write(self.module.layout(), &self.params()?)
    }

    /// Loads a safetensors file. On error the parameters are unchanged.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that is damaged or has other names, shapes or precision.
    pub fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let params = weights::read(self.module.layout(), bytes)?;
        self.set_params(&params)
    }
}

/// Rows as numbers: the rows themselves, or the stored conversion of bytes.
pub(crate) fn numbers<'a>(rows: InputRows<'a>, scaled: &'a [f32]) -> &'a [f32] {
    match rows {
        InputRows::F32(rows) => rows,
        InputRows::U8(_) => scaled,
    }
}
