//! An off-policy rule of one's own: TD3 with behavioural cloning (Fujimoto and Gu, 2021), whose actor climbs the critic and
//! stays near the actions in memory. Replay, noise, targets and critics are the library's.
//!
//! `cargo run --release --package rl-ddpg --example own_off_policy_rule`
#![allow(clippy::print_stdout)]

use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, Seeds, SerialVecEnv, Space};
use rl_core::{TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_ddpg::{ActionGradient, Critic, OffPolicy, Parts, Rule, Td3Config};
use rl_envs::Pendulum;
use rl_nets::{Activation, Backend, Learned, Linear, Network, NetworkConfig, with_head};
use rl_replay::Batch;

#[derive(Debug)]
struct BehaviouralCloning {
    config: Td3Config,
    actor: Learned,
    critic: Critic,
    /// Scratch: the regression targets, and the gradient of the actions.
    targets: Vec<f32>,
    grad: Vec<f32>,
}

/// How much climbing counts beside cloning; 2.5 as published, for data of others. These are fresh.
const ALPHA: f32 = 25.0;

impl Rule for BehaviouralCloning {
    const NAME: &'static str = "td3-bc";
    type Config = Td3Config;

    fn new(config: &Td3Config, mut parts: Parts<'_>) -> Result<Self> {
        let head = |features| {
            let head = Linear::new(features, parts.actions.width())?;
            Ok(head.with_activation(Activation::Tanh))
        };
        let actor = with_head(parts.actor, parts.observations.shape(), head)?.named("actor");
        let actor = Network::new(actor, parts.backend, &mut parts.init)?;
        Ok(BehaviouralCloning {
            actor: Learned::new(actor, &config.optimizer)?.with_target()?,
            critic: parts.critic(2, &config.optimizer)?,
            targets: Vec::new(),
            grad: Vec::new(),
            config: config.clone(),
        })
    }

    fn act(&mut self, observations: &[f32], _: &mut Rng, actions: &mut [f32]) -> Result<()> {
        self.act_greedily(observations, actions)
    }

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        actions.copy_from_slice(self.actor.predict(observations)?);
        Ok(())
    }

    fn learn(
        &mut self,
        batch: &Batch<f32, f32>,
        _: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let BehaviouralCloning { config, actor, critic, targets, grad } = self;
        let fraction = progress.fraction();
        let (observations, actions) = (batch.observations(), batch.actions());
        let next = batch.next_observations();
        targets.resize(batch.len(), 0.0);
        critic.target_values(next, actor.predict_target(next)?, targets)?;
        let steps = batch.rewards().iter().zip(batch.discounts());
        targets.iter_mut().zip(steps).for_each(|(v, (r, discount))| *v = r + discount * *v);
        let rate = config.critic_learning_rate.at(fraction);
        let stats = critic.step(observations, actions, targets, rate, config.max_grad_norm)?;
        metrics.record("critic_loss", stats.loss);

        let pass = actor.forward(observations)?;
        let proposed = pass.output();
        grad.resize(proposed.len(), 0.0);
        let value = critic.action_gradient(observations, proposed, ActionGradient::First, grad)?;
        // The scale of values must not decide: theirs is divided out.
        let scale = ALPHA / value.abs().max(1e-3) as f32;
        let share = 2.0 / proposed.len() as f32;
        for (grad, (proposed, taken)) in grad.iter_mut().zip(proposed.iter().zip(actions)) {
            *grad = scale * *grad + share * (proposed - taken);
        }
        pass.step(grad, config.actor_learning_rate.at(fraction), config.max_grad_norm)?;
        actor.soft_update(config.tau)?;
        critic.soft_update(config.tau)
    }

    fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        self.critic.values(observations, actions)
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.actor.save_weights("policy", out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.actor.load_weights("policy", from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.actor.save("policy", out)?;
        self.critic.save(out)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (actor, critic) = (self.actor.loaded("policy", from)?, self.critic.loaded(from)?);
        self.actor = actor;
        self.critic.replace(critic);
        Ok(())
    }
}

fn main() -> Result<()> {
    let seeds = Seeds::new(0);
    let config = Td3Config {
        actor: NetworkConfig::mlp(&[64, 64]),
        critic: NetworkConfig::mlp(&[64, 64]),
        critic_learning_rate: Schedule::constant(2e-3),
        batch_size: 64,
        learning_starts: 1_000,
        gamma: 0.98,
        ..Td3Config::default()
    };
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(Pendulum::default(), 200)?], seeds);
    type Agent = OffPolicy<BehaviouralCloning>;
    let agent = Agent::new(&config, &envs()?, &Backend::cpu(), seeds)?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(10_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > -500.0, "{mean}");
    println!("TD3 with behavioural cloning on Pendulum: mean return {mean:.0}");
    Ok(())
}
