//! Uniform experience replay.

use crate::{Batch, Error, Result};
use rl_core::{Element, End, Rng, Transitions, check};
use serde::{Deserialize, Serialize};

/// How many steps a sampled transition spans, and the discount between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Horizon {
    /// Steps `n` to sum rewards over before bootstrapping, at least 1.
    pub n_step: usize,
    /// The discount factor.
    pub gamma: f64,
}

/// A ring of transitions that forgets the oldest (Lin, 1992), for `n` environments side by side.
///
/// Each quantity is one column, allocated once, laid out `[steps, envs]`: the successor of a row is
/// `envs` rows further on, so n-step returns are read straight from it. Episode ends are stored as
/// they came. `T` is what observations are made of (u8 images stay u8), `A` what actions are made of.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, VecEnv};
/// use rl_replay::{Batch, Horizon, ReplayRing};
/// # use rl_core::doc_env::Sign;
/// let mut envs = SerialVecEnv::new(vec![Sign::default(), Sign::default()], Seeds::new(0))?;
/// let mut ring: ReplayRing<f32, u32> = ReplayRing::new(1_000, 2, 1, 1)?;
/// envs.reset()?;
/// envs.step(&[0, 1])?;
/// ring.push(&envs.batch().transitions(&[0, 1]))?;
/// let mut batch = Batch::new(32, 1, 1);
/// let mut rng = Seeds::new(0).stream("replay", 0);
/// ring.sample(&mut rng, Horizon { n_step: 1, gamma: 0.99 }, &mut batch)?;
/// assert_eq!(batch.observations().len(), 32);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayRing<T, A> {
    steps: usize,
    envs: usize,
    width: usize,
    action_width: usize,
    /// Where the next step goes.
    head: usize,
    /// Steps stored, at most `steps`.
    filled: usize,
    observations: Vec<T>,
    next_observations: Vec<T>,
    actions: Vec<A>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
}

/// The stored part of a ring.
#[derive(Serialize, Deserialize)]
#[serde(bound = "C: Serialize + for<'a> Deserialize<'a>, D: Serialize + for<'a> Deserialize<'a>")]
struct Saved<C, D> {
    shape: [usize; 4],
    head: usize,
    filled: usize,
    observations: C,
    next_observations: C,
    actions: D,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
}

impl<T: Element, A: Element> ReplayRing<T, A> {
    /// A ring for `capacity` transitions of `envs` environments, with observations of `width` and
    /// actions of `action_width` elements. What does not divide by `envs` is left unused.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, or a capacity below one step of all environments.
    pub fn new(capacity: usize, envs: usize, width: usize, action_width: usize) -> Result<Self> {
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("observation width", 1, width as u64)?;
        check::at_least("action width", 1, action_width as u64)?;
        check::at_least("buffer_size", envs as u64, capacity as u64)?;
        let steps = capacity / envs;
        let n = steps * envs;
        Ok(ReplayRing {
            steps,
            envs,
            width,
            action_width,
            head: 0,
            filled: 0,
            observations: vec![T::default(); n * width],
            next_observations: vec![T::default(); n * width],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
        })
    }

