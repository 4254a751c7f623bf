//! Tabular environments defined by their transitions, with Gymnasium's toy-text tables.

use crate::fixed;
use rand::RngExt;
use rl_core::{Discrete, Env, Error, Result, Rng, Step};
use std::sync::Arc;

/// One possible outcome of an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Successor {
    /// Its probability.
    pub probability: f64,
    /// The next state.
    pub next_state: u32,
    /// The reward.
    pub reward: f32,
    /// Whether the episode terminates.
    pub terminated: bool,
}

/// A finite Markov decision process: the possible outcomes of each action in each state, and the initial state
/// distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// `transitions[state][action]` lists the outcomes, whose probabilities sum to 1.
    pub transitions: Vec<Vec<Vec<Successor>>>,
    /// The probability of starting in each state.
    pub start: Vec<f64>,
}

impl Table {
    /// The optimal state values, by value iteration until no value changes by more than `tolerance`.
    pub fn optimal_values(&self, gamma: f64, tolerance: f64) -> Vec<f64> {
        let mut values = vec![0.0; self.transitions.len()];
        loop {
            let mut change = 0.0f64;
            for (state, actions) in self.transitions.iter().enumerate() {
                let best = actions
                    .iter()
                    .map(|outcomes| backup(outcomes, &values, gamma))
                    .fold(f64::NEG_INFINITY, f64::max);
                change = change.max((best - values[state]).abs());
                values[state] = best;
            }
            if change <= tolerance {
                return values;
            }
        }
    }
}

/// The expected reward plus the discounted value of the next state.
fn backup(outcomes: &[Successor], values: &[f64], gamma: f64) -> f64 {
    let worth = |o: &Successor| {
        let future = if o.terminated { 0.0 } else { values[o.next_state as usize] };
        o.probability * (f64::from(o.reward) + gamma * future)
    };
    outcomes.iter().map(worth).sum()
}

/// An environment defined by a [`Table`]. Observations are state numbers.
///
/// ```
/// use rl_core::{Env, Seeds};
/// let mut lake = rl_envs::Tabular::frozen_lake_4x4(true);
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0]);
/// lake.reset(&mut rng, &mut obs)?;
/// lake.step(2, &mut rng, &mut obs)?;
/// assert!([0, 1, 4].contains(&obs[0])); // the ice is slippery
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tabular {
    table: Arc<Table>,
    state: u32,
}

