//! Every setting counts: whatever it is changed to, other weights are learned. One line a field, and no field without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::run::RunConfig;
use rl_core::{
    Agent, AppendMask, Env, Metrics, Progress, Sections, Seeds, SerialVecEnv, TimeLimit, VecEnv,
};
use rl_ddpg::{DdpgConfig, SacConfig, Td3Config, TqcConfig};
use rl_dqn::{DqnConfig, QLearningConfig};
use rl_envs::{CartPole, Copies, MaskProbe, Pendulum, TabularVecEnv, make_tabular};
use rl_nets::{AgentConfig, Backend};
use rl_pg::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    SimulatedAnnealingConfig,
};
use rl_ppo::{PpoConfig, PpoKlConfig, TrpoConfig};

/// Steps of a run.
const STEPS: u64 = 360;

/// The files of learned parameters after a short run of two environments.
fn learned<C, V>(settings: &C, envs: V) -> rl_core::Result<Sections>
where
    V: VecEnv,
    C: AgentConfig<V::Obs, V::Action>,
    <V::Action as rl_core::Space>::Elem: Default + Clone,
{
    let mut envs = envs;
    let mut agent = settings.build(&envs, &Backend::cpu(), Seeds::new(3))?;
    let mut actions = vec![Default::default(); 2 * rl_core::Space::width(envs.action_space())];
    let mut metrics = Metrics::default();
    envs.reset()?;
    for step in (0..STEPS).step_by(2) {
        let at = |step| Progress { step, total: STEPS };
        agent.act(envs.batch().observations(), at(step), &mut actions)?;
        envs.step(&actions)?;
        agent.observe(&envs.batch().transitions(&actions))?;
        agent.update(at(step + 2), &mut metrics)?;
    }
    let mut all = Sections::default();
    agent.save(&mut all)?;
    let mut learned = Sections::default();
    for name in ["policy", "policy_target", "critic", "critic_target"] {
        let file = format!("{name}.safetensors");
        if let Some(bytes) = all.find(&file) {
            learned.put_file(&file, bytes.to_vec());
        }
    }
    if let Some(table) = all.find("table.bin") {
        learned.put_file("table.bin", table.to_vec());
    }
    Ok(learned)
}

fn copies<E: Env>(limit: u32, make: impl Fn() -> E) -> SerialVecEnv<TimeLimit<E>> {
    let envs = (0..2).map(|_| TimeLimit::new(make(), limit).unwrap()).collect();
    SerialVecEnv::new(envs, Seeds::new(0)).unwrap()
}

fn cart_pole() -> SerialVecEnv<TimeLimit<CartPole>> {
    copies(40, CartPole::default)
}

fn pendulum() -> SerialVecEnv<TimeLimit<Pendulum>> {
    copies(25, Pendulum::default)
}

fn masked() -> SerialVecEnv<TimeLimit<AppendMask<MaskProbe>>> {
    copies(5, || AppendMask::new(MaskProbe::default()).unwrap())
}

fn cliff() -> TabularVecEnv {
    make_tabular("CliffWalking-v1", Copies::new(2, Seeds::new(0))).unwrap()
}

/// Settings under test: where they start from, and for each field a change that must be felt. A change that needs others
/// beside it to be felt has these after a `|`, and is compared with a run that has them alone.
struct Table {
    name: &'static str,
    fields: Vec<String>,
    base: &'static [&'static str],
    changes: &'static [&'static str],
    run: fn(&RunConfig) -> rl_core::Result<Sections>,
    /// Builds the agent alone.
    build: fn(&RunConfig) -> rl_core::Result<()>,
}

macro_rules! table {
    ($name:literal, $config:ty, $envs:expr, $base:expr, $changes:expr) => {
        Table {
            name: $name,
            fields: toml::Table::try_from(<$config>::default()).unwrap().keys().cloned().collect(),
            base: $base,
            changes: $changes,
            run: |run| learned(&run.settings::<$config>()?, $envs),
            build: |run| {
                let settings = run.settings::<$config>()?;
                settings.build(&$envs, &Backend::cpu(), Seeds::new(3)).map(drop)
            },
        }
    };
}

impl Table {
    /// The outcome with the changes applied one after another. It may be an error where that is what is tried.
    fn outcome(&self, changes: &[&str]) -> Result<Sections, String> {
        let mut run = RunConfig::new(self.name, "test", STEPS);
        let all = self.base.iter().chain(changes);
        all.for_each(|change| run.set(change).unwrap());
        let outcome = (self.run)(&run).map_err(|error| error.to_string());
        let may_fail = self.name.ends_with("without a mask");
        assert!(outcome.is_ok() || may_fail, "{} {changes:?}: {outcome:?}", self.name);
        outcome
    }

