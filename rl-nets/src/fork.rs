//! Parallel composition of modules.

use crate::aligned::resize;
use crate::{Error, Layout, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Modules, called heads, that read the same input; an output row is the concatenation of their outputs. Examples are
/// an actor with a critic, and twin critics.
///
/// If there are at most as many threads as heads, and enough work, each head is computed on one thread; otherwise
/// each head is computed on all threads. A head whose output gradient is zero, because it does not contribute to the
/// loss, has no backward pass.
///
/// ```
/// use rl_nets::{Fork, Linear, Module};
/// let heads = Fork::new(64).head("policy", Linear::new(64, 2)?)?.head("value", Linear::new(64, 1)?)?;
/// assert_eq!((heads.input_len(), heads.output_len()), (64, 3));
/// assert_eq!(heads.layout().entries()[0].name, "policy.weight");
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fork {
    inputs: usize,
    layout: Layout,
    heads: Vec<Head>,
    /// The range of each head's parameters.
    params: Vec<Range<usize>>,
    threads: Threads,
    output: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Head {
    module: Box<dyn Module>,
    /// The range of its output in a row.
    columns: Range<usize>,
    /// The gradient of its output, or the forward derivative.
    grad: Vec<f32>,
    /// The gradient of its input; empty if the head does not contribute to the loss.
    grad_input: Vec<f32>,
}

impl Head {
    /// Copies the head's columns from rows of `width` elements.
    fn take(&mut self, rows: &[f32], width: usize) {
        self.grad.clear();
        let columns = self.columns.clone();
        if columns.len() == 1 {
            self.grad.extend(rows[columns.start..].iter().step_by(width));
        } else {
            for row in rows.chunks_exact(width) {
                self.grad.extend_from_slice(&row[columns.clone()]);
            }
        }
    }
}

/// Copies rows into the head's columns of rows of `width` elements.
fn put(from: &[f32], columns: Range<usize>, to: &mut [f32], width: usize) {
    if columns.len() == 1 {
        let column = to[columns.start..].iter_mut().step_by(width);
        return column.zip(from).for_each(|(to, from)| *to = *from);
    }
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(columns.len())) {
        to[columns.clone()].copy_from_slice(from);
    }
}

/// The first error among several threads.
#[derive(Default)]
struct FirstError(Mutex<Option<Error>>);

impl FirstError {
    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

impl Fork {
    /// A fork without heads, for rows of `inputs` elements.
    pub fn new(inputs: usize) -> Self {
        Fork {
            inputs,
            layout: Layout::default(),
            heads: Vec::new(),
            params: Vec::new(),
            threads: Threads::one(),
            output: Vec::new(),
        }
    }

    /// Adds a head; `name` is the prefix of its parameters' names.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a head with another input width; [`rl_core::Error::Config`] for one without
    /// outputs.
    pub fn head(mut self, name: &str, module: impl Module + 'static) -> Result<Self> {
        check::len(&format!("inputs of head '{name}'"), self.inputs, module.input_len())?;
        check::at_least(&format!("outputs of head '{name}'"), 1, module.output_len() as u64)?;
        let start = self.output_len();
        self.params.push(self.layout.append(name, module.layout()));
        self.heads.push(Head {
            columns: start..start + module.output_len(),
            module: Box::new(module),
            grad: Vec::new(),
            grad_input: Vec::new(),
        });
        Ok(self)
    }

    fn batch(&self, input: &[f32]) -> usize {
        input.len() / self.inputs.max(1)
    }
}

impl Module for Fork {
    fn describe(&self) -> Option<ModuleDescription> {
        let heads = self.heads.iter().map(|head| head.module.describe());
        Some(ModuleDescription::Fork { inputs: self.inputs, heads: heads.collect::<Option<_>>()? })
    }

    fn input_len(&self) -> usize {
        self.inputs
    }

    fn output_len(&self) -> usize {
        self.heads.last().map_or(0, |head| head.columns.end)
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        for (head, range) in self.heads.iter().zip(&self.params) {
            head.module.init(&mut params[range.clone()], rng);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        let (batch, width, work) = (self.batch(input), self.output_len(), self.work());
        let (failed, ranges) = (FirstError::default(), &self.params);
        self.threads.each(&mut self.heads, batch * work, (&mut [], ranges), |i, head, _| {
            failed.note(head.module.forward(&params[ranges[i].clone()], input));
        });
        failed.into_result()?;
        resize(&mut self.output, batch * width, 0.0)?;
        for head in &self.heads {
            put(head.module.output(), head.columns.clone(), &mut self.output, width);
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let (batch, width, work) = (self.batch(input), self.output_len(), self.work());
        let (with_grads, grads) = (grads.is_some(), grads.unwrap_or_default());
        let wanted = grad_input.is_some();
        let (failed, ranges) = (FirstError::default(), &self.params);
        self.threads.each(&mut self.heads, 2 * batch * work, (grads, ranges), |i, head, grads| {
            head.take(grad_output, width);
            let Head { module, grad, grad_input, .. } = head;
            grad_input.clear();
            if grad.iter().all(|&g| g == 0.0) {
                return;
            }
            if let Err(error) = resize(grad_input, if wanted { input.len() } else { 0 }, 0.0) {
                return failed.note(Err(error.into()));
            }
            let into = wanted.then_some(&mut grad_input[..]);
            let (own, grads) = (&params[ranges[i].clone()], with_grads.then_some(grads));
            failed.note(module.backward(own, input, grad, grads, into));
        });
        failed.into_result()?;
        if let Some(out) = grad_input {
            out.fill(0.0);
            for head in &self.heads {
                out.iter_mut().zip(&head.grad_input).for_each(|(g, more)| *g += more);
            }
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
        let width = self.output_len();
        for (Head { module, columns, grad, .. }, range) in self.heads.iter_mut().zip(&self.params) {
            resize(grad, module.output().len(), 0.0)?;
            let (own, along) = (&params[range.clone()], &direction[range.clone()]);
            module.tangent(own, input, along, input_tangent, grad)?;
            put(grad, columns.clone(), out, width);
        }
        Ok(())
    }

    fn resample(&mut self, rng: Option<&mut Rng>) {
        let mut rng = rng;
        self.heads.iter_mut().for_each(|head| head.module.resample(rng.as_deref_mut()));
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let heads = self.heads.iter().zip(&self.params);
        let columns: Result<Vec<Tensor>> = heads
            .map(|(head, range)| {
                head.module.reference(&params.narrow(0, range.start, range.len())?, input)
            })
            .collect();
        Ok(Tensor::cat(&columns?, 1)?)
    }

    fn is_fused(&self) -> bool {
        self.heads.iter().all(|head| head.module.is_fused())
    }

    fn work(&self) -> usize {
        self.heads.iter().map(|head| head.module.work()).sum()
    }

    fn share_among(&mut self, threads: &Threads) {
        self.heads.iter_mut().for_each(|head| head.module.share_among(threads));
        self.threads = threads.clone();
    }
}
