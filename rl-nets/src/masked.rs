//! Invalid-action masking.

use crate::aligned::resize;
use crate::{InputRows, InputSpace, Layout, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Error, Rng, check};

/// The logit of a forbidden action: its probability is then zero in single precision, while entropies and divergences
/// stay finite (Huang and Ontañón, 2022).
const FORBIDDEN: f32 = -1e8;

/// A network whose first outputs are action logits, with invalid-action masking.
///
/// An input row is the input of the inner network followed by the mask, one element per action: 1 if it is allowed
/// and 0 if it is forbidden. The logit of a forbidden action is replaced and has no gradient.
///
/// ```
/// use rl_nets::{Linear, Masked, Module};
/// let mut net = Masked::new(Linear::new(1, 2)?, 2)?;
/// let params = vec![0.0; net.layout().len()];
/// net.forward(&params, &[0.3, 1.0, 0.0])?;
/// assert_eq!(net.output(), [0.0, -1e8]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Masked {
    inner: Box<dyn Module>,
    choices: usize,
    features: Vec<f32>,
    output: Vec<f32>,
    grad_features: Vec<f32>,
}

impl Masked {
    /// Masks the first `choices` outputs of `inner`.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] if there are more choices than outputs.
    pub fn new(inner: impl Module + 'static, choices: usize) -> Result<Self> {
        check::at_most("choices", inner.output_len() as u64, "outputs", choices as u64)?;
        Ok(Masked {
            inner: Box::new(inner),
            choices,
            features: Vec::new(),
            output: Vec::new(),
            grad_features: Vec::new(),
        })
    }

    /// The parts of a row of input.
    fn split<'a>(&self, row: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        row.split_at(row.len() - self.choices)
    }

    fn take_features(&mut self, input: &[f32]) {
        let mut features = std::mem::take(&mut self.features);
        features.clear();
        for row in input.chunks_exact(self.input_len()) {
            features.extend_from_slice(self.split(row).0);
        }
        self.features = features;
    }

    /// Writes `with` where the mask is zero, in rows as wide as the output.
    fn put(&self, input: &[f32], rows: &mut [f32], with: f32) {
        let rows = rows.chunks_exact_mut(self.output_len());
        for (row, input) in rows.zip(input.chunks_exact(self.input_len())) {
            for (x, allowed) in row.iter_mut().zip(self.split(input).1) {
                if *allowed == 0.0 {
                    *x = with;
                }
            }
        }
    }
}

/// Action masks at the end of observations, one element per action: 1 if it is allowed and 0 if it is forbidden.
///
/// ```
/// use rl_nets::{ActionMasks, InputRows};
/// let rows = [0.3, 1.0, 0.0, 0.4, 1.0, 1.0];
/// let masks = ActionMasks::new(InputRows::from(&rows), 3, 2)?;
/// assert_eq!(masks.row(1), [1.0, 1.0]);
/// let error = ActionMasks::new(InputRows::from(&[0.3, 0.0, 0.0]), 3, 2).unwrap_err().to_string();
/// assert_eq!(error, "action mask of environment 0: expected at least one action that is allowed, got none");
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ActionMasks<'a> {
    observations: &'a [f32],
    width: usize,
    choices: usize,
}

impl<'a> ActionMasks<'a> {
    /// The masks of `choices` actions at the end of observations, `[n, width]`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a mask that allows no action, or has elements other than 0 and 1; for byte
    /// observations.
    pub fn new(observations: InputRows<'a>, width: usize, choices: usize) -> rl_core::Result<Self> {
        let masks = Self::of_next(observations, width, choices)?;
        for i in 0..masks.observations.len() / width {
            let mask = masks.row(i);
            if let Some((at, x)) = mask.iter().enumerate().find(|(_, x)| **x != 0.0 && **x != 1.0) {
                let what = format!("action mask of environment {i}, action {at}");
                return Err(Error::mismatch(what, "0 or 1", x));
            }
            if mask.iter().all(|&x| x == 0.0) {
                let what = format!("action mask of environment {i}");
                return Err(Error::mismatch(what, "at least one action that is allowed", "none"));
            }
        }
        Ok(masks)
    }

    /// The masks of next observations: at the end of an episode a mask may allow no action.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for byte observations.
    pub fn of_next(
        observations: InputRows<'a>,
        width: usize,
        choices: usize,
    ) -> rl_core::Result<Self> {
        let InputRows::F32(observations) = observations else {
            return Err(Error::mismatch("observations with action masks", "numbers", "bytes"));
        };
        check_mask_width(width, choices)?;
        check::len("observations", observations.len() / width * width, observations.len())?;
        Ok(ActionMasks { observations, width, choices })
    }

