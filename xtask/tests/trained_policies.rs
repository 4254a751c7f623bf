//! A policy loaded from a folder alone acts as its agent does, bit for bit, whatever the algorithm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, AppendMask, BoxSpace, CheckpointDir, Discrete, Element, Env, NormalizeObs,
    NormalizeReward, Policy, Sections, Seeds, SerialVecEnv, Space, TimeLimit, Trainer,
    TrainerConfig, VecEnv, evaluate,
};
use rl_ddpg::{DdpgConfig, SacConfig, Td3Config, TqcConfig};
use rl_dqn::{DqnConfig, HeadConfig};
use rl_envs::{Breakout, CartPole, MaskProbe, MinAtar, Pendulum};
use rl_nets::{
    Action, ActorCriticConfig, AgentConfig, Backend, ConvConfig, NetworkConfig, RowElement,
    TrainedPolicy,
};
use rl_pg::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
};
use rl_ppo::{PpoConfig, PpoKlConfig, TrpoConfig};
use std::marker::PhantomData;
use std::path::Path;

/// A loaded policy where an agent's is expected.
struct Loaded<O, A>(TrainedPolicy, PhantomData<(O, A)>);

trait FromAction: Element {
    fn put(action: Action, to: &mut [Self]);
}

impl FromAction for u32 {
    fn put(action: Action, to: &mut [u32]) {
        let Action::Discrete(action) = action else { panic!("discrete actions") };
        to.copy_from_slice(&[action]);
    }
}

impl FromAction for f32 {
    fn put(action: Action, to: &mut [f32]) {
        let Action::Continuous(action) = action else { panic!("continuous actions") };
        to.copy_from_slice(&action);
    }
}

impl<O: Space<Elem: RowElement>, A: Space<Elem: FromAction>> Policy for Loaded<O, A> {
    type Obs = O;
    type Action = A;

    fn act_greedily(&mut self, rows: &[O::Elem], actions: &mut [A::Elem]) -> rl_core::Result<()> {
        let width = self.0.observation_width();
        let n = rows.len() / width;
        let action_width = actions.len() / n;
        for (row, to) in rows.chunks_exact(width).zip(actions.chunks_exact_mut(action_width)) {
            A::Elem::put(self.0.act(row)?, to);
        }
        Ok(())
    }
}

fn copies<E: Env>(n: usize, seed: u64, make: impl Fn() -> E) -> SerialVecEnv<TimeLimit<E>> {
    let envs = (0..n).map(|_| TimeLimit::new(make(), 50).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(seed)).unwrap()
}

/// Trains for a while in `envs`, saves, and compares returns in `seen`, made as the agent sees environments, with those of
/// the loaded policy in `raw`.
fn acts_alike<V, W, C>(config: C, envs: V, mut seen: V, mut raw: W)
where
    V: VecEnv<Obs: Space<Elem: RowElement>, Action: Space<Elem: FromAction>> + 'static,
    W: VecEnv<Obs = V::Obs, Action = V::Action>,
    C: AgentConfig<V::Obs, V::Action>,
{
    let agent = config.build(&envs, &Backend::cpu(), Seeds::new(1)).unwrap();
    let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(600)).unwrap();
    trainer.run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = trainer.agent().name();
    let sections = trainer.sections().unwrap();
    CheckpointDir::new(folder.path()).write(name, 600, &sections).unwrap();

    seen.set_moments(&trainer.envs().moments()).unwrap();
    let of_agent = evaluate(trainer.agent_mut(), &mut seen, 6).unwrap();
    let loaded = TrainedPolicy::load(folder.path()).unwrap();
    let mut loaded = Loaded::<V::Obs, V::Action>(loaded, PhantomData);
    let of_loaded = evaluate(&mut loaded, &mut raw, 6).unwrap();
    assert_eq!(of_agent, of_loaded, "{name}");
}

fn discrete(config: impl AgentConfig<BoxSpace, Discrete>) {
    let make = |seed| copies(2, seed, CartPole::default);
    acts_alike(config, make(0), make(7), make(7));
}

fn continuous(config: impl AgentConfig<BoxSpace, BoxSpace>) {
    let make = |seed| copies(2, seed, Pendulum::default);
    acts_alike(config, make(0), make(7), make(7));
}

fn small_dqn() -> DqnConfig {
    DqnConfig { learning_starts: 64, buffer_size: 500, ..DqnConfig::default() }
}

#[test]
fn value_based_policies() {
    discrete(small_dqn());
    let rainbow = DqnConfig { learning_starts: 64, buffer_size: 500, ..DqnConfig::rainbow() };
    discrete(rainbow);
    let head = HeadConfig::Quantile { quantiles: 7, kappa: 1.0 };
    discrete(DqnConfig { head, dueling: true, output_hidden: vec![8], ..small_dqn() });
    let mut norm = small_dqn();
    norm.network.layer_norm = true;
    discrete(norm);
}

