//! Experience replay: a store and a sampler.

use crate::blocks::HEAD;
use crate::{Batch, Error, Horizon, Result, Rows, Sampler, Store, Uniform};
use rl_core::{Element, Rng, Sections, Transitions, check};

/// Experience replay: what is kept is a [`Store`]'s matter, what is drawn a [`Sampler`]'s. `T` is what observations are
/// made of (u8 images stay u8), `A` what actions are made of.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Seeds, SerialVecEnv, VecEnv};
/// use rl_replay::{Batch, Horizon, Replay};
/// let mut envs = SerialVecEnv::new(vec![Sign::default(), Sign::default()], Seeds::new(0))?;
/// let mut replay: Replay<f32, u32> = Replay::uniform(1_000, 2, 1, 1)?;
/// envs.reset()?;
/// envs.step(&[0, 1])?;
/// replay.push(&envs.batch().transitions(&[0, 1]))?;
/// let mut batch = Batch::new(32, 1, 1)?;
/// let mut rng = Seeds::new(0).stream("replay", 0);
/// replay.sample(&mut rng, 0.0, Horizon { n_step: 1, gamma: 0.99 }, &mut batch)?;
/// assert_eq!(batch.observations().len(), 32);
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// Transitions of one's own making (offline data, demonstrations) go in by
/// [`StepBatch::of_transitions`](rl_core::StepBatch::of_transitions).
#[derive(Debug)]
pub struct Replay<T, A> {
    store: Box<dyn Store<T, A>>,
    sampler: Box<dyn Sampler>,
    /// Whether the newest transitions are of foreign origin.
    foreign: bool,
}

/// What a sampler has of its own, beside the store's files.
const SAMPLER: &str = "sampler.bin";
/// Whether the newest transitions are of foreign origin.
const ORIGIN: &str = "replay_origin";

impl<T: Element, A: Element> Replay<T, A> {
    /// A memory of a store, which is empty, and a sampler.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a sampler of fewer places than the store has.
    pub fn new(store: Box<dyn Store<T, A>>, sampler: Box<dyn Sampler>) -> Result<Self> {
        let (needed, places) = (store.capacity(), sampler.places());
        if let Some(places) = places.filter(|places| *places < needed) {
            let expected = format_args!("as many as the store's ({needed}) or more");
            return Err(rl_core::Error::config("places of the sampler", expected, places).into());
        }
        Ok(Replay { store, sampler, foreign: false })
    }

    /// Whole transitions, drawn uniformly, see [`Rows::new`].
    ///
    /// # Errors
    /// Those of [`Rows::new`].
    pub fn uniform(
        capacity: usize,
        envs: usize,
        width: usize,
        action_width: usize,
    ) -> Result<Self> {
        let rows = Rows::new(capacity, envs, width, action_width)?;
        Replay::new(Box::new(rows), Box::new(Uniform))
    }

    /// Transitions stored.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Transitions that there is room for.
    pub fn capacity(&self) -> usize {
        self.store.capacity()
    }

    /// Stores one step of every environment over the oldest one.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of environments or other widths; nothing is then changed.
    pub fn push(&mut self, transitions: &Transitions<'_, T, A>) -> Result<()> {
        self.put(transitions, false)
    }

    /// Stores transitions that the run's environments did not make (offline data, demonstrations), as many as there are
    /// environments. No n-step return runs from these into those of [`push`](Replay::push), nor the other way.
    ///
    /// # Errors
    /// Those of [`push`](Replay::push).
    pub fn push_foreign(&mut self, transitions: &Transitions<'_, T, A>) -> Result<()> {
        self.put(transitions, true)
    }

    fn put(&mut self, transitions: &Transitions<'_, T, A>, foreign: bool) -> Result<()> {
        let places = match self.foreign == foreign {
            true => self.store.push(transitions)?,
            false => self.store.push_apart(transitions)?,
        };
        self.foreign = foreign;
        self.sampler.added(places);
        Ok(())
    }

    /// Fills `batch` with transitions that the sampler draws, see [`Store::read`]. `fraction` is the share of the run
    /// that is over.
    ///
    /// # Errors
    /// [`Error::Empty`] where nothing is stored; [`rl_core::Error::Mismatch`] for a batch of other widths;
    /// [`rl_core::Error::Config`] for a horizon of no steps or a discount that is none.
    pub fn sample(
        &mut self,
        rng: &mut Rng,
        fraction: f64,
        horizon: Horizon,
        batch: &mut Batch<T, A>,
    ) -> Result<()> {
        if self.is_empty() {
            return Err(Error::Empty);
        }
        check::at_least("n_step", 1, horizon.n_step as u64)?;
        check::fraction("gamma", horizon.gamma)?;
        let (width, action_width) = self.store.widths();
        batch.check_widths(width, action_width)?;
        let Batch { indices, weights, .. } = batch;
        self.sampler.sample(self.store.len(), fraction, rng, indices, weights);
        for slot in 0..batch.len() {
            self.store.read(batch.indices[slot], horizon, batch, slot);
        }
        Ok(())
    }

    /// Tells the sampler how wrong the predictions for a sampled batch were, `[n]`; before anything else is stored, which
    /// may take the place of a row of the batch.
    ///
    /// # Errors
    /// Those of [`Sampler::update`].
    pub fn update(&mut self, batch: &Batch<T, A>, errors: &[f32]) -> Result<()> {
        rl_core::check::len("errors", batch.len(), errors.len())?;
        self.sampler.update(batch.indices(), errors)
    }

    /// Writes the memory, see [`Store::save`], unless it is [left out](Sections::without_replay), the origin of its newest transitions as `replay_origin.bin`, and what the
    /// sampler has of its own as `sampler.bin`.
    ///
    /// # Errors
    /// Where they cannot be encoded.
    pub fn save(&self, out: &mut Sections) -> Result<()> {
        if out.wants_replay() {
            self.store.save(out)?;
        }
        out.put(ORIGIN, &self.foreign)?;
        let sampler = self.sampler.save()?;
        if !sampler.is_empty() {
            out.put_file(SAMPLER, sampler);
        }
        Ok(())
    }

    /// A memory of this one's shape with what [`save`](Replay::save) wrote; an empty one where that was left out.
    ///
    /// # Errors
    /// Those of [`Store::loaded`] and [`Sampler::loaded`].
    pub fn loaded(&self, from: &Sections) -> Result<Self> {
        if from.find(HEAD).is_none() {
            return Replay::new(self.store.empty()?, self.sampler.empty());
        }
        let store = self.store.loaded(from)?;
        let sampler = self.sampler.loaded(from.find(SAMPLER).unwrap_or_default(), store.len())?;
        Ok(Replay { store, sampler, foreign: from.get(ORIGIN)? })
    }
}
