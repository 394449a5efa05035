//! What is seen of steps while they run: counts, times, and spans of the query's trace.

use std::sync::Arc;
use std::time::Instant;

use super::lane::Lane;
use super::{Place, QueryRun};
use crate::memory::Batch;
use crate::metrics::{
    Meter, Metrics, Moment, OnTrack, RowCount, StepFacts, StepKind, Track, TrackSpan,
};

/// The track of an actor, if the query is traced.
pub(super) type OwnTrack = Option<Arc<Track>>;

/// Rows of a batch, as far as the host knows.
pub(super) fn rows_of(batch: &Batch) -> RowCount {
    match batch.rows_exact() {
        Some(rows) => RowCount { rows, exact: true },
        None => RowCount {
            rows: batch.rows_max(),
            exact: false,
        },
    }
}

/// Counts a batch that a step took.
pub(super) fn took(meter: &Meter, batch: &Batch) {
    meter.took(rows_of(batch), batch.bytes());
}

/// Counts a batch that a step gave.
pub(super) fn gave(meter: &Meter, batch: &Batch) {
    meter.gave(rows_of(batch), batch.bytes());
}

/// The time of a step's work, from where it was made to where it is dropped.
pub(super) struct Watch<'a> {
    meter: &'a Meter,
    metrics: &'a Metrics,
    stream: u64,
    started: Instant,
    from: Option<Arc<dyn Moment>>,
    _span: Option<TrackSpan>,
    _on: Option<OnTrack>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.meter.spent(self.started.elapsed());
        let to = || self.metrics.clock()?.mark(self.stream);
        if let Some(from) = self.from.take()
            && let Some(to) = to()
        {
            self.meter.on_device(from, to);
        }
    }
}

impl Lane {
    /// Watches what a step does on this lane, on a backend, until what this gives is dropped.
    pub(super) fn watch<'a>(&'a self, meter: &'a Meter, place: Place) -> Watch<'a> {
        let context = self.context(place);
        let metrics = context.metrics.as_ref();
        let clock = match place {
            Place::Own => metrics.clock(),
            Place::Cpu => None,
        };
        let track = self.track().as_ref();
        Watch {
            meter,
            metrics,
            stream: context.stream.0,
            started: Instant::now(),
            from: clock.and_then(|clock| clock.mark(context.stream.0)),
            _span: track.map(|track| track.span(meter.facts().operator)),
            _on: track.map(Track::enter),
        }
    }

    /// A span of the lane's track, if it has one: for waits.
    pub(super) fn span(&self, name: &'static str) -> Option<TrackSpan> {
        self.track().as_ref().map(|track| track.span(name))
    }
}

impl QueryRun {
    /// The track of this name, if the query is traced.
    pub(super) fn track(&self, name: &str) -> OwnTrack {
        let trace = self.read.metrics.trace();
        trace.map(|trace| trace.track(name))
    }

    /// A meter for a step; `place` is none for a step that no backend has a part in.
    pub(super) fn meter(
        &self,
        (pipeline, step): (usize, usize),
        (kind, operator): (StepKind, &'static str),
        place: Option<Place>,
        reason: Option<String>,
    ) -> Arc<Meter> {
        self.read.metrics.meter(StepFacts {
            pipeline,
            step,
            kind,
            operator,
            backend: place.map(|place| self.backend_of(place).name()),
            reason,
        })
    }
}
