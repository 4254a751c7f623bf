use super::{MujocoTask, Observation, Simulation, effort, noise, sum_of_squares};
use rl_core::Rng;

/// Walk forward on four legs without falling; registered as `Ant-v5` with 1,000 steps per episode.
///
/// Actions: torques of hip and ankle of each leg, `[8]`, in [-1, 1]. Observations, `[105]`: positions without the first
/// two, which are the place, velocities, and the external forces and torques on each body but the world, clipped to
/// [-1, 1]; `AntWithoutForces-v5` shows none of these. The reward is the torso's forward velocity in m/s, plus one for
/// being healthy, less a cost of the torques' squares and one of the clipped forces'. An unhealthy ant ends the task: its
/// torso is not between 0.2 m and 1 m high, or something is not finite. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Ant {
    /// Reward per m/s. Default 1.
    pub forward_reward_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 0.5.
    pub ctrl_cost_weight: f64,
    /// Cost per unit of the clipped forces' sum of squares. Default 0.0005.
    pub contact_cost_weight: f64,
    /// Reward of a healthy step. Default 1.
    pub healthy_reward: f64,
    /// Whether the task ends when unhealthy. Default true.
    pub terminate_when_unhealthy: bool,
    /// Whether observations have the forces; without them they are `[27]`. Default true.
    pub include_cfrc_ext_in_observation: bool,
    /// The bound of the positions' uniform noise and the standard deviation of the velocities' at a start. Default
    /// 0.1.
    pub reset_noise_scale: f64,
}

impl Default for Ant {
    fn default() -> Self {
        Ant {
            forward_reward_weight: 1.0,
            ctrl_cost_weight: 0.5,
            contact_cost_weight: 5e-4,
            healthy_reward: 1.0,
            terminate_when_unhealthy: true,
            include_cfrc_ext_in_observation: true,
            reset_noise_scale: 0.1,
        }
    }
}

/// The body that has to move.
const TORSO: usize = 1;

fn is_healthy(sim: &Simulation) -> bool {
    let finite = sim.qpos().iter().chain(sim.qvel()).all(|x| x.is_finite());
    finite && (0.2..=1.0).contains(&sim.qpos()[2])
}

fn clipped(force: f64) -> f64 {
    force.clamp(-1.0, 1.0)
}

impl MujocoTask for Ant {
    const MODEL: &'static str = "ant.xml";
    const FRAME_SKIP: usize = 5;
    const BODY_FORCES: bool = true;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::normal(rng, self.reset_noise_scale, qvel);
    }

    fn position(&self, sim: &Simulation) -> f64 {
        sim.data().xpos()[TORSO][0]
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(&sim.qpos()[2..]);
        row.extend(sim.qvel());
        if self.include_cfrc_ext_in_observation {
            row.extend_with(sim.data().cfrc_ext()[1..].as_flattened(), clipped);
        }
    }

    fn outcome(&self, sim: &Simulation, action: &[f32], velocity: f64) -> (f64, bool) {
        let healthy = is_healthy(sim);
        let alive = if healthy { self.healthy_reward } else { 0.0 };
        let forces = sim.data().cfrc_ext().as_flattened();
        let contact = sum_of_squares(forces.iter().map(|force| clipped(*force)));
        let cost = self.ctrl_cost_weight * effort(action) + self.contact_cost_weight * contact;
        let reward = self.forward_reward_weight * velocity + alive - cost;
        (reward, !healthy && self.terminate_when_unhealthy)
    }
}
