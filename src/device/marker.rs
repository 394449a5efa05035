//! A point of a stream, to be asked whether the stream has passed it.

use std::sync::Arc;

use super::{Device, Driver, EventHandle};
use crate::error::Result;
use crate::memory::StreamHandle;

/// A point behind what was on a stream when it was made.
#[derive(Debug)]
pub struct Marker {
    driver: Arc<dyn Driver>,
    event: EventHandle,
}

impl Device {
    /// Puts a marker behind what is on a stream now.
    ///
    /// # Errors
    /// The driver refuses an event.
    pub fn mark(&self, stream: StreamHandle) -> Result<Marker> {
        let marker = Marker {
            driver: Arc::clone(&self.driver),
            event: self.driver.event_create()?,
        };
        self.driver.event_record(marker.event, stream)?;
        Ok(marker)
    }
}

impl Marker {
    /// Whether the stream has passed it. Does not wait, and takes the report of a failure from nobody.
    ///
    /// # Errors
    /// Work in front of it failed.
    pub fn passed(&self) -> Result<bool> {
        self.driver.event_query(self.event)
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.driver.event_destroy(self.event);
    }
}
