//! The checkpoints of a run: folders that are written atomically.

use crate::files::{check_file, create_folder, remove_if_there, share, sync_folder, write_synced};
use crate::manifest::{MANIFEST, REPLACEMENT, is_name, read_file, read_manifest, step_of, verify};
use crate::{Error, Manifest, Result, Sections, codec, read_checkpoint_files};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const TEMPORARY: &str = ".writing-";
const REMOVAL: &str = "removal-";

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

    /// Removes incomplete checkpoints left by a crash. What cannot be removed stays, and stands in the way of no other.
    ///
    /// # Errors
    /// [`Error::Io`] for the first that stays.
    fn sweep(&self) -> Result<()> {
        let io = |e| Error::io(&self.root, e);
        let mut removed = Ok(());
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
            let step = of.map(|of| of.strip_prefix(REMOVAL).unwrap_or(of));
            if step.is_some_and(|of| of.len() == 12 && of.bytes().all(|b| b.is_ascii_digit())) {
                removed = removed.and(remove_if_there(&entry.path()));
            }
        }
        removed
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
        // What cannot be removed does not matter to a reader; the next checkpoint's writer will hear of it.
        let _ = self.sweep();
        self.steps()?.into_iter().try_for_each(|step| self.settle_intact(step))
    }

    /// Moves a replacement to its final path if it is intact; removes it if it is damaged and there is another.
    fn settle_intact(&self, step: u64) -> Result<()> {
        let replacement = self.replacement(step);
        if !replacement.exists() || verify(&replacement).is_ok() {
            return self.settle(step);
        }
        if self.place(step).exists() { self.retire(step, &replacement) } else { Ok(()) }
    }

    /// Moves a complete replacement to its final path.
    fn settle(&self, step: u64) -> Result<()> {
        let (place, replacement) = (self.place(step), self.replacement(step));
        if replacement.exists() {
            self.retire(step, &place)?;
            fs::rename(&replacement, &place).map_err(|e| Error::io(&place, e))?;
            sync_folder(&self.root)?;
        }
        Ok(())
    }

    /// Writes a checkpoint, then removes those that are no longer kept. An identical checkpoint that is already
    /// present, as when a resumed run repeats earlier steps, is left unchanged.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a section whose name is not that of a file; [`Error::Io`]; the existing checkpoints are then
    /// still present. So is the new one if the error is that another, no longer kept, cannot be removed.
    pub fn write(&self, algorithm: &str, step: u64, sections: &Sections) -> Result<PathBuf> {
        if let Some((name, _)) = sections.files().find(|(name, _)| !is_name(name)) {
            let expected = "the name of a file, other than the manifest's";
            return Err(Error::mismatch("section", expected, name.escape_debug()));
        }
        create_folder(&self.root)?;
        let swept = self.sweep();
        self.settle_intact(step)?;
        let (place, files) = (self.place(step), sections.contents());
        let there = place.exists().then(|| verify(&place).ok()).flatten();
        if there.is_none_or(|old| old.algorithm != algorithm || old.files != files) {
            self.put(algorithm, step, sections, files)?;
        }
        // The checkpoint just written is kept even if others have later steps.
        let mut others = self.steps()?;
        // Folders that are none are not counted, and are left to whoever made them; nor are later ones that are damaged, which
        // may be why the run went on from an earlier one.
        others.retain(|other| {
            let path = self.path(*other);
            match other.cmp(&step) {
                Ordering::Less => read_manifest(&path).is_ok(),
                Ordering::Equal => false,
                Ordering::Greater => verify(&path).is_ok(),
            }
        });
        let retired = others.iter().rev().skip(self.keep - 1).map(|old| {
            // The replacement last: until it is gone, it is what is read.
            self.retire(*old, &self.place(*old))?;
            self.retire(*old, &self.replacement(*old))
        });
        retired.fold(swept, Result::and).map(|()| place)
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
        let (place, replacement) = (self.place(step), self.replacement(step));
        let replaces = place.exists();
        let target = if replaces { &replacement } else { &place };
        fs::rename(&temporary, target).map_err(|e| Error::io(target, e))?;
        sync_folder(&self.root)?;
        // Where there was none to replace, a replacement is one that was damaged.
        if replaces { self.settle(step) } else { self.retire(step, &replacement) }
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
        write_synced(&temporary.join(MANIFEST), &manifest.sealed()?)?;
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

    /// Removes a checkpoint of `step`. It is renamed first, so that the remains of an interrupted removal are not taken for a
    /// checkpoint.
    fn retire(&self, step: u64, path: &Path) -> Result<()> {
        let temporary = self.root.join(format!("{TEMPORARY}{REMOVAL}{step:012}"));
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
        self.read_latest_files(|_| true)
    }

    /// Like [`read_latest`](CheckpointDir::read_latest), but reads, and verifies, only the `wanted` files.
    ///
    /// # Errors
    /// Those of [`read_latest`](CheckpointDir::read_latest).
    pub fn read_latest_files(&self, wanted: impl Fn(&str) -> bool) -> Result<Latest> {
        let mut skipped = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            for path in [self.replacement(step), self.place(step)] {
                if !path.exists() {
                    continue;
                }
                match read_checkpoint_files(&path, &wanted) {
                    Ok((manifest, sections)) => return Ok(Latest { manifest, sections, skipped }),
                    Err(error) => skipped.push(error),
                }
            }
        }
        let none = || Error::corrupt(self.root.display().to_string(), "holds no checkpoint");
        Err(skipped.into_iter().next().unwrap_or_else(none))
    }
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
