use super::{Action, Choices, Game, SIDE};
use rl_core::End;
use serde::{Deserialize, Serialize};

/// Freeway: a chicken crosses eight lanes of cars. Each crossing is worth 1 and gives the cars other speeds; a car sends the
/// chicken back. It moves once in three frames at most. An episode is cut after 2,501 frames.
///
/// Channels: chicken, cars, and five of trails, one a speed, the fastest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freeway {
    chicken: usize,
    cars: [Car; LANES],
    move_timer: u32,
    frames: u32,
}

/// A car of one of rows 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Car {
    x: usize,
    /// Frames to its next move.
    timer: u32,
    /// Frames from one move to the next, 1 to 5.
    interval: u32,
    to_the_right: bool,
}

const LANES: usize = 8;
/// The column of the chicken.
const COLUMN: usize = 4;
const MOVE_INTERVAL: u32 = 3;
/// The frames of an episode: 2,500 and one more, as in the package.
const LAST_FRAME: u32 = 2_501;

impl Car {
    /// The next cell in a direction; the grid's sides are joined.
    fn beside(x: usize, to_the_right: bool) -> usize {
        if to_the_right { (x + 1) % SIDE } else { (x + SIDE - 1) % SIDE }
    }
}

/// Draws speeds and directions; cars keep their places.
fn draw_cars(cars: &mut [Car; LANES], choices: &mut impl Choices) {
    for car in cars.iter_mut() {
        car.interval = choices.below(5) as u32 + 1;
        car.timer = car.interval;
    }
    for car in cars {
        car.to_the_right = choices.unit() >= 0.5;
    }
}

impl Game for Freeway {
    const CHANNELS: usize = 7;
    const MINIMAL: &'static [Action] = &[Action::Noop, Action::Up, Action::Down];

    fn start(choices: &mut impl Choices) -> Self {
        let mut cars = [Car { x: 0, timer: 0, interval: 0, to_the_right: true }; LANES];
        draw_cars(&mut cars, choices);
        Freeway { chicken: SIDE - 1, cars, move_timer: MOVE_INTERVAL, frames: 0 }
    }

    fn advance(
        &mut self,
        action: Action,
        _: bool,
        choices: &mut impl Choices,
    ) -> (u32, Option<End>) {
        if self.move_timer == 0 && matches!(action, Action::Up | Action::Down) {
            self.move_timer = MOVE_INTERVAL;
            self.chicken = match action {
                Action::Up => self.chicken.saturating_sub(1),
                _ => (self.chicken + 1).min(SIDE - 1),
            };
        }
        let mut reward = 0;
        if self.chicken == 0 {
            reward = 1;
            draw_cars(&mut self.cars, choices);
            self.chicken = SIDE - 1;
        }
        for (lane, car) in self.cars.iter_mut().enumerate() {
            let hit = |car: &Car, chicken: usize| car.x == COLUMN && chicken == lane + 1;
            if hit(car, self.chicken) {
                self.chicken = SIDE - 1;
            }
            if car.timer == 0 {
                car.timer = car.interval;
                car.x = Car::beside(car.x, car.to_the_right);
                if hit(car, self.chicken) {
                    self.chicken = SIDE - 1;
                }
            } else {
                car.timer -= 1;
            }
        }
        self.move_timer = self.move_timer.saturating_sub(1);
        self.frames += 1;
        (reward, (self.frames == LAST_FRAME).then_some(End::Truncated))
    }

    fn is_playable(&self) -> bool {
        let car = |car: &Car| car.x < SIDE && (1..=5).contains(&car.interval) && car.timer <= 5;
        self.chicken < SIDE
            && self.cars.iter().all(car)
            && self.move_timer <= MOVE_INTERVAL
            && self.frames < LAST_FRAME
    }

    fn show(&self, mut mark: impl FnMut(usize, usize, usize)) {
        mark(0, self.chicken, COLUMN);
        for (lane, car) in self.cars.iter().enumerate() {
            mark(1, lane + 1, car.x);
            mark(1 + car.interval as usize, lane + 1, Car::beside(car.x, !car.to_the_right));
        }
    }
}
