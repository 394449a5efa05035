//! What is said of a query while it runs and after it: counters of steps, decisions, memory, progress,
//! and the ways to end it early.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StructArray};
use pelton::ErrorKind;
use pelton::engine::QueryControl;
use pelton::memory::Tier;
use pelton::metrics::{Choice, RowCount, Snapshot, StepKind, StepRecord};
use pelton::prelude::*;

use crate::files::{batch, engine, failed, folder_of, orders, write};

fn exactly(rows: usize) -> RowCount {
    RowCount {
        rows: rows as u64,
        exact: true,
    }
}

fn step(metrics: &Snapshot, pipeline: usize, operator: &str) -> Result<StepRecord> {
    let found = metrics
        .steps_of(pipeline)
        .find(|step| step.facts.operator == operator);
    let names: Vec<_> = metrics.steps.iter().map(|step| &step.facts).collect();
    let missing = || failed(format!("no {operator} in pipeline {pipeline}: {names:?}"));
    found.cloned().ok_or_else(missing)
}

fn simt(options: &[&str]) -> Result<Engine> {
    let mut all = EngineOptions::default().with("backend", "simt")?;
    for option in options {
        all.set_pair(option)?;
    }
    Engine::new(all)
}

#[test]
fn steps_count_what_they_take_and_give() -> Result<()> {
    let orders = orders(1000);
    let folder = folder_of(&orders, 100)?;
    let many = orders.iter().filter(|o| o.amount.is_some_and(|a| a > 100));
    let many = many.count();
    for executor in ["executor=streaming", "executor=tasks"] {
        let engine = engine(&[
            executor,
            "target_partition_size=1",
            "num_streaming_threads=2",
        ])?;
        let out = scan_parquet(folder.path())?
            .filter(col("amount").gt(lit(100)))
            .group_by([col("customer")])
            .agg([col("amount").sum().alias("sum")])
            .sort([col("sum")])
            .limit(4)
            .collect(&engine)?;
        let metrics = &out.metrics;
        let scan = step(metrics, 1, "scan")?;
        assert_eq!(scan.facts.kind, StepKind::Source);
        assert_eq!((scan.rows_in, scan.batches_in), (exactly(1000), 10));
        assert_eq!(scan.rows_out, exactly(1000));
        assert!(scan.bytes_out > 0 && scan.host_nanoseconds > 0);
        let filter = step(metrics, 1, "filter")?;
        assert_eq!(filter.facts.backend, Some("cpu"));
        assert_eq!((filter.rows_in, filter.batches_in), (exactly(1000), 10));
        assert_eq!(filter.rows_out, exactly(many));
        let groups = step(metrics, 1, "group_by")?;
        assert_eq!(groups.facts.kind, StepKind::Fold);
        assert_eq!(
            (groups.rows_in, groups.rows_out),
            (exactly(many), exactly(13))
        );
        let sorted = step(metrics, 2, "top_k")?;
        assert_eq!((sorted.rows_in, sorted.rows_out), (exactly(13), exactly(4)));
        assert!(
            metrics
                .steps
                .iter()
                .all(|step| step.device_nanoseconds.is_none())
        );
        let workers: Vec<_> = metrics
            .decisions
            .iter()
            .filter(|decision| decision.pipeline == 1)
            .filter_map(|decision| match &decision.choice {
                Choice::Workers(workers) => Some(*workers),
                _ => None,
            })
            .collect();
        assert_eq!(workers, [2]);
    }
    Ok(())
}

#[test]
fn limits_and_joins_are_counted() -> Result<()> {
    let folder = folder_of(&orders(500), 100)?;
    let engine = engine(&["num_streaming_threads=2"])?;
    let customers = scan_parquet(folder.path())?
        .filter(col("customer").is_not_null())
        .distinct(["customer"], pelton::expr::Keep::Any)
        .select([col("customer")]);
    let out = scan_parquet(folder.path())?
        .join(customers, JoinKind::Inner)
        .on([col("customer")])
        .slice(3, Some(20))
        .collect(&engine)?;
    assert_eq!(out.rows(), 20);
    let steps = &out.metrics.steps;
    let limit = steps.iter().find(|step| step.facts.kind == StepKind::Limit);
    let limit = limit.ok_or_else(|| failed("no limit"))?;
    assert_eq!(limit.rows_out, exactly(20));
    assert!(limit.rows_in.rows >= 23, "{limit:?}");
    let joins: Vec<_> = steps
        .iter()
        .filter(|step| step.facts.operator == "hash_join")
        .collect();
    assert_eq!(joins.len(), 2, "{joins:?}");
    let build = joins.iter().find(|step| step.facts.kind == StepKind::Fold);
    let build = build.ok_or_else(|| failed("no build side"))?;
    assert_eq!((build.rows_in, build.rows_out), (exactly(12), exactly(12)));
    Ok(())
}

