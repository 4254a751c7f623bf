//! Checkpoints that were damaged, and what else may lie in their folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{CheckpointDir, Sections, read_checkpoint};
use std::fs;
use std::path::{Path, PathBuf};

fn sections() -> Sections {
    let mut sections = Sections::default();
    sections.put("numbers", &[1.5f64, -2.0]).unwrap();
    sections.put_file("settings.toml", b"seed = 0\n".to_vec());
    sections
}

/// A folder with checkpoints of steps 10 and 20.
fn written(at: &Path) -> (CheckpointDir, PathBuf) {
    let folder = CheckpointDir::new(at);
    folder.write("test", 10, &sections()).unwrap();
    let newest = folder.write("test", 20, &sections()).unwrap();
    (folder, newest)
}

/// Whatever is done to a file, the checkpoint is no longer taken, and the one before it is.
#[test]
fn every_flipped_bit_and_every_other_length_of_every_file_is_noticed() {
    let at = tempfile::tempdir().unwrap();
    let (folder, newest) = written(at.path());
    let check = |what: &dyn Fn() -> String| {
        let error = read_checkpoint(&newest).err();
        let error = error.unwrap_or_else(|| panic!("{}: taken for whole", what())).to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    for entry in fs::read_dir(&newest).unwrap() {
        let path = entry.unwrap().path();
        let whole = fs::read(&path).unwrap();
        for i in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[i] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                check(&|| format!("{}: bit {bit} of byte {i}", path.display()));
            }
            fs::write(&path, &whole[..i]).unwrap();
            check(&|| format!("{}: {i} bytes", path.display()));
        }
        let longer = [&whole[..], b"x"].concat();
        fs::write(&path, &longer).unwrap();
        check(&|| format!("{}: a byte more", path.display()));
        let latest = folder.read_latest().unwrap();
        assert_eq!((latest.manifest.step, latest.skipped.len()), (10, 1));
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(folder.read_latest().unwrap().manifest.step, 20);
}

#[test]
fn what_is_wrong_is_said() {
    let at = tempfile::tempdir().unwrap();
    let (_, newest) = written(at.path());
    let said = |path: &Path| read_checkpoint(path).unwrap_err().to_string();
    let moved = at.path().join("step-000000000030");
    fs::rename(&newest, &moved).unwrap();
    let error = said(&moved);
    assert!(error.ends_with("manifest.json: is of step 20, in the folder of step 30"), "{error}");
    fs::rename(&moved, &newest).unwrap();
    let manifest = fs::read_to_string(newest.join("manifest.json")).unwrap();
    fs::write(newest.join("manifest.json"), manifest.replace("\"test\"", "\"tess\"")).unwrap();
    assert!(said(&newest).ends_with("manifest.json: damaged: the checksum does not match"));
    fs::write(newest.join("manifest.json"), &manifest).unwrap();
    fs::write(newest.join("settings.toml"), "seed = 0\n\n").unwrap();
    assert!(said(&newest).ends_with("settings.toml: longer than it was: 10 bytes of 9"));
}

/// Names that this library would use itself, taken by something else.
#[test]
fn foreign_files_do_not_stand_in_the_way() {
    let at = tempfile::tempdir().unwrap();
    let (folder, _) = written(at.path());
    fs::write(at.path().join(".writing-000000000030"), "a file").unwrap();
    fs::write(at.path().join(".writing-removal-000000000010"), "a file").unwrap();
    fs::write(at.path().join(".writing-notes"), "of a person").unwrap();
    fs::create_dir(at.path().join("step-000000000030")).unwrap();
    fs::create_dir(at.path().join("step-")).unwrap();
    fs::create_dir(at.path().join("step-best")).unwrap();
    folder.repair().unwrap();
    let latest = folder.read_latest().unwrap();
    assert_eq!((latest.manifest.step, latest.skipped.len()), (20, 1));
    folder.write("test", 30, &sections()).unwrap();
    assert_eq!(folder.read_latest().unwrap().manifest.step, 30);
    // One of a later step that is none takes no checkpoint's place.
    let foreign = at.path().join("step-000000009000");
    fs::create_dir(&foreign).unwrap();
    folder.write("test", 40, &sections()).unwrap();
    assert!(foreign.exists());
    assert_eq!(folder.steps().unwrap(), [30, 40, 9_000]);
    for kept in [".writing-notes", "step-", "step-best"] {
        assert!(at.path().join(kept).exists(), "{kept}");
    }
}

/// A replacement that was damaged after a crash does not take the place of the checkpoint that is written then.
#[test]
fn a_damaged_replacement_is_replaced() {
    let at = tempfile::tempdir().unwrap();
    let (folder, newest) = written(at.path());
    let replacement = newest.with_extension("next");
    fs::rename(&newest, &replacement).unwrap();
    fs::write(replacement.join("numbers.bin"), "damaged").unwrap();
    assert_eq!(folder.read_latest().unwrap().manifest.step, 10);
    let place = folder.write("test", 20, &sections()).unwrap();
    assert!(place.exists() && !replacement.exists());
    let latest = folder.read_latest().unwrap();
    assert_eq!((latest.manifest.step, latest.skipped.len()), (20, 0));
}

/// A later checkpoint that is damaged does not count among those that are kept.
#[test]
fn two_that_are_whole_are_kept() {
    let at = tempfile::tempdir().unwrap();
    let (folder, newest) = written(at.path());
    fs::write(newest.join("numbers.bin"), "damaged").unwrap();
    folder.write("test", 15, &sections()).unwrap();
    assert_eq!(folder.steps().unwrap(), [10, 15, 20]);
    assert_eq!(folder.read_latest().unwrap().manifest.step, 15);
}

/// Nothing is written outside a checkpoint, nor over its manifest.
#[test]
fn names_that_are_none_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let folder = CheckpointDir::new(at.path().join("a"));
    for name in ["../../precious", "/tmp/precious", "a/b", "", ".", "..", "a\nb", "manifest.json"] {
        let mut sections = sections();
        sections.put_file(name, b"gone".to_vec());
        let error = folder.write("test", 5, &sections).unwrap_err().to_string();
        assert!(error.starts_with("section: expected the name of a file"), "{error}");
    }
    assert!(!folder.root().exists());
}
