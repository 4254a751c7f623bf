//! The spaces of an environment, as a worker describes them.

use rl_core::{BoxSpace, Discrete, Error, Result, Space, check};
use serde::Deserialize;

/// A space in a worker's first reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum SpaceSpec {
    /// `n` choices.
    Discrete { n: u32 },
    /// Numbers; bounds beyond the range of 32-bit floats are infinite.
    Box { shape: Vec<usize>, low: Vec<f64>, high: Vec<f64> },
    /// Bytes, up to a highest one.
    Bytes { shape: Vec<usize>, high: u8 },
}

impl SpaceSpec {
    fn describe(&self) -> &'static str {
        match self {
            SpaceSpec::Discrete { .. } => "numbers of states or actions",
            SpaceSpec::Box { .. } => "boxes of numbers",
            SpaceSpec::Bytes { .. } => "bytes",
        }
    }

    fn refuse<T>(&self, what: &str, expected: &str) -> Result<T> {
        Err(Error::mismatch(what, expected, self.describe()))
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for rl_core::Discrete {}
    impl Sealed for rl_core::BoxSpace {}
    impl Sealed for rl_core::BoxSpace<u8> {}
}

/// A kind of observation that Gymnasium environments can have: [`Discrete`], [`BoxSpace`] or `BoxSpace<u8>`.
pub trait GymObs: Space + sealed::Sealed {
    /// Bytes of an element on the wire.
    const BYTES: usize;
    /// The space that a worker describes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a space of another kind.
    fn described(spec: &Described<'_>) -> Result<Self>;
    /// Reads the elements of rows from the wire.
    fn read(bytes: &[u8], to: &mut [Self::Elem]);
}

/// A kind of action that Gymnasium environments can have: [`Discrete`] or [`BoxSpace`].
pub trait GymAction: Space + sealed::Sealed {
    /// The space that a worker describes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a space of another kind.
    fn described(spec: &Described<'_>) -> Result<Self>;
    /// Writes rows for the wire.
    fn write(rows: &[Self::Elem], to: &mut Vec<u8>);
    /// Writes one action for the wire.
    fn write_value(value: Self::Value<'_>, to: &mut Vec<u8>);
    /// Checks that it is an action of the space; a box's may be out of bounds, which environments judge by themselves.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another choice or number of elements.
    fn check_value(&self, value: &Self::Value<'_>) -> Result<()>;
}

/// A description of a space, which only this crate can read.
#[derive(Debug)]
pub struct Described<'a>(pub(super) &'a SpaceSpec);

/// A box of the given bounds. What a space says of observations is often wrong by a constant dimension: such a one has no
/// bounds here where `lenient`.
fn box_space(shape: &[usize], low: &[f64], high: &[f64], lenient: bool) -> Result<BoxSpace> {
    // Out of range is infinite.
    let mut low: Vec<f32> = low.iter().map(|x| *x as f32).collect();
    let mut high: Vec<f32> = high.iter().map(|x| *x as f32).collect();
    for (low, high) in low.iter_mut().zip(&mut high) {
        if lenient && *low == *high {
            (*low, *high) = (f32::NEG_INFINITY, f32::INFINITY);
        }
    }
    BoxSpace::new(low, high)?.with_shape(shape)
}

impl GymObs for BoxSpace {
    const BYTES: usize = 4;

    fn described(spec: &Described<'_>) -> Result<Self> {
        match spec.0 {
            SpaceSpec::Box { shape, low, high } => box_space(shape, low, high, true),
            other => other.refuse("observations", "boxes of numbers"),
        }
    }

    fn read(bytes: &[u8], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(bytes.as_chunks().0) {
            *to = f32::from_ne_bytes(*from);
        }
    }
}

impl GymObs for BoxSpace<u8> {
    const BYTES: usize = 1;

    fn described(spec: &Described<'_>) -> Result<Self> {
        match spec.0 {
            SpaceSpec::Bytes { shape, high } => BoxSpace::planes(shape, *high),
            other => other.refuse("observations", "bytes"),
        }
    }

    fn read(bytes: &[u8], to: &mut [u8]) {
        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

impl GymObs for Discrete {
    const BYTES: usize = 4;

    fn described(spec: &Described<'_>) -> Result<Self> {
        match spec.0 {
            SpaceSpec::Discrete { n } => Discrete::new(*n),
            other => other.refuse("observations", "numbers of states"),
        }
    }

    fn read(bytes: &[u8], to: &mut [u32]) {
        for (to, from) in to.iter_mut().zip(bytes.as_chunks().0) {
            *to = u32::from_ne_bytes(*from);
        }
    }
}

impl GymAction for Discrete {
    fn described(spec: &Described<'_>) -> Result<Self> {
        match spec.0 {
            SpaceSpec::Discrete { n } => Discrete::new(*n),
            other => other.refuse("actions", "numbers of actions"),
        }
    }

    fn write(rows: &[u32], to: &mut Vec<u8>) {
        rows.iter().for_each(|x| to.extend(x.to_ne_bytes()));
    }

    fn write_value(value: usize, to: &mut Vec<u8>) {
        // What does not fit is no action of the space either.
        to.extend(u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes());
    }

    fn check_value(&self, value: &usize) -> Result<()> {
        self.check("action", &[u32::try_from(*value).unwrap_or(u32::MAX)])
    }
}

impl GymAction for BoxSpace {
    fn described(spec: &Described<'_>) -> Result<Self> {
        match spec.0 {
            SpaceSpec::Box { shape, low, high } => box_space(shape, low, high, false),
            other => other.refuse("actions", "boxes of numbers"),
        }
    }

    fn write(rows: &[f32], to: &mut Vec<u8>) {
        rows.iter().for_each(|x| to.extend(x.to_ne_bytes()));
    }

    fn write_value(value: &[f32], to: &mut Vec<u8>) {
        Self::write(value, to);
    }

    fn check_value(&self, value: &&[f32]) -> Result<()> {
        check::len("action", self.width(), value.len())
    }
}
