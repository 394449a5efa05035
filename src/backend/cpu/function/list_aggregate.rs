//! Aggregates of lists, a row at a time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray, UInt64Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::Float64Type;
use arrow::row::Rows;

use super::super::accumulate::{plain, row_converter};
use super::super::arithmetic::Failure;
use super::super::values::{Numbers, from_integers, numbers};
use super::{Call, refused};
use crate::error::Error;
use crate::expr::{Ddof, ListAggregate, Regression};
use crate::types::DataType;

pub(super) fn call(function: &ListAggregate, call: &Call) -> Result<ArrayRef, Failure> {
    let lists = call.operands.iter().map(|operand| operand.as_list_opt());
    let lists = lists.collect::<Option<Vec<&ListArray>>>();
    let lists = Lists(lists.ok_or_else(|| refused(function, call.operands[0].data_type()))?);
    match function {
        ListAggregate::ArgMax => extreme(&lists, |value, most| value > most),
        ListAggregate::ArgMin => extreme(&lists, |value, least| value < least),
        ListAggregate::BitAnd => bits(&lists, call.data_type, |all, value| all & value),
        ListAggregate::BitOr => bits(&lists, call.data_type, |all, value| all | value),
        ListAggregate::BitXor => bits(&lists, call.data_type, |all, value| all ^ value),
        ListAggregate::Entropy => entropy(&lists),
        ListAggregate::Join(separator) => join(&lists, separator),
        ListAggregate::Mode => mode(&lists),
        ListAggregate::QuantileDiscrete { q, descending } => quantile(&lists, q.get(), *descending),
        ListAggregate::Correlation
        | ListAggregate::Covariance(_)
        | ListAggregate::Regression(_) => of_points(function, &lists),
        ListAggregate::Kurtosis(_)
        | ListAggregate::MedianDeviation
        | ListAggregate::Product
        | ListAggregate::Skewness => of_numbers(function, &lists),
    }
}

/// One list per row, or two of one length.
struct Lists<'a>(Vec<&'a ListArray>);

impl Lists<'_> {
    fn rows(&self) -> usize {
        self.0[0].len()
    }

    fn values(&self, list: usize) -> &ArrayRef {
        self.0[list].values()
    }

    /// The places of a row's values among those of all rows; none for a null.
    fn range(&self, list: usize, row: usize) -> Range<usize> {
        let list = self.0[list];
        let offsets = list.value_offsets();
        match list.is_null(row) {
            true => 0..0,
            false => offsets[row] as usize..offsets[row + 1] as usize,
        }
    }

    /// The places of a row's values that are not null.
    fn valid(&self, row: usize) -> impl Iterator<Item = usize> {
        let values = self.values(0);
        self.range(0, row).filter(move |&at| values.is_valid(at))
    }

    /// The places, in both lists, of a row's pairs in which neither value is null.
    fn pairs(&self, row: usize) -> impl Iterator<Item = (usize, usize)> {
        let (left, right) = (self.values(0), self.values(1));
        let both = self.range(0, row).zip(self.range(1, row));
        both.filter(move |&(a, b)| left.is_valid(a) && right.is_valid(b))
    }

    /// A list's values as bytes that compare as they do.
    fn keys(&self, list: usize) -> Result<Rows, Failure> {
        let values = plain(self.values(list)).map_err(Failure::Type)?;
        let converter = row_converter(values.data_type()).map_err(Failure::Type)?;
        let rows = converter.convert_columns(&[values]);
        rows.map_err(|cause| failed(&cause.to_string()))
    }

    fn floats(&self, list: usize) -> Result<Float64Array, Failure> {
        let values = cast(self.values(list), &DataType::Float64);
        let values = values.map_err(|cause| failed(&cause.to_string()))?;
        Ok(values.as_primitive::<Float64Type>().clone())
    }

    /// The values of the first list at a place per row.
    fn picked(&self, places: &UInt64Array) -> Result<ArrayRef, Failure> {
        take(self.values(0), places, None).map_err(|cause| failed(&cause.to_string()))
    }
}

