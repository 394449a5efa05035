//! `window`: functions of rows among the rows of their partitions.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::ErrorKind;
use pelton::expr::AggregateFunction;
use pelton::operators::{
    Frame, OperatorSpec, SortKey, WindowCall, WindowFunction, WindowSpec, window_type,
};
use pelton::types::{DataType, Field, Literal, Schema, SchemaRef, Semantics, is_text};

use AggregateFunction::{Count, CountDistinct, Max, Mean, Min, Sum};
use WindowFunction::{
    CumeDist, DenseRank, FirstValue, LastValue, Ntile, PercentRank, Rank, RowNumber,
};

use crate::support::backends::{
    FoldPlan, Outcome, backends, compare_backends, run_fold, same_outcome,
};
use crate::support::equality::{Tolerance, multiset};
use crate::support::exprs;
use crate::support::oracle::Stop;
use crate::support::oracle_window;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, ORACLE_ROWS_MAX, STRICT, batch_of};

const FRAMES: [Frame; 3] = [Frame::Partition, Frame::RangeToCurrent, Frame::RUNNING];

fn aggregate(function: AggregateFunction, input: Option<usize>) -> WindowFunction<usize> {
    WindowFunction::Aggregate {
        function,
        operand: input,
    }
}

fn rows_frame(start: Option<i64>, end: Option<i64>) -> Frame {
    Frame::Rows { start, end }
}

/// A window with the output types that `window_type` gives; column 0 tells rows apart and is the
/// first of the projection.
fn spec_of(
    input: &SchemaRef,
    partition_by: Vec<usize>,
    order_by: Vec<SortKey>,
    projection: Vec<usize>,
    functions: Vec<(WindowFunction<usize>, Frame)>,
    semantics: Semantics,
) -> WindowSpec {
    let projection = [vec![0], projection].concat();
    let passed = projection.iter().enumerate();
    let mut fields: Vec<Field> = passed
        .map(|(place, &index)| {
            input
                .field(index)
                .clone()
                .with_name(format!("column{place}"))
        })
        .collect();
    for (index, (function, _)) in functions.iter().enumerate() {
        let data_type = window_type(function, input).expect("a function of this type");
        fields.push(Field::new(format!("function{index}"), data_type, true));
    }
    let functions = functions.into_iter();
    WindowSpec {
        input: Arc::clone(input),
        partition_by,
        order_by,
        projection,
        functions: functions
            .map(|(function, frame)| WindowCall { function, frame })
            .collect(),
        output: Arc::new(Schema::new(fields)),
        semantics,
    }
}

/// Sums and means of floats are added in no stated order; means divide once more.
fn tolerances(spec: &WindowSpec) -> Vec<Tolerance> {
    let passed = spec.projection.iter().map(|_| Tolerance::Exact);
    let computed = spec.functions.iter().map(|call| {
        let WindowFunction::Aggregate { function, operand } = &call.function else {
            return Tolerance::Exact;
        };
        let floats = operand.is_some_and(|index| {
            let data_type = spec.input.field(index).data_type();
            data_type.is_floating()
        });
        match function {
            Sum | Mean if floats => Tolerance::Approximate {
                relative: 1e-9,
                absolute: 1e-7,
                ulps: 4,
            },
            Mean => Tolerance::Approximate {
                relative: 0.0,
                absolute: 0.0,
                ulps: 4,
            },
            _ => Tolerance::Exact,
        }
    });
    passed.chain(computed).collect()
}

/// The rows in the order in which a plan brings them together.
fn folded(table: &Table, how: &FoldPlan) -> RecordBatch {
    let states = how.merge_order.iter();
    let batches = states.flat_map(|state| {
        let batches = table.batches.iter().zip(&how.state_of_batch);
        batches.filter_map(move |(batch, own)| (own == state).then_some(batch))
    });
    concat_batches(&table.schema(), batches).expect("batches of one schema")
}

