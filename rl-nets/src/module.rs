//! Modules, the components of a network.

use crate::{Error, Layout, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::Rng;

/// A component of a network: a function of a flat parameter vector and of input rows. Elementary modules define it
/// twice: in candle's operations ([`reference`](Module::reference)), which define the correct result on any device,
/// and as hand-derived passes over slices, which are fast on the CPU. [`Chain`](crate::Chain) and
/// [`Fork`](crate::Fork) compose modules and have no arithmetic of their own.
///
/// A module owns no parameters, only the buffers of its last [`forward`](Module::forward) pass. The methods below
/// rely on [`Network`](crate::Network) to check the lengths of slices. Use [`check_module`](crate::check_module()) to
/// test an implementation.
///
/// ```
/// use candle_core::Tensor;
/// use rl_core::{Rng, Seeds};
/// use rl_nets::{Backend, Layout, Module, Network, Result};
///
/// /// Multiplies each column by a parameter of its own.
/// #[derive(Clone)]
/// struct Scale {
///     layout: Layout,
///     output: Vec<f32>,
/// }
///
/// impl Module for Scale {
///     fn input_len(&self) -> usize {
///         self.layout.len()
///     }
///     fn output_len(&self) -> usize {
///         self.layout.len()
///     }
///     fn layout(&self) -> &Layout {
///         &self.layout
///     }
///     fn init(&self, params: &mut [f32], _: &mut Rng) {
///         params.fill(2.0);
///     }
///     fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
///         self.output.clear();
///         self.output.extend(input.iter().zip(params.iter().cycle()).map(|(x, p)| x * p));
///         Ok(())
///     }
///     fn output(&self) -> &[f32] {
///         &self.output
///     }
///     fn backward(
///         &mut self, params: &[f32], input: &[f32], grad_output: &mut [f32],
///         grads: Option<&mut [f32]>, grad_input: Option<&mut [f32]>,
///     ) -> Result<()> {
///         let n = params.len();
///         if let Some(grads) = grads {
///             for (i, (g, x)) in grad_output.iter().zip(input).enumerate() {
///                 grads[i % n] += g * x;
///             }
///         }
///         if let Some(out) = grad_input {
///             for (i, (o, g)) in out.iter_mut().zip(grad_output).enumerate() {
///                 *o = *g * params[i % n];
///             }
///         }
///         Ok(())
///     }
///     fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
///         Ok(input.broadcast_mul(params)?)
///     }
/// }
///
/// let mut layout = Layout::default();
/// layout.push("scale", &[2]);
/// let scale = Scale { layout, output: Vec::new() };
/// let mut net = Network::new(scale, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// assert_eq!(net.predict(&[1.0, 3.0])?, [2.0, 6.0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
pub trait Module: CloneModule + Send {
    /// The width of an input row.
    fn input_len(&self) -> usize;

    /// The width of an output row.
    fn output_len(&self) -> usize;

    /// The names, shapes and order of the parameters; none by default.
    fn layout(&self) -> &Layout {
        Layout::none()
    }

    /// Writes initial parameters, `[layout.len()]`.
    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        let _ = (params, rng);
    }

    /// Computes the [`output`](Module::output) for `input`, `[batch, input_len]`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a module without a fused pass; errors of the module's own checks.
    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()>;

    /// The output of the last forward pass, `[batch, output_len]`.
    fn output(&self) -> &[f32];

    /// The backward pass. Given the gradient of the loss with respect to the output of the last forward pass,
    /// `[batch, output_len]`, which it may overwrite, and that pass's `input`: if requested, adds the gradient with
    /// respect to the parameters to `grads`, `[layout.len()]`, and writes the gradient with respect to the input into
    /// `grad_input`, `[batch, input_len]`. The output stays unchanged, so the pass can be used again.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a module without a fused pass.
    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()>;

    /// The forward derivative (Jacobian-vector product) of the last forward pass: writes the derivative of the output
    /// into `out`, `[batch, output_len]`, for parameters that change by `direction`, `[layout.len()]`, and an input
    /// that changes by `input_tangent`, `[batch, input_len]`, or is constant. If it is not supported,
    /// [`Pass::tangent`](crate::Pass::tangent) uses finite differences of [`reference`](Module::reference).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a module without a forward derivative.
    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        let _ = (params, input, direction, input_tangent, out);
        Err(Error::Unsupported("a forward derivative"))
    }

    /// Resamples the noise of noisy layers for the following passes; `None` switches the noise off, which is the
    /// default. DQN resamples it before acting and before learning.
    fn resample(&mut self, rng: Option<&mut Rng>) {
        let _ = rng;
    }

    /// The same function in candle: `params` is `[layout.len()]`, `input` is `[batch, input_len]`, the result is
    /// `[batch, output_len]`, in the precision of the parameters.
    ///
    /// # Errors
    /// Errors of candle; [`Error::Unsupported`] if it is not defined.
    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let _ = (params, input);
        Err(Error::Unsupported("a definition in candle"))
    }

    /// What the module computes, as data; none by default, for modules of one's own.
    fn describe(&self) -> Option<ModuleDescription> {
        None
    }

    /// Whether [`forward`](Module::forward) and [`backward`](Module::backward) are implemented. A network with a
    /// module for which they are not runs entirely on candle.
    fn is_fused(&self) -> bool {
        true
    }

    /// Multiplications per row in a forward pass, used to decide whether work is distributed over threads.
    fn work(&self) -> usize {
        self.layout().len()
    }

    /// Sets the threads for large passes. A module that ignores them computes on the calling thread.
    fn share_among(&mut self, threads: &Threads) {
        let _ = threads;
    }
}

/// The forward derivative of the identity: that of the input, or zero if the input is constant.
pub(crate) fn copy_tangent(input_tangent: Option<&[f32]>, out: &mut [f32]) {
    match input_tangent {
        Some(tangent) => out.copy_from_slice(tangent),
        None => out.fill(0.0),
    }
}

/// Modules that can be cloned in a box: all that implement `Clone`.
pub trait CloneModule {
    /// A copy with its own buffers.
    fn boxed_clone(&self) -> Box<dyn Module>;
}

impl<M: Module + Clone + 'static> CloneModule for M {
    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Module> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

impl std::fmt::Debug for dyn Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("input_len", &self.input_len())
            .field("output_len", &self.output_len())
            .field("parameters", &self.layout().len())
            .finish_non_exhaustive()
    }
}

impl Module for Box<dyn Module> {
    fn input_len(&self) -> usize {
        (**self).input_len()
    }
    fn output_len(&self) -> usize {
        (**self).output_len()
    }
    fn layout(&self) -> &Layout {
        (**self).layout()
    }
    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        (**self).init(params, rng);
    }
    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        (**self).forward(params, input)
    }
    fn output(&self) -> &[f32] {
        (**self).output()
    }
    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        (**self).backward(params, input, grad_output, grads, grad_input)
    }
    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        (**self).tangent(params, input, direction, input_tangent, out)
    }
    fn describe(&self) -> Option<ModuleDescription> {
        (**self).describe()
    }
    fn resample(&mut self, rng: Option<&mut Rng>) {
        (**self).resample(rng);
    }
    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        (**self).reference(params, input)
    }
    fn is_fused(&self) -> bool {
        (**self).is_fused()
    }
    fn work(&self) -> usize {
        (**self).work()
    }
    fn share_among(&mut self, threads: &Threads) {
        (**self).share_among(threads);
    }
}
