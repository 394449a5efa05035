//! Accumulators: what `group_by` remembers of each group, one value per group and aggregate.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::compare::canonical_floats;
use super::scalar::order;
use super::values::{Numbers, numbers, storage_range};
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::types::DataType;

/// A column as groups see it: floats canonical, dictionaries decoded.
pub(super) fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value).map_err(|cause| refused(&cause)),
        _ => Ok(canonical_floats(column)),
    }
}

/// The type of a column once it is [`plain`].
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    }
}

/// Rows of one column as bytes that are equal, and in order, exactly where the values are.
pub(super) fn row_converter(data_type: &DataType) -> Result<RowConverter> {
    RowConverter::new(vec![SortField::new(data_type.clone())]).map_err(|cause| refused(&cause))
}

pub(super) fn refused(cause: &ArrowError) -> Error {
    Error::unsupported("cpu", "group_by", cause.to_string())
}

/// One aggregate's values, by group.
pub(super) enum Accumulator {
    /// Rows, or values that are not null.
    Count(Vec<i64>),
    /// The different values of each group: the group's number, then the value's row bytes.
    Distinct {
        seen: HashSet<Box<[u8]>>,
        counts: Vec<i64>,
        converter: RowConverter,
    },
    /// Exact sums modulo 2^128, and how many values they are of.
    IntegerSum { sums: Vec<i128>, counts: Vec<i64> },
    /// Sums in 64 bits, and how many values they are of.
    FloatSum { sums: Vec<f64>, counts: Vec<i64> },
    /// Smallest (`Less`) or greatest (`Greater`) value.
    IntegerExtreme {
        wanted: Ordering,
        best: Vec<Option<i128>>,
    },
    /// The same for floats, canonical.
    FloatExtreme {
        wanted: Ordering,
        best: Vec<Option<f64>>,
    },
    /// The same for all other types, by their row bytes.
    RowExtreme {
        wanted: Ordering,
        best: Vec<Option<Box<[u8]>>>,
        converter: RowConverter,
    },
}

impl Accumulator {
    /// The accumulator of a function over values of a type, with no groups yet.
    ///
    /// # Errors
    /// `Unsupported` for a type that has no row bytes.
    pub(super) fn new(
        function: AggregateFunction,
        input: Option<&DataType>,
    ) -> Result<Accumulator> {
        let Some(input) = input.map(plain_type) else {
            return Ok(Accumulator::Count(Vec::new()));
        };
        let wanted = match function {
            AggregateFunction::Count => return Ok(Accumulator::Count(Vec::new())),
            AggregateFunction::CountDistinct => {
                return Ok(Accumulator::Distinct {
                    seen: HashSet::new(),
                    counts: Vec::new(),
                    converter: row_converter(&input)?,
                });
            }
            AggregateFunction::Sum | AggregateFunction::Mean => {
                let counts = Vec::new();
                return Ok(if input.is_floating() {
                    let sums = Vec::new();
                    Accumulator::FloatSum { sums, counts }
                } else {
                    let sums = Vec::new();
                    Accumulator::IntegerSum { sums, counts }
                });
            }
            AggregateFunction::Min => Ordering::Less,
            AggregateFunction::Max => Ordering::Greater,
        };
        Ok(if input.is_floating() {
            let best = Vec::new();
            Accumulator::FloatExtreme { wanted, best }
        } else if storage_range(&input).is_some() {
            let best = Vec::new();
            Accumulator::IntegerExtreme { wanted, best }
        } else {
            Accumulator::RowExtreme {
                wanted,
                best: Vec::new(),
                converter: row_converter(&input)?,
            }
        })
    }

