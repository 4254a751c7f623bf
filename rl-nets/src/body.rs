//! Bodies: what a user chooses of a network. Agents put their own heads on them.

use crate::{Activation, Chain, Conv2d, ConvConfig, Init, Linear, Module, Result};
use rl_core::check;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

/// A factory of bodies: given the shape of what is read, `[4]` or `[channels, height, width]`, a chain of
/// modules from rows of so many numbers to features. An agent appends its own heads: action values, a policy's
/// parameters, a value.
///
/// Settings are one ([`NetworkConfig`]), so is a closure, and so is a model of candle
/// ([`CandleBody`](crate::CandleBody)).
///
/// ```
/// use rl_nets::{Activation, Body, Chain, Linear, Module};
/// let body = |shape: &[usize]| {
///     let inputs = shape.iter().product();
///     Chain::new(inputs).then(Linear::new(inputs, 32)?.with_activation(Activation::Tanh))
/// };
/// assert_eq!(body.build(&[4])?.output_len(), 32);
/// # Ok::<(), rl_nets::Error>(())
/// ```
pub trait Body {
    /// A body for rows of this shape.
    ///
    /// # Errors
    /// A shape that the body cannot read.
    fn build(&self, shape: &[usize]) -> Result<Chain>;

    /// How the heads start that an agent puts on it; none: as the agent's algorithm is published.
    fn output_init(&self) -> Option<Init> {
        None
    }
}

impl<F: Fn(&[usize]) -> Result<Chain>> Body for F {
    fn build(&self, shape: &[usize]) -> Result<Chain> {
        self(shape)
    }
}

/// The settings of a body: convolutions, where there are any, then fully connected layers; each with an
/// activation behind it. In a file also by name: `network = "nature"`, `"minatar"` or `"impala-small"`.
///
/// ```
/// use rl_nets::{Body, Module, NetworkConfig};
/// let body = NetworkConfig::nature().build(&[4, 84, 84])?;
/// assert_eq!((body.input_len(), body.output_len()), (4 * 84 * 84, 512));
/// let error = NetworkConfig::nature().build(&[4]).unwrap_err().to_string();
/// assert_eq!(error, "conv: expected observations of [channels, height, width], got [4]");
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkConfig {
    /// Convolutions, for observations of `[channels, height, width]`; none.
    pub conv: Vec<ConvConfig>,
    /// Widths of the fully connected hidden layers; `[64, 64]`, as Stable-Baselines3's `MlpPolicy`.
    pub hidden: Vec<usize>,
    /// After each layer of `conv` and `hidden`; relu.
    pub activation: Activation,
    /// Whether to normalise each fully connected layer before its activation (Ba et al., 2016); no.
    pub layer_norm: bool,
    /// How the layers of `conv` and `hidden` start; as in PyTorch.
    pub init: Init,
    /// How the heads start that an agent puts on it; none: as the agent's algorithm is published. Not for a trunk,
    /// which has bodies on it.
    #[serde(with = "rl_core::optional")]
    pub output_init: Option<Init>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        NetworkConfig {
            conv: Vec::new(),
            hidden: vec![64, 64],
            activation: Activation::Relu,
            layer_norm: false,
            init: Init::Pytorch,
            output_init: None,
        }
    }
}

impl NetworkConfig {
    /// Fully connected layers of these widths.
    pub fn mlp(hidden: &[usize]) -> Self {
        NetworkConfig { hidden: hidden.to_vec(), ..NetworkConfig::default() }
    }

    /// The network of Mnih et al. (2015) for images of 84x84: 32 8x8 with stride 4, 64 4x4 with stride 2, 64 3x3,
    /// then 512 units; relu.
    pub fn nature() -> Self {
        let layer = |channels, kernel, stride| ConvConfig { channels, kernel, stride, padding: 0 };
        NetworkConfig {
            conv: vec![layer(32, 8, 4), layer(64, 4, 2), layer(64, 3, 1)],
            ..NetworkConfig::mlp(&[512])
        }
    }

