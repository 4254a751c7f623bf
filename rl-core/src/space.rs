//! Observation and action spaces.

use crate::{Error, Result, Rng, check};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{self, Debug};

/// The element type of observations and actions: `f32`, `u8` (pixels) or `u32` (indices).
pub trait Element:
    Copy + Default + PartialEq + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// The type's name, by which a file of its values is told from one of another type's.
    const NAME: &'static str;

    /// Whether it is a finite number; whole numbers always are.
    fn is_finite(self) -> bool {
        true
    }

    /// Appends values as bytes, little-endian, `size_of::<Self>()` each.
    fn to_le(values: &[Self], out: &mut Vec<u8>);

    /// Reads as many values as there are from what [`to_le`](Element::to_le) wrote of them.
    fn from_le(bytes: &[u8], values: &mut [Self]);
}

/// The bytes of an element of several bytes.
macro_rules! le {
    () => {
        fn to_le(values: &[Self], out: &mut Vec<u8>) {
            out.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        }

        fn from_le(bytes: &[u8], values: &mut [Self]) {
            for (x, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *x = Self::from_le_bytes(*bytes);
            }
        }
    };
}

impl Element for f32 {
    const NAME: &'static str = "f32";

    fn is_finite(self) -> bool {
        self.is_finite()
    }

    le!();
}
impl Element for u8 {
    const NAME: &'static str = "u8";

    fn to_le(values: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(values);
    }

    fn from_le(bytes: &[u8], values: &mut [Self]) {
        values.copy_from_slice(bytes);
    }
}
impl Element for u32 {
    const NAME: &'static str = "u32";

    le!();
}

/// An observation or action space.
///
/// The type distinguishes discrete from continuous spaces, so an agent for [`Discrete`] actions cannot be given an
/// environment with continuous ones. The value holds the size and bounds. Batches are plain rows: `[n, width]`
/// elements, contiguous.
pub trait Space: Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The element type of a row.
    type Elem: Element;
    /// The type of one row as passed to an environment: `usize` for [`Discrete`], a slice for [`BoxSpace`].
    type Value<'a>;

    /// The number of elements in a row.
    fn width(&self) -> usize;
    /// Reads a row of `width` elements.
    fn value(row: &[Self::Elem]) -> Self::Value<'_>;
    /// Checks one row; the error names the first invalid dimension.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a wrong width, a value out of bounds, or NaN.
    fn check(&self, what: &str, row: &[Self::Elem]) -> Result<()>;
    /// Clips each element to the bounds; NaN is left unchanged.
    fn clip(&self, row: &mut [Self::Elem]);

    /// Clips each row of `[n, width]`.
    fn clip_rows(&self, rows: &mut [Self::Elem]) {
        rows.chunks_exact_mut(self.width()).for_each(|row| self.clip(row));
    }
    /// Fills `row` with a uniform sample (unbounded dimensions: a standard normal sample).
    fn sample(&self, rng: &mut Rng, row: &mut [Self::Elem]);
}

/// A discrete space of `n` choices: `0`, `1`, … `n - 1`. A row is one `u32`.
///
/// ```
/// use rl_core::{Discrete, Space};
/// let left_or_right = Discrete::new(2)?;
/// assert!(left_or_right.check("action", &[1]).is_ok());
/// assert_eq!(
///     left_or_right.check("action", &[2]).unwrap_err().to_string(),
///     "action: expected an index below 2, got 2"
/// );
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discrete {
    n: u32,
}

impl Discrete {
    /// A space of `n` choices.
    ///
    /// # Errors
    /// [`Error::Config`] if `n` is zero.
    pub fn new(n: u32) -> Result<Self> {
        if n == 0 {
            return Err(Error::config("n", "at least one choice", 0));
        }
        Ok(Discrete { n })
    }

    /// The number of choices.
    pub fn n(&self) -> usize {
        self.n as usize
    }
}

