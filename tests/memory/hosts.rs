//! Batches in host memory, as sections and back: every type, sliced and not.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, Fields, Int8Type, Int32Type, IntervalMonthDayNano, Schema, UInt32Type,
    UnionFields,
};
use half::f16;
use pelton::memory::{Batch, HostParking};
use pelton::memory::{MemoryLimits, SpillClass, StoredBatch, Tier, park_host, unpark_host};

use crate::bed::{Bed, rows_of};

const ROWS: usize = 67;

fn rows() -> impl Iterator<Item = usize> + Clone {
    0..ROWS
}

fn text(row: usize) -> Option<String> {
    (row % 5 != 1).then(|| "äb".repeat(row % 13))
}

fn int64(row: usize) -> Option<i64> {
    (!row.is_multiple_of(3)).then_some(row as i64 - 30)
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type, true))
}

fn flat() -> Vec<ArrayRef> {
    let decimals = Decimal128Array::from_iter(rows().map(|row| int64(row).map(i128::from)));
    let small = Decimal32Array::from_iter(rows().map(|row| int64(row).map(|value| value as i32)));
    let stamps = TimestampMicrosecondArray::from_iter(rows().map(int64));
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        rows().map(|row| (!row.is_multiple_of(4)).then_some([row as u8; 5])),
        5,
    );
    vec![
        Arc::new(NullArray::new(ROWS)),
        Arc::new(BooleanArray::from_iter(
            rows().map(|row| (row % 7 != 2).then_some(row % 2 == 0)),
        )),
        Arc::new(BooleanArray::from_iter(
            rows().map(|row| Some(row % 3 == 0)),
        )),
        Arc::new(Int8Array::from_iter(
            rows().map(|row| int64(row).map(|value| value as i8)),
        )),
        Arc::new(UInt64Array::from_iter_values(rows().map(|row| row as u64))),
        Arc::new(Float16Array::from_iter_values(
            rows().map(|row| f16::from_f32(row as f32)),
        )),
        Arc::new(Float64Array::from_iter(
            rows().map(|row| int64(row).map(|value| value as f64)),
        )),
        Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
        Arc::new(small.with_precision_and_scale(7, 2).unwrap()),
        Arc::new(Date32Array::from_iter_values(rows().map(|row| row as i32))),
        Arc::new(stamps.with_timezone("+02:00")),
        Arc::new(DurationSecondArray::from_iter(rows().map(int64))),
        Arc::new(IntervalMonthDayNanoArray::from_iter_values(
            rows().map(|row| IntervalMonthDayNano::new(row as i32, 1, -1)),
        )),
        Arc::new(fixed.unwrap()),
        Arc::new(StringArray::from_iter(rows().map(text))),
        Arc::new(LargeStringArray::from_iter(rows().map(text))),
        Arc::new(StringViewArray::from_iter(rows().map(text))),
        Arc::new(BinaryArray::from_iter(rows().map(text))),
        Arc::new(LargeBinaryArray::from_iter(rows().map(text))),
        Arc::new(BinaryViewArray::from_iter(
            rows().map(|row| text(row).map(String::into_bytes)),
        )),
        Arc::new(
            rows()
                .map(text)
                .map(|text| text.map(|_| "few"))
                .collect::<DictionaryArray<Int8Type>>(),
        ),
        Arc::new(
            rows()
                .map(|row| Some(["x", "y", "zzz"][row / 9 % 3]))
                .collect::<RunArray<Int32Type>>(),
        ),
    ]
}

