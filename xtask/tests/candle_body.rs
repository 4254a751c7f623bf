//! Agents on models of candle, beside agents on the same layers of this library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use rl_core::{
    Env, Policy, Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate,
};
use rl_ddpg::{ActionGradient, Critic, Sac, SacConfig};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{CartPole, Pendulum};
use rl_nets::{
    Activation, Backend, Bodies, Body, CandleBody, Chain, Linear, Module, OptimizerConfig, Result,
    TdLoss,
};
use rl_ppo::{Trpo, TrpoConfig};

const UNITS: usize = 64;

/// A layer of tanh units that starts as PyTorch's do.
fn layer(vb: VarBuilder<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let inputs = x.dim(1)?;
    let bound = 1.0 / (inputs as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    let weight = vb.get_with_hints((UNITS, inputs), "weight", init)?;
    let bias = vb.get_with_hints(UNITS, "bias", init)?;
    x.matmul(&weight.t()?)?.broadcast_add(&bias)?.tanh()
}

/// Two such layers as a model of candle.
fn model() -> CandleBody {
    CandleBody::new(|vb, x| layer(vb.pp("second"), &layer(vb.pp("first"), x)?))
}

/// Two such layers of this library. They draw their first parameters as the model does.
fn modules(shape: &[usize]) -> Result<Chain> {
    [UNITS; 2].into_iter().try_fold(Chain::new(shape.iter().product()), |chain, units| {
        let layer = Linear::new(chain.output_len(), units)?;
        chain.then(layer.with_activation(Activation::Tanh))
    })
}

fn envs<E: Env + Clone>(env: E, limit: u32) -> SerialVecEnv<TimeLimit<E>> {
    SerialVecEnv::new(vec![TimeLimit::new(env, limit).unwrap()], Seeds::new(0)).unwrap()
}

fn assert_close(what: &str, got: &[f32], expected: &[f32], share: f32) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= share * scale, "{what}[{i}]: {a}, expected {b}");
    }
}

/// CartPole's preset with smaller layers, half the batch and a third of the steps: of ten seeds from 100 on, the worst
/// comes to 134. Acting at random comes to 22.
fn learned_return(body: &dyn Body, seed: u64) -> f64 {
    const STEPS: u64 = 15_000;
    let config = DqnConfig {
        learning_rate: Schedule::linear(2e-3, 1e-5),
        max_grad_norm: None,
        loss: TdLoss::Mse,
        batch_size: 64,
        buffer_size: 50_000,
        learning_starts: 1_000,
        double_q: true,
        target_update_interval: 1,
        tau: 0.005,
        train_freq: 1,
        epsilon: Schedule::linear(1.0, 0.1).over(0.3),
        ..DqnConfig::default()
    };
    let make = || envs(CartPole::default(), 500);
    let agent = Dqn::with_body(&config, body, &make(), &Backend::cpu(), Seeds::new(seed)).unwrap();
    let mut trainer = Trainer::new(make(), agent, TrainerConfig::new(STEPS)).unwrap();
    trainer.run().unwrap();
    evaluate(trainer.agent_mut(), &mut make(), 20).unwrap().mean()
}

#[test]
fn dqn_learns_cart_pole_on_a_model_of_candle() {
    for seed in [0, 1] {
        let mean = learned_return(&model(), seed);
        assert!(mean >= 90.0, "seed {seed}: {mean}");
    }
}

#[test]
fn dqn_learns_cart_pole_on_the_same_modules() {
    for seed in [0, 1] {
        let mean = learned_return(&modules, seed);
        assert!(mean >= 90.0, "seed {seed}: {mean}");
    }
}

#[test]
fn trpo_runs_on_models_of_candle() {
    let config = TrpoConfig { n_steps: 128, batch_size: 64, ..TrpoConfig::default() };
    let make = || envs(CartPole::default(), 500);
    let (body, backend) = (model(), Backend::cpu());
    let bodies = Bodies::separate(&body, &body);
    let agent = Trpo::with_bodies(&config, bodies, &make(), &backend, Seeds::new(0)).unwrap();
    let before = agent.policy().network().params().unwrap();
    let mut trainer = Trainer::new(make(), agent, TrainerConfig::new(512)).unwrap();
    trainer.run().unwrap();
    let after = trainer.agent().policy().network().params().unwrap();
    assert!(before != after && after.iter().all(|p| p.is_finite()));
    let error = Trpo::with_bodies(&config, Bodies::shared(&body), &make(), &backend, Seeds::new(0));
    assert!(error.is_err());
}

#[test]
fn critics_on_a_model_have_the_same_action_gradients() {
    let number = |i: usize| ((i * 7) as f32).sin();
    let (observations, actions): (Vec<f32>, Vec<f32>) =
        ((0..8 * 3).map(number).collect(), (0..8).map(number).collect());
    let candle_model = model();
    let bodies: [&dyn Body; 2] = [&candle_model, &modules];
    let [candle, own] = bodies.map(|body| {
        let (adam, mut rng) = (OptimizerConfig::adam(), Seeds::new(0).stream("init", 0));
        let mut critic = Critic::new(2, (3, 1), body, &adam, &Backend::cpu(), &mut rng).unwrap();
        let before = critic.values(&observations, &actions).unwrap();
        let gradient = |critic: &mut Critic| {
            let mut gradient = vec![0.0; actions.len()];
            let which = ActionGradient::Smallest;
            critic.action_gradient(&observations, &actions, which, &mut gradient).unwrap();
            gradient
        };
        let first = gradient(&mut critic);
        critic.step(&observations, &actions, &[1.0; 8], 1e-3, None).unwrap();
        let second = gradient(&mut critic);
        [before, first, critic.values(&observations, &actions).unwrap(), second]
    });
    for (i, what) in ["values", "gradient", "values after a step", "gradient after a step"]
        .into_iter()
        .enumerate()
    {
        assert_close(what, &candle[i], &own[i], 1e-5);
    }
    assert_ne!(own[0], own[2]);
}

#[test]
fn sac_takes_the_same_steps_on_a_model() {
    let config = SacConfig { batch_size: 32, learning_starts: 50, ..SacConfig::default() };
    let candle_model = model();
    let bodies: [&dyn Body; 2] = [&candle_model, &modules];
    let [candle, own] = bodies.map(|body| {
        let make = || envs(Pendulum::default(), 200);
        let backend = Backend::cpu();
        let agent =
            Sac::with_bodies(&config, (body, body), &make(), &backend, Seeds::new(0)).unwrap();
        let mut trainer = Trainer::new(make(), agent, TrainerConfig::new(60)).unwrap();
        trainer.run().unwrap();
        let observations: Vec<f32> = (0..5 * 3).map(|i| (i as f32).sin()).collect();
        let mut actions = vec![0.0; 5];
        trainer.agent_mut().act_greedily(&observations, &mut actions).unwrap();
        actions
    });
    // Rounding travels through the environment and ten gradient steps.
    assert_close("actions", &candle, &own, 1e-3);
}
