//! What an agent puts on a body.

use rl_nets::{Body, Chain, Dueling, Fork, Init, Linear, Module, NoisyLinear, Result};

/// The output layer of a Q network: `[actions * atoms]` numbers, from a value and advantages where `dueling`, with noisy
/// weights where so asked.
pub(crate) struct OutputLayer {
    pub(crate) actions: usize,
    pub(crate) atoms: usize,
    pub(crate) dueling: bool,
    pub(crate) noisy: Option<f64>,
    pub(crate) init: Init,
}

impl OutputLayer {
    /// A body with this layer on it.
    pub(crate) fn on(&self, body: &dyn Body, shape: &[usize]) -> Result<Chain> {
        let body = body.build(shape)?;
        rl_core::check::len("inputs of the body", shape.iter().product(), body.input_len())?;
        let (features, outputs) = (body.output_len(), self.actions * self.atoms);
        if !self.dueling {
            return self.linear(body, features, outputs);
        }
        let stream = |outputs| self.linear(Chain::new(features), features, outputs);
        let streams = Fork::new(features)
            .head("value", stream(self.atoms)?)?
            .head("advantage", stream(outputs)?)?;
        body.then_named("", streams)?.then(Dueling::with_atoms(self.actions, self.atoms)?)
    }

    fn linear(&self, chain: Chain, features: usize, outputs: usize) -> Result<Chain> {
        match self.noisy {
            None => chain.then(Linear::new(features, outputs)?.with_init(self.init)),
            Some(sigma) => chain.then(NoisyLinear::new(features, outputs, sigma)?),
        }
    }
}
