//! Traces: files that Perfetto reads, with a track for every actor and stream, on which spans nest.

use std::collections::BTreeMap;
use std::path::Path;

use pelton::engine::QueryControl;
use pelton::metrics::Choice;
use pelton::prelude::*;
use pelton::types::{Overflow, Semantics};
use serde_json::Value;

use crate::files::{failed, folder_of, orders};

/// The spans of each track: the names of group and track, then start and end in nanoseconds.
type Tracks = BTreeMap<(String, String), Vec<(String, u64, u64)>>;

/// Nanoseconds of a number of microseconds.
fn nanoseconds(value: &Value) -> Result<u64> {
    let number = value
        .as_f64()
        .ok_or_else(|| failed(format!("{value} is no time")))?;
    Ok((number * 1000.0).round() as u64)
}

fn read(file: &Path) -> Result<Tracks> {
    let text = std::fs::read_to_string(file)?;
    let json: Value = serde_json::from_str(&text).map_err(failed)?;
    let events = json["traceEvents"].as_array();
    let events = events.ok_or_else(|| failed("no list of events"))?;
    let (mut groups, mut names, mut tracks) = (BTreeMap::new(), BTreeMap::new(), Tracks::new());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    for event in events {
        let place = (event["pid"].as_u64(), event["tid"].as_u64());
        match (event["ph"].as_str(), event["name"].as_str()) {
            (Some("M"), Some("process_name")) => {
                groups.insert(place.0, text(&event["args"]["name"]));
            }
            (Some("M"), Some("thread_name")) => {
                let name = (groups[&place.0].clone(), text(&event["args"]["name"]));
                tracks.insert(name.clone(), Vec::new());
                names.insert(place, name);
            }
            (Some("X"), Some(name)) => {
                let start = nanoseconds(&event["ts"])?;
                let span = (name.to_string(), start, start + nanoseconds(&event["dur"])?);
                let track = names
                    .get(&place)
                    .ok_or_else(|| failed("a track without a name"))?;
                tracks.entry(track.clone()).or_default().push(span);
            }
            other => return Err(failed(format!("an event of kind {other:?}"))),
        }
    }
    Ok(tracks)
}

/// Two spans of a track lie apart, or one within the other.
fn check_nesting(tracks: &Tracks) {
    for (track, spans) in tracks {
        let mut spans = spans.clone();
        spans.sort_by_key(|(_, start, end)| (*start, std::cmp::Reverse(*end)));
        let mut open: Vec<(String, u64, u64)> = Vec::new();
        for span in spans {
            while open.last().is_some_and(|(_, _, end)| *end <= span.1) {
                open.pop();
            }
            if let Some(around) = open.last() {
                assert!(span.2 <= around.2, "{track:?}: {span:?} leaves {around:?}");
            }
            open.push(span);
        }
    }
}

