//! What aggregates are asked for besides their function: which quantile, which denominator, which
//! row.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::AggregateFunction;
use crate::error::{Error, Result};

/// What is taken from the number of values in the denominator of a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ddof {
    /// Nothing: the values are the whole population.
    Population,
    /// One: the values are a sample. The variance of one value is null.
    #[default]
    Sample,
}

impl Ddof {
    /// The number: 0 or 1.
    pub fn count(self) -> u64 {
        match self {
            Ddof::Population => 0,
            Ddof::Sample => 1,
        }
    }
}

/// The value of a quantile that falls between two neighbours of the sorted values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// `lower + (higher − lower) × fraction`, as `Float64`.
    #[default]
    Linear,
    /// The lesser neighbour.
    Lower,
    /// The greater neighbour.
    Higher,
    /// The nearer neighbour; half way, the greater one.
    Nearest,
    /// `lower + (higher − lower) / 2`, as `Float64`.
    Midpoint,
}

impl Interpolation {
    /// True if the quantile is one of the values, of their type; else it is a `Float64`.
    pub fn picks_a_value(self) -> bool {
        matches!(
            self,
            Interpolation::Lower | Interpolation::Higher | Interpolation::Nearest
        )
    }
}

/// A number between 0 and 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// One half: the median's.
    pub const HALF: Probability = Probability(0.5);

    /// The number, checked.
    ///
    /// # Errors
    /// `InvalidInput` for a number outside of [0, 1], and for NaN.
    ///
    /// ```
    /// use pelton::expr::Probability;
    /// assert!(Probability::new(0.99).is_ok());
    /// assert!(Probability::new(99.0).is_err());
    /// ```
    pub fn new(value: f64) -> Result<Probability> {
        if (0.0..=1.0).contains(&value) {
            Ok(Probability(value + 0.0)) // −0.0 becomes 0.0
        } else {
            let cause = format!("{value} is not between 0 and 1");
            Err(Error::invalid("quantile", cause, "0.5 is the median"))
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Probability {} // never NaN

impl Hash for Probability {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl TryFrom<f64> for Probability {
    type Error = Error;
    fn try_from(value: f64) -> Result<Probability> {
        Probability::new(value)
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> f64 {
        probability.0
    }
}

/// Which of several equal rows is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Any one.
    #[default]
    Any,
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keep::Any => "any",
            Keep::First => "first",
            Keep::Last => "last",
        })
    }
}

impl fmt::Display for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AggregateFunction::Sum => "sum",
            AggregateFunction::Count => "count",
            AggregateFunction::CountDistinct => "n_unique",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Mean => "mean",
            AggregateFunction::Variance(Ddof::Sample) => "var",
            AggregateFunction::Variance(Ddof::Population) => "var_pop",
            AggregateFunction::StandardDeviation(Ddof::Sample) => "std",
            AggregateFunction::StandardDeviation(Ddof::Population) => "std_pop",
            AggregateFunction::First => "first",
            AggregateFunction::Last => "last",
            AggregateFunction::AnyValue => "any_value",
            AggregateFunction::Any => "any",
            AggregateFunction::All => "all",
            AggregateFunction::ApproxCountDistinct => "approx_n_unique",
            AggregateFunction::Collect => "collect",
            AggregateFunction::Quantile {
                q: Probability::HALF,
                interpolation: Interpolation::Linear,
            } => "median",
            AggregateFunction::Quantile { q, interpolation } => {
                let kind = match interpolation {
                    Interpolation::Linear => "linear",
                    Interpolation::Lower => "lower",
                    Interpolation::Higher => "higher",
                    Interpolation::Nearest => "nearest",
                    Interpolation::Midpoint => "midpoint",
                };
                return write!(f, "quantile[{}, {kind}]", q.get());
            }
        })
    }
}