fn lists() -> Vec<ArrayRef> {
    let nested = |row: usize| {
        (row % 6 != 5).then(|| (0..row % 4).map(|at| int64(row + at)).collect::<Vec<_>>())
    };
    let values: ArrayRef = Arc::new(Int64Array::from_iter(
        rows().cycle().take(3 * ROWS).map(int64),
    ));
    let nulls = NullBuffer::from_iter(rows().map(|row| row % 9 != 3));
    let fixed = FixedSizeListArray::new(item(DataType::Int64), 3, Arc::clone(&values), Some(nulls));
    let list =
        ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(rows().map(nested));
    let lists = (0..=ROWS / 2)
        .map(|row| (2 * row).min(ROWS) as i64)
        .chain([ROWS as i64]);
    let lists: ScalarBuffer<i64> = lists.collect();
    let list_field = item(list.data_type().clone());
    let of_lists = LargeListArray::new(
        list_field,
        OffsetBuffer::new(lists),
        Arc::new(list.clone()),
        None,
    );
    let of_lists = take(&of_lists, ROWS);
    let views = ListViewArray::new(
        item(DataType::Int64),
        rows().map(|row| (row * 7 % 90) as i32).collect(),
        rows().map(|row| (row % 4) as i32).collect(),
        values,
        None,
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in rows() {
        for at in 0..row % 3 {
            map.keys().append_value(format!("{row}.{at}"));
            map.values().append_option(int64(row + at));
        }
        map.append(row % 8 != 7).unwrap();
    }
    vec![
        Arc::new(list),
        Arc::new(fixed),
        of_lists,
        Arc::new(views),
        Arc::new(map.finish()),
    ]
}

/// As many rows, with the last one again as often as needed.
fn take(array: &dyn Array, rows: usize) -> ArrayRef {
    let indices = (0..rows).map(|row| row.min(array.len() - 1) as u32);
    let indices: PrimitiveArray<UInt32Type> = UInt32Array::from_iter_values(indices);
    arrow::compute::take(array, &indices, None).unwrap()
}

fn structs() -> Vec<ArrayRef> {
    let children = [flat(), lists()].concat();
    let fields: Fields = children
        .iter()
        .enumerate()
        .map(|(at, child)| Field::new(format!("f{at}"), child.data_type().clone(), true))
        .collect();
    let nulls = NullBuffer::from_iter(rows().map(|row| row % 10 != 4));
    let nested = StructArray::new(fields, children, Some(nulls));
    let kinds = UnionFields::try_new(
        [3, 5],
        [
            Field::new("text", DataType::Utf8, true),
            Field::new("number", DataType::Int64, true),
        ],
    )
    .unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from_iter(rows().map(text)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter(rows().map(int64)));
    let types: ScalarBuffer<i8> = rows().map(|row| if row % 2 == 0 { 3 } else { 5 }).collect();
    let sparse = UnionArray::try_new(
        kinds.clone(),
        types.clone(),
        None,
        vec![Arc::clone(&texts), Arc::clone(&numbers)],
    );
    let offsets: ScalarBuffer<i32> = rows().map(|row| row as i32 / 2).collect();
    let dense = UnionArray::try_new(kinds, types, Some(offsets), vec![texts, numbers]);
    vec![
        Arc::new(nested),
        Arc::new(sparse.unwrap()),
        Arc::new(dense.unwrap()),
    ]
}

fn every_type() -> RecordBatch {
    let columns = [flat(), lists(), structs()].concat();
    let named = columns
        .into_iter()
        .enumerate()
        .map(|(at, column)| (format!("c{at}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn check(batch: &RecordBatch) {
    let parked = park_host(batch);
    assert_eq!(unpark_host(&parked).unwrap(), *batch);
    let bed = Bed::new(MemoryLimits::UNLIMITED);
    let stored = bed
        .spiller
        .store(
            Batch::host(unpark_host(&parked).unwrap()),
            Arc::new(HostParking),
            SpillClass::Result,
        )
        .unwrap();
    drop(parked);
    bed.spiller.spill(Tier::Host, u64::MAX).unwrap();
    let on_disk = |stored: &StoredBatch| stored.tier() == Tier::Disk;
    assert!(on_disk(&stored));
    let back = rows_of(&stored.take().unwrap());
    assert_eq!(back, *batch);
    assert_eq!(back.schema(), batch.schema());
    for column in back.columns() {
        column.to_data().validate_full().unwrap();
    }
}

#[test]
fn every_type_comes_back_whole_and_sliced() {
    let batch = every_type();
    for (start, count) in [
        (0, ROWS),
        (0, 0),
        (ROWS, 0),
        (1, 1),
        (3, 40),
        (8, 32),
        (33, ROWS - 33),
    ] {
        check(&batch.slice(start, count));
        check(&batch.slice(start, count).slice(count / 3, count / 2));
    }
}

#[test]
fn rows_without_columns_and_columns_without_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(9));
    let none =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let parked = park_host(&none);
    assert_eq!(
        (parked.bytes(), unpark_host(&parked).unwrap().num_rows()),
        (0, 9)
    );
    let metadata = [("key".to_string(), "value".to_string())].into();
    let field =
        Field::new("a", DataType::Int64, false).with_metadata([("x".into(), "y".into())].into());
    let schema = Schema::new_with_metadata(vec![field], metadata);
    check(&RecordBatch::new_empty(Arc::new(schema)));
    check(&RecordBatch::new_empty(every_type().schema()));
}

#[test]
fn of_a_slice_only_its_rows_are_parked() {
    let columns = [flat(), lists()].concat();
    for column in columns {
        let long = take(&column, 100_000);
        let kind = long.data_type().clone();
        if matches!(kind, DataType::RunEndEncoded(_, _) | DataType::ListView(_)) {
            continue; // these are parked whole
        }
        let one = RecordBatch::try_from_iter([("a", long.slice(50_001, 10))]).unwrap();
        let bytes = park_host(&one).bytes();
        assert!(bytes < 2000, "{kind}: {bytes}");
    }
}

#[test]
fn nothing_is_copied() {
    let column = Int64Array::from_iter_values(0..1000);
    let address = column.values().inner().as_ptr();
    let batch = RecordBatch::try_from_iter([("a", Arc::new(column) as ArrayRef)]).unwrap();
    let parked = park_host(&batch);
    assert_eq!(parked.sections[0].as_ptr(), address);
    let back = unpark_host(&parked).unwrap();
    let back: &Int64Array = back.column(0).as_any().downcast_ref().unwrap();
    assert_eq!(back.values().inner().as_ptr(), address);
}

#[test]
fn sections_that_are_not_what_they_were_are_refused() {
    let batch = every_type();
    let parked = park_host(&batch);
    let mut missing = parked.clone();
    missing.sections.pop();
    assert!(unpark_host(&missing).is_err());
    let mut foreign = parked.clone();
    foreign.layout = Arc::new(1);
    assert!(unpark_host(&foreign).is_err());
    for at in 0..parked.sections.len() {
        let mut short = parked.clone();
        let bytes = short.sections[at].len();
        short.sections[at].truncate(bytes / 2);
        let same = bytes < 2 || unpark_host(&short).is_err();
        // Data that no row uses may be missing.
        assert!(same || unpark_host(&short).unwrap() == batch);
    }
}
