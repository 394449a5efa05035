//! Limits and peaks of reservations.

#![forbid(unsafe_code)]

use super::reservation::{MemoryLimits, MemoryManager};
use super::tier::Tier;
use crate::error::{Error, ErrorKind, Result};

#[test]
fn never_passes_the_limit_and_remembers_the_peak() -> Result<()> {
    let memory = MemoryManager::new(MemoryLimits {
        host: 10,
        ..MemoryLimits::UNLIMITED
    });
    let first = memory.reserve(Tier::Host, 6)?;
    let Err(error) = memory.reserve(Tier::Host, 5) else {
        return Err(Error::invalid("test", "the limit was passed", ""));
    };
    assert_eq!(
        *error.kind(),
        ErrorKind::Reservation {
            tier: Tier::Host,
            needed: 5,
            used: 6,
            limit: 10
        }
    );
    drop(first);
    assert_eq!((memory.used(Tier::Host), memory.peak(Tier::Host)), (0, 6));
    Ok(())
}
