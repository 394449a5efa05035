//! Functions over strings whose patterns and positions are columns: a row at a time.
//!
//! Where the function with constants exists, it is made of each row's, so that there is one definition.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::Int64Type;
use regex_automata::meta::Regex;

use super::super::arithmetic::Failure;
use super::{Call, refused};
use crate::backend::strings::{Prepared, prepare};
use crate::error::{Error, Result};
use crate::expr::{LikePattern, StringFunction, TextFunction, regex};
use crate::types::DataType;

/// Most bytes of a string that is longer than its operands.
const TEXT_BYTES_MAX: usize = 1 << 30;

pub(super) fn call(function: TextFunction, call: &Call) -> Result<ArrayRef, Failure> {
    let columns = call
        .operands
        .iter()
        .map(|operand| Column::new(&function, operand));
    let columns = columns.collect::<Result<Vec<Column>, Failure>>()?;
    let nulls = call.nulls();
    let rows = call.operands.first().map_or(0, Array::len);
    let mut last = Last::default();
    let mut results = Vec::with_capacity(rows);
    for row in 0..rows {
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if is_null || call.active.is_some_and(|active| !active.value(row)) {
            results.push(None);
            continue;
        }
        let cells: Vec<Cell> = columns.iter().map(|column| column.cell(row)).collect();
        results.push(Some(
            value(function, &cells, &mut last).map_err(Failure::Type)?,
        ));
    }
    let results = results.into_iter();
    Ok(match call.data_type {
        DataType::Boolean => Arc::new(
            results
                .map(|value| value.map(|value| matches!(value, Value::Boolean(true))))
                .collect::<BooleanArray>(),
        ),
        DataType::Int32 => Arc::new(
            results
                .map(|value| match value {
                    Some(Value::Integer(value)) => Some(value),
                    _ => None,
                })
                .collect::<Int32Array>(),
        ),
        _ => Arc::new(
            results
                .map(|value| match value {
                    Some(Value::Text(text)) => Some(text),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
    })
}

/// An operand's values.
enum Column {
    Text(StringViewArray),
    Integers(Int64Array),
}

impl Column {
    fn new(function: &TextFunction, operand: &ArrayRef) -> Result<Column, Failure> {
        if operand.data_type() == &DataType::Int64 {
            return Ok(Column::Integers(
                operand.as_primitive::<Int64Type>().clone(),
            ));
        }
        let text = cast(operand, &DataType::Utf8View);
        let text = text.map_err(|_| refused(function, operand.data_type()))?;
        Ok(Column::Text(text.as_string_view().clone()))
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Column::Text(text) => Cell::Text(text.value(row)),
            Column::Integers(integers) => Cell::Integer(integers.value(row)),
        }
    }
}

/// An operand's value in a row.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Text(&'a str),
    Integer(i64),
}

/// A result.
enum Value {
    Boolean(bool),
    Integer(i32),
    Text(String),
}

/// What was compiled for a row, for the rows behind it that need the same.
#[derive(Default)]
struct Last {
    function: Option<(StringFunction, Prepared)>,
    regex: Option<(String, Regex)>,
}

impl Last {
    fn function(&mut self, function: StringFunction) -> Result<&Prepared> {
        if !matches!(&self.function, Some((last, _)) if *last == function) {
            let prepared = prepare(&function)?;
            self.function = Some((function, prepared));
        }
        let prepared = self.function.as_ref().map(|(_, prepared)| prepared);
        prepared.ok_or_else(|| unfit("of strings"))
    }

    fn regex(&mut self, pattern: &str) -> Result<&Regex> {
        if !matches!(&self.regex, Some((last, _)) if *last == pattern) {
            self.regex = Some((pattern.to_string(), regex(pattern)?));
        }
        let regex = self.regex.as_ref().map(|(_, regex)| regex);
        regex.ok_or_else(|| unfit("of expressions"))
    }
}

fn value(function: TextFunction, cells: &[Cell], last: &mut Last) -> Result<Value> {
    use Cell::{Integer, Text};
    Ok(match (function, cells) {
        (TextFunction::Character, [Integer(code)]) => {
            let character = u32::try_from(*code).ok().and_then(char::from_u32);
            let cause = || failed(function, format!("{code} is no code point"));
            Value::Text(character.ok_or_else(cause)?.to_string())
        }
        (TextFunction::CodePoint, [Text(text)]) => {
            Value::Integer(text.chars().next().map_or(0, |first| first as i32))
        }
        (TextFunction::Hamming, [Text(one), Text(other)]) => {
            if one.chars().count() != other.chars().count() {
                let cause = "strings of different lengths".to_string();
                return Err(failed(function, cause));
            }
            let pairs = one.chars().zip(other.chars());
            Value::Integer(pairs.filter(|(a, b)| a != b).count() as i32)
        }
        (TextFunction::Levenshtein, [Text(one), Text(other)]) => {
            Value::Integer(levenshtein(one, other) as i32)
        }
        (TextFunction::PadLeft, [Text(text), Integer(count), Text(fill)]) => {
            let (kept, padding) = padded(function, text, *count, fill)?;
            Value::Text(padding + kept)
        }
        (TextFunction::PadRight, [Text(text), Integer(count), Text(fill)]) => {
            let (kept, padding) = padded(function, text, *count, fill)?;
            Value::Text(kept.to_string() + &padding)
        }
        (TextFunction::RegexExtract, [Text(text), Text(pattern), Integer(group)]) => {
            Value::Text(extracted(last.regex(pattern)?, text, *group))
        }
        (
            TextFunction::RegexReplace { every, ignore_case },
            [Text(text), Text(pattern), Text(replacement)],
        ) => {
            let flags = if ignore_case { "(?i)" } else { "" };
            let regex = last.regex(&format!("{flags}{pattern}"))?;
            Value::Text(replaced(regex, text, replacement, every))
        }
        (TextFunction::Repeat, [Text(text), Integer(count)]) => {
            let count = usize::try_from(*count).unwrap_or(0);
            check_bytes(function, text.len().saturating_mul(count))?;
            Value::Text(text.repeat(count))
        }
        (TextFunction::Translate, [Text(text), Text(from), Text(to)]) => {
            Value::Text(translated(text, from, to))
        }
        (_, [Text(text), constants @ ..]) => match last.function(bound(function, constants)?)? {
            Prepared::Boolean(of) => Value::Boolean(of(text)),
            Prepared::Integer(of) => Value::Integer(of(text)),
            Prepared::Text(of) => Value::Text(of(text).into_owned()),
        },
        _ => return Err(unfit(function)),
    })
}

/// The function with these constants.
fn bound(function: TextFunction, constants: &[Cell]) -> Result<StringFunction> {
    use Cell::{Integer, Text};
    let text = |text: &str| text.to_string();
    Ok(match (function, constants) {
        (TextFunction::Contains, [Text(part)]) => StringFunction::Contains(text(part)),
        (TextFunction::EndsWith, [Text(end)]) => StringFunction::EndsWith(text(end)),
        (TextFunction::Find, [Text(part)]) => StringFunction::Find(text(part)),
        (TextFunction::Left, [Integer(count)]) => StringFunction::Left(*count),
        (
            TextFunction::Like {
                escape,
                ignore_case,
            },
            [Text(pattern)],
        ) => StringFunction::Like(LikePattern {
            pattern: text(pattern),
            escape,
            ignore_case,
        }),
        (TextFunction::Matches, [Text(pattern)]) => StringFunction::Matches(text(pattern)),
        (TextFunction::Replace, [Text(from), Text(to)]) => StringFunction::Replace {
            from: text(from),
            to: text(to),
        },
        (TextFunction::Right, [Integer(count)]) => StringFunction::Right(*count),
        (TextFunction::SplitPart, [Text(_), Integer(0)]) => {
            return Err(failed(function, "parts are counted from 1".to_string()));
        }
        (TextFunction::SplitPart, [Text(delimiter), Integer(index)]) => StringFunction::SplitPart {
            delimiter: text(delimiter),
            index: *index,
        },
        (TextFunction::StartsWith, [Text(start)]) => StringFunction::StartsWith(text(start)),
        (TextFunction::Substring, [Integer(start)]) => StringFunction::Substring {
            start: *start,
            length: None,
        },
        (TextFunction::Substring, [Integer(_), Integer(..0)]) => {
            return Err(failed(function, "the length is negative".to_string()));
        }
        (TextFunction::Substring, [Integer(start), Integer(length)]) => StringFunction::Substring {
            start: *start,
            length: Some(*length),
        },
        (TextFunction::Trim(side), [Text(characters)]) => StringFunction::Trim {
            side,
            characters: text(characters),
        },
        _ => return Err(unfit(function)),
    })
}

fn failed(function: TextFunction, cause: String) -> Error {
    Error::arithmetic(function.to_string(), cause)
}

/// The error for operands that resolving does not let through.
fn unfit(function: impl fmt::Display) -> Error {
    let cause = "has operands of other types";
    Error::invalid(format!("function {function}"), cause, "")
}

fn check_bytes(function: TextFunction, bytes: usize) -> Result<()> {
    match bytes <= TEXT_BYTES_MAX {
        true => Ok(()),
        false => {
            let cause = format!("a string of more than {TEXT_BYTES_MAX} bytes");
            Err(failed(function, cause))
        }
    }
}

/// What is kept of a string, and what it is padded with.
fn padded<'a>(
    function: TextFunction,
    text: &'a str,
    count: i64,
    fill: &str,
) -> Result<(&'a str, String)> {
    let count = usize::try_from(count).unwrap_or(0);
    let end = text.char_indices().nth(count).map(|(at, _)| at);
    let kept = end.map_or(text, |end| &text[..end]);
    let missing = count - kept.chars().count();
    check_bytes(function, missing)?;
    Ok((kept, fill.chars().cycle().take(missing).collect()))
}

