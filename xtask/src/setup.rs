//! `cargo xtask setup`: fetches what the features of this workspace need from outside.

use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Fetches MuJoCo and Gymnasium's models from PyPI into target/mujoco.
    Mujoco(Args),
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A Python with pip.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
}

/// The releases that the environments equal to the bit (rl-envs/tests/mujoco.rs).
const WHEELS: [&str; 2] = ["mujoco==3.17.0", "gymnasium==1.4.0"];

pub(crate) fn main(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Mujoco(args) => mujoco(args),
    }
}

fn mujoco(args: &Args) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("mujoco");
    let (wheels, lib, models) = (folder.join("wheels"), folder.join("lib"), folder.join("models"));
    empty(&wheels)?;
    fetch(&args.python, &wheels)?;
    // What was there before is replaced once there is something to replace it with.
    empty(&lib)?;
    empty(&models)?;
    library(&wheels.join("mujoco"), &lib)?;
    let assets = wheels.join("gymnasium/envs/mujoco/assets");
    let mut count = 0;
    for file in files(&assets)? {
        if file.extension().is_some_and(|extension| extension == "xml") {
            place(&file, &models)?;
            count += 1;
        }
    }
    if count == 0 {
        return Err(Error::usage(format_args!("{}: no models in it", assets.display())));
    }
    fs::remove_dir_all(&wheels).map_err(|e| Error::io(&wheels, e))?;
    println!("libmujoco: {}", lib.display());
    println!("{count} models: {}", models.display());
    println!("\nWith MuJoCo's environments, `cargo xtask-mujoco` stands in for `cargo xtask`:\n");
    println!("    cargo xtask-mujoco train ppo HalfCheetah-v5");
    Ok(())
}

/// Makes an empty folder.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}

/// Unpacks the wheels; what they depend on is not needed.
fn fetch(python: &Path, into: &Path) -> Result<()> {
    let options = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"];
    let options = options.into_iter().chain(["--disable-pip-version-check", "--target"]);
    let mut command = Command::new(python);
    command.args(options).arg(into).args(WHEELS);
    let output = command.output().map_err(|e| Error::io(python, e))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("ERROR")).collect();
    let told = if told.is_empty() { output.status.to_string() } else { told.join(" ") };
    let wheels = WHEELS.join(" and ");
    let python = python.display();
    Err(Error::usage(format_args!("{python} -m pip could not fetch {wheels}: {told}")))
}

/// Copies libmujoco, whose name carries its version, and links it to the name that the linker looks for.
fn library(wheel: &Path, lib: &Path) -> Result<()> {
    let starts = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libmujoco."))
    };
    let Some(file) = files(wheel)?.into_iter().find(starts) else {
        let wheel = wheel.display();
        return Err(Error::usage(format_args!(
            "{wheel}: the wheel for this system has no libmujoco"
        )));
    };
    let placed = place(&file, lib)?;
    let plain = if cfg!(target_os = "macos") { "libmujoco.dylib" } else { "libmujoco.so" };
    let link = lib.join(plain);
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(placed.file_name().unwrap_or_default(), &link);
    #[cfg(not(unix))]
    let linked = fs::copy(&placed, &link).map(|_| ());
    linked.map_err(|e| Error::io(&link, e))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<std::io::Result<_>>().map_err(|e| Error::io(folder, e))
}

fn place(file: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).map_err(|e| Error::io(file, e))?;
    Ok(to)
}
