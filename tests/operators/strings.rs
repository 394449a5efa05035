//! Functions over strings, and comparisons of them, through `project` and `filter`: whether strings
//! are codes or views on the device, nothing is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, LargeStringArray, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use pelton::backend::Backend;
use pelton::backend::cpu::CpuBackend;
use pelton::expr::{Expr, LikePattern, coalesce, col, concat, concat_with, lit, resolve, when};
use pelton::operators::{FilterSpec, OperatorSpec, ProjectSpec};
use pelton::types::{DataType, Field, Literal, Schema, SchemaRef};

use crate::support::backends::{Outcome, run_transforms, same_outcome, string_backends};
use crate::support::equality::ordered;
use crate::support::oracle;
use crate::support::random::{Note, Random, for_each_case};
use crate::support::tables::Table;
use crate::support::values::{Rows, Value};
use crate::{LENIENT, ORACLE_ROWS_MAX, batch_of, rows_of};

pub fn projection(input: &SchemaRef, exprs: &[Expr]) -> ProjectSpec {
    let typed = exprs.iter().map(|expr| resolve(expr, input));
    let exprs: Vec<_> = typed.map(|expr| expr.expect("a type")).collect();
    let fields = exprs
        .iter()
        .enumerate()
        .map(|(index, expr)| Field::new(format!("out{index}"), expr.data_type.clone(), true));
    ProjectSpec {
        input: Arc::clone(input),
        output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        exprs,
        semantics: LENIENT,
    }
}

/// Runs the operators on every backend and compares with the CPU's.
pub fn check(specs: &[OperatorSpec], table: &Table) -> Outcome {
    let last = specs.last().expect("an operator");
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    let run = |backend: &dyn Backend, batches: &[RecordBatch]| {
        Outcome::of(
            backend.name(),
            last,
            run_transforms(backend, specs, batches),
        )
    };
    let expected = run(&CpuBackend::new(), std::slice::from_ref(&table.whole));
    for (backend, strings) in string_backends()
        .iter()
        .zip(["codes", "views"].iter().cycle())
    {
        let got = run(&**backend, &table.batches);
        if let Err(difference) = same_outcome(&expected, &got, equal) {
            panic!(
                "{} of {strings} differs from cpu: {difference}",
                backend.name()
            );
        }
    }
    expected
}

/// Projects expressions; the CPU's rows must be the oracle's, and all backends' the CPU's.
fn check_projection(exprs: &[Expr], table: &Table) -> Outcome {
    let spec = projection(&table.schema(), exprs);
    let expected = check(&[OperatorSpec::Project(spec.clone())], table);
    if table.whole.num_rows() <= ORACLE_ROWS_MAX
        && let Ok(rows) = oracle::project(&spec, &table.whole)
    {
        let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
        if let Err(difference) = same_outcome(&Outcome::Rows(rows), &expected, equal) {
            panic!("cpu differs from the oracle: {difference}");
        }
    }
    expected
}

fn gives(expr: &Expr, strings: &[Option<&str>], expected: &[Value]) {
    let batch = batch_of(vec![(
        "a",
        Arc::new(StringArray::from(strings.to_vec())) as ArrayRef,
    )]);
    let got = check_projection(std::slice::from_ref(expr), &Table::single(batch));
    let expected = Outcome::Rows(rows_of(&[expected.to_vec()]));
    let equal = |expected: &Rows, got: &Rows| ordered(expected, got, &[]);
    if let Err(difference) = same_outcome(&expected, &got, equal) {
        panic!("`{expr}`: {difference}");
    }
}

fn texts(values: &[&str]) -> Vec<Value> {
    values
        .iter()
        .map(|value| Value::Text(value.to_string()))
        .collect()
}

fn truths(values: &[bool]) -> Vec<Value> {
    values.iter().map(|value| Value::Boolean(*value)).collect()
}

fn numbers(values: &[i128]) -> Vec<Value> {
    values.iter().map(|value| Value::Integer(*value)).collect()
}

