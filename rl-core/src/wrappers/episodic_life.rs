use super::noop_start::check_action;
use crate::{Discrete, End, Env, Image, Lives, Render, Result, Rng, Step};

/// Ends the episode as a termination where a life is lost, which teaches the value of a life (Mnih et al., 2015). The
/// next reset goes on with the game where it stands, by one no-op step, so that late parts of a game are seen too; it
/// starts a new game if the old one is over, or if that step ends it. As in Stable-Baselines3's `EpisodicLifeEnv`:
///
/// - a game with no life left goes on until it ends by itself: some show zero for a few frames;
/// - a won life ends nothing;
/// - a life lost in the step of a reset ends nothing, and its reward is dropped.
///
/// One thing differs: a reset in the midst of a life, which comes from outside, starts a new game here, and goes on with
/// the old one there. So an evaluation starts with new games, whatever was played before.
///
/// Learners see lives; episode statistics ([`Episode`](crate::Episode)) are those of whole games, since
/// [`Env::continued`] says which resets go on. Their returns and lengths are of the steps that were taken by the agent,
/// without those within a reset.
///
/// ```
/// use rl_core::toy::Game;
/// use rl_core::{End, Env, EpisodicLife, Lives, Seeds};
/// let mut env = EpisodicLife::new(Game::default())?; // a life lasts 10 frames
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), vec![0; 3 * 210 * 160]);
/// env.reset(&mut rng, &mut obs)?;
/// (0..9).try_for_each(|_| env.step(0, &mut rng, &mut obs).map(drop))?;
/// assert_eq!(env.step(0, &mut rng, &mut obs)?.end, Some(End::Terminated));
/// env.reset(&mut rng, &mut obs)?;
/// assert_eq!((env.lives(), env.continued()), (2, true));
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EpisodicLife<E> {
    env: E,
    noop: usize,
    enabled: bool,
    /// The lives after the last step or reset.
    lives: u32,
    /// Whether the last step lost a life and the game goes on.
    life_lost: bool,
    continued: bool,
}

impl<E: Lives<Action = Discrete>> EpisodicLife<E> {
    /// Wraps `env`, whose action 0 does nothing.
    ///
    /// # Errors
    /// None for an environment with actions.
    pub fn new(env: E) -> Result<Self> {
        EpisodicLife::switched(env, true).with_noop(0)
    }

    /// The same, where `noop` is the action that does nothing.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for an action that the environment does not have.
    pub fn with_noop(self, noop: usize) -> Result<Self> {
        check_action("no-op action", noop, &self.env)?;
        Ok(EpisodicLife { noop, ..self })
    }

    /// Passes everything on unless `enabled`, so that a setting does not change the type.
    pub(super) fn switched(env: E, enabled: bool) -> Self {
        EpisodicLife { env, noop: 0, enabled, lives: 0, life_lost: false, continued: false }
    }
}

impl<E: Lives<Action = Discrete>> Env for EpisodicLife<E> {
    type Obs = E::Obs;
    type Action = Discrete;
    /// The lives, whether one was just lost, and the environment's state.
    type State = (u32, bool, E::State);

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    fn action_space(&self) -> Discrete {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as crate::Space>::Elem]) -> Result<()> {
        let goes_on = self.life_lost && self.env.step(self.noop, rng, obs)?.end.is_none();
        if !goes_on {
            self.env.reset(rng, obs)?;
        }
        self.continued = goes_on || self.env.continued();
        self.life_lost = false;
        self.lives = self.env.lives();
        Ok(())
    }

    fn step(
        &mut self,
        action: usize,
        rng: &mut Rng,
        obs: &mut [<E::Obs as crate::Space>::Elem],
    ) -> Result<Step> {
        let mut step = self.env.step(action, rng, obs)?;
        let lives = self.env.lives();
        let lost = self.enabled && (1..self.lives).contains(&lives);
        self.lives = lives;
        self.life_lost = lost && step.end.is_none();
        if lost {
            // Of a life that is lost in the very step of a truncation, the value is known: nothing.
            step.end = Some(End::Terminated);
        }
        Ok(step)
    }

    fn state(&self) -> Option<Self::State> {
        Some((self.lives, self.life_lost, self.env.state()?))
    }

    fn set_state(&mut self, (lives, life_lost, state): Self::State) -> Result<()> {
        self.env.set_state(state)?;
        (self.lives, self.life_lost) = (lives, life_lost);
        Ok(())
    }

    fn continued(&self) -> bool {
        self.continued
    }
}

impl<E: Lives<Action = Discrete>> Lives for EpisodicLife<E> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render + Lives<Action = Discrete>> Render for EpisodicLife<E> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
