use super::{Action, Choices, Game, SIDE, sideways};
use rl_core::End;
use serde::{Deserialize, Serialize};

/// Breakout: a ball on diagonal paths breaks bricks, each worth 1; the paddle on the lowest row must not miss it. When the
/// last brick is gone, three rows return as the ball comes down.
///
/// Channels: paddle, ball, the ball's trail, bricks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakout {
    paddle: usize,
    /// `(y, x)`, and where it was a frame ago.
    ball: (usize, usize),
    trail: (usize, usize),
    down: bool,
    right: bool,
    bricks: [[bool; SIDE]; ROWS],
    /// Whether the last frame's ball was among bricks: it breaks one at a time.
    strike: bool,
}

/// Rows of bricks, below the highest row of the grid.
const ROWS: usize = 3;

impl Breakout {
    fn brick(&mut self, y: usize, x: usize) -> Option<&mut bool> {
        self.bricks.get_mut(y.checked_sub(1)?).map(|row| &mut row[x])
    }
}

impl Game for Breakout {
    const CHANNELS: usize = 4;
    const MINIMAL: &'static [Action] = &[Action::Noop, Action::Left, Action::Right];

    fn start(choices: &mut impl Choices) -> Self {
        let right = choices.below(2) == 0;
        let ball = (3, if right { 0 } else { SIDE - 1 });
        let bricks = [[true; SIDE]; ROWS];
        Breakout { paddle: 4, ball, trail: ball, down: true, right, bricks, strike: false }
    }

    fn advance(&mut self, action: Action, _: bool, _: &mut impl Choices) -> (u32, Option<End>) {
        self.paddle = sideways(self.paddle, action);
        let (last_y, last_x) = self.ball;
        self.trail = self.ball;
        // Walls on the sides reflect where the ball would leave.
        let mut x = last_x;
        match (self.right, last_x) {
            (true, 9) | (false, 0) => self.right = !self.right,
            (true, _) => x += 1,
            (false, _) => x -= 1,
        }
        let mut y = last_y;
        let (mut reward, mut end, mut strike) = (0, None, false);
        if !self.down && last_y == 0 {
            self.down = true;
        } else {
            y = if self.down { last_y + 1 } else { last_y - 1 };
            let was_striking = self.strike;
            if let Some(brick) = self.brick(y, x).filter(|brick| **brick) {
                strike = true;
                if !was_striking {
                    *brick = false;
                    reward = 1;
                    y = last_y;
                    self.down = !self.down;
                }
            } else if y == SIDE - 1 {
                if self.bricks.iter().flatten().all(|brick| !brick) {
                    self.bricks = [[true; SIDE]; ROWS];
                }
                if last_x == self.paddle {
                    self.down = false;
                    y = last_y;
                } else if x == self.paddle {
                    // Met on its edge the ball goes back where it came from.
                    self.down = false;
                    self.right = !self.right;
                    y = last_y;
                } else {
                    end = Some(End::Terminated);
                }
            }
        }
        (self.ball, self.strike) = ((y, x), strike);
        (reward, end)
    }

    fn is_playable(&self) -> bool {
        let inside = |(y, x): (usize, usize)| y < SIDE && x < SIDE;
        // On the lowest row the ball is lost.
        self.paddle < SIDE && inside(self.ball) && inside(self.trail) && self.ball.0 < SIDE - 1
    }

    fn show(&self, mut mark: impl FnMut(usize, usize, usize)) {
        mark(0, SIDE - 1, self.paddle);
        mark(1, self.ball.0, self.ball.1);
        mark(2, self.trail.0, self.trail.1);
        for (y, row) in self.bricks.iter().enumerate() {
            for (x, _) in row.iter().enumerate().filter(|(_, brick)| **brick) {
                mark(3, y + 1, x);
            }
        }
    }
}
