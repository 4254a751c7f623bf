//! Network bodies defined with candle's `VarBuilder`.

use crate::candle_probe::probe;
use crate::{Body, Chain, Error, Layout, Module, Result};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rl_core::Rng;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A candle model as a network body. It is a function that builds the model from a `VarBuilder`, applies it to a
/// batch, `[batch, …shape]`, and returns features, `[batch, …]`, which are flattened:
/// ```
/// use candle_core::Module as _;
/// use candle_nn::linear;
/// use rl_nets::{Body, CandleBody, Module};
/// let body = CandleBody::new(|vb, x| linear(4, 32, vb.pp("hidden"))?.forward(x)?.relu());
/// let module = body.build(&[4])?;
/// assert_eq!((module.output_len(), module.layout().len()), (32, 4 * 32 + 32));
/// assert_eq!(module.layout().entries()[0].name, "0.hidden.weight");
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// The variables requested by the first build are the parameters. They are initialised as requested, with this
/// library's random generator. The model is rebuilt in each pass, because candle models hold tensors. It must always
/// request the same variables, and give the same output for the same input; dropout is not supported, since its noise
/// is not seeded here.
///
/// Some candle operations have no gradient, so their parameters would silently not be trained: `candle_nn::LayerNorm`
/// on contiguous input, `candle_nn::ops::softmax_last_dim`, running statistics, detached tensors. Therefore a model's
/// gradients are tested when it is built; it is rejected if a parameter or the input has no gradient, or one that
/// differs from the derivative of the output. Models that compute only in single precision are tested only for
/// missing gradients. With candle 0.11, maximum pooling is rejected because its gradient is too small, and a strided
/// convolution over a non-square image because its gradient fails.
///
/// The model's last layer returns features, to which an agent adds its head; a model that returns action values
/// itself is a network for `Dqn::with_network`. Since `candle_nn` and this crate both define `Module`, `Linear` and
/// `Conv2d`, import candle's trait `as _`.
///
/// candle's convolutions are an order of magnitude slower than [`Conv2d`](crate::Conv2d): use this type for models
/// that this crate cannot express. A network with such a body runs entirely on candle.
#[derive(Clone)]
pub struct CandleBody {
    model: Model,
}

/// Builds a model and applies it to an input.
pub(crate) type Model =
    Arc<dyn Fn(VarBuilder<'static>, &Tensor) -> candle_core::Result<Tensor> + Send + Sync>;

impl std::fmt::Debug for CandleBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CandleBody").finish_non_exhaustive()
    }
}

