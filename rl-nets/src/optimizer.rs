//! Gradient descent on a flat parameter vector.
//!
//! Each method is implemented twice: here as one pass over slices, and in `on_device.rs` in candle's operations, for
//! parameters on a device. Both follow PyTorch's update rules.

use crate::aligned::Aligned;
use crate::kernels::dispatch;
use crate::on_device::DeviceSlots;
use crate::{OptimizerConfig, Result, Threads, check_finite};
use rl_core::check;
use serde::{Deserialize, Serialize};

/// An optimiser and its state for one flat parameter vector.
///
/// ```
/// use rl_nets::{Optimizer, OptimizerConfig};
/// let mut sgd = Optimizer::new(OptimizerConfig::Sgd { momentum: 0.0, nesterov: false }, 2)?;
/// let mut params = [1.0, 2.0];
/// let norm = sgd.step(&mut params, &mut [3.0, 4.0], 0.1, Some(1.0))?;
/// assert_eq!(norm, 5.0); // before clipping
/// assert!((params[0] - 0.94).abs() < 1e-6 && (params[1] - 1.92).abs() < 1e-6);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    len: usize,
    steps: u64,
    slots: Slots,
    threads: Threads,
}

/// The cost of updating one parameter, in multiplications.
const STEP_WORK: usize = 40;

#[derive(Clone, Debug)]
enum Slots {
    Host(Vec<Aligned>),
    Device(DeviceSlots),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    method: String,
    steps: u64,
    slots: Vec<Vec<f32>>,
}

/// The factor that scales a gradient of norm `norm` to `max_norm`, computed as in PyTorch.
pub(crate) fn clip_factor(norm: f64, max_norm: Option<f64>) -> f64 {
    max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

pub(crate) fn check_rates(learning_rate: f64, max_norm: Option<f64>) -> rl_core::Result<()> {
    check::non_negative("learning_rate", learning_rate)?;
    check::optional("max_grad_norm", max_norm, check::positive)
}

impl Optimizer {
    /// An optimiser for `len` parameters in memory.
    ///
    /// # Errors
    /// Those of [`OptimizerConfig::validate`].
    pub fn new(config: OptimizerConfig, len: usize) -> Result<Self> {
        config.validate()?;
        let slots = Slots::Host(
            config.slots().into_iter().map(|start| Aligned::filled(len, start)).collect(),
        );
        Ok(Optimizer { config, len, steps: 0, slots, threads: Threads::one() })
    }

    /// An optimiser whose moments are on a device.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) fn with_slots(config: OptimizerConfig, len: usize, slots: DeviceSlots) -> Self {
        Optimizer { config, len, steps: 0, slots: Slots::Device(slots), threads: Threads::one() }
    }

    /// Distributes steps with many parameters over threads.
    pub fn shared_among(self, threads: &Threads) -> Self {
        Optimizer { threads: threads.clone(), ..self }
    }

    /// Clips `grads`, `[len]`, to the global norm `max_norm`, if given, updates `params`, `[len]`, and returns the
    /// norm before clipping. The contents of `grads` are unspecified afterwards.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) for a non-finite gradient, in which case the parameters are
    /// unchanged; [`rl_core::Error::Mismatch`] for vectors of another length, or an optimiser on a device.
    pub fn step(
        &mut self,
        params: &mut [f32],
        grads: &mut [f32],
        learning_rate: f64,
        max_norm: Option<f64>,
    ) -> Result<f64> {
        check::len("parameters", self.len, params.len())?;
        check::len("gradient", self.len, grads.len())?;
        check_rates(learning_rate, max_norm)?;
        let norm = crate::kernels::sum_of_squares(grads).sqrt();
        check_finite("the gradient's norm", norm)?;
        let Slots::Host(slots) = &mut self.slots else {
            return Err(
                rl_core::Error::mismatch("optimizer", "one in memory", "one on a device").into()
            );
        };
        self.steps += 1;
        let clip = clip_factor(norm, max_norm) as f32;
        let (config, t) = (&self.config, self.steps);
        let count = slots.len();
        let mut slots = slots.iter_mut().map(|slot| &mut slot[..]);
        let mut slot = || slots.next().unwrap_or_default();
        let data = [params, slot(), slot(), slot()];
        let work = self.len * STEP_WORK;
        self.threads.share(self.len, work, data, |part, [params, a, b, c]| {
            let slots = &mut [a, b, c][..count];
            step_slices(config, t, slots, params, &grads[part], learning_rate, clip);
        });
        Ok(norm)
    }

    /// What a step on a device needs, which is counted here: the settings, the number of the step and the moments.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) fn begin_step_on_device(
        &mut self,
        len: usize,
    ) -> Result<(&OptimizerConfig, u64, &mut DeviceSlots)> {
        check::len("parameters", self.len, len)?;
        let Slots::Device(slots) = &mut self.slots else {
            return Err(
                rl_core::Error::mismatch("optimizer", "one on a device", "one in memory").into()
            );
        };
        self.steps += 1;
        Ok((&self.config, self.steps, slots))
    }

    /// The step counter and moments as bytes, without loss of precision.
    ///
    /// # Errors
    /// Errors of candle, if the moments are on a device.
    pub fn save(&self) -> Result<Vec<u8>> {
        let slots = match &self.slots {
            Slots::Host(slots) => slots.iter().map(|slot| slot.to_vec()).collect(),
            Slots::Device(slots) => slots.to_vecs()?,
        };
        let method = self.config.method().to_owned();
        Ok(rl_core::codec::encode(&Saved { method, steps: self.steps, slots })?)
    }

    /// Restores saved moments. On error the optimiser is unchanged.
    ///
    /// # Errors
    /// [`rl_core::Error::Corrupt`] for bytes in another format, [`rl_core::Error::Mismatch`] for moments of another
    /// method or length.
    pub fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: Saved = rl_core::codec::decode("optimizer", bytes)?;
        if saved.method != self.config.method() {
            let (expected, got) = (self.config.method(), saved.method.escape_debug());
            return Err(rl_core::Error::mismatch("optimizer", expected, got).into());
        }
        check::count("optimizer steps", saved.steps)?;
        check::len("optimizer moments", self.config.slots().len(), saved.slots.len())?;
        for slot in &saved.slots {
            check::len("optimizer moment", self.len, slot.len())?;
            // An infinite one can have been reached: it stands still what it belongs to.
            if slot.iter().any(|x| x.is_nan()) {
                return Err(rl_core::Error::corrupt("optimizer", "a moment is NaN").into());
            }
        }
        match &mut self.slots {
            Slots::Host(slots) => *slots = saved.slots.iter().map(|s| Aligned::of(s)).collect(),
            Slots::Device(slots) => slots.set(saved.slots)?,
        }
        self.steps = saved.steps;
        Ok(())
    }
}

