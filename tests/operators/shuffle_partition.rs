//! `shuffle_partition`: every row in its partition. Equality is per partition: multiset, exact.
//!
//! The oracle computes targets row by row, with a hash of its own making; its data cases are here,
//! the launcher's buffer and table in `packed`.

mod packed;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal64Array, Decimal128Array,
    DictionaryArray, FixedSizeBinaryArray, Float16Array, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, LargeStringArray, RecordBatch, RecordBatchOptions, StringArray,
    StringViewArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use half::f16;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::error::ErrorKind;
use pelton::expr::{Expr, col, lit, resolve};
use pelton::operators::{FilterSpec, OperatorSpec, Partitioning, RangeKey, ShufflePartitionSpec};
use pelton::types::{DataType, Field, Schema, SchemaRef};

use crate::support::backends::{backends, run_partition};
use crate::support::equality::multiset;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value, cell, rows};
use crate::{LENIENT, ORACLE_ROWS_MAX, batch_of};

/// A step of the contract's hash, in 128 bits.
fn step(hash: u64, word: u64) -> u64 {
    let product = |a: u64, b: u64| (u128::from(a) * u128::from(b)) as u64;
    let fold = |bits: u64| bits ^ (bits >> 33);
    let sum = u128::from(word) + u128::from(product(hash, 0x9e37_79b9_7f4a_7c15));
    let first = product(fold(sum as u64), 0xff51_afd7_ed55_8ccd);
    fold(product(fold(first), 0xc4ce_b9fe_1a85_ec53))
}

fn word_of(value: &Value) -> u64 {
    match value.clone().canonical() {
        Value::List(_) => unreachable!("lists are no keys"),
        Value::Null => 0x9e37_79b9_7f4a_7c16,
        Value::Boolean(bit) => u64::from(bit),
        Value::Integer(number) => match i64::try_from(number) {
            Ok(number) => number.cast_unsigned(),
            Err(_) => step((number >> 64) as u64, number as u64),
        },
        Value::Float(number) => number.to_bits(),
        Value::Text(text) => word_of_bytes(text.into_bytes()),
        Value::Bytes(bytes) => word_of_bytes(bytes),
    }
}

fn word_of_bytes(mut bytes: Vec<u8>) -> u64 {
    let mut hash = bytes.len() as u64;
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    for eight in bytes.chunks_exact(8) {
        let eight = eight.iter().rev();
        let word = eight.fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = step(hash, word);
    }
    hash
}

/// The order of a range's key.
fn compare(key: &RangeKey, left: &Value, right: &Value) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if key.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) => compare(key, right, left).reverse(),
        (false, false) if key.descending => right.compare(left),
        (false, false) => left.compare(right),
    }
}

fn compare_rows(keys: &[RangeKey], left: &[Value], right: &[Value]) -> Ordering {
    let pairs = keys.iter().zip(left.iter().zip(right));
    pairs.fold(Ordering::Equal, |order, (key, (left, right))| {
        order.then_with(|| compare(key, left, right))
    })
}

/// What each partition of one batch must have.
fn oracle(spec: &ShufflePartitionSpec, batch: &RecordBatch) -> Vec<Rows> {
    let mut partitions = vec![Rows::new(); spec.partitions as usize];
    let count = u128::from(spec.partitions);
    let bounds = match &spec.by {
        Partitioning::Range { bounds, .. } => rows(std::slice::from_ref(bounds)),
        _ => Rows::new(),
    };
    for (index, row) in rows(std::slice::from_ref(batch)).into_iter().enumerate() {
        let target = match &spec.by {
            Partitioning::Hash { keys } => {
                let words = keys.iter().map(|&key| word_of(&row[key]));
                let hash = words.fold(0x243f_6a88_85a3_08d3, step);
                (u128::from(hash >> 32) * count / (1 << 32)) as usize
            }
            Partitioning::Range { keys, .. } => {
                let key: Vec<Value> = keys.iter().map(|key| row[key.column].clone()).collect();
                let reaches = |bound: &Vec<Value>| compare_rows(keys, bound, &key).is_ge();
                bounds.iter().position(reaches).unwrap_or(bounds.len())
            }
            Partitioning::RoundRobin { start } => {
                (*start as usize + index) % spec.partitions as usize
            }
        };
        partitions[target].push(row);
    }
    partitions
}

