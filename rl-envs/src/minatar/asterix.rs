use super::{Action, Choices, Game, SIDE, sideways};
use rl_core::End;
use serde::{Deserialize, Serialize};

/// Asterix: enemies and treasures cross the grid on eight rows. A treasure is worth 1, an enemy ends the episode. With
/// ramping they come sooner and move faster as time goes on.
///
/// Channels: player, enemies, their trails, treasures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asterix {
    /// `(y, x)`.
    player: (usize, usize),
    /// At most one on each of rows 1 to 8.
    rows: [Option<Crossing>; ROWS],
    spawn_interval: i32,
    spawn_timer: i32,
    move_interval: i32,
    move_timer: i32,
    ramp_timer: i32,
    ramps: u32,
}

/// What crosses the grid on a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Crossing {
    x: usize,
    to_the_right: bool,
    treasure: bool,
}

const ROWS: usize = 8;
/// Frames from one speeding-up to the next.
const RAMP_INTERVAL: i32 = 100;

impl Crossing {
    /// One cell on; none once it has left the grid.
    fn moved(self) -> Option<Self> {
        let x = if self.to_the_right { Some(self.x + 1) } else { self.x.checked_sub(1) };
        x.filter(|x| *x < SIDE).map(|x| Crossing { x, ..self })
    }

    /// The cell that it has come from.
    fn trail(self) -> Option<usize> {
        let x = if self.to_the_right { self.x.checked_sub(1) } else { Some(self.x + 1) };
        x.filter(|x| *x < SIDE)
    }
}

impl Asterix {
    fn spawn(&mut self, choices: &mut impl Choices) {
        let to_the_right = choices.unit() < 0.5;
        let treasure = choices.unit() < 1.0 / 3.0;
        let free = || self.rows.iter().enumerate().filter(|(_, row)| row.is_none());
        let count = free().count();
        if count == 0 {
            return;
        }
        let x = if to_the_right { 0 } else { SIDE - 1 };
        if let Some((row, _)) = free().nth(choices.below(count)) {
            self.rows[row] = Some(Crossing { x, to_the_right, treasure });
        }
    }

    /// Lets the player meet what stands in its cell on a row: the reward, and whether it was an enemy.
    fn meet(&mut self, row: usize) -> (u32, bool) {
        match self.rows[row].filter(|crossing| (row + 1, crossing.x) == self.player) {
            None => (0, false),
            Some(Crossing { treasure: false, .. }) => (0, true),
            Some(_) => {
                self.rows[row] = None;
                (1, false)
            }
        }
    }

    fn ramp(&mut self) {
        if self.spawn_interval <= 1 && self.move_interval <= 1 {
            return;
        }
        if self.ramp_timer >= 0 {
            self.ramp_timer -= 1;
            return;
        }
        if self.move_interval > 1 && self.ramps % 2 == 1 {
            self.move_interval -= 1;
        }
        if self.spawn_interval > 1 {
            self.spawn_interval -= 1;
        }
        self.ramps += 1;
        self.ramp_timer = RAMP_INTERVAL;
    }
}

impl Game for Asterix {
    const CHANNELS: usize = 4;
    const MINIMAL: &'static [Action] =
        &[Action::Noop, Action::Left, Action::Up, Action::Right, Action::Down];

    fn start(_: &mut impl Choices) -> Self {
        Asterix {
            player: (5, 5),
            rows: [None; ROWS],
            spawn_interval: 10,
            spawn_timer: 10,
            move_interval: 5,
            move_timer: 5,
            ramp_timer: RAMP_INTERVAL,
            ramps: 0,
        }
    }

    fn advance(
        &mut self,
        action: Action,
        ramping: bool,
        choices: &mut impl Choices,
    ) -> (u32, Option<End>) {
        if self.spawn_timer == 0 {
            self.spawn(choices);
            self.spawn_timer = self.spawn_interval;
        }
        let (y, x) = self.player;
        self.player = match action {
            Action::Up => ((y - 1).max(1), x),
            Action::Down => ((y + 1).min(ROWS), x),
            action => (y, sideways(x, action)),
        };
        let (mut reward, mut caught) = (0, false);
        let mut met = |(earned, enemy): (u32, bool)| {
            reward += earned;
            caught |= enemy;
        };
        for row in 0..ROWS {
            met(self.meet(row));
        }
        if self.move_timer == 0 {
            self.move_timer = self.move_interval;
            for row in 0..ROWS {
                self.rows[row] = self.rows[row].and_then(Crossing::moved);
                met(self.meet(row));
            }
        }
        self.spawn_timer -= 1;
        self.move_timer -= 1;
        if ramping {
            self.ramp();
        }
        (reward, caught.then_some(End::Terminated))
    }

    fn is_playable(&self) -> bool {
        let crossing = |row: &Option<Crossing>| row.is_none_or(|crossing| crossing.x < SIDE);
        (1..=ROWS).contains(&self.player.0)
            && self.player.1 < SIDE
            && self.rows.iter().all(crossing)
            && (1..=10).contains(&self.spawn_interval)
            && (0..=10).contains(&self.spawn_timer)
            && (1..=5).contains(&self.move_interval)
            && (0..=5).contains(&self.move_timer)
            && (-1..=RAMP_INTERVAL).contains(&self.ramp_timer)
            && self.ramps < 100
    }

    fn show(&self, mut mark: impl FnMut(usize, usize, usize)) {
        mark(0, self.player.0, self.player.1);
        for (row, crossing) in self.rows.iter().enumerate() {
            let Some(crossing) = crossing else { continue };
            mark(if crossing.treasure { 3 } else { 1 }, row + 1, crossing.x);
            if let Some(x) = crossing.trail() {
                mark(2, row + 1, x);
            }
        }
    }
}
