//! The workloads on this library.

use super::Report;
use crate::Result;
use rl_core::{
    Agent, Env, Metrics, Progress, Schedule, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv,
};
use rl_ddpg::{Sac, SacConfig};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{Breakout, CartPole, MinAtar, Pendulum};
use rl_nets::{Activation, Backend, NetworkConfig, OptimizerConfig, TdLoss};
use rl_ppo::{Ppo, PpoConfig};
use std::time::Instant;

fn copies<E: Env>(n: usize, limit: u32, make: fn() -> E) -> Result<SerialVecEnv<TimeLimit<E>>> {
    let envs = (0..n).map(|_| TimeLimit::new(make(), limit)).collect::<rl_core::Result<_>>()?;
    Ok(SerialVecEnv::new(envs, Seeds::new(0))?)
}

fn tanh() -> NetworkConfig {
    NetworkConfig { activation: Activation::Tanh, ..NetworkConfig::default() }
}

/// Runs `warm_up` transitions, then times `timed` of them. `step` is the name of a metric recorded once per gradient
/// step.
fn measure<V, A>(
    (mut envs, mut agent): (V, A),
    (warm_up, timed): (u64, u64),
    (parameters, step_metric): (usize, &str),
) -> Result<Report>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let (n, total) = (envs.num_envs() as u64, warm_up + timed);
    let mut actions = vec![Default::default(); envs.num_envs() * envs.action_space().width()];
    let (mut metrics, mut started) = (Metrics::default(), Instant::now());
    envs.reset()?;
    for step in (0..total).step_by(n as usize) {
        if step == warm_up {
            metrics.clear();
            started = Instant::now();
        }
        let progress = Progress { step: step + n, total };
        agent.act(envs.batch().observations(), progress, &mut actions)?;
        envs.step(&actions)?;
        agent.observe(&envs.batch().transitions(&actions))?;
        agent.update(progress, &mut metrics)?;
    }
    Ok(Report {
        transitions_per_second: timed as f64 / started.elapsed().as_secs_f64(),
        transitions: timed,
        parameters: parameters as u64,
        gradient_steps: metrics.count(step_metric),
    })
}

pub(super) fn ppo(backend: &Backend) -> Result<Report> {
    ppo_of_width(64, 20_480, backend)
}

/// The same with networks wide enough to benefit from threads.
pub(super) fn ppo_wide(backend: &Backend) -> Result<Report> {
    ppo_of_width(256, 6_144, backend)
}

fn ppo_of_width(width: usize, timed: u64, backend: &Backend) -> Result<Report> {
    let envs = copies(8, 500, CartPole::default)?;
    let mut config = PpoConfig { n_steps: 256, ..PpoConfig::default() };
    (config.network.actor.hidden, config.network.critic.hidden) = (vec![width; 2], vec![width; 2]);
    let agent = Ppo::new(&config, &envs, backend, Seeds::new(0))?;
    let parameters = agent.policy().network().num_params();
    measure((envs, agent), (2_048, timed), (parameters, "grad_norm"))
}

pub(super) fn dqn(backend: &Backend) -> Result<Report> {
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
    let agent = Dqn::new(&config, &envs, backend, Seeds::new(0))?;
    let parameters = agent.network().num_params();
    measure((envs, agent), (1_024, 4_096), (parameters, "loss"))
}

pub(super) fn sac(backend: &Backend) -> Result<Report> {
    sac_of_size(tanh(), 64, (256, 1_024), backend)
}

/// The same with the networks and batches that are published for MuJoCo's tasks.
pub(super) fn sac_wide(backend: &Backend) -> Result<Report> {
    let network = NetworkConfig { hidden: vec![256; 2], ..NetworkConfig::default() };
    sac_of_size(network, 256, (512, 1_024), backend)
}

fn sac_of_size(
    network: NetworkConfig,
    batch_size: usize,
    steps: (u64, u64),
    backend: &Backend,
) -> Result<Report> {
    let envs = copies(1, 200, Pendulum::default)?;
    let config = SacConfig {
        actor: network.clone(),
        critic: network,
        optimizer: OptimizerConfig::adam_with_eps(1e-5),
        target_entropy: Some(-1.0),
        buffer_size: 10_000,
        batch_size,
        learning_starts: batch_size as u64,
        ..SacConfig::default()
    };
    let agent = Sac::new(&config, &envs, backend, Seeds::new(0))?;
    let parameters = agent.rule().num_params();
    measure((envs, agent), steps, (parameters, "critic_loss"))
}

fn breakouts(n: usize) -> Result<SerialVecEnv<MinAtar<Breakout>>> {
    Ok(SerialVecEnv::new(vec![MinAtar::default(); n], Seeds::new(0))?)
}

/// As published (Young and Tian, 2019), with a smaller buffer.
pub(super) fn minatar_dqn(backend: &Backend) -> Result<Report> {
    let envs = breakouts(1)?;
    let config = DqnConfig {
        network: NetworkConfig::minatar(),
        learning_rate: Schedule::constant(2.5e-4),
        optimizer: OptimizerConfig::RmsProp {
            alpha: 0.95,
            eps: 0.01,
            eps_inside_root: false,
            centered: true,
            momentum: 0.0,
            initial_accumulator: 0.0,
        },
        max_grad_norm: None,
        gamma: 0.99,
        buffer_size: 10_000,
        batch_size: 32,
        learning_starts: 64,
        train_freq: 1,
        target_update_interval: 1_000,
        epsilon: Schedule::constant(0.1),
        ..DqnConfig::default()
    };
    let agent = Dqn::new(&config, &envs, backend, Seeds::new(0))?;
    let parameters = agent.network().num_params();
    measure((envs, agent), (1_024, 4_096), (parameters, "loss"))
}

/// With the shape of the preset; the policy and the value function share convolutions.
pub(super) fn minatar_ppo(backend: &Backend) -> Result<Report> {
    let envs = breakouts(64)?;
    let mut config =
        PpoConfig { n_steps: 128, batch_size: 256, n_epochs: 4, ..PpoConfig::default() };
    config.network.trunk = Some(NetworkConfig::minatar());
    (config.network.actor, config.network.critic) =
        (NetworkConfig::mlp(&[]), NetworkConfig::mlp(&[]));
    let agent = Ppo::new(&config, &envs, backend, Seeds::new(0))?;
    let parameters = agent.policy().network().num_params();
    measure((envs, agent), (8_192, 16_384), (parameters, "grad_norm"))
}
