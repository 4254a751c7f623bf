//! Tests targets, losses and gradients against reference values computed by PyTorch (tests/fixtures/generate.py and
//! tests/fixtures/tqc.py), and against finite differences in double precision.

use crate::critic::Critic;
use crate::quantile_critic::quantile_loss;
use crate::{Ddpg, DdpgConfig, EntCoef, Sac, SacConfig, Td3, Td3Config, Tqc, TqcConfig};
use candle_core::{DType, Device, Tensor};
use rl_core::{BoxSpace, Env, Result, Rng, Seeds, SerialVecEnv, Step, VecEnv};
use rl_nets::{
    Activation, Backend, DiagGaussian, Init, Linear, LogStd, Module, Network, NetworkConfig,
    OptimizerConfig, SquashedGaussian, critics, policy_net, with_head,
};
use rl_replay::{Batch, Horizon, Replay};
use serde_json::Value;

fn fixture() -> Value {
    parse(include_str!("../tests/fixtures/continuous_control.json"))
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn flat(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}[{i}]: {a}, expected {b}");
    }
}

/// An environment that replays the recorded transitions.
struct Recorded {
    rows: usize,
    at: usize,
    data: Value,
}

impl Recorded {
    fn show(&self, name: &str, obs: &mut [f32]) {
        obs.copy_from_slice(&flat(&self.data[name])[self.at * 3..][..3]);
    }
}

impl Env for Recorded {
    type Obs = BoxSpace;
    type Action = BoxSpace;
    type State = ();

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(3).unwrap()
    }
    fn action_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0; 2], vec![1.0; 2]).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.show("observations", obs);
        Ok(())
    }
    fn step(&mut self, _: &[f32], _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.show("next_observations", obs);
        let reward = flat(&self.data["rewards"])[self.at];
        let goes_on = flat(&self.data["discounts"])[self.at] > 0.0;
        self.at = (self.at + 1) % self.rows;
        // Every step ends an episode, so its next observation is the final observation.
        let mut step = Step::terminated_if(true, reward);
        if goes_on {
            step.end = Some(rl_core::End::Truncated);
        }
        Ok(step)
    }
    fn state(&self) -> Option<()> {
        Some(())
    }
    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

fn recorded(data: &Value) -> SerialVecEnv<Recorded> {
    let env = Recorded { rows: 6, at: 0, data: data.clone() };
    SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap()
}

/// The six recorded transitions, each once: repeats sampling until a minibatch holds them in order.
fn batch(data: &Value) -> Batch<f32, f32> {
    let mut envs = recorded(data);
    let actions = flat(&data["actions"]);
    let horizon = Horizon { n_step: 1, gamma: data["gamma"].as_f64().unwrap() };
    let mut rng = Seeds::new(0).stream("t", 0);
    let mut replay = Replay::uniform(6, 1, 3, 2).unwrap();
    envs.reset().unwrap();
    for action in actions.chunks(2) {
        envs.step(action).unwrap();
        replay.push(&envs.batch().transitions(action)).unwrap();
    }
    let mut batch = Batch::new(6, 3, 2).unwrap();
    while batch.indices() != [0, 1, 2, 3, 4, 5] {
        replay.sample(&mut rng, 0.0, horizon, &mut batch).unwrap();
    }
    assert_eq!(batch.observations(), flat(&data["observations"]));
    assert_eq!(batch.discounts(), flat(&data["discounts"]));
    batch
}

fn small() -> NetworkConfig {
    NetworkConfig::mlp(&[8])
}

/// Sets the parameters of a critic and its target network; a soft update with tau 1 copies the target's.
fn set_critic(critic: &mut Critic, online: &[f32], target: &[f32]) {
    critic.network().set_params(target).unwrap();
    critic.soft_update(1.0).unwrap();
    critic.network().set_params(online).unwrap();
}

fn cycle(numbers: &[f32]) -> impl FnMut() -> f64 + '_ {
    let mut at = numbers.iter().cycle();
    move || f64::from(*at.next().unwrap())
}

fn backends() -> [Backend; 2] {
    ["cpu", "reference"].map(|name| Backend::by_name(name).unwrap())
}

#[test]
fn ddpg_has_its_targets_and_the_deterministic_policy_gradient() {
    let data = fixture();
    for backend in backends() {
        let config = DdpgConfig { actor: small(), critic: small(), ..DdpgConfig::default() };
        let mut agent = Ddpg::new(&config, &recorded(&data), &backend, Seeds::new(0)).unwrap();
        let rule = agent.rule_mut();
        let (online, target) = (flat(&data["critics"][0]), flat(&data["critics_target"][0]));
        set_critic(&mut rule.critic, &online, &target);
        rule.actor.network_mut().set_params(&flat(&data["actor_target"])).unwrap();
        rule.actor.soft_update(1.0).unwrap();
        rule.actor.network_mut().set_params(&flat(&data["actor"])).unwrap();
        let batch = batch(&data);
        rule.targets(&batch).unwrap();
        assert_close("targets", rule.targets_of_last_batch(), &flat(&data["ddpg_targets"]));
        let before = rule.critic.network().grads().unwrap();
        let loss = rule.actor.loss(&mut rule.critic, batch.observations()).unwrap();
        let value = loss.stats;
        loss.backward().unwrap();
        assert_close("actor loss", &[value as f32], &flat(&data["ddpg_actor_loss"]));
        let gradient = rule.actor.network_mut().grads().unwrap();
        assert_close("actor gradient", &gradient, &flat(&data["ddpg_actor_gradient"]));
        assert_eq!(
            before,
            rule.critic.network().grads().unwrap(),
            "the critic learns nothing from it"
        );
    }
}

