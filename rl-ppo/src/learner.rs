//! Shared code of the algorithms of this crate: a policy with a value function, rollouts, minibatches, and saving.

use rl_core::{BoxSpace, Error, Result, Rng, Sections, Seeds, Space, Transitions, VecEnv, check};
use rl_nets::{
    ActorCriticConfig, ActorCriticPolicy, Backend, Bodies, Distribution, InputSpace, Loss,
    OptimizerConfig, PolicyRows, PolicyStats, check_finite,
};
use rl_replay::{Collector, Minibatch, Rollout, normalise, shuffle};
use std::ops::Range;

/// An actor-critic that collects rollouts and takes gradient steps on minibatches, used by a [`Rule`](crate::Rule).
/// `O` is the observation space.
#[derive(Debug)]
pub struct Learner<D: Distribution, O: Space = BoxSpace> {
    /// The policy and its value function, with their optimiser.
    pub policy: ActorCriticPolicy<D, O>,
    /// The rollout collector.
    pub collector: Collector<O, D::Action>,
    /// The random generator for actions and for shuffling.
    pub rng: Rng,
    /// The order in which rows are used for learning, `[steps * envs]`.
    order: Vec<u32>,
    /// Scratch buffers: a minibatch, and the gradient of the network's output.
    minibatch: Minibatch<O::Elem, D::Elem>,
    grad: Vec<f32>,
}

impl<D: Distribution, O: InputSpace> Learner<D, O> {
    /// A learner for `envs` with rollouts of `n_steps` steps per environment.
    ///
    /// # Errors
    /// Those of [`ActorCriticPolicy::new`] and [`Collector::new`].
    pub fn new<V>(
        envs: &V,
        distribution: D,
        network: (&ActorCriticConfig, Bodies<'_>),
        optimizer: &OptimizerConfig,
        n_steps: usize,
        (backend, seeds): (&Backend, Seeds),
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = D::Action>,
    {
        let (space, actions) = (envs.observation_space(), envs.action_space().clone());
        let mut init = seeds.stream("init", 0);
        let policy =
            ActorCriticPolicy::new(space, distribution, network, optimizer, backend, &mut init)?;
        let collector = Collector::new(n_steps, envs.num_envs(), space, actions)?;
        Ok(Learner {
            order: (0..collector.rollout.capacity() as u32).collect(),
            minibatch: Minibatch::default(),
            grad: Vec::new(),
            rng: seeds.stream("agent", 0),
            policy,
            collector,
        })
    }

    pub(crate) fn act(&mut self, observations: &[O::Elem], actions: &mut [D::Elem]) -> Result<()> {
        self.collector.act(&mut self.policy, observations, &mut self.rng, actions)
    }

    pub(crate) fn act_greedily(
        &mut self,
        observations: &[O::Elem],
        actions: &mut [D::Elem],
    ) -> Result<()> {
        self.policy.mode(observations, actions)?;
        self.collector.clip(actions);
        Ok(())
    }

    /// Stores a step; computes advantages and returns once the rollout is full.
    pub(crate) fn observe(
        &mut self,
        transitions: &Transitions<'_, O::Elem, D::Elem>,
        (gamma, gae_lambda): (f64, f64),
    ) -> Result<()> {
        self.collector.observe(&mut self.policy, transitions)?;
        if self.collector.rollout.is_full() {
            self.collector.finish(&mut self.policy, gamma, gae_lambda)?;
        }
        Ok(())
    }

    /// Evaluates the rollout's observations anew and computes advantages and returns from the new values.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn recompute_advantages(&mut self, gamma: f64, gae_lambda: f64) -> Result<()> {
        let width = self.policy.distribution().params_len();
        let Learner { policy, collector, .. } = self;
        let output = policy.network_mut().predict(collector.rollout.observations())?;
        let values = output.chunks_exact(width + 1).map(|row| row[width]);
        collector.rollout.set_values(values)?;
        collector.finish(policy, gamma, gae_lambda)
    }

    /// Shuffles the rows and returns the ranges of the minibatches in this order.
    pub fn shuffled(
        &mut self,
        batch_size: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<D, O> {
        shuffle(&mut self.order, &mut self.rng);
        let n = self.order.len();
        (0..n).step_by(batch_size).map(move |start| start..(start + batch_size).min(n))
    }

    /// Copies the rows at `places` of the order into the minibatch; normalises their advantages to mean 0 and
    /// standard deviation 1 if requested.
    pub fn gather(&mut self, places: Range<usize>, normalize_advantage: bool) {
        self.collector.rollout.gather(&self.order[places], &mut self.minibatch);
        if normalize_advantage {
            normalise(&mut self.minibatch.advantages);
        }
    }

    /// The indices of the rows that [`gather`](Learner::gather) copies for `places`.
    pub fn rows_at(&self, places: Range<usize>) -> &[u32] {
        &self.order[places]
    }

    /// Runs the network and a loss on the minibatch; the loss writes the gradient of the output.
    ///
    /// # Errors
    /// [`NotFinite`](rl_nets::Error::NotFinite) for a non-finite loss; errors of the loss.
    pub fn loss(
        &mut self,
        loss: impl FnOnce(
            &D,
            &[f32],
            PolicyRows<'_, D::Elem>,
            &mut [f32],
        ) -> rl_nets::Result<PolicyStats>,
    ) -> Result<Loss<'_, PolicyStats>> {
        let Learner { policy, minibatch, grad, .. } = self;
        let distribution = policy.distribution().clone();
        let pass = policy.forward(&minibatch.observations)?;
        grad.resize(pass.output().len(), 0.0);
        let rows = PolicyRows {
            actions: &minibatch.actions,
            log_probs: &minibatch.log_probs,
            advantages: &minibatch.advantages,
            returns: &minibatch.returns,
            values: &minibatch.values,
        };
        let stats = loss(&distribution, pass.output(), rows, grad)?;
        check_finite("the loss", stats.policy_loss + stats.value_loss)?;
        Ok(Loss::new(pass, grad, stats))
    }

    /// Writes the policy's distribution parameters for each row of the rollout into `out`, `[rows, params_len]`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn policy_params(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let width = self.policy.distribution().params_len();
        let observations = self.collector.rollout.observations();
        let output = self.policy.network_mut().predict(observations)?;
        out.clear();
        output.chunks_exact(width + 1).for_each(|row| out.extend_from_slice(&row[..width]));
        Ok(())
    }

