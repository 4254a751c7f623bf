use super::canvas::{Pivot, draw};
use super::{BLACK, WIDE, size};
use crate::mountain_car::{MAX_POSITION, MIN_POSITION};
use crate::{MountainCar, MountainCarContinuous, mountain_car, mountain_car_continuous};
use rl_core::{Image, Render, Result};

const SCALE: f64 = WIDE[1] / (MAX_POSITION - MIN_POSITION);
/// Points of the line that is the hill.
const POINTS: usize = 100;
const CAR: [f64; 2] = [40.0, 20.0];
/// The car's floor above the hill.
const CLEARANCE: f64 = 10.0;
const WHEEL: f64 = 8.0;
const WHEEL_COLOUR: [u8; 3] = [128, 128, 128];
const FLAG_POLE: f64 = 50.0;
const FLAG: [f64; 2] = [25.0, 10.0];
const FLAG_COLOUR: [u8; 3] = [204, 204, 0];

/// Where a position is drawn, on the hill.
fn on_hill(position: f64) -> [f64; 2] {
    let height = 0.45 * (3.0 * position).sin() + 0.55;
    [(position - MIN_POSITION) * SCALE, height * SCALE]
}

fn render(position: f64, goal: f64, image: &mut Image<'_>) -> Result<()> {
    draw(image, WIDE, |canvas| {
        let step = (MAX_POSITION - MIN_POSITION) / (POINTS - 1) as f64;
        let hill: [_; POINTS] = std::array::from_fn(|i| on_hill(MIN_POSITION + i as f64 * step));
        canvas.line(&hill, BLACK);

        let [x, y] = on_hill(position);
        // Gymnasium turns the car by the cosine, which has the slope's sign and is close to its angle.
        let car = Pivot { at: [x, y + CLEARANCE], angle: (3.0 * position).cos() };
        canvas.bar([[-CAR[0] / 2.0, 0.0], [CAR[0] / 2.0, CAR[1]]], car, BLACK);
        for side in [1.0, -1.0] {
            canvas.circle(car.turn([side * CAR[0] / 4.0, 0.0]), WHEEL, WHEEL_COLOUR);
        }

        let flag = Pivot { at: on_hill(goal), angle: 0.0 };
        canvas.bar([[0.0, 0.0], [1.0, FLAG_POLE]], flag, BLACK);
        let corners =
            [[0.0, FLAG_POLE], [0.0, FLAG_POLE - FLAG[1]], [FLAG[0], FLAG_POLE - FLAG[1] / 2.0]];
        canvas.polygon(&corners.map(|corner| flag.turn(corner)), FLAG_COLOUR);
    })
}

/// As Gymnasium's, 400 by 600 pixels: the hill, a black car with grey wheels, and a yellow flag at the goal.
impl Render for MountainCar {
    fn image_size(&self) -> [usize; 2] {
        size(WIDE)
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        render(self.state[0], mountain_car::GOAL, image)
    }
}

/// As [`MountainCar`]'s, with the flag a little lower.
impl Render for MountainCarContinuous {
    fn image_size(&self) -> [usize; 2] {
        size(WIDE)
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        render(self.position, mountain_car_continuous::GOAL.into(), image)
    }
}
