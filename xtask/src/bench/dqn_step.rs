//! `cargo xtask bench dqn-step`: one gradient step of DQN compared with the same step in plain candle.
//!
//! The network is 4-64-64-2 (tanh) and the batch size 64; a step is sampling, targets, loss, backward pass and Adam.
//! The candle version is written as its users would: `candle_nn`'s linear layers, autograd and AdamW.

use super::positive;
use super::statistics::median;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use rl_core::{Metrics, Progress, Schedule, Seeds, SerialVecEnv, TimeLimit, Transitions, VecEnv};
use rl_dqn::{Dqn, DqnConfig};
use rl_nets::{Activation, Backend, NetworkConfig, OptimizerConfig, TdLoss};
use rl_replay::{Batch, Horizon, Replay};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Interleaved rounds; medians are reported.
    #[arg(long, default_value_t = 15, value_parser = positive::<usize>)]
    rounds: usize,
    /// Steps per round.
    #[arg(long, default_value_t = 2_000, value_parser = positive::<usize>)]
    steps: usize,
}

const BATCH: usize = 64;
const GAMMA: f64 = 0.99;
const LEARNING_RATE: f64 = 2.5e-4;

pub(crate) fn main(args: &Args) -> Result<()> {
    if std::env::var("RAYON_NUM_THREADS").as_deref() != Ok("1") {
        return Err(Error::usage(
            "set RAYON_NUM_THREADS=1: without it plain candle reads /proc/cpuinfo at each product",
        ));
    }
    let (mut ours, mut plain) = (ours()?, Plain::new()?);
    let mut metrics = Metrics::default();
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=args.rounds {
        let started = Instant::now();
        for _ in 0..args.steps {
            ours.gradient_step(Progress { step: 0, total: 1 }, &mut metrics)?;
        }
        let first = started.elapsed().as_secs_f64();
        let started = Instant::now();
        for _ in 0..args.steps {
            plain.gradient_step()?;
        }
        let second = started.elapsed().as_secs_f64();
        // The first round is a warm-up.
        if round > 0 {
            let micros = |seconds: f64| seconds / args.steps as f64 * 1e6;
            times[0].push(micros(first));
            times[1].push(micros(second));
        }
    }
    let [ours, plain] = times.map(|t| median(&t));
    println!(
        "DQN gradient step, 4-64-64-2, batch {BATCH}, one thread, median of {} rounds",
        args.rounds
    );
    println!("  fused        {ours:>8.1} us");
    println!("  plain candle {plain:>8.1} us");
    println!("  ratio        {:>8.2}", ours / plain);
    Ok(())
}

/// Records 2,000 steps of random actions.
fn play(mut show: impl FnMut(&Transitions<'_, f32, u32>) -> rl_core::Result<()>) -> Result<()> {
    let env = TimeLimit::new(rl_envs::CartPole::default(), 500)?;
    let mut envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
    let mut rng = Seeds::new(0).stream("actions", 0);
    envs.reset()?;
    for _ in 0..2_000 {
        let action = [rng.below(2) as u32];
        envs.step(&action)?;
        show(&envs.batch().transitions(&action))?;
    }
    Ok(())
}

fn ours() -> Result<Dqn> {
    use rl_core::Agent;
    let config = DqnConfig {
        network: NetworkConfig { activation: Activation::Tanh, ..NetworkConfig::default() },
        optimizer: OptimizerConfig::adam_with_eps(1e-5),
        learning_rate: Schedule::constant(LEARNING_RATE),
        max_grad_norm: None,
        loss: TdLoss::Mse,
        gamma: GAMMA,
        buffer_size: 10_000,
        batch_size: BATCH,
        ..DqnConfig::default()
    };
    let env = TimeLimit::new(rl_envs::CartPole::default(), 500)?;
    let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
    let mut agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0))?;
    play(|step| agent.observe(step))?;
    Ok(agent)
}

/// The same step with candle's own API.
struct Plain {
    replay: Replay<f32, u32>,
    batch: Batch<f32, u32>,
    rng: rl_core::Rng,
    online: [Linear; 3],
    target: [Linear; 3],
    adam: AdamW,
}

fn forward(layers: &[Linear; 3], x: &Tensor) -> candle_core::Result<Tensor> {
    let [first, second, last] = layers;
    last.forward(&second.forward(&first.forward(x)?.tanh()?)?.tanh()?)
}

impl Plain {
    fn new() -> Result<Self> {
        let network = |map: &VarMap| -> candle_core::Result<[Linear; 3]> {
            let vars = VarBuilder::from_varmap(map, DType::F32, &Device::Cpu);
            Ok([
                candle_nn::linear(4, 64, vars.pp("0"))?,
                candle_nn::linear(64, 64, vars.pp("1"))?,
                candle_nn::linear(64, 2, vars.pp("2"))?,
            ])
        };
        let mut replay = Replay::uniform(10_000, 1, 4, 1).map_err(rl_core::Error::from)?;
        play(|step| Ok(replay.push(step)?))?;
        let (online_vars, target_vars) = (VarMap::new(), VarMap::new());
        let (online, target) = (network(&online_vars)?, network(&target_vars)?);
        let params =
            ParamsAdamW { lr: LEARNING_RATE, eps: 1e-5, weight_decay: 0.0, ..Default::default() };
        Ok(Plain {
            replay,
            batch: Batch::new(BATCH, 4, 1).map_err(rl_core::Error::from)?,
            rng: Seeds::new(0).stream("agent", 0),
            online,
            target,
            adam: AdamW::new(online_vars.all_vars(), params)?,
        })
    }

    fn gradient_step(&mut self) -> Result<()> {
        let horizon = Horizon { n_step: 1, gamma: GAMMA };
        self.replay
            .sample(&mut self.rng, 0.0, horizon, &mut self.batch)
            .map_err(rl_core::Error::from)?;
        let batch = &self.batch;
        let rows = |x: &[f32]| Tensor::from_slice(x, (BATCH, 4), &Device::Cpu);
        let column = |x: &[f32]| Tensor::from_slice(x, BATCH, &Device::Cpu);
        let next = forward(&self.target, &rows(batch.next_observations())?)?.max(1)?;
        let targets = (column(batch.rewards())? + (next * column(batch.discounts())?)?)?.detach();
        let q = forward(&self.online, &rows(batch.observations())?)?;
        let actions = Tensor::from_slice(batch.actions(), (BATCH, 1), &Device::Cpu)?;
        let taken = q.gather(&actions, 1)?.squeeze(1)?;
        let loss = (taken - targets)?.sqr()?.mean_all()?;
        self.adam.backward_step(&loss)?;
        // Our version reads the loss too.
        loss.to_scalar::<f32>()?;
        Ok(())
    }
}
