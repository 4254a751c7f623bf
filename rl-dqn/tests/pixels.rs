//! Learning from images of bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, BoxSpace, FrameStack, Schedule, Sections, Seeds, SerialVecEnv, Trainer, TrainerConfig,
    VecEnv, check_resume, evaluate,
};
use rl_dqn::{Dqn, DqnConfig};
use rl_envs::{Breakout, MinAtar, PixelProbe};
use rl_nets::{Backend, ConvConfig, NetworkConfig};
use rl_replay::PrioritizedConfig;

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
    assert_eq!(error, "network.conv.1.kernel: expected at most the padded image's size (1), got 4");
}

fn stacked(seed: u64) -> SerialVecEnv<FrameStack<MinAtar<Breakout>>> {
    let env = || FrameStack::new(MinAtar::default(), 3).unwrap();
    SerialVecEnv::new(vec![env(), env()], Seeds::new(seed)).unwrap()
}

/// Frames that are stored once are the same frames: the same bits are learned, from a third of the bytes at most.
#[test]
fn frames_stored_once_teach_the_same() {
    let learned = |frame_stack, prioritized: bool| {
        let config = DqnConfig {
            frame_stack,
            prioritized: prioritized.then(PrioritizedConfig::default),
            n_step: 2,
            buffer_size: 100,
            ..config()
        };
        let agent = Dqn::new(&config, &stacked(5), &Backend::cpu(), Seeds::new(5)).unwrap();
        let mut trainer = Trainer::new(stacked(5), agent, TrainerConfig::new(400)).unwrap();
        trainer.run().unwrap();
        let (_, agent) = trainer.into_parts();
        let mut saved = Sections::default();
        agent.save(&mut saved).unwrap();
        let replay = saved.files().filter(|(name, _)| name.starts_with("replay"));
        let replay = replay.map(|(_, bytes)| bytes.len()).sum::<usize>();
        (agent.network().params().unwrap(), replay)
    };
    for prioritized in [false, true] {
        let (whole, once) = (learned(None, prioritized), learned(Some(3), prioritized));
        assert_eq!(whole.0, once.0);
        assert!(once.1 * 3 < whole.1, "{} {}", once.1, whole.1);
    }
    assert_ne!(learned(Some(3), true).0, learned(Some(3), false).0);
    let dir = tempfile::tempdir().unwrap();
    let config = DqnConfig { frame_stack: Some(3), n_step: 2, buffer_size: 100, ..config() };
    let make = || {
        let agent = Dqn::new(&config, &stacked(3), &Backend::cpu(), Seeds::new(3))?;
        Ok((stacked(3), agent))
    };
    assert_eq!(check_resume(dir.path(), make, 500).unwrap(), [""; 0]);
}

#[test]
fn stacks_that_are_none_are_refused() {
    let build = |config: &DqnConfig| {
        Dqn::new(config, &stacked(0), &Backend::cpu(), Seeds::new(0)).map(drop)
    };
    let of = |config: &DqnConfig| build(config).unwrap_err().to_string();
    let with = |n| DqnConfig { frame_stack: Some(n), ..config() };
    assert_eq!(of(&with(0)), "frame_stack: expected an integer >= 1, got 0");
    assert!(of(&with(11)).starts_with("frame_stack: expected a divisor of"));
    let masked = DqnConfig { action_mask: true, ..with(3) };
    assert!(masked.validate().unwrap_err().to_string().starts_with("frame_stack: "));
    // Observations that are single images.
    let mut envs = envs(0);
    let config = DqnConfig { network: NetworkConfig::mlp(&[4]), ..with(4) };
    let mut agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    envs.reset().unwrap();
    envs.step(&[0; 4]).unwrap();
    let error = agent.observe(&envs.batch().transitions(&[0; 4])).unwrap_err().to_string();
    assert!(error.contains("moved on by one frame"), "{error}");
}
