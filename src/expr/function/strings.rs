//! Functions over strings.
//!
//! Characters are Unicode scalar values, positions are counted from 1, and a function of a null is
//! null. Patterns, positions and the like are constants, hence part of the function.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::typed::{TypedExpr, TypedKind};
use super::undefined;
use crate::error::{Error, Result};
use crate::types::{DataType, is_string};

/// Most bytes that a compiled regular expression takes.
const REGEX_BYTES_MAX: usize = 10 << 20;

/// A function over strings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StringFunction {
    /// Number of bytes of the UTF-8, as `Int32`.
    ByteLength,
    /// The operands behind one another; null if one of them is.
    Concat,
    /// The operands that are not null behind one another, with this between each two. Never null.
    ConcatWith(String),
    /// True where this occurs.
    Contains(String),
    /// True where the string ends with this.
    EndsWith(String),
    /// Position of the first character of the first occurrence, as `Int32`; 0 where there is none.
    Find(String),
    /// The first characters; all but the last −n for a negative n.
    Left(i64),
    /// Number of characters (Unicode scalar values), as `Int32`.
    Length,
    /// SQL's LIKE.
    Like(LikePattern),
    /// Lower case by Unicode's full mapping, the final sigma included.
    Lower,
    /// True where a regular expression matches a part of the string. Syntax is that of the crate
    /// `regex`: no look-around, no back-references.
    Matches(String),
    /// Every occurrence of `from`, left to right, replaced by `to`; as it is if `from` is empty.
    Replace {
        /// What is replaced.
        from: String,
        /// By what.
        to: String,
    },
    /// The characters in reverse order.
    Reverse,
    /// The last characters; all but the first −n for a negative n.
    Right(i64),
    /// The part with this number, counted from 1 or, if negative, from the end, of what a delimiter
    /// separates; empty where there are not so many. An empty delimiter separates nothing.
    SplitPart {
        /// What separates.
        delimiter: String,
        /// Which part; not 0.
        index: i64,
    },
    /// True where the string starts with this.
    StartsWith(String),
    /// The characters at positions `start` to `start + length - 1`, to the end without a length.
    /// Positions below 1 exist and hold nothing, as in the SQL standard: `substring(0, 2)` is the
    /// first character.
    Substring {
        /// Position of the first character.
        start: i64,
        /// Number of positions; not negative.
        length: Option<i64>,
    },
    /// Without the characters of a set at one end or both.
    Trim {
        /// At which end.
        side: TrimSide,
        /// The set.
        characters: String,
    },
    /// Upper case by Unicode's full mapping: `ß` becomes `SS`.
    Upper,
}

/// Where characters are trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrimSide {
    /// At both ends.
    Both,
    /// At the start.
    Start,
    /// At the end.
    End,
}

/// A pattern of LIKE: `%` stands for any characters, `_` for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LikePattern {
    /// The pattern, matched against the whole string.
    pub pattern: String,
    /// What makes the character behind it stand for itself; none by default, as in SQL.
    pub escape: Option<char>,
    /// ILIKE: characters are equal if their lower cases are; a character whose lower case is
    /// several characters equals itself alone.
    pub ignore_case: bool,
}

/// A step of a LIKE pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeStep {
    /// `%`
    Any,
    /// `_`
    One,
    /// A character that stands for itself; its lower case, where case is ignored.
    Character(char),
}

impl LikePattern {
    /// The steps of the pattern.
    ///
    /// # Errors
    /// `InvalidInput` if the pattern ends with its escape character.
    pub fn steps(&self) -> Result<Vec<LikeStep>> {
        let mut steps = Vec::new();
        let mut characters = self.pattern.chars();
        while let Some(character) = characters.next() {
            let own = |character| {
                let lower = self.ignore_case.then(|| lower_character(character));
                LikeStep::Character(lower.unwrap_or(character))
            };
            steps.push(match character {
                escape if Some(escape) == self.escape => {
                    let escaped = characters.next().ok_or_else(|| {
                        let cause = "ends with its escape character";
                        Error::invalid(format!("pattern {:?}", self.pattern), cause, "double it")
                    })?;
                    own(escaped)
                }
                '%' => LikeStep::Any,
                '_' => LikeStep::One,
                character => own(character),
            });
        }
        Ok(steps)
    }
}

