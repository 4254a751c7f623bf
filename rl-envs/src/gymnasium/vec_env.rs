//! Environments stepped together.

use super::config::GymConfig;
use super::connection::Connection;
use super::draw_seed;
use super::protocol::{Kind, Layout, NO_SEED};
use super::spaces::{GymAction, GymObs};
use super::worker::Worker;
use rl_core::{
    BadNumbers, Episode, Metrics, Result, Rng, Seeds, Space, Step, StepBatch, VecEnv, check, codec,
};
use std::collections::BTreeSet;
use std::ops::Range;

/// Gymnasium environments on any number of worker processes, each of which steps its share one after another: one
/// message to each worker a step, all sent before any reply is awaited.
///
/// Observations are
/// - of a `Box`: numbers, rounded to `f32`; bytes where the space has them. A box of three dimensions whose last is smaller
///   than its first is taken for an image with its channels last, and shown as convolutions expect it,
///   `[channels, height, width]`; an image of bytes `[height, width]` is shown as `[1, height, width]`. A dimension whose
///   bounds are equal has none here;
/// - of a `Discrete`: the state's number from zero on, or one-hot ([`GymConfig::one_hot`]);
/// - of `MultiBinary`, `MultiDiscrete`, and of a `Dict` or `Tuple` of all these: numbers in a row, as
///   `gymnasium.spaces.utils.flatten` has them: the parts in the space's order (Gymnasium sorts the keys of a `Dict` that
///   was made of a `dict`), `Discrete` parts one-hot.
///
/// Actions are `Discrete`, from zero on whatever the space starts at, or a `Box` of floating-point numbers, flat.
///
/// Every reset, the automatic ones too, passes a seed (`reset(seed=…)`) that is drawn from the environment's own stream of
/// `seeds`. An episode is thus a function of that stream alone, and evaluations repeat.
///
/// An episode that is both terminated and truncated counts as terminated. Time limits are Gymnasium's own. Numbers and
/// truths in the last `info` of an episode are recorded as the metrics `info/NAME`, averaged over episodes: the first 256 names.
/// Where there are more, there is a metric `info_left_out`.
///
/// Where a step is skipped ([`BadNumbers::Skip`]), that environment alone is reset; the `info` of its episode is not recorded.
///
/// The environments cannot be saved. A loaded state holds the random generators, from which new episodes begin.
///
/// ```no_run
/// use rl_core::{BoxSpace, Discrete, Seeds, VecEnv};
/// use rl_envs::{GymConfig, GymVecEnv};
/// let config = GymConfig::parse("LunarLander-v3?gravity=-8.0")?;
/// let mut envs = GymVecEnv::<BoxSpace, Discrete>::new(&config, 8, 2, Seeds::new(0))?;
/// envs.reset()?;
/// envs.step(&[0; 8])?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct GymVecEnv<O: Space, A> {
    parts: Vec<Part>,
    slots: Vec<Slot>,
    observations: O,
    actions: A,
    batch: StepBatch<O::Elem>,
    /// What was said of the episodes that the last step finished.
    measured: Vec<(String, f64)>,
    /// The names of what was said so far.
    names: BTreeSet<String>,
    bad_numbers: BadNumbers,
    /// The environments whose episode the last step cut off at a bad number. Their workers do not know of it.
    cut: Vec<usize>,
}

/// Names of `info` that are recorded: each is a column of the metrics for the rest of the run.
const MAX_NAMES: usize = 256;

/// The metric that says that there were more.
const LEFT_OUT: &str = "info_left_out";

#[derive(Debug)]
struct Part {
    worker: Worker,
    envs: Range<usize>,
    layout: Layout,
}

/// What is kept of one environment.
#[derive(Debug)]
struct Slot {
    rng: Rng,
    /// The seed of the next reset, and the generator once that was drawn. Each step carries the seed, and draws it only
    /// where it resets the environment.
    seed: u64,
    drawn: Rng,
    episode_return: f64,
    length: u64,
}

impl Slot {
    fn new(rng: Rng) -> Self {
        let mut drawn = rng.clone();
        Slot { seed: draw_seed(&mut drawn), rng, drawn, episode_return: 0.0, length: 0 }
    }

    /// The environment was reset with the seed.
    fn was_reset(&mut self) {
        *self = Slot::new(self.drawn.clone());
    }
}

