/// The error type of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sample was requested from an empty replay buffer.
    #[error("replay: nothing to sample from yet")]
    Empty,
    /// A step was pushed onto a full rollout.
    #[error("rollout: complete; clear it before the next step")]
    Full,
    /// An error of `rl-core`.
    #[error(transparent)]
    Core(#[from] rl_core::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<Error> for rl_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            error => rl_core::Error::other(error),
        }
    }
}
