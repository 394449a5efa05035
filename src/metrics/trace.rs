//! When everything happened: spans on tracks, as trace events that Perfetto and Chrome show.
//!
//! An actor has a [`Track`] of its own, on which spans nest, because it does one thing after the
//! other. A device's stream has one, too: its spans are kept by points of the stream, whose times are
//! asked for later. What happens aside, on whichever thread, is put on as many tracks as it takes for
//! spans not to overlap. Written from the trace event format's description (the JSON object form, with
//! complete events and metadata events).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Moment, locked, nanoseconds};

/// Spans of streams that may wait for their times before somebody asks for these.
const WAITING_MIN: usize = 4096;

/// The groups of tracks, which the format calls processes.
const ACTORS: u32 = 1;
const STREAMS: u32 = 2;
const MOVES: u32 = 3;

#[derive(Debug, Clone)]
struct Span {
    name: Cow<'static, str>,
    start: Instant,
    end: Instant,
    bytes: Option<u64>,
}

#[derive(Debug)]
struct Late {
    stream: u64,
    name: &'static str,
    from: Arc<dyn Moment>,
    to: Arc<dyn Moment>,
}

/// Spans of streams: those with times, and those whose ends the device may not have passed yet.
#[derive(Debug, Default)]
struct Streams {
    spans: BTreeMap<u64, Vec<Span>>,
    waiting: Vec<Late>,
    settle_at: usize,
}

impl Streams {
    fn settle(&mut self) {
        let spans = &mut self.spans;
        self.waiting.retain(|late| {
            let (Some(start), Some(end)) = (late.from.when(), late.to.when()) else {
                return true;
            };
            spans.entry(late.stream).or_default().push(Span {
                name: Cow::Borrowed(late.name),
                start,
                end,
                bytes: None,
            });
            false
        });
        self.settle_at = WAITING_MIN.max(self.waiting.len() * 2);
    }
}

/// The spans of one query.
#[derive(Debug)]
pub struct Trace {
    started: Instant,
    tracks: Mutex<Vec<Arc<Track>>>,
    streams: Mutex<Streams>,
    aside: Mutex<Vec<Span>>,
}

/// What one actor did.
#[derive(Debug)]
pub struct Track {
    name: String,
    spans: Mutex<Vec<Span>>,
}

impl Track {
    /// A span that ends when it is dropped. Spans of a track end in the opposite order of their start.
    pub fn span(self: &Arc<Self>, name: impl Into<Cow<'static, str>>) -> TrackSpan {
        TrackSpan {
            track: Arc::clone(self),
            name: name.into(),
            start: Instant::now(),
        }
    }

    /// Makes it the track of this thread's [`span_here`] until what this gives is dropped.
    pub fn enter(self: &Arc<Self>) -> OnTrack {
        OnTrack(HERE.replace(Some(Arc::clone(self))))
    }
}

thread_local! {
    static HERE: RefCell<Option<Arc<Track>>> = const { RefCell::new(None) };
}

/// While this lives, a thread works for a track.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct OnTrack(Option<Arc<Track>>);

impl Drop for OnTrack {
    fn drop(&mut self) {
        HERE.replace(self.0.take());
    }
}

/// A span of whatever track this thread works for; nothing if it works for none.
pub fn span_here(name: &'static str) -> Option<TrackSpan> {
    HERE.with_borrow(|here| here.as_ref().map(|track| track.span(name)))
}

/// A span of a track, which ends when it is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct TrackSpan {
    track: Arc<Track>,
    name: Cow<'static, str>,
    start: Instant,
}

impl Drop for TrackSpan {
    fn drop(&mut self) {
        let span = Span {
            name: std::mem::take(&mut self.name),
            start: self.start,
            end: Instant::now(),
            bytes: None,
        };
        locked(&self.track.spans).push(span);
    }
}

impl Default for Trace {
    fn default() -> Self {
        Trace::new()
    }
}

impl Trace {
    /// A trace that starts now.
    pub fn new() -> Self {
        Trace {
            started: Instant::now(),
            tracks: Mutex::default(),
            streams: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    /// The track of this name.
    pub fn track(&self, name: &str) -> Arc<Track> {
        let mut tracks = locked(&self.tracks);
        if let Some(track) = tracks.iter().find(|track| track.name == name) {
            return Arc::clone(track);
        }
        let track = Arc::new(Track {
            name: name.to_string(),
            spans: Mutex::default(),
        });
        tracks.push(Arc::clone(&track));
        track
    }

    /// A span of a stream, by the stream's handle.
    pub fn on_device(
        &self,
        stream: u64,
        name: &'static str,
        (from, to): (Arc<dyn Moment>, Arc<dyn Moment>),
    ) {
        let mut streams = locked(&self.streams);
        streams.waiting.push(Late {
            stream,
            name,
            from,
            to,
        });
        if streams.waiting.len() > streams.settle_at.max(WAITING_MIN) {
            streams.settle();
        }
    }

    /// A span that ends now, of work that no actor waits for: of a move between tiers.
    pub fn aside(&self, name: String, took: Duration, bytes: u64) {
        let end = Instant::now();
        locked(&self.aside).push(Span {
            name: name.into(),
            start: end.checked_sub(took).unwrap_or(end),
            end,
            bytes: Some(bytes),
        });
    }

    /// Writes all spans as JSON. Spans of streams that the device has not passed are left out: write
    /// when the query has ended.
    ///
    /// ```
    /// use pelton::metrics::Trace;
    /// let trace = Trace::new();
    /// drop(trace.track("worker 0").span("filter"));
    /// let mut json = Vec::new();
    /// trace.write(&mut json).unwrap();
    /// assert!(String::from_utf8(json).unwrap().contains(r#""name":"filter""#));
    /// ```
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut writer = Writer {
            out,
            started: self.started,
            first: true,
        };
        writer
            .out
            .write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        writer.group(ACTORS, "actors")?;
        for (number, track) in (1..).zip(locked(&self.tracks).iter()) {
            let spans = locked(&track.spans);
            writer.track(ACTORS, number, &track.name, &spans)?;
        }
        let mut streams = locked(&self.streams);
        streams.settle();
        if !streams.spans.is_empty() {
            writer.group(STREAMS, "device")?;
        }
        for (number, spans) in (1..).zip(streams.spans.values()) {
            let name = format!("stream {}", number - 1);
            writer.track(STREAMS, number, &name, &one_after_the_other(spans))?;
        }
        let aside = rows_of(&locked(&self.aside));
        if !aside.is_empty() {
            writer.group(MOVES, "moves between tiers")?;
        }
        for (number, spans) in (1..).zip(&aside) {
            writer.track(MOVES, number, &format!("moves {}", number - 1), spans)?;
        }
        writer.out.write_all(b"\n]}\n")
    }
}

/// The spans of a stream in their order. A device's times are rounded: none starts before the one
/// before it ends.
fn one_after_the_other(spans: &[Span]) -> Vec<Span> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| (span.start, span.end));
    let mut end = None;
    for span in &mut spans {
        span.start = end.map_or(span.start, |end| span.start.max(end));
        span.end = span.end.max(span.start);
        end = Some(span.end);
    }
    spans
}

