//! Backends for computing networks.

use crate::on_device::{Device, backend_by_name};
use crate::{Result, Threads};

/// The backend of a network: the fused path on the CPU, or candle on a device; and the number of threads for passes
/// of large networks.
///
/// ```
/// use rl_nets::Backend;
/// let backend = Backend::cpu().with_threads(2)?;
/// assert!(backend.device().is_none());
/// assert_eq!(backend.threads().count(), 2);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backend {
    /// None for the fused path.
    device: Option<Device>,
    threads: Threads,
}

impl Default for Backend {
    fn default() -> Self {
        Backend::cpu()
    }
}

impl Backend {
    /// The fused path: hand-derived passes over slices on the CPU, on the calling thread.
    pub fn cpu() -> Self {
        Backend { device: None, threads: Threads::one() }
    }

    /// The reference path: candle's operations and autograd on a device.
    #[cfg(feature = "candle")]
    pub fn candle(device: Device) -> Self {
        Backend { device: Some(device), threads: Threads::one() }
    }

    /// Distributes passes of large networks over `count` threads, with bit-identical results. Candle manages its own
    /// threads.
    ///
    /// # Errors
    /// Those of [`Threads::new`].
    pub fn with_threads(self, count: usize) -> Result<Self> {
        rl_core::check::at_least("threads", 1, count as u64)?;
        let threads = if self.device.is_some() { Threads::one() } else { Threads::new(count)? };
        Ok(Backend { threads, ..self })
    }

    /// candle's device; none for the fused path.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// The threads for large passes.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Checks for the fused path on one thread, since an algorithm without gradients cannot use another backend.
    ///
    /// ```
    /// use rl_nets::Backend;
    /// assert!(Backend::cpu().require_plain("hill-climbing").is_ok());
    /// let error = Backend::cpu().with_threads(2)?.require_plain("hill-climbing").unwrap_err().to_string();
    /// assert_eq!(error, "threads: expected 1 for hill-climbing, got 2");
    /// # Ok::<(), rl_nets::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a device, or for more than one thread.
    pub fn require_plain(&self, algorithm: &str) -> rl_core::Result<()> {
        let threads = self.threads.count();
        if threads != 1 {
            let expected = format!("1 for {algorithm}");
            return Err(rl_core::Error::config("threads", expected, threads));
        }
        if let Some(device) = &self.device {
            let expected = format!("cpu for {algorithm}");
            return Err(rl_core::Error::config("device", expected, format_args!("{device:?}")));
        }
        Ok(())
    }

    /// A backend by name: `cpu` (fused), `reference` (candle on the CPU), `cuda` or `metal`.
    ///
    /// ```
    /// use rl_nets::Backend;
    /// assert!(Backend::by_name("cpu")?.device().is_none());
    /// let error = Backend::by_name("tpu").unwrap_err().to_string();
    /// assert_eq!(error, "device 'tpu': unknown; expected cpu, reference, cuda or metal");
    /// # Ok::<(), rl_nets::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) for an unknown name, or a device that is not compiled in or not present.
    pub fn by_name(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Backend::cpu()),
            name => backend_by_name(name),
        }
    }
}
