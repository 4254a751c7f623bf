use crate::search::builds;
use crate::{PolicySearch, SearchConfig, SearchRule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, check};
use rl_nets::{NetworkConfig, Optimizer, OptimizerConfig};
use serde::{Deserialize, Serialize};

/// The settings of [`EvolutionStrategies`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvolutionStrategiesConfig {
    /// The policy; linear.
    pub network: NetworkConfig,
    /// Episodes per evaluation of a candidate; 1.
    pub episodes: usize,
    /// Antithetic pairs of candidates per generation; 4.
    pub pairs: usize,
    /// The standard deviation of the noise; 0.5.
    pub noise: f64,
    /// The learning rate; 0.1.
    pub learning_rate: Schedule,
    /// The optimiser; Adam, as in Salimans et al. (2017).
    pub optimizer: OptimizerConfig,
}

impl Default for EvolutionStrategiesConfig {
    fn default() -> Self {
        EvolutionStrategiesConfig {
            network: NetworkConfig { hidden: vec![], ..NetworkConfig::default() },
            episodes: 1,
            pairs: 4,
            noise: 0.5,
            learning_rate: Schedule::constant(0.1),
            optimizer: OptimizerConfig::adam(),
        }
    }
}

impl EvolutionStrategiesConfig {
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        check::at_least("episodes", 1, self.episodes as u64)?;
        check::at_least("pairs", 1, self.pairs as u64)?;
        check::positive("noise", self.noise)?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()
    }
}

/// Evolution strategies (Salimans et al., 2017), with antithetic noise and rank-based scores:
///
/// ```text
/// for each generation:
///     ε_i ~ N(0, 1);  score θ + noise ε_i and θ - noise ε_i
///     u = ranks of the scores, spread evenly over [-1/2, 1/2]
///     one step of the optimiser along  1 / (2 n noise) Σ_i (u_i⁺ - u_i⁻) ε_i
/// ```
pub type EvolutionStrategies<D> = PolicySearch<D, Evolution>;

builds!(EvolutionStrategiesConfig, EvolutionStrategies);

impl SearchConfig for EvolutionStrategiesConfig {
    fn validate(&self) -> Result<()> {
        EvolutionStrategiesConfig::validate(self)
    }

    fn common(&self) -> (&NetworkConfig, usize) {
        (&self.network, self.episodes)
    }
}

/// The [`SearchRule`] of [`EvolutionStrategies`].
#[derive(Clone, Debug)]
pub struct Evolution {
    config: EvolutionStrategiesConfig,
    params: Vec<f32>,
    optimizer: Optimizer,
    /// Scratch buffers: the ranks of the scores, and minus the gradient estimate.
    ranks: Vec<f64>,
    grads: Vec<f32>,
}

