//! What holds of bytes from anywhere: they are a value or an error of one line, nothing panics, and no more memory is
//! taken than they account for. The fuzz targets beside this file try it, and on stable `mutated_state.rs` and
//! `hostile_bytes.rs` of `xtask/tests`.

use rl_core::run::RunConfig;
use rl_core::{
    Agent, AppendMask, Callback, CheckpointDir, Context, Env, Episode, Error, FrameStack, Manifest,
    Metrics, NormalizeObs, NormalizeReward, NormalizerState, Result, Rng, RunningMoments, Sections,
    Seeds, SerialVecEnv, Signal, Space, TimeLimit, Trainer, TrainerConfig, VecEnv, codec,
    read_checkpoint,
};
use rl_ddpg::{DdpgConfig, SacConfig, Td3Config, TqcConfig};
use rl_dqn::{DqnConfig, QLearningConfig};
use rl_envs::{
    AnyVecEnv, CartPole, Copies, MaskProbe, Pendulum, PixelProbe, make_tabular, registry,
};
use rl_nets::{AgentConfig, Backend, Linear, Network, PolicyDescription, TrainedPolicy};
use rl_pg::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    SimulatedAnnealingConfig,
};
use rl_ppo::{PpoConfig, PpoKlConfig, TrpoConfig};
use rl_replay::{Episodes, Rollout};
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeTuple, Serializer};
use std::collections::{BTreeMap, VecDeque};

/// Steps of the runs whose state is edited, and of each environment after it was loaded.
const STEPS: u64 = 120;
const ROUNDS: u64 = 40;

/// Decodes `size` bytes within a memory of `times` as much and 1 MiB.
fn within<T>(what: &str, (times, size): (usize, usize), decode: impl FnOnce() -> T) -> T {
    let mut value = None;
    let peak = allocation_counter::measure(|| value = Some(decode())).bytes_max;
    let most = (times * size + (1 << 20)) as u64;
    assert!(peak <= most, "{what}: {peak} bytes at once for {size} bytes, more than {most}");
    value.unwrap()
}

/// The value, if it is one; an error is of one line, and not of a panic that was caught.
fn value<T>(outcome: Result<T>) -> Option<T> {
    if let Err(error) = &outcome {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        assert!(!matches!(error, Error::EnvPanicked { .. }), "{text}");
    }
    outcome.ok()
}

/// Bytes that are encoded as they are.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// A payload with a right header.
fn sealed(payload: &[u8]) -> Vec<u8> {
    codec::encode(&Raw(payload)).unwrap()
}

/// Whatever lies in a file of the codec, with a right header and without.
pub fn codec(bytes: &[u8]) {
    fn of<T: DeserializeOwned>(bytes: &[u8]) {
        for file in [bytes, &sealed(bytes)] {
            let decode = || codec::decode::<T>("file.bin", file);
            value(within("codec", (2, file.len()), decode));
        }
    }
    of::<Vec<f32>>(bytes);
    of::<Vec<Vec<u8>>>(bytes);
    of::<(Vec<f32>, Option<String>, u64)>(bytes);
    of::<BTreeMap<String, (u64, u32)>>(bytes);
    of::<Rng>(bytes);
    of::<Metrics>(bytes);
    of::<RunningMoments>(bytes);
    of::<VecDeque<Episode>>(bytes);
    of::<Rollout<f32, u32>>(bytes);
    of::<Episodes<u8, f32>>(bytes);
}

