//! `cargo xtask bench speed`: transitions per second on fixed workloads, and the time of gradient steps of MLPs
//! and convolutional networks, on one thread, optionally compared with other libraries.
//!
//! The time includes acting, stepping, storing, targets, losses, backward passes, and optimiser and target network
//! updates; start-up, compilation and warm-up are excluded. Every measurement is a separate process, pinned to one
//! core if `taskset` is available; runners alternate, and medians over the rounds are reported. The parameters,
//! gradient steps and transitions of a runner must match the workload.

mod floor;
pub(crate) mod peers;
mod steps;
mod workloads;

use super::positive;
use super::statistics::median;
use crate::{Error, Result};
use peers::Runner;
use rl_nets::Backend;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 5, value_parser = positive::<usize>)]
    rounds: usize,
    /// Also measures the peers: Stable-Baselines3, single-file PyTorch, SBX, and PPO in JAX. Creates a virtual
    /// environment under target/peers, with pip, unless --python names one.
    #[arg(long)]
    peers: bool,
    /// A Python with the peers' packages.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The core that measurements are pinned to.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Measures these alone, of ppo, dqn, sac, ppo-wide, sac-wide, minatar-dqn, minatar-ppo, mlp and conv.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Writes all measurements to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also measures this library, and peers where their networks are large, on this many threads, each on its own core,
    /// from --core on.
    #[arg(long, default_value_t = 1, value_parser = positive::<usize>)]
    threads: usize,
    /// Measures once in this process and prints a line of JSON.
    #[arg(long, hide = true)]
    worker: Option<String>,
}

impl Args {
    /// Whether a workload or a kind of step is to be measured.
    fn asks(&self, key: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == key)
    }
}

/// A runner's report on one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    transitions_per_second: f64,
    transitions: u64,
    parameters: u64,
    gradient_steps: u64,
}

/// The gradient step of a network, or its forward pass on few rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    network: String,
    batch: usize,
    microseconds: f64,
}

/// A workload and the amount of work it requires in the timed part.
struct Workload {
    key: &'static str,
    name: &'static str,
    transitions: u64,
    parameters: u64,
    gradient_steps: u64,
}

const WORKLOADS: [Workload; 7] = [
    Workload {
        key: "ppo",
        name: "PPO CartPole-v1",
        transitions: 20_480,
        parameters: 9_155,
        gradient_steps: 3_200,
    },
    Workload {
        key: "dqn",
        name: "DQN CartPole-v1",
        transitions: 4_096,
        parameters: 4_610,
        gradient_steps: 1_024,
    },
    Workload {
        key: "sac",
        name: "SAC Pendulum-v1",
        transitions: 1_024,
        parameters: 13_636,
        gradient_steps: 1_024,
    },
    Workload {
        key: "ppo-wide",
        name: "PPO CartPole-v1, 256 wide",
        transitions: 6_144,
        parameters: 134_915,
        gradient_steps: 960,
    },
    Workload {
        key: "sac-wide",
        name: "SAC Pendulum-v1, 256 wide",
        transitions: 1_024,
        parameters: 201_988,
        gradient_steps: 1_024,
    },
    Workload {
        key: "minatar-dqn",
        name: "DQN MinAtar/Breakout-v0",
        transitions: 4_096,
        parameters: 132_566,
        gradient_steps: 4_096,
    },
    Workload {
        key: "minatar-ppo",
        name: "PPO MinAtar/Breakout-v0",
        transitions: 16_384,
        parameters: 132_695,
        gradient_steps: 256,
    },
];

/// The measurements in microseconds: key and name.
const STEPS: [(&str, &str); 2] = [("mlp", "perceptrons"), ("conv", "convolutional networks")];

impl Workload {
    fn check(&self, runner: &str, report: &Report) -> Result<()> {
        let expected = (self.transitions, self.parameters, self.gradient_steps);
        let got = (report.transitions, report.parameters, report.gradient_steps);
        if got == expected {
            return Ok(());
        }
        Err(Error::usage(format_args!(
            "{runner}, {}: expected (transitions, parameters, gradient steps) {expected:?}, got {got:?}",
            self.name
        )))
    }
}

/// One runner's measurements.
#[derive(Serialize)]
struct Measured {
    runner: &'static str,
    workload: String,
    /// Transitions per second, or microseconds for a network's step, one per round.
    rounds: Vec<f64>,
}

/// One measurement in this process, requested by a parent process.
fn worker(what: &str, threads: usize) -> Result<()> {
    let backend = &Backend::cpu().with_threads(threads)?;
    let report = match what {
        "ppo" => workloads::ppo(backend)?,
        "ppo-wide" => workloads::ppo_wide(backend)?,
        "dqn" => workloads::dqn(backend)?,
        "sac" => workloads::sac(backend)?,
        "sac-wide" => workloads::sac_wide(backend)?,
        "minatar-dqn" => workloads::minatar_dqn(backend)?,
        "minatar-ppo" => workloads::minatar_ppo(backend)?,
        "floor-minatar-dqn" => floor::minatar_dqn(),
        "floor-minatar-ppo" => floor::minatar_ppo(),
        "floor-ppo" => floor::ppo(),
        "floor-dqn" => floor::dqn(),
        "floor-sac" => floor::sac("sac", 64),
        "floor-sac-wide" => floor::sac("sac-wide", 256),
        _ => {
            let steps = match what {
                "conv" => steps::convolutions(backend)?,
                "floor-conv" => floor::convolutions(),
                _ => steps::perceptrons(backend)?,
            };
            for step in steps {
                println!("{}", crate::train::json(&step)?);
            }
            return Ok(());
        }
    };
    println!("{}", crate::train::json(&report)?);
    Ok(())
}

