use crate::{BoxSpace, Env, Error, MapObs, ObsMap, Result};

/// Shows images `[3, height, width]` of red, green and blue in grey, `[1, height, width]`: the luma of ITU-R BT.601,
///
/// ```text
/// Y = 0.299 R + 0.587 G + 0.114 B
/// ```
///
/// rounded, with OpenCV's fixed-point coefficients, so that frames equal those of `cv2.cvtColor`.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{Env, Greyscale};
/// let env = Greyscale::new(Images::new(&[3, 210, 160])?)?;
/// assert_eq!(env.observation_space().shape(), [1, 210, 160]);
/// assert!(Greyscale::new(Images::new(&[4, 210, 160])?).is_err());
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Greyscale<E> = MapObs<E, ToGreyscale>;

/// The mapping of [`Greyscale`].
#[derive(Clone, Copy, Debug)]
pub struct ToGreyscale;

impl<E: Env<Obs = BoxSpace<u8>>> Greyscale<E> {
    /// Wraps `env`.
    ///
    /// # Errors
    /// [`Error::Config`] for images without three channels.
    pub fn new(env: E) -> Result<Self> {
        MapObs::wrap(env, ToGreyscale)
    }
}

impl<E: Env<Obs = BoxSpace<u8>>> ObsMap<E> for ToGreyscale {
    type Obs = BoxSpace<u8>;

    fn space(&self, env: &E) -> Result<BoxSpace<u8>> {
        let inner = env.observation_space();
        match inner.shape() {
            [3, height, width] => inner.reshaped(&[1, *height, *width]),
            other => {
                let got = format_args!("{other:?}");
                Err(Error::config("observations to turn grey", "[3, height, width]", got))
            }
        }
    }

    fn map(&self, _: &E, from: &[u8], to: &mut [u8]) -> Result<()> {
        let (red, rest) = from.split_at(to.len());
        let (green, blue) = rest.split_at(to.len());
        for (((y, r), g), b) in to.iter_mut().zip(red).zip(green).zip(blue) {
            let [r, g, b] = [*r, *g, *b].map(u32::from);
            // 15 bits; the coefficients add up to 2^15, so that white stays white.
            *y = ((9_798 * r + 19_235 * g + 3_735 * b + (1 << 14)) >> 15) as u8;
        }
        Ok(())
    }
}
