//! Modules as data.

use crate::{
    Activation, Chain, ClampLogStd, Conv2d, ConvConfig, Dueling, Fork, FreeLogStd, Layout, Leading,
    Linear, Masked, Module, NoisyLinear, Result,
};
use rl_core::{Error, check};
use serde::{Deserialize, Serialize};

/// What a module computes, as data: enough to compute the same elsewhere, in this library or another. Parameters are not
/// part of it; those of a network are listed in the order in which its modules have them.
///
/// ```
/// use rl_nets::{Activation, Chain, Linear, Module, ModuleDescription};
/// let net = Chain::new(4)
///     .then(Linear::new(4, 64)?.with_activation(Activation::Tanh))?
///     .then(Linear::new(64, 2)?)?;
/// let description = net.describe().unwrap();
/// let again = description.build()?;
/// assert_eq!((again.input_len(), again.output_len()), (4, 2));
/// assert_eq!(again.describe().as_ref(), Some(&description));
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ModuleDescription {
    /// [`Chain`]: one after another.
    Chain {
        /// The width of an input row.
        inputs: usize,
        /// In order.
        modules: Vec<ModuleDescription>,
    },
    /// [`Fork`]: side by side on the same input, their outputs one after another.
    Fork {
        /// The width of an input row.
        inputs: usize,
        /// In order.
        heads: Vec<ModuleDescription>,
    },
    /// [`Linear`]: `activation(norm(x Wᵀ + b))`; parameters `weight` `[outputs, inputs]` and `bias` `[outputs]`, and with
    /// layer norm (epsilon 1e-5) `norm.weight` and `norm.bias` `[outputs]`.
    Linear {
        /// The width of an input row.
        inputs: usize,
        /// The width of an output row.
        outputs: usize,
        /// The activation.
        activation: Activation,
        /// Whether each row is normalised before it.
        layer_norm: bool,
    },
    /// [`NoisyLinear`], whose noise is off for acting: `activation(x Wᵀ + b)`; parameters `weight`, `bias`, and the sizes of
    /// the noise, `weight_sigma` and `bias_sigma`.
    NoisyLinear {
        /// The width of an input row.
        inputs: usize,
        /// The width of an output row.
        outputs: usize,
        /// The activation.
        activation: Activation,
    },
    /// [`Conv2d`]; parameters `weight` `[channels, input channels, kernel, kernel]` and `bias` `[channels]`. An output row
    /// is `[channels, height, width]`.
    Conv2d {
        /// Channels, height and width of an input row.
        input: [usize; 3],
        /// Channels of the output.
        channels: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// The stride in pixels.
        stride: usize,
        /// Zero padding on each side.
        padding: usize,
        /// The activation.
        activation: Activation,
    },
    /// [`FreeLogStd`]: appends parameters, `log_std` `[count]`, to each row.
    FreeLogStd {
        /// The width of an input row.
        inputs: usize,
        /// Numbers appended.
        count: usize,
    },
    /// [`ClampLogStd`]: clips the last `count` numbers of each row to [-20, 2].
    ClampLogStd {
        /// The width of a row.
        inputs: usize,
        /// Numbers clipped.
        count: usize,
    },
    /// [`Dueling`]: `[V, A_1 … A_n]`, each of `atoms` numbers, to `V + A_i - mean A`.
    Dueling {
        /// Actions.
        actions: usize,
        /// Numbers of each.
        atoms: usize,
    },
    /// [`Masked`]: the last `choices` numbers of an input row say which actions are allowed; the outputs of the others,
    /// which are the first `choices`, become -1e8.
    Masked {
        /// Actions.
        choices: usize,
        /// What sees the rest of the row.
        inner: Box<ModuleDescription>,
    },
    /// [`Leading`]: the first `outputs` numbers of each row.
    Leading {
        /// The width of an input row.
        inputs: usize,
        /// The width of an output row.
        outputs: usize,
    },
}

/// How deep descriptions may be nested.
const MAX_DEPTH: usize = 64;
/// The largest width of a row, and of a kernel; and the most numbers that all modules together make of a row.
const MAX_SIZE: u64 = 1 << 26;
/// The most multiplications in a convolution of a row.
const MAX_WORK: u64 = 1 << 36;

