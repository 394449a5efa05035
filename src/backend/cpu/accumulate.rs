//! Accumulators: what `group_by` remembers of each group, one value per group and aggregate.

use std::cmp::Ordering;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::compare::canonical_floats;
use super::exact_sum::ExactSum;
use super::moments::Moments;
use super::picked::{Listed, Pick, Picked};
use super::scalar::cast::decimal_to_float;
use super::scalar::order;
use super::values::{Numbers, numbers, storage_range};
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::operators::{Sketch, hash_bytes, hash_words};
use crate::types::{DataType, PhysicalType, decimal_parts, is_binary, is_string};

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
    /// Exact sums of floats, and of how many.
    ExactSum {
        sums: Vec<ExactSum>,
        counts: Vec<i64>,
    },
    /// Moments, of values scaled by 10^−scale.
    Moments { moments: Moments, scale: i8 },
    /// The same, exactly.
    ExactMoments {
        sums: Vec<ExactSum>,
        squares: Vec<ExactSum>,
        counts: Vec<i64>,
        scale: i8,
    },
    /// Whether the decisive value was among the values, and whether a null was.
    Truth {
        decisive: bool,
        decided: Vec<bool>,
        unknown: Vec<bool>,
    },
    /// The value of one row.
    Picked(Picked),
    /// All values.
    Listed(Listed),
    /// Registers of different values.
    Sketches(Vec<Sketch>),
}

impl Accumulator {
    /// The accumulator of a function over values of a type, with no groups yet. `exact`: floats are
    /// added up exactly.
    ///
    /// # Errors
    /// `Unsupported` for a type that has no row bytes.
    pub(super) fn new(
        function: AggregateFunction,
        input: Option<&DataType>,
        exact: bool,
    ) -> Result<Accumulator> {
        let Some(input) = input.map(plain_type) else {
            return Ok(Accumulator::Count(Vec::new()));
        };
        let scale = decimal_parts(&input).map_or(0, |(_, scale)| scale);
        Ok(match function {
            AggregateFunction::Count => Accumulator::Count(Vec::new()),
            AggregateFunction::CountDistinct => Accumulator::Distinct {
                seen: HashSet::new(),
                counts: Vec::new(),
                converter: row_converter(&input)?,
            },
            AggregateFunction::Sum | AggregateFunction::Mean => {
                let counts = Vec::new();
                if exact && input.is_floating() {
                    let sums = Vec::new();
                    Accumulator::ExactSum { sums, counts }
                } else if input.is_floating() {
                    let sums = Vec::new();
                    Accumulator::FloatSum { sums, counts }
                } else {
                    let sums = Vec::new();
                    Accumulator::IntegerSum { sums, counts }
                }
            }
            AggregateFunction::Variance(_) | AggregateFunction::StandardDeviation(_) if exact => {
                Accumulator::ExactMoments {
                    sums: Vec::new(),
                    squares: Vec::new(),
                    counts: Vec::new(),
                    scale,
                }
            }
            AggregateFunction::Variance(_) | AggregateFunction::StandardDeviation(_) => {
                let moments = Moments::default();
                Accumulator::Moments { moments, scale }
            }
            AggregateFunction::Any | AggregateFunction::All => Accumulator::Truth {
                decisive: function == AggregateFunction::Any,
                decided: Vec::new(),
                unknown: Vec::new(),
            },
            AggregateFunction::First => Accumulator::Picked(Picked::new(Pick::First)),
            AggregateFunction::Last => Accumulator::Picked(Picked::new(Pick::Last)),
            AggregateFunction::AnyValue => Accumulator::Picked(Picked::new(Pick::FirstValid)),
            AggregateFunction::Quantile { .. } => Accumulator::Listed(Listed::new(true)),
            AggregateFunction::Collect => Accumulator::Listed(Listed::new(false)),
            AggregateFunction::ApproxCountDistinct => Accumulator::Sketches(Vec::new()),
            AggregateFunction::Min => Accumulator::extreme(Ordering::Less, &input)?,
            AggregateFunction::Max => Accumulator::extreme(Ordering::Greater, &input)?,
        })
    }

