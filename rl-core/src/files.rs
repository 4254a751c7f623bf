//! Files that are there whole or not at all.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Refuses what is there and no file: whoever opens a pipe waits for its other end.
///
/// # Errors
/// [`Error::Corrupt`].
pub(crate) fn refuse_other_than_file(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => refuse_other(path, &metadata),
        Err(_) => Ok(()),
    }
}

fn refuse_other(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(corrupt(path, "not a file")) }
}

pub(crate) fn corrupt(file: &Path, problem: &str) -> Error {
    Error::corrupt(file.display().to_string(), problem)
}

/// Asked before it is read: another file may be of any size, and a pipe has no end.
pub(crate) fn check_file(path: &Path, length: u64) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => corrupt(path, "missing"),
        _ => Error::io(path, e),
    })?;
    refuse_other(path, &metadata)?;
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

/// Makes a folder and those that it lies in, durably.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if path.is_symlink() {
        return Err(Error::run(path, "a link to what is not there"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), create_folder)?;
    match fs::create_dir(path) {
        // Another process was faster.
        Err(e) if e.kind() != ErrorKind::AlreadyExists || !path.is_dir() => Err(Error::io(path, e)),
        _ => path.parent().map_or(Ok(()), sync_folder),
    }
}

/// Gives a file a second name; where the file system has no such names, copies it.
pub(crate) fn share(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        let missing = |e| Error::io(if from.exists() { to } else { from }, e);
        fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()).map_err(missing)?;
    }
    Ok(())
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
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

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    let removed = if path.is_file() { fs::remove_file(path) } else { fs::remove_dir_all(path) };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
