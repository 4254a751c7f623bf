//! The deterministic actor that DDPG and TD3 share.

use crate::{ActionGradient, Critic};
use rl_core::{Result, Rng, Sections, check};
use rl_nets::{Activation, Backend, Mlp, MlpConfig, Network, Optimizer, OptimizerConfig};
use rl_replay::Batch;

/// A deterministic actor, its slowly following target and its optimiser.
#[derive(Debug)]
pub(crate) struct Actor {
    online: Network,
    target: Network,
    optimizer: Optimizer,
    /// Scratch: the actor's actions and the gradient of the loss with respect to them.
    actions: Vec<f32>,
    grad: Vec<f32>,
}

impl Actor {
    pub(crate) fn new(
        (width, action_width): (usize, usize),
        config: &MlpConfig,
        optimizer: &OptimizerConfig,
        backend: &Backend,
        init: &mut Rng,
    ) -> Result<Self> {
        let config = MlpConfig { output_activation: Activation::Tanh, ..config.clone() };
        let online = Network::new(Mlp::new("actor", width, action_width, &config)?, backend, init)?;
        Ok(Actor {
            target: online.twin(),
            optimizer: online.optimizer(optimizer.clone())?,
            online,
            actions: Vec::new(),
            grad: Vec::new(),
        })
    }

    /// `mu(s)`.
    pub(crate) fn act(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        let output = self.online.predict(observations)?;
        check::len("actions", output.len(), actions.len())?;
        actions.copy_from_slice(output);
        Ok(())
    }

    /// `mu'(s)`.
    pub(crate) fn target_actions(&mut self, observations: &[f32]) -> Result<&[f32]> {
        Ok(self.target.predict(observations)?)
    }

    /// Adds the deterministic policy gradient (Silver et al., 2014), that of `-mean Q_1(s, mu(s))`:
    /// `-∇_a Q_1(s, a) ∇_θ mu(s)` at `a = mu(s)`; returns the loss.
    pub(crate) fn backward(&mut self, critic: &mut Critic, observations: &[f32]) -> Result<f64> {
        self.actions.clear();
        self.actions.extend_from_slice(self.online.forward(observations)?);
        self.grad.resize(self.actions.len(), 0.0);
        let which = ActionGradient::First;
        let value = critic.action_gradient(observations, &self.actions, which, &mut self.grad)?;
        self.online.backward(observations, &self.grad, None)?;
        Ok(-value)
    }

    /// One gradient step on what [`backward`](Actor::backward) has gathered; returns its norm.
    pub(crate) fn step(&mut self, learning_rate: f64) -> Result<f64> {
        Ok(self.online.step(&mut self.optimizer, learning_rate, None)?)
    }

    /// Moves the target towards the actor by the share `tau`.
    pub(crate) fn track(&mut self, tau: f64) -> Result<()> {
        Ok(self.target.move_towards(&self.online, tau)?)
    }

    pub(crate) fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put_file("policy.safetensors", self.online.save()?);
        Ok(())
    }

    pub(crate) fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.online.load(from.file("policy.safetensors")?)?)
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put_file("actor_target.safetensors", self.target.save()?);
        out.put_file("actor_optimizer.bin", self.optimizer.save()?);
        Ok(())
    }

    /// A copy that went back to what [`save`](Actor::save) wrote.
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Self> {
        let (mut online, mut target) = (self.online.twin(), self.target.twin());
        let mut optimizer = self.optimizer.clone();
        online.load(from.file("policy.safetensors")?)?;
        target.load(from.file("actor_target.safetensors")?)?;
        optimizer.load(from.file("actor_optimizer.bin")?)?;
        Ok(Actor { online, target, optimizer, actions: Vec::new(), grad: Vec::new() })
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        &mut self.online
    }
}

/// `y = r + discount Q'`, in place of `Q'`, `[n]`.
pub(crate) fn discount_onto(batch: &Batch<f32, f32>, values: &mut [f32]) {
    let steps = batch.rewards().iter().zip(batch.discounts());
    values.iter_mut().zip(steps).for_each(|(v, (reward, discount))| *v = reward + discount * *v);
}
