//! Small columns by hand: their levels, and the rows that they stand for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::Fields;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

fn leaf(definition_level: u16) -> NestedNode {
    NestedNode {
        definition_level,
        kind: NestedKind::Leaf,
    }
}

fn list(definition_level: u16, repetition_level: u16, element: NestedNode) -> NestedNode {
    let element = Box::new(element);
    NestedNode {
        definition_level,
        kind: NestedKind::List {
            repetition_level,
            element,
        },
    }
}

fn structure(definition_level: u16, children: Vec<NestedNode>) -> NestedNode {
    NestedNode {
        definition_level,
        kind: NestedKind::Struct(children),
    }
}

fn item(data_type: DataType, nullable: bool) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, nullable))
}

/// Entries of a leaf of numbers: definition and repetition level; the values count the entries.
fn numbers<'a>(
    (definition, definition_level_max): (&'a [u8], u16),
    (repetition, repetition_level_max): (&'a [u8], u16),
) -> Leaf<'a> {
    let value = |(index, level): (usize, &u8)| {
        (u16::from(*level) >= definition_level_max).then_some(index as i64)
    };
    let values = definition.iter().enumerate().map(value);
    Leaf {
        definition,
        repetition,
        values: Arc::new(Int64Array::from_iter(values)),
        definition_level_max,
        repetition_level_max,
    }
}

/// Rows as text, after full validation.
fn shown(array: &ArrayRef) -> Vec<String> {
    array.to_data().validate_full().unwrap();
    let options = FormatOptions::new().with_null("null");
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
    (0..array.len())
        .map(|row| formatter.value(row).to_string())
        .collect()
}

fn rows(root: &NestedNode, data_type: &DataType, leaves: &[Leaf]) -> Vec<String> {
    shown(&assemble(root, data_type, leaves).unwrap())
}

/// A nullable list of nullable numbers: null, empty, a null within, and two elements.
const DEFINITION: [u8; 5] = [0, 1, 2, 3, 3];
const REPETITION: [u8; 5] = [0, 0, 0, 0, 1];

#[test]
fn lists_are_null_or_empty_or_have_elements() {
    let root = list(1, 1, leaf(3));
    let expected = ["null", "[]", "[null]", "[3, 4]"];
    let leaves = || [numbers((&DEFINITION, 3), (&REPETITION, 1))];
    for data_type in [
        DataType::List(item(DataType::Int64, true)),
        DataType::LargeList(item(DataType::Int64, true)),
        DataType::ListView(item(DataType::Int64, true)),
        DataType::LargeListView(item(DataType::Int64, true)),
    ] {
        assert_eq!(rows(&root, &data_type, &leaves()), expected, "{data_type}");
    }
    let other = assemble(&root, &DataType::Int64, &leaves()).unwrap_err();
    assert_eq!(other.cause, "is a list and read as Int64");
}

#[test]
fn repeated_fields_are_lists_without_nulls() {
    let root = list(0, 1, leaf(1));
    let data_type = DataType::List(item(DataType::Int64, false));
    let leaves = [numbers((&[1, 1, 0, 1], 1), (&[0, 1, 0, 0], 1))];
    assert_eq!(rows(&root, &data_type, &leaves), ["[0, 1]", "[]", "[3]"]);
    assert_eq!(
        rows(&root, &data_type, &[numbers((&[], 1), (&[], 1))]),
        [""; 0]
    );
}

#[test]
fn lists_of_lists_begin_where_the_repetition_level_says() {
    let data_type = DataType::List(item(DataType::Int64, true));
    let data_type = DataType::List(item(data_type, true));
    let root = list(1, 1, list(3, 2, leaf(5)));
    let definition = [5, 5, 5, 2, 3, 0, 1, 4];
    let repetition = [0, 2, 1, 1, 1, 0, 0, 0];
    let leaves = [numbers((&definition, 5), (&repetition, 2))];
    assert_eq!(
        rows(&root, &data_type, &leaves),
        ["[[0, 1], [2], null, []]", "null", "[]", "[[null]]"]
    );
}

#[test]
fn lists_of_a_fixed_size_have_elements_where_they_are_null() {
    let root = list(1, 1, leaf(3));
    let data_type = DataType::FixedSizeList(item(DataType::Int64, true), 2);
    let leaves = [numbers((&[0, 3, 2, 3, 3], 3), (&[0, 0, 1, 0, 1], 1))];
    let array = assemble(&root, &data_type, &leaves).unwrap();
    assert_eq!(shown(&array), ["null", "[1, null]", "[3, 4]"]);
    assert_eq!(array.as_fixed_size_list().values().len(), 6);
    let leaves = [numbers((&[3, 3, 3], 3), (&[0, 1, 0], 1))];
    let problem = assemble(&root, &data_type, &leaves).unwrap_err();
    assert_eq!(problem.cause, "has a list of 1 elements among lists of 2");
}

