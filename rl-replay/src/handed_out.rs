//! Detects executed actions that differ from those an agent returned.

use rl_core::{Result, Space, check};

/// The actions that an agent last returned from `act`, `[envs, action width]`, as clipped for the environment. The
/// executed actions may differ (a safety filter, a demonstration); the agent then learns from the executed ones.
#[derive(Clone, Debug)]
pub struct HandedOut<A: Space> {
    space: A,
    actions: Vec<A::Elem>,
    /// Whether the stored actions belong to the step observed next.
    fresh: bool,
}

impl<A: Space> HandedOut<A> {
    /// A record for actions of `num_envs` environments.
    pub fn new(space: A, num_envs: usize) -> Self {
        let actions = vec![<A::Elem as Default>::default(); num_envs * space.width()];
        HandedOut { space, actions, fresh: false }
    }

    /// The action space.
    pub fn space(&self) -> &A {
        &self.space
    }

    /// Stores the returned actions.
    ///
    /// # Errors
    /// A slice of the wrong length.
    pub fn note(&mut self, actions: &[A::Elem]) -> Result<()> {
        check::len("actions", self.actions.len(), actions.len())?;
        self.actions.copy_from_slice(actions);
        self.fresh = true;
        Ok(())
    }

    /// Compares the actions `taken` with the stored ones. Each element that differs is written into `own`, the
    /// agent's representation of the actions, through `to_own`, which also gets its dimension; `replaced` is called
    /// with each environment that has such elements and its row of `own`. If no actions were stored since the last
    /// call, all elements count as different. Returns whether any were stored.
    ///
    /// # Errors
    /// Slices of the wrong length; a differing action outside the space; errors of `replaced`.
    pub fn compare(
        &mut self,
        taken: &[A::Elem],
        own: &mut [A::Elem],
        to_own: impl Fn(usize, A::Elem) -> A::Elem,
        mut replaced: impl FnMut(usize, &[A::Elem]) -> Result<()>,
    ) -> Result<bool> {
        check::len("actions", self.actions.len(), taken.len())?;
        check::len("the agent's actions", self.actions.len(), own.len())?;
        let (width, fresh) = (self.space.width(), self.fresh);
        // All are checked before any is taken over.
        for (handed_out, taken) in self.actions.chunks_exact(width).zip(taken.chunks_exact(width)) {
            if !fresh || handed_out != taken {
                self.space.check("action", taken)?;
            }
        }
        let handed_out = self.actions.chunks_exact(width);
        let rows = own.chunks_exact_mut(width).zip(handed_out).zip(taken.chunks_exact(width));
        for (env, ((own, handed_out), taken)) in rows.enumerate() {
            if fresh && handed_out == taken {
                continue;
            }
            let elements = own.iter_mut().zip(handed_out).zip(taken);
            for (dimension, ((own, handed_out), taken)) in elements.enumerate() {
                if !fresh || handed_out != taken {
                    *own = to_own(dimension, *taken);
                }
            }
            replaced(env, own)?;
        }
        self.fresh = false;
        Ok(fresh)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.
mod tests {
    use super::*;
    use rl_core::BoxSpace;

    #[test]
    fn what_differs_is_replaced_element_by_element() {
        let space = BoxSpace::new(vec![-2.0; 2], vec![2.0; 2]).unwrap();
        let mut handed_out = HandedOut::new(space, 2);
        let mut compare = |noted: bool, taken: [f32; 4]| {
            let (mut own, mut envs) = ([5.0, 0.25, 0.5, 0.75], vec![]);
            if noted {
                handed_out.note(&[2.0, 0.25, 0.5, 0.75])?;
            }
            let note = |env, _: &[f32]| {
                envs.push(env);
                Ok(())
            };
            let fresh = handed_out.compare(&taken, &mut own, |i, a| a + 10.0 * i as f32, note)?;
            assert_eq!(fresh, noted);
            rl_core::Result::Ok((own, envs))
        };
        let same = [2.0, 0.25, 0.5, 0.75];
        assert_eq!(compare(true, same).unwrap(), ([5.0, 0.25, 0.5, 0.75], vec![]));
        let second = [2.0, 1.0, 0.5, 0.75];
        assert_eq!(compare(true, second).unwrap(), ([5.0, 11.0, 0.5, 0.75], vec![0]));
        // No actions were stored since the last call, so all count as external.
        assert_eq!(compare(false, same).unwrap(), ([2.0, 10.25, 0.5, 10.75], vec![0, 1]));
        let error = compare(true, [2.0, 0.25, f32::NAN, 0.0]).unwrap_err().to_string();
        assert!(error.starts_with("action dimension 0"), "{error}");
    }
}