/// Compares all backends with the CPU's, which gets one batch, and that with the oracle.
fn check(spec: &WindowSpec, table: &Table, how: &FoldPlan) -> Outcome {
    let operator = OperatorSpec::Window(spec.clone());
    let whole = folded(table, how);
    let plan = FoldPlan::single(1);
    let ran = run_fold(
        &CpuBackend::new(),
        &operator,
        std::slice::from_ref(&whole),
        &plan,
    );
    let expected = Outcome::of("cpu", &operator, ran);
    let tolerances = tolerances(spec);
    let equal = |expected: &Rows, got: &Rows| multiset(expected, got, 1, &tolerances);
    if whole.num_rows() <= ORACLE_ROWS_MAX {
        let oracle = match oracle_window::window(spec, &whole) {
            Ok(rows) => Some(Outcome::Rows(rows)),
            Err(Stop::Arithmetic) => Some(Outcome::Arithmetic),
            Err(Stop::Unknown) => None,
        };
        if let Some(oracle) = oracle
            && let Err(difference) = same_outcome(&oracle, &expected, equal)
        {
            panic!("cpu differs from the oracle: {difference}");
        }
    }
    let run = |backend: &dyn Backend| run_fold(backend, &operator, &table.batches, how);
    compare_backends(&operator, &expected, run, equal);
    expected
}

/// Checks one batch whose first column tells rows apart, and gives the functions' columns in the
/// order of that column; `None` is an error.
fn computed(
    batch: &RecordBatch,
    partition_by: Vec<usize>,
    order_by: Vec<SortKey>,
    functions: Vec<(WindowFunction<usize>, Frame)>,
    semantics: Semantics,
) -> Option<Vec<Vec<Value>>> {
    let count = functions.len();
    let spec = spec_of(
        &batch.schema(),
        partition_by,
        order_by,
        vec![],
        functions,
        semantics,
    );
    match check(&spec, &Table::single(batch.clone()), &FoldPlan::single(1)) {
        Outcome::Rows(mut rows) => {
            rows.sort_by(|a, b| a[0].compare(&b[0]));
            let column = |index: usize| rows.iter().map(|row| row[1 + index].clone()).collect();
            Some((0..count).map(column).collect())
        }
        _ => None,
    }
}

/// Rows in three partitions: 1 has days 5, 5, 7; 2 has 1, null; null has 3.
fn days() -> RecordBatch {
    let ids = Int64Array::from(vec![0, 1, 2, 3, 4, 5]);
    let groups = Int64Array::from(vec![Some(1), Some(2), Some(1), None, Some(1), Some(2)]);
    let days = Int64Array::from(vec![Some(7), None, Some(5), Some(3), Some(5), Some(1)]);
    let amounts = Float64Array::from(vec![
        Some(0.5),
        Some(8.0),
        None,
        Some(2.0),
        Some(4.0),
        Some(f64::INFINITY),
    ]);
    batch_of(vec![
        ("id", Arc::new(ids) as ArrayRef),
        ("group", Arc::new(groups) as ArrayRef),
        ("day", Arc::new(days) as ArrayRef),
        ("amount", Arc::new(amounts) as ArrayRef),
    ])
}

fn numbers(values: impl IntoIterator<Item = i128>) -> Vec<Value> {
    values.into_iter().map(Value::Integer).collect()
}

fn floats<const N: usize>(values: [Option<f64>; N]) -> Vec<Value> {
    values
        .map(|value| value.map_or(Value::Null, Value::Float))
        .to_vec()
}

#[test]
fn ranks_of_a_small_table() {
    let functions = [RowNumber, Rank, DenseRank, PercentRank, CumeDist, Ntile(2)];
    let functions = functions.map(|function| (function, Frame::Partition));
    let by_day = vec![SortKey::ascending(2)];
    let got = computed(&days(), vec![1], by_day, functions.to_vec(), LENIENT);
    let third = 1.0 / 3.0;
    assert_eq!(
        got,
        Some(vec![
            numbers([3, 2, 1, 1, 2, 1]), // rows 2 and 4 are peers, in the order of the input
            numbers([3, 2, 1, 1, 1, 1]),
            numbers([2, 2, 1, 1, 1, 1]),
            floats([1.0, 1.0, 0.0, 0.0, 0.0, 0.0].map(Some)),
            floats([1.0, 1.0, 2.0 * third, 1.0, 2.0 * third, 0.5].map(Some)),
            numbers([2, 2, 1, 1, 1, 1]),
        ])
    );
}

