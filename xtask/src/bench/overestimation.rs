//! `cargo xtask bench overestimation`: value estimates compared with true values.
//!
//! A maximum over noisy estimates is too high on average (Thrun and Schwartz, 1993). Double DQN and TD3 were designed
//! to reduce this bias; here each is trained beside its predecessor, DQN or DDPG, with the same settings and seeds.
//! At regular intervals the policy is run from new start states, and the critic's value of each start is compared
//! with the discounted return that follows.

use super::positive;
use super::statistics::bootstrap_interval;
use crate::{Result, preset};
use rl_core::run::RunConfig;
use rl_core::{
    Agent, BoxSpace, Env, Metrics, Progress, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv,
};
use rl_ddpg::{Ddpg, DdpgConfig, OffPolicy, Rule, Td3, Td3Config};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{CartPole, Pendulum};
use rl_nets::Backend;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds 0 to N - 1.
    #[arg(long, default_value_t = 5, value_parser = positive::<u64>)]
    seeds: u64,
    /// Number of measurements during training.
    #[arg(long, default_value_t = 5)]
    looks: u64,
    /// Start states per measurement.
    #[arg(long, default_value_t = 20)]
    starts: usize,
}

/// The number of steps after which the remaining discounted return is negligible.
const HORIZON: u32 = 1_500;

/// A mean value estimate and a mean true value.
#[derive(Clone, Copy)]
struct Look {
    estimated: f64,
    truth: f64,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    println!(
        "value estimates of start states, and their discounted returns; means over {} seeds",
        args.seeds
    );
    println!("of means over {} start states; 95 % intervals of the difference\n", args.starts);
    compare(args, "CartPole-v1", [("DQN", &dqn(false)?), ("Double DQN", &dqn(true)?)])?;
    compare(args, "Pendulum-v1", [("DDPG", &ddpg()?), ("TD3", &td3()?)])
}

/// The run of one seed: the steps of its measurements, and their results.
type Run = dyn Fn(&Args, u64) -> Result<Vec<(u64, Look)>>;

fn compare(args: &Args, env: &str, pair: [(&str, &Run); 2]) -> Result<()> {
    println!("{env}");
    println!("  {:<11} {:>8} {:>10} {:>10} {:>12}", "", "steps", "estimated", "true", "difference");
    for (name, run) in pair {
        let runs: Vec<Vec<(u64, Look)>> =
            (0..args.seeds).map(|seed| run(args, seed)).collect::<Result<_>>()?;
        for i in 0..args.looks as usize {
            let looks: Vec<Look> = runs.iter().map(|run| run[i].1).collect();
            let mean = |f: fn(&Look) -> f64| looks.iter().map(f).sum::<f64>() / looks.len() as f64;
            let differences: Vec<f64> = looks.iter().map(|l| l.estimated - l.truth).collect();
            let (low, high) = bootstrap_interval(&differences);
            let (estimated, truth) = (mean(|l| l.estimated), mean(|l| l.truth));
            println!(
                "  {name:<11} {:>8} {estimated:>10.2} {truth:>10.2} {:>+12.2} [{low:+.2}, {high:+.2}]",
                runs[0][i].0,
                estimated - truth,
            );
        }
    }
    Ok(())
}

fn settings<C: Default + Serialize + DeserializeOwned>(
    algorithm: &str,
    env: &str,
) -> Result<(RunConfig, C)> {
    let config = preset::find_or_defaults(algorithm, env)?;
    let settings = config.settings()?;
    Ok((config, settings))
}

fn one<E: Env>(env: E, limit: u32, seeds: Seeds) -> Result<SerialVecEnv<TimeLimit<E>>> {
    Ok(SerialVecEnv::new(vec![TimeLimit::new(env, limit)?], seeds)?)
}

