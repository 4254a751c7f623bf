//! A stochastic policy with a value function, for on-policy methods.

use crate::kernels::dispatch;
use crate::{
    ActionMasks, ActorCriticConfig, Backend, Bodies, Distribution, Error, InputSpace, Learned,
    LearnedPass, Module, Network, OptimizerConfig, PolicyDescription, Result, RowElement,
    actor_critic, check_finite,
};
use rl_core::{BoxSpace, Rng, Sections, StochasticPolicy, check};
use std::marker::PhantomData;

/// No allowed action is as unlikely: the logits of forbidden ones are -1e8.
const FORBIDDEN_LOG_PROB: f32 = -1e7;

/// A network with output rows `[policy parameters, value]`, its optimiser, and the action distribution of the
/// parameters. `O` is the observation space.
#[derive(Debug)]
pub struct ActorCriticPolicy<D, O = BoxSpace> {
    learned: Learned,
    distribution: D,
    /// The number of elements at the end of an observation that are an action mask.
    mask: usize,
    observations: PhantomData<O>,
}

impl<D: Distribution, O: InputSpace> ActorCriticPolicy<D, O> {
    /// A policy for the observations of a space.
    ///
    /// # Errors
    /// Those of [`actor_critic`], as of a field `network`, and of the optimiser's settings; a mask with byte observations; errors of candle.
    pub fn new(
        space: &O,
        distribution: D,
        (config, bodies): (&ActorCriticConfig, Bodies<'_>),
        optimizer: &OptimizerConfig,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        let module = actor_critic(config, bodies, space, &distribution)
            .map_err(|error| error.within("network"))?;
        let mask = if config.action_mask { distribution.choices().unwrap_or(0) } else { 0 };
        let policy = Self::with_module(space, module, distribution, optimizer, backend, rng)?;
        Ok(ActorCriticPolicy { mask, ..policy })
    }

    /// A policy with a custom network, whose output width is the number of distribution parameters plus one.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of inputs or outputs; errors of the optimiser's settings and
    /// of candle.
    pub fn with_module(
        space: &O,
        module: impl Module + 'static,
        distribution: D,
        optimizer: &OptimizerConfig,
        backend: &Backend,
        rng: &mut Rng,
    ) -> Result<Self> {
        let expected = distribution.params_len() + 1;
        check::len("outputs of the actor-critic network", expected, module.output_len())?;
        let network = Network::for_space(module, space, backend, rng)?;
        let learned = Learned::new(network, optimizer)?;
        Ok(ActorCriticPolicy { learned, distribution, mask: 0, observations: PhantomData })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.learned.network()
    }

    /// Mutable access to the network.
    pub fn network_mut(&mut self) -> &mut Network {
        self.learned.network_mut()
    }

    /// The action distribution.
    pub fn distribution(&self) -> &D {
        &self.distribution
    }

    /// A forward pass on which a gradient step can be taken; its output is `[n, policy parameters + 1]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
    pub fn forward<'a>(&'a mut self, observations: &'a [O::Elem]) -> Result<LearnedPass<'a>> {
        self.learned.forward(observations)
    }

    /// Everything but the parameters that acting in `space` takes, for [`Policy::describe`](rl_core::Policy::describe).
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn describe(&self, space: &D::Action) -> rl_core::Result<Option<String>> {
        let output = self.distribution.describe(space);
        PolicyDescription::text_of::<O::Elem>(self.network(), output, None)
    }

    /// Writes only the parameters needed to act, as the file `policy.safetensors`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save_weights(&self, out: &mut Sections) -> Result<()> {
        self.learned.save_weights("policy", out)
    }

    /// Loads the file written by [`save_weights`](ActorCriticPolicy::save_weights). On error nothing is changed.
    ///
    /// # Errors
    /// Those of [`Learned::load_weights`].
    pub fn load_weights(&mut self, from: &Sections) -> Result<()> {
        self.learned.load_weights("policy", from)
    }

