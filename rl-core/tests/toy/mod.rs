//! The small game of fixtures/atari.py: energy falls after FIRE; without energy a life is lost and the game stands still
//! until the next FIRE. Games differ by their number.

use rl_core::{BoxSpace, Discrete, End, Env, Lives, Result, Rng, Step};
use serde::{Deserialize, Serialize};

const HEIGHT: usize = 52;
const WIDTH: usize = 40;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Toy {
    pub game: i32,
    pub t: i32,
    left: i32,
    energy: i32,
    fired: bool,
    doom: i32,
}

impl Toy {
    fn draw(&self, obs: &mut [u8]) {
        let top = self.t * 5 % (HEIGHT as i32 - 12);
        let left = (self.energy * 3).rem_euclid(WIDTH as i32 - 9);
        for (i, pixel) in obs.iter_mut().enumerate() {
            let (c, y, x) = (i / (HEIGHT * WIDTH), i / WIDTH % HEIGHT, i % WIDTH);
            let (c, y, x) = (c as i32, y as i32, x as i32);
            let shade = x * 3 + y * 5 + c * 40 + self.t * 37 + self.game * 101 + self.left * 29;
            let inside = (top..top + 12).contains(&y) && (left..left + 9).contains(&x);
            // A sprite that is drawn every second frame.
            let sprite = self.t % 2 == 1 && inside;
            let bright = 255 - 60 * self.energy.rem_euclid(3);
            *pixel = if sprite { bright } else { shade % 256 } as u8;
        }
    }
}

impl Env for Toy {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = Toy;

    fn observation_space(&self) -> BoxSpace<u8> {
        BoxSpace::image(&[3, HEIGHT, WIDTH]).unwrap()
    }

    fn action_space(&self) -> Discrete {
        Discrete::new(4).unwrap()
    }

    fn reset(&mut self, _: &mut Rng, obs: &mut [u8]) -> Result<()> {
        let game = self.game + 1;
        *self = Toy { game, t: 0, left: 3, energy: 11, fired: false, doom: 0 };
        self.draw(obs);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        self.t += 1;
        if self.doom > 0 {
            self.doom += 1;
        }
        self.fired |= action == 1;
        if self.fired {
            self.energy -= if action == 3 { 3 } else { 1 };
        }
        if self.energy <= 0 {
            (self.left, self.energy, self.fired) = (self.left - 1, 7 + 2 * self.left, false);
            self.doom = self.doom.max(1);
        }
        if self.t == 13 {
            self.left += 1;
        }
        let reward = [0.0, 0.0, 5.0, -2.0][action] + if self.t % 7 == 0 { 1.0 } else { 0.0 };
        let short = match self.game % 4 {
            3 => self.t == 4,
            2 => self.doom == 2,
            _ => false,
        };
        self.draw(obs);
        let end = if self.left <= 0 || short {
            Some(End::Terminated)
        } else {
            (self.t >= 90).then_some(End::Truncated)
        };
        Ok(Step { reward, end })
    }

    fn state(&self) -> Option<Toy> {
        Some(self.clone())
    }

    fn set_state(&mut self, state: Toy) -> Result<()> {
        *self = state;
        Ok(())
    }
}

impl Lives for Toy {
    fn lives(&self) -> u32 {
        self.left.max(0) as u32
    }
}
