//! Products with the Fisher information of a policy.

use crate::{Distribution, Network, Result};
use rl_core::check;

/// The product of a policy's Fisher information with `direction`, `[num_params]`, averaged over the
/// observations `input`, `[n, width]`:
///
/// ```text
/// F v = 1/n Σ_i J_iᵀ M_i J_i v
/// ```
///
/// where `J_i` is the Jacobian of the distribution's parameters in the network's, and `M_i` the Fisher
/// information of the distribution in its own. `F` is the Hessian of the mean `KL(old || new)` at
/// `new = old` (Schulman et al., 2015, appendix C); nothing of the size of `F` is formed.
///
/// The first outputs of the network are the distribution's parameters; what follows them has no part in
/// it. The gradient gathered in the network is forgotten.
///
/// ```
/// use rl_core::Seeds;
/// use rl_nets::{Backend, Categorical, Mlp, MlpConfig, Network, fisher_product};
/// let mut rng = Seeds::new(0).stream("init", 0);
/// let mlp = Mlp::new("f", 1, 2, &MlpConfig { hidden: vec![], ..MlpConfig::default() })?;
/// let mut net = Network::new(mlp, &Backend::Fused, &mut rng)?;
/// net.set_params(&[0.0; 4])?; // two weights, two biases: both actions are as likely
/// let product = fisher_product(&mut net, &Categorical::new(2), &[3.0], &[0.0, 0.0, 1.0, 0.0])?;
/// assert_eq!(product, [0.75, -0.75, 0.25, -0.25]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// [`rl_core::Error::Mismatch`] for slices that do not fit; those of candle.
pub fn fisher_product<D: Distribution>(
    network: &mut Network,
    distribution: &D,
    input: &[f32],
    direction: &[f32],
) -> Result<Vec<f32>> {
    let (params, width) = (distribution.params_len(), network.output_len());
    check::at_least("outputs of the policy network", params as u64, width as u64)?;
    let output = network.forward(input)?.to_vec();
    let tangent = network.tangent(input, direction)?;
    let mut grad = vec![0.0; output.len()];
    let rows = output.chunks_exact(width).zip(tangent.chunks_exact(width));
    for ((row, tangent), grad) in rows.zip(grad.chunks_exact_mut(width)) {
        let grad = &mut grad[..params];
        distribution.fisher_product(&row[..params], &tangent[..params], grad);
    }
    let share = width as f32 / output.len() as f32;
    grad.iter_mut().for_each(|g| *g *= share);
    network.zero_grads()?;
    network.backward(input, &grad, None)?;
    let product = network.grads()?;
    network.zero_grads()?;
    Ok(product)
}