    fn check(&self) {
        for field in &self.fields {
            let covers = |change: &&str| change.split(['=', '.']).next() == Some(field.as_str());
            let covered = self.changes.iter().any(covers);
            assert!(covered, "{}: no change of '{field}' is tried", self.name);
        }
        let base = self.outcome(&[]);
        assert_eq!(base, self.outcome(&[]), "{}: two runs alike", self.name);
        let mut ignored = Vec::new();
        for change in self.changes {
            let (change, beside) = match change.split_once('|') {
                Some((change, beside)) => {
                    (change.trim(), beside.split(';').map(str::trim).collect())
                }
                None => (*change, Vec::new()),
            };
            let without = if beside.is_empty() { base.clone() } else { self.outcome(&beside) };
            let with = self.outcome(&[&beside[..], &[change]].concat());
            if with == without {
                ignored.push(change);
            }
        }
        assert!(ignored.is_empty(), "{}: without effect: {ignored:?}", self.name);
    }
}

/// Whatever a setting is set to, an agent is built or an error of one line says why not: nothing panics, and nothing is
/// allocated that cannot be had.
#[test]
fn hostile_settings_are_errors() {
    let tables = [
        table!("dqn", DqnConfig, cart_pole(), &[], &[]),
        table!("q-learning", QLearningConfig, cliff(), &[], &[]),
        table!("ppo", PpoConfig, cart_pole(), &[], &[]),
        table!("ppo-kl", PpoKlConfig, cart_pole(), &[], &[]),
        table!("trpo", TrpoConfig, pendulum(), &[], &[]),
        table!("a2c", A2cConfig, pendulum(), &[], &[]),
        table!("reinforce", ReinforceConfig, cart_pole(), &["episodes=2"], &[]),
        table!("q-actor-critic", QActorCriticConfig, cart_pole(), &[], &[]),
        table!("hill-climbing", HillClimbingConfig, cart_pole(), &[], &[]),
        table!("simulated-annealing", SimulatedAnnealingConfig, cart_pole(), &[], &[]),
        table!("evolution-strategies", EvolutionStrategiesConfig, cart_pole(), &[], &[]),
        table!("ddpg", DdpgConfig, pendulum(), &[], &[]),
        table!("td3", Td3Config, pendulum(), &[], &[]),
        table!("sac", SacConfig, pendulum(), &[], &[]),
        table!("tqc", TqcConfig, pendulum(), &[], &[]),
    ];
    const VALUES: [&str; 14] = [
        "0",
        "-1",
        "1000000000000",
        "9223372036854775807",
        "0.5",
        "nan",
        "inf",
        "-inf",
        "1e300",
        "true",
        "\"text\"",
        "[]",
        "{}",
        "none",
    ];
    const LISTS: [&str; 5] = [
        "hidden=[1000000000000]",
        "hidden=[1000000, 1000000, 1000000]",
        "hidden=[9223372036854775807, 9223372036854775807]",
        "hidden=[0]",
        "conv=[{channels=1000000000000, kernel=1}]",
    ];
    const SCHEDULES: [&str; 6] = [
        "{kind=\"piecewise\", points=[[nan, 1.0]]}",
        "{kind=\"piecewise\", points=[[0.0, nan]]}",
        "{kind=\"piecewise\", points=[[0.5, 1.0], [0.5, 0.1]]}",
        "{kind=\"piecewise\", points=[]}",
        "{kind=\"linear\", from=1.0, to=inf}",
        "{kind=\"exponential\", from=1.0, to=0.0}",
    ];
    let mut refused = 0;
    let mut rng = Seeds::new(5).stream("hostile settings", 0);
    let mut draw = |n: usize| rng.below(n);
    for table in tables {
        let mut changes: Vec<String> = Vec::new();
        for field in table.fields.iter().filter(|field| field.ends_with("rate")) {
            for schedule in SCHEDULES {
                let change = format!("{field}={schedule}");
                let mut run = RunConfig::new(table.name, "test", STEPS);
                run.set(&change).unwrap();
                assert!((table.build)(&run).is_err(), "{}: {change} is accepted", table.name);
            }
        }
        for field in &table.fields {
            changes.extend(VALUES.map(|value| format!("{field}={value}")));
        }
        for network in ["network", "network.actor", "network.critic", "actor", "critic"] {
            changes.extend(LISTS.map(|list| format!("{network}.{list}")));
        }
        changes.extend(
            ["quantiles", "kappa"]
                .map(|field| format!("head={{kind=\"quantile\", {field}=1000000000000}}")),
        );
        // Each alone; then several at once.
        let mut all: Vec<Vec<String>> = changes.iter().map(|change| vec![change.clone()]).collect();
        for _ in 0..40 {
            all.push((0..2 + draw(3)).map(|_| changes[draw(changes.len())].clone()).collect());
        }
        for changes in all {
            let mut run = RunConfig::new(table.name, "test", STEPS);
            let mut all = table.base.iter().copied().chain(changes.iter().map(String::as_str));
            if all.all(|change| run.set(change).is_ok())
                && let Err(error) = (table.build)(&run)
            {
                let text = error.to_string();
                assert!(!text.is_empty() && !text.contains('\n'), "{}: {text:?}", table.name);
                refused += 1;
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}

/// A part of a setting alone leaves the other parts as they are by default; a part that there is not is refused.
#[test]
fn parts_of_settings() {
    let of = |changes: &[&str]| {
        let mut run = RunConfig::new("test", "test", STEPS);
        changes.iter().for_each(|change| run.set(change).unwrap());
        run.settings::<PpoConfig>().map_err(|error| error.to_string())
    };
    let default = PpoConfig::default();
    let eps = of(&["optimizer.eps=1e-3"]).unwrap();
    assert_eq!(eps.optimizer, rl_nets::OptimizerConfig::adam_with_eps(1e-3));
    let narrow = of(&["network.actor.hidden=[8]"]).unwrap();
    assert_eq!(narrow.network.actor.activation, default.network.actor.activation);
    assert_eq!(narrow.network.critic, default.network.critic);
    let sgd = of(&["optimizer={kind=\"sgd\"}"]).unwrap();
    assert_ne!(sgd.optimizer, default.optimizer);
    assert!(of(&["optimizer.epsilon=1"]).unwrap_err().contains("unknown field"));
    let mut run = RunConfig::new("dqn", "test", STEPS);
    run.set("head.atoms=51").unwrap();
    let error = run.settings::<DqnConfig>().unwrap_err().to_string();
    assert!(error.contains("unknown field `atoms`"), "{error}");
}

const DQN: &[&str] = &[
    "network.hidden=[8]",
    "learning_rate=1e-2",
    "buffer_size=200",
    "batch_size=16",
    "learning_starts=40",
    "target_update_interval=20",
    "gradient_steps=2",
];

#[test]
fn dqn() {
    let changes = &[
        "network.hidden=[9]",
        "network.activation=tanh",
        "network.layer_norm=true",
        "network.init=xavier_uniform",
        "network.output_init=xavier_uniform",
        "learning_rate=1e-3",
        "optimizer={kind=\"sgd\"}",
        "max_grad_norm=0.01",
        "loss=mse",
        "gamma=0.5",
        "n_step=3",
        "buffer_size=100",
        "batch_size=17",
        "learning_starts=60",
        "train_freq=8",
        "gradient_steps=3",
        "target_update_interval=100",
        "tau=0.5",
        "double_q=true | learning_rate=5e-2; target_update_interval=100",
        "epsilon=0.5",
        "head={kind=\"quantile\", quantiles=5}",
        "head.kappa=0.1 | head={kind=\"quantile\", quantiles=5}",
        "head={kind=\"categorical\", v_min=0.0, v_max=20.0}",
        "head.v_max=30.0 | head={kind=\"categorical\", v_min=0.0, v_max=20.0}",
        "head.atoms=21 | head={kind=\"categorical\", v_min=0.0, v_max=20.0}",
        "output_hidden=[8]",
        "dueling=true",
        "noisy=0.5",
        "noisy=0.1 | noisy=0.5",
        "prioritized={}",
        "prioritized.alpha=0.2 | prioritized={}",
        "prioritized.beta=1.0 | prioritized={}",
        "prioritized.eps=1.0 | prioritized={}",
    ];
    let mut table = table!("dqn", DqnConfig, cart_pole(), DQN, changes);
    // Masks have environments of their own; with stacks the same is learned from less memory (`rl-dqn/tests/pixels.rs`).
    table.fields.retain(|field| !["frame_stack", "action_mask"].contains(&field.as_str()));
    table.check();
    let mut table = table!("dqn without a mask", DqnConfig, masked(), DQN, &["action_mask=true"]);
    table.fields.clear();
    table.check();
}

const CLIPPED: &[&str] = &[
    "network.actor.hidden=[9]",
    "network.critic.hidden=[9]",
    "network.trunk={}",
    "learning_rate=1e-3",
    "optimizer={kind=\"adam\", eps=0.1}",
    "max_grad_norm=0.01",
    "n_steps=20",
    "batch_size=17",
    "n_epochs=3",
    "gamma=0.5",
    "gae_lambda=0.5",
    "clip_range=0.001",
    "clip_range_value=0.001",
    "normalize_advantage=false",
    "recompute_advantages=true",
    "ent_coef=0.5",
    "vf_coef=0.1",
    "target_kl=1e-9",
];

#[test]
fn ppo() {
    let base = &["n_steps=16", "batch_size=16", "learning_rate=1e-2", "n_epochs=4"];
    table!("ppo", PpoConfig, cart_pole(), base, CLIPPED).check();
    let continuous = &["network.log_std={free=-1.0}", "network.log_std=of_state", "ent_coef=0.1"];
    let mut table = table!("ppo", PpoConfig, pendulum(), base, continuous);
    table.fields.clear();
    table.check();
    let mut table =
        table!("ppo without a mask", PpoConfig, masked(), base, &["network.action_mask=true"]);
    table.fields.clear();
    table.check();
}

#[test]
fn ppo_kl() {
    let base = &["n_steps=16", "batch_size=16", "learning_rate=1e-2", "n_epochs=4"];
    let changes = &[
        "network.actor.hidden=[9]",
        "learning_rate=1e-3",
        "optimizer={kind=\"adam\", eps=0.1}",
        "max_grad_norm=0.01",
        "n_steps=20",
        "batch_size=17",
        "n_epochs=3",
        "gamma=0.5",
        "gae_lambda=0.5",
        "target_kl=1.0",
        "kl_early_stop=1e-6",
        "initial_beta=10.0",
        "normalize_advantage=false",
        "ent_coef=0.5",
        "vf_coef=0.1",
    ];
    table!("ppo-kl", PpoKlConfig, cart_pole(), base, changes).check();
}

#[test]
fn trpo() {
    let base = &["n_steps=16", "batch_size=16", "target_kl=0.05"];
    let changes = &[
        "network.critic.hidden=[9]",
        "learning_rate=1e-2",
        "optimizer={kind=\"adam\", eps=0.1}",
        "n_steps=20",
        "batch_size=17",
        "n_critic_epochs=3",
        "gamma=0.5",
        "gae_lambda=0.5",
        "target_kl=0.01",
        "cg_max_steps=1",
        "cg_damping=10.0",
        "line_search_shrink=0.3 | target_kl=1.0",
        "line_search_max_steps=1 | target_kl=1.0",
        "normalize_advantage=false",
    ];
    table!("trpo", TrpoConfig, cart_pole(), base, changes).check();
}

#[test]
fn a2c() {
    let changes = &[
        "network.actor.hidden=[9]",
        "learning_rate=1e-2",
        "optimizer={kind=\"adam\"}",
        "optimizer.initial_accumulator=1.0 | optimizer={kind=\"rmsprop\"}",
        "optimizer.eps_inside_root=false",
        "optimizer.centered=true | optimizer={kind=\"rmsprop\"}",
        "optimizer.momentum=0.5 | optimizer={kind=\"rmsprop\"}",
        "optimizer.alpha=0.5 | optimizer={kind=\"rmsprop\"}",
        "max_grad_norm=0.01",
        "n_steps=7",
        "gamma=0.5",
        "gae_lambda=0.5",
        "normalize_advantage=true",
        "ent_coef=0.5",
        "vf_coef=0.1",
    ];
    table!("a2c", A2cConfig, cart_pole(), &[], changes).check();
}

#[test]
fn reinforce() {
    let changes = &[
        "network.actor.hidden=[9]",
        "learning_rate=1e-2",
        "optimizer={kind=\"sgd\", momentum=0.9}",
        "optimizer.nesterov=true | optimizer={kind=\"sgd\", momentum=0.9}",
        "optimizer={kind=\"adam\", beta1=0.5}",
        "optimizer={kind=\"adam\", beta2=0.5}",
        "optimizer={kind=\"adam\", weight_decay=0.5}",
        "optimizer={kind=\"adam\", amsgrad=true} | learning_rate=1e-1",
        "max_grad_norm=0.01",
        "episodes=4",
        "gamma=0.5",
        "returns=whole_episode",
        "baseline=false",
        "normalize_returns=true",
        "ent_coef=0.5",
        "vf_coef=0.1",
    ];
    table!("reinforce", ReinforceConfig, cart_pole(), &["episodes=2"], changes).check();
}

#[test]
fn q_actor_critic() {
    let changes = &[
        "actor.hidden=[9]",
        "critic.hidden=[9]",
        "actor_learning_rate=1e-1",
        "critic_learning_rate=1e-1",
        "optimizer={kind=\"adam\", eps=0.1}",
        "max_grad_norm=0.001",
        "gamma=0.5",
        "baseline=false",
        "ent_coef=0.5",
    ];
    let mut table = table!("q-actor-critic", QActorCriticConfig, cart_pole(), &[], changes);
    table.fields.retain(|field| field != "action_mask");
    table.check();
    let mut table = table!(
        "q-actor-critic without a mask",
        QActorCriticConfig,
        masked(),
        &[],
        &["action_mask=true"]
    );
    table.fields.clear();
    table.check();
}

#[test]
fn searches() {
    let changes = &[
        "network.hidden=[9]",
        "episodes=4",
        "trials=5",
        "noise=0.5",
        "min_noise=0.09",
        "max_noise=0.11",
    ];
    let base = &["episodes=2", "noise=0.1", "trials=2"];
    table!("hill-climbing", HillClimbingConfig, cart_pole(), base, changes).check();
    let changes =
        &["network.hidden=[9]", "episodes=4", "trials=1", "noise=0.5", "temperature=100.0"];
    let base = &["episodes=2", "trials=3"];
    table!("simulated-annealing", SimulatedAnnealingConfig, cart_pole(), base, changes).check();
    let changes = &[
        "network.hidden=[9]",
        "episodes=4",
        "pairs=1",
        "noise=0.2",
        "learning_rate=0.5",
        "optimizer={kind=\"sgd\"}",
    ];
    let base = &["episodes=2", "pairs=2"];
    table!("evolution-strategies", EvolutionStrategiesConfig, cart_pole(), base, changes).check();
}

#[test]
fn q_learning() {
    let changes = &["learning_rate=0.2", "gamma=0.5", "epsilon=0.9", "initial_value=1.0"];
    table!("q-learning", QLearningConfig, cliff(), &[], changes).check();
}

const OFF_POLICY: &[&str] = &[
    "actor.hidden=[8]",
    "critic.hidden=[8]",
    "actor_learning_rate=1e-2",
    "critic_learning_rate=1e-2",
    "buffer_size=150",
    "batch_size=16",
    "learning_starts=40",
    "gradient_steps=2",
];

/// What DDPG and its successors have in common.
const OFF_POLICY_CHANGES: &[&str] = &[
    "actor.hidden=[9]",
    "critic.hidden=[9]",
    "actor_learning_rate=1e-3",
    "critic_learning_rate=1e-3",
    "optimizer={kind=\"adam\", eps=0.1}",
    "max_grad_norm=0.01",
    "tau=0.5",
    "exploration={kind=\"gaussian\", std=0.5}",
    "exploration={kind=\"ornstein_uhlenbeck\", std=0.5}",
    "exploration.theta=0.9 | exploration={kind=\"ornstein_uhlenbeck\", std=0.5}",
    "exploration.dt=0.1 | exploration={kind=\"ornstein_uhlenbeck\", std=0.5}",
    "gamma=0.5",
    "n_step=3",
    "normalize_observations=true",
    "buffer_size=100",
    "batch_size=17",
    "learning_starts=60",
    "train_freq=4",
    "gradient_steps=3",
];

fn with(changes: &[&'static str]) -> &'static [&'static str] {
    [OFF_POLICY_CHANGES, changes].concat().leak()
}

#[test]
fn ddpg() {
    table!("ddpg", DdpgConfig, pendulum(), OFF_POLICY, with(&[])).check();
}

#[test]
fn td3() {
    let changes = with(&["policy_delay=3", "target_noise=0.0", "target_noise_clip=0.01"]);
    table!("td3", Td3Config, pendulum(), OFF_POLICY, changes).check();
}

/// What SAC and TQC add.
const SOFT: &[&str] = &[
    "ent_coef={fixed=0.5}",
    "ent_coef={auto=0.1}",
    "ent_coef_learning_rate=1e-1",
    "target_entropy=-5.0 | ent_coef_learning_rate=1e-1",
];

#[test]
fn sac() {
    table!("sac", SacConfig, pendulum(), OFF_POLICY, with(SOFT)).check();
}

#[test]
fn tqc() {
    let changes = [SOFT, &["n_critics=3", "n_quantiles=7", "top_quantiles_to_drop_per_net=0"]];
    table!("tqc", TqcConfig, pendulum(), OFF_POLICY, with(&changes.concat())).check();
}
