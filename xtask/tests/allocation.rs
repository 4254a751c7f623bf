//! Once an agent has been through every part of its work, acting, observing and learning allocate nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, Env, FrameStack, Metrics, Progress, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv,
};
use rl_ddpg::{Ddpg, DdpgConfig, Sac, SacConfig, Td3, Td3Config, Tqc, TqcConfig};
use rl_dqn::{Dqn, DqnConfig, QLearning, QLearningConfig};
use rl_envs::PixelProbe;
use rl_envs::{CartPole, Pendulum};
use rl_nets::{ActorCriticConfig, Backend, ConvConfig, NetworkConfig};
use rl_pg::{
    A2c, A2cConfig, EvolutionStrategies, EvolutionStrategiesConfig, HillClimbing,
    HillClimbingConfig, QActorCritic, QActorCriticConfig, Reinforce, ReinforceConfig, ReturnForm,
    SimulatedAnnealing, SimulatedAnnealingConfig,
};
use rl_ppo::{Ppo, PpoConfig, PpoKl, PpoKlConfig, Trpo, TrpoConfig};

/// Copies of an environment whose episodes end in both halves of a measurement.
fn copies<E: Env>(n: usize, make: fn() -> E) -> SerialVecEnv<TimeLimit<E>> {
    let envs = (0..n).map(|_| TimeLimit::new(make(), 60).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(0)).unwrap()
}

/// How often acting, stepping, observing, learning and acting greedily allocate in `counted` steps after `warm_up`
/// steps. `learned` is a metric that is recorded where something is learned.
fn allocations<V, A>(
    mut envs: V,
    mut agent: A,
    (warm_up, counted): (u64, u64),
    learned: &str,
) -> [u64; 5]
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
    <V::Action as Space>::Elem: Default + Clone,
{
    let mut actions = vec![Default::default(); envs.num_envs() * envs.action_space().width()];
    let mut greedy = actions.clone();
    let (mut metrics, mut count, total) = (Metrics::default(), [0; 5], warm_up + counted);
    let mut times_learned = 0;
    envs.reset().unwrap();
    for step in 0..total {
        let progress = Progress { step, total };
        // As a training loop does when it reports.
        if step % 100 == 0 {
            times_learned += metrics.count(learned);
            metrics.clear();
        }
        let new = [
            allocation_counter::measure(|| {
                agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
            }),
            allocation_counter::measure(|| envs.step(&actions).unwrap()),
            allocation_counter::measure(|| {
                agent.observe(&envs.batch().transitions(&actions)).unwrap();
            }),
            allocation_counter::measure(|| agent.update(progress, &mut metrics).unwrap()),
            allocation_counter::measure(|| {
                agent.act_greedily(envs.batch().observations(), &mut greedy).unwrap();
            }),
        ]
        .map(|info| info.count_total);
        if step >= warm_up {
            count.iter_mut().zip(new).for_each(|(count, new)| *count += new);
        }
    }
    assert!(times_learned > 0, "nothing was learned");
    count
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!((info.count_total, info.bytes_total), (1, 100));
}

const NOTHING: [u64; 5] = [0; 5];

/// An agent in copies of CartPole and one in copies of Pendulum, made alike.
macro_rules! in_both {
    ($copies:expr, $times:expr, $learned:expr, |$envs:ident| $agent:expr) => {
        let $envs = copies($copies, CartPole::default);
        let agent = $agent.unwrap();
        assert_eq!(allocations($envs, agent, $times, $learned), NOTHING, "discrete");
        let $envs = copies($copies, Pendulum::default);
        let agent = $agent.unwrap();
        assert_eq!(allocations($envs, agent, $times, $learned), NOTHING, "continuous");
    };
}

#[test]
fn dqn_allocates_nothing() {
    for double_q in [false, true] {
        let config = DqnConfig {
            double_q,
            n_step: 3,
            buffer_size: 500,
            learning_starts: 100,
            target_update_interval: 50,
            ..DqnConfig::default()
        };
        let envs = copies(3, CartPole::default);
        let agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        assert_eq!(allocations(envs, agent, (1_000, 1_000), "loss"), NOTHING);
    }
}

/// All of Rainbow on rows, and on frames that are stored once.
#[test]
fn rainbow_allocates_nothing() {
    let config = DqnConfig {
        buffer_size: 300,
        learning_starts: 100,
        target_update_interval: 50,
        ..DqnConfig::rainbow()
    };
    let envs = copies(3, CartPole::default);
    let agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, (1_000, 500), "loss"), NOTHING);
    let envs = || {
        let env = || FrameStack::new(PixelProbe::default(), 2).unwrap();
        SerialVecEnv::new(vec![env(), env()], Seeds::new(0)).unwrap()
    };
    let config = DqnConfig { frame_stack: Some(2), ..config };
    let agent = Dqn::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs(), agent, (1_000, 500), "loss"), NOTHING);
}

#[test]
fn ppo_allocates_nothing() {
    let config = PpoConfig { n_steps: 40, batch_size: 50, ..PpoConfig::default() };
    in_both!(3, (400, 400), "grad_norm", |envs| {
        Ppo::new(&config, &envs, &Backend::cpu(), Seeds::new(0))
    });
    let config = PpoKlConfig { n_steps: 40, batch_size: 50, ..PpoKlConfig::default() };
    in_both!(3, (400, 400), "grad_norm", |envs| {
        PpoKl::new(&config, &envs, &Backend::cpu(), Seeds::new(0))
    });
}

