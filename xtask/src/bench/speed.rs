//! `cargo xtask bench speed`: transitions a second on three fixed workloads, one thread.
//!
//! The time covers acting, stepping, storing, targets, losses, backward passes, optimiser and target updates;
//! start-up and warm-up are left out.

use super::statistics::median;
use crate::Result;
use rl_core::{
    Agent, BoxSpace, Env, Metrics, Progress, Schedule, Seeds, SerialVecEnv, Space, TimeLimit,
    VecEnv,
};
use rl_ddpg::{ExperienceConfig, Sac, SacConfig};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{CartPole, Pendulum};
use rl_nets::{Activation, Backend, MlpConfig, OptimizerConfig, TdLoss};
use rl_ppo::{Ppo, PpoConfig};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Repeats; medians are reported.
    #[arg(long, default_value_t = 7)]
    repeats: usize,
}

fn copies<E: Env>(n: usize, limit: u32, make: fn() -> E) -> Result<SerialVecEnv<TimeLimit<E>>> {
    let envs = (0..n).map(|_| TimeLimit::new(make(), limit)).collect::<rl_core::Result<_>>()?;
    Ok(SerialVecEnv::new(envs, Seeds::new(0))?)
}

fn tanh() -> MlpConfig {
    MlpConfig { activation: Activation::Tanh, ..MlpConfig::default() }
}

/// Runs `warm_up` transitions, then times `timed` of them: transitions a second.
fn rate<V, A>((mut envs, mut agent): (V, A), warm_up: u64, timed: u64) -> Result<f64>
where
    V: VecEnv<Obs = BoxSpace>,
    A: Agent<Obs = BoxSpace, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let (n, total) = (envs.num_envs() as u64, warm_up + timed);
    let mut actions = vec![Default::default(); envs.num_envs() * envs.action_space().width()];
    let (mut metrics, mut started) = (Metrics::default(), Instant::now());
    envs.reset()?;
    for step in (0..total).step_by(n as usize) {
        if step == warm_up {
            started = Instant::now();
        }
        let progress = Progress { step: step + n, total };
        agent.act(envs.batch().observations(), progress, &mut actions)?;
        envs.step(&actions)?;
        agent.observe(&envs.batch().transitions(&actions))?;
        agent.update(progress, &mut metrics)?;
    }
    Ok(timed as f64 / started.elapsed().as_secs_f64())
}

fn ppo() -> Result<f64> {
    let envs = copies(8, 500, CartPole::default)?;
    let config = PpoConfig { n_steps: 256, ..PpoConfig::default() };
    let agent = Ppo::new(&config, &envs, &Backend::Fused, Seeds::new(0))?;
    rate((envs, agent), 2_048, 20_480)
}

fn dqn() -> Result<f64> {
    let envs = copies(1, 500, CartPole::default)?;
    let config = DqnConfig {
        network: tanh(),
        learning_rate: Schedule::constant(2.5e-4),
        optimizer: OptimizerConfig::adam_with_eps(1e-5),
        max_grad_norm: None,
        loss: TdLoss::Mse,
        gamma: 0.99,
        buffer_size: 10_000,
        batch_size: 64,
        learning_starts: 64,
        train_freq: 4,
        gradient_steps: 1,
        target_update_interval: 1_000,
        epsilon: Schedule::constant(0.1),
        ..DqnConfig::default()
    };
    let agent = Dqn::for_envs(&config, &envs, Seeds::new(0))?;
    rate((envs, agent), 1_024, 4_096)
}

fn sac() -> Result<f64> {
    let envs = copies(1, 200, Pendulum::default)?;
    let config = SacConfig {
        actor: tanh(),
        critic: tanh(),
        learning_rate: Schedule::constant(3e-4),
        optimizer: OptimizerConfig::adam_with_eps(1e-5),
        target_entropy: Some(-1.0),
        experience: ExperienceConfig {
            buffer_size: 10_000,
            batch_size: 64,
            learning_starts: 64,
            ..ExperienceConfig::default()
        },
        ..SacConfig::default()
    };
    let agent = Sac::new(&config, &envs, &Backend::Fused, Seeds::new(0))?;
    rate((envs, agent), 256, 1_024)
}

pub(crate) fn main(args: &Args) -> Result<()> {
    for (name, run) in [
        ("PPO CartPole-v1", ppo as fn() -> Result<f64>),
        ("DQN CartPole-v1", dqn),
        ("SAC Pendulum-v1", sac),
    ] {
        let rates = (0..args.repeats).map(|_| run()).collect::<Result<Vec<f64>>>()?;
        println!("{name:<16} {:>10.0} transitions/s", median(&rates));
    }
    Ok(())
}
