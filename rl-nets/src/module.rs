//! What a network architecture has to define.

use crate::{Layout, Threads};
use candle_core::Tensor;
use rl_core::Rng;

/// A network architecture as a function of a flat parameter vector, defined twice: in candle's
/// operations, which say what is right on any device, and by a hand-derived pass over slices, which
/// is fast on the CPU.
///
/// A module owns no parameters, only the workspace of its last [`forward`](Module::forward).
pub trait Module: Send {
    /// Numbers in one input row.
    fn input_len(&self) -> usize;

    /// Numbers in one output row.
    fn output_len(&self) -> usize;

    /// The names, shapes and order of the parameters.
    fn layout(&self) -> &Layout;

    /// Writes initial parameters, `[layout.len()]`.
    fn init(&self, params: &mut [f32], rng: &mut Rng);

    /// Computes the output `[batch, output_len]` of `input`, `[batch, input_len]`.
    fn forward(&mut self, params: &[f32], input: &[f32]) -> &[f32];

    /// Given the gradient of the loss with respect to the output of the last forward pass, `[batch,
    /// output_len]`, whose input was `input`: where asked, adds its gradient with respect to the parameters
    /// to `grads`, `[layout.len()]`, and writes that with respect to the input, `[batch, input_len]`.
    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &[f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    );

    /// The derivative of the output of the last forward pass, `[batch, output_len]`, where the parameters
    /// move in `direction`, `[layout.len()]`: `d/dt f(params + t direction)` at `t = 0`. `input` is that
    /// pass's. What has no such pass gives none, and [`Network::tangent`](crate::Network::tangent) works
    /// it out from [`reference`](Module::reference).
    fn tangent(&mut self, params: &[f32], input: &[f32], direction: &[f32]) -> Option<&[f32]> {
        let _ = (params, input, direction);
        None
    }

    /// Hands over threads that large passes may be shared out among. What ignores them computes on the
    /// caller's.
    fn share_among(&mut self, threads: &Threads) {
        let _ = threads;
    }

    /// The same function in candle: `params` is `[layout.len()]`, `input` `[batch, input_len]`, the
    /// result `[batch, output_len]`, in whatever precision the parameters have.
    ///
    /// # Errors
    /// Those of candle.
    fn reference(&self, params: &Tensor, input: &Tensor) -> candle_core::Result<Tensor>;

    /// A copy with a workspace of its own.
    fn boxed_clone(&self) -> Box<dyn Module>;
}
