//! MuJoCo's tasks: what they share. A task is one file, which reads like its definition.

mod ant;
mod half_cheetah;
mod hopper;
mod humanoid;
mod inverted_double_pendulum;
mod inverted_pendulum;
mod noise;
mod observation;
mod pusher;
mod reacher;
mod simulation;
mod swimmer;
mod total_mass;
mod walker2d;

pub use ant::Ant;
pub use half_cheetah::HalfCheetah;
pub use hopper::Hopper;
pub use humanoid::Humanoid;
pub use inverted_double_pendulum::InvertedDoublePendulum;
pub use inverted_pendulum::InvertedPendulum;
pub use observation::Observation;
pub use pusher::Pusher;
pub use reacher::Reacher;
pub use simulation::{Simulation, mujoco_models};
pub use swimmer::Swimmer;
pub use walker2d::Walker2d;

use rl_core::{BoxSpace, Env, Error, Result, Rng, Space, Step, check};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is special about a task in MuJoCo: its model, how an episode starts, what is seen, rewarded and fatal.
///
/// [`MujocoEnv`] does the rest. Settings, such as the weights of a reward, are fields of the task.
///
/// ```
/// use rl_core::{Env, Rng};
/// use rl_envs::{MujocoEnv, MujocoTask, Observation, Simulation};
///
/// /// Keep a pole on a cart upright, at no cost.
/// #[derive(Debug)]
/// struct Upright;
///
/// impl MujocoTask for Upright {
///     const MODEL: &'static str = "inverted_pendulum.xml";
///     const FRAME_SKIP: usize = 2;
///     fn start(&self, rng: &mut Rng, qpos: &mut [f64], _qvel: &mut [f64]) {
///         qpos[1] += rng.uniform(-0.01, 0.01);
///     }
///     fn observe(&self, sim: &Simulation, row: &mut Observation<'_>) {
///         row.extend(sim.qpos());
///         row.extend(sim.qvel());
///     }
///     fn outcome(&self, sim: &Simulation, _action: &[f32], _velocity: f64) -> (f64, bool) {
///         (sim.qpos()[1].cos(), false)
///     }
/// }
///
/// assert_eq!(MujocoEnv::new(Upright)?.observation_space().shape(), [4]);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait MujocoTask: Send + 'static {
    /// The file that holds the model, in the folder of models ([`mujoco_models`]).
    const MODEL: &'static str;
    /// Steps of the simulation in one step of the environment.
    const FRAME_SKIP: usize;
    /// Whether the task reads the forces on bodies (`cacc`, `cfrc_int`, `cfrc_ext`), which MuJoCo computes on demand
    /// only. Right after a reset they are zero, as in Gymnasium.
    const BODY_FORCES: bool = false;
    /// The bodies whose positions the task reads: [`Simulation::body`]`(0)` is the first of them.
    const BODIES: &'static [&'static str] = &[];

    /// Draws the positions and velocities that an episode starts with; those handed over are the model's own.
    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]);

    /// The position along the way to go, in metres; its change per second is the velocity that
    /// [`outcome`](MujocoTask::outcome) sees. Default: 0, for tasks that do not move.
    fn position(&self, _sim: &Simulation) -> f64 {
        0.0
    }

    /// Appends the observation to `row`, always in the same number of elements.
    fn observe(&self, sim: &Simulation, row: &mut Observation<'_>);

    /// The reward of a step, and whether it ended the task. `action` is what was asked for, though MuJoCo clips it to
    /// the bounds; `velocity` is that of [`position`](MujocoTask::position) over this step, in m/s.
    fn outcome(&self, sim: &Simulation, action: &[f32], velocity: f64) -> (f64, bool);
}

/// A task in MuJoCo 3.17 as an environment, equal to Gymnasium 1.4's of version 5.
///
/// Positions and velocities are those of Gymnasium bit for bit; observations and rewards are rounded to `f32`, as
/// everywhere in these crates. Actions are the actuators' controls, within the bounds that the model sets them; others
/// are clipped by the simulation (and cost what they would have). The noise of resets has Gymnasium's distributions,
/// and comes from the environment's own generator. There is no picture of these environments, which would need OpenGL.
///
/// The feature `mujoco` links with libmujoco 3.17.0 in the folder that the environment variable
/// `MUJOCO_DYNAMIC_LINK_DIR` names. A program of one's own finds it at run time by `LD_LIBRARY_PATH`, or by a build
/// script that prints `cargo::rustc-link-arg=-Wl,-rpath,` and that folder, as `xtask/build.rs` does.
///
/// MuJoCo itself prints a warning, and writes it to `MUJOCO_LOG.TXT`, where a simulation becomes unstable; it then
/// starts anew by itself, as it does in Gymnasium.
///
/// ```
/// use rl_core::{Env, Seeds};
/// use rl_envs::{HalfCheetah, MujocoEnv};
///
/// let mut env = MujocoEnv::new(HalfCheetah { ctrl_cost_weight: 0.0, ..HalfCheetah::default() })?;
/// let mut rng = Seeds::new(0).stream("env", 0);
/// let mut obs = [0.0; 17];
/// env.reset(&mut rng, &mut obs)?;
/// let step = env.step(&[0.5; 6], &mut rng, &mut obs)?;
/// assert!(step.end.is_none());
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MujocoEnv<T> {
    task: T,
    sim: Simulation,
    /// The task's position after the last step.
    position: f64,
    observation_space: BoxSpace,
    action_space: BoxSpace,
    /// Where a start is drawn before the simulation gets it.
    qpos: Vec<f64>,
    qvel: Vec<f64>,
}

