use crate::fixed;
use rl_core::{BoxSpace, Env, Result, Rng, Step};
use std::f64::consts::PI;

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
const DT: f64 = 0.05;
const GRAVITY: f64 = 10.0;

/// Swing a pendulum up and keep it upright with a torque in [-2, 2]; Gymnasium's parameters. Registered as
/// `Pendulum-v1` with 200 steps per episode; it never terminates.
///
/// Observations are `[cos theta, sin theta, theta']`, with theta 0 when upright. The reward is
/// `-(theta² + 0.1 theta'² + 0.001 torque²)` with theta in [-pi, pi]. Torques are clipped to the bounds.
#[derive(Clone, Debug, Default)]
pub struct Pendulum {
    pub(crate) state: [f64; 2],
}

impl Pendulum {
    fn show(&self, obs: &mut [f32]) {
        let [theta, speed] = self.state;
        let (sin, cos) = theta.sin_cos();
        obs.iter_mut().zip([cos, sin, speed]).for_each(|(o, s)| *o = s as f32);
    }
}

impl Env for Pendulum {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = [f64; 2];

    fn observation_space(&self) -> BoxSpace {
        fixed::symmetric(&[1.0, 1.0, MAX_SPEED as f32])
    }

    fn action_space(&self) -> BoxSpace {
        fixed::symmetric(&[MAX_TORQUE])
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.state = [rng.uniform(-PI, PI), rng.uniform(-1.0, 1.0)];
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let torque = fixed::one_number(action)?.clamp(-MAX_TORQUE, MAX_TORQUE);
        let [theta, speed] = self.state;
        let angle = (theta + PI).rem_euclid(2.0 * PI) - PI;
        let cost = angle * angle + 0.1 * (speed * speed) + f64::from(0.001 * (torque * torque));
        let acceleration = 3.0 * GRAVITY / 2.0 * theta.sin() + f64::from(3.0 * torque);
        let speed = (speed + acceleration * DT).clamp(-MAX_SPEED, MAX_SPEED);
        self.state = [theta + speed * DT, speed];
        self.show(obs);
        Ok(Step::running(-cost as f32))
    }

    fn state(&self) -> Option<[f64; 2]> {
        Some(self.state)
    }

    fn set_state(&mut self, state: [f64; 2]) -> Result<()> {
        self.state = state;
        Ok(())
    }
}
