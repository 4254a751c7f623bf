use crate::{BoxSpace, Element, Env, Image, Lives, Render, Result, Rng, Space, Step, check};

/// Shows the last `n` observations as one, the oldest first, so that motion is seen: `[channels, height, width]` becomes
/// `[n * channels, height, width]`, a row of `k` numbers one of `n * k`. The first observation of an episode is shown
/// `n` times, as Gymnasium does it.
///
/// ```
/// use rl_core::toy::{Images, Sign};
/// use rl_core::{Env, FrameStack, Seeds};
/// let env = FrameStack::new(Images::new(&[1, 84, 84])?, 4)?;
/// assert_eq!(env.observation_space().shape(), [4, 84, 84]);
/// let mut env = FrameStack::new(Sign::with_length(2), 2)?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 2]);
/// env.reset(&mut rng, &mut obs)?;
/// let first = obs[0];
/// assert_eq!(obs[1], first);
/// env.step(0, &mut rng, &mut obs)?;
/// assert_eq!(obs[0], first);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameStack<E, T = u8> {
    env: E,
    space: BoxSpace<T>,
    /// The frames that are shown, `[n, frame]`.
    frames: Vec<T>,
    frame: usize,
    /// Scratch: the newest frame.
    newest: Vec<T>,
}

impl<E, T> FrameStack<E, T>
where
    E: Env<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element,
{
    /// Wraps `env`; 4 frames as published.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a stack of zero, or of more numbers than memory could hold.
    pub fn new(env: E, n: usize) -> Result<Self> {
        check::at_least("frames of a stack", 1, n as u64)?;
        let inner = env.observation_space();
        let space = inner.repeated(n)?;
        let (frames, frame) = (vec![T::default(); space.width()], inner.width());
        Ok(FrameStack { env, space, frames, frame, newest: vec![T::default(); frame] })
    }
}

impl<E, T> Env for FrameStack<E, T>
where
    E: Env<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element,
{
    type Obs = BoxSpace<T>;
    type Action = E::Action;
    type State = (Vec<T>, E::State);

    fn observation_space(&self) -> BoxSpace<T> {
        self.space.clone()
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [T]) -> Result<()> {
        let (first, rest) = self.frames.split_at_mut(self.frame);
        self.env.reset(rng, first)?;
        rest.chunks_exact_mut(self.frame).for_each(|frame| frame.copy_from_slice(first));
        obs.copy_from_slice(&self.frames);
        Ok(())
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [T],
    ) -> Result<Step> {
        let step = self.env.step(action, rng, &mut self.newest)?;
        self.frames.copy_within(self.frame.., 0);
        let rest = self.frames.len() - self.frame;
        self.frames[rest..].copy_from_slice(&self.newest);
        obs.copy_from_slice(&self.frames);
        Ok(step)
    }

    fn state(&self) -> Option<Self::State> {
        let state = self.env.state()?;
        Some((self.frames.clone(), state))
    }

    fn set_state(&mut self, (frames, state): Self::State) -> Result<()> {
        check::len("stacked frames", self.frames.len(), frames.len())?;
        self.env.set_state(state)?;
        self.frames = frames;
        Ok(())
    }

    fn continued(&self) -> bool {
        self.env.continued()
    }
}

impl<E, T> Lives for FrameStack<E, T>
where
    E: Lives<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element,
{
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E, T> Render for FrameStack<E, T>
where
    E: Render<Obs = BoxSpace<T>>,
    BoxSpace<T>: Space<Elem = T>,
    T: Element,
{
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
