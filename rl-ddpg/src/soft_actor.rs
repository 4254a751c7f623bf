//! The stochastic actor of SAC and TQC.

use crate::Parts;
use rl_core::{Result, Sections, Space, check};
use rl_nets::{
    DiagGaussian, Init, Learned, LogStd, Loss, Network, OptimizerConfig, SquashedGaussian,
    policy_net,
};

/// A policy of Gaussians with state-dependent standard deviations, squashed by tanh, and its optimiser.
#[derive(Debug)]
pub(crate) struct SoftActor {
    pi: SquashedGaussian,
    learned: Learned,
    /// Scratch buffers: actions sampled to act or in next states, and in the states of a loss; gradients.
    sampled: Draws,
    here: Draws,
    grad_actions: Vec<f32>,
    grad: Vec<f32>,
}

/// Actions sampled from the policy, and the quantities needed for their gradient.
#[derive(Debug, Default)]
pub(crate) struct Draws {
    params: Vec<f32>,
    noise: Vec<f32>,
    /// `[n, action width]`.
    pub(crate) actions: Vec<f32>,
    /// The log-density of each action, `[n]`.
    pub(crate) log_probs: Vec<f32>,
}

impl Draws {
    /// Samples an action for each row of `params`, with standard normal samples from `noise`.
    fn draw(&mut self, pi: SquashedGaussian, params: &[f32], mut noise: impl FnMut() -> f64) {
        let (width, d) = (pi.params_len(), pi.params_len() / 2);
        let n = params.len() / width;
        self.params.clear();
        self.params.extend_from_slice(params);
        self.noise.clear();
        self.noise.extend((0..n * d).map(|_| noise() as f32));
        self.actions.resize(n * d, 0.0);
        self.log_probs.clear();
        let rows = params.chunks_exact(width).zip(self.noise.chunks_exact(d));
        for ((row, noise), action) in rows.zip(self.actions.chunks_exact_mut(d)) {
            self.log_probs.push(pi.push(row, noise, action));
        }
    }

    fn mean_log_prob(&self) -> f64 {
        self.log_probs.iter().map(|&l| f64::from(l)).sum::<f64>() / self.log_probs.len() as f64
    }
}

impl SoftActor {
    pub(crate) fn new(optimizer: &OptimizerConfig, parts: &mut Parts<'_>) -> Result<Self> {
        let (shape, action_width) = (parts.observations.shape(), parts.actions.width());
        let gaussian = DiagGaussian::new(action_width);
        let policy = policy_net(parts.actor, shape, &gaussian, LogStd::OfState, Init::Pytorch)?;
        let network = Network::new(policy.named("actor"), parts.backend, &mut parts.init)?;
        Ok(SoftActor {
            pi: SquashedGaussian::new(action_width),
            learned: Learned::new(network, optimizer)?,
            sampled: Draws::default(),
            here: Draws::default(),
            grad_actions: Vec::new(),
            grad: Vec::new(),
        })
    }

    /// The policy's network.
    pub(crate) fn network(&self) -> &Network {
        self.learned.network()
    }

    pub(crate) fn num_params(&self) -> usize {
        self.learned.network().num_params()
    }

    /// Samples an action for each observation, with standard normal samples from `noise`.
    pub(crate) fn sample(
        &mut self,
        observations: &[f32],
        noise: impl FnMut() -> f64,
    ) -> Result<&Draws> {
        self.sampled.draw(self.pi, self.learned.predict(observations)?, noise);
        Ok(&self.sampled)
    }

    /// Writes a sampled action for each observation.
    pub(crate) fn act(
        &mut self,
        observations: &[f32],
        noise: impl FnMut() -> f64,
        actions: &mut [f32],
    ) -> Result<()> {
        let sampled = &self.sample(observations, noise)?.actions;
        check::len("actions", sampled.len(), actions.len())?;
        actions.copy_from_slice(sampled);
        Ok(())
    }

    /// Writes the mode of the policy for each observation.
    pub(crate) fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        let width = self.pi.params_len();
        let params = self.learned.predict(observations)?;
        check::len("actions", params.len() / 2, actions.len())?;
        for (row, action) in params.chunks_exact(width).zip(actions.chunks_exact_mut(width / 2)) {
            self.pi.mode(row, action);
        }
        Ok(())
    }

    /// The policy's loss, `mean(alpha log pi(ã | s) - Q(s, ã))`, for actions ã sampled with the standard normal samples
    /// `noise` (Haarnoja et al., 2018, equation 9). `value` writes the gradient of `-mean Q(s, ã)` with respect to the
    /// actions, and returns the mean.
    pub(crate) fn loss<'a>(
        &'a mut self,
        observations: &'a [f32],
        noise: impl FnMut() -> f64,
        alpha: f32,
        value: impl FnOnce(&[f32], &mut [f32]) -> Result<f64>,
    ) -> Result<Loss<'a, f64>> {
        let SoftActor { pi, learned, here, grad_actions, grad, .. } = self;
        let pass = learned.forward(observations)?;
        here.draw(*pi, pass.output(), noise);
        let Draws { params, noise, actions, log_probs } = &*here;
        let (n, d) = (log_probs.len(), pi.params_len() / 2);
        grad_actions.resize(actions.len(), 0.0);
        let value = value(actions, grad_actions)?;
        grad.clear();
        grad.resize(params.len(), 0.0);
        let weight = alpha / n as f32;
        for (i, grad) in grad.chunks_exact_mut(2 * d).enumerate() {
            let (row, one) = (i * 2 * d..(i + 1) * 2 * d, i * d..(i + 1) * d);
            let upstream = (&grad_actions[one.clone()], weight);
            pi.add_grad(&params[row], &noise[one.clone()], &actions[one], upstream, grad);
        }
        Ok(Loss::new(pass, grad, f64::from(alpha) * here.mean_log_prob() - value))
    }

    /// The log-densities of the actions of the last loss, `[n]`.
    pub(crate) fn log_probs(&self) -> &[f32] {
        &self.here.log_probs
    }

    /// The entropy estimated from the actions of the last loss.
    pub(crate) fn entropy(&self) -> f64 {
        -self.here.mean_log_prob()
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

    /// Decodes the state written by [`save`](SoftActor::save), to be applied with [`replace`](SoftActor::replace).
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Learned> {
        Ok(self.learned.loaded("policy", from)?)
    }

    pub(crate) fn replace(&mut self, learned: Learned) {
        self.learned = learned;
    }
}

#[cfg(test)]
impl SoftActor {
    pub(crate) fn network_mut(&mut self) -> &mut Network {
        self.learned.network_mut()
    }

    pub(crate) fn drawn(&self) -> &Draws {
        &self.here
    }
}