fn dqn(double_q: bool) -> Result<Box<Run>> {
    let (run, config) = settings::<DqnConfig>("dqn", "CartPole-v1")?;
    let config = DqnConfig { double_q, ..config };
    Ok(Box::new(move |args, seed| {
        let seeds = Seeds::new(seed);
        let envs = one(CartPole::default(), 500, seeds)?;
        let agent = Dqn::new(&config, &envs, &Backend::cpu(), seeds)?;
        let endless = one(CartPole::default(), HORIZON, seeds.child("look", 0))?;
        looks(args, (envs, agent, run.steps), endless, config.gamma, |agent, observation, _| {
            let values = agent.action_values(observation)?;
            Ok(values.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        })
    }))
}

fn ddpg() -> Result<Box<Run>> {
    let (run, config) = settings::<DdpgConfig>("ddpg", "Pendulum-v1")?;
    let gamma = config.gamma;
    continuous(run.steps, gamma, move |e, s| Ddpg::new(&config, e, &Backend::cpu(), s))
}

fn td3() -> Result<Box<Run>> {
    let (run, config) = settings::<Td3Config>("td3", "Pendulum-v1")?;
    let gamma = config.gamma;
    continuous(run.steps, gamma, move |e, s| Td3::new(&config, e, &Backend::cpu(), s))
}

type Pendulums = SerialVecEnv<TimeLimit<Pendulum>>;

fn continuous<R: Rule>(
    steps: u64,
    gamma: f64,
    make: impl Fn(&Pendulums, Seeds) -> rl_core::Result<OffPolicy<R>> + 'static,
) -> Result<Box<Run>> {
    Ok(Box::new(move |args, seed| {
        let seeds = Seeds::new(seed);
        let envs = one(Pendulum::default(), 200, seeds)?;
        let agent = make(&envs, seeds)?;
        let endless = one(Pendulum::default(), HORIZON, seeds.child("look", 0))?;
        looks(args, (envs, agent, steps), endless, gamma, |agent, observation, action| {
            // Pendulum's bounds are ±2; critics see actions in [-1, 1].
            let unit: Vec<f32> = action.iter().map(|a| a / 2.0).collect();
            Ok(agent.rule_mut().values(observation, &unit)?[0])
        })
    }))
}

/// Trains for the given number of steps and measures at regular intervals. `value` is the critic's value of an
/// observation and the action taken in it.
fn looks<V, A>(
    args: &Args,
    (mut envs, mut agent, steps): (V, A, u64),
    mut endless: V,
    gamma: f64,
    value: impl Fn(&mut A, &[f32], &[<V::Action as Space>::Elem]) -> rl_core::Result<f32>,
) -> Result<Vec<(u64, Look)>>
where
    V: VecEnv<Obs = BoxSpace>,
    A: Agent<Obs = BoxSpace, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let mut actions = vec![Default::default(); envs.action_space().width()];
    let (mut metrics, mut seen) = (Metrics::default(), Vec::new());
    let between = (steps / args.looks).max(1);
    envs.reset()?;
    for step in 1..=steps {
        let progress = Progress { step, total: steps };
        agent.act(envs.batch().observations(), progress, &mut actions)?;
        envs.step(&actions)?;
        agent.observe(&envs.batch().transitions(&actions))?;
        agent.update(progress, &mut metrics)?;
        if step % between == 0 {
            seen.push((step, look(args, &mut agent, &mut endless, gamma, &value)?));
        }
    }
    Ok(seen)
}

fn look<V, A>(
    args: &Args,
    agent: &mut A,
    endless: &mut V,
    gamma: f64,
    value: impl Fn(&mut A, &[f32], &[<V::Action as Space>::Elem]) -> rl_core::Result<f32>,
) -> Result<Look>
where
    V: VecEnv<Obs = BoxSpace>,
    A: Agent<Obs = BoxSpace, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let mut actions = vec![Default::default(); endless.action_space().width()];
    let (mut estimated, mut truth) = (0.0, 0.0);
    for _ in 0..args.starts {
        endless.reset()?;
        let start = endless.batch().observations().to_vec();
        agent.act_greedily(&start, &mut actions)?;
        estimated += f64::from(value(agent, &start, &actions)?);
        let mut discount = 1.0;
        while endless.batch().ends()[0].is_none() {
            agent.act_greedily(endless.batch().observations(), &mut actions)?;
            endless.step(&actions)?;
            truth += discount * f64::from(endless.batch().rewards()[0]);
            discount *= gamma;
        }
    }
    let n = args.starts as f64;
    Ok(Look { estimated: estimated / n, truth: truth / n })
}
