//! One checkpoint: its manifest, and reading it.

use crate::files::{check_file, corrupt, refuse_other_than_file};
use crate::{Error, Result, Sections, codec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

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

    /// The file, with its checksum.
    pub(crate) fn sealed(self) -> Result<Vec<u8>> {
        let sealed = Sealed { checksum: self.checksum()?, manifest: self };
        serde_json::to_vec_pretty(&sealed).map_err(|e| Error::corrupt(MANIFEST, e))
    }
}

/// The file that describes the policy of a checkpoint, see [`Policy::describe`](crate::Policy::describe).
pub const POLICY_FILE: &str = "policy.json";
/// The file of a run's settings, as far as they determine what is learned.
pub const SETTINGS_FILE: &str = "settings.toml";
/// The file of the normaliser around the environments of a checkpoint, a [`NormalizerState`](crate::NormalizerState).
pub const NORMALIZER_FILE: &str = "normalizer.json";

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const REPLACEMENT: &str = ".next";

/// The step that a checkpoint's folder is named after. Other folders of such names are none.
pub(crate) fn step_of(name: &OsStr) -> Option<u64> {
    let step = name.to_str()?.strip_prefix("step-")?;
    let step = step.strip_suffix(REPLACEMENT).unwrap_or(step);
    let parsed = step.parse::<u64>().ok()?;
    (step == format!("{parsed:012}")).then_some(parsed)
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

pub(crate) fn read_manifest(path: &Path) -> Result<Manifest> {
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
pub(crate) fn verify(path: &Path) -> Result<Manifest> {
    let manifest = read_manifest(path)?;
    for (file, contents) in &manifest.files {
        read_file(path, file, *contents)?;
    }
    Ok(manifest)
}

/// Whether a checkpoint may have a file of this name: one with a separator could point outside, one with a line break could say
/// anything in an error.
pub(crate) fn is_name(file: &str) -> bool {
    let alone = Path::new(file).file_name() == Some(file.as_ref());
    alone && !file.contains(char::is_control) && file != MANIFEST
}

/// Reads a file of a checkpoint, whose manifest gives its length and checksum.
pub(crate) fn read_file(
    path: &Path,
    file: &str,
    (length, checksum): (u64, u32),
) -> Result<Vec<u8>> {
    let file_path = path.join(file);
    if !is_name(file) {
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
