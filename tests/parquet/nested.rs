//! Nested columns on every backend: structs, lists and maps of any depth are the rows that were
//! written, and operators that do not know them say so.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Int64Array, LargeListArray, LargeListViewArray,
    ListArray, ListViewArray, MapArray, RecordBatch, StructArray, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use pelton::memory::Tier;
use pelton::prelude::*;

use super::files::{codec, engine, engine_with, file_properties, needed};
use super::support::backends::cuda_is_there;
use super::support::random::{Note, Random, for_each_case};
use super::support::tables::{self, Domain};

/// Nodes above a leaf, at most.
const DEPTH_MAX: usize = 4;

fn field(name: &str, random: &mut Random, depth: usize) -> FieldRef {
    let nullable = random.once_in(2);
    Arc::new(Field::new(name, data_type(random, depth), nullable))
}

/// A random type with at most so many nodes above its leaves.
fn data_type(random: &mut Random, depth: usize) -> DataType {
    if depth == 0 || random.once_in(4) {
        return leaf_type(random);
    }
    nested_type(random, depth)
}

fn nested_type(random: &mut Random, depth: usize) -> DataType {
    let below = depth - 1;
    match random.below(9) {
        0..3 => {
            let children = 1 + random.below(3);
            let child = |index| field(&format!("f{index}"), random, below);
            DataType::Struct((0..children).map(child).collect())
        }
        3 | 4 => DataType::List(field("item", random, below)),
        5 => DataType::LargeList(field("element", random, below)),
        6 => match random.below(3) {
            0 => DataType::ListView(field("item", random, below)),
            1 => DataType::LargeListView(field("item", random, below)),
            _ => DataType::FixedSizeList(field("item", random, below), 1 + random.below(3) as i32),
        },
        _ => {
            let key = Field::new("key", leaf_type(random), false);
            let fields = Fields::from(vec![Arc::new(key), field("value", random, below)]);
            let entries = Field::new("entries", DataType::Struct(fields), false);
            DataType::Map(Arc::new(entries), false)
        }
    }
}

fn leaf_type(random: &mut Random) -> DataType {
    match random.below(4) {
        0 => {
            let strings = [
                DataType::Utf8,
                DataType::LargeUtf8,
                DataType::Utf8View,
                DataType::Binary,
            ];
            random.pick(&strings).clone()
        }
        1 => match tables::decimal_type(random) {
            // The parquet crate stores it in 64 bits and then cannot write it.
            DataType::Decimal32(1, scale) => DataType::Decimal32(2, scale),
            other => other,
        },
        _ => match tables::data_type(random) {
            DataType::Dictionary(..) => DataType::Utf8,
            DataType::Decimal32(1, scale) => DataType::Decimal32(2, scale),
            other => other,
        },
    }
}

fn nulls(random: &mut Random, nullable: bool, rows: usize) -> Option<NullBuffer> {
    let times = *random.pick(&[1, 2, 3, 10]);
    let some = nullable && !random.once_in(4);
    some.then(|| (0..rows).map(|_| !random.once_in(times)).collect())
}

/// Lengths of lists: often none, sometimes long.
fn lengths(random: &mut Random, rows: usize) -> Vec<usize> {
    let most = *random.pick(&[1, 2, 3, 5]);
    let length = |_| {
        if random.once_in(50) {
            random.below(20)
        } else {
            random.below(most)
        }
    };
    (0..rows).map(length).collect()
}

