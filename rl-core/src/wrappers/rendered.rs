use crate::{BoxSpace, Image, MapObs, ObsMap, Render, Result, Space};

/// Shows the environment's picture, `[3, height, width]` in red, green and blue, in place of its observation, see
/// [`Render`].
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Env, Greyscale, Rendered};
/// let env = Rendered::new(Sign::default(), 60, 90)?;
/// assert_eq!(env.observation_space().shape(), [3, 60, 90]);
/// assert_eq!(Greyscale::new(env)?.observation_space().shape(), [1, 60, 90]);
/// let error = Rendered::new(Sign::default(), 0, 90).unwrap_err();
/// assert_eq!(error.to_string(), "height: expected 1 to 4096 pixels, got 0");
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Rendered<E> = MapObs<E, ToPicture>;

/// The mapping of [`Rendered`].
#[derive(Clone, Copy, Debug)]
pub struct ToPicture {
    height: usize,
    width: usize,
}

impl<E: Render> Rendered<E> {
    /// Wraps `env`, whose pictures have this height and width in pixels; [`Render::image_size`] is its own choice.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a height or width of zero or above [`Image::MAX_SIDE`].
    pub fn new(env: E, height: usize, width: usize) -> Result<Self> {
        MapObs::wrap(env, ToPicture { height, width })
    }
}

impl<E: Render> ObsMap<E> for ToPicture {
    type Obs = BoxSpace<u8>;

    fn space(&self, _: &E) -> Result<BoxSpace<u8>> {
        // The size is checked before a space of that size is made.
        Image::bytes(self.height, self.width)?;
        BoxSpace::image(&[3, self.height, self.width])
    }

    fn map(&self, env: &E, _: &[<E::Obs as Space>::Elem], to: &mut [u8]) -> Result<()> {
        env.render(&mut Image::new(to, self.height, self.width)?)
    }
}
