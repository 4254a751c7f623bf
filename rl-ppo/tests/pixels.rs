//! Learning from byte images with PPO.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig, check_resume, evaluate};
use rl_envs::PixelProbe;
use rl_nets::{ActorCriticConfig, Backend, Bodies, ConvConfig, NetworkConfig};
use rl_ppo::{Ppo, PpoConfig, Trpo, TrpoConfig};

fn envs(seed: u64) -> SerialVecEnv<PixelProbe> {
    SerialVecEnv::new(vec![PixelProbe::default(); 8], Seeds::new(seed)).unwrap()
}

/// A convolutional body.
fn body() -> NetworkConfig {
    NetworkConfig {
        conv: vec![ConvConfig { channels: 8, kernel: 3, stride: 1, padding: 1 }],
        hidden: vec![32],
        ..NetworkConfig::tanh()
    }
}

fn config() -> PpoConfig {
    let bare = NetworkConfig { hidden: vec![], ..NetworkConfig::tanh() };
    PpoConfig {
        network: ActorCriticConfig {
            trunk: Some(body()),
            actor: bare.clone(),
            critic: bare,
            ..ActorCriticConfig::default()
        },
        learning_rate: Schedule::linear(2e-3, 1e-4),
        n_steps: 32,
        n_epochs: 4,
        ..PpoConfig::default()
    }
}

#[test]
fn an_image_is_read_by_a_trunk_that_both_heads_share() {
    let agent = Ppo::new(&config(), &envs(0), &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut trainer = Trainer::new(envs(0), agent, TrainerConfig::new(20_480)).unwrap();
    trainer.run().unwrap();
    let mean = evaluate(trainer.agent_mut(), &mut envs(9), 400).unwrap().mean();
    assert!(mean >= 0.95, "{mean}");
}

#[test]
fn a_body_of_ones_own_is_the_trunk_of_the_settings() {
    let from_settings = Ppo::new(&config(), &envs(0), &Backend::cpu(), Seeds::new(0)).unwrap();
    let body = body();
    let bodies = Bodies::shared(&body);
    let own =
        Ppo::with_bodies(&config(), bodies, &envs(0), &Backend::cpu(), Seeds::new(0)).unwrap();
    let layouts = [from_settings.policy(), own.policy()].map(|p| p.network().num_params());
    assert_eq!(layouts[0], layouts[1]);
}

#[test]
fn resuming_on_images_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let agent = Ppo::new(&config(), &envs(3), &Backend::cpu(), Seeds::new(3))?;
        Ok((envs(3), agent))
    };
    assert_eq!(check_resume(dir.path(), make, 1_800).unwrap(), [""; 0]);
}

#[test]
fn a_trust_region_takes_separate_bodies_and_no_shared_one() {
    let (config, body) = (TrpoConfig { n_steps: 32, ..TrpoConfig::default() }, body());
    let agent =
        |bodies| Trpo::with_bodies(&config, bodies, &envs(0), &Backend::cpu(), Seeds::new(0));
    let error = agent(Bodies::shared(&body)).unwrap_err().to_string();
    assert!(error.starts_with("network.trunk: expected none"), "{error}");
    let agent = agent(Bodies::separate(&body, &body)).unwrap();
    let mut trainer = Trainer::new(envs(0), agent, TrainerConfig::new(10_240)).unwrap();
    trainer.run().unwrap();
    let mean = evaluate(trainer.agent_mut(), &mut envs(9), 400).unwrap().mean();
    assert!(mean >= 0.9, "{mean}");
}
