//! The command line: `train`, `eval`, `list`, `settings`, `picture`, `bench`, `kills`, `setup`, `ci`. One file a verb.
#![forbid(unsafe_code)]
// A program, unlike the libraries, prints and exits.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

use clap::Parser;
use clap::error::ErrorKind;
use rl_core::one_line;
use std::io::Write;

mod algorithm;
mod bench;
mod ci;
mod error;
mod eval;
mod interrupt;
mod kills;
mod list;
mod picture;
mod preset;
mod settings;
mod setup;
mod train;

pub(crate) use error::{Error, Result};

/// Train, evaluate and measure reinforcement learning agents.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Verb {
    /// Train an agent.
    Train(train::Args),
    /// Evaluate a trained agent.
    Eval(eval::Args),
    /// List algorithms, environments and presets.
    List,
    /// List the settings of an algorithm, with their values and what they mean.
    Settings(settings::Args),
    /// Draw what an agent sees in an environment of images.
    Picture(picture::Args),
    /// Measure returns over many seeds, or speed.
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Kill runs at every moment, and see that nothing is lost.
    Kills(kills::Args),
    /// Fetch what a feature needs from outside.
    #[command(subcommand)]
    Setup(setup::Verb),
    /// Run everything that continuous integration runs.
    Ci(ci::Args),
}

/// Who closes our output wants no more of it: `cargo xtask list | head -1` is no failure to report. A full disk is.
fn end_where_output_cannot_be_written() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or_default();
        if let Some(problem) = message.strip_prefix("failed printing to ") {
            if !problem.contains("Broken pipe") {
                let _ = writeln!(std::io::stderr(), "error: {problem}");
            }
            std::process::exit(2);
        }
        default(info);
    }));
}

/// What the parser refuses, as all errors are; where no verb is given, the help.
fn refused(error: &clap::Error) -> Error {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let text = error.render().to_string();
    // The message, advice, how the verb is used, and how to get help, in paragraphs.
    let mut parts: Vec<&str> = text.trim_end().split("\n\n").collect();
    while parts
        .last()
        .is_some_and(|part| ["Usage:", "For more"].iter().any(|p| part.starts_with(p)))
    {
        parts.pop();
    }
    // Where a number is asked for, `-- -1` does not help.
    parts.retain(|part| !part.trim().starts_with("tip: to pass"));
    let text = parts.join("\n");
    Error::usage(text.trim_start_matches("error: ").replace("\n  tip: ", "; "))
}

fn main() {
    end_where_output_cannot_be_written();
    let outcome = Verb::try_parse().map_err(|error| refused(&error)).and_then(|verb| match verb {
        Verb::Train(args) => train::main(&args),
        Verb::Eval(args) => eval::main(&args),
        Verb::List => list::main(),
        Verb::Settings(args) => settings::main(&args),
        Verb::Picture(args) => picture::main(&args),
        Verb::Bench(verb) => bench::main(&verb),
        Verb::Kills(args) => kills::main(&args),
        Verb::Setup(verb) => setup::main(&verb),
        Verb::Ci(args) => ci::main(&args),
    });
    match outcome {
        Ok(()) => {}
        Err(Error::Interrupted) => std::process::exit(interrupt::EXIT_CODE),
        Err(error) => {
            // A name in it may have line breaks.
            eprintln!("error: {}", one_line(error));
            std::process::exit(2);
        }
    }
}