/// A manifest of any text, or with a right checksum and any names, steps and lengths, beside a file of any content.
pub fn checkpoint(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(([kind, length, step], rest)) = bytes.split_first_chunk() else { return };
    let (text, content) = rest.split_at(rest.len().min((*length).into()));
    let manifest = if kind % 2 == 0 {
        text.to_vec()
    } else {
        let name = String::from_utf8_lossy(text).into_owned();
        let files = [(name, (content.len() as u64, crc32fast::hash(content)))];
        let manifest = Manifest {
            format_version: codec::FORMAT_VERSION,
            algorithm: "any".to_owned(),
            step: (*step).into(),
            files: files.into_iter().collect(),
        };
        let checksum = crc32fast::hash(&serde_json::to_vec(&manifest).unwrap());
        let mut text = serde_json::to_value(&manifest).unwrap();
        text["checksum"] = checksum.into();
        serde_json::to_vec(&text).unwrap()
    };
    std::fs::write(at.join("manifest.json"), &manifest).unwrap();
    std::fs::write(at.join("file.bin"), content).unwrap();
    // Text grows where it is parsed.
    let size = (20, manifest.len() + content.len());
    if let Some((manifest, sections)) = value(within("checkpoint", size, || read_checkpoint(at))) {
        // Nothing was read from elsewhere.
        let here = |file: &String| at.join(file).parent() == Some(at) && at.join(file).is_file();
        assert!(manifest.files.keys().all(here), "{manifest:?}");
        assert!(manifest.files.keys().all(|file| sections.find(file).is_some()));
    }
}

/// Parameters of a network from any bytes, and from an edited file.
pub fn weights(bytes: &[u8]) {
    let mut rng = Seeds::new(0).stream("init", 0);
    let network = || Network::new(Linear::new(3, 2).unwrap(), &Backend::cpu(), &mut rng.clone());
    let mut network = network().unwrap();
    let mut file = network.save().unwrap();
    bytes.as_chunks().0.iter().for_each(|one| edit(&mut file, *one));
    for file in [bytes, &file] {
        // The names of its tensors are parsed into a table.
        let loaded = within("weights", (20, file.len()), || network.load(file));
        if value(loaded.map_err(Error::from)).is_some() {
            assert!(network.params().unwrap().iter().all(|x| x.is_finite()));
        }
    }
    network.predict(&[0.0f32; 3][..]).unwrap();
    rng.normal();
}

/// A policy from `policy.json`, `normalizer.json` and its parameters; whether it is one.
pub fn policy(description: &[u8], normalizer: Option<&[u8]>, weights: &[u8]) -> bool {
    let size = description.len() + normalizer.map_or(0, <[u8]>::len) + weights.len();
    let loaded = within("policy", (50, size), || -> Option<TrainedPolicy> {
        let description: PolicyDescription = serde_json::from_slice(description).ok()?;
        let normalizer = normalizer.map(serde_json::from_slice::<NormalizerState>);
        let policy =
            TrainedPolicy::new(&description, normalizer.transpose().ok()?.as_ref(), weights);
        value(policy.map_err(Error::from))
    });
    let Some(mut policy) = loaded.filter(|policy| policy.observation_width() < 1 << 12) else {
        return false;
    };
    let width = policy.observation_width();
    // Activations take memory that is in no file: less than 2^26 numbers, of which there may be two copies.
    within("acting", (1, 1 << 30), || {
        value(policy.act(&vec![0.5f32; width][..]).map_err(Error::from));
        value(policy.sample(&vec![0.5f32; width][..]).map_err(Error::from));
        value(policy.act(&vec![1u8; width][..]).map_err(Error::from));
    });
    true
}

/// Settings of a run, and of each kind of algorithm, from any text.
pub fn settings(text: &str) {
    fn of<C: Default + serde::Serialize + DeserializeOwned>(
        run: &RunConfig,
        validate: impl Fn(&C) -> Result<()>,
    ) {
        if let Some(settings) = value(run.settings::<C>()) {
            value(validate(&settings));
        }
    }
    let size = (200, text.len());
    let Some(mut run) = within("settings", size, || value(RunConfig::parse("config.toml", text)))
    else {
        value(RunConfig::new("dqn", "CartPole-v1", 1).set(text));
        return;
    };
    value(run.validate());
    of(&run, DqnConfig::validate);
    of(&run, |settings: &PpoConfig| settings.validate(2));
    of(&run, SacConfig::validate);
    of(&run, |settings: &ReinforceConfig| settings.validate(2));
    value(run.set(text));
    value(run.to_toml());
}

