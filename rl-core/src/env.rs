//! The interface of one environment.

use crate::{Result, Rng, Space, check};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why an episode ended. The two are never merged into one flag: after a termination the future
/// is worth nothing, after a truncation it is worth what it would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The task itself ended: the pole fell, the goal was reached.
    Terminated,
    /// The episode was cut from outside, by a time limit say. The value of the final
    /// observation still counts.
    Truncated,
}

/// What one step gave besides the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The reward of this step.
    pub reward: f32,
    /// `None` while the episode goes on.
    pub end: Option<End>,
}

impl Step {
    /// A step after which the episode goes on.
    pub fn running(reward: f32) -> Self {
        Step { reward, end: None }
    }

    /// A step that ends the task where `terminated` holds.
    pub fn terminated_if(terminated: bool, reward: f32) -> Self {
        Step { reward, end: terminated.then_some(End::Terminated) }
    }
}

/// One environment: Gymnasium's interface with a type for the kind of action and observation.
///
/// An observation is written into the caller's row, so stepping allocates nothing. The generator
/// is an argument: an environment owns no randomness. Time limits are a wrapper's work
/// ([`TimeLimit`](crate::TimeLimit)).
///
/// ```
/// use rl_core::{BoxSpace, Discrete, Env, Result, Rng, Step};
///
/// /// Guess whether the number shown is positive.
/// struct Sign { x: f32 }
///
/// impl Env for Sign {
///     type Obs = BoxSpace;
///     type Action = Discrete;
///     type State = f32;
///
///     fn observation_space(&self) -> BoxSpace { BoxSpace::new(vec![-1.0], vec![1.0]).expect("low < high") }
///     fn action_space(&self) -> Discrete { Discrete::new(2).expect("two choices") }
///     fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
///         self.x = rng.uniform(-1.0, 1.0) as f32;
///         obs[0] = self.x;
///         Ok(())
///     }
///     fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
///         obs[0] = self.x;
///         let right = (action == 1) == (self.x > 0.0);
///         Ok(Step::terminated_if(true, if right { 1.0 } else { 0.0 }))
///     }
///     fn state(&self) -> Option<f32> { Some(self.x) }
///     fn set_state(&mut self, state: f32) -> Result<()> { self.x = state; Ok(()) }
/// }
/// ```
pub trait Env: Send {
    /// The kind of observation: [`BoxSpace`](crate::BoxSpace) (f32), `BoxSpace<u8>` or
    /// [`Discrete`](crate::Discrete).
    type Obs: Space;
    /// The kind of action.
    type Action: Space;
    /// All that must be kept to go on from here, the generator left out; `()` where that cannot be saved.
    type State: Serialize + DeserializeOwned;

    /// The observations' extent.
    fn observation_space(&self) -> Self::Obs;

    /// The actions' extent.
    fn action_space(&self) -> Self::Action;

    /// Starts an episode and writes its first observation.
    ///
    /// # Errors
    /// Whatever keeps an environment from starting; most have nothing to report.
    fn reset(&mut self, rng: &mut Rng, obs: &mut [<Self::Obs as Space>::Elem]) -> Result<()>;

    /// Takes one step and writes the observation that it led to, at an episode's end too.
    ///
    /// # Errors
    /// An action outside the space, or a simulator that failed.
    fn step(
        &mut self,
        action: <Self::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [<Self::Obs as Space>::Elem],
    ) -> Result<Step>;

    /// Takes an action up to `times` times, until the episode ends: rewards are added up, `obs` is the last observation and
    /// `before` the one before it under this action, or the same where there is none. None are taken for a `times` of zero.
    ///
    /// Provided; an environment in another process does it in one message, and a wrapper that changes no step forwards it.
    ///
    /// # Errors
    /// Those of [`step`](Env::step); [`Error::Mismatch`](crate::Error::Mismatch) for a `before` of another length than `obs`.
    fn repeat(
        &mut self,
        action: <Self::Action as Space>::Value<'_>,
        times: u32,
        rng: &mut Rng,
        obs: &mut [<Self::Obs as Space>::Elem],
        before: &mut [<Self::Obs as Space>::Elem],
    ) -> Result<Step>
    where
        for<'a> <Self::Action as Space>::Value<'a>: Copy,
    {
        check::len("observation before", obs.len(), before.len())?;
        let mut total = Step { reward: 0.0, end: None };
        for time in 0..times {
            let step = self.step(action, rng, obs)?;
            total = Step { reward: total.reward + step.reward, end: step.end };
            let last = total.end.is_some() || time + 1 == times;
            if !last || time == 0 {
                before.copy_from_slice(obs);
            }
            if last {
                break;
            }
        }
        Ok(total)
    }

    /// The present state, for a checkpoint; `None` where it cannot be saved, as that of a simulator in another process.
    /// [`VecEnv::load`](crate::VecEnv::load) then begins a new episode, and learners see the old one end as a truncation.
    /// Whether an environment can save its state does not change in the course of its life. It is asked before the first reset
    /// too, and [`set_state`](Env::set_state) goes back there: evaluations begin alike by it.
    fn state(&self) -> Option<Self::State>;

    /// Goes back to `state`.
    ///
    /// # Errors
    /// A state that this environment cannot be in.
    fn set_state(&mut self, state: Self::State) -> Result<()>;

    /// Whether the last reset went on with the game of the episode before it, as after a lost life
    /// ([`EpisodicLife`](crate::EpisodicLife)). Episode statistics then go on too, so that they are those of whole
    /// games. Asked right after a reset; not part of the state. A wrapper forwards it.
    fn continued(&self) -> bool {
        false
    }
}
