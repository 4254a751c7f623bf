use rl_core::{nearest_name, one_line};
use std::fmt::Display;
use std::path::Path;

/// The errors of commands. Each is printed as one line, with exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An invalid request of the user.
    #[error("{0}")]
    Usage(String),
    /// A signal stopped the run, which was saved: no message, but a different exit code.
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Core(#[from] rl_core::Error),
    #[error(transparent)]
    Envs(#[from] rl_envs::Error),
    #[error(transparent)]
    Nets(#[from] rl_nets::Error),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn usage(message: impl Display) -> Self {
        // Error messages of parsers span several lines; here an error is one line.
        Error::Usage(one_line(message))
    }

    /// As an error of the library, for code of ours that it calls.
    pub(crate) fn into_core(self) -> rl_core::Error {
        match self {
            Error::Core(error) => error,
            error => rl_core::Error::other(error),
        }
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        rl_core::Error::io(path, error).into()
    }
}

/// "; did you mean 'x'?" for the most similar candidate, if one is similar enough.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest_name(name, known, 0.7).map_or(String::new(), |k| format!("; did you mean '{k}'?"))
}
