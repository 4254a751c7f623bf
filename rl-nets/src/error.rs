/// The error type of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device that is not compiled in, or not present.
    #[error("device '{device}': {problem}")]
    Device {
        /// The device's name.
        device: String,
        /// Why it cannot be used.
        problem: String,
    },
    /// A safetensors file that does not match the network.
    #[error("weights: {0}")]
    Weights(String),
    /// An operation that a module does not support.
    #[error("{0} is not supported by this network")]
    Unsupported(&'static str),
    /// A model of candle that cannot be trained as it is.
    #[error("candle model: {0}")]
    Model(String),
    /// A result is NaN or infinite: the run has diverged.
    #[error(
        "{what} is {value}, not a finite number: the run has diverged; a smaller learning rate or a gradient norm limit may help"
    )]
    NotFinite {
        /// The name of the quantity.
        what: &'static str,
        /// The result.
        value: f64,
    },
    /// A parameter that was to be saved is NaN or infinite: the run has diverged.
    #[error(
        "'{name}' has {value}, not a finite number, and is not saved: the run has diverged; a smaller learning rate or a gradient norm limit may help"
    )]
    Diverged {
        /// The name of the parameter.
        name: String,
        /// What it has.
        value: f32,
    },
    /// An error of candle.
    #[error("candle: {0}")]
    Candle(String),
    /// An error of `rl-core`.
    #[error(transparent)]
    Core(#[from] rl_core::Error),
}

impl Error {
    /// The same error for a nested field, see [`rl_core::Error::within`].
    pub fn within(self, parent: &str) -> Self {
        match self {
            Error::Core(error) => error.within(parent).into(),
            error => error,
        }
    }
}

/// Checks that a computed number is finite.
///
/// ```
/// let error = rl_nets::check_finite("the loss", f64::NAN).unwrap_err().to_string();
/// assert!(error.starts_with("the loss is NaN, not a finite number"));
/// ```
///
/// # Errors
/// [`Error::NotFinite`] if it is not.
pub fn check_finite(what: &'static str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { what, value }) }
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
