//! Functions over numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::coerce::is_numeric;
use super::super::typed::TypedExpr;
use super::{only, undefined};
use crate::error::Result;
use crate::types::DataType;

/// A function over numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MathFunction {
    /// The value without its sign; the type stays. The least signed integer overflows.
    Abs,
}

impl MathFunction {
    pub(super) fn resolve(self, operands: Vec<TypedExpr>) -> Result<(Vec<TypedExpr>, DataType)> {
        let operand = only(&self, operands)?;
        if !is_numeric(&operand.data_type) {
            return Err(undefined(&self, &operand.data_type));
        }
        let data_type = operand.data_type.clone();
        Ok((vec![operand], data_type))
    }
}

impl fmt::Display for MathFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MathFunction::Abs => "abs",
        })
    }
}
