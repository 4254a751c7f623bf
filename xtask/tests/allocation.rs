//! Once an agent has been through every part of its work, acting, observing and learning allocate nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, BoxSpace, Env, Metrics, Progress, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv,
};
use rl_ddpg::{Ddpg, DdpgConfig, ExperienceConfig, Sac, SacConfig, Td3, Td3Config};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{CartPole, Pendulum};
use rl_nets::Backend;
use rl_pg::{A2c, A2cConfig};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig};

/// Copies of an environment whose episodes end in both halves of a measurement.
fn copies<E: Env>(n: usize, make: fn() -> E) -> SerialVecEnv<TimeLimit<E>> {
    let envs = (0..n).map(|_| TimeLimit::new(make(), 60).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(0)).unwrap()
}

/// How often acting, stepping, observing and learning allocate in `counted` steps after `warm_up` steps.
fn allocations<V, A>(mut envs: V, mut agent: A, warm_up: u64, counted: u64) -> [u64; 4]
where
    V: VecEnv<Obs = BoxSpace>,
    A: Agent<Obs = BoxSpace, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let mut actions = vec![Default::default(); envs.num_envs() * envs.action_space().width()];
    let (mut metrics, mut count, total) = (Metrics::default(), [0; 4], warm_up + counted);
    envs.reset().unwrap();
    for step in 0..total {
        let progress = Progress { step, total };
        // As a training loop does when it reports.
        if step % 100 == 0 {
            metrics.clear();
        }
        let [act, do_step, observe, update] = [
            allocation_counter::measure(|| {
                agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
            }),
            allocation_counter::measure(|| envs.step(&actions).unwrap()),
            allocation_counter::measure(|| {
                agent.observe(&envs.batch().transitions(&actions)).unwrap();
            }),
            allocation_counter::measure(|| agent.update(progress, &mut metrics).unwrap()),
        ]
        .map(|info| info.count_total);
        if step >= warm_up {
            let new = [act, do_step, observe, update];
            count.iter_mut().zip(new).for_each(|(count, new)| *count += new);
        }
    }
    assert!(metrics.count("grad_norm") + metrics.count("critic_loss") > 0, "nothing was learned");
    count
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!((info.count_total, info.bytes_total), (1, 100));
}

#[test]
fn dqn_allocates_nothing() {
    for double_q in [false, true] {
        let config = DqnConfig {
            double_q,
            n_step: 3,
            buffer_size: 500,
            learning_starts: 100,
            target_update_interval: 50,
            ..DqnConfig::default()
        };
        let envs = copies(3, CartPole::default);
        let agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        assert_eq!(allocations(envs, agent, 1_000, 1_000), [0; 4]);
    }
}

#[test]
fn ppo_allocates_nothing() {
    let config = PpoConfig { n_steps: 40, batch_size: 50, ..PpoConfig::default() };
    let envs = copies(3, CartPole::default);
    let agent = Ppo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 400), [0; 4]);
    let envs = copies(3, Pendulum::default);
    let agent = Ppo::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 400), [0; 4]);
    let config = PpoKlConfig { n_steps: 40, batch_size: 50, ..PpoKlConfig::default() };
    let envs = copies(3, Pendulum::default);
    let agent = PpoKl::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 400), [0; 4]);
}

#[test]
fn a2c_allocates_nothing() {
    let envs = copies(3, CartPole::default);
    let agent = A2c::new(&A2cConfig::default(), &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 400), [0; 4]);
}

fn experience() -> ExperienceConfig {
    ExperienceConfig { buffer_size: 500, learning_starts: 100, ..ExperienceConfig::default() }
}

#[test]
fn sac_allocates_nothing() {
    let config = SacConfig { experience: experience(), ..SacConfig::default() };
    let envs = copies(2, Pendulum::default);
    let agent = Sac::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 200), [0; 4]);
}

#[test]
fn ddpg_and_td3_allocate_nothing() {
    let config = DdpgConfig { experience: experience(), ..DdpgConfig::default() };
    let envs = copies(2, Pendulum::default);
    let agent = Ddpg::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 200), [0; 4]);
    let config = Td3Config { experience: experience(), ..Td3Config::default() };
    let envs = copies(2, Pendulum::default);
    let agent = Td3::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, 400, 200), [0; 4]);
}
