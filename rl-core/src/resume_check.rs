//! Whether a resumed run ends in the same bits as one that was not stopped.

use crate::{
    Agent, CheckpointDir, CheckpointEvery, Latest, MemorySink, Result, Row, StopAt, Trainer,
    TrainerConfig, VecEnv,
};
use std::path::Path;

/// Trains `total` steps in one go, then once more with a stop at two thirds, everything forgotten,
/// and a resume from the checkpoint at a third; says in words how the two runs differ.
///
/// For whoever writes an agent or an environment: `make` builds both afresh, and checkpoints go into
/// the empty folder `dir`.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, check_resume};
/// # use rl_core::doc_env::{Guess, Sign};
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let make = || {
///     let envs = SerialVecEnv::new(vec![Sign::with_length(7)], Seeds::new(0))?;
///     Ok((envs, Guess::default()))
/// };
/// assert!(check_resume(dir, make, 300)?.is_empty());
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// Those of the runs themselves.
pub fn check_resume<V, A>(
    dir: &Path,
    make: impl Fn() -> Result<(V, A)>,
    total: u64,
) -> Result<Vec<String>>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    let third = (total / 3).max(1);
    let trainer = |name: &str, stop, sink: &MemorySink| -> Result<_> {
        let (envs, agent) = make()?;
        Ok(Trainer::new(envs, agent, TrainerConfig::new(total))?
            .with_sink(sink.clone())
            .with_checkpoints(CheckpointDir::new(dir.join(name)).keep(usize::MAX))
            .with_callback(CheckpointEvery::new(third)?)
            .with_callback(StopAt(stop)))
    };
    let [whole, first, second] = [(); 3].map(|()| MemorySink::default());
    let mut uninterrupted = trainer("whole", u64::MAX, &whole)?;
    uninterrupted.run()?;
    trainer("stopped", 2 * third - 1, &first)?.run()?;
    let Latest { manifest, sections, .. } =
        CheckpointDir::new(dir.join("stopped")).read_latest()?;
    let mut resumed = trainer("stopped", u64::MAX, &second)?;
    resumed.resume(&manifest, &sections)?;
    resumed.run()?;

    let (expected, got) = (uninterrupted.sections()?, resumed.sections()?);
    let mut problems = expected.differences(&got);
    let kept = first.rows().into_iter().filter(|row| row.step <= manifest.step);
    let rows: Vec<Row> = kept.chain(second.rows()).collect();
    // Compared as text, in which a NaN (nothing to measure yet) is equal to itself.
    if format!("{rows:?}") != format!("{:?}", whole.rows()) {
        problems.push("the metrics differ".to_owned());
    }
    Ok(problems)
}
