use crate::{BoxSpace, Env, Error, MapObs, ObsMap, Result};
use std::ops::Range;

/// Shows a rectangle of images `[channels, height, width]`.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{Crop, Env};
/// // What the score and the border leave of a game.
/// let env = Crop::new(Images::new(&[1, 210, 160])?, 34..194, 0..160)?;
/// assert_eq!(env.observation_space().shape(), [1, 160, 160]);
/// let error = Crop::new(Images::new(&[1, 210, 160])?, 200..220, 0..160).unwrap_err();
/// assert_eq!(error.to_string(), "rows: expected a range within 0..210, got 200..220");
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Crop<E> = MapObs<E, ToRectangle>;

/// The mapping of [`Crop`].
#[derive(Clone, Debug)]
pub struct ToRectangle {
    rows: Range<usize>,
    columns: Range<usize>,
    /// `[height, width]` of the whole.
    whole: [usize; 2],
}

impl<E: Env<Obs = BoxSpace<u8>>> Crop<E> {
    /// Wraps `env`, of whose images these rows and columns are shown.
    ///
    /// # Errors
    /// [`Error::Config`] for a range that is empty or not within the images, or observations without three dimensions.
    pub fn new(env: E, rows: Range<usize>, columns: Range<usize>) -> Result<Self> {
        let [_, height, width] = image_shape(&env)?;
        for (name, range, len) in [("rows", &rows, height), ("columns", &columns, width)] {
            if range.is_empty() || range.end > len {
                let expected = format_args!("a range within 0..{len}");
                return Err(Error::config(name, expected, format_args!("{range:?}")));
            }
        }
        MapObs::wrap(env, ToRectangle { rows, columns, whole: [height, width] })
    }
}

/// The shape of an environment's images, `[channels, height, width]`.
pub(crate) fn image_shape<E: Env<Obs = BoxSpace<u8>>>(env: &E) -> Result<[usize; 3]> {
    let space = env.observation_space();
    space.shape().try_into().map_err(|_| {
        let got = format_args!("{:?}", space.shape());
        Error::config("observations", "images, [channels, height, width]", got)
    })
}

impl<E: Env<Obs = BoxSpace<u8>>> ObsMap<E> for ToRectangle {
    type Obs = BoxSpace<u8>;

    fn space(&self, env: &E) -> Result<BoxSpace<u8>> {
        let [channels, ..] = image_shape(env)?;
        env.observation_space().reshaped(&[channels, self.rows.len(), self.columns.len()])
    }

    fn map(&self, _: &E, from: &[u8], to: &mut [u8]) -> Result<()> {
        let [height, width] = self.whole;
        let rows = from.chunks_exact(height * width).flat_map(|plane| {
            plane[self.rows.start * width..self.rows.end * width].chunks_exact(width)
        });
        for (to, row) in to.chunks_exact_mut(self.columns.len()).zip(rows) {
            to.copy_from_slice(&row[self.columns.clone()]);
        }
        Ok(())
    }
}
