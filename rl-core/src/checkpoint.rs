//! Checkpoints: a folder that is written whole or not at all.

use crate::{Error, Result, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The named parts of a checkpoint, in memory.
///
/// ```
/// use rl_core::Sections;
/// let mut sections = Sections::default();
/// sections.put("counter", &3u64)?;
/// assert_eq!(sections.get::<u64>("counter")?, 3);
/// assert_eq!(sections.get::<u64>("missing").unwrap_err().to_string(), "missing.bin: not in the checkpoint");
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sections(BTreeMap<String, Vec<u8>>);

impl Sections {
    /// Adds a value, encoded by [`codec`], as the file `name.bin`.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.0.insert(format!("{name}.bin"), codec::encode(value)?);
        Ok(())
    }

    /// Reads a value that [`put`](Sections::put) added.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is missing, damaged or of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let file = format!("{name}.bin");
        codec::decode(&file, self.file(&file)?)
    }

    /// Adds a file in a format of its own, such as `policy.safetensors`.
    pub fn put_file(&mut self, file: &str, bytes: Vec<u8>) {
        self.0.insert(file.to_owned(), bytes);
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is missing.
    pub fn file(&self, file: &str) -> Result<&[u8]> {
        let bytes =
            self.0.get(file).ok_or_else(|| Error::corrupt(file, "not in the checkpoint"))?;
        Ok(bytes)
    }

    /// A file's bytes, where there is one.
    pub fn find(&self, file: &str) -> Option<&[u8]> {
        self.0.get(file).map(Vec::as_slice)
    }

    /// Takes a file out.
    pub fn remove(&mut self, file: &str) {
        self.0.remove(file);
    }
}

impl Sections {
    /// Says which files differ from those of `other`, or are in one of the two alone.
    pub fn differences(&self, other: &Sections) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differ = |name: &&&String| self.0.get(**name) != other.0.get(**name);
        names.iter().filter(differ).map(|name| format!("{name} differs")).collect()
    }
}

/// What is known about a checkpoint before its parts are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout's version, [`codec::FORMAT_VERSION`].
    pub format_version: u32,
    /// The algorithm that wrote it.
    pub algorithm: String,
    /// Environment steps taken.
    pub step: u64,
    /// Length and CRC-32 of each file.
    pub files: BTreeMap<String, (u64, u32)>,
}

const MANIFEST: &str = "manifest.json";
const REPLACEMENT: &str = ".next";
const TEMPORARY: &str = ".writing-";

/// A folder of checkpoints, one folder each, named after the step.
///
/// A checkpoint is written under a temporary name, synced, renamed, and the folder synced: after a
/// crash at any moment, every checkpoint that is there is whole. One that replaces another of the same step lies
/// beside it, as `step-….next`, until the other is gone. `keep` are kept: the one written last, and of the others
/// those of the latest steps.
#[derive(Clone, Debug)]
pub struct CheckpointDir {
    root: PathBuf,
    keep: usize,
}