impl ModuleDescription {
    /// The module, with parameters that are yet to be set.
    ///
    /// # Errors
    /// Descriptions whose parts do not fit each other, or that are nested too deeply.
    pub fn build(&self) -> Result<Box<dyn Module>> {
        let numbers = self.numbers() as u64;
        check::at_most("numbers within a network", MAX_SIZE, "those of any network", numbers)?;
        self.build_within(MAX_DEPTH)
    }

    /// At least as many numbers as its modules make of a row. Few of them need parameters, so a short file could ask for
    /// more than there is memory.
    fn numbers(&self) -> usize {
        use ModuleDescription as D;
        let all = |parts: &[D]| parts.iter().map(D::numbers).fold(0, usize::saturating_add);
        match self {
            D::Chain { modules, .. } => all(modules),
            // Heads are copied to one row.
            D::Fork { heads, .. } => all(heads).saturating_mul(2),
            D::Linear { outputs, .. }
            | D::NoisyLinear { outputs, .. }
            | D::Leading { outputs, .. } => *outputs,
            D::Conv2d { channels, .. } => self.conv_plane().saturating_mul(*channels),
            D::FreeLogStd { inputs, count } => inputs.saturating_add(*count),
            D::ClampLogStd { inputs, .. } => *inputs,
            D::Dueling { actions, atoms } => actions.saturating_mul(*atoms),
            D::Masked { inner, .. } => inner.numbers().saturating_mul(2),
        }
    }

    /// The pixels of a convolution's output; 0 of another module.
    fn conv_plane(&self) -> usize {
        let ModuleDescription::Conv2d { input: [_, h, w], kernel, stride, padding, .. } = self
        else {
            return 0;
        };
        let side = |size: usize| {
            let padded = size.saturating_add(padding.saturating_mul(2));
            padded.saturating_sub(*kernel) / (*stride).max(1) + 1
        };
        side(*h).saturating_mul(side(*w))
    }

    fn build_within(&self, depth: usize) -> Result<Box<dyn Module>> {
        use ModuleDescription as D;
        self.check_sizes()?;
        let Some(depth) = depth.checked_sub(1) else {
            let expected = format!("at most {MAX_DEPTH} levels");
            return Err(Error::mismatch("description of a network", expected, "more").into());
        };
        Ok(match self {
            D::Chain { inputs, modules } => {
                let chain = Chain::new(*inputs);
                let add = |chain: Chain, module: &D| chain.then(module.build_within(depth)?);
                Box::new(modules.iter().try_fold(chain, add)?)
            }
            D::Fork { inputs, heads } => {
                let add = |fork: Fork, (i, head): (usize, &D)| {
                    fork.head(&i.to_string(), head.build_within(depth)?)
                };
                Box::new(heads.iter().enumerate().try_fold(Fork::new(*inputs), add)?)
            }
            D::Linear { inputs, outputs, activation, layer_norm } => {
                let linear = Linear::new(*inputs, *outputs)?.with_activation(*activation);
                Box::new(if *layer_norm { linear.with_layer_norm() } else { linear })
            }
            D::NoisyLinear { inputs, outputs, activation } => {
                Box::new(NoisyLinear::new(*inputs, *outputs, 0.0)?.with_activation(*activation))
            }
            D::Conv2d { input, channels, kernel, stride, padding, activation } => {
                let config = ConvConfig {
                    channels: *channels,
                    kernel: *kernel,
                    stride: *stride,
                    padding: *padding,
                };
                Box::new(Conv2d::new(*input, &config)?.with_activation(*activation))
            }
            D::FreeLogStd { inputs, count } => Box::new(FreeLogStd::new(*inputs, *count, 0.0)),
            D::ClampLogStd { inputs, count } => Box::new(ClampLogStd::new(*inputs, *count)?),
            D::Dueling { actions, atoms } => Box::new(Dueling::with_atoms(*actions, *atoms)?),
            D::Masked { choices, inner } => {
                Box::new(Masked::new(inner.build_within(depth)?, *choices)?)
            }
            D::Leading { inputs, outputs } => Box::new(Leading::new(*inputs, *outputs)?),
        })
    }

