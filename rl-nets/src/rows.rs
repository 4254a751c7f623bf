//! The inputs of networks.

use rl_core::{BoxSpace, Element, Space};

/// Rows of input, contiguous. A network scales byte inputs to [0, 1], see
/// [`Network::with_byte_range`](crate::Network::with_byte_range).
///
/// ```
/// use rl_nets::InputRows;
/// assert_eq!(InputRows::from(&[0.5f32, 1.0]).len(), 2);
/// assert_eq!(InputRows::from(&vec![0u8; 3]).len(), 3);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum InputRows<'a> {
    /// Unscaled numbers.
    F32(&'a [f32]),
    /// Bytes: pixels, or binary planes.
    U8(&'a [u8]),
}

impl InputRows<'_> {
    /// The number of elements in all rows.
    pub fn len(&self) -> usize {
        match self {
            InputRows::F32(rows) => rows.len(),
            InputRows::U8(rows) => rows.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The element type of observations that networks can read: `f32` or `u8`.
pub trait RowElement: Element {
    /// Whether rows are of bytes.
    const BYTES: bool;

    /// Wraps these rows.
    fn rows(rows: &[Self]) -> InputRows<'_>;
}

impl RowElement for f32 {
    const BYTES: bool = false;

    fn rows(rows: &[f32]) -> InputRows<'_> {
        InputRows::F32(rows)
    }
}

impl RowElement for u8 {
    const BYTES: bool = true;

    fn rows(rows: &[u8]) -> InputRows<'_> {
        InputRows::U8(rows)
    }
}

impl<'a, T: RowElement> From<&'a [T]> for InputRows<'a> {
    fn from(rows: &'a [T]) -> Self {
        T::rows(rows)
    }
}

impl<'a, T: RowElement> From<&'a Vec<T>> for InputRows<'a> {
    fn from(rows: &'a Vec<T>) -> Self {
        T::rows(rows)
    }
}

impl<'a, T: RowElement, const N: usize> From<&'a [T; N]> for InputRows<'a> {
    fn from(rows: &'a [T; N]) -> Self {
        T::rows(rows)
    }
}

/// An observation space that networks can read: a box of `f32` or of `u8`.
pub trait InputSpace: Space<Elem: RowElement> {
    /// The shape, such as `[4]` or `[channels, height, width]`.
    fn input_shape(&self) -> &[usize];

    /// The divisor of byte inputs, for rows of bytes: the space's largest upper bound.
    fn byte_range(&self) -> Option<u8>;
}

impl InputSpace for BoxSpace<f32> {
    fn input_shape(&self) -> &[usize] {
        self.shape()
    }

    fn byte_range(&self) -> Option<u8> {
        None
    }
}

impl InputSpace for BoxSpace<u8> {
    fn input_shape(&self) -> &[usize] {
        self.shape()
    }

    fn byte_range(&self) -> Option<u8> {
        self.high().iter().copied().max()
    }
}