/// The partitions of all batches, each checked to be of the schema.
fn joined(place: &str, spec: &ShufflePartitionSpec, batches: &[Vec<RecordBatch>]) -> Vec<Rows> {
    let mut partitions = vec![Rows::new(); spec.partitions as usize];
    for parts in batches {
        assert_eq!(
            parts.len(),
            partitions.len(),
            "{place}: a batch per partition"
        );
        for (part, all) in parts.iter().zip(&mut partitions) {
            assert_eq!(part.schema(), spec.input, "{place}: the schema");
            all.extend(rows(std::slice::from_ref(part)));
        }
    }
    partitions
}

fn assert_same(place: &str, expected: &[Rows], got: &[Rows]) {
    for (partition, (expected, got)) in expected.iter().zip(got).enumerate() {
        if let Err(difference) = multiset(expected, got, 0, &[]) {
            panic!("{place}, partition {partition}: {difference}");
        }
    }
}

/// Compares every backend with the CPU's, and that with the oracle, over the batches of a table.
fn check(spec: &ShufflePartitionSpec, table: &Table) -> Vec<Rows> {
    let operator = OperatorSpec::ShufflePartition(spec.clone());
    let run = |backend: &dyn Backend| run_partition(backend, None, &operator, None, &table.batches);
    let expected = run(&CpuBackend::new()).expect("the CPU splits");
    let expected = joined("cpu", spec, &expected);
    if table.whole.num_rows() <= ORACLE_ROWS_MAX {
        let mut oracles = vec![Rows::new(); spec.partitions as usize];
        for batch in &table.batches {
            for (all, part) in oracles.iter_mut().zip(oracle(spec, batch)) {
                all.extend(part);
            }
        }
        assert_same("cpu against the oracle", &oracles, &expected);
    }
    for backend in backends() {
        let got = run(&*backend).unwrap_or_else(|error| panic!("{}: {error}", backend.name()));
        let got = joined(backend.name(), spec, &got);
        assert_same(backend.name(), &expected, &got);
    }
    expected
}

fn spec_of(input: &SchemaRef, partitions: u32, by: Partitioning) -> ShufflePartitionSpec {
    ShufflePartitionSpec {
        input: Arc::clone(input),
        partitions,
        by,
    }
}

fn hash_of(input: &SchemaRef, partitions: u32, keys: &[usize]) -> ShufflePartitionSpec {
    let keys = keys.to_vec();
    spec_of(input, partitions, Partitioning::Hash { keys })
}

fn ascending(column: usize) -> RangeKey {
    RangeKey {
        column,
        descending: false,
        nulls_first: true,
    }
}

/// The partition of each row of a column on one backend, and the column's rows that came out, in the
/// order of the rows.
fn targets(backend: &dyn Backend, column: &ArrayRef, by: &Partitioning) -> Vec<u32> {
    let numbers = Int64Array::from_iter_values(0..column.len() as i64);
    let batch = batch_of(vec![
        ("key", Arc::clone(column)),
        ("number", Arc::new(numbers)),
    ]);
    let partitions = match by {
        Partitioning::Range { bounds, .. } => bounds.num_rows() as u32 + 1,
        _ => 1000,
    };
    let operator = OperatorSpec::ShufflePartition(spec_of(&batch.schema(), partitions, by.clone()));
    let parts = run_partition(backend, None, &operator, None, &[batch]);
    let mut targets = vec![u32::MAX; column.len()];
    for (target, part) in (0..).zip(&parts.expect("it splits")[0]) {
        let numbers = part.column(1).as_primitive::<Int64Type>();
        for (row, number) in numbers.values().iter().enumerate() {
            targets[*number as usize] = target;
            let (key, came) = (
                part.column(0).slice(row, 1),
                column.slice(*number as usize, 1),
            );
            assert_eq!(&key, &came, "{}: the key of row {number}", backend.name());
        }
    }
    assert!(
        !targets.contains(&u32::MAX),
        "{}: a row is lost",
        backend.name()
    );
    targets
}

/// Columns whose rows are equal go to equal partitions, on every backend.
fn assert_meet(columns: &[ArrayRef]) {
    let by = Partitioning::Hash { keys: vec![0] };
    let expected = targets(&CpuBackend::new(), &columns[0], &by);
    for column in columns {
        for backend in backends() {
            let got = targets(&*backend, column, &by);
            let data_type = column.data_type();
            assert_eq!(expected, got, "{}: {data_type}", backend.name());
        }
    }
}

