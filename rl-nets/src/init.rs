//! Weight initialisation.

use rl_core::{Rng, check};
use serde::{Deserialize, Serialize};

/// The distribution of initial weights. Biases are initialised to zero, except with [`Init::Pytorch`] and
/// [`Init::Uniform`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// A random orthogonal matrix times `gain` (Saxe et al., 2014).
    Orthogonal {
        /// The factor; sqrt 2 before tanh or relu, 0.01 for a policy head, 1 for a value head (Andrychowicz et al.,
        /// 2021).
        gain: f64,
    },
    /// Uniform with variance `2 / fan_in` (He et al., 2015).
    KaimingUniform,
    /// Uniform with variance `2 / (fan_in + fan_out)` (Glorot and Bengio, 2010).
    XavierUniform,
    /// PyTorch's default for linear and convolutional layers: weights and biases uniform in `±1 / sqrt(fan_in)`.
    Pytorch,
    /// Weights and biases uniform in `±bound`, as in the output layers of DDPG.
    Uniform {
        /// The largest magnitude.
        bound: f64,
    },
}

impl Init {
    /// Checks the values.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field.
    pub fn validate(&self) -> rl_core::Result<()> {
        match *self {
            Init::Orthogonal { gain } => check::non_negative("orthogonal.gain", gain),
            Init::Uniform { bound } => check::non_negative("uniform.bound", bound),
            Init::KaimingUniform | Init::XavierUniform | Init::Pytorch => Ok(()),
        }
    }

    /// Fills `weight`, `[out, in, receptive field]`, and `bias`, `[out]`. The receptive field is the number of
    /// positions of a convolution kernel, and 1 for a fully connected layer.
    pub fn fill(self, weight: &mut [f32], bias: &mut [f32], receptive_field: usize, rng: &mut Rng) {
        let outputs = bias.len();
        let fan_in = weight.len().checked_div(outputs).unwrap_or(0).max(1);
        let fan_out = outputs * receptive_field;
        let mut uniform = |xs: &mut [f32], bound: f64| {
            xs.fill_with(|| rng.uniform(-bound, bound) as f32);
        };
        match self {
            Init::Orthogonal { gain } => {
                orthogonal(weight, outputs, fan_in, gain, rng);
                bias.fill(0.0);
            }
            Init::KaimingUniform => {
                uniform(weight, (6.0 / fan_in as f64).sqrt());
                bias.fill(0.0);
            }
            Init::XavierUniform => {
                uniform(weight, (6.0 / (fan_in + fan_out) as f64).sqrt());
                bias.fill(0.0);
            }
            Init::Pytorch => {
                uniform(weight, 1.0 / (fan_in as f64).sqrt());
                uniform(bias, 1.0 / (fan_in as f64).sqrt());
            }
            Init::Uniform { bound } => {
                uniform(weight, bound);
                uniform(bias, bound);
            }
        }
    }
}

/// Orthonormalises Gaussian vectors one after another (modified Gram-Schmidt, twice for accuracy): the result has the
/// distribution of the Q factor when the diagonal of R is made positive.
fn orthogonal(weight: &mut [f32], rows: usize, columns: usize, gain: f64, rng: &mut Rng) {
    // The rows are orthonormal if there are fewer rows than columns, otherwise the columns.
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for b in &basis {
                let dot: f64 = b.iter().zip(&v).map(|(b, v)| b * v).sum();
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= dot * b);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        // Vectors almost in the span of the others (probability zero) are sampled again.
        if norm > 1e-9 {
            v.iter_mut().for_each(|v| *v /= norm);
            basis.push(v);
        }
    }
    for (i, row) in weight.chunks_exact_mut(columns).enumerate() {
        for (j, w) in row.iter_mut().enumerate() {
            let (which, at) = if rows <= columns { (i, j) } else { (j, i) };
            *w = (gain * basis[which][at]) as f32;
        }
    }
}
