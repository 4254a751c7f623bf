use crate::{PolicySearch, SearchRule, Standing};
use rl_core::{BoxSpace, Metrics, Progress, Result, Rng, Seeds, VecEnv, check};
use rl_nets::{Distribution, MlpConfig, PolicySpace};
use serde::{Deserialize, Serialize};

/// The settings of [`HillClimbing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HillClimbingConfig {
    /// The policy; linear.
    pub network: MlpConfig,
    /// Episodes that score a candidate; 2.
    pub episodes: usize,
    /// How often the policy that the search stands at is scored; 5.
    pub trials: u64,
    /// What the noise's standard deviation starts at, in units of the parameters' root mean square; 0.5.
    pub noise: f64,
    /// The least it becomes; 0.05.
    pub min_noise: f64,
    /// The most it becomes; 2: a candidate is then all but drawn afresh.
    pub max_noise: f64,
}

impl Default for HillClimbingConfig {
    fn default() -> Self {
        HillClimbingConfig {
            network: MlpConfig { hidden: vec![], ..MlpConfig::default() },
            episodes: 2,
            trials: 5,
            noise: 0.5,
            min_noise: 0.05,
            max_noise: 2.0,
        }
    }
}

impl HillClimbingConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        check::at_least("episodes", 1, self.episodes as u64)?;
        check::at_least("trials", 1, self.trials)?;
        check::positive("min_noise", self.min_noise)?;
        check::positive("max_noise", self.max_noise)?;
        if !(self.min_noise..=self.max_noise).contains(&self.noise) {
            let expected = format!("a number in [{}, {}]", self.min_noise, self.max_noise);
            return Err(rl_core::Error::config("noise", expected, self.noise));
        }
        Ok(())
    }
}

/// Stochastic hill climbing with adaptive noise:
///
/// ```text
/// for each generation:
///     θ' = (θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)
///     score θ', and θ itself until it has been scored `trials` times
///     where θ' has earned more than θ has on average: θ <- θ', noise <- noise / 2
///     elsewhere: noise <- 2 noise
/// ```
#[derive(Clone, Debug)]
pub struct HillClimbing {
    config: HillClimbingConfig,
    standing: Standing,
}

impl HillClimbing {
    /// An agent for `envs` that searches by this rule.
    ///
    /// # Errors
    /// Those of [`HillClimbingConfig::validate`].
    pub fn agent<V, D>(
        config: &HillClimbingConfig,
        envs: &V,
        seeds: Seeds,
    ) -> Result<PolicySearch<D, HillClimbing>>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate()?;
        PolicySearch::new(envs, &config.network, config.episodes, seeds, |params| {
            Ok(HillClimbing {
                standing: Standing::new(params, config.noise),
                config: config.clone(),
            })
        })
    }
}

impl SearchRule for HillClimbing {
    const NAME: &'static str = "hill-climbing";
    type State = Standing;

    fn propose(&mut self, rng: &mut Rng) -> Vec<Vec<f32>> {
        self.standing.propose(self.config.trials, rng)
    }

    fn tell(
        &mut self,
        candidates: &[Vec<f32>],
        scores: &[f64],
        _: &mut Rng,
        _: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let HillClimbingConfig { min_noise, max_noise, .. } = self.config;
        let score = self.standing.tell(scores);
        let noise = if score > self.standing.score() {
            self.standing.replace(&candidates[0], score);
            self.standing.noise() / 2.0
        } else {
            self.standing.noise() * 2.0
        };
        self.standing.set_noise(noise.clamp(min_noise, max_noise));
        metrics.record("best_score", self.standing.score());
        metrics.record("noise", self.standing.noise());
        Ok(())
    }

    fn best(&self) -> &[f32] {
        self.standing.params()
    }

    fn state(&self) -> Result<Standing> {
        Ok(self.standing.clone())
    }

    fn set_state(&mut self, state: Standing) -> Result<()> {
        self.standing.restore(state)
    }
}
