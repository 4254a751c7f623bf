//! Probe environments: every algorithm finds the exact answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{
    Agent, BoxSpace, Discrete, Env, Schedule, Seeds, SerialVecEnv, Trainer, TrainerConfig, evaluate,
};
use rl_envs::{PixelProbe, Probe, ProbeKind};
use rl_nets::{
    ActorCriticConfig, Backend, Bodies, Categorical, ConvConfig, NetworkConfig, OptimizerConfig,
};
use rl_pg::{
    A2c, A2cConfig, EvolutionStrategies, EvolutionStrategiesConfig, HillClimbing,
    HillClimbingConfig, QActorCritic, QActorCriticConfig, Reinforce, ReinforceConfig,
    SimulatedAnnealing, SimulatedAnnealingConfig,
};

const KINDS_OF_CHOICE: [ProbeKind; 2] = [ProbeKind::Choice, ProbeKind::ObservationChoice];

/// Probe kinds, observations, and their values with discount factor 0.9.
const VALUES: [(ProbeKind, f32, f32); 6] = [
    (ProbeKind::Constant, 0.0, 1.0),
    (ProbeKind::Observation, 1.0, 1.0),
    (ProbeKind::Observation, -1.0, -1.0),
    (ProbeKind::Discount, 0.0, 0.9),
    (ProbeKind::Discount, 1.0, 1.0),
    // The value is 1 / (1 - gamma) if truncated episodes are bootstrapped.
    (ProbeKind::Endless, 0.0, 10.0),
];

fn small() -> ActorCriticConfig {
    let mut network = ActorCriticConfig::default();
    network.actor.hidden = vec![16, 16];
    network.critic.hidden = vec![16, 16];
    network
}

fn four<E: Env>(make: impl Fn() -> E) -> SerialVecEnv<E> {
    SerialVecEnv::new((0..4).map(|_| make()).collect(), Seeds::new(1)).unwrap()
}

fn trained<E, A>(make: impl Fn() -> E, agent: A, steps: u64) -> Trainer<SerialVecEnv<E>, A>
where
    E: Env,
    A: Agent<Obs = E::Obs, Action = E::Action>,
{
    let mut trainer = Trainer::new(four(make), agent, TrainerConfig::new(steps)).unwrap();
    trainer.run().unwrap();
    trainer
}

fn assert_near(kind: ProbeKind, got: f32, expected: f32) {
    let near = (got - expected).abs() <= 0.02 * expected.abs().max(1.0);
    assert!(near, "{kind:?}: {got}, expected {expected}");
}

fn a2c() -> A2cConfig {
    A2cConfig {
        network: small(),
        learning_rate: Schedule::linear(5e-3, 1e-5),
        optimizer: OptimizerConfig::adam(),
        gamma: 0.9,
        ..A2cConfig::default()
    }
}

fn reinforce() -> ReinforceConfig {
    ReinforceConfig {
        network: small(),
        learning_rate: Schedule::linear(5e-3, 1e-5),
        episodes: 4,
        gamma: 0.9,
        ..ReinforceConfig::default()
    }
}

fn q_actor_critic() -> QActorCriticConfig {
    QActorCriticConfig {
        actor: small().actor,
        critic: small().critic,
        actor_learning_rate: Schedule::linear(1e-3, 1e-5),
        critic_learning_rate: Schedule::linear(5e-3, 1e-5),
        // All environments end their episodes at the same time; clipping would reduce the weight of that step.
        max_grad_norm: None,
        gamma: 0.9,
        ..QActorCriticConfig::default()
    }
}

#[test]
fn values_are_exact() {
    let seeds = Seeds::new(2);
    for (kind, observation, expected) in VALUES {
        let make = || Probe::<Discrete>::new(kind);
        let agent = A2c::new(&a2c(), &four(make), &Backend::cpu(), seeds).unwrap();
        let value = trained(make, agent, 40_000).agent_mut().values(&[observation]).unwrap();
        assert_near(kind, value[0], expected);

        let agent = Reinforce::new(&reinforce(), &four(make), &Backend::cpu(), seeds).unwrap();
        let value = trained(make, agent, 80_000).agent_mut().values(&[observation]).unwrap();
        assert_near(kind, value[0], expected);

        let config = q_actor_critic();
        let agent = QActorCritic::new(&config, &four(make), &Backend::cpu(), seeds).unwrap();
        let mut trainer = trained(make, agent, 40_000);
        for value in trainer.agent_mut().action_values(&[observation]).unwrap() {
            assert_near(kind, *value, expected);
        }
    }
}

#[test]
fn truncation_taken_for_termination_loses_value() {
    let make = || Probe::<Discrete>::mistaken(ProbeKind::Endless);
    let (envs, backend, seeds) = (four(make), Backend::cpu(), Seeds::new(2));
    let mut values = Vec::new();
    let agent = A2c::new(&a2c(), &envs, &backend, seeds).unwrap();
    values.extend(trained(make, agent, 40_000).agent_mut().values(&[0.0]).unwrap());
    let agent = Reinforce::new(&reinforce(), &envs, &backend, seeds).unwrap();
    values.extend(trained(make, agent, 40_000).agent_mut().values(&[0.0]).unwrap());
    let agent = QActorCritic::new(&q_actor_critic(), &envs, &backend, seeds).unwrap();
    values.extend(trained(make, agent, 40_000).agent_mut().action_values(&[0.0]).unwrap());
    assert!(values.iter().all(|&v| v < 9.0), "{values:?}: the probe would not notice");
}