/// Writes the rank of each score, spaced evenly over [-1/2, 1/2]; equal scores get the mean of their ranks.
fn centred_ranks(scores: &[f64], ranks: &mut Vec<f64>) {
    let n = scores.len() as f64;
    let rank = |score: &f64| {
        let below = scores.iter().filter(|other| *other < score).count() as f64;
        let equal = scores.iter().filter(|other| *other == score).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    ranks.clear();
    ranks.extend(scores.iter().map(|score| rank(score) / (n - 1.0) - 0.5));
}

impl SearchRule for Evolution {
    const NAME: &'static str = "evolution-strategies";
    type Config = EvolutionStrategiesConfig;
    type State = (Vec<f32>, Vec<u8>);

    fn new(config: &EvolutionStrategiesConfig, params: Vec<f32>) -> Result<Self> {
        let pair = 2 * params.len() * size_of::<f32>();
        check::memory("pairs", config.pairs, config.pairs.checked_mul(pair))?;
        let optimizer = Optimizer::new(config.optimizer.clone(), params.len())?;
        let (ranks, grads) = (Vec::new(), Vec::new());
        Ok(Evolution { config: config.clone(), params, optimizer, ranks, grads })
    }

    fn propose(&mut self, rng: &mut Rng, candidates: &mut Vec<f32>) {
        let (n, noise) = (self.params.len(), self.config.noise);
        candidates.clear();
        candidates.resize(2 * self.config.pairs * n, 0.0);
        for pair in candidates.chunks_exact_mut(2 * n) {
            let (up, down) = pair.split_at_mut(n);
            for ((up, down), p) in up.iter_mut().zip(down).zip(&self.params) {
                let e = (noise * rng.normal()) as f32;
                (*up, *down) = (p + e, p - e);
            }
        }
    }

    fn update(
        &mut self,
        candidates: &[f32],
        scores: &[f64],
        _: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let Evolution { params, ranks, grads, .. } = self;
        let n = params.len();
        centred_ranks(scores, ranks);
        // The optimiser minimises, so it gets minus the gradient estimate.
        grads.clear();
        grads.resize(n, 0.0);
        let scale = 4.0 * self.config.pairs as f64 * self.config.noise.powi(2);
        for (pair, rank) in candidates.chunks_exact(2 * n).zip(ranks.chunks_exact(2)) {
            let weight = ((rank[0] - rank[1]) / scale) as f32;
            let (up, down) = pair.split_at(n);
            for ((g, up), down) in grads.iter_mut().zip(up).zip(down) {
                *g -= weight * (up - down);
            }
        }
        let norm = self.optimizer.step(params, grads, learning_rate, None)?;
        metrics.record("best_score", scores.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        metrics.record("grad_norm", norm);
        metrics.record("learning_rate", learning_rate);
        Ok(())
    }

    fn best(&self) -> &[f32] {
        &self.params
    }

    fn set_best(&mut self, params: &[f32]) -> Result<()> {
        *self = Self::new(&self.config, params.to_vec())?;
        Ok(())
    }

    fn state(&self) -> Result<(Vec<f32>, Vec<u8>)> {
        Ok((self.params.clone(), self.optimizer.save()?))
    }

    fn set_state(&mut self, (params, optimizer): (Vec<f32>, Vec<u8>)) -> Result<()> {
        check::len("parameters", self.params.len(), params.len())?;
        self.optimizer.load(&optimizer)?;
        self.params = params;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rl_core::Seeds;

    #[test]
    fn ranks_are_centred_and_shared_by_equals() {
        let mut ranks = Vec::new();
        centred_ranks(&[3.0, 1e9, -7.0], &mut ranks);
        assert_eq!(ranks, [0.0, 0.5, -0.5]);
        centred_ranks(&[2.0, 2.0, 5.0, 2.0], &mut ranks);
        let shared = -0.5 + 1.0 / 3.0;
        assert_eq!(ranks, [shared, shared, 0.5, shared]);
    }

    /// One pair of candidates, `1 ± 0.25 * 2`: the estimate is `(1/2 + 1/2) * 2 / (2 * 0.25)`, and points to the better one.
    #[test]
    fn the_step_is_the_learning_rate_times_the_estimate() {
        for (scores, expected) in [([2.0, 1.0], 1.4), ([1.0, 2.0], 0.6)] {
            let config = EvolutionStrategiesConfig {
                pairs: 1,
                noise: 0.25,
                optimizer: OptimizerConfig::Sgd { momentum: 0.0, nesterov: false },
                ..EvolutionStrategiesConfig::default()
            };
            let mut rule = Evolution::new(&config, vec![1.0]).unwrap();
            let (mut rng, progress) =
                (Seeds::new(0).stream("t", 0), Progress { step: 0, total: 1 });
            rule.update(&[1.5, 0.5], &scores, &mut rng, progress, &mut Metrics::default()).unwrap();
            assert!((rule.best()[0] - expected).abs() < 1e-6, "{:?}", rule.best());
        }
    }

    /// On a linear objective the mean step points along the gradient.
    #[test]
    fn the_estimate_points_uphill() {
        let config = EvolutionStrategiesConfig {
            pairs: 500,
            optimizer: OptimizerConfig::Sgd { momentum: 0.0, nesterov: false },
            ..EvolutionStrategiesConfig::default()
        };
        let mut rule = Evolution::new(&config, vec![0.0; 2]).unwrap();
        let (mut rng, mut candidates) = (Seeds::new(0).stream("t", 0), Vec::new());
        rule.propose(&mut rng, &mut candidates);
        let score = |c: &[f32]| f64::from(3.0 * c[0] - 4.0 * c[1]);
        let scores: Vec<f64> = candidates.chunks_exact(2).map(score).collect();
        let progress = Progress { step: 0, total: 1 };
        rule.update(&candidates, &scores, &mut rng, progress, &mut Metrics::default()).unwrap();
        let [x, y] = rule.params[..] else { panic!("two parameters") };
        assert!(x > 0.0 && y < 0.0 && (y / x + 4.0 / 3.0).abs() < 0.2, "{x} {y}");
    }
}
