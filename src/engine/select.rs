//! Which backend runs queries, and why.

use std::sync::Arc;

use crate::backend::Backend;
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
}

/// A device backend and the name of its device.
type OnDevice = (Arc<dyn Backend>, String);

/// The one place where device backends are made.
fn device_backend(
    wanted: BackendOption,
    _options: &EngineOptions,
    _memory: &Arc<MemoryManager>,
) -> Result<OnDevice> {
    Err(match wanted {
        BackendOption::Simt => Error::unsupported("simt", "queries", "it is not in this build"),
        _ => Error::new(ErrorKind::DeviceNotFound {
            cause: "this build has no device backend".to_string(),
        }),
    })
}

/// Free bytes of the device that the options name, if there is one: what a share of device memory
/// is a share of.
pub(super) fn device_bytes(_options: &EngineOptions) -> Option<u64> {
    None
}

pub(super) fn choose(
    options: &EngineOptions,
    memory: &Arc<MemoryManager>,
    cpu: &Arc<dyn Backend>,
) -> Result<(Arc<dyn Backend>, BackendChoice)> {
    let on_cpu = |reason: String| {
        let choice = BackendChoice {
            name: cpu.name(),
            reason,
            device: None,
        };
        (Arc::clone(cpu), choice)
    };
    let on_device = |(backend, device): OnDevice, reason: &str| {
        let choice = BackendChoice {
            name: backend.name(),
            reason: reason.to_string(),
            device: Some(device),
        };
        (backend, choice)
    };
    match options.backend() {
        BackendOption::Cpu => Ok(on_cpu("the option `backend` says so".to_string())),
        BackendOption::Auto => match device_backend(BackendOption::Cuda, options, memory) {
            Ok(found) => Ok(on_device(found, "a CUDA device was found")),
            Err(error) => Ok(on_cpu(format!("no CUDA: {}", cause_of(&error)))),
        },
        wanted => {
            let found = device_backend(wanted, options, memory)?;
            Ok(on_device(found, "the option `backend` says so"))
        }
    }
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