#[test]
fn equal_strings_meet_whatever_holds_them() {
    let words = [
        "",
        "a",
        "ab",
        "日本語",
        "12345678",
        "123456789",
        "a\0",
        "\0",
        "a",
        "12345678",
    ];
    let text = || words.iter().copied();
    let codes = Int32Array::from(vec![3, 0, 1, 2, 4, 5, 6, 7, 0, 4]);
    let values = [
        "a",
        "ab",
        "日本語",
        "",
        "12345678",
        "123456789",
        "a\0",
        "\0",
        "unused",
    ];
    let values = Arc::new(StringArray::from_iter_values(values));
    assert_meet(&[
        Arc::new(StringArray::from_iter_values(text())),
        Arc::new(LargeStringArray::from_iter_values(text())),
        Arc::new(StringViewArray::from_iter_values(text())),
        Arc::new(DictionaryArray::<Int32Type>::new(codes, values)),
        Arc::new(BinaryArray::from_iter_values(text().map(str::as_bytes))),
    ]);
    let fixed = [[1u8, 2, 3], [0, 0, 0], [255, 0, 1]];
    assert_meet(&[
        Arc::new(BinaryArray::from_iter_values(fixed)),
        Arc::new(FixedSizeBinaryArray::try_from_iter(fixed.iter()).expect("of three bytes")),
    ]);
}

#[test]
fn equal_numbers_meet_whatever_holds_them() {
    let small = [0, -1, 5, i8::MIN, i8::MAX];
    let wide = |scale| {
        let values = Decimal128Array::from_iter_values(small.map(i128::from));
        values
            .with_precision_and_scale(scale, 2)
            .expect("few digits")
    };
    let narrow = Decimal64Array::from_iter_values(small.map(i64::from));
    assert_meet(&[
        Arc::new(Int8Array::from_iter_values(small)),
        Arc::new(Int64Array::from_iter_values(small.map(i64::from))),
        Arc::new(narrow.with_precision_and_scale(9, 2).expect("few digits")),
        Arc::new(wide(18)),
        Arc::new(wide(38)),
    ]);
    let large = [u64::MAX, 1 << 63, (1 << 63) - 1];
    let decimals = Decimal128Array::from_iter_values(large.map(i128::from));
    assert_meet(&[
        Arc::new(UInt64Array::from_iter_values(large)),
        Arc::new(
            decimals
                .with_precision_and_scale(38, 0)
                .expect("few digits"),
        ),
    ]);
    assert_meet(&[
        Arc::new(BooleanArray::from(vec![false, true])),
        Arc::new(UInt32Array::from(vec![0, 1])),
    ]);
    let floats = [0.0, 1.5, -2.0, f64::INFINITY, f64::NAN, 6.103515625e-5];
    assert_meet(&[
        Arc::new(Float64Array::from_iter_values(floats)),
        Arc::new(Float32Array::from_iter_values(
            floats.map(|value| value as f32),
        )),
        Arc::new(Float16Array::from_iter_values(floats.map(f16::from_f64))),
    ]);
}

#[test]
fn zeros_and_nans_are_one_value_and_null_is_another() {
    let by = Partitioning::Hash { keys: vec![0] };
    let payload = f64::from_bits(0xfff8_0000_0000_0001);
    let values = vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(payload), None];
    let column: ArrayRef = Arc::new(Float64Array::from(values));
    for backend in backends() {
        let targets = targets(&*backend, &column, &by);
        assert_eq!(targets[0], targets[1], "{}", backend.name());
        assert_eq!(targets[2], targets[3], "{}", backend.name());
        assert_ne!(targets[4], targets[0], "{}", backend.name());
    }
}