    /// Writes weights and optimiser state.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn save(&self, out: &mut Sections) -> Result<()> {
        self.learned.save("policy", out)
    }

    /// Decodes the state written by [`save`](ActorCriticPolicy::save), to be applied with
    /// [`replace`](ActorCriticPolicy::replace) once everything else has been decoded.
    ///
    /// # Errors
    /// Those of [`Learned::loaded`].
    pub fn loaded(&self, from: &Sections) -> Result<Learned> {
        self.learned.loaded("policy", from)
    }

    /// Applies the result of [`loaded`](ActorCriticPolicy::loaded).
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a network of another shape, in which case the policy is unchanged.
    pub fn replace(&mut self, learned: Learned) -> Result<()> {
        let (own, new) = (self.learned.network(), learned.network());
        check::len("inputs of the network", own.input_len(), new.input_len())?;
        check::len("outputs of the network", own.output_len(), new.output_len())?;
        self.learned = learned;
        Ok(())
    }

    /// The network's output rows for the observations to act on, as many as there is room for `actions`.
    fn rows(&mut self, observations: &[O::Elem], actions: &[D::Elem]) -> Result<&[f32]> {
        let n = actions.len() / self.distribution.action_len();
        let expected = n * self.network().input_len();
        if observations.len() != expected {
            check::len(&format!("observations for {n} actions"), expected, observations.len())?;
        }
        check::len("actions", n * self.distribution.action_len(), actions.len())?;
        if self.mask > 0 {
            let width = self.network().input_len();
            ActionMasks::new(O::Elem::rows(observations), width, self.mask)?;
        }
        self.predict(observations)
    }

    fn predict(&mut self, observations: &[O::Elem]) -> Result<&[f32]> {
        let network = self.learned.network_mut();
        network.predict_rows(O::Elem::rows(observations))?;
        Ok(network.output())
    }

    /// The value estimates, `[n]`, of observations `[n, width]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
    pub fn values_of(&mut self, observations: &[O::Elem]) -> rl_core::Result<Vec<f32>> {
        let mut values = vec![0.0; observations.len() / self.network().input_len().max(1)];
        self.values(observations, &mut values)?;
        Ok(values)
    }

    /// Writes the most likely action for each observation.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a policy that has diverged; slices of the wrong length.
    pub fn mode(&mut self, observations: &[O::Elem], actions: &mut [D::Elem]) -> Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let distribution = self.distribution.clone();
        let output = self.rows(observations, actions)?;
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

impl<D: Distribution, O: InputSpace> StochasticPolicy for ActorCriticPolicy<D, O> {
    type Obs = O;
    type Action = D::Action;

    fn sample(
        &mut self,
        observations: &[O::Elem],
        rng: &mut Rng,
        actions: &mut [D::Elem],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> rl_core::Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let distribution = self.distribution.clone();
        let output = self.rows(observations, actions)?;
        let n = output.len() / width;
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

    fn log_probs(
        &mut self,
        observations: &[O::Elem],
        actions: &[D::Elem],
        log_probs: &mut [f32],
    ) -> rl_core::Result<()> {
        let (width, action_len) =
            (self.distribution.params_len() + 1, self.distribution.action_len());
        let (distribution, masked) = (self.distribution.clone(), self.mask > 0);
        let output = self.rows(observations, actions)?;
        let n = output.len() / width;
        check::len("log-probabilities", n, log_probs.len())?;
        let rows = output.chunks_exact(width).zip(actions.chunks_exact(action_len));
        for ((row, action), log_prob) in rows.zip(log_probs) {
            *log_prob = distribution.log_prob(&row[..width - 1], action);
            check_finite("the log-probability of an action", f64::from(*log_prob))?;
            if masked && *log_prob < FORBIDDEN_LOG_PROB {
                let (what, expected) = ("action", "one that its mask allows");
                return Err(rl_core::Error::mismatch(what, expected, format_args!("{action:?}")));
            }
        }
        Ok(())
    }

    fn values(&mut self, observations: &[O::Elem], values: &mut [f32]) -> rl_core::Result<()> {
        let width = self.distribution.params_len() + 1;
        let output = self.predict(observations)?;
        check::len("values", output.len() / width, values.len())?;
        for (row, value) in output.chunks_exact(width).zip(values) {
            *value = row[width - 1];
        }
        Ok(())
    }
}