/// By Wagner and Fischer's table of distances between beginnings, of which a row is kept.
fn levenshtein(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut distances: Vec<usize> = (0..=other.len()).collect();
    for (row, character) in one.chars().enumerate() {
        let mut diagonal = distances[0];
        distances[0] = row + 1;
        for (column, &candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(character != candidate);
            diagonal = distances[column + 1];
            distances[column + 1] = replaced.min(diagonal + 1).min(distances[column] + 1);
        }
    }
    distances[other.len()]
}

fn extracted(regex: &Regex, text: &str, group: i64) -> String {
    let mut captures = regex.create_captures();
    regex.captures(text, &mut captures);
    let group = usize::try_from(group).ok();
    let span = group.and_then(|group| captures.get_group(group));
    span.map_or_else(String::new, |span| text[span.range()].to_string())
}

fn replaced(regex: &Regex, text: &str, replacement: &str, every: bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut copied = 0;
    let most = if every { usize::MAX } else { 1 };
    for captures in regex.captures_iter(text).take(most) {
        let Some(whole) = captures.get_match() else {
            continue;
        };
        result.push_str(&text[copied..whole.start()]);
        copied = whole.end();
        let mut letters = replacement.chars();
        while let Some(letter) = letters.next() {
            if letter != '\\' {
                result.push(letter);
                continue;
            }
            match letters.next() {
                Some(digit @ '0'..='9') => {
                    let group = captures.get_group(digit as usize - '0' as usize);
                    result.push_str(group.map_or("", |span| &text[span.range()]));
                }
                Some(other) => result.push(other),
                None => result.push('\\'),
            }
        }
    }
    result.push_str(&text[copied..]);
    result
}

