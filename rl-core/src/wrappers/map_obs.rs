use crate::{Env, Image, Lives, Render, Result, Rng, Space, Step};

/// How an observation is shown: what differs between wrappers of observations. [`MapObs`] is the wrapper.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{BoxSpace, Env, MapObs, ObsMap, Result, Seeds, Space};
/// /// Shows twice as much.
/// #[derive(Clone)]
/// struct Double;
///
/// impl<E: Env<Obs = BoxSpace>> ObsMap<E> for Double {
///     type Obs = BoxSpace;
///     fn space(&self, env: &E) -> Result<BoxSpace> {
///         let inner = env.observation_space();
///         let twice = |bounds: &[f32]| bounds.iter().map(|x| 2.0 * x).collect();
///         BoxSpace::new(twice(inner.low()), twice(inner.high()))
///     }
///     fn map(&self, _: &E, from: &[f32], to: &mut [f32]) -> Result<()> {
///         to.iter_mut().zip(from).for_each(|(to, from)| *to = 2.0 * from);
///         Ok(())
///     }
/// }
/// let mut env = MapObs::wrap(Sign::default(), Double)?;
/// let mut obs = [0.0];
/// env.reset(&mut Seeds::new(0).stream("env", 0), &mut obs)?;
/// assert!(env.observation_space().check("observation", &obs).is_ok());
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait ObsMap<E: Env>: Send {
    /// The kind of observation that is shown.
    type Obs: Space;

    /// The extent of what is shown.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for observations that cannot be shown so.
    fn space(&self, env: &E) -> Result<Self::Obs>;

    /// Writes what is shown of the observation `from`, after the reset or step of `env` that gave it. A mapping keeps
    /// nothing from one step to the next: what does is an environment of its own, whose state can be saved.
    ///
    /// # Errors
    /// An observation that cannot be shown.
    fn map(
        &self,
        env: &E,
        from: &[<E::Obs as Space>::Elem],
        to: &mut [<Self::Obs as Space>::Elem],
    ) -> Result<()>;
}

/// An environment whose observations are shown in another form, see [`ObsMap`].
#[derive(Clone, Debug)]
pub struct MapObs<E: Env, M: ObsMap<E>> {
    env: E,
    map: M,
    space: M::Obs,
    inner: Vec<<E::Obs as Space>::Elem>,
}

impl<E: Env, M: ObsMap<E>> MapObs<E, M> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// Those of [`ObsMap::space`].
    pub fn wrap(env: E, map: M) -> Result<Self> {
        let space = map.space(&env)?;
        let inner = vec![Default::default(); env.observation_space().width()];
        Ok(MapObs { env, map, space, inner })
    }

    /// The wrapped environment.
    pub fn env(&self) -> &E {
        &self.env
    }
}

impl<E: Env, M: ObsMap<E>> Env for MapObs<E, M> {
    type Obs = M::Obs;
    type Action = E::Action;
    type State = E::State;

    fn observation_space(&self) -> M::Obs {
        self.space.clone()
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<M::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, &mut self.inner)?;
        self.map.map(&self.env, &self.inner, obs)
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [<M::Obs as Space>::Elem],
    ) -> Result<Step> {
        let step = self.env.step(action, rng, &mut self.inner)?;
        self.map.map(&self.env, &self.inner, obs)?;
        Ok(step)
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

impl<E: Lives, M: ObsMap<E>> Lives for MapObs<E, M> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render, M: ObsMap<E>> Render for MapObs<E, M> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