/// A variance, which rounding can bring below zero where all gradients are alike; one that is NaN stays so.
#[inline(always)]
fn not_negative(variance: f32) -> f32 {
    if variance < 0.0 { 0.0 } else { variance }
}

fn step_slices(
    config: &OptimizerConfig,
    t: u64,
    slots: &mut [&mut [f32]],
    params: &mut [f32],
    grads: &[f32],
    learning_rate: f64,
    clip: f32,
) {
    let lr = learning_rate as f32;
    match *config {
        OptimizerConfig::Adam { beta1, beta2, eps, weight_decay, .. } => {
            let decay = (1.0 - learning_rate * weight_decay) as f32;
            let step = (learning_rate / (1.0 - beta1.powf(t as f64))) as f32;
            let root = (1.0 / (1.0 - beta2.powf(t as f64)).sqrt()) as f32;
            let (b1, b2, eps) = (beta1 as f32, beta2 as f32, eps as f32);
            let (c1, c2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
            match slots {
                [m, v] => dispatch(
                    #[inline(always)]
                    || {
                        let moments = m.iter_mut().zip(v.iter_mut());
                        for ((p, g), (m, v)) in params.iter_mut().zip(grads).zip(moments) {
                            let g = g * clip;
                            *m = b1.mul_add(*m, c1 * g);
                            *v = b2.mul_add(*v, c2 * g * g);
                            *p = *p * decay - step * *m / (v.sqrt() * root + eps);
                        }
                    },
                ),
                [m, v, largest] => {
                    let moments = m.iter_mut().zip(v.iter_mut()).zip(largest.iter_mut());
                    for ((p, g), ((m, v), largest)) in params.iter_mut().zip(grads).zip(moments) {
                        let g = g * clip;
                        *m = b1 * *m + c1 * g;
                        *v = b2 * *v + c2 * g * g;
                        *largest = largest.max(*v);
                        *p = *p * decay - step * *m / (largest.sqrt() * root + eps);
                    }
                }
                _ => {}
            }
        }
        OptimizerConfig::RmsProp { alpha, eps, eps_inside_root, centered, momentum, .. } => {
            let (a, c, eps, mu) = (alpha as f32, (1.0 - alpha) as f32, eps as f32, momentum as f32);
            let Some((squares, rest)) = slots.split_first_mut() else { return };
            let (mut mean, mut buffer) = match rest {
                [mean, rest @ ..] if centered => (Some(mean), rest.first_mut()),
                rest => (None, rest.first_mut()),
            };
            // The common forms have loops of their own, which the compiler turns into vector code; the arithmetic is that
            // of the general one below.
            match (&mut mean, &mut buffer) {
                (Some(mean), None) if !eps_inside_root => {
                    return dispatch(
                        #[inline(always)]
                        || {
                            let moments = squares.iter_mut().zip(mean.iter_mut());
                            let rows = params.iter_mut().zip(grads).zip(moments);
                            for ((p, g), (square, mean)) in rows {
                                let g = g * clip;
                                *square = a * *square + c * g * g;
                                *mean = a * *mean + c * g;
                                let second = not_negative(*square - *mean * *mean);
                                *p -= lr * (g / (second.sqrt() + eps));
                            }
                        },
                    );
                }
                (None, None) if eps_inside_root => {
                    return dispatch(
                        #[inline(always)]
                        || {
                            let rows = params.iter_mut().zip(grads).zip(squares.iter_mut());
                            for ((p, g), square) in rows {
                                let g = g * clip;
                                *square = a * *square + c * g * g;
                                *p -= lr * (g / (*square + eps).sqrt());
                            }
                        },
                    );
                }
                _ => {}
            }
            for (i, (p, g)) in params.iter_mut().zip(grads).enumerate() {
                let g = g * clip;
                squares[i] = a * squares[i] + c * g * g;
                let mut second = squares[i];
                if let Some(mean) = &mut mean {
                    mean[i] = a * mean[i] + c * g;
                    second = not_negative(second - mean[i] * mean[i]);
                }
                let root =
                    if eps_inside_root { (second + eps).sqrt() } else { second.sqrt() + eps };
                let mut change = g / root;
                if let Some(buffer) = &mut buffer {
                    buffer[i] = mu * buffer[i] + change;
                    change = buffer[i];
                }
                *p -= lr * change;
            }
        }
        OptimizerConfig::Sgd { momentum, nesterov } => {
            let mu = momentum as f32;
            match slots {
                [buffer, ..] => {
                    for ((p, g), b) in params.iter_mut().zip(grads).zip(buffer.iter_mut()) {
                        let g = g * clip;
                        *b = mu * *b + g;
                        *p -= lr * if nesterov { g + mu * *b } else { *b };
                    }
                }
                [] => {
                    params.iter_mut().zip(grads).for_each(|(p, g)| *p -= lr * g * clip);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // How a test fails.
mod tests {
    use super::*;

    /// The variance of gradients that are all alike is rounded to either side of zero.
    #[test]
    fn centred_rmsprop_takes_gradients_that_are_all_alike() {
        for momentum in ["0.0", "0.9"] {
            let config = format!(
                r#"{{"kind": "rmsprop", "alpha": 0.95, "eps": 0.01, "centered": true, "momentum": {momentum}}}"#
            );
            let config: OptimizerConfig = serde_json::from_str(&config).unwrap();
            let gradients: Vec<f32> = (1..400).map(|i| i as f32 / 37.0).collect();
            let mut optimizer = Optimizer::new(config, gradients.len()).unwrap();
            let mut params = vec![0.0; gradients.len()];
            for _ in 0..1000 {
                optimizer.step(&mut params, &mut gradients.clone(), 1e-3, None).unwrap();
            }
            assert!(params.iter().all(|p| p.is_finite()));
        }
    }

    #[test]
    fn settings_are_numbers_of_single_precision() {
        for (eps, expected) in [(1e39, "1e39"), (1e-46, "1e-46")] {
            let error = OptimizerConfig::adam_with_eps(eps).validate().unwrap_err().to_string();
            let wanted =
                "optimizer.eps: expected a number > 0 of single precision (1e-45 to 3.4e38)";
            assert_eq!(error, format!("{wanted}, got {expected}"));
        }
    }

    #[test]
    fn a_moment_that_is_nan_is_refused() {
        let mut optimizer = Optimizer::new(OptimizerConfig::adam(), 1).unwrap();
        optimizer.step(&mut [1.0], &mut [f32::NAN], 0.1, None).unwrap_or_default();
        let slots = vec![vec![f32::NAN], vec![0.0]];
        let saved = Saved { method: "adam".into(), steps: 1, slots };
        let error = optimizer.load(&rl_core::codec::encode(&saved).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "optimizer: a moment is NaN");
    }
}