    /// The network of Young and Tian (2019) for MinAtar's planes of 10x10: 16 3x3, then 128 units; relu.
    pub fn minatar() -> Self {
        let layer = ConvConfig { channels: 16, kernel: 3, stride: 1, padding: 0 };
        NetworkConfig { conv: vec![layer], ..NetworkConfig::mlp(&[128]) }
    }

    /// The small network of Espeholt et al. (2018) for images of 84x84, without its recurrent layer: 16 8x8 with stride 4,
    /// 32 4x4 with stride 2, then 256 units; relu. The network of Mnih et al. (2013) too.
    pub fn impala_small() -> Self {
        let layer = |channels, kernel, stride| ConvConfig { channels, kernel, stride, padding: 0 };
        NetworkConfig { conv: vec![layer(16, 8, 4), layer(32, 4, 2)], ..NetworkConfig::mlp(&[256]) }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a layer without units; those of [`ConvConfig::validate`].
    pub fn validate(&self) -> rl_core::Result<()> {
        for (i, layer) in self.conv.iter().enumerate() {
            layer.validate().map_err(|error| error.within(&format!("conv.{i}")))?;
        }
        self.hidden.iter().try_for_each(|&h| check::at_least("hidden", 1, h as u64))?;
        self.init.validate().map_err(|error| error.within("init"))?;
        self.output_init.map_or(Ok(()), |init| init.validate()).map_err(|e| e.within("output_init"))
    }
}

impl Body for NetworkConfig {
    fn build(&self, shape: &[usize]) -> Result<Chain> {
        self.validate()?;
        let mut chain = Chain::new(shape.iter().product());
        let mut image = match (shape, &self.conv[..]) {
            (_, []) => [1, 1, 1],
            (&[channels, height, width], _) => [channels, height, width],
            _ => {
                let expected = "observations of [channels, height, width]";
                let got = format_args!("{shape:?}");
                return Err(rl_core::Error::config("conv", expected, got).into());
            }
        };
        for (i, layer) in self.conv.iter().enumerate() {
            let conv = Conv2d::new(image, layer);
            let conv = conv.map_err(|error| error.within(&format!("conv.{i}")))?;
            let conv = conv.with_activation(self.activation).with_init(self.init);
            image = conv.output_shape();
            chain = chain.then(conv)?;
        }
        for &width in &self.hidden {
            let layer = Linear::new(chain.output_len(), width)?;
            let layer = layer.with_activation(self.activation).with_init(self.init);
            let layer = if self.layer_norm { layer.with_layer_norm() } else { layer };
            chain = chain.then(layer)?;
        }
        Ok(chain)
    }

    fn output_init(&self) -> Option<Init> {
        self.output_init
    }
}

impl<'de> Deserialize<'de> for NetworkConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        /// The fields as they stand in a file.
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Fields {
            conv: Vec<ConvConfig>,
            hidden: Vec<usize>,
            activation: Activation,
            layer_norm: bool,
            init: Init,
            #[serde(with = "rl_core::optional")]
            output_init: Option<Init>,
        }

        impl Default for Fields {
            fn default() -> Self {
                let NetworkConfig { conv, hidden, activation, layer_norm, init, output_init } =
                    NetworkConfig::default();
                Fields { conv, hidden, activation, layer_norm, init, output_init }
            }
        }

        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = NetworkConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "the settings of a network, \"nature\", \"minatar\" or \"impala-small\"",
                )
            }

            fn visit_str<E: serde::de::Error>(
                self,
                name: &str,
            ) -> std::result::Result<NetworkConfig, E> {
                match name {
                    "nature" => Ok(NetworkConfig::nature()),
                    "minatar" => Ok(NetworkConfig::minatar()),
                    "impala-small" => Ok(NetworkConfig::impala_small()),
                    name => Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)),
                }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<NetworkConfig, A::Error> {
                let Fields { conv, hidden, activation, layer_norm, init, output_init } =
                    Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NetworkConfig { conv, hidden, activation, layer_norm, init, output_init })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
