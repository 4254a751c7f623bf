//! What a network's output means.

use crate::values::argmax_rows;
use rl_core::{Discrete, Result, Space, check};
use rl_nets::{PolicyOutput, TdLoss};
use std::fmt::Debug;
use std::ops::Range;

/// What a network's output means to [`Dqn`](crate::Dqn): how action values come from it, and what it is trained on. A
/// row of output has as many numbers for each action, one action after another.
///
/// Weights come in and errors go out, so that a head knows nothing of how transitions are drawn.
pub trait Head: Debug + Send {
    /// Numbers that the network gives for each action.
    fn atoms(&self) -> usize;

    /// Writes the action values, `[n, actions]`, of rows of output, `[n, actions * atoms]`.
    fn values(&self, output: &[f32], values: &mut [f32]);

    /// What a network's output means, as data, for agents of so many actions, with or without a mask behind their
    /// observations; none by default, for heads of one's own.
    fn describe(&self, actions: usize, action_mask: bool) -> Option<PolicyOutput> {
        let _ = (actions, action_mask);
        None
    }

    /// The mean loss of a minibatch, each row counted by its weight. Writes its gradient with respect to the output into
    /// `grad`, `[batch, actions * atoms]`, and how wrong each row was into `errors`, `[batch]`, none of them negative.
    ///
    /// # Errors
    /// Slices that do not fit; an action out of range.
    fn loss(&mut self, rows: TdRows<'_>, grad: &mut [f32], errors: &mut [f32]) -> Result<f64>;
}

/// A minibatch as a [`Head`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct TdRows<'a> {
    /// The network's output for the observations acted on, `[batch, actions * atoms]`.
    pub output: &'a [f32],
    /// The actions taken, `[batch]`.
    pub actions: &'a [u32],
    /// The rewards, summed over n steps, `[batch]`.
    pub rewards: &'a [f32],
    /// What the future counts, `[batch]`: `gamma^n`, or 0 after a termination.
    pub discounts: &'a [f32],
    /// The target network's output for the observations that followed, `[batch, actions * atoms]`.
    pub next_output: &'a [f32],
    /// The actions chosen there, `[batch]`.
    pub next_actions: &'a [u32],
    /// How much each row counts, `[batch]`.
    pub weights: &'a [f32],
}

impl TdRows<'_> {
    /// Where the numbers of row `i` lie that count: those of the action taken, in the output, and those of the next action,
    /// in the next output. Within the slices where [`check`](TdRows::check) has passed.
    pub fn slots(&self, i: usize, atoms: usize) -> (Range<usize>, Range<usize>) {
        let width = self.output.len() / self.actions.len().max(1);
        let slot = |action: u32| {
            let start = i * width + action as usize * atoms;
            start..start + atoms
        };
        (slot(self.actions[i]), slot(self.next_actions[i]))
    }

    /// Checks that all slices belong to one minibatch, and that actions are in range; returns the number of actions.
    /// For implementors of [`Head`].
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not fit or an action out of range.
    pub fn check(&self, atoms: usize, grad: &[f32], errors: &[f32]) -> Result<usize> {
        let batch = self.actions.len();
        let actions = self.output.len() / (batch * atoms).max(1);
        let outputs = batch * actions * atoms;
        check::at_least("batch", 1, batch as u64)?;
        check::at_least("actions", 1, actions as u64)?;
        check::len("outputs", outputs, self.output.len())?;
        check::len("outputs for the next observations", outputs, self.next_output.len())?;
        check::len("gradient", outputs, grad.len())?;
        let columns = [self.rewards.len(), self.discounts.len(), self.weights.len(), errors.len()];
        columns
            .iter()
            .try_for_each(|len| check::len("rewards, discounts, weights, errors", batch, *len))?;
        check::len("next actions", batch, self.next_actions.len())?;
        let choices = Discrete::new(actions as u32)?;
        let all = self.actions.chunks_exact(1).chain(self.next_actions.chunks_exact(1));
        all.into_iter().try_for_each(|action| choices.check("action", action))?;
        Ok(actions)
    }
}

/// One number an action: its expected return.
///
/// ```text
/// loss(Q(s, a) - y),   y = r + discount Q'(s', a')
/// ```
///
/// ```
/// use rl_dqn::{ExpectedReturn, Head, TdRows};
/// let mut head = ExpectedReturn::new(rl_nets::TdLoss::Mse);
/// let rows = TdRows {
///     output: &[1.0, 5.0],
///     actions: &[0],
///     rewards: &[1.0],
///     discounts: &[0.5],
///     next_output: &[2.0, 4.0],
///     next_actions: &[1],
///     weights: &[1.0],
/// };
/// let (mut grad, mut errors) = ([0.0; 2], [0.0]);
/// // The target is 1 + 0.5 * 4.
/// assert_eq!(head.loss(rows, &mut grad, &mut errors)?, 4.0);
/// assert_eq!((grad, errors), ([-4.0, 0.0], [2.0]));
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExpectedReturn {
    loss: TdLoss,
    /// Scratch: the regression targets, `[batch]`.
    targets: Vec<f32>,
}

