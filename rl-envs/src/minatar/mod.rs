//! MinAtar (Young and Tian, 2019): miniature versions of Atari games on a grid of 10 by 10, whose observations are planes of
//! flags. Written from the paper's rules and from what the `minatar` package (1.0.15) does, with which the tests compare
//! them step by step.

mod asterix;
mod breakout;
mod freeway;
mod picture;
mod space_invaders;
#[cfg(test)]
mod traces;

pub use asterix::Asterix;
pub use breakout::Breakout;
pub use freeway::Freeway;
pub use space_invaders::SpaceInvaders;

use crate::fixed;
use rl_core::{BoxSpace, Discrete, End, Env, Error, Result, Rng, Step};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Height and width of the grid.
pub(crate) const SIDE: usize = 10;

/// Where a game's random choices come from: the generator, or a recorded trace.
pub trait Choices {
    /// A number in `[0, 1)`.
    fn unit(&mut self) -> f64;
    /// An integer below `n`.
    fn below(&mut self, n: usize) -> usize;
}

impl Choices for Rng {
    fn unit(&mut self) -> f64 {
        self.uniform(0.0, 1.0)
    }

    fn below(&mut self, n: usize) -> usize {
        Rng::below(self, n)
    }
}

/// The six actions that the games have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Noop,
    /// One cell to the left.
    Left,
    /// One cell up.
    Up,
    /// One cell to the right.
    Right,
    /// One cell down.
    Down,
    /// A shot.
    Fire,
}

use Action::{Down, Fire, Left, Noop, Right, Up};

/// In the order of their numbers.
const ACTIONS: [Action; 6] = [Noop, Left, Up, Right, Down, Fire];

/// What differs between the games.
pub trait Game: Clone + Send + Serialize + DeserializeOwned + 'static {
    /// Planes of an observation.
    const CHANNELS: usize;
    /// The actions that have an effect.
    const MINIMAL: &'static [Action];

    /// The beginning of an episode.
    fn start(choices: &mut impl Choices) -> Self;

    /// One frame. Where `ramping`, the game grows harder as it goes on.
    fn advance(
        &mut self,
        action: Action,
        ramping: bool,
        choices: &mut impl Choices,
    ) -> (u32, Option<End>);

    /// Whether play can go on from these numbers, which may come from a damaged file; yes by default.
    fn is_playable(&self) -> bool {
        true
    }

    /// Marks what is where: calls `mark(channel, y, x)` for each flag that is set.
    fn show(&self, mark: impl FnMut(usize, usize, usize));
}

/// A game of MinAtar. Observations are `[channels, 10, 10]`, flags of 0 or 1.
///
/// ```
/// use rl_core::{Env, Seeds, Space};
/// use rl_envs::{Breakout, MinAtar};
/// let mut env = MinAtar::<Breakout>::default();
/// assert_eq!((env.observation_space().shape(), env.action_space().n()), (&[4, 10, 10][..], 6));
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), vec![0; 400]);
/// env.reset(&mut rng, &mut obs)?;
/// // Three rows of bricks, the paddle, the ball, and its trail.
/// assert_eq!(obs.iter().sum::<u8>(), 30 + 3);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MinAtar<G> {
    actions: &'static [Action],
    sticky: f64,
    ramping: bool,
    /// What repeats itself, from one episode to the next too, as in the package.
    last_action: usize,
    /// None before the first reset and after an episode's end.
    game: Option<G>,
    /// The game of the episode that ended last, for its picture alone: no step and no observation depends on it, so it
    /// is not part of the state.
    ended: Option<G>,
}

impl<G: Game> Default for MinAtar<G> {
    /// As published: all six actions, an action that repeats itself in one of ten frames, games that grow harder.
    fn default() -> Self {
        MinAtar {
            actions: &ACTIONS,
            sticky: 0.1,
            ramping: true,
            last_action: 0,
            game: None,
            ended: None,
        }
    }
}

impl<G: Game> MinAtar<G> {
    /// Offers the actions alone that have an effect, as the package's `-v1` does.
    pub fn minimal(self) -> Self {
        MinAtar { actions: G::MINIMAL, ..self }
    }

    /// The probability that the last action is taken in place of the one asked for; 0.1.
    ///
    /// # Errors
    /// [`Error::Config`] for a number outside `[0, 1]`.
    pub fn with_sticky_actions(self, probability: f64) -> Result<Self> {
        rl_core::check::fraction("sticky_actions", probability)?;
        Ok(MinAtar { sticky: probability, ..self })
    }

    /// Whether Asterix and Space Invaders grow harder as they go on; yes.
    pub fn with_ramping(self, ramping: bool) -> Self {
        MinAtar { ramping, ..self }
    }

    fn start(&mut self, choices: &mut impl Choices, obs: &mut [u8]) {
        let game = G::start(choices);
        show(&game, obs);
        (self.game, self.ended) = (Some(game), None);
    }

    fn advance(
        &mut self,
        action: usize,
        choices: &mut impl Choices,
        obs: &mut [u8],
    ) -> Result<Step> {
        let n = self.actions.len();
        if action >= n {
            return Err(Error::mismatch("action", format_args!("an index below {n}"), action));
        }
        let Some(game) = &mut self.game else {
            return Err(Error::Env("step before a reset, or after an episode's end".into()));
        };
        if choices.unit() >= self.sticky {
            self.last_action = action;
        }
        let (reward, end) = game.advance(self.actions[self.last_action], self.ramping, choices);
        show(game, obs);
        if end.is_some() {
            self.ended = self.game.take();
        }
        Ok(Step { reward: reward as f32, end })
    }
}

fn show(game: &impl Game, obs: &mut [u8]) {
    obs.fill(0);
    game.show(|channel, y, x| obs[(channel * SIDE + y) * SIDE + x] = 1);
}

impl<G: Game> Env for MinAtar<G> {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = (usize, Option<G>);

    fn observation_space(&self) -> BoxSpace<u8> {
        fixed::planes(&[G::CHANNELS, SIDE, SIDE])
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(self.actions.len() as u32)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.start(rng, obs);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.advance(action, rng, obs)
    }

    fn state(&self) -> Option<Self::State> {
        Some((self.last_action, self.game.clone()))
    }

    fn set_state(&mut self, (last_action, game): Self::State) -> Result<()> {
        rl_core::check::at_most(
            "last action",
            self.actions.len() as u64 - 1,
            "the last action's number",
            last_action as u64,
        )?;
        if game.as_ref().is_some_and(|game| !game.is_playable()) {
            return Err(Error::mismatch("state of the game", "one that play leads to", "another"));
        }
        (self.last_action, self.game, self.ended) = (last_action, game, None);
        Ok(())
    }
}

/// One cell left, right or not, within the grid.
pub(crate) fn sideways(x: usize, action: Action) -> usize {
    match action {
        Left => x.saturating_sub(1),
        Right => (x + 1).min(SIDE - 1),
        _ => x,
    }
}