fn spans_of<'a>(tracks: &'a Tracks, group: &str) -> Vec<&'a str> {
    let of_group = tracks.iter().filter(|((of, _), _)| of == group);
    let spans = of_group.flat_map(|(_, spans)| spans);
    spans.map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn every_worker_and_stream_has_a_track() -> Result<()> {
    let folder = folder_of(&orders(2000), 100)?;
    let query = scan_parquet(folder.path().join("orders.parquet"))?
        .filter(col("amount").gt(lit(0)))
        .group_by([col("customer")])
        .agg([col("amount").sum().alias("sum")])
        .sort([col("sum")]);
    for backend in ["cpu", "simt"] {
        let file = folder.path().join(format!("{backend}.json"));
        let options = EngineOptions::default()
            .with("backend", backend)?
            .with("num_streaming_threads", "2")?
            .with("target_partition_size", "1")?
            .with("trace", &file.display().to_string())?;
        let out = query.collect(&Engine::new(options)?)?;
        let tracks = read(&file)?;
        check_nesting(&tracks);
        let mut workers = 0;
        for decision in &out.metrics.decisions {
            let Choice::Workers(count) = decision.choice else {
                continue;
            };
            for worker in 0..count {
                let name = format!("pipeline {}, worker {worker}", decision.pipeline);
                let track = tracks.get(&("actors".to_string(), name.clone()));
                let spans = track.ok_or_else(|| failed(format!("no track of {name}")))?;
                assert!(spans.iter().any(|(name, ..)| name == "wait for input"));
                workers += 1;
            }
        }
        assert!(workers >= 3, "{workers}");
        let actors = spans_of(&tracks, "actors");
        for name in ["scan", "filter", "group_by", "sort", "send"] {
            assert!(actors.contains(&name), "{backend}: no {name} in {actors:?}");
        }
        let device = spans_of(&tracks, "device");
        if backend == "simt" {
            for name in ["copy to device", "copy to host", "page_decode"] {
                let found = device.iter().any(|span| span.starts_with(name));
                assert!(found, "no {name} in {device:?}");
            }
            assert!(actors.contains(&"read"), "{actors:?}");
        } else {
            assert_eq!(device, Vec::<&str>::new());
        }
    }
    Ok(())
}

#[test]
fn a_query_that_fails_leaves_its_trace_and_nothing_else() -> Result<()> {
    let folder = folder_of(&orders(1000), 100)?;
    let query = scan_parquet(folder.path().join("orders.parquet"))?
        .semantics(Semantics {
            overflow: Overflow::Error,
            ..Semantics::default()
        })
        .select([(col("amount") * lit(i64::MAX)).alias("overflows")]);
    let engine = crate::files::engine(&["num_streaming_threads=1"])?;
    let file = folder.path().join("failed.json");
    let control = QueryControl::new().trace(&file);
    assert!(engine.execute_with(query.query(), &control).is_err());
    check_nesting(&read(&file)?);
    let names = std::fs::read_dir(folder.path())?.count();
    assert_eq!(names, 2);

    let nowhere = QueryControl::new().trace(folder.path().join("no/such/folder.json"));
    let count = scan_parquet(folder.path().join("orders.parquet"))?.select([count_rows()]);
    let refused = engine.execute_with(count.query(), &nowhere).err();
    let refused = refused.ok_or_else(|| failed("it was written"))?.to_string();
    assert!(refused.contains("cannot write the trace"), "{refused}");
    Ok(())
}

#[test]
fn spills_and_times_of_the_device_are_seen() -> Result<()> {
    let folder = folder_of(&orders(20_000), 1000)?;
    let file = folder.path().join("trace.json");
    let options = [
        "host_memory_limit=3MiB",
        "spill_host_limit=10%",
        "target_partition_size=1",
        "num_streaming_threads=1",
        "executor=tasks",
        "periodic_spill_check=disabled",
    ];
    let engine = crate::files::engine(&options)?;
    let sorted = scan_parquet(folder.path().join("orders.parquet"))?
        .sort([col("ratio"), col("amount")])
        .select([col("ratio")]);
    engine.execute_with(sorted.query(), &QueryControl::new().trace(&file))?;
    let tracks = read(&file)?;
    check_nesting(&tracks);
    let moves = spans_of(&tracks, "moves between tiers");
    assert!(
        moves.contains(&"host to disk") && moves.contains(&"disk to host"),
        "{moves:?}"
    );

    let simt = Engine::new(EngineOptions::default().with("backend", "simt")?)?;
    let few = scan_parquet(folder.path().join("orders.parquet"))?
        .limit(100)
        .filter(col("amount").gt(lit(0)));
    let timed = simt.execute_with(few.query(), &QueryControl::new().timed())?;
    let filter = timed
        .metrics
        .steps
        .iter()
        .find(|step| step.facts.operator == "filter");
    let filter = filter.ok_or_else(|| failed("no filter"))?;
    assert!(
        filter.device_nanoseconds.is_some_and(|time| time > 0),
        "{filter:?}"
    );
    Ok(())
}
