//! The tiers of memory.

#![forbid(unsafe_code)]

use std::fmt;

/// Where bytes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Device memory.
    Device,
    /// Host memory that the device can copy from at full speed.
    Pinned,
    /// Ordinary host memory.
    Host,
    /// Spill files.
    Disk,
}

impl Tier {
    /// Every tier, fastest first.
    pub const ALL: [Tier; 4] = [Tier::Device, Tier::Pinned, Tier::Host, Tier::Disk];

    /// The option that sets the tier's limit.
    pub fn limit_option(self) -> &'static str {
        match self {
            Tier::Device => "device_memory_limit",
            Tier::Pinned => "pinned_memory_limit",
            Tier::Host => "host_memory_limit",
            Tier::Disk => "disk_limit",
        }
    }
}

impl Tier {
    /// Its name, as options and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Device => "device",
            Tier::Pinned => "pinned",
            Tier::Host => "host",
            Tier::Disk => "disk",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
