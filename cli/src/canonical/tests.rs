//! Canonical text of each type, against spellings that follow from its specification.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;

use super::{Rows, header};

/// Type name and cells of one column.
fn text(array: ArrayRef) -> (String, Vec<String>) {
    text_of(Field::new("c", array.data_type().clone(), true), array)
}

fn text_of(field: Field, array: ArrayRef) -> (String, Vec<String>) {
    let schema = Arc::new(Schema::new(vec![field]));
    let fields = schema.fields().clone();
    let header = header(&schema);
    let type_name = header.lines().nth(1).unwrap()[1..].to_string();
    let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
    let mut rows = Rows::new(&batch, &fields).unwrap();
    let cells = (0..batch.num_rows())
        .map(|row| {
            let mut out = String::new();
            rows.write(row, &mut out).unwrap();
            out
        })
        .collect();
    (type_name, cells)
}

#[track_caller]
fn check(array: impl Array + 'static, type_name: &str, cells: &[&str]) {
    let (got_type, got_cells) = text(Arc::new(array));
    assert_eq!(got_type, type_name);
    assert_eq!(got_cells, cells);
}

#[test]
fn numbers_and_booleans() {
    check(NullArray::new(2), "null", &["NULL", "NULL"]);
    check(
        BooleanArray::from(vec![Some(true), None, Some(false)]),
        "bool",
        &["true", "NULL", "false"],
    );
    check(Int8Array::from(vec![-128, 127]), "int", &["-128", "127"]);
    check(
        UInt64Array::from(vec![u64::MAX]),
        "int",
        &["18446744073709551615"],
    );
    check(
        Float64Array::from(vec![
            1.5,
            -0.0,
            0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            100.0,
            1e300,
            5e-324,
            0.001_25,
            f64::MAX,
        ]),
        "float",
        &[
            "1.5e0",
            "-0e0",
            "0e0",
            "NaN",
            "inf",
            "-inf",
            "1e2",
            "1e300",
            "5e-324",
            "1.25e-3",
            "1.7976931348623157e308",
        ],
    );
    // Widened, then shortest; a tie goes to the even digit.
    check(
        Float32Array::from(vec![0.1, -103.217_316]),
        "float",
        &["1.0000000149011612e-1", "-1.0321731567382812e2"],
    );
    check(
        Float16Array::from(vec![half::f16::from_f32(0.5), half::f16::NAN]),
        "float",
        &["5e-1", "NaN"],
    );
}

#[test]
fn decimals_have_exactly_their_scale() {
    let decimal = |values: Vec<i128>, precision, scale| {
        Decimal128Array::from(values)
            .with_precision_and_scale(precision, scale)
            .unwrap()
    };
    check(
        decimal(vec![0, 5, -5, 123, -12345], 9, 2),
        "decimal(2)",
        &["0.00", "0.05", "-0.05", "1.23", "-123.45"],
    );
    check(decimal(vec![7, -7], 9, 0), "int", &["7", "-7"]);
    check(decimal(vec![12, 0], 9, -2), "decimal(-2)", &["1200", "0"]);
    check(
        Decimal32Array::from(vec![1])
            .with_precision_and_scale(4, 4)
            .unwrap(),
        "decimal(4)",
        &["0.0001"],
    );
    check(
        Decimal64Array::from(vec![-10])
            .with_precision_and_scale(4, 1)
            .unwrap(),
        "decimal(1)",
        &["-1.0"],
    );
    let wide = i256::from_string("-12345678901234567890123456789012345678901").unwrap();
    check(
        Decimal256Array::from(vec![wide])
            .with_precision_and_scale(50, 3)
            .unwrap(),
        "decimal(3)",
        &["-12345678901234567890123456789012345678.901"],
    );
}

#[test]
fn text_and_bytes() {
    let strings = vec!["", "a\"b", "c\\d", "e\nf\rg\th", "\u{1}\u{7f}", "é€"];
    let cells = [
        "\"\"",
        "\"a\"\"b\"",
        "\"c\\\\d\"",
        "\"e\\nf\\rg\\th\"",
        "\"\\u{1}\\u{7f}\"",
        "\"é€\"",
    ];
    check(StringArray::from(strings.clone()), "str", &cells);
    check(LargeStringArray::from(strings.clone()), "str", &cells);
    check(StringViewArray::from(strings), "str", &cells);
    let bytes: Vec<&[u8]> = vec![b"", b"\x00\xffA"];
    check(
        BinaryArray::from(bytes.clone()),
        "bin",
        &["x''", "x'00ff41'"],
    );
    check(
        BinaryViewArray::from(bytes.clone()),
        "bin",
        &["x''", "x'00ff41'"],
    );
    check(LargeBinaryArray::from(bytes), "bin", &["x''", "x'00ff41'"]);

    let uuid = [
        0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 0,
    ];
    let array = FixedSizeBinaryArray::try_from_iter([uuid].into_iter()).unwrap();
    check(
        array.clone(),
        "bin",
        &["x'550e8400e29b41d4a716446655440000'"],
    );
    let metadata = HashMap::from([("ARROW:extension:name".to_string(), "arrow.uuid".to_string())]);
    let field = Field::new("u", DataType::FixedSizeBinary(16), true).with_metadata(metadata);
    let (type_name, cells) = text_of(field, Arc::new(array));
    assert_eq!(type_name, "str");
    assert_eq!(cells, ["\"550e8400-e29b-41d4-a716-446655440000\""]);
}

