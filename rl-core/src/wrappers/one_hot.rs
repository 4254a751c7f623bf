use crate::{BoxSpace, Discrete, Env, Result, Rng, Space, Step};

/// Shows a state's number as a row of zeros with a single one, `[n]`, so that a network can learn
/// in a tabular environment.
#[derive(Clone, Debug)]
pub struct OneHot<E> {
    env: E,
    n: usize,
}

impl<E: Env<Obs = Discrete>> OneHot<E> {
    /// Wraps `env`.
    pub fn new(env: E) -> Self {
        let n = env.observation_space().n();
        OneHot { env, n }
    }
}

fn show(index: u32, obs: &mut [f32]) {
    obs.fill(0.0);
    if let Some(x) = obs.get_mut(index as usize) {
        *x = 1.0;
    }
}

impl<E: Env<Obs = Discrete>> Env for OneHot<E> {
    type Obs = BoxSpace;
    type Action = E::Action;
    type State = E::State;

    #[allow(clippy::expect_used)] // A `Discrete` space has at least one choice.
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![0.0; self.n], vec![1.0; self.n]).expect("n >= 1")
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        let mut index = [0];
        self.env.reset(rng, &mut index)?;
        show(index[0], obs);
        Ok(())
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [f32],
    ) -> Result<Step> {
        let mut index = [0];
        let step = self.env.step(action, rng, &mut index)?;
        show(index[0], obs);
        Ok(step)
    }

    fn state(&self) -> E::State {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }
}
