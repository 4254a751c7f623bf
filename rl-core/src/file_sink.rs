//! Metrics in files.

use crate::files::{refuse_other_than_file, sync_folder};
use crate::{Error, Result, Row, Sink, write_atomically};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The file format of a [`FileSink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// One JSON object per row.
    Jsonl,
    /// One line per row and one column per name, empty where a row has no value of it. A new name adds a column, for
    /// which the file is written once more.
    Csv,
}

/// Appends rows to a file. They are written many at a time, when the sink is flushed, and when it is dropped; what cannot be
/// written is an error, and waits to be written with the next.
///
/// ```
/// use rl_core::{FileFormat, FileSink, Row, Sink};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("metrics.csv");
/// let row = |step, name: &str, value| Row { step, values: vec![(name.to_owned(), value)] };
/// let mut sink = FileSink::create(&path, FileFormat::Csv)?;
/// sink.write(&row(10, "episode_return", 1.5))?;
/// sink.write(&row(20, "loss", 0.5))?;
/// sink.flush()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "step,episode_return,loss\n10,1.5,\n20,,0.5\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    format: FileFormat,
    /// The names of a table's columns but the first, which is the step.
    columns: Vec<String>,
    file: File,
    waiting: VecDeque<Row>,
    /// Lines of rows that wait no longer, as far as they are not in the file.
    unwritten: Vec<u8>,
}

/// Rows that wait to be written together.
const WAITING: usize = 32;

/// The name of a table's first column.
const STEP: &str = "step";

impl FileSink {
    /// Creates an empty file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created.
    pub fn create(path: impl AsRef<Path>, format: FileFormat) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
        path.parent().map_or(Ok(()), sync_folder)?;
        let mut sink = FileSink::with(path, format, Vec::new(), file);
        if format == FileFormat::Csv {
            sink.unwritten.extend(format!("{STEP}\n").bytes());
        }
        Ok(sink)
    }

    fn with(path: PathBuf, format: FileFormat, columns: Vec<String>, file: File) -> Self {
        let (waiting, unwritten) = (VecDeque::new(), Vec::new());
        FileSink { path, format, columns, file, waiting, unwritten }
    }

    /// Continues the file of a run that is resumed at `step`. Later rows, which the resumed run writes again, and an
    /// incomplete last line are removed. `last_row` is the step of the last row that the checkpointed run had
    /// written, see [`Trainer::last_row`](crate::Trainer::last_row).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read or written; [`Error::Corrupt`] if rows are missing, in which case the
    /// file is unchanged.
    pub fn resume(
        path: impl AsRef<Path>,
        format: FileFormat,
        step: u64,
        last_row: Option<u64>,
    ) -> Result<Self> {
        let path = path.as_ref().to_owned();
        refuse_other_than_file(&path)?;
        let io = |e| Error::io(&path, e);
        let (mut kept, mut last) = (0, None);
        let mut columns = Vec::new();
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
            if kept == 0 && format == FileFormat::Csv {
                let header = String::from_utf8_lossy(text);
                columns = header.split(',').skip(1).map(str::to_owned).collect();
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
        let file = open_to_append(&path)?;
        file.set_len(kept).map_err(io)?;
        Ok(FileSink::with(path.clone(), format, columns, file))
    }

    /// Writes the rows that wait.
    fn write_waiting(&mut self) -> Result<()> {
        while let Some(row) = self.waiting.front().cloned() {
            let line = match self.format {
                FileFormat::Csv => self.table_line(&row)?,
                FileFormat::Jsonl => json_line(&row),
            };
            self.unwritten.extend(line.bytes().chain([b'\n']));
            self.waiting.pop_front();
        }
        self.write_lines()
    }

    fn write_lines(&mut self) -> Result<()> {
        while !self.unwritten.is_empty() {
            match self.file.write(&self.unwritten) {
                Ok(0) => return Err(Error::io(&self.path, std::io::ErrorKind::WriteZero.into())),
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.path, e)),
            }
        }
        Ok(())
    }

    fn table_line(&mut self, row: &Row) -> Result<String> {
        let names = row.values.iter().map(|(name, _)| column(name));
        let new: Vec<String> = names.filter(|name| !self.columns.contains(name)).collect();
        if !new.is_empty() {
            self.add_columns(new)?;
        }
        let mut line = row.step.to_string();
        for name in &self.columns {
            line.push(',');
            if let Some((_, value)) = row.values.iter().find(|(other, _)| column(other) == *name) {
                line += &value.to_string();
            }
        }
        Ok(line)
    }

    /// Writes the file once more with more columns, which earlier rows leave empty: under another name first, so that no
    /// row is lost if the process is killed meanwhile.
    fn add_columns(&mut self, new: Vec<String>) -> Result<()> {
        self.write_lines()?;
        let io = |e| Error::io(&self.path, e);
        let text = std::fs::read_to_string(&self.path).map_err(io)?;
        let columns: Vec<String> = self.columns.iter().cloned().chain(new).collect();
        let header = std::iter::once(STEP).chain(columns.iter().map(String::as_str));
        let mut wider = header.collect::<Vec<_>>().join(",") + "\n";
        for line in text.lines().skip(1) {
            // Where an earlier attempt failed late, it is as wide already.
            let missing = columns.len().saturating_sub(line.matches(',').count());
            wider += &format!("{line}{}\n", ",".repeat(missing));
        }
        write_atomically(&self.path, wider.as_bytes())?;
        self.file = open_to_append(&self.path)?;
        self.columns = columns;
        Ok(())
    }
}

fn open_to_append(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).open(path).map_err(|e| Error::io(path, e))
}

/// A name without the characters that separate columns and rows.
fn column(name: &str) -> String {
    own_name(name).replace([',', '"', '\n', '\r'], "_")
}

/// A name that is not that of the row's own step.
fn own_name(name: &str) -> &str {
    if name == STEP { "step_" } else { name }
}

fn step_of(line: &[u8], format: FileFormat) -> Option<u64> {
    match format {
        FileFormat::Csv => std::str::from_utf8(line).ok()?.split(',').next()?.parse().ok(),
        FileFormat::Jsonl => {
            serde_json::from_slice::<serde_json::Value>(line).ok()?.get(STEP)?.as_u64()
        }
    }
}

/// A row as a JSON object.
fn json_line(row: &Row) -> String {
    let mut object = serde_json::Map::new();
    object.insert(STEP.into(), row.step.into());
    for (name, value) in &row.values {
        object.insert(own_name(name).to_owned(), (*value).into());
    }
    serde_json::Value::Object(object).to_string()
}

impl Sink for FileSink {
    fn write(&mut self, row: &Row) -> Result<()> {
        self.waiting.push_back(row.clone());
        if self.waiting.len() < WAITING { Ok(()) } else { self.write_waiting() }
    }

    fn flush(&mut self) -> Result<()> {
        self.write_waiting()?;
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        // Whoever wants to know flushes it.
        let _ = self.write_waiting();
    }
}