impl CheckpointDir {
    /// Checkpoints under `root`, of which the newest two are kept: were the newest damaged from
    /// outside, there would still be one.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        CheckpointDir { root: root.into(), keep: 2 }
    }

    /// Keeps the newest `keep` checkpoints, at least one.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// Where the checkpoint of `step` lies.
    pub fn path(&self, step: u64) -> PathBuf {
        let replacement = self.replacement(step);
        if replacement.exists() { replacement } else { self.place(step) }
    }

    fn place(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:012}"))
    }

    /// Where a checkpoint lies that replaces another of the same step, until that one is gone.
    fn replacement(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:012}{REPLACEMENT}"))
    }

    /// Removes what a crash left of checkpoints that were being written.
    fn sweep(&self) -> Result<()> {
        let io = |e| Error::io(&self.root, e);
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY)) {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Brings a replacement, which is whole, to its place.
    fn settle(&self, step: u64) -> Result<()> {
        let (place, replacement) = (self.place(step), self.replacement(step));
        if replacement.exists() {
            self.retire(&place)?;
            fs::rename(&replacement, &place).map_err(|e| Error::io(&place, e))?;
            sync_folder(&self.root)?;
        }
        Ok(())
    }

    /// Writes a checkpoint; only then removes those that are no longer kept. Where the same one is there already,
    /// as when a run that was resumed passes its old steps again, it stays as it is.
    ///
    /// # Errors
    /// [`Error::Io`]; the checkpoints that were there still are.
    pub fn write(&self, algorithm: &str, step: u64, sections: &Sections) -> Result<PathBuf> {
        fs::create_dir_all(&self.root).map_err(|e| Error::io(&self.root, e))?;
        self.sweep()?;
        self.settle(step)?;
        let place = self.place(step);
        let there = place.exists().then(|| read_checkpoint(&place).ok()).flatten();
        if there.is_none_or(|(manifest, old)| manifest.algorithm != algorithm || old != *sections) {
            self.put(algorithm, step, sections)?;
        }
        // Whatever the steps of the others, the one just written is kept.
        let mut others = self.steps()?;
        others.retain(|other| *other != step);
        for old in others.iter().rev().skip(self.keep - 1) {
            self.retire(&self.replacement(*old))?;
            self.retire(&self.place(*old))?;
        }
        Ok(place)
    }

    /// Writes a checkpoint under a temporary name and brings it to its place.
    fn put(&self, algorithm: &str, step: u64, sections: &Sections) -> Result<()> {
        let place = self.place(step);
        let temporary = self.root.join(format!("{TEMPORARY}{step:012}"));
        fs::create_dir(&temporary).map_err(|e| Error::io(&temporary, e))?;
        let mut files = BTreeMap::new();
        for (name, bytes) in &sections.0 {
            write_synced(&temporary.join(name), bytes)?;
            files.insert(name.clone(), (bytes.len() as u64, crc32fast::hash(bytes)));
        }
        let format_version = codec::FORMAT_VERSION;
        let manifest = Manifest { format_version, algorithm: algorithm.to_owned(), step, files };
        let manifest =
            serde_json::to_vec_pretty(&manifest).map_err(|e| Error::corrupt(MANIFEST, e))?;
        write_synced(&temporary.join(MANIFEST), &manifest)?;
        sync_folder(&temporary)?;
        let target = if place.exists() { self.replacement(step) } else { place };
        fs::rename(&temporary, &target).map_err(|e| Error::io(&target, e))?;
        sync_folder(&self.root)?;
        self.settle(step)
    }

    /// Removes a checkpoint, under a name that is none first: what a crash leaves of it is swept away.
    fn retire(&self, path: &Path) -> Result<()> {
        let temporary = self.root.join(format!("{TEMPORARY}removal"));
        match fs::rename(path, &temporary) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(path, e)),
            Ok(()) => remove_if_there(&temporary),
        }
    }

    /// The steps that there are checkpoints of, rising.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let io = |e| Error::io(&self.root, e);
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix("step-"));
            let step = step.map(|step| step.strip_suffix(REPLACEMENT).unwrap_or(step));
            steps.extend(step.and_then(|step| step.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        steps.dedup();
        Ok(steps)
    }

    /// Whether there is any checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder is there and cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(!self.root.exists() || self.steps()?.is_empty())
    }

    /// Reads the newest checkpoint that is intact, and says what is wrong with those that are newer.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where there is none; the error of the newest where none is intact.
    pub fn read_latest(&self) -> Result<Latest> {
        let mut skipped = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match read_checkpoint(&self.path(step)) {
                Ok((manifest, sections)) => return Ok(Latest { manifest, sections, skipped }),
                Err(error) => skipped.push(error),
            }
        }
        let none = || Error::corrupt(self.root.display().to_string(), "holds no checkpoint");
        Err(skipped.into_iter().next().unwrap_or_else(none))
    }
}

/// The newest checkpoint that is intact.
#[derive(Debug)]
pub struct Latest {
    /// What is known about it.
    pub manifest: Manifest,
    /// Its parts.
    pub sections: Sections,
    /// What is wrong with each newer one, the newest first.
    pub skipped: Vec<Error>,
}

/// Reads one checkpoint and checks every file of it before returning any.
///
/// # Errors
/// [`Error::Corrupt`] for a file that is missing, truncated, damaged or newer than this library.
pub fn read_checkpoint(path: &Path) -> Result<(Manifest, Sections)> {
    let name = path.join(MANIFEST);
    let corrupt = |file: &Path, problem: &str| Error::corrupt(file.display().to_string(), problem);
    let bytes = fs::read(&name).map_err(|e| Error::io(&name, e))?;
    let version: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| corrupt(&name, &format!("damaged: {e}")))?;
    let version = version.get("format_version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(codec::FORMAT_VERSION)) {
        let expected = codec::FORMAT_VERSION;
        let got = version.map_or("none".to_owned(), |v| v.to_string());
        let problem = format!("has format version {got}; this library reads version {expected}");
        return Err(corrupt(&name, &problem));
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|e| corrupt(&name, &format!("damaged: {e}")))?;
    let mut sections = Sections::default();
    for (file, (length, checksum)) in &manifest.files {
        let file_path = path.join(file);
        // A name with a separator would reach outside the checkpoint.
        if Path::new(file).file_name() != Some(file.as_ref()) {
            return Err(corrupt(&name, &format!("names a file outside: {file}")));
        }
        let bytes = fs::read(&file_path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => corrupt(&file_path, "missing"),
            _ => Error::io(&file_path, e),
        })?;
        if bytes.len() as u64 != *length {
            let problem = format!("truncated: {} of {length} bytes", bytes.len());
            return Err(corrupt(&file_path, &problem));
        }
        if crc32fast::hash(&bytes) != *checksum {
            return Err(corrupt(&file_path, "damaged: the checksum does not match"));
        }
        sections.put_file(file, bytes);
    }
    Ok((manifest, sections))
}

/// Writes a file whole or not at all: under a temporary name beside it, synced, then renamed.
///
/// # Errors
/// [`Error::Io`]; what was there before still is.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".writing");
    let temporary = PathBuf::from(temporary);
    write_synced(&temporary, bytes)?;
    fs::rename(&temporary, path).map_err(|e| Error::io(path, e))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Error::io(path, e))
}

/// A rename is only safe against a power cut once the folder that holds it is on the disk.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path).and_then(|f| f.sync_all()).map_err(|e| Error::io(path, e))?;
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<()> {
    let removed = if path.is_file() { fs::remove_file(path) } else { fs::remove_dir_all(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