#[test]
fn rows_that_the_device_counts_are_bounds_until_somebody_asks() -> Result<()> {
    let orders = orders(300);
    let folder = folder_of(&orders, 100)?;
    let engine = simt(&["num_streaming_threads=1", "parquet_late_decoding=off"])?;
    let filtered = || -> Result<LazyFrame> {
        Ok(scan_parquet(folder.path())?.filter(col("amount").gt(lit(100))))
    };
    let many = orders.iter().filter(|o| o.amount.is_some_and(|a| a > 100));
    let many = many.count();

    // The result comes to the host: its rows are known, through the projection too.
    let out = filtered()?
        .select([(col("amount") + lit(1)).alias("more")])
        .collect(&engine)?;
    assert_eq!(out.rows(), many);
    assert_eq!(step(&out.metrics, 1, "filter")?.rows_out, exactly(many));
    assert_eq!(step(&out.metrics, 1, "project")?.rows_in, exactly(many));
    assert_eq!(step(&out.metrics, 1, "project")?.rows_out, exactly(many));

    // Nobody asks the device how many rows a group_by took, and no counter does.
    let out = filtered()?
        .group_by([col("customer")])
        .agg([count_rows().alias("n")])
        .collect(&engine)?;
    let filter = step(&out.metrics, 1, "filter")?;
    assert_eq!(
        (filter.rows_in, filter.rows_out.exact),
        (exactly(300), false)
    );
    assert!(filter.rows_out.rows >= many as u64);
    let copied: u64 = out.metrics.streams.iter().map(|s| s.copy_bytes).sum();
    assert!(copied > 0);
    let kernels: u64 = out.metrics.streams.iter().map(|s| s.kernels).sum();
    assert!(kernels > 0);
    assert_eq!(kernels, out.metrics.get("kernel_launches"));
    Ok(())
}

#[test]
fn what_is_spilled_counts_for_the_query_that_it_is_spilled_in() -> Result<()> {
    let folder = folder_of(&orders(20_000), 1000)?;
    let options = [
        "host_memory_limit=3MiB",
        "target_partition_size=1",
        "num_streaming_threads=1",
        "executor=tasks",
        "periodic_spill_check=disabled",
        "spill_host_limit=10%",
    ];
    let engine = engine(&options)?;
    let sorted = scan_parquet(folder.path())?.sort([col("ratio"), col("amount")]);
    let small = scan_parquet(folder.path())?.limit(1);
    let host = |metrics: &Snapshot| {
        let tiers = metrics.tiers.iter();
        let found = tiers.filter(|tier| tier.tier == "host").copied().next();
        found.ok_or_else(|| failed("no host tier"))
    };
    let first = sorted.select([col("ratio")]).collect(&engine)?.metrics;
    let spilled = host(&first)?;
    assert!(spilled.spilled > 0 && spilled.unspilled > 0, "{spilled:?}");
    assert_eq!(spilled.spilled, first.get("spilled_host_bytes"));
    assert_eq!(spilled.unspilled, first.get("unspilled_bytes"));
    assert!(first.get("disk_bytes_peak") > 0);

    let second = small.collect(&engine)?.metrics;
    assert_eq!(host(&second)?.spilled, 0);
    assert_eq!(second.get("spilled_host_bytes"), 0);
    assert_eq!(second.get("disk_bytes_peak"), 0);
    assert!(host(&second)?.peak < spilled.peak);
    Ok(())
}

/// The text with every number that depends on the machine replaced by `N`.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if let Some((tier, _)) = line.split_once(" bytes at most") {
            let (tier, _) = tier.rsplit_once(' ').unwrap_or((tier, ""));
            out += &format!("{tier} N bytes at most\n");
            continue;
        }
        let mut words = line.split_inclusive(' ').peekable();
        while let Some(word) = words.next() {
            let next = words.peek().map_or("", |next| next.trim_end());
            let unit = ["ms", "ms]", "ms;", "GB/s", "GB/s;"].contains(&next);
            let number = word
                .trim_end()
                .chars()
                .all(|c| c.is_ascii_digit() || c == '.');
            out += if unit && number { "N " } else { word };
        }
        out.push('\n');
    }
    out
}