impl Tabular {
    /// An environment defined by `table`.
    ///
    /// # Errors
    /// [`Error::Config`] for probabilities that do not sum to 1, states out of range, or states
    /// with different numbers of actions.
    pub fn new(table: Table) -> Result<Self> {
        let n = table.transitions.len();
        let actions = table.transitions.first().map_or(0, Vec::len);
        if n == 0 || actions == 0 || table.start.len() != n {
            let got = format!("{n} states, {actions} actions, {} starts", table.start.len());
            return Err(Error::config("table", "states, actions, and a start for each state", got));
        }
        let sums_to_one = |sum: f64| (sum - 1.0).abs() < 1e-9;
        if !sums_to_one(table.start.iter().sum()) {
            return Err(Error::config("table.start", "probabilities that sum to 1", "others"));
        }
        for (s, row) in table.transitions.iter().enumerate() {
            let field = format!("table.transitions[{s}]");
            if row.len() != actions {
                return Err(Error::config(field, format_args!("{actions} actions"), row.len()));
            }
            for outcomes in row {
                let inside = outcomes.iter().all(|o| (o.next_state as usize) < n);
                if !inside || !sums_to_one(outcomes.iter().map(|o| o.probability).sum()) {
                    let expected = "known states, probabilities that sum to 1";
                    return Err(Error::config(field, expected, format_args!("{outcomes:?}")));
                }
            }
        }
        Ok(Tabular { table: Arc::new(table), state: 0 })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn known(table: Table) -> Self {
        Tabular { table: Arc::new(table), state: 0 }
    }

    /// `FrozenLake-v1`: cross a frozen 4x4 lake without falling in. Actions: left, down, right, up. If it is
    /// slippery, each of the two directions at right angles to the intended one occurs with probability 1/3.
    pub fn frozen_lake_4x4(slippery: bool) -> Self {
        Self::known(frozen_lake(&["SFFF", "FHFH", "FFFH", "HFFG"], slippery))
    }

    /// `FrozenLake8x8-v1`: the same on an 8x8 lake.
    pub fn frozen_lake_8x8(slippery: bool) -> Self {
        let map = [
            "SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF",
            "FFFHFFFG",
        ];
        Self::known(frozen_lake(&map, slippery))
    }

    /// `CliffWalking-v1`: walk along a cliff; falling gives reward -100 and returns to the start. Actions: up, right,
    /// down, left. Sutton and Barto (2018), example 6.6.
    pub fn cliff_walking() -> Self {
        Self::known(cliff_walking())
    }

    /// `Taxi-v4`: pick up a passenger and drop them off at their destination. Actions: south, north, east, west, pick
    /// up, drop off. Dietterich (2000).
    pub fn taxi() -> Self {
        Self::known(taxi())
    }
}

/// A deterministic outcome.
fn surely(next_state: usize, reward: f32, terminated: bool) -> Vec<Successor> {
    vec![Successor { probability: 1.0, next_state: next_state as u32, reward, terminated }]
}

/// The next cell for a move in a direction on a grid; moves off the grid have no effect.
fn step_on_grid(
    (row, column): (usize, usize),
    (down, right): (isize, isize),
    (rows, columns): (usize, usize),
) -> (usize, usize) {
    let clamp = |at: usize, by: isize, n: usize| at.saturating_add_signed(by).min(n - 1);
    (clamp(row, down, rows), clamp(column, right, columns))
}

fn frozen_lake(map: &[&str], slippery: bool) -> Table {
    const MOVES: [(isize, isize); 4] = [(0, -1), (1, 0), (0, 1), (-1, 0)];
    let size = (map.len(), map.len());
    let letter = |(row, column): (usize, usize)| map[row].as_bytes()[column];
    let cells: Vec<_> = (0..size.0 * size.1).map(|s| (s / size.1, s % size.1)).collect();
    // Computed as in Gymnasium; the two differ in the last bit.
    let (success, slip) = (1.0 / 3.0, (1.0 - 1.0 / 3.0) / 2.0);
    let outcome = |from, direction: usize, probability| {
        let to = step_on_grid(from, MOVES[direction % 4], size);
        Successor {
            probability,
            next_state: (to.0 * size.1 + to.1) as u32,
            reward: if letter(to) == b'G' { 1.0 } else { 0.0 },
            terminated: b"GH".contains(&letter(to)),
        }
    };
    let act = |(state, &cell): (usize, &(usize, usize)), action: usize| {
        if b"GH".contains(&letter(cell)) {
            surely(state, 0.0, true)
        } else if slippery {
            vec![
                outcome(cell, action + 3, slip),
                outcome(cell, action, success),
                outcome(cell, action + 1, slip),
            ]
        } else {
            vec![outcome(cell, action, 1.0)]
        }
    };
    let transitions =
        cells.iter().enumerate().map(|cell| (0..4).map(|a| act(cell, a)).collect()).collect();
    let start = cells.iter().map(|&c| f64::from(u8::from(letter(c) == b'S'))).collect();
    Table { transitions, start }
}

fn cliff_walking() -> Table {
    const MOVES: [(isize, isize); 4] = [(-1, 0), (0, 1), (1, 0), (0, -1)];
    const SIZE: (usize, usize) = (4, 12);
    const START: usize = 36;
    const GOAL: usize = 47;
    let act = |state: usize, direction| {
        let (row, column) = step_on_grid((state / SIZE.1, state % SIZE.1), direction, SIZE);
        match row * SIZE.1 + column {
            37..=46 => surely(START, -100.0, false),
            next => surely(next, -1.0, next == GOAL),
        }
    };
    let transitions =
        (0..48).map(|s| MOVES.iter().map(|&direction| act(s, direction)).collect()).collect();
    let start = (0..48).map(|s| f64::from(u8::from(s == START))).collect();
    Table { transitions, start }
}

fn taxi() -> Table {
    const STOPS: [(usize, usize); 4] = [(0, 0), (0, 4), (4, 0), (4, 3)];
    const IN_TAXI: usize = 4;
    /// Cells with a wall on their right-hand side.
    const WALLS: [(usize, usize); 6] = [(0, 1), (1, 1), (3, 0), (4, 0), (3, 2), (4, 2)];
    let encode = |(row, column): (usize, usize), passenger: usize, destination: usize| {
        ((row * 5 + column) * 5 + passenger) * 4 + destination
    };
    let act = |state: usize, action: usize| {
        let (destination, passenger) = (state % 4, state / 4 % 5);
        let taxi = (state / 100, state / 20 % 5);
        let go = |to| surely(encode(to, passenger, destination), -1.0, false);
        let stay = |reward| surely(state, reward, false);
        match action {
            0 => go(step_on_grid(taxi, (1, 0), (5, 5))),
            1 => go(step_on_grid(taxi, (-1, 0), (5, 5))),
            2 if WALLS.contains(&taxi) => stay(-1.0),
            2 => go(step_on_grid(taxi, (0, 1), (5, 5))),
            3 if taxi.1 > 0 && WALLS.contains(&(taxi.0, taxi.1 - 1)) => stay(-1.0),
            3 => go(step_on_grid(taxi, (0, -1), (5, 5))),
            4 if STOPS.get(passenger) == Some(&taxi) => {
                surely(encode(taxi, IN_TAXI, destination), -1.0, false)
            }
            5 if passenger == IN_TAXI => match STOPS.iter().position(|&stop| stop == taxi) {
                Some(stop) if stop == destination => {
                    surely(encode(taxi, stop, destination), 20.0, true)
                }
                Some(stop) => surely(encode(taxi, stop, destination), -1.0, false),
                None => stay(-10.0),
            },
            _ => stay(-10.0),
        }
    };
    let transitions = (0..500).map(|s| (0..6).map(|a| act(s, a)).collect()).collect();
    let waiting = |s: usize| s / 4 % 5 < 4 && s / 4 % 5 != s % 4;
    let count = (0..500).filter(|&s| waiting(s)).count() as f64;
    let start = (0..500).map(|s| if waiting(s) { 1.0 / count } else { 0.0 }).collect();
    Table { transitions, start }
}

/// Samples an index with probabilities `weights`, which sum to 1.
fn draw(weights: impl Iterator<Item = f64>, rng: &mut Rng) -> usize {
    let mut left: f64 = rng.random();
    let mut last = 0;
    for (i, weight) in weights.enumerate().filter(|(_, w)| *w > 0.0) {
        last = i;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

impl Env for Tabular {
    type Obs = Discrete;
    type Action = Discrete;
    type State = u32;

    fn observation_space(&self) -> Discrete {
        fixed::choices(self.table.transitions.len() as u32)
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(self.table.transitions.first().map_or(1, Vec::len) as u32)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [u32]) -> Result<()> {
        self.state = draw(self.table.start.iter().copied(), rng) as u32;
        obs.fill(self.state);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [u32]) -> Result<Step> {
        let actions = &self.table.transitions[self.state as usize];
        let Some(outcomes) = actions.get(action) else {
            let expected = format!("an index below {}", actions.len());
            return Err(Error::mismatch("action", expected, action));
        };
        let outcome = outcomes[draw(outcomes.iter().map(|o| o.probability), rng)];
        self.state = outcome.next_state;
        obs.fill(self.state);
        Ok(Step::terminated_if(outcome.terminated, outcome.reward))
    }

    fn state(&self) -> Option<u32> {
        Some(self.state)
    }

    fn set_state(&mut self, state: u32) -> Result<()> {
        let n = self.table.transitions.len();
        if state as usize >= n {
            return Err(Error::mismatch("state", format_args!("a state below {n}"), state));
        }
        self.state = state;
        Ok(())
    }
}
