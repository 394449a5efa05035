//! Random plans: up to six operators behind one another, whose batches stay in the backend's memory
//! between them. All backends give equal rows.
//!
//! Results must not depend on the order of rows, which operators leave open: so nothing is added up
//! in floats, and no aggregate picks a row.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::Result;
use pelton::expr::{AggregateFunction, Keep, aggregate_type};
use pelton::memory::Batch;
use pelton::operators::{
    AggregateSpec, Context, DistinctSpec, FilterSpec, Frame, GroupBySpec, HashJoinSpec, JoinKind,
    Operator, OperatorSpec, Partitioning, ProjectSpec, ShufflePartitionSpec, SortKey, SortSpec,
    TopKSpec, WindowCall, WindowFunction, WindowSpec, window_type,
};
use pelton::types::{DataType, Field, Schema, SchemaRef};

use crate::LENIENT;
use crate::support::backends::{
    FoldPlan, Outcome, compare_backends, emulated, fold_uploaded, on_stream, unsupported_allowed,
};
use crate::support::equality::multiset;
use crate::support::exprs;
use crate::support::random::{Note, Random, case_count, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::Rows;

const STEPS_MAX: usize = 6;
const COLUMNS_MAX: usize = 6;
const ROWS_MAX: usize = 120;
/// Joins multiply rows.
const BUILD_ROWS: usize = 12;
const JOINS_MAX: usize = 2;

/// One operator of a plan.
enum Step {
    Transform(OperatorSpec),
    Fold(OperatorSpec, usize),
    Partition(OperatorSpec),
    Join(HashJoinSpec, Table),
}

impl Step {
    fn specs(&self) -> Vec<OperatorSpec> {
        match self {
            Step::Transform(spec) | Step::Fold(spec, _) | Step::Partition(spec) => {
                vec![spec.clone()]
            }
            Step::Join(spec, _) => vec![
                OperatorSpec::HashJoinBuild(spec.clone()),
                OperatorSpec::HashJoinProbe(spec.clone()),
            ],
        }
    }

    fn output(&self) -> SchemaRef {
        match self.specs().pop() {
            Some(OperatorSpec::Filter(spec)) => spec.output(),
            Some(OperatorSpec::Project(spec)) => spec.output,
            Some(OperatorSpec::GroupBy(spec)) => spec.output,
            Some(OperatorSpec::HashJoinProbe(spec)) => spec.output(),
            Some(OperatorSpec::ShufflePartition(spec)) => spec.input,
            Some(OperatorSpec::Sort(spec)) => spec.input,
            Some(OperatorSpec::TopK(spec)) => spec.input,
            Some(OperatorSpec::Window(spec)) => spec.output,
            other => panic!("no step of a plan: {other:?}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Transform(spec) | Step::Partition(spec) => write!(f, "{spec:?}"),
            Step::Fold(spec, states) => write!(f, "{spec:?} in {states} states"),
            Step::Join(spec, build) => write!(f, "{spec:?} with {:?}", build.whole),
        }
    }
}

/// A few columns of a schema, at random.
fn some_columns(random: &mut Random, schema: &Schema) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..schema.fields().len()).collect();
    random.shuffle(&mut columns);
    columns.truncate(1 + random.below(COLUMNS_MAX.min(columns.len())));
    columns
}

fn filter(random: &mut Random, input: &SchemaRef) -> Step {
    Step::Transform(OperatorSpec::Filter(FilterSpec {
        input: Arc::clone(input),
        predicate: exprs::predicate(random, input, 2).1,
        projection: some_columns(random, input),
        semantics: LENIENT,
    }))
}

fn project(random: &mut Random, input: &SchemaRef) -> Step {
    let count = 1 + random.below(COLUMNS_MAX);
    let exprs: Vec<_> = (0..count).map(|_| exprs::any(random, input, 2).1).collect();
    let fields = exprs.iter().enumerate();
    let fields =
        fields.map(|(index, expr)| Field::new(format!("e{index}"), expr.data_type.clone(), true));
    Step::Transform(OperatorSpec::Project(ProjectSpec {
        input: Arc::clone(input),
        output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        exprs,
        semantics: LENIENT,
    }))
}

