//! Policies loaded for acting alone.

use crate::policy_description::VERSION;
use crate::{
    ActionMasks, Backend, Categorical, DiagGaussian, Distribution, Error, InputRows,
    ModuleDescription, Network, ObservationDescription, PolicyDescription, PolicyOutput, Result,
    SquashedGaussian, weights,
};
use rl_core::{
    BoxSpace, CheckpointDir, NORMALIZER_FILE, Normalizer, NormalizerState, POLICY_FILE, Rng, Seeds,
    Space, UnitBox, check, read_checkpoint_files,
};
use std::path::Path;

const WEIGHTS_FILE: &str = "policy.safetensors";
/// What acting needs of a checkpoint.
const WANTED: [&str; 3] = [POLICY_FILE, WEIGHTS_FILE, NORMALIZER_FILE];
/// An action.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// The index of one of several.
    Discrete(u32),
    /// Numbers within bounds, `[action width]`.
    Continuous(Vec<f32>),
}

/// Actions for several observations, one after another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Actions<'a> {
    /// The index of one of several, `[n]`.
    Discrete(&'a [u32]),
    /// Numbers within bounds, `[n, action width]`.
    Continuous(&'a [f32]),
}

/// A policy loaded from the folder of a run, for acting alone: without environments, agent or settings.
///
/// ```no_run
/// use rl_nets::{Action, TrainedPolicy};
/// let mut policy = TrainedPolicy::load("runs/ppo-CartPole-v1-seed0")?;
/// if let Action::Discrete(action) = policy.act(&[0.0, 0.1, 0.0, -0.1])? {
///     // Push to the left or to the right.
/// }
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Debug)]
pub struct TrainedPolicy {
    network: Network,
    observation: ObservationDescription,
    normalizers: Vec<Normalizer>,
    decoder: Decoder,
    /// How many numbers at the end of an observation are a mask that the network applies.
    masked: Option<usize>,
    rng: Rng,
    /// Scratch: normalised observations.
    seen: Vec<f32>,
    discrete: Vec<u32>,
    continuous: Vec<f32>,
}

#[derive(Debug)]
struct Decoder {
    output: PolicyOutput,
    /// The action space of continuous actions.
    space: Option<BoxSpace>,
    /// The map to their bounds, of policies in [-1, 1].
    unit: Option<UnitBox>,
    /// Scratch: values of each action; an action in [-1, 1]; noise.
    values: Vec<f32>,
    own: Vec<f32>,
    noise: Vec<f32>,
}

