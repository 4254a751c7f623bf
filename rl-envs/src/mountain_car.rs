use crate::fixed;
use rl_core::{BoxSpace, Discrete, Env, Error, Result, Rng, Step};

pub(crate) const MIN_POSITION: f64 = -1.2;
pub(crate) const MAX_POSITION: f64 = 0.6;
const MAX_SPEED: f64 = 0.07;
pub(crate) const GOAL: f64 = 0.5;
const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;

/// Drive an underpowered car up a hill: left (0), no force (1), right (2); Moore (1990), with Gymnasium's parameters.
/// Registered as `MountainCar-v0` with 200 steps per episode.
///
/// Observations are `[position, velocity]`. The reward is -1 per step; the episode terminates at position 0.5.
#[derive(Clone, Debug, Default)]
pub struct MountainCar {
    pub(crate) state: [f64; 2],
}

impl MountainCar {
    fn show(&self, obs: &mut [f32]) {
        obs.iter_mut().zip(self.state).for_each(|(o, s)| *o = s as f32);
    }
}

pub(crate) fn observation_space() -> BoxSpace {
    let (low, high) = ([MIN_POSITION, -MAX_SPEED], [MAX_POSITION, MAX_SPEED]);
    fixed::bounds(&low.map(|x| x as f32), &high.map(|x| x as f32))
}

impl Env for MountainCar {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = [f64; 2];

    fn observation_space(&self) -> BoxSpace {
        observation_space()
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(3)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.state = [rng.uniform(-0.6, -0.4), 0.0];
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        if action > 2 {
            return Err(Error::mismatch("action", "0, 1 or 2", action));
        }
        let [position, velocity] = self.state;
        let velocity = velocity + (action as f64 - 1.0) * FORCE - (3.0 * position).cos() * GRAVITY;
        let mut velocity = velocity.clamp(-MAX_SPEED, MAX_SPEED);
        let position = (position + velocity).clamp(MIN_POSITION, MAX_POSITION);
        if position == MIN_POSITION && velocity < 0.0 {
            velocity = 0.0;
        }
        self.state = [position, velocity];
        self.show(obs);
        Ok(Step::terminated_if(position >= GOAL && velocity >= 0.0, -1.0))
    }

    fn state(&self) -> Option<[f64; 2]> {
        Some(self.state)
    }

    fn set_state(&mut self, state: [f64; 2]) -> Result<()> {
        self.state = state;
        Ok(())
    }
}
