//! The time of the matrix products of each workload alone: a lower bound for an update with these kernels.

use super::{Report, Step, WORKLOADS, steps};
use rl_nets::kernels::{Matrix, product};
use rl_nets::{ConvConfig, NetworkConfig};
use std::time::Instant;

/// Which operand of a product is stored transposed.
#[derive(Clone, Copy)]
enum Transposed {
    /// `[m, k] [k, n]`, as in a layer's input gradient.
    None,
    /// `[k, m]ᵀ [k, n]`, as in a layer's weight gradient.
    Left,
    /// `[m, k] [n, k]ᵀ`, as in a layer's forward pass.
    Right,
}

/// A product and its operands, computed repeatedly.
struct Product {
    shape: (usize, usize, usize),
    transposed: Transposed,
    /// How often one unit of the workload computes it.
    times: f64,
    a: Vec<f32>,
    b: Vec<f32>,
    out: Vec<f32>,
}

/// The passes of an MLP in a workload.
#[derive(Clone, Copy)]
enum Pass {
    Forward,
    /// The gradients of the weights and of the inputs of all layers except the first.
    Backward,
    /// The gradients of the inputs of all layers, without those of the weights.
    InputGradient,
}

#[derive(Default)]
struct Products(Vec<Product>);

impl Products {
    fn add(&mut self, shape: (usize, usize, usize), transposed: Transposed, times: f64) {
        let (m, n, k) = shape;
        let full = |n: usize| vec![0.5; n];
        self.0.push(Product {
            shape,
            transposed,
            times,
            a: full(m * k),
            b: full(k * n),
            out: full(m * n),
        });
    }

    fn pass(&mut self, widths: [usize; 4], batch: usize, pass: Pass, times: f64) {
        for (i, layer) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (layer[0], layer[1]);
            match pass {
                Pass::Forward => self.add((batch, outputs, inputs), Transposed::Right, times),
                Pass::Backward => self.add((outputs, inputs, batch), Transposed::Left, times),
                Pass::InputGradient => {}
            }
            let through = match pass {
                Pass::Forward => false,
                Pass::Backward => i > 0,
                Pass::InputGradient => true,
            };
            if through {
                self.add((batch, inputs, outputs), Transposed::None, times);
            }
        }
    }

    /// A convolution from `input` to `filters` channels, in the same blocks as in training; returns its output shape.
    fn convolution(
        &mut self,
        [channels, height, width]: [usize; 3],
        layer: &ConvConfig,
        (batch, times): (usize, f64),
        passes: &[Pass],
    ) -> [usize; 3] {
        let side = |size: usize| (size - layer.kernel) / layer.stride + 1;
        let output = [layer.channels, side(height), side(width)];
        let (filters, depth) = (layer.channels, channels * layer.kernel * layer.kernel);
        let positions = batch * output[1] * output[2];
        let rows = (64 * 1024 / depth).min(positions);
        let times = times * positions as f64 / rows as f64;
        for pass in passes {
            match pass {
                Pass::Forward => self.add((rows, filters, depth), Transposed::None, times),
                Pass::Backward => self.add((depth, filters, rows), Transposed::Left, times),
                Pass::InputGradient => self.add((rows, depth, filters), Transposed::None, times),
            }
        }
        output
    }

    /// A network over images: its forward passes, and its backward passes where it is learning.
    fn network(
        &mut self,
        shape: [usize; 3],
        body: &NetworkConfig,
        outputs: usize,
        (batch, times): (usize, f64),
        learning: bool,
    ) {
        let mut image = shape;
        for (i, layer) in body.conv.iter().enumerate() {
            let passes = match (learning, i) {
                (false, _) => &[Pass::Forward][..],
                (true, 0) => &[Pass::Forward, Pass::Backward],
                (true, _) => &[Pass::Forward, Pass::Backward, Pass::InputGradient],
            };
            image = self.convolution(image, layer, (batch, times), passes);
        }
        let widths = [&[image.iter().product()], &body.hidden[..], &[outputs]].concat();
        for layer in widths.windows(2) {
            let (inputs, outputs) = (layer[0], layer[1]);
            self.add((batch, outputs, inputs), Transposed::Right, times);
            if learning {
                self.add((outputs, inputs, batch), Transposed::Left, times);
                self.add((batch, inputs, outputs), Transposed::None, times);
            }
        }
    }

    /// The time of the products of one unit in seconds, each measured in its own loop.
    fn seconds(&mut self) -> f64 {
        let each = self.0.iter_mut().map(|item| {
            let Product { shape, transposed, times, a, b, out } = item;
            let (m, n, k) = *shape;
            // A fixed amount of work for any shape.
            let repeats = (400_000_000 / (m * n * k)).clamp(3, 2_000) as u32;
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                let started = Instant::now();
                for _ in 0..repeats {
                    let (a, b) = match transposed {
                        Transposed::None => (Matrix::new(a, m, k), Matrix::new(b, k, n)),
                        Transposed::Left => (Matrix::new(a, k, m).t(), Matrix::new(b, k, n)),
                        Transposed::Right => (Matrix::new(a, m, k), Matrix::new(b, n, k).t()),
                    };
                    product(out, a, b, true);
                }
                best = best.min(started.elapsed().as_secs_f64() / f64::from(repeats));
            }
            best * *times
        });
        each.sum()
    }

    /// What is reported of a workload, if a unit is this many transitions.
    fn report(mut self, workload: &str, transitions: f64) -> Report {
        let mut report = Report {
            transitions_per_second: transitions / self.seconds(),
            transitions: 0,
            parameters: 0,
            gradient_steps: 0,
        };
        if let Some(what) = WORKLOADS.iter().find(|what| what.key == workload) {
            report.transitions = what.transitions;
            report.parameters = what.parameters;
            report.gradient_steps = what.gradient_steps;
        }
        report
    }
}

