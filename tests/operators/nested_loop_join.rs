//! `nested_loop_join`: rows of two sides for which a condition is true.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::{Error, ErrorKind};
use pelton::expr::{Expr, col, lit, resolve};
use pelton::kernels::nested_loop_join::nested_loop_join_pairs;
use pelton::kernels::{DeviceColumn, Launch};
use pelton::operators::{HashJoinSpec, JoinKind, NestedLoopJoinSpec, OperatorSpec};
use pelton::types::{DataType, Field, Schema, SchemaRef};

use JoinKind::{Anti, Full, Inner, Left, Mark, Right, Semi};

use crate::support::backends::{
    FoldPlan, Outcome, backends, compare_backends, devices, run_build_and_probe, same_outcome,
};
use crate::support::equality::multiset;
use crate::support::exprs;
use crate::support::oracle::{self, Stop};
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, STRICT, batch_of};

/// Ways that the emulator is tuned to in turn: tiles of three sizes, and pair by pair or not.
const TUNINGS: usize = 5;

/// A join of all columns in order.
fn spec_of(
    kind: JoinKind,
    build: &SchemaRef,
    probe: &SchemaRef,
    condition: Option<&Expr>,
) -> NestedLoopJoinSpec {
    let mut spec = NestedLoopJoinSpec {
        kind,
        build: Arc::clone(build),
        probe: Arc::clone(probe),
        condition: None,
        projection: Vec::new(),
        semantics: LENIENT,
    };
    spec.condition = condition.map(|c| resolve(c, &spec.pair()).expect("a condition with types"));
    spec.projection = (0..spec.joined().fields().len()).collect();
    spec
}

fn operators(spec: &NestedLoopJoinSpec) -> [OperatorSpec; 2] {
    [
        OperatorSpec::NestedLoopJoinBuild(spec.clone()),
        OperatorSpec::NestedLoopJoinProbe(spec.clone()),
    ]
}

/// What the naive oracle says: it joins by nested loops, here by no keys.
fn ask_oracle(spec: &NestedLoopJoinSpec, build: &Table, probe: &Table) -> Option<Outcome> {
    let without_keys = HashJoinSpec {
        kind: spec.kind,
        build: Arc::clone(&spec.build),
        probe: Arc::clone(&spec.probe),
        build_keys: Vec::new(),
        probe_keys: Vec::new(),
        null_equals_null: false,
        residual: spec.condition.clone(),
        projection: spec.projection.clone(),
        semantics: spec.semantics,
    };
    match oracle::hash_join(&without_keys, &build.whole, &probe.whole) {
        Ok(rows) => Some(Outcome::Rows(rows)),
        Err(Stop::Arithmetic) => Some(Outcome::Arithmetic),
        Err(Stop::Unknown) => None,
    }
}

/// Compares the CPU's with the oracle, and all backends with the CPU's: the same rows, in any order.
fn check(spec: &NestedLoopJoinSpec, build: &Table, how: &FoldPlan, probe: &Table) -> Outcome {
    let both = operators(spec);
    let equal = |expected: &Rows, got: &Rows| multiset(expected, got, 0, &[]);
    let (whole_build, whole_probe) = ([build.whole.clone()], [probe.whole.clone()]);
    let single = FoldPlan::single(1);
    let cpu = CpuBackend::new();
    let ran = run_build_and_probe(&cpu, &both, &whole_build, &single, &whole_probe);
    let expected = Outcome::of("cpu", &both[1], ran);
    if let Some(oracle) = ask_oracle(spec, build, probe)
        && let Err(difference) = same_outcome(&oracle, &expected, equal)
    {
        panic!("cpu differs from the oracle: {difference}");
    }
    let run = |backend: &dyn Backend| {
        run_build_and_probe(backend, &both, &build.batches, how, &probe.batches)
    };
    compare_backends(&both[1], &expected, run, equal);
    expected
}

/// Checks a join of two batches on tiles of every size in turn, and gives its rows as text, sorted.
fn rows_of(spec: &NestedLoopJoinSpec, build: &RecordBatch, probe: &RecordBatch) -> Vec<String> {
    let (build, probe) = (Table::single(build.clone()), Table::single(probe.clone()));
    let mut all = Vec::new();
    for _ in 0..TUNINGS {
        let Outcome::Rows(rows) = check(spec, &build, &FoldPlan::single(1), &probe) else {
            panic!("no rows of {spec:?}");
        };
        let text = |row: &Vec<Value>| {
            let cells: Vec<String> = row.iter().map(Value::to_string).collect();
            cells.join(" ")
        };
        all = rows.iter().map(text).collect();
    }
    all.sort();
    all
}