#[test]
fn a_row_goes_to_the_first_bound_that_is_not_less() {
    let column: ArrayRef = Arc::new(Float32Array::from(vec![
        Some(f32::NEG_INFINITY),
        Some(-0.0),
        Some(0.5),
        Some(1.0),
        Some(f32::INFINITY),
        Some(f32::NAN),
        None,
    ]));
    let bounds = |values: Vec<Option<f32>>| {
        batch_of(vec![(
            "bound",
            Arc::new(Float32Array::from(values)) as ArrayRef,
        )])
    };
    let range = |descending, nulls_first, values| Partitioning::Range {
        keys: vec![RangeKey {
            column: 0,
            descending,
            nulls_first,
        }],
        bounds: bounds(values),
    };
    let up = vec![Some(0.0), Some(1.0), Some(1.0), Some(f32::NAN)];
    let down = vec![Some(f32::NAN), Some(1.0), Some(0.0)];
    for backend in backends() {
        let go = |by| targets(&*backend, &column, &by);
        assert_eq!(go(range(false, true, up.clone())), [0, 0, 1, 1, 3, 3, 0]);
        assert_eq!(go(range(false, false, up.clone())), [0, 0, 1, 1, 3, 3, 4]);
        assert_eq!(go(range(true, true, down.clone())), [3, 2, 2, 1, 1, 0, 0]);
        assert_eq!(go(range(true, false, down.clone())), [3, 2, 2, 1, 1, 0, 3]);
        assert_eq!(go(range(false, true, vec![None])), [1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(go(range(false, false, vec![None])), [0; 7]);
    }
}

#[test]
fn round_robin_takes_turns_from_the_start_in_every_batch() {
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..7));
    let batch = batch_of(vec![("n", column)]);
    let table = Table {
        batches: vec![batch.slice(0, 5), batch.slice(5, 2)],
        whole: batch.clone(),
    };
    let spec = spec_of(&batch.schema(), 3, Partitioning::RoundRobin { start: 2 });
    let row = |number| vec![Value::Integer(number)];
    let expected = [
        vec![row(1), row(4), row(6)],
        vec![row(2)],
        vec![row(0), row(3), row(5)],
    ];
    assert_same("round robin", &expected, &check(&spec, &table));
}

#[test]
fn a_specification_that_contradicts_itself_is_invalid() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let bounds = batch_of(vec![("n", column)]);
    let schema = bounds.schema();
    let other = batch_of(vec![("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    let range = |keys: Vec<RangeKey>, bounds: &RecordBatch| Partitioning::Range {
        keys,
        bounds: bounds.clone(),
    };
    let hash = |keys: &[usize]| Partitioning::Hash {
        keys: keys.to_vec(),
    };
    let descending = RangeKey {
        descending: true,
        ..ascending(0)
    };
    let cases = [
        (1, hash(&[0]), "shuffle_partition: 1 partitions"),
        (4097, hash(&[0]), "shuffle_partition: 4097 partitions"),
        (2, hash(&[]), "shuffle_partition: no keys"),
        (2, hash(&[1]), "shuffle_partition: key 1 of 1 columns"),
        (2, hash(&[0; 17]), "shuffle_partition: 17 keys"),
        (
            2,
            Partitioning::RoundRobin { start: 2 },
            "shuffle_partition: start 2 of 2 partitions",
        ),
        (2, range(vec![], &bounds), "shuffle_partition: no keys"),
        (
            2,
            range(vec![ascending(0)], &bounds),
            "shuffle_partition: 2 bounds for 2 partitions",
        ),
        (
            3,
            range(vec![ascending(0), ascending(0)], &bounds),
            "shuffle_partition: bounds of 1 columns, 2 keys",
        ),
        (
            2,
            range(vec![ascending(0)], &other),
            "shuffle_partition: bounds of type Int64 for key `n` (Int32)",
        ),
        (
            3,
            range(vec![descending], &bounds),
            "shuffle_partition: bound 1 is less than the one before it",
        ),
    ];
    for (partitions, by, message) in cases {
        let operator = OperatorSpec::ShufflePartition(spec_of(&schema, partitions, by));
        for backend in backends() {
            let error = backend.instantiate(&operator).err().expect(message);
            assert!(
                matches!(error.kind(), ErrorKind::InvalidInput { .. }),
                "{}: {error}",
                backend.name()
            );
            assert!(
                error.to_string().starts_with(message),
                "{}: {error}",
                backend.name()
            );
        }
    }
}

#[test]
fn keys_of_nested_types_are_unsupported() {
    let field = Field::new(
        "s",
        DataType::Struct(vec![Field::new("a", DataType::Int8, true)].into()),
        true,
    );
    let schema: SchemaRef = Arc::new(Schema::new(vec![field]));
    let operator = OperatorSpec::ShufflePartition(hash_of(&schema, 2, &[0]));
    for backend in backends() {
        let error = backend.instantiate(&operator).err().expect("no words");
        assert!(
            matches!(error.kind(), ErrorKind::Unsupported { .. }),
            "{error}"
        );
    }
}

#[test]
fn rows_without_columns_are_counted() {
    let schema: SchemaRef = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(10));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options);
    let batch = batch.expect("ten rows of nothing");
    let spec = spec_of(&schema, 4, Partitioning::RoundRobin { start: 0 });
    let counts = check(&spec, &Table::single(batch));
    let counts: Vec<usize> = counts.iter().map(Vec::len).collect();
    assert_eq!(counts, [3, 3, 2, 2]);
}

