//! An on-policy rule of one's own: advantage-weighted regression (Peng et al., 2019) on fresh rollouts, whose policy
//! imitates each action by `exp(advantage / temperature)`. Rollouts, advantages and the value function are PPO's.
//!
//! `cargo run --release --package rl-ppo --example own_on_policy_rule`
#![allow(clippy::print_stdout)]

use rl_core::{Metrics, Progress, Result, Schedule, Seeds, SerialVecEnv, TimeLimit};
use rl_core::{Trainer, TrainerConfig, evaluate};
use rl_envs::CartPole;
use rl_nets::policy_gradient;
use rl_nets::{Backend, Categorical, Coefficients, Distribution, InputSpace, PolicyRows};
use rl_ppo::{Learner, OnPolicy, PpoConfig, Rule};

#[derive(Debug)]
struct AdvantageWeighted {
    config: PpoConfig,
    /// Scratch: the weights of a minibatch.
    weights: Vec<f32>,
}

const TEMPERATURE: f32 = 1.0;
const LARGEST_WEIGHT: f32 = 20.0;

impl<D: Distribution, O: InputSpace> Rule<D, O> for AdvantageWeighted {
    const NAME: &'static str = "advantage-weighted";
    type Config = PpoConfig;
    type State = ();

    fn new(config: &PpoConfig) -> Self {
        AdvantageWeighted { config: config.clone(), weights: Vec::new() }
    }

    fn config(&self) -> &PpoConfig {
        &self.config
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let AdvantageWeighted { config, weights } = self;
        let learning_rate = config.learning_rate.at(progress.fraction());
        let coefficients = Coefficients { value: config.vf_coef as f32, entropy: 0.0 };
        for _ in 0..config.n_epochs {
            for places in learner.shuffled(config.batch_size) {
                learner.gather(places, true);
                let loss = learner.loss(|distribution, output, rows, grad| {
                    weights.clear();
                    let weight = |a: &f32| (a / TEMPERATURE).exp().min(LARGEST_WEIGHT);
                    weights.extend(rows.advantages.iter().map(weight));
                    // -w log pi is the policy gradient with weights for advantages.
                    let rows = PolicyRows { advantages: weights, ..rows };
                    policy_gradient(distribution, output, rows, coefficients, grad)
                })?;
                metrics.record("policy_loss", loss.stats.policy_loss);
                loss.step(learning_rate, config.max_grad_norm)?;
            }
        }
        Ok(())
    }

    fn state(&self) {}

    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let seeds = Seeds::new(0);
    let config = PpoConfig {
        learning_rate: Schedule::linear(1e-3, 0.0),
        n_steps: 256,
        ..Default::default()
    };
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?; 4], seeds);
    type Agent = OnPolicy<Categorical, AdvantageWeighted>;
    let agent = Agent::new(&config, &envs()?, &Backend::cpu(), seeds)?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(60_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > 200.0, "{mean}");
    println!("advantage-weighted regression on CartPole: mean return {mean}");
    Ok(())
}