#[test]
fn explain_analyze_has_figures_beside_each_step() -> Result<()> {
    let folder = folder_of(&orders(1000), 100)?;
    let engine = engine(&["num_streaming_threads=2", "target_partition_size=1"])?;
    let text = scan_parquet(folder.path())?
        .filter(col("day").lt(lit("1970-01-20")))
        .group_by([col("city")])
        .agg([count_rows().alias("rows")])
        .sort([col("rows")])
        .limit(2)
        .explain_analyze(&engine)?
        .replace(&folder.path().display().to_string(), "X");
    expect_test::expect![[r#"
        plan
          limit 2
            sort by rows
              aggregate count(*) as rows by city
                filter (day < "1970-01-20")
                  scan 1 file(s), first X/orders.parquet
        backend cpu: the option `backend` says so
        executor streaming
        pipelines
          1. scan 1 file(s), 2 of 6 columns: city, day; prune by (day < "1970-01-20")
             2 of 10 row groups, 200 rows, 446 bytes, in 2 partitions
             pruned by statistics: 8 row groups of 1802 compressed bytes
             [cpu: 200 rows in 2 batches, 2183 bytes, host N ms]
             filter (day < "1970-01-20"), keep city [cpu: 200 rows in, 190 out, 2 batches, 1317 bytes, host N ms]
             group_by count(*) as rows by city [cpu: 190 rows in, 6 out, 2 batches, 94 bytes, host N ms]
             2 workers
          2. from pipeline 1
             [6 rows in 1 batch, 94 bytes, host N ms]
             top_k 2 from 0 by rows [cpu: 6 rows in, 2 out, 1 batch, 32 bytes, host N ms]
             2 workers
        memory
          host: N bytes at most
        query
          2 rows in N ms; 446 bytes of files, N GB/s; 3192 bytes decoded, N GB/s
    "#]].assert_eq(&without_times(&text));
    Ok(())
}

#[test]
fn a_query_can_be_cancelled_from_another_thread() -> Result<()> {
    let folder = folder_of(&orders(3000), 10)?;
    let engine = engine(&["num_streaming_threads=2", "target_partition_size=1"])?;
    let slow = scan_parquet(folder.path())?
        .cross_join(scan_parquet(folder.path())?.select([col("customer").alias("other")]))
        .filter((col("customer") + col("other")).eq(lit(25)))
        .select([count_rows().alias("n")]);
    let control = QueryControl::new();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let patience = Instant::now();
            while control.progress().rows_total == 0 && patience.elapsed() < Duration::from_secs(60)
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            control.cancel("the test says so");
        });
        engine.execute_with(slow.query(), &control)
    });
    let error = outcome
        .err()
        .ok_or_else(|| failed("it was not cancelled"))?;
    let cause = "the test says so".to_string();
    assert_eq!(*error.kind(), ErrorKind::Cancelled { cause });
    assert_eq!(engine.memory().used(Tier::Host), 0);

    // Whoever cancels before the query starts is heard, once.
    let quick = scan_parquet(folder.path())?.select([count_rows().alias("n")]);
    control.cancel("early");
    let early = engine.execute_with(quick.query(), &control);
    assert_eq!(
        early.err().map(|e| e.to_string()).as_deref(),
        Some("cancelled: early")
    );
    assert_eq!(engine.execute_with(quick.query(), &control)?.rows(), 1);

    let hurried = QueryControl::new().deadline(Duration::from_millis(30));
    let late = engine.execute_with(slow.query(), &hurried).err();
    let late = late.ok_or_else(|| failed("it was in time"))?;
    assert!(
        matches!(late.kind(), ErrorKind::DeadlinePassed { .. }),
        "{late}"
    );
    Ok(())
}

#[test]
fn progress_goes_up_to_its_total() -> Result<()> {
    let folder = folder_of(&orders(2000), 100)?;
    let engine = engine(&["num_streaming_threads=2", "target_partition_size=1"])?;
    let query = scan_parquet(folder.path())?
        .group_by([col("city")])
        .agg([col("amount").sum()]);
    let control = QueryControl::new();
    assert_eq!(control.progress().rows_total, 0);
    engine.execute_with(query.query(), &control)?;
    let progress = control.progress();
    assert_eq!((progress.rows, progress.rows_total), (2000, 2000));
    assert!(progress.bytes > 0);
    assert_eq!(progress.bytes, progress.bytes_total);
    Ok(())
}

/// Keeps the events of this process, each as its target and fields.
#[derive(Default)]
struct Listener {
    spans: AtomicU64,
}

static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Fields(String);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("pelton")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut fields = Fields(format!("span {}", span.metadata().name()));
        span.record(&mut fields);
        EVENTS.lock().map(|mut events| events.push(fields.0)).ok();
        tracing::span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut fields);
        EVENTS.lock().map(|mut events| events.push(fields.0)).ok();
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn events_tell_of_queries_pipelines_and_fallbacks() -> Result<()> {
    tracing::subscriber::set_global_default(Listener::default()).map_err(failed)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("nested.parquet");
    let rows = batch(&orders(100))?;
    let nested: ArrayRef = Arc::new(StructArray::from(rows.clone()));
    let columns = [("day", rows["day"].clone()), ("all", nested)];
    let nested = RecordBatch::try_from_iter(columns).map_err(failed)?;
    write(&file, &nested, 100)?;
    let engine = simt(&["num_streaming_threads=1"])?;
    // No kernel knows a nested column.
    let query = scan_parquet(&file)?.filter(col("day").gt(lit("1970-01-05")));
    let out = query.collect(&engine)?;
    assert_eq!(out.fallbacks.len(), 1, "{:?}", out.fallbacks);
    let events = EVENTS.lock().map_err(failed)?.clone();
    for wanted in [
        "span query backend=\"simt\"",
        "span pipeline number=1",
        "INFO pelton::engine::control message=query starts",
        "WARN pelton::fallback message=runs on the CPU pipeline=1 reason=\"the simt backend",
    ] {
        let found = events.iter().any(|event| event.starts_with(wanted));
        assert!(found, "no `{wanted}` in {events:#?}");
    }
    Ok(())
}
