//! The schema of each step.

use std::collections::HashSet;
use std::sync::Arc;

use super::LogicalPlan;
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, Expr, aggregate_type, resolve};
use crate::types::{DataType, Field, Schema, SchemaRef};

pub(super) fn of(plan: &LogicalPlan) -> Result<SchemaRef> {
    match plan {
        LogicalPlan::Scan { files } => Ok(Arc::new(files.schema.clone())),
        LogicalPlan::Filter { input, predicate } => {
            let schema = of(input)?;
            let typed = resolve(predicate, &schema).map_err(|error| error.context("filter"))?;
            if !matches!(typed.data_type, DataType::Boolean | DataType::Null) {
                return Err(Error::invalid(
                    format!("expression `{predicate}`"),
                    format!("a filter needs Boolean, has {}", typed.data_type),
                    "compare it with something",
                )
                .context("filter"));
            }
            Ok(schema)
        }
        LogicalPlan::Project { input, exprs } => {
            let schema = of(input)?;
            let fields = exprs.iter().map(|expr| field_of(expr, &schema));
            named(
                fields
                    .collect::<Result<_>>()
                    .map_err(|error| error.context("project"))?,
            )
        }
        LogicalPlan::Aggregate {
            input,
            group_keys,
            aggregates,
        } => {
            let schema = of(input)?;
            let context = |error: Error| error.context("aggregate");
            let mut fields: Vec<Field> = group_keys
                .iter()
                .map(|key| field_of(key, &schema))
                .collect::<Result<_>>()
                .map_err(context)?;
            for aggregate in aggregates {
                fields.push(aggregate_field(aggregate, &schema).map_err(context)?);
            }
            named(fields)
        }
        LogicalPlan::Distinct { input, on, .. } => {
            let schema = of(input)?;
            for name in on {
                let column = Expr::Column(name.clone());
                resolve(&column, &schema).map_err(|error| error.context("distinct"))?;
            }
            let fields = schema.fields().iter();
            let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
            Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
        }
        LogicalPlan::Limit { input, .. } => of(input),
    }
}

fn field_of(expr: &Expr, schema: &Schema) -> Result<Field> {
    let typed = resolve(expr, schema)?;
    Ok(Field::new(expr.output_name(), typed.data_type, true))
}

/// The field of an expression over aggregates: each aggregate is typed on its own, then the
/// expression around them.
fn aggregate_field(expr: &Expr, schema: &Schema) -> Result<Field> {
    let mut found = Vec::new();
    let outer = extract_aggregates(expr, &mut found);
    if found.is_empty() {
        return Err(Error::invalid(
            format!("expression `{expr}`"),
            "has no aggregate",
            "add it to the group keys, or aggregate it",
        ));
    }
    let mut fields = Vec::with_capacity(found.len());
    for (index, (function, operand)) in found.iter().enumerate() {
        let operand = operand
            .as_ref()
            .map(|operand| resolve(operand, schema))
            .transpose()?;
        let data_type = aggregate_type(*function, operand.as_ref().map(|o| &o.data_type))?;
        fields.push(Field::new(aggregate_name(index), data_type, true));
    }
    let typed = resolve(&outer, &Schema::new(fields))?;
    Ok(Field::new(expr.output_name(), typed.data_type, true))
}

/// The column that stands for the `index`-th aggregate of an aggregation.
pub fn aggregate_name(index: usize) -> String {
    format!("__aggregate_{index}")
}

/// Replaces each aggregate of an expression by a column ([`aggregate_name`]), and adds function
/// and operand to `found` (once for equal aggregates).
pub fn extract_aggregates(expr: &Expr, found: &mut Vec<(AggregateFunction, Option<Expr>)>) -> Expr {
    let mut walk = |expr: &Expr| Box::new(extract_aggregates(expr, found));
    match expr {
        Expr::Aggregate { function, expr } => {
            let wanted = (*function, expr.as_deref().cloned());
            let index = found
                .iter()
                .position(|have| *have == wanted)
                .unwrap_or_else(|| {
                    found.push(wanted);
                    found.len() - 1
                });
            Expr::Column(aggregate_name(index))
        }
        Expr::Column(_) | Expr::Literal(_) => expr.clone(),
        Expr::Alias { expr, name } => Expr::Alias {
            expr: walk(expr),
            name: name.clone(),
        },
        Expr::Binary { op, left, right } => Expr::Binary {
            op: *op,
            left: walk(left),
            right: walk(right),
        },
        Expr::Not(expr) => Expr::Not(walk(expr)),
        Expr::Negate(expr) => Expr::Negate(walk(expr)),
        Expr::IsNull(expr) => Expr::IsNull(walk(expr)),
        Expr::IsNotNull(expr) => Expr::IsNotNull(walk(expr)),
        Expr::Cast { expr, to, strict } => Expr::Cast {
            expr: walk(expr),
            to: to.clone(),
            strict: *strict,
        },
        Expr::Case {
            branches,
            otherwise,
        } => Expr::Case {
            branches: branches
                .iter()
                .map(|(when, then)| (*walk(when), *walk(then)))
                .collect(),
            otherwise: otherwise.as_ref().map(|otherwise| walk(otherwise)),
        },
        Expr::Coalesce(operands) => {
            Expr::Coalesce(operands.iter().map(|operand| *walk(operand)).collect())
        }
        Expr::Function { function, operands } => Expr::Function {
            function: function.clone(),
            operands: operands.iter().map(|operand| *walk(operand)).collect(),
        },
    }
}

fn named(fields: Vec<Field>) -> Result<SchemaRef> {
    let mut names = HashSet::new();
    for field in &fields {
        if !names.insert(field.name().clone()) {
            return Err(Error::invalid(
                format!("column `{}`", field.name()),
                "stands twice in the output",
                "give one of them another name with `.alias(…)`",
            ));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}
