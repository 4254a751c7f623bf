//! Distributional heads, dueling and noisy outputs, prioritised replay: exact answers, exact bits, no setting ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    Agent, CheckpointDir, Discrete, MemorySink, Policy, Row, Schedule, Sections, Seeds,
    SerialVecEnv, TimeLimit, Trainer, TrainerConfig, VecEnv, check_resume,
};
use rl_dqn::{Dqn, DqnConfig, HeadConfig};
use rl_envs::{CartPole, Probe, ProbeKind};
use rl_nets::{Action, Backend, NetworkConfig, TrainedPolicy};
use rl_replay::PrioritizedConfig;

const CATEGORICAL: HeadConfig = HeadConfig::Categorical { atoms: 41, v_min: -2.0, v_max: 2.0 };
const QUANTILE: HeadConfig = HeadConfig::Quantile { quantiles: 8, kappa: 0.1 };

/// Settings under which probes are learned exactly.
fn config() -> DqnConfig {
    DqnConfig {
        network: NetworkConfig { hidden: vec![32, 32], ..NetworkConfig::default() },
        learning_rate: Schedule::linear(3e-3, 1e-4),
        gamma: 0.9,
        buffer_size: 2_000,
        learning_starts: 50,
        train_freq: 1,
        target_update_interval: 50,
        epsilon: Schedule::constant(0.5),
        ..DqnConfig::default()
    }
}

/// Each variant alone, and all that go together.
fn variants() -> [DqnConfig; 8] {
    let prioritized = Some(PrioritizedConfig::default());
    [
        DqnConfig { head: CATEGORICAL, ..config() },
        DqnConfig { head: QUANTILE, ..config() },
        DqnConfig { dueling: true, ..config() },
        DqnConfig { noisy: Some(0.5), ..config() },
        DqnConfig { prioritized: prioritized.clone(), ..config() },
        DqnConfig { head: QUANTILE, dueling: true, double_q: true, ..config() },
        DqnConfig { output_hidden: vec![16], ..config() },
        // Rainbow, at the size and speed of a probe.
        DqnConfig {
            network: NetworkConfig::mlp(&[32]),
            output_hidden: vec![32],
            head: CATEGORICAL,
            ..of_rainbow(config())
        },
    ]
}

/// Settings with what Rainbow adds.
fn of_rainbow(config: DqnConfig) -> DqnConfig {
    let DqnConfig { head, output_hidden, dueling, noisy, prioritized, double_q, n_step, .. } =
        DqnConfig::rainbow();
    DqnConfig { head, output_hidden, dueling, noisy, prioritized, double_q, n_step, ..config }
}

fn learned(config: &DqnConfig, kind: ProbeKind, observation: f32) -> Vec<f32> {
    let envs = SerialVecEnv::new(vec![Probe::<Discrete>::new(kind)], Seeds::new(1)).unwrap();
    let agent = Dqn::new(config, &envs, &Backend::cpu(), Seeds::new(1)).unwrap();
    let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(3_000)).unwrap();
    trainer.run().unwrap();
    trainer.agent_mut().action_values(&[observation]).unwrap().to_vec()
}

#[test]
fn values_of_the_probes_are_found_by_each_variant() {
    for config in variants() {
        for (kind, observation, expected) in [
            (ProbeKind::Observation, -1.0, [-1.0, -1.0]),
            (ProbeKind::Discount, 0.0, [0.9, 0.9]),
            (ProbeKind::Choice, 0.0, [-1.0, 1.0]),
            (ProbeKind::ObservationChoice, 1.0, [-1.0, 1.0]),
        ] {
            let q = learned(&config, kind, observation);
            let near = q.iter().zip(expected).all(|(q, e)| (q - e).abs() < 0.05);
            assert!(near, "{kind:?}: {q:?}, expected {expected:?} with {config:?}");
        }
    }
}

