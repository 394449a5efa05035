//! `hash_join`: rows of two sides that have equal keys; the launcher's tables in `built`.

mod built;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, Decimal128Array, DictionaryArray, Float64Array, Int8Array,
    Int64Array, LargeStringArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::{Error, ErrorKind};
use pelton::expr::{Expr, col, lit, resolve};
use pelton::operators::{BUILD_ROWS_MAX, Context, HashJoinSpec, JoinKind, Operator, OperatorSpec};
use pelton::types::{DataType, Field, Schema, SchemaRef, is_string};

use JoinKind::{Anti, Full, Inner, Left, Mark, Right, Semi};

use crate::support::backends::{
    FoldPlan, Outcome, backends, compare_backends, run_join, same_outcome,
};
use crate::support::equality::multiset;
use crate::support::exprs;
use crate::support::oracle::{self, Stop};
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value};
use crate::{LENIENT, STRICT, batch_of};

/// Pairs of rows up to which the naive oracle is asked.
const ORACLE_PAIRS_MAX: usize = 1 << 16;

/// Kinds of tables that the emulator is tuned to in turn.
const TUNINGS: usize = 12;

/// A join on the first `keys` columns of both sides, with all columns in order.
fn spec_of(kind: JoinKind, build: &SchemaRef, probe: &SchemaRef, keys: usize) -> HashJoinSpec {
    let mut spec = HashJoinSpec {
        kind,
        build: Arc::clone(build),
        probe: Arc::clone(probe),
        build_keys: (0..keys).collect(),
        probe_keys: (0..keys).collect(),
        null_equals_null: false,
        residual: None,
        projection: Vec::new(),
        semantics: LENIENT,
    };
    spec.projection = (0..spec.joined().fields().len()).collect();
    spec
}

