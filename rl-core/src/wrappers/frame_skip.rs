use crate::{BoxSpace, Element, Env, Image, Lives, Render, Result, Rng, Space, Step, check};

/// Repeats each action and shows the larger, element by element, of the last two frames, since some games draw an object
/// only every second frame (Mnih et al., 2015). Rewards are added up. An episode that ends earlier ends there; its last
/// frame is then compared with the one before it under the same action, if there is one. (Stable-Baselines3 and
/// Gymnasium may then show frames of the action before.)
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Env, FrameSkip, Seeds};
/// let mut env = FrameSkip::new(Sign::with_length(6), 4)?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0]);
/// env.reset(&mut rng, &mut obs)?;
/// assert!(env.step(0, &mut rng, &mut obs)?.end.is_none());
/// assert!(env.step(0, &mut rng, &mut obs)?.end.is_some());
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameSkip<E, T = u8> {
    env: E,
    skip: u32,
    before: Vec<T>,
}

impl<E, T> FrameSkip<E, T>
where
    E: Env<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element + PartialOrd,
{
    /// Wraps `env`, where every action is taken `skip` times; 4 as published.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a `skip` of zero.
    pub fn new(env: E, skip: u32) -> Result<Self> {
        check::at_least("skip", 1, u64::from(skip))?;
        let before = vec![T::default(); env.observation_space().width()];
        Ok(FrameSkip { env, skip, before })
    }
}

impl<E, T> Env for FrameSkip<E, T>
where
    E: Env<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element + PartialOrd,
    for<'a> <E::Action as Space>::Value<'a>: Copy,
{
    type Obs = BoxSpace<T>;
    type Action = E::Action;
    type State = E::State;

    fn observation_space(&self) -> BoxSpace<T> {
        self.env.observation_space()
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [T]) -> Result<()> {
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [T],
    ) -> Result<Step> {
        if self.skip == 1 {
            return self.env.step(action, rng, obs);
        }
        let total = self.env.repeat(action, self.skip, rng, obs, &mut self.before)?;
        // What is no finite number is shown, and refused by whoever looks at it.
        let larger = |(x, before): (&mut T, &T)| {
            if *before > *x || !before.is_finite() {
                *x = *before;
            }
        };
        obs.iter_mut().zip(&self.before).for_each(larger);
        Ok(total)
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

impl<E, T> Lives for FrameSkip<E, T>
where
    E: Lives<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element + PartialOrd,
    for<'a> <E::Action as Space>::Value<'a>: Copy,
{
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E, T> Render for FrameSkip<E, T>
where
    E: Render<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element + PartialOrd,
    for<'a> <E::Action as Space>::Value<'a>: Copy,
{
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