impl TrainedPolicy {
    /// Loads the newest policy of a run from its folder; or the policy in a folder of checkpoints, such as a run's `best`; or
    /// that of one checkpoint. Reads only what acting needs, and checks its checksums.
    ///
    /// # Errors
    /// [`rl_core::Error::Corrupt`] for a folder without such a policy, damaged files, and a description that does not fit
    /// them.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let wanted = |file: &str| WANTED.contains(&file);
        let (manifest, sections) = match folder.join("manifest.json").is_file() {
            true => read_checkpoint_files(folder, wanted)?,
            false => {
                let of_run = folder.join("checkpoints");
                let root = if of_run.is_dir() { of_run } else { folder.to_owned() };
                let checkpoints = CheckpointDir::new(&root);
                if checkpoints.is_empty()? {
                    let root = root.display().to_string();
                    return Err(rl_core::Error::corrupt(root, "no checkpoint").into());
                }
                let newest = checkpoints.read_latest_files(wanted)?;
                (newest.manifest, newest.sections)
            }
        };
        let Some(text) = sections.find(POLICY_FILE) else {
            let problem = format!(
                "its policy, of {}, is not described: only networks of this library's own layers are",
                manifest.algorithm.escape_debug()
            );
            return Err(rl_core::Error::corrupt(folder.display().to_string(), problem).into());
        };
        let description = read_json(POLICY_FILE, text)?;
        let wrapper = sections.find(NORMALIZER_FILE);
        let wrapper = wrapper.map(|text| read_json(NORMALIZER_FILE, text)).transpose()?;
        Self::new(&description, wrapper.as_ref(), sections.file(WEIGHTS_FILE)?)
    }

    /// A policy from its description, the state of a normaliser around its environments, and its parameters as a
    /// safetensors file.
    ///
    /// # Errors
    /// Those of [`load`](TrainedPolicy::load).
    pub fn new(
        description: &PolicyDescription,
        wrapper: Option<&NormalizerState>,
        parameters: &[u8],
    ) -> Result<Self> {
        let PolicyDescription { version, observation, normalizer, network, output, .. } =
            description;
        if *version != VERSION {
            let problem = format!("has version {version}; this library reads version {VERSION}");
            return Err(rl_core::Error::corrupt(POLICY_FILE, problem).into());
        }
        // There is less noise than there are parameters.
        let (noise, most) = (network.noise().saturating_mul(4) as u64, parameters.len() as u64);
        check::at_most("noise of the network", most, "bytes of its parameters", noise)?;
        let module = network.build()?;
        let names = &description.parameters;
        // Read before anything is allocated for them.
        let params = weights::read_named(module.layout(), names, parameters)?;
        check::len("policy's inputs", observation.width, module.input_len())?;
        let columns = module.output_len();
        match output {
            PolicyOutput::CategoricalValues { .. } | PolicyOutput::QuantileValues { .. } => {
                check::len("policy's outputs", output.columns(), columns)?;
            }
            _ => {
                check::at_least("policy's outputs", output.columns().max(1) as u64, columns as u64)?
            }
        }
        let normalized = normalizer.is_some() || wrapper.is_some();
        if normalized && observation.byte_range.is_some() {
            let got = "a normaliser";
            return Err(rl_core::Error::mismatch("policy of bytes", "no normaliser", got).into());
        }
        let mut rng = Seeds::new(0).stream("policy", 0);
        let mut network = Network::new(module, &Backend::cpu(), &mut rng)?;
        network = network.with_byte_range(observation.byte_range.unwrap_or(u8::MAX));
        network.set_params(&params)?;
        let normalizers = [wrapper, normalizer.as_ref()].into_iter().flatten();
        let normalizers = normalizers.map(|state| {
            let normalizer = Normalizer::from_state(state)?;
            check::len("normaliser", observation.width, normalizer.moments().width())?;
            Ok(normalizer)
        });
        Ok(TrainedPolicy {
            network,
            observation: observation.clone(),
            normalizers: normalizers.collect::<rl_core::Result<_>>()?,
            decoder: Decoder::new(output)?,
            masked: match &description.network {
                ModuleDescription::Masked { choices, .. } => Some(*choices),
                _ => None,
            },
            rng,
            seen: Vec::new(),
            discrete: Vec::new(),
            continuous: Vec::new(),
        })
    }

    /// Draws the random numbers of [`sample`](TrainedPolicy::sample) from this seed; 0 where it is not called.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = Seeds::new(seed).stream("policy", 0);
        self
    }

    /// Numbers in an observation.
    pub fn observation_width(&self) -> usize {
        self.observation.width
    }

    /// The greedy action for an observation, of `f32` or of bytes as the policy was trained on.
    ///
    /// # Errors
    /// An observation of another width or type; a NaN in the network's output.
    pub fn act<'a>(&mut self, observation: impl Into<InputRows<'a>>) -> Result<Action> {
        let observation = observation.into();
        check::len("observation", self.observation.width, observation.len())?;
        Ok(self.actions(observation, false)?.only())
    }

    /// An action drawn from the policy's distribution. Policies without one, as those of DQN and TD3, act greedily.
    ///
    /// # Errors
    /// Those of [`act`](TrainedPolicy::act).
    pub fn sample<'a>(&mut self, observation: impl Into<InputRows<'a>>) -> Result<Action> {
        let observation = observation.into();
        check::len("observation", self.observation.width, observation.len())?;
        Ok(self.actions(observation, true)?.only())
    }

    /// The greedy actions for several observations, `[n, width]`.
    ///
    /// # Errors
    /// Those of [`act`](TrainedPolicy::act).
    pub fn act_batch<'a>(&mut self, observations: impl Into<InputRows<'a>>) -> Result<Actions<'_>> {
        self.actions(observations.into(), false)
    }

    /// Actions drawn from the policy's distribution for several observations, `[n, width]`.
    ///
    /// # Errors
    /// Those of [`sample`](TrainedPolicy::sample).
    pub fn sample_batch<'a>(
        &mut self,
        observations: impl Into<InputRows<'a>>,
    ) -> Result<Actions<'_>> {
        self.actions(observations.into(), true)
    }

    fn actions(&mut self, rows: InputRows<'_>, sample: bool) -> Result<Actions<'_>> {
        let (bytes, width) = (self.observation.byte_range.is_some(), self.observation.width);
        let rows = match rows {
            InputRows::F32(numbers) if !bytes && !self.normalizers.is_empty() => {
                self.seen.clear();
                self.seen.extend_from_slice(numbers);
                check_width(width, numbers.len())?;
                self.normalizers.iter().for_each(|normalizer| normalizer.normalize(&mut self.seen));
                InputRows::F32(&self.seen)
            }
            InputRows::F32(_) if !bytes => rows,
            InputRows::U8(_) if bytes => rows,
            _ => {
                let (expected, got) = if bytes { ("u8", "f32") } else { ("f32", "u8") };
                return Err(rl_core::Error::mismatch("observations", expected, got).into());
            }
        };
        check_width(width, rows.len())?;
        if let Some(choices) = self.masked {
            ActionMasks::new(rows, width, choices)?;
        }
        let columns = self.network.output_len();
        let output = self.network.predict(rows)?;
        if let Some(bad) = output.iter().find(|x| !x.is_finite()) {
            let value = f64::from(*bad);
            return Err(Error::NotFinite { what: "the policy's output", value });
        }
        let rng = sample.then_some(&mut self.rng);
        let decoder = &mut self.decoder;
        match decoder.space.as_ref().map(Space::width) {
            None => {
                self.discrete.resize(output.len() / columns, 0);
                decoder.discrete((output, columns), (rows, width), rng, &mut self.discrete)?;
                Ok(Actions::Discrete(&self.discrete))
            }
            Some(action_width) => {
                self.continuous.resize(output.len() / columns * action_width, 0.0);
                decoder.continuous((output, columns), rng, &mut self.continuous);
                Ok(Actions::Continuous(&self.continuous))
            }
        }
    }
}

