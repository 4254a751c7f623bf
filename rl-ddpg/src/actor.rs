//! The deterministic actor that DDPG and TD3 share.

use crate::{ActionGradient, Critic, Parts};
use rl_core::{Result, Sections, Space, check};
use rl_nets::{Activation, Init, Learned, Linear, Loss, Network, OptimizerConfig, with_head};
use rl_replay::Batch;

/// A deterministic actor, its slowly following target and its optimiser.
#[derive(Debug)]
pub(crate) struct Actor {
    learned: Learned,
    /// Scratch: the actor's actions and the gradient of the loss with respect to them.
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

    /// Moves the target towards the actor by the share `tau`.
    pub(crate) fn track(&mut self, tau: f64) -> Result<()> {
        Ok(self.learned.track(tau)?)
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

    /// What [`save`](Actor::save) wrote, to be taken over by [`replace`](Actor::replace).
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Learned> {
        Ok(self.learned.loaded("policy", from)?)
    }

    pub(crate) fn replace(&mut self, learned: Learned) {
        self.learned = learned;
    }

    #[cfg(test)]
    pub(crate) fn network(&mut self) -> &mut Network {
        self.learned.network_mut()
    }
}

/// `y = r + discount Q'`, in place of `Q'`, `[n]`.
pub(crate) fn discount_onto(batch: &Batch<f32, f32>, values: &mut [f32]) {
    let steps = batch.rewards().iter().zip(batch.discounts());
    values.iter_mut().zip(steps).for_each(|(v, (reward, discount))| *v = reward + discount * *v);
}