    /// The mean over the rollout of `KL(old || pi)`, given the old distribution parameters, `[rows, params_len]`.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn mean_kl(&mut self, old: &[f32]) -> Result<f64> {
        let distribution = self.policy.distribution().clone();
        let width = distribution.params_len();
        let observations = self.collector.rollout.observations();
        let output = self.policy.network_mut().predict(observations)?;
        let rows = old.chunks_exact(width).zip(output.chunks_exact(width + 1));
        let total: f64 =
            rows.map(|(old, row)| f64::from(distribution.kl(old, &row[..width]))).sum();
        Ok(total * width as f64 / old.len() as f64)
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        self.policy.save(out)?;
        out.put("learner", &(&self.rng, &self.order, &self.collector.rollout))
    }

    pub(crate) fn load(&mut self, from: &Sections) -> Result<()> {
        // Decode everything before changing anything, so that an error leaves the agent unchanged.
        let learned = self.policy.loaded(from)?;
        let (rng, order, rollout): (Rng, Vec<u32>, Rollout<O::Elem, D::Elem>) =
            from.get("learner")?;
        self.collector.rollout.check_same_shape(&rollout)?;
        check::len("order of rows", self.order.len(), order.len())?;
        let mut seen = vec![false; order.len()];
        let once = |row: &u32| {
            seen.get_mut(*row as usize).is_some_and(|seen| !std::mem::replace(seen, true))
        };
        if !order.iter().all(once) {
            return Err(Error::corrupt("learner.bin", "the order of rows lacks one of them"));
        }
        self.policy.replace(learned)?;
        (self.rng, self.order, self.collector.rollout) = (rng, order, rollout);
        Ok(())
    }
}
