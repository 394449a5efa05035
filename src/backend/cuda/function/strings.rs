//! Functions over strings: of codes a table's lookup, of views a kernel.
//!
//! What no kernel knows of views (case beyond ASCII, a large DFA, `reverse`, `split_part`) goes through
//! the host: views become codes, which waits for the stream.

use super::super::dictionary::Dictionary;
use super::super::tables::{OfEntry, Results};
use super::super::text;
use super::automaton;
use crate::backend::strings::{Prepared, prepare, substring_range};
use crate::error::{Error, Result};
use crate::expr::{BinaryOp, LikePattern, LikeStep, StringFunction, TrimSide};
use crate::kernels::strings::{self as kernel, LikeProgram, Measure, Slice};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, project};
use crate::types::PhysicalType;

/// An operand: codes, views or a constant.
pub(in crate::backend::cuda) enum Operand {
    Column(DeviceColumn),
    Constant(String),
}

/// Strings of one batch.
pub(in crate::backend::cuda) struct Strings<'a> {
    pub launch: &'a Launch<'a>,
    pub dictionary: &'a Dictionary,
    pub rows: &'a DeviceRows,
    /// Where rows that are too long are told; needed for functions that write strings.
    pub status: Option<&'a Status>,
}

impl Strings<'_> {
    fn status(&self) -> Result<&Status> {
        let missing = || Error::invalid("project", "strings are written without a status", "");
        self.status.ok_or_else(missing)
    }

    /// A function of one column.
    pub(in crate::backend::cuda) fn call(
        &self,
        function: &StringFunction,
        column: &DeviceColumn,
    ) -> Result<DeviceColumn> {
        if column.physical() == PhysicalType::View
            && let Some(result) = self.of_views(function, column)?
        {
            return Ok(result);
        }
        let codes = self.coded(column)?;
        let results = if gives_back_its_results(function) {
            Results::Codes
        } else {
            Results::Views
        };
        self.lookup(&codes, (function.to_string(), results), || {
            prepare(function).map(OfEntry::Strings)
        })
    }

    /// The operands of each row behind one another.
    pub(in crate::backend::cuda) fn concat(
        &self,
        operands: &[Operand],
        separator: Option<&str>,
    ) -> Result<DeviceColumn> {
        if separator.is_none()
            && let Some((before, codes, after)) = around_codes(operands)
        {
            // Names of functions have no quotes in front.
            let name = format!("{before:?} || {after:?}");
            let around = move |text: &str| format!("{before}{text}{after}");
            let make = || Ok(OfEntry::Strings(Prepared::text(around)));
            return self.lookup(codes, (name, Results::Views), make);
        }
        let view = |operand: &Operand| match operand {
            Operand::Column(column) => self.viewed(column),
            Operand::Constant(text) => kernel::constant(self.launch, text, self.rows),
        };
        let columns = operands.iter().map(view).collect::<Result<Vec<_>>>()?;
        let columns: Vec<&DeviceColumn> = columns.iter().collect();
        kernel::concat(self.launch, &columns, separator, self.rows, self.status()?)
    }

    /// A comparison; `op_code` is the kernels' word for `op`.
    pub(in crate::backend::cuda) fn compare(
        &self,
        (op, op_code): (BinaryOp, u32),
        left: &DeviceColumn,
        right: &Operand,
    ) -> Result<DeviceColumn> {
        let equality = matches!(op, BinaryOp::Equal | BinaryOp::NotEqual);
        let is_coded = |column: &DeviceColumn| column.physical() == PhysicalType::UInt32;
        match right {
            Operand::Constant(text) if is_coded(left) && equality => {
                let codes = self
                    .dictionary
                    .encode([Some(text.as_bytes())].into_iter())?;
                let code = codes.first().copied().map(u128::from);
                let right = DeviceColumn::scalar(PhysicalType::UInt32, code, self.rows.max());
                project::compare(self.launch, op_code, left, &right, self.rows)
            }
            Operand::Constant(text) if is_coded(left) => {
                let make = || Ok(OfEntry::Strings(Prepared::compare(op, text.clone())));
                self.lookup(left, (format!("{op} {text:?}"), Results::Codes), make)
            }
            Operand::Constant(text) => {
                let right = kernel::constant(self.launch, text, self.rows)?;
                kernel::compare(self.launch, op_code, left, &right, self.rows)
            }
            Operand::Column(right) if is_coded(left) && is_coded(right) => {
                if equality {
                    return project::compare(self.launch, op_code, left, right, self.rows);
                }
                let order = &self.dictionary.tables;
                let order = order.order(self.launch, self.dictionary)?;
                let left = order.ranks(self.launch, left, self.rows)?;
                let right = order.ranks(self.launch, right, self.rows)?;
                project::compare(self.launch, op_code, &left, &right, self.rows)
            }
            Operand::Column(right) => {
                let (left, right) = (self.viewed(left)?, self.viewed(right)?);
                kernel::compare(self.launch, op_code, &left, &right, self.rows)
            }
        }
    }

    fn lookup(
        &self,
        codes: &DeviceColumn,
        name: (String, Results),
        make: impl FnOnce() -> Result<OfEntry>,
    ) -> Result<DeviceColumn> {
        let tables = &self.dictionary.tables;
        let table = tables.get(self.launch, self.dictionary, name, make)?;
        kernel::lookup(self.launch, codes, &table, self.rows)
    }

    /// Codes for views.
    pub(in crate::backend::cuda) fn coded(&self, column: &DeviceColumn) -> Result<DeviceColumn> {
        text::coded(self.launch, self.dictionary, column, self.rows)
    }

    /// Views for codes.
    fn viewed(&self, column: &DeviceColumn) -> Result<DeviceColumn> {
        text::viewed(self.launch, self.dictionary, column, self.rows)
    }

    /// The function of views, if a kernel knows it.
    fn of_views(
        &self,
        function: &StringFunction,
        column: &DeviceColumn,
    ) -> Result<Option<DeviceColumn>> {
        let (launch, rows) = (self.launch, self.rows);
        let measure = |what| kernel::measure(launch, column, what, rows).map(Some);
        let slice = |part| kernel::slice(launch, column, part, rows).map(Some);
        let like = |program: LikeProgram| kernel::like(launch, column, &program, rows).map(Some);
        let characters = |text: &str| text.chars().map(Some).collect::<Vec<_>>();
        match function {
            StringFunction::ByteLength => measure(Measure::Bytes),
            StringFunction::Length => measure(Measure::Characters),
            StringFunction::Find(part) => measure(Measure::Find(part)),
            StringFunction::Contains(part) => {
                like(LikeProgram::new(&[characters(part)], false, false)?)
            }
            StringFunction::EndsWith(end) => {
                like(LikeProgram::new(&[characters(end)], false, true)?)
            }
            StringFunction::StartsWith(start) => {
                like(LikeProgram::new(&[characters(start)], true, false)?)
            }
            StringFunction::Like(pattern) if !pattern.ignore_case => like(like_program(pattern)?),
            StringFunction::Like(_) | StringFunction::Matches(_) => {
                self.automaton(function, column)
            }
            StringFunction::Left(count) if *count < 0 => {
                slice(Slice::DropLast(count.unsigned_abs()))
            }
            StringFunction::Left(count) => slice(Slice::SkipTake(0, count.unsigned_abs())),
            StringFunction::Right(count) if *count < 0 => {
                slice(Slice::SkipTake(count.unsigned_abs(), u64::MAX))
            }
            StringFunction::Right(count) => slice(Slice::KeepLast(count.unsigned_abs())),
            StringFunction::Substring { start, length } => {
                let (skip, take) = substring_range(*start, *length);
                slice(Slice::SkipTake(skip, take))
            }
            StringFunction::Trim { side, characters } if characters.is_ascii() => {
                let set = characters.bytes().fold(0, |set, byte| set | 1u128 << byte);
                let (start, end) = (*side != TrimSide::End, *side != TrimSide::Start);
                slice(Slice::Trim(set, start, end))
            }
            StringFunction::Lower | StringFunction::Upper => {
                let upper = *function == StringFunction::Upper;
                kernel::ascii_case(launch, column, upper, rows)
            }
            StringFunction::Replace { from, .. } if from.is_empty() => Ok(Some(column.clone())),
            StringFunction::Replace { from, to } => {
                kernel::replace(launch, column, (from, to), rows, self.status()?).map(Some)
            }
            StringFunction::Concat | StringFunction::ConcatWith(_) => Ok(Some(column.clone())),
            StringFunction::Reverse
            | StringFunction::SplitPart { .. }
            | StringFunction::Trim { .. } => Ok(None),
        }
    }

    /// A pattern as a DFA, if it is not too large for one.
    fn automaton(
        &self,
        function: &StringFunction,
        column: &DeviceColumn,
    ) -> Result<Option<DeviceColumn>> {
        let make = || {
            let made = match function {
                StringFunction::Like(pattern) => automaton::of_like(&pattern.steps()?),
                StringFunction::Matches(pattern) => automaton::of_regex(pattern),
                _ => None,
            };
            made.map(|made| made.upload(self.launch)).transpose()
        };
        let tables = &self.dictionary.tables;
        let Some(dfa) = tables.automaton(function.to_string(), make)? else {
            return Ok(None);
        };
        kernel::dfa(self.launch, column, &dfa, self.rows).map(Some)
    }
}