#[test]
fn values_and_sums_of_a_small_table() {
    let lag = |offset, default| WindowFunction::Lag {
        operand: 3,
        offset,
        default,
    };
    let lead = WindowFunction::Lead {
        operand: 3,
        offset: 1,
        default: Literal::Null,
    };
    let second = WindowFunction::NthValue { operand: 3, n: 2 };
    let functions = vec![
        (lag(1, Literal::Float64(-1.0)), Frame::Partition),
        (lag(0, Literal::Null), Frame::Partition),
        (lead, Frame::Partition),
        (FirstValue(3), Frame::RangeToCurrent),
        (LastValue(3), Frame::RangeToCurrent),
        (second, Frame::RUNNING),
        (aggregate(Sum, Some(3)), Frame::RUNNING),
        (aggregate(Sum, Some(3)), Frame::RangeToCurrent),
        (aggregate(Sum, Some(3)), rows_frame(Some(-2), Some(-1))),
        (aggregate(Count, None), rows_frame(Some(1), None)),
    ];
    let by_day = vec![SortKey::ascending(2)];
    let got = computed(&days(), vec![1], by_day, functions, LENIENT);
    let infinity = Some(f64::INFINITY);
    assert_eq!(
        got,
        Some(vec![
            floats([
                Some(4.0),
                infinity,
                Some(-1.0),
                Some(-1.0),
                None,
                Some(-1.0)
            ]),
            floats([Some(0.5), Some(8.0), None, Some(2.0), Some(4.0), infinity]),
            floats([None, None, Some(4.0), None, Some(0.5), Some(8.0)]),
            floats([None, infinity, None, Some(2.0), None, infinity]),
            floats([
                Some(0.5),
                Some(8.0),
                Some(4.0),
                Some(2.0),
                Some(4.0),
                infinity
            ]),
            floats([Some(4.0), Some(8.0), None, None, Some(4.0), None]),
            floats([Some(4.5), infinity, None, Some(2.0), Some(4.0), infinity]),
            floats([
                Some(4.5),
                infinity,
                Some(4.0),
                Some(2.0),
                Some(4.0),
                infinity
            ]),
            floats([Some(4.0), infinity, None, None, None, None]),
            numbers([0, 0, 2, 0, 1, 1]),
        ])
    );
}

#[test]
fn what_left_the_frame_leaves_no_trace() {
    let values = [
        1e300,
        f64::NAN,
        1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        2.0,
        3.0,
        1e-3,
    ];
    let batch = batch_of(vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(0..8)) as ArrayRef,
        ),
        (
            "value",
            Arc::new(Float64Array::from(values.to_vec())) as ArrayRef,
        ),
    ]);
    let functions = [Sum, Mean, Min, Max]
        .map(|function| (aggregate(function, Some(1)), rows_frame(Some(-1), Some(0))));
    let by_id = vec![SortKey::ascending(0)];
    let got = computed(&batch, vec![], by_id, functions.to_vec(), LENIENT).expect("rows");
    let text = |index: usize| {
        let cells: Vec<String> = got[index].iter().map(Value::to_string).collect();
        cells.join(" ")
    };
    assert_eq!(text(0), "1e300 NaN NaN inf NaN -inf 5.0 3.001");
    assert_eq!(text(2), "1e300 1e300 1.0 1.0 -inf -inf 2.0 0.001");
    assert_eq!(text(3), "1e300 NaN NaN inf inf 2.0 3.0 3.0");
}

#[test]
fn sums_overflow_in_any_frame() {
    let batch = batch_of(vec![
        ("id", Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef),
        (
            "value",
            Arc::new(Int64Array::from(vec![i64::MAX, 1, -1])) as ArrayRef,
        ),
    ]);
    let sum = |frame, semantics| {
        let by_id = vec![SortKey::ascending(0)];
        computed(
            &batch,
            vec![],
            by_id,
            vec![(aggregate(Sum, Some(1)), frame)],
            semantics,
        )
    };
    let max = i128::from(i64::MAX);
    let wrapped = numbers([max, i64::MIN.into(), max]);
    assert_eq!(sum(Frame::RUNNING, LENIENT), Some(vec![wrapped]));
    assert_eq!(sum(Frame::RUNNING, STRICT), None);
    // Only frames count: the whole partition's sum fits.
    assert_eq!(sum(Frame::Partition, STRICT), Some(vec![numbers([max; 3])]));
    let last = rows_frame(Some(1), None);
    let got = sum(last, STRICT).expect("rows");
    assert_eq!(
        got,
        vec![vec![Value::Integer(0), Value::Integer(-1), Value::Null]]
    );
}

