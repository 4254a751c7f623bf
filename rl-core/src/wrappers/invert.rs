use crate::{BoxSpace, Env, MapObs, ObsMap, Result};

/// Shows images with dark and light exchanged: each value is taken from the largest. A network learns faster where the
/// background is zero, as a bright one moves all its sums by the same, whatever there is to see.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{Env, Invert, Seeds};
/// let mut env = Invert::new(Images::new(&[1, 2, 2])?)?;
/// let (mut shown, mut rng) = ([7; 4], Seeds::new(0).stream("env", 0));
/// env.reset(&mut rng, &mut shown)?;
/// let mut plain = [7; 4];
/// Images::new(&[1, 2, 2])?.reset(&mut Seeds::new(0).stream("env", 0), &mut plain)?;
/// assert_eq!(shown.map(|x| 255 - x), plain);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Invert<E> = MapObs<E, ToNegative>;

/// The mapping of [`Invert`].
#[derive(Clone, Debug)]
pub struct ToNegative {
    high: Vec<u8>,
}

impl<E: Env<Obs = BoxSpace<u8>>> Invert<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// None: what the environment shows can always be shown so.
    pub fn new(env: E) -> Result<Self> {
        let high = env.observation_space().high().to_vec();
        MapObs::wrap(env, ToNegative { high })
    }
}

impl<E: Env<Obs = BoxSpace<u8>>> ObsMap<E> for ToNegative {
    type Obs = BoxSpace<u8>;

    fn space(&self, env: &E) -> Result<BoxSpace<u8>> {
        Ok(env.observation_space())
    }

    fn map(&self, _: &E, from: &[u8], to: &mut [u8]) -> Result<()> {
        let pairs = from.iter().zip(&self.high);
        to.iter_mut().zip(pairs).for_each(|(to, (from, high))| *to = high.saturating_sub(*from));
        Ok(())
    }
}
