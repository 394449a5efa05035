//! Which backend runs queries, and why.

use std::sync::Arc;

use crate::backend::Backend;
#[cfg(any(feature = "cuda", feature = "simt"))]
use crate::backend::cuda::CudaBackend;
#[cfg(feature = "cuda")]
use crate::device::cuda::CudaDriver;
#[cfg(feature = "simt")]
use crate::device::simt::{SimtDriver, SimtOptions};
#[cfg(any(feature = "cuda", feature = "simt"))]
use crate::device::{Device, Driver, SlabOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryManager;
use crate::options::{BackendOption, EngineOptions};

/// The backend of an engine, and how it came to be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendChoice {
    /// `cpu`, `cuda` or `simt`.
    pub name: &'static str,
    /// Why this one.
    pub reason: String,
    /// The device's name, if there is one.
    pub device: Option<String>,
    /// What else is known of the device: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
}

impl BackendChoice {
    fn cpu(reason: String) -> Self {
        BackendChoice {
            name: "cpu",
            reason,
            device: None,
            facts: Vec::new(),
        }
    }
}

/// A device that was opened, before it is told how much memory it may use.
pub(super) struct Opened {
    choice: BackendChoice,
    #[cfg(any(feature = "cuda", feature = "simt"))]
    driver: Option<Arc<dyn Driver>>,
}

impl Opened {
    fn cpu(reason: String) -> Self {
        Opened {
            choice: BackendChoice::cpu(reason),
            #[cfg(any(feature = "cuda", feature = "simt"))]
            driver: None,
        }
    }

    /// A device that the caller opened, or none.
    #[cfg(any(feature = "cuda", feature = "simt"))]
    pub(super) fn brought(driver: Option<Arc<dyn Driver>>) -> Self {
        let reason = "the caller brought it";
        match driver {
            Some(driver) => opened(driver, reason),
            None => Opened::cpu(reason.to_string()),
        }
    }

    /// Bytes of the device, if there is one: what a share of device memory is a share of.
    pub(super) fn device_bytes(&self) -> Option<u64> {
        #[cfg(any(feature = "cuda", feature = "simt"))]
        let bytes = self
            .driver
            .as_ref()
            .map(|driver| driver.properties().memory_bytes);
        #[cfg(not(any(feature = "cuda", feature = "simt")))]
        let bytes = None;
        bytes
    }

    /// The backend, its memory counted by `memory`, on a host with so many bytes.
    ///
    /// # Errors
    /// `Reservation` or `Device` if the pinned memory that is wanted at the start cannot be had.
    pub(super) fn backend(
        self,
        options: &EngineOptions,
        host_bytes: Option<u64>,
        memory: &Arc<MemoryManager>,
        cpu: &Arc<dyn Backend>,
    ) -> Result<(Arc<dyn Backend>, BackendChoice)> {
        #[cfg(any(feature = "cuda", feature = "simt"))]
        if let Some(driver) = self.driver {
            let initial = options.pinned_initial_pool_size();
            let slabs = SlabOptions {
                pinned: options.pinned_memory(),
                // Of a host whose memory nobody knows, a share is nothing.
                initial_bytes: initial.of(Some(host_bytes.unwrap_or(0))),
            };
            let device = Device::with_slabs(driver, Arc::clone(memory), slabs)
                .map_err(|error| error.context("allocating `pinned_initial_pool_size`"))?;
            let cache = options.column_cache_limit();
            let cache = cache.of(Some(memory.limits().device));
            let backend = CudaBackend::new(device).with_column_cache(cache);
            return Ok((Arc::new(backend), self.choice));
        }
        let _unused_without_a_device = (options, host_bytes, memory);
        Ok((Arc::clone(cpu), self.choice))
    }
}

/// Opens what the options ask for; `auto` takes CUDA if there is a usable device, else the CPU.
///
/// # Errors
/// `DeviceNotFound`, `KernelsNotBuilt` or `Unsupported` for a backend that was asked for by name.
pub(super) fn open(options: &EngineOptions) -> Result<Opened> {
    let by_option = "the option `backend` says so";
    match options.backend() {
        BackendOption::Cpu => Ok(Opened::cpu(by_option.to_string())),
        BackendOption::Auto => Ok(open_cuda(options, "a CUDA device was found")
            .unwrap_or_else(|error| Opened::cpu(format!("no CUDA: {}", cause_of(&error))))),
        BackendOption::Cuda => open_cuda(options, by_option),
        BackendOption::Simt => open_simt(options, by_option),
    }
}

#[cfg(any(feature = "cuda", feature = "simt"))]
fn opened(driver: Arc<dyn Driver>, reason: &str) -> Opened {
    let properties = driver.properties();
    let (major, minor) = properties.compute_capability;
    let facts = vec![
        ("driver_version", properties.driver_version.clone()),
        ("compute_capability", format!("{major}.{minor}")),
        ("device_memory", properties.memory_bytes.to_string()),
        ("multiprocessors", properties.multiprocessors.to_string()),
        ("l2_cache", properties.l2_bytes.to_string()),
        ("kernels", properties.kernels.clone()),
    ];
    let choice = BackendChoice {
        name: driver.name(),
        reason: reason.to_string(),
        device: Some(properties.name.clone()),
        facts,
    };
    Opened {
        choice,
        driver: Some(driver),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(options: &EngineOptions, reason: &str) -> Result<Opened> {
    let driver = CudaDriver::new(options.device(), options.kernel_cache_folder())?;
    Ok(opened(Arc::new(driver), reason))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_options: &EngineOptions, _reason: &str) -> Result<Opened> {
    Err(Error::new(ErrorKind::DeviceNotFound {
        cause: "this build has no CUDA backend".to_string(),
    }))
}

#[cfg(feature = "simt")]
fn open_simt(options: &EngineOptions, reason: &str) -> Result<Opened> {
    let emulated = SimtOptions {
        seed: options.simt_seed(),
        checked: options.simt_checked(),
        ..SimtOptions::default()
    };
    Ok(opened(Arc::new(SimtDriver::new(emulated)), reason))
}

#[cfg(not(feature = "simt"))]
fn open_simt(_options: &EngineOptions, _reason: &str) -> Result<Opened> {
    Err(Error::unsupported(
        "simt",
        "queries",
        "the emulator is not in this build",
    ))
}

/// The cause alone: the remedy of these errors is the CPU, which is what happens.
fn cause_of(error: &Error) -> String {
    match error.kind() {
        ErrorKind::DeviceNotFound { cause } | ErrorKind::KernelsNotBuilt { cause } => cause.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn the_choice_has_a_reason() -> Result<()> {
        let engine = Engine::new(EngineOptions::default().with("backend", "cpu")?)?;
        assert_eq!(engine.backend_choice().name, "cpu");
        assert_eq!(
            engine.backend_choice().reason,
            "the option `backend` says so"
        );
        let auto = Engine::new(EngineOptions::default())?;
        assert!(!auto.backend_choice().reason.is_empty());
        Ok(())
    }
}
