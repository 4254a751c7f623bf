use super::{MujocoTask, Observation, Simulation, distance, effort, noise};
use rl_core::Rng;

/// Push an object to a goal with an arm of seven joints; registered as `Pusher-v5` with 100 steps per episode. It never
/// terminates.
///
/// Actions: torques of the joints, `[7]`, in [-2, 2]. Observations, `[23]`: angles and angular velocities of the joints,
/// and the places of the arm's tip, the object and the goal. The reward is the distance between object and goal and
/// half of that between object and tip, in metres, and a tenth of the torques' sum of squares, all taken negatively.
/// At a start the object lies in an area of 0.3 m by 0.4 m beside the goal, at least 0.17 m away from it; joints turn by
/// at most 0.005 rad/s. Defaults: Gymnasium's.
#[derive(Clone, Debug)]
pub struct Pusher {
    /// Cost per metre between object and tip. Default 0.5.
    pub reward_near_weight: f64,
    /// Cost per metre between object and goal. Default 1.
    pub reward_dist_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 0.1.
    pub reward_control_weight: f64,
}

impl Default for Pusher {
    fn default() -> Self {
        Pusher { reward_near_weight: 0.5, reward_dist_weight: 1.0, reward_control_weight: 0.1 }
    }
}

const TIP: usize = 0;
const OBJECT: usize = 1;
const GOAL: usize = 2;
/// The arm's joints; those of object and goal follow.
const ARM: usize = 7;

impl MujocoTask for Pusher {
    const MODEL: &'static str = "pusher_v5.xml";
    const FRAME_SKIP: usize = 5;
    const BODIES: &'static [&'static str] = &["tips_arm", "object", "goal"];

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        let object = loop {
            let (y, x) = (rng.uniform(-0.3, 0.0), rng.uniform(-0.2, 0.2));
            if y.hypot(x) > 0.17 {
                break [y, x];
            }
        };
        qpos[ARM..ARM + 2].copy_from_slice(&object);
        qpos[ARM + 2..].fill(0.0);
        noise::uniform(rng, 0.005, &mut qvel[..ARM]);
        qvel[ARM..].fill(0.0);
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(&sim.qpos()[..ARM]);
        row.extend(&sim.qvel()[..ARM]);
        [TIP, OBJECT, GOAL].iter().for_each(|body| row.extend(&sim.body(*body)));
    }

    fn outcome(&self, sim: &Simulation, action: &[f32], _velocity: f64) -> (f64, bool) {
        let near = self.reward_near_weight * distance(sim.body(OBJECT), sim.body(TIP));
        let far = self.reward_dist_weight * distance(sim.body(OBJECT), sim.body(GOAL));
        (-near - far - self.reward_control_weight * effort(action), false)
    }
}
