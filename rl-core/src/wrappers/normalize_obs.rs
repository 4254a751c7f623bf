use crate::{
    BadNumbers, BoxSpace, Error, Metrics, Normalizer, Result, RunningMoments, Seeds, Space,
    StepBatch, VecEnv, check, codec,
};

/// Normalises observations by their running mean and standard deviation, each dimension by its
/// own, and clips the result at ±`clip`.
///
/// A frozen wrapper no longer learns from what it sees, nor does one in an [`evaluate`](crate::evaluate()); give it the
/// training environment's moments with [`VecEnv::set_moments`], without which its reset fails.
///
/// Final observations are normalised with the same moments as the others. Made for on-policy
/// learning: what a replay memory holds keeps the scale of the time it was stored; agents that have one normalise what
/// they draw from it by a [`Normalizer`] of their own.
#[derive(Debug)]
pub struct NormalizeObs<V> {
    envs: V,
    space: BoxSpace,
    normalizer: Normalizer,
    frozen: bool,
    evaluating: bool,
    batch: StepBatch<f32>,
}

impl<V: VecEnv<Obs = BoxSpace>> NormalizeObs<V> {
    /// Wraps `envs`; `clip` is 10 in the PPO reference code (Andrychowicz et al., 2021).
    ///
    /// # Errors
    /// [`Error::Config`] where `clip` is not positive.
    pub fn new(envs: V, clip: f32) -> Result<Self> {
        let width = envs.observation_space().width();
        let normalizer = Normalizer::new(width, clip)?;
        Ok(NormalizeObs {
            space: BoxSpace::new(vec![-clip; width], vec![clip; width])?,
            normalizer,
            frozen: false,
            evaluating: false,
            batch: StepBatch::new(envs.num_envs(), width),
            envs,
        })
    }

    /// Leaves the last `n` numbers of each observation as they are: an action mask, say.
    ///
    /// # Errors
    /// [`Error::Config`] for more numbers than an observation has.
    pub fn except_last(mut self, n: usize) -> Result<Self> {
        self.normalizer = self.normalizer.except_last(n)?;
        let (width, inner) = (self.space.width(), self.envs.observation_space());
        let bounds = |clip, kept: &[f32]| {
            let normalized = vec![clip; width - n];
            [&normalized[..], &kept[width - n..]].concat()
        };
        let clip = self.normalizer.clip();
        self.space = BoxSpace::new(bounds(-clip, inner.low()), bounds(clip, inner.high()))?;
        Ok(self)
    }

    /// Stops learning from observations.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    fn show(&mut self, after_step: bool) -> Result<()> {
        let shown = self.envs.batch();
        if !(self.frozen || self.evaluating) {
            self.normalizer.update(shown.observations());
        } else if self.normalizer.moments().count() == 0.0 {
            let expected = "those of the training environments, by set_moments";
            return Err(Error::mismatch("moments of a frozen normaliser", expected, "none"));
        }
        if after_step {
            self.batch.begin_step();
        } else {
            self.batch.begin_episodes();
        }
        let shown = self.envs.batch();
        let rows = self.batch.rows_mut();
        self.normalizer.write(shown.observations(), rows.observations);
        self.normalizer.write(shown.finals(), rows.finals);
        rows.rewards.copy_from_slice(shown.rewards());
        rows.ends.copy_from_slice(shown.ends());
        rows.episodes.extend_from_slice(shown.episodes());
        *rows.bad_steps = shown.bad_steps();
        Ok(())
    }
}

impl<V: VecEnv<Obs = BoxSpace>> VecEnv for NormalizeObs<V> {
    type Obs = BoxSpace;
    type Action = V::Action;

    fn observation_space(&self) -> &BoxSpace {
        &self.space
    }

    fn action_space(&self) -> &V::Action {
        self.envs.action_space()
    }

    fn batch(&self) -> &StepBatch<f32> {
        &self.batch
    }

    fn reset(&mut self) -> Result<()> {
        self.envs.reset()?;
        self.show(false)
    }

    fn step(&mut self, actions: &[<V::Action as Space>::Elem]) -> Result<()> {
        self.envs.step(actions)?;
        self.show(true)
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        self.envs.reseed(seeds)
    }

    fn save(&self) -> Result<Vec<u8>> {
        let shown = (self.batch.observations(), self.batch.reset_since());
        codec::encode(&(self.envs.save()?, self.normalizer.moments(), shown))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        type Shown = (Vec<f32>, Vec<bool>);
        let (inner, moments, shown): (Vec<u8>, RunningMoments, Shown) =
            codec::decode("observation normaliser", bytes)?;
        let (observations, reset_since) = shown;
        moments.check(self.space.width())?;
        check::len("saved observations", self.batch.observations().len(), observations.len())?;
        self.envs.load(&inner)?;
        self.normalizer.set_moments(moments)?;
        if self.envs.resumes_exactly() {
            return self.batch.restore(&observations, &reset_since);
        }
        // Where an episode had to begin, its first observation replaces the saved one.
        let (mut observations, width) = (observations, self.space.width());
        let inner = self.envs.batch();
        let rows =
            observations.chunks_exact_mut(width).zip(inner.observations().chunks_exact(width));
        for ((to, from), _) in rows.zip(inner.reset_since()).filter(|(_, reset)| **reset) {
            self.normalizer.write(from, to);
        }
        self.batch.restore(&observations, inner.reset_since())?;
        *self.batch.rows_mut().bad_steps = inner.bad_steps();
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
        Some(&self.normalizer)
    }

    fn moments(&self) -> Vec<RunningMoments> {
        let mut all = self.envs.moments();
        all.push(self.normalizer.moments().clone());
        all
    }

    fn set_moments(&mut self, moments: &[RunningMoments]) -> Result<()> {
        let Some((own, inner)) = moments.split_last() else {
            return check::len("normalisation moments", 1, 0);
        };
        own.check(self.space.width())?;
        self.envs.set_moments(inner)?;
        self.normalizer.set_moments(own.clone())
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
