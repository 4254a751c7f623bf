//! A head of one's own for DQN: an ensemble of values an action on one body (Osband et al., 2016, without its masks).
//! Each member learns from its own target; actions go by the mean.
//!
//! `cargo run --release --package rl-dqn --example own_head`
#![allow(clippy::print_stdout)]

use rl_core::{Result, Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_dqn::{Backend, Dqn, DqnConfig, Head, TdRows};
use rl_envs::CartPole;
use rl_nets::NetworkConfig;

#[derive(Debug)]
struct Ensemble {
    members: usize,
}

impl Head for Ensemble {
    fn atoms(&self) -> usize {
        self.members
    }

    fn values(&self, output: &[f32], values: &mut [f32]) {
        for (value, members) in values.iter_mut().zip(output.chunks_exact(self.members)) {
            *value = members.iter().sum::<f32>() / self.members as f32;
        }
    }

    fn loss(&mut self, rows: TdRows<'_>, grad: &mut [f32], errors: &mut [f32]) -> Result<f64> {
        let (n, k) = (rows.weights.len(), self.members);
        rows.check(k, grad, errors)?;
        grad.fill(0.0);
        errors.fill(0.0);
        let mut loss = 0.0;
        for (i, magnitude) in errors.iter_mut().enumerate() {
            let weight = rows.weights[i] / (n * k) as f32;
            let (taken, next) = rows.slots(i, k);
            let predicted = rows.output[taken.clone()].iter().zip(&mut grad[taken]);
            for ((q, grad), future) in predicted.zip(&rows.next_output[next]) {
                let error = q - (rows.rewards[i] + rows.discounts[i] * future);
                loss += f64::from(weight * error * error);
                *grad = 2.0 * weight * error;
                *magnitude += error.abs() / k as f32;
            }
        }
        Ok(loss)
    }
}

fn main() -> Result<()> {
    let config = DqnConfig {
        max_grad_norm: None,
        learning_rate: Schedule::linear(2e-3, 1e-5),
        batch_size: 64,
        learning_starts: 1_000,
        train_freq: 1,
        target_update_interval: 1,
        tau: 0.005,
        double_q: true,
        epsilon: Schedule::linear(1.0, 0.1).over(0.3),
        ..DqnConfig::default()
    };
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?], Seeds::new(0));
    let parts = (&NetworkConfig::mlp(&[64, 64]) as _, Box::new(Ensemble { members: 5 }) as _);
    let agent = Dqn::with_head(&config, parts, &envs()?, &Backend::cpu(), Seeds::new(0))?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(30_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > 100.0, "{mean}");
    println!("DQN with an ensemble of values on CartPole: mean return {mean}");
    Ok(())
}
