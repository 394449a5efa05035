//! Backends that refuse, fail and panic: errors arrive, threads end, the engine stays usable.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use pelton::ErrorKind;
use pelton::backend::{Backend, cpu::CpuBackend};
use pelton::comm::{Communicator, LocalRank, LocalWorld};
use pelton::memory::Batch;
use pelton::operators::{
    Context, Fold, FoldState, Operator, OperatorSpec, StreamHandle, Transform, too_many_output_rows,
};
use pelton::prelude::*;
use pelton::types::SchemaRef;

use crate::files::{failed, folder_of, orders, sorted_rows};

/// What the backend of these tests does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    RefuseGroupBy,
    RefuseUpload,
    FailUpload,
    PanicInFilter,
    PanicInFold,
    PanicInUpload,
    FailSynchronize,
    /// As many uploads as the countdown says, from the first on.
    ShortOfMemory,
    /// Batches of more rows than the countdown says join to too many rows.
    TooManyPairs,
}

/// The CPU backend under another name, with a fault.
struct Faulty {
    fault: Fault,
    cpu: CpuBackend,
    /// Calls before the fault strikes; it strikes once.
    countdown: Arc<AtomicI64>,
    streams: AtomicI64,
}

impl Faulty {
    fn strikes(&self) -> bool {
        self.countdown.fetch_sub(1, Ordering::SeqCst) == 0
    }
}

struct PanickingFilter(Box<dyn Transform>, Arc<AtomicI64>);

impl Transform for PanickingFilter {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        strike(&self.1, "the filter lost its head");
        self.0.next(context, built, batch)
    }
}

struct PanickingFold(Box<dyn Fold>, Arc<AtomicI64>);

impl Fold for PanickingFold {
    fn init(&self, context: &Context) -> Result<FoldState> {
        self.0.init(context)
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        strike(&self.1, "the fold lost its head");
        self.0.next(context, state, batch)
    }

    fn merge(&self, context: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        strike(&self.1, "the fold lost its head");
        self.0.merge(context, state, other)
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        strike(&self.1, "the fold lost its head");
        self.0.finish(context, state)
    }
}

/// Panics when the countdown says so.
#[expect(clippy::panic, reason = "the fault that is tested")]
fn strike(countdown: &AtomicI64, message: &str) {
    if countdown.fetch_sub(1, Ordering::SeqCst) == 0 {
        panic!("{message}");
    }
}

struct NarrowJoin(Box<dyn Transform>, Arc<AtomicI64>);

