use rl_core::{Error, Result, Rng, check};
use serde::{Deserialize, Serialize};

/// Exploration noise added to a policy's actions, in units of half the distance between the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum NoiseConfig {
    /// Independent Gaussian noise.
    Gaussian {
        /// The standard deviation; 0.1 in Fujimoto et al. (2018).
        std: f64,
    },
    /// Ornstein-Uhlenbeck noise (Uhlenbeck and Ornstein, 1930), as in Lillicrap et al. (2016), starting from zero in
    /// each episode: `x <- x - theta x dt + std sqrt(dt) N(0, 1)`.
    OrnsteinUhlenbeck {
        /// The size of the noise; 0.2 in Lillicrap et al. (2016).
        std: f64,
        /// The rate of return to zero; 0.15.
        #[serde(default = "default_theta")]
        theta: f64,
        /// The time between two steps; 0.01, as in Stable-Baselines3.
        #[serde(default = "default_dt")]
        dt: f64,
    },
}

fn default_theta() -> f64 {
    0.15
}
fn default_dt() -> f64 {
    0.01
}

impl NoiseConfig {
    /// Ornstein-Uhlenbeck noise with the usual `theta` and `dt`.
    pub fn ornstein_uhlenbeck(std: f64) -> Self {
        NoiseConfig::OrnsteinUhlenbeck { std, theta: default_theta(), dt: default_dt() }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        match self {
            NoiseConfig::Gaussian { std } => check::non_negative("exploration.std", *std),
            NoiseConfig::OrnsteinUhlenbeck { std, theta, dt } => {
                check::non_negative("exploration.std", *std)?;
                check::non_negative("exploration.theta", *theta)?;
                check::positive("exploration.dt", *dt)?;
                // Beyond it, the process swings higher with each step.
                match theta * dt <= 2.0 {
                    true => Ok(()),
                    false => Err(Error::config(
                        "exploration.theta",
                        format_args!("at most 2 / dt (dt: {dt:e})"),
                        format_args!("{theta:e}"),
                    )),
                }
            }
        }
    }
}

/// Exploration noise for several environments.
///
/// ```
/// use rl_core::Seeds;
/// use rl_ddpg::{Noise, NoiseConfig};
/// let mut noise = Noise::new(NoiseConfig::ornstein_uhlenbeck(0.2), 2, 1);
/// let (mut rng, mut actions) = (Seeds::new(0).stream("agent", 0), [0.99, -0.5]);
/// noise.add(&mut rng, &mut actions);
/// assert!(actions.iter().all(|a| (-1.0..=1.0).contains(a)));
/// noise.reset(0); // the first environment's episode has ended
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    config: NoiseConfig,
    width: usize,
    /// The state of the Ornstein-Uhlenbeck process, `[envs, width]`; empty for Gaussian noise.
    state: Vec<f64>,
}

impl Noise {
    /// Noise for `envs` environments with actions of `width` elements.
    pub fn new(config: NoiseConfig, envs: usize, width: usize) -> Self {
        let drifts = matches!(config, NoiseConfig::OrnsteinUhlenbeck { .. });
        Noise { config, width, state: vec![0.0; if drifts { envs * width } else { 0 }] }
    }

    /// Adds noise to actions in [-1, 1], `[envs, width]`, and clips them to this range.
    pub fn add(&mut self, rng: &mut Rng, actions: &mut [f32]) {
        let add = |action: &mut f32, noise: f64| {
            *action = (f64::from(*action) + noise).clamp(-1.0, 1.0) as f32;
        };
        match self.config {
            NoiseConfig::Gaussian { std } => {
                actions.iter_mut().for_each(|a| add(a, std * rng.normal()));
            }
            NoiseConfig::OrnsteinUhlenbeck { std, theta, dt } => {
                for (a, x) in actions.iter_mut().zip(&mut self.state) {
                    *x += -theta * *x * dt + std * dt.sqrt() * rng.normal();
                    add(a, *x);
                }
            }
        }
    }

    /// Resets the process of an environment whose episode has ended.
    pub fn reset(&mut self, env: usize) {
        self.state.iter_mut().skip(env * self.width).take(self.width).for_each(|x| *x = 0.0);
    }

    /// The state of the Ornstein-Uhlenbeck process, `[envs, width]`; empty for Gaussian noise.
    pub(crate) fn state(&self) -> &[f64] {
        &self.state
    }

    /// A copy with the given state.
    pub(crate) fn at(&self, state: Vec<f64>) -> Result<Self> {
        check::len("exploration noise", self.state.len(), state.len())?;
        state.iter().try_for_each(|x| check::finite("exploration noise", *x))?;
        Ok(Noise { state, ..self.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // How a test fails.
mod tests {
    use super::*;
    use rl_core::Seeds;

    #[test]
    fn noise_that_swings_higher_with_each_step_is_refused() {
        let noise = |theta, dt| NoiseConfig::OrnsteinUhlenbeck { std: 0.1, theta, dt }.validate();
        assert!(noise(2.0, 1.0).is_ok());
        let error = noise(2.5, 1.0).unwrap_err().to_string();
        assert_eq!(error, "exploration.theta: expected at most 2 / dt (dt: 1e0), got 2.5e0");
    }

    /// Ornstein-Uhlenbeck noise has its stationary variance, `std² / (2 theta - theta² dt)`, and its autocorrelation.
    #[test]
    fn drifting_noise_has_its_variance_and_its_memory() {
        let config = NoiseConfig::OrnsteinUhlenbeck { std: 0.1, theta: 2.0, dt: 0.1 };
        let mut noise = Noise::new(config, 1, 1);
        let mut rng = Seeds::new(0).stream("t", 0);
        let mut draws = Vec::new();
        for _ in 0..200_000 {
            let mut action = [0.0];
            noise.add(&mut rng, &mut action);
            draws.push(f64::from(action[0]));
        }
        let n = draws.len() as f64;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / n;
        let expected = 0.01 / (4.0 - 0.4);
        assert!((variance / expected - 1.0).abs() < 0.05, "{variance} {expected}");
        let covariance = draws.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
        assert!((covariance / variance - 0.8).abs() < 0.02, "{covariance}");
        noise.reset(0);
        assert_eq!(noise.state, [0.0]);
    }
}