    /// Room for so many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        match self {
            Accumulator::Count(counts) | Accumulator::Distinct { counts, .. } => {
                counts.resize(groups, 0);
            }
            Accumulator::IntegerSum { sums, counts } => {
                sums.resize(groups, 0);
                counts.resize(groups, 0);
            }
            Accumulator::FloatSum { sums, counts } => {
                sums.resize(groups, 0.0);
                counts.resize(groups, 0);
            }
            Accumulator::IntegerExtreme { best, .. } => best.resize(groups, None),
            Accumulator::FloatExtreme { best, .. } => best.resize(groups, None),
            Accumulator::RowExtreme { best, .. } => best.resize(groups, None),
        }
    }

    /// Adds a column's values, each to its row's group. No column counts rows.
    ///
    /// # Errors
    /// `InvalidInput` if the column is not of the type that the accumulator was made for.
    pub(super) fn add(&mut self, groups: &[usize], column: Option<&ArrayRef>) -> Result<()> {
        let Some(column) = column else {
            return match self {
                Accumulator::Count(counts) => {
                    groups.iter().for_each(|&group| counts[group] += 1);
                    Ok(())
                }
                _ => Err(Error::invalid("aggregate", "needs an operand", "")),
            };
        };
        let nulls = column
            .logical_nulls()
            .filter(|nulls| nulls.null_count() > 0);
        if let Accumulator::Count(counts) = self {
            each_value(groups, nulls.as_ref(), |_, group| counts[group] += 1);
            return Ok(());
        }
        let column = plain(column)?;
        if matches!(
            self,
            Accumulator::Distinct { .. } | Accumulator::RowExtreme { .. }
        ) {
            return self.add_rows(groups, nulls.as_ref(), &column);
        }
        let Some(numbers) = numbers(&column) else {
            let cause = format!("undefined for {}", column.data_type());
            return Err(Error::invalid("aggregate", cause, ""));
        };
        match (self, numbers) {
            (Accumulator::IntegerSum { sums, counts }, Numbers::Integers(values)) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    sums[group] = sums[group].wrapping_add(values[row]);
                    counts[group] += 1;
                });
            }
            (Accumulator::FloatSum { sums, counts }, Numbers::Floats(values)) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    sums[group] += values[row];
                    counts[group] += 1;
                });
            }
            (Accumulator::IntegerExtreme { wanted, best }, Numbers::Integers(values)) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    improve(&mut best[group], values[row], |a, b| a.cmp(b) == *wanted);
                });
            }
            (Accumulator::FloatExtreme { wanted, best }, Numbers::Floats(values)) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    improve(&mut best[group], values[row], |a, b| {
                        order::compare(*a, *b) == *wanted
                    });
                });
            }
            _ => {
                let cause = format!("met a column of {}", column.data_type());
                return Err(Error::invalid("aggregate", cause, ""));
            }
        }
        Ok(())
    }

    /// `add` for the accumulators that look at row bytes.
    fn add_rows(
        &mut self,
        groups: &[usize],
        nulls: Option<&NullBuffer>,
        column: &ArrayRef,
    ) -> Result<()> {
        let convert = |converter: &RowConverter| {
            converter
                .convert_columns(std::slice::from_ref(column))
                .map_err(|cause| refused(&cause))
        };
        match self {
            Accumulator::Distinct {
                seen,
                counts,
                converter,
            } => {
                let rows = convert(converter)?;
                let mut entry = Vec::new();
                each_value(groups, nulls, |row, group| {
                    distinct_entry(&mut entry, group, rows.row(row).data());
                    if !seen.contains(entry.as_slice()) {
                        seen.insert(entry.as_slice().into());
                        counts[group] += 1;
                    }
                });
            }
            Accumulator::RowExtreme {
                wanted,
                best,
                converter,
            } => {
                let rows = convert(converter)?;
                each_value(groups, nulls, |row, group| {
                    let (value, best) = (rows.row(row), &mut best[group]);
                    let better = |best: &[u8]| value.data().cmp(best) == *wanted;
                    if best.as_deref().is_none_or(better) {
                        *best = Some(value.data().into());
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds another accumulator of the same aggregate, whose group `i` is this one's `groups[i]`.
    ///
    /// # Errors
    /// `InvalidInput` if it is of another aggregate.
    pub(super) fn merge(&mut self, other: Accumulator, groups: &[usize]) -> Result<()> {
        use Accumulator::{
            Count, Distinct, FloatExtreme, FloatSum, IntegerExtreme, IntegerSum, RowExtreme,
        };
        match (self, other) {
            (Count(counts), Count(others)) => merge_counts(counts, &others, groups),
            (Distinct { seen, counts, .. }, Distinct { seen: others, .. }) => {
                let mut entry = Vec::new();
                for other in others {
                    let Some((number, value)) = other.split_first_chunk::<8>() else {
                        continue; // every entry starts with its group
                    };
                    let group = groups[u64::from_le_bytes(*number) as usize];
                    distinct_entry(&mut entry, group, value);
                    if seen.insert(entry.as_slice().into()) {
                        counts[group] += 1;
                    }
                }
            }
            (
                IntegerSum { sums, counts },
                IntegerSum {
                    sums: others,
                    counts: other_counts,
                },
            ) => {
                for (other, &group) in others.into_iter().zip(groups) {
                    sums[group] = sums[group].wrapping_add(other);
                }
                merge_counts(counts, &other_counts, groups);
            }
            (
                FloatSum { sums, counts },
                FloatSum {
                    sums: others,
                    counts: other_counts,
                },
            ) => {
                for (other, &group) in others.into_iter().zip(groups) {
                    sums[group] += other;
                }
                merge_counts(counts, &other_counts, groups);
            }
            (IntegerExtreme { wanted, best }, IntegerExtreme { best: others, .. }) => {
                merge_best(best, others, groups, |a, b| a.cmp(b) == *wanted);
            }
            (FloatExtreme { wanted, best }, FloatExtreme { best: others, .. }) => {
                merge_best(best, others, groups, |a, b| {
                    order::compare(*a, *b) == *wanted
                });
            }
            (RowExtreme { wanted, best, .. }, RowExtreme { best: others, .. }) => {
                merge_best(best, others, groups, |a, b| a.cmp(b) == *wanted);
            }
            _ => {
                return Err(Error::invalid(
                    "group_by",
                    "the states are of two folds",
                    "",
                ));
            }
        }
        Ok(())
    }
}

/// Calls `f(row, group)` for every row that is not null.
fn each_value(groups: &[usize], nulls: Option<&NullBuffer>, mut f: impl FnMut(usize, usize)) {
    match nulls {
        None => groups
            .iter()
            .enumerate()
            .for_each(|(row, &group)| f(row, group)),
        Some(nulls) => nulls.valid_indices().for_each(|row| f(row, groups[row])),
    }
}

fn improve<T: Copy>(best: &mut Option<T>, value: T, better: impl Fn(&T, &T) -> bool) {
    if best.as_ref().is_none_or(|best| better(&value, best)) {
        *best = Some(value);
    }
}

fn merge_best<T>(
    best: &mut [Option<T>],
    others: Vec<Option<T>>,
    groups: &[usize],
    better: impl Fn(&T, &T) -> bool,
) {
    for (other, &group) in others.into_iter().zip(groups) {
        let Some(other) = other else { continue };
        if best[group].as_ref().is_none_or(|best| better(&other, best)) {
            best[group] = Some(other);
        }
    }
}

fn merge_counts(counts: &mut [i64], others: &[i64], groups: &[usize]) {
    for (other, &group) in others.iter().zip(groups) {
        counts[group] += other;
    }
}

fn distinct_entry(entry: &mut Vec<u8>, group: usize, value: &[u8]) {
    entry.clear();
    entry.extend_from_slice(&(group as u64).to_le_bytes());
    entry.extend_from_slice(value);
}
