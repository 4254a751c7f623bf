//! MuJoCo behind what the tasks need of it.

use super::total_mass;
use mujoco_rs::prelude::{MjData, MjModel, MjtObjBase, MjtState};
use rl_core::{BoxSpace, Error, Result, check};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The release of MuJoCo that the binding is made for.
const VERSION: &str = "3.17.0";

/// All that the next steps depend on.
const STATE: u32 = MjtState::mjSTATE_INTEGRATION as u32;

/// The folder that models are read from: the environment variable `RL_MUJOCO_MODELS`, otherwise `target/mujoco/models`
/// in the workspace that this crate was built in, where `cargo xtask setup mujoco` puts Gymnasium's.
///
/// ```
/// assert!(rl_envs::mujoco_models().join("hopper.xml").is_file());
/// ```
pub fn mujoco_models() -> PathBuf {
    std::env::var_os("RL_MUJOCO_MODELS").map_or_else(
        || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("target/mujoco/models"),
        PathBuf::from,
    )
}

/// A model and its present state in MuJoCo.
#[derive(Debug)]
pub struct Simulation {
    data: MjData<Arc<MjModel>>,
    bodies: Vec<usize>,
    dt: f64,
}

impl Simulation {
    /// Loads a model, and finds the bodies with the given names.
    pub(super) fn load(path: &Path, frame_skip: usize, bodies: &[&str]) -> Result<Self> {
        let problem = |problem: String| {
            Error::Env(format!(
                "MuJoCo model {}: {problem} (`cargo xtask setup mujoco` fetches Gymnasium's models; \
                 the environment variable RL_MUJOCO_MODELS names another folder of them)",
                path.display()
            ))
        };
        // Asked first, because the binding would panic.
        let version = mujoco_rs::mujoco_version();
        if version != VERSION {
            let got = format!("{version} (MUJOCO_DYNAMIC_LINK_DIR names its folder)");
            return Err(Error::mismatch("libmujoco", VERSION, got));
        }
        if !path.is_file() {
            return Err(problem("no such file".to_owned()));
        }
        let model = total_mass::load(path).map_err(|e| problem(e.to_string()))?;
        let find = |name: &&str| {
            model
                .name_to_id(MjtObjBase::mjOBJ_BODY, name)
                .ok_or_else(|| problem(format!("it has no body '{name}'")))
        };
        let bodies = bodies.iter().map(find).collect::<Result<_>>()?;
        let dt = model.opt().timestep * frame_skip as f64;
        let data = MjData::try_new(Arc::new(model)).map_err(|e| problem(e.to_string()))?;
        Ok(Simulation { data, bodies, dt })
    }

    /// MuJoCo's own view of the state, with all of its arrays.
    pub fn data(&self) -> &MjData<Arc<MjModel>> {
        &self.data
    }

    /// The model.
    pub fn model(&self) -> &MjModel {
        self.data.model()
    }

    /// The generalised positions, `[nq]`.
    pub fn qpos(&self) -> &[f64] {
        self.data.qpos()
    }

    /// The generalised velocities, `[nv]`.
    pub fn qvel(&self) -> &[f64] {
        self.data.qvel()
    }

    /// The position of the task's body `index` ([`MujocoTask::BODIES`](super::MujocoTask::BODIES)) in the world, in
    /// metres. `index` must be one of theirs.
    pub fn body(&self, index: usize) -> [f64; 3] {
        self.data.xpos()[self.bodies[index]]
    }

    /// The time that one step of the environment takes, in seconds.
    pub fn dt(&self) -> f64 {
        self.dt
    }

    /// Controls within the actuators' bounds.
    pub(super) fn action_space(&self) -> Result<BoxSpace> {
        let bounds = self.model().actuator_ctrlrange();
        let bound = |side: usize| bounds.iter().map(|range| range[side] as f32).collect();
        BoxSpace::new(bound(0), bound(1))
    }

    /// Resets everything, and copies the positions and velocities that the model itself starts with.
    pub(super) fn rest(&mut self, qpos: &mut [f64], qvel: &mut [f64]) {
        self.data.reset();
        qpos.copy_from_slice(self.data.qpos());
        qvel.copy_from_slice(self.data.qvel());
    }

    /// Resets everything, and places the model.
    pub(super) fn start(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()> {
        check::len("positions", self.qpos().len(), qpos.len())?;
        check::len("velocities", self.qvel().len(), qvel.len())?;
        self.data.reset();
        self.data.qpos_mut().copy_from_slice(qpos);
        self.data.qvel_mut().copy_from_slice(qvel);
        self.data.forward();
        Ok(())
    }

    /// Steps `frames` times under one control.
    pub(super) fn advance(&mut self, action: &[f32], frames: usize, forces: bool) -> Result<()> {
        let ctrl = self.data.ctrl_mut();
        check::len("action", ctrl.len(), action.len())?;
        for (i, (c, &a)) in ctrl.iter_mut().zip(action).enumerate() {
            if a.is_nan() {
                return Err(Error::mismatch(format!("action dimension {i}"), "a number", a));
            }
            *c = f64::from(a);
        }
        (0..frames).for_each(|_| self.data.step());
        if forces {
            self.data.rne_post_constraint();
        }
        Ok(())
    }

    pub(super) fn save(&self) -> Vec<f64> {
        self.data.state(STATE).into_vec()
    }

    pub(super) fn load_state(&mut self, physics: &[f64]) -> Result<()> {
        check::len("state.physics", self.model().state_size(STATE), physics.len())?;
        if let Some(x) = physics.iter().find(|x| !x.is_finite()) {
            return Err(Error::mismatch("state.physics", "finite numbers", x));
        }
        self.data.set_state(physics, STATE).map_err(Error::other)
    }
}
