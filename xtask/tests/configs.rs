//! Any settings of any family survive a file: TOML and back, unchanged. Every field is drawn, `None` included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use proptest::{prop_assert_eq, proptest};
use rl_core::{Rng, Schedule, Seeds};
use rl_ddpg::{DdpgConfig, EntCoef, NoiseConfig, SacConfig, Td3Config, TqcConfig};
use rl_dqn::{DqnConfig, HeadConfig, QLearningConfig};
use rl_nets::{
    Activation, ActorCriticConfig, ConvConfig, Init, LogStd, NetworkConfig, OptimizerConfig, TdLoss,
};
use rl_pg::{
    A2cConfig, EvolutionStrategiesConfig, HillClimbingConfig, QActorCriticConfig, ReinforceConfig,
    ReturnForm, SimulatedAnnealingConfig,
};
use rl_ppo::{PpoConfig, PpoKlConfig, TrpoConfig};
use rl_replay::PrioritizedConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Draws settings.
struct Draw(Rng);

impl Draw {
    fn number(&mut self) -> f64 {
        match self.0.below(5) {
            0 => 0.0,
            1 => self.0.below(1_000) as f64,
            2 => 10f64.powf(self.0.uniform(-300.0, 300.0)),
            _ => self.0.normal(),
        }
    }
    fn count(&mut self) -> usize {
        self.0.below(1_000_000_000)
    }
    fn flag(&mut self) -> bool {
        self.0.below(2) == 1
    }
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }
    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(draw(self)) } else { None }
    }
    fn several<T>(&mut self, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.below(4)).map(|_| draw(self)).collect()
    }
    fn schedule(&mut self) -> Schedule {
        let (from, to, over) = (self.number(), self.number(), self.number());
        match self.0.below(4) {
            0 => Schedule::linear(from, to).over(over),
            1 => Schedule::exponential(from, to).over(over),
            2 => Schedule::piecewise(self.several(|d| (d.number(), d.number()))),
            _ => Schedule::constant(from),
        }
    }
    fn init(&mut self) -> Init {
        let (gain, bound) = (self.number(), self.number());
        let all = [
            Init::Orthogonal { gain },
            Init::KaimingUniform,
            Init::XavierUniform,
            Init::Pytorch,
            Init::Uniform { bound },
        ];
        self.one_of(&all)
    }
    fn network(&mut self) -> NetworkConfig {
        let activations =
            [Activation::Relu, Activation::Tanh, Activation::Identity, Activation::Silu];
        NetworkConfig {
            conv: self.several(|d| ConvConfig {
                channels: d.count(),
                kernel: d.count(),
                stride: d.count(),
                padding: d.count(),
            }),
            hidden: self.several(Self::count),
            activation: self.one_of(&activations),
            layer_norm: self.flag(),
            init: self.init(),
            output_init: self.maybe(Self::init),
        }
    }
    fn actor_critic(&mut self) -> ActorCriticConfig {
        let free = self.number();
        ActorCriticConfig {
            trunk: self.maybe(Self::network),
            actor: self.network(),
            critic: self.network(),
            log_std: self.one_of(&[LogStd::Free(free), LogStd::OfState]),
            action_mask: self.flag(),
        }
    }
    fn optimizer(&mut self) -> OptimizerConfig {
        match self.0.below(3) {
            0 => OptimizerConfig::Adam {
                beta1: self.number(),
                beta2: self.number(),
                eps: self.number(),
                weight_decay: self.number(),
                amsgrad: self.flag(),
            },
            1 => OptimizerConfig::RmsProp {
                alpha: self.number(),
                eps: self.number(),
                eps_inside_root: self.flag(),
                centered: self.flag(),
                momentum: self.number(),
                initial_accumulator: self.number(),
            },
            _ => OptimizerConfig::Sgd { momentum: self.number(), nesterov: self.flag() },
        }
    }
    fn noise(&mut self) -> NoiseConfig {
        let (std, theta, dt) = (self.number(), self.number(), self.number());
        self.one_of(&[
            NoiseConfig::Gaussian { std },
            NoiseConfig::OrnsteinUhlenbeck { std, theta, dt },
        ])
    }
    fn dqn(&mut self) -> DqnConfig {
        DqnConfig {
            network: self.network(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            loss: self.one_of(&[TdLoss::Mse, TdLoss::Huber]),
            gamma: self.number(),
            n_step: self.count(),
            buffer_size: self.count(),
            frame_stack: self.maybe(Self::count),
            batch_size: self.count(),
            learning_starts: self.count() as u64,
            train_freq: self.count() as u64,
            gradient_steps: self.count() as u64,
            target_update_interval: self.count() as u64,
            tau: self.number(),
            double_q: self.flag(),
            epsilon: self.schedule(),
            head: self.head(),
            output_hidden: self.several(Self::count),
            dueling: self.flag(),
            noisy: self.maybe(Self::number),
            prioritized: self.maybe(|d| PrioritizedConfig {
                alpha: d.number(),
                beta: d.schedule(),
                eps: d.number(),
            }),
            action_mask: self.flag(),
        }
    }
    fn head(&mut self) -> HeadConfig {
        match self.0.below(3) {
            0 => HeadConfig::Expected,
            1 => HeadConfig::Categorical {
                atoms: self.count(),
                v_min: self.number(),
                v_max: self.number(),
            },
            _ => HeadConfig::Quantile { quantiles: self.count(), kappa: self.number() },
        }
    }
    fn q_learning(&mut self) -> QLearningConfig {
        QLearningConfig {
            learning_rate: self.schedule(),
            gamma: self.number(),
            epsilon: self.schedule(),
            initial_value: self.number(),
        }
    }
    fn ppo(&mut self) -> PpoConfig {
        PpoConfig {
            network: self.actor_critic(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            n_steps: self.count(),
            batch_size: self.count(),
            n_epochs: self.count(),
            gamma: self.number(),
            gae_lambda: self.number(),
            clip_range: self.schedule(),
            clip_range_value: self.maybe(Self::number),
            normalize_advantage: self.flag(),
            recompute_advantages: self.flag(),
            ent_coef: self.number(),
            vf_coef: self.number(),
            target_kl: self.maybe(Self::number),
        }
    }
    fn ppo_kl(&mut self) -> PpoKlConfig {
        PpoKlConfig {
            network: self.actor_critic(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            n_steps: self.count(),
            batch_size: self.count(),
            n_epochs: self.count(),
            gamma: self.number(),
            gae_lambda: self.number(),
            target_kl: self.schedule(),
            kl_early_stop: self.maybe(Self::number),
            initial_beta: self.number(),
            normalize_advantage: self.flag(),
            ent_coef: self.number(),
            vf_coef: self.number(),
        }
    }
    fn trpo(&mut self) -> TrpoConfig {
        TrpoConfig {
            network: self.actor_critic(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            n_steps: self.count(),
            batch_size: self.count(),
            n_critic_epochs: self.count(),
            gamma: self.number(),
            gae_lambda: self.number(),
            target_kl: self.schedule(),
            cg_max_steps: self.count(),
            cg_damping: self.number(),
            line_search_shrink: self.number(),
            line_search_max_steps: self.count(),
            normalize_advantage: self.flag(),
        }
    }
    fn a2c(&mut self) -> A2cConfig {
        A2cConfig {
            network: self.actor_critic(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            n_steps: self.count(),
            gamma: self.number(),
            gae_lambda: self.number(),
            normalize_advantage: self.flag(),
            ent_coef: self.number(),
            vf_coef: self.number(),
        }
    }
    fn reinforce(&mut self) -> ReinforceConfig {
        ReinforceConfig {
            network: self.actor_critic(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            episodes: self.count(),
            gamma: self.number(),
            returns: self.one_of(&[ReturnForm::RewardToGo, ReturnForm::WholeEpisode]),
            baseline: self.flag(),
            normalize_returns: self.flag(),
            ent_coef: self.number(),
            vf_coef: self.number(),
        }
    }
    fn q_actor_critic(&mut self) -> QActorCriticConfig {
        QActorCriticConfig {
            actor: self.network(),
            critic: self.network(),
            actor_learning_rate: self.schedule(),
            critic_learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            gamma: self.number(),
            baseline: self.flag(),
            ent_coef: self.number(),
            action_mask: self.flag(),
        }
    }
    fn hill_climbing(&mut self) -> HillClimbingConfig {
        HillClimbingConfig {
            network: self.network(),
            episodes: self.count(),
            trials: self.count() as u64,
            noise: self.number(),
            min_noise: self.number(),
            max_noise: self.number(),
        }
    }
    fn annealing(&mut self) -> SimulatedAnnealingConfig {
        SimulatedAnnealingConfig {
            network: self.network(),
            episodes: self.count(),
            trials: self.count() as u64,
            noise: self.schedule(),
            temperature: self.schedule(),
        }
    }
    fn evolution(&mut self) -> EvolutionStrategiesConfig {
        EvolutionStrategiesConfig {
            network: self.network(),
            episodes: self.count(),
            pairs: self.count(),
            noise: self.number(),
            learning_rate: self.schedule(),
            optimizer: self.optimizer(),
        }
    }
    fn ddpg(&mut self) -> DdpgConfig {
        DdpgConfig {
            actor: self.network(),
            critic: self.network(),
            actor_learning_rate: self.schedule(),
            critic_learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            tau: self.number(),
            exploration: self.noise(),
            gamma: self.number(),
            n_step: self.count(),
            normalize_observations: self.flag(),
            buffer_size: self.count(),
            batch_size: self.count(),
            learning_starts: self.count() as u64,
            train_freq: self.count() as u64,
            gradient_steps: self.count() as u64,
        }
    }
    fn td3(&mut self) -> Td3Config {
        Td3Config {
            actor: self.network(),
            critic: self.network(),
            actor_learning_rate: self.schedule(),
            critic_learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            tau: self.number(),
            exploration: self.noise(),
            policy_delay: self.count() as u64,
            target_noise: self.number(),
            target_noise_clip: self.number(),
            gamma: self.number(),
            n_step: self.count(),
            normalize_observations: self.flag(),
            buffer_size: self.count(),
            batch_size: self.count(),
            learning_starts: self.count() as u64,
            train_freq: self.count() as u64,
            gradient_steps: self.count() as u64,
        }
    }
    fn sac(&mut self) -> SacConfig {
        let (auto, fixed) = (EntCoef::Auto(self.number()), EntCoef::Fixed(self.number()));
        SacConfig {
            actor: self.network(),
            critic: self.network(),
            actor_learning_rate: self.schedule(),
            critic_learning_rate: self.schedule(),
            ent_coef_learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            tau: self.number(),
            ent_coef: self.one_of(&[auto, fixed]),
            target_entropy: self.maybe(Self::number),
            exploration: self.maybe(Self::noise),
            gamma: self.number(),
            n_step: self.count(),
            normalize_observations: self.flag(),
            buffer_size: self.count(),
            batch_size: self.count(),
            learning_starts: self.count() as u64,
            train_freq: self.count() as u64,
            gradient_steps: self.count() as u64,
        }
    }
    fn tqc(&mut self) -> TqcConfig {
        let (auto, fixed) = (EntCoef::Auto(self.number()), EntCoef::Fixed(self.number()));
        TqcConfig {
            actor: self.network(),
            critic: self.network(),
            actor_learning_rate: self.schedule(),
            critic_learning_rate: self.schedule(),
            ent_coef_learning_rate: self.schedule(),
            optimizer: self.optimizer(),
            max_grad_norm: self.maybe(Self::number),
            tau: self.number(),
            ent_coef: self.one_of(&[auto, fixed]),
            target_entropy: self.maybe(Self::number),
            exploration: self.maybe(Self::noise),
            n_critics: self.count(),
            n_quantiles: self.count(),
            top_quantiles_to_drop_per_net: self.count(),
            gamma: self.number(),
            n_step: self.count(),
            normalize_observations: self.flag(),
            buffer_size: self.count(),
            batch_size: self.count(),
            learning_starts: self.count() as u64,
            train_freq: self.count() as u64,
            gradient_steps: self.count() as u64,
        }
    }
}

fn there_and_back<C>(config: &C) -> [C; 2]
where
    C: Serialize + DeserializeOwned,
{
    let text = toml::to_string_pretty(config).unwrap();
    let table = toml::Table::try_from(config).unwrap();
    [toml::from_str(&text).unwrap(), table.try_into().unwrap()]
}

macro_rules! survive {
    ($($config:ident),*) => {
        proptest! {
            $(#[test]
            fn $config(seed: u64) {
                let config = Draw(Seeds::new(seed).stream("config", 0)).$config();
                let [text, table] = there_and_back(&config);
                prop_assert_eq!(&text, &config);
                prop_assert_eq!(&table, &config);
            })*
        }
    };
}

survive!(
    dqn,
    q_learning,
    ppo,
    ppo_kl,
    trpo,
    a2c,
    reinforce,
    q_actor_critic,
    hill_climbing,
    annealing,
    evolution,
    ddpg,
    td3,
    sac,
    tqc
);