impl<O: GymObs, A: GymAction> GymVecEnv<O, A> {
    /// Starts `envs` environments on at most `workers` workers; they use the streams `("env", 0)`, `("env", 1)`, … of
    /// `seeds`.
    ///
    /// # Errors
    /// [`Error::Config`](rl_core::Error::Config) without environments or workers; [`Error::Env`](rl_core::Error::Env)
    /// if Python, the package `gymnasium` or the environment is missing or fails;
    /// [`Error::Mismatch`](rl_core::Error::Mismatch) for another kind of observations or actions.
    pub fn new(config: &GymConfig, envs: usize, workers: usize, seeds: Seeds) -> Result<Self> {
        Self::of(Connection::open(config, envs, workers, true)?, seeds)
    }

    /// The environments of workers that reset them by themselves.
    pub(crate) fn of(connection: Connection, seeds: Seeds) -> Result<Self> {
        let Connection { workers, hello } = connection;
        let (observations, actions): (O, A) = (hello.observations()?, hello.actions()?);
        let part = |(envs, worker): (Range<usize>, Worker)| {
            let layout = Connection::layout(&observations, envs.len());
            worker.make_room(layout.longest_rows());
            Part { worker, envs, layout }
        };
        let parts: Vec<Part> = workers.into_iter().map(part).collect();
        let envs = parts.last().map_or(0, |part| part.envs.end);
        StepBatch::check(envs, &observations)?;
        let slots = (0..envs).map(|i| Slot::new(seeds.stream("env", i as u64))).collect();
        let batch = StepBatch::new(envs, observations.width());
        Ok(GymVecEnv {
            parts,
            slots,
            observations,
            actions,
            batch,
            measured: Vec::new(),
            names: BTreeSet::new(),
            bad_numbers: BadNumbers::default(),
            cut: Vec::new(),
        })
    }

    /// Writes the seeds of a part's environments.
    fn write_seeds(slots: &[Slot], payload: &mut Vec<u8>) {
        slots.iter().for_each(|slot| payload.extend(slot.seed.to_ne_bytes()));
    }

    /// Reads the replies of all parts, after an error too, so that none stays unread.
    fn collect(&mut self, kind: Kind) -> Result<()> {
        let GymVecEnv {
            parts, slots, observations, batch, measured, names, bad_numbers, cut, ..
        } = self;
        let (width, rows, bad_numbers) = (observations.width(), batch.rows_mut(), *bad_numbers);
        let mut outcome = Ok(());
        for Part { worker, envs, layout } in parts {
            let reply = match worker.receive(kind, layout.max()) {
                Ok(reply) => reply,
                Err(error) => {
                    outcome = outcome.and(Err(error));
                    continue;
                }
            };
            let Some(reply) = layout.split(reply) else {
                outcome = outcome.and(Err(worker.malformed()));
                continue;
            };
            let wide = envs.start * width..envs.end * width;
            O::read(reply.observations, &mut rows.observations[wide]);
            if kind == Kind::Reset {
                continue;
            }
            let mut finals = reply.finals.chunks_exact(width * O::BYTES);
            let each = envs.clone().zip(reply.rewards().zip(reply.ends()));
            for (i, (reward, end)) in each {
                let row = i * width..(i + 1) * width;
                if let Some(last) = end.and_then(|_| finals.next()) {
                    O::read(last, &mut rows.finals[row.clone()]);
                }
                // Where the episode ended, the row of observations is already the next one's first.
                let (shown, last) =
                    (&mut rows.observations[row.clone()], &mut rows.finals[row.clone()]);
                let mut step = Step { reward, end };
                let led_to = if end.is_some() { &mut *last } else { &mut *shown };
                let mut bad = bad_numbers.mend(&mut step, led_to, &rows.previous[row]);
                if end.is_some() {
                    bad |= bad_numbers.mend_first(shown);
                } else if step.end.is_some() {
                    last.copy_from_slice(shown);
                    cut.push(i);
                }
                *rows.bad_steps += u64::from(bad);
                (rows.rewards[i], rows.ends[i]) = (step.reward, step.end);
                let slot = &mut slots[i];
                slot.episode_return += f64::from(step.reward);
                slot.length += 1;
                if step.end.is_some() {
                    let Slot { episode_return, length, .. } = *slot;
                    rows.episodes.push(Episode { env: i, episode_return, length });
                }
                if end.is_some() {
                    slot.was_reset();
                }
            }
            for (name, value) in reply.measured() {
                let has_room = names.len() < MAX_NAMES;
                if names.contains(name) || has_room && names.insert(name.to_owned()) {
                    measured.push((format!("info/{name}"), value));
                } else {
                    measured.push((LEFT_OUT.to_owned(), 1.0));
                }
            }
        }
        outcome
    }

