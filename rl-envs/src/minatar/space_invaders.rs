use super::{Action, Choices, Game, SIDE, sideways};
use rl_core::End;
use serde::{Deserialize, Serialize};

/// Space Invaders: a cannon shoots at aliens, each worth 1, which march, come lower at each side, and shoot back from the
/// column nearest to it. When all are gone the next wave comes, with ramping a faster one. A bullet or an alien that
/// reaches the cannon, or an alien on the lowest row that turns, ends the episode.
///
/// Channels: cannon, aliens, aliens that march left, aliens that march right, its bullets, their bullets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceInvaders {
    cannon: usize,
    own_bullets: Grid,
    bullets: Grid,
    aliens: Grid,
    to_the_right: bool,
    /// The most frames from one step of the aliens to the next; fewer aliens are faster.
    move_interval: i32,
    move_timer: i32,
    alien_shot_timer: i32,
    shot_timer: i32,
}

/// Flags `[y][x]`.
type Grid = [[bool; SIDE]; SIDE];

const SHOT_INTERVAL: i32 = 5;
const ALIEN_SHOT_INTERVAL: i32 = 10;
const FIRST_MOVE_INTERVAL: i32 = 12;
const LEAST_MOVE_INTERVAL: i32 = 6;
const LAST: usize = SIDE - 1;

fn wave() -> Grid {
    let mut aliens = [[false; SIDE]; SIDE];
    aliens[..4].iter_mut().for_each(|row| row[2..8].fill(true));
    aliens
}

fn count(grid: &Grid) -> i32 {
    grid.iter().flatten().filter(|set| **set).count() as i32
}

impl SpaceInvaders {
    /// Marches or comes lower; whether that ends the episode.
    fn move_aliens(&mut self) -> bool {
        self.move_timer = count(&self.aliens).min(self.move_interval);
        let side = if self.to_the_right { LAST } else { 0 };
        if self.aliens.iter().any(|row| row[side]) {
            self.to_the_right = !self.to_the_right;
            let landed = self.aliens[LAST].contains(&true);
            self.aliens.rotate_right(1);
            return landed || self.aliens[LAST][self.cannon];
        }
        for row in &mut self.aliens {
            if self.to_the_right { row.rotate_right(1) } else { row.rotate_left(1) }
        }
        self.aliens[LAST][self.cannon]
    }

    /// The lowest alien of the column nearest to the cannon, the left one of two.
    fn nearest_alien(&self) -> Option<(usize, usize)> {
        let lowest = |x: usize| (0..SIDE).rev().find(|y| self.aliens[*y][x]);
        let columns = (0..SIDE).filter_map(|x| lowest(x).map(|y| (y, x)));
        columns.min_by_key(|(_, x)| x.abs_diff(self.cannon))
    }
}

impl Game for SpaceInvaders {
    const CHANNELS: usize = 6;
    const MINIMAL: &'static [Action] = &[Action::Noop, Action::Left, Action::Right, Action::Fire];

    fn start(_: &mut impl Choices) -> Self {
        SpaceInvaders {
            cannon: 5,
            own_bullets: [[false; SIDE]; SIDE],
            bullets: [[false; SIDE]; SIDE],
            aliens: wave(),
            to_the_right: false,
            move_interval: FIRST_MOVE_INTERVAL,
            move_timer: FIRST_MOVE_INTERVAL,
            alien_shot_timer: ALIEN_SHOT_INTERVAL,
            shot_timer: 0,
        }
    }

    fn advance(
        &mut self,
        action: Action,
        ramping: bool,
        _: &mut impl Choices,
    ) -> (u32, Option<End>) {
        if action == Action::Fire && self.shot_timer == 0 {
            self.own_bullets[LAST][self.cannon] = true;
            self.shot_timer = SHOT_INTERVAL;
        }
        self.cannon = sideways(self.cannon, action);
        self.own_bullets.rotate_left(1);
        self.own_bullets[LAST].fill(false);
        self.bullets.rotate_right(1);
        self.bullets[0].fill(false);
        let mut lost = self.bullets[LAST][self.cannon] || self.aliens[LAST][self.cannon];

        if self.move_timer == 0 {
            lost |= self.move_aliens();
        }
        if self.alien_shot_timer == 0 {
            self.alien_shot_timer = ALIEN_SHOT_INTERVAL;
            if let Some((y, x)) = self.nearest_alien() {
                self.bullets[y][x] = true;
            }
        }
        let mut reward = 0;
        let cells = self.aliens.iter_mut().flatten().zip(self.own_bullets.iter_mut().flatten());
        for (alien, bullet) in cells {
            if *alien && *bullet {
                (*alien, *bullet) = (false, false);
                reward += 1;
            }
        }
        self.shot_timer = (self.shot_timer - 1).max(0);
        self.move_timer -= 1;
        self.alien_shot_timer -= 1;
        if count(&self.aliens) == 0 {
            if ramping && self.move_interval > LEAST_MOVE_INTERVAL {
                self.move_interval -= 1;
            }
            self.aliens = wave();
        }
        (reward, lost.then_some(End::Terminated))
    }

    fn is_playable(&self) -> bool {
        self.cannon < SIDE
            && count(&self.aliens) > 0
            && (LEAST_MOVE_INTERVAL..=FIRST_MOVE_INTERVAL).contains(&self.move_interval)
            && (0..=FIRST_MOVE_INTERVAL).contains(&self.move_timer)
            && (0..=ALIEN_SHOT_INTERVAL).contains(&self.alien_shot_timer)
            && (0..=SHOT_INTERVAL).contains(&self.shot_timer)
    }

    fn show(&self, mut mark: impl FnMut(usize, usize, usize)) {
        mark(0, LAST, self.cannon);
        let marching = if self.to_the_right { 3 } else { 2 };
        let mut planes = |channel: usize, grid: &Grid| {
            for (y, row) in grid.iter().enumerate() {
                let set = row.iter().enumerate().filter(|(_, set)| **set);
                set.for_each(|(x, _)| mark(channel, y, x));
            }
        };
        planes(1, &self.aliens);
        planes(marching, &self.aliens);
        planes(4, &self.own_bullets);
        planes(5, &self.bullets);
    }
}
