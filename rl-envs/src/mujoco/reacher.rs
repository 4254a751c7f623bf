use super::{MujocoTask, Observation, Simulation, distance, effort, noise};
use rl_core::Rng;

/// Reach a target with the tip of an arm of two links; registered as `Reacher-v5` with 50 steps per episode. It never
/// terminates.
///
/// Actions: torques of the two joints, `[2]`, in [-1, 1]. Observations, `[10]`: cosines, then sines of the two angles,
/// the target's place, the two angular velocities, and the way from the target to the tip in the plane. The reward is
/// the distance between tip and target in metres, taken negatively, less the torques' sum of squares. At a start angles
/// lie within 0.1 rad and their velocities within 0.005 rad/s of zero; the target lies anywhere within 0.2 m. Defaults:
/// Gymnasium's.
#[derive(Clone, Debug)]
pub struct Reacher {
    /// Cost per metre. Default 1.
    pub reward_dist_weight: f64,
    /// Cost per unit of the torques' sum of squares. Default 1.
    pub reward_control_weight: f64,
}

impl Default for Reacher {
    fn default() -> Self {
        Reacher { reward_dist_weight: 1.0, reward_control_weight: 1.0 }
    }
}

const TIP: usize = 0;
const TARGET: usize = 1;

impl MujocoTask for Reacher {
    const MODEL: &'static str = "reacher.xml";
    const FRAME_SKIP: usize = 2;
    const BODIES: &'static [&'static str] = &["fingertip", "target"];

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, 0.1, qpos);
        let target = loop {
            let (x, y) = (rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2));
            if x.hypot(y) < 0.2 {
                break [x, y];
            }
        };
        qpos[2..].copy_from_slice(&target);
        noise::uniform(rng, 0.005, &mut qvel[..2]);
        qvel[2..].fill(0.0);
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        let (angles, target) = sim.qpos().split_at(2);
        let (from, to) = (sim.body(TARGET), sim.body(TIP));
        row.extend_with(angles, f64::cos);
        row.extend_with(angles, f64::sin);
        row.extend(target);
        row.extend(&sim.qvel()[..2]);
        row.extend(&[to[0] - from[0], to[1] - from[1]]);
    }

    fn outcome(&self, sim: &Simulation, action: &[f32], _velocity: f64) -> (f64, bool) {
        let far = self.reward_dist_weight * distance(sim.body(TIP), sim.body(TARGET));
        (-far - self.reward_control_weight * effort(action), false)
    }
}
