use crate::{Result, RunningMoments, Seeds, Space, StepBatch, VecEnv};

/// Shows the sign of each reward, -1, 0 or 1, so that games of different scores share settings (Mnih et al., 2015).
///
/// Episode statistics ([`StepBatch::episodes`]) keep the environment's own rewards.
///
/// ```
/// # use rl_core::doc_env::Images;
/// use rl_core::{ClipReward, Seeds, SerialVecEnv, VecEnv};
/// let envs = SerialVecEnv::new(vec![Images::new(&[1])?], Seeds::new(0))?;
/// let mut envs = ClipReward::new(envs);
/// envs.reset()?;
/// envs.step(&[0])?;
/// // The reward was the value of a pixel, from 0 to 255.
/// assert!(envs.batch().rewards()[0] <= 1.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ClipReward<V: VecEnv> {
    envs: V,
    batch: StepBatch<<V::Obs as Space>::Elem>,
}

impl<V: VecEnv> ClipReward<V> {
    /// Wraps `envs`.
    pub fn new(envs: V) -> Self {
        ClipReward { batch: envs.batch().clone(), envs }
    }
}

impl<V: VecEnv> VecEnv for ClipReward<V> {
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
        self.batch.copy_from(self.envs.batch());
        Ok(())
    }

    fn step(&mut self, actions: &[<V::Action as Space>::Elem]) -> Result<()> {
        self.envs.step(actions)?;
        self.batch.copy_from(self.envs.batch());
        for reward in self.batch.rows_mut().rewards {
            // `signum` of zero is one. A NaN stays one, and is refused where transitions are checked.
            *reward = if *reward == 0.0 { 0.0 } else { reward.signum() };
        }
        Ok(())
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        self.envs.reseed(seeds)
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.envs.save()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        self.envs.load(bytes)?;
        self.batch.copy_from(self.envs.batch());
        Ok(())
    }

    fn moments(&self) -> Vec<RunningMoments> {
        self.envs.moments()
    }

    fn set_moments(&mut self, moments: &[RunningMoments]) -> Result<()> {
        self.envs.set_moments(moments)
    }

    fn set_evaluating(&mut self, evaluating: bool) {
        self.envs.set_evaluating(evaluating);
    }
}