fn int64(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn side(name: &str, values: Vec<Option<i64>>) -> RecordBatch {
    batch_of(vec![(name, int64(values))])
}

#[test]
fn every_kind_gives_its_rows() {
    let build = side("b", vec![Some(1), Some(3), None, Some(9)]);
    let probe = side("p", vec![Some(2), None, Some(9), Some(0)]);
    let less = col("p").lt(col("b"));
    let pairs = ["0 1", "0 3", "0 9", "2 3", "2 9"];
    let (probe_alone, build_alone) = (["9 null", "null null"], ["null null"]);
    let expected: [(JoinKind, Vec<&[&str]>); 7] = [
        (Inner, vec![&pairs]),
        (Left, vec![&pairs, &probe_alone]),
        (Right, vec![&pairs, &build_alone]),
        (Full, vec![&pairs, &probe_alone, &build_alone]),
        (Semi, vec![&["0", "2"]]),
        (Anti, vec![&["9", "null"]]),
        (Mark, vec![&["0 true", "2 true", "9 false", "null false"]]),
    ];
    for (kind, expected) in expected {
        let spec = spec_of(kind, &build.schema(), &probe.schema(), Some(&less));
        let mut expected = expected.concat();
        expected.sort_unstable();
        assert_eq!(rows_of(&spec, &build, &probe), expected, "{kind}");
    }
}

#[test]
fn without_a_condition_every_pair_is_a_match() {
    let build = side("b", vec![Some(1), None]);
    let probe = side("p", vec![Some(7), None, Some(8)]);
    for kind in JoinKind::ALL {
        let spec = spec_of(kind, &build.schema(), &probe.schema(), None);
        let rows = rows_of(&spec, &build, &probe).len();
        let expected = match kind {
            Inner | Left | Right | Full => 6,
            Semi | Mark => 3,
            Anti => 0,
        };
        assert_eq!(rows, expected, "{kind}");
        let never = Some(&lit(false));
        let spec = spec_of(kind, &build.schema(), &probe.schema(), never);
        let rows = rows_of(&spec, &build, &probe).len();
        let expected = match kind {
            Inner | Semi => 0,
            Left | Anti | Mark => 3,
            Right => 2,
            Full => 5,
        };
        assert_eq!(rows, expected, "{kind} where nothing matches");
    }
}

/// Columns that have no nulls have none either where nothing matches: without a match there are no row
/// numbers to gather by, and none that are null.
#[test]
fn required_columns_stay_required_where_nothing_matches() {
    let required = |name: &str, values: Vec<i64>| {
        let schema = Schema::new(vec![Field::new(name, DataType::Int64, false)]);
        let column: ArrayRef = Arc::new(Int64Array::from(values));
        RecordBatch::try_new(Arc::new(schema), vec![column]).expect("a batch")
    };
    let (build, probe) = (required("b", vec![1, 2]), required("p", vec![7, 8, 9]));
    let never = (col("b") + col("p")).lt(lit(0));
    for (kind, expected) in [(Inner, 0), (Left, 3), (Right, 2), (Full, 5)] {
        let spec = spec_of(kind, &build.schema(), &probe.schema(), Some(&never));
        assert_eq!(rows_of(&spec, &build, &probe).len(), expected, "{kind}");
    }
}

#[test]
fn sides_may_be_empty_and_nothing_may_leave() {
    let build = side("b", vec![Some(1), None]);
    let probe = side("p", vec![Some(7), None, Some(8)]);
    let less = col("b").lt(col("p"));
    for kind in JoinKind::ALL {
        for condition in [None, Some(&less)] {
            let mut spec = spec_of(kind, &build.schema(), &probe.schema(), condition);
            for (build, probe) in [
                (build.slice(0, 0), probe.clone()),
                (build.clone(), probe.slice(0, 0)),
                (build.slice(0, 0), probe.slice(0, 0)),
            ] {
                rows_of(&spec, &build, &probe);
            }
            spec.projection = Vec::new();
            rows_of(&spec, &build, &probe);
            let (none, whole) = (FoldPlan::single(0), [probe.clone()]);
            for backend in backends() {
                let ran = run_build_and_probe(&*backend, &operators(&spec), &[], &none, &whole);
                let ran = ran.expect("no build batch");
                let rows: usize = ran.iter().map(RecordBatch::num_rows).sum();
                let expected = match kind {
                    Left | Full | Anti | Mark => 3,
                    Inner | Right | Semi => 0,
                };
                assert_eq!(rows, expected, "{kind} on {}", backend.name());
            }
        }
    }
}

/// Every pair is asked, where one match would do, too: whether there is an error does not depend on
/// the order of rows.
#[test]
fn every_pair_may_fail() {
    let build = side("b", vec![Some(1), Some(i64::MAX)]);
    let probe = side("p", vec![Some(0), Some(1)]);
    let sum = (col("p") + col("b")).gt(lit(0));
    for kind in JoinKind::ALL {
        let mut spec = spec_of(kind, &build.schema(), &probe.schema(), Some(&sum));
        spec.semantics = STRICT;
        let single = |batch: &RecordBatch| Table::single(batch.clone());
        let how = FoldPlan::single(1);
        for _ in 0..TUNINGS {
            let got = check(&spec, &single(&build), &how, &single(&probe));
            assert_eq!(got, Outcome::Arithmetic, "{kind}");
            let got = check(&spec, &single(&build.slice(0, 1)), &how, &single(&probe));
            assert!(matches!(got, Outcome::Rows(_)), "{kind}");
        }
    }
}

#[test]
fn strings_are_compared_across_sides_and_batches() {
    let words = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let build = batch_of(vec![(
        "b",
        words(vec![Some("b"), None, Some(""), Some("é")]),
    )]);
    let probe = batch_of(vec![(
        "p",
        words(vec![Some("b"), Some("x"), None, Some("é")]),
    )]);
    let same = col("p").eq(col("b"));
    let spec = spec_of(Full, &build.schema(), &probe.schema(), Some(&same));
    let expected = [
        r#""b" "b""#,
        r#""x" null"#,
        r#""é" "é""#,
        r#"null """#,
        "null null",
        "null null",
    ];
    assert_eq!(rows_of(&spec, &build, &probe), expected);
    let batches = |whole: &RecordBatch| Table {
        whole: whole.clone(),
        batches: vec![whole.slice(0, 1), whole.slice(1, 3)],
    };
    let how = FoldPlan::single(2);
    check(&spec, &batches(&build), &how, &batches(&probe));
}

#[test]
fn too_many_output_rows_are_refused_before_they_are_written() {
    let many = side("b", vec![Some(3); 50_000]);
    let (build, probe) = (&many, side("p", vec![Some(1); 50_000]));
    let spec = spec_of(Inner, &build.schema(), &probe.schema(), None);
    for backend in backends() {
        let (build, probe) = ([build.clone()], [probe.clone()]);
        let how = FoldPlan::single(1);
        let error = run_build_and_probe(&*backend, &operators(&spec), &build, &how, &probe)
            .expect_err("2.5 billion rows");
        assert_eq!(
            error.to_string(),
            "nested_loop_join: one batch joins to 2500000000 rows, more than 2147483647; \
             lower `max_rows_per_partition`"
        );
    }
}

#[test]
fn specifications_that_contradict_themselves_are_invalid() {
    let (build, probe) = (side("b", vec![Some(1)]), side("p", vec![Some(1)]));
    let spec = spec_of(Inner, &build.schema(), &probe.schema(), None);
    let refused = |change: &dyn Fn(&mut NestedLoopJoinSpec), message: &str| {
        let mut spec = spec.clone();
        change(&mut spec);
        for backend in backends() {
            for operator in operators(&spec) {
                let Err(error) = backend.instantiate(&operator) else {
                    panic!("{} makes {spec:?}", backend.name());
                };
                let error: Error = error;
                assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
                assert_eq!(error.to_string(), message);
            }
        }
    };
    refused(
        &|spec| spec.projection = vec![2],
        "nested_loop_join: projection of column 2 of 2",
    );
    let number = resolve(&lit(1), &spec.pair()).expect("a number");
    refused(
        &|spec| spec.condition = Some(number.clone()),
        "nested_loop_join: the condition is Int64; use a Boolean expression",
    );
    let wide = batch_of(vec![
        ("a", int64(vec![])),
        ("b", int64(vec![])),
        ("c", int64(vec![])),
    ]);
    let beyond = resolve(&col("c").gt(lit(1)), &wide.schema()).expect("a condition");
    refused(
        &|spec| spec.condition = Some(beyond.clone()),
        "nested_loop_join: condition over column 2 of 2",
    );
}

fn read(launch: &Launch, column: &DeviceColumn, rows: usize) -> Vec<u32> {
    let mut bytes = vec![0; rows * 4];
    let values = column.values().expect("an array");
    let (device, stream) = (launch.device(), launch.stream());
    device
        .read_at(stream, values, 0, &mut bytes)
        .expect("no failure");
    let words = bytes.chunks_exact(4);
    words
        .map(|word| u32::from_ne_bytes(word.try_into().expect("4 bytes")))
        .collect()
}

/// Comparisons of many values of every type, in more than one tile of either side, with nulls and NaN.
#[test]
fn bands_of_every_type_have_their_rows() {
    for_each_case("nested_loop_join_bands", |random| {
        let data_type = random
            .pick(&[
                DataType::Int8,
                DataType::Int32,
                DataType::Int64,
                DataType::UInt64,
                DataType::Float32,
                DataType::Float64,
                DataType::Boolean,
                DataType::Decimal128(12, 2),
                DataType::Decimal128(30, 2),
            ])
            .clone();
        let side = |random: &mut Random, letter: &str, rows: usize| {
            let field = |index| Field::new(format!("{letter}{index}"), data_type.clone(), true);
            let schema = Arc::new(Schema::new(vec![field(0), field(1)]));
            let table = tables::table(random, &schema, rows, &[Domain::Keys, Domain::Any]);
            (schema, table)
        };
        let (build_rows, probe_rows) =
            *random.pick(&[(1, 260), (31, 33), (1030, 3), (40, 300), (3, 64)]);
        let (build_schema, build) = side(random, "b", build_rows);
        let (probe_schema, probe) = side(random, "p", probe_rows);
        let compared = |random: &mut Random| {
            let column =
                |random: &mut Random, letter: &str| col(format!("{letter}{}", random.below(2)));
            let (p, b) = (column(random, "p"), column(random, "b"));
            let (left, right) = if random.once_in(2) { (p, b) } else { (b, p) };
            match random.below(6) {
                0 => left.eq(right),
                1 => left.not_eq(right),
                2 => left.lt(right),
                3 => left.lt_eq(right),
                4 => left.gt(right),
                _ => left.gt_eq(right),
            }
        };
        let mut condition = compared(random);
        for _ in 0..random.below(5) {
            condition = condition.and(compared(random));
        }
        let kind = *random.pick(&JoinKind::ALL);
        let spec = spec_of(kind, &build_schema, &probe_schema, Some(&condition));
        let case = format!("{kind} where {:?}, of {data_type}", spec.condition);
        let _note = Note::new(&spec.pair(), case);
        let how = FoldPlan::random(random, build.batches.len());
        check(&spec, &build, &how, &probe);
    });
}

#[test]
fn pairs_are_numbered_probe_row_by_probe_row() {
    let cases = [
        (0, 3000, 1),
        (0, 3000, 7),
        (5, 1025, 1024),
        (1 << 40, 2500, (1 << 32) - 3),
        ((1 << 33) - 6, 2000, u64::from(u32::MAX)),
    ];
    for device in devices() {
        let launch = Launch::new(&device, device.take_stream().expect("a stream"));
        for (first, count, build_rows) in cases {
            let (probe, build) =
                nested_loop_join_pairs(&launch, first, count, build_rows).expect("memory");
            let pairs = first..first + count;
            let expected: (Vec<u32>, Vec<u32>) = pairs
                .map(|pair| ((pair / build_rows) as u32, (pair % build_rows) as u32))
                .unzip();
            let rows = count as usize;
            let got = (read(&launch, &probe, rows), read(&launch, &build, rows));
            assert!(got == expected, "{count} from {first} of {build_rows}");
        }
        assert!(nested_loop_join_pairs(&launch, 0, 1, 0).is_err());
        assert!(nested_loop_join_pairs(&launch, u64::MAX, 1, 5).is_err());
        assert!(nested_loop_join_pairs(&launch, 1 << 40, 1, 1).is_err());
    }
}

fn named(letter: &str, schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().enumerate();
    let named = |(index, field): (usize, &Arc<Field>)| {
        field.as_ref().clone().with_name(format!("{letter}{index}"))
    };
    Arc::new(Schema::new(fields.map(named).collect::<Vec<_>>()))
}

#[test]
fn random_joins_of_random_tables() {
    for_each_case("nested_loop_join", |random| {
        let side = |random: &mut Random, letter: &str| {
            let width = 1 + random.below(3);
            let schema = named(letter, &tables::schema(random, width));
            let rows = *random.pick(&[0, 1, 5, 17, 33, 40]);
            let domain = *random.pick(&[Domain::Keys, Domain::Any]);
            let table = tables::table(random, &schema, rows, &vec![domain; width]);
            (schema, table)
        };
        let ((build_schema, build), (probe_schema, probe)) = (side(random, "b"), side(random, "p"));
        let kind = *random.pick(&JoinKind::ALL);
        let mut spec = spec_of(kind, &build_schema, &probe_schema, None);
        spec.semantics = exprs::semantics(random);
        if !random.once_in(5) {
            spec.condition = Some(exprs::predicate(random, &spec.pair(), 2).1);
        }
        let columns = spec.joined().fields().len();
        if random.once_in(2) {
            spec.projection = (0..random.below(5))
                .map(|_| random.below(columns))
                .collect();
        }
        let how = FoldPlan::random(random, build.batches.len());
        let case = format!(
            "{kind} where {:?}, {} and {} rows, build {:?}, giving {:?},",
            spec.condition,
            build.whole.num_rows(),
            probe.whole.num_rows(),
            spec.build,
            spec.projection
        );
        let _note = Note::new(&spec.pair(), case);
        check(&spec, &build, &how, &probe);
    });
}
