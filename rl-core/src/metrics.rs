//! Metrics: recording, averaging and writing to sinks.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Records named values and averages each over the interval between two rows.
///
/// ```
/// let mut metrics = rl_core::Metrics::default();
/// metrics.record("loss", 1.0);
/// metrics.record("loss", 3.0);
/// assert_eq!((metrics.mean("loss"), metrics.count("loss")), (Some(2.0), 2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// A list in order of first use; with this few names a linear search is faster than a map.
    sums: Vec<(Cow<'static, str>, f64, u64)>,
}

impl Metrics {
    /// Records a value of `name`, which is a literal or, if it is known only at run time, a `String`.
    pub fn record(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        let name = name.into();
        match self.sums.iter_mut().find(|(n, ..)| *n == name) {
            Some((_, sum, count)) => {
                *sum += value;
                *count += 1;
            }
            None => self.sums.push((name, value, 1)),
        }
    }

    /// The mean of `name` since the last row, if it was recorded.
    pub fn mean(&self, name: &str) -> Option<f64> {
        let (_, sum, count) = self.sums.iter().find(|(n, ..)| n == name)?;
        (*count > 0).then(|| sum / *count as f64)
    }

    /// How often `name` was recorded since the last row.
    pub fn count(&self, name: &str) -> u64 {
        self.sums.iter().find(|(n, ..)| n == name).map_or(0, |(_, _, count)| *count)
    }

    /// How often each was recorded.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        self.sums.iter().map(|(_, _, count)| *count)
    }

    /// Names and means since the last row, in order of first use.
    pub fn means(&self) -> impl Iterator<Item = (&str, f64)> {
        let seen = self.sums.iter().filter(|(_, _, count)| *count > 0);
        seen.map(|(name, sum, count)| (name.as_ref(), sum / *count as f64))
    }

    /// Starts the next row; the order of names is kept.
    pub fn clear(&mut self) {
        for (_, sum, count) in &mut self.sums {
            (*sum, *count) = (0.0, 0);
        }
    }
}

/// One row of metrics. Rows contain nothing that depends on the clock, so two runs with the same seed give identical
/// rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Environment steps taken so far.
    pub step: u64,
    /// Names and values.
    pub values: Vec<(String, f64)>,
}

/// A destination for rows of metrics.
pub trait Sink {
    /// Writes one row.
    ///
    /// # Errors
    /// If it cannot be written.
    fn write(&mut self, row: &Row) -> Result<()>;

    /// Makes all rows so far durable against a crash of the process or the machine. Called before each checkpoint,
    /// which relies on it, and at the end of a run.
    ///
    /// # Errors
    /// If it cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Keeps rows in memory; they can be read through any clone.
#[derive(Clone, Debug, Default)]
pub struct MemorySink(Arc<Mutex<Vec<Row>>>);

impl MemorySink {
    /// The rows so far.
    pub fn rows(&self) -> Vec<Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for MemorySink {
    fn write(&mut self, row: &Row) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(row.clone());
        Ok(())
    }
}

/// Writes each row as a line of text to any writer, such as a console or a log.
#[derive(Debug)]
pub struct ConsoleSink<W>(pub W);

impl<W: Write> Sink for ConsoleSink<W> {
    fn write(&mut self, row: &Row) -> Result<()> {
        let mut line = format!("step {}", row.step);
        for (name, value) in &row.values {
            line.push_str(&format!("  {name} {value:.4}"));
        }
        writeln!(self.0, "{line}").map_err(|e| Error::io("console", e))
    }
}
