use super::noop_start::{GAME_FRAMES, check_noop_max};
use crate::{
    BoxSpace, Discrete, EpisodicLife, FireStart, FrameSkip, FrameStack, Greyscale, Lives,
    MapReward, NoopStart, Resize, Result, Seeds, SerialVecEnv, ToSign, VecEnv, check,
    wrappers::crop::image_shape,
};
use serde::{Deserialize, Serialize};

/// A game as [`AtariConfig::wrap`] shows it: `[frame_stack, screen_size, screen_size]`.
pub type Atari<E> = FrameStack<Resize<Greyscale<FireStart<EpisodicLife<FrameSkip<NoopStart<E>>>>>>>;

/// Environments as [`AtariConfig::clip`] shows them.
pub type AtariVecEnv<V> = MapReward<V, Option<ToSign>>;

/// The frames that a stack may hold: far more than any that was published, and less than fills a memory.
const MAX_STACK: u64 = 256;

/// The preprocessing of Atari games, with the settings of Mnih et al. (2015) in the order of Stable-Baselines3's
/// `AtariWrapper`. From the game outwards: [`NoopStart`], [`FrameSkip`] on raw frames, [`EpisodicLife`], [`FireStart`],
/// [`Greyscale`], [`Resize`], [`FrameStack`], and for the vectorised environment [`ClipReward`](crate::ClipReward).
///
/// The game must show every frame by itself, as `[3, height, width]` in red, green and blue. Machado et al. (2018) advise
/// against ends at lost lives, and for actions that stick with probability 0.25; the latter is the emulator's setting.
///
/// A game may go on for ever, as Breakout does where nobody fires: emulators cut it after 108,000 frames, and where one does
/// not, [`TimeLimit`](crate::TimeLimit) goes around the game itself. Stacks begin with the first frame repeated, as in
/// Gymnasium; Stable-Baselines3's begin with zeros.
///
/// ```
/// use rl_core::toy::Game;
/// use rl_core::{AtariConfig, Env, Seeds, VecEnv};
/// let config = AtariConfig { fire_on_reset: true, ..AtariConfig::default() };
/// assert_eq!(config.wrap(Game::default())?.observation_space().shape(), [4, 84, 84]);
/// let mut envs = config.vectorise(vec![Game::default(), Game::default()], Seeds::new(0))?;
/// envs.reset()?;
/// envs.step(&[3, 0])?;
/// assert_eq!(envs.batch().width(), 4 * 84 * 84);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AtariConfig {
    /// The frames for which an action is taken; 4 (Mnih et al., 2015). With 1 no frames are compared either.
    pub frame_skip: u32,
    /// The most frames without an action at the start of a game; 30 (Mnih et al., 2015). Zero for none.
    pub noop_max: u32,
    /// Whether a lost life ends the episode; true (Mnih et al., 2015).
    pub terminal_on_life_loss: bool,
    /// Whether an episode begins with FIRE; false, since many games have no such action. Stable-Baselines3 does it where
    /// the game has it, and then it is action 1.
    pub fire_on_reset: bool,
    /// The height and width shown; 84 (Mnih et al., 2015).
    pub screen_size: usize,
    /// The frames shown at once; 4 (Mnih et al., 2015).
    pub frame_stack: usize,
    /// Whether learners are shown the sign of a reward in its place; true (Mnih et al., 2015).
    pub clip_reward: bool,
}

impl Default for AtariConfig {
    fn default() -> Self {
        AtariConfig {
            frame_skip: 4,
            noop_max: 30,
            terminal_on_life_loss: true,
            fire_on_reset: false,
            screen_size: 84,
            frame_stack: 4,
            clip_reward: true,
        }
    }
}

impl AtariConfig {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the field: a `frame_skip`, `screen_size` or `frame_stack` of
    /// zero; a `frame_skip` or `noop_max` above 108,000, the frames of half an hour; a `frame_stack` above 256.
    pub fn validate(&self) -> Result<()> {
        let skip = self.frame_skip.into();
        check::at_least("frame_skip", 1, skip)?;
        check::at_most("frame_skip", GAME_FRAMES.into(), "the frames of half an hour", skip)?;
        check_noop_max(self.noop_max)?;
        check::at_least("screen_size", 1, self.screen_size as u64)?;
        check::at_least("frame_stack", 1, self.frame_stack as u64)?;
        check::at_most("frame_stack", MAX_STACK, "the longest stack", self.frame_stack as u64)
    }

    /// Shows one game so. Rewards are not clipped, see [`clip`](AtariConfig::clip). The no-op action is 0.
    ///
    /// # Errors
    /// Those of [`validate`](AtariConfig::validate). [`Error::Config`](crate::Error::Config) for observations other than
    /// `[3, height, width]`, a `screen_size` above the height or width, and with `fire_on_reset` fewer than three actions.
    pub fn wrap<E>(&self, env: E) -> Result<Atari<E>>
    where
        E: Lives<Obs = BoxSpace<u8>, Action = Discrete>,
    {
        self.validate()?;
        let [_, height, width] = image_shape(&env)?;
        let (size, side) = (self.screen_size, height.min(width));
        check::at_most("screen_size", side as u64, "the images' smaller side", size as u64)?;
        let env = FrameSkip::new(NoopStart::up_to(env, self.noop_max), self.frame_skip)?;
        let env = EpisodicLife::switched(env, self.terminal_on_life_loss);
        let env = Greyscale::new(FireStart::switched(env, self.fire_on_reset)?)?;
        FrameStack::new(Resize::new(env, size, size)?, self.frame_stack)
    }

    /// Clips the rewards of vectorised environments, where `clip_reward` says so: a
    /// [`ThreadedVecEnv`](crate::ThreadedVecEnv), say.
    pub fn clip<V: VecEnv>(&self, envs: V) -> AtariVecEnv<V> {
        MapReward::wrap(envs, self.clip_reward.then_some(ToSign))
    }

    /// Shows several games so, stepped one after another on this thread.
    ///
    /// # Errors
    /// Those of [`wrap`](AtariConfig::wrap) and [`SerialVecEnv::new`].
    pub fn vectorise<E>(
        &self,
        envs: Vec<E>,
        seeds: Seeds,
    ) -> Result<AtariVecEnv<SerialVecEnv<Atari<E>>>>
    where
        E: Lives<Obs = BoxSpace<u8>, Action = Discrete>,
    {
        let envs = envs.into_iter().map(|env| self.wrap(env)).collect::<Result<Vec<_>>>()?;
        Ok(self.clip(SerialVecEnv::new(envs, seeds)?))
    }
}
