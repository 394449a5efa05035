//! The choices in which front ends differ. A plan carries them; operators obey; the CPU backend
//! defines what each means.
//!
//! Fixed, not chosen: NaN equals NaN and is greater than every other number, in comparisons, keys,
//! `min` and `max`; −0.0 equals 0.0; strings compare by their bytes; `mean` is a float.

use serde::{Deserialize, Serialize};

/// What happens when an integer or decimal result does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Integers wrap around (two's complement). A decimal that does not fit is null.
    #[default]
    Wrap,
    /// The query fails with an arithmetic error.
    Error,
}

/// What integer or decimal division, or remainder, by zero gives. Floats follow IEEE 754.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DivisionByZero {
    /// A null.
    #[default]
    Null,
    /// The query fails with an arithmetic error.
    Error,
}

/// What the sum of no values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptySum {
    /// A null, as SQL has it.
    #[default]
    Null,
    /// Zero, as dataframes have it.
    Zero,
}

/// The semantics of one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Semantics {
    /// Integer and decimal overflow in expressions and sums.
    pub overflow: Overflow,
    /// Integer and decimal division by zero.
    pub division_by_zero: DivisionByZero,
    /// The sum of no values.
    pub empty_sum: EmptySum,
}
