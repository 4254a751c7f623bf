use super::{MujocoTask, Observation, Simulation, effort, noise};
use rl_core::Rng;

/// Hop forward on one leg, in a plane, without falling; registered as `Hopper-v5` with 1,000 steps per episode.
///
/// Actions: torques of thigh, leg and foot, `[3]`, in [-1, 1]. Observations, `[11]`: positions without the first, which
/// is the way gone, and velocities clipped to [-10, 10]. The reward is the forward velocity in m/s, plus one for being
/// healthy, less a cost of the torques' squares. An unhealthy hopper ends the task: its torso is at most 0.7 m high or
/// leans by 0.2 rad, or any other position or a velocity reaches 100. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Hopper {
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

impl Default for Hopper {
    fn default() -> Self {
        Hopper {
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
    // The lean is judged twice, as in Gymnasium. Comparisons are such that a NaN is unhealthy.
    let calm = sim.qpos()[2..].iter().chain(sim.qvel()).all(|x| x.abs() < 100.0);
    calm && height > 0.7 && height < f64::INFINITY && lean.abs() < 0.2
}

impl MujocoTask for Hopper {
    const MODEL: &'static str = "hopper.xml";
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
