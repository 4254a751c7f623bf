use super::{MujocoTask, Observation, Simulation, effort, noise};
use rl_core::Rng;

/// Walk forward on two legs, in a plane, without falling; registered as `Walker2d-v5` with 1,000 steps per episode.
///
/// Actions: torques of right and left thigh, leg and foot, `[6]`, in [-1, 1]. Observations, `[17]`: positions without
/// the first, which is the way gone, and velocities clipped to [-10, 10]. The reward is the forward velocity in m/s,
/// plus one for being healthy, less a cost of the torques' squares. An unhealthy walker ends the task: its torso is not
/// between 0.8 m and 2 m high, or leans by 1 rad. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Walker2d {
    /// Reward per m/s. Default 1.
    pub forward_reward_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 0.001.
    pub ctrl_cost_weight: f64,
    /// Reward of a healthy step. Default 1.
    pub healthy_reward: f64,
    /// Whether the task ends when unhealthy. Default true.
    pub terminate_when_unhealthy: bool,
    /// The bound of the uniform noise at a start. Default 0.005.
    pub reset_noise_scale: f64,
}

impl Default for Walker2d {
    fn default() -> Self {
        Walker2d {
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 1e-3,
            healthy_reward: 1.0,
            terminate_when_unhealthy: true,
            reset_noise_scale: 5e-3,
        }
    }
}

fn is_healthy(sim: &Simulation) -> bool {
    let (height, lean) = (sim.qpos()[1], sim.qpos()[2]);
    0.8 < height && height < 2.0 && lean.abs() < 1.0
}

impl MujocoTask for Walker2d {
    const MODEL: &'static str = "walker2d_v5.xml";
    const FRAME_SKIP: usize = 4;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::uniform(rng, self.reset_noise_scale, qvel);
    }

    fn position(&self, sim: &Simulation) -> f64 {
        sim.qpos()[0]
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(&sim.qpos()[1..]);
        row.extend_with(sim.qvel(), |x| x.clamp(-10.0, 10.0));
    }

    fn outcome(&self, sim: &Simulation, action: &[f32], velocity: f64) -> (f64, bool) {
        let healthy = is_healthy(sim);
        let alive = if healthy { self.healthy_reward } else { 0.0 };
        let cost = self.ctrl_cost_weight * effort(action);
        let reward = self.forward_reward_weight * velocity + alive - cost;
        (reward, !healthy && self.terminate_when_unhealthy)
    }
}
