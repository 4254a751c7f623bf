use crate::{CategoricalReturn, ExpectedReturn, Head, QuantileReturn};
use rl_core::{Element, Result, Schedule, check};
use rl_nets::{NetworkConfig, OptimizerConfig, Support, TdLoss};
use rl_replay::{Frames, Prioritized, PrioritizedConfig, Replay, Rows, Sampler, Store, Uniform};
use serde::{Deserialize, Serialize};

/// The settings of [`Dqn`](crate::Dqn). Defaults are Stable-Baselines3's (2.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DqnConfig {
    /// The Q network; two hidden layers of 64 relu units.
    pub network: NetworkConfig,
    /// The step size; 1e-4.
    pub learning_rate: Schedule,
    /// The optimiser; Adam with its published settings.
    pub optimizer: OptimizerConfig,
    /// The gradient's largest global norm; 10. None: no clipping, which learns better where values are large and errors
    /// rare, as on CartPole.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// How the temporal-difference error is penalised; Huber.
    pub loss: TdLoss,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// Steps to sum rewards over before bootstrapping; 1.
    pub n_step: usize,
    /// Transitions that the replay memory holds; 1,000,000.
    pub buffer_size: usize,
    /// Frames that an observation is a stack of ([`FrameStack`](rl_core::FrameStack)), each of which is then stored once
    /// ([`Frames`]); none: both observations of a transition are stored whole.
    #[serde(with = "rl_core::optional")]
    pub frame_stack: Option<usize>,
    /// Transitions in a gradient step; 32.
    pub batch_size: usize,
    /// Environment steps before the first gradient step; 100. Until then actions are drawn with `epsilon` too, which
    /// is 1 at first by default.
    pub learning_starts: u64,
    /// Environment steps, over all environments, between two rounds of learning; 4.
    pub train_freq: u64,
    /// Gradient steps in a round of learning; 1.
    pub gradient_steps: u64,
    /// Environment steps, over all environments, between two updates of the target network; 10,000.
    pub target_update_interval: u64,
    /// The share by which an update moves the target network towards the online one; 1, a copy.
    pub tau: f64,
    /// Whether the online network chooses the action that the target network values (van Hasselt et
    /// al., 2016); no.
    pub double_q: bool,
    /// The probability of a random action; 1 to 0.05 over the first tenth of the run.
    pub epsilon: Schedule,
    /// What the network learns of returns; their expectation. `{ kind = "categorical", v_min = 0.0, v_max = 30.0 }` and
    /// `{ kind = "quantile" }` are the others, see [`HeadConfig`].
    pub head: HeadConfig,
    /// Widths of hidden layers between the network and the output: those that each of the two streams has of its own where
    /// `dueling`, and that are noisy where `noisy`; none. With the activation of `network`, and its init unless noisy: noisy
    /// layers start as in their paper.
    pub output_hidden: Vec<usize>,
    /// Whether a value of the state and advantages of the actions make up the output (Wang et al., 2016, with one
    /// `output_hidden` layer; the root of a half by which they scale the gradient where the streams join is left out); no.
    pub dueling: bool,
    /// The initial size, times the root of a layer's inputs, of learned noise on the weights of the output and of
    /// `output_hidden`, by which the agent explores (Fortunato et al., 2018, where it is 0.5); none: no noise. `epsilon` is
    /// then usually 0. One draw serves all environments of a step; a gradient step has one for the choice of the next
    /// actions and the loss, for which the paper has one each, and another for the target network.
    #[serde(with = "rl_core::optional")]
    pub noisy: Option<f64>,
    /// Prioritised sampling (Schaul et al., 2016), `{}` or `{ alpha = 0.6, beta = 0.4, eps = 1e-6 }`, see
    /// [`PrioritizedConfig`]; none: uniform sampling.
    #[serde(with = "rl_core::optional")]
    pub prioritized: Option<PrioritizedConfig>,
    /// Whether the last numbers of an observation, one an action, say which actions are allowed (1) and which are not
    /// (0); no. The network does not see them.
    pub action_mask: bool,
}

