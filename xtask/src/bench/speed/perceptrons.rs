//! One gradient step of a perceptron: forward, squared error, backward, Adam; and acting on one row.

use super::Perceptron;
use crate::Result;
use rl_core::Seeds;
use rl_nets::{Activation, Backend, Linear, Network, NetworkConfig, OptimizerConfig, with_head};
use std::time::Instant;

/// Widths and batch of each network that is measured.
const SHAPES: [(&[usize], usize); 4] = [
    (&[4, 64, 64, 2], 64),
    (&[4, 256, 256, 2], 64),
    (&[17, 256, 256, 6], 256),
    (&[8, 64, 64, 4], 2_048),
];

fn network(widths: &[usize], backend: &Backend) -> Result<Network> {
    let (first, rest) = (widths[0], &widths[1..]);
    let (hidden, last) = rest.split_at(rest.len() - 1);
    let body = NetworkConfig { activation: Activation::Tanh, ..NetworkConfig::mlp(hidden) };
    let mlp = with_head(&body, &[first], |features| Linear::new(features, last[0]))?;
    Ok(Network::new(mlp, backend, &mut Seeds::new(0).stream("init", 0))?)
}

fn draw(n: usize, index: u64) -> Vec<f32> {
    let mut rng = Seeds::new(0).stream("data", index);
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// Microseconds a call, after a warm-up.
fn micros(n: u32, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..n / 5 {
        call()?;
    }
    let started = Instant::now();
    for _ in 0..n {
        call()?;
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(n) * 1e6)
}

pub(super) fn measure(backend: &Backend) -> Result<Vec<Perceptron>> {
    let mut all = Vec::new();
    for (widths, batch) in SHAPES {
        let mut net = network(widths, backend)?;
        let mut adam = net.optimizer(OptimizerConfig::adam())?;
        let (x, y) = (draw(batch * widths[0], 0), draw(batch * widths[widths.len() - 1], 1));
        let (mut grad, share) = (vec![0.0; y.len()], 2.0 / y.len() as f32);
        let microseconds = micros(1_000, || {
            let pass = net.forward(&x)?;
            let errors = pass.output().iter().zip(&y);
            grad.iter_mut().zip(errors).for_each(|(g, (o, y))| *g = share * (o - y));
            pass.backward(&mut grad)?;
            net.step(&mut adam, 1e-4, None)?;
            Ok(())
        })?;
        let names: Vec<String> = widths.iter().map(usize::to_string).collect();
        all.push(Perceptron { network: names.join("-"), batch, microseconds });
    }
    let (mut net, x) = (network(&[4, 64, 64, 2], backend)?, draw(4, 0));
    let microseconds = micros(100_000, || Ok(std::hint::black_box(net.predict(&x)).map(drop)?))?;
    all.push(Perceptron { network: "4-64-64-2 acting".to_owned(), batch: 1, microseconds });
    Ok(all)
}
