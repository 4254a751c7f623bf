use crate::{
    BadNumbers, End, Metrics, Normalizer, Result, RunningMoments, Seeds, Space, StepBatch, VecEnv,
};
use std::borrow::Cow;

/// How rewards are shown: what differs between wrappers of rewards. [`MapReward`] is the wrapper.
///
/// A mapping may keep something from one step to the next, such as a running scale. It then implements
/// [`save`](RewardMap::save) and [`load`](RewardMap::load) too.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{End, MapReward, Result, RewardMap, Seeds, SerialVecEnv, VecEnv};
/// /// Shows rewards that are not above zero: 1 becomes 0, and 0 becomes -1.
/// #[derive(Clone)]
/// struct Cost;
///
/// impl RewardMap for Cost {
///     fn map(&mut self, rewards: &mut [f32], _: &[Option<End>], _: bool) -> Result<()> {
///         rewards.iter_mut().for_each(|reward| *reward -= 1.0);
///         Ok(())
///     }
/// }
/// let mut envs = MapReward::wrap(SerialVecEnv::new(vec![Sign::default()], Seeds::new(0))?, Cost);
/// envs.reset()?;
/// envs.step(&[0])?;
/// assert!(envs.batch().rewards()[0] <= 0.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait RewardMap: Clone {
    /// Is told that every environment begins an episode.
    fn begin_episodes(&mut self) {}

    /// Changes the rewards of one step, `[n]`; `ends` says whether and how each episode ended in it. In evaluation
    /// mode a mapping does not update its statistics.
    ///
    /// # Errors
    /// Rewards that cannot be shown.
    fn map(&mut self, rewards: &mut [f32], ends: &[Option<End>], evaluating: bool) -> Result<()>;

    /// The bytes to save, which hold `envs`, the saved state of the environments. Without a state of its own, a
    /// mapping saves these as they are.
    ///
    /// # Errors
    /// Those of [`codec::encode`](crate::codec::encode).
    fn save(&self, envs: Vec<u8>) -> Result<Vec<u8>> {
        Ok(envs)
    }

    /// Reads what [`save`](RewardMap::save) made: a mapping that goes on from there, and the saved state of the
    /// environments. This mapping stays as it is, since the environments may still refuse their part.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) for bytes that `save` did not make.
    fn load<'a>(&self, bytes: &'a [u8]) -> Result<(Self, Cow<'a, [u8]>)> {
        Ok((self.clone(), Cow::Borrowed(bytes)))
    }
}

/// Shows rewards as they are where there is no mapping, so that a setting can turn one off.
impl<M: RewardMap> RewardMap for Option<M> {
    fn begin_episodes(&mut self) {
        if let Some(map) = self {
            map.begin_episodes();
        }
    }

    fn map(&mut self, rewards: &mut [f32], ends: &[Option<End>], evaluating: bool) -> Result<()> {
        self.as_mut().map_or(Ok(()), |map| map.map(rewards, ends, evaluating))
    }

    fn save(&self, envs: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Some(map) => map.save(envs),
            None => Ok(envs),
        }
    }

    fn load<'a>(&self, bytes: &'a [u8]) -> Result<(Self, Cow<'a, [u8]>)> {
        match self {
            Some(map) => map.load(bytes).map(|(map, envs)| (Some(map), envs)),
            None => Ok((None, Cow::Borrowed(bytes))),
        }
    }
}

/// Environments whose rewards are shown in another form, see [`RewardMap`].
///
/// Episode statistics ([`StepBatch::episodes`]) keep the environment's own rewards.
#[derive(Debug)]
pub struct MapReward<V: VecEnv, M> {
    envs: V,
    map: M,
    evaluating: bool,
    batch: StepBatch<<V::Obs as Space>::Elem>,
}

impl<V: VecEnv, M: RewardMap> MapReward<V, M> {
    /// Wraps `envs`.
    pub fn wrap(envs: V, map: M) -> Self {
        MapReward { batch: envs.batch().clone(), envs, map, evaluating: false }
    }
}

impl<V: VecEnv, M: RewardMap> VecEnv for MapReward<V, M> {
    type Obs = V::Obs;
    type Action = V::Action;

    fn observation_space(&self) -> &V::Obs {
        self.envs.observation_space()
    }

    fn action_space(&self) -> &V::Action {
        self.envs.action_space()
    }

    fn batch(&self) -> &StepBatch<<V::Obs as Space>::Elem> {
        &self.batch
    }

    fn reset(&mut self) -> Result<()> {
        self.envs.reset()?;
        self.map.begin_episodes();
        self.batch.copy_from(self.envs.batch());
        Ok(())
    }

    fn step(&mut self, actions: &[<V::Action as Space>::Elem]) -> Result<()> {
        self.envs.step(actions)?;
        self.batch.copy_from(self.envs.batch());
        let rows = self.batch.rows_mut();
        self.map.map(rows.rewards, rows.ends, self.evaluating)
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        self.envs.reseed(seeds)
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.map.save(self.envs.save()?)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let (map, envs) = self.map.load(bytes)?;
        self.envs.load(&envs)?;
        self.map = map;
        if !self.envs.resumes_exactly() {
            self.map.begin_episodes();
        }
        self.batch.copy_from(self.envs.batch());
        Ok(())
    }

    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        self.envs.set_bad_numbers(bad_numbers)
    }

    fn check_finite(&self, step: u64) -> Result<()> {
        self.envs.check_finite(step)?;
        self.batch.check_finite(step)
    }

    fn normalizer(&self) -> Option<&Normalizer> {
        self.envs.normalizer()
    }

    fn moments(&self) -> Vec<RunningMoments> {
        self.envs.moments()
    }

    fn set_moments(&mut self, moments: &[RunningMoments]) -> Result<()> {
        self.envs.set_moments(moments)
    }

    fn set_evaluating(&mut self, evaluating: bool) {
        self.evaluating = evaluating;
        self.envs.set_evaluating(evaluating);
    }
    fn resumes_exactly(&self) -> bool {
        self.envs.resumes_exactly()
    }

    fn record(&self, metrics: &mut Metrics) {
        self.envs.record(metrics);
    }
}
