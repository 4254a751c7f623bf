//! A forward pass as a value.

use crate::network::{Store, numbers};
use crate::on_device::{Graph, differences};
use crate::{Error, InputRows, Module, Network, Result};
use rl_core::check;

/// A forward pass of a [`Network`] on some rows: its output, and the data for its backward pass.
///
/// It borrows the network, so that nothing can change the parameters or stored activations meanwhile. A backward pass
/// consumes it. Therefore the following code, which would compute the gradient at another input, does not compile:
///
/// ```compile_fail,E0499
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Linear, Network};
/// let mut net = Network::new(Linear::new(1, 1)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// let pass = net.forward(&[1.0])?;
/// net.predict(&[2.0])?;
/// pass.backward(&mut [1.0])?;
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// A second backward pass does not compile either:
///
/// ```compile_fail,E0382
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Linear, Network};
/// let mut net = Network::new(Linear::new(1, 1)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// let pass = net.forward(&[1.0])?;
/// pass.backward(&mut [1.0])?;
/// pass.backward(&mut [1.0])?;
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// An unused pass gives a warning, here turned into an error:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Linear, Network};
/// # fn main() -> Result<(), rl_nets::Error> {
/// let mut net = Network::new(Linear::new(1, 1)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// net.forward(&[1.0])?;
/// # Ok(())
/// # }
/// ```
///
/// This compiles:
///
/// ```
/// #![deny(unused_must_use)]
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Linear, Network};
/// # fn main() -> Result<(), rl_nets::Error> {
/// let mut net = Network::new(Linear::new(1, 1)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// let pass = net.forward(&[3.0])?;
/// let mut grad = [pass.output()[0] - 1.0];
/// pass.backward(&mut grad)?;
/// net.predict(&[2.0])?;
/// assert!((net.grads()?[0] / net.grads()?[1] - 3.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[must_use = "a forward pass without a backward one is `predict`'s work"]
pub struct Pass<'a> {
    network: &'a mut Network,
    rows: InputRows<'a>,
    /// The tensors that candle needs for the backward pass.
    graph: Option<Graph>,
}

impl std::fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("network", &self.network).finish_non_exhaustive()
    }
}

