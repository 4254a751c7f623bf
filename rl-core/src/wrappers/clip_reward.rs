use crate::{End, MapReward, Result, RewardMap, VecEnv};

/// Shows the sign of each reward, -1, 0 or 1, so that games of different scores share settings (Mnih et al., 2015).
///
/// Episode statistics ([`StepBatch::episodes`](crate::StepBatch::episodes)) keep the environment's own rewards.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{ClipReward, Seeds, SerialVecEnv, VecEnv};
/// let envs = SerialVecEnv::new(vec![Images::new(&[1])?], Seeds::new(0))?;
/// let mut envs = ClipReward::new(envs);
/// envs.reset()?;
/// envs.step(&[0])?;
/// // The reward was the value of a pixel, from 0 to 255.
/// assert!(envs.batch().rewards()[0] <= 1.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type ClipReward<V> = MapReward<V, ToSign>;

/// The mapping of [`ClipReward`].
#[derive(Clone, Copy, Debug)]
pub struct ToSign;

impl<V: VecEnv> ClipReward<V> {
    /// Wraps `envs`.
    pub fn new(envs: V) -> Self {
        MapReward::wrap(envs, ToSign)
    }
}

impl RewardMap for ToSign {
    fn map(&mut self, rewards: &mut [f32], _: &[Option<End>], _: bool) -> Result<()> {
        for reward in rewards {
            // `signum` of zero is one. A NaN stays one, and is refused where transitions are checked.
            *reward = if *reward == 0.0 { 0.0 } else { reward.signum() };
        }
        Ok(())
    }
}
