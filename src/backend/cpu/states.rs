//! Accumulators as columns and back: what the phases of `group_by` exchange. A batch of states is
//! an accumulator whose group `i` is row `i`, and is merged like any other.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Decimal128Array, Float64Array, Int64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use arrow::row::RowConverter;

use super::accumulate::{Accumulator, refused};
use super::exact_sum::ExactSum;
use super::moments::Moments;
use super::picked::lists;
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::operators::Sketch;
use crate::types::{DataType, Semantics, decimal_parts};

fn counted(counts: &[i64]) -> NullBuffer {
    counts.iter().map(|count| *count > 0).collect()
}

fn binaries(values: impl Iterator<Item = Vec<u8>>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BinaryArray>())
}

impl Accumulator {
    /// The state of each group, in columns of these types.
    ///
    /// # Errors
    /// `InvalidInput` if a state has another type.
    pub(super) fn into_states(
        self,
        function: AggregateFunction,
        operand: Option<&DataType>,
        outputs: &[&DataType],
    ) -> Result<Vec<ArrayRef>> {
        let mean = function == AggregateFunction::Mean;
        let with_count = |sums: ArrayRef, counts: Vec<i64>| {
            let counts: ArrayRef = Arc::new(Int64Array::from(counts));
            if mean { vec![sums, counts] } else { vec![sums] }
        };
        Ok(match self {
            Accumulator::IntegerSum { sums, counts } => {
                let (precision, scale) = outputs
                    .first()
                    .and_then(|output| decimal_parts(output))
                    .ok_or_else(not_states)?;
                let sums = Decimal128Array::new(sums.into(), Some(counted(&counts)));
                let sums = sums
                    .with_precision_and_scale(precision, scale)
                    .map_err(|cause| refused(&cause))?;
                with_count(Arc::new(sums), counts)
            }
            Accumulator::FloatSum { sums, counts } => {
                let sums = Float64Array::new(sums.into(), Some(counted(&counts)));
                with_count(Arc::new(sums), counts)
            }
            Accumulator::ExactSum { sums, counts } => {
                let present = sums.into_iter().zip(&counts);
                let sums = present.map(|(sum, count)| (*count > 0).then(|| sum.into_bytes()));
                with_count(Arc::new(sums.collect::<BinaryArray>()), counts)
            }
            Accumulator::Moments { moments, .. } => vec![
                Arc::new(Int64Array::from(moments.counts)),
                Arc::new(Float64Array::from(moments.means)),
                Arc::new(Float64Array::from(moments.m2)),
            ],
            Accumulator::ExactMoments {
                sums,
                squares,
                counts,
                ..
            } => vec![
                Arc::new(Int64Array::from(counts)),
                binaries(sums.into_iter().map(ExactSum::into_bytes)),
                binaries(squares.into_iter().map(ExactSum::into_bytes)),
            ],
            Accumulator::Distinct {
                seen,
                counts,
                converter,
            } => vec![distinct_lists(
                seen.into_iter().collect(),
                &counts,
                &converter,
                operand.ok_or_else(not_states)?,
            )?],
            Accumulator::Listed(listed) => {
                let operand = operand.ok_or_else(not_states)?;
                vec![listed.finish(operand)?]
            }
            Accumulator::Sketches(sketches) => {
                vec![binaries(sketches.iter().map(|s| s.registers().to_vec()))]
            }
            // The state of all others is their result.
            other => {
                let output = outputs.first().ok_or_else(not_states)?;
                vec![other.finish(function, operand, output, Semantics::default())?]
            }
        })
    }