impl CandleBody {
    /// A body that `model` builds and applies.
    pub fn new(
        model: impl Fn(VarBuilder<'static>, &Tensor) -> candle_core::Result<Tensor>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        CandleBody { model: Arc::new(model) }
    }
}

impl Body for CandleBody {
    /// Builds the model once and tests its gradients.
    ///
    /// # Errors
    /// Errors of the model; [`Error::Model`] with the parameters' names for one that candle cannot train.
    fn build(&self, shape: &[usize]) -> Result<Chain> {
        let module = CandleModule::new(self.model.clone(), shape)?;
        probe(&module)?;
        Chain::new(module.input_len()).then(module)
    }
}

/// A candle model as a module. It has no fused pass.
#[derive(Clone)]
pub(crate) struct CandleModule {
    pub(crate) model: Model,
    pub(crate) shape: Vec<usize>,
    outputs: usize,
    layout: Arc<Layout>,
    inits: Vec<Init>,
}

/// Creates variables and records the requests.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Requests>>);

#[derive(Default)]
struct Requests {
    layout: Layout,
    inits: Vec<Init>,
}

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = requests.layout.entries().iter();
        match entries.find(|entry| entry.name == name).map(|entry| entry.shape == shape.dims()) {
            Some(true) => {}
            Some(false) => candle_core::bail!("'{name}' is asked for in two shapes"),
            None => {
                requests.layout.push(name, shape.dims());
                requests.inits.push(init);
            }
        }
        // Ones, so that there is no division by zero.
        Tensor::ones(shape, dtype, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("'{name}' is asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.layout.entries().iter().any(|entry| entry.name == name)
    }
}

/// Returns tensors by name.
pub(crate) struct Named {
    tensors: HashMap<String, Tensor>,
}

impl SimpleBackend for Named {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, &Device::Cpu)?;
        if tensor.shape() != &shape {
            let was = tensor.shape();
            candle_core::bail!("'{name}' was first asked for as {was:?}, now as {shape:?}")
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => tensor.to_dtype(dtype),
            None => candle_core::bail!("'{name}' was not asked for when the model was first built"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

impl CandleModule {
    fn new(model: Model, shape: &[usize]) -> Result<Self> {
        let recorder = Recorder::default();
        let vb = VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu);
        // Two rows, to detect a model that confuses the batch with another dimension.
        let batch: Vec<usize> = [&[2], shape].concat();
        let y = model(vb, &Tensor::ones(batch, DType::F32, &Device::Cpu)?)?;
        let (rows, outputs) = match y.dims() {
            [rows, rest @ ..] => (*rows, rest.iter().product()),
            [] => (0, 0),
        };
        if rows != 2 || outputs == 0 {
            let got = format!("its output for two rows has the shape {:?}", y.dims());
            return Err(Error::Model(format!("{got}, expected [2, features]")));
        }
        let requests =
            std::mem::take(&mut *recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Requests { layout, inits } = requests;
        Ok(CandleModule { model, shape: shape.to_vec(), outputs, layout: Arc::new(layout), inits })
    }

    /// Builds the model with the given named variables.
    pub(crate) fn apply(
        &self,
        tensors: HashMap<String, Tensor>,
        dtype: DType,
        input: &Tensor,
    ) -> Result<Tensor> {
        let backend: Box<dyn SimpleBackend> = Box::new(Named { tensors });
        let vb = VarBuilder::from_backend(backend, dtype, input.device().clone());
        let batch: Vec<usize> = [&[input.dim(0)?], &self.shape[..]].concat();
        let y = (self.model)(vb, &input.reshape(batch)?)?;
        Ok(y.reshape((input.dim(0)?, self.outputs))?)
    }
}

impl Module for CandleModule {
    fn input_len(&self) -> usize {
        self.shape.iter().product()
    }

    fn output_len(&self) -> usize {
        self.outputs
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for (entry, init) in self.layout.entries().iter().zip(&self.inits) {
            let part = &mut params[entry.offset..][..entry.len()];
            let mut uniform = |part: &mut [f32], low: f64, high: f64| {
                part.fill_with(|| rng.uniform(low, high) as f32);
            };
            match *init {
                Init::Const(value) => part.fill(value as f32),
                Init::Uniform { lo, up } => uniform(part, lo, up),
                Init::Randn { mean, stdev } => {
                    part.fill_with(|| (mean + stdev * rng.normal()) as f32);
                }
                Init::Kaiming { dist, fan, non_linearity } => {
                    let fan = fan.for_shape(&Shape::from(entry.shape.clone())).max(1);
                    let std = non_linearity.gain() / (fan as f64).sqrt();
                    let bound = 3f64.sqrt() * std;
                    match dist {
                        NormalOrUniform::Uniform => uniform(part, -bound, bound),
                        NormalOrUniform::Normal => {
                            part.fill_with(|| (std * rng.normal()) as f32);
                        }
                    }
                }
            }
        }
    }

    fn forward(&mut self, _: &[f32], _: &[f32]) -> Result<()> {
        Err(Error::Unsupported("a fused pass"))
    }

    fn output(&self) -> &[f32] {
        &[]
    }

    fn backward(
        &mut self,
        _: &[f32],
        _: &[f32],
        _: &mut [f32],
        _: Option<&mut [f32]>,
        _: Option<&mut [f32]>,
    ) -> Result<()> {
        Err(Error::Unsupported("a fused pass"))
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let view = |entry: &crate::Entry| -> Result<(String, Tensor)> {
            let part = params.narrow(0, entry.offset, entry.len())?;
            Ok((entry.name.clone(), part.reshape(entry.shape.clone())?))
        };
        let tensors: Result<_> = self.layout.entries().iter().map(view).collect();
        self.apply(tensors?, params.dtype(), input)
    }

    fn is_fused(&self) -> bool {
        false
    }
}