/// A unit is a rollout: 256 steps of 8 environments, then 10 epochs of 32 minibatches of 64.
pub(super) fn ppo() -> Report {
    let mut products = Products::default();
    for widths in [[4, 64, 64, 2], [4, 64, 64, 1]] {
        products.pass(widths, 8, Pass::Forward, 256.0);
        products.pass(widths, 64, Pass::Forward, 320.0);
        products.pass(widths, 64, Pass::Backward, 320.0);
    }
    products.report("ppo", 2_048.0)
}

/// A unit is four transitions, nine tenths of them with greedy actions of the network, and a gradient step on 64.
pub(super) fn dqn() -> Report {
    let mut products = Products::default();
    let widths = [4, 64, 64, 2];
    products.pass(widths, 1, Pass::Forward, 3.6);
    products.pass(widths, 64, Pass::Forward, 2.0);
    products.pass(widths, 64, Pass::Backward, 1.0);
    products.report("dqn", 4.0)
}

/// A unit is a transition: one action of the policy, its evaluation on two batches, an update of two critics, an evaluation of
/// two target critics, and a policy update through the critics. Networks are two layers as wide as a batch is long.
pub(super) fn sac(workload: &str, width: usize) -> Report {
    let (mut products, batch) = (Products::default(), width);
    let (actor, critic) = ([3, width, width, 2], [4, width, width, 1]);
    products.pass(actor, 1, Pass::Forward, 1.0);
    products.pass(actor, batch, Pass::Forward, 2.0);
    products.pass(actor, batch, Pass::Backward, 1.0);
    products.pass(critic, batch, Pass::Forward, 6.0);
    products.pass(critic, batch, Pass::Backward, 2.0);
    products.pass(critic, batch, Pass::InputGradient, 2.0);
    products.report(workload, 1.0)
}

/// A unit is a transition: nine tenths of an action, a forward pass of the target network on 32, and a gradient step.
pub(super) fn minatar_dqn() -> Report {
    let (mut products, shape, body) = (Products::default(), [4, 10, 10], NetworkConfig::minatar());
    products.network(shape, &body, 6, (1, 0.9), false);
    products.network(shape, &body, 6, (32, 1.0), false);
    products.network(shape, &body, 6, (32, 1.0), true);
    products.report("minatar-dqn", 1.0)
}

/// A unit is a rollout: 128 steps of 64 environments, then 4 epochs of 32 minibatches of 256. The policy's six outputs and
/// the value are one product.
pub(super) fn minatar_ppo() -> Report {
    let (mut products, shape, body) = (Products::default(), [4, 10, 10], NetworkConfig::minatar());
    products.network(shape, &body, 7, (64, 128.0), false);
    products.network(shape, &body, 7, (256, 128.0), true);
    products.report("minatar-ppo", 8_192.0)
}

/// The products of the gradient steps and forward passes of each convolutional network.
pub(super) fn convolutions() -> Vec<Step> {
    let mut all = Vec::new();
    for (name, shape, body, batches) in steps::images() {
        let mut measure = |network: String, batch: usize, learning: bool| {
            let mut products = Products::default();
            products.network(shape, &body, 6, (batch, 1.0), learning);
            all.push(Step { network, batch, microseconds: products.seconds() * 1e6 });
        };
        for (batch, _) in batches {
            measure(name.to_owned(), batch, true);
        }
        for (rows, _) in steps::ACTING {
            measure(format!("{name} acting"), rows, false);
        }
    }
    all
}