fn group_by(random: &mut Random, input: &SchemaRef) -> Step {
    use AggregateFunction::{Count, CountDistinct, Max, Min, Sum};
    let mut keys = some_columns(random, input);
    keys.truncate(random.below(4));
    let aggregate = |random: &mut Random| {
        let column = random.below(input.fields().len());
        let data_type = input.field(column).data_type();
        let function = match random.below(5) {
            0 if !data_type.is_floating() => Sum,
            1 => Min,
            2 => Max,
            3 => CountDistinct,
            _ => Count,
        };
        let defined = aggregate_type(function, Some(data_type)).is_ok();
        AggregateSpec {
            function: if defined { function } else { Count },
            input: Some(column),
        }
    };
    let aggregates: Vec<AggregateSpec> = (0..1 + random.below(3))
        .map(|_| aggregate(random))
        .collect();
    let spec = GroupBySpec::complete(input, keys, aggregates, LENIENT).expect("aggregates");
    fold(random, OperatorSpec::GroupBy(renamed(spec)))
}

/// The same with output names of their own.
fn renamed(spec: GroupBySpec) -> GroupBySpec {
    let fields = spec.output.fields().iter().enumerate();
    let fields = fields.map(|(index, field)| field.as_ref().clone().with_name(format!("g{index}")));
    GroupBySpec {
        output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        ..spec
    }
}

fn fold(random: &mut Random, spec: OperatorSpec) -> Step {
    Step::Fold(spec, 1 + random.below(3))
}

fn distinct(random: &mut Random, input: &SchemaRef) -> Step {
    let spec = DistinctSpec {
        input: Arc::clone(input),
        on: Vec::new(),
        keep: Keep::Any,
    };
    let spec = spec.group_by().expect("columns of the input");
    fold(random, OperatorSpec::GroupBy(renamed(spec)))
}

fn sort_keys(random: &mut Random, columns: Vec<usize>) -> Vec<SortKey> {
    let key = |column| SortKey {
        column,
        descending: random.once_in(2),
        nulls_first: random.once_in(2),
    };
    columns.into_iter().map(key).collect()
}

fn sort(random: &mut Random, input: &SchemaRef) -> Step {
    let columns = some_columns(random, input);
    let spec = SortSpec {
        input: Arc::clone(input),
        keys: sort_keys(random, columns),
    };
    fold(random, OperatorSpec::Sort(spec))
}

/// The first rows by all columns, so that it matters to nobody which of equal rows are taken. Zeros
/// and NaNs are equal and differ: without floats.
fn top_k(random: &mut Random, input: &SchemaRef) -> Step {
    if input
        .fields()
        .iter()
        .any(|field| field.data_type().is_floating())
    {
        return sort(random, input);
    }
    let mut columns: Vec<usize> = (0..input.fields().len()).collect();
    random.shuffle(&mut columns);
    let spec = TopKSpec {
        input: Arc::clone(input),
        keys: sort_keys(random, columns),
        k: random.below(40) as u64,
        offset: random.below(5) as u64,
    };
    fold(random, OperatorSpec::TopK(spec))
}

/// Ranks, and exact aggregates of frames that hold whole groups of peers.
fn window(random: &mut Random, input: &SchemaRef) -> Step {
    use AggregateFunction::{Count, Sum};
    let partition_by = some_columns(random, input);
    let order = some_columns(random, input);
    let column = random.below(input.fields().len());
    let exact = input.field(column).data_type();
    let exact = exact.is_integer() || exact.is_decimal();
    let frame = *random.pick(&[Frame::Partition, Frame::RangeToCurrent]);
    let function = match random.below(3) {
        0 => WindowFunction::Rank,
        1 => WindowFunction::DenseRank,
        _ => WindowFunction::Aggregate {
            function: if exact { Sum } else { Count },
            operand: Some(column),
        },
    };
    let projection = some_columns(random, input);
    let fields = projection.iter().enumerate();
    let fields =
        fields.map(|(index, column)| input.field(*column).clone().with_name(format!("w{index}")));
    let mut fields: Vec<Field> = fields.collect();
    let data_type = window_type(&function, input).expect("a window function");
    fields.push(Field::new("over", data_type, true));
    let spec = WindowSpec {
        input: Arc::clone(input),
        partition_by,
        order_by: sort_keys(random, order),
        projection,
        functions: vec![WindowCall { function, frame }],
        output: Arc::new(Schema::new(fields)),
        semantics: LENIENT,
    };
    fold(random, OperatorSpec::Window(spec))
}