#[test]
fn positions_count_characters_from_one() {
    let a = || col("a");
    let strings = [Some("naïve"), Some(""), Some("日本語"), Some("a😀b")];
    gives(&a().length(), &strings, &numbers(&[5, 0, 3, 3]));
    gives(&a().byte_length(), &strings, &numbers(&[6, 0, 9, 6]));
    gives(&a().find("ï"), &strings, &numbers(&[3, 0, 0, 0]));
    gives(&a().find(""), &strings, &numbers(&[1, 1, 1, 1]));
    gives(&a().find("b"), &strings, &numbers(&[0, 0, 0, 3]));
    let part = |start, length| a().substring(start, length);
    gives(
        &part(2, Some(2)),
        &strings,
        &texts(&["aï", "", "本語", "😀b"]),
    );
    gives(&part(0, Some(2)), &strings, &texts(&["n", "", "日", "a"]));
    gives(
        &part(-3, None),
        &strings,
        &texts(&["naïve", "", "日本語", "a😀b"]),
    );
    gives(
        &part(i64::MIN, Some(i64::MAX)),
        &strings,
        &texts(&["", "", "", ""]),
    );
    gives(
        &part(3, Some(i64::MAX)),
        &strings,
        &texts(&["ïve", "", "語", "b"]),
    );
    gives(&a().left(-2), &strings, &texts(&["naï", "", "日", "a"]));
    gives(&a().right(2), &strings, &texts(&["ve", "", "本語", "😀b"]));
    gives(
        &a().right(-1),
        &strings,
        &texts(&["aïve", "", "本語", "😀b"]),
    );
    gives(&a().left(i64::MIN), &strings, &texts(&["", "", "", ""]));
}

#[test]
fn patterns_match_whole_strings() {
    let strings = [
        Some("special requests"),
        Some("specialrequest"),
        Some("a%b"),
        Some("é_"),
    ];
    let like = |pattern: &str| col("a").like(pattern);
    gives(
        &like("%special%requests%"),
        &strings,
        &truths(&[true, false, false, false]),
    );
    gives(
        &like("special%"),
        &strings,
        &truths(&[true, true, false, false]),
    );
    gives(
        &like("%t_"),
        &strings,
        &truths(&[true, false, false, false]),
    );
    gives(
        &like("a%b"),
        &strings,
        &truths(&[false, false, true, false]),
    );
    gives(&like("__"), &strings, &truths(&[false, false, false, true]));
    gives(&like("%"), &strings, &truths(&[true; 4]));
    gives(&like(""), &strings, &truths(&[false; 4]));
    let escaped = LikePattern {
        pattern: "%\\%_".to_string(),
        escape: Some('\\'),
        ignore_case: false,
    };
    gives(
        &col("a").like_pattern(escaped),
        &strings,
        &truths(&[false, false, true, false]),
    );
    gives(
        &col("a").ilike("%SPECIAL_R%"),
        &strings,
        &truths(&[true, false, false, false]),
    );
    gives(
        &col("a").ilike("É\u{5f}"),
        &strings,
        &truths(&[false, false, false, true]),
    );
    let kelvin = [Some("\u{212a}elvin"), Some("kelvin"), Some("elvin")];
    gives(
        &col("a").ilike("K%"),
        &kelvin,
        &truths(&[true, true, false]),
    );
}

#[test]
fn regular_expressions_find_a_part() {
    let strings = [
        Some("order 12"),
        Some("Order"),
        Some("naïve 7"),
        Some(""),
        None,
    ];
    let found = |pattern: &str, expected: [bool; 4]| {
        let mut values = truths(&expected);
        values.push(Value::Null);
        gives(&col("a").matches(pattern), &strings, &values);
    };
    found(r"^\w+ \d+$", [true, false, true, false]);
    found("(?i)ORDER", [true, true, false, false]);
    found("a.v", [false, false, true, false]);
    found("", [true, true, true, true]);
    found("^$", [false, false, false, true]);
    found("[^a-z]$", [true, false, true, false]);
    found(r"\bnaïve\b", [false, false, true, false]); // no DFA: on the host
    found("o.{0,400}r.{0,400}1", [true, false, false, false]); // too large a one
    found("r(?m:$)", [false, true, false, false]);
}

