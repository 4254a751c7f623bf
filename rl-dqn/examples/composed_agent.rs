//! An agent composed of parts: a network with its optimiser and target, a loss, a replay memory, and the traits that let
//! the [`Trainer`] run it. It is Q-learning with a network and nothing else; [`Dqn`](rl_dqn::Dqn) is the same with settings.
//!
//! `cargo run --release --package rl-dqn --example composed_agent`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{
    Agent, BoxSpace, Discrete, Metrics, Policy, Progress, Result, Rng, Sections, Seeds,
    SerialVecEnv, TimeLimit, Trainer, TrainerConfig, Transitions, evaluate,
};
use rl_envs::CartPole;
use rl_nets::{Backend, Body, Learned, Linear, Network, NetworkConfig, OptimizerConfig, TdLoss};
use rl_replay::{Batch, Horizon, Replay};

const BATCH: usize = 64;

/// For one environment of four numbers and two actions.
struct Composed {
    q: Learned,
    replay: Replay<f32, u32>,
    batch: Batch<f32, u32>,
    rng: Rng,
}

impl Composed {
    fn new(seeds: Seeds) -> Result<Self> {
        let layers = NetworkConfig::mlp(&[64, 64]).build(&[4])?.then(Linear::new(64, 2)?)?;
        let network = Network::new(layers, &Backend::cpu(), &mut seeds.stream("init", 0))?;
        Ok(Composed {
            q: Learned::new(network, &OptimizerConfig::adam())?.with_target()?,
            replay: Replay::uniform(50_000, 1, 4, 1)?,
            batch: Batch::new(BATCH, 4, 1)?,
            rng: seeds.stream("agent", 0),
        })
    }
}

impl Policy for Composed {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [u32]) -> Result<()> {
        let values = self.q.predict(observations)?.chunks_exact(2);
        actions.iter_mut().zip(values).for_each(|(action, q)| *action = u32::from(q[1] > q[0]));
        Ok(())
    }
}

impl Agent for Composed {
    fn name(&self) -> &'static str {
        "composed"
    }

    fn act(&mut self, observed: &[f32], progress: Progress, actions: &mut [u32]) -> Result<()> {
        self.act_greedily(observed, actions)?;
        let epsilon = (1.0 - 3.0 * progress.fraction()).max(0.1);
        if self.rng.uniform(0.0, 1.0) < epsilon {
            actions.fill(self.rng.below(2) as u32);
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, u32>) -> Result<()> {
        Ok(self.replay.push(transitions)?)
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if self.replay.len() < 1_000 {
            return Ok(());
        }
        let Composed { q, replay, batch, rng } = self;
        let horizon = Horizon { n_step: 1, gamma: 0.99 };
        replay.sample(rng, progress.fraction(), horizon, batch)?;
        // The discount is 0 after a termination; a truncation is none.
        let next = q.predict_target(batch.next_observations())?.chunks_exact(2);
        let steps = batch.rewards().iter().zip(batch.discounts());
        let targets: Vec<f32> = steps
            .zip(next)
            .map(|((reward, discount), q)| reward + discount * q[0].max(q[1]))
            .collect();
        let pass = q.forward(batch.observations())?;
        let mut grad = [0.0; BATCH * 2];
        let loss = TdLoss::Mse.of_taken(pass.output(), batch.actions(), &targets, &mut grad)?;
        pass.step(&mut grad, 2e-3 * (1.0 - progress.fraction()), None)?;
        q.soft_update(0.005)?;
        metrics.record("loss", loss);
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.q.save_weights("policy", out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.q.load_weights("policy", from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.q.save("policy", out)?;
        self.replay.save(out)?;
        out.put("rng", &self.rng)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (q, replay) = (self.q.loaded("policy", from)?, self.replay.loaded(from)?);
        (self.rng, self.q, self.replay) = (from.get("rng")?, q, replay);
        Ok(())
    }
}

fn main() -> Result<()> {
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?], Seeds::new(0));
    let agent = Composed::new(Seeds::new(0))?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(20_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > 100.0, "{mean}");
    println!("an agent of parts on CartPole: mean return {mean}");
    Ok(())
}