#[test]
fn strings_partition_and_order_by_bytes() {
    let words = StringArray::from(vec![Some("é"), Some(""), None, Some("z"), Some(""), None]);
    let batch = batch_of(vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef,
        ),
        ("word", Arc::new(words) as ArrayRef),
    ]);
    let functions = vec![(Rank, Frame::Partition), (LastValue(1), Frame::Partition)];
    let descending = SortKey {
        column: 1,
        descending: true,
        nulls_first: true,
    };
    let got = computed(&batch, vec![], vec![descending], functions.clone(), LENIENT);
    let empty = vec![Value::Text(String::new()); 6];
    assert_eq!(got, Some(vec![numbers([3, 5, 1, 4, 5, 1]), empty]));
    let got = computed(
        &batch,
        vec![1],
        vec![],
        vec![(aggregate(Count, None), Frame::Partition)],
        LENIENT,
    );
    assert_eq!(got, Some(vec![numbers([1, 2, 2, 1, 2, 2])]));
}

#[test]
fn nothing_gives_nothing() {
    let batch = days().slice(0, 0);
    let functions = vec![
        (RowNumber, Frame::Partition),
        (aggregate(Sum, Some(3)), Frame::Partition),
        (aggregate(Max, Some(3)), rows_frame(Some(-3), Some(3))),
        (FirstValue(1), Frame::RUNNING),
    ];
    let got = computed(
        &batch,
        vec![1],
        vec![SortKey::ascending(2)],
        functions,
        LENIENT,
    );
    assert_eq!(got, Some(vec![vec![]; 4]));
}

#[test]
fn contradictions_are_refused_by_name() {
    let batch = days();
    let refused = |function: WindowFunction<usize>, frame: Frame| {
        let spec = spec_of(
            &batch.schema(),
            vec![1],
            vec![],
            vec![],
            vec![(function, frame)],
            LENIENT,
        );
        let spec = OperatorSpec::Window(spec);
        let mut texts = backends()
            .into_iter()
            .map(|backend| match backend.instantiate(&spec) {
                Ok(_) => panic!("{spec:?} was made"),
                Err(error) => {
                    let unsupported = matches!(error.kind(), ErrorKind::Unsupported { .. });
                    (unsupported, error.to_string().replace(backend.name(), "X"))
                }
            });
        let text = texts.next().expect("the CPU's");
        assert!(
            texts.all(|other| other == text),
            "{text:?} of the CPU alone"
        );
        text
    };
    let invalid = |text: &str| (false, format!("window, `function0`: {text}"));
    assert_eq!(
        refused(Ntile(0), Frame::Partition),
        invalid("ntile: no buckets; ask for at least one")
    );
    assert_eq!(
        refused(
            WindowFunction::NthValue { operand: 3, n: 0 },
            Frame::Partition
        ),
        invalid("nth_value: row 0; the first row is 1")
    );
    assert_eq!(
        refused(aggregate(Sum, Some(3)), rows_frame(Some(1), Some(0))),
        invalid("window: a frame of rows from 1 to 0; start before the end")
    );
    let (unsupported, text) = refused(aggregate(CountDistinct, Some(3)), Frame::Partition);
    assert!(unsupported, "{text}");
}

/// Partitions of more tiles than one look at the tiles before takes in.
#[test]
fn partitions_longer_than_a_look_back() {
    let rows = 70_000;
    let values = (0..rows).map(|row| (row % 11 != 0).then_some(row * 7919 % 1001 - 500));
    let batch = batch_of(vec![
        (
            "id",
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
        ),
        (
            "group",
            Arc::new(Int64Array::from_iter_values(
                (0..rows).map(|row| i64::from(row > 100)),
            )) as ArrayRef,
        ),
        (
            "value",
            Arc::new(values.collect::<Int64Array>()) as ArrayRef,
        ),
    ]);
    let functions = vec![
        (aggregate(Sum, Some(2)), Frame::RUNNING),
        (aggregate(Mean, Some(2)), Frame::Partition),
        (aggregate(Max, Some(2)), rows_frame(Some(-3), None)),
        (RowNumber, Frame::Partition),
    ];
    let by_id = vec![SortKey::ascending(0)];
    let got = computed(&batch, vec![1], by_id, functions, LENIENT).expect("rows");
    let valid = |row: &i64| row % 11 != 0;
    let value = |row: i64| i128::from(row * 7919 % 1001 - 500);
    let sum: i128 = (101..rows).filter(valid).map(value).sum();
    assert_eq!(got[0].last(), Some(&Value::Integer(sum)));
    assert_eq!(got[3].last(), Some(&Value::Integer(i128::from(rows) - 101)));
}

