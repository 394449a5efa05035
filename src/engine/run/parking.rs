//! How batches leave a backend's memory and come back, for the spill manager.

use std::sync::Arc;

use crate::backend::Backend;
use crate::error::Result;
use crate::memory::{Batch, BatchData, HostParking, ParkedBatch, Parking, Tier};
use crate::metrics::Metrics;
use crate::operators::Context;

/// The parkings of a query: its backend's, and that of host batches.
pub(in crate::engine) struct Parkings {
    own: Arc<dyn Parking>,
    host: Arc<dyn Parking>,
}

impl Parkings {
    pub(in crate::engine) fn new(backend: &Arc<dyn Backend>, metrics: &Arc<Metrics>) -> Parkings {
        Parkings {
            own: Arc::new(BackendParking {
                backend: Arc::clone(backend),
                metrics: Arc::clone(metrics),
            }),
            host: Arc::new(HostParking),
        }
    }

    /// The parking of a batch, by where it is.
    pub(super) fn of(&self, batch: &Batch) -> Arc<dyn Parking> {
        Arc::clone(match batch.data() {
            BatchData::Host(_) => &self.host,
            BatchData::Device(_) => &self.own,
        })
    }

    /// The tier of the backend's batches.
    pub(super) fn own_tier(&self) -> Tier {
        self.own.tier()
    }
}

/// Batches of a backend, moved by it on a stream of their own.
struct BackendParking {
    backend: Arc<dyn Backend>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for BackendParking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackendParking({})", self.backend.name())
    }
}

impl BackendParking {
    fn on_stream<T>(&self, work: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let stream = self.backend.stream_create()?;
        let context = Context {
            stream,
            metrics: Arc::clone(&self.metrics),
            ..Context::detached()
        };
        // A copy that failed must be told here: nobody waits for this stream again.
        let done = work(&context).and_then(|done| {
            self.backend.synchronize(stream)?;
            Ok(done)
        });
        self.backend.stream_destroy(stream);
        done
    }
}

impl Parking for BackendParking {
    fn tier(&self) -> Tier {
        self.backend.tier()
    }

    fn bytes(&self, batch: &Batch) -> u64 {
        match batch.data() {
            BatchData::Host(rows) => rows.get_array_memory_size() as u64,
            BatchData::Device(columns) => columns.bytes(),
        }
    }

    fn park(&self, batch: &Batch) -> Result<ParkedBatch> {
        self.on_stream(|context| self.backend.park(context, batch))
    }

    fn park_pinned(&self, batch: &Batch) -> Result<Option<ParkedBatch>> {
        self.on_stream(|context| self.backend.park_pinned(context, batch))
    }

    fn unpark(&self, parked: &ParkedBatch) -> Result<Batch> {
        self.on_stream(|context| self.backend.unpark(context, parked))
    }
}
