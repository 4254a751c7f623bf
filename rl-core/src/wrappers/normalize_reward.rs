use crate::{End, MapReward, Result, RewardMap, RunningMoments, VecEnv, check, codec};
use std::borrow::Cow;

/// Divides rewards by the running standard deviation of the discounted return
/// `R <- gamma R + r`, and clips the result at ±`clip`. The mean is left alone: shifting rewards
/// would change the task.
///
/// Episode statistics ([`StepBatch::episodes`](crate::StepBatch::episodes)) keep the environment's own rewards.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{NormalizeReward, Seeds, SerialVecEnv, VecEnv};
/// let envs = SerialVecEnv::new(vec![Images::new(&[1])?], Seeds::new(0))?;
/// let mut envs = NormalizeReward::new(envs, 0.99, 10.0)?;
/// envs.reset()?;
/// (0..100).try_for_each(|_| envs.step(&[0]))?;
/// // The reward was the value of a pixel, from 0 to 255.
/// assert!(envs.batch().rewards()[0] < 2.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type NormalizeReward<V> = MapReward<V, ToScale>;

/// The mapping of [`NormalizeReward`].
#[derive(Clone, Debug)]
pub struct ToScale {
    gamma: f32,
    clip: f32,
    /// The discounted return so far in each environment, `[n]`.
    returns: Vec<f32>,
    moments: RunningMoments,
}

impl<V: VecEnv> NormalizeReward<V> {
    /// Wraps `envs`; `gamma` is the learner's discount, `clip` 10 in the PPO reference code
    /// (Andrychowicz et al., 2021).
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where `gamma` is not in `[0, 1]` or `clip` not positive.
    pub fn new(envs: V, gamma: f64, clip: f32) -> Result<Self> {
        check::fraction("gamma", gamma)?;
        check::positive("clip", clip.into())?;
        let returns = vec![0.0; envs.num_envs()];
        let moments = RunningMoments::new(1);
        Ok(MapReward::wrap(envs, ToScale { gamma: gamma as f32, clip, returns, moments }))
    }
}

impl RewardMap for ToScale {
    fn begin_episodes(&mut self) {
        self.returns.fill(0.0);
    }

    fn map(&mut self, rewards: &mut [f32], ends: &[Option<End>], evaluating: bool) -> Result<()> {
        for (total, reward) in self.returns.iter_mut().zip(&*rewards) {
            *total = self.gamma * *total + reward;
        }
        if !evaluating {
            self.moments.update(&self.returns);
        }
        let inverse_std = (1.0 / (self.moments.variance(0) + 1e-8).sqrt()) as f32;
        for reward in rewards {
            *reward = (*reward * inverse_std).clamp(-self.clip, self.clip);
        }
        for (total, end) in self.returns.iter_mut().zip(ends) {
            if end.is_some() {
                *total = 0.0;
            }
        }
        Ok(())
    }

    fn save(&self, envs: Vec<u8>) -> Result<Vec<u8>> {
        codec::encode(&(envs, &self.moments, &self.returns))
    }

    fn load<'a>(&self, bytes: &'a [u8]) -> Result<(Self, Cow<'a, [u8]>)> {
        let (envs, moments, returns): (Vec<u8>, RunningMoments, Vec<f32>) =
            codec::decode("reward normaliser", bytes)?;
        moments.check(1)?;
        check::len("saved returns", self.returns.len(), returns.len())?;
        Ok((ToScale { moments, returns, ..self.clone() }, Cow::Owned(envs)))
    }
}
