//! A trainable network: a network with its optimiser and an optional target network.

use crate::{InputRows, Network, Optimizer, OptimizerConfig, Pass, Result};
use rl_core::{Rng, Sections};

/// A network with its optimiser and an optional target network.
///
/// ```
/// use rl_core::{Sections, Seeds};
/// use rl_nets::{Backend, Learned, Linear, Network, OptimizerConfig};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let net = Network::new(Linear::new(1, 1)?, &Backend::cpu(), &mut rng)?;
/// let mut value = Learned::new(net, &OptimizerConfig::adam())?.with_target()?;
/// let pass = value.forward(&[1.0])?;
/// let mut grad = [pass.output()[0] - 3.0];
/// pass.step(&mut grad, 1e-2, None)?;
/// value.soft_update(0.005)?;
/// let mut sections = Sections::default();
/// value.save("value", &mut sections)?;
/// let copy = value.loaded("value", &sections)?;
/// assert_eq!(copy.network().params()?, value.network().params()?);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Debug)]
pub struct Learned {
    network: Network,
    target: Option<Network>,
    optimizer: Optimizer,
}

impl Learned {
    /// A network trained by an optimiser with these settings.
    ///
    /// # Errors
    /// Those of the settings, and errors of candle.
    pub fn new(network: Network, optimizer: &OptimizerConfig) -> Result<Self> {
        let optimizer = network.optimizer(optimizer.clone())?;
        Ok(Learned { network, target: None, optimizer })
    }

    /// Adds a target network, initially a copy.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn with_target(self) -> Result<Self> {
        let target = Some(self.network.twin()?);
        Ok(Learned { target, ..self })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Mutable access to the network. Changes do not affect the target network.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The network's output, see [`Network::predict`].
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn predict<'a>(&mut self, input: impl Into<InputRows<'a>>) -> Result<&[f32]> {
        self.network.predict(input)
    }

    /// The target network's output, see [`Network::predict`].
    ///
    /// # Errors
    /// Those of [`Network::predict`]; [`rl_core::Error::Mismatch`] if there is no target network.
    pub fn predict_target<'a>(&mut self, input: impl Into<InputRows<'a>>) -> Result<&[f32]> {
        self.target_mut()?.predict(input)
    }

    /// A forward pass on which a gradient step can be taken.
    ///
    /// # Errors
    /// Those of [`Network::forward`].
    pub fn forward<'a>(&'a mut self, input: impl Into<InputRows<'a>>) -> Result<LearnedPass<'a>> {
        Ok(LearnedPass { pass: self.network.forward(input)?, optimizer: &mut self.optimizer })
    }

    /// The target network.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] if there is none.
    pub fn target_mut(&mut self) -> Result<&mut Network> {
        Ok(self.target.as_mut().ok_or_else(no_target)?)
    }

    /// A forward pass on which a gradient step can be taken, and the target network, so that a loss can use its last
    /// output.
    ///
    /// # Errors
    /// Those of [`Network::forward`] and [`target_mut`](Learned::target_mut).
    pub fn forward_beside_target<'a>(
        &'a mut self,
        input: impl Into<InputRows<'a>>,
    ) -> Result<(LearnedPass<'a>, &'a Network)> {
        let Learned { network, target, optimizer } = self;
        let target = target.as_ref().ok_or_else(no_target)?;
        Ok((LearnedPass { pass: network.forward(input)?, optimizer }, target))
    }

    /// Resamples the noise of noisy layers, also in the target network, see [`Network::resample`].
    pub fn resample(&mut self, mut rng: Option<&mut Rng>) {
        self.network.resample(rng.as_deref_mut());
        if let Some(target) = &mut self.target {
            target.resample(rng);
        }
    }

    /// Takes one step on the gradient accumulated by [`Pass::backward`], for example over several passes; see
    /// [`LearnedPass::step`] for a single pass.
    ///
    /// # Errors
    /// Those of [`Network::step`].
    pub fn step(&mut self, learning_rate: f64, max_norm: Option<f64>) -> Result<f64> {
        self.network.step(&mut self.optimizer, learning_rate, max_norm)
    }

    /// Soft update of the target network: moves it towards the network by the fraction `tau`; with 1 it becomes a
    /// copy.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn soft_update(&mut self, tau: f64) -> Result<()> {
        self.target.as_mut().map_or(Ok(()), |target| target.move_towards(&self.network, tau))
    }

    /// Writes the network's parameters as `{name}.safetensors`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save_weights(&self, name: &str, out: &mut Sections) -> Result<()> {
        out.put_file(&format!("{name}.safetensors"), self.network.save()?);
        Ok(())
    }

    /// Loads the file written by [`save_weights`](Learned::save_weights), also into the target network. On error
    /// nothing is changed.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of a network of another shape.
    pub fn load_weights(&mut self, name: &str, from: &Sections) -> Result<()> {
        self.network.load(from.file(&format!("{name}.safetensors"))?)?;
        self.soft_update(1.0)
    }

    /// Writes the complete state: `{name}.safetensors`, `{name}_target.safetensors` and `{name}_optimizer.bin`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save(&self, name: &str, out: &mut Sections) -> Result<()> {
        self.save_weights(name, out)?;
        if let Some(target) = &self.target {
            out.put_file(&format!("{name}_target.safetensors"), target.save()?);
        }
        out.put_file(&format!("{name}_optimizer.bin"), self.optimizer.save()?);
        Ok(())
    }

    /// A copy with the state written by [`save`](Learned::save). `self` is unchanged, so that several networks can be
    /// loaded before any is replaced.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of a network of another shape or another optimiser.
    pub fn loaded(&self, name: &str, from: &Sections) -> Result<Self> {
        let (mut network, mut optimizer) = (self.network.twin()?, self.optimizer.clone());
        network.load(from.file(&format!("{name}.safetensors"))?)?;
        optimizer.load(from.file(&format!("{name}_optimizer.bin"))?)?;
        let load_target = |target: &Network| {
            let mut target = target.twin()?;
            target.load(from.file(&format!("{name}_target.safetensors"))?)?;
            Ok::<_, crate::Error>(target)
        };
        let target = self.target.as_ref().map(load_target).transpose()?;
        Ok(Learned { network, target, optimizer })
    }
}

