use super::crop::image_shape;
use crate::{BoxSpace, Env, Error, MapObs, ObsMap, Result};
use std::cell::RefCell;

/// Shows images `[channels, height, width]` smaller: a pixel is the mean of the area it stands for, with a pixel of the
/// original that lies in two areas counted in each by its share, and rounded. Within one level of `cv2.INTER_AREA`, which
/// rounds halves in another way.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{Env, Resize};
/// let env = Resize::new(Images::new(&[1, 210, 160])?, 84, 84)?;
/// assert_eq!(env.observation_space().shape(), [1, 84, 84]);
/// let error = Resize::new(Images::new(&[1, 64, 64])?, 84, 84).unwrap_err();
/// assert_eq!(error.to_string(), "height: expected 1 to 64, as many as the image has, got 84");
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Resize<E> = MapObs<E, ToSize>;

/// The mapping of [`Resize`].
#[derive(Clone, Debug)]
pub struct ToSize {
    rows: Vec<Area>,
    columns: Vec<Area>,
    /// `[height, width]` of the original.
    whole: [usize; 2],
    /// Scratch: the weighted sum of some rows, `[width]`. A mapping is shared while it maps, hence the cell.
    sums: RefCell<Vec<f32>>,
}

/// The pixels of the original that a pixel stands for, along one axis: where they begin, and the share of each.
#[derive(Clone, Debug)]
struct Area {
    start: usize,
    shares: Vec<f32>,
}

impl Area {
    /// The areas by which `from` pixels become `to`.
    fn all(from: usize, to: usize) -> Vec<Area> {
        let scale = from as f64 / to as f64;
        let area = |i: usize| {
            let (low, high) = (i as f64 * scale, ((i + 1) as f64 * scale).min(from as f64));
            let (start, end) = (low.floor() as usize, (high.ceil() as usize).min(from));
            let share = |j: usize| (high.min((j + 1) as f64) - low.max(j as f64)) / (high - low);
            Area { start, shares: (start..end).map(|j| share(j).max(0.0) as f32).collect() }
        };
        (0..to).map(area).collect()
    }
}

impl<E: Env<Obs = BoxSpace<u8>>> Resize<E> {
    /// Wraps `env`, whose images are shown with this height and width.
    ///
    /// # Errors
    /// [`Error::Config`] for a size of zero or above that of the images, or observations without three dimensions.
    pub fn new(env: E, height: usize, width: usize) -> Result<Self> {
        let [_, from_height, from_width] = image_shape(&env)?;
        for (name, to, from) in [("height", height, from_height), ("width", width, from_width)] {
            if !(1..=from).contains(&to) {
                let expected = format_args!("1 to {from}, as many as the image has");
                return Err(Error::config(name, expected, to));
            }
        }
        let (rows, columns) = (Area::all(from_height, height), Area::all(from_width, width));
        let (whole, sums) = ([from_height, from_width], RefCell::new(vec![0.0; from_width]));
        MapObs::wrap(env, ToSize { rows, columns, whole, sums })
    }
}

impl<E: Env<Obs = BoxSpace<u8>>> ObsMap<E> for ToSize {
    type Obs = BoxSpace<u8>;

    fn space(&self, env: &E) -> Result<BoxSpace<u8>> {
        let [channels, ..] = image_shape(env)?;
        env.observation_space().reshaped(&[channels, self.rows.len(), self.columns.len()])
    }

    fn map(&self, _: &E, from: &[u8], to: &mut [u8]) -> Result<()> {
        let [height, width] = self.whole;
        let pixels = self.rows.len() * self.columns.len();
        let mut sums = self.sums.borrow_mut();
        for (plane, to) in from.chunks_exact(height * width).zip(to.chunks_exact_mut(pixels)) {
            for (area, to) in self.rows.iter().zip(to.chunks_exact_mut(self.columns.len())) {
                sums.fill(0.0);
                for (row, share) in plane.chunks_exact(width).skip(area.start).zip(&area.shares) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += share * f32::from(*x));
                }
                for (area, to) in self.columns.iter().zip(to) {
                    let values = sums[area.start..].iter().zip(&area.shares);
                    *to = values.map(|(sum, share)| sum * share).sum::<f32>().round() as u8;
                }
            }
        }
        Ok(())
    }
}