impl Default for DqnConfig {
    fn default() -> Self {
        DqnConfig {
            network: NetworkConfig::default(),
            learning_rate: Schedule::constant(1e-4),
            optimizer: OptimizerConfig::adam(),
            max_grad_norm: Some(10.0),
            loss: TdLoss::Huber,
            gamma: 0.99,
            n_step: 1,
            buffer_size: 1_000_000,
            frame_stack: None,
            batch_size: 32,
            learning_starts: 100,
            train_freq: 4,
            gradient_steps: 1,
            target_update_interval: 10_000,
            tau: 1.0,
            double_q: false,
            epsilon: Schedule::linear(1.0, 0.05).over(0.1),
            head: HeadConfig::Expected,
            output_hidden: Vec::new(),
            dueling: false,
            noisy: None,
            prioritized: None,
            action_mask: false,
        }
    }
}

impl DqnConfig {
    /// Rainbow (Hessel et al., 2018): Double DQN, dueling, prioritised, of three steps, categorical and noisy, with the
    /// paper's settings (its table 1, frames divided by the four that an action lasts; gradients are not clipped). The network is the default's; the
    /// paper's is [`NetworkConfig::nature`]'s convolutions with `output_hidden = [512]`.
    ///
    /// ```
    /// let rainbow = rl_dqn::DqnConfig::rainbow();
    /// assert!(rainbow.dueling && rainbow.double_q && rainbow.n_step == 3);
    /// rainbow.validate()?;
    /// # Ok::<(), rl_core::Error>(())
    /// ```
    pub fn rainbow() -> Self {
        DqnConfig {
            network: NetworkConfig::mlp(&[64]),
            learning_rate: Schedule::constant(6.25e-5),
            optimizer: OptimizerConfig::adam_with_eps(1.5e-4),
            max_grad_norm: None,
            n_step: 3,
            learning_starts: 20_000,
            target_update_interval: 8_000,
            double_q: true,
            epsilon: Schedule::constant(0.0),
            head: HeadConfig::Categorical { atoms: default_atoms(), v_min: -10.0, v_max: 10.0 },
            output_hidden: vec![64],
            dueling: true,
            noisy: Some(0.5),
            prioritized: Some(PrioritizedConfig { alpha: 0.5, ..PrioritizedConfig::default() }),
            ..DqnConfig::default()
        }
    }