#[test]
fn policies_of_policy_gradients() {
    let ppo = || PpoConfig { n_steps: 64, ..PpoConfig::default() };
    discrete(ppo());
    continuous(ppo());
    let kl = || PpoKlConfig { n_steps: 64, ..PpoKlConfig::default() };
    discrete(kl());
    let trpo = || TrpoConfig { n_steps: 64, ..TrpoConfig::default() };
    continuous(trpo());
    discrete(A2cConfig::default());
    continuous(A2cConfig::default());
    discrete(ReinforceConfig { episodes: 2, ..ReinforceConfig::default() });
    discrete(QActorCriticConfig::default());
    discrete(HillClimbingConfig::default());
    continuous(HillClimbingConfig::default());
    continuous(EvolutionStrategiesConfig { episodes: 2, ..EvolutionStrategiesConfig::default() });
    // Of one trunk for both, and with standard deviations that depend on the state.
    let mut shared = ppo();
    shared.network.trunk = Some(NetworkConfig::mlp(&[16]));
    discrete(shared);
    let mut of_state = ppo();
    of_state.network.log_std = rl_nets::LogStd::OfState;
    continuous(of_state);
}

#[test]
fn policies_in_the_unit_box() {
    let small = || NetworkConfig::mlp(&[16]);
    continuous(DdpgConfig {
        actor: small(),
        critic: small(),
        normalize_observations: true,
        ..DdpgConfig::default()
    });
    continuous(Td3Config { actor: small(), critic: small(), ..Td3Config::default() });
    continuous(SacConfig {
        actor: small(),
        critic: small(),
        normalize_observations: true,
        ..SacConfig::default()
    });
    continuous(TqcConfig { actor: small(), critic: small(), ..TqcConfig::default() });
}

/// The loaded policy is given what the environment shows, without a wrapper.
#[test]
fn policies_behind_normalisers() {
    let wrapped = |seed, frozen: bool| {
        let envs = NormalizeObs::new(copies(2, seed, Pendulum::default), 10.0).unwrap();
        let envs = if frozen { envs.frozen() } else { envs };
        NormalizeReward::new(envs, 0.99, 10.0).unwrap()
    };
    let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
    acts_alike(config, wrapped(0, false), wrapped(7, true), copies(2, 7, Pendulum::default));
}

#[test]
fn policies_with_masks() {
    let make = |seed| copies(2, seed, || AppendMask::new(MaskProbe::default()).unwrap());
    acts_alike(DqnConfig { action_mask: true, ..small_dqn() }, make(0), make(7), make(7));
    let network = ActorCriticConfig { action_mask: true, ..ActorCriticConfig::default() };
    let config = PpoConfig { n_steps: 64, network, ..PpoConfig::default() };
    acts_alike(config, make(0), make(7), make(7));
}

#[test]
fn policies_of_images() {
    let make = |seed| copies(2, seed, MinAtar::<Breakout>::default);
    let conv = ConvConfig { channels: 4, kernel: 3, stride: 1, padding: 0 };
    let network = NetworkConfig { conv: vec![conv], ..NetworkConfig::mlp(&[16]) };
    let config = DqnConfig { network: network.clone(), ..small_dqn() };
    acts_alike(config, make(0), make(7), make(7));
    let mut config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
    config.network.trunk = Some(network);
    acts_alike(config, make(0), make(7), make(7));
}

#[test]
fn samples_follow_their_seed() {
    let envs = copies(2, 0, CartPole::default);
    let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
    let agent = config.build(&envs, &Backend::cpu(), Seeds::new(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save(&agent, &envs, folder.path());
    let draws = |seed| {
        let mut policy = TrainedPolicy::load(folder.path()).unwrap().with_seed(seed);
        (0..64).map(|_| policy.sample(&[0.0; 4]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    // The new policy is all but indifferent.
    let right = draws(3).iter().filter(|action| **action == Action::Discrete(1)).count();
    assert!((16..48).contains(&right), "{right}");
}

fn save<A, V>(agent: &A, envs: &V, folder: &Path)
where
    A: Agent,
    V: VecEnv,
{
    let mut sections = Sections::default();
    agent.save_policy(&mut sections).unwrap();
    sections.put_acting(agent, envs).unwrap();
    CheckpointDir::new(folder).write(agent.name(), 0, &sections).unwrap();
}

#[test]
fn what_cannot_be_loaded_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = TrainedPolicy::load(folder.path().join("no")).unwrap_err().to_string();
    assert!(error.ends_with("no: no checkpoint"), "{error}");
    let envs = copies(1, 0, CartPole::default);
    let agent = small_dqn().build(&envs, &Backend::cpu(), Seeds::new(1)).unwrap();
    save(&agent, &envs, folder.path());
    let checkpoint = CheckpointDir::new(folder.path()).path(0);
    let mut policy = TrainedPolicy::load(&checkpoint).unwrap();
    let error = policy.act(&[0.0; 3]).unwrap_err().to_string();
    assert_eq!(error, "observation: expected 4 elements, got 3");
    let error = policy.act(&[0u8; 4]).unwrap_err().to_string();
    assert_eq!(error, "observations: expected f32, got u8");
    assert!(policy.act_batch(&[0.0f32; 0]).is_err());
    // A damaged description.
    std::fs::write(checkpoint.join("policy.json"), "{}").unwrap();
    assert!(TrainedPolicy::load(&checkpoint).unwrap_err().to_string().contains("policy.json"));
}