fn translated(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    let translated = text.chars().filter_map(|character| {
        match from.chars().position(|other| other == character) {
            Some(place) => to.get(place).copied(),
            None => Some(character),
        }
    });
    translated.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};

    use super::super::super::evaluate::evaluate;
    use crate::error::Result;
    use crate::expr::{Expr, Function, TextFunction, col, lit, resolve};
    use crate::types::Semantics;

    /// The texts that a function gives over columns of a text, a number and a second text.
    fn texts(function: TextFunction, operands: &[Expr]) -> Result<Vec<Option<String>>> {
        let texts = StringArray::from(vec![Some("häuser"), Some(""), None, Some("aaa")]);
        let numbers = Int64Array::from(vec![2, 3, 1, -1]);
        let others = StringArray::from(vec!["ä", "x", "x", "a"]);
        let columns: [(_, ArrayRef); 3] = [
            ("text", Arc::new(texts)),
            ("number", Arc::new(numbers)),
            ("other", Arc::new(others)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let call = Expr::Function {
            function: Function::Text(function),
            operands: operands.to_vec(),
        };
        let call = resolve(&call, &batch.schema())?;
        let column = evaluate(&call, &batch, Semantics::default())?;
        let rows = column.as_string::<i32>().iter();
        Ok(rows.map(|row| row.map(str::to_string)).collect())
    }

    fn check(function: TextFunction, operands: &[Expr], expected: [Option<&str>; 4]) {
        let expected = expected.map(|row| row.map(str::to_string));
        assert_eq!(texts(function, operands).unwrap(), expected, "{function}");
    }

    #[test]
    fn positions_and_parts_may_be_columns() {
        let (text, number, other) = (col("text"), col("number"), col("other"));
        let by_number = [text.clone(), number.clone()];
        check(
            TextFunction::Left,
            &by_number,
            [Some("hä"), Some(""), None, Some("aa")],
        );
        check(
            TextFunction::Repeat,
            &by_number,
            [Some("häuserhäuser"), Some(""), None, Some("")],
        );
        check(
            TextFunction::Substring,
            &by_number,
            [Some("äuser"), Some(""), None, Some("aaa")],
        );
        let padded = [text.clone(), number, other.clone()];
        check(
            TextFunction::PadLeft,
            &padded,
            [Some("hä"), Some("xxx"), None, Some("")],
        );
        let replaced = [text, other, lit("_")];
        check(
            TextFunction::Replace,
            &replaced,
            [Some("h_user"), Some(""), None, Some("___")],
        );
    }

    #[test]
    fn groups_of_a_regular_expression_go_where_they_are_named() {
        let every = TextFunction::RegexReplace {
            every: true,
            ignore_case: false,
        };
        let operands = [col("text"), lit("(.)(.)"), lit("\\2\\1\\\\")];
        let expected = [Some("äh\\su\\re\\"), Some(""), None, Some("aa\\a")];
        check(every, &operands, expected);
        let operands = [col("text"), lit("(a)(b)?"), lit(2)];
        let expected = [Some(""), Some(""), None, Some("")];
        check(TextFunction::RegexExtract, &operands, expected);
        assert!(texts(TextFunction::RegexExtract, &[col("text"), lit("("), lit(0)]).is_err());
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let too_long = [col("text"), lit(i64::MAX)];
        assert!(texts(TextFunction::Repeat, &too_long).is_err());
        assert!(texts(TextFunction::Left, &[col("text"), col("other")]).is_err());
        assert!(texts(TextFunction::Left, &[col("text")]).is_err());
    }
}
