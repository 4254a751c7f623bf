use super::{MujocoTask, Observation, Simulation, noise};
use rl_core::Rng;

/// Keep two poles, one on top of the other, upright on a cart; registered as `InvertedDoublePendulum-v5` with 1,000
/// steps per episode.
///
/// Actions: the force on the cart, `[1]`, in [-1, 1]. Observations, `[9]`: position of the cart, sines and cosines of
/// the two angles, the three velocities and the constraint force on the cart, clipped to [-10, 10]. The reward is 10
/// for each step that does not end the task, less `0.01 x² + (y - 2)²` of the tip's place and `0.001 v1² + 0.005 v2²` of
/// the angular velocities. The task ends where the tip is at most 1 m high. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct InvertedDoublePendulum {
    /// Reward of a step that does not end the task. Default 10.
    pub healthy_reward: f64,
    /// The bound of the positions' uniform noise and the standard deviation of the velocities' at a start. Default
    /// 0.1.
    pub reset_noise_scale: f64,
}

impl Default for InvertedDoublePendulum {
    fn default() -> Self {
        InvertedDoublePendulum { healthy_reward: 10.0, reset_noise_scale: 0.1 }
    }
}

fn clipped(x: f64) -> f64 {
    x.clamp(-10.0, 10.0)
}

impl MujocoTask for InvertedDoublePendulum {
    const MODEL: &'static str = "inverted_double_pendulum.xml";
    const FRAME_SKIP: usize = 5;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::normal(rng, self.reset_noise_scale, qvel);
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        let (cart, angles) = sim.qpos().split_at(1);
        row.extend(cart);
        row.extend_with(angles, f64::sin);
        row.extend_with(angles, f64::cos);
        row.extend_with(sim.qvel(), clipped);
        row.extend_with(&sim.data().qfrc_constraint()[..1], clipped);
    }

    fn outcome(&self, sim: &Simulation, _action: &[f32], _velocity: f64) -> (f64, bool) {
        // The tip is the model's only site.
        let [x, _, y] = sim.data().site_xpos()[0];
        let (v1, v2) = (sim.qvel()[1], sim.qvel()[2]);
        let terminated = y <= 1.0;
        let alive = if terminated { 0.0 } else { self.healthy_reward };
        let place = 0.01 * x * x + (y - 2.0) * (y - 2.0);
        (alive - place - (1e-3 * v1 * v1 + 5e-3 * v2 * v2), terminated)
    }
}