fn shuffle(random: &mut Random, input: &SchemaRef) -> Step {
    let by = match random.below(2) {
        0 => Partitioning::RoundRobin { start: 0 },
        _ => Partitioning::Hash {
            keys: some_columns(random, input),
        },
    };
    Step::Partition(OperatorSpec::ShufflePartition(ShufflePartitionSpec {
        input: Arc::clone(input),
        partitions: 2 + random.below(9) as u32,
        by,
    }))
}

/// A join with a small table that has columns of the keys' types.
fn hash_join(random: &mut Random, probe: &SchemaRef, join: usize) -> Step {
    let mut probe_keys = some_columns(random, probe);
    probe_keys.truncate(1 + random.below(2));
    let keys = probe_keys.iter().map(|key| probe.field(*key).data_type());
    let mut types: Vec<DataType> = keys.cloned().collect();
    let width = types.len();
    types.extend((0..random.below(3)).map(|_| tables::data_type(random)));
    let fields = types.into_iter().enumerate();
    let name = |index| format!("b{join}_{index}");
    let fields = fields.map(|(index, data_type)| Field::new(name(index), data_type, true));
    let build = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = random.below(BUILD_ROWS + 1);
    let table = tables::table(random, &build, rows, &[Domain::Keys; 2]);
    let mut spec = HashJoinSpec {
        kind: *random.pick(&JoinKind::ALL),
        build,
        probe: Arc::clone(probe),
        build_keys: (0..width).collect(),
        probe_keys,
        null_equals_null: random.once_in(3),
        residual: None,
        projection: Vec::new(),
        semantics: LENIENT,
    };
    if random.once_in(4) {
        spec.residual = Some(exprs::predicate(random, &spec.pair(), 1).1);
    }
    spec.projection = some_columns(random, &spec.joined());
    Step::Join(spec, table)
}

/// A step that both kinds of backends have.
fn step(random: &mut Random, input: &SchemaRef, joins: &mut usize) -> Step {
    let device = emulated(Default::default(), Default::default(), Default::default());
    for _ in 0..50 {
        let step = match random.below(11) {
            0 | 1 => filter(random, input),
            2 => project(random, input),
            3 | 4 if *joins < JOINS_MAX => hash_join(random, input, *joins),
            5 => distinct(random, input),
            6 => sort(random, input),
            7 => top_k(random, input),
            8 => window(random, input),
            9 => shuffle(random, input),
            _ => group_by(random, input),
        };
        let refused = |spec: &OperatorSpec| device.instantiate(spec).err();
        match step.specs().iter().find_map(refused) {
            None => {
                *joins += usize::from(matches!(step, Step::Join(..)));
                return step;
            }
            Some(error) => {
                let allowed = step
                    .specs()
                    .iter()
                    .any(|spec| unsupported_allowed(spec).is_some());
                assert!(allowed, "{error}: {step}");
            }
        }
    }
    filter_nothing(input)
}

/// What is left where a table has nothing but columns that the device refuses.
fn filter_nothing(input: &SchemaRef) -> Step {
    let predicate = pelton::expr::resolve(&pelton::expr::lit(true), input);
    Step::Transform(OperatorSpec::Filter(FilterSpec {
        input: Arc::clone(input),
        predicate: predicate.expect("a literal"),
        projection: (0..input.fields().len()).collect(),
        semantics: LENIENT,
    }))
}