/// Every type that tables have, all of them nullable.
fn every_type() -> Vec<DataType> {
    let mut types = vec![
        DataType::Boolean,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        DataType::Decimal32(9, 2),
        DataType::Decimal64(18, 2),
        DataType::Decimal128(15, 2),
        DataType::Decimal128(38, 2),
    ];
    types.extend(tables::NUMBERS);
    types.extend(tables::TEMPORALS);
    types
}

#[test]
fn every_type_is_a_key_and_a_payload() {
    for data_type in every_type() {
        let field = |name: &str| Field::new(name, data_type.clone(), true);
        let schema: SchemaRef = Arc::new(Schema::new(vec![field("key"), field("payload")]));
        let mut random = Random::new(7);
        let batch = tables::batch(&mut random, &schema, 300, &[Domain::Any]);
        let table = Table::single(batch.slice(3, 290));
        check(&hash_of(&schema, 7, &[0]), &table);
        if let Some(spec) = range_of(&mut random, &schema, 5, vec![ascending(0)], Domain::Any) {
            check(&spec, &table);
        }
    }
}

#[test]
fn columns_of_nulls_go_to_one_partition() {
    for data_type in every_type() {
        let column = new_null_array(&data_type, 100);
        let batch = batch_of(vec![("key", column)]);
        let spec = hash_of(&batch.schema(), 64, &[0]);
        let counts = check(&spec, &Table::single(batch));
        assert_eq!(
            counts.iter().filter(|rows| rows.len() == 100).count(),
            1,
            "{data_type}"
        );
    }
}

#[test]
fn empty_batches_give_empty_partitions() {
    let schema = tables::schema(&mut Random::new(1), 4);
    let batch = tables::batch(&mut Random::new(2), &schema, 0, &[]);
    let spec = hash_of(&schema, 4096, &[1, 0]);
    assert!(
        check(&spec, &Table::single(batch))
            .iter()
            .all(Vec::is_empty)
    );
}

/// Keys of which a share is one value, and a payload of bits and bytes with nulls.
fn skewed(rows: usize, common_of_100: u64) -> RecordBatch {
    let mut random = Random::new(common_of_100);
    let keys = (0..rows).map(|_| {
        let common = random.bits() % 100 < common_of_100;
        if common {
            42
        } else {
            random.bits().cast_signed()
        }
    });
    let keys = Int64Array::from_iter_values(keys);
    let bits = (0..rows).map(|row| (row % 5 != 0).then_some(row % 3 == 0));
    let bytes = (0..rows).map(|row| (row % 7 != 0).then_some(row as i8));
    batch_of(vec![
        ("key", Arc::new(keys) as ArrayRef),
        ("bit", Arc::new(bits.collect::<BooleanArray>())),
        ("byte", Arc::new(bytes.collect::<Int8Array>())),
    ])
}

#[test]
fn skew_loses_nothing() {
    for common in [0, 50, 95, 100] {
        let batch = skewed(20_000, common);
        for partitions in [2, 257] {
            let spec = hash_of(&batch.schema(), partitions, &[0]);
            check(&spec, &Table::single(batch.clone()));
        }
    }
}

#[test]
fn the_fewest_and_the_most_partitions() {
    let batch = skewed(9_000, 10);
    for partitions in [2, 4096] {
        let spec = hash_of(&batch.schema(), partitions, &[0, 1]);
        check(&spec, &Table::single(batch.clone()));
    }
}

/// Random bounds of these keys, in order; none if a key's rows cannot be bounds.
fn range_of(
    random: &mut Random,
    schema: &SchemaRef,
    partitions: u32,
    keys: Vec<RangeKey>,
    domain: Domain,
) -> Option<ShufflePartitionSpec> {
    let fields = keys.iter().map(|key| schema.field(key.column).clone());
    let own: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let drawn = tables::batch(
        random,
        &own,
        partitions as usize - 1,
        &vec![domain; keys.len()],
    );
    let values = rows(std::slice::from_ref(&drawn));
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|a, b| compare_rows(&keys, &values[*a as usize], &values[*b as usize]));
    let bounds = take_record_batch(&drawn, &UInt32Array::from(order)).ok()?;
    Some(spec_of(
        schema,
        partitions,
        Partitioning::Range { keys, bounds },
    ))
}

