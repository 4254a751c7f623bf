//! A stochastic policy with a value function, as on-policy methods act with it.

use crate::{Backend, Distribution, Error, Module, Network, Result};
use rl_core::{Rng, check};

/// A network whose rows are `[policy parameters, value]`, and the distribution that the parameters
/// belong to.
#[derive(Debug)]
pub struct ActorCriticPolicy<D> {
    network: Network,
    distribution: D,
}

impl<D: Distribution> ActorCriticPolicy<D> {
    /// A policy over `module`, whose output has one number more than the distribution has parameters.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of outputs; those of candle.
    pub fn new(
        module: impl Module + 'static,
        distribution: D,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        let expected = distribution.params_len() + 1;
        check::len("outputs of the actor-critic network", expected, module.output_len())?;
        Ok(ActorCriticPolicy { network: Network::new(module, backend, rng)?, distribution })
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
        ActorCriticPolicy { network: self.network.twin(), distribution }
    }

    /// Draws an action for each observation, `[n, width]`: writes the actions, `[n, action width]`,
    /// their log-probabilities, `[n]`, and the observations' values, `[n]`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a policy that has diverged; slices of a wrong length.
    pub fn sample(
        &mut self,
        observations: &[f32],
        rng: &mut Rng,
        actions: &mut [D::Elem],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let output = self.network.predict(observations)?;
        let n = output.len() / width;
        check::len("actions", n * action_len, actions.len())?;
        check::len("log-probabilities", n, log_probs.len())?;
        check::len("values", n, values.len())?;
        let rows = output.chunks_exact(width).zip(actions.chunks_exact_mut(action_len));
        for ((row, action), (log_prob, value)) in rows.zip(log_probs.iter_mut().zip(values)) {
            let (params, rest) = row.split_at(width - 1);
            self.distribution.sample(params, rng, action);
            *log_prob = self.distribution.log_prob(params, action);
            *value = rest[0];
            if !(log_prob.is_finite() && value.is_finite()) {
                let value = f64::from(*log_prob + *value);
                return Err(Error::NotFinite { what: "the policy's output", value });
            }
        }
        Ok(())
    }

    /// Writes the most likely action for each observation.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a policy that has diverged; slices of a wrong length.
    pub fn mode(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let output = self.network.predict(observations)?;
        check::len("actions", output.len() / width * action_len, actions.len())?;
        let rows = output.chunks_exact(width).zip(actions.chunks_exact_mut(action_len));
        for (row, action) in rows {
            if let Some(bad) = row.iter().find(|x| !x.is_finite()) {
                let value = f64::from(*bad);
                return Err(Error::NotFinite { what: "the policy's output", value });
            }
            self.distribution.mode(&row[..width - 1], action);
        }
        Ok(())
    }

    /// Writes the value of each observation, `[n, width]`, into `values`, `[n]`.
    ///
    /// # Errors
    /// Slices of a wrong length.
    pub fn values(&mut self, observations: &[f32], values: &mut [f32]) -> Result<()> {
        let width = self.distribution.params_len() + 1;
        let output = self.network.predict(observations)?;
        check::len("values", output.len() / width, values.len())?;
        for (row, value) in output.chunks_exact(width).zip(values) {
            *value = row[width - 1];
        }
        Ok(())
    }
}
