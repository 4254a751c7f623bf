/// What went wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A sample was asked of a memory with nothing in it.
    #[error("replay: nothing to sample from yet")]
    Empty,
    /// A step was pushed onto a rollout that is complete.
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
