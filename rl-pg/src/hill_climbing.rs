use crate::{PolicySearch, SearchRule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Rng, Seeds, VecEnv, check};
use rl_nets::{Distribution, MlpConfig, PolicySpace};
use serde::{Deserialize, Serialize};

/// The settings of [`HillClimbing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HillClimbingConfig {
    /// The policy; linear.
    pub network: MlpConfig,
    /// Episodes that score a candidate; 4.
    pub episodes: usize,
    /// What the noise's standard deviation starts at; 0.5.
    pub noise: f64,
    /// The least it becomes; 0.001.
    pub min_noise: f64,
    /// The most it becomes; 2.
    pub max_noise: f64,
}

impl Default for HillClimbingConfig {
    fn default() -> Self {
        HillClimbingConfig {
            network: MlpConfig { hidden: vec![], ..MlpConfig::default() },
            episodes: 4,
            noise: 0.5,
            min_noise: 1e-3,
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
///     θ' = θ + noise N(0, 1);  score both
///     where θ' has earned at least what θ has on average: θ <- θ', noise <- noise / 2
///     elsewhere: noise <- 2 noise
/// ```
///
/// The one that stands is scored again each time, and its score is the mean of all its episodes: were it
/// scored once, a lucky one would stand for good.
#[derive(Clone, Debug)]
pub struct HillClimbing {
    config: HillClimbingConfig,
    state: Standing,
}

/// Where the climb stands: its parameters, the sum and number of their scores, and the noise.
type Standing = (Vec<f32>, f64, u64, f64);

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
            Ok(HillClimbing { config: config.clone(), state: (params, 0.0, 0, config.noise) })
        })
    }
}

/// `params` with normal noise of standard deviation `noise` added.
pub(crate) fn perturbed(params: &[f32], noise: f64, rng: &mut Rng) -> Vec<f32> {
    params.iter().map(|p| p + (noise * rng.normal()) as f32).collect()
}

impl SearchRule for HillClimbing {
    const NAME: &'static str = "hill-climbing";
    type State = Standing;

    fn propose(&mut self, rng: &mut Rng) -> Vec<Vec<f32>> {
        let (standing, _, _, noise) = &self.state;
        vec![standing.clone(), perturbed(standing, *noise, rng)]
    }

    fn tell(
        &mut self,
        candidates: &[Vec<f32>],
        scores: &[f64],
        _: &mut Rng,
        _: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let (standing, sum, count, noise) = &mut self.state;
        let (HillClimbingConfig { min_noise, max_noise, .. }, [again, score]) =
            (&self.config, [scores[0], scores[1]]);
        *sum += again;
        *count += 1;
        if score >= *sum / *count as f64 {
            standing.clone_from(&candidates[1]);
            (*sum, *count) = (score, 1);
            *noise = (*noise / 2.0).max(*min_noise);
        } else {
            *noise = (*noise * 2.0).min(*max_noise);
        }
        metrics.record("best_score", *sum / *count as f64);
        metrics.record("noise", *noise);
        Ok(())
    }

    fn best(&self) -> &[f32] {
        &self.state.0
    }

    fn state(&self) -> Result<Standing> {
        Ok(self.state.clone())
    }

    fn set_state(&mut self, state: Standing) -> Result<()> {
        check::len("parameters", self.state.0.len(), state.0.len())?;
        self.state = state;
        Ok(())
    }
}
