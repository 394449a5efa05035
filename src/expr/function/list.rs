//! Membership in a list of constants.

use serde::{Deserialize, Serialize};

use super::super::resolve::{cast_to, common_of_all};
use super::super::typed::{TypedExpr, TypedKind};
use super::{Function, applied, only};
use crate::error::Result;
use crate::types::{DataType, Literal};

/// True if the operand equals a value of the list, by the rules of `=` in the type that all of them
/// meet in. SQL's nulls: a null operand gives null; so does one that equals nothing in a list with a
/// null. Nothing is in an empty list, a null neither: false.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct InList {
    /// The constants, in any order, of types that meet the operand's.
    pub values: Vec<Literal>,
}

impl InList {
    pub(super) fn resolve(&self, operands: Vec<TypedExpr>) -> Result<TypedExpr> {
        let whole = Function::InList(self.clone());
        let operand = only(&whole, operands)?;
        let literal = |literal: &Literal| TypedExpr {
            kind: TypedKind::Literal(literal.clone()),
            data_type: literal.data_type(),
        };
        let mut all = vec![operand];
        all.extend(self.values.iter().map(literal));
        let common = common_of_all(&whole, all.iter())?;
        let values = all.split_off(1);
        for value in values {
            cast_to(value, &common)?; // an impossible constant is the plan's error
        }
        let operands = all.into_iter().map(|operand| cast_to(operand, &common));
        let operands = operands.collect::<Result<_>>()?;
        Ok(applied(whole, operands, DataType::Boolean))
    }
}
