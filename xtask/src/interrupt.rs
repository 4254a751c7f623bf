//! Handling of signals that stop a run.

use crate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a run stopped by a signal, that of shells for SIGINT.
pub(crate) const EXIT_CODE: i32 = 130;

#[cfg(unix)]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// Stops a run at the first SIGINT, SIGTERM or SIGHUP after the current step, so that it can be saved. The second
/// signal ends the process at once. A signal that was ignored from the start, as SIGHUP is under `nohup`, stays so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts listening for signals.
    pub(crate) fn listen() -> Result<Self> {
        let interrupt = Interrupt::default();
        for &signal in SIGNALS.iter().filter(|&&signal| !is_ignored(signal)) {
            // In this order: what the first signal sets lets the second one end the process.
            flag::register_conditional_shutdown(signal, EXIT_CODE, interrupt.flag())
                .map_err(Error::usage)?;
            flag::register(signal, interrupt.flag()).map_err(Error::usage)?;
        }
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

/// Whether the process was started with this signal ignored, where Linux tells; elsewhere no.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signals are counted from 1.
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