fn failed(cause: &str) -> Failure {
    Failure::Type(Error::invalid("lists", cause, ""))
}

/// The values beside those that go before all others.
fn extreme(lists: &Lists, goes_before: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef, Failure> {
    let keys = lists.keys(1)?;
    let chosen = (0..lists.rows()).map(|row| {
        let first = lists.pairs(row).reduce(|best, other| {
            let before = goes_before(keys.row(other.1).data(), keys.row(best.1).data());
            if before { other } else { best }
        });
        first.map(|(at, _)| at as u64)
    });
    lists.picked(&chosen.collect())
}

fn bits(lists: &Lists, to: &DataType, fold: fn(i128, i128) -> i128) -> Result<ArrayRef, Failure> {
    let values = lists.values(0);
    let Some(Numbers::Integers(integers)) = numbers(values) else {
        return Err(refused(&"bits", values.data_type()));
    };
    let folded = (0..lists.rows()).map(|row| {
        let row = lists.valid(row).map(|at| integers[at]);
        row.reduce(fold)
    });
    let folded: Vec<Option<i128>> = folded.collect();
    let nulls = folded.iter().map(Option::is_some).collect();
    let values: Vec<i128> = folded.into_iter().map(Option::unwrap_or_default).collect();
    from_integers(&values, Some(nulls), to).ok_or_else(|| refused(&"bits", to))
}

/// How often each of a row's values occurs, and where first.
fn occurrences<'a>(lists: &Lists, keys: &'a Rows, row: usize) -> HashMap<&'a [u8], (u64, usize)> {
    let mut counts = HashMap::new();
    for at in lists.valid(row) {
        counts.entry(keys.row(at).data()).or_insert((0, at)).0 += 1;
    }
    counts
}

fn entropy(lists: &Lists) -> Result<ArrayRef, Failure> {
    let keys = lists.keys(0)?;
    let entropies = (0..lists.rows()).map(|row| {
        let mut counts: Vec<(u64, usize)> = occurrences(lists, &keys, row).into_values().collect();
        // Additions in one order give one sum.
        counts.sort_by_key(|&(_, at)| at);
        let all: u64 = counts.iter().map(|(count, _)| count).sum();
        let parts = counts.iter().map(|(count, _)| *count as f64 / all as f64);
        // From 0, so that no sum is a negative zero.
        0.0 - parts.map(|part| part * part.log2()).sum::<f64>()
    });
    Ok(Arc::new(Float64Array::from_iter_values(entropies)))
}

fn join(lists: &Lists, separator: &str) -> Result<ArrayRef, Failure> {
    let strings = cast(lists.values(0), &DataType::Utf8View);
    let strings = strings.map_err(|cause| failed(&cause.to_string()))?;
    let strings = strings.as_string_view();
    let joined = (0..lists.rows()).map(|row| {
        let parts: Vec<&str> = lists.valid(row).map(|at| strings.value(at)).collect();
        (!parts.is_empty()).then(|| parts.join(separator))
    });
    Ok(Arc::new(joined.collect::<StringArray>()))
}

fn mode(lists: &Lists) -> Result<ArrayRef, Failure> {
    let keys = lists.keys(0)?;
    let modes = (0..lists.rows()).map(|row| {
        let counts = occurrences(lists, &keys, row).into_values();
        let most = counts.max_by_key(|&(count, at)| (count, std::cmp::Reverse(at)));
        most.map(|(_, at)| at as u64)
    });
    lists.picked(&modes.collect())
}

fn quantile(lists: &Lists, q: f64, descending: bool) -> Result<ArrayRef, Failure> {
    let keys = lists.keys(0)?;
    let places = (0..lists.rows()).map(|row| {
        let mut sorted: Vec<usize> = lists.valid(row).collect();
        sorted.sort_by(|&a, &b| keys.row(a).cmp(&keys.row(b)));
        if descending {
            sorted.reverse();
        }
        let place = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(place.saturating_sub(1)).map(|&at| at as u64)
    });
    lists.picked(&places.collect())
}