/// A frame of any kind; bounded ones mostly narrow.
fn frame(random: &mut Random) -> Frame {
    if random.once_in(2) {
        return *random.pick(&FRAMES);
    }
    let mut bound = || match random.below(8) {
        0 => None,
        1 => Some(random.between(-5000..=5000)),
        2 => Some(*random.pick(&[i64::MIN, i64::MAX, 0])),
        _ => Some(random.between(-6..=6)),
    };
    match (bound(), bound()) {
        (Some(start), Some(end)) => rows_frame(Some(start.min(end)), Some(start.max(end))),
        (start, end) => rows_frame(start, end),
    }
}

fn function(random: &mut Random, schema: &SchemaRef) -> WindowFunction<usize> {
    let column = random.below(schema.fields().len());
    let data_type = schema.field(column).data_type();
    let offset = *random.pick(&[0, 1, 1, 2, 40, 3000, u64::MAX]);
    let default = match data_type {
        _ if random.once_in(2) => Literal::Null,
        text if is_text(text) && !matches!(text, DataType::FixedSizeBinary(_)) => {
            Literal::Utf8(random.pick(&["", "none", "é"]).to_string())
        }
        DataType::Float32 | DataType::Float64 => Literal::Float64(0.25),
        DataType::Boolean => Literal::Boolean(true),
        number if number.is_integer() => Literal::Int64(7),
        _ => Literal::Null,
    };
    let ntile = *random.pick(&[1, 2, 3, 100, u64::MAX]);
    let n = *random.pick(&[1, 1, 2, 3, 50, u64::MAX]);
    match random.below(22) {
        0 => RowNumber,
        1 => Rank,
        2 => DenseRank,
        3 => PercentRank,
        4 => CumeDist,
        5 => Ntile(ntile),
        6 => WindowFunction::Lag {
            operand: column,
            offset,
            default,
        },
        7 => WindowFunction::Lead {
            operand: column,
            offset,
            default,
        },
        8 => FirstValue(column),
        9 => LastValue(column),
        10 => WindowFunction::NthValue { operand: column, n },
        11 => aggregate(Count, None),
        _ => {
            let one = aggregate(
                *random.pick(&[Count, Max, Mean, Min, Sum, Sum]),
                Some(column),
            );
            match window_type(&one, schema) {
                Ok(_) => one,
                Err(_) => aggregate(Count, Some(column)),
            }
        }
    }
}

fn random_case(random: &mut Random, rows: usize) {
    let (partitions, orders) = (random.below(3), random.below(3));
    let values = 1 + random.below(3);
    let columns = 1 + partitions + orders + values;
    let drawn = tables::schema(random, columns - 1);
    let id = Field::new("id", DataType::Int64, false);
    let fields = std::iter::once(Arc::new(id)).chain(drawn.fields().iter().cloned());
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut domains = vec![*random.pick(&[Domain::Keys, Domain::Keys, Domain::Any]); columns];
    domains.resize(1 + partitions + orders, Domain::Keys);
    domains.resize(columns, Domain::Moderate);
    let values = tables::batch(random, &drawn, rows, &domains[1..]);
    let ids = Int64Array::from_iter_values(0..rows as i64);
    let all = std::iter::once(Arc::new(ids) as ArrayRef).chain(values.columns().iter().cloned());
    let whole = RecordBatch::try_new(Arc::clone(&schema), all.collect()).expect("equal lengths");
    let table = Table::split(random, whole);
    let partition_by: Vec<usize> = (1..=partitions).collect();
    let order_by = (0..orders).map(|index| SortKey {
        column: 1 + partitions + index,
        descending: random.once_in(2),
        nulls_first: random.once_in(2),
    });
    let order_by: Vec<SortKey> = order_by.collect();
    let projection = (0..random.below(3))
        .map(|_| random.below(columns))
        .collect();
    let functions: Vec<(WindowFunction<usize>, Frame)> = (0..1 + random.below(4))
        .map(|_| (function(random, &schema), frame(random)))
        .collect();
    let semantics = exprs::semantics(random);
    let case = format!("{functions:?} by {partition_by:?}, {order_by:?} under {semantics:?}");
    let _note = Note::new(&schema, case);
    let spec = spec_of(
        &schema,
        partition_by,
        order_by,
        projection,
        functions,
        semantics,
    );
    let how = FoldPlan::random(random, table.batches.len());
    check(&spec, &table, &how);
}

#[test]
fn random_windows_of_random_tables() {
    for_each_case("window", |random| {
        // Wide bounded frames of many rows cost the CPU their product.
        let rows = match tables::row_count(random) {
            many if many > 10_000 => many - 60_000,
            rows => rows,
        };
        random_case(random, rows);
    });
}