impl Space for Discrete {
    type Elem = u32;
    type Value<'a> = usize;

    fn width(&self) -> usize {
        1
    }

    fn value(row: &[u32]) -> usize {
        row.first().map_or(0, |&i| i as usize)
    }

    fn check(&self, what: &str, row: &[u32]) -> Result<()> {
        match row {
            [i] if *i < self.n => Ok(()),
            [i] => Err(Error::mismatch(what, format_args!("an index below {}", self.n), i)),
            _ => Err(Error::mismatch(what, "1 element", row.len())),
        }
    }

    fn clip(&self, row: &mut [u32]) {
        row.iter_mut().for_each(|i| *i = (*i).min(self.n - 1));
    }

    fn sample(&self, rng: &mut Rng, row: &mut [u32]) {
        row.fill_with(|| rng.below(self.n as usize) as u32);
    }
}

/// A box with a lower and an upper bound in every dimension. `BoxSpace` has `f32` elements, `BoxSpace<u8>` pixels.
///
/// ```
/// use rl_core::{BoxSpace, Space};
/// let torque = BoxSpace::new(vec![-2.0], vec![2.0])?;
/// assert_eq!(torque.width(), 1);
/// assert!(BoxSpace::new(vec![0.0, 1.0], vec![1.0, 1.0]).is_err());
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct BoxSpace<T = f32> {
    shape: Vec<usize>,
    low: Vec<T>,
    high: Vec<T>,
}

/// Bounds that are all alike are shown as one: those of an image would fill pages.
impl<T: Debug> Debug for BoxSpace<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = |bounds: &[T]| {
            let first = bounds.first().map(|x| format!("{x:?}")).unwrap_or_default();
            let alike = bounds.iter().all(|x| format!("{x:?}") == first);
            if alike { first } else { format!("{bounds:?}") }
        };
        let Self { shape, low, high } = self;
        write!(f, "BoxSpace {{ shape: {shape:?}, low: {}, high: {} }}", bounds(low), bounds(high))
    }
}

impl BoxSpace<f32> {
    /// A vector of `low.len()` numbers with the given bounds, which may be infinite.
    ///
    /// # Errors
    /// [`Error::Config`] that names the dimension if a bound is NaN or `low >= high`; or if the two have different
    /// lengths.
    pub fn new(low: Vec<f32>, high: Vec<f32>) -> Result<Self> {
        if low.len() != high.len() || low.is_empty() {
            return Err(Error::config(
                "box",
                "as many lower as upper bounds, at least one",
                format_args!("{} and {}", low.len(), high.len()),
            ));
        }
        for (i, (l, h)) in low.iter().zip(&high).enumerate() {
            if !matches!(l.partial_cmp(h), Some(std::cmp::Ordering::Less)) {
                let got = format!("[{l}, {h}]");
                return Err(Error::config(format!("box dimension {i}"), "low < high", got));
            }
        }
        Ok(BoxSpace { shape: vec![low.len()], low, high })
    }

    /// `n` numbers without bounds.
    ///
    /// # Errors
    /// [`Error::Config`] if `n` is zero, or takes more memory than can be had.
    pub fn unbounded(n: usize) -> Result<Self> {
        check::memory("numbers", n, n.checked_mul(2 * size_of::<f32>()))?;
        BoxSpace::new(vec![f32::NEG_INFINITY; n], vec![f32::INFINITY; n])
    }

    /// Requires all bounds to be finite, for actions that are scaled to their bounds.
    ///
    /// # Errors
    /// [`Error::Config`] that names the first dimension with an infinite bound.
    pub fn require_finite(&self, what: &str) -> Result<()> {
        for (i, (l, h)) in self.low.iter().zip(&self.high).enumerate() {
            if !(l.is_finite() && h.is_finite()) {
                let field = format!("{what} dimension {i}");
                return Err(Error::config(field, "finite bounds", format_args!("[{l}, {h}]")));
            }
        }
        Ok(())
    }
}

