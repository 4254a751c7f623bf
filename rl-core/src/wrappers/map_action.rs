use crate::{Env, Image, Lives, Render, Result, Rng, Space, Step};

/// How an action reaches the environment: what differs between wrappers of actions. [`MapAction`] is the wrapper.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{ActionMap, Discrete, Env, MapAction, Result, Seeds};
/// /// Swaps the two actions.
/// #[derive(Clone)]
/// struct Swap;
///
/// impl<E: Env<Action = Discrete>> ActionMap<E> for Swap {
///     type Action = Discrete;
///     fn space(&self, env: &E) -> Result<Discrete> {
///         Ok(env.action_space())
///     }
///     fn map(&self, action: usize, to: &mut [u32]) -> Result<()> {
///         to[0] = 1 - action as u32;
///         Ok(())
///     }
/// }
/// let mut env = MapAction::wrap(Sign::default(), Swap)?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0]);
/// env.reset(&mut rng, &mut obs)?;
/// let wrong = usize::from(obs[0] > 0.0);
/// assert_eq!(env.step(wrong, &mut rng, &mut obs)?.reward, 0.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait ActionMap<E: Env>: Send {
    /// The kind of action that is offered.
    type Action: Space;

    /// The extent of what is offered.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for actions that cannot be offered so.
    fn space(&self, env: &E) -> Result<Self::Action>;

    /// Writes the environment's action for the one chosen.
    ///
    /// # Errors
    /// An action that has no counterpart.
    fn map(
        &self,
        action: <Self::Action as Space>::Value<'_>,
        to: &mut [<E::Action as Space>::Elem],
    ) -> Result<()>;
}

/// An environment that takes its actions in another form, see [`ActionMap`].
#[derive(Clone, Debug)]
pub struct MapAction<E: Env, M: ActionMap<E>> {
    env: E,
    map: M,
    space: M::Action,
    inner: Vec<<E::Action as Space>::Elem>,
}

impl<E: Env, M: ActionMap<E>> MapAction<E, M> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// Those of [`ActionMap::space`].
    pub fn wrap(env: E, map: M) -> Result<Self> {
        let space = map.space(&env)?;
        let inner = vec![Default::default(); env.action_space().width()];
        Ok(MapAction { env, map, space, inner })
    }

    /// The wrapped environment.
    pub fn env(&self) -> &E {
        &self.env
    }
}

impl<E: Env, M: ActionMap<E>> Env for MapAction<E, M> {
    type Obs = E::Obs;
    type Action = M::Action;
    type State = E::State;

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    fn action_space(&self) -> M::Action {
        self.space.clone()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: <M::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        self.map.map(action, &mut self.inner)?;
        self.env.step(E::Action::value(&self.inner), rng, obs)
    }

    fn state(&self) -> Option<E::State> {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }

    fn continued(&self) -> bool {
        self.env.continued()
    }
}

impl<E: Lives, M: ActionMap<E>> Lives for MapAction<E, M> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render, M: ActionMap<E>> Render for MapAction<E, M> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
