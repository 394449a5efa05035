//! One stream of each backend, and the moving of batches between them.

use std::sync::Arc;

use super::Place;
use super::watch::OwnTrack;
use crate::backend::Backend;
use crate::error::Result;
use crate::memory::{Batch, BatchData};
use crate::operators::Context;

/// A stream of a backend, given back when dropped.
struct Stream {
    backend: Arc<dyn Backend>,
    context: Context,
}

impl Stream {
    fn create(backend: &Arc<dyn Backend>, context: &Context) -> Result<Self> {
        Ok(Stream {
            backend: Arc::clone(backend),
            context: Context {
                stream: backend.stream_create()?,
                ..context.clone()
            },
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.backend.stream_destroy(self.context.stream);
    }
}

/// A stream of the engine's backend, and what the CPU backend needs in its place. Used by one actor
/// at a time.
pub(super) struct Lane {
    own: Stream,
    /// The CPU backend, for operators that the engine's own refuses.
    host: Option<Stream>,
    reserve_timeout: std::time::Duration,
    track: OwnTrack,
}

impl Lane {
    /// A lane over the engine's backend and the CPU backend; these may be one. The context is that of
    /// the query, whatever its stream.
    pub(super) fn create(
        own: &Arc<dyn Backend>,
        cpu: &Arc<dyn Backend>,
        context: &Context,
        reserve_timeout: std::time::Duration,
        track: OwnTrack,
    ) -> Result<Lane> {
        let alone = own.name() == cpu.name();
        Ok(Lane {
            own: Stream::create(own, context)?,
            host: match alone {
                true => None,
                false => Some(Stream::create(cpu, context)?),
            },
            reserve_timeout,
            track,
        })
    }

    /// The track of the actor that uses it, if the query is traced.
    pub(super) fn track(&self) -> &OwnTrack {
        &self.track
    }

    /// The context for operators of this place.
    pub(super) fn context(&self, place: Place) -> &Context {
        match (place, &self.host) {
            (Place::Cpu, Some(host)) => &host.context,
            _ => &self.own.context,
        }
    }

    /// The backend of this place.
    pub(super) fn backend(&self, place: Place) -> &Arc<dyn Backend> {
        match (place, &self.host) {
            (Place::Cpu, Some(host)) => &host.backend,
            _ => &self.own.backend,
        }
    }

    /// Waits for all work of the lane, and reports what failed there.
    pub(super) fn synchronize(&self) -> Result<()> {
        let _span = self.span("synchronize");
        self.own.backend.synchronize(self.own.context.stream)
    }

    /// The batch where an operator of this place can read it.
    pub(super) fn bring(&self, batch: Batch, place: Place) -> Result<Batch> {
        if self.host.is_none() {
            return match batch.data() {
                // The CPU backend takes host batches as they are; a device uploads.
                BatchData::Host(rows) => self.upload(rows),
                BatchData::Device(_) => Ok(batch),
            };
        }
        match (batch.data(), place) {
            (BatchData::Host(rows), Place::Own) => self.upload(rows),
            (BatchData::Device(_), Place::Cpu) => self.download(batch).map(Batch::host),
            _ => Ok(batch),
        }
    }

    fn upload(&self, rows: &arrow::array::RecordBatch) -> Result<Batch> {
        let Stream { backend, context } = &self.own;
        let _span = self.span("upload");
        backend.upload_or_wait(context, rows, self.reserve_timeout)
    }

    /// The rows of a batch on the host; waits for them.
    pub(super) fn download(&self, batch: Batch) -> Result<arrow::array::RecordBatch> {
        match batch.data() {
            BatchData::Host(rows) => Ok(rows.clone()),
            BatchData::Device(_) => {
                let _span = self.span("download");
                self.own.backend.download(&self.own.context, batch)
            }
        }
    }
}
