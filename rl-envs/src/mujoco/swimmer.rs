use super::{MujocoTask, Observation, Simulation, effort, noise};
use rl_core::Rng;

/// Swim forward with three links in a viscous plane; registered as `Swimmer-v5` with 1,000 steps per episode. It never
/// terminates.
///
/// Actions: torques of the two joints, `[2]`, in [-1, 1]. Observations, `[8]`: positions without the first two, which
/// are the place, and velocities. The reward is the forward velocity in m/s less a cost of the torques' squares.
/// Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Swimmer {
    /// Reward per m/s. Default 1.
    pub forward_reward_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 0.0001.
    pub ctrl_cost_weight: f64,
    /// The bound of the uniform noise at a start. Default 0.1.
    pub reset_noise_scale: f64,
}

impl Default for Swimmer {
    fn default() -> Self {
        Swimmer { forward_reward_weight: 1.0, ctrl_cost_weight: 1e-4, reset_noise_scale: 0.1 }
    }
}

impl MujocoTask for Swimmer {
    const MODEL: &'static str = "swimmer.xml";
    const FRAME_SKIP: usize = 4;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::uniform(rng, self.reset_noise_scale, qvel);
    }

    fn position(&self, sim: &Simulation) -> f64 {
        sim.qpos()[0]
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(&sim.qpos()[2..]);
        row.extend(sim.qvel());
    }

    fn outcome(&self, _sim: &Simulation, action: &[f32], velocity: f64) -> (f64, bool) {
        let reward = self.forward_reward_weight * velocity - self.ctrl_cost_weight * effort(action);
        (reward, false)
    }
}
