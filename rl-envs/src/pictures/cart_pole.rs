use super::canvas::{Pivot, draw};
use super::{BLACK, WIDE, size};
use crate::CartPole;
use rl_core::{Image, Render, Result};

/// Units per metre: the track is 4.8 metres long.
const SCALE: f64 = WIDE[1] / 4.8;
const CART: [f64; 2] = [50.0, 30.0];
/// The height of the track, and of the cart's middle.
const TRACK: f64 = 100.0;
/// The axle above the middle of the cart.
const AXLE: f64 = CART[1] / 4.0;
const POLE_WIDTH: f64 = 10.0;
/// The pole is one metre long.
const POLE: f64 = SCALE;
const POLE_COLOUR: [u8; 3] = [202, 152, 101];
const AXLE_COLOUR: [u8; 3] = [129, 132, 203];

/// As Gymnasium's, 400 by 600 pixels: the whole track, a black cart and a brown pole.
impl Render for CartPole {
    fn image_size(&self) -> [usize; 2] {
        size(WIDE)
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        let [x, _, theta, _] = self.state;
        let cart = [x * SCALE + WIDE[1] / 2.0, TRACK];
        let axle = [cart[0], TRACK + AXLE];
        draw(image, WIDE, |canvas| {
            let half = CART.map(|side| side / 2.0);
            let upright = Pivot { at: cart, angle: 0.0 };
            canvas.bar([half.map(|x| -x), half], upright, BLACK);
            // A positive angle leans to the right.
            let pole = Pivot { at: axle, angle: -theta };
            let (side, top) = (POLE_WIDTH / 2.0, POLE - POLE_WIDTH / 2.0);
            canvas.bar([[-side, -side], [side, top]], pole, POLE_COLOUR);
            canvas.circle(axle, side, AXLE_COLOUR);
            let track = Pivot { at: [0.0, TRACK], angle: 0.0 };
            canvas.bar([[0.0, 0.0], [WIDE[1], 1.0]], track, BLACK);
        })
    }
}
