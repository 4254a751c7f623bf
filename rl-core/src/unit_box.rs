//! Actions in [-1, 1].

use crate::{BoxSpace, Result};

/// The affine map between [-1, 1], in which networks choose continuous actions, and the bounds of these.
///
/// ```
/// use rl_core::{BoxSpace, UnitBox};
/// let unit = UnitBox::new(&BoxSpace::new(vec![-2.0], vec![6.0])?)?;
/// let mut action = [0.0];
/// unit.to_bounds(&[0.5], &mut action);
/// assert_eq!((action, unit.to_unit(0, 4.0)), ([4.0], 0.5));
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UnitBox {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl UnitBox {
    /// The map for actions in `space`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) that names the first dimension with an infinite bound.
    pub fn new(space: &BoxSpace) -> Result<Self> {
        space.require_finite("action")?;
        Ok(UnitBox { low: space.low().to_vec(), high: space.high().to_vec() })
    }

    /// The width of an action.
    pub fn width(&self) -> usize {
        self.low.len()
    }

    /// Scales rows in [-1, 1], `[n, width]`, to the bounds; -1 and 1 give exactly the lower and the upper bound.
    pub fn to_bounds(&self, unit: &[f32], actions: &mut [f32]) {
        let rows = unit.chunks_exact(self.width()).zip(actions.chunks_exact_mut(self.width()));
        for (unit, action) in rows {
            let bounds = self.low.iter().zip(&self.high);
            for ((u, a), (low, high)) in unit.iter().zip(action).zip(bounds) {
                let share = 0.5 * (u + 1.0);
                *a = (low * (1.0 - share) + high * share).clamp(*low, *high);
            }
        }
    }

    /// Scales one element of an action within the bounds to [-1, 1].
    pub fn to_unit(&self, dimension: usize, action: f32) -> f32 {
        // In double precision, since the difference of finite bounds can overflow.
        let (low, high) = (f64::from(self.low[dimension]), f64::from(self.high[dimension]));
        (2.0 * (f64::from(action) - low) / (high - low) - 1.0).clamp(-1.0, 1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, proptest};

    proptest! {
        #[test]
        fn the_unit_interval_covers_the_bounds(low in -5.0f32..5.0, width in 0.01f32..9.0, u in -1.0f32..=1.0) {
            let space = BoxSpace::new(vec![low], vec![low + width]).unwrap();
            let unit = UnitBox::new(&space).unwrap();
            let at = |u: f32| {
                let mut action = [f32::NAN];
                unit.to_bounds(&[u], &mut action);
                action[0]
            };
            prop_assert!(at(-1.0) == low && at(1.0) == low + width);
            prop_assert!(at(-1.0) <= at(u) && at(u) <= at(1.0));
            prop_assert!((at(u) - (low + 0.5 * (u + 1.0) * width)).abs() < 1e-5);
            let back = unit.to_unit(0, at(u));
            prop_assert!((back - u).abs() <= 1e-5 * (1.0 + (low.abs() + width) / width));
        }
    }
}