#[test]
fn trpo_allocates_nothing() {
    let config = TrpoConfig { n_steps: 40, batch_size: 50, ..TrpoConfig::default() };
    in_both!(3, (400, 400), "value_loss", |envs| {
        Trpo::new(&config, &envs, &Backend::cpu(), Seeds::new(0))
    });
}

#[test]
fn policy_gradients_allocate_nothing() {
    in_both!(3, (400, 400), "grad_norm", |envs| {
        A2c::new(&A2cConfig::default(), &envs, &Backend::cpu(), Seeds::new(0))
    });
    for returns in [ReturnForm::RewardToGo, ReturnForm::WholeEpisode] {
        let config = ReinforceConfig { episodes: 3, returns, ..ReinforceConfig::default() };
        // Until episodes of the greatest length have been seen by each environment.
        in_both!(3, (4_000, 1_000), "grad_norm", |envs| {
            Reinforce::new(&config, &envs, &Backend::cpu(), Seeds::new(0))
        });
    }
    let envs = copies(3, CartPole::default);
    let config = QActorCriticConfig::default();
    let agent = QActorCritic::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs, agent, (400, 400), "grad_norm"), NOTHING);
}

#[test]
fn searches_allocate_nothing() {
    in_both!(2, (2_000, 1_000), "score", |envs| {
        HillClimbing::new(&HillClimbingConfig::default(), &envs, &Backend::cpu(), Seeds::new(0))
    });
    in_both!(2, (2_000, 1_000), "score", |envs| {
        SimulatedAnnealing::new(
            &SimulatedAnnealingConfig::default(),
            &envs,
            &Backend::cpu(),
            Seeds::new(0),
        )
    });
    in_both!(2, (2_000, 1_000), "score", |envs| {
        EvolutionStrategies::new(
            &EvolutionStrategiesConfig::default(),
            &envs,
            &Backend::cpu(),
            Seeds::new(0),
        )
    });
}

#[test]
fn off_policy_actor_critics_allocate_nothing() {
    let envs = || copies(2, Pendulum::default);
    let config = SacConfig { buffer_size: 500, learning_starts: 100, ..SacConfig::default() };
    let agent = Sac::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs(), agent, (400, 200), "critic_loss"), NOTHING);
    let config = DdpgConfig { buffer_size: 500, learning_starts: 100, ..DdpgConfig::default() };
    let agent = Ddpg::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs(), agent, (400, 200), "critic_loss"), NOTHING);
    let config = Td3Config { buffer_size: 500, learning_starts: 100, ..Td3Config::default() };
    let agent = Td3::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs(), agent, (400, 200), "critic_loss"), NOTHING);
    let config = TqcConfig { buffer_size: 500, learning_starts: 100, ..TqcConfig::default() };
    let agent = Tqc::new(&config, &envs(), &Backend::cpu(), Seeds::new(0)).unwrap();
    assert_eq!(allocations(envs(), agent, (400, 200), "critic_loss"), NOTHING);
}

#[test]
fn tabular_q_learning_allocates_nothing() {
    let envs = || {
        let env = TimeLimit::new(rl_envs::Tabular::cliff_walking(), 60).unwrap();
        SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap()
    };
    let agent =
        QLearning::new(&QLearningConfig::default(), &envs(), &Backend::cpu(), Seeds::new(0))
            .unwrap();
    assert_eq!(allocations(envs(), agent, (400, 400), "epsilon"), NOTHING);
}

#[test]
fn convolutions_allocate_nothing() {
    let envs = || SerialVecEnv::new(vec![PixelProbe::default(); 3], Seeds::new(0)).unwrap();
    let body = NetworkConfig {
        conv: vec![
            ConvConfig { channels: 8, kernel: 3, stride: 1, padding: 1 },
            ConvConfig { channels: 4, kernel: 2, stride: 2, padding: 0 },
        ],
        ..NetworkConfig::mlp(&[16])
    };
    for backend in [Backend::cpu(), Backend::cpu().with_threads(2).unwrap()] {
        let config = DqnConfig {
            network: body.clone(),
            batch_size: 256,
            buffer_size: 500,
            learning_starts: 100,
            target_update_interval: 50,
            ..DqnConfig::default()
        };
        let agent = Dqn::new(&config, &envs(), &backend, Seeds::new(0)).unwrap();
        assert_eq!(allocations(envs(), agent, (400, 200), "loss"), NOTHING);
        let network =
            ActorCriticConfig { trunk: Some(body.clone()), ..ActorCriticConfig::default() };
        let config = PpoConfig { n_steps: 40, batch_size: 50, network, ..PpoConfig::default() };
        let agent = Ppo::new(&config, &envs(), &backend, Seeds::new(0)).unwrap();
        assert_eq!(allocations(envs(), agent, (400, 200), "grad_norm"), NOTHING);
    }
}

/// Every algorithm's name stands in a test above: whoever adds one adds it here.
#[test]
fn no_algorithm_is_left_out() {
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_xtask")).arg("list").output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let known = [
        "a2c",
        "ddpg",
        "dqn",
        "evolution-strategies",
        "hill-climbing",
        "ppo",
        "ppo-kl",
        "q-actor-critic",
        "q-learning",
        "rainbow",
        "reinforce",
        "sac",
        "simulated-annealing",
        "td3",
        "tqc",
        "trpo",
    ];
    let lines = listed.lines().skip(1).take_while(|line| !line.is_empty());
    let names: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, known);
}
