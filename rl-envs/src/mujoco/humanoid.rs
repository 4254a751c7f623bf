use super::{MujocoTask, Observation, Simulation, noise, sum_of_squares};
use rl_core::Rng;

/// Walk forward on two legs, in space, without falling; registered as `Humanoid-v5` with 1,000 steps per episode.
///
/// Actions: controls of 17 joints of abdomen, legs and arms, `[17]`, in [-0.4, 0.4]. Observations, `[348]`: positions
/// without the first two, which are the place, velocities; of each body but the world inertia and mass, `[13, 10]`,
/// velocity, `[13, 6]`; the actuators' forces on the 17 joints; and the external forces and torques on each body,
/// `[13, 6]`. The reward is 1.25 times the forward velocity of the centre of mass in m/s, plus five for being healthy,
/// less a cost of the controls' squares and one of the external forces', of at most 10. An unhealthy humanoid ends the
/// task: its torso is not between 1 m and 2 m high. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Humanoid {
    /// Reward per m/s. Default 1.25.
    pub forward_reward_weight: f64,
    /// Cost per unit of the controls' sum of squares. Default 0.1.
    pub ctrl_cost_weight: f64,
    /// Cost per unit of the external forces' sum of squares. Default 5e-7.
    pub contact_cost_weight: f64,
    /// The largest cost of external forces. Default 10.
    pub max_contact_cost: f64,
    /// Reward of a healthy step. Default 5.
    pub healthy_reward: f64,
    /// Whether the task ends when unhealthy. Default true.
    pub terminate_when_unhealthy: bool,
    /// The bound of the uniform noise at a start. Default 0.01.
    pub reset_noise_scale: f64,
}

impl Default for Humanoid {
    fn default() -> Self {
        Humanoid {
            forward_reward_weight: 1.25,
            ctrl_cost_weight: 0.1,
            contact_cost_weight: 5e-7,
            max_contact_cost: 10.0,
            healthy_reward: 5.0,
            terminate_when_unhealthy: true,
            reset_noise_scale: 1e-2,
        }
    }
}

/// The degrees of freedom of the torso in space, which no actuator moves.
const FREE: usize = 6;

impl MujocoTask for Humanoid {
    const MODEL: &'static str = "humanoid.xml";
    const FRAME_SKIP: usize = 5;
    const BODY_FORCES: bool = true;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::uniform(rng, self.reset_noise_scale, qvel);
    }

    /// That of the centre of mass.
    fn position(&self, sim: &Simulation) -> f64 {
        let masses = sim.model().body_mass();
        let weighted = masses.iter().zip(sim.data().xipos()).map(|(mass, at)| mass * at[0]);
        weighted.sum::<f64>() / masses.iter().sum::<f64>()
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        let data = sim.data();
        row.extend(&sim.qpos()[2..]);
        row.extend(sim.qvel());
        row.extend(data.cinert()[1..].as_flattened());
        row.extend(data.cvel()[1..].as_flattened());
        row.extend(&data.qfrc_actuator()[FREE..]);
        row.extend(data.cfrc_ext()[1..].as_flattened());
    }

    fn outcome(&self, sim: &Simulation, _action: &[f32], velocity: f64) -> (f64, bool) {
        let healthy = 1.0 < sim.qpos()[2] && sim.qpos()[2] < 2.0;
        let alive = if healthy { self.healthy_reward } else { 0.0 };
        let effort = sum_of_squares(sim.data().ctrl().iter().copied());
        let contact = sum_of_squares(sim.data().cfrc_ext().as_flattened().iter().copied());
        let contact = (self.contact_cost_weight * contact).min(self.max_contact_cost);
        let cost = self.ctrl_cost_weight * effort + contact;
        let reward = self.forward_reward_weight * velocity + alive - cost;
        (reward, !healthy && self.terminate_when_unhealthy)
    }
}