#[test]
fn case_is_unicodes() {
    let strings = [
        Some("abc XYZ@[`{"),
        Some("straße"),
        Some("ΟΔΟΣ"),
        Some("ﬁ İ"),
    ];
    let (upper, lower) = (col("a").upper(), col("a").lower());
    gives(
        &upper,
        &strings,
        &texts(&["ABC XYZ@[`{", "STRASSE", "ΟΔΟΣ", "FI İ"]),
    );
    gives(
        &lower,
        &strings,
        &texts(&["abc xyz@[`{", "straße", "οδος", "ﬁ i\u{307}"]),
    );
    gives(&upper, &strings[..1], &texts(&["ABC XYZ@[`{"]));
    gives(&lower, &strings[..1], &texts(&["abc xyz@[`{"]));
}

#[test]
fn parts_are_trimmed_replaced_and_split() {
    let strings = [Some("  a b  "), Some("xxx"), Some("xaxbx"), None];
    let a = || col("a");
    let nothing_behind = |values: [&str; 3]| {
        let mut values = texts(&values);
        values.push(Value::Null);
        values
    };
    gives(
        &a().trim(" "),
        &strings,
        &nothing_behind(["a b", "xxx", "xaxbx"]),
    );
    gives(
        &a().ltrim(" x"),
        &strings,
        &nothing_behind(["a b  ", "", "axbx"]),
    );
    gives(
        &a().rtrim("xé"),
        &strings,
        &nothing_behind(["  a b  ", "", "xaxb"]),
    );
    gives(
        &a().replace("xx", "é"),
        &strings,
        &nothing_behind(["  a b  ", "éx", "xaxbx"]),
    );
    gives(
        &a().replace("x", ""),
        &strings,
        &nothing_behind(["  a b  ", "", "ab"]),
    );
    gives(
        &a().replace("", "z"),
        &strings,
        &nothing_behind(["  a b  ", "xxx", "xaxbx"]),
    );
    gives(
        &a().split_part("x", 2),
        &strings,
        &nothing_behind(["", "", "a"]),
    );
    gives(
        &a().split_part("x", -2),
        &strings,
        &nothing_behind(["", "", "b"]),
    );
    gives(
        &a().split_part("", -1),
        &strings,
        &nothing_behind(["  a b  ", "xxx", "xaxbx"]),
    );
    gives(
        &a().reverse(),
        &strings,
        &nothing_behind(["  b a  ", "xxx", "xbxax"]),
    );
}

#[test]
fn nulls_make_a_concatenation_null_or_are_left_out() {
    let strings = [Some("é"), None, Some("")];
    let a = || col("a");
    let joined = concat([a(), lit("-"), a().upper()]);
    gives(
        &joined,
        &strings,
        &[texts(&["é-É"]), vec![Value::Null], texts(&["-"])].concat(),
    );
    let around = concat([lit("<"), a(), lit(">")]);
    gives(
        &around,
        &strings,
        &[texts(&["<é>"]), vec![Value::Null], texts(&["<>"])].concat(),
    );
    let with = concat_with(", ", [a(), lit("b"), lit(Literal::Null), a()]);
    gives(&with, &strings, &texts(&["é, b, é", "b", ", b, "]));
    let none = concat([a(), lit(Literal::Null)]);
    gives(&none, &strings, &[Value::Null, Value::Null, Value::Null]);
    gives(
        &lit(Literal::Null).upper(),
        &strings,
        &[Value::Null, Value::Null, Value::Null],
    );
    gives(&lit("b").upper(), &strings, &texts(&["B", "B", "B"]));
}

#[test]
fn constants_that_make_no_sense_are_refused() {
    let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
    let escaped = LikePattern {
        pattern: "a!".to_string(),
        escape: Some('!'),
        ignore_case: false,
    };
    for (expr, cause) in [
        (
            col("a").like_pattern(escaped),
            "ends with its escape character",
        ),
        (col("a").matches("(a"), "unclosed group"),
        (col("a").matches("(?=a)"), "look-around"),
        (
            col("a").matches(r"(\w{100}){100}"),
            "takes more than 10485760 bytes",
        ),
        (col("a").substring(1, Some(-1)), "the length is negative"),
        (col("a").split_part("x", 0), "parts are counted from 1"),
        (lit(1).upper(), "undefined for Int64"),
        (concat([]), "has 0 operands"),
    ] {
        let error = resolve(&expr, &schema).expect_err("no such function");
        assert!(error.to_string().contains(cause), "{error}");
    }
}

