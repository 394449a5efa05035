//! From accumulators to columns: the end of `group_by`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, UInt32Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::row::RowConverter;

use super::accumulate::{Accumulator, plain_type, refused};
use super::exact_sum::{self, ExactSum};
use super::quantile;
use super::scalar::arithmetic::fits_digits;
use super::scalar::cast::decimal_to_float;
use super::values::{from_floats, from_integers, storage_range};
use crate::error::{Error, Result};
use crate::expr::AggregateFunction;
use crate::operators::Sketch;
use crate::types::{DataType, EmptySum, Overflow, Semantics, decimal_parts};

impl Accumulator {
    /// The aggregate's column, one value per group.
    ///
    /// # Errors
    /// `Arithmetic` if a sum does not fit and the semantics say that this is an error.
    pub(super) fn finish(
        self,
        function: AggregateFunction,
        input: Option<&DataType>,
        output: &DataType,
        semantics: Semantics,
    ) -> Result<ArrayRef> {
        let operand = input.unwrap_or(&DataType::Null);
        let input = plain_type(operand);
        let scale = decimal_parts(&input).map_or(0, |(_, scale)| scale);
        let column = match self {
            Accumulator::Count(counts) | Accumulator::Distinct { counts, .. } => {
                Some(Arc::new(Int64Array::from(counts)) as ArrayRef)
            }
            Accumulator::IntegerSum { sums, counts } if function == AggregateFunction::Mean => {
                let sums = sums.iter().map(|sum| decimal_to_float(*sum, scale));
                Some(means(sums, &counts))
            }
            Accumulator::FloatSum { sums, counts } if function == AggregateFunction::Mean => {
                Some(means(sums.into_iter(), &counts))
            }
            Accumulator::IntegerSum { sums, counts } => {
                integer_sums(sums, &counts, output, semantics)?
            }
            Accumulator::FloatSum { sums, counts } => {
                from_floats(sums, sum_nulls(&counts, semantics), &DataType::Float64)
            }
            Accumulator::IntegerExtreme { best, .. } => {
                let nulls: NullBuffer = best.iter().map(Option::is_some).collect();
                let values: Vec<i128> = best.into_iter().map(Option::unwrap_or_default).collect();
                from_integers(&values, Some(nulls), &input)
            }
            Accumulator::FloatExtreme { best, .. } => {
                let nulls: NullBuffer = best.iter().map(Option::is_some).collect();
                let values = best.into_iter().map(Option::unwrap_or_default).collect();
                from_floats(values, Some(nulls), &input)
            }
            Accumulator::RowExtreme {
                best, converter, ..
            } => Some(extreme_rows(&best, &converter, &input)?),
            Accumulator::ExactSum { sums, counts } => {
                let sums = sums.into_iter().map(ExactSum::rounded);
                if function == AggregateFunction::Mean {
                    Some(means(sums, &counts))
                } else {
                    let nulls = sum_nulls(&counts, semantics);
                    from_floats(sums.collect(), nulls, &DataType::Float64)
                }
            }
            Accumulator::Moments { moments, .. } => {
                let groups = 0..moments.counts.len();
                let variances = groups.map(|group| moments.variance(group, ddof(function)));
                Some(spreads(function, variances))
            }
            Accumulator::ExactMoments {
                sums,
                squares,
                counts,
                ..
            } => {
                let groups = sums.into_iter().zip(squares).zip(counts);
                let variances = groups.map(|((sum, squares), count)| {
                    exact_sum::variance(count.unsigned_abs(), sum, squares, ddof(function))
                });
                Some(spreads(function, variances))
            }
            Accumulator::Truth {
                decisive,
                decided,
                unknown,
            } => {
                let truths = decided.into_iter().zip(unknown);
                let truth = |(decided, unknown): (bool, bool)| match (decided, unknown) {
                    (true, _) => Some(decisive),
                    (false, true) => None,
                    (false, false) => Some(!decisive),
                };
                Some(Arc::new(truths.map(truth).collect::<BooleanArray>()) as ArrayRef)
            }
            Accumulator::Picked(picked) => Some(picked.finish(operand)?),
            Accumulator::Listed(listed) => match function {
                AggregateFunction::Quantile { q, interpolation } => Some(quantile::quantiles(
                    listed,
                    q,
                    interpolation,
                    &input,
                    operand,
                )?),
                _ => Some(listed.finish(operand)?),
            },
            Accumulator::Sketches(sketches) => {
                let estimates = sketches.iter().map(Sketch::estimate);
                Some(Arc::new(estimates.collect::<Int64Array>()) as ArrayRef)
            }
        };
        let Some(column) = column else {
            let cause = format!("cannot be {output}");
            return Err(Error::invalid(format!("aggregate {function}"), cause, ""));
        };
        if column.data_type() == output {
            return Ok(column);
        }
        cast(&column, output).map_err(|cause| refused(&cause))
    }
}

