//! Policies as data.

use crate::description::names;
use crate::{ModuleDescription, Network, RowElement, Support};
use rl_core::{BoxSpace, Normalizer, NormalizerState, POLICY_FILE, check};
use serde::{Deserialize, Serialize};

/// The version of the description.
pub(crate) const VERSION: u32 = 1;

/// Everything that acting takes, as data: `policy.json` in a checkpoint, beside the parameters in `policy.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDescription {
    /// The version of this format, 1.
    pub version: u32,
    /// What the policy sees.
    pub observation: ObservationDescription,
    /// How the agent normalises observations before its network; none. That of a wrapper around the environments,
    /// `normalizer.json`, comes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalizer: Option<NormalizerState>,
    /// The network.
    pub network: ModuleDescription,
    /// The names of its parameters in `policy.safetensors`, in the order in which its modules have them.
    pub parameters: Vec<String>,
    /// What a row of its output means.
    pub output: PolicyOutput,
}

/// The observations of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationDescription {
    /// Numbers in a row.
    pub width: usize,
    /// Where they are bytes, which the network sees divided by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_range: Option<u8>,
}

/// What a row of a policy network's output means, and which action follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PolicyOutput {
    /// A value per action; the first of the largest is taken.
    ActionValues {
        /// Actions.
        actions: usize,
        /// Whether the last numbers of an observation, one an action, say which actions are allowed.
        action_mask: bool,
    },
    /// Logits of returns per action, whose expectation is its value.
    CategoricalValues {
        /// Actions.
        actions: usize,
        /// Whether the last numbers of an observation, one an action, say which actions are allowed.
        action_mask: bool,
        /// The returns.
        support: Support,
    },
    /// Quantiles of the return per action, whose mean is its value.
    QuantileValues {
        /// Actions.
        actions: usize,
        /// Whether the last numbers of an observation, one an action, say which actions are allowed.
        action_mask: bool,
        /// Quantiles of each action.
        quantiles: usize,
    },
    /// Logits per action; greedily the first of the largest is taken. What follows them in a row, as a value, is left out.
    Categorical {
        /// Actions.
        actions: usize,
    },
    /// Means and log standard deviations; greedily the mean, clipped to the bounds.
    Gaussian {
        /// The bounds.
        bounds: Bounds,
    },
    /// Means and log standard deviations of a Gaussian squashed by tanh; greedily `tanh(mean)`, scaled from [-1, 1] to the
    /// bounds.
    SquashedGaussian {
        /// The bounds.
        bounds: Bounds,
    },
    /// An action, clipped to the bounds.
    Mean {
        /// The bounds.
        bounds: Bounds,
    },
    /// An action in [-1, 1], scaled to the bounds.
    Deterministic {
        /// The bounds.
        bounds: Bounds,
    },
}

/// The bounds of actions, `[action width]` each; none where there is no bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The lower bounds.
    pub low: Vec<Option<f32>>,
    /// The upper bounds.
    pub high: Vec<Option<f32>>,
}

impl From<&BoxSpace> for Bounds {
    fn from(space: &BoxSpace) -> Self {
        let finite = |bounds: &[f32]| bounds.iter().map(|x| x.is_finite().then_some(*x)).collect();
        Bounds { low: finite(space.low()), high: finite(space.high()) }
    }
}

impl Bounds {
    pub(crate) fn space(&self) -> rl_core::Result<BoxSpace> {
        let or = |bounds: &[Option<f32>], missing: f32| {
            bounds.iter().map(|x| x.unwrap_or(missing)).collect()
        };
        BoxSpace::new(or(&self.low, f32::NEG_INFINITY), or(&self.high, f32::INFINITY))
    }
}

impl PolicyOutput {
    /// Numbers in a row of output that acting needs.
    pub(crate) fn columns(&self) -> usize {
        match self {
            PolicyOutput::ActionValues { actions, .. } | PolicyOutput::Categorical { actions } => {
                *actions
            }
            PolicyOutput::CategoricalValues { actions, support, .. } => {
                actions.saturating_mul(support.atoms)
            }
            PolicyOutput::QuantileValues { actions, quantiles, .. } => {
                actions.saturating_mul(*quantiles)
            }
            PolicyOutput::Gaussian { bounds } | PolicyOutput::SquashedGaussian { bounds } => {
                2 * bounds.low.len()
            }
            PolicyOutput::Deterministic { bounds } | PolicyOutput::Mean { bounds } => {
                bounds.low.len()
            }
        }
    }
}

impl PolicyDescription {
    /// Describes a network of observations with elements `T`; none if it has a module that is not described, as a model of
    /// candle or one of the user's own.
    ///
    /// # Errors
    /// A network whose output has other columns.
    pub fn of<T: RowElement>(
        network: &Network,
        output: PolicyOutput,
    ) -> rl_core::Result<Option<Self>> {
        let Some(description) = network.describe() else { return Ok(None) };
        let columns = output.columns();
        check::at_most(
            "outputs that acting needs",
            network.output_len() as u64,
            "outputs",
            columns as u64,
        )?;
        let entries = description.build()?.layout().entries().len();
        check::len("parameters of the description", network.layout().entries().len(), entries)?;
        let (description, parameters) = description.leading(columns, &names(network.layout()))?;
        let observation = ObservationDescription {
            width: network.input_len(),
            byte_range: T::BYTES.then(|| network.largest_byte()),
        };
        let network = description;
        Ok(Some(PolicyDescription {
            version: VERSION,
            observation,
            normalizer: None,
            network,
            parameters,
            output,
        }))
    }

    /// The same with the agent's own normalisation of observations.
    pub fn with_normalizer(self, normalizer: Option<&Normalizer>) -> Self {
        PolicyDescription { normalizer: normalizer.map(Normalizer::state), ..self }
    }

    /// The text of [`POLICY_FILE`] for a network whose output means this, and the agent's own normalisation of observations;
    /// none if either cannot be described. For implementors of [`Policy::describe`](rl_core::Policy::describe).
    ///
    /// # Errors
    /// Those of [`of`](PolicyDescription::of).
    pub fn text_of<T: RowElement>(
        network: &Network,
        output: Option<PolicyOutput>,
        normalizer: Option<&Normalizer>,
    ) -> rl_core::Result<Option<String>> {
        let Some(output) = output else { return Ok(None) };
        let description = Self::of::<T>(network, output)?;
        let text = |described: Self| described.with_normalizer(normalizer).to_json();
        description.map(text).transpose()
    }

    /// As the text of a file.
    ///
    /// # Errors
    /// Numbers that JSON cannot express.
    pub fn to_json(&self) -> rl_core::Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|e| rl_core::Error::corrupt(POLICY_FILE, e))
    }
}