impl BoxSpace<u8> {
    /// Images of the given shape (channels, height, width), with pixel values from 0 to 255.
    ///
    /// # Errors
    /// [`Error::Config`] if the shape is empty or contains a zero, or takes more memory than can be had.
    pub fn image(shape: &[usize]) -> Result<Self> {
        let n = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(0);
        if shape.is_empty() || n == 0 {
            return Err(Error::config("shape", "positive dimensions", format_args!("{shape:?}")));
        }
        check::memory("shape", format_args!("{shape:?}"), n.checked_mul(2))?;
        Ok(BoxSpace { shape: shape.to_vec(), low: vec![0; n], high: vec![255; n] })
    }

    /// Images of another shape with the values of these.
    pub(crate) fn reshaped(&self, shape: &[usize]) -> Result<Self> {
        BoxSpace::planes(shape, self.high.iter().copied().max().unwrap_or(u8::MAX))
    }

    /// Planes of the given shape (channels, height, width), with values from 0 to `high`; use 1 for binary planes.
    ///
    /// ```
    /// use rl_core::BoxSpace;
    /// let planes = BoxSpace::planes(&[4, 10, 10], 1)?;
    /// assert_eq!((planes.shape(), planes.high()[0]), (&[4, 10, 10][..], 1));
    /// # Ok::<(), rl_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if the shape is empty or contains a zero, or `high` is zero.
    pub fn planes(shape: &[usize], high: u8) -> Result<Self> {
        if high == 0 {
            return Err(Error::config("high", "at least 1", high));
        }
        let mut space = BoxSpace::image(shape)?;
        space.high.fill(high);
        Ok(space)
    }
}

impl<T> BoxSpace<T> {
    /// The same box reshaped, for example to `[channels, height, width]`. Rows stay flat, with the last dimension
    /// varying fastest.
    ///
    /// ```
    /// use rl_core::BoxSpace;
    /// let image = BoxSpace::new(vec![0.0; 12], vec![1.0; 12])?.with_shape(&[3, 2, 2])?;
    /// assert_eq!(image.shape(), [3, 2, 2]);
    /// assert!(image.with_shape(&[5, 2]).is_err());
    /// # Ok::<(), rl_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a shape with another number of elements.
    pub fn with_shape(self, shape: &[usize]) -> Result<Self> {
        let n = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if n != Some(self.low.len()) {
            let expected = format!("dimensions of {} elements", self.low.len());
            return Err(Error::config("shape", expected, format_args!("{shape:?}")));
        }
        Ok(BoxSpace { shape: shape.to_vec(), ..self })
    }

    /// The shape, such as `[4]` or `[channels, height, width]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The lower bounds, flat.
    pub fn low(&self) -> &[T] {
        &self.low
    }

    /// The upper bounds, flat.
    pub fn high(&self) -> &[T] {
        &self.high
    }
}

impl<T: Element> BoxSpace<T> {
    /// `n` of this box one after another, along the first dimension.
    pub(crate) fn repeated(&self, n: usize) -> Result<Self> {
        let repeat = |bounds: &[T]| {
            let mut all = Vec::new();
            all.try_reserve_exact(bounds.len().checked_mul(n)?).ok()?;
            (0..n).for_each(|_| all.extend_from_slice(bounds));
            Some(all)
        };
        let (Some(low), Some(high)) = (repeat(&self.low), repeat(&self.high)) else {
            return Err(Error::config("frames of a stack", "as many as fit the memory", n));
        };
        let mut shape = self.shape.clone();
        shape[0] *= n;
        Ok(BoxSpace { shape, low, high })
    }
}

