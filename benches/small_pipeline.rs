//! A filter, a join and a group-by over a small batch, one after the other on one stream: what launching
//! and waiting cost where there is little to compute.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use pelton::backend::Backend;
use pelton::backend::cuda::CudaBackend;
use pelton::expr::{AggregateFunction, BinaryOp, TypedExpr, TypedKind};
use pelton::memory::Batch;
use pelton::operators::{
    AggregateSpec, Context, FilterSpec, FloatSums, Fold, GroupByPhase, GroupBySpec, HashJoinSpec,
    JoinKind, Operator, OperatorSpec, Transform,
};
use pelton::types::{DataType, Field, Literal, Schema, SchemaRef, Semantics};
use support::{Bench, Case, Clock, mixed};

const ROWS: u64 = 100_000;
const BUILD_ROWS: u64 = 10_000;

fn table(rows: u64, names: [&str; 2], value: impl Fn(u64) -> [i64; 2]) -> RecordBatch {
    let column = |index: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            (0..rows).map(|row| value(row)[index]),
        ))
    };
    let fields = names.map(|name| Field::new(name, DataType::Int64, false));
    let schema: SchemaRef = Arc::new(Schema::new(fields.to_vec()));
    RecordBatch::try_new(schema, vec![column(0), column(1)]).unwrap()
}

fn transform(backend: &dyn Backend, spec: &OperatorSpec) -> Box<dyn Transform> {
    match backend.instantiate(spec).unwrap() {
        Operator::Transform(transform) => transform,
        _ => unreachable!("{} is a transform", spec.name()),
    }
}

fn fold(backend: &dyn Backend, spec: &OperatorSpec) -> Box<dyn Fold> {
    match backend.instantiate(spec).unwrap() {
        Operator::Fold(fold) => fold,
        _ => unreachable!("{} is a fold", spec.name()),
    }
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let backend = CudaBackend::new(Arc::clone(&bench.device));
    let context = Context {
        stream: bench.stream,
        ..Context::detached()
    };
    let probe = table(ROWS, ["key", "value"], |row| {
        [(mixed(row) % BUILD_ROWS) as i64, row as i64]
    });
    let build = table(BUILD_ROWS, ["id", "group"], |row| {
        [row as i64, (row % 100) as i64]
    });
    let filter = FilterSpec {
        input: probe.schema(),
        predicate: TypedExpr {
            kind: TypedKind::Compare {
                op: BinaryOp::Less,
                left: Box::new(TypedExpr::column(1, DataType::Int64)),
                right: Box::new(TypedExpr {
                    kind: TypedKind::Literal(Literal::Int64(ROWS as i64 / 2)),
                    data_type: DataType::Int64,
                }),
            },
            data_type: DataType::Boolean,
        },
        projection: vec![0, 1],
        semantics: Semantics::default(),
    };
    let join = HashJoinSpec {
        kind: JoinKind::Inner,
        build: build.schema(),
        probe: probe.schema(),
        build_keys: vec![0],
        probe_keys: vec![0],
        null_equals_null: false,
        residual: None,
        projection: vec![1, 3],
        semantics: Semantics::default(),
    };
    let groups = GroupBySpec {
        input: join.output(),
        output: Arc::new(Schema::new(vec![
            Field::new("group", DataType::Int64, false),
            Field::new("sum", DataType::Int64, true),
        ])),
        group_keys: vec![1],
        aggregates: vec![AggregateSpec {
            function: AggregateFunction::Sum,
            input: Some(0),
        }],
        semantics: Semantics::default(),
        float_sums: FloatSums::default(),
        phase: GroupByPhase::Complete,
    };
    let builder = fold(&backend, &OperatorSpec::HashJoinBuild(join.clone()));
    let mut state = builder.init(&context).unwrap();
    let rows = backend.upload(&context, build).unwrap();
    builder.next(&context, &mut state, rows).unwrap();
    let built = builder.finish(&context, state).unwrap().remove(0);
    let filter = transform(&backend, &OperatorSpec::Filter(filter));
    let join = transform(&backend, &OperatorSpec::HashJoinProbe(join));
    let groups = fold(&backend, &OperatorSpec::GroupBy(groups));
    let probe: Batch = backend.upload(&context, probe).unwrap();
    let run = || -> Batch {
        let kept = filter.next(&context, None, probe.clone()).unwrap().unwrap();
        let joined = join.next(&context, Some(&built), kept).unwrap().unwrap();
        let mut state = groups.init(&context).unwrap();
        groups.next(&context, &mut state, joined).unwrap();
        let batch = groups.finish(&context, state).unwrap().remove(0);
        backend.synchronize(context.stream).unwrap();
        batch
    };
    let result = backend.download(&context, run()).unwrap();
    let sums = result
        .column(1)
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap();
    let half = ROWS as i64 / 2;
    assert_eq!(result.num_rows(), 100, "groups");
    assert_eq!(
        sums.iter().flatten().sum::<i64>(),
        half * (half - 1) / 2,
        "the sum of all sums"
    );
    let case = Case {
        id: format!("small_pipeline/filter+join+group_by/rows={ROWS}"),
        rows: ROWS,
        bytes: ROWS * 16,
        peer_ms: None,
        clock: Clock::Wall,
    };
    bench.run(&mut criterion, &case, |_| {
        run();
        Ok(())
    });
    bench.finish();
}
