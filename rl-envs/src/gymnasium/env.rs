//! One environment.

use super::config::GymConfig;
use super::connection::Connection;
use super::draw_seed;
use super::protocol::{Kind, Layout};
use super::spaces::{GymAction, GymObs};
use super::worker::Worker;
use rl_core::{Env, Error, Image, Lives, Render, Result, Rng, Step, check};
use std::cell::RefCell;

/// One Gymnasium environment in a worker process of its own, for the wrappers of single environments, such as
/// [`AtariConfig`](rl_core::AtariConfig). [`GymVecEnv`](crate::GymVecEnv) is faster for what needs no wrapper, and
/// describes spaces and seeds.
///
/// It cannot be saved ([`Env::state`] is `None`): a resumed run begins a new episode. [`Lives`] are those of
/// `info["lives"]`, zero where there are none. It can be drawn where [`GymConfig::render`] asks for it. What `info` says at
/// an episode's end is recorded by [`GymVecEnv`](crate::GymVecEnv) alone.
///
/// ```no_run
/// use rl_core::{BoxSpace, Discrete, Env, Seeds};
/// use rl_envs::{GymConfig, GymEnv};
/// let mut env = GymEnv::<BoxSpace, Discrete>::new(&GymConfig::new("CartPole-v1"))?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 4]);
/// env.reset(&mut rng, &mut obs)?;
/// let step = env.step(1, &mut rng, &mut obs)?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct GymEnv<O, A> {
    /// In a cell because drawing, which is a message too, leaves the environment as it is.
    worker: RefCell<Worker>,
    observations: O,
    actions: A,
    layout: Layout,
    lives: u32,
    meanings: Option<Vec<String>>,
    frame: Option<[usize; 2]>,
}

/// The size of a picture that was not asked for: Gymnasium's most frequent one.
const NO_FRAME: [usize; 2] = [400, 600];

impl<O: GymObs, A: GymAction> GymEnv<O, A> {
    /// Starts a worker with the environment.
    ///
    /// # Errors
    /// [`Error::Env`] if Python, the package `gymnasium` or the environment is missing or fails; [`Error::Mismatch`]
    /// for another kind of observations or actions.
    pub fn new(config: &GymConfig) -> Result<Self> {
        let mut envs = Self::several(config, 1)?;
        envs.pop().ok_or_else(|| Error::config("envs", "at least one environment", 0))
    }

    /// Starts `n` workers at the same time.
    ///
    /// # Errors
    /// Those of [`new`](GymEnv::new); [`Error::Config`] for none.
    pub fn several(config: &GymConfig, n: usize) -> Result<Vec<Self>> {
        let Connection { workers, hello } = Connection::open(config, n, n, false)?;
        let make = |worker: Worker| {
            let observations: O = hello.observations()?;
            let layout = Connection::layout(&observations, 1);
            worker.make_room(layout.longest_rows());
            Ok(GymEnv {
                layout,
                worker: RefCell::new(worker),
                observations,
                actions: hello.actions()?,
                lives: 0,
                meanings: hello.meanings.clone(),
                frame: hello.frame,
            })
        };
        workers.into_iter().map(|(_, worker)| make(worker)).collect()
    }

    /// What each action means, where the environment has `get_action_meanings`, as the Arcade Learning Environment's
    /// have: `["NOOP", "FIRE", …]`.
    pub fn action_meanings(&self) -> Option<&[String]> {
        self.meanings.as_deref()
    }

    /// Checked before a command is sent: what is refused then leaves no reply behind.
    fn check_obs(&self, what: &str, obs: &[O::Elem]) -> Result<()> {
        check::len(what, self.observations.width(), obs.len())
    }

    /// With `before` the reply to a repeated step.
    fn receive(
        &mut self,
        kind: Kind,
        obs: &mut [O::Elem],
        before: Option<&mut [O::Elem]>,
    ) -> Result<Step> {
        let worker = self.worker.get_mut();
        let payload = worker.receive(kind, self.layout.max())?;
        let reply = match before {
            None => self.layout.split(payload),
            Some(before) => self.layout.split_repeated(payload).inspect(|reply| {
                O::read(reply.finals, before);
            }),
        };
        let step = reply.and_then(|reply| {
            O::read(reply.observations, obs);
            self.lives = reply.lives().next()?;
            Some(Step { reward: reply.rewards().next()?, end: reply.ends().next()? })
        });
        step.ok_or_else(|| worker.malformed())
    }
}

