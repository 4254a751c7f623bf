use crate::fixed;
use rl_core::{BoxSpace, Discrete, Env, Error, Result, Rng, Step};

const GRAVITY: f64 = 9.8;
const MASS_POLE: f64 = 0.1;
const MASS_TOTAL: f64 = MASS_POLE + 1.0;
/// Half of the pole's length.
const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = MASS_POLE * LENGTH;
const FORCE: f64 = 10.0;
/// The time step in seconds.
const TAU: f64 = 0.02;
const MAX_ANGLE: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;
const MAX_POSITION: f64 = 2.4;

/// Balance a pole on a cart by pushing left (0) or right (1); Barto, Sutton and Anderson (1983), with Gymnasium's
/// parameters. Registered as `CartPole-v1` with 500 steps per episode.
///
/// Observations are `[x, x', theta, theta']` (metres, radians, seconds). The reward is 1 per step, including the last
/// one; the episode terminates when `|x| > 2.4` or `|theta| > 12°`.
#[derive(Clone, Debug, Default)]
pub struct CartPole {
    pub(crate) state: [f64; 4],
}

impl CartPole {
    fn show(&self, obs: &mut [f32]) {
        obs.iter_mut().zip(self.state).for_each(|(o, s)| *o = s as f32);
    }
}

impl Env for CartPole {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = [f64; 4];

    fn observation_space(&self) -> BoxSpace {
        let high =
            [2.0 * MAX_POSITION as f32, f32::INFINITY, 2.0 * MAX_ANGLE as f32, f32::INFINITY];
        fixed::symmetric(&high)
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(2)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.state.fill_with(|| rng.uniform(-0.05, 0.05));
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let force = match action {
            0 => -FORCE,
            1 => FORCE,
            _ => return Err(Error::mismatch("action", "0 or 1", action)),
        };
        let [x, x_dot, theta, theta_dot] = self.state;
        let (sin, cos) = theta.sin_cos();
        let push = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / MASS_TOTAL;
        let theta_acc = (GRAVITY * sin - cos * push)
            / (LENGTH * (4.0 / 3.0 - MASS_POLE * (cos * cos) / MASS_TOTAL));
        let x_acc = push - POLE_MASS_LENGTH * theta_acc * cos / MASS_TOTAL;
        self.state = [
            x + TAU * x_dot,
            x_dot + TAU * x_acc,
            theta + TAU * theta_dot,
            theta_dot + TAU * theta_acc,
        ];
        self.show(obs);
        let [x, _, theta, _] = self.state;
        Ok(Step::terminated_if(x.abs() > MAX_POSITION || theta.abs() > MAX_ANGLE, 1.0))
    }

    fn state(&self) -> Option<[f64; 4]> {
        Some(self.state)
    }

    fn set_state(&mut self, state: [f64; 4]) -> Result<()> {
        self.state = state;
        Ok(())
    }
}
