use super::canvas::{Pivot, draw};
use super::{BLACK, SQUARE, size};
use crate::Pendulum;
use rl_core::{Image, Render, Result};
use std::f64::consts::FRAC_PI_2;

/// Units per length of the rod: the picture reaches 2.2 to each side of the axle.
const SCALE: f64 = SQUARE / 4.4;
const ROD_WIDTH: f64 = 0.2 * SCALE;
const AXLE: f64 = 0.05 * SCALE;
const ROD_COLOUR: [u8; 3] = [204, 77, 77];

/// As Gymnasium's, 500 by 500 pixels: a red rod with round ends on a black axle. The arrow that shows the last torque is
/// left out: it is not part of the state.
impl Render for Pendulum {
    fn image_size(&self) -> [usize; 2] {
        size([SQUARE; 2])
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        let [theta, _] = self.state;
        // The rod points to the right before it is turned, and upwards at angle zero.
        let rod = Pivot { at: [SQUARE / 2.0; 2], angle: theta + FRAC_PI_2 };
        draw(image, [SQUARE; 2], |canvas| {
            let side = ROD_WIDTH / 2.0;
            canvas.bar([[0.0, -side], [SCALE, side]], rod, ROD_COLOUR);
            canvas.circle(rod.at, side, ROD_COLOUR);
            canvas.circle(rod.turn([SCALE, 0.0]), side, ROD_COLOUR);
            canvas.circle(rod.at, AXLE, BLACK);
        })
    }
}
