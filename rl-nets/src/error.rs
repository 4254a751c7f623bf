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
    /// What a module does not define.
    #[error("{0} is not supported by this network")]
    Unsupported(&'static str),
    /// A model of candle that cannot be trained as it is.
    #[error("candle model: {0}")]
    Model(String),
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
    #[error("{}", first_line(.0))]
    Candle(#[from] candle_core::Error),
    /// An error of `rl-core`.
    #[error(transparent)]
    Core(#[from] rl_core::Error),
}

/// candle appends a backtrace where one is asked for; the first line is the reason.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Checks that what was computed is a number.
///
/// ```
/// let error = rl_nets::check_finite("the loss", f64::NAN).unwrap_err().to_string();
/// assert!(error.starts_with("the loss is NaN, not a finite number"));
/// ```
///
/// # Errors
/// [`Error::NotFinite`] where it is not.
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
