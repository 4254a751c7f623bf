//! How the environments of classic control look: the geometry and the colours of Gymnasium 1.4's pictures
//! (`gymnasium/envs/classic_control`), in its units, pixels of a picture of the size that it draws. Gymnasium rounds
//! corners to whole pixels; here they lie where they are, so that small motions are visible.

mod acrobot;
mod canvas;
mod cart_pole;
mod mountain_car;
mod pendulum;

/// The size of the square pictures, in pixels.
const SQUARE: f64 = 500.0;
/// The height and the width of the others.
const WIDE: [f64; 2] = [400.0, 600.0];

const BLACK: [u8; 3] = [0, 0, 0];

/// A size as pixels.
fn size(size: [f64; 2]) -> [usize; 2] {
    size.map(|side| side as usize)
}
