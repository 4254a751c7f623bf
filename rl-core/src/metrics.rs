//! Measurements on their way from an algorithm to a reader.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Gathers named numbers and averages each until the next row is written.
///
/// ```
/// let mut metrics = rl_core::Metrics::default();
/// metrics.record("loss", 1.0);
/// metrics.record("loss", 3.0);
/// assert_eq!((metrics.mean("loss"), metrics.count("loss")), (Some(2.0), 2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Few enough that a search by name beats a map, and in the order of first use.
    sums: Vec<(Cow<'static, str>, f64, u64)>,
}

impl Metrics {
    /// Adds a measurement of `name`.
    pub fn record(&mut self, name: &'static str, value: f64) {
        match self.sums.iter_mut().find(|(n, ..)| n == name) {
            Some((_, sum, count)) => {
                *sum += value;
                *count += 1;
            }
            None => self.sums.push((Cow::Borrowed(name), value, 1)),
        }
    }

    /// The mean of `name` since the last row, where it was recorded.
    pub fn mean(&self, name: &str) -> Option<f64> {
        let (_, sum, count) = self.sums.iter().find(|(n, ..)| n == name)?;
        (*count > 0).then(|| sum / *count as f64)
    }

    /// How often `name` was recorded since the last row.
    pub fn count(&self, name: &str) -> u64 {
        self.sums.iter().find(|(n, ..)| n == name).map_or(0, |(_, _, count)| *count)
    }

    /// Names and means since the last row, in the order of their first use.
    pub fn means(&self) -> impl Iterator<Item = (&str, f64)> {
        let seen = self.sums.iter().filter(|(_, _, count)| *count > 0);
        seen.map(|(name, sum, count)| (name.as_ref(), sum / *count as f64))
    }

    /// Starts the next row; names keep their places.
    pub fn clear(&mut self) {
        for (_, sum, count) in &mut self.sums {
            (*sum, *count) = (0.0, 0);
        }
    }
}

/// One row of measurements. Rows hold nothing that depends on the clock, so that two runs from
/// one seed give the same rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Environment steps taken.
    pub step: u64,
    /// Names and values.
    pub values: Vec<(String, f64)>,
}

/// Where rows go.
pub trait Sink {
    /// Takes one row.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(&mut self, row: &Row) -> Result<()>;

    /// Makes sure that every row so far survives the end of the process and of the machine; called before each
    /// checkpoint, which counts on them, and at the end of a run.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Keeps rows in memory, to be read through any clone.
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

/// Writes a line of text a row to any writer: a console, a log.
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

/// Which form a [`FileSink`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON object a row.
    Jsonl,
    /// `step,name,value`, one measurement a line, so that names may come later without a new header.
    Csv,
}

/// Appends rows to a file.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    format: FileFormat,
    file: BufWriter<File>,
}

const CSV_HEADER: &str = "step,name,value";

impl FileSink {
    /// A new, empty file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be created.
    pub fn create(path: impl AsRef<Path>, format: FileFormat) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
        let mut sink = FileSink { path, format, file: BufWriter::new(file) };
        if format == FileFormat::Csv {
            sink.line(CSV_HEADER)?;
        }
        Ok(sink)
    }

    /// Goes on with the file of a run that is resumed at `step`: rows after it, which the resumed
    /// run will write again, are dropped, and so is a last line that was cut off. `last_row` is the step of the last
    /// row that the run had written by then, see [`Trainer::last_row`](crate::Trainer::last_row).
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read or written; [`Error::Corrupt`] where rows are missing, the file being
    /// as it was.
    pub fn resume(
        path: impl AsRef<Path>,
        format: FileFormat,
        step: u64,
        last_row: Option<u64>,
    ) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let io = |e| Error::io(&path, e);
        let (mut kept, mut last) = (0, None);
        let mut lines = BufReader::new(File::open(&path).map_err(io)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).map_err(io)?;
            let Some((b'\n', text)) = line.split_last() else { break };
            let row = step_of(text, format);
            if row.is_some_and(|row| row > step) {
                break;
            }
            last = row.or(last);
            kept += line.len() as u64;
        }
        if last != last_row {
            let at =
                |row: Option<u64>| row.map_or("no row".to_owned(), |row| format!("step {row}"));
            let (expected, got) = (at(last_row), at(last));
            let problem = format!("ends at {got}, where the checkpoint has seen {expected}");
            return Err(Error::corrupt(path.display().to_string(), problem));
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        file.set_len(kept).map_err(io)?;
        Ok(FileSink { path: path.clone(), format, file: BufWriter::new(file) })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}").map_err(|e| Error::io(&self.path, e))
    }
}

fn step_of(line: &[u8], format: FileFormat) -> Option<u64> {
    match format {
        FileFormat::Csv => std::str::from_utf8(line).ok()?.split(',').next()?.parse().ok(),
        FileFormat::Jsonl => {
            serde_json::from_slice::<serde_json::Value>(line).ok()?.get("step")?.as_u64()
        }
    }
}

impl Sink for FileSink {
    fn write(&mut self, row: &Row) -> Result<()> {
        match self.format {
            FileFormat::Csv => row
                .values
                .iter()
                .try_for_each(|(name, value)| self.line(&format!("{},{name},{value}", row.step))),
            FileFormat::Jsonl => {
                let mut object = serde_json::Map::new();
                object.insert("step".into(), row.step.into());
                for (name, value) in &row.values {
                    object.insert(name.clone(), (*value).into());
                }
                self.line(&serde_json::Value::Object(object).to_string())
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
        flushed.map_err(|e| Error::io(&self.path, e))
    }
}