    /// Refuses sizes that no network has, before anything is computed from them.
    fn check_sizes(&self) -> Result<()> {
        use ModuleDescription as D;
        let sizes: &[usize] = match self {
            D::Chain { inputs, .. } | D::Fork { inputs, .. } => &[*inputs],
            D::Linear { inputs, outputs, .. }
            | D::NoisyLinear { inputs, outputs, .. }
            | D::Leading { inputs, outputs } => &[*inputs, *outputs],
            D::Conv2d { input: [c, h, w], channels, kernel, stride, padding, .. } => {
                let product = |sizes: [usize; 3]| sizes.into_iter().fold(1, usize::saturating_mul);
                let larger = |size: &usize| size.saturating_add(padding.saturating_mul(2));
                &[
                    product([*c, larger(h), larger(w)]),
                    product([*channels, larger(h), larger(w)]),
                    *kernel,
                    *stride,
                ]
            }
            D::FreeLogStd { inputs, count } | D::ClampLogStd { inputs, count } => {
                &[*inputs, *count]
            }
            D::Dueling { actions, atoms } => &[*actions, *atoms, actions.saturating_mul(*atoms)],
            D::Masked { choices, .. } => &[*choices],
        };
        if let D::Conv2d { input: [c, ..], channels, kernel, .. } = self {
            let factors = [self.conv_plane(), *channels, *c, *kernel, *kernel];
            let work = factors.into_iter().fold(1, usize::saturating_mul) as u64;
            check::at_most("multiplications", MAX_WORK, "those of any convolution", work)?;
        }
        let largest = sizes.iter().copied().max().unwrap_or(0);
        Ok(check::at_most("size", MAX_SIZE, "that of any network", largest as u64)?)
    }

    /// Numbers that its modules hold before they have parameters: the noise of noisy layers.
    pub(crate) fn noise(&self) -> usize {
        use ModuleDescription as D;
        match self {
            D::Chain { modules: parts, .. } | D::Fork { heads: parts, .. } => {
                parts.iter().map(D::noise).fold(0, usize::saturating_add)
            }
            D::NoisyLinear { inputs, outputs, .. } => inputs.saturating_add(*outputs),
            D::Masked { inner, .. } => inner.noise(),
            _ => 0,
        }
    }

    /// The module without what computes only outputs from `columns` on, and the parameters that are left of `names`, which
    /// are all of them in order: a policy without the value function beside it. Where the two cannot be told apart,
    /// everything stays.
    ///
    /// # Errors
    /// Those of [`build`](ModuleDescription::build).
    pub(crate) fn leading(&self, columns: usize, names: &[String]) -> Result<(Self, Vec<String>)> {
        let len = |module: &Self| -> Result<usize> { Ok(module.build()?.layout().entries().len()) };
        match self {
            ModuleDescription::Fork { heads, .. } => {
                let (mut covered, mut kept, mut used) = (0, Vec::new(), 0);
                for head in heads {
                    if covered == columns {
                        break;
                    }
                    covered += head.build()?.output_len();
                    used += len(head)?;
                    kept.push(head.clone());
                }
                match (<[_; 1]>::try_from(kept), covered == columns) {
                    (Ok([only]), true) => Ok((only, names[..used].to_vec())),
                    _ => Ok((self.clone(), names.to_vec())),
                }
            }
            ModuleDescription::Chain { inputs, modules } => {
                let Some((last, before)) = modules.split_last() else {
                    return Ok((self.clone(), names.to_vec()));
                };
                let used = before.iter().map(len).sum::<Result<usize>>()?;
                let (last, rest) = last.leading(columns, &names[used..])?;
                let modules = before.iter().cloned().chain([last]).collect();
                let names = names[..used].iter().cloned().chain(rest).collect();
                Ok((ModuleDescription::Chain { inputs: *inputs, modules }, names))
            }
            ModuleDescription::Masked { choices, inner } if *choices <= columns => {
                let (inner, names) = inner.leading(columns, names)?;
                Ok((ModuleDescription::Masked { choices: *choices, inner: Box::new(inner) }, names))
            }
            _ => Ok((self.clone(), names.to_vec())),
        }
    }
}