    fn extreme(wanted: Ordering, input: &DataType) -> Result<Accumulator> {
        Ok(if input.is_floating() {
            let best = Vec::new();
            Accumulator::FloatExtreme { wanted, best }
        } else if storage_range(input).is_some() {
            let best = Vec::new();
            Accumulator::IntegerExtreme { wanted, best }
        } else {
            Accumulator::RowExtreme {
                wanted,
                best: Vec::new(),
                converter: row_converter(input)?,
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
            Accumulator::ExactSum { sums, counts } => {
                sums.resize_with(groups, ExactSum::of_values);
                counts.resize(groups, 0);
            }
            Accumulator::ExactMoments {
                sums,
                squares,
                counts,
                ..
            } => {
                sums.resize_with(groups, ExactSum::of_values);
                squares.resize_with(groups, ExactSum::of_squares);
                counts.resize(groups, 0);
            }
            Accumulator::Moments { moments, .. } => moments.grow(groups),
            Accumulator::IntegerExtreme { best, .. } => best.resize(groups, None),
            Accumulator::FloatExtreme { best, .. } => best.resize(groups, None),
            Accumulator::RowExtreme { best, .. } => best.resize(groups, None),
            Accumulator::Truth {
                decided, unknown, ..
            } => {
                decided.resize(groups, false);
                unknown.resize(groups, false);
            }
            Accumulator::Picked(picked) => picked.grow(groups),
            Accumulator::Listed(listed) => listed.grow(groups),
            Accumulator::Sketches(sketches) => sketches.resize_with(groups, Sketch::default),
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
        match self {
            Accumulator::Picked(picked) => return picked.add(groups, column),
            Accumulator::Listed(listed) => {
                listed.add(groups, column);
                return Ok(());
            }
            _ => {}
        }
        let column = plain(column)?;
        if let Accumulator::Sketches(sketches) = self {
            let hashes = hashes(&column)?;
            each_value(groups, nulls.as_ref(), |row, group| {
                sketches[group].add(hashes[row]);
            });
            return Ok(());
        }
        if let Accumulator::Truth { unknown, .. } = self {
            for (row, &group) in groups.iter().enumerate() {
                unknown[group] |= nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            }
        }
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
            (Accumulator::ExactSum { sums, counts }, Numbers::Floats(values)) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    sums[group].add(values[row]);
                    counts[group] += 1;
                });
            }
            (Accumulator::Moments { moments, scale }, values) => {
                let values = floats(values, *scale);
                each_value(groups, nulls.as_ref(), |row, group| {
                    moments.add(group, values[row]);
                });
            }
            (
                Accumulator::ExactMoments {
                    sums,
                    squares,
                    counts,
                    scale,
                },
                values,
            ) => {
                let values = floats(values, *scale);
                each_value(groups, nulls.as_ref(), |row, group| {
                    sums[group].add(values[row]);
                    squares[group].add_square(values[row]);
                    counts[group] += 1;
                });
            }
            (
                Accumulator::Truth {
                    decisive, decided, ..
                },
                Numbers::Integers(values),
            ) => {
                each_value(groups, nulls.as_ref(), |row, group| {
                    decided[group] |= (values[row] != 0) == *decisive;
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
            Count, Distinct, ExactMoments, FloatExtreme, FloatSum, IntegerExtreme, IntegerSum,
            RowExtreme, Sketches, Truth,
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
            (
                Accumulator::ExactSum { sums, counts },
                Accumulator::ExactSum {
                    sums: others,
                    counts: other_counts,
                },
            ) => {
                merge_exact(sums, others, groups);
                merge_counts(counts, &other_counts, groups);
            }
            (
                ExactMoments {
                    sums,
                    squares,
                    counts,
                    ..
                },
                ExactMoments {
                    sums: other_sums,
                    squares: other_squares,
                    counts: other_counts,
                    ..
                },
            ) => {
                merge_exact(sums, other_sums, groups);
                merge_exact(squares, other_squares, groups);
                merge_counts(counts, &other_counts, groups);
            }
            (Accumulator::Moments { moments, .. }, Accumulator::Moments { moments: other, .. }) => {
                for (i, &group) in groups.iter().enumerate().take(other.counts.len()) {
                    moments.add_state(group, other.counts[i], other.means[i], other.m2[i]);
                }
            }
            (
                Truth {
                    decided, unknown, ..
                },
                Truth {
                    decided: other_decided,
                    unknown: other_unknown,
                    ..
                },
            ) => {
                let others = other_decided.into_iter().zip(other_unknown);
                for ((other_decided, other_unknown), &group) in others.zip(groups) {
                    decided[group] |= other_decided;
                    unknown[group] |= other_unknown;
                }
            }
            (Accumulator::Picked(picked), Accumulator::Picked(other)) => {
                picked.merge(other, groups);
            }
            (Accumulator::Listed(listed), Accumulator::Listed(other)) => {
                listed.merge(other, groups);
            }
            (Sketches(sketches), Sketches(others)) => {
                for (other, &group) in others.iter().zip(groups) {
                    sketches[group].merge(other);
                }
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

fn merge_exact(sums: &mut [ExactSum], others: Vec<ExactSum>, groups: &[usize]) {
    for (other, &group) in others.into_iter().zip(groups) {
        sums[group].merge(other);
    }
}

/// Numbers as floats; decimals have this scale.
fn floats(numbers: Numbers, scale: i8) -> Vec<f64> {
    match numbers {
        Numbers::Floats(values) => values,
        Numbers::Integers(values) => values
            .into_iter()
            .map(|value| decimal_to_float(value, scale))
            .collect(),
    }
}

/// The hash of each value of a plain column, as `Sketch` wants it.
fn hashes(column: &ArrayRef) -> Result<Vec<u64>> {
    let data_type = column.data_type();
    if is_string(data_type) || is_binary(data_type) {
        let bytes = cast(column, &DataType::LargeBinary).map_err(|cause| refused(&cause))?;
        let bytes = bytes.as_binary::<i64>();
        let hashes = (0..bytes.len()).map(|row| hash_bytes(bytes.value(row)));
        return Ok(hashes.collect());
    }
    let wide = PhysicalType::of(data_type) == Some(PhysicalType::Int128);
    match numbers(column) {
        Some(Numbers::Floats(values)) => Ok(values
            .iter()
            .map(|value| hash_words([value.to_bits()]))
            .collect()),
        Some(Numbers::Integers(values)) => {
            let hash = |value: &i128| {
                let high = wide.then_some((*value >> 64) as u64);
                hash_words(std::iter::once(*value as u64).chain(high))
            };
            Ok(values.iter().map(hash).collect())
        }
        None => {
            let reason = format!("values of {data_type} have no hash");
            Err(Error::unsupported("cpu", "group_by", reason))
        }
    }
}

fn distinct_entry(entry: &mut Vec<u8>, group: usize, value: &[u8]) {
    entry.clear();
    entry.extend_from_slice(&(group as u64).to_le_bytes());
    entry.extend_from_slice(value);
}
