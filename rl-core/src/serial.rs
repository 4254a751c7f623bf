//! Environments stepped one after another on the caller's thread.

use crate::{
    Element, Env, Episode, Error, Result, Rng, Seeds, Space, StepBatch, VecEnv, check, codec,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// `n` environments stepped one after another: the right choice wherever a step takes less than
/// some microseconds. See [`VecEnv`] for an example.
#[derive(Debug)]
pub struct SerialVecEnv<E: Env> {
    slots: Vec<Slot<E>>,
    observation_space: E::Obs,
    action_space: E::Action,
    batch: StepBatch<<E::Obs as Space>::Elem>,
}

#[derive(Debug)]
struct Slot<E> {
    env: E,
    index: usize,
    rng: Rng,
    episode_return: f64,
    length: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "S: Serialize + DeserializeOwned, T: Element")]
struct Saved<S, T> {
    slots: Vec<(S, Rng, f64, u64)>,
    observations: Vec<T>,
}

impl<E: Env> SerialVecEnv<E> {
    /// Environments that draw from the streams `("env", 0)`, `("env", 1)`, … of `seeds`.
    ///
    /// # Errors
    /// [`Error::Config`] without any environment, [`Error::Mismatch`] where two differ in a space.
    pub fn new(envs: Vec<E>, seeds: Seeds) -> Result<Self> {
        Self::numbered(envs.into_iter().enumerate().collect(), seeds)
    }

    /// The same for a share of a larger set, each environment with its number in that set.
    pub(crate) fn numbered(envs: Vec<(usize, E)>, seeds: Seeds) -> Result<Self> {
        let Some((_, first)) = envs.first() else {
            return Err(Error::config("envs", "at least one environment", 0));
        };
        let (observation_space, action_space) = (first.observation_space(), first.action_space());
        for (i, env) in &envs {
            if env.observation_space() != observation_space || env.action_space() != action_space {
                return Err(Error::mismatch(
                    format!("environment {i}"),
                    "the spaces of the first",
                    format_args!("{:?}, {:?}", env.observation_space(), env.action_space()),
                ));
            }
        }
        let batch = StepBatch::new(envs.len(), observation_space.width());
        let slots = envs
            .into_iter()
            .map(|(index, env)| {
                let rng = seeds.stream("env", index as u64);
                Slot { env, index, rng, episode_return: 0.0, length: 0 }
            })
            .collect();
        Ok(SerialVecEnv { slots, observation_space, action_space, batch })
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
        self.batch.clear();
        let width = self.batch.width();
        let rows = self.batch.rows_mut();
        for (slot, obs) in self.slots.iter_mut().zip(rows.observations.chunks_exact_mut(width)) {
            slot.env.reset(&mut slot.rng, obs)?;
            (slot.episode_return, slot.length) = (0.0, 0);
        }
        Ok(())
    }

    fn step(&mut self, actions: &[<E::Action as Space>::Elem]) -> Result<()> {
        let action_width = self.action_space.width();
        check::len("actions", self.slots.len() * action_width, actions.len())?;
        self.batch.begin_step();
        let width = self.batch.width();
        let rows = self.batch.rows_mut();
        let each = self
            .slots
            .iter_mut()
            .zip(actions.chunks_exact(action_width))
            .zip(rows.observations.chunks_exact_mut(width))
            .zip(rows.finals.chunks_exact_mut(width))
            .zip(rows.rewards.iter_mut().zip(rows.ends.iter_mut()));
        for ((((slot, action), obs), final_obs), (reward, end)) in each {
            let step = slot.env.step(E::Action::value(action), &mut slot.rng, obs)?;
            (*reward, *end) = (step.reward, step.end);
            slot.episode_return += f64::from(step.reward);
            slot.length += 1;
            if step.end.is_some() {
                final_obs.copy_from_slice(obs);
                rows.episodes.push(Episode {
                    env: slot.index,
                    episode_return: slot.episode_return,
                    length: slot.length,
                });
                slot.env.reset(&mut slot.rng, obs)?;
                (slot.episode_return, slot.length) = (0.0, 0);
            }
        }
        Ok(())
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        for slot in &mut self.slots {
            slot.rng = seeds.stream("env", slot.index as u64);
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let slots = self
            .slots
            .iter()
            .map(|s| (s.env.state(), s.rng.clone(), s.episode_return, s.length))
            .collect();
        codec::encode(&Saved { slots, observations: self.batch.observations().to_vec() })
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        type S<E> = Saved<<E as Env>::State, <<E as Env>::Obs as Space>::Elem>;
        let saved: S<E> = codec::decode("environment state", bytes)?;
        check::len("saved environments", self.slots.len(), saved.slots.len())?;
        let rows = self.batch.rows_mut();
        check::len("saved observations", rows.observations.len(), saved.observations.len())?;
        rows.observations.copy_from_slice(&saved.observations);
        self.batch.clear();
        for (slot, (state, rng, episode_return, length)) in self.slots.iter_mut().zip(saved.slots) {
            slot.env.set_state(state)?;
            (slot.rng, slot.episode_return, slot.length) = (rng, episode_return, length);
        }
        Ok(())
    }
}
