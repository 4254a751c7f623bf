//! Benchmarks of the matrix products of a layer, compared with candle's: `cargo bench --workspace --bench products`.
//!
//! To compare one thread with one thread: `RAYON_NUM_THREADS=1 taskset -c 0 cargo bench ...`.

#![allow(clippy::unwrap_used)] // A bench that cannot run should panic.

use candle_core::{Device, Tensor};
use divan::{Bencher, black_box};
use rl_nets::kernels::{Matrix, product};

fn main() {
    divan::main();
}

/// Batch size, inputs and outputs of a layer.
const LAYERS: [(usize, usize, usize); 12] = [
    (1, 4, 64),
    (1, 64, 64),
    (8, 64, 64),
    (64, 4, 64),
    (64, 64, 64),
    (64, 64, 2),
    (64, 4, 256),
    (64, 256, 256),
    (256, 17, 256),
    (256, 256, 256),
    (256, 256, 6),
    (2048, 64, 64),
];

/// Which operand of a product is stored transposed.
#[derive(Clone, Copy)]
enum Transposed {
    None,
    Left,
    Right,
}

/// A product `[m, k] [k, n]` in the form that a layer uses.
struct Product {
    shape: (usize, usize, usize),
    transposed: Transposed,
    a: Vec<f32>,
    b: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    fn new((m, n, k): (usize, usize, usize), transposed: Transposed) -> Self {
        let full = |n| vec![0.5; n];
        Product { shape: (m, n, k), transposed, a: full(m * k), b: full(k * n), out: full(m * n) }
    }

    fn forward((batch, inputs, outputs): (usize, usize, usize)) -> Self {
        Self::new((batch, outputs, inputs), Transposed::Right)
    }

    fn weights((batch, inputs, outputs): (usize, usize, usize)) -> Self {
        Self::new((outputs, inputs, batch), Transposed::Left)
    }

    fn inputs((batch, inputs, outputs): (usize, usize, usize)) -> Self {
        Self::new((batch, inputs, outputs), Transposed::None)
    }

    fn ours(mut self, bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| {
            let ((m, n, k), a, b) = (self.shape, &self.a[..], &self.b[..]);
            let (a, b) = match self.transposed {
                Transposed::None => (Matrix::new(a, m, k), Matrix::new(b, k, n)),
                Transposed::Left => (Matrix::new(a, k, m).t(), Matrix::new(b, k, n)),
                Transposed::Right => (Matrix::new(a, m, k), Matrix::new(b, n, k).t()),
            };
            product(black_box(&mut self.out), a, b, true);
        });
    }

    fn candle(self, bencher: Bencher<'_, '_>) -> candle_core::Result<()> {
        let ((m, n, k), cpu) = (self.shape, &Device::Cpu);
        let (a, b) = match self.transposed {
            Transposed::None => {
                (Tensor::from_vec(self.a, (m, k), cpu)?, Tensor::from_vec(self.b, (k, n), cpu)?)
            }
            Transposed::Left => (
                Tensor::from_vec(self.a, (k, m), cpu)?.t()?,
                Tensor::from_vec(self.b, (k, n), cpu)?,
            ),
            Transposed::Right => (
                Tensor::from_vec(self.a, (m, k), cpu)?,
                Tensor::from_vec(self.b, (n, k), cpu)?.t()?,
            ),
        };
        bencher.bench_local(|| black_box(&a).matmul(&b));
        Ok(())
    }
}

#[divan::bench(args = LAYERS)]
fn forward_ours(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::forward(layer).ours(bencher);
}

#[divan::bench(args = LAYERS)]
fn forward_candle(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::forward(layer).candle(bencher).unwrap();
}

#[divan::bench(args = LAYERS)]
fn weights_ours(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::weights(layer).ours(bencher);
}

#[divan::bench(args = LAYERS)]
fn weights_candle(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::weights(layer).candle(bencher).unwrap();
}

#[divan::bench(args = LAYERS)]
fn inputs_ours(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::inputs(layer).ours(bencher);
}

#[divan::bench(args = LAYERS)]
fn inputs_candle(bencher: Bencher<'_, '_>, layer: (usize, usize, usize)) {
    Product::inputs(layer).candle(bencher).unwrap();
}
