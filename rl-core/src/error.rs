//! The error type of this crate, and the checks that return it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The error type of `rl-core`, [`Agent`](crate::Agent) and [`Env`](crate::Env).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value is out of range.
    #[error("{field}: expected {expected}, got {got}")]
    Config {
        /// The field's name in the configuration.
        field: String,
        /// The accepted values.
        expected: String,
        /// The value given.
        got: String,
    },
    /// A slice, shape or space does not match the expected one.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// What was expected.
        expected: String,
        /// The value found.
        got: String,
    },
    /// An environment failed, or was called in the wrong order.
    #[error("environment: {0}")]
    Env(String),
    /// An environment panicked.
    #[error("environment {env} panicked at step {step} of its episode: {message}")]
    EnvPanicked {
        /// Its index.
        env: usize,
        /// The step of its episode, counted from 1; 0 when it was reset.
        step: u64,
        /// What it said.
        message: String,
    },
    /// A number from an environment or an agent is NaN or infinite.
    #[error("{what} of environment {env} at step {step}: expected a finite number, got {got}")]
    NotFinite {
        /// Which number: `reward`, or an element such as `observation[2]`.
        what: String,
        /// The environment's index.
        env: usize,
        /// The run's environment steps before it.
        step: u64,
        /// The number.
        got: String,
    },
    /// Bytes that this library did not write, or that have been damaged.
    #[error("{what}: {problem}")]
    Corrupt {
        /// The file or section that was read.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Settings that cannot be read: an unknown field, a value of the wrong type, a preset that is not there.
    #[error("{what}: {problem}")]
    Settings {
        /// Where they come from.
        what: String,
        /// What is wrong with them.
        problem: String,
    },
    /// A folder in which a run can neither begin nor go on.
    #[error("{}: {problem}", folder.display())]
    Run {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        problem: String,
    },
    /// An error of a crate that depends on this one.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A configuration error that names `field`. Of a value that is very long it shows the beginning.
    pub fn config(field: impl Into<String>, expected: impl Display, got: impl Display) -> Self {
        Error::Config { field: field.into(), expected: expected.to_string(), got: one_line(got) }
    }

    /// The same error for a nested field: a configuration error then names both fields.
    ///
    /// ```
    /// let error = rl_core::check::positive("gain", 0.0).unwrap_err().within("network.init");
    /// assert_eq!(error.to_string(), "network.init.gain: expected a finite number > 0, got 0");
    /// ```
    pub fn within(self, parent: &str) -> Self {
        match self {
            Error::Config { field, expected, got } => {
                Error::Config { field: format!("{parent}.{field}"), expected, got }
            }
            error => error,
        }
    }

    /// A mismatch between two values. Of a value that is very long the error shows the beginning.
    ///
    /// ```
    /// let error = rl_core::Error::mismatch("name", "a short one", "n".repeat(1_000_000));
    /// assert_eq!(error.to_string().len(), "name: expected a short one, got ".len() + 2_000 + "...".len());
    /// ```
    pub fn mismatch(what: impl Into<String>, expected: impl Display, got: impl Display) -> Self {
        let what = one_line(what.into());
        Error::Mismatch { what, expected: expected.to_string(), got: one_line(got) }
    }

    /// Damaged data, or data in another format.
    pub fn corrupt(what: impl Into<String>, problem: impl Display) -> Self {
        Error::Corrupt { what: what.into(), problem: problem.to_string() }
    }

    /// Settings that cannot be read. A message of several lines, as parsers have them, becomes one.
    pub fn settings(what: impl Into<String>, problem: impl Display) -> Self {
        Error::Settings { what: one_line(what.into()), problem: one_line(problem) }
    }

    /// A folder in which a run can neither begin nor go on.
    pub fn run(folder: impl AsRef<Path>, problem: impl Display) -> Self {
        Error::Run { folder: folder.as_ref().to_owned(), problem: problem.to_string() }
    }

    /// A failed file operation on `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Error::Io { path: path.as_ref().to_owned(), source }
    }

    /// Wraps an error of another crate so that it can be returned through the [`Agent`](crate::Agent) interface.
    pub fn other(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::Other(Box::new(source))
    }
}

/// A text as errors show it: several lines, as parsers have them, become one, and of what is very long there is the beginning.
///
/// ```
/// assert_eq!(rl_core::one_line("a value\n  of two lines"), "a value of two lines");
/// ```
pub fn one_line(text: impl Display) -> String {
    const LONGEST: usize = 2_000;
    let text = text.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut line = lines.join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line += "...";
    }
    if line.contains(char::is_control) { line.escape_debug().to_string() } else { line }
}

/// The known name that is most like `name`, where the likeness (Jaro-Winkler, case apart) is more than `least`, of 1: what a
/// misspelled one may have meant.
///
/// ```
/// let known = || ["dqn", "ppo"].into_iter();
/// assert_eq!(rl_core::nearest_name("dpn", known(), 0.7), Some("dqn"));
/// assert_eq!(rl_core::nearest_name("reinforce", known(), 0.7), None);
/// ```
pub fn nearest_name<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
    least: f64,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    let scored = known.map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &name), known));
    let nearest = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.filter(|(likeness, _)| *likeness > least).map(|(_, known)| known)
}

/// Range checks for configuration fields. Each names the field, the range and the value.
///
/// ```
/// let err = rl_core::check::positive("learning_rate", -0.1).unwrap_err();
/// assert_eq!(err.to_string(), "learning_rate: expected a finite number > 0, got -0.1");
/// ```
pub mod check {
    use super::{Error, Result};
    use crate::Element;
    use crate::bad_numbers::all_finite;
    use std::fmt::Display;