impl Transform for NarrowJoin {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let most = self.1.load(Ordering::SeqCst).unsigned_abs();
        match batch.rows_max() > most {
            true => Err(too_many_output_rows("hash_join", batch.rows_max(), most)),
            false => self.0.next(context, built, batch),
        }
    }

    fn finish(&self, context: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        self.0.finish(context, built)
    }
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn instantiate(&self, spec: &OperatorSpec) -> Result<Operator> {
        match (self.fault, self.cpu.instantiate(spec)?) {
            (Fault::RefuseGroupBy, Operator::Fold(_)) => Err(pelton::Error::unsupported(
                "faulty",
                "group_by",
                "it was never taught",
            )),
            (Fault::PanicInFilter, Operator::Transform(inner)) => {
                let filter = PanickingFilter(inner, Arc::clone(&self.countdown));
                Ok(Operator::Transform(Box::new(filter)))
            }
            (Fault::PanicInFold, Operator::Fold(inner)) => {
                let fold = PanickingFold(inner, Arc::clone(&self.countdown));
                Ok(Operator::Fold(Box::new(fold)))
            }
            (Fault::TooManyPairs, Operator::Transform(inner))
                if matches!(spec, OperatorSpec::HashJoinProbe(_)) =>
            {
                let join = NarrowJoin(inner, Arc::clone(&self.countdown));
                Ok(Operator::Transform(Box::new(join)))
            }
            (_, operator) => Ok(operator),
        }
    }

    fn check_schema(&self, schema: &SchemaRef) -> Result<()> {
        self.cpu.check_schema(schema)
    }

    fn stream_create(&self) -> Result<StreamHandle> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        self.cpu.stream_create()
    }

    fn stream_destroy(&self, stream: StreamHandle) {
        self.streams.fetch_sub(1, Ordering::SeqCst);
        self.cpu.stream_destroy(stream);
    }

    fn synchronize(&self, stream: StreamHandle) -> Result<()> {
        if self.fault == Fault::FailSynchronize && self.strikes() {
            return Err(pelton::Error::new(ErrorKind::Device {
                operation: "synchronize".to_string(),
                cause: "the device is lost".to_string(),
            }));
        }
        self.cpu.synchronize(stream)
    }

    fn upload(&self, context: &Context, batch: RecordBatch) -> Result<Batch> {
        match self.fault {
            Fault::PanicInUpload => {
                strike(&self.countdown, "the upload lost its head");
                self.cpu.upload(context, batch)
            }
            Fault::RefuseUpload if self.strikes() => Err(pelton::Error::unsupported(
                "faulty",
                "upload",
                "a column is too wide",
            )),
            Fault::ShortOfMemory if self.countdown.fetch_sub(1, Ordering::SeqCst) > 0 => {
                Err(pelton::Error::new(ErrorKind::Reservation {
                    tier: pelton::memory::Tier::Device,
                    needed: 2,
                    used: 1,
                    limit: 2,
                }))
            }
            Fault::FailUpload if self.strikes() => Err(pelton::Error::new(ErrorKind::Device {
                operation: "copy".to_string(),
                cause: "out of memory".to_string(),
            })),
            _ => self.cpu.upload(context, batch),
        }
    }

    fn download(&self, context: &Context, batch: Batch) -> Result<RecordBatch> {
        self.cpu.download(context, batch)
    }
}

fn faulty(fault: Fault, after: i64, options: &[&str]) -> Result<(Arc<Faulty>, Engine)> {
    let backend = Arc::new(Faulty {
        fault,
        cpu: CpuBackend::new(),
        countdown: Arc::new(AtomicI64::new(after)),
        streams: AtomicI64::new(0),
    });
    let mut all = EngineOptions::default();
    for option in options {
        all.set_pair(option)?;
    }
    Ok((Arc::clone(&backend), Engine::with_backend(all, backend)?))
}

const MANY: &[&str] = &["num_streaming_threads=4", "target_partition_size=1"];

fn frame(folder: &std::path::Path) -> Result<LazyFrame> {
    Ok(scan_parquet(folder)?
        .filter(col("amount").gt(lit(0)))
        .group_by([col("city")])
        .agg([(col("amount").sum() + lit(1)).alias("sum")]))
}

#[test]
fn an_error_anywhere_ends_the_query_and_not_the_engine() -> Result<()> {
    let folder = folder_of(&orders(1000), 20)?;
    let expected = sorted_rows(&frame(folder.path())?.collect(&crate::files::engine(&[])?)?)?;
    let device = |operation: &str, cause: &str| ErrorKind::Device {
        operation: operation.to_string(),
        cause: cause.to_string(),
    };
    let panic = |message: &str| ErrorKind::Panicked {
        message: message.to_string(),
    };
    // Whoever needs the rows uploads them.
    let uploading = &["scan", "filter", "group_by"][..];
    for (fault, operators, kind) in [
        (
            Fault::FailUpload,
            uploading,
            device("copy", "out of memory"),
        ),
        (
            Fault::PanicInFilter,
            &["filter"][..],
            panic("the filter lost its head"),
        ),
        (
            Fault::PanicInFold,
            &["group_by"][..],
            panic("the fold lost its head"),
        ),
        (
            Fault::PanicInUpload,
            uploading,
            panic("the upload lost its head"),
        ),
        (
            Fault::FailSynchronize,
            &["scan, filter, group_by"][..],
            device("synchronize", "the device is lost"),
        ),
    ] {
        for (after, executor) in [(0, "streaming"), (1, "tasks"), (3, "streaming")] {
            let executor = format!("executor={executor}");
            let options = [MANY, &[executor.as_str()]].concat();
            let (backend, engine) = faulty(fault, after, &options)?;
            let query = frame(folder.path())?;
            let started = Instant::now();
            let Err(error) = query.collect(&engine) else {
                return Err(failed(format!("{fault:?} {after} was not noticed")));
            };
            let took = started.elapsed();
            assert_eq!(*error.kind(), kind, "{fault:?} {after}");
            let text = error.to_string();
            let named = operators.iter().any(|operator| text.contains(operator));
            let placed = text.starts_with("pipeline 1") && named;
            assert!(placed, "{fault:?} {after}: {text}");
            assert!(took < Duration::from_secs(1), "{fault:?}: {took:?}");
            assert_eq!(backend.streams.load(Ordering::SeqCst), 0);
            assert_eq!(engine.memory().used(pelton::memory::Tier::Host), 0);
            assert_eq!(sorted_rows(&query.collect(&engine)?)?, expected);
        }
    }
    Ok(())
}

