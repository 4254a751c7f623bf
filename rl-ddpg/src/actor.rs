//! The deterministic actor of DDPG and TD3.

use crate::{ActionGradient, Critic, Parts};
use rl_core::{Result, Sections, Space, check};
use rl_nets::{Activation, Init, Learned, Linear, Loss, Network, OptimizerConfig, with_head};
use rl_replay::Batch;

/// A deterministic actor, its target network and its optimiser.
#[derive(Debug)]
pub(crate) struct Actor {
    learned: Learned,
    /// Scratch buffers: the actor's actions and the gradient of the loss with respect to them.
    actions: Vec<f32>,
    grad: Vec<f32>,
}

impl Actor {
    pub(crate) fn new(optimizer: &OptimizerConfig, parts: &mut Parts<'_>) -> Result<Self> {
        let Parts { actor: body, observations, actions, backend, init, .. } = parts;
        let start = body.output_init().unwrap_or(Init::Pytorch);
        let head = |features| {
            let head = Linear::new(features, actions.width())?.with_init(start);
            Ok(head.with_activation(Activation::Tanh))
        };
        let module = with_head(*body, observations.shape(), head)?.named("actor");
        let learned = Learned::new(Network::new(module, backend, init)?, optimizer)?;
        Ok(Actor { learned: learned.with_target()?, actions: Vec::new(), grad: Vec::new() })
    }

    /// The network of `mu`.
    pub(crate) fn network(&self) -> &Network {
        self.learned.network()
    }

    /// `mu(s)`.
    pub(crate) fn act(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        let output = self.learned.predict(observations)?;
        check::len("actions", output.len(), actions.len())?;
        actions.copy_from_slice(output);
        Ok(())
    }

    /// `mu'(s)`.
    pub(crate) fn target_actions(&mut self, observations: &[f32]) -> Result<&[f32]> {
        Ok(self.learned.predict_target(observations)?)
    }

    /// The loss of the deterministic policy gradient (Silver et al., 2014), `-mean Q_1(s, mu(s))`, with the
    /// gradient `-∇_a Q_1(s, a) ∇_θ mu(s)` at `a = mu(s)`.
    pub(crate) fn loss<'a>(
        &'a mut self,
        critic: &mut Critic,
        observations: &'a [f32],
    ) -> Result<Loss<'a, f64>> {
        let Actor { learned, actions, grad } = self;
        let pass = learned.forward(observations)?;
        actions.clear();
        actions.extend_from_slice(pass.output());
        grad.resize(actions.len(), 0.0);
        let value = critic.action_gradient(observations, actions, ActionGradient::First, grad)?;
        Ok(Loss::new(pass, grad, -value))
    }

    /// Soft update of the target network: moves it towards the actor by the fraction `tau`.
    pub(crate) fn soft_update(&mut self, tau: f64) -> Result<()> {
        Ok(self.learned.soft_update(tau)?)
    }

    pub(crate) fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learned.save_weights("policy", out)?)
    }

    pub(crate) fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.learned.load_weights("policy", from)?)
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learned.save("policy", out)?)
    }

    /// Decodes the state written by [`save`](Actor::save), to be applied with [`replace`](Actor::replace).
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Learned> {
        Ok(self.learned.loaded("policy", from)?)
    }

    pub(crate) fn replace(&mut self, learned: Learned) {
        self.learned = learned;
    }

    #[cfg(test)]
    pub(crate) fn network_mut(&mut self) -> &mut Network {
        self.learned.network_mut()
    }
}

/// Computes the targets `y = r + discount Q'` in place of `Q'`, `[n]`.
pub(crate) fn discount_onto(batch: &Batch<f32, f32>, values: &mut [f32]) {
    let steps = batch.rewards().iter().zip(batch.discounts());
    values.iter_mut().zip(steps).for_each(|(v, (reward, discount))| *v = reward + discount * *v);
}
