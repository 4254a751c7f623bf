//! The temperature of SAC and TQC.

use rl_core::{Error, Result, Sections, check};
use rl_nets::{Optimizer, OptimizerConfig};
use serde::{Deserialize, Serialize};

/// The temperature, the weight of the entropy relative to the reward.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntCoef {
    /// Learned so that the entropy approaches its target, starting from this value.
    Auto(f64),
    /// Fixed at this value.
    Fixed(f64),
}

impl EntCoef {
    /// Checks the temperature and the target entropy beside it.
    pub(crate) fn validate(self, target_entropy: Option<f64>) -> Result<()> {
        match self {
            EntCoef::Auto(initial) => check::positive("ent_coef.auto", initial)?,
            EntCoef::Fixed(alpha) => check::non_negative("ent_coef.fixed", alpha)?,
        }
        if let Some(entropy) = target_entropy.filter(|entropy| !entropy.is_finite()) {
            return Err(Error::config("target_entropy", "a finite number", entropy));
        }
        Ok(())
    }
}

/// The temperature, fixed or learned.
#[derive(Clone, Debug)]
pub(crate) struct Temperature {
    log_alpha: [f32; 1],
    target_entropy: f64,
    /// The optimiser; none if the temperature is fixed.
    optimizer: Option<Optimizer>,
}

impl Temperature {
    /// A temperature for actions of `action_width` elements; without a target entropy that is minus the width.
    pub(crate) fn new(
        ent_coef: EntCoef,
        target_entropy: Option<f64>,
        optimizer: &OptimizerConfig,
        action_width: usize,
    ) -> Result<Self> {
        let (initial, learned) = match ent_coef {
            EntCoef::Auto(initial) => (initial, true),
            EntCoef::Fixed(alpha) => (alpha, false),
        };
        let optimizer = learned.then(|| Optimizer::new(optimizer.clone(), 1));
        Ok(Temperature {
            log_alpha: [initial.ln() as f32],
            target_entropy: target_entropy.unwrap_or(-(action_width as f64)),
            optimizer: optimizer.transpose()?,
        })
    }

    pub(crate) fn alpha(&self) -> f32 {
        self.log_alpha[0].exp()
    }

    /// The gradient of the loss `-log alpha mean(log pi + target_entropy)` with respect to `log alpha`.
    pub(crate) fn gradient(&self, log_probs: &[f32]) -> f64 {
        let mean = log_probs.iter().map(|&l| f64::from(l)).sum::<f64>() / log_probs.len() as f64;
        -(mean + self.target_entropy)
    }

    /// One gradient step on that loss, if the temperature is learned.
    pub(crate) fn step(&mut self, log_probs: &[f32], learning_rate: f64) -> Result<()> {
        let mut grad = [self.gradient(log_probs) as f32];
        if let Some(optimizer) = &mut self.optimizer {
            optimizer.step(&mut self.log_alpha, &mut grad, learning_rate, None)?;
        }
        Ok(())
    }

    pub(crate) fn save(&self, out: &mut Sections) -> Result<()> {
        let optimizer = self.optimizer.as_ref().map(Optimizer::save).transpose()?;
        out.put("temperature", &(self.log_alpha, optimizer))
    }

    /// A copy with the state written by [`save`](Temperature::save).
    pub(crate) fn loaded(&self, from: &Sections) -> Result<Self> {
        let mut temperature = self.clone();
        let stored: Option<Vec<u8>>;
        (temperature.log_alpha, stored) = from.get("temperature")?;
        check::finite("temperature.bin: log alpha", temperature.log_alpha[0].into())?;
        match (&mut temperature.optimizer, stored) {
            (Some(own), Some(stored)) => own.load(&stored)?,
            (None, None) => {}
            _ => return Err(Error::mismatch("temperature", "that of these settings", "another")),
        }
        Ok(temperature)
    }
}