impl<O: GymObs, A: GymAction> Env for GymEnv<O, A> {
    type Obs = O;
    type Action = A;
    type State = ();

    fn observation_space(&self) -> O {
        self.observations.clone()
    }

    fn action_space(&self) -> A {
        self.actions.clone()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [O::Elem]) -> Result<()> {
        self.check_obs("observation", obs)?;
        let seed = draw_seed(rng);
        self.worker.get_mut().send(Kind::Reset, |payload| payload.extend(seed.to_ne_bytes()))?;
        self.receive(Kind::Reset, obs, None).map(drop)
    }

    fn step(&mut self, action: A::Value<'_>, _: &mut Rng, obs: &mut [O::Elem]) -> Result<Step> {
        self.check_obs("observation", obs)?;
        self.actions.check_value(&action)?;
        // No seed is needed: a reset is a message of its own.
        self.worker.get_mut().send(Kind::Step, |payload| {
            payload.extend([0; 8]);
            A::write_value(action, payload);
        })?;
        self.receive(Kind::Step, obs, None)
    }

    fn repeat(
        &mut self,
        action: A::Value<'_>,
        times: u32,
        _: &mut Rng,
        obs: &mut [O::Elem],
        before: &mut [O::Elem],
    ) -> Result<Step> {
        self.check_obs("observation", obs)?;
        self.check_obs("observation before", before)?;
        self.actions.check_value(&action)?;
        if times == 0 {
            return Ok(Step { reward: 0.0, end: None });
        }
        self.worker.get_mut().send_steps(times, Kind::Repeat, |payload| {
            payload.extend(u64::from(times).to_ne_bytes());
            A::write_value(action, payload);
        })?;
        self.receive(Kind::Repeat, obs, Some(before))
    }

    fn state(&self) -> Option<()> {
        None
    }

    fn set_state(&mut self, (): ()) -> Result<()> {
        Err(Error::Env("an environment of Gymnasium cannot be restored".to_owned()))
    }
}

impl<O: GymObs, A: GymAction> Lives for GymEnv<O, A> {
    fn lives(&self) -> u32 {
        self.lives
    }
}

impl<O: GymObs, A: GymAction> Render for GymEnv<O, A> {
    fn image_size(&self) -> [usize; 2] {
        self.frame.unwrap_or(NO_FRAME)
    }

    /// Draws the environment's own frame, stretched to the picture by its nearest pixels.
    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        if self.frame.is_none() {
            return Err(Error::config("render", "true, for an environment to be drawn", false));
        }
        let mut worker = self.worker.borrow_mut();
        worker.send(Kind::Render, |_| {})?;
        let reply = worker.receive(Kind::Render, 8 + 3 * Image::MAX_SIDE * Image::MAX_SIDE)?;
        if stretch(reply, image).is_none() {
            return Err(worker.malformed());
        }
        Ok(())
    }
}

/// Draws `[height, width]` and `[height, width, 3]` pixels, if the bytes are those.
fn stretch(reply: &[u8], image: &mut Image<'_>) -> Option<()> {
    let (height, rest) = reply.split_first_chunk()?;
    let (width, pixels) = rest.split_first_chunk()?;
    let [height, width] = [*height, *width].map(|x| u32::from_ne_bytes(x) as usize);
    let (to_height, to_width) = (image.height(), image.width());
    if height == 0 || width == 0 || height.checked_mul(width)?.checked_mul(3)? != pixels.len() {
        return None;
    }
    for (channel, plane) in image.planes().into_iter().enumerate() {
        for (y, row) in plane.chunks_exact_mut(to_width).enumerate() {
            let from = &pixels[y * height / to_height * width * 3..][..width * 3];
            for (x, to) in row.iter_mut().enumerate() {
                *to = from[x * width / to_width * 3 + channel];
            }
        }
    }
    Some(())
}
