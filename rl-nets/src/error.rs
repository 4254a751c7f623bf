/// What went wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device that this build does not have, or that is not there.
    #[error("device '{device}': {problem}")]
    Device {
        /// The device's name.
        device: String,
        /// Why it cannot be used.
        problem: String,
    },
    /// A safetensors file that does not fit the network.
    #[error("weights: {0}")]
    Weights(String),
    /// A computation left the range of numbers: the run has diverged.
    #[error(
        "{what} is {value}, not a finite number: the run has diverged; a smaller learning rate or a gradient norm limit may help"
    )]
    NotFinite {
        /// What was computed.
        what: &'static str,
        /// What came out.
        value: f64,
    },
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
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