/// The names of a layout's parameters, in order.
pub(crate) fn names(layout: &Layout) -> Vec<String> {
    layout.entries().iter().map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(inputs: usize, outputs: usize) -> Linear {
        Linear::new(inputs, outputs).unwrap()
    }

    #[test]
    fn a_policy_is_cut_from_the_value_beside_it() {
        let heads = || {
            Fork::new(4).head("policy", linear(4, 2)).unwrap().head("value", linear(4, 1)).unwrap()
        };
        let cut = |module: &dyn Module| {
            let all = names(module.layout());
            let (description, names) = module.describe().unwrap().leading(2, &all).unwrap();
            (description.build().unwrap().output_len(), names)
        };
        let policy = || vec!["policy.weight".to_owned(), "policy.bias".to_owned()];
        assert_eq!(cut(&heads()), (2, policy()));
        // On a trunk, whose parameters stay.
        let trunk = Chain::new(3).then(linear(3, 4)).unwrap().then_named("", heads()).unwrap();
        let trunk_names = vec!["0.weight".to_owned(), "0.bias".to_owned()];
        assert_eq!(cut(&trunk), (2, [trunk_names, policy()].concat()));
        let masked = Masked::new(heads(), 2).unwrap();
        assert_eq!(cut(&masked), (2, policy()));
        // One layer for both.
        assert_eq!(cut(&linear(4, 3)).0, 3);
    }

    #[test]
    fn hostile_descriptions_are_errors() {
        let read = |text: &str| serde_json::from_str::<ModuleDescription>(text);
        let mut deep = ModuleDescription::Leading { inputs: 2, outputs: 1 };
        for _ in 0..100 {
            deep = ModuleDescription::Chain { inputs: 2, modules: vec![deep] };
        }
        let error = deep.build().unwrap_err().to_string();
        assert_eq!(error, "description of a network: expected at most 64 levels, got more");
        for wrong in [
            r#"{"kind":"linear","inputs":0,"outputs":1,"activation":"tanh","layer_norm":false}"#,
            r#"{"kind":"clamp_log_std","inputs":1,"count":2}"#,
            r#"{"kind":"chain","inputs":3,"modules":[{"kind":"leading","inputs":2,"outputs":1}]}"#,
            r#"{"kind":"dueling","actions":0,"atoms":1}"#,
            r#"{"kind":"noisy_linear","inputs":1152921504606846976,"outputs":1,"activation":"tanh"}"#,
            r#"{"kind":"conv2d","input":[1,9223372036854775809,2],"channels":1,"kernel":1,"stride":1,"padding":0,"activation":"relu"}"#,
            r#"{"kind":"free_log_std","inputs":1,"count":18446744073709551615}"#,
            r#"{"kind":"dueling","actions":4294967296,"atoms":4294967296}"#,
        ] {
            assert!(read(wrong).unwrap().build().is_err(), "{wrong}");
        }
        assert!(read(r#"{"kind":"attention"}"#).is_err());

        // Each of these doubles the row, without a parameter; and this is the work of hours, on few.
        let copy = |inputs| ModuleDescription::Leading { inputs, outputs: inputs };
        let double = |i| {
            let inputs = 1usize << i;
            ModuleDescription::Fork { inputs, heads: vec![copy(inputs), copy(inputs)] }
        };
        let doubled =
            ModuleDescription::Chain { inputs: 1, modules: (0..26).map(double).collect() };
        let error = doubled.build().unwrap_err().to_string();
        assert!(error.starts_with("numbers within a network: expected at most"), "{error}");
        let slow = r#"{"kind":"conv2d","input":[1,1,1],"channels":1,"kernel":1000,"stride":1,"padding":2000,"activation":"relu"}"#;
        let error = read(slow).unwrap().build().unwrap_err().to_string();
        assert!(error.starts_with("multiplications: expected at most"), "{error}");
    }
}
