//! What an agent puts on a body.

use rl_nets::{
    Activation, Body, Chain, Dueling, Fork, Init, Linear, Module, NetworkConfig, NoisyLinear,
    Result,
};

/// The output layers of a Q network: `[actions * atoms]` numbers, from a value and advantages where `dueling`. All of them
/// have noisy weights where so asked.
pub(crate) struct OutputLayers<'a> {
    pub(crate) actions: usize,
    pub(crate) atoms: usize,
    /// Hidden layers before the output, one set for each of the two streams where `dueling`; how they compute and start is
    /// the network's matter.
    pub(crate) hidden: &'a [usize],
    pub(crate) network: &'a NetworkConfig,
    pub(crate) dueling: bool,
    pub(crate) noisy: Option<f64>,
    /// How the output starts.
    pub(crate) init: Init,
}

impl OutputLayers<'_> {
    /// A body with these layers on it.
    pub(crate) fn on(&self, body: &dyn Body, shape: &[usize]) -> Result<Chain> {
        let body = body.build(shape).map_err(|error| error.within("network"))?;
        rl_core::check::len("inputs of the body", shape.iter().product(), body.input_len())?;
        let (features, outputs) = (body.output_len(), self.actions * self.atoms);
        if !self.dueling {
            return self.stream(body, outputs);
        }
        let stream = |outputs| self.stream(Chain::new(features), outputs);
        let streams = Fork::new(features)
            .head("value", stream(self.atoms)?)?
            .head("advantage", stream(outputs)?)?;
        body.then_named("", streams)?.then(Dueling::with_atoms(self.actions, self.atoms)?)
    }

    /// A chain with the hidden layers and so many outputs on it.
    fn stream(&self, chain: Chain, outputs: usize) -> Result<Chain> {
        let NetworkConfig { activation, init, .. } = self.network;
        let hidden = self
            .hidden
            .iter()
            .try_fold(chain, |chain, &width| self.layer(chain, width, *activation, *init))?;
        self.layer(hidden, outputs, Activation::Identity, self.init)
    }

    fn layer(
        &self,
        chain: Chain,
        outputs: usize,
        activation: Activation,
        init: Init,
    ) -> Result<Chain> {
        let inputs = chain.output_len();
        match self.noisy {
            None => {
                let layer = Linear::new(inputs, outputs)?.with_init(init);
                chain.then(layer.with_activation(activation))
            }
            Some(sigma) => {
                let layer = NoisyLinear::new(inputs, outputs, sigma)?;
                chain.then(layer.with_activation(activation))
            }
        }
    }
}
