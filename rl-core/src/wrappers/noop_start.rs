use crate::{Discrete, Env, Error, Image, Lives, Render, Result, Rng, Space, Step, check};

/// The frames of half an hour, after which a game is cut as a rule (Hessel et al., 2018, appendix): more are a mistake.
pub(super) const GAME_FRAMES: u32 = 108_000;

/// Does nothing for 1 to `noop_max` steps after a reset, a uniformly random number of them, so that a deterministic game
/// does not always start alike (Mnih et al., 2015). An episode that ends in these steps is reset, and the remaining ones
/// follow, as in Stable-Baselines3's `NoopResetEnv`. What these steps earn is dropped.
///
/// ```
/// use rl_core::toy::Game;
/// use rl_core::{Env, NoopStart, Seeds};
/// let mut env = NoopStart::new(Game::default(), 5)?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), vec![0; 3 * 210 * 160]);
/// env.reset(&mut rng, &mut obs)?;
/// let frames = env.state().unwrap(); // the game's state is the number of its frames
/// assert!((1..=5).contains(&frames));
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoopStart<E> {
    env: E,
    noop: usize,
    noop_max: u32,
    continued: bool,
}

impl<E: Env<Action = Discrete>> NoopStart<E> {
    /// Wraps `env`, whose action 0 does nothing; `noop_max` is 30 as published.
    ///
    /// # Errors
    /// [`Error::Config`] for a `noop_max` of zero or above 108,000, the frames of half an hour.
    pub fn new(env: E, noop_max: u32) -> Result<Self> {
        check::at_least("noop_max", 1, noop_max.into())?;
        check_noop_max(noop_max)?;
        NoopStart::up_to(env, noop_max).with_noop(0)
    }

    /// The same, where `noop` is the action that does nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for an action that the environment does not have.
    pub fn with_noop(self, noop: usize) -> Result<Self> {
        check_action("no-op action", noop, &self.env)?;
        Ok(NoopStart { noop, ..self })
    }

    /// With a `noop_max` of zero everything is passed on, so that a setting does not change the type.
    pub(super) fn up_to(env: E, noop_max: u32) -> Self {
        NoopStart { env, noop: 0, noop_max, continued: false }
    }
}

pub(super) fn check_noop_max(noop_max: u32) -> Result<()> {
    check::at_most("noop_max", GAME_FRAMES.into(), "the frames of half an hour", noop_max.into())
}

/// Checks that `env` has this action.
pub(super) fn check_action<E>(what: &str, action: usize, env: &E) -> Result<()>
where
    E: Env<Action = Discrete>,
{
    match env.action_space().n() {
        n if action < n => Ok(()),
        n => Err(Error::config(what, format_args!("an index below {n}"), action)),
    }
}

impl<E: Env<Action = Discrete>> Env for NoopStart<E> {
    type Obs = E::Obs;
    type Action = Discrete;
    type State = E::State;

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    fn action_space(&self) -> Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, obs)?;
        self.continued = self.env.continued();
        if self.noop_max == 0 {
            return Ok(());
        }
        for _ in 0..=rng.below(self.noop_max as usize) {
            if self.env.step(self.noop, rng, obs)?.end.is_some() {
                self.env.reset(rng, obs)?;
                self.continued &= self.env.continued();
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        action: usize,
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        self.env.step(action, rng, obs)
    }

    fn repeat(
        &mut self,
        action: usize,
        times: u32,
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
        before: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        self.env.repeat(action, times, rng, obs, before)
    }

    fn state(&self) -> Option<E::State> {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }

    fn continued(&self) -> bool {
        self.continued
    }
}

impl<E: Lives<Action = Discrete>> Lives for NoopStart<E> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render<Action = Discrete>> Render for NoopStart<E> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