    /// Checks every field.
    ///
    /// ```
    /// let config = rl_dqn::DqnConfig { batch_size: 64, buffer_size: 32, ..Default::default() };
    /// assert_eq!(
    ///     config.validate().unwrap_err().to_string(),
    ///     "batch_size: expected at most buffer_size (32), got 64"
    /// );
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::fraction("gamma", self.gamma)?;
        check::at_least("n_step", 1, self.n_step as u64)?;
        check::at_least("buffer_size", 1, self.buffer_size as u64)?;
        let frame_stack = self.frame_stack.map_or(1, |n| n as u64);
        check::at_least("frame_stack", 1, frame_stack)?;
        if self.action_mask && self.frame_stack.is_some() {
            let expected = "none with action_mask: a mask is no part of a frame";
            return Err(rl_core::Error::config("frame_stack", expected, "one"));
        }
        check::at_least("batch_size", 1, self.batch_size as u64)?;
        check::at_most(
            "batch_size",
            self.buffer_size as u64,
            "buffer_size",
            self.batch_size as u64,
        )?;
        check::at_least("train_freq", 1, self.train_freq)?;
        check::repeats("gradient_steps", "gradient steps of a round", self.gradient_steps)?;
        check::at_least("target_update_interval", 1, self.target_update_interval)?;
        check::positive_fraction("tau", self.tau)?;
        self.epsilon.validate("epsilon", check::fraction)?;
        self.output_hidden
            .iter()
            .try_for_each(|&h| check::at_least("output_hidden", 1, h as u64))?;
        check::optional("noisy", self.noisy, check::non_negative)?;
        if self.noisy.is_some() && self.network.output_init.is_some() {
            let expected = "none: a noisy layer starts as in its paper";
            return Err(rl_core::Error::config("network.output_init", expected, "one"));
        }
        let prioritized = self.prioritized.as_ref().map_or(Ok(()), |p| p.validate());
        prioritized.map_err(|error| error.within("prioritized"))?;
        self.head().map(drop)
    }

    /// Refuses settings of the output, for a network of one's own that decides it.
    pub(crate) fn check_network_decides(&self) -> Result<()> {
        let of_output = [
            ("output_hidden", !self.output_hidden.is_empty()),
            ("dueling", self.dueling),
            ("noisy", self.noisy.is_some()),
        ];
        let Some((name, _)) = of_output.iter().find(|(_, set)| *set) else { return Ok(()) };
        let expected = "unset: a network of one's own decides that itself";
        Err(rl_core::Error::config(*name, expected, "it set"))
    }

    /// The replay buffer that the settings describe, which have been validated.
    pub(crate) fn replay<T: Element>(&self, envs: usize, width: usize) -> Result<Replay<T, u32>> {
        let store: Box<dyn Store<T, u32>> = match self.frame_stack {
            None => Box::new(Rows::new(self.buffer_size, envs, width, 1)?),
            Some(stack) => Box::new(Frames::new(self.buffer_size, envs, width, stack, 1)?),
        };
        let sampler: Box<dyn Sampler> = match &self.prioritized {
            None => Box::new(Uniform),
            Some(prioritized) => Box::new(Prioritized::new(prioritized, store.capacity())?),
        };
        Ok(Replay::new(store, sampler)?)
    }

    /// What the network's output means.
    pub(crate) fn head(&self) -> Result<Box<dyn Head>> {
        let head: Result<Box<dyn Head>> = match self.head {
            HeadConfig::Expected => Ok(Box::new(ExpectedReturn::new(self.loss))),
            HeadConfig::Categorical { atoms, v_min, v_max } => {
                CategoricalReturn::new(Support { atoms, v_min, v_max })
                    .map(|head| Box::new(head) as _)
            }
            HeadConfig::Quantile { quantiles, kappa } => {
                QuantileReturn::new(quantiles, kappa).map(|head| Box::new(head) as _)
            }
        };
        head.map_err(|error| error.within("head"))
    }
}

/// What the network of a [`Dqn`](crate::Dqn) learns of returns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum HeadConfig {
    /// Their expectation, by the temporal-difference error that `loss` penalises.
    #[serde(deserialize_with = "no_fields")]
    Expected,
    /// Their distribution over fixed values (C51; Bellemare et al., 2017). `loss` is not used.
    Categorical {
        /// How many values; 51.
        #[serde(default = "default_atoms")]
        atoms: usize,
        /// The smallest value.
        v_min: f64,
        /// The largest value.
        v_max: f64,
    },
    /// Their distribution by its quantiles (QR-DQN; Dabney et al., 2018). `loss` is not used.
    Quantile {
        /// How many quantiles; 200.
        #[serde(default = "default_quantiles")]
        quantiles: usize,
        /// Where the loss turns from quadratic to linear; 1.
        #[serde(default = "default_kappa")]
        kappa: f64,
    },
}

/// A kind without fields does not refuse them by itself.
fn no_fields<'de, D: serde::Deserializer<'de>>(fields: D) -> std::result::Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct None {}
    None::deserialize(fields).map(|None {}| ())
}

fn default_atoms() -> usize {
    51
}
fn default_quantiles() -> usize {
    200
}
fn default_kappa() -> f64 {
    1.0
}