#[test]
fn dates_and_times() {
    check(
        Date32Array::from(vec![
            0, -1, 11_016, -719_162, -719_163, 2_932_896, 2_932_897,
        ]),
        "date",
        &[
            "1970-01-01",
            "1969-12-31",
            "2000-02-29",
            "0001-01-01",
            "days:-719163",
            "9999-12-31",
            "days:2932897",
        ],
    );
    check(Date64Array::from(vec![-1]), "date", &["1969-12-31"]);
    check(Time32SecondArray::from(vec![3_661]), "time", &["01:01:01"]);
    check(
        Time32MillisecondArray::from(vec![1_500]),
        "time",
        &["00:00:01.5"],
    );
    check(
        Time64MicrosecondArray::from(vec![1]),
        "time",
        &["00:00:00.000001"],
    );
    check(
        Time64NanosecondArray::from(vec![86_399_000_000_010]),
        "time",
        &["23:59:59.00000001"],
    );
    check(
        TimestampSecondArray::from(vec![-1, 253_402_300_800]),
        "ts",
        &["1969-12-31T23:59:59", "ns:253402300800000000000"],
    );
    check(
        TimestampMillisecondArray::from(vec![1_234]).with_timezone("+02:00"),
        "ts",
        &["1970-01-01T00:00:01.234"],
    );
    check(
        TimestampMicrosecondArray::from(vec![-1]),
        "ts",
        &["1969-12-31T23:59:59.999999"],
    );
    check(
        TimestampNanosecondArray::from(vec![i64::MAX]),
        "ts",
        &["2262-04-11T23:47:16.854775807"],
    );
    check(
        DurationMillisecondArray::from(vec![-2]),
        "dur",
        &["ns:-2000000"],
    );
    check(
        IntervalYearMonthArray::from(vec![14]),
        "interval",
        &["m:14 d:0 ns:0"],
    );
    check(
        IntervalDayTimeArray::from(vec![IntervalDayTime::new(-1, 5)]),
        "interval",
        &["m:0 d:-1 ns:5000000"],
    );
    check(
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3)]),
        "interval",
        &["m:1 d:2 ns:3"],
    );
}

#[test]
fn lists_are_quoted_as_a_whole() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("a"), None, Some("\"")]);
    builder.append_null();
    builder.append_value([None::<&str>; 0]);
    let list = builder.finish();
    let cells = ["\"[\"\"a\"\",NULL,\"\"\"\"\"\"\"\"]\"", "NULL", "\"[]\""];
    check(list.clone(), "list<str>", &cells);
    // A slice starts in the middle of its buffers.
    check(list.slice(1, 2), "list<str>", &cells[1..]);

    let values = Int32Array::from(vec![1, 2, 3, 4, 5, 6]);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let fixed = FixedSizeListArray::new(item.clone(), 2, Arc::new(values.clone()), None);
    check(fixed.slice(1, 2), "list<int>", &["\"[3,4]\"", "\"[5,6]\""]);
    let view = ListViewArray::new(
        item,
        vec![4, 0].into(),
        vec![2, 1].into(),
        Arc::new(values),
        None,
    );
    check(view, "list<int>", &["\"[5,6]\"", "\"[1]\""]);
}

#[test]
fn structs_and_maps() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None, None])),
        Arc::new(StringArray::from(vec!["x", "y", "z"])),
    ];
    let nulls = NullBuffer::from(vec![true, true, false]);
    let array = StructArray::new(fields, columns, Some(nulls));
    check(
        array,
        "struct<a:int,b:str>",
        &["\"{a:1,b:\"\"x\"\"}\"", "\"{a:NULL,b:\"\"y\"\"}\"", "NULL"],
    );

    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    builder.keys().append_value("k");
    builder.values().append_value(1);
    builder.keys().append_value("l");
    builder.values().append_null();
    builder.append(true).unwrap();
    builder.append(true).unwrap();
    check(
        builder.finish(),
        "map<str,int>",
        &["\"<\"\"k\"\"=1,\"\"l\"\"=NULL>\"", "\"<>\""],
    );
}

#[test]
fn dictionaries_and_runs_are_their_values() {
    let keys = Int8Array::from(vec![Some(1), None, Some(0), Some(2)]);
    let values = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    check(
        DictionaryArray::new(keys, values),
        "str",
        &["\"b\"", "NULL", "\"a\"", "NULL"],
    );
    check(
        DictionaryArray::new(
            Int8Array::from(vec![None, None]),
            Arc::new(Int32Array::from(vec![0; 0])),
        ),
        "int",
        &["NULL", "NULL"],
    );
    let ends = Int32Array::from(vec![2, 3]);
    let runs = RunArray::try_new(&ends, &Float64Array::from(vec![Some(1.0), None])).unwrap();
    check(runs.slice(1, 2), "float", &["1e0", "NULL"]);
}

#[test]
fn unions_are_the_chosen_child() {
    let fields = UnionFields::try_new(
        vec![0, 5],
        vec![
            Field::new("i", DataType::Int32, true),
            Field::new("s", DataType::Utf8, true),
        ],
    )
    .unwrap();
    let children: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![7])),
        Arc::new(StringArray::from(vec!["x"])),
    ];
    let array = UnionArray::try_new(fields, vec![5, 0].into(), Some(vec![0, 0].into()), children);
    let (_, cells) = text(Arc::new(array.unwrap()));
    assert_eq!(cells, ["\"x\"", "7"]);
}

#[test]
fn header_quotes_names_and_names_nested_types() {
    let offsets = OffsetBuffer::new(vec![0, 1].into());
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let item = Arc::new(Field::new("element", DataType::Int32, true));
    let list = ListArray::new(item, offsets, inner, None);
    let schema = Schema::new(vec![
        Field::new("a\"b", DataType::UInt8, true),
        Field::new("l", list.data_type().clone(), true),
        Field::new(
            "t",
            DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
            true,
        ),
    ]);
    assert_eq!(
        header(&schema),
        "\"a\"\"b\",\"l\",\"t\"\n#int,list<int>,ts\n"
    );
}
