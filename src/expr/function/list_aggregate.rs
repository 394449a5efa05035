//! Aggregates of the values of a list: what a group's values, once collected, come to.
//!
//! Here are those that are asked for too rarely to have an accumulator of their own in `group_by`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::coerce::is_numeric;
use super::super::{Ddof, Probability};
use super::{Function, TypedExpr, applied, undefined};
use crate::error::{Error, Result};
use crate::types::{DataType, is_string};

/// An aggregate of a list's values that are not null; of two lists of one length, of the pairs in which
/// neither is. Null for no values, except where it says otherwise, and of a null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListAggregate {
    /// The value beside the greatest one of the second list; of several, the first.
    ArgMax,
    /// The value beside the least one of the second list; of several, the first.
    ArgMin,
    /// The bits that all integers have.
    BitAnd,
    /// The bits that any integer has.
    BitOr,
    /// The bits that an odd number of integers have.
    BitXor,
    /// Pearson's correlation of two lists of numbers; NaN if one does not vary.
    Correlation,
    /// Covariance of two lists of numbers; null for fewer pairs than the denominator needs.
    Covariance(Ddof),
    /// Shannon's entropy of how often each value occurs, in bits; 0 for no values.
    Entropy,
    /// The strings behind one another, with this between each two.
    Join(String),
    /// Excess kurtosis; of a sample null for fewer than four values. Null if they do not vary.
    Kurtosis(Ddof),
    /// Median of the distances from the median.
    MedianDeviation,
    /// The value that occurs most often; of several, the one that came first.
    Mode,
    /// Product of the numbers, as `Float64`.
    Product,
    /// The first of the sorted values at or before which at least this part of them stands.
    QuantileDiscrete {
        /// The part.
        q: Probability,
        /// Whether the values are sorted from the greatest to the least.
        descending: bool,
    },
    /// About the line through points, the first list of which has their `y`, the second their `x`.
    Regression(Regression),
    /// Skewness of a sample; null for fewer than three values, and if they do not vary.
    Skewness,
}

/// What a regression by least squares is asked for, by its name in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regression {
    /// Mean of `x`.
    AverageX,
    /// Mean of `y`.
    AverageY,
    /// Number of points, as `Int64`; 0 for none.
    Count,
    /// Where the line meets the axis of `y`; null if `x` does not vary.
    Intercept,
    /// The square of the correlation; null if `x` does not vary, else 1 if `y` does not.
    RSquared,
    /// Slope of the line; NaN if `x` does not vary.
    Slope,
    /// Sum of the squared distances of `x` from its mean.
    SquaresX,
    /// Sum of the squared distances of `y` from its mean.
    SquaresY,
    /// Sum of the products of both distances.
    Products,
}

impl ListAggregate {
    /// True for aggregates of two lists.
    pub fn is_of_pairs(&self) -> bool {
        matches!(
            self,
            Self::ArgMax
                | Self::ArgMin
                | Self::Correlation
                | Self::Covariance(_)
                | Self::Regression(_)
        )
    }

    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let lists = if self.is_of_pairs() { 2 } else { 1 };
        if operands.len() != lists {
            let cause = format!("has {} operands, of {lists}", operands.len());
            return Err(Error::invalid(format!("function {self}"), cause, ""));
        }
        let items = operands.iter().map(|operand| match &operand.data_type {
            DataType::List(item) => Ok(item.data_type().clone()),
            other => Err(undefined(self, other)),
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        let data_type = self.result(&items)?;
        Ok(applied(
            Function::ListAggregate(self.clone()),
            operands,
            data_type,
        ))
    }

    /// The type of the result over lists of these.
    fn result(&self, items: &[DataType]) -> Result<DataType> {
        let unfit = |is_fit: fn(&DataType) -> bool| items.iter().find(|item| !is_fit(item));
        let unfit = match self {
            Self::ArgMax | Self::ArgMin | Self::Entropy | Self::Mode => None,
            Self::QuantileDiscrete { .. } => None,
            Self::BitAnd | Self::BitOr | Self::BitXor => unfit(DataType::is_integer),
            Self::Join(_) => unfit(is_string),
            _ => unfit(is_numeric),
        };
        if let Some(item) = unfit {
            return Err(undefined(self, item));
        }
        let own = items.first().cloned().unwrap_or(DataType::Null);
        Ok(match self {
            Self::ArgMax | Self::ArgMin | Self::Mode | Self::QuantileDiscrete { .. } => own,
            Self::BitAnd | Self::BitOr | Self::BitXor => own,
            Self::Join(_) => DataType::Utf8,
            Self::Regression(Regression::Count) => DataType::Int64,
            _ => DataType::Float64,
        })
    }
}

impl fmt::Display for ListAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |ddof: &Ddof| match ddof {
            Ddof::Population => "_pop",
            Ddof::Sample => "",
        };
        match self {
            Self::ArgMax => f.write_str("arg_max"),
            Self::ArgMin => f.write_str("arg_min"),
            Self::BitAnd => f.write_str("bit_and"),
            Self::BitOr => f.write_str("bit_or"),
            Self::BitXor => f.write_str("bit_xor"),
            Self::Correlation => f.write_str("corr"),
            Self::Covariance(ddof) => write!(f, "covar{}", suffix(ddof)),
            Self::Entropy => f.write_str("entropy"),
            Self::Join(separator) => write!(f, "join[{separator:?}]"),
            Self::Kurtosis(ddof) => write!(f, "kurtosis{}", suffix(ddof)),
            Self::MedianDeviation => f.write_str("mad"),
            Self::Mode => f.write_str("mode"),
            Self::Product => f.write_str("product"),
            Self::QuantileDiscrete { q, descending } => {
                let order = if *descending { ", descending" } else { "" };
                write!(f, "quantile_disc[{}{order}]", q.get())
            }
            Self::Regression(regression) => f.write_str(match regression {
                Regression::AverageX => "regr_avgx",
                Regression::AverageY => "regr_avgy",
                Regression::Count => "regr_count",
                Regression::Intercept => "regr_intercept",
                Regression::RSquared => "regr_r2",
                Regression::Slope => "regr_slope",
                Regression::SquaresX => "regr_sxx",
                Regression::SquaresY => "regr_syy",
                Regression::Products => "regr_sxy",
            }),
            Self::Skewness => f.write_str("skewness"),
        }
    }
}
