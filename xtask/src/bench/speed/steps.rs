//! One gradient step of a network (forward pass, squared error, backward pass, Adam), and forward passes of few rows.

use super::Step;
use crate::Result;
use rl_core::Seeds;
use rl_nets::{
    Activation, Backend, Linear, Network, NetworkConfig, OptimizerConfig, RowElement, with_head,
};
use std::time::Instant;

/// The layer widths and batch size of each measured network.
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

/// Microseconds per call, after a warm-up.
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

/// Microseconds per gradient step on rows `x` with targets `y`.
fn gradient_step<'a, T: RowElement>(
    net: &'a mut Network,
    (x, y): (&'a [T], &[f32]),
    calls: u32,
) -> Result<f64> {
    let mut adam = net.optimizer(OptimizerConfig::adam())?;
    let (mut grad, share) = (vec![0.0; y.len()], 2.0 / y.len() as f32);
    micros(calls, || {
        let pass = net.forward(x)?;
        let errors = pass.output().iter().zip(y);
        grad.iter_mut().zip(errors).for_each(|(g, (o, y))| *g = share * (o - y));
        pass.backward(&mut grad)?;
        net.step(&mut adam, 1e-4, None)?;
        Ok(())
    })
}

/// Microseconds per forward pass.
fn forward<T: RowElement>(net: &mut Network, x: &[T], calls: u32) -> Result<f64> {
    micros(calls, || Ok(std::hint::black_box(net.predict(x)).map(drop)?))
}

pub(super) fn perceptrons(backend: &Backend) -> Result<Vec<Step>> {
    let mut all = Vec::new();
    for (widths, batch) in SHAPES {
        let mut net = network(widths, backend)?;
        let (x, y) = (draw(batch * widths[0], 0), draw(batch * widths[widths.len() - 1], 1));
        let microseconds = gradient_step(&mut net, (&x, &y), 1_000)?;
        let names: Vec<String> = widths.iter().map(usize::to_string).collect();
        all.push(Step { network: names.join("-"), batch, microseconds });
    }
    let (mut net, x) = (network(&[4, 64, 64, 2], backend)?, draw(4, 0));
    let microseconds = forward(&mut net, &x, 100_000)?;
    all.push(Step { network: "4-64-64-2 acting".to_owned(), batch: 1, microseconds });
    Ok(all)
}

/// Name, observation shape, body, and the batch sizes of gradient steps with the number of repetitions.
type Image = (&'static str, [usize; 3], NetworkConfig, [(usize, u32); 2]);

/// Networks with six outputs for byte images.
pub(super) fn images() -> [Image; 2] {
    [
        ("Nature CNN", [4, 84, 84], NetworkConfig::nature(), [(32, 60), (128, 20)]),
        ("MinAtar CNN", [4, 10, 10], NetworkConfig::minatar(), [(32, 2_000), (256, 300)]),
    ]
}

/// Batch sizes of the forward passes, as with one and eight environments, with the number of repetitions.
pub(super) const ACTING: [(usize, u32); 2] = [(1, 2_000), (8, 500)];

pub(super) fn convolutions(backend: &Backend) -> Result<Vec<Step>> {
    let mut all = Vec::new();
    for (name, shape, body, batches) in images() {
        let net = with_head(&body, &shape, |features| Linear::new(features, 6))?;
        let mut rng = Seeds::new(0).stream("init", 0);
        let mut net = Network::new(net, backend, &mut rng)?;
        let mut bytes =
            |n: usize| (0..n * net.input_len()).map(|_| rng.below(256) as u8).collect::<Vec<_>>();
        let inputs = batches.map(|(batch, _)| bytes(batch));
        let observations = ACTING.map(|(rows, _)| bytes(rows));
        for ((batch, calls), x) in batches.into_iter().zip(&inputs) {
            let y = draw(batch * 6, 1);
            let microseconds = gradient_step(&mut net, (x, &y), calls)?;
            all.push(Step { network: name.to_owned(), batch, microseconds });
        }
        for ((batch, calls), x) in ACTING.into_iter().zip(&observations) {
            let microseconds = forward(&mut net, x, calls)?;
            all.push(Step { network: format!("{name} acting"), batch, microseconds });
        }
    }
    Ok(all)
}