/// Spans that may overlap, in as few rows as it takes for those of a row not to.
fn rows_of(spans: &[Span]) -> Vec<Vec<Span>> {
    let mut spans = spans.to_vec();
    spans.sort_by_key(|span| (span.start, span.end));
    let mut rows: Vec<Vec<Span>> = Vec::new();
    for span in spans {
        let free = |row: &&mut Vec<Span>| row.last().is_none_or(|last| last.end <= span.start);
        match rows.iter_mut().find(free) {
            Some(row) => row.push(span),
            None => rows.push(vec![span]),
        }
    }
    rows
}

struct Writer<'a, W: Write> {
    out: &'a mut W,
    started: Instant,
    first: bool,
}

impl<W: Write> Writer<'_, W> {
    fn event(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let comma = if std::mem::take(&mut self.first) {
            ""
        } else {
            ","
        };
        write!(self.out, "{comma}\n{text}")
    }

    fn group(&mut self, group: u32, name: &str) -> io::Result<()> {
        let name = quoted(name);
        self.event(format_args!(
            r#"{{"ph":"M","pid":{group},"tid":0,"name":"process_name","args":{{"name":{name}}}}}"#
        ))
    }

    fn track(&mut self, group: u32, track: u32, name: &str, spans: &[Span]) -> io::Result<()> {
        let name = quoted(name);
        self.event(format_args!(
            r#"{{"ph":"M","pid":{group},"tid":{track},"name":"thread_name","args":{{"name":{name}}}}}"#
        ))?;
        for span in spans {
            let start = microseconds(span.start.saturating_duration_since(self.started));
            let took = microseconds(span.end.saturating_duration_since(span.start));
            let name = quoted(&span.name);
            let arguments = match span.bytes {
                Some(bytes) => format!(r#","args":{{"bytes":{bytes}}}"#),
                None => String::new(),
            };
            self.event(format_args!(
                r#"{{"ph":"X","pid":{group},"tid":{track},"ts":{start},"dur":{took},"name":{name}{arguments}}}"#
            ))?;
        }
        Ok(())
    }
}

/// Microseconds with all digits down to the nanosecond.
fn microseconds(duration: Duration) -> String {
    let nanoseconds = nanoseconds(duration);
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        let origin = *ORIGIN;
        Span {
            name: "a \"b\"\n".into(),
            start: origin + Duration::from_nanos(start),
            end: origin + Duration::from_nanos(end),
            bytes: Some(7),
        }
    }

    static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    fn times(spans: &[Span]) -> Vec<(u64, u64)> {
        let since = |when: Instant| nanoseconds(when - *ORIGIN);
        let times = spans
            .iter()
            .map(|span| (since(span.start), since(span.end)));
        times.collect()
    }

    #[test]
    fn overlapping_spans_lie_on_tracks_of_their_own() {
        let rows = rows_of(&[span(5, 9), span(0, 4), span(3, 6), span(4, 5)]);
        let rows: Vec<_> = rows.iter().map(|row| times(row)).collect();
        assert_eq!(rows, [vec![(0, 4), (4, 5), (5, 9)], vec![(3, 6)]]);
    }

    #[test]
    fn spans_of_a_stream_do_not_overlap_however_they_are_rounded() {
        let spans = one_after_the_other(&[span(4, 8), span(0, 5), span(6, 7)]);
        assert_eq!(times(&spans), [(0, 5), (5, 8), (8, 8)]);
    }

    #[test]
    fn names_are_escaped_and_times_have_nanoseconds() {
        let trace = Trace::new();
        drop(trace.track("a\tb \"c\" \\").span("é\u{1}"));
        trace.aside(
            "device to host".to_string(),
            Duration::from_nanos(1_234_567),
            9,
        );
        let mut json = Vec::new();
        trace.write(&mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        assert_eq!(events[1]["args"]["name"], "a\tb \"c\" \\");
        assert_eq!(events[2]["name"], "é\u{1}");
        let moved = events.last().unwrap();
        assert_eq!(moved["args"]["bytes"], 9);
        assert_eq!(moved["dur"], 1234.567);
    }
}