fn ddof(function: AggregateFunction) -> u64 {
    match function {
        AggregateFunction::Variance(ddof) | AggregateFunction::StandardDeviation(ddof) => {
            ddof.count()
        }
        _ => 0,
    }
}

/// Variances, or their square roots.
fn spreads(function: AggregateFunction, variances: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    let deviation = matches!(function, AggregateFunction::StandardDeviation(_));
    let shown = |variance: f64| if deviation { variance.sqrt() } else { variance };
    Arc::new(
        variances
            .map(|variance| variance.map(shown))
            .collect::<Float64Array>(),
    )
}

fn means(sums: impl Iterator<Item = f64>, counts: &[i64]) -> ArrayRef {
    let means = sums.zip(counts).map(|(sum, count)| match count {
        0 => None,
        count => Some(sum / *count as f64),
    });
    Arc::new(means.collect::<Float64Array>())
}

/// Which sums are null: those of no values, if the semantics say so.
fn sum_nulls(counts: &[i64], semantics: Semantics) -> Option<NullBuffer> {
    (semantics.empty_sum == EmptySum::Null).then(|| {
        counts
            .iter()
            .map(|count| *count > 0)
            .collect::<NullBuffer>()
    })
}

/// Exact sums as 64-bit integers, which wrap or fail, or as decimals, which are null or fail.
fn integer_sums(
    mut sums: Vec<i128>,
    counts: &[i64],
    output: &DataType,
    semantics: Semantics,
) -> Result<Option<ArrayRef>> {
    let Some((min, max)) = storage_range(output) else {
        return Ok(None);
    };
    let digits = decimal_parts(output).map(|(precision, _)| precision);
    let fits = |sum: i128| match digits {
        Some(digits) => fits_digits(sum, digits),
        None => min <= sum && sum <= max,
    };
    let mut nulls = sum_nulls(counts, semantics);
    if let Some(sum) = sums.iter().find(|sum| !fits(**sum)) {
        if semantics.overflow == Overflow::Error {
            return Err(Error::arithmetic(
                "sum",
                format!("overflow: {sum} as {output}"),
            ));
        }
        if digits.is_some() {
            let fitting: NullBuffer = sums.iter().map(|sum| fits(*sum)).collect();
            nulls = NullBuffer::union(nulls.as_ref(), Some(&fitting));
            sums.iter_mut()
                .filter(|sum| !fits(**sum))
                .for_each(|sum| *sum = 0);
        }
    }
    Ok(from_integers(&sums, nulls, output)) // narrows modulo 2^64
}

fn extreme_rows(
    best: &[Option<Box<[u8]>>],
    converter: &RowConverter,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let mut indices = Vec::with_capacity(best.len());
    let mut present = 0u32;
    for value in best {
        indices.push(value.as_ref().map(|_| present));
        present += u32::from(value.is_some());
    }
    if present == 0 {
        return Ok(new_null_array(data_type, best.len()));
    }
    let parser = converter.parser();
    let rows = best.iter().flatten().map(|bytes| parser.parse(bytes));
    let columns = converter
        .convert_rows(rows)
        .map_err(|cause| refused(&cause))?;
    let Some(values) = columns.first() else {
        return Ok(new_null_array(data_type, best.len()));
    };
    take(values, &UInt32Array::from(indices), None).map_err(|cause| refused(&cause))
}