fn check_width(width: usize, len: usize) -> rl_core::Result<()> {
    if len > 0 && len.is_multiple_of(width) {
        return Ok(());
    }
    Err(rl_core::Error::mismatch("observations", format_args!("rows of {width} elements"), len))
}

fn read_json<T: serde::de::DeserializeOwned>(file: &str, text: &[u8]) -> rl_core::Result<T> {
    serde_json::from_slice(text).map_err(|e| rl_core::Error::corrupt(file, e))
}

impl Actions<'_> {
    fn only(self) -> Action {
        match self {
            Actions::Discrete(actions) => Action::Discrete(actions.first().copied().unwrap_or(0)),
            Actions::Continuous(action) => Action::Continuous(action.to_vec()),
        }
    }
}

impl Decoder {
    fn new(output: &PolicyOutput) -> Result<Self> {
        let (mut space, mut unit) = (None, None);
        match output {
            PolicyOutput::Gaussian { bounds } | PolicyOutput::Mean { bounds } => {
                space = Some(bounds.space()?);
            }
            PolicyOutput::SquashedGaussian { bounds } | PolicyOutput::Deterministic { bounds } => {
                let of = bounds.space()?;
                unit = Some(UnitBox::new(&of)?);
                space = Some(of);
            }
            PolicyOutput::CategoricalValues { actions, support, .. } => {
                check::at_least("actions", 1, *actions as u64)?;
                support.validate()?;
            }
            PolicyOutput::QuantileValues { actions, quantiles, .. } => {
                check::at_least("actions", 1, *actions as u64)?;
                check::at_least("quantiles", 1, *quantiles as u64)?;
            }
            PolicyOutput::ActionValues { actions, .. } | PolicyOutput::Categorical { actions } => {
                check::at_least("actions", 1, *actions as u64)?;
            }
        }
        let (values, own, noise) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Decoder { output: output.clone(), space, unit, values, own, noise })
    }

    fn discrete(
        &mut self,
        (output, columns): (&[f32], usize),
        (observations, width): (InputRows<'_>, usize),
        mut rng: Option<&mut Rng>,
        actions: &mut [u32],
    ) -> Result<()> {
        let values = &mut self.values;
        values.clear();
        let rows = output.chunks_exact(columns);
        let (n, masked) = match &self.output {
            PolicyOutput::Categorical { actions: n } => {
                let pi = Categorical::new(*n);
                for (row, action) in rows.zip(actions.chunks_exact_mut(1)) {
                    match &mut rng {
                        Some(rng) => pi.sample(&row[..*n], rng, action),
                        None => pi.mode(&row[..*n], action),
                    }
                }
                return Ok(());
            }
            PolicyOutput::CategoricalValues { actions: n, action_mask, support } => {
                values.extend(output.chunks_exact(support.atoms).map(|row| support.mean(row)));
                (*n, *action_mask)
            }
            PolicyOutput::QuantileValues { actions: n, action_mask, quantiles } => {
                let mean = |row: &[f32]| row.iter().sum::<f32>() / *quantiles as f32;
                values.extend(output.chunks_exact(*quantiles).map(mean));
                (*n, *action_mask)
            }
            PolicyOutput::ActionValues { actions: n, action_mask } => {
                rows.for_each(|row| values.extend_from_slice(&row[..*n]));
                (*n, *action_mask)
            }
            _ => return Ok(()),
        };
        if masked {
            ActionMasks::new(observations, width, n)?.forbid(values);
        }
        let greedy = Categorical::new(n);
        let rows = values.chunks_exact(n).zip(actions.chunks_exact_mut(1));
        rows.for_each(|(values, action)| greedy.mode(values, action));
        Ok(())
    }

    fn continuous(
        &mut self,
        (output, columns): (&[f32], usize),
        mut rng: Option<&mut Rng>,
        actions: &mut [f32],
    ) {
        let Decoder { output: kind, space: Some(space), unit, own, noise, .. } = self else {
            return;
        };
        let d = space.width();
        own.resize(d, 0.0);
        noise.resize(d, 0.0);
        for (row, action) in output.chunks_exact(columns).zip(actions.chunks_exact_mut(d)) {
            match kind {
                PolicyOutput::Gaussian { .. } => {
                    let pi = DiagGaussian::new(d);
                    match &mut rng {
                        Some(rng) => pi.sample(&row[..2 * d], rng, action),
                        None => pi.mode(&row[..2 * d], action),
                    }
                    space.clip(action);
                    continue;
                }
                PolicyOutput::Mean { .. } => {
                    action.copy_from_slice(&row[..d]);
                    space.clip(action);
                    continue;
                }
                PolicyOutput::SquashedGaussian { .. } => {
                    let pi = SquashedGaussian::new(d);
                    match &mut rng {
                        Some(rng) => {
                            pi.sample(&row[..2 * d], rng, noise, own);
                        }
                        None => pi.mode(&row[..2 * d], own),
                    }
                }
                _ => own.copy_from_slice(&row[..d]),
            }
            if let Some(unit) = unit {
                unit.to_bounds(own, action);
            }
        }
    }
}