#[test]
fn choices_are_made_right() {
    fn assert_right<A>(make: impl Fn() -> Probe<Discrete>, agent: A, steps: u64)
    where
        A: Agent<Obs = BoxSpace, Action = Discrete>,
    {
        let mut trainer = trained(&make, agent, steps);
        let mean = evaluate(trainer.agent_mut(), &mut four(&make), 40).unwrap().mean();
        assert_eq!(mean, 1.0, "{}", trainer.agent().name());
    }
    let seeds = Seeds::new(2);
    for kind in KINDS_OF_CHOICE {
        let make = || Probe::<Discrete>::new(kind);
        let envs = four(make);
        for backend in [Backend::cpu(), Backend::by_name("reference").unwrap()] {
            assert_right(make, A2c::new(&a2c(), &envs, &backend, seeds).unwrap(), 8_000);
            let agent: Reinforce<Categorical> =
                Reinforce::new(&reinforce(), &envs, &backend, seeds).unwrap();
            assert_right(make, agent, 8_000);
            let config = q_actor_critic();
            assert_right(make, QActorCritic::new(&config, &envs, &backend, seeds).unwrap(), 16_000);
        }
        let config = HillClimbingConfig::default();
        assert_right(
            make,
            HillClimbing::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            4_000,
        );
        let config = SimulatedAnnealingConfig {
            temperature: Schedule::exponential(1.0, 0.01),
            ..SimulatedAnnealingConfig::default()
        };
        assert_right(
            make,
            SimulatedAnnealing::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            4_000,
        );
        let config = EvolutionStrategiesConfig { episodes: 4, ..Default::default() };
        assert_right(
            make,
            EvolutionStrategies::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            8_000,
        );
    }
}

#[test]
fn continuous_actions_find_the_best_number() {
    fn assert_best<A>(kind: ProbeKind, agent: A, steps: u64)
    where
        A: Agent<Obs = BoxSpace, Action = BoxSpace>,
    {
        let mut trainer = trained(|| Probe::<BoxSpace>::new(kind), agent, steps);
        let (seen, best) = match kind {
            ProbeKind::Choice => ([0.0, 0.0], [0.5, 0.5]),
            _ => ([-1.0, 1.0], [-0.5, 0.5]),
        };
        for (seen, best) in seen.iter().zip(best) {
            // A policy search acts independently of the number of environments.
            let mut action = [9.0];
            trainer.agent_mut().act_greedily(&[*seen], &mut action).unwrap();
            let name = trainer.agent().name();
            assert!((action[0] - best).abs() < 0.1, "{name}, {kind:?}: {action:?}, best {best}");
        }
    }
    let seeds = Seeds::new(3);
    for kind in KINDS_OF_CHOICE {
        let envs = four(|| Probe::<BoxSpace>::new(kind));
        assert_best(kind, A2c::new(&a2c(), &envs, &Backend::cpu(), seeds).unwrap(), 60_000);
        let agent = Reinforce::new(&reinforce(), &envs, &Backend::cpu(), seeds).unwrap();
        assert_best(kind, agent, 60_000);
        let config = HillClimbingConfig { episodes: 8, ..HillClimbingConfig::default() };
        assert_best(
            kind,
            HillClimbing::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            40_000,
        );
        let config = SimulatedAnnealingConfig {
            temperature: Schedule::exponential(0.1, 1e-4),
            noise: Schedule::exponential(1.0, 0.1),
            episodes: 8,
            ..SimulatedAnnealingConfig::default()
        };
        assert_best(
            kind,
            SimulatedAnnealing::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            40_000,
        );
        let config = EvolutionStrategiesConfig {
            learning_rate: Schedule::linear(0.1, 0.001),
            noise: 0.1,
            episodes: 8,
            ..EvolutionStrategiesConfig::default()
        };
        assert_best(
            kind,
            EvolutionStrategies::new(&config, &envs, &Backend::cpu(), seeds).unwrap(),
            40_000,
        );
    }
}

#[test]
fn an_image_is_read() {
    let conv = ConvConfig { channels: 8, kernel: 3, stride: 1, padding: 1 };
    let body = NetworkConfig { conv: vec![conv], hidden: vec![32], ..NetworkConfig::tanh() };
    let envs = |seed| SerialVecEnv::new(vec![PixelProbe::default(); 16], Seeds::new(seed)).unwrap();
    let config = A2cConfig {
        learning_rate: Schedule::linear(3e-3, 1e-4),
        optimizer: OptimizerConfig::adam(),
        ..A2cConfig::default()
    };
    let bodies = Bodies::shared(&body);
    let agent =
        A2c::with_bodies(&config, bodies, &envs(0), &Backend::cpu(), Seeds::new(0)).unwrap();
    let mut trainer = Trainer::new(envs(0), agent, TrainerConfig::new(60_000)).unwrap();
    trainer.run().unwrap();
    let mean = evaluate(trainer.agent_mut(), &mut envs(9), 400).unwrap().mean();
    assert!(mean >= 0.95, "{mean}");
}