/// Bytes of one edit: where it is made, what is done, and a number.
pub const EDIT: usize = 12;

const EXTREMES: [u64; 10] = [
    0,
    1,
    u64::MAX,
    1 << 63,
    (1 << 63) - 1,
    1 << 32,
    1 << 60,
    0x7ff0_0000_0000_0000, // infinity
    0x7ff8_0000_0000_0000, // NaN
    0x7fef_ffff_ffff_ffff, // the largest f64
];
const EXTREME_HALVES: [u32; 7] = [0, 1, u32::MAX, 1 << 31, 0x7f80_0000, 0x7fc0_0000, 0x7f7f_ffff];
const EXTREME_TEXTS: [&str; 10] =
    ["0", "1", "2", "-1", "1e300", "-1e-300", "67108864", "18446744073709551615", "0.5", "null"];

/// Overwrites as many bytes as there are.
fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    let end = bytes.len().min(at + new.len());
    let at = at.min(end);
    bytes[at..end].copy_from_slice(&new[..end - at]);
}

/// Makes one edit.
fn edit(bytes: &mut Vec<u8>, [_, kind, a, b, number @ ..]: [u8; EDIT]) {
    let at = usize::from(u16::from_le_bytes([a, b]));
    let number = u64::from_le_bytes(number);
    // Half of them where something is counted.
    let is_count = |at: &usize| {
        let number = bytes[*at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (1..1 << 20).contains(&number)
    };
    let counts: Vec<usize> = match kind & 128 {
        0 => Vec::new(),
        _ => (0..bytes.len()).filter(is_count).collect(),
    };
    let at = match counts.len() {
        0 => at % (bytes.len() + 1),
        n => counts[at % n],
    };
    let few = 1 + (number >> 56) as usize % 16;
    match kind % 10 {
        0 => put(bytes, at, &number.to_le_bytes()[..1]),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (number % 8)),
        2 => put(bytes, at, &EXTREMES[number as usize % EXTREMES.len()].to_le_bytes()),
        3 => put(bytes, at, &EXTREME_HALVES[number as usize % EXTREME_HALVES.len()].to_le_bytes()),
        4 => {
            let old = bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let new = old.wrapping_add_signed(i64::from(number as i8));
            put(bytes, at, &new.to_le_bytes());
        }
        5 => bytes.truncate(at),
        6 => drop(bytes.splice(at..at, number.to_le_bytes().into_iter().cycle().take(few))),
        7 => drop(bytes.drain(at..bytes.len().min(at + few))),
        8 => {
            let from = number as usize % (bytes.len() + 1);
            let copied = bytes[from..].iter().copied().take(8 * few).collect::<Vec<_>>();
            put(bytes, at, &copied);
        }
        // A number in a text.
        _ => {
            let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
            let begin = at + digit;
            let end = begin + bytes[begin..].iter().take_while(|byte| is_part(byte)).count();
            let text = EXTREME_TEXTS[number as usize % EXTREME_TEXTS.len()];
            bytes.splice(begin..end, text.bytes());
        }
    }
}

/// Makes one edit in a message of the codec, or in one of those inside of it, and the checksums right again.
fn edit_message(message: &[u8], one: [u8; EDIT]) -> Vec<u8> {
    let empty = codec::encode(&()).unwrap();
    let (magic, header) = (&empty[..8], empty.len());
    let mut payload = message[header..].to_vec();
    let mut inner = Vec::new();
    let mut at = 0;
    while let Some(found) = payload[at..].windows(header).position(|part| part.starts_with(magic)) {
        let start = at + found;
        let length = payload[start + 12..].first_chunk().map_or(0, |x| u64::from_le_bytes(*x));
        // An edit before may have damaged it.
        at = (start + header).saturating_add(length as usize);
        if at > payload.len() || start < 8 {
            break;
        }
        inner.push(start..at);
    }
    // Before a message inside lies its length.
    match (one[1] >> 4 & 7, inner.len()) {
        (1.., 1..) => {
            let range = inner[usize::from(one[0] >> 5) % inner.len()].clone();
            let new = edit_message(&payload[range.clone()], one);
            payload[range.start - 8..][..8].copy_from_slice(&(new.len() as u64).to_le_bytes());
            payload.splice(range, new);
        }
        _ => edit(&mut payload, one),
    }
    sealed(&payload)
}

