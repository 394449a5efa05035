//! Functions over strings whose patterns, positions and the like differ from row to row.
//!
//! Where they are constants, [`super::StringFunction`] has most of these functions, with kernels.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::resolve::cast_to;
use super::strings::TrimSide;
use super::{Function, TypedExpr, applied, undefined};
use crate::error::{Error, Result};
use crate::types::{DataType, is_string};

/// A function over strings and integers; null if one of them is.
///
/// Those with the name of a [`super::StringFunction`] mean the same, with its constants as operands behind the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFunction {
    /// The character with this code point, of an integer.
    Character,
    /// Code point of the first character, as `Int32`; 0 of an empty string.
    CodePoint,
    /// See [`super::StringFunction::Contains`].
    Contains,
    /// See [`super::StringFunction::EndsWith`].
    EndsWith,
    /// See [`super::StringFunction::Find`].
    Find,
    /// In how many places two strings of one length differ, as `Int32`.
    Hamming,
    /// See [`super::StringFunction::Left`].
    Left,
    /// The fewest insertions, deletions and replacements of a character that make one string the other,
    /// as `Int32`.
    Levenshtein,
    /// See [`super::StringFunction::Like`].
    Like {
        /// See [`super::LikePattern::escape`].
        escape: Option<char>,
        /// See [`super::LikePattern::ignore_case`].
        ignore_case: bool,
    },
    /// See [`super::StringFunction::Matches`].
    Matches,
    /// The string with characters of another one before it, from the first again where they do not suffice,
    /// so that it has a number of characters; its first ones if it has more.
    PadLeft,
    /// The same with the characters behind it.
    PadRight,
    /// What the group with a number matched in the first match of a regular expression, 0 being the
    /// whole; empty where nothing did. Operands: string, expression, number.
    RegexExtract,
    /// The first match of a regular expression, or every one, replaced. In the replacement `\1` to `\9`
    /// are what the groups matched, `\0` the whole. Operands: string, expression, replacement.
    RegexReplace {
        /// Whether every match is replaced.
        every: bool,
        /// Whether lower and upper case are the same.
        ignore_case: bool,
    },
    /// The string so many times behind itself; empty for a number below 1.
    Repeat,
    /// See [`super::StringFunction::Replace`].
    Replace,
    /// See [`super::StringFunction::Right`].
    Right,
    /// See [`super::StringFunction::SplitPart`].
    SplitPart,
    /// See [`super::StringFunction::StartsWith`].
    StartsWith,
    /// See [`super::StringFunction::Substring`]; two operands or three.
    Substring,
    /// Each character of a second string replaced by the one in its place in a third, or removed if that
    /// is shorter.
    Translate,
    /// See [`super::StringFunction::Trim`].
    Trim(TrimSide),
}

/// What an operand is.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
}

impl TextFunction {
    /// The operands, and how many of them there must be.
    fn operands(self) -> (&'static [Kind], usize) {
        use Kind::{Integer, Text};
        match self {
            Self::Character => (&[Integer], 1),
            Self::CodePoint => (&[Text], 1),
            Self::Contains | Self::EndsWith | Self::Find | Self::StartsWith => (&[Text, Text], 2),
            Self::Hamming | Self::Levenshtein | Self::Like { .. } | Self::Matches => {
                (&[Text, Text], 2)
            }
            Self::Trim(_) => (&[Text, Text], 2),
            Self::Left | Self::Repeat | Self::Right => (&[Text, Integer], 2),
            Self::PadLeft | Self::PadRight => (&[Text, Integer, Text], 3),
            Self::RegexExtract | Self::SplitPart => (&[Text, Text, Integer], 3),
            Self::RegexReplace { .. } | Self::Replace | Self::Translate => (&[Text, Text, Text], 3),
            Self::Substring => (&[Text, Integer, Integer], 2),
        }
    }

    pub(super) fn resolve(self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let (kinds, least) = self.operands();
        if operands.len() < least || operands.len() > kinds.len() {
            let cause = format!("has {} operands, of {least}", operands.len());
            return Err(Error::invalid(format!("function {self}"), cause, ""));
        }
        let typed = operands.into_iter().zip(kinds);
        let operands = typed.map(|(operand, kind)| match kind {
            Kind::Integer if operand.data_type.is_integer() => cast_to(operand, &DataType::Int64),
            Kind::Text if is_string(&operand.data_type) => Ok(operand),
            Kind::Integer if operand.data_type == DataType::Null => {
                cast_to(operand, &DataType::Int64)
            }
            Kind::Text if operand.data_type == DataType::Null => cast_to(operand, &DataType::Utf8),
            _ => Err(undefined(&self, &operand.data_type)),
        });
        let operands = operands.collect::<Result<_>>()?;
        let data_type = match self {
            Self::CodePoint | Self::Find | Self::Hamming | Self::Levenshtein => DataType::Int32,
            Self::Contains | Self::EndsWith | Self::StartsWith => DataType::Boolean,
            Self::Like { .. } | Self::Matches => DataType::Boolean,
            _ => DataType::Utf8,
        };
        Ok(applied(Function::Text(self), operands, data_type))
    }
}

impl fmt::Display for TextFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Character => "chr",
            Self::CodePoint => "code_point",
            Self::Contains => "contains",
            Self::EndsWith => "ends_with",
            Self::Find => "find",
            Self::Hamming => "hamming",
            Self::Left => "left",
            Self::Levenshtein => "levenshtein",
            Self::Like {
                escape: Some(escape),
                ignore_case,
            } => {
                let name = if *ignore_case { "ilike" } else { "like" };
                return write!(f, "{name}[escape {escape:?}]");
            }
            Self::Like {
                ignore_case: true, ..
            } => "ilike",
            Self::Like { .. } => "like",
            Self::Matches => "matches",
            Self::PadLeft => "pad_left",
            Self::PadRight => "pad_right",
            Self::RegexExtract => "regex_extract",
            Self::RegexReplace { every, ignore_case } => {
                let flags = match (every, ignore_case) {
                    (true, true) => "[gi]",
                    (true, false) => "[g]",
                    (false, true) => "[i]",
                    (false, false) => "",
                };
                return write!(f, "regex_replace{flags}");
            }
            Self::Repeat => "repeat",
            Self::Replace => "replace",
            Self::Right => "right",
            Self::SplitPart => "split_part",
            Self::StartsWith => "starts_with",
            Self::Substring => "substring",
            Self::Translate => "translate",
            Self::Trim(TrimSide::Both) => "trim",
            Self::Trim(TrimSide::Start) => "ltrim",
            Self::Trim(TrimSide::End) => "rtrim",
        })
    }
}
