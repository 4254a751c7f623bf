//! Checkpoints: folders that are written atomically.

use crate::{Error, Result, Sections, codec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The metadata of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format version, [`codec::FORMAT_VERSION`].
    pub format_version: u32,
    /// The name of the algorithm that wrote it.
    pub algorithm: String,
    /// Environment steps taken when it was written.
    pub step: u64,
    /// Length and CRC-32 of each file.
    pub files: BTreeMap<String, (u64, u32)>,
}

/// A manifest as it is stored: with the CRC-32 of itself in compact JSON.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    manifest: Manifest,
    checksum: u32,
}

impl Manifest {
    fn checksum(&self) -> Result<u32> {
        let text = serde_json::to_vec(self).map_err(|e| Error::corrupt(MANIFEST, e))?;
        Ok(codec::checksum(&text))
    }
}

/// The file that describes the policy of a checkpoint, see [`Policy::describe`](crate::Policy::describe).
pub const POLICY_FILE: &str = "policy.json";
/// The file of a run's settings, as far as they determine what is learned.
pub const SETTINGS_FILE: &str = "settings.toml";
/// The file of the normaliser around the environments of a checkpoint, a [`NormalizerState`](crate::NormalizerState).
pub const NORMALIZER_FILE: &str = "normalizer.json";

const MANIFEST: &str = "manifest.json";
const REPLACEMENT: &str = ".next";
const TEMPORARY: &str = ".writing-";
const REMOVAL: &str = "removal";

/// A folder of checkpoints. Each checkpoint is a subfolder named after its step.
///
/// A checkpoint is written under a temporary name, synced and renamed, and then the folder is synced. After a crash
/// at any moment, every checkpoint present is complete. A checkpoint that replaces another of the same step is first
/// stored beside it as `step-….next`, until the old one has been removed. `keep` checkpoints are kept: the one
/// written last, and the others with the latest steps.
///
/// Files that have not changed since the checkpoint before, such as the blocks of a large replay memory, are not written
/// again: both checkpoints name the same file (a hard link), and each stays complete when the other is removed.
#[derive(Clone, Debug)]
pub struct CheckpointDir {
    root: PathBuf,
    keep: usize,
}