impl<T: Element + PartialOrd> BoxSpace<T> {
    fn check_row(&self, what: &str, row: &[T]) -> Result<()> {
        if row.len() != self.low.len() {
            return Err(Error::mismatch(
                what,
                format_args!("{} elements", self.low.len()),
                row.len(),
            ));
        }
        for (i, ((x, l), h)) in row.iter().zip(&self.low).zip(&self.high).enumerate() {
            // Written so that a NaN, for which every comparison is false, is rejected too.
            if !(x >= l && x <= h) {
                return Err(Error::mismatch(
                    format!("{what} dimension {i}"),
                    format_args!("a number in [{l:?}, {h:?}]"),
                    format_args!("{x:?}"),
                ));
            }
        }
        Ok(())
    }
}

impl Space for BoxSpace<f32> {
    type Elem = f32;
    type Value<'a> = &'a [f32];

    fn width(&self) -> usize {
        self.low.len()
    }

    fn value(row: &[f32]) -> &[f32] {
        row
    }

    fn check(&self, what: &str, row: &[f32]) -> Result<()> {
        self.check_row(what, row)
    }

    fn clip(&self, row: &mut [f32]) {
        let bounds = self.low.iter().zip(&self.high);
        row.iter_mut().zip(bounds).for_each(|(x, (low, high))| *x = x.clamp(*low, *high));
    }

    fn sample(&self, rng: &mut Rng, row: &mut [f32]) {
        for ((x, &l), &h) in row.iter_mut().zip(&self.low).zip(&self.high) {
            *x = match (l.is_finite(), h.is_finite()) {
                (true, true) => rng.uniform(l.into(), h.into()) as f32,
                (true, false) => l + rng.normal().abs() as f32,
                (false, true) => h - rng.normal().abs() as f32,
                (false, false) => rng.normal() as f32,
            };
        }
    }
}

impl Space for BoxSpace<u8> {
    type Elem = u8;
    type Value<'a> = &'a [u8];

    fn width(&self) -> usize {
        self.low.len()
    }

    fn value(row: &[u8]) -> &[u8] {
        row
    }

    fn check(&self, what: &str, row: &[u8]) -> Result<()> {
        self.check_row(what, row)
    }

    fn clip(&self, row: &mut [u8]) {
        let bounds = self.low.iter().zip(&self.high);
        row.iter_mut().zip(bounds).for_each(|(x, (low, high))| *x = (*x).clamp(*low, *high));
    }

    fn sample(&self, rng: &mut Rng, row: &mut [u8]) {
        for ((x, &low), &high) in row.iter_mut().zip(&self.low).zip(&self.high) {
            *x = low + rng.below(usize::from(high - low) + 1) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seeds;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_lie_inside(seed: u64, low in -5.0f32..0.0, width in 0.01f32..9.0, n in 1u32..50) {
            let mut rng = Seeds::new(seed).stream("t", 0);
            let space = BoxSpace::new(vec![low, f32::NEG_INFINITY, low], vec![low + width, 3.0, f32::INFINITY]).unwrap();
            let mut row = [0.0; 3];
            space.sample(&mut rng, &mut row);
            prop_assert!(space.check("sample", &row).is_ok());
            row.fill(1e9);
            space.clip(&mut row);
            prop_assert!(space.check("clipped", &row).is_ok());
            let mut index = [0];
            Discrete::new(n).unwrap().sample(&mut rng, &mut index);
            prop_assert!(index[0] < n);
        }
    }

    #[test]
    fn errors_name_the_dimension() {
        let e = BoxSpace::new(vec![0.0, 2.0], vec![1.0, 1.0]).unwrap_err().to_string();
        assert_eq!(e, "box dimension 1: expected low < high, got [2, 1]");
        let e = BoxSpace::unbounded(2).unwrap().require_finite("action").unwrap_err().to_string();
        assert_eq!(e, "action dimension 0: expected finite bounds, got [-inf, inf]");
        let space = BoxSpace::new(vec![-1.0; 2], vec![1.0; 2]).unwrap();
        let e = space.check("action", &[0.0, f32::NAN]).unwrap_err().to_string();
        assert_eq!(e, "action dimension 1: expected a number in [-1.0, 1.0], got NaN");
    }
}
