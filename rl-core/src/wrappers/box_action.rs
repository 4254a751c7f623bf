use crate::{ActionMap, BoxSpace, Env, Error, MapAction, Result, Space};

/// Presents the actions of `env` as `[-1, 1]` in each dimension.
///
/// ```
/// # use rl_core::{BoxSpace, Env, RescaleAction, Result, Rng, Step};
/// # struct Torque;
/// # impl Env for Torque {
/// #     type Obs = BoxSpace; type Action = BoxSpace; type State = ();
/// #     fn observation_space(&self) -> BoxSpace { BoxSpace::unbounded(1).unwrap() }
/// #     fn action_space(&self) -> BoxSpace { BoxSpace::new(vec![0.0], vec![4.0]).unwrap() }
/// #     fn reset(&mut self, _: &mut Rng, _: &mut [f32]) -> Result<()> { Ok(()) }
/// #     fn step(&mut self, a: &[f32], _: &mut Rng, _: &mut [f32]) -> Result<Step> { Ok(Step::running(a[0])) }
/// #     fn state(&self) -> Option<()> { Some(()) }
/// #     fn set_state(&mut self, _: ()) -> Result<()> { Ok(()) }
/// # }
/// // `Torque` accepts [0, 4] and rewards the torque itself.
/// let mut env = RescaleAction::new(Torque)?;
/// let mut rng = rl_core::Seeds::new(0).stream("env", 0);
/// assert_eq!(env.step(&[-0.5], &mut rng, &mut [0.0])?.reward, 1.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type RescaleAction<E> = MapAction<E, Rescale>;

/// The mapping of [`RescaleAction`].
#[derive(Clone, Debug)]
pub struct Rescale {
    bounds: BoxSpace,
}

impl<E: Env<Action = BoxSpace>> RescaleAction<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// [`Error::Config`] where an action bound of `env` is infinite.
    pub fn new(env: E) -> Result<Self> {
        let bounds = env.action_space();
        bounds.require_finite("action")?;
        MapAction::wrap(env, Rescale { bounds })
    }
}

impl<E: Env<Action = BoxSpace>> ActionMap<E> for Rescale {
    type Action = BoxSpace;

    fn space(&self, _: &E) -> Result<BoxSpace> {
        let n = self.bounds.width();
        BoxSpace::new(vec![-1.0; n], vec![1.0; n])
    }

    fn map(&self, action: &[f32], to: &mut [f32]) -> Result<()> {
        reject_nan(action)?;
        let bounds = self.bounds.low().iter().zip(self.bounds.high());
        for ((scaled, &a), (&low, &high)) in to.iter_mut().zip(action).zip(bounds) {
            *scaled = (low + (a + 1.0) * 0.5 * (high - low)).clamp(low, high);
        }
        Ok(())
    }
}

/// Clips actions to the bounds of `env`, so that a Gaussian policy may propose any number.
pub type ClipAction<E> = MapAction<E, Clip>;

/// The mapping of [`ClipAction`].
#[derive(Clone, Debug)]
pub struct Clip {
    bounds: BoxSpace,
}

impl<E: Env<Action = BoxSpace>> ClipAction<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// None for a space that itself is one.
    pub fn new(env: E) -> Result<Self> {
        let bounds = env.action_space();
        MapAction::wrap(env, Clip { bounds })
    }
}

impl<E: Env<Action = BoxSpace>> ActionMap<E> for Clip {
    type Action = BoxSpace;

    fn space(&self, _: &E) -> Result<BoxSpace> {
        BoxSpace::unbounded(self.bounds.width())
    }

    fn map(&self, action: &[f32], to: &mut [f32]) -> Result<()> {
        reject_nan(action)?;
        to.copy_from_slice(action);
        self.bounds.clip(to);
        Ok(())
    }
}

fn reject_nan(action: &[f32]) -> Result<()> {
    match action.iter().position(|a| a.is_nan()) {
        Some(i) => Err(Error::mismatch(format!("action dimension {i}"), "a number", "NaN")),
        None => Ok(()),
    }
}
