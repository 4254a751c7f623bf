//! `cargo xtask picture`: what an agent sees in an environment of images, as a file.

use crate::{Error, Result};
use rl_core::{BoxSpace, Seeds, Space, VecEnv};
use rl_envs::{AnyVecEnv, Copies};
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// An environment of images; see `cargo xtask list`.
    env: String,
    /// The file, a PNG.
    #[arg(long, default_value = "picture.png")]
    out: PathBuf,
    /// Random actions that are taken first.
    #[arg(long, default_value_t = 8)]
    steps: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The Python interpreter of environments gym:ID; python3 where left out.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// The least height of a channel in the picture; small images are enlarged.
const HEIGHT: usize = 168;
/// Between two channels, in pixels.
const GAP: usize = 8;

pub(crate) fn main(args: &Args) -> Result<()> {
    let options = rl_envs::Options { python: args.python.clone(), ..Default::default() };
    let (spec, seeds) = (rl_envs::find_with(&args.env, &options)?, Seeds::new(args.seed));
    match spec.make(Copies::new(1, seeds))? {
        AnyVecEnv::Pixels(envs) => draw(envs, seeds, args),
        AnyVecEnv::PixelsContinuous(envs) => draw(envs, seeds, args),
        _ => Err(Error::usage(format_args!(
            "{}: expected an environment of images, it has {}",
            args.env,
            spec.kind.describe()
        ))),
    }
}

fn draw<A: Space>(
    mut envs: Box<dyn VecEnv<Obs = BoxSpace<u8>, Action = A>>,
    seeds: Seeds,
    args: &Args,
) -> Result<()>
where
    A::Elem: Default + Clone,
{
    let mut rng = seeds.stream("actions", 0);
    let mut actions = vec![A::Elem::default(); envs.action_space().width()];
    envs.reset()?;
    for _ in 0..args.steps {
        envs.action_space().sample(&mut rng, &mut actions);
        envs.step(&actions)?;
    }
    let &[channels, height, width] = envs.observation_space().shape() else {
        return Err(Error::usage(format_args!("{}: its observations are no images", args.env)));
    };
    let largest = envs.observation_space().high().iter().max().copied().unwrap_or(u8::MAX).max(1);
    let zoom = HEIGHT.div_ceil(height);
    let (rows, panel) = (height * zoom, width * zoom);
    let columns = channels * panel + (channels - 1) * GAP;
    // Between the channels it is half dark.
    let mut pixels = vec![128; rows * columns];
    for (channel, plane) in envs.batch().observations().chunks_exact(height * width).enumerate() {
        for (y, row) in pixels.chunks_exact_mut(columns).enumerate() {
            let from = &plane[y / zoom * width..][..width];
            let to = &mut row[channel * (panel + GAP)..][..panel];
            for (to, value) in to.chunks_exact_mut(zoom).zip(from) {
                to.fill((u16::from(*value) * 255 / u16::from(largest)) as u8);
            }
        }
    }
    let file = File::create(&args.out).map_err(|e| Error::io(&args.out, e))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), columns as u32, rows as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let write = |e: png::EncodingError| Error::usage(format_args!("{}: {e}", args.out.display()));
    let mut writer = encoder.write_header().map_err(write)?;
    writer.write_image_data(&pixels).map_err(write)?;
    writer.finish().map_err(write)?;
    println!("{}: {channels} channels of {height}x{width}", args.out.display());
    Ok(())
}
