//! Checks that a resumed run is bit-identical to an uninterrupted one.

use crate::{
    Agent, CheckpointDir, CheckpointEvery, Latest, MemorySink, Result, Row, StopAt, Trainer,
    TrainerConfig, VecEnv,
};
use std::path::Path;

/// Trains `total` steps without interruption; then trains again, stops at two thirds, discards everything, and
/// resumes from the checkpoint at one third. Returns a description of each difference between the two runs.
///
/// For authors of agents and environments: `make` builds new ones, and checkpoints are written to the empty folder
/// `dir`.
///
/// ```
/// use rl_core::toy::{Guess, Sign};
/// use rl_core::{Seeds, SerialVecEnv, check_resume};
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
/// Those of the runs.
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
    // Compared as text, because a NaN (no data yet) is not equal to itself.
    if format!("{rows:?}") != format!("{:?}", whole.rows()) {
        problems.push("the metrics differ".to_owned());
    }
    Ok(problems)
}
