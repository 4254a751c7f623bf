//! Fisher-vector products of a policy.

use crate::{Distribution, Pass, Result};
use rl_core::check;

/// The product of a policy's Fisher information matrix and a vector, averaged over the observations of a forward
/// pass:
///
/// ```text
/// F v = 1/n Σ_i J_iᵀ M_i J_i v
/// ```
///
/// where `J_i` is the Jacobian of the distribution parameters with respect to the network parameters, and `M_i` is
/// the Fisher information matrix of the distribution. `F` is the Hessian of the mean `KL(old || new)` at `new = old`
/// (Schulman et al., 2015, appendix C); it is never formed explicitly.
///
/// The first outputs of the network are the distribution parameters; the remaining outputs are ignored. Buffers are
/// reused between products.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Categorical, FisherProduct, Linear, Network};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mut net = Network::new(Linear::new(1, 2)?, &Backend::cpu(), &mut rng)?;
/// net.set_params(&[0.0; 4])?; // two weights, two biases: both actions are as likely
/// let (mut fisher, mut product) = (FisherProduct::default(), [0.0; 4]);
/// let mut pass = net.forward(&[3.0])?;
/// fisher.product(&mut pass, &Categorical::new(2), &[0.0, 0.0, 1.0, 0.0], &mut product)?;
/// assert_eq!(product, [0.75, -0.75, 0.25, -0.25]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FisherProduct {
    tangent: Vec<f32>,
    grad: Vec<f32>,
}

impl FisherProduct {
    /// Writes the product with `direction`, `[num_params]`, into `out`, `[num_params]`. The pass is not consumed.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not match; errors of candle.
    pub fn product<D: Distribution>(
        &mut self,
        pass: &mut Pass<'_>,
        distribution: &D,
        direction: &[f32],
        out: &mut [f32],
    ) -> Result<()> {
        let (params, width) = (distribution.params_len(), pass.output_len());
        check::at_least("outputs of the policy network", params as u64, width as u64)?;
        let n = pass.output().len();
        self.tangent.resize(n, 0.0);
        pass.tangent(direction, &mut self.tangent)?;
        self.grad.clear();
        self.grad.resize(n, 0.0);
        let rows = pass.output().chunks_exact(width).zip(self.tangent.chunks_exact(width));
        for ((row, tangent), grad) in rows.zip(self.grad.chunks_exact_mut(width)) {
            let grad = &mut grad[..params];
            distribution.fisher_product(&row[..params], &tangent[..params], grad);
        }
        let share = width as f32 / n as f32;
        self.grad.iter_mut().for_each(|g| *g *= share);
        pass.vjp(&mut self.grad, out)
    }
}