/// True if a function of its own result is that result.
fn gives_back_its_results(function: &StringFunction) -> bool {
    match function {
        StringFunction::Left(count) | StringFunction::Right(count) => *count >= 0,
        StringFunction::Substring { start, .. } => *start <= 1,
        StringFunction::Lower | StringFunction::Upper | StringFunction::Trim { .. } => true,
        _ => false,
    }
}

/// What stands before and behind the one column of codes, if all else is constant.
fn around_codes(operands: &[Operand]) -> Option<(String, &DeviceColumn, String)> {
    let (mut before, mut codes, mut after) = (String::new(), None, String::new());
    for operand in operands {
        match (operand, codes) {
            (Operand::Constant(text), None) => before.push_str(text),
            (Operand::Constant(text), Some(_)) => after.push_str(text),
            (Operand::Column(column), None) if column.physical() == PhysicalType::UInt32 => {
                codes = Some(column);
            }
            (Operand::Column(_), _) => return None,
        }
    }
    Some((before, codes?, after))
}

/// A pattern as its pieces between `%`. Only the first and the last may be empty, to say that the
/// pattern begins or ends where the string does.
fn like_program(pattern: &LikePattern) -> Result<LikeProgram> {
    let steps = pattern.steps()?;
    let pieces = steps.split(|step| *step == LikeStep::Any).map(|piece| {
        let of = |step: &LikeStep| match step {
            LikeStep::Character(own) => Some(*own),
            LikeStep::One | LikeStep::Any => None,
        };
        piece.iter().map(of).collect::<Vec<_>>()
    });
    let mut pieces: Vec<Vec<Option<char>>> = pieces.collect();
    let anchors = (
        steps.first() != Some(&LikeStep::Any),
        steps.last() != Some(&LikeStep::Any),
    );
    let exact = pieces.len() == 1;
    pieces.retain(|piece| exact || !piece.is_empty());
    LikeProgram::new(&pieces, anchors.0, anchors.1)
}