#[test]
fn structs_are_null_with_all_that_is_required_in_them() {
    let inner = Fields::from(vec![Field::new("c", DataType::Int64, false)]);
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Struct(inner), false),
        Field::new("d", DataType::List(item(DataType::Int64, false)), false),
    ]);
    let root = structure(
        1,
        vec![leaf(2), structure(1, vec![leaf(1)]), list(1, 1, leaf(2))],
    );
    let leaves = [
        numbers((&[2, 1, 0], 2), (&[0; 3], 0)),
        numbers((&[1, 1, 0], 1), (&[0; 3], 0)),
        numbers((&[2, 2, 1, 0], 2), (&[0, 1, 0, 0], 1)),
    ];
    assert_eq!(
        rows(&root, &DataType::Struct(fields), &leaves),
        [
            "{a: 0, b: {c: 0}, d: [0, 1]}",
            "{a: null, b: {c: 1}, d: []}",
            "null"
        ]
    );
}

fn map_type() -> DataType {
    let fields = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(fields), false);
    DataType::Map(Arc::new(entries), false)
}

#[test]
fn maps_are_lists_of_keys_and_values() {
    let entry = structure(2, vec![leaf(2), leaf(3)]);
    let root = list(1, 1, entry);
    let keys = |keys: [Option<&str>; 5]| Leaf {
        definition: &[2, 2, 0, 1, 2],
        repetition: &[0, 1, 0, 0, 0],
        values: Arc::new(StringArray::from(keys.to_vec())),
        definition_level_max: 2,
        repetition_level_max: 1,
    };
    let good = [Some("k"), Some("l"), None, None, Some("m")];
    let values = || numbers((&[3, 2, 0, 1, 3], 3), (&[0, 1, 0, 0, 0], 1));
    assert_eq!(
        rows(&root, &map_type(), &[keys(good), values()]),
        ["{k: 0, l: null}", "null", "{}", "{m: 4}"]
    );

    // Keys that the file lets be null: none is, then one is.
    let optional = list(1, 1, structure(2, vec![leaf(3), leaf(3)]));
    let with_level = |definition, keys: [Option<&str>; 2]| Leaf {
        definition,
        repetition: &[0, 1],
        values: Arc::new(StringArray::from(keys.to_vec())),
        definition_level_max: 3,
        repetition_level_max: 1,
    };
    let values = || numbers((&[3, 3], 3), (&[0, 1], 1));
    let keys = with_level(&[3, 3], [Some("k"), Some("l")]);
    assert_eq!(
        rows(&optional, &map_type(), &[keys, values()]),
        ["{k: 0, l: 1}"]
    );
    let keys = with_level(&[3, 2], [Some("k"), None]);
    let problem = assemble(&optional, &map_type(), &[keys, values()]).unwrap_err();
    assert!(problem.declined, "{}", problem.cause);
}

#[test]
fn leaves_that_disagree_are_refused() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Int64, true),
    ]);
    let data_type = DataType::List(item(DataType::Struct(fields), false));
    let root = list(0, 1, structure(1, vec![leaf(2), leaf(2)]));
    let two = numbers((&[2, 2], 2), (&[0, 1], 1));
    let three = numbers((&[2, 2, 2], 2), (&[0, 1, 1], 1));
    let problem = assemble(&root, &data_type, &[two, three]).unwrap_err();
    let cause = "has 3 values in a struct of 2".to_string();
    assert_eq!(problem, Problem::corrupt(1, cause));
    let one = [numbers((&[2], 2), (&[0], 1))];
    let problem = assemble(&root, &data_type, &one).unwrap_err();
    assert_eq!(problem.cause, "has fewer leaves than its type");
}

#[test]
fn levels_are_checked_before_they_are_believed() {
    let checked = |definition: &[u8], repetition: &[u8], rows| {
        check(7, &numbers((definition, 3), (repetition, 1)), rows)
    };
    assert_eq!(checked(&DEFINITION, &REPETITION, 4), Ok(()));
    assert_eq!(checked(&[], &[], 0), Ok(()));
    for (outcome, cause) in [
        (
            checked(&[4], &[0], 1),
            "has a definition level of 4 above 3",
        ),
        (
            checked(&[3, 3], &[0, 2], 1),
            "has a repetition level of 2 above 1",
        ),
        (
            checked(&[3, 3], &[1, 0], 1),
            "its first repetition level is 1, not 0",
        ),
        (
            checked(&DEFINITION, &REPETITION, 5),
            "has 4 rows, its footer says 5",
        ),
        (checked(&[], &[], 1), "has 0 rows, its footer says 1"),
    ] {
        assert_eq!(outcome, Err(Problem::corrupt(7, cause.to_string())));
    }
    let one_bit = numbers((&[3, 0], 1), (&[0, 0], 0));
    assert_eq!(check(0, &one_bit, 2), Ok(()));
}