/// The state of a short run, and what is made of it once it was edited.
pub struct Case {
    /// The algorithm or the environment.
    pub name: String,
    /// The files.
    sections: Sections,
    files: Vec<String>,
    resume: Box<dyn Fn(&Sections) -> bool + Send + Sync>,
}

impl Case {
    /// Edits the state by each 12 bytes of the input, and goes on from it if it is not refused; whether it was not.
    pub fn survives(&self, input: &[u8]) -> bool {
        let mut sections = self.sections.clone();
        for one in input.as_chunks::<EDIT>().0 {
            let file = self.file(one);
            let mut bytes = sections.file(file).unwrap().to_vec();
            // The parts of a replay memory are no messages of the codec.
            match file.ends_with(".bin") && !file.starts_with("replay-") {
                true => bytes = edit_message(&bytes, *one),
                false => edit(&mut bytes, *one),
            }
            sections.put_file(file, bytes);
        }
        (self.resume)(&sections)
    }

    /// The file that is edited.
    pub fn file(&self, edit: &[u8; EDIT]) -> &str {
        &self.files[usize::from(edit[0] & 31) % self.files.len()]
    }

    /// The policy of the run with an edited description and parameters, if it has one that is described.
    pub fn policy_survives(&self, input: &[u8]) -> bool {
        let find = |file| self.sections.find(file).map(<[u8]>::to_vec);
        let (Some(mut description), Some(mut weights)) =
            (find("policy.json"), find("policy.safetensors"))
        else {
            return false;
        };
        let mut normalizer = find("normalizer.json");
        for mut one in input.as_chunks::<EDIT>().0.iter().copied() {
            let file = match (one[0] % 8, &mut normalizer) {
                (0, _) => &mut weights,
                (1, Some(normalizer)) => normalizer,
                _ => &mut description,
            };
            // Seldom is a text with other edits than of its numbers one that can be parsed.
            one[1] = if one[0] < 192 { 9 } else { one[1] };
            edit(file, one);
        }
        policy(&description, normalizer.as_deref(), &weights)
    }
}

/// Stops a run, whatever it takes for its step.
struct Rounds(u64);

impl<V, A> Callback<V, A> for Rounds {
    fn after_round(&mut self, _: &mut Context<'_, V, A>) -> Result<Signal> {
        self.0 -= 1;
        Ok(if self.0 == 0 { Signal::Stop } else { Signal::Continue })
    }
}

