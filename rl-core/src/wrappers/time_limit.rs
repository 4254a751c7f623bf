use crate::{End, Env, Image, Lives, Render, Result, Rng, Space, Step, check};

/// Truncates episodes after `max_steps` steps. An episode that terminates in that very step
/// counts as terminated.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{End, Env, Seeds, TimeLimit};
/// let mut env = TimeLimit::new(Sign::with_length(100), 2)?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0]);
/// env.reset(&mut rng, &mut obs)?;
/// assert_eq!(env.step(0, &mut rng, &mut obs)?.end, None);
/// assert_eq!(env.step(0, &mut rng, &mut obs)?.end, Some(End::Truncated));
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TimeLimit<E> {
    env: E,
    max_steps: u32,
    steps: u32,
}

impl<E: Env> TimeLimit<E> {
    /// Limits the episodes of `env`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a limit of zero.
    pub fn new(env: E, max_steps: u32) -> Result<Self> {
        check::at_least("max_steps", 1, u64::from(max_steps))?;
        Ok(TimeLimit { env, max_steps, steps: 0 })
    }
}

impl<E: Env> Env for TimeLimit<E> {
    type Obs = E::Obs;
    type Action = E::Action;
    type State = (u32, E::State);

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.steps = 0;
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        let mut step = self.env.step(action, rng, obs)?;
        self.steps = self.steps.saturating_add(1);
        if step.end.is_none() && self.steps >= self.max_steps {
            step.end = Some(End::Truncated);
        }
        Ok(step)
    }

    fn state(&self) -> Option<Self::State> {
        Some((self.steps, self.env.state()?))
    }

    fn set_state(&mut self, (steps, state): Self::State) -> Result<()> {
        let most = u64::from(self.max_steps);
        check::at_most("steps of the episode", most, "max_steps", steps.into())?;
        self.steps = steps;
        self.env.set_state(state)
    }

    fn continued(&self) -> bool {
        self.env.continued()
    }
}

impl<E: Lives> Lives for TimeLimit<E> {
    fn lives(&self) -> u32 {
        self.env.lives()
    }
}

impl<E: Render> Render for TimeLimit<E> {
    fn image_size(&self) -> [usize; 2] {
        self.env.image_size()
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        self.env.render(image)
    }
}