/// What leaves a step, in the backend's memory.
fn apply(
    backend: &dyn Backend,
    context: &Context,
    step: &Step,
    batches: Vec<Batch>,
) -> Result<Vec<Batch>> {
    let mut out = Vec::new();
    match step {
        Step::Transform(spec) => {
            let Operator::Transform(operator) = backend.instantiate(spec)? else {
                panic!("no transform: {spec:?}");
            };
            for batch in batches {
                out.extend(operator.next(context, None, batch)?);
            }
        }
        Step::Partition(spec) => {
            let Operator::Partition(operator) = backend.instantiate(spec)? else {
                panic!("no partition: {spec:?}");
            };
            for batch in batches {
                out.extend(operator.next(context, batch)?);
            }
        }
        Step::Fold(spec, states) => {
            let Operator::Fold(operator) = backend.instantiate(spec)? else {
                panic!("no fold: {spec:?}");
            };
            let how = FoldPlan {
                states: *states,
                state_of_batch: (0..batches.len()).map(|index| index % states).collect(),
                merge_order: (0..*states).rev().collect(),
            };
            out = fold_uploaded(&*operator, context, batches, &how)?;
        }
        Step::Join(spec, table) => {
            let (fold, transform) = (
                backend.instantiate(&OperatorSpec::HashJoinBuild(spec.clone()))?,
                backend.instantiate(&OperatorSpec::HashJoinProbe(spec.clone()))?,
            );
            let (Operator::Fold(fold), Operator::Transform(probe)) = (fold, transform) else {
                panic!("no fold and transform: {spec:?}");
            };
            let build = table.batches.iter();
            let build = build.map(|batch| backend.upload(context, batch.clone()));
            let build = build.collect::<Result<Vec<_>>>()?;
            let how = FoldPlan::single(build.len());
            let built = fold_uploaded(&*fold, context, build, &how)?;
            let built = built.first();
            for batch in batches {
                out.extend(probe.next(context, built, batch)?);
            }
            out.extend(probe.finish(context, built)?);
        }
    }
    Ok(out)
}

fn run(backend: &dyn Backend, table: &Table, steps: &[Step]) -> Result<Vec<RecordBatch>> {
    on_stream(backend, |context| {
        let batches = table.batches.iter();
        let batches = batches.map(|batch| backend.upload(context, batch.clone()));
        let mut batches = batches.collect::<Result<Vec<_>>>()?;
        for step in steps {
            batches = apply(backend, context, step, batches)?;
        }
        let out = batches.into_iter();
        out.map(|batch| backend.download(context, batch)).collect()
    })
}

#[test]
fn plans_give_equal_rows_everywhere() {
    let (mut rows_seen, mut errors) = (0, 0);
    for_each_case("plans_give_equal_rows_everywhere", |random| {
        let columns = 1 + random.below(COLUMNS_MAX);
        let schema = tables::schema(random, columns);
        let rows = random.below(ROWS_MAX);
        let domains = [Domain::Keys, Domain::Any, Domain::Keys, Domain::Moderate];
        let table = tables::table(random, &schema, rows, &domains);
        let (mut steps, mut joins) = (Vec::new(), 0);
        let mut input = schema;
        for _ in 0..1 + random.below(STEPS_MAX) {
            let next = step(random, &input, &mut joins);
            input = next.output();
            steps.push(next);
        }
        let text: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let _note = Note::new(&table.schema(), text.join("\n  then "));
        let last = steps.last().and_then(|step| step.specs().pop());
        let last = last.expect("a step");
        let expected = Outcome::of("cpu", &last, run(&CpuBackend::new(), &table, &steps));
        match &expected {
            Outcome::Rows(rows) => rows_seen += rows.len(),
            _ => errors += 1,
        }
        let equal = |expected: &Rows, got: &Rows| multiset(expected, got, 0, &[]);
        compare_backends(
            &last,
            &expected,
            |backend| run(backend, &table, &steps),
            equal,
        );
    });
    // Plans whose results are empty or errors would prove nothing.
    assert!(
        case_count() < 50 || rows_seen > 2 * case_count(),
        "{rows_seen} rows"
    );
    assert!(
        case_count() < 50 || errors < case_count() / 3,
        "{errors} errors"
    );
}