/// A random array. What lies below a null may be anything, and is not written.
fn array(random: &mut Random, data_type: &DataType, nullable: bool, rows: usize) -> ArrayRef {
    let validity = nulls(random, nullable, rows);
    match data_type {
        DataType::Struct(fields) => {
            let children = fields.iter();
            let children =
                children.map(|child| array(random, child.data_type(), child.is_nullable(), rows));
            let children = children.collect();
            Arc::new(StructArray::new(fields.clone(), children, validity))
        }
        DataType::FixedSizeList(item, size) => {
            let values = rows * usize::try_from(*size).unwrap();
            let values = array(random, item.data_type(), item.is_nullable(), values);
            let item = Arc::clone(item);
            Arc::new(FixedSizeListArray::new(item, *size, values, validity))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => {
            let lengths = lengths(random, rows);
            let count = lengths.iter().sum();
            let values = array(random, item.data_type(), item.is_nullable(), count);
            lists(data_type, Arc::clone(item), &lengths, values, validity)
        }
        leaf => {
            let domain = *random.pick(&[Domain::Keys, Domain::Any]);
            // The generator knows one type of strings.
            let text = matches!(leaf, DataType::Utf8View | DataType::Binary);
            let drawn = if text { &DataType::Utf8 } else { leaf };
            let drawn = cast(&tables::column(random, drawn, rows, domain), leaf).unwrap();
            if nullable {
                return drawn;
            }
            let data = drawn.to_data().into_builder().nulls(None);
            make_array(data.build().unwrap())
        }
    }
}

fn lists(
    data_type: &DataType,
    item: FieldRef,
    lengths: &[usize],
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let narrow = OffsetBuffer::<i32>::from_lengths(lengths.iter().copied());
    let wide = OffsetBuffer::<i64>::from_lengths(lengths.iter().copied());
    let starts = lengths.len();
    match data_type {
        DataType::List(_) => Arc::new(ListArray::new(item, narrow, values, nulls)),
        DataType::LargeList(_) => Arc::new(LargeListArray::new(item, wide, values, nulls)),
        DataType::ListView(_) => {
            let sizes: ScalarBuffer<i32> = lengths.iter().map(|size| *size as i32).collect();
            let starts = narrow.inner().slice(0, starts);
            Arc::new(ListViewArray::new(item, starts, sizes, values, nulls))
        }
        DataType::LargeListView(_) => {
            let sizes: ScalarBuffer<i64> = lengths.iter().map(|size| *size as i64).collect();
            let starts = wide.inner().slice(0, starts);
            Arc::new(LargeListViewArray::new(item, starts, sizes, values, nulls))
        }
        _ => {
            let entries = values.as_struct().clone();
            Arc::new(MapArray::new(item, narrow, entries, nulls, false))
        }
    }
}

/// Encodings that values stored like this may have, the dictionary aside.
fn encodings(physical: PhysicalType) -> &'static [Encoding] {
    use Encoding::{
        BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED, DELTA_BYTE_ARRAY, DELTA_LENGTH_BYTE_ARRAY, PLAIN,
        RLE,
    };
    match physical {
        PhysicalType::BOOLEAN => &[PLAIN, RLE],
        PhysicalType::INT32 | PhysicalType::INT64 => {
            &[PLAIN, DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT]
        }
        PhysicalType::BYTE_ARRAY => &[PLAIN, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY],
        _ => &[PLAIN, BYTE_STREAM_SPLIT],
    }
}

fn properties(random: &mut Random, schema: &Schema) -> WriterProperties {
    let mut properties = file_properties(random);
    let leaves = ArrowSchemaConverter::new().convert(schema).unwrap();
    for leaf in leaves.columns() {
        let choices = encodings(leaf.physical_type());
        properties = properties
            .set_column_dictionary_enabled(leaf.path().clone(), random.once_in(2))
            .set_column_encoding(leaf.path().clone(), *random.pick(choices));
        if random.once_in(3) {
            properties = properties.set_column_compression(leaf.path().clone(), codec(random));
        }
    }
    properties.build()
}

fn write(path: &Path, table: &RecordBatch, properties: WriterProperties) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), Some(properties)).unwrap();
    writer.write(table).unwrap();
    writer.close().unwrap();
}

fn backends() -> Vec<&'static str> {
    let mut backends = vec!["cpu", "simt"];
    backends.extend(cuda_is_there().then_some("cuda"));
    backends
}

fn assert_reads(path: &Path, table: &RecordBatch, random: &mut Random) {
    for backend in backends() {
        let engine = engine(backend, random);
        let scan = scan_parquet(path).unwrap();
        let out = scan
            .collect(&engine)
            .unwrap_or_else(|error| panic!("{backend}: {error}"));
        let read = concat_batches(&out.schema, &out.batches).unwrap();
        assert_eq!(read.num_rows(), table.num_rows(), "rows on {backend}");
        for (index, (wanted, got)) in table.columns().iter().zip(read.columns()).enumerate() {
            let what = format!("column {index} on {backend}");
            assert_eq!(wanted.data_type(), got.data_type(), "{what}");
            assert_eq!(wanted.to_data(), got.to_data(), "{what}");
            got.to_data().validate_full().expect(&what);
        }
        drop((out, read));
        assert_eq!(needed(&engine, Tier::Device), 0, "all is given back");
    }
}

#[test]
fn nested_columns_are_read_as_they_were_written() {
    for_each_case("nested columns", |random| {
        let columns = 1 + random.below(3);
        let fields = (0..columns).map(|index| {
            let name = format!("c{index}");
            if index > 0 && random.once_in(3) {
                return field(&name, random, 0);
            }
            let depth = 1 + random.below(DEPTH_MAX);
            let nullable = random.once_in(2);
            Arc::new(Field::new(name, nested_type(random, depth), nullable))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Fields>()));
        let rows = *random.pick(&[0, 1, 31, 33, 100, 300]);
        let note = Note::new(&schema, format!("{rows} rows"));
        let arrays = schema.fields().iter();
        let arrays =
            arrays.map(|field| array(random, field.data_type(), field.is_nullable(), rows));
        let table = RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nested.parquet");
        write(&path, &table, properties(random, &schema));
        assert_reads(&path, &table, random);
        drop(note);
    });
}