/// What a [`MujocoEnv`] keeps in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MujocoState {
    /// The state of the integration (`mjSTATE_INTEGRATION`): time, positions, velocities, activations, the solver's
    /// warm start, controls and applied forces.
    pub physics: Vec<f64>,
    /// The task's position after the last step. It may lie a simulation step behind `physics`: MuJoCo moves bodies at
    /// the beginning of a step.
    pub position: f64,
}

impl<T: MujocoTask> MujocoEnv<T> {
    /// A task with the model of that name in the folder of models ([`mujoco_models`]).
    ///
    /// # Errors
    /// [`Error::Env`] if the model is missing, or MuJoCo cannot load it.
    pub fn new(task: T) -> Result<Self> {
        Self::with_model(task, mujoco_models().join(T::MODEL))
    }

    /// A task with the model in the file `model`.
    ///
    /// # Errors
    /// [`Error::Env`] if the model is missing, MuJoCo cannot load it, or it lacks a body of the task.
    pub fn with_model(task: T, model: impl AsRef<Path>) -> Result<Self> {
        let sim = Simulation::load(model.as_ref(), T::FRAME_SKIP, T::BODIES)?;
        let mut counted = Observation::new(&mut []);
        task.observe(&sim, &mut counted);
        let observation_space = BoxSpace::unbounded(counted.width())?;
        let (qpos, qvel) = (sim.qpos().to_vec(), sim.qvel().to_vec());
        let action_space = sim.action_space()?;
        let position = task.position(&sim);
        Ok(MujocoEnv { task, sim, position, observation_space, action_space, qpos, qvel })
    }

    /// The simulation as it stands.
    pub fn simulation(&self) -> &Simulation {
        &self.sim
    }

    /// Starts an episode from given positions and velocities, in place of drawn ones.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for slices of other lengths than the model's, or an observation row of another width.
    pub fn reset_to(&mut self, qpos: &[f64], qvel: &[f64], obs: &mut [f32]) -> Result<()> {
        self.sim.start(qpos, qvel)?;
        self.position = self.task.position(&self.sim);
        self.show(obs)
    }

    fn show(&self, obs: &mut [f32]) -> Result<()> {
        check::len("observation", self.observation_space.width(), obs.len())?;
        self.task.observe(&self.sim, &mut Observation::new(obs));
        Ok(())
    }
}

impl<T: MujocoTask> Env for MujocoEnv<T> {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = MujocoState;

    fn observation_space(&self) -> BoxSpace {
        self.observation_space.clone()
    }

    fn action_space(&self) -> BoxSpace {
        self.action_space.clone()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.sim.rest(&mut self.qpos, &mut self.qvel);
        self.task.start(rng, &mut self.qpos, &mut self.qvel);
        self.sim.start(&self.qpos, &self.qvel)?;
        self.position = self.task.position(&self.sim);
        self.show(obs)
    }

    fn step(&mut self, action: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.sim.advance(action, T::FRAME_SKIP, T::BODY_FORCES)?;
        let before = std::mem::replace(&mut self.position, self.task.position(&self.sim));
        let velocity = (self.position - before) / self.sim.dt();
        self.show(obs)?;
        let (reward, terminated) = self.task.outcome(&self.sim, action, velocity);
        Ok(Step::terminated_if(terminated, reward as f32))
    }

    fn state(&self) -> Option<MujocoState> {
        Some(MujocoState { physics: self.sim.save(), position: self.position })
    }

    fn set_state(&mut self, state: MujocoState) -> Result<()> {
        if !state.position.is_finite() {
            return Err(Error::mismatch("state.position", "a finite number", state.position));
        }
        self.sim.load_state(&state.physics)?;
        self.position = state.position;
        Ok(())
    }
}

/// The sum of an action's squares, in single precision as in Gymnasium.
fn effort(action: &[f32]) -> f64 {
    f64::from(action.iter().map(|a| a * a).sum::<f32>())
}

fn sum_of_squares(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum()
}

/// The distance between two points.
fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
