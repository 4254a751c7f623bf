//! A stochastic policy with a value function, as on-policy methods act with it.

use crate::kernels::dispatch;
use crate::masked::check_masks;
use crate::{
    ActorCritic, ActorCriticConfig, Backend, Distribution, Error, Masked, Module, Network, Result,
};
use rl_core::{Rng, StochasticPolicy, check};

/// A network whose rows are `[policy parameters, value]`, and the distribution that the parameters
/// belong to.
#[derive(Debug)]
pub struct ActorCriticPolicy<D> {
    network: Network,
    distribution: D,
    /// How many numbers at the end of an observation are a mask.
    mask: usize,
}

impl<D: Distribution> ActorCriticPolicy<D> {
    /// A policy over observations of `width` numbers.
    ///
    /// # Errors
    /// Those of [`ActorCriticConfig::validate`]; a mask for continuous actions, or one that leaves
    /// nothing of the observation; those of candle.
    pub fn new(
        width: usize,
        distribution: D,
        config: &ActorCriticConfig,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        if !config.action_mask {
            let net = ActorCritic::new(width, &distribution, config)?;
            return Self::with_module(net, distribution, backend, rng);
        }
        let Some(mask) = distribution.choices() else {
            let error =
                rl_core::Error::config("action_mask", "false for continuous actions", "true");
            return Err(error.into());
        };
        let field = "observation width with action_mask";
        check::at_least(field, mask as u64 + 1, width as u64)?;
        let net = ActorCritic::new(width - mask, &distribution, config)?;
        let policy = Self::with_module(Masked::new(net, mask), distribution, backend, rng)?;
        Ok(ActorCriticPolicy { mask, ..policy })
    }

    /// A policy over a network of your own, whose output has one number more than the distribution has
    /// parameters.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of outputs; those of candle.
    pub fn with_module(
        module: impl Module + 'static,
        distribution: D,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        let expected = distribution.params_len() + 1;
        check::len("outputs of the actor-critic network", expected, module.output_len())?;
        Ok(ActorCriticPolicy {
            network: Network::new(module, backend, rng)?,
            distribution,
            mask: 0,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, to be trained.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The distribution of actions.
    pub fn distribution(&self) -> &D {
        &self.distribution
    }

    /// A copy with the same parameters.
    pub fn twin(&self) -> Self {
        let distribution = self.distribution.clone();
        ActorCriticPolicy { network: self.network.twin(), distribution, mask: self.mask }
    }

    /// The network's rows for observations to act on.
    fn rows(&mut self, observations: &[f32]) -> Result<&[f32]> {
        if self.mask > 0 {
            check_masks(observations, self.network.input_len(), self.mask)?;
        }
        self.network.predict(observations)
    }

    /// The values of observations `[n, width]`, `[n]`.
    ///
    /// # Errors
    /// An input that is not whole rows.
    pub fn values_of(&mut self, observations: &[f32]) -> rl_core::Result<Vec<f32>> {
        let mut values = vec![0.0; observations.len() / self.network.input_len().max(1)];
        self.values(observations, &mut values)?;
        Ok(values)
    }

    /// Writes the most likely action for each observation.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a policy that has diverged; slices of a wrong length.
    pub fn mode(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let distribution = self.distribution.clone();
        let output = self.rows(observations)?;
        check::len("actions", output.len() / width * action_len, actions.len())?;
        let rows = output.chunks_exact(width).zip(actions.chunks_exact_mut(action_len));
        for (row, action) in rows {
            if let Some(bad) = row.iter().find(|x| !x.is_finite()) {
                let value = f64::from(*bad);
                return Err(Error::NotFinite { what: "the policy's output", value });
            }
            distribution.mode(&row[..width - 1], action);
        }
        Ok(())
    }
}

impl<D: Distribution> StochasticPolicy for ActorCriticPolicy<D> {
    type Action = D::Action;

    fn sample(
        &mut self,
        observations: &[f32],
        rng: &mut Rng,
        actions: &mut [D::Elem],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> rl_core::Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let distribution = self.distribution.clone();
        let output = self.rows(observations)?;
        let n = output.len() / width;
        check::len("actions", n * action_len, actions.len())?;
        check::len("log-probabilities", n, log_probs.len())?;
        check::len("values", n, values.len())?;
        let rows = output.chunks_exact(width).zip(actions.chunks_exact_mut(action_len));
        dispatch(
            #[inline(always)]
            || {
                let told = log_probs.iter_mut().zip(values.iter_mut());
                for ((row, action), (log_prob, value)) in rows.zip(told) {
                    let (params, rest) = row.split_at(width - 1);
                    distribution.sample(params, rng, action);
                    *log_prob = distribution.log_prob(params, action);
                    *value = rest[0];
                }
            },
        );
        match log_probs.iter().chain(values.iter()).find(|x| !x.is_finite()) {
            Some(&bad) => {
                let value = f64::from(bad);
                Err(Error::NotFinite { what: "the policy's output", value }.into())
            }
            None => Ok(()),
        }
    }

    fn values(&mut self, observations: &[f32], values: &mut [f32]) -> rl_core::Result<()> {
        let width = self.distribution.params_len() + 1;
        let output = self.network.predict(observations)?;
        check::len("values", output.len() / width, values.len())?;
        for (row, value) in output.chunks_exact(width).zip(values) {
            *value = row[width - 1];
        }
        Ok(())
    }
}
