//! What is known of a column's values before they are read.

use serde::{Deserialize, Serialize};

/// Bounds of a column's values, for estimates. Numbers are as they are, decimals with their fraction;
/// dates are days, times and timestamps counts of their unit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnEstimate {
    /// No value is less, but for rounding.
    #[serde(default)]
    pub min: Option<f64>,
    /// No value is greater, but for rounding.
    #[serde(default)]
    pub max: Option<f64>,
    /// The number of different values, about.
    #[serde(default)]
    pub distinct: Option<f64>,
}

impl ColumnEstimate {
    /// What holds of the values of both.
    #[must_use]
    pub fn union(self, other: ColumnEstimate) -> ColumnEstimate {
        let both = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| Some(pick(a?, b?));
        ColumnEstimate {
            min: both(self.min, other.min, f64::min),
            max: both(self.max, other.max, f64::max),
            distinct: both(self.distinct, other.distinct, f64::max),
        }
    }
}
