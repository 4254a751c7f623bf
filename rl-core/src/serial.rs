//! Environments stepped sequentially on the calling thread.

use crate::{
    BadNumbers, Element, Env, Episode, Error, Result, Rng, Seeds, Space, StepBatch, VecEnv, check,
    codec, one_line,
};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `n` environments stepped sequentially: the best choice if a step takes less than a few microseconds. See
/// [`VecEnv`] for an example.
#[derive(Debug)]
pub struct SerialVecEnv<E: Env> {
    slots: Vec<Slot<E>>,
    observation_space: E::Obs,
    action_space: E::Action,
    batch: StepBatch<<E::Obs as Space>::Elem>,
    bad_numbers: BadNumbers,
}

/// The state, if it can be saved, the generator, and the return and length so far of an episode.
type SavedSlot<S> = (Option<S>, Rng, f64, u64);

/// Runs environments; a panic of one becomes an error. `run` says which environment it runs, and at which step of its episode.
///
/// A panic must not end a training run without its message, nor take down the thread that other environments are on.
fn reporting_panics<T>(run: impl FnOnce(&mut (usize, u64)) -> Result<T>) -> Result<T> {
    let mut at = (0, 0);
    // What the panic has left half done is behind an error, after which nobody goes on with these environments.
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut at)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = text.map_or_else(|| "no message".to_owned(), one_line);
        Err(Error::EnvPanicked { env: at.0, step: at.1, message })
    })
}

/// Whether environments can save their states. One that panics cannot.
pub(crate) fn can_be_saved<'a, E: Env + 'a>(mut envs: impl Iterator<Item = &'a E>) -> bool {
    reporting_panics(|_| Ok(envs.all(|env| env.state().is_some()))).unwrap_or(false)
}

#[derive(Debug)]
struct Slot<E> {
    env: E,
    index: usize,
    rng: Rng,
    episode_return: f64,
    length: u64,
}

/// The saved state of several environments, each encoded separately, so that it does not depend on how they are
/// divided among threads.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Element")]
pub(crate) struct SavedEnvs<T> {
    pub(crate) slots: Vec<Vec<u8>>,
    pub(crate) observations: Vec<T>,
    pub(crate) reset_since: Vec<bool>,
    /// Whether there are episodes: none before the first reset.
    pub(crate) begun: bool,
}

/// The spaces that all environments share, of which a batch can be made.
///
/// # Errors
/// Those of [`SerialVecEnv::new`].
pub(crate) fn common_spaces<E: Env>(envs: &[E]) -> Result<(E::Obs, E::Action)> {
    let spaces_of = |env: &E| (env.observation_space(), env.action_space());
    let Some(first) = envs.first().map(spaces_of) else {
        return Err(Error::config("envs", "at least one environment", 0));
    };
    if let Some((i, got)) = envs.iter().map(spaces_of).enumerate().find(|(_, got)| *got != first) {
        let (expected, got) = (format!("those of the first, {first:?}"), format!("{got:?}"));
        return Err(Error::mismatch(format!("spaces of environment {i}"), expected, got));
    }
    StepBatch::check(envs.len(), &first.0)?;
    check::at_least("action width", 1, first.1.width() as u64)?;
    Ok(first)
}

impl<E: Env> SerialVecEnv<E> {
    /// Environments that use the streams `("env", 0)`, `("env", 1)`, … of `seeds`.
    ///
    /// # Errors
    /// [`Error::Config`] without environments; [`Error::Mismatch`] if two have different spaces.
    pub fn new(envs: Vec<E>, seeds: Seeds) -> Result<Self> {
        let spaces = common_spaces(&envs)?;
        Ok(Self::numbered(envs.into_iter().enumerate().collect(), spaces, seeds))
    }

    /// Like `new`, for a subset of a larger set with these spaces: each environment keeps its index in that set.
    pub(crate) fn numbered(
        envs: Vec<(usize, E)>,
        (observation_space, action_space): (E::Obs, E::Action),
        seeds: Seeds,
    ) -> Self {
        let batch = StepBatch::new(envs.len(), observation_space.width());
        let slots = envs
            .into_iter()
            .map(|(index, env)| {
                let rng = seeds.stream("env", index as u64);
                Slot { env, index, rng, episode_return: 0.0, length: 0 }
            })
            .collect();
        let bad_numbers = BadNumbers::default();
        SerialVecEnv { slots, observation_space, action_space, batch, bad_numbers }
    }

    /// The state of each environment.
    pub(crate) fn save_slots(&self) -> Result<Vec<Vec<u8>>> {
        reporting_panics(|at| {
            let encode = |s: &Slot<E>| {
                *at = (s.index, s.length);
                codec::encode(&(s.env.state(), &s.rng, s.episode_return, s.length))
            };
            self.slots.iter().map(encode).collect()
        })
    }

    /// Restores saved states, and the observations to act on next, to which a step that is skipped goes back.
    pub(crate) fn load_saved(
        &mut self,
        saved: &mut SavedEnvs<<E::Obs as Space>::Elem>,
    ) -> Result<()> {
        self.load_slots(saved)?;
        self.batch.restore(&saved.observations, &saved.reset_since)?;
        if saved.begun {
            self.batch.mend_first(self.bad_numbers);
        }
        Ok(())
    }

