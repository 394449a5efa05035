//! `nested_loop_join`: a band of pairs by `<`, and all pairs, by the operator as queries run it.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use pelton::Result;
use pelton::backend::Backend;
use pelton::backend::cuda::CudaBackend;
use pelton::expr::{Expr, col, resolve};
use pelton::memory::Batch;
use pelton::operators::{Context, JoinKind, NestedLoopJoinSpec, Operator, OperatorSpec};
use pelton::types::{DataType, DivisionByZero, EmptySum, Field, Overflow, Schema, Semantics};
use support::{Bench, Case, Clock, mixed, rows};

/// Rows of the build side.
const BUILD_ROWS: u64 = 1_000;

/// Probe values lie below this, build values below a thousandth of twice of it: about one pair in a
/// thousand is a match.
const BOUND: u64 = 1 << 40;

fn probe_value(row: u64) -> i64 {
    (mixed(row) % BOUND) as i64
}

fn build_value(row: u64) -> i64 {
    (mixed(row + (1 << 50)) % (BOUND / 500)) as i64
}

fn side(name: &str, rows: u64, value: impl Fn(u64) -> i64) -> RecordBatch {
    let schema = Schema::new(vec![Field::new(name, DataType::Int64, false)]);
    let values = Int64Array::from_iter_values((0..rows).map(value));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap()
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let probe_rows = rows() / 100; // a million
    let build = side("b", BUILD_ROWS, build_value);
    let probe = side("p", probe_rows, probe_value);
    let mut bounds: Vec<i64> = (0..BUILD_ROWS).map(build_value).collect();
    bounds.sort_unstable();
    let above = |p: i64| (BUILD_ROWS as usize - bounds.partition_point(|b| *b <= p)) as u64;
    let less = col("p").lt(col("b"));
    // Not one comparison of two columns: the general path.
    let sum = (col("p") - col("b")).lt(pelton::expr::lit(0));
    let matches: u64 = (0..probe_rows).map(|row| above(probe_value(row))).sum();
    let few = probe_rows / 10;
    let cases: [(&str, Option<&Expr>, u64, u64); 3] = [
        ("less", Some(&less), probe_rows, matches),
        ("difference", Some(&sum), probe_rows, matches),
        ("cross", None, few, few * BUILD_ROWS),
    ];
    for (name, condition, probe_rows, expected) in cases {
        let probe = probe.slice(0, probe_rows as usize);
        join(
            &mut bench,
            &mut criterion,
            (name, condition),
            (&build, &probe),
            expected,
        );
    }
    bench.finish();
}

/// Measures a join whose matches all have `p < b`.
fn join(
    bench: &mut Bench,
    criterion: &mut criterion::Criterion,
    (name, condition): (&str, Option<&Expr>),
    (build, probe): (&RecordBatch, &RecordBatch),
    expected: u64,
) {
    let backend = CudaBackend::new(Arc::clone(&bench.device));
    let context = Context {
        stream: bench.stream,
        ..Context::detached()
    };
    let mut spec = NestedLoopJoinSpec {
        kind: JoinKind::Inner,
        build: build.schema(),
        probe: probe.schema(),
        condition: None,
        projection: vec![0, 1],
        semantics: Semantics {
            overflow: Overflow::Wrap,
            division_by_zero: DivisionByZero::Null,
            empty_sum: EmptySum::Null,
        },
    };
    spec.condition = condition.map(|condition| resolve(condition, &spec.pair()).unwrap());
    let fold = OperatorSpec::NestedLoopJoinBuild(spec.clone());
    let Operator::Fold(fold) = backend.instantiate(&fold).unwrap() else {
        return;
    };
    let transform = OperatorSpec::NestedLoopJoinProbe(spec);
    let Operator::Transform(transform) = backend.instantiate(&transform).unwrap() else {
        return;
    };
    let mut state = fold.init(&context).unwrap();
    let batch = backend.upload(&context, build.clone()).unwrap();
    fold.next(&context, &mut state, batch).unwrap();
    let built = fold.finish(&context, state).unwrap().remove(0);
    let batch = backend.upload(&context, probe.clone()).unwrap();
    let join =
        || -> Result<Option<Batch>> { transform.next(&context, Some(&built), batch.clone()) };
    let joined = join().unwrap().unwrap();
    let joined = backend.download(&context, joined).unwrap();
    assert_eq!(joined.num_rows() as u64, expected, "the number of matches");
    if condition.is_some() {
        let values = |column: usize| joined.column(column).as_primitive::<Int64Type>().values();
        assert!(
            values(0).iter().zip(values(1).iter()).all(|(p, b)| p < b),
            "matches"
        );
    }
    let (build_rows, probe_rows) = (build.num_rows() as u64, probe.num_rows() as u64);
    let case = Case {
        id: format!("nested_loop_join/{name}/rows={probe_rows}/build={build_rows}"),
        rows: probe_rows * build_rows,
        bytes: probe_rows * 8 + expected * (8 + 16 + 16),
        peer_ms: None,
        clock: Clock::Wall,
    };
    bench.run(criterion, &case, |_| join().map(drop));
}
