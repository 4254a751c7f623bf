//! Sequential composition of modules.

use crate::aligned::{Aligned, resize};
use crate::module::copy_tangent;
use crate::{Layout, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};
use std::ops::Range;

/// Modules in sequence: each reads the output of the previous one. An empty chain is the identity.
///
/// Parameters are named by the index of their module: `0.weight`, `0.bias`, `1.weight`, … as in PyTorch's
/// `Sequential`, except that PyTorch also counts activations as modules.
///
/// ```
/// use rl_nets::{Activation, Chain, Linear, Module};
/// let net = Chain::new(4)
///     .then(Linear::new(4, 64)?.with_activation(Activation::Tanh))?
///     .then(Linear::new(64, 2)?)?;
/// assert_eq!((net.input_len(), net.output_len(), net.layout().len()), (4, 2, 4 * 64 + 64 + 64 * 2 + 2));
/// assert_eq!(net.layout().entries()[2].name, "1.weight");
/// let error = net.then(Linear::new(3, 1)?).unwrap_err().to_string();
/// assert_eq!(error, "inputs of module 2: expected 2 elements, got 3");
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chain {
    inputs: usize,
    layout: Layout,
    links: Vec<Link>,
    /// The output if there are no links.
    copy: Vec<f32>,
    /// The forward derivatives of a link's input and output.
    tangents: [Vec<f32>; 2],
}

#[derive(Clone, Debug)]
struct Link {
    module: Box<dyn Module>,
    params: Range<usize>,
    /// The gradient of its input, for all links except the first.
    grad_input: Aligned,
}

impl Link {
    fn new(module: Box<dyn Module>, params: Range<usize>) -> Self {
        Link { module, params, grad_input: Aligned::default() }
    }
}

impl Chain {
    /// An empty chain for rows of `inputs` elements.
    pub fn new(inputs: usize) -> Self {
        let (layout, links, copy) = (Layout::default(), Vec::new(), Vec::new());
        Chain { inputs, layout, links, copy, tangents: [Vec::new(), Vec::new()] }
    }

    /// Appends a module.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] if the module's input width differs from the output width of the chain.
    pub fn then(self, module: impl Module + 'static) -> Result<Self> {
        let name = self.links.len().to_string();
        self.then_named(&name, module)
    }

    /// Like `then`, with a custom prefix for the parameters' names; an empty one gives no prefix.
    ///
    /// # Errors
    /// Those of [`then`](Chain::then).
    pub fn then_named(mut self, name: &str, module: impl Module + 'static) -> Result<Self> {
        let what = format!("inputs of module {}", self.links.len());
        check::len(&what, self.output_len(), module.input_len())?;
        let params = self.layout.append(name, module.layout());
        self.links.push(Link::new(Box::new(module), params));
        Ok(self)
    }

    /// The same chain with `prefix` added to the names of all parameters.
    pub fn named(self, prefix: &str) -> Self {
        let mut layout = Layout::default();
        layout.append(prefix, &self.layout);
        Chain { layout, ..self }
    }

    /// The number of modules.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether the chain is empty.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

impl Module for Chain {
    fn describe(&self) -> Option<ModuleDescription> {
        let modules = self.links.iter().map(|link| link.module.describe());
        Some(ModuleDescription::Chain {
            inputs: self.inputs,
            modules: modules.collect::<Option<_>>()?,
        })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.links.last().map_or(self.inputs, |link| link.module.output_len())
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for Link { module, params: range, .. } in &self.links {
            module.init(&mut params[range.clone()], rng);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        if self.links.is_empty() {
            self.copy.clear();
            self.copy.extend_from_slice(input);
        }
        let mut x = input;
        for Link { module, params: range, .. } in &mut self.links {
            module.forward(&params[range.clone()], x)?;
            x = module.output();
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        self.links.last().map_or(&self.copy, |link| link.module.output())
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        mut grads: Option<&mut [f32]>,
        mut grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        if self.links.is_empty() {
            if let Some(out) = grad_input {
                out.copy_from_slice(grad_output);
            }
            return Ok(());
        }
        let (mut rest, mut grad) = (&mut self.links[..], grad_output);
        while let Some((link, before)) = rest.split_last_mut() {
            let Link { module, params: range, grad_input: below, .. } = link;
            let (x, into) = match before.last() {
                Some(before) => {
                    let x = before.module.output();
                    below.resize(x.len(), 0.0)?;
                    (x, Some(&mut below[..]))
                }
                None => (input, grad_input.take()),
            };
            let grads = grads.as_deref_mut().map(|grads| &mut grads[range.clone()]);
            module.backward(&params[range.clone()], x, grad, grads, into)?;
            (rest, grad) = (before, below);
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        if self.links.is_empty() {
            copy_tangent(input_tangent, out);
            return Ok(());
        }
        let Chain { links, tangents: [moved, next], .. } = self;
        let (mut x, last) = (input, links.len() - 1);
        for (i, Link { module, params: range, .. }) in links.iter_mut().enumerate() {
            let (own, along) = (&params[range.clone()], &direction[range.clone()]);
            let from = if i == 0 { input_tangent } else { Some(&moved[..]) };
            if i == last {
                return module.tangent(own, x, along, from, out);
            }
            resize(next, module.output().len(), 0.0)?;
            module.tangent(own, x, along, from, next)?;
            x = module.output();
            std::mem::swap(moved, next);
        }
        Ok(())
    }

    fn resample(&mut self, rng: Option<&mut Rng>) {
        let mut rng = rng;
        self.links.iter_mut().for_each(|link| link.module.resample(rng.as_deref_mut()));
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        self.links.iter().try_fold(input.clone(), |x, Link { module, params: range, .. }| {
            module.reference(&params.narrow(0, range.start, range.len())?, &x)
        })
    }

    fn is_fused(&self) -> bool {
        self.links.iter().all(|link| link.module.is_fused())
    }

    fn work(&self) -> usize {
        self.links.iter().map(|link| link.module.work()).sum()
    }

    fn share_among(&mut self, threads: &Threads) {
        self.links.iter_mut().for_each(|link| link.module.share_among(threads));
    }
}
