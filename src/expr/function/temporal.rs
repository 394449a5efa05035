//! Functions over dates, times and durations.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::typed::TypedExpr;
use super::{only, undefined};
use crate::error::Result;
use crate::types::DataType;

/// A part of a date or time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year, of the proleptic Gregorian calendar.
    Year,
}

/// A function over dates, times and durations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemporalFunction {
    /// A part of a date, as `Int32`.
    Extract(DatePart),
}

impl TemporalFunction {
    pub(super) fn resolve(self, operands: Vec<TypedExpr>) -> Result<(Vec<TypedExpr>, DataType)> {
        let operand = only(&self, operands)?;
        if operand.data_type != DataType::Date32 {
            return Err(undefined(&self, &operand.data_type));
        }
        Ok((vec![operand], DataType::Int32))
    }
}

impl fmt::Display for TemporalFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TemporalFunction::Extract(DatePart::Year) => "year",
        })
    }
}