#[test]
fn td3_smooths_its_target_and_takes_the_smaller_twin() {
    let data = fixture();
    for backend in backends() {
        let number = |name: &str| data[name].as_f64().unwrap();
        let config = Td3Config {
            actor: small(),
            critic: small(),
            target_noise: number("target_noise"),
            target_noise_clip: number("target_noise_clip"),
            ..Td3Config::default()
        };
        let mut agent = Td3::new(&config, &recorded(&data), &backend, Seeds::new(0)).unwrap();
        let rule = agent.rule_mut();
        set_critic(&mut rule.critic, &flat(&data["critics"]), &flat(&data["critics_target"]));
        rule.actor.network_mut().set_params(&flat(&data["actor_target"])).unwrap();
        rule.actor.soft_update(1.0).unwrap();
        let batch = batch(&data);
        rule.targets(&batch, cycle(&flat(&data["smoothing"]))).unwrap();
        let targets = rule.targets_of_last_batch().to_vec();
        assert_close("targets", &targets, &flat(&data["td3_targets"]));
        let stats =
            rule.critic.step(batch.observations(), batch.actions(), &targets, 0.0, None).unwrap();
        assert_close("critic loss", &[stats.loss as f32], &flat(&data["td3_critic_loss"]));
    }
}

#[test]
fn sac_has_its_soft_targets_its_actor_gradient_and_its_temperature_gradient() {
    let data = fixture();
    for backend in backends() {
        let config = SacConfig {
            actor: small(),
            critic: small(),
            ent_coef: EntCoef::Auto(data["alpha"].as_f64().unwrap()),
            target_entropy: data["target_entropy"].as_f64(),
            ..SacConfig::default()
        };
        let mut agent = Sac::new(&config, &recorded(&data), &backend, Seeds::new(0)).unwrap();
        let rule = agent.rule_mut();
        set_critic(&mut rule.critic, &flat(&data["critics"]), &flat(&data["critics_target"]));
        rule.actor.network_mut().set_params(&flat(&data["policy"])).unwrap();
        let batch = batch(&data);
        rule.targets(&batch, cycle(&flat(&data["next_noise"]))).unwrap();
        assert_close("targets", rule.targets_of_last_batch(), &flat(&data["sac_targets"]));
        let (alpha, noise) = (rule.temperature.alpha(), flat(&data["noise"]));
        let loss = rule.actor_loss(batch.observations(), cycle(&noise), alpha).unwrap();
        assert_close("actor loss", &[loss.stats as f32], &flat(&data["sac_actor_loss"]));
        loss.backward().unwrap();
        assert_close("actions", &rule.actor.drawn().actions, &flat(&data["sac_actions"]));
        assert_close("log-densities", &rule.actor.drawn().log_probs, &flat(&data["sac_log_probs"]));
        let temperature = rule.temperature.gradient(&rule.actor.drawn().log_probs) as f32;
        assert_close("temperature", &[temperature], &flat(&data["sac_temperature_gradient"]));
        let gradient = rule.actor.network_mut().grads().unwrap();
        assert_close("actor gradient", &gradient, &flat(&data["sac_actor_gradient"]));
    }
}

