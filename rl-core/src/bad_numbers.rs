//! What happens where an environment gives a number that is NaN or infinite.

use crate::{Element, End, Step};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens where an environment gives a reward or an observation that is NaN or infinite. A run that goes on counts
/// such steps, as `bad_steps` in its metrics. An action that is NaN or infinite ends the run whatever is chosen here: the
/// agent's network is then broken.
///
/// ```
/// use rl_core::{BadNumbers, End, Step};
/// let (acted_on, mut observation) = ([0.5], [f32::NAN]);
/// let mut step = Step::running(1.0);
/// assert!(BadNumbers::Skip.mend(&mut step, &mut observation, &acted_on));
/// assert_eq!((step, observation), (Step { reward: 0.0, end: Some(End::Truncated) }, acted_on));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadNumbers {
    /// The run ends with an error that names the environment and the step.
    #[default]
    Stop,
    /// The episode is cut off, and the environment is reset. Learners and statistics see a truncation with reward 0 in place
    /// of that step; where the new observation has bad numbers, it keeps those that were acted on in their place. A first
    /// observation that is bad too ends the run. A policy search takes what an episode has gathered until then for its score.
    Skip,
    /// Each such number becomes 0, and the episode goes on.
    Count,
}

impl BadNumbers {
    /// Mends what one step of one environment gave: `step`, and the `observation` that it led to from the one `acted_on`. At
    /// the end of an episode that is its final one. Returns whether there was something to mend. Where the episode ends by
    /// this, the environment has to be reset. For implementors of [`VecEnv`](crate::VecEnv).
    pub fn mend<T: Element>(self, step: &mut Step, observation: &mut [T], acted_on: &[T]) -> bool {
        if self == BadNumbers::Stop || (step.reward.is_finite() && all_finite(observation)) {
            return false;
        }
        if self == BadNumbers::Skip {
            // A termination too becomes a truncation: it was the bad step that said so.
            *step = Step { reward: 0.0, end: Some(End::Truncated) };
            for (new, old) in
                observation.iter_mut().zip(acted_on).filter(|(new, _)| !new.is_finite())
            {
                *new = *old;
            }
        } else {
            if !step.reward.is_finite() {
                step.reward = 0.0;
            }
            fill_in(observation);
        }
        true
    }

    /// Mends the first observation of an episode, which cannot be skipped; returns whether there was something to mend. For
    /// implementors of [`VecEnv`](crate::VecEnv).
    pub fn mend_first<T: Element>(self, observation: &mut [T]) -> bool {
        let mends = self == BadNumbers::Count && !all_finite(observation);
        if mends {
            fill_in(observation);
        }
        mends
    }
}

/// The name, as settings have it.
impl fmt::Display for BadNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadNumbers::Stop => "stop",
            BadNumbers::Skip => "skip",
            BadNumbers::Count => "count",
        })
    }
}

/// Without an early end, so that it is vectorised.
pub(crate) fn all_finite<T: Element>(numbers: &[T]) -> bool {
    numbers.iter().fold(true, |finite, x| finite & x.is_finite())
}

fn fill_in<T: Element>(numbers: &mut [T]) {
    for x in numbers.iter_mut().filter(|x| !x.is_finite()) {
        *x = T::default();
    }
}