impl ExpectedReturn {
    /// Values that are regressed with this loss.
    pub fn new(loss: TdLoss) -> Self {
        ExpectedReturn { loss, targets: Vec::new() }
    }
}

impl Head for ExpectedReturn {
    fn describe(&self, actions: usize, action_mask: bool) -> Option<PolicyOutput> {
        Some(PolicyOutput::ActionValues { actions, action_mask })
    }

    fn atoms(&self) -> usize {
        1
    }

    fn values(&self, output: &[f32], values: &mut [f32]) {
        values.copy_from_slice(output);
    }

    fn loss(&mut self, rows: TdRows<'_>, grad: &mut [f32], errors: &mut [f32]) -> Result<f64> {
        let actions = rows.check(1, grad, errors)?;
        self.targets.clear();
        let next = rows.next_output.chunks_exact(actions).zip(rows.next_actions);
        let steps = rows.rewards.iter().zip(rows.discounts);
        self.targets.extend(next.zip(steps).map(|((next, action), (reward, discount))| {
            reward + discount * next[*action as usize]
        }));
        let TdRows { output, actions, weights, .. } = rows;
        Ok(self.loss.of_taken_weighted(output, (actions, &self.targets, weights), grad, errors)?)
    }
}

/// The action of the largest value of each row of output; `values` is scratch, `[n, actions]`.
pub(crate) fn best_actions(
    (head, actions): (&dyn Head, usize),
    output: &[f32],
    values: &mut Vec<f32>,
    forbid: impl FnOnce(&mut [f32]) -> Result<()>,
    best: &mut [u32],
) -> Result<()> {
    check::len("outputs", best.len() * actions * head.atoms(), output.len())?;
    values.resize(best.len() * actions, 0.0);
    head.values(output, values);
    forbid(values)?;
    argmax_rows(values, actions, best)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // How a test fails.
mod tests {
    use super::*;

    /// A row that counts half has half the gradient; errors are what they are.
    #[test]
    fn weights_scale_the_loss_and_not_the_errors() {
        let of = |weight: f32| {
            let rows = TdRows {
                output: &[1.0, 5.0, 3.0, 2.0],
                actions: &[0, 1],
                rewards: &[1.0, 1.0],
                discounts: &[0.0, 0.0],
                next_output: &[0.0; 4],
                next_actions: &[0, 0],
                weights: &[1.0, weight],
            };
            let (mut grad, mut errors) = ([0.0; 4], [0.0; 2]);
            let loss =
                ExpectedReturn::new(TdLoss::Huber).loss(rows, &mut grad, &mut errors).unwrap();
            (loss, grad, errors)
        };
        assert_eq!(of(1.0), (0.25, [0.0, 0.0, 0.0, 0.5], [0.0, 1.0]));
        assert_eq!(of(0.5), (0.125, [0.0, 0.0, 0.0, 0.25], [0.0, 1.0]));
    }

    /// Against numbers that PyTorch computed (rl-nets/tests/fixtures/generate.py).
    #[test]
    fn targets_equal_the_reference_data() {
        let path = format!("{}/tests/fixtures/losses.json", env!("CARGO_MANIFEST_DIR"));
        let data: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let flat = |key: &str| -> Vec<f32> {
            let rows = data["dqn"][key].as_array().unwrap().iter();
            let numbers = rows.flat_map(|row| row.as_array().cloned().unwrap_or(vec![row.clone()]));
            numbers.map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let gamma = data["dqn"]["gamma"].as_f64().unwrap() as f32;
        let ends = data["dqn"]["terminated"].as_array().unwrap();
        let discounts: Vec<f32> =
            ends.iter().map(|end| if end.as_bool().unwrap() { 0.0 } else { gamma }).collect();
        let (rewards, next) = (flat("rewards"), flat("target_q_next"));
        let mut head = ExpectedReturn::new(TdLoss::Mse);
        for (key, chosen_by) in
            [("dqn_target", "target_q_next"), ("double_dqn_target", "online_q_next")]
        {
            let (mut chosen, mut values) = ([0; 8], Vec::new());
            best_actions((&head, 3), &flat(chosen_by), &mut values, |_| Ok(()), &mut chosen)
                .unwrap();
            let rows = TdRows {
                output: &[0.0; 24],
                actions: &[0; 8],
                rewards: &rewards,
                discounts: &discounts,
                next_output: &next,
                next_actions: &chosen,
                weights: &[1.0; 8],
            };
            head.loss(rows, &mut [0.0; 24], &mut [0.0; 8]).unwrap();
            for (got, expected) in head.targets.iter().zip(flat(key)) {
                assert!((got - expected).abs() < 1e-5, "{key}: {got} {expected}");
            }
        }
        assert_ne!(flat("dqn_target"), flat("double_dqn_target"));
    }
}