fn no_target() -> rl_core::Error {
    rl_core::Error::mismatch("network", "one with a target", "one without")
}

/// A forward [`Pass`] of a trainable network. Take a step on its loss, or drop it.
#[must_use = "a forward pass that is not stepped on is `predict`'s work"]
#[derive(Debug)]
pub struct LearnedPass<'a> {
    pass: Pass<'a>,
    optimizer: &'a mut Optimizer,
}

impl<'a> LearnedPass<'a> {
    /// Takes one gradient step, given the gradient of the loss with respect to the output, `[batch, output_len]`,
    /// which it may overwrite. The gradient is clipped to the global norm `max_norm`, if given. Returns the norm
    /// before clipping.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) for a non-finite gradient, in which case the parameters are
    /// unchanged; [`rl_core::Error::Mismatch`] for a slice of the wrong length.
    pub fn step(
        self,
        grad_output: &mut [f32],
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        let network = self.pass.into_network(grad_output)?;
        network.step(self.optimizer, learning_rate, max_norm)
    }

    /// The output, `[batch, output_len]`.
    pub fn output(&self) -> &[f32] {
        self.pass.output()
    }

    /// The underlying pass, for use without a gradient step.
    pub fn into_pass(self) -> Pass<'a> {
        self.pass
    }
}

/// A loss on a forward pass: its measurements, and the pass. Take a step on it, or drop it.
#[must_use = "a loss that is neither stepped on nor looked at was for nothing"]
#[derive(Debug)]
pub struct Loss<'a, S> {
    /// The measurements.
    pub stats: S,
    pass: LearnedPass<'a>,
    grad_output: &'a mut [f32],
}

impl<'a, S> Loss<'a, S> {
    /// A loss with the gradient of the output of the pass, `[batch, output_len]`.
    pub fn new(pass: LearnedPass<'a>, grad_output: &'a mut [f32], stats: S) -> Self {
        Loss { stats, pass, grad_output }
    }

    /// Takes one gradient step, see [`LearnedPass::step`].
    ///
    /// # Errors
    /// Those of [`LearnedPass::step`].
    pub fn step(self, learning_rate: f64, max_norm: Option<f64>) -> Result<f64> {
        self.pass.step(self.grad_output, learning_rate, max_norm)
    }

    /// Adds the gradient to the gradient accumulated in the network, see [`Pass::backward`].
    ///
    /// # Errors
    /// Those of [`Pass::backward`].
    pub fn backward(self) -> Result<()> {
        self.pass.into_pass().backward(self.grad_output)
    }
}
