//! Classic control from pictures: environments composed of wrappers, whose observations are stacks of four grey frames
//! `[4, 84, 84]` on a dark background, the oldest first, so that speeds can be seen.

use crate::{CartPole, Pendulum};
use rl_core::{Crop, FrameStack, Greyscale, Invert, Rendered, Resize, Result};

/// Height and width of an observation.
const SIDE: usize = 84;
const FRAMES: usize = 4;

/// See [`cart_pole_pixels`].
pub type CartPolePixels = FrameStack<Invert<Resize<Greyscale<Crop<Rendered<CartPole>>>>>>;

/// See [`pendulum_pixels`].
pub type PendulumPixels = FrameStack<Invert<Resize<Greyscale<Crop<Rendered<Pendulum>>>>>>;

/// [`CartPole`] from pictures: drawn at 200 by 300 pixels, cropped to the 84 rows that cart and pole can reach, in grey,
/// 84 by 84, the last four frames. A tilt by two degrees moves the top of the pole by 0.6 pixels. Registered as
/// `CartPolePixels-v0` with 500 steps per episode.
///
/// ```
/// use rl_core::Env;
/// assert_eq!(rl_envs::cart_pole_pixels()?.observation_space().shape(), [4, 84, 84]);
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// None: the sizes are constant.
pub fn cart_pole_pixels() -> Result<CartPolePixels> {
    let (height, width) = (200, 300);
    let picture = Rendered::new(CartPole::default(), height, width)?;
    let frame = Greyscale::new(Crop::new(picture, 80..164, 0..width)?)?;
    FrameStack::new(Invert::new(Resize::new(frame, SIDE, SIDE)?)?, FRAMES)
}

/// [`Pendulum`] from pictures: drawn at 200 by 200 pixels, cropped to the 104 by 104 that the rod can reach, in grey, 84 by
/// 84, the last four frames. Registered as `PendulumPixels-v0` with 200 steps per episode.
///
/// ```
/// use rl_core::Env;
/// assert_eq!(rl_envs::pendulum_pixels()?.observation_space().shape(), [4, 84, 84]);
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// None: the sizes are constant.
pub fn pendulum_pixels() -> Result<PendulumPixels> {
    let side = 200;
    let picture = Rendered::new(Pendulum::default(), side, side)?;
    let frame = Greyscale::new(Crop::new(picture, 48..152, 48..152)?)?;
    FrameStack::new(Invert::new(Resize::new(frame, SIDE, SIDE)?)?, FRAMES)
}
