//! ModuRL on the three workloads.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use modurl::prelude::*;
use modurl_gym::classic_control::cartpole::CartPoleV1;
use modurl_gym::classic_control::pendulum::PendulumV1;
use std::error::Error;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn tanh() -> impl candle_core::Module {
    candle_nn::func(|x: &Tensor| x.tanh())
}

fn mlp(inputs: usize, outputs: usize, vars: &VarMap, name: &str) -> Outcome<MLP> {
    let vb = VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu);
    Ok(MLP::builder()
        .input_size(inputs)
        .output_size(outputs)
        .vb(vb)
        .hidden_layer_sizes(vec![64, 64])
        .activation(tanh())
        .name(name.to_string())
        .build()?)
}

fn adam(vars: &VarMap, lr: f64) -> Outcome<AdamW> {
    let params = ParamsAdamW { lr, eps: 1e-5, weight_decay: 0.0, ..Default::default() };
    Ok(AdamW::new(vars.all_vars(), params)?)
}

fn count(all: &[&VarMap]) -> usize {
    all.iter().flat_map(|vars| vars.all_vars()).map(|var| var.elem_count()).sum()
}

/// The gradient steps are those of the settings, since the agents do not count them.
fn report(transitions: usize, started: Instant, parameters: usize, gradient_steps: usize) {
    let rate = transitions as f64 / started.elapsed().as_secs_f64();
    println!(
        "{{\"transitions_per_second\": {rate}, \"transitions\": {transitions}, \
         \"parameters\": {parameters}, \"gradient_steps\": {gradient_steps}}}"
    );
}

fn ppo() -> Outcome<()> {
    let device = Device::Cpu;
    let env = || -> Outcome<_> { Ok(TimeLimitGym::new(CartPoleV1::builder().device(&device).build()?, 500)) };
    let mut envs = VectorizedGymWrapper::from((0..8).map(|_| env()).collect::<Outcome<Vec<_>>>()?);
    let (actor_vars, critic_vars) = (VarMap::new(), VarMap::new());
    let actor = mlp(4, 2, &actor_vars, "actor")?;
    let critic = mlp(4, 1, &critic_vars, "critic")?;
    let policy = ProbabilisticPolicyModel::<CategoricalDistribution>::new(actor);
    let networks = PPONetworkInfo::Separate(
        SeparatePPONetwork::builder()
            .actor_network(policy)
            .critic_network(critic)
            .actor_optimizer(adam(&actor_vars, 3e-4)?)
            .critic_optimizer(adam(&critic_vars, 3e-4)?)
            .build(),
    );
    let (warm_up, timed) = (2_048, 20_480);
    let mut agent = PPOAgent::builder()
        .action_space(envs.action_space())
        .network_info(networks)
        .clip_range(ConstantSchedule::new(0.2))
        .gamma(0.99)
        .gae_lambda(0.95)
        .vf_coef(0.5)
        .ent_coef(0.0)
        .gradient_clip(0.5)
        .batch_size(2_048)
        .mini_batch_size(64)
        .num_epochs(10)
        .training_horizon(warm_up + timed)
        .device(device.clone())
        .build()?;
    agent.learn(&mut envs, warm_up)?;
    let started = Instant::now();
    agent.learn(&mut envs, timed)?;
    report(timed, started, count(&[&actor_vars, &critic_vars]), timed / 2_048 * 10 * 32);
    Ok(())
}