/// The lower case of a character if it is one character, else the character.
pub fn lower_character(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// A compiled regular expression.
///
/// # Errors
/// `InvalidInput` if it is malformed or takes too much memory.
pub fn regex(pattern: &str) -> Result<regex_automata::meta::Regex> {
    let config = regex_automata::meta::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX));
    let built = regex_automata::meta::Builder::new()
        .configure(config)
        .build(pattern);
    built.map_err(|cause| {
        // The syntax error says what is wrong and where, or that there is no look-around.
        let reason = match (cause.syntax_error(), cause.size_limit()) {
            (Some(syntax), _) => syntax.to_string(),
            (None, Some(limit)) => format!("takes more than {limit} bytes"),
            (None, None) => cause.to_string(),
        };
        let remedy = "see the syntax of the crate `regex`; repeat fewer times";
        Error::invalid(format!("regular expression {pattern:?}"), reason, remedy)
    })
}

impl StringFunction {
    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<(Vec<TypedExpr>, DataType)> {
        self.check()?;
        let several = matches!(self, Self::Concat | Self::ConcatWith(_));
        if operands.is_empty() || (operands.len() > 1 && !several) {
            let cause = format!("has {} operands, of one", operands.len());
            return Err(Error::invalid(format!("function {self}"), cause, ""));
        }
        let operands = operands.into_iter().map(|operand| self.text(operand));
        let operands = operands.collect::<Result<Vec<_>>>()?;
        let large = |operand: &TypedExpr| operand.data_type == DataType::LargeUtf8;
        let data_type = match self {
            Self::ByteLength | Self::Find(_) | Self::Length => DataType::Int32,
            Self::Contains(_)
            | Self::EndsWith(_)
            | Self::Like(_)
            | Self::Matches(_)
            | Self::StartsWith(_) => DataType::Boolean,
            _ if operands.iter().any(large) => DataType::LargeUtf8,
            _ => DataType::Utf8,
        };
        Ok((operands, data_type))
    }

    /// The operand, if it is a string or a null.
    fn text(&self, operand: TypedExpr) -> Result<TypedExpr> {
        match &operand.data_type {
            DataType::Null => Ok(TypedExpr {
                kind: TypedKind::Cast {
                    expr: Box::new(operand),
                    strict: true,
                },
                data_type: DataType::Utf8,
            }),
            data_type if is_string(data_type) => Ok(operand),
            other => Err(undefined(self, other)),
        }
    }

    /// Checks the constants.
    fn check(&self) -> Result<()> {
        let refuse = |cause: &str| Err(Error::invalid(format!("function {self}"), cause, ""));
        match self {
            Self::Like(pattern) => pattern.steps().map(drop),
            Self::Matches(pattern) => regex(pattern).map(drop),
            Self::Substring {
                length: Some(length),
                ..
            } if *length < 0 => refuse("the length is negative"),
            Self::SplitPart { index: 0, .. } => refuse("parts are counted from 1"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for StringFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByteLength => f.write_str("byte_length"),
            Self::Concat => f.write_str("concat"),
            Self::ConcatWith(separator) => write!(f, "concat_with[{separator:?}]"),
            Self::Contains(part) => write!(f, "contains[{part:?}]"),
            Self::EndsWith(end) => write!(f, "ends_with[{end:?}]"),
            Self::Find(part) => write!(f, "find[{part:?}]"),
            Self::Left(count) => write!(f, "left[{count}]"),
            Self::Length => f.write_str("length"),
            Self::Like(like) => {
                let name = if like.ignore_case { "ilike" } else { "like" };
                write!(f, "{name}[{:?}", like.pattern)?;
                if let Some(escape) = like.escape {
                    write!(f, " escape {escape:?}")?;
                }
                f.write_str("]")
            }
            Self::Lower => f.write_str("lower"),
            Self::Matches(pattern) => write!(f, "matches[{pattern:?}]"),
            Self::Replace { from, to } => write!(f, "replace[{from:?}, {to:?}]"),
            Self::Reverse => f.write_str("reverse"),
            Self::Right(count) => write!(f, "right[{count}]"),
            Self::SplitPart { delimiter, index } => {
                write!(f, "split_part[{delimiter:?}, {index}]")
            }
            Self::StartsWith(start) => write!(f, "starts_with[{start:?}]"),
            Self::Substring {
                start,
                length: None,
            } => write!(f, "substring[{start}]"),
            Self::Substring {
                start,
                length: Some(length),
            } => write!(f, "substring[{start}, {length}]"),
            Self::Trim { side, characters } => {
                let name = match side {
                    TrimSide::Both => "trim",
                    TrimSide::Start => "ltrim",
                    TrimSide::End => "rtrim",
                };
                write!(f, "{name}[{characters:?}]")
            }
            Self::Upper => f.write_str("upper"),
        }
    }
}
