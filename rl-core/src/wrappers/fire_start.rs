use super::noop_start::check_action;
use crate::{Discrete, Env, Image, Lives, Render, Result, Rng, Space, Step};

/// The action that launches the ball, and the one that follows it.
const ACTIONS: [usize; 2] = [1, 2];

/// Takes action 1 and then action 2 after each reset, for games that stand still until FIRE, which is action 1 where the
/// Arcade Learning Environment has it. An episode that ends in one of these steps is reset, as in Stable-Baselines3's
/// `FireResetEnv`, and what they earn is dropped. (After a reset that follows action 2, the observation here is that of
/// the reset; there it is that of the end.)
///
/// An environment does not say what its actions mean: use this only where action 1 is FIRE.
///
/// ```
/// use rl_core::toy::Game;
/// use rl_core::{Env, FireStart, Seeds};
/// let mut env = FireStart::new(Game::default())?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), vec![0; 3 * 210 * 160]);
/// env.reset(&mut rng, &mut obs)?;
/// let frames = env.state().unwrap(); // the game's state is the number of its frames
/// assert_eq!(frames, 2);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FireStart<E> {
    env: E,
    enabled: bool,
    continued: bool,
}

impl<E: Env<Action = Discrete>> FireStart<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for an environment with fewer than three actions.
    pub fn new(env: E) -> Result<Self> {
        FireStart::switched(env, true)
    }

    /// Passes everything on unless `enabled`, so that a setting does not change the type.
    pub(super) fn switched(env: E, enabled: bool) -> Result<Self> {
        if enabled {
            ACTIONS.iter().try_for_each(|a| check_action("action at a start", *a, &env))?;
        }
        Ok(FireStart { env, enabled, continued: false })
    }
}

impl<E: Env<Action = Discrete>> Env for FireStart<E> {
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
        for action in ACTIONS.into_iter().filter(|_| self.enabled) {
            if self.env.step(action, rng, obs)?.end.is_some() {
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

impl<E: Lives<Action = Discrete>> Lives for FireStart<E> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render<Action = Discrete>> Render for FireStart<E> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