fn dqn() -> Outcome<()> {
    let device = Device::Cpu;
    let env = TimeLimitGym::new(CartPoleV1::builder().device(&device).build()?, 500);
    let mut envs = VectorizedGymWrapper::from(vec![env]);
    let (online_vars, mut target_vars) = (VarMap::new(), VarMap::new());
    let online = mlp(4, 2, &online_vars, "q")?;
    let target = mlp(4, 2, &target_vars, "q")?;
    let (warm_up, timed) = (1_024, 4_096);
    let parameters = count(&[&online_vars]);
    let mut agent = DQNAgent::builder()
        .action_space(Discrete::new(2))
        .observation_space(envs.observation_space())
        .target_q_network(target)
        .online_q_network(online)
        .target_vars(&mut target_vars)
        .online_vars(&online_vars)
        .optimizer(adam(&online_vars, 2.5e-4)?)
        .target_update_interval(1_000)
        .epsilon_schedule(ConstantSchedule::new(0.1))
        .replay_capacity(10_000)
        .batch_size(64)
        .gamma(0.99)
        .update_frequency(4)
        .training_start(64)
        .training_horizon(warm_up + timed)
        .replay_storage_config(ReplayStorageConfig::new(ReplayDeviceStrategy::OneDevice(device)))
        .build()?;
    agent.learn(&mut envs, warm_up)?;
    let started = Instant::now();
    agent.learn(&mut envs, timed)?;
    report(timed, started, parameters, timed / 4);
    Ok(())
}

fn sac() -> Outcome<()> {
    let device = Device::Cpu;
    let env = TimeLimitGym::new(PendulumV1::builder().device(&device).build()?, 200);
    let mut envs = VectorizedGymWrapper::from(vec![env]);
    let (actor_vars, alpha_vars) = (VarMap::new(), Var::zeros((), DType::F32, &device)?);
    let (first, second) = (VarMap::new(), VarMap::new());
    let (mut first_target, mut second_target) = (VarMap::new(), VarMap::new());
    let policy = ProbabilisticPolicyModel::<TransformedDistribution<GaussianDistribution, TanhTransform>>::new(
        mlp(3, 2, &actor_vars, "actor")?,
    );
    let critic = |vars: &VarMap| -> Outcome<_> { Ok(ScalarStateActionCritic::new(mlp(4, 1, vars, "q")?)) };
    let (one, one_target) = (critic(&first)?, critic(&first_target)?);
    let (two, two_target) = (critic(&second)?, critic(&second_target)?);
    let params = ParamsAdamW { lr: 3e-4, eps: 1e-5, weight_decay: 0.0, ..Default::default() };
    let temperature = AdamW::new(vec![alpha_vars.clone()], params)?;
    let parameters = count(&[&actor_vars, &first, &second]);
    let critics = vec![
        SACCritic::builder()
            .online_network(one)
            .target_network(one_target)
            .online_vars(&first)
            .target_vars(&mut first_target)
            .optimizer(adam(&first, 3e-4)?)
            .build()?,
        SACCritic::builder()
            .online_network(two)
            .target_network(two_target)
            .online_vars(&second)
            .target_vars(&mut second_target)
            .optimizer(adam(&second, 3e-4)?)
            .build()?,
    ];
    let (warm_up, timed) = (256, 1_024);
    let mut agent = SACAgent::builder()
        .policy(policy)
        .actor_optimizer(adam(&actor_vars, 3e-4)?)
        .critics(critics)
        .entropy_configuration(SACEntropyConfiguration::automatic(alpha_vars, temperature))
        .action_space(envs.action_space())
        .observation_space(envs.observation_space())
        .replay_storage_config(ReplayStorageConfig::new(ReplayDeviceStrategy::OneDevice(device)))
        .gamma(0.99)
        .tau(0.005)
        .replay_capacity(10_000)
        .batch_size(64)
        .training_start(64)
        .training_horizon(warm_up + timed)
        .build()?;
    agent.learn(&mut envs, warm_up)?;
    let started = Instant::now();
    agent.learn(&mut envs, timed)?;
    report(timed, started, parameters, timed);
    Ok(())
}

fn main() -> Outcome<()> {
    match std::env::args().nth(1).as_deref() {
        Some("ppo") => ppo(),
        Some("dqn") => dqn(),
        Some("sac") => sac(),
        other => Err(format!("workload: expected ppo, dqn or sac, got {other:?}").into()),
    }
}
