use crate::{BoxSpace, Discrete, Env, MapObs, ObsMap, Result, check};

/// Shows a state's number as a row of zeros with a single one, `[n]`, so that a network can learn
/// in a tabular environment.
pub type OneHot<E> = MapObs<E, ShowOneHot>;

/// The mapping of [`OneHot`].
#[derive(Clone, Copy, Debug)]
pub struct ShowOneHot;

impl<E: Env<Obs = Discrete>> OneHot<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for more states than fit in memory.
    pub fn new(env: E) -> Result<Self> {
        MapObs::wrap(env, ShowOneHot)
    }
}

impl<E: Env<Obs = Discrete>> ObsMap<E> for ShowOneHot {
    type Obs = BoxSpace;

    fn space(&self, env: &E) -> Result<BoxSpace> {
        let n = env.observation_space().n();
        check::memory("states", n, n.checked_mul(2 * size_of::<f32>()))?;
        BoxSpace::new(vec![0.0; n], vec![1.0; n])
    }

    fn map(&self, _: &E, from: &[u32], to: &mut [f32]) -> Result<()> {
        to.fill(0.0);
        if let Some(x) = to.get_mut(from[0] as usize) {
            *x = 1.0;
        }
        Ok(())
    }
}