    /// The accumulator whose group `i` has the state of row `i`.
    ///
    /// # Errors
    /// `InvalidInput` if the columns are not states of this aggregate.
    pub(super) fn from_states(
        function: AggregateFunction,
        operand: Option<&DataType>,
        exact: bool,
        states: &[ArrayRef],
    ) -> Result<Accumulator> {
        let mut accumulator = Accumulator::new(function, operand, exact)?;
        let first = states.first().ok_or_else(not_states)?;
        let rows = first.len();
        accumulator.grow(rows);
        let integers = |index: usize| integers(states, index);
        let mean = function == AggregateFunction::Mean;
        match &mut accumulator {
            Accumulator::Count(counts) => *counts = integers(0)?,
            Accumulator::IntegerSum { sums, counts } => {
                let states = first
                    .as_primitive_opt::<Decimal128Type>()
                    .ok_or_else(not_states)?;
                *sums = states.iter().map(Option::unwrap_or_default).collect();
                *counts = if mean { integers(1)? } else { present(first) };
            }
            Accumulator::FloatSum { sums, counts } => {
                *sums = floats(states, 0)?;
                *counts = if mean { integers(1)? } else { present(first) };
            }
            Accumulator::ExactSum { sums, counts } => {
                *sums = exact_sums(states, 0, false)?;
                *counts = if mean { integers(1)? } else { present(first) };
            }
            Accumulator::Moments { moments, .. } => {
                *moments = Moments {
                    counts: integers(0)?,
                    means: floats(states, 1)?,
                    m2: floats(states, 2)?,
                };
            }
            Accumulator::ExactMoments {
                sums,
                squares,
                counts,
                ..
            } => {
                *counts = integers(0)?;
                *sums = exact_sums(states, 1, false)?;
                *squares = exact_sums(states, 2, true)?;
            }
            Accumulator::Sketches(sketches) => {
                let states = first.as_binary_opt::<i32>().ok_or_else(not_states)?;
                let sketch = |bytes| Sketch::from_registers(bytes).ok_or_else(not_states);
                let states = states
                    .iter()
                    .map(|bytes| bytes.map_or(Ok(Sketch::default()), sketch));
                *sketches = states.collect::<Result<_>>()?;
            }
            Accumulator::Distinct { .. } | Accumulator::Listed(_) => {
                let lists = first.as_list_opt::<i32>().ok_or_else(not_states)?;
                let mut rows = Vec::with_capacity(lists.values().len());
                for (row, ends) in lists.value_offsets().windows(2).enumerate() {
                    rows.extend((ends[0]..ends[1]).map(|_| row));
                }
                let start = lists
                    .value_offsets()
                    .first()
                    .map_or(0, |start| *start as usize);
                let values = lists.values().slice(start, rows.len());
                accumulator.add(&rows, Some(&values))?;
            }
            // The state of all others is a value that they take.
            _ => {
                let rows: Vec<usize> = (0..rows).collect();
                accumulator.add(&rows, Some(first))?;
            }
        }
        Ok(accumulator)
    }
}

fn not_states() -> Error {
    let remedy = "make the three specifications by `GroupBySpec::phases`";
    Error::invalid("group_by", "a column is not an aggregate's state", remedy)
}

/// One for each state that is there.
fn present(states: &ArrayRef) -> Vec<i64> {
    let rows = 0..states.len();
    rows.map(|row| i64::from(states.is_valid(row))).collect()
}

fn integers(states: &[ArrayRef], index: usize) -> Result<Vec<i64>> {
    let column = states.get(index).ok_or_else(not_states)?;
    let column = column
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(not_states)?;
    Ok(column.iter().map(Option::unwrap_or_default).collect())
}

fn floats(states: &[ArrayRef], index: usize) -> Result<Vec<f64>> {
    let column = states.get(index).ok_or_else(not_states)?;
    let column = column
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(not_states)?;
    Ok(column.iter().map(Option::unwrap_or_default).collect())
}

fn exact_sums(states: &[ArrayRef], index: usize, squares: bool) -> Result<Vec<ExactSum>> {
    let column = states.get(index).ok_or_else(not_states)?;
    let column = column.as_binary_opt::<i32>().ok_or_else(not_states)?;
    let sum = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => ExactSum::from_bytes(bytes, squares).ok_or_else(not_states),
        None if squares => Ok(ExactSum::of_squares()),
        None => Ok(ExactSum::of_values()),
    };
    column.iter().map(sum).collect()
}

/// The different values of each group as a list. An entry is the group's number and a value.
fn distinct_lists(
    mut entries: Vec<Box<[u8]>>,
    counts: &[i64],
    converter: &RowConverter,
    operand: &DataType,
) -> Result<ArrayRef> {
    let group = |entry: &[u8]| {
        let number = entry.first_chunk::<8>();
        number.map_or(0, |number| u64::from_le_bytes(*number))
    };
    entries.sort_unstable_by_key(|entry| group(entry));
    let parser = converter.parser();
    let rows = entries.iter().map(|entry| parser.parse(&entry[8..]));
    let columns = converter
        .convert_rows(rows)
        .map_err(|cause| refused(&cause))?;
    let values = columns.first().ok_or_else(not_states)?;
    let values = cast(values, operand).map_err(|cause| refused(&cause))?;
    let lengths: Vec<usize> = counts.iter().map(|count| *count as usize).collect();
    lists(values, &lengths)
}