#[test]
fn noise_explores_without_epsilon_and_is_silent_in_evaluation() {
    let quiet = DqnConfig { epsilon: Schedule::constant(0.0), ..config() };
    let noisy = DqnConfig { noisy: Some(0.5), ..quiet.clone() };
    for (config, explores) in [(quiet, false), (noisy, true)] {
        let envs = cart_poles(0);
        let mut agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(0)).unwrap();
        let progress = rl_core::Progress { step: 0, total: 1 };
        // Values of an untrained network are close: noise decides.
        let observation = [0.01, 0.02, -0.01, 0.02].repeat(3);
        let mut seen = [0; 2];
        let mut greedy = Vec::new();
        for _ in 0..50 {
            let mut actions = [0; 3];
            agent.act(&observation, progress, &mut actions).unwrap();
            actions.iter().for_each(|a| seen[*a as usize] += 1);
            agent.act_greedily(&observation, &mut actions).unwrap();
            greedy.push(actions);
        }
        assert_eq!(seen.iter().all(|n| *n > 0), explores, "{seen:?}");
        assert!(greedy.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

fn cart_poles(seed: u64) -> SerialVecEnv<TimeLimit<CartPole>> {
    let envs = (0..3).map(|_| TimeLimit::new(CartPole::default(), 50).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(seed)).unwrap()
}

#[test]
fn a_policy_of_each_variant_from_its_folder_acts_as_its_agent() {
    let mut envs = cart_poles(3);
    envs.reset().unwrap();
    for config in variants() {
        let mut agent = Dqn::new(&config, &envs, &Backend::cpu(), Seeds::new(3)).unwrap();
        let (mut sections, dir) = (Sections::default(), tempfile::tempdir().unwrap());
        agent.save(&mut sections).unwrap();
        sections.put_acting(&agent, &envs).unwrap();
        CheckpointDir::new(dir.path()).write(agent.name(), 0, &sections).unwrap();
        let mut loaded = TrainedPolicy::load(dir.path()).unwrap();
        let (rows, mut actions) = (envs.batch().observations(), [9; 3]);
        agent.act_greedily(rows, &mut actions).unwrap();
        for (row, action) in rows.chunks_exact(4).zip(actions) {
            assert_eq!(loaded.act(row).unwrap(), Action::Discrete(action), "{config:?}");
        }
    }
}

#[test]
fn a_resumed_run_of_each_variant_ends_in_the_same_bits() {
    for backend in ["cpu", "reference"] {
        for config in variants() {
            let (dir, backend) = (tempfile::tempdir().unwrap(), Backend::by_name(backend).unwrap());
            let config = DqnConfig { buffer_size: 300, ..config };
            let make = || {
                let envs = cart_poles(3);
                let agent = Dqn::new(&config, &envs, &backend, Seeds::new(3))?;
                Ok((envs, agent))
            };
            assert_eq!(check_resume(dir.path(), make, 1_500).unwrap(), [""; 0], "{config:?}");
        }
    }
}

fn leaves(config: &DqnConfig) -> (Sections, Vec<Row>) {
    let (envs, sink) = (cart_poles(7), MemorySink::default());
    let agent = Dqn::new(config, &envs, &Backend::cpu(), Seeds::new(7)).unwrap();
    let trainer = Trainer::new(envs, agent, TrainerConfig::new(900)).unwrap();
    let mut trainer = trainer.with_sink(sink.clone());
    trainer.run().unwrap();
    (trainer.sections().unwrap(), sink.rows())
}

#[test]
fn no_setting_is_ignored() {
    let with = |head, prioritized| DqnConfig { head, prioritized, ..config() };
    let categorical =
        |atoms, v_min, v_max| with(HeadConfig::Categorical { atoms, v_min, v_max }, None);
    let quantile = |quantiles, kappa| with(HeadConfig::Quantile { quantiles, kappa }, None);
    let prioritized = |alpha, beta, eps| {
        let beta = Schedule::constant(beta);
        with(HeadConfig::Expected, Some(PrioritizedConfig { alpha, beta, eps }))
    };
    let noisy = |sigma| DqnConfig { noisy: Some(sigma), ..config() };
    let all = [
        config(),
        categorical(11, -5.0, 5.0),
        categorical(13, -5.0, 5.0),
        categorical(11, -6.0, 5.0),
        categorical(11, -5.0, 6.0),
        quantile(5, 1.0),
        quantile(6, 1.0),
        quantile(5, 0.5),
        DqnConfig { dueling: true, ..config() },
        DqnConfig { dueling: true, output_hidden: vec![8], ..config() },
        DqnConfig { output_hidden: vec![8], ..config() },
        DqnConfig { noisy: Some(0.5), output_hidden: vec![8], ..config() },
        noisy(0.5),
        noisy(0.4),
        prioritized(0.6, 0.4, 1e-6),
        prioritized(0.5, 0.4, 1e-6),
        prioritized(0.6, 0.5, 1e-6),
        prioritized(0.6, 0.4, 1e-2),
    ];
    let runs: Vec<_> = all.iter().map(leaves).collect();
    for (i, run) in runs.iter().enumerate() {
        for (j, other) in runs.iter().enumerate().skip(i + 1) {
            assert!(run.0 != other.0, "{:?} and {:?} end in the same bits", all[i], all[j]);
        }
    }
}

#[test]
fn a_network_of_ones_own_decides_its_output_itself() {
    let q = || rl_nets::Linear::new(4, 2).unwrap();
    let build = |config: &DqnConfig| {
        Dqn::with_network(config, q(), &cart_poles(0), &Backend::cpu(), Seeds::new(0)).map(drop)
    };
    build(&config()).unwrap();
    for (config, field) in [
        (DqnConfig { dueling: true, ..config() }, "dueling: "),
        (DqnConfig { noisy: Some(0.5), ..config() }, "noisy: "),
        (DqnConfig { output_hidden: vec![8], ..config() }, "output_hidden: "),
    ] {
        assert!(build(&config).unwrap_err().to_string().starts_with(field));
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let of = |config: DqnConfig| config.validate().unwrap_err().to_string();
    let head = |head| of(DqnConfig { head, ..config() });
    let prioritized = |p| of(DqnConfig { prioritized: Some(p), ..config() });
    let default = PrioritizedConfig::default;
    let mut with_output_init = DqnConfig { noisy: Some(0.5), ..config() };
    with_output_init.network.output_init = Some(rl_nets::Init::Pytorch);
    for (error, expected) in [
        (head(HeadConfig::Categorical { atoms: 1, v_min: 0.0, v_max: 1.0 }), "head.atoms: "),
        (head(HeadConfig::Categorical { atoms: 5, v_min: 1.0, v_max: 1.0 }), "head.v_min, v_max: "),
        (head(HeadConfig::Quantile { quantiles: 0, kappa: 1.0 }), "head.quantiles: "),
        (head(HeadConfig::Quantile { quantiles: 1, kappa: 0.0 }), "head.kappa: "),
        (head(HeadConfig::Quantile { quantiles: 1, kappa: 1e-50 }), "head.kappa: "),
        (head(HeadConfig::Categorical { atoms: 5, v_min: -1e39, v_max: 1e39 }), "head.v_min"),
        (head(HeadConfig::Categorical { atoms: 5_000, v_min: 0.0, v_max: 1.0 }), "head.atoms: "),
        (of(DqnConfig { noisy: Some(f64::NAN), ..config() }), "noisy: "),
        (of(DqnConfig { output_hidden: vec![8, 0], ..config() }), "output_hidden: "),
        (of(with_output_init), "network.output_init: "),
        (prioritized(PrioritizedConfig { alpha: 1.5, ..default() }), "prioritized.alpha: "),
        (prioritized(PrioritizedConfig { eps: 0.0, ..default() }), "prioritized.eps: "),
        (
            prioritized(PrioritizedConfig { beta: Schedule::constant(-1.0), ..default() }),
            "prioritized.beta: ",
        ),
    ] {
        assert!(error.starts_with(expected), "{error}, expected {expected}");
    }
}

/// Its table 1, an action being four frames.
#[test]
fn rainbow_has_the_papers_numbers() {
    let rainbow = DqnConfig::rainbow();
    assert_eq!(rainbow.learning_starts, 80_000 / 4);
    assert_eq!(rainbow.learning_rate, Schedule::constant(0.0000625));
    assert_eq!(rainbow.optimizer, rl_nets::OptimizerConfig::adam_with_eps(1.5e-4));
    assert_eq!(rainbow.epsilon, Schedule::constant(0.0));
    assert_eq!(rainbow.noisy, Some(0.5));
    assert_eq!(rainbow.target_update_interval, 32_000 / 4);
    let prioritized = rainbow.prioritized.unwrap();
    assert_eq!(prioritized.alpha, 0.5);
    assert_eq!(prioritized.beta, Schedule::linear(0.4, 1.0));
    assert_eq!((rainbow.n_step, rainbow.double_q, rainbow.dueling), (3, true, true));
    assert_eq!(rainbow.head, HeadConfig::Categorical { atoms: 51, v_min: -10.0, v_max: 10.0 });
    assert_eq!((rainbow.batch_size, rainbow.train_freq, rainbow.gamma), (32, 4, 0.99));
    assert_eq!((rainbow.buffer_size, rainbow.max_grad_norm), (1_000_000, None));
}