impl CheckpointDir {
    /// Checkpoints under `root`. The newest two are kept, so that one remains if the newest is damaged by other
    /// software, but for files that both share.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        CheckpointDir { root: root.into(), keep: 2 }
    }

    /// Keeps the newest `keep` checkpoints, at least one.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep.max(1);
        self
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of the checkpoint of `step`.
    pub fn path(&self, step: u64) -> PathBuf {
        let replacement = self.replacement(step);
        if replacement.exists() { replacement } else { self.place(step) }
    }

    fn place(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:012}"))
    }

    /// The path of a checkpoint that replaces another of the same step, until the old one has been removed.
    fn replacement(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:012}{REPLACEMENT}"))
    }

    /// Removes incomplete checkpoints left by a crash.
    fn sweep(&self) -> Result<()> {
        let io = |e| Error::io(&self.root, e);
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
            let step = |of: &str| of.len() == 12 && of.bytes().all(|b| b.is_ascii_digit());
            if of.is_some_and(|of| of == REMOVAL || step(of)) {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Completes what a crash has interrupted: removes incomplete checkpoints, moves intact replacements to their final
    /// paths and removes damaged ones where the checkpoint that they replace is there. Changes nothing else.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn repair(&self) -> Result<()> {
        if !self.root.exists() {
            return Ok(());
        }
        self.sweep()?;
        self.steps()?.into_iter().try_for_each(|step| self.settle_intact(step))
    }

    /// Moves a replacement to its final path if it is intact; removes it if it is damaged and there is another.
    fn settle_intact(&self, step: u64) -> Result<()> {
        let replacement = self.replacement(step);
        if !replacement.exists() || verify(&replacement).is_ok() {
            return self.settle(step);
        }
        if self.place(step).exists() { self.retire(&replacement) } else { Ok(()) }
    }

    /// Moves a complete replacement to its final path.
    fn settle(&self, step: u64) -> Result<()> {
        let (place, replacement) = (self.place(step), self.replacement(step));
        if replacement.exists() {
            self.retire(&place)?;
            fs::rename(&replacement, &place).map_err(|e| Error::io(&place, e))?;
            sync_folder(&self.root)?;
        }
        Ok(())
    }

    /// Writes a checkpoint, then removes those that are no longer kept. An identical checkpoint that is already
    /// present, as when a resumed run repeats earlier steps, is left unchanged.
    ///
    /// # Errors
    /// [`Error::Io`]; the existing checkpoints are then still present.
    pub fn write(&self, algorithm: &str, step: u64, sections: &Sections) -> Result<PathBuf> {
        fs::create_dir_all(&self.root).map_err(|e| Error::io(&self.root, e))?;
        self.sweep()?;
        self.settle_intact(step)?;
        let (place, files) = (self.place(step), sections.contents());
        let there = place.exists().then(|| verify(&place).ok()).flatten();
        if there.is_none_or(|old| old.algorithm != algorithm || old.files != files) {
            self.put(algorithm, step, sections, files)?;
        }
        // The checkpoint just written is kept even if others have later steps.
        let mut others = self.steps()?;
        // Folders that are none are not counted, and are left to whoever made them.
        others.retain(|other| *other != step && read_manifest(&self.path(*other)).is_ok());
        for old in others.iter().rev().skip(self.keep - 1) {
            // The replacement last: until it is gone, it is what is read.
            self.retire(&self.place(*old))?;
            self.retire(&self.replacement(*old))?;
        }
        Ok(place)
    }

    /// Writes a checkpoint under a temporary name and moves it to its final path.
    fn put(
        &self,
        algorithm: &str,
        step: u64,
        sections: &Sections,
        files: BTreeMap<String, (u64, u32)>,
    ) -> Result<()> {
        let temporary = self.root.join(format!("{TEMPORARY}{step:012}"));
        let written = self.write_temporary(&temporary, algorithm, step, sections, files);
        if written.is_err() {
            // Where a disk is full, what was begun would keep it full.
            let _ = remove_if_there(&temporary);
        }
        written?;
        let place = self.place(step);
        let target = if place.exists() { self.replacement(step) } else { place };
        fs::rename(&temporary, &target).map_err(|e| Error::io(&target, e))?;
        sync_folder(&self.root)?;
        self.settle(step)
    }

    fn write_temporary(
        &self,
        temporary: &Path,
        algorithm: &str,
        step: u64,
        sections: &Sections,
        files: BTreeMap<String, (u64, u32)>,
    ) -> Result<()> {
        fs::create_dir(temporary).map_err(|e| Error::io(temporary, e))?;
        if let Some((before, kept)) = sections.kept() {
            let before = self.path(before);
            kept.iter().try_for_each(|name| share(&before.join(name), &temporary.join(name)))?;
        }
        for (name, bytes) in sections.files() {
            write_synced(&temporary.join(name), bytes)?;
        }
        let format_version = codec::FORMAT_VERSION;
        let manifest = Manifest { format_version, algorithm: algorithm.to_owned(), step, files };
        let sealed = Sealed { checksum: manifest.checksum()?, manifest };
        let manifest =
            serde_json::to_vec_pretty(&sealed).map_err(|e| Error::corrupt(MANIFEST, e))?;
        write_synced(&temporary.join(MANIFEST), &manifest)?;
        sync_folder(temporary)
    }

    /// The metadata of the checkpoint of `step`, for sections that [follow](Sections::following) it: of its files those
    /// that are there and as long as they were, or, to `verify` them, those with the right checksum. None where it cannot be
    /// read.
    pub fn before(&self, step: u64, verify: bool) -> Option<Manifest> {
        let path = self.path(step);
        let mut manifest = read_manifest(&path).ok()?;
        manifest.files.retain(|file, contents| {
            let intact = if verify {
                read_file(&path, file, *contents).map(drop)
            } else {
                check_file(&path.join(file), contents.0)
            };
            intact.is_ok()
        });
        Some(manifest)
    }

    /// Removes a checkpoint. It is renamed first, so that the remains of an interrupted removal are not taken for a
    /// checkpoint.
    fn retire(&self, path: &Path) -> Result<()> {
        let temporary = self.root.join(format!("{TEMPORARY}{REMOVAL}"));
        match fs::rename(path, &temporary) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(path, e)),
            Ok(()) => {
                sync_folder(&self.root)?;
                remove_if_there(&temporary)
            }
        }
    }

    /// The steps of all checkpoints, in ascending order.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let io = |e| Error::io(&self.root, e);
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io)? {
            steps.extend(step_of(&entry.map_err(io)?.file_name()));
        }
        steps.sort_unstable();
        steps.dedup();
        Ok(steps)
    }

    /// Whether there is any checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder exists and cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(!self.root.exists() || self.steps()?.is_empty())
    }

    /// Reads the newest intact checkpoint, and reports the errors of newer ones.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is none; the error of the newest if none is intact.
    pub fn read_latest(&self) -> Result<Latest> {
        self.newest_by(read_checkpoint)
    }

    /// Like [`read_latest`](CheckpointDir::read_latest), but reads, and verifies, only the `wanted` files.
    ///
    /// # Errors
    /// Those of [`read_latest`](CheckpointDir::read_latest).
    pub fn read_latest_files(&self, wanted: impl Fn(&str) -> bool) -> Result<Latest> {
        self.newest_by(|path| read_checkpoint_files(path, &wanted))
    }

    fn newest_by(&self, read: impl Fn(&Path) -> Result<(Manifest, Sections)>) -> Result<Latest> {
        let mut skipped = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            for path in [self.replacement(step), self.place(step)] {
                if !path.exists() {
                    continue;
                }
                match read(&path) {
                    Ok((manifest, sections)) => return Ok(Latest { manifest, sections, skipped }),
                    Err(error) => skipped.push(error),
                }
            }
        }
        let none = || Error::corrupt(self.root.display().to_string(), "holds no checkpoint");
        Err(skipped.into_iter().next().unwrap_or_else(none))
    }
}

