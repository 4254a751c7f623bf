//! Where a network lives and by which path it computes.

use crate::{Error, Result, Threads};
use candle_core::Device;

/// The path by which a network computes.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The fused path: hand-derived passes over slices on the CPU.
    Fused,
    /// The same with passes of large networks shared out among threads, and the same bits.
    Threaded(Threads),
    /// The reference path: candle's operations and autograd on a device.
    Candle(Device),
}

impl Backend {
    /// The same backend with passes shared out among `count` threads, where it is the fused one; others
    /// see to their threads themselves.
    ///
    /// # Errors
    /// Those of [`Threads::new`].
    pub fn on_threads(self, count: usize) -> Result<Self> {
        match self {
            Backend::Candle(_) => {
                rl_core::check::at_least("threads", 1, count as u64)?;
                Ok(self)
            }
            _ if count == 1 => Ok(Backend::Fused),
            _ => Ok(Backend::Threaded(Threads::new(count)?)),
        }
    }

    /// The backend by name: `cpu` (fused), `reference` (candle on the CPU), `cuda` or `metal`.
    ///
    /// ```
    /// use rl_nets::Backend;
    /// assert!(matches!(Backend::by_name("cpu")?, Backend::Fused));
    /// let error = Backend::by_name("tpu").unwrap_err().to_string();
    /// assert_eq!(error, "device 'tpu': unknown; expected cpu, reference, cuda or metal");
    /// # Ok::<(), rl_nets::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Device`] for an unknown name, a device that is not compiled in, or one that is not there.
    pub fn by_name(name: &str) -> Result<Self> {
        let error = |problem: String| Error::Device { device: name.to_owned(), problem };
        let compiled = |available: bool, feature: &str| match available {
            true => Ok(()),
            false => Err(error(format!("not compiled in; build with --features {feature}"))),
        };
        let there = |device: candle_core::Result<Device>| {
            // candle appends a backtrace where one is asked for; the first line is the reason.
            let reason = |e: candle_core::Error| e.to_string().lines().next().map(str::to_owned);
            device.map_err(|e| error(format!("not there: {}", reason(e).unwrap_or_default())))
        };
        match name {
            "cpu" => Ok(Backend::Fused),
            "reference" => Ok(Backend::Candle(Device::Cpu)),
            "cuda" => {
                compiled(candle_core::utils::cuda_is_available(), "cuda")?;
                Ok(Backend::Candle(there(Device::new_cuda(0))?))
            }
            "metal" => {
                compiled(candle_core::utils::metal_is_available(), "metal")?;
                Ok(Backend::Candle(there(Device::new_metal(0))?))
            }
            _ => Err(error("unknown; expected cpu, reference, cuda or metal".to_owned())),
        }
    }
}
