//! Models of candle as they are, written against `VarBuilder`, as the bodies of DQN: a perceptron, and a convolution on
//! images of bytes. Every agent takes them; DQN puts its layer of action values on them.
//!
//! `cargo run --release --package rl-dqn --example candle_model`
#![allow(clippy::print_stdout)]

use candle_core::{Result, Tensor};
use candle_nn::{Activation, Conv2d, Linear, Module, VarBuilder, conv2d, linear};
use rl_core::{BoxSpace, Discrete, Env, Rng, Schedule, Seeds, SerialVecEnv, Step, TimeLimit};
use rl_core::{Trainer, TrainerConfig, evaluate};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::CartPole;
use rl_nets::CandleBody;

/// A perceptron.
struct Mlp {
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Mlp {
    fn new(vb: VarBuilder) -> Result<Self> {
        let (first, second) = (linear(4, 64, vb.pp("first"))?, linear(64, 64, vb.pp("second"))?);
        Ok(Mlp { first, second, activation: Activation::Silu })
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.first.forward(x)?.apply(&self.activation)?;
        self.second.forward(&x)?.apply(&self.activation)
    }
}

/// A convolution and a layer on it, for images of `[1, 6, 6]`.
struct Vision {
    conv: Conv2d,
    dense: Linear,
}

impl Vision {
    fn new(vb: VarBuilder) -> Result<Self> {
        let conv = conv2d(1, 4, 3, Default::default(), vb.pp("conv"))?;
        Ok(Vision { conv, dense: linear(4 * 4 * 4, 32, vb.pp("dense"))? })
    }
}

impl Module for Vision {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.conv.forward(x)?.relu()?.flatten_from(1)?;
        self.dense.forward(&x)?.relu()
    }
}

/// An image with one bright pixel, whose side says which action is right. Ten images make an episode.
#[derive(Clone, Default)]
struct Side {
    pixel: usize,
    step: usize,
}

impl Side {
    fn show(&mut self, rng: &mut Rng, obs: &mut [u8]) {
        self.pixel = rng.below(36);
        obs.fill(0);
        obs[self.pixel] = 255;
    }
}

impl Env for Side {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = [usize; 2];

    fn observation_space(&self) -> BoxSpace<u8> {
        BoxSpace::image(&[1, 6, 6]).unwrap_or_else(|_| unreachable!("a shape without zeros"))
    }

    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap_or_else(|_| unreachable!("two actions"))
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [u8]) -> rl_core::Result<()> {
        self.step = 0;
        self.show(rng, obs);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [u8]) -> rl_core::Result<Step> {
        let right = usize::from(self.pixel % 6 >= 3);
        self.show(rng, obs);
        self.step += 1;
        Ok(Step::terminated_if(self.step == 10, f32::from(action == right)))
    }

    fn state(&self) -> Option<[usize; 2]> {
        Some([self.pixel, self.step])
    }

    fn set_state(&mut self, [pixel, step]: [usize; 2]) -> rl_core::Result<()> {
        (self.pixel, self.step) = (pixel, step);
        Ok(())
    }
}

fn main() -> rl_core::Result<()> {
    let (seeds, backend) = (Seeds::new(0), Backend::cpu());
    let mlp = CandleBody::new(|vb, x| Mlp::new(vb)?.forward(x));
    let poles = |n| SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?; n], seeds);
    let config = DqnConfig {
        learning_rate: Schedule::constant(1e-3),
        batch_size: 64,
        learning_starts: 500,
        train_freq: 2,
        target_update_interval: 1,
        tau: 0.01,
        epsilon: Schedule::linear(1.0, 0.05).over(0.3),
        ..DqnConfig::default()
    };
    let dqn = Dqn::with_body(&config, &mlp, &poles(1)?, &backend, seeds)?;
    let mut trainer = Trainer::new(poles(1)?, dqn, TrainerConfig::new(8_000))?;
    trainer.run()?;
    let dqn = evaluate(trainer.agent_mut(), &mut poles(1)?, 10)?.mean();
    assert!(dqn > 60.0, "{dqn}");

    let vision = CandleBody::new(|vb, x| Vision::new(vb)?.forward(x));
    let images = || SerialVecEnv::new(vec![Side::default()], seeds);
    let dqn_of_images = Dqn::with_body(&config, &vision, &images()?, &backend, seeds)?;
    let mut trainer = Trainer::new(images()?, dqn_of_images, TrainerConfig::new(2_000))?;
    trainer.run()?;
    let sides = evaluate(trainer.agent_mut(), &mut images()?, 10)?.mean();
    assert!(sides > 9.0, "{sides}");
    println!("models of candle: mean return {dqn} on CartPole, {sides} of 10 images");
    Ok(())
}
