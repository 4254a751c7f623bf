use crate::{fixed, mountain_car};
use rl_core::{BoxSpace, Env, Error, Result, Rng, Step};

const MIN_POSITION: f32 = -1.2;
const MAX_POSITION: f32 = 0.6;
const MAX_SPEED: f32 = 0.07;
pub(crate) const GOAL: f32 = 0.45;
const POWER: f64 = 0.0015;
const GRAVITY: f64 = 0.0025;

/// The mountain car with a force in [-1, 1]; registered as `MountainCarContinuous-v0` with 999 steps per episode.
///
/// Observations are `[position, velocity]`. The reward is `-0.1 force²` per step, plus 100 for reaching position
/// 0.45, which terminates the episode.
///
/// Gymnasium stores the state of this environment in single precision, except for the initial one, and rounds within
/// expressions according to NumPy's type promotion. The code below rounds in the same places, so that trajectories
/// are bit-identical.
#[derive(Clone, Debug, Default)]
pub struct MountainCarContinuous {
    pub(crate) position: f64,
    velocity: f64,
    /// Whether the state is the initial one, in double precision.
    fresh: bool,
}

impl MountainCarContinuous {
    fn show(&self, obs: &mut [f32]) {
        obs.iter_mut().zip([self.position, self.velocity]).for_each(|(o, s)| *o = s as f32);
    }
}

impl Env for MountainCarContinuous {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    /// Position, velocity, and whether both are initial values.
    type State = (f64, f64, bool);

    fn observation_space(&self) -> BoxSpace {
        mountain_car::observation_space()
    }

    fn action_space(&self) -> BoxSpace {
        fixed::symmetric(&[1.0])
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        (self.position, self.velocity, self.fresh) = (rng.uniform(-0.6, -0.4), 0.0, true);
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let action = fixed::one_number(action)?;
        let triple =
            if self.fresh { 3.0 * self.position } else { f64::from(3.0 * self.position as f32) };
        let pull = GRAVITY * triple.cos();
        // In Gymnasium a clipped force has double precision, an unclipped one single precision.
        let push = if action.abs() > 1.0 {
            f64::from(action.signum()) * POWER - pull
        } else {
            f64::from(action * POWER as f32 - pull as f32)
        };
        let (mut position, mut velocity);
        if self.fresh {
            let v = (self.velocity + push).clamp(-f64::from(MAX_SPEED), f64::from(MAX_SPEED));
            (position, velocity) = ((self.position + v) as f32, v as f32);
        } else {
            velocity = (self.velocity as f32 + push as f32).clamp(-MAX_SPEED, MAX_SPEED);
            position = self.position as f32 + velocity;
        }
        position = position.clamp(MIN_POSITION, MAX_POSITION);
        if position == MIN_POSITION && velocity < 0.0 {
            velocity = 0.0;
        }
        (self.position, self.velocity, self.fresh) = (position.into(), velocity.into(), false);
        self.show(obs);
        let terminated = position >= GOAL && velocity >= 0.0;
        let bonus = if terminated { 100.0 } else { 0.0 };
        let reward = bonus - f64::from(action) * f64::from(action) * 0.1;
        Ok(Step::terminated_if(terminated, reward as f32))
    }

    fn state(&self) -> Option<Self::State> {
        Some((self.position, self.velocity, self.fresh))
    }

    fn set_state(&mut self, state: Self::State) -> Result<()> {
        if !(state.0.is_finite() && state.1.is_finite()) {
            return Err(Error::mismatch("state", "finite numbers", format_args!("{state:?}")));
        }
        (self.position, self.velocity, self.fresh) = state;
        Ok(())
    }
}
