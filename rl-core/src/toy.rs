//! Environments and agents of a few lines, for documentation and tests: what one needs to try a wrapper, a callback or a
//! loop without another crate.
//!
//! ```
//! use rl_core::toy::{RightAnswer, Sign};
//! use rl_core::{NormalizeReward, Seeds, SerialVecEnv, evaluate};
//! let envs = SerialVecEnv::new(vec![Sign::with_length(10)], Seeds::new(0))?;
//! // A wrapper that normalises rewards leaves the returns of episodes as they are.
//! let mut envs = NormalizeReward::new(envs, 0.99, 10.0)?;
//! assert_eq!(evaluate(&mut RightAnswer, &mut envs, 3)?.mean(), 10.0);
//! # Ok::<(), rl_core::Error>(())
//! ```

use crate::{BoxSpace, Discrete, Env, Image, Lives, Render, Result, Rng, Space, Step};

/// Guess whether the observed number is positive: reward 1 if right; episodes have `length` steps.
#[derive(Clone, Debug)]
pub struct Sign {
    x: f32,
    t: u32,
    length: u32,
}

impl Default for Sign {
    fn default() -> Self {
        Sign::with_length(1)
    }
}

impl Sign {
    /// Episodes that terminate after `length` steps.
    pub fn with_length(length: u32) -> Self {
        Sign { x: 0.0, t: 0, length }
    }
}

impl Env for Sign {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = (f32, u32);

    #[allow(clippy::expect_used)] // The bounds are constant.
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0], vec![1.0]).expect("low < high")
    }

    #[allow(clippy::expect_used)] // The argument is constant.
    fn action_space(&self) -> Discrete {
        Discrete::new(2).expect("two choices")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.t = 0;
        self.x = rng.uniform(-1.0, 1.0) as f32;
        obs.fill(self.x);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let reward = if (action == 1) == (self.x > 0.0) { 1.0 } else { 0.0 };
        self.t += 1;
        self.x = rng.uniform(-1.0, 1.0) as f32;
        obs.fill(self.x);
        Ok(Step::terminated_if(self.t == self.length, reward))
    }

    fn state(&self) -> Option<(f32, u32)> {
        Some((self.x, self.t))
    }

    fn set_state(&mut self, (x, t): (f32, u32)) -> Result<()> {
        (self.x, self.t) = (x, t);
        Ok(())
    }
}

/// The brighter, the larger the number.
impl Render for Sign {
    fn image_size(&self) -> [usize; 2] {
        [4, 6]
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        image.fill([(127.5 * (self.x + 1.0)) as u8; 3]);
        Ok(())
    }
}

/// Random images of any shape, anew in every step, with the first pixel as the reward.
#[derive(Clone, Debug)]
pub struct Images {
    space: BoxSpace<u8>,
}

impl Images {
    /// Images of this shape.
    ///
    /// # Errors
    /// Those of [`BoxSpace::image`].
    pub fn new(shape: &[usize]) -> Result<Self> {
        Ok(Images { space: BoxSpace::image(shape)? })
    }
}

impl Env for Images {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = ();

    fn observation_space(&self) -> BoxSpace<u8> {
        self.space.clone()
    }

    #[allow(clippy::expect_used)] // The argument is constant.
    fn action_space(&self) -> Discrete {
        Discrete::new(2).expect("two choices")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.space.sample(rng, obs);
        Ok(())
    }

    fn step(&mut self, _: usize, rng: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.space.sample(rng, obs);
        Ok(Step::running(f32::from(obs[0])))
    }

    fn state(&self) -> Option<()> {
        Some(())
    }

    fn set_state(&mut self, _: ()) -> Result<()> {
        Ok(())
    }
}

/// A game of three lives, each of ten frames, `[3, 210, 160]`, which grow brighter. It counts its frames.
#[derive(Clone, Debug, Default)]
pub struct Game {
    frames: u32,
}

impl Env for Game {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = u32;

    #[allow(clippy::expect_used)] // The argument is constant.
    fn observation_space(&self) -> BoxSpace<u8> {
        BoxSpace::image(&[3, 210, 160]).expect("positive")
    }

    #[allow(clippy::expect_used)] // The argument is constant.
    fn action_space(&self) -> Discrete {
        Discrete::new(4).expect("four choices")
    }

    fn reset(&mut self, _: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.frames = 0;
        obs.fill(0);
        Ok(())
    }

    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.frames += 1;
        obs.fill(8 * self.frames.min(30) as u8);
        Ok(Step::terminated_if(self.frames >= 30, 2.0))
    }

    fn state(&self) -> Option<u32> {
        Some(self.frames)
    }

    fn set_state(&mut self, frames: u32) -> Result<()> {
        self.frames = frames;
        Ok(())
    }
}

impl Lives for Game {
    fn lives(&self) -> u32 {
        3u32.saturating_sub(self.frames / 10)
    }
}

/// The optimal policy of [`Sign`].
#[derive(Clone, Debug)]
pub struct RightAnswer;

impl crate::Policy for RightAnswer {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [u32]) -> Result<()> {
        for (x, a) in observations.iter().zip(actions) {
            *a = u32::from(*x > 0.0);
        }
        Ok(())
    }
}

/// An agent that acts at random and does not learn.
#[derive(Clone, Debug)]
pub struct Guess(Rng);

impl Default for Guess {
    fn default() -> Self {
        Guess(crate::Seeds::new(0).stream("agent", 0))
    }
}

impl crate::Policy for Guess {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, _: &[f32], actions: &mut [u32]) -> Result<()> {
        actions.fill(0);
        Ok(())
    }
}

impl crate::Agent for Guess {
    fn name(&self) -> &'static str {
        "guess"
    }
    fn act(&mut self, _: &[f32], _: crate::Progress, actions: &mut [u32]) -> Result<()> {
        actions.fill_with(|| self.0.below(2) as u32);
        Ok(())
    }
    fn observe(&mut self, _: &crate::Transitions<'_, f32, u32>) -> Result<()> {
        Ok(())
    }
    fn update(&mut self, progress: crate::Progress, metrics: &mut crate::Metrics) -> Result<()> {
        metrics.record("progress", progress.fraction());
        Ok(())
    }
    fn save_policy(&self, _: &mut crate::Sections) -> Result<()> {
        Ok(())
    }
    fn load_policy(&mut self, _: &crate::Sections) -> Result<()> {
        Ok(())
    }
    fn save(&self, out: &mut crate::Sections) -> Result<()> {
        out.put("rng", &self.0)
    }
    fn load(&mut self, from: &crate::Sections) -> Result<()> {
        self.0 = from.get("rng")?;
        Ok(())
    }
}
