use crate::{Result, RunningMoments, Seeds, Space, StepBatch, VecEnv, check, codec};

/// Divides rewards by the running standard deviation of the discounted return
/// `R <- gamma R + r`, and clips the result at ±`clip`. The mean is left alone: shifting rewards
/// would change the task.
///
/// Episode statistics ([`StepBatch::episodes`]) keep the environment's own rewards.
#[derive(Debug)]
pub struct NormalizeReward<V: VecEnv> {
    envs: V,
    gamma: f32,
    clip: f32,
    returns: Vec<f32>,
    moments: RunningMoments,
    evaluating: bool,
    batch: StepBatch<<V::Obs as Space>::Elem>,
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
        Ok(NormalizeReward {
            gamma: gamma as f32,
            clip,
            returns: vec![0.0; envs.num_envs()],
            moments: RunningMoments::new(1),
            evaluating: false,
            batch: envs.batch().clone(),
            envs,
        })
    }
}

impl<V: VecEnv> VecEnv for NormalizeReward<V> {
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
        self.returns.fill(0.0);
        self.batch.copy_from(self.envs.batch());
        Ok(())
    }

    fn step(&mut self, actions: &[<V::Action as Space>::Elem]) -> Result<()> {
        self.envs.step(actions)?;
        let shown = self.envs.batch();
        self.batch.copy_from(shown);
        for (total, &reward) in self.returns.iter_mut().zip(shown.rewards()) {
            *total = self.gamma * *total + reward;
        }
        if !self.evaluating {
            self.moments.update(&self.returns);
        }
        let inverse_std = (1.0 / (self.moments.variance(0) + 1e-8).sqrt()) as f32;
        for reward in self.batch.rows_mut().rewards {
            *reward = (*reward * inverse_std).clamp(-self.clip, self.clip);
        }
        for (total, end) in self.returns.iter_mut().zip(shown.ends()) {
            if end.is_some() {
                *total = 0.0;
            }
        }
        Ok(())
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        self.envs.reseed(seeds)
    }

    fn save(&self) -> Result<Vec<u8>> {
        codec::encode(&(self.envs.save()?, &self.moments, &self.returns))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let (inner, moments, returns): (Vec<u8>, RunningMoments, Vec<f32>) =
            codec::decode("reward normaliser", bytes)?;
        moments.check_width(1)?;
        check::len("saved returns", self.returns.len(), returns.len())?;
        self.envs.load(&inner)?;
        (self.moments, self.returns) = (moments, returns);
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
        self.evaluating = evaluating;
        self.envs.set_evaluating(evaluating);
    }
}