const CHARACTERS: [&str; 24] = [
    "a",
    "a",
    "b",
    "b",
    "A",
    "k",
    "K",
    " ",
    "%",
    "_",
    "\\",
    "\0",
    "é",
    "É",
    "ß",
    "σ",
    "ς",
    "Σ",
    "\u{212a}",
    "日",
    "😀",
    "\u{7f}",
    "\u{10ffff}",
    "x",
];

fn word(random: &mut Random, most: usize, ascii: bool) -> String {
    let count = random.below(most + 1);
    let mut draw = || loop {
        let character = *random.pick(&CHARACTERS);
        if !ascii || character.is_ascii() {
            return character;
        }
    };
    (0..count).map(|_| draw()).collect()
}

/// Strings of one column: short ones, ones around a word's 8 bytes, ones that begin alike, rarely one
/// of more than 64 KiB.
fn column(random: &mut Random, rows: usize) -> ArrayRef {
    let ascii = random.once_in(3);
    let prefix = word(random, 20, ascii);
    let long = random.once_in(25).then(|| random.below(rows.max(1)));
    let nulls_once_in = *random.pick(&[1, 2, 5, usize::MAX, usize::MAX]);
    let offset = *random.pick(&[0, 1, 3, 8, 13]);
    let string = |row: usize| {
        if random.once_in(nulls_once_in) {
            return None;
        }
        if long == Some(row) {
            return Some(word(random, 40, ascii).repeat(2500) + &prefix);
        }
        Some(match random.below(4) {
            0 => word(random, 3, ascii),
            1 => prefix.clone() + &word(random, 2, ascii),
            2 => word(random, 12, ascii),
            _ => word(random, 40, ascii) + &prefix,
        })
    };
    let strings: Vec<Option<String>> = (0..offset + rows).map(string).collect();
    let array: ArrayRef = match random.below(3) {
        0 => Arc::new(LargeStringArray::from(strings)),
        1 => {
            let coded = strings.iter().map(Option::as_deref);
            Arc::new(coded.collect::<DictionaryArray<Int32Type>>())
        }
        _ => Arc::new(StringArray::from(strings)),
    };
    array.slice(offset, rows)
}

fn string(random: &mut Random, depth: usize) -> Expr {
    if depth == 0 {
        return col(*random.pick(&["a", "b"]));
    }
    let ascii = random.once_in(3);
    let mut short = |most| word(random, most, ascii);
    let (one, other) = (short(2), short(3));
    let number = *random.pick(&[0, 1, 2, 3, 7, 9, 30, -1, -2, -9, i64::MAX, i64::MIN]);
    let inner = string(random, depth - 1);
    match random.below(16) {
        0 => inner.upper(),
        1 => inner.lower(),
        2 => inner.left(number),
        3 => inner.right(number),
        4 => inner.substring(number, None),
        5 => inner.substring(number, Some(random.between(0..=12))),
        6 => inner.trim(one),
        7 => inner.ltrim(one + "a"),
        8 => inner.rtrim(other + " b"),
        9 => inner.replace(one, other),
        10 => inner.reverse(),
        11 => inner.split_part(one, number.clamp(-3, 2) * 2 - 1),
        12 => concat([inner, string(random, depth - 1)]),
        13 => concat([lit(one), inner, lit(other)]),
        14 => concat_with(one, [inner, string(random, 0), lit(other)]),
        _ => match random.below(3) {
            0 => coalesce([inner, lit(one)]),
            1 => when(predicate(random, 1))
                .then(inner)
                .otherwise(string(random, 0)),
            _ => inner.cast(DataType::LargeUtf8),
        },
    }
}