/// A flat column `a` and a nested column `s`: each row a struct of a list of numbers.
fn flat_and_nested(nullable: bool) -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let numbers = Int64Array::from(vec![Some(1), None, Some(3)]);
    let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
    let list = ListArray::new(Arc::clone(&item), offsets, Arc::new(numbers), None);
    let fields = Fields::from(vec![Field::new("l", DataType::List(item), false)]);
    let valid = nullable.then(|| NullBuffer::from(vec![true, true, false]));
    let nested = StructArray::new(fields.clone(), vec![Arc::new(list)], valid);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, nullable),
        Field::new("s", DataType::Struct(fields), nullable),
    ]));
    let flat = Int64Array::from(vec![Some(1), Some(2), (!nullable).then_some(3)]);
    RecordBatch::try_new(schema, vec![Arc::new(flat), Arc::new(nested)]).unwrap()
}

/// Files of one table may differ in what can be null, and one partition may read several.
#[test]
fn files_that_store_a_column_with_other_levels() {
    let folder = tempfile::tempdir().unwrap();
    let tables = [
        flat_and_nested(false),
        flat_and_nested(true),
        flat_and_nested(false),
    ];
    for (index, table) in tables.iter().enumerate() {
        let path = folder.path().join(format!("{index}.parquet"));
        write(&path, table, WriterProperties::default());
    }
    let schema = tables[1].schema();
    let alike = tables.map(|table| table.with_schema(Arc::clone(&schema)).unwrap());
    let whole = concat_batches(&schema, &alike).unwrap();
    for_each_case("files of other levels", |random| {
        assert_reads(folder.path(), &whole, random);
    });
}

/// What is damaged gives the same rows as on the host, or an error about the file.
#[test]
fn damaged_levels_are_errors_or_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let whole_path = folder.path().join("whole.parquet");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(2));
    write(&whole_path, &flat_and_nested(true), properties.build());
    let whole = std::fs::read(&whole_path).unwrap();
    let footer = whole.len() - 8;
    let footer = u32::from_le_bytes(whole[footer..footer + 4].try_into().unwrap());
    let pages = whole.len() - 8 - footer as usize;
    let (mut cases, mut errors, mut rows) = (0, 0, 0);
    for_each_case("damaged levels", |random| {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(2) {
            let place = 4 + random.below(pages - 4);
            bytes[place] ^= 1 << random.below(8);
        }
        cases += 1;
        let path = folder.path().join(format!("{cases}.parquet"));
        std::fs::write(&path, &bytes).unwrap();
        let [cpu, simt] = ["cpu", "simt"].map(|backend| {
            let scan = scan_parquet(&path).unwrap();
            scan.collect(&engine(backend, random))
        });
        match (cpu, simt) {
            (Ok(cpu), Ok(simt)) => {
                let [cpu, simt] =
                    [cpu, simt].map(|out| concat_batches(&out.schema, &out.batches).unwrap());
                assert_eq!(cpu, simt);
                rows += 1;
            }
            (cpu, simt) => {
                for error in [cpu.err(), simt.err()].into_iter().flatten() {
                    let kind = error.kind();
                    let of_the_file = matches!(
                        kind,
                        pelton::ErrorKind::Corrupt { .. }
                            | pelton::ErrorKind::TooLarge { .. }
                            | pelton::ErrorKind::Unsupported { .. }
                    );
                    assert!(of_the_file, "{error}");
                }
                errors += 1;
            }
        }
    });
    assert!(
        cases < 20 || errors > 0 && rows > 0,
        "{errors} errors, {rows} tables"
    );
}

/// Operators know no nested columns: they pass where none of them is asked for, and are refused by
/// the name of operator and column elsewhere.
#[test]
fn operators_refuse_nested_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.parquet");
    write(&path, &flat_and_nested(true), WriterProperties::default());
    let scan = || scan_parquet(&path).unwrap();
    let few = || scan().filter(col("a").gt(lit(1)));
    let with = |mode: &str| {
        let mode = format!("fallback_mode={mode}");
        engine_with(&["backend=simt", "simt_checked=true", &mode])
    };
    let raise = with("raise");
    for passing in [
        few().select([col("a")]),
        scan().group_by([col("a")]).agg([count_rows()]),
        scan().select([col("s")]),
        scan().limit(2),
    ] {
        let out = passing.collect(&raise).unwrap();
        let cpu = passing.collect(&engine_with(&["backend=cpu"])).unwrap();
        assert_eq!(out.rows(), cpu.rows());
    }
    for (operator, refused) in [
        ("filter", few()),
        (
            "project",
            scan().select([col("s"), (col("a") + lit(1)).alias("b")]),
        ),
    ] {
        let text = refused.collect(&raise).expect_err(operator).to_string();
        assert!(text.contains(operator) && text.contains("`s`"), "{text}");
        let warned = refused.collect(&with("warn")).unwrap();
        assert_eq!(warned.fallbacks.len(), 1, "{operator}");
        let cpu = refused.collect(&engine_with(&["backend=cpu"])).unwrap();
        assert_eq!(warned.batches, cpu.batches, "{operator}");
    }
}
