use crate::{BoxSpace, Discrete, Env, MapObs, ObsMap, Result};

/// An environment that allows some of its actions only in some states.
pub trait ActionMask: Env<Obs = BoxSpace, Action = Discrete> {
    /// Writes 1 for each action that is allowed now and 0 for the others, `[actions]`.
    fn action_mask(&self, mask: &mut [f32]);
}

/// Shows the action mask behind the observation, `[width + actions]`, where a masking policy reads it
/// (`action_mask` in its settings) and every memory keeps it.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{ActionMask, AppendMask, Env, Seeds, TimeLimit};
/// struct OnlyFirst(Sign);
/// # impl Env for OnlyFirst {
/// #     type Obs = rl_core::BoxSpace;
/// #     type Action = rl_core::Discrete;
/// #     type State = (f32, u32);
/// #     fn observation_space(&self) -> rl_core::BoxSpace { self.0.observation_space() }
/// #     fn action_space(&self) -> rl_core::Discrete { self.0.action_space() }
/// #     fn reset(&mut self, rng: &mut rl_core::Rng, obs: &mut [f32]) -> rl_core::Result<()> { self.0.reset(rng, obs) }
/// #     fn step(&mut self, action: usize, rng: &mut rl_core::Rng, obs: &mut [f32]) -> rl_core::Result<rl_core::Step> {
/// #         self.0.step(action, rng, obs)
/// #     }
/// #     fn state(&self) -> Option<(f32, u32)> { self.0.state() }
/// #     fn set_state(&mut self, state: (f32, u32)) -> rl_core::Result<()> { self.0.set_state(state) }
/// # }
/// impl ActionMask for OnlyFirst {
///     fn action_mask(&self, mask: &mut [f32]) {
///         mask.copy_from_slice(&[1.0, 0.0]);
///     }
/// }
/// let mut env = AppendMask::new(OnlyFirst(Sign::default()))?;
/// let mut obs = [9.0; 3];
/// env.reset(&mut Seeds::new(0).stream("env", 0), &mut obs)?;
/// assert_eq!(obs[1..], [1.0, 0.0]);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type AppendMask<E> = MapObs<E, ShowMask>;

/// The mapping of [`AppendMask`].
#[derive(Clone, Copy, Debug)]
pub struct ShowMask;

impl<E: ActionMask> AppendMask<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// None for a space that itself is one.
    pub fn new(env: E) -> Result<Self> {
        MapObs::wrap(env, ShowMask)
    }
}

impl<E: ActionMask> ObsMap<E> for ShowMask {
    type Obs = BoxSpace;

    fn space(&self, env: &E) -> Result<BoxSpace> {
        let (inner, choices) = (env.observation_space(), env.action_space().n());
        let extend = |bounds: &[f32], with| [bounds, &vec![with; choices][..]].concat();
        BoxSpace::new(extend(inner.low(), 0.0), extend(inner.high(), 1.0))
    }

    fn map(&self, env: &E, from: &[f32], to: &mut [f32]) -> Result<()> {
        let (obs, mask) = to.split_at_mut(from.len());
        obs.copy_from_slice(from);
        env.action_mask(mask);
        Ok(())
    }
}
