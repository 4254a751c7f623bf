use super::{MujocoTask, Observation, Simulation, noise};
use rl_core::Rng;

/// Keep a pole on a cart upright; registered as `InvertedPendulum-v5` with 1,000 steps per episode.
///
/// Actions: the force on the cart, `[1]`, in [-3, 3]. Observations, `[4]`: position of the cart, angle of the pole, and
/// their velocities. The reward is 1 for each step that does not end the task, which ends where the pole leans by more
/// than 0.2 rad or something is not finite. Default: Gymnasium's.
#[derive(Clone, Debug)]
pub struct InvertedPendulum {
    /// The bound of the uniform noise at a start. Default 0.01.
    pub reset_noise_scale: f64,
}

impl Default for InvertedPendulum {
    fn default() -> Self {
        InvertedPendulum { reset_noise_scale: 0.01 }
    }
}

impl MujocoTask for InvertedPendulum {
    const MODEL: &'static str = "inverted_pendulum.xml";
    const FRAME_SKIP: usize = 2;

    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]) {
        noise::uniform(rng, self.reset_noise_scale, qpos);
        noise::uniform(rng, self.reset_noise_scale, qvel);
    }

    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
        row.extend(sim.qpos());
        row.extend(sim.qvel());
    }

    fn outcome(&self, sim: &Simulation, _action: &[f32], _velocity: f64) -> (f64, bool) {
        let finite = sim.qpos().iter().chain(sim.qvel()).all(|x| x.is_finite());
        let terminated = !finite || sim.qpos()[1].abs() > 0.2;
        (if terminated { 0.0 } else { 1.0 }, terminated)
    }
}
