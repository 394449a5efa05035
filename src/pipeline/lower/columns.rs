//! Columns by name and by index: which are kept, and expressions over them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::expr::{TypedExpr, TypedKind, literal_array};
use crate::types::{DataType, Field, PhysicalType, Schema, SchemaRef, is_text};

pub(super) fn no_columns() -> Error {
    Error::invalid(
        "plan",
        "a step has no columns",
        "select one, or count the rows",
    )
}

/// Indices of the wanted columns, in the schema's order; at least one, so that rows are counted.
pub(super) fn columns_of(schema: &Schema, wanted: &BTreeSet<String>) -> Result<Vec<usize>> {
    let fields = schema.fields();
    let columns: Vec<usize> = (0..fields.len())
        .filter(|&index| wanted.contains(fields[index].name()))
        .collect();
    if !columns.is_empty() {
        return Ok(columns);
    }
    let width = |index: &usize| {
        let data_type = fields[*index].data_type();
        match PhysicalType::of(data_type) {
            _ if is_text(data_type) => u64::MAX - 2,
            Some(physical) => physical.bits(),
            None if data_type.is_nested() => u64::MAX,
            None => u64::MAX - 1,
        }
    };
    match (0..fields.len()).min_by_key(width) {
        Some(narrowest) => Ok(vec![narrowest]),
        None => Err(no_columns()),
    }
}

pub(super) fn projected(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let fields = columns.iter().map(|&index| schema.field(index).clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The field of an expression: a column keeps whether it may be null.
pub(super) fn output_field(name: String, typed: &TypedExpr, input: &Schema) -> Field {
    let nullable = match typed.kind {
        TypedKind::Column(index) => input.field(index).is_nullable(),
        _ => true,
    };
    Field::new(name, typed.data_type.clone(), nullable)
}

/// The columns that the expressions are, if they are nothing else.
pub(super) fn exprs_are_columns(exprs: &[TypedExpr]) -> Option<Vec<usize>> {
    exprs
        .iter()
        .map(|expr| match expr.kind {
            TypedKind::Column(index) => Some(index),
            _ => None,
        })
        .collect()
}

/// A predicate of type Boolean: a bare null is a Boolean null.
pub(super) fn truth(predicate: TypedExpr) -> Result<TypedExpr> {
    match (&predicate.kind, &predicate.data_type) {
        (TypedKind::Literal(literal), DataType::Null) => {
            literal_array(literal, &DataType::Boolean)?;
            Ok(TypedExpr {
                data_type: DataType::Boolean,
                kind: predicate.kind,
            })
        }
        (_, DataType::Boolean) => Ok(predicate),
        _ => Ok(TypedExpr {
            data_type: DataType::Boolean,
            kind: TypedKind::Cast {
                expr: Box::new(predicate),
                strict: true,
            },
        }),
    }
}

/// The names of all columns.
pub(super) fn all_names(schema: &Schema) -> BTreeSet<String> {
    schema.fields().iter().map(|f| f.name().clone()).collect()
}

/// The expression in this type.
pub(super) fn cast(expr: TypedExpr, to: &DataType) -> TypedExpr {
    if expr.data_type == *to {
        return expr;
    }
    TypedExpr {
        kind: TypedKind::Cast {
            expr: Box::new(expr),
            strict: true,
        },
        data_type: to.clone(),
    }
}

/// Gives every column of an expression another index.
pub(crate) fn map_columns(expr: &mut TypedExpr, to: &dyn Fn(usize) -> usize) {
    let map = |expr: &mut TypedExpr| map_columns(expr, to);
    match &mut expr.kind {
        TypedKind::Column(index) => *index = to(*index),
        TypedKind::Literal(_) => {}
        TypedKind::Arithmetic { left, right, .. }
        | TypedKind::Compare { left, right, .. }
        | TypedKind::And(left, right)
        | TypedKind::Or(left, right) => {
            map(left);
            map(right);
        }
        TypedKind::Not(operand)
        | TypedKind::Negate(operand)
        | TypedKind::IsNull(operand)
        | TypedKind::IsNotNull(operand)
        | TypedKind::Cast { expr: operand, .. } => map(operand),
        TypedKind::Case {
            branches,
            otherwise,
        } => {
            for (condition, value) in branches {
                map(condition);
                map(value);
            }
            if let Some(otherwise) = otherwise {
                map(otherwise);
            }
        }
        TypedKind::Coalesce(operands) | TypedKind::Function { operands, .. } => {
            operands.iter_mut().for_each(map);
        }
    }
}