    /// Transitions stored.
    pub fn len(&self) -> usize {
        self.filled * self.envs
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Transitions that there is room for.
    pub fn capacity(&self) -> usize {
        self.steps * self.envs
    }

    /// Stores one step of every environment over the oldest one.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of environments or other widths.
    pub fn push(&mut self, transitions: &Transitions<'_, T, A>) -> Result<()> {
        check::len("transitions", self.envs, transitions.len())?;
        let (w, aw, at) = (self.width, self.action_width, self.head * self.envs);
        check::len("observations", self.envs * w, transitions.observations().len())?;
        check::len("actions", self.envs * aw, transitions.actions().len())?;
        let rows = at..at + self.envs;
        self.observations[at * w..][..self.envs * w].copy_from_slice(transitions.observations());
        self.actions[at * aw..][..self.envs * aw].copy_from_slice(transitions.actions());
        self.rewards[rows.clone()].copy_from_slice(transitions.rewards());
        self.ends[rows].copy_from_slice(transitions.ends());
        for i in 0..self.envs {
            let row = &mut self.next_observations[(at + i) * w..][..w];
            row.copy_from_slice(transitions.next_observation(i));
        }
        self.head = (self.head + 1) % self.steps;
        self.filled = (self.filled + 1).min(self.steps);
        Ok(())
    }

    /// Fills `batch` with transitions drawn uniformly, with replacement.
    ///
    /// Over `n` steps the reward is `sum_k gamma^k r_k`, and the discount of the value that follows
    /// is `gamma^n`; both end earlier at an episode's end and at the newest step. After a
    /// termination the discount is zero, after a truncation it is not.
    ///
    /// # Errors
    /// [`Error::Empty`] where nothing is stored; [`rl_core::Error::Mismatch`] for a batch of other widths.
    pub fn sample(&self, rng: &mut Rng, horizon: Horizon, batch: &mut Batch<T, A>) -> Result<()> {
        if self.is_empty() {
            return Err(Error::Empty);
        }
        batch.check_widths(self.width, self.action_width)?;
        for slot in 0..batch.len() {
            let index = rng.below(self.len());
            self.read(index, horizon, batch, slot);
        }
        Ok(())
    }

    /// Writes the transition at `index`, which is in range, into a slot of the batch.
    fn read(&self, index: usize, horizon: Horizon, batch: &mut Batch<T, A>, slot: usize) {
        let (w, aw) = (self.width, self.action_width);
        let (mut row, mut reward, mut discount) = (index, 0.0, 1.0);
        for k in 1.. {
            reward += discount * f64::from(self.rewards[row]);
            discount *= horizon.gamma;
            let newest = row / self.envs == (self.head + self.steps - 1) % self.steps;
            if k >= horizon.n_step || self.ends[row].is_some() || newest {
                break;
            }
            row = (row + self.envs) % self.capacity();
        }
        if self.ends[row] == Some(End::Terminated) {
            discount = 0.0;
        }
        batch.indices[slot] = index;
        batch.observations[slot * w..][..w].copy_from_slice(&self.observations[index * w..][..w]);
        batch.actions[slot * aw..][..aw].copy_from_slice(&self.actions[index * aw..][..aw]);
        batch.rewards[slot] = reward as f32;
        batch.discounts[slot] = discount as f32;
        let next = &self.next_observations[row * w..][..w];
        batch.next_observations[slot * w..][..w].copy_from_slice(next);
    }

    /// The stored transitions as bytes, exactly.
    ///
    /// # Errors
    /// Where they cannot be encoded.
    pub fn save(&self) -> Result<Vec<u8>> {
        let n = self.len();
        Ok(rl_core::codec::encode(&Saved {
            shape: [self.steps, self.envs, self.width, self.action_width],
            head: self.head,
            filled: self.filled,
            observations: self.observations[..n * self.width].to_vec(),
            next_observations: self.next_observations[..n * self.width].to_vec(),
            actions: self.actions[..n * self.action_width].to_vec(),
            rewards: self.rewards[..n].to_vec(),
            ends: self.ends[..n].to_vec(),
        })?)
    }

    /// Goes back to saved transitions. On an error the ring is as it was.
    ///
    /// # Errors
    /// [`rl_core::Error::Corrupt`] for other bytes, [`rl_core::Error::Mismatch`] for a ring of
    /// another shape.
    pub fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: Saved<Vec<T>, Vec<A>> = rl_core::codec::decode("replay", bytes)?;
        let shape = [self.steps, self.envs, self.width, self.action_width];
        if saved.shape != shape {
            let what = "replay [steps, envs, width, action width]";
            let (expected, got) = (format!("{shape:?}"), format!("{:?}", saved.shape));
            return Err(rl_core::Error::mismatch(what, expected, got).into());
        }
        check::at_most("replay steps", self.steps as u64, "capacity", saved.filled as u64)?;
        check::at_most("replay head", self.steps as u64 - 1, "the last step", saved.head as u64)?;
        let n = saved.filled * self.envs;
        check::len("replay observations", n * self.width, saved.observations.len())?;
        check::len("replay next observations", n * self.width, saved.next_observations.len())?;
        check::len("replay actions", n * self.action_width, saved.actions.len())?;
        check::len("replay rewards", n, saved.rewards.len())?;
        check::len("replay ends", n, saved.ends.len())?;
        (self.head, self.filled) = (saved.head, saved.filled);
        self.observations[..n * self.width].copy_from_slice(&saved.observations);
        self.next_observations[..n * self.width].copy_from_slice(&saved.next_observations);
        self.actions[..n * self.action_width].copy_from_slice(&saved.actions);
        self.rewards[..n].copy_from_slice(&saved.rewards);
        self.ends[..n].copy_from_slice(&saved.ends);
        Ok(())
    }
}