fn of_numbers(function: &ListAggregate, lists: &Lists) -> Result<ArrayRef, Failure> {
    let floats = lists.floats(0)?;
    let results = (0..lists.rows()).map(|row| {
        let mut values: Vec<f64> = lists.valid(row).map(|at| floats.value(at)).collect();
        if values.is_empty() {
            return None;
        }
        match function {
            ListAggregate::Product => Some(values.iter().product()),
            ListAggregate::MedianDeviation => {
                let middle = median(&mut values);
                let distances = values.iter().map(|value| (value - middle).abs());
                Some(median(&mut distances.collect::<Vec<_>>()))
            }
            ListAggregate::Skewness => skewness(&values),
            ListAggregate::Kurtosis(ddof) => kurtosis(&values, *ddof),
            _ => None,
        }
    });
    Ok(Arc::new(results.collect::<Float64Array>()))
}

/// The middle of some numbers, which are sorted on the way.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    low + (high - low) / 2.0
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Mean of a power of the distances from the mean.
fn moment(values: &[f64], power: i32) -> f64 {
    let centre = mean(values.iter().copied());
    mean(values.iter().map(|value| (value - centre).powi(power)))
}

fn skewness(values: &[f64]) -> Option<f64> {
    let (count, variance) = (values.len() as f64, moment(values, 2));
    if values.len() < 3 || variance == 0.0 {
        return None;
    }
    let of_population = moment(values, 3) / variance.powf(1.5);
    Some(of_population * (count * (count - 1.0)).sqrt() / (count - 2.0))
}

fn kurtosis(values: &[f64], ddof: Ddof) -> Option<f64> {
    let (count, variance) = (values.len() as f64, moment(values, 2));
    let least = match ddof {
        Ddof::Population => 1,
        Ddof::Sample => 4,
    };
    if values.len() < least || variance == 0.0 {
        return None;
    }
    let ratio = moment(values, 4) / (variance * variance);
    Some(match ddof {
        Ddof::Population => ratio - 3.0,
        Ddof::Sample => {
            let scale = (count - 1.0) / ((count - 2.0) * (count - 3.0));
            scale * ((count + 1.0) * ratio - 3.0 * (count - 1.0))
        }
    })
}

fn of_points(function: &ListAggregate, lists: &Lists) -> Result<ArrayRef, Failure> {
    let (y, x) = (lists.floats(0)?, lists.floats(1)?);
    let points = |row| -> Vec<(f64, f64)> {
        let pairs = lists.pairs(row);
        pairs.map(|(a, b)| (y.value(a), x.value(b))).collect()
    };
    let rows = 0..lists.rows();
    if *function == ListAggregate::Regression(Regression::Count) {
        let counts = rows.map(|row| points(row).len() as i64);
        return Ok(Arc::new(Int64Array::from_iter_values(counts)));
    }
    let results = rows.map(|row| spread(function, &points(row)));
    Ok(Arc::new(results.collect::<Float64Array>()))
}

