use super::canvas::{Pivot, draw};
use super::{BLACK, SQUARE, size};
use crate::Acrobot;
use rl_core::{Image, Render, Result};
use std::f64::consts::FRAC_PI_2;

/// Units per link: the picture reaches 2.2 to each side of the first joint.
const SCALE: f64 = SQUARE / 4.4;
/// Half of a link's width, and a joint's radius.
const SIDE: f64 = 0.1 * SCALE;
const LINK_COLOUR: [u8; 3] = [0, 204, 204];
const JOINT_COLOUR: [u8; 3] = [204, 204, 0];

/// As Gymnasium's, 500 by 500 pixels: two cyan links with yellow joints, and the line to be reached.
impl Render for Acrobot {
    fn image_size(&self) -> [usize; 2] {
        size([SQUARE; 2])
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        let [a, b, ..] = self.state;
        // A link points to the right before it is turned, and downwards at angle zero.
        let first = Pivot { at: [SQUARE / 2.0; 2], angle: a - FRAC_PI_2 };
        let second = Pivot { at: first.turn([SCALE, 0.0]), angle: a + b - FRAC_PI_2 };
        draw(image, [SQUARE; 2], |canvas| {
            let line = Pivot { at: [0.0, SQUARE / 2.0 + SCALE], angle: 0.0 };
            canvas.bar([[0.0, 0.0], [SQUARE, 1.0]], line, BLACK);
            for link in [first, second] {
                canvas.bar([[0.0, -SIDE], [SCALE, SIDE]], link, LINK_COLOUR);
                canvas.circle(link.at, SIDE, JOINT_COLOUR);
            }
        })
    }
}
