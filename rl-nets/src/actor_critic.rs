//! A policy and a value function as one network.

use crate::{Entry, Layout, Mlp, MlpConfig, Module, Result};
use candle_core::Tensor;
use rl_core::Rng;
use std::ops::Range;

/// An actor and a critic with separate perceptrons over one flat parameter vector, so that both are
/// clipped and stepped as one.
///
/// A row of output is `[policy parameters, value]`. With state-independent log standard deviations
/// the policy parameters are `[mean_1 … mean_d, log_std_1 … log_std_d]`, the latter the same in each
/// row and one parameter, `actor.log_std`.
///
/// ```
/// use rl_nets::{ActorCritic, MlpConfig, Module};
/// let mlp = MlpConfig::default();
/// let net = ActorCritic::new(4, 2, None, &mlp, &mlp)?;
/// assert_eq!(net.output_len(), 3);
/// let net = ActorCritic::new(4, 2, Some(0.0), &mlp, &mlp)?;
/// assert_eq!(net.output_len(), 5);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ActorCritic {
    layout: Layout,
    actor: Mlp,
    critic: Mlp,
    actor_params: Range<usize>,
    log_std_params: Range<usize>,
    critic_params: Range<usize>,
    initial_log_std: f32,
    output: Vec<f32>,
    grad_actor: Vec<f32>,
    grad_critic: Vec<f32>,
    grad_input: Vec<f32>,
}

impl ActorCritic {
    /// A network from `inputs` numbers to `outputs` policy parameters and a value. Where
    /// `initial_log_std` is given, as many log standard deviations are added.
    ///
    /// # Errors
    /// Those of [`Mlp::new`].
    pub fn new(
        inputs: usize,
        outputs: usize,
        initial_log_std: Option<f32>,
        actor: &MlpConfig,
        critic: &MlpConfig,
    ) -> Result<Self> {
        let actor = Mlp::new("actor", inputs, outputs, actor)?;
        let critic = Mlp::new("critic", inputs, 1, critic)?;
        let mut layout = Layout::default();
        let mut append = |entries: &[Entry]| {
            let start = layout.len();
            for entry in entries {
                layout.push(entry.name.clone(), &entry.shape);
            }
            start..layout.len()
        };
        let actor_params = append(actor.layout().entries());
        let log_std = Entry { name: "actor.log_std".to_owned(), shape: vec![outputs], offset: 0 };
        let log_std_params = append(initial_log_std.map(|_| log_std).as_slice());
        let critic_params = append(critic.layout().entries());
        Ok(ActorCritic {
            layout,
            actor,
            critic,
            actor_params,
            log_std_params,
            critic_params,
            initial_log_std: initial_log_std.unwrap_or(0.0),
            output: Vec::new(),
            grad_actor: Vec::new(),
            grad_critic: Vec::new(),
            grad_input: Vec::new(),
        })
    }
}

impl Module for ActorCritic {
    fn input_len(&self) -> usize {
        self.actor.input_len()
    }

    fn output_len(&self) -> usize {
        self.actor.output_len() + self.log_std_params.len() + 1
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        self.actor.init(&mut params[self.actor_params.clone()], rng);
        params[self.log_std_params.clone()].fill(self.initial_log_std);
        self.critic.init(&mut params[self.critic_params.clone()], rng);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32] {
        let width = self.output_len();
        let log_std = &params[self.log_std_params.clone()];
        let policy = self.actor.forward(&params[self.actor_params.clone()], input);
        let values = self.critic.forward(&params[self.critic_params.clone()], input);
        self.output.resize(values.len() * width, 0.0);
        let n = width - log_std.len() - 1;
        let rows = self.output.chunks_exact_mut(width).zip(policy.chunks_exact(n)).zip(values);
        for ((row, policy), value) in rows {
            row[..n].copy_from_slice(policy);
            row[n..width - 1].copy_from_slice(log_std);
            row[width - 1] = *value;
        }
        &self.output
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        grads: &mut [f32],
        grad_input: Option<&mut [f32]>,
    ) {
        let (width, n) = (self.output_len(), self.actor.output_len());
        self.grad_actor.clear();
        self.grad_critic.clear();
        for row in grad_output.chunks_exact(width) {
            self.grad_actor.extend_from_slice(&row[..n]);
            self.grad_critic.push(row[width - 1]);
            let log_std = grads[self.log_std_params.clone()].iter_mut();
            log_std.zip(&row[n..width - 1]).for_each(|(sum, g)| *sum += g);
        }
        let (actor, critic) = (self.actor_params.clone(), self.critic_params.clone());
        let (mut first, mut second) = (None, None);
        if let Some(out) = grad_input {
            self.grad_input.resize(out.len(), 0.0);
            (first, second) = (Some(out), Some(&mut self.grad_input[..]));
        }
        let into = first.as_deref_mut();
        self.actor.backward(
            &params[actor.clone()],
            input,
            &self.grad_actor,
            &mut grads[actor],
            into,
        );
        let into = second.as_deref_mut();
        self.critic.backward(
            &params[critic.clone()],
            input,
            &self.grad_critic,
            &mut grads[critic],
            into,
        );
        if let (Some(out), Some(more)) = (first, second) {
            out.iter_mut().zip(more).for_each(|(g, more)| *g += *more);
        }
    }

    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor> {
        let part = |range: &Range<usize>| params.narrow(0, range.start, range.len());
        let policy = self.actor.reference(&part(&self.actor_params)?, input)?;
        let value = self.critic.reference(&part(&self.critic_params)?, input)?;
        if self.log_std_params.is_empty() {
            return Tensor::cat(&[policy, value], 1);
        }
        let log_std = part(&self.log_std_params)?.unsqueeze(0)?.broadcast_as(policy.shape())?;
        Tensor::cat(&[policy, log_std, value], 1)
    }

    fn boxed_clone(&self) -> Box<dyn Module> {
        Box::new(self.clone())
    }
}