pub(crate) fn main(args: &Args) -> Result<()> {
    if let Some(what) = &args.worker {
        return worker(what, args.threads);
    }
    let kinds: Vec<&str> =
        WORKLOADS.iter().map(|w| w.key).chain(STEPS.map(|(key, _)| key)).collect();
    if let Some(unknown) = args.only.iter().find(|only| !kinds.contains(&only.as_str())) {
        let all = kinds.join(", ");
        return Err(Error::usage(format_args!("--only: expected some of {all}, got '{unknown}'")));
    }
    let runners = peers::runners(args)?;
    let mut measured: Vec<Measured> = Vec::new();
    let mut keep = |runner: &Runner, workload: String, value: f64| {
        let same = |m: &&mut Measured| m.runner == runner.name && m.workload == workload;
        match measured.iter_mut().find(same) {
            Some(m) => m.rounds.push(value),
            None => measured.push(Measured { runner: runner.name, workload, rounds: vec![value] }),
        }
    };
    let asked = |key: &str| args.asks(key);
    let kinds = kinds.into_iter().filter(|kind| asked(kind));
    let a_round = kinds.map(|kind| runners.iter().filter(|r| r.runs(kind)).count()).sum::<usize>();
    let bar = progress_bar((a_round * args.rounds) as u64)?;
    let show = |round: usize, what: &str, runner: &Runner| {
        let line = format!("round {round}: {what}, {}", runner.name);
        if bar.is_hidden() {
            println!("{line}");
        }
        bar.set_message(line);
    };
    for round in 1..=args.rounds {
        for workload in WORKLOADS.iter().filter(|workload| asked(workload.key)) {
            for runner in runners.iter().filter(|runner| runner.runs(workload.key)) {
                show(round, workload.name, runner);
                for report in runner.measure::<Report>(workload.key, args.core)? {
                    workload.check(runner.name, &report)?;
                    keep(runner, workload.name.to_owned(), report.transitions_per_second);
                }
                bar.inc(1);
            }
        }
        for (key, what) in STEPS.into_iter().filter(|(key, _)| asked(key)) {
            for runner in runners.iter().filter(|runner| runner.runs(key)) {
                show(round, what, runner);
                for step in runner.measure::<Step>(key, args.core)? {
                    let name = format!("{}, batch {}", step.network, step.batch);
                    keep(runner, name, step.microseconds);
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    table(&measured);
    if args.threads > 1 {
        threads_table(&measured, args.threads);
    }
    if let Some(path) = &args.json {
        std::fs::write(path, crate::train::json(&measured)?).map_err(|e| Error::io(path, e))?;
    }
    Ok(())
}

/// The number of finished and remaining measurements, with the remaining time; not shown without a terminal.
fn progress_bar(len: u64) -> Result<indicatif::ProgressBar> {
    let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left, {msg}");
    Ok(indicatif::ProgressBar::new(len).with_style(style.map_err(Error::usage)?))
}

/// The median over the rounds of a runner on a workload.
fn middle(measured: &[Measured], runner: &str, workload: &str) -> Option<f64> {
    let mut all = measured.iter();
    all.find(|m| m.runner == runner && m.workload == workload).map(|m| median(&m.rounds))
}

fn is_rate(workload: &str) -> bool {
    WORKLOADS.iter().any(|w| w.name == workload)
}

fn threads_table(measured: &[Measured], threads: usize) {
    println!("\n| workload | 1 thread | {threads} threads | speed-up |");
    println!("|---|---|---|---|");
    for Measured { workload, rounds, .. } in measured.iter().filter(|m| m.runner == peers::OURS) {
        let one = median(rounds);
        let Some(many) = middle(measured, peers::THREADED, workload) else { continue };
        let (times, unit) =
            if is_rate(workload) { (many / one, "/s") } else { (one / many, " us") };
        let digits = if is_rate(workload) { 0 } else { 2 };
        println!("| {workload} | {one:.digits$}{unit} | {many:.digits$}{unit} | {times:.2} |");
    }
}

fn table(measured: &[Measured]) {
    // Peers on several threads are compared with this library on as many.
    let ours = |runner: &str, workload: &str| {
        let threaded = peers::THREADED_PEERS.contains(&runner);
        middle(measured, if threaded { peers::THREADED } else { peers::OURS }, workload)
    };
    println!("| workload | runner | median | lowest | highest | speed-up of this library |");
    println!("|---|---|---|---|---|---|");
    for Measured { runner, workload, rounds } in
        measured.iter().filter(|m| m.runner != peers::THREADED)
    {
        let rate = is_rate(workload);
        let (middle, unit) = (median(rounds), if rate { "/s" } else { " us" });
        let ratio = ours(runner, workload).map_or(f64::NAN, |own| match rate {
            true => own / middle,
            false => middle / own,
        });
        let low = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let digits = usize::from(!rate) * 2;
        println!(
            "| {workload} | {runner} | {middle:.digits$}{unit} | {low:.digits$} | {high:.digits$} | {ratio:.2} |"
        );
    }
}
