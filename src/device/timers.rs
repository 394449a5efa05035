//! When streams pass points, on the host's time axis: for traces and for the times of steps.
//!
//! A timer is an event that keeps when it passed. One of them, whose time the host knows, is the
//! origin; the others are as much later as the device counts between the two. A driver that keeps no
//! times (the emulator) answers by when the host put the point on the stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Device, Driver, EventHandle};
use crate::error::Result;
use crate::memory::StreamHandle;
use crate::metrics::{Moment, StreamClock};

/// The clock of a device's streams, for one query. Its points keep it alive.
#[derive(Debug)]
pub struct DeviceClock(Arc<Timers>);

#[derive(Debug)]
struct Timers {
    driver: Arc<dyn Driver>,
    origin: EventHandle,
    started: Instant,
    /// Timers that nobody uses: to make one takes longer than to record one.
    idle: Mutex<Vec<EventHandle>>,
}

impl DeviceClock {
    /// A clock that starts now.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn new(device: &Arc<Device>) -> Result<DeviceClock> {
        let driver = Arc::clone(device.driver());
        let origin = driver.timer_create()?;
        let stream = device.take_stream()?;
        let recorded = driver.event_record(origin, stream);
        let passed = recorded.and_then(|()| driver.event_synchronize(origin));
        let started = Instant::now();
        device.give_back_stream(stream);
        let timers = Timers {
            driver,
            origin,
            started,
            idle: Mutex::default(),
        };
        passed.map(|()| DeviceClock(Arc::new(timers)))
    }
}

impl Timers {
    fn timer(&self) -> Result<EventHandle> {
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.pop()
        };
        idle.map_or_else(|| self.driver.timer_create(), Ok)
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        let idle = self.idle.get_mut().unwrap_or_else(PoisonError::into_inner);
        for event in idle.drain(..).chain([self.origin]) {
            self.driver.event_destroy(event);
        }
    }
}

impl StreamClock for DeviceClock {
    fn mark(&self, stream: u64) -> Option<Arc<dyn Moment>> {
        let timers = Arc::clone(&self.0);
        let timer = timers.timer().ok()?;
        let point = Point {
            timers,
            timer,
            queued: Instant::now(),
        };
        let driver = &point.timers.driver;
        driver.event_record(timer, StreamHandle(stream)).ok()?;
        Some(Arc::new(point))
    }
}

/// A point of a stream.
#[derive(Debug)]
struct Point {
    timers: Arc<Timers>,
    timer: EventHandle,
    queued: Instant,
}

impl Moment for Point {
    fn when(&self) -> Option<Instant> {
        let Timers {
            driver,
            origin,
            started,
            ..
        } = self.timers.as_ref();
        if !driver.event_query(self.timer).unwrap_or(false) {
            return None;
        }
        match driver.event_elapsed(*origin, self.timer) {
            Ok(milliseconds) => {
                let since = Duration::try_from_secs_f64(f64::from(milliseconds) / 1e3);
                Some(*started + since.unwrap_or_default())
            }
            Err(_) => Some(self.queued),
        }
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let idle = self.timers.idle.lock();
        idle.unwrap_or_else(PoisonError::into_inner)
            .push(self.timer);
    }
}
