//! Networks of agents: bodies with heads on them.

use crate::{
    Activation, Body, Chain, ClampLogStd, Distribution, Fork, FreeLogStd, Init, InputSpace, Linear,
    LogStd, Masked, Module, NetworkConfig, Result, unmasked_width,
};
use rl_core::check;
use serde::{Deserialize, Serialize};

/// A body with a head on it, made for the number of its features: action values, a deterministic actor. The head is
/// named like one more layer of the body. How it starts is the caller's to choose, see [`Body::output_init`].
///
/// ```
/// use rl_nets::{Linear, Module, NetworkConfig, with_head};
/// let body = NetworkConfig::mlp(&[64, 64]);
/// let q = with_head(&body, &[4], |features| Linear::new(features, 2))?.named("q");
/// assert_eq!(q.layout().len(), 4 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2);
/// assert_eq!(q.layout().entries()[4].name, "q.2.weight");
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Those of the body and of the head.
pub fn with_head<M: Module + 'static>(
    body: &dyn Body,
    shape: &[usize],
    head: impl FnOnce(usize) -> Result<M>,
) -> Result<Chain> {
    let chain = body.build(shape)?;
    check::len("inputs of the body", shape.iter().product(), chain.input_len())?;
    let head = head(chain.output_len())?;
    chain.then(head)
}

/// A fully connected head that starts as the body says, or else by `init`.
fn head(body: &dyn Body, features: usize, outputs: usize, init: Init) -> Result<Linear> {
    Ok(Linear::new(features, outputs)?.with_init(body.output_init().unwrap_or(init)))
}

/// A body with a head that gives the parameters of a distribution of actions; it starts with `init` where the body
/// does not say otherwise. `log_std` is for distributions that have one.
///
/// ```
/// use rl_nets::{DiagGaussian, Init, LogStd, Module, NetworkConfig, policy_net};
/// let (body, init) = (NetworkConfig::mlp(&[8]), Init::Pytorch);
/// let net = policy_net(&body, &[3], &DiagGaussian::new(2), LogStd::Free(0.0), init)?;
/// assert_eq!((net.output_len(), net.layout().len()), (4, 3 * 8 + 8 + 8 * 2 + 2 + 2));
/// let net = policy_net(&body, &[3], &DiagGaussian::new(2), LogStd::OfState, init)?;
/// assert_eq!((net.output_len(), net.layout().len()), (4, 3 * 8 + 8 + 8 * 4 + 4));
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Those of the body and of [`LogStd::validate`].
pub fn policy_net(
    body: &dyn Body,
    shape: &[usize],
    distribution: &impl Distribution,
    log_std: LogStd,
    init: Init,
) -> Result<Chain> {
    log_std.validate()?;
    let (params, log_stds) = (distribution.params_len(), distribution.log_stds());
    let head = |outputs| with_head(body, shape, |features| head(body, features, outputs, init));
    match log_std {
        _ if log_stds == 0 => head(params),
        LogStd::Free(initial) => {
            let means = params - log_stds;
            head(means)?.then_named("", FreeLogStd::new(means, log_stds, initial as f32))
        }
        LogStd::OfState => head(params)?.then_named("", ClampLogStd::new(params, log_stds)?),
    }
}

/// Several value functions of one shape side by side, such as the twin critics of TD3 and SAC; a row of output has
/// one number of each.
///
/// ```
/// use rl_nets::{Module, NetworkConfig, critics};
/// let net = critics(&NetworkConfig::default(), 2, &[3 + 1])?;
/// assert_eq!((net.input_len(), net.output_len()), (4, 2));
/// assert_eq!(net.layout().entries()[0].name, "critic.0.0.weight");
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Those of the body; [`rl_core::Error::Config`] for none.
pub fn critics(body: &dyn Body, count: usize, shape: &[usize]) -> Result<Fork> {
    quantile_critics(body, count, 1, shape)
}