#[test]
fn tqc_has_its_truncated_targets_its_quantile_loss_and_its_actor_gradient() {
    let data = parse(include_str!("../tests/fixtures/tqc.json"));
    let count = |name: &str| data[name].as_u64().unwrap() as usize;
    for backend in backends() {
        let config = TqcConfig {
            actor: small(),
            critic: small(),
            // A step of size 1 moves the critics by their gradient.
            optimizer: OptimizerConfig::Sgd { momentum: 0.0, nesterov: false },
            ent_coef: EntCoef::Fixed(data["alpha"].as_f64().unwrap()),
            n_critics: count("critics_count"),
            n_quantiles: count("quantiles"),
            top_quantiles_to_drop_per_net: count("drop"),
            ..TqcConfig::default()
        };
        let mut agent = Tqc::new(&config, &recorded(&data), &backend, Seeds::new(0)).unwrap();
        let rule = agent.rule_mut();
        rule.critic.network().set_params(&flat(&data["critics_target"])).unwrap();
        rule.critic.soft_update(1.0).unwrap();
        let critics = flat(&data["critics"]);
        rule.critic.network().set_params(&critics).unwrap();
        rule.actor.network_mut().set_params(&flat(&data["policy"])).unwrap();
        let batch = batch(&data);
        rule.targets(&batch, cycle(&flat(&data["next_noise"]))).unwrap();
        let targets = rule.targets_of_last_batch().to_vec();
        assert_close("targets", &targets, &flat(&data["targets"]));

        let (output, mut grad) = (flat(&data["output"]), vec![f32::NAN; 6 * 3 * 5]);
        let stats = quantile_loss((3, 5), &output, &targets, &mut grad).unwrap();
        assert_close("critic loss", &[stats.loss as f32], &flat(&data["critic_loss"]));
        assert_close("output gradient", &grad, &flat(&data["output_gradient"]));

        let (alpha, noise) = (rule.temperature.alpha(), flat(&data["noise"]));
        let loss = rule.actor_loss(batch.observations(), cycle(&noise), alpha).unwrap();
        assert_close("actor loss", &[loss.stats as f32], &flat(&data["actor_loss"]));
        loss.backward().unwrap();
        let gradient = rule.actor.network_mut().grads().unwrap();
        assert_close("actor gradient", &gradient, &flat(&data["actor_gradient"]));

        let (observations, actions) = (batch.observations(), batch.actions());
        let stats = rule.critic.step(observations, actions, &targets, 1.0, None).unwrap();
        assert_close("critic loss", &[stats.loss as f32], &flat(&data["critic_loss"]));
        let moved = rule.critic.network().params().unwrap();
        let moved: Vec<f32> = critics.iter().zip(moved).map(|(from, to)| from - to).collect();
        assert_close("critic gradient", &moved, &flat(&data["critic_gradient"]));
    }
}

fn double(x: &[f32], shape: (usize, usize)) -> Tensor {
    Tensor::from_slice(x, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

fn params_of(network: &Network) -> Tensor {
    let params = network.params().unwrap();
    let n = params.len();
    double(&params, (1, n)).flatten_all().unwrap()
}

/// Compares a gradient with central differences of `loss` in double precision.
fn assert_slope(gradient: &[f32], params: &Tensor, loss: impl Fn(&Tensor) -> Tensor) {
    let values = params.to_vec1::<f64>().unwrap();
    let at = |i: usize, h: f64| {
        let mut moved = values.clone();
        moved[i] += h;
        loss(&Tensor::new(moved, &Device::Cpu).unwrap()).to_scalar::<f64>().unwrap()
    };
    let exact: Vec<f32> =
        (0..values.len()).map(|i| ((at(i, 1e-6) - at(i, -1e-6)) / 2e-6) as f32).collect();
    assert_close("gradient", gradient, &exact);
}

#[test]
fn actor_gradients_equal_finite_differences_in_double_precision() {
    let data = fixture();
    let batch = batch(&data);
    let s = double(batch.observations(), (6, 3));
    let config = DdpgConfig { actor: small(), critic: small(), ..DdpgConfig::default() };
    let mut agent = Ddpg::new(&config, &recorded(&data), &Backend::cpu(), Seeds::new(1)).unwrap();
    let rule = agent.rule_mut();
    rule.actor.loss(&mut rule.critic, batch.observations()).unwrap().backward().unwrap();
    let head = |features| Ok(Linear::new(features, 2)?.with_activation(Activation::Tanh));
    let mu = with_head(&small(), &[3], head).unwrap();
    let q = critics(&small(), 1, &[5]).unwrap();
    let critic = params_of(rule.critic.network());
    let (gradient, at) =
        (rule.actor.network_mut().grads().unwrap(), params_of(rule.actor.network_mut()));
    assert_slope(&gradient, &at, |params| {
        let action = mu.reference(params, &s).unwrap();
        let rows = Tensor::cat(&[s.clone(), action], 1).unwrap();
        q.reference(&critic, &rows).unwrap().mean_all().unwrap().neg().unwrap()
    });

    let config = SacConfig { actor: small(), critic: small(), ..SacConfig::default() };
    let mut agent = Sac::new(&config, &recorded(&data), &Backend::cpu(), Seeds::new(1)).unwrap();
    let rule = agent.rule_mut();
    let noise = flat(&data["noise"]);
    let loss = rule.actor_loss(batch.observations(), cycle(&noise), 0.7).unwrap();
    loss.backward().unwrap();
    let gaussian = DiagGaussian::new(2);
    let policy = policy_net(&small(), &[3], &gaussian, LogStd::OfState, Init::Pytorch).unwrap();
    let (q, pi) = (critics(&small(), 2, &[5]).unwrap(), SquashedGaussian::new(2));
    let (critic, noise) = (params_of(rule.critic.network()), double(&noise, (6, 2)));
    let actor = rule.actor.network_mut();
    assert_slope(&actor.grads().unwrap(), &params_of(actor), |params| {
        let params = policy.reference(params, &s).unwrap();
        let (action, log_prob) = pi.reference(&params, &noise).unwrap();
        let rows = Tensor::cat(&[s.clone(), action], 1).unwrap();
        let value = q.reference(&critic, &rows).unwrap().min(1).unwrap();
        ((log_prob * 0.7).unwrap() - value).unwrap().mean_all().unwrap()
    });
}
