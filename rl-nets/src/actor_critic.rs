//! A policy and a value function as one network.

use crate::{
    Activation, Distribution, Init, Layout, LogStd, Mlp, MlpConfig, Module, PolicyNet, Result,
    Threads,
};
use candle_core::Tensor;
use rl_core::Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The shape of an actor-critic network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActorCriticConfig {
    /// Hidden layers that the policy and the value function share, the last of them with its
    /// activation; none. The two below then stand on it.
    pub trunk: Option<MlpConfig>,
    /// The policy; 64-64 tanh, orthogonal with gain sqrt 2, the head with 0.01 (Andrychowicz et al., 2021).
    pub actor: MlpConfig,
    /// The value function; 64-64 tanh, orthogonal with gain sqrt 2, the head with 1.
    pub critic: MlpConfig,
    /// The log standard deviations of continuous actions; parameters of their own that start at 0.
    pub log_std: LogStd,
    /// Whether the last numbers of an observation, one an action, say which actions are allowed (1) and
    /// which are not (0); no. For discrete actions; the perceptrons do not see them.
    pub action_mask: bool,
}

impl Default for ActorCriticConfig {
    fn default() -> Self {
        let mlp = |gain| MlpConfig {
            activation: Activation::Tanh,
            init: Init::Orthogonal { gain: std::f64::consts::SQRT_2 },
            output_init: Init::Orthogonal { gain },
            ..MlpConfig::default()
        };
        ActorCriticConfig {
            trunk: None,
            actor: mlp(0.01),
            critic: mlp(1.0),
            log_std: LogStd::Free(0.0),
            action_mask: false,
        }
    }
}

impl ActorCriticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> rl_core::Result<()> {
        if let Some(trunk) = &self.trunk {
            trunk.validate()?;
            rl_core::check::at_least("trunk.hidden", 1, trunk.hidden.len() as u64)?;
        }
        self.actor.validate()?;
        self.critic.validate()?;
        self.log_std.validate()
    }
}

/// An actor and a critic over one flat parameter vector, so that both are clipped and stepped as one;
/// with separate perceptrons, or both on a shared trunk.
///
/// A row of output is `[policy parameters, value]`.
///
/// ```
/// use rl_nets::{ActorCritic, ActorCriticConfig, Categorical, DiagGaussian, MlpConfig, Module};
/// let mut config = ActorCriticConfig::default();
/// let net = ActorCritic::new(4, &Categorical::new(2), &config)?;
/// assert_eq!((net.output_len(), net.layout().len()), (3, 9_155));
/// let net = ActorCritic::new(4, &DiagGaussian::new(2), &config)?;
/// assert_eq!(net.output_len(), 5);
/// config.trunk = Some(config.actor.clone());
/// (config.actor.hidden, config.critic.hidden) = (vec![], vec![]);
/// let net = ActorCritic::new(4, &Categorical::new(2), &config)?;
/// assert_eq!(net.layout().len(), (4 * 64 + 64) + (64 * 64 + 64) + (64 * 2 + 2) + (64 + 1));
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ActorCritic {
    layout: Layout,
    trunk: Option<Mlp>,
    actor: PolicyNet,
    critic: Mlp,
    trunk_params: Range<usize>,
    actor_params: Range<usize>,
    critic_params: Range<usize>,
    threads: Threads,
    output: Vec<f32>,
    tangent: Vec<f32>,
    grad_actor: Vec<f32>,
    grad_critic: Vec<f32>,
    /// The gradients of what each of the two reads.
    grad_inputs: [Vec<f32>; 2],
}

impl ActorCritic {
    /// A network from `inputs` numbers to the parameters of `distribution` and a value.
    ///
    /// # Errors
    /// Those of [`ActorCriticConfig::validate`].
    pub fn new(
        inputs: usize,
        distribution: &impl Distribution,
        config: &ActorCriticConfig,
    ) -> Result<Self> {
        config.validate()?;
        let trunk = config.trunk.as_ref().map(|config| trunk(inputs, config)).transpose()?;
        let inputs = trunk.as_ref().map_or(inputs, Mlp::output_len);
        let actor = PolicyNet::new("actor", inputs, distribution, &config.actor, config.log_std)?;
        let critic = Mlp::new("critic", inputs, 1, &config.critic)?;
        let mut layout = Layout::default();
        Ok(ActorCritic {
            trunk_params: trunk.as_ref().map_or(0..0, |trunk| layout.append(trunk.layout())),
            actor_params: layout.append(actor.layout()),
            critic_params: layout.append(critic.layout()),
            layout,
            trunk,
            actor,
            critic,
            threads: Threads::one(),
            output: Vec::new(),
            tangent: Vec::new(),
            grad_actor: Vec::new(),
            grad_critic: Vec::new(),
            grad_inputs: [Vec::new(), Vec::new()],
        })
    }
}

/// A perceptron that ends with its last hidden layer.
fn trunk(inputs: usize, config: &MlpConfig) -> Result<Mlp> {
    let mut config = config.clone();
    let width = config.hidden.pop().unwrap_or(inputs);
    (config.output_activation, config.output_init) = (config.activation, config.init);
    Mlp::new("trunk", inputs, width, &config)
}