/// Several distributions of returns side by side, each by its quantiles, such as the critics of TQC; a row of output
/// has `quantiles` numbers of each, critic by critic.
///
/// ```
/// use rl_nets::{Module, NetworkConfig, quantile_critics};
/// let net = quantile_critics(&NetworkConfig::default(), 2, 25, &[3 + 1])?;
/// assert_eq!((net.input_len(), net.output_len()), (4, 2 * 25));
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Those of the body; [`rl_core::Error::Config`] for no critics or no quantiles.
pub fn quantile_critics(
    body: &dyn Body,
    count: usize,
    quantiles: usize,
    shape: &[usize],
) -> Result<Fork> {
    check::at_least("critics", 1, count as u64)?;
    check::at_least("quantiles", 1, quantiles as u64)?;
    (0..count).try_fold(Fork::new(shape.iter().product()), |fork, i| {
        let init = Init::Pytorch;
        let value = with_head(body, shape, |features| head(body, features, quantiles, init))?;
        fork.head(&format!("critic.{i}"), value)
    })
}

/// The settings of an actor-critic network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a table of trunk, actor and critic, each of which may be a network's name"
)]
pub struct ActorCriticConfig {
    /// A body that the policy and the value function share; none. The two below then stand on its features.
    #[serde(with = "rl_core::optional")]
    pub trunk: Option<NetworkConfig>,
    /// The policy; 64-64 tanh, orthogonal with gain sqrt 2, the head with 0.01 (Andrychowicz et al., 2021). On a trunk
    /// of convolutions `hidden = []` is usual, for both.
    pub actor: NetworkConfig,
    /// The value function; 64-64 tanh, orthogonal with gain sqrt 2, the head with 1.
    pub critic: NetworkConfig,
    /// The log standard deviations of continuous actions; parameters of their own that start at 0. Discrete actions have none.
    pub log_std: LogStd,
    /// Whether the last numbers of an observation, one an action, say which actions are allowed (1) and
    /// which are not (0); no. For discrete actions; the bodies do not see them.
    pub action_mask: bool,
}

impl Default for ActorCriticConfig {
    fn default() -> Self {
        ActorCriticConfig {
            trunk: None,
            actor: NetworkConfig::tanh(),
            critic: NetworkConfig::tanh(),
            log_std: LogStd::Free(0.0),
            action_mask: false,
        }
    }
}

/// How heads start (Andrychowicz et al., 2021).
const POLICY_GAIN: f64 = 0.01;
const VALUE_GAIN: f64 = 1.0;

impl NetworkConfig {
    /// The customary body of policy gradients: 64-64 tanh, orthogonal with gain sqrt 2 (Andrychowicz et al., 2021).
    pub fn tanh() -> Self {
        NetworkConfig {
            activation: Activation::Tanh,
            init: Init::Orthogonal { gain: std::f64::consts::SQRT_2 },
            ..NetworkConfig::default()
        }
    }
}

impl ActorCriticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> rl_core::Result<()> {
        if let Some(trunk) = &self.trunk {
            trunk.validate().map_err(|error| error.within("trunk"))?;
            let layers = trunk.conv.len() + trunk.hidden.len();
            check::at_least("trunk.hidden", 1, layers as u64)?;
            if trunk.output_init.is_some() {
                let expected = "none: actor and critic say how their heads start";
                return Err(rl_core::Error::config("trunk.output_init", expected, "one"));
            }
        }
        self.actor.validate().map_err(|error| error.within("actor"))?;
        self.critic.validate().map_err(|error| error.within("critic"))?;
        self.log_std.validate()
    }

    /// The bodies that these settings describe.
    pub fn bodies(&self) -> Bodies<'_> {
        let trunk = self.trunk.as_ref().map(|trunk| trunk as &dyn Body);
        Bodies { trunk, actor: Some(&self.actor), critic: Some(&self.critic) }
    }
}

/// Which bodies the policy and the value function of an actor-critic have.
#[derive(Clone, Copy)]
pub struct Bodies<'a> {
    trunk: Option<&'a dyn Body>,
    /// None where the head stands on the trunk itself.
    actor: Option<&'a dyn Body>,
    critic: Option<&'a dyn Body>,
}

impl<'a> Bodies<'a> {
    /// One body, whose features the heads of both read.
    pub fn shared(body: &'a dyn Body) -> Self {
        Bodies { trunk: Some(body), actor: None, critic: None }
    }

