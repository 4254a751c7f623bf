//! The contents of a checkpoint.

use crate::{Error, Manifest, NORMALIZER_FILE, POLICY_FILE, Policy, Result, VecEnv, codec};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// The files of a replay memory, and how the names of its blocks begin.
const REPLAY: [&str; 3] = ["replay.bin", "replay_origin.bin", "sampler.bin"];
const REPLAY_BLOCKS: &str = "replay-";

/// The named sections of a checkpoint, in memory.
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
pub struct Sections {
    files: BTreeMap<String, Vec<u8>>,
    /// The checkpoint that these follow, if any.
    before: Option<Manifest>,
    /// Files that are left as they are in the checkpoint before.
    kept: BTreeSet<String>,
    /// Whether the replay memory is left out.
    without_replay: bool,
}

impl Sections {
    /// Sections of a checkpoint that follows another of the same run: what has not changed since may be left out, see
    /// [`keep`](Sections::keep). They are only good to be written into the folder of that checkpoint.
    pub fn following(before: Manifest) -> Self {
        Sections { before: Some(before), ..Sections::default() }
    }

    /// Sections that leave the replay memory out.
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.without_replay = true;
        self
    }

    /// Whether a file belongs to the replay memory: `replay.bin`, `replay_origin.bin`, `sampler.bin`, and those whose names
    /// begin with `replay-`.
    pub fn is_replay(file: &str) -> bool {
        REPLAY.contains(&file) || file.starts_with(REPLAY_BLOCKS)
    }

    /// Whether the replay memory is to be put: what is put of it all the same is dropped.
    pub fn wants_replay(&self) -> bool {
        !self.without_replay
    }

    /// Leaves a file as it is in the checkpoint before, if there is one that has it, and says whether there is nothing to put:
    /// because it does, or because the file is left out; otherwise the file is to be put. Its name has to say what is in it, by a checksum: only what is the same has the same name.
    #[must_use]
    pub fn keep(&mut self, file: &str) -> bool {
        if self.leaves_out(file) {
            return true;
        }
        let there = self.before.as_ref().is_some_and(|before| before.files.contains_key(file));
        if there {
            self.files.remove(file);
            self.kept.insert(file.to_owned());
        }
        there
    }

    fn leaves_out(&self, file: &str) -> bool {
        self.without_replay && Sections::is_replay(file)
    }

    /// Adds a value, encoded by [`codec`], as the file `name.bin`.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.put_file(&format!("{name}.bin"), codec::encode(value)?);
        Ok(())
    }

    /// Reads a value stored by [`put`](Sections::put).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is missing, damaged or of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let file = format!("{name}.bin");
        codec::decode(&file, self.file(&file)?)
    }

    /// Adds a file in its own format, such as `policy.safetensors`. A name with a separator, and `manifest.json`, is refused when
    /// the sections are [written](crate::CheckpointDir::write).
    pub fn put_file(&mut self, file: &str, bytes: Vec<u8>) {
        if !self.leaves_out(file) {
            self.kept.remove(file);
            self.files.insert(file.to_owned(), bytes);
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is missing.
    pub fn file(&self, file: &str) -> Result<&[u8]> {
        let bytes =
            self.files.get(file).ok_or_else(|| Error::corrupt(file, "not in the checkpoint"))?;
        Ok(bytes)
    }

    /// The bytes of a file, if it is present.
    pub fn find(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file).map(Vec::as_slice)
    }

    /// Removes a file.
    pub fn remove(&mut self, file: &str) {
        self.kept.remove(file);
        self.files.remove(file);
    }

    /// Every file that is put, by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The length and checksum of every file, of those too that are as they were before.
    pub(crate) fn contents(&self) -> BTreeMap<String, (u64, u32)> {
        let put = self.files.iter();
        let put = put.map(|(name, bytes)| (name, (bytes.len() as u64, codec::checksum(bytes))));
        let before = self.before.iter().flat_map(|before| &before.files);
        let kept = before.filter(|(name, _)| self.kept.contains(*name));
        put.chain(kept.map(|(name, contents)| (name, *contents)))
            .map(|(name, contents)| (name.clone(), contents))
            .collect()
    }

    /// The step of the checkpoint before, and the files that are as they are there.
    pub(crate) fn kept(&self) -> Option<(u64, &BTreeSet<String>)> {
        Some((self.before.as_ref()?.step, &self.kept))
    }
}

impl Sections {
    /// Adds what a policy needs beside its parameters to be evaluated, and to act without its agent: the moments of
    /// normalisers, and descriptions.
    ///
    /// # Errors
    /// If a part cannot be encoded.
    pub fn put_acting<V, A>(&mut self, agent: &A, envs: &V) -> Result<()>
    where
        V: VecEnv + ?Sized,
        A: Policy + ?Sized,
    {
        self.put("moments", &envs.moments())?;
        if let Some(description) = agent.describe()? {
            self.put_file(POLICY_FILE, description.into_bytes());
        }
        if let Some(normalizer) = envs.normalizer() {
            let text = serde_json::to_vec_pretty(&normalizer.state());
            self.put_file(NORMALIZER_FILE, text.map_err(|e| Error::corrupt(NORMALIZER_FILE, e))?);
        }
        Ok(())
    }

    /// Lists the files that differ from those of `other` or are present in only one of the two.
    pub fn differences(&self, other: &Sections) -> Vec<String> {
        let names: BTreeSet<_> = self.files.keys().chain(other.files.keys()).collect();
        let differ = |name: &&&String| self.files.get(**name) != other.files.get(**name);
        names.iter().filter(differ).map(|name| format!("{name} differs")).collect()
    }
}
