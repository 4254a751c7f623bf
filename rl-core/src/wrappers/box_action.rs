use crate::{BoxSpace, Env, Error, Result, Rng, Space, Step};

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
/// #     fn state(&self) {}
/// #     fn set_state(&mut self, _: ()) -> Result<()> { Ok(()) }
/// # }
/// // `Torque` accepts [0, 4] and rewards the torque itself.
/// let mut env = RescaleAction::new(Torque)?;
/// let mut rng = rl_core::Seeds::new(0).stream("env", 0);
/// assert_eq!(env.step(&[-0.5], &mut rng, &mut [0.0])?.reward, 1.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RescaleAction<E> {
    env: E,
    bounds: BoxSpace,
    scaled: Vec<f32>,
}

impl<E: Env<Action = BoxSpace>> RescaleAction<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// [`Error::Config`] where an action bound of `env` is infinite.
    pub fn new(env: E) -> Result<Self> {
        let bounds = env.action_space();
        bounds.require_finite("action")?;
        Ok(RescaleAction { env, scaled: vec![0.0; bounds.width()], bounds })
    }
}

/// Clips actions to the bounds of `env`, so that a Gaussian policy may propose any number.
#[derive(Clone, Debug)]
pub struct ClipAction<E> {
    env: E,
    bounds: BoxSpace,
    clipped: Vec<f32>,
}

impl<E: Env<Action = BoxSpace>> ClipAction<E> {
    /// Wraps `env`.
    pub fn new(env: E) -> Self {
        let bounds = env.action_space();
        ClipAction { env, clipped: vec![0.0; bounds.width()], bounds }
    }
}

fn reject_nan(action: &[f32]) -> Result<()> {
    match action.iter().position(|a| a.is_nan()) {
        Some(i) => Err(Error::mismatch(format!("action dimension {i}"), "a number", "NaN")),
        None => Ok(()),
    }
}

impl<E: Env<Action = BoxSpace>> Env for RescaleAction<E> {
    type Obs = E::Obs;
    type Action = BoxSpace;
    type State = E::State;

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    #[allow(clippy::expect_used)] // Constant bounds, at least one dimension.
    fn action_space(&self) -> BoxSpace {
        let n = self.bounds.width();
        BoxSpace::new(vec![-1.0; n], vec![1.0; n]).expect("low < high")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: &[f32],
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        reject_nan(action)?;
        let bounds = self.bounds.low().iter().zip(self.bounds.high());
        for ((scaled, &a), (&low, &high)) in self.scaled.iter_mut().zip(action).zip(bounds) {
            *scaled = (low + (a + 1.0) * 0.5 * (high - low)).clamp(low, high);
        }
        self.env.step(&self.scaled, rng, obs)
    }

    fn state(&self) -> E::State {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }
}

impl<E: Env<Action = BoxSpace>> Env for ClipAction<E> {
    type Obs = E::Obs;
    type Action = BoxSpace;
    type State = E::State;

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    #[allow(clippy::expect_used)] // A box has at least one dimension.
    fn action_space(&self) -> BoxSpace {
        BoxSpace::unbounded(self.bounds.width()).expect("at least one dimension")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: &[f32],
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        reject_nan(action)?;
        let bounds = self.bounds.low().iter().zip(self.bounds.high());
        for ((clipped, &a), (&low, &high)) in self.clipped.iter_mut().zip(action).zip(bounds) {
            *clipped = a.clamp(low, high);
        }
        self.env.step(&self.clipped, rng, obs)
    }

    fn state(&self) -> E::State {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }
}