/// The gradients that a backward pass computes, and their destinations.
struct Gradients<'a> {
    /// Adds the gradient of the parameters to that accumulated in the network.
    gather: bool,
    /// Writes the gradient of the parameters, `[num_params]`.
    params: Option<&'a mut [f32]>,
    /// Writes the gradient of the input, `[batch, input_len]`.
    input: Option<&'a mut [f32]>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(network: &'a mut Network, rows: InputRows<'a>) -> Result<Self> {
        network.check_rows(rows)?;
        let graph = match &mut network.store {
            Store::Fused { .. } => {
                network.predict_rows(rows)?;
                None
            }
            Store::Candle(on_device) => {
                Some(on_device.forward(&*network.module, rows, network.byte_range)?)
            }
        };
        Ok(Pass { network, rows, graph })
    }

    /// The output, `[batch, output_len]`.
    pub fn output(&self) -> &[f32] {
        self.network.output()
    }

    /// The width of an output row.
    pub fn output_len(&self) -> usize {
        self.network.output_len()
    }

    /// Given the gradient of the loss with respect to the output, `[batch, output_len]`, which it may overwrite, adds
    /// the gradient with respect to the parameters to that accumulated in the network.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a slice of the wrong length; errors of candle.
    pub fn backward(self, grad_output: &mut [f32]) -> Result<()> {
        self.into_network(grad_output).map(drop)
    }

    /// Like `backward`; returns the network.
    pub(crate) fn into_network(mut self, grad_output: &mut [f32]) -> Result<&'a mut Network> {
        self.backpropagate(grad_output, Gradients { gather: true, params: None, input: None })?;
        Ok(self.network)
    }

    /// Like `backward`; also writes the gradient with respect to the input into `grad_input`, `[batch, input_len]`.
    ///
    /// # Errors
    /// Those of [`backward`](Pass::backward).
    pub fn backward_to_input(
        mut self,
        grad_output: &mut [f32],
        grad_input: &mut [f32],
    ) -> Result<()> {
        self.backpropagate(
            grad_output,
            Gradients { gather: true, params: None, input: Some(grad_input) },
        )
    }

    /// Writes only the gradient with respect to the input into `grad_input`, `[batch, input_len]`, without that of
    /// the parameters, as for training an actor through a critic. For byte inputs it is the gradient with respect to
    /// the scaled numbers. Otherwise like [`backward`](Pass::backward).
    ///
    /// # Errors
    /// Those of [`backward`](Pass::backward).
    pub fn input_gradient(mut self, grad_output: &mut [f32], grad_input: &mut [f32]) -> Result<()> {
        self.backpropagate(
            grad_output,
            Gradients { gather: false, params: None, input: Some(grad_input) },
        )
    }

    /// The vector-Jacobian product with `grad_output`: writes the gradient with respect to the parameters into `out`,
    /// `[num_params]`, and does not change the accumulated gradient. The pass is not consumed.
    ///
    /// # Errors
    /// Those of [`backward`](Pass::backward).
    pub fn vjp(&mut self, grad_output: &mut [f32], out: &mut [f32]) -> Result<()> {
        check::len("parameter gradient", self.network.num_params(), out.len())?;
        self.backpropagate(grad_output, Gradients { gather: false, params: Some(out), input: None })
    }

    fn backpropagate(&mut self, grad_output: &mut [f32], gradients: Gradients<'_>) -> Result<()> {
        check::len("output gradient", self.output().len(), grad_output.len())?;
        if let Some(out) = &gradients.input {
            check::len("input gradient", self.rows.len(), out.len())?;
        }
        let Gradients { gather, params: own, input: grad_input } = gradients;
        let Network { module, store, scaled, .. } = &mut *self.network;
        match (store, &self.graph) {
            (Store::Fused { params, grads }, _) => {
                let into = match own {
                    Some(own) => {
                        own.fill(0.0);
                        Some(own)
                    }
                    None => gather.then_some(&mut grads[..]),
                };
                let rows = numbers(self.rows, scaled);
                module.backward(params, rows, grad_output, into, grad_input)
            }
            (Store::Candle(on_device), Some(graph)) => {
                on_device.backward(&**module, graph, grad_output, gather, own, grad_input)
            }
            (Store::Candle(_), None) => Err(Error::Unsupported("a pass without its graph")),
        }
    }

    /// The Jacobian-vector product with `direction`, `[num_params]`: writes `d/dt f(params + t direction)` at `t = 0`
    /// into `out`, `[batch, output_len]`. The pass is not consumed.
    ///
    /// It is computed on the host, so that a device need not support double precision: by the module's own forward
    /// derivative, or else by central differences in double precision.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not match; errors of candle.
    pub fn tangent(&mut self, direction: &[f32], out: &mut [f32]) -> Result<()> {
        check::len("direction", self.network.num_params(), direction.len())?;
        check::len("output tangent", self.output().len(), out.len())?;
        let copied = match &self.network.store {
            Store::Fused { .. } => None,
            Store::Candle(on_device) => Some(on_device.params()?),
        };
        if copied.is_some() {
            self.network.scale(self.rows)?;
        }
        let Network { module, store, scaled, .. } = &mut *self.network;
        let rows = numbers(self.rows, scaled);
        let params = match (&*store, &copied) {
            (Store::Fused { params, .. }, _) => &params[..],
            (_, Some(params)) => params,
            (_, None) => return Err(Error::Unsupported("a pass without parameters")),
        };
        if module.is_fused() {
            if copied.is_some() {
                module.forward(params, rows)?;
            }
            match module.tangent(params, rows, direction, None, out) {
                Err(Error::Unsupported(_)) => {}
                result => return result,
            }
        }
        differences(&**module, (params, rows), direction, out)
    }
}
