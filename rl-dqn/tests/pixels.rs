//! Learning from images of bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    BoxSpace, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig, check_resume, evaluate,
};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::PixelProbe;
use rl_nets::{Backend, ConvConfig, NetworkConfig};

fn envs(seed: u64) -> SerialVecEnv<PixelProbe> {
    SerialVecEnv::new(vec![PixelProbe::default(); 4], Seeds::new(seed)).unwrap()
}

fn config() -> DqnConfig {
    DqnConfig {
        network: NetworkConfig {
            conv: vec![ConvConfig { channels: 8, kernel: 3, stride: 1, padding: 1 }],
            ..NetworkConfig::mlp(&[32])
        },
        learning_rate: Schedule::linear(2e-3, 1e-4),
        target_update_interval: 100,
        buffer_size: 5_000,
        ..DqnConfig::default()
    }
}

fn trained(config: &DqnConfig, backend: &Backend, steps: u64) -> Dqn<BoxSpace<u8>> {
    let agent = Dqn::new(config, &envs(0), backend, Seeds::new(0)).unwrap();
    let mut trainer = Trainer::new(envs(0), agent, TrainerConfig::new(steps)).unwrap();
    trainer.run().unwrap();
    let (_, agent) = trainer.into_parts();
    agent
}

#[test]
fn an_image_is_read() {
    let mut agent = trained(&config(), &Backend::cpu(), 12_000);
    let mean = evaluate(&mut agent, &mut envs(9), 400).unwrap().mean();
    assert!(mean >= 0.95, "{mean}");
}

/// Why it must be read: what sees single pixels alone does not come far.
#[test]
fn no_sum_of_pixels_answers() {
    let linear = DqnConfig { network: NetworkConfig::mlp(&[]), ..config() };
    let mut agent = trained(&linear, &Backend::cpu(), 12_000);
    let mean = evaluate(&mut agent, &mut envs(9), 400).unwrap().mean();
    assert!(mean < 0.5, "{mean}");
}

#[test]
fn both_paths_learn_the_same_from_images() {
    let params = |name: &str| {
        let agent = trained(&config(), &Backend::by_name(name).unwrap(), 140);
        agent.network().params().unwrap()
    };
    let (fused, candle) = (params("cpu"), params("reference"));
    let start = Dqn::new(&config(), &envs(0), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_ne!(start.network().params().unwrap(), fused);
    for (a, b) in fused.iter().zip(&candle) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn threads_have_no_say_and_resuming_is_exact() {
    let threads = Backend::cpu().with_threads(2).unwrap();
    let wide = DqnConfig { batch_size: 128, ..config() };
    let [one, two] = [Backend::cpu(), threads]
        .map(|backend| trained(&wide, &backend, 600).network().params().unwrap());
    assert_eq!(one, two);
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let agent = Dqn::new(&config(), &envs(3), &Backend::cpu(), Seeds::new(3))?;
        Ok((envs(3), agent))
    };
    assert_eq!(check_resume(dir.path(), make, 900).unwrap(), [""; 0]);
}

#[test]
fn images_that_do_not_fit_are_errors() {
    let error = |network: NetworkConfig| {
        let config = DqnConfig { network, ..config() };
        let agent = Dqn::new(&config, &envs(0), &Backend::cpu(), Seeds::new(0));
        agent.unwrap_err().to_string()
    };
    let error = error(NetworkConfig::nature());
    assert_eq!(error, "conv.1.kernel: expected at most the padded image's size (1), got 4");
}