/// The step that a checkpoint's folder is named after. Other folders of such names are none.
fn step_of(name: &OsStr) -> Option<u64> {
    let step = name.to_str()?.strip_prefix("step-")?;
    let step = step.strip_suffix(REPLACEMENT).unwrap_or(step);
    let parsed = step.parse::<u64>().ok()?;
    (step == format!("{parsed:012}")).then_some(parsed)
}

/// The newest intact checkpoint.
#[derive(Debug)]
pub struct Latest {
    /// Its metadata.
    pub manifest: Manifest,
    /// Its sections.
    pub sections: Sections,
    /// The errors of newer checkpoints, newest first.
    pub skipped: Vec<Error>,
}

/// Reads one checkpoint; verifies every file before returning any.
///
/// # Errors
/// [`Error::Corrupt`] for a file that is missing, truncated, damaged or written by a newer version of this library.
pub fn read_checkpoint(path: &Path) -> Result<(Manifest, Sections)> {
    read_checkpoint_files(path, |_| true)
}

/// Like [`read_checkpoint`], but reads, and verifies, only the `wanted` files.
///
/// # Errors
/// Those of [`read_checkpoint`].
pub fn read_checkpoint_files(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(Manifest, Sections)> {
    let manifest = read_manifest(path)?;
    let mut sections = Sections::default();
    for (file, contents) in manifest.files.iter().filter(|(file, _)| wanted(file)) {
        sections.put_file(file, read_file(path, file, *contents)?);
    }
    Ok((manifest, sections))
}

fn corrupt(file: &Path, problem: &str) -> Error {
    Error::corrupt(file.display().to_string(), problem)
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let name = path.join(MANIFEST);
    refuse_other_than_file(&name)?;
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
    let Sealed { manifest, checksum } =
        serde_json::from_slice(&bytes).map_err(|e| corrupt(&name, &format!("damaged: {e}")))?;
    if manifest.checksum()? != checksum {
        return Err(corrupt(&name, "damaged: the checksum does not match"));
    }
    // Where it lies says so too: a folder that was renamed is no other checkpoint.
    if let Some(step) = path.file_name().and_then(step_of).filter(|step| *step != manifest.step) {
        let problem = format!("is of step {}, in the folder of step {step}", manifest.step);
        return Err(corrupt(&name, &problem));
    }
    Ok(manifest)
}

/// Verifies every file of a checkpoint, one at a time.
fn verify(path: &Path) -> Result<Manifest> {
    let manifest = read_manifest(path)?;
    for (file, contents) in &manifest.files {
        read_file(path, file, *contents)?;
    }
    Ok(manifest)
}

/// Reads a file of a checkpoint, whose manifest gives its length and checksum.
fn read_file(path: &Path, file: &str, (length, checksum): (u64, u32)) -> Result<Vec<u8>> {
    let file_path = path.join(file);
    // A name with a separator could point outside the checkpoint; one with a line break could say anything in an error.
    if Path::new(file).file_name() != Some(file.as_ref()) || file.contains(char::is_control) {
        let problem = format!("names a file outside: {}", file.escape_debug());
        return Err(corrupt(&path.join(MANIFEST), &problem));
    }
    check_file(&file_path, length)?;
    let bytes = fs::read(&file_path).map_err(|e| Error::io(&file_path, e))?;
    if codec::checksum(&bytes) != checksum {
        return Err(corrupt(&file_path, "damaged: the checksum does not match"));
    }
    Ok(bytes)
}

/// Refuses what is there and no file: whoever opens a pipe waits for its other end.
///
/// # Errors
/// [`Error::Corrupt`].
pub(crate) fn refuse_other_than_file(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(corrupt(path, "not a file")),
        _ => Ok(()),
    }
}

