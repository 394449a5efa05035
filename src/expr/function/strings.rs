//! Functions over strings.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::typed::TypedExpr;
use super::{only, undefined};
use crate::error::Result;
use crate::types::{DataType, is_string};

/// A function over strings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StringFunction {
    /// Number of characters (Unicode scalar values), as `Int32`.
    Length,
}

impl StringFunction {
    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<(Vec<TypedExpr>, DataType)> {
        let operand = only(self, operands)?;
        if !is_string(&operand.data_type) {
            return Err(undefined(self, &operand.data_type));
        }
        Ok((vec![operand], DataType::Int32))
    }
}

impl fmt::Display for StringFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StringFunction::Length => "length",
        })
    }
}