    /// A number as a person reads it: hundreds of digits are none.
    struct Shown(f64);

    impl Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let Shown(value) = self;
            let plain = *value == 0.0 || (1e-5..1e16).contains(&value.abs());
            if plain || !value.is_finite() { write!(f, "{value}") } else { write!(f, "{value:e}") }
        }
    }

    fn ensure(ok: bool, field: &str, expected: impl Display, got: impl Display) -> Result<()> {
        if ok { Ok(()) } else { Err(Error::config(field, expected, got)) }
    }

    /// A finite number.
    pub fn finite(field: &str, value: f64) -> Result<()> {
        ensure(value.is_finite(), field, "a finite number", Shown(value))
    }

    /// A finite number above zero that is one in single precision too, in which networks compute.
    pub fn positive(field: &str, value: f64) -> Result<()> {
        ensure(value.is_finite() && value > 0.0, field, "a finite number > 0", Shown(value))?;
        let single = value as f32;
        let expected = "a number > 0 of single precision (1e-45 to 3.4e38)";
        ensure(single.is_finite() && single > 0.0, field, expected, Shown(value))
    }

    /// An optional number; if present, it must pass another check.
    pub fn optional(
        field: &str,
        value: Option<f64>,
        range: fn(&str, f64) -> Result<()>,
    ) -> Result<()> {
        value.map_or(Ok(()), |value| range(field, value))
    }

    /// A finite number that is at least zero, and finite in single precision too, in which networks compute.
    pub fn non_negative(field: &str, value: f64) -> Result<()> {
        ensure(value.is_finite() && value >= 0.0, field, "a finite number >= 0", Shown(value))?;
        let expected = "a number of single precision (up to 3.4e38)";
        ensure((value as f32).is_finite(), field, expected, Shown(value))
    }

    /// A number in `[0, 1]`.
    pub fn fraction(field: &str, value: f64) -> Result<()> {
        ensure((0.0..=1.0).contains(&value), field, "a number in [0, 1]", Shown(value))
    }

    /// A number in `(0, 1]` that is above zero in single precision too, in which networks compute.
    pub fn positive_fraction(field: &str, value: f64) -> Result<()> {
        ensure(value > 0.0 && value <= 1.0, field, "a number in (0, 1]", Shown(value))?;
        positive(field, value)
    }

    /// An integer of at least `min`.
    pub fn at_least(field: &str, min: u64, value: u64) -> Result<()> {
        ensure(value >= min, field, format_args!("an integer >= {min}"), value)
    }

    /// An integer of at most `max`; `max_name` names the source of this limit.
    pub fn at_most(field: &str, max: u64, max_name: &str, value: u64) -> Result<()> {
        ensure(value <= max, field, format_args!("at most {max_name} ({max})"), value)
    }

    /// How often something is done between two looks at signals, from 1 to 1,000,000; `max_name` names the limit.
    pub fn repeats(field: &str, max_name: &str, value: u64) -> Result<()> {
        at_least(field, 1, value)?;
        at_most(field, 1_000_000, max_name, value)
    }

    /// A count of what has happened, read from a file: one that is far from the largest number, so that it can go on.
    pub fn count(field: &str, value: u64) -> Result<()> {
        at_most(field, u64::MAX / 2, "the largest count", value)
    }

    /// A size whose memory can be had: `bytes` is what it takes, none where they are too many to count. Asked before anything
    /// is allocated, since an allocation that fails ends the process.
    ///
    /// ```
    /// use rl_core::check;
    /// assert!(check::memory("n_steps", 2_048, 2_048usize.checked_mul(40)).is_ok());
    /// let error = check::memory("n_steps", u64::MAX, None).unwrap_err().to_string();
    /// assert!(error.starts_with("n_steps: expected a size that fits in memory, got 18446744073709551615"));
    /// ```
    pub fn memory(field: &str, size: impl Display, bytes: Option<usize>) -> Result<()> {
        if bytes.is_some_and(fits_in_memory) {
            return Ok(());
        }
        let takes = bytes.map_or("more than can be counted".to_owned(), |b| format!("{b} bytes"));
        let got = format_args!("{size}, which takes {takes}");
        Err(Error::config(field, "a size that fits in memory", got))
    }

    /// Whether so many bytes can be had in one piece.
    pub fn fits_in_memory(bytes: usize) -> bool {
        Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
    }

    /// Rows of finite numbers, one row an environment. `step` are the environment steps before.
    ///
    /// ```
    /// use rl_core::check;
    /// let error = check::finite_rows("action", &[0.5, 0.1, f32::NAN, 0.2], 2, 400).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "action[0] of environment 1 at step 400: expected a finite number, got NaN"
    /// );
    /// ```
    pub fn finite_rows<T: Element>(what: &str, rows: &[T], width: usize, step: u64) -> Result<()> {
        if all_finite(rows) {
            return Ok(());
        }
        let at = rows.iter().position(|x| !x.is_finite()).unwrap_or_default();
        let (env, element) = (at / width.max(1), at % width.max(1));
        let what = if width == 1 { what.to_owned() } else { format!("{what}[{element}]") };
        Err(Error::NotFinite { what, env, step, got: format!("{:?}", rows[at]) })
    }

    /// A slice of the expected length.
    pub fn len(what: &str, expected: usize, got: usize) -> Result<()> {
        if expected == got {
            Ok(())
        } else {
            Err(Error::mismatch(what, format_args!("{expected} elements"), format_args!("{got}")))
        }
    }
}