#[test]
fn a_batch_that_joins_to_too_many_rows_goes_in_halves() -> Result<()> {
    let folder = folder_of(&orders(400), 100)?;
    let scan = || scan_parquet(folder.path());
    let joined = scan()?
        .join(scan()?, JoinKind::Full)
        .on([col("customer"), col("city")])
        .select([col("day"), col("amount_right")]);
    let expected = sorted_rows(&joined.collect(&crate::files::engine(&[])?)?)?;
    for most in [99, 7, 1] {
        let (_, engine) = faulty(Fault::TooManyPairs, most, MANY)?;
        assert_eq!(sorted_rows(&joined.collect(&engine)?)?, expected);
    }
    let (_, engine) = faulty(Fault::TooManyPairs, 0, MANY)?;
    let error = joined.collect(&engine).err().map(|error| error.to_string());
    let error = error.unwrap_or_default();
    assert!(error.contains("one batch joins to 1 rows"), "{error}");
    Ok(())
}

#[test]
fn a_reservation_waits_for_memory_that_others_free() -> Result<()> {
    let folder = folder_of(&orders(1000), 20)?;
    let run = |timeout: &str, refusals: i64| {
        let option = format!("memory_reserve_timeout={timeout}");
        let (_, engine) = faulty(Fault::ShortOfMemory, refusals, &[MANY[0], MANY[1], &option])?;
        frame(folder.path())?.collect(&engine)
    };
    run("10s", 500)?;
    // One that did not wait was in another's way, perhaps: it is tried while nobody else works.
    run("0s", 1)?;
    let error = run("0s", 500).err().map(|error| error.kind().clone());
    assert!(
        matches!(error, Some(ErrorKind::Reservation { .. })),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn what_a_backend_refuses_runs_on_the_cpu_as_the_option_says() -> Result<()> {
    let folder = folder_of(&orders(1000), 20)?;
    let expected = sorted_rows(&frame(folder.path())?.collect(&crate::files::engine(&[])?)?)?;
    let cases = [
        (Fault::RefuseGroupBy, "group_by: it was never taught"),
        (Fault::RefuseUpload, "upload: a column is too wide"),
    ];
    for (fault, reason) in cases {
        let note = format!("the faulty backend does not support {reason}");
        for mode in ["warn", "silent", "raise"] {
            let option = format!("fallback_mode={mode}");
            let (_, engine) = faulty(fault, 3, &[MANY[0], MANY[1], &option])?;
            let outcome = frame(folder.path())?.collect(&engine);
            if mode == "raise" {
                let text = outcome.err().map(|error| error.to_string());
                assert_eq!(text.as_deref(), Some(note.as_str()));
                continue;
            }
            let out = outcome?;
            assert_eq!(sorted_rows(&out)?, expected);
            assert_eq!(out.backend, "faulty");
            assert_eq!(out.metrics.get("operator_fallbacks"), 1);
            let notes = if mode == "warn" {
                vec![format!("pipeline 1: {note}")]
            } else {
                vec![]
            };
            assert_eq!(out.fallbacks, notes);
        }
    }
    Ok(())
}

#[test]
fn explain_says_what_runs_where() -> Result<()> {
    let folder = folder_of(&orders(1000), 100)?;
    let (_, engine) = faulty(Fault::RefuseGroupBy, 0, &[])?;
    let text = frame(folder.path())?
        .filter(col("sum").gt(lit(0)))
        .explain(&engine)?
        .replace(&folder.path().display().to_string(), "X");
    let bytes = text
        .split(" rows, ")
        .nth(1)
        .and_then(|rest| rest.split(" bytes").next());
    let text = text.replace(bytes.ok_or_else(|| failed("no bytes"))?, "N");
    expect_test::expect![[r#"
        plan
          filter (sum > 0)
            aggregate (sum(amount) + 1) as sum by city
              filter (amount > 0)
                scan 1 file(s), first X/orders.parquet
        backend faulty: the caller brought it
        executor streaming
        pipelines
          1. scan 1 file(s), 2 of 6 columns: amount, city; prune by (amount > 0)
             10 of 10 row groups, 1000 rows, N bytes, in 1 partitions
             filter (amount > 0) [faulty]
             group_by sum(amount) as __aggregate_0 by city [cpu]
             on the CPU, because the faulty backend does not support group_by: it was never taught
          2. from pipeline 1
             project city, (__aggregate_0 + 1) as sum [faulty]
             filter (sum > 0) [faulty]
    "#]]
    .assert_eq(&text);
    Ok(())
}

/// A query on three ranks, the second one of which has a faulty backend: each one's rows or error.
/// Whatever comes of it, all ranks are ready for the next query.
fn on_ranks(
    (fault, countdown): (Fault, i64),
    options: &[&str],
    frame: &LazyFrame,
    next: &LazyFrame,
) -> Vec<Result<QueryResult>> {
    let ranks = LocalWorld::ranks(3);
    std::thread::scope(|scope| {
        let start = |rank: &Arc<LocalRank>| {
            let rank = Arc::clone(rank);
            scope.spawn(move || {
                let engine = match rank.rank() {
                    1 => faulty(fault, countdown, options)?.1,
                    _ => crate::files::engine(options)?,
                };
                let engine = engine.on_rank(rank);
                let outcome = frame.collect(&engine);
                assert!(next.collect(&engine)?.rows() > 0);
                outcome
            })
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|outcome| outcome.unwrap_or_else(|_| Err(failed("a rank panicked"))))
            .collect()
    })
}

#[test]
fn what_is_refused_on_one_rank_in_the_midst_starts_anew_on_all() -> Result<()> {
    let folder = folder_of(&orders(1000), 20)?;
    let frame = frame(folder.path())?;
    let expected = sorted_rows(&frame.collect(&crate::files::engine(&[])?)?)?;
    let mut got = Vec::new();
    let next = scan_parquet(folder.path())?;
    for outcome in on_ranks((Fault::RefuseUpload, 3), MANY, &frame, &next) {
        got.extend(sorted_rows(&outcome?)?);
    }
    got.sort();
    assert_eq!(got, expected);
    Ok(())
}

#[test]
fn what_one_rank_cannot_do_is_an_error_on_all() -> Result<()> {
    let folder = folder_of(&orders(1000), 20)?;
    let frame = frame(folder.path())?;
    let next = scan_parquet(folder.path())?;
    // In the midst, and before the query begins.
    for (fault, reason) in [
        (Fault::RefuseUpload, "a column is too wide"),
        (Fault::RefuseGroupBy, "it was never taught"),
    ] {
        let options = [MANY[0], MANY[1], "fallback_mode=raise"];
        let outcomes = on_ranks((fault, 3), &options, &frame, &next);
        let errors = outcomes.into_iter().filter_map(Result::err);
        let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(
            errors.iter().all(|error| error.contains(reason)),
            "{errors:?}"
        );
    }
    Ok(())
}