    /// The mask of observation `i`, `[choices]`; empty where there is no such observation.
    pub fn row(&self, i: usize) -> &'a [f32] {
        let row = self.observations.chunks_exact(self.width).nth(i).unwrap_or_default();
        row.get(self.width - self.choices..).unwrap_or_default()
    }

    /// Checks that each action, `[n]`, is allowed by the mask of its observation.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for the first that is not.
    pub fn check_actions(&self, actions: &[u32]) -> rl_core::Result<()> {
        for (i, action) in actions.iter().enumerate() {
            if self.row(i).get(*action as usize) != Some(&1.0) {
                let what = format!("action of environment {i}");
                return Err(Error::mismatch(what, "one that its mask allows", action));
            }
        }
        Ok(())
    }

    /// A uniform sample of the actions allowed by observation `i`.
    pub fn draw(&self, i: usize, rng: &mut Rng) -> u32 {
        let allowed = |mask: &'a [f32]| (0u32..).zip(mask).filter(|(_, x)| **x != 0.0);
        let chosen = rng.below(allowed(self.row(i)).count());
        allowed(self.row(i)).nth(chosen).map_or(0, |(action, _)| action)
    }

    /// Replaces the values of forbidden actions, `[n, choices]`, with minus infinity, so that they are never the
    /// maximum.
    pub fn forbid(&self, values: &mut [f32]) {
        for (i, values) in values.chunks_exact_mut(self.choices).enumerate() {
            for (value, allowed) in values.iter_mut().zip(self.row(i)) {
                if *allowed == 0.0 {
                    *value = f32::NEG_INFINITY;
                }
            }
        }
    }
}

fn check_mask_width(width: usize, choices: usize) -> rl_core::Result<()> {
    check::at_least("observation width with action_mask", choices as u64 + 1, width as u64)
}

/// The number of observation elements that a network reads if the last `choices` are an action mask.
///
/// # Errors
/// [`Error::Config`] for images, for byte observations, and if no elements remain.
pub fn unmasked_width(space: &impl InputSpace, choices: usize) -> rl_core::Result<usize> {
    let refuse = |expected: &str, got: String| Err(Error::config("action_mask", expected, got));
    if let Some(range) = space.byte_range() {
        return refuse("false for bytes", format!("true for bytes up to {range}"));
    }
    let &[width] = space.input_shape() else {
        return refuse("false for images", format!("true for {:?}", space.input_shape()));
    };
    check_mask_width(width, choices)?;
    Ok(width - choices)
}

impl Module for Masked {
    fn describe(&self) -> Option<ModuleDescription> {
        let inner = Box::new(self.inner.describe()?);
        Some(ModuleDescription::Masked { choices: self.choices, inner })
    }

    fn input_len(&self) -> usize {
        self.inner.input_len() + self.choices
    }

    fn output_len(&self) -> usize {
        self.inner.output_len()
    }

    fn layout(&self) -> &Layout {
        self.inner.layout()
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        self.inner.init(params, rng);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        self.take_features(input);
        self.inner.forward(params, &self.features)?;
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        output.extend_from_slice(self.inner.output());
        self.put(input, &mut output, FORBIDDEN);
        self.output = output;
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
        self.put(input, grad_output, 0.0);
        let Masked { inner, features, grad_features, choices, .. } = self;
        let Some(out) = grad_input else {
            return inner.backward(params, features, grad_output, grads, None);
        };
        resize(grad_features, features.len(), 0.0)?;
        inner.backward(params, features, grad_output, grads, Some(grad_features))?;
        let width = inner.input_len();
        let rows = out.chunks_exact_mut(width + *choices);
        for (row, features) in rows.zip(grad_features.chunks_exact(width)) {
            row[..width].copy_from_slice(features);
            row[width..].fill(0.0);
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
        let width = self.inner.input_len();
        let moved = input_tangent.map(|tangent| {
            let rows = tangent.chunks_exact(width + self.choices);
            self.grad_features.clear();
            rows.for_each(|row| self.grad_features.extend_from_slice(&row[..width]));
            &self.grad_features[..]
        });
        self.inner.tangent(params, &self.features, direction, moved, out)?;
        self.put(input, out, 0.0);
        Ok(())
    }

    fn resample(&mut self, rng: Option<&mut Rng>) {
        self.inner.resample(rng);
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let width = self.inner.input_len();
        let output = self.inner.reference(params, &input.narrow(1, 0, width)?)?;
        let mask = input.narrow(1, width, self.choices)?.detach();
        let logits = output.narrow(1, 0, self.choices)?;
        let forbidden = ((1.0 - &mask)? * f64::from(FORBIDDEN))?;
        let logits = ((logits * mask)? + forbidden)?;
        let rest = self.output_len() - self.choices;
        if rest == 0 {
            return Ok(logits);
        }
        Ok(Tensor::cat(&[logits, output.narrow(1, self.choices, rest)?], 1)?)
    }

    fn is_fused(&self) -> bool {
        self.inner.is_fused()
    }

    fn work(&self) -> usize {
        self.inner.work()
    }

    fn share_among(&mut self, threads: &Threads) {
        self.inner.share_among(threads);
    }
}