fn trainer<V, C>(settings: &C, envs: V, rounds: u64) -> Trainer<V, C::Agent>
where
    V: VecEnv,
    C: AgentConfig<V::Obs, V::Action>,
{
    let agent = settings.build(&envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    let config = TrainerConfig { log_every: 10, ..TrainerConfig::new(10 * STEPS) };
    Trainer::new(envs, agent, config).unwrap().with_callback(Rounds(rounds))
}

/// A short run of an algorithm.
fn run<V, C>(name: &str, settings: &[&str], envs: fn() -> V) -> Case
where
    V: VecEnv + 'static,
    C: AgentConfig<V::Obs, V::Action> + Default + serde::Serialize + DeserializeOwned,
    C: Send + Sync + 'static,
{
    let mut config = RunConfig::new(name, "any", STEPS);
    settings.iter().for_each(|setting| config.set(setting).unwrap());
    let settings = config.settings::<C>().unwrap();
    let made = envs();
    let rounds = STEPS / made.batch().num_envs() as u64;
    let mut first = trainer(&settings, made, rounds);
    let mut untouched = Sections::default();
    first.agent().save(&mut untouched).unwrap();
    first.run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = CheckpointDir::new(folder.path())
        .write(first.agent().name(), first.step(), &first.sections().unwrap())
        .unwrap();
    let (manifest, sections) = read_checkpoint(&path).unwrap();
    let is_state = |file: &&String| file.ends_with(".bin") || file.ends_with(".safetensors");
    let files: Vec<String> = manifest.files.keys().filter(is_state).cloned().collect();
    let resume = {
        let files = files.clone();
        move |edited: &Sections| {
            let mut trainer = trainer(&settings, envs(), ROUNDS);
            let size = files.iter().filter_map(|file| edited.find(file)).map(<[u8]>::len).sum();
            let loaded = within("state", (2, size), || trainer.agent_mut().load(edited));
            if value(loaded).is_none() {
                let mut after = Sections::default();
                trainer.agent().save(&mut after).unwrap();
                assert_eq!(after.differences(&untouched), Vec::<String>::new(), "after an error");
                return false;
            }
            let resumed = within("run", (2, size), || trainer.resume(&manifest, edited));
            let accepted = value(resumed).is_some();
            if accepted {
                value(within("going on", (2, size), || trainer.run()));
                value(trainer.sections());
            }
            accepted
        }
    };
    let name = name.to_owned();
    Case { name, sections, files, resume: Box::new(resume) }
}

fn copies<E: Env>(limit: u32, make: impl Fn() -> Result<E>) -> SerialVecEnv<TimeLimit<E>> {
    let envs = (0..2).map(|_| TimeLimit::new(make().unwrap(), limit).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(0)).unwrap()
}

fn cart_pole() -> SerialVecEnv<TimeLimit<CartPole>> {
    copies(40, || Ok(CartPole::default()))
}

fn masked() -> SerialVecEnv<TimeLimit<AppendMask<MaskProbe>>> {
    copies(5, || AppendMask::new(MaskProbe::default()))
}

fn pendulum() -> SerialVecEnv<TimeLimit<Pendulum>> {
    copies(25, || Ok(Pendulum::default()))
}

/// The state of a run of each algorithm.
pub fn runs() -> Vec<Case> {
    const DQN: [&str; 5] = [
        "network.hidden=[8]",
        "buffer_size=80",
        "batch_size=8",
        "learning_starts=40",
        "target_update_interval=20",
    ];
    const ON_POLICY: [&str; 5] = [
        "network.actor.hidden=[8]",
        "network.critic.hidden=[8]",
        "n_steps=16",
        "batch_size=16",
        "n_epochs=2",
    ];
    const OFF_POLICY: [&str; 5] = [
        "actor.hidden=[8]",
        "critic.hidden=[8]",
        "buffer_size=80",
        "batch_size=8",
        "learning_starts=40",
    ];
    const BOTH: [&str; 2] = [ON_POLICY[0], ON_POLICY[1]];
    let dqn = |more: &[&'static str]| [&DQN, more].concat();
    let off_policy = |more: &[&'static str]| [&OFF_POLICY, more].concat();
    let search = |more: &[&'static str]| [&["network.hidden=[8]", "episodes=2"], more].concat();
    vec![
        run::<_, DqnConfig>("dqn", &DQN, cart_pole),
        run::<_, DqnConfig>("dqn, prioritised", &dqn(&["prioritized={}", "n_step=3"]), cart_pole),
        run::<_, DqnConfig>(
            "dqn, frames",
            &dqn(&["frame_stack=2", "prioritized={}", "n_step=3"]),
            || copies(5, || FrameStack::new(PixelProbe::default(), 2)),
        ),
        run::<_, DqnConfig>(
            "rainbow",
            &dqn(&[
                "prioritized={}",
                "n_step=3",
                "noisy=0.5",
                "dueling=true",
                "double_q=true",
                "head={kind=\"categorical\", v_min=0.0, v_max=20.0}",
            ]),
            cart_pole,
        ),
        run::<_, DqnConfig>("dqn, masked", &dqn(&["action_mask=true"]), masked),
        run::<_, QLearningConfig>("q-learning", &[], || {
            make_tabular("CliffWalking-v1", Copies::new(2, Seeds::new(0))).unwrap()
        }),
        run::<_, PpoConfig>("ppo", &ON_POLICY, cart_pole),
        run::<_, PpoConfig>("ppo, normalised", &ON_POLICY, || {
            NormalizeReward::new(NormalizeObs::new(pendulum(), 10.0).unwrap(), 0.99, 10.0).unwrap()
        }),
        run::<_, PpoConfig>(
            "ppo, masked",
            &[&ON_POLICY[..], &["network.action_mask=true"]].concat(),
            masked,
        ),
        run::<_, PpoKlConfig>("ppo-kl", &ON_POLICY, cart_pole),
        run::<_, TrpoConfig>("trpo", &ON_POLICY[..4], cart_pole),
        run::<_, A2cConfig>("a2c", &BOTH, cart_pole),
        run::<_, ReinforceConfig>("reinforce", &[&BOTH[..], &["episodes=2"]].concat(), cart_pole),
        run::<_, QActorCriticConfig>("q-actor-critic", &OFF_POLICY[..2], cart_pole),
        run::<_, HillClimbingConfig>("hill-climbing", &search(&["trials=2"]), cart_pole),
        run::<_, SimulatedAnnealingConfig>(
            "simulated-annealing",
            &search(&["trials=3"]),
            cart_pole,
        ),
        run::<_, EvolutionStrategiesConfig>(
            "evolution-strategies",
            &search(&["pairs=2"]),
            pendulum,
        ),
        run::<_, DdpgConfig>(
            "ddpg",
            &off_policy(&[
                "exploration={kind=\"ornstein_uhlenbeck\", std=0.5}",
                "normalize_observations=true",
            ]),
            pendulum,
        ),
        run::<_, Td3Config>("td3", &off_policy(&["n_step=3"]), pendulum),
        run::<_, SacConfig>("sac", &OFF_POLICY, pendulum),
        run::<_, TqcConfig>("tqc", &OFF_POLICY, pendulum),
    ]
}

/// Steps environments from saved bytes, with random actions.
fn play<V: VecEnv>(mut envs: V, saved: Option<&[u8]>, rounds: u64) -> Result<Vec<u8>>
where
    <V::Action as Space>::Elem: Default + Clone,
{
    let space = envs.action_space().clone();
    let mut actions = vec![Default::default(); envs.num_envs() * space.width()];
    let mut rng = Seeds::new(1).stream("actions", 0);
    match saved {
        None => envs.reset()?,
        Some(bytes) => within("environments", (2, bytes.len()), || envs.load(bytes))?,
    }
    for _ in 0..rounds {
        actions.chunks_exact_mut(space.width()).for_each(|row| space.sample(&mut rng, row));
        envs.step(&actions)?;
    }
    envs.save()
}

fn play_any(envs: AnyVecEnv, saved: Option<&[u8]>, rounds: u64) -> Result<Vec<u8>> {
    match envs {
        AnyVecEnv::Discrete(envs) => play(envs, saved, rounds),
        AnyVecEnv::Continuous(envs) => play(envs, saved, rounds),
        AnyVecEnv::Tabular(envs) => play(envs, saved, rounds),
        AnyVecEnv::Pixels(envs) => play(envs, saved, rounds),
        AnyVecEnv::PixelsContinuous(envs) => play(envs, saved, rounds),
    }
}

/// The state of each registered environment.
pub fn environments() -> Vec<Case> {
    let case = |spec: &'static rl_envs::Spec| {
        let make = || spec.make(Copies::new(2, Seeds::new(0))).unwrap();
        let mut sections = Sections::default();
        sections.put_file("envs.bin", play_any(make(), None, ROUNDS).unwrap());
        let resume = move |edited: &Sections| {
            value(play_any(make(), Some(edited.file("envs.bin").unwrap()), ROUNDS)).is_some()
        };
        let files = vec!["envs.bin".to_owned()];
        Case { name: spec.id.to_string(), sections, files, resume: Box::new(resume) }
    };
    registry().iter().map(case).collect()
}
