//! Handling of signals that stop a run.

use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a run stopped by a signal, that of shells for SIGINT.
pub(crate) const EXIT_CODE: i32 = 130;

/// Stops a run at the first SIGINT, SIGTERM or SIGHUP after the current step, so that it can be saved. The second
/// signal ends the process at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts listening for signals.
    pub(crate) fn listen() -> Result<Self> {
        let interrupt = Interrupt::default();
        let flag = interrupt.0.clone();
        let handler = move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(EXIT_CODE);
            }
        };
        ctrlc::set_handler(handler).map_err(Error::usage)?;
        Ok(interrupt)
    }

    /// What a signal sets.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Whether a signal has been received.
    pub(crate) fn happened(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