/// Compares all backends with the CPU's, and that with the oracle.
fn check(spec: &HashJoinSpec, build: &Table, how: &FoldPlan, probe: &Table) -> Outcome {
    let operator = OperatorSpec::HashJoinProbe(spec.clone());
    let whole = |table: &Table| [table.whole.clone()];
    let cpu = CpuBackend::new();
    let single = FoldPlan::single(1);
    let ran = run_join(&cpu, spec, &whole(build), &single, &whole(probe));
    let expected = Outcome::of("cpu", &operator, ran);
    let equal = |expected: &Rows, got: &Rows| multiset(expected, got, 0, &[]);
    if build.whole.num_rows() * probe.whole.num_rows() <= ORACLE_PAIRS_MAX {
        let oracle = match oracle::hash_join(spec, &build.whole, &probe.whole) {
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
    let run = |backend: &dyn Backend| run_join(backend, spec, &build.batches, how, &probe.batches);
    compare_backends(&operator, &expected, run, equal);
    expected
}

/// Checks a join of two batches on every kind of table that the emulator is tuned to in turn, and
/// gives its rows as text, sorted.
fn rows_of(spec: &HashJoinSpec, build: &RecordBatch, probe: &RecordBatch) -> Vec<String> {
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

fn words(values: Vec<&str>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// Build and probe side: a repeated key, a null on either side, keys that only one side has.
fn sample() -> (RecordBatch, RecordBatch) {
    let build = batch_of(vec![
        ("k", int64(vec![Some(1), Some(2), Some(2), None, Some(9)])),
        ("b", words(vec!["one", "two", "zwei", "null", "nine"])),
    ]);
    let probe = batch_of(vec![
        ("k", int64(vec![Some(2), Some(1), None, Some(7)])),
        ("p", words(vec!["P2", "P1", "Pn", "P7"])),
    ]);
    (build, probe)
}

#[test]
fn every_kind_gives_its_rows() {
    let (build, probe) = sample();
    let pairs = [r#""P1" "one""#, r#""P2" "two""#, r#""P2" "zwei""#];
    let (nulls, alone) = ([r#""Pn" null"#], [r#""P7" null"#]);
    let (null_pair, build_alone) = ([r#""Pn" "null""#], [r#"null "nine""#]);
    let build_null = [r#"null "null""#];
    let expected: [(JoinKind, bool, Vec<&[&str]>); 14] = [
        (Inner, false, vec![&pairs]),
        (Inner, true, vec![&pairs, &null_pair]),
        (Left, false, vec![&pairs, &nulls, &alone]),
        (Left, true, vec![&pairs, &null_pair, &alone]),
        (Right, false, vec![&pairs, &build_alone, &build_null]),
        (Right, true, vec![&pairs, &null_pair, &build_alone]),
        (
            Full,
            false,
            vec![&pairs, &nulls, &alone, &build_alone, &build_null],
        ),
        (Full, true, vec![&pairs, &null_pair, &alone, &build_alone]),
        (Semi, false, vec![&[r#""P1""#, r#""P2""#]]),
        (Semi, true, vec![&[r#""P1""#, r#""P2""#, r#""Pn""#]]),
        (Anti, false, vec![&[r#""P7""#, r#""Pn""#]]),
        (Anti, true, vec![&[r#""P7""#]]),
        (
            Mark,
            false,
            vec![&[
                r#""P1" true"#,
                r#""P2" true"#,
                r#""P7" false"#,
                r#""Pn" false"#,
            ]],
        ),
        (
            Mark,
            true,
            vec![&[
                r#""P1" true"#,
                r#""P2" true"#,
                r#""P7" false"#,
                r#""Pn" true"#,
            ]],
        ),
    ];
    for (kind, null_equals_null, expected) in expected {
        let mut spec = spec_of(kind, &build.schema(), &probe.schema(), 1);
        spec.null_equals_null = null_equals_null;
        spec.projection = match kind {
            Semi | Anti => vec![1],
            Mark => vec![1, 2],
            _ => vec![1, 3],
        };
        let mut expected = expected.concat();
        expected.sort_unstable();
        let got = rows_of(&spec, &build, &probe);
        assert_eq!(
            got, expected,
            "{kind}, null equals null: {null_equals_null}"
        );
    }
}

#[test]
fn sides_may_be_empty_and_nothing_may_leave() {
    let (build, probe) = sample();
    for kind in JoinKind::ALL {
        for (build, probe) in [
            (build.slice(0, 0), probe.clone()),
            (build.clone(), probe.slice(0, 0)),
            (build.slice(0, 0), probe.slice(0, 0)),
        ] {
            let mut spec = spec_of(kind, &build.schema(), &probe.schema(), 1);
            rows_of(&spec, &build, &probe);
            spec.projection = Vec::new();
            let whole = [probe.clone()];
            let none = FoldPlan::single(0);
            for backend in backends() {
                let ran = run_join(&*backend, &spec, &[], &none, &whole).expect("no build batch");
                let rows: usize = ran.iter().map(RecordBatch::num_rows).sum();
                let expected = match kind {
                    Left | Full | Anti | Mark => probe.num_rows(),
                    Inner | Right | Semi => 0,
                };
                assert_eq!(rows, expected, "{kind} on {}", backend.name());
            }
        }
    }
}

#[test]
fn nans_are_equal_and_zeros_too() {
    let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let build = batch_of(vec![("k", floats(vec![f64::NAN, 0.0, 1.5]))]);
    let probe = batch_of(vec![("k", floats(vec![-f64::NAN, -0.0, f64::INFINITY]))]);
    let spec = spec_of(Inner, &build.schema(), &probe.schema(), 1);
    assert_eq!(rows_of(&spec, &build, &probe), ["-0.0 0.0", "NaN NaN"]);
}

#[test]
fn strings_of_different_types_are_equal_by_their_bytes() {
    let plain = words(vec!["é", "", "a\0"]);
    let codes: DictionaryArray<Int32Type> = vec![Some("e\u{301}"), Some("é"), Some(""), None]
        .into_iter()
        .collect();
    let large = LargeStringArray::from(vec!["a", "é", "é"]);
    let build = batch_of(vec![("k", plain)]);
    let spec = |probe: &RecordBatch| spec_of(Inner, &build.schema(), &probe.schema(), 1);
    let probe = batch_of(vec![("k", Arc::new(codes) as ArrayRef)]);
    let got = rows_of(&spec(&probe), &build, &probe);
    assert_eq!(got, [r#""" """#, r#""é" "é""#]);
    let probe = batch_of(vec![("k", Arc::new(large) as ArrayRef)]);
    let got = rows_of(&spec(&probe), &build, &probe);
    assert_eq!(got, [r#""é" "é""#; 2]);
}

/// The greatest keys have all bits of their word set, which is also what marks an empty slot.
#[test]
fn extreme_keys_and_their_nulls() {
    let far = vec![Some(i64::MAX), None, Some(i64::MIN), Some(0), Some(-1)];
    let build = batch_of(vec![("k", int64(far.clone()))]);
    let unsigned = UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(u64::MAX)]);
    let unsigned = batch_of(vec![("k", Arc::new(unsigned) as ArrayRef)]);
    for kind in JoinKind::ALL {
        for null_equals_null in [false, true] {
            for side in [&build, &unsigned, &build.slice(1, 1), &build.slice(0, 1)] {
                for other in [side, &side.slice(0, 0), &side.slice(side.num_rows() - 1, 1)] {
                    let mut spec = spec_of(kind, &side.schema(), &side.schema(), 1);
                    spec.null_equals_null = null_equals_null;
                    check(
                        &spec,
                        &Table::single(other.clone()),
                        &FoldPlan::single(1),
                        &Table::single(side.clone()),
                    );
                }
            }
        }
    }
    let spec = spec_of(Inner, &build.schema(), &build.schema(), 1);
    assert_eq!(rows_of(&spec, &build, &build).len(), 4);
}

#[test]
fn keys_of_many_columns_are_compared_by_all_of_them() {
    let decimals = |values: Vec<i128>| {
        let array = Decimal128Array::from(values).with_precision_and_scale(38, 2);
        Arc::new(array.expect("38 digits")) as ArrayRef
    };
    let high = 1i128 << 100;
    let side = |last: i64| {
        batch_of(vec![
            ("d", decimals(vec![high, high + 1, 1, 1])),
            ("n", int64(vec![Some(1), Some(1), Some(1), None])),
            ("m", int64(vec![Some(5), Some(5), Some(5), Some(last)])),
        ])
    };
    let (build, probe) = (side(5), side(6));
    let mut spec = spec_of(Inner, &build.schema(), &probe.schema(), 2);
    assert_eq!(rows_of(&spec, &build, &probe).len(), 3);
    spec.null_equals_null = true;
    assert_eq!(rows_of(&spec, &build, &probe).len(), 4);
    spec.build_keys = vec![2, 0, 1];
    spec.probe_keys = vec![2, 0, 1];
    assert_eq!(rows_of(&spec, &build, &probe).len(), 3);
}

/// Bytes lie where their batch left them: batches behind one another keep all of them.
#[test]
fn bytes_of_several_build_batches_leave() {
    let side = |key: i64, bytes: &[u8]| {
        let bytes = BinaryArray::from(vec![bytes, b"other"]);
        batch_of(vec![
            ("k", int64(vec![Some(key), Some(100 + key)])),
            ("v", Arc::new(bytes) as ArrayRef),
        ])
    };
    let build = [side(1, b"one"), side(2, b""), side(3, b"\xff\0")];
    let probe = batch_of(vec![("k", int64(vec![Some(3)]))]);
    let mut spec = spec_of(Full, &build[0].schema(), &probe.schema(), 1);
    spec.projection = vec![2];
    for backend in backends() {
        let how = FoldPlan::single(3);
        let joined = run_join(&*backend, &spec, &build, &how, std::slice::from_ref(&probe));
        let joined = joined.expect("bytes pass through");
        let bytes = joined.iter().flat_map(|batch| {
            let bytes = batch.column(0).as_binary::<i32>().iter();
            bytes
                .map(|bytes| bytes.map(<[u8]>::to_vec))
                .collect::<Vec<_>>()
        });
        let mut bytes: Vec<_> = bytes.flatten().collect();
        bytes.sort();
        let expected: [&[u8]; 6] = [b"", b"one", b"other", b"other", b"other", b"\xff\0"];
        assert_eq!(bytes, expected, "{}", backend.name());
    }
}

/// A residual over both sides, by name: the probe's columns are `p…`, the build's `b…`.
fn with_residual(spec: &HashJoinSpec, residual: &Expr) -> HashJoinSpec {
    let residual = resolve(residual, &spec.pair()).expect("a residual with types");
    HashJoinSpec {
        residual: Some(residual),
        ..spec.clone()
    }
}

#[test]
fn a_pair_that_the_residual_refuses_is_no_match() {
    let build = batch_of(vec![
        ("bk", int64(vec![Some(1), Some(1), Some(2), Some(3)])),
        ("bv", int64(vec![Some(10), Some(20), None, Some(5)])),
    ]);
    let probe = batch_of(vec![
        ("pk", int64(vec![Some(1), Some(1), Some(2), Some(4)])),
        ("pv", int64(vec![Some(15), Some(5), Some(0), Some(0)])),
    ]);
    let refused = col("bv").gt(col("pv"));
    let expected: [(JoinKind, &[&str]); 7] = [
        (Inner, &["1 15 1 20", "1 5 1 10", "1 5 1 20"]),
        (
            Left,
            &[
                "1 15 1 20",
                "1 5 1 10",
                "1 5 1 20",
                "2 0 null null",
                "4 0 null null",
            ],
        ),
        (
            Right,
            &[
                "1 15 1 20",
                "1 5 1 10",
                "1 5 1 20",
                "null null 2 null",
                "null null 3 5",
            ],
        ),
        (
            Full,
            &[
                "1 15 1 20",
                "1 5 1 10",
                "1 5 1 20",
                "2 0 null null",
                "4 0 null null",
                "null null 2 null",
                "null null 3 5",
            ],
        ),
        (Semi, &["1 15", "1 5"]),
        (Anti, &["2 0", "4 0"]),
        (Mark, &["1 15 true", "1 5 true", "2 0 false", "4 0 false"]),
    ];
    for (kind, expected) in expected {
        let spec = spec_of(kind, &build.schema(), &probe.schema(), 1);
        let spec = with_residual(&spec, &refused);
        assert_eq!(rows_of(&spec, &build, &probe), expected, "{kind}");
        let nothing = with_residual(&spec, &lit(pelton::types::Literal::Null));
        rows_of(&nothing, &build, &probe);
        // Only pairs of equal keys are asked: 3 has no partner to overflow with.
        let overflow = (col("bv") + lit(i64::MAX - 5)).gt(lit(0));
        let mut strict = with_residual(&spec, &overflow);
        strict.semantics = STRICT;
        let single = |batch: &RecordBatch| Table::single(batch.clone());
        let how = FoldPlan::single(1);
        let got = check(&strict, &single(&build), &how, &single(&probe));
        assert_eq!(got, Outcome::Arithmetic, "{kind}");
        let none = single(&build.slice(3, 1));
        let got = check(&strict, &none, &how, &single(&probe));
        assert!(matches!(got, Outcome::Rows(_)), "{kind}");
    }
}

/// Lists that are far longer than what one block writes, between rows that have none.
#[test]
fn a_frequent_key_is_no_different() {
    let key = |row: i64| if row % 3 == 0 { 7 } else { row };
    let build = batch_of(vec![
        ("k", int64((0..3000).map(|row| Some(key(row))).collect())),
        ("b", int64((0..3000).map(Some).collect())),
    ]);
    let probe = batch_of(vec![
        (
            "k",
            int64(
                (0..2100)
                    .map(|row| Some(if row % 150 == 5 { 7 } else { -row }))
                    .collect(),
            ),
        ),
        ("p", int64((0..2100).map(Some).collect())),
    ]);
    for kind in [Inner, Full] {
        let spec = spec_of(kind, &build.schema(), &probe.schema(), 1);
        let (build, probe) = (Table::single(build.clone()), Table::single(probe.clone()));
        for _ in 0..TUNINGS {
            let got = check(&spec, &build, &FoldPlan::single(1), &probe);
            let Outcome::Rows(rows) = got else {
                panic!("no rows")
            };
            let pairs = 14 * 1001;
            let alone = if kind == Full { 2086 + 1999 } else { 0 };
            assert_eq!(rows.len(), pairs + alone);
        }
    }
}

#[test]
fn too_many_output_rows_are_refused_before_they_are_written() {
    let side = batch_of(vec![("k", int64(vec![Some(3); 50_000]))]);
    let spec = spec_of(Inner, &side.schema(), &side.schema(), 1);
    let table = Table::single(side.clone());
    let got = check(&spec, &table, &FoldPlan::single(1), &table);
    assert_eq!(got, Outcome::InvalidInput);
    for backend in backends() {
        let sides = std::slice::from_ref(&side);
        let error = run_join(&*backend, &spec, sides, &FoldPlan::single(1), sides)
            .expect_err("2.5 billion rows");
        assert_eq!(
            error.to_string(),
            "hash_join: one batch joins to 2500000000 rows, more than 2147483647; \
             lower `max_rows_per_partition`"
        );
    }
}

#[test]
fn too_many_build_rows_are_refused() {
    let rows = 1 << 18;
    let side = batch_of(vec![(
        "k",
        Arc::new(Int8Array::from(vec![1; rows])) as ArrayRef,
    )]);
    let spec = spec_of(Inner, &side.schema(), &side.schema(), 1);
    for backend in backends() {
        let spec = OperatorSpec::HashJoinBuild(spec.clone());
        let Ok(Operator::Fold(fold)) = backend.instantiate(&spec) else {
            panic!("a fold");
        };
        let context = Context {
            stream: backend.stream_create().expect("a stream"),
            ..Context::detached()
        };
        let batch = backend.upload(&context, side.clone()).expect("memory");
        let mut state = fold.init(&context).expect("a state");
        let mut folded = 0;
        let error = loop {
            match fold.next(&context, &mut state, batch.clone()) {
                Ok(()) => folded += rows as u64,
                Err(error) => break error,
            }
        };
        assert!(folded <= BUILD_ROWS_MAX && folded + rows as u64 > BUILD_ROWS_MAX);
        assert_eq!(
            error.to_string(),
            "hash_join: 4294967296 build rows, more than 4294967295; \
             build from the smaller side, or filter it"
        );
        drop((state, batch));
        backend.stream_destroy(context.stream);
    }
}

/// The errors of making an operator, which must be the same on every backend.
fn refused(spec: &HashJoinSpec) -> Vec<Error> {
    let both = [
        OperatorSpec::HashJoinBuild(spec.clone()),
        OperatorSpec::HashJoinProbe(spec.clone()),
    ];
    let errors = backends().into_iter().flat_map(|backend| {
        both.clone().map(|spec| match backend.instantiate(&spec) {
            Ok(_) => panic!("{} makes {spec:?}", backend.name()),
            Err(error) => error,
        })
    });
    errors.collect()
}

#[test]
fn specifications_that_contradict_themselves_are_invalid() {
    let (build, probe) = sample();
    let spec = spec_of(Inner, &build.schema(), &probe.schema(), 1);
    let invalid = |change: &dyn Fn(&mut HashJoinSpec), message: &str| {
        let mut spec = spec.clone();
        change(&mut spec);
        for error in refused(&spec) {
            assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
            assert_eq!(error.to_string(), message);
        }
    };
    invalid(
        &|spec| spec.probe_keys = vec![1],
        "hash_join: build key `k` (Int64) and probe key `p` (Utf8) differ; \
         cast one of them to the other's type",
    );
    invalid(
        &|spec| spec.probe_keys = vec![0, 1],
        "hash_join: 1 build keys, 2 probe keys; pair at most 16 keys",
    );
    invalid(
        &|spec| spec.build_keys = vec![2],
        "hash_join: build key 2 of 2 columns",
    );
    invalid(
        &|spec| spec.projection = vec![4],
        "hash_join: projection of column 4 of 4",
    );
    let number = resolve(&lit(1), &build.schema()).expect("a number");
    invalid(
        &|spec| spec.residual = Some(number.clone()),
        "hash_join: the residual is Int64; use a Boolean expression",
    );
    let mut cross = spec.clone();
    (cross.build_keys, cross.probe_keys) = (Vec::new(), Vec::new());
    for error in refused(&cross) {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
    }
}

#[test]
fn batches_of_other_operators_are_no_built_batches() {
    let (build, probe) = sample();
    let spec = spec_of(Inner, &build.schema(), &probe.schema(), 1);
    for backend in backends() {
        let spec = OperatorSpec::HashJoinProbe(spec.clone());
        let Ok(Operator::Transform(transform)) = backend.instantiate(&spec) else {
            panic!("a transform");
        };
        let context = Context {
            stream: backend.stream_create().expect("a stream"),
            ..Context::detached()
        };
        let upload = |batch: &RecordBatch| backend.upload(&context, batch.clone()).expect("memory");
        let (built, batch) = (upload(&build), upload(&probe));
        for built in [None, Some(&built)] {
            let error = transform.next(&context, built, batch.clone());
            let error = error.expect_err("no table");
            assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        }
        drop((built, batch));
        backend.stream_destroy(context.stream);
    }
}

/// The other side's type for a key: the same, or another string's.
fn partner(random: &mut Random, data_type: &DataType) -> DataType {
    match is_string(data_type) && random.once_in(2) {
        true => random.pick(&[DataType::Utf8, DataType::LargeUtf8]).clone(),
        false => data_type.clone(),
    }
}

/// Schemas of both sides: so many keys of equal types, then columns of any.
fn sides(random: &mut Random, keys: usize) -> (SchemaRef, SchemaRef) {
    let (build_width, probe_width) = (keys + random.below(3), keys + random.below(3));
    let build = tables::schema(random, build_width);
    let probe = tables::schema(random, probe_width);
    let renamed = |letter: &str, schema: &SchemaRef, types: Vec<DataType>| {
        let types = types.into_iter().map(Some).chain(std::iter::repeat(None));
        let fields = schema.fields().iter().zip(types).enumerate();
        let fields = fields.map(|(index, (field, data_type))| {
            let data_type = data_type.unwrap_or_else(|| field.data_type().clone());
            Field::new(format!("{letter}{index}"), data_type, true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let key_types = |schema: &SchemaRef| -> Vec<DataType> {
        let fields = schema.fields()[..keys].iter();
        fields.map(|field| field.data_type().clone()).collect()
    };
    let partners = key_types(&build);
    let partners = partners.iter().map(|t| partner(random, t)).collect();
    (
        renamed("b", &build, key_types(&build)),
        renamed("p", &probe, partners),
    )
}

fn row_count(random: &mut Random, rows_max: usize) -> usize {
    match random.below(12) {
        0 => 0,
        1 => 1,
        2..5 => 31 + random.below(3),
        _ => random.below(rows_max),
    }
}

#[test]
fn random_joins_of_random_tables() {
    for_each_case("hash_join", |random| {
        let keys = 1 + random.below(*random.clone().pick(&[1, 1, 2, 3]));
        let (build_schema, probe_schema) = sides(random, keys);
        let kind = *random.pick(&JoinKind::ALL);
        let mut spec = spec_of(kind, &build_schema, &probe_schema, keys);
        spec.null_equals_null = random.once_in(2);
        spec.semantics = exprs::semantics(random);
        if random.once_in(3) {
            spec.residual = Some(exprs::predicate(random, &spec.pair(), 2).1);
        }
        let columns = spec.joined().fields().len();
        if random.once_in(2) {
            spec.projection = (0..random.below(5))
                .map(|_| random.below(columns))
                .collect();
        }
        let rows_max = if spec.residual.is_some() { 40 } else { 150 };
        let domain = *random.pick(&[Domain::Keys, Domain::Keys, Domain::Any]);
        let table = |random: &mut Random, schema: &SchemaRef, rows: usize| {
            let mut domains = vec![domain; keys];
            domains.resize(schema.fields().len(), Domain::Any);
            tables::table(random, schema, rows, &domains)
        };
        let (build_rows, probe_rows) = (row_count(random, rows_max), row_count(random, rows_max));
        let build = table(random, &build_schema, build_rows);
        let wide = if random.once_in(40) { 1100 } else { 0 };
        let probe = table(random, &probe_schema, probe_rows + wide);
        let how = FoldPlan::random(random, build.batches.len());
        let residual = &spec.residual;
        let case = format!(
            "{kind} by {keys}, nulls equal: {}, {residual:?}, {build_rows} and {probe_rows} rows, \
             build {:?}, giving {:?},",
            spec.null_equals_null, spec.build, spec.projection
        );
        let _note = Note::new(&spec.pair(), case);
        check(&spec, &build, &how, &probe);
    });
}