/// Asked before it is read: another file may be of any size, and a pipe has no end.
fn check_file(path: &Path, length: u64) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => corrupt(path, "missing"),
        _ => Error::io(path, e),
    })?;
    if !metadata.is_file() {
        return Err(corrupt(path, "not a file"));
    }
    if metadata.len() != length {
        let how = if metadata.len() < length { "truncated" } else { "longer than it was" };
        let problem = format!("{how}: {} bytes of {length}", metadata.len());
        return Err(corrupt(path, &problem));
    }
    Ok(())
}

/// Writes a file atomically: writes it under a temporary name beside it, syncs it, then renames it.
///
/// # Errors
/// [`Error::Io`]; the previous file is then still present.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_of(path);
    let written = write_synced(&temporary, bytes);
    if written.is_err() && temporary.is_file() {
        // Where a disk is full, what was begun would keep it full.
        let _ = remove_if_there(&temporary);
    }
    written?;
    fs::rename(&temporary, path).map_err(|e| Error::io(path, e))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".writing");
    PathBuf::from(temporary)
}

/// Removes what an interrupted [`write_atomically`] has left beside a file.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_temporary(path: &Path) -> Result<()> {
    let temporary = temporary_of(path);
    if temporary.is_file() { remove_if_there(&temporary) } else { Ok(()) }
}

/// Gives a file a second name; where the file system has no such names, copies it.
fn share(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        let missing = |e| Error::io(if from.exists() { to } else { from }, e);
        fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()).map_err(missing)?;
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Error::io(path, e))
}

/// A rename is durable against power loss only after the folder that contains it has been synced.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
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