/// What the spread of some points, `y` before `x`, comes to.
fn spread(function: &ListAggregate, points: &[(f64, f64)]) -> Option<f64> {
    if points.is_empty() {
        return None;
    }
    let count = points.len() as f64;
    let mean_y = mean(points.iter().map(|point| point.0));
    let mean_x = mean(points.iter().map(|point| point.1));
    let sum = |of: fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|(y, x)| of(y - mean_y, x - mean_x)).sum()
    };
    let (xx, yy, xy) = (sum(|_, x| x * x), sum(|y, _| y * y), sum(|y, x| x * y));
    let correlation = xy / (xx.sqrt() * yy.sqrt());
    let slope = xy / xx;
    match function {
        ListAggregate::Covariance(ddof) => {
            let denominator = count - ddof.count() as f64;
            (denominator > 0.0).then(|| xy / denominator)
        }
        ListAggregate::Correlation => Some(correlation),
        ListAggregate::Regression(regression) => match regression {
            Regression::AverageX => Some(mean_x),
            Regression::AverageY => Some(mean_y),
            Regression::Intercept => (xx > 0.0).then_some(mean_y - slope * mean_x),
            Regression::RSquared if yy == 0.0 => (xx > 0.0).then_some(1.0),
            Regression::RSquared => (xx > 0.0).then_some(correlation * correlation),
            Regression::Slope => Some(slope),
            Regression::SquaresX => Some(xx),
            Regression::SquaresY => Some(yy),
            Regression::Products => Some(xy),
            Regression::Count => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, ListArray, RecordBatch};
    use arrow::datatypes::{Float64Type, Int64Type};

    use super::super::super::evaluate::evaluate;
    use crate::expr::{Expr, Function, ListAggregate, Probability, Regression, col, resolve};
    use crate::types::Semantics;

    /// The results over lists with nulls, an empty list and a null.
    fn results(function: ListAggregate, operands: &[Expr]) -> ArrayRef {
        let left = vec![
            Some(vec![Some(3), None, Some(1), Some(3)]),
            Some(vec![]),
            None,
            Some(vec![Some(6), Some(5)]),
        ];
        let right = vec![
            Some(vec![Some(1), Some(9), Some(5), Some(5)]),
            Some(vec![]),
            None,
            Some(vec![None, Some(2)]),
        ];
        let list = |rows| Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows)) as _;
        let columns: [(_, ArrayRef); 2] = [("left", list(left)), ("right", list(right))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let call = Expr::Function {
            function: Function::ListAggregate(function),
            operands: operands.to_vec(),
        };
        let call = resolve(&call, &batch.schema()).unwrap();
        evaluate(&call, &batch, Semantics::default()).unwrap()
    }

    fn integers(function: ListAggregate, operands: &[Expr]) -> Vec<Option<i64>> {
        let column = results(function, operands);
        column.as_primitive::<Int64Type>().iter().collect()
    }

    fn floats(function: ListAggregate, operands: &[Expr]) -> Vec<Option<f64>> {
        let column = results(function, operands);
        column.as_primitive::<Float64Type>().iter().collect()
    }

    #[test]
    fn nulls_are_passed_over_and_nothing_gives_null() {
        let one = [col("left")];
        let both = [col("left"), col("right")];
        let expected = |first, last| vec![Some(first), None, None, Some(last)];
        assert_eq!(integers(ListAggregate::ArgMax, &both), expected(1, 5));
        assert_eq!(integers(ListAggregate::ArgMin, &both), expected(3, 5));
        assert_eq!(integers(ListAggregate::BitXor, &one), expected(1, 3));
        assert_eq!(integers(ListAggregate::Mode, &one), expected(3, 6));
        let products = floats(ListAggregate::Product, &one);
        assert_eq!(products, [Some(9.0), None, None, Some(30.0)]);
        let median = ListAggregate::QuantileDiscrete {
            q: Probability::HALF,
            descending: false,
        };
        assert_eq!(integers(median, &one), expected(3, 5));
        let count = ListAggregate::Regression(Regression::Count);
        assert_eq!(integers(count, &both), [Some(3), Some(0), Some(0), Some(1)]);
        let none = floats(ListAggregate::Entropy, &one)[1];
        assert!(none.is_some_and(|none| none == 0.0 && none.is_sign_positive()));
        assert_eq!(floats(ListAggregate::Skewness, &one)[3], None);
    }

    #[test]
    fn operands_are_lists_of_fitting_values() {
        let batch = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
            "number",
            crate::types::DataType::Int64,
            true,
        )]);
        let call = Expr::Function {
            function: Function::ListAggregate(ListAggregate::Mode),
            operands: vec![col("number")],
        };
        assert!(resolve(&call, &batch).is_err());
    }
}