fn predicate(random: &mut Random, depth: usize) -> Expr {
    let inner = string(random, depth - 1);
    let ascii = random.once_in(3);
    let part = word(random, 3, ascii);
    match random.below(12) {
        0 => inner.contains(part),
        1 => inner.starts_with(part),
        2 => inner.ends_with(part),
        3..6 => {
            let pieces = (0..random.below(4)).map(|_| {
                let wild = *random.pick(&["", "", "%", "_", "%_", "_%"]);
                wild.to_string() + &word(random, 3, ascii)
            });
            let pattern: String = pieces.collect();
            let tail = *random.pick(&["", "%", "_"]);
            let mut pattern = LikePattern {
                pattern: pattern + tail,
                escape: None,
                ignore_case: random.once_in(3),
            };
            if random.once_in(3) && !pattern.pattern.ends_with('\\') {
                pattern.escape = Some('\\');
                // Ends with its escape character only if that is itself escaped.
                pattern.pattern.push('%');
            }
            inner.like_pattern(pattern)
        }
        6 => inner.is_null(),
        7 => inner.length().gt(lit(random.between(0..=9))),
        8 => inner.find(part).gt_eq(lit(random.between(0..=3))),
        9 => compare(random, inner, lit(part)),
        10 => compare(random, lit(part), inner),
        _ => {
            let other = string(random, depth - 1);
            compare(random, inner, other)
        }
    }
}

fn compare(random: &mut Random, left: Expr, right: Expr) -> Expr {
    match random.below(6) {
        0 => left.eq(right),
        1 => left.not_eq(right),
        2 => left.lt(right),
        3 => left.lt_eq(right),
        4 => left.gt(right),
        _ => left.gt_eq(right),
    }
}

fn table(random: &mut Random) -> Table {
    let rows = *random.pick(&[0, 1, 7, 31, 32, 33, 100, 256, 257, 300]);
    let rows = if random.once_in(30) { 1025 } else { rows };
    let columns = vec![("a", column(random, rows)), ("b", column(random, rows))];
    Table::split(random, batch_of(columns))
}

#[test]
fn random_functions_over_random_strings() {
    for_each_case("strings", |random| {
        let table = table(random);
        let mut exprs: Vec<Expr> = (0..1 + random.below(3))
            .map(|_| string(random, 2))
            .collect();
        exprs.push(predicate(random, 2));
        exprs.push(string(random, 1).length());
        exprs.push(string(random, 1).byte_length());
        let shown: Vec<String> = exprs.iter().map(ToString::to_string).collect();
        let _note = Note::new(&table.schema(), shown.join(";  "));
        check_projection(&exprs, &table);
    });
}

#[test]
fn random_functions_where_kernels_know_the_rows() {
    for_each_case("strings of filtered rows", |random| {
        let table = table(random);
        let schema = table.schema();
        let (wanted, exprs) = (predicate(random, 2), [string(random, 2), string(random, 1)]);
        let _note = Note::new(&schema, format!("{wanted}: {}; {}", exprs[0], exprs[1]));
        let filter = FilterSpec {
            input: Arc::clone(&schema),
            predicate: resolve(&wanted, &schema).expect("a type"),
            projection: vec![0, 1],
            semantics: LENIENT,
        };
        let project = projection(&schema, &exprs);
        check(
            &[OperatorSpec::Filter(filter), OperatorSpec::Project(project)],
            &table,
        );
    });
}

#[test]
fn strings_of_a_filter_that_leaves_no_row_are_as_long_as_its_columns() {
    for_each_case("strings of no row", |random| {
        let table = table(random);
        let schema = table.schema();
        let filter = FilterSpec {
            input: Arc::clone(&schema),
            predicate: resolve(&col("a").eq(lit("there is none")), &schema).expect("a type"),
            projection: vec![0, 1],
            semantics: LENIENT,
        };
        let twice = || concat([col("a"), col("a")]);
        let chosen = when(col("b").length().gt(lit(2)))
            .then(twice())
            .otherwise(col("b"));
        let exprs = [chosen, twice().upper(), twice().replace("a", "b")];
        let project = projection(&schema, &exprs);
        check(
            &[OperatorSpec::Filter(filter), OperatorSpec::Project(project)],
            &table,
        );
    });
}

