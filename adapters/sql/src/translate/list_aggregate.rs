//! Aggregates that are functions of a group's collected values.

use pelton::error::Result;
use pelton::expr::{AggregateFunction, Ddof, Expr, Function, ListAggregate, Regression, col};
use pelton::types::DataType;

use super::aggregate::place;
use super::expr::text;
use crate::problem::unsupported;

/// What stands between strings where the text does not say.
const SEPARATOR: &str = ",";

/// An aggregate of lists by its SQL name, and the values that are collected; nothing for others.
///
/// # Errors
/// `Unsupported` for operands that must be constants and are none.
pub(super) fn function(
    name: &str,
    operands: &[Expr],
    descending: bool,
) -> Result<Option<(ListAggregate, Vec<Expr>)>> {
    let function = match (name, operands) {
        ("arg_max", _) => ListAggregate::ArgMax,
        ("arg_min", _) => ListAggregate::ArgMin,
        ("bit_and", _) => ListAggregate::BitAnd,
        ("bit_or", _) => ListAggregate::BitOr,
        ("bit_xor", _) => ListAggregate::BitXor,
        ("corr", _) => ListAggregate::Correlation,
        ("covar_pop", _) => ListAggregate::Covariance(Ddof::Population),
        ("covar" | "covar_samp", _) => ListAggregate::Covariance(Ddof::Sample),
        ("entropy", _) => ListAggregate::Entropy,
        ("kurtosis", _) => ListAggregate::Kurtosis(Ddof::Sample),
        ("kurtosis_pop", _) => ListAggregate::Kurtosis(Ddof::Population),
        ("mad", _) => ListAggregate::MedianDeviation,
        ("mode", _) => ListAggregate::Mode,
        ("percentile_disc", [_, at]) => ListAggregate::QuantileDiscrete {
            q: place(at, name)?,
            descending,
        },
        ("product", _) => ListAggregate::Product,
        ("regr_avgx", _) => ListAggregate::Regression(Regression::AverageX),
        ("regr_avgy", _) => ListAggregate::Regression(Regression::AverageY),
        ("regr_count", _) => ListAggregate::Regression(Regression::Count),
        ("regr_intercept", _) => ListAggregate::Regression(Regression::Intercept),
        ("regr_r2", _) => ListAggregate::Regression(Regression::RSquared),
        ("regr_slope", _) => ListAggregate::Regression(Regression::Slope),
        ("regr_sxx", _) => ListAggregate::Regression(Regression::SquaresX),
        ("regr_syy", _) => ListAggregate::Regression(Regression::SquaresY),
        ("regr_sxy", _) => ListAggregate::Regression(Regression::Products),
        ("skewness", _) => ListAggregate::Skewness,
        ("string_agg", [_]) => ListAggregate::Join(SEPARATOR.to_string()),
        ("string_agg", [_, separator]) => ListAggregate::Join(text(separator, "a separator")?),
        _ => return Ok(None),
    };
    let collected = if function.is_of_pairs() { 2 } else { 1 };
    match operands.get(..collected) {
        Some(operands) => Ok(Some((function, operands.to_vec()))),
        None => Err(unsupported(format!(
            "{name} of {} operands",
            operands.len()
        ))),
    }
}

/// Whether the order of its values changes the aggregate.
pub(super) fn depends_on_order(function: &ListAggregate) -> bool {
    use ListAggregate::{ArgMax, ArgMin, Join, Mode};
    matches!(function, ArgMax | ArgMin | Join(_) | Mode)
}

/// The lists of some values, under the name of the result and their numbers, and the aggregate of them.
pub(super) fn collected(
    function: &ListAggregate,
    operands: impl Iterator<Item = Expr>,
    result: &str,
) -> (Vec<Expr>, Expr) {
    let list = |index: usize| format!("{result}.list{index}");
    let lists = operands.enumerate().map(|(index, operand)| {
        let values = match function {
            ListAggregate::Join(_) => operand.cast(DataType::Utf8),
            _ => operand,
        };
        let collect = Expr::Aggregate {
            function: AggregateFunction::Collect,
            expr: Some(Box::new(values)),
        };
        collect.alias(list(index))
    });
    let lists: Vec<Expr> = lists.collect();
    let of_lists = Expr::Function {
        function: Function::ListAggregate(function.clone()),
        operands: (0..lists.len()).map(|index| col(list(index))).collect(),
    };
    (lists, of_lists.alias(result))
}
