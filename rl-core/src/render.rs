//! Environments that can draw themselves.

use crate::{Env, Error, Result, check};

/// A picture to draw on: bytes of red, green and blue, channels first, `[3, height, width]`, in the caller's buffer.
///
/// ```
/// use rl_core::Image;
/// let mut pixels = vec![0; 3 * 2 * 2];
/// let mut image = Image::new(&mut pixels, 2, 2)?;
/// image.fill([255, 128, 0]);
/// assert_eq!(pixels, [255, 255, 255, 255, 128, 128, 128, 128, 0, 0, 0, 0]);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Image<'a> {
    pixels: &'a mut [u8],
    height: usize,
    width: usize,
}

impl<'a> Image<'a> {
    /// The greatest height and width, in pixels: 50 MB a picture.
    pub const MAX_SIDE: usize = 4096;

    /// A picture in `pixels`, which it must fill exactly. What they hold is kept until something is drawn.
    ///
    /// # Errors
    /// [`Error::Config`] for a height or width outside `1..=MAX_SIDE`; [`Error::Mismatch`] for another number of bytes
    /// than `3 * height * width`.
    pub fn new(pixels: &'a mut [u8], height: usize, width: usize) -> Result<Self> {
        check::len("bytes of a picture", Image::bytes(height, width)?, pixels.len())?;
        Ok(Image { pixels, height, width })
    }

    /// The bytes of a picture, `3 * height * width`.
    ///
    /// # Errors
    /// [`Error::Config`] for a height or width outside `1..=MAX_SIDE`.
    pub fn bytes(height: usize, width: usize) -> Result<usize> {
        for (name, side) in [("height", height), ("width", width)] {
            if !(1..=Image::MAX_SIDE).contains(&side) {
                let expected = format_args!("1 to {} pixels", Image::MAX_SIDE);
                return Err(Error::config(name, expected, side));
            }
        }
        Ok(3 * height * width)
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The planes of red, green and blue, `[height, width]` each.
    pub fn planes(&mut self) -> [&mut [u8]; 3] {
        let (red, rest) = self.pixels.split_at_mut(self.height * self.width);
        let (green, blue) = rest.split_at_mut(self.height * self.width);
        [red, green, blue]
    }

    /// Gives every pixel the same colour, `[red, green, blue]`.
    pub fn fill(&mut self, colour: [u8; 3]) {
        for (plane, value) in self.planes().into_iter().zip(colour) {
            plane.fill(value);
        }
    }
}

/// Turns a picture `[3, height, width]` into rows of pixels `[height, width, 3]`, as files and windows want them.
///
/// ```
/// let mut rows = [0; 6];
/// rl_core::interleave(&[1, 2, 3, 4, 5, 6], &mut rows)?;
/// assert_eq!(rows, [1, 3, 5, 2, 4, 6]);
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Mismatch`] for slices of different lengths, or of one that three does not divide.
pub fn interleave(picture: &[u8], rows: &mut [u8]) -> Result<()> {
    let pixels = picture.len() / 3;
    check::len("bytes of a picture with three channels", 3 * pixels, picture.len())?;
    check::len("bytes of a picture's rows", picture.len(), rows.len())?;
    let (red, rest) = picture.split_at(pixels);
    let (green, blue) = rest.split_at(pixels);
    for (((to, r), g), b) in rows.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
        to.copy_from_slice(&[*r, *g, *b]);
    }
    Ok(())
}

/// An environment that can draw its present state.
///
/// Wrappers that hold one environment pass this on. [`Rendered`](crate::Rendered) shows the picture as the observation.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Image, Render};
/// let env = Sign::default();
/// // The environment's own size, or any other.
/// let [height, width] = env.image_size();
/// let mut pixels = vec![0; Image::bytes(height, width)?];
/// env.render(&mut Image::new(&mut pixels, height, width)?)?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait Render: Env {
    /// `[height, width]` in pixels of a picture that shows all there is to see.
    fn image_size(&self) -> [usize; 2];

    /// Draws the present state. The picture's size is the caller's choice: what is drawn is stretched to it. Every pixel
    /// is written, and the same state gives the same bytes; between the end of an episode and the next reset an environment
    /// that was restored may draw black.
    ///
    /// # Errors
    /// A state that cannot be drawn, such as one that is not finite.
    fn render(&self, image: &mut Image<'_>) -> Result<()>;
}