/// A regular expression, and where its matches that begin at a place end: by trying all ways.
enum Regex {
    One(char),
    Any,
    Other(char),
    Start,
    End,
    Behind(Vec<Regex>),
    Either(Vec<Regex>),
    Many(Box<Regex>),
}

impl Regex {
    fn random(random: &mut Random, depth: usize) -> Regex {
        const LETTERS: [char; 6] = ['a', 'b', 'k', 'é', '日', '😀'];
        match random.below(if depth == 0 { 7 } else { 12 }) {
            0..4 => Regex::One(*random.pick(&LETTERS)),
            4 => Regex::Any,
            5 => Regex::Other(*random.pick(&LETTERS)),
            6 => match random.below(3) {
                0 => Regex::Start,
                1 => Regex::End,
                _ => Regex::Any,
            },
            7..10 => {
                let parts = (0..random.below(4)).map(|_| Regex::random(random, depth - 1));
                Regex::Behind(parts.collect())
            }
            10 => {
                let parts = (0..1 + random.below(3)).map(|_| Regex::random(random, depth - 1));
                Regex::Either(parts.collect())
            }
            _ => Regex::Many(Box::new(Regex::random(random, depth - 1))),
        }
    }

    fn pattern(&self) -> String {
        let all = |parts: &[Regex]| parts.iter().map(Regex::pattern).collect::<Vec<_>>();
        match self {
            Regex::One(own) => own.to_string(),
            Regex::Any => "(?s:.)".to_string(),
            Regex::Other(own) => format!("[^{own}]"),
            Regex::Start => "^".to_string(),
            Regex::End => "$".to_string(),
            Regex::Behind(parts) => format!("(?:{})", all(parts).concat()),
            Regex::Either(parts) => format!("(?:{})", all(parts).join("|")),
            Regex::Many(part) => format!("(?:{})*", part.pattern()),
        }
    }

    fn ends(&self, text: &[char], at: usize) -> Vec<usize> {
        let here = |fits: bool, next: usize| if fits { vec![next] } else { Vec::new() };
        let mut ends = match self {
            Regex::One(own) => here(text.get(at) == Some(own), at + 1),
            Regex::Any => here(at < text.len(), at + 1),
            Regex::Other(own) => here(text.get(at).is_some_and(|c| c != own), at + 1),
            Regex::Start => here(at == 0, at),
            Regex::End => here(at == text.len(), at),
            Regex::Behind(parts) => parts.iter().fold(vec![at], |ends, part| {
                let mut ends: Vec<usize> = ends
                    .into_iter()
                    .flat_map(|end| part.ends(text, end))
                    .collect();
                ends.sort_unstable();
                ends.dedup();
                ends
            }),
            Regex::Either(parts) => parts.iter().flat_map(|part| part.ends(text, at)).collect(),
            Regex::Many(part) => {
                let mut ends = vec![at];
                let mut next = 0;
                while let Some(end) = ends.get(next).copied() {
                    let more = part.ends(text, end);
                    ends.extend(
                        more.into_iter()
                            .filter(|end| !ends.contains(end))
                            .collect::<Vec<_>>(),
                    );
                    next += 1;
                }
                ends
            }
        };
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

#[test]
fn random_regular_expressions_over_random_strings() {
    const LETTERS: [&str; 6] = ["a", "b", "k", "é", "日", "😀"];
    for_each_case("regular expressions", |random| {
        let regex = Regex::random(random, 3);
        let string = |random: &mut Random| -> String {
            (0..random.below(8))
                .map(|_| *random.pick(&LETTERS))
                .collect()
        };
        let strings: Vec<String> = (0..random.below(40)).map(|_| string(random)).collect();
        let expected = strings.iter().map(|string| {
            let text: Vec<char> = string.chars().collect();
            (0..=text.len()).any(|at| !regex.ends(&text, at).is_empty())
        });
        let expected: Vec<bool> = expected.collect();
        let strings: Vec<Option<&str>> =
            strings.iter().map(|string| Some(string.as_str())).collect();
        let _note = Note(regex.pattern());
        gives(
            &col("a").matches(regex.pattern()),
            &strings,
            &truths(&expected),
        );
    });
}