    /// Resets the environments whose episode was cut off, each with its next seed; the others of their workers go on.
    fn reset_cut(&mut self) -> Result<()> {
        let GymVecEnv { parts, slots, observations, batch, cut, .. } = self;
        let (width, rows) = (observations.width(), batch.rows_mut());
        for Part { worker, envs, layout } in parts {
            let own = || cut.iter().filter(|i| envs.contains(i));
            if own().next().is_none() {
                continue;
            }
            worker.send(Kind::Reset, |payload| {
                let seed = |i| if cut.contains(&i) { slots[i].seed } else { NO_SEED };
                envs.clone().for_each(|i| payload.extend(seed(i).to_ne_bytes()));
            })?;
            let Some(reply) = layout.split(worker.receive(Kind::Reset, layout.max())?) else {
                return Err(worker.malformed());
            };
            for &i in own() {
                let row = &reply.observations[(i - envs.start) * width * O::BYTES..];
                O::read(&row[..width * O::BYTES], &mut rows.observations[i * width..][..width]);
                slots[i].was_reset();
            }
        }
        cut.clear();
        Ok(())
    }
}

impl<O: GymObs, A: GymAction> VecEnv for GymVecEnv<O, A> {
    type Obs = O;
    type Action = A;

    fn observation_space(&self) -> &O {
        &self.observations
    }

    fn action_space(&self) -> &A {
        &self.actions
    }

    fn batch(&self) -> &StepBatch<O::Elem> {
        &self.batch
    }

    fn reset(&mut self) -> Result<()> {
        self.batch.begin_episodes();
        self.measured.clear();
        for Part { worker, envs, .. } in &mut self.parts {
            let slots = &self.slots[envs.clone()];
            worker.send(Kind::Reset, |payload| Self::write_seeds(slots, payload))?;
        }
        self.slots.iter_mut().for_each(Slot::was_reset);
        self.collect(Kind::Reset)?;
        self.batch.mend_first(self.bad_numbers);
        Ok(())
    }

    fn step(&mut self, actions: &[A::Elem]) -> Result<()> {
        let width = self.actions.width();
        check::len("actions", self.slots.len() * width, actions.len())?;
        self.batch.check_begun()?;
        actions.chunks_exact(width).try_for_each(|row| self.actions.check_value(&A::value(row)))?;
        for Part { worker, envs, .. } in &mut self.parts {
            let slots = &self.slots[envs.clone()];
            let actions = &actions[envs.start * width..envs.end * width];
            worker.send(Kind::Step, |payload| {
                Self::write_seeds(slots, payload);
                A::write(actions, payload);
            })?;
        }
        self.batch.begin_step();
        self.measured.clear();
        self.cut.clear();
        self.collect(Kind::Step)?;
        self.reset_cut()
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        for (i, slot) in self.slots.iter_mut().enumerate() {
            let rng = seeds.stream("env", i as u64);
            let Slot { episode_return, length, .. } = *slot;
            *slot = Slot { episode_return, length, ..Slot::new(rng) };
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        let rngs: Vec<&Rng> = self.slots.iter().map(|slot| &slot.rng).collect();
        codec::encode(&rngs)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let rngs: Vec<Rng> = codec::decode("environment state", bytes)?;
        check::len("saved environments", self.slots.len(), rngs.len())?;
        self.slots = rngs.into_iter().map(Slot::new).collect();
        self.reset()
    }

    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        self.bad_numbers = bad_numbers;
        Ok(())
    }

    fn resumes_exactly(&self) -> bool {
        false
    }

    fn record(&self, metrics: &mut Metrics) {
        for (name, value) in &self.measured {
            metrics.record(name.clone(), *value);
        }
    }
}

impl<O: Space, A> Drop for GymVecEnv<O, A> {
    fn drop(&mut self) {
        self.parts.iter_mut().for_each(|part| part.worker.dismiss());
    }
}
