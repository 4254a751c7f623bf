//! Hyperparameters that change during a run.

use crate::{Error, Result, check};
use serde::{Deserialize, Serialize};

/// A number as a function of the completed fraction of the run, in `[0, 1]`.
///
/// In a configuration file it is a plain number, or a table with a `kind`:
///
/// ```
/// use rl_core::Schedule;
/// let epsilon = Schedule::linear(1.0, 0.04).over(0.16);
/// assert_eq!(epsilon.at(0.0), 1.0);
/// assert_eq!(epsilon.at(0.08), 0.52);
/// assert_eq!(epsilon.at(0.9), 0.04);
/// let json = r#"{"kind": "linear", "from": 1.0, "to": 0.04, "over": 0.16}"#;
/// assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), epsilon);
/// assert_eq!(serde_json::from_str::<Schedule>("0.1").unwrap(), Schedule::constant(0.1));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number, or a table with kind = \"linear\", \"exponential\" or \"piecewise\""
)]
pub enum Schedule {
    /// A constant value.
    Constant(f64),
    /// A changing value.
    Changing(Changing),
}

/// The shapes of a changing [`Schedule`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Changing {
    /// Linear from `from` to `to` over the first fraction `over` of the run, then constant at `to`.
    Linear {
        /// The initial value.
        from: f64,
        /// The final value.
        to: f64,
        /// The fraction of the run over which the value changes, in `(0, 1]`; default 1.
        #[serde(default = "whole")]
        over: f64,
    },
    /// `from (to / from)^(t / over)` over the first fraction `over` of the run, then constant at `to`.
    Exponential {
        /// The initial value, above zero.
        from: f64,
        /// The final value, above zero.
        to: f64,
        /// The fraction of the run over which the value changes, in `(0, 1]`; default 1.
        #[serde(default = "whole")]
        over: f64,
    },
    /// Linear interpolation between `(fraction of the run, value)` points; constant before the first and after the
    /// last.
    Piecewise {
        /// The points, in ascending order of the fraction.
        points: Vec<(f64, f64)>,
    },
}

fn whole() -> f64 {
    1.0
}

impl Schedule {
    /// A constant value.
    pub fn constant(value: f64) -> Self {
        Schedule::Constant(value)
    }

    /// Linear over the whole run.
    pub fn linear(from: f64, to: f64) -> Self {
        Schedule::Changing(Changing::Linear { from, to, over: 1.0 })
    }

    /// Exponential over the whole run.
    pub fn exponential(from: f64, to: f64) -> Self {
        Schedule::Changing(Changing::Exponential { from, to, over: 1.0 })
    }

    /// Linear interpolation between points.
    pub fn piecewise(points: Vec<(f64, f64)>) -> Self {
        Schedule::Changing(Changing::Piecewise { points })
    }

    /// Ends the change after this fraction of the run. Constant and piecewise schedules are unchanged.
    pub fn over(mut self, share: f64) -> Self {
        if let Schedule::Changing(
            Changing::Linear { over, .. } | Changing::Exponential { over, .. },
        ) = &mut self
        {
            *over = share;
        }
        self
    }

    /// The value at the completed fraction `fraction` of the run.
    pub fn at(&self, fraction: f64) -> f64 {
        match self {
            Schedule::Constant(value) => *value,
            Schedule::Changing(Changing::Linear { from, to, over }) => {
                let t = (fraction / over).min(1.0);
                if t >= 1.0 { *to } else { from + (to - from) * t }
            }
            Schedule::Changing(Changing::Exponential { from, to, over }) => {
                let t = (fraction / over).min(1.0);
                if t >= 1.0 { *to } else { from * (to / from).powf(t) }
            }
            Schedule::Changing(Changing::Piecewise { points }) => {
                let after = points.partition_point(|(at, _)| *at <= fraction);
                match (after.checked_sub(1).and_then(|i| points.get(i)), points.get(after)) {
                    (Some((t0, v0)), Some((t1, v1))) => {
                        v0 + (v1 - v0) * (fraction - t0) / (t1 - t0)
                    }
                    (Some((_, v)), None) | (None, Some((_, v))) => *v,
                    (None, None) => 0.0,
                }
            }
        }
    }

    /// All values that define the schedule.
    fn values(&self) -> Vec<f64> {
        match self {
            Schedule::Constant(v) => vec![*v],
            Schedule::Changing(
                Changing::Linear { from, to, .. } | Changing::Exponential { from, to, .. },
            ) => vec![*from, *to],
            Schedule::Changing(Changing::Piecewise { points }) => {
                points.iter().map(|(_, v)| *v).collect()
            }
        }
    }

    /// Checks the shape of the schedule, and each of its values with `range`; errors name `field`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the field and the accepted values.
    pub fn validate(&self, field: &str, range: fn(&str, f64) -> Result<()>) -> Result<()> {
        match self {
            Schedule::Constant(_) => {}
            Schedule::Changing(Changing::Linear { over, .. }) => {
                check::positive_fraction(&format!("{field}.over"), *over)?;
            }
            Schedule::Changing(Changing::Exponential { from, to, over }) => {
                check::positive_fraction(&format!("{field}.over"), *over)?;
                check::positive(&format!("{field}.from"), *from)?;
                check::positive(&format!("{field}.to"), *to)?;
            }
            Schedule::Changing(Changing::Piecewise { points }) => {
                for (fraction, _) in points {
                    check::fraction(&format!("{field}.points"), *fraction)?;
                }
                let rising = points.windows(2).all(|w| matches!(w, [a, b] if a.0 < b.0));
                if points.is_empty() || !rising {
                    return Err(Error::config(
                        format!("{field}.points"),
                        "at least one point, in rising order",
                        format_args!("{points:?}"),
                    ));
                }
            }
        }
        self.values().into_iter().try_for_each(|v| range(field, v))
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Schedule::Constant(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stays_between_its_ends(from in 0.01f64..1.0, to in 0.01f64..1.0, over in 0.01f64..1.0, t in 0.0f64..1.0) {
            let (low, high) = (from.min(to) - 1e-12, from.max(to) + 1e-12);
            for s in [
                Schedule::linear(from, to).over(over),
                Schedule::exponential(from, to).over(over),
                Schedule::piecewise(vec![(0.0, from), (over, to)]),
            ] {
                prop_assert!(s.validate("x", check::positive).is_ok());
                prop_assert!((low..=high).contains(&s.at(t)), "{s:?} at {t}: {}", s.at(t));
                prop_assert!((s.at(0.0) - from).abs() < 1e-12);
                prop_assert_eq!(s.at(1.0), to);
            }
        }
    }

    #[test]
    fn piecewise_interpolates() {
        let s = Schedule::piecewise(vec![(0.25, 1.0), (0.5, 3.0), (1.0, 2.0)]);
        assert_eq!(
            [0.0, 0.25, 0.375, 0.5, 0.75, 1.0].map(|t| s.at(t)),
            [1.0, 1.0, 2.0, 3.0, 2.5, 2.0]
        );
    }

    #[test]
    fn bad_schedules_are_named() {
        let e = Schedule::linear(1.0, f64::NAN).validate("epsilon", check::fraction).unwrap_err();
        assert_eq!(e.to_string(), "epsilon: expected a number in [0, 1], got NaN");
        let e =
            Schedule::linear(1.0, 0.5).over(0.0).validate("epsilon", check::fraction).unwrap_err();
        assert_eq!(e.to_string(), "epsilon.over: expected a number in (0, 1], got 0");
        assert!(Schedule::piecewise(vec![]).validate("epsilon", check::fraction).is_err());
    }
}