    /// A body for each.
    pub fn separate(actor: &'a dyn Body, critic: &'a dyn Body) -> Self {
        Bodies { trunk: None, actor: Some(actor), critic: Some(critic) }
    }

    /// Whether the two share one.
    pub fn is_shared(&self) -> bool {
        self.trunk.is_some()
    }
}

impl std::fmt::Debug for Bodies<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bodies").field("shared", &self.is_shared()).finish_non_exhaustive()
    }
}

/// A body of no layers, whose head starts as that of the body it stands on.
struct Bare(Option<Init>);

impl Body for Bare {
    fn build(&self, shape: &[usize]) -> Result<Chain> {
        Ok(Chain::new(shape.iter().product()))
    }

    fn output_init(&self) -> Option<Init> {
        self.0
    }
}

/// An actor and a critic over one flat parameter vector, so that both are clipped and stepped as one.
///
/// A row of output is `[policy parameters, value]`. With `action_mask` a row of input is the bodies' own followed by
/// the mask, see [`Masked`].
///
/// ```
/// use rl_nets::{ActorCriticConfig, Bodies, Categorical, DiagGaussian, Module, NetworkConfig, actor_critic};
/// let (config, space) = (ActorCriticConfig::default(), rl_core::BoxSpace::unbounded(4)?);
/// let net = actor_critic(&config, config.bodies(), &space, &Categorical::new(2))?;
/// assert_eq!((net.output_len(), net.layout().len()), (3, 9_155));
/// let net = actor_critic(&config, config.bodies(), &space, &DiagGaussian::new(2))?;
/// assert_eq!(net.output_len(), 5);
/// let trunk = NetworkConfig::tanh();
/// let net = actor_critic(&config, Bodies::shared(&trunk), &space, &Categorical::new(2))?;
/// assert_eq!(net.layout().len(), (4 * 64 + 64) + (64 * 64 + 64) + (64 * 2 + 2) + (64 + 1));
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Those of [`ActorCriticConfig::validate`] and of the bodies; a mask for continuous actions, or one that leaves
/// nothing of the observation.
pub fn actor_critic(
    config: &ActorCriticConfig,
    bodies: Bodies<'_>,
    space: &impl InputSpace,
    distribution: &impl Distribution,
) -> Result<Chain> {
    config.validate()?;
    let mask = match (config.action_mask, distribution.choices()) {
        (false, _) => None,
        (true, Some(choices)) => Some(choices),
        (true, None) => {
            let expected = "false for continuous actions";
            return Err(rl_core::Error::config("action_mask", expected, true).into());
        }
    };
    let features = match mask {
        None => space.input_shape().to_vec(),
        Some(choices) => vec![unmasked_width(space, choices)?],
    };
    let trunk = bodies.trunk.map(|body| body.build(&features)).transpose();
    let trunk = trunk.map_err(|error| error.within("trunk"))?;
    let read = trunk.as_ref().map_or(features, |trunk| vec![trunk.output_len()]);
    let bare = Bare(bodies.trunk.and_then(|trunk| trunk.output_init()));
    let (actor, critic) = (bodies.actor.unwrap_or(&bare), bodies.critic.unwrap_or(&bare));
    let start = |gain| Init::Orthogonal { gain };
    let policy = policy_net(actor, &read, distribution, config.log_std, start(POLICY_GAIN))
        .map_err(|error| error.within("actor"))?;
    let value = with_head(critic, &read, |features| head(critic, features, 1, start(VALUE_GAIN)))
        .map_err(|error| error.within("critic"))?;
    let heads = Fork::new(read.iter().product()).head("actor", policy)?.head("critic", value)?;
    let chain = match trunk {
        Some(trunk) => Chain::new(trunk.input_len()).then_named("trunk", trunk)?,
        None => Chain::new(heads.input_len()),
    };
    let chain = chain.then_named("", heads)?;
    match mask {
        None => Ok(chain),
        Some(choices) => {
            let width = chain.input_len() + choices;
            Chain::new(width).then_named("", Masked::new(chain, choices)?)
        }
    }
}