/// Puts rows of policy parameters and values side by side.
fn join(policy: &[f32], values: &[f32], out: &mut Vec<f32>) {
    out.clear();
    let n = policy.len() / values.len().max(1);
    for (row, value) in policy.chunks_exact(n).zip(values) {
        out.extend_from_slice(row);
        out.push(*value);
    }
}

impl Module for ActorCritic {
    fn input_len(&self) -> usize {
        self.trunk.as_ref().map_or(self.actor.input_len(), Mlp::input_len)
    }

    fn output_len(&self) -> usize {
        self.actor.output_len() + 1
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        if let Some(trunk) = &self.trunk {
            trunk.init(&mut params[self.trunk_params.clone()], rng);
        }
        self.actor.init(&mut params[self.actor_params.clone()], rng);
        self.critic.init(&mut params[self.critic_params.clone()], rng);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        let input = match &mut self.trunk {
            Some(trunk) => trunk.forward(&params[self.trunk_params.clone()], input),
            None => input,
        };
        let (actor, critic) = (&mut self.actor, &mut self.critic);
        let actor_params = &params[self.actor_params.clone()];
        let critic_params = &params[self.critic_params.clone()];
        let (mut policy, mut values): (&[f32], &[f32]) = (&[], &[]);
        let batch = input.len() / critic.input_len();
        self.threads.join(
            batch * (actor_params.len() + critic_params.len()),
            || policy = actor.forward(actor_params, input),
            || values = critic.forward(critic_params, input),
        );
        join(policy, values, &mut self.output);
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) {
        self.grad_actor.clear();
        self.grad_critic.clear();
        for row in grad_output.chunks_exact(self.output_len()) {
            let (policy, value) = row.split_at(row.len() - 1);
            self.grad_actor.extend_from_slice(policy);
            self.grad_critic.extend_from_slice(value);
        }
        let read = self.trunk.as_ref().map_or(input, Mlp::output);
        let asked = self.trunk.is_some() || grad_input.is_some();
        let [from_actor, from_critic] = &mut self.grad_inputs;
        for grad in [&mut *from_actor, &mut *from_critic] {
            grad.clear();
            grad.resize(if asked { read.len() } else { 0 }, 0.0);
        }
        let (actor_range, critic_range) = (self.actor_params.clone(), self.critic_params.clone());
        let (mut trunk_grads, mut actor_grads, mut critic_grads) = (None, None, None);
        if let Some(grads) = grads {
            // Trunk, actor and critic lie one after another.
            let (rest, of_critic) = grads.split_at_mut(critic_range.start);
            let (of_trunk, of_actor) = rest.split_at_mut(actor_range.start);
            (trunk_grads, actor_grads, critic_grads) =
                (Some(of_trunk), Some(of_actor), Some(of_critic));
        }
        let (actor_params, critic_params) = (&params[actor_range], &params[critic_range]);
        let (actor, critic) = (&mut self.actor, &mut self.critic);
        let (grad_actor, grad_critic) = (&self.grad_actor, &self.grad_critic);
        let work = 2 * grad_critic.len() * (actor_params.len() + critic_params.len());
        // A loss of one of the two alone, as TRPO's are, costs the passes of that one.
        let asked_of = |grad: &[f32]| grad.iter().any(|&g| g != 0.0);
        self.threads.join(
            work,
            || {
                if asked_of(grad_actor) {
                    let into = asked.then_some(&mut from_actor[..]);
                    actor.backward(actor_params, read, grad_actor, actor_grads, into);
                }
            },
            || {
                if asked_of(grad_critic) {
                    let into = asked.then_some(&mut from_critic[..]);
                    critic.backward(critic_params, read, grad_critic, critic_grads, into);
                }
            },
        );
        from_actor.iter_mut().zip(from_critic).for_each(|(g, more)| *g += *more);
        match (&mut self.trunk, grad_input) {
            (Some(trunk), into) => {
                let range = self.trunk_params.clone();
                trunk.backward(&params[range], input, from_actor, trunk_grads, into);
            }
            (None, Some(into)) => into.copy_from_slice(from_actor),
            (None, None) => {}
        }
    }

    /// For separate perceptrons; with a shared trunk there is none.
    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        if self.trunk.is_some() {
            return None;
        }
        let (actor, critic) = (self.actor_params.clone(), self.critic_params.clone());
        let policy = self.actor.tangent(&params[actor.clone()], input, &direction[actor])?;
        let values = self.critic.tangent(&params[critic.clone()], input, &direction[critic])?;
        join(policy, values, &mut self.tangent);
        Some(&self.tangent)
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let input = match &self.trunk {
            Some(trunk) => &trunk.reference(&part(&self.trunk_params)?, input)?,
            None => input,
        };
        let policy = self.actor.reference(&part(&self.actor_params)?, input)?;
        let value = self.critic.reference(&part(&self.critic_params)?, input)?;
        Tensor::cat(&[policy, value], 1)
    }

    fn share_among(&mut self, threads: &Threads) {
        if let Some(trunk) = &mut self.trunk {
            trunk.share_among(threads);
        }
        self.actor.share_among(threads);
        self.critic.share_among(threads);
        self.threads = threads.clone();
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
