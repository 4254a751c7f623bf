//! `cargo xtask bench checkpoints`: how long a checkpoint of a DQN with a large replay memory holds training up, and how
//! many bytes it writes: whole and waited for, and of what is new beside training.

use super::positive;
use crate::{Error, Result};
use rl_core::{
    Agent, Callback, CheckpointDir, Context, Discrete, Manifest, Seeds, SerialVecEnv, Signal,
    TimeLimit, Trainer, TrainerConfig, VecEnv, read_checkpoint_files,
};
use rl_dqn::DqnConfig;
use rl_envs::{CartPole, cart_pole_pixels};
use rl_nets::{AgentConfig, Backend, NetworkConfig};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Transitions of CartPole that are stored.
    #[arg(long, default_value_t = 1_000_000, value_parser = positive::<u64>)]
    rows: u64,
    /// Images of 84x84 bytes that are stored, each once.
    #[arg(long, default_value_t = 200_000, value_parser = positive::<u64>)]
    frames: u64,
    /// Where the checkpoints are written, in a folder of their own that is removed at the end.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
}

/// Checkpoints after the memory is full, a tenth of it apart.
const CHECKPOINTS: u64 = 4;

pub(crate) fn main(args: &Args) -> Result<()> {
    let folder = args.folder.join(format!("bench-checkpoints-{}", std::process::id()));
    let measured = run(args, &folder);
    let _ = fs::remove_dir_all(&folder);
    measured
}

fn run(args: &Args, folder: &Path) -> Result<()> {
    let seeds = Seeds::new(0);
    // Nothing is learned: what is measured is the memory.
    let config = DqnConfig { learning_starts: u64::MAX / 4, ..DqnConfig::default() };
    println!("{:<52} {:>11} {:>12}", "", "pause", "written");
    let env = TimeLimit::new(CartPole::default(), 500)?;
    let envs = SerialVecEnv::new(vec![env], seeds)?;
    let rows = DqnConfig { buffer_size: args.rows as usize, ..config.clone() };
    measure("rows of CartPole", &rows, envs, &folder.join("rows"))?;
    let env = TimeLimit::new(cart_pole_pixels()?, 500)?;
    let envs = SerialVecEnv::new(vec![env], seeds)?;
    let network = r#"{"conv": [{"channels": 4, "kernel": 8, "stride": 8}], "hidden": [8]}"#;
    let network: NetworkConfig = serde_json::from_str(network).map_err(Error::usage)?;
    let buffer_size = args.frames as usize;
    let frames = DqnConfig { buffer_size, network, frame_stack: Some(4), ..config };
    measure("frames of 84x84", &frames, envs, &folder.join("frames"))
}

/// Fills the memory and writes it whole; then goes on, and writes what is new beside training.
fn measure<V>(what: &str, config: &DqnConfig, envs: V, folder: &Path) -> Result<()>
where
    V: VecEnv<Action = Discrete>,
    DqnConfig: AgentConfig<V::Obs, Discrete>,
{
    let full = config.buffer_size as u64;
    let every = (full / 10).max(2);
    let agent = config.build(&envs, &Backend::cpu(), Seeds::new(0))?;
    let pauses = Rc::default();
    let saves = Saves { full, every, asked: None, pauses: Rc::clone(&pauses) };
    let dir = CheckpointDir::new(folder.join("beside")).keep(usize::MAX);
    let total = full + CHECKPOINTS * every + 1;
    let trainer =
        Trainer::new(envs, agent, TrainerConfig { log_every: total, ..TrainerConfig::new(total) })?;
    let mut trainer = trainer.with_checkpoints(dir.clone()).with_callback(saves);
    trainer.run()?;
    let whole = CheckpointDir::new(folder.join("whole"));
    let started = Instant::now();
    whole.write(trainer.agent().name(), trainer.step(), &trainer.sections()?)?;
    let waited = started.elapsed();
    let (manifest, _) = read_checkpoint_files(&whole.path(trainer.step()), |_| false)?;
    row(&format!("{full} {what}: whole, waited for"), waited, &manifest, None);
    trainer.run()?;
    let mut before = None;
    for (step, pause) in dir.steps()?.into_iter().zip(pauses.borrow().iter()) {
        let (manifest, _) = read_checkpoint_files(&dir.path(step), |_| false)?;
        let text = match before {
            None => "whole, beside training".to_owned(),
            Some(_) => format!("{every} later, beside training"),
        };
        row(&text, *pause, &manifest, before.as_ref());
        before = Some(manifest);
    }
    Ok(())
}

/// Prints how long a checkpoint was waited for, and what of it was not in the one before.
fn row(what: &str, pause: Duration, manifest: &Manifest, before: Option<&Manifest>) {
    let old = |file: &str| before.and_then(|before| before.files.get(file));
    let new = manifest.files.iter().filter(|(file, contents)| old(file) != Some(*contents));
    let bytes: u64 = new.map(|(_, (length, _))| length).sum();
    let (pause, bytes) = (pause.as_secs_f64() * 1e3, bytes as f64 / 1e6);
    println!("{what:<52} {pause:>8.1} ms {bytes:>9.1} MB");
}

/// Stops once the memory is full, and asks for checkpoints from then on.
struct Saves {
    full: u64,
    every: u64,
    asked: Option<Instant>,
    /// From the end of a round that is saved to the end of the next.
    pauses: Rc<RefCell<Vec<Duration>>>,
}

impl<V, A> Callback<V, A> for Saves {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> rl_core::Result<Signal> {
        if let Some(asked) = self.asked.take() {
            self.pauses.borrow_mut().push(asked.elapsed());
        }
        let beyond = context.progress.step.checked_sub(self.full);
        match beyond {
            Some(0) => Ok(Signal::Stop),
            Some(beyond) if beyond.is_multiple_of(self.every) => {
                self.asked = Some(Instant::now());
                Ok(Signal::Checkpoint)
            }
            _ => Ok(Signal::Continue),
        }
    }
}