fn random_spec(random: &mut Random, schema: &SchemaRef, domain: Domain) -> ShufflePartitionSpec {
    let most = if random.once_in(60) { 4096 } else { 300 };
    let partitions = match random.below(3) {
        0 => *random.pick(&[2, 3, 8, 64]),
        _ => 2 + random.below(most - 1) as u32,
    };
    let columns = schema.fields().len();
    let keys: Vec<usize> = (0..1 + random.below(3))
        .map(|_| random.below(columns))
        .collect();
    match random.below(8) {
        0 => {
            let start = random.below(partitions as usize) as u32;
            spec_of(schema, partitions, Partitioning::RoundRobin { start })
        }
        1..4 => {
            let keys = keys.into_iter().map(|column| RangeKey {
                column,
                descending: random.once_in(2),
                nulls_first: random.once_in(2),
            });
            let keys = keys.collect();
            range_of(random, schema, partitions, keys, domain).expect("bounds of any type")
        }
        _ => hash_of(schema, partitions, &keys),
    }
}

#[test]
fn random_tables_are_split_alike() {
    for_each_case("shuffle_partition", |random| {
        let columns = 1 + random.below(6);
        let schema = tables::schema(random, columns);
        let domain = *random.pick(&[Domain::Any, Domain::Keys, Domain::Keys]);
        let rows = tables::row_count(random).min(10_000);
        let table = tables::table(random, &schema, rows, &vec![domain; columns]);
        let spec = random_spec(random, &schema, domain);
        let _note = Note::new(
            &schema,
            format!("{} partitions, {:?}", spec.partitions, spec.by),
        );
        check(&spec, &table);
    });
}

/// A filter of the first column, which keeps every column.
fn filter_of(schema: &SchemaRef, predicate: &Expr) -> OperatorSpec {
    let predicate = resolve(predicate, schema).expect("a predicate");
    OperatorSpec::Filter(FilterSpec {
        input: Arc::clone(schema),
        predicate,
        projection: (0..schema.fields().len()).collect(),
        semantics: LENIENT,
    })
}

#[test]
fn rows_that_the_device_counts_are_split_and_partitions_are_batches_like_others() {
    let batch = skewed(5_000, 30);
    let schema = batch.schema();
    let spec = hash_of(&schema, 13, &[0]);
    let operator = OperatorSpec::ShufflePartition(spec.clone());
    let before = filter_of(&schema, &col("key").gt(lit(40i64)));
    let after = filter_of(&schema, &col("byte").gt(lit(0i64)).and(col("bit")));
    let (before, after) = (Some(&before), Some(&after));
    let batches = [batch.slice(0, 4_500), batch.slice(4_500, 500)];
    let run = |backend: &dyn Backend| run_partition(backend, before, &operator, after, &batches);
    let expected = run(&CpuBackend::new()).expect("the CPU splits");
    let expected = joined("cpu", &spec, &expected);
    assert!(
        expected.iter().any(|rows| !rows.is_empty()),
        "some rows are left"
    );
    for backend in backends() {
        let got = run(&*backend).expect("it splits");
        assert_same(
            backend.name(),
            &expected,
            &joined(backend.name(), &spec, &got),
        );
    }
}

#[test]
fn bytes_travel_as_views() {
    let words = (0..500).map(|row| (row % 4 != 0).then(|| format!("word {}", row % 91)));
    let binary: BinaryArray = words.map(|word| word.map(String::into_bytes)).collect();
    let numbers = Int64Array::from_iter_values((0..500).map(|row| row % 3));
    let columns: Vec<(&str, ArrayRef)> = vec![("word", Arc::new(binary)), ("n", Arc::new(numbers))];
    let batch = batch_of(columns).slice(1, 490);
    let spec = hash_of(&batch.schema(), 5, &[0, 1]);
    let operator = OperatorSpec::ShufflePartition(spec);
    let texts = |parts: &[RecordBatch]| {
        let text = |part: &RecordBatch| {
            let words = cast(part.column(0), &DataType::Utf8).expect("words are text");
            let row = |row| vec![cell(&words, row), cell(part.column(1), row)];
            (0..part.num_rows()).map(row).collect::<Rows>()
        };
        parts.iter().map(text).collect::<Vec<_>>()
    };
    let run = |backend: &dyn Backend| {
        let parts = run_partition(backend, None, &operator, None, std::slice::from_ref(&batch));
        texts(&parts.expect("it splits")[0])
    };
    let expected = run(&CpuBackend::new());
    for backend in backends() {
        assert_same(backend.name(), &expected, &run(&*backend));
    }
}
