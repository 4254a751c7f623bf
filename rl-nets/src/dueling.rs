//! The combination of a value with advantages.

use crate::aligned::resize;
use crate::{Module, ModuleDescription, Result};
#[cfg(feature = "candle")]
use candle_core::Tensor;

/// Action values from rows of a value and an advantage per action, `[V, A_1 … A_n]` (Wang et al., 2016, equation 9):
///
/// ```text
/// Q_i = V + A_i - mean A
/// ```
///
/// With several atoms each of the numbers above is a vector of so many, `[V, A_1 … A_n]` being one vector after another:
/// the logits or quantiles of a return's distribution.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Dueling, Network};
/// let mut net = Network::new(Dueling::new(2)?, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
/// assert_eq!(net.predict(&[10.0, 1.0, 3.0])?, [9.0, 11.0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dueling {
    actions: usize,
    atoms: usize,
    output: Vec<f32>,
}

impl Dueling {
    /// For `actions` actions, one number each.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for none.
    pub fn new(actions: usize) -> Result<Self> {
        Self::with_atoms(actions, 1)
    }

    /// For `actions` actions with `atoms` numbers each.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, and for a row that does not fit in memory.
    pub fn with_atoms(actions: usize, atoms: usize) -> Result<Self> {
        rl_core::check::at_least("actions", 1, actions as u64)?;
        rl_core::check::at_least("atoms", 1, atoms as u64)?;
        let bytes = actions.checked_add(1).and_then(|n| n.checked_mul(atoms)?.checked_mul(4));
        rl_core::check::memory("actions", actions, bytes)?;
        Ok(Dueling { actions, atoms, output: Vec::new() })
    }

    /// Writes the combination of each row, which is linear: of its derivative too.
    fn combine(&self, rows: &[f32], out: &mut [f32]) {
        let (n, k) = (self.actions, self.atoms);
        for (row, out) in rows.chunks_exact((1 + n) * k).zip(out.chunks_exact_mut(n * k)) {
            let (value, advantages) = row.split_at(k);
            for (atom, v) in value.iter().enumerate() {
                let mut all = advantages[atom..].iter().step_by(k);
                let mean = all.by_ref().sum::<f32>() / n as f32;
                let advantages = advantages[atom..].iter().step_by(k);
                for (q, a) in out[atom..].iter_mut().step_by(k).zip(advantages) {
                    *q = v + a - mean;
                }
            }
        }
    }
}

impl Module for Dueling {
    fn describe(&self) -> Option<ModuleDescription> {
        Some(ModuleDescription::Dueling { actions: self.actions, atoms: self.atoms })
    }

    fn input_len(&self) -> usize {
        (1 + self.actions) * self.atoms
    }

    fn output_len(&self) -> usize {
        self.actions * self.atoms
    }

    fn forward(&mut self, _: &[f32], input: &[f32]) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        resize(&mut output, input.len() / self.input_len() * self.output_len(), 0.0)?;
        self.combine(input, &mut output);
        self.output = output;
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(
        &mut self,
        _: &[f32],
        _: &[f32],
        grad_output: &mut [f32],
        _: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let (n, k) = (self.actions, self.atoms);
        let rows = grad_input.into_iter().flat_map(|out| out.chunks_exact_mut((1 + n) * k));
        for (out, grad) in rows.zip(grad_output.chunks_exact(n * k)) {
            let (value, advantages) = out.split_at_mut(k);
            for (atom, value) in value.iter_mut().enumerate() {
                *value = grad[atom..].iter().step_by(k).sum();
                let mean = *value / n as f32;
                let grads = grad[atom..].iter().step_by(k);
                for (a, g) in advantages[atom..].iter_mut().step_by(k).zip(grads) {
                    *a = g - mean;
                }
            }
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        _: &[f32],
        _: &[f32],
        _: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        match input_tangent {
            Some(tangent) => self.combine(tangent, out),
            None => out.fill(0.0),
        }
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, _: &Tensor, input: &Tensor) -> Result<Tensor> {
        let (n, k, batch) = (self.actions, self.atoms, input.dim(0)?);
        let value = input.narrow(1, 0, k)?.reshape((batch, 1, k))?;
        let advantages = input.narrow(1, k, n * k)?.reshape((batch, n, k))?;
        let mean = advantages.mean_keepdim(1)?;
        Ok(advantages.broadcast_add(&(value - mean)?)?.reshape((batch, n * k))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;

    /// Against numbers that PyTorch computed (tests/fixtures/distributional.py).
    #[test]
    fn passes_equal_the_reference_data() {
        let data: serde_json::Value =
            serde_json::from_str(include_str!("../tests/fixtures/distributional.json")).unwrap();
        let flat = |key: &str| -> Vec<f32> {
            let numbers = data["dueling"][key].as_array().unwrap().iter();
            numbers.map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let near = |got: &[f32], expected: &str| {
            let expected = flat(expected);
            got.len() == expected.len()
                && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        let (mut layer, x) = (Dueling::with_atoms(3, 4).unwrap(), flat("x"));
        layer.forward(&[], &x).unwrap();
        assert!(near(layer.output(), "y"), "{:?}", layer.output());
        let mut grad_x = vec![0.0; x.len()];
        layer.backward(&[], &x, &mut flat("up"), None, Some(&mut grad_x)).unwrap();
        assert!(near(&grad_x, "grad_x"), "{grad_x:?}");
    }

    #[test]
    fn sizes_that_cannot_be_had_are_refused() {
        for (actions, atoms) in [(usize::MAX, 1), (usize::MAX, 2), (1 << 62, 4), (2, usize::MAX)] {
            let error = Dueling::with_atoms(actions, atoms).unwrap_err().to_string();
            assert!(error.contains("a size that fits in memory"), "{error}");
        }
    }

    #[cfg(feature = "candle")]
    #[test]
    fn both_forms_agree() {
        for (actions, atoms) in [(1, 1), (3, 1), (3, 4), (1, 5)] {
            let dueling = Dueling::with_atoms(actions, atoms).unwrap();
            let problems = crate::check_module(&dueling).unwrap();
            assert!(problems.is_empty(), "{problems:?}");
        }
    }
}
