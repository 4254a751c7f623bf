//! Probe environments: minimal environments with known exact answers. Each tests one property that every agent needs.

use crate::fixed;
use rl_core::{BoxSpace, Discrete, End, Env, Error, Result, Rng, Space, Step};
use std::marker::PhantomData;

/// The property that a [`Probe`] tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeKind {
    /// One step, reward 1. The value is 1. Tests whether the critic learns a constant.
    Constant,
    /// One step, observation -1 or 1, reward equal to the observation. Tests whether the critic uses its input.
    Observation,
    /// Two steps, observations 0 then 1, reward 1 at the end. The value of 0 is gamma. Tests discounting and
    /// bootstrapping.
    Discount,
    /// One step, reward depends on the action. Tests whether the policy learns.
    Choice,
    /// One step, the best action depends on the observation, -1 or 1. Tests whether the policy uses its input.
    ObservationChoice,
    /// Reward 1 per step, truncated every 10 steps. The value is 1 / (1 - gamma). Tests bootstrapping after
    /// truncation.
    Endless,
}

impl ProbeKind {
    /// All kinds, simplest first.
    pub const ALL: [ProbeKind; 6] = [
        ProbeKind::Constant,
        ProbeKind::Observation,
        ProbeKind::Discount,
        ProbeKind::Choice,
        ProbeKind::ObservationChoice,
        ProbeKind::Endless,
    ];

    /// Steps per episode.
    fn length(self) -> u32 {
        match self {
            ProbeKind::Discount => 2,
            ProbeKind::Endless => 10,
            _ => 1,
        }
    }
}

/// The probe environment of a given kind, with discrete or continuous actions.
///
/// Observations have one element. With two discrete actions, the right one (1; or 1 if the observation is positive,
/// else 0) gives reward 1 and the wrong one -1. With a continuous action in [-2, 1], bounds chosen to be asymmetric,
/// the reward is `-(action - best)²`; the best action is 0.5, or half the observation.
///
/// ```
/// use rl_core::{Discrete, Env, Seeds};
/// use rl_envs::{Probe, ProbeKind};
/// let mut probe = Probe::<Discrete>::new(ProbeKind::Choice);
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0]);
/// probe.reset(&mut rng, &mut obs)?;
/// assert_eq!(probe.step(1, &mut rng, &mut obs)?.reward, 1.0);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Probe<A> {
    kind: ProbeKind,
    observation: f32,
    t: u32,
    mistaken: bool,
    action: PhantomData<A>,
}

impl<A> Probe<A> {
    /// The probe of the given kind.
    pub fn new(kind: ProbeKind) -> Self {
        Probe { kind, observation: 0.0, t: 0, mistaken: false, action: PhantomData }
    }

    /// A variant that reports truncations as terminations, to verify that tests detect this error.
    pub fn mistaken(kind: ProbeKind) -> Self {
        Probe { mistaken: true, ..Probe::new(kind) }
    }

    fn start(&mut self, rng: &mut Rng, obs: &mut [f32]) {
        self.t = 0;
        let looks = matches!(self.kind, ProbeKind::Observation | ProbeKind::ObservationChoice);
        self.observation = match (looks, rng.below(2)) {
            (false, _) => 0.0,
            (true, 0) => -1.0,
            (true, _) => 1.0,
        };
        obs.fill(self.observation);
    }

    fn advance(&mut self, reward_of_action: f32, obs: &mut [f32]) -> Step {
        self.t += 1;
        let last = self.t >= self.kind.length();
        let reward = match self.kind {
            ProbeKind::Constant | ProbeKind::Endless => 1.0,
            ProbeKind::Observation => self.observation,
            ProbeKind::Discount => f32::from(u8::from(last)),
            ProbeKind::Choice | ProbeKind::ObservationChoice => reward_of_action,
        };
        if self.kind == ProbeKind::Discount {
            self.observation = 1.0;
        }
        obs.fill(self.observation);
        let truncates = self.kind == ProbeKind::Endless && !self.mistaken;
        let end = if truncates { End::Truncated } else { End::Terminated };
        Step { reward, end: last.then_some(end) }
    }

    fn restore(&mut self, (observation, t): (f32, u32)) -> Result<()> {
        if t > self.kind.length() {
            let expected = format!("at most {} steps", self.kind.length());
            return Err(Error::mismatch("state", expected, t));
        }
        (self.observation, self.t) = (observation, t);
        Ok(())
    }
}

impl Env for Probe<Discrete> {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = (f32, u32);

    fn observation_space(&self) -> BoxSpace {
        fixed::symmetric(&[1.0])
    }
    fn action_space(&self) -> Discrete {
        fixed::choices(2)
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.start(rng, obs);
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.action_space().check("action", &[action as u32])?;
        let wanted = self.kind != ProbeKind::ObservationChoice || self.observation > 0.0;
        Ok(self.advance(if (action == 1) == wanted { 1.0 } else { -1.0 }, obs))
    }
    fn state(&self) -> Option<(f32, u32)> {
        Some((self.observation, self.t))
    }
    fn set_state(&mut self, state: (f32, u32)) -> Result<()> {
        self.restore(state)
    }
}

impl Env for Probe<BoxSpace> {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = (f32, u32);

    fn observation_space(&self) -> BoxSpace {
        fixed::symmetric(&[1.0])
    }
    fn action_space(&self) -> BoxSpace {
        fixed::bounds(&[-2.0], &[1.0])
    }
    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.start(rng, obs);
        Ok(())
    }
    fn step(&mut self, action: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let action = fixed::one_number(action)?;
        let looks = self.kind == ProbeKind::ObservationChoice;
        let best = if looks { 0.5 * self.observation } else { 0.5 };
        Ok(self.advance(-(action - best).powi(2), obs))
    }
    fn state(&self) -> Option<(f32, u32)> {
        Some((self.observation, self.t))
    }
    fn set_state(&mut self, state: (f32, u32)) -> Result<()> {
        self.restore(state)
    }
}