    /// Restores saved states, one per environment. Where there is none, an episode begins: its first observation
    /// replaces the saved one, and the environment counts as reset from outside.
    fn load_slots(&mut self, saved: &mut SavedEnvs<<E::Obs as Space>::Elem>) -> Result<()> {
        let width = self.batch.width();
        check::len("saved environments", self.slots.len(), saved.slots.len())?;
        check::len("saved observations", self.slots.len() * width, saved.observations.len())?;
        check::len("saved resets", self.slots.len(), saved.reset_since.len())?;
        let decode = |bytes: &Vec<u8>| codec::decode("environment state", bytes);
        let decoded =
            saved.slots.iter().map(decode).collect::<Result<Vec<SavedSlot<E::State>>>>()?;
        let begun = saved.begun;
        let rows = saved.observations.chunks_exact_mut(width).zip(saved.reset_since.iter_mut());
        let each = self.slots.iter_mut().zip(decoded).zip(rows);
        reporting_panics(|at| {
            for ((slot, decoded), (obs, reset_since)) in each {
                let (state, rng, episode_return, length) = decoded;
                *at = (slot.index, length);
                check::count("envs.bin: steps of an episode", length)?;
                slot.rng = rng;
                (slot.episode_return, slot.length) = (episode_return, length);
                match state {
                    Some(state) => slot.env.set_state(state)?,
                    // A reset is yet to come.
                    None if !begun => {}
                    None => {
                        slot.env.reset(&mut slot.rng, obs)?;
                        (slot.episode_return, slot.length, *reset_since) = (0.0, 0, true);
                    }
                }
            }
            Ok(())
        })
    }
}

impl<E: Env> VecEnv for SerialVecEnv<E> {
    type Obs = E::Obs;
    type Action = E::Action;

    fn observation_space(&self) -> &E::Obs {
        &self.observation_space
    }

    fn action_space(&self) -> &E::Action {
        &self.action_space
    }

    fn batch(&self) -> &StepBatch<<E::Obs as Space>::Elem> {
        &self.batch
    }

    fn reset(&mut self) -> Result<()> {
        self.batch.begin_episodes();
        let width = self.batch.width();
        let rows = self.batch.rows_mut();
        let each = self.slots.iter_mut().zip(rows.observations.chunks_exact_mut(width));
        reporting_panics(|at| {
            for (slot, obs) in each {
                *at = (slot.index, 0);
                slot.env.reset(&mut slot.rng, obs)?;
                (slot.episode_return, slot.length) = (0.0, 0);
            }
            Ok(())
        })?;
        self.batch.mend_first(self.bad_numbers);
        Ok(())
    }

    fn step(&mut self, actions: &[<E::Action as Space>::Elem]) -> Result<()> {
        let action_width = self.action_space.width();
        check::len("actions", self.slots.len() * action_width, actions.len())?;
        self.batch.check_begun()?;
        self.batch.begin_step();
        let (width, bad_numbers) = (self.batch.width(), self.bad_numbers);
        let rows = self.batch.rows_mut();
        let each = self
            .slots
            .iter_mut()
            .zip(actions.chunks_exact(action_width))
            .zip(rows.previous.chunks_exact(width).zip(rows.observations.chunks_exact_mut(width)))
            .zip(rows.finals.chunks_exact_mut(width))
            .zip(rows.rewards.iter_mut().zip(rows.ends.iter_mut()));
        let episodes = rows.episodes;
        reporting_panics(|at| {
            for ((((slot, action), (acted_on, obs)), final_obs), (reward, end)) in each {
                *at = (slot.index, slot.length + 1);
                let mut step = slot.env.step(E::Action::value(action), &mut slot.rng, obs)?;
                let mut bad = bad_numbers.mend(&mut step, obs, acted_on);
                (*reward, *end) = (step.reward, step.end);
                slot.episode_return += f64::from(step.reward);
                slot.length += 1;
                if step.end.is_some() {
                    final_obs.copy_from_slice(obs);
                    at.1 = 0;
                    slot.env.reset(&mut slot.rng, obs)?;
                    bad |= bad_numbers.mend_first(obs);
                    if !slot.env.continued() {
                        episodes.push(Episode {
                            env: slot.index,
                            episode_return: slot.episode_return,
                            length: slot.length,
                        });
                        (slot.episode_return, slot.length) = (0.0, 0);
                    }
                }
                *rows.bad_steps += u64::from(bad);
            }
            Ok(())
        })
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        for slot in &mut self.slots {
            slot.rng = seeds.stream("env", slot.index as u64);
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let observations = self.batch.observations().to_vec();
        let reset_since = self.batch.reset_since().to_vec();
        let (slots, begun) = (self.save_slots()?, self.batch.has_begun());
        codec::encode(&SavedEnvs { slots, observations, reset_since, begun })
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let mut saved = codec::decode("environment state", bytes)?;
        self.load_saved(&mut saved)
    }

    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        self.bad_numbers = bad_numbers;
        Ok(())
    }

    fn resumes_exactly(&self) -> bool {
        can_be_saved(self.slots.iter().map(|slot| &slot.env))
    }
}
