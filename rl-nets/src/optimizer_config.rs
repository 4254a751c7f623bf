//! Optimisation methods and their settings.

use rl_core::check;
use serde::{Deserialize, Serialize};

/// An optimisation method and its settings; the learning rate is passed with each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Adam (Kingma and Ba, 2015); with `weight_decay`, AdamW (Loshchilov and Hutter, 2019).
    Adam {
        /// Decay rate of the first moment; 0.9.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Decay rate of the second moment; 0.999.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the square root of the second moment; 1e-8 as published, 1e-5 in PPO's reference code.
        #[serde(default = "default_adam_eps")]
        eps: f64,
        /// Decoupled weight decay; 0.
        #[serde(default)]
        weight_decay: f64,
        /// Whether to use the maximum of past second moments (AMSGrad; Reddi et al., 2018); no.
        #[serde(default)]
        amsgrad: bool,
    },
    /// RMSprop (Tieleman and Hinton, 2012).
    RmsProp {
        /// Decay rate of the second moment; 0.99.
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// Avoids division by zero; 1e-8.
        #[serde(default = "default_adam_eps")]
        eps: f64,
        /// Whether `eps` is added inside the square root, as in TensorFlow, or outside, as in PyTorch; no.
        #[serde(default)]
        eps_inside_root: bool,
        /// Whether to subtract the squared mean from the second moment (centred RMSprop); no.
        #[serde(default)]
        centered: bool,
        /// Momentum; 0.
        #[serde(default)]
        momentum: f64,
        /// The initial second moment; 0 as in PyTorch. In TensorFlow 1, and so in OpenAI's baselines, it is 1, which
        /// keeps the first steps small.
        #[serde(default)]
        initial_accumulator: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum; 0.
        #[serde(default)]
        momentum: f64,
        /// Whether to use Nesterov momentum (Nesterov, 1983); no.
        #[serde(default)]
        nesterov: bool,
    },
}

fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_adam_eps() -> f64 {
    1e-8
}
fn default_alpha() -> f64 {
    0.99
}

impl OptimizerConfig {
    /// Adam with its published settings.
    pub fn adam() -> Self {
        Self::adam_with_eps(default_adam_eps())
    }

    /// Adam with another `eps`.
    pub fn adam_with_eps(eps: f64) -> Self {
        let (beta1, beta2) = (default_beta1(), default_beta2());
        OptimizerConfig::Adam { beta1, beta2, eps, weight_decay: 0.0, amsgrad: false }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field.
    pub fn validate(&self) -> rl_core::Result<()> {
        let decay = |field: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(rl_core::Error::config(field, "a number in [0, 1)", value)),
        };
        match self {
            OptimizerConfig::Adam { beta1, beta2, eps, weight_decay, .. } => {
                decay("optimizer.beta1", *beta1)?;
                decay("optimizer.beta2", *beta2)?;
                check::positive("optimizer.eps", *eps)?;
                check::non_negative("optimizer.weight_decay", *weight_decay)
            }
            OptimizerConfig::RmsProp { alpha, eps, momentum, initial_accumulator, .. } => {
                check::non_negative("optimizer.initial_accumulator", *initial_accumulator)?;
                decay("optimizer.alpha", *alpha)?;
                check::positive("optimizer.eps", *eps)?;
                decay("optimizer.momentum", *momentum)
            }
            OptimizerConfig::Sgd { momentum, .. } => decay("optimizer.momentum", *momentum),
        }
    }

    /// The method's name in configuration files.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            OptimizerConfig::Adam { .. } => "adam",
            OptimizerConfig::RmsProp { .. } => "rmsprop",
            OptimizerConfig::Sgd { .. } => "sgd",
        }
    }

    /// The initial value of each state vector of the optimiser; each is as long as the parameters.
    pub(crate) fn slots(&self) -> Vec<f32> {
        match self {
            OptimizerConfig::Adam { amsgrad, .. } => vec![0.0; 2 + usize::from(*amsgrad)],
            OptimizerConfig::RmsProp { centered, momentum, initial_accumulator, .. } => {
                let others = usize::from(*centered) + usize::from(*momentum > 0.0);
                [&[*initial_accumulator as f32][..], &vec![0.0; others]].concat()
            }
            OptimizerConfig::Sgd { momentum, .. } => vec![0.0; usize::from(*momentum > 0.0)],
        }
    }
}
