use super::{MujocoTask, Observation, Simulation, effort, noise};
use rl_core::Rng;

/// Run as fast as possible on two legs, in a plane; registered as `HalfCheetah-v5` with 1,000 steps per episode. It
/// never terminates.
///
/// Actions: torques of back and front thigh, shin and foot, `[6]`, in [-1, 1]. Observations, `[17]`: positions without
/// the first, which is the way gone, and velocities. The reward is the forward velocity in m/s less a cost of the
/// torques' squares. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct HalfCheetah {
    /// Reward per m/s. Default 1.
    pub forward_reward_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 0.1.
    pub ctrl_cost_weight: f64,
    /// The bound of the positions' uniform noise and the standard deviation of the velocities' at a start. Default
    /// 0.1.
    pub reset_noise_scale: f64,
}

impl Default for HalfCheetah {
    fn default() -> Self {
        HalfCheetah { forward_reward_weight: 1.0, ctrl_cost_weight: 0.1, reset_noise_scale: 0.1 }
    }
}

impl MujocoTask for HalfCheetah {
    const MODEL: &'static str = "half_cheetah.xml";
    const FRAME_SKIP: usize = 5;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::normal(rng, self.reset_noise_scale, qvel);
    }

    fn position(&self, sim: &Simulation) -> f64 {
        sim.qpos()[0]
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(&sim.qpos()[1..]);
        row.extend(sim.qvel());
    }

    fn outcome(&self, _sim: &Simulation, action: &[f32], velocity: f64) -> (f64, bool) {
        let reward = self.forward_reward_weight * velocity - self.ctrl_cost_weight * effort(action);
        (reward, false)
    }
}
