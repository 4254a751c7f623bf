use crate::fixed;
use rl_core::{BoxSpace, Discrete, Env, Error, Result, Rng, Step};
use std::f64::consts::PI;

const DT: f64 = 0.2;
const MAX_SPEED_1: f64 = 4.0 * PI;
const MAX_SPEED_2: f64 = 9.0 * PI;
const GRAVITY: f64 = 9.8;
/// Both links have length 1, mass 1, moment of inertia 1, and their centre of mass here.
const CENTRE: f64 = 0.5;

/// Swing a two-link arm above a line by a torque of -1, 0 or 1 (actions 0, 1, 2) on the joint between the links;
/// Sutton (1996), with the equations of Sutton and Barto's book and Gymnasium's parameters. Registered as
/// `Acrobot-v1` with 500 steps per episode.
///
/// Observations are `[cos a, sin a, cos b, sin b, a', b']`. The reward is -1 per step, and 0 for the step that
/// reaches the line and terminates the episode.
#[derive(Clone, Debug, Default)]
pub struct Acrobot {
    pub(crate) state: [f64; 4],
}

impl Acrobot {
    fn show(&self, obs: &mut [f32]) {
        let [a, b, a_dot, b_dot] = self.state;
        let shown = [a.cos(), a.sin(), b.cos(), b.sin(), a_dot, b_dot];
        obs.iter_mut().zip(shown).for_each(|(o, s)| *o = s as f32);
    }
}

/// The time derivative of the state under `torque`.
fn derivative([a, b, a_dot, b_dot]: [f64; 4], torque: f64) -> [f64; 4] {
    let (sin_b, cos_b) = b.sin_cos();
    let d1 = CENTRE * CENTRE + (1.0 + CENTRE * CENTRE + 2.0 * CENTRE * cos_b) + 2.0;
    let d2 = (CENTRE * CENTRE + CENTRE * cos_b) + 1.0;
    let phi2 = CENTRE * GRAVITY * (a + b - PI / 2.0).cos();
    let phi1 = -CENTRE * b_dot * b_dot * sin_b - 2.0 * CENTRE * b_dot * a_dot * sin_b
        + (CENTRE + 1.0) * GRAVITY * (a - PI / 2.0).cos()
        + phi2;
    let b_acc = (torque + d2 / d1 * phi1 - CENTRE * a_dot * a_dot * sin_b - phi2)
        / (CENTRE * CENTRE + 1.0 - d2 * d2 / d1);
    let a_acc = -(d2 * b_acc + phi1) / d1;
    [a_dot, b_dot, a_acc, b_acc]
}

/// One step of the classical Runge-Kutta method.
fn runge_kutta(y: [f64; 4], torque: f64) -> [f64; 4] {
    let along = |k: [f64; 4], h: f64| std::array::from_fn(|i| y[i] + h * k[i]);
    let k1 = derivative(y, torque);
    let k2 = derivative(along(k1, DT / 2.0), torque);
    let k3 = derivative(along(k2, DT / 2.0), torque);
    let k4 = derivative(along(k3, DT), torque);
    along(std::array::from_fn(|i| k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]), DT / 6.0)
}

fn wrap(mut angle: f64) -> f64 {
    while angle > PI {
        angle -= 2.0 * PI;
    }
    while angle < -PI {
        angle += 2.0 * PI;
    }
    angle
}

impl Env for Acrobot {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = [f64; 4];

    fn observation_space(&self) -> BoxSpace {
        fixed::symmetric(&[1.0, 1.0, 1.0, 1.0, MAX_SPEED_1 as f32, MAX_SPEED_2 as f32])
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(3)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        // Gymnasium rounds the initial state to single precision.
        self.state.fill_with(|| f64::from(rng.uniform(-0.1, 0.1) as f32));
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        if action > 2 {
            return Err(Error::mismatch("action", "0, 1 or 2", action));
        }
        let [a, b, a_dot, b_dot] = runge_kutta(self.state, action as f64 - 1.0);
        self.state = [
            wrap(a),
            wrap(b),
            a_dot.clamp(-MAX_SPEED_1, MAX_SPEED_1),
            b_dot.clamp(-MAX_SPEED_2, MAX_SPEED_2),
        ];
        self.show(obs);
        let [a, b, ..] = self.state;
        let terminated = -a.cos() - (b + a).cos() > 1.0;
        Ok(Step::terminated_if(terminated, if terminated { 0.0 } else { -1.0 }))
    }

    fn state(&self) -> Option<[f64; 4]> {
        Some(self.state)
    }

    fn set_state(&mut self, state: [f64; 4]) -> Result<()> {
        // A non-finite angle would make `wrap` loop forever.
        if state.iter().any(|x| !x.is_finite() || x.abs() > 1e3) {
            return Err(Error::mismatch("state", "numbers within 1000", format_args!("{state:?}")));
        }
        self.state = state;
        Ok(())
    }
}
