//! `sort`: rows in the order of their keys.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int8Array, Int64Array, RecordBatch,
    StringArray, StringViewArray, UInt32Array,
};
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::kernels::sort::{SortInput, SortTuning, sort_rows};
use pelton::kernels::{DeviceColumn, Launch};
use pelton::operators::{OperatorSpec, SortKey, SortSpec};
use pelton::types::{PhysicalType, Schema};

use crate::batch_of;
use crate::support::backends::{
    FoldPlan, Outcome, compare_backends, devices, run_fold, same_outcome,
};
use crate::support::equality::ordered;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::{self, Domain, Table};
use crate::support::values::{Rows, Value, rows};

/// The order of two rows, said cell by cell.
fn compare(keys: &[SortKey], a: &[Value], b: &[Value]) -> Ordering {
    for key in keys {
        let (a, b) = (&a[key.column], &b[key.column]);
        let order = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if key.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if key.descending => b.compare(a),
            (false, false) => a.compare(b),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Rows as a fold meets them: state by state as they are merged, batch by batch. Each row in turn
/// goes behind those that it does not precede.
pub fn oracle(keys: &[SortKey], batches: &[RecordBatch], how: &FoldPlan) -> Rows {
    let mut sorted: Rows = Vec::new();
    for state in &how.merge_order {
        let own = batches.iter().zip(&how.state_of_batch);
        let own = own
            .filter(|(_, of)| *of == state)
            .map(|(batch, _)| batch.clone());
        for row in rows(&own.collect::<Vec<_>>()) {
            let place = sorted.partition_point(|before| compare(keys, before, &row).is_le());
            sorted.insert(place, row);
        }
    }
    sorted
}

/// Compares all backends with the CPU's, and that with the oracle: equal row by row, bit by bit.
fn check(spec: &SortSpec, table: &Table, how: &FoldPlan) -> Rows {
    let operator = OperatorSpec::Sort(spec.clone());
    let run = |backend: &dyn Backend| run_fold(backend, &operator, &table.batches, how);
    let expected = Outcome::of("cpu", &operator, run(&CpuBackend::new()));
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    let oracle = oracle(&spec.keys, &table.batches, how);
    if let Err(difference) = same_outcome(&Outcome::Rows(oracle.clone()), &expected, equal) {
        panic!("cpu differs from the oracle: {difference}");
    }
    compare_backends(&operator, &expected, run, equal);
    oracle
}

/// Keys over some columns, of random direction.
pub fn random_keys(random: &mut Random, columns: usize, count: usize) -> Vec<SortKey> {
    let key = |random: &mut Random| SortKey {
        column: random.below(columns),
        descending: random.once_in(2),
        nulls_first: random.once_in(2),
    };
    (0..count).map(|_| key(random)).collect()
}

/// Sorts one batch by its first column; the second has the row numbers.
fn numbers(
    column: impl arrow::array::Array + 'static,
    descending: bool,
    nulls_first: bool,
) -> Vec<i128> {
    let count = column.len() as i64;
    let batch = batch_of(vec![
        ("key", Arc::new(column) as ArrayRef),
        (
            "row",
            Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef,
        ),
    ]);
    let key = SortKey {
        column: 0,
        descending,
        nulls_first,
    };
    let alone = batch.project(&[0]).expect("a column");
    for batch in [&alone, &batch] {
        let spec = SortSpec {
            input: batch.schema(),
            keys: vec![key],
        };
        // Several times, so that more than one tuning has its turn.
        for _ in 0..if count > 1000 { 1 } else { 5 } {
            let table = Table::single(batch.clone());
            let got = check(&spec, &table, &FoldPlan::single(1));
            if batch.num_columns() == 2 {
                let number = |row: Vec<Value>| match row[1] {
                    Value::Integer(number) => number,
                    _ => unreachable!("row numbers are integers"),
                };
                return got.into_iter().map(number).collect();
            }
        }
    }
    unreachable!("the second batch has two columns")
}

#[test]
fn nan_is_greatest_and_zeros_keep_their_order_and_sign() {
    let column = || {
        let values = [
            Some(0.0),
            Some(-f64::NAN),
            Some(f64::INFINITY),
            Some(-0.0),
            None,
            Some(-1.0),
            Some(f64::NAN),
        ];
        Float64Array::from(values.to_vec())
    };
    assert_eq!(numbers(column(), false, false), [5, 0, 3, 2, 1, 6, 4]);
    assert_eq!(numbers(column(), true, true), [4, 1, 6, 2, 0, 3, 5]);
}

#[test]
fn extremes_of_integers_and_decimals() {
    let column = Int64Array::from(vec![i64::MAX, 0, i64::MIN, -1]);
    assert_eq!(numbers(column, false, false), [2, 3, 1, 0]);
    let column = Int8Array::from(vec![Some(127), None, Some(-128), Some(0)]);
    assert_eq!(numbers(column, true, false), [0, 3, 2, 1]);
    let column = UInt32Array::from(vec![u32::MAX, 0, 1 << 31]);
    assert_eq!(numbers(column, true, false), [0, 2, 1]);
    let nines = 10i128.pow(38) - 1;
    let column = Decimal128Array::from(vec![
        Some(nines),
        Some(-nines),
        None,
        Some(1 << 64),
        Some(1),
    ]);
    let column = column.with_precision_and_scale(38, 0).expect("38 digits");
    assert_eq!(numbers(column, false, true), [2, 1, 4, 3, 0]);
    let column = BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
    assert_eq!(numbers(column, false, false), [2, 0, 3, 1]);
}

#[test]
fn strings_are_in_the_order_of_their_bytes() {
    let words = ["é", "", "z", "a\0", "a", "\u{ffff}", "\u{10000}", ""];
    let order = [1, 7, 4, 3, 2, 0, 5, 6];
    assert_eq!(
        numbers(StringArray::from(words.to_vec()), false, false),
        order
    );
    assert_eq!(
        numbers(StringViewArray::from(words.to_vec()), false, false),
        order
    );
}

#[test]
fn equal_null_and_no_rows_stay_where_they_are() {
    assert_eq!(
        numbers(Int64Array::from(vec![7; 40]), true, true),
        (0..40).collect::<Vec<_>>()
    );
    let nulls = Int64Array::from(vec![None; 3]);
    assert_eq!(numbers(nulls, false, false), [0, 1, 2]);
    assert_eq!(numbers(Int64Array::from(vec![3]), false, false), [0]);
    assert!(numbers(Int64Array::from(Vec::<i64>::new()), false, false).is_empty());
    let batch = batch_of(vec![(
        "a",
        Arc::new(Int64Array::from(vec![2, 1])) as ArrayRef,
    )]);
    let spec = SortSpec {
        input: batch.schema(),
        keys: Vec::new(),
    };
    check(&spec, &Table::single(batch), &FoldPlan::single(1));
}

#[test]
fn many_rows_of_few_and_of_many_values() {
    let mut random = Random::new(7);
    for (modulus, count) in [(3, 9000), (u64::MAX, 14_000)] {
        let keys = (0..count).map(|_| (random.bits() % modulus) as i64);
        let keys = Int64Array::from_iter_values(keys);
        let got = numbers(keys, random.once_in(2), false);
        assert_eq!(got.len(), count);
    }
}

/// Keys that begin anywhere among the 16 bytes that a thread reads at a time.
#[test]
fn keys_that_begin_between_vectors() {
    for device in devices() {
        let launch = Launch::new(&device, device.take_stream().expect("a stream"));
        let mut random = Random::new(11);
        for (physical, width) in [(PhysicalType::Int32, 4), (PhysicalType::UInt64, 8)] {
            for rows in [2, 3, 4, 5, 9, 4500] {
                for offset in 0..5 {
                    let bytes: Vec<u8> = (0..(offset + rows) * width)
                        .map(|_| random.bits() as u8)
                        .collect();
                    let buffer = device.upload(launch.stream(), &bytes).expect("memory");
                    let column = DeviceColumn::array(
                        physical,
                        Arc::new(buffer),
                        None,
                        offset as u64,
                        rows as u64,
                    );
                    let key = SortInput {
                        column: &column.expect("enough bytes"),
                        descending: false,
                        nulls_first: false,
                        wanted: true,
                    };
                    let tuning = SortTuning::default();
                    let sorted = sort_rows(&launch, &[key], rows as u64, false, &tuning);
                    let sorted = sorted.expect("memory").keys.pop().flatten();
                    let sorted = sorted.expect("a sorted key");
                    let mut got = vec![0u8; rows * width];
                    let values = sorted.values().expect("an array");
                    let read = device.read_at(launch.stream(), values, 0, &mut got);
                    read.expect("no failure");
                    let number = |bytes: &[u8]| match bytes.try_into() {
                        Ok(bytes) => i128::from(i32::from_ne_bytes(bytes)),
                        Err(_) => u64::from_ne_bytes(bytes.try_into().expect("8 bytes")).into(),
                    };
                    let numbers = |bytes: &[u8]| -> Vec<i128> {
                        bytes.chunks_exact(width).map(number).collect()
                    };
                    let mut expected = numbers(&bytes[offset * width..]);
                    expected.sort_unstable();
                    assert_eq!(numbers(&got), expected, "{rows} rows from {offset} on");
                }
            }
        }
    }
}

#[test]
fn specifications_that_contradict_themselves_are_invalid() {
    let batch = batch_of(vec![("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
    for keys in [vec![SortKey::ascending(1)], vec![SortKey::ascending(0); 17]] {
        let operator = OperatorSpec::Sort(SortSpec {
            input: batch.schema(),
            keys,
        });
        let run = |backend: &dyn Backend| {
            let plan = FoldPlan::single(1);
            run_fold(backend, &operator, std::slice::from_ref(&batch), &plan)
        };
        compare_backends(&operator, &Outcome::InvalidInput, run, |_, _| Ok(()));
        let cpu = Outcome::of("cpu", &operator, run(&CpuBackend::new()));
        assert_eq!(cpu, Outcome::InvalidInput);
    }
}

/// A random table to sort, its keys, and how it is folded.
pub fn random_case(random: &mut Random) -> (Arc<Schema>, Table, Vec<SortKey>, FoldPlan) {
    let columns = 1 + random.below(5);
    let schema = tables::schema(random, columns);
    let rows = tables::row_count(random);
    let domain = *random.pick(&[Domain::Keys, Domain::Keys, Domain::Any, Domain::Moderate]);
    let table = tables::table(random, &schema, rows, &vec![domain; columns]);
    let count = *random.pick(&[0, 1, 1, 1, 2, 3, 4]);
    let keys = random_keys(random, columns, count);
    let how = FoldPlan::random(random, table.batches.len());
    (schema, table, keys, how)
}

#[test]
fn random_sorts_of_random_tables() {
    for_each_case("sort", |random| {
        let (schema, table, keys, how) = random_case(random);
        let _note = Note::new(&schema, format!("{keys:?}, {how:?}"));
        let spec = SortSpec {
            input: schema,
            keys,
        };
        check(&spec, &table, &how);
    });
}
