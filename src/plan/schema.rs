//! The schema of each step.

use std::collections::HashSet;
use std::sync::Arc;

use super::{LogicalPlan, WindowExpr};
use crate::error::{Error, Result};
use crate::expr::{
    AggregateFunction, Expr, JoinKind, MARK_NAME, aggregate_type, resolve, resolve_keys,
};
use crate::types::{DataType, Field, Schema, SchemaRef};

pub(super) fn of(plan: &LogicalPlan) -> Result<SchemaRef> {
    match plan {
        LogicalPlan::Scan { files } => Ok(Arc::new(files.schema.clone())),
        LogicalPlan::Memory { table } => Ok(Arc::clone(table.schema())),
        LogicalPlan::Stored { rows } => Ok(Arc::new(rows.schema.clone())),
        LogicalPlan::Filter { input, predicate } => {
            let schema = of(input)?;
            check_predicate("filter", predicate, &schema)?;
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
        LogicalPlan::Join { .. } => joined(plan).map_err(|error| error.context("join")),
        LogicalPlan::Sort { input, keys } => {
            let schema = of(input)?;
            for key in keys {
                resolve(&key.expr, &schema).map_err(|error| error.context("sort"))?;
            }
            Ok(schema)
        }
        LogicalPlan::Window { input, functions } => {
            let schema = of(input)?;
            let mut fields: Vec<Field> =
                schema.fields().iter().map(|f| f.as_ref().clone()).collect();
            for window in functions {
                let data_type = window_type(window, &schema);
                let data_type = data_type.map_err(|error| error.context("window"))?;
                fields.push(Field::new(&window.name, data_type, true));
            }
            named(fields)
        }
        LogicalPlan::Union { inputs } => union(inputs).map_err(|error| error.context("union")),
        LogicalPlan::Limit { input, .. } => of(input),
    }
}

fn check_predicate(step: &str, predicate: &Expr, schema: &Schema) -> Result<()> {
    let typed = resolve(predicate, schema).map_err(|error| error.context(step))?;
    if matches!(typed.data_type, DataType::Boolean | DataType::Null) {
        return Ok(());
    }
    let cause = format!("a {step} needs Boolean, has {}", typed.data_type);
    let place = format!("expression `{predicate}`");
    Err(Error::invalid(place, cause, "compare it with something").context(step))
}

fn joined(plan: &LogicalPlan) -> Result<SchemaRef> {
    let LogicalPlan::Join {
        left,
        right,
        kind,
        on,
        residual,
        suffix,
        ..
    } = plan
    else {
        return of(plan);
    };
    let (left, right) = (of(left)?, of(right)?);
    for (l, r) in on {
        resolve_keys((l, &left), (r, &right))?;
    }
    if let Some(residual) = residual {
        let pair = join_pair(&left, &right, suffix)?;
        check_predicate("residual", residual, &pair)?;
    }
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    Ok(match kind {
        JoinKind::Semi | JoinKind::Anti => left,
        JoinKind::Mark => {
            let mut fields: Vec<Field> = left.fields().iter().map(|f| f.as_ref().clone()).collect();
            fields.push(Field::new(MARK_NAME, DataType::Boolean, false));
            named(fields)?
        }
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            let pair = join_pair(&left, &right, suffix)?;
            let fields = pair.fields().iter().map(nullable);
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        }
    })
}

/// The columns of both inputs of a join, side by side: what a residual sees.
///
/// # Errors
/// `InvalidInput` for a right column that has a left one's name with the suffix, too.
pub fn join_pair(left: &Schema, right: &Schema, suffix: &str) -> Result<SchemaRef> {
    let names = join_names(left, right, suffix);
    let fields = left.fields().iter().chain(right.fields());
    let fields = fields.zip(names);
    named(
        fields
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect(),
    )
}

/// The names of [`join_pair`]'s columns, whether or not they differ.
pub fn join_names(left: &Schema, right: &Schema, suffix: &str) -> Vec<String> {
    let own = left.fields().iter().map(|field| field.name().clone());
    let other = right
        .fields()
        .iter()
        .map(|field| match left.index_of(field.name()) {
            Ok(_) => format!("{}{suffix}", field.name()),
            Err(_) => field.name().clone(),
        });
    own.chain(other).collect()
}

fn union(inputs: &[LogicalPlan]) -> Result<SchemaRef> {
    let mut schemas = inputs.iter().map(of);
    let Some(first) = schemas.next().transpose()? else {
        return Err(Error::invalid(
            "plan",
            "a union of nothing",
            "give an input",
        ));
    };
    let mut nullable: Vec<bool> = first.fields().iter().map(|f| f.is_nullable()).collect();
    for (index, schema) in schemas.enumerate() {
        let schema = schema?;
        let types = |schema: &Schema| -> Vec<DataType> {
            let fields = schema.fields().iter();
            fields.map(|field| field.data_type().clone()).collect()
        };
        if types(&schema) != types(&first) {
            let list = |schema: &Schema| {
                let texts: Vec<String> = types(schema).iter().map(DataType::to_string).collect();
                texts.join(", ")
            };
            let cause = format!("({}), not ({})", list(&schema), list(&first));
            let place = format!("input {}", index + 2);
            return Err(Error::invalid(
                place,
                cause,
                "cast the columns to equal types",
            ));
        }
        for (nullable, field) in nullable.iter_mut().zip(schema.fields()) {
            *nullable |= field.is_nullable();
        }
    }
    let fields = first.fields().iter().zip(nullable);
    let fields = fields.map(|(field, nullable)| field.as_ref().clone().with_nullable(nullable));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn window_type(window: &WindowExpr, schema: &Schema) -> Result<DataType> {
    for expr in &window.partition_by {
        resolve(expr, schema)?;
    }
    for key in &window.order_by {
        resolve(&key.expr, schema)?;
    }
    let operand = window.function.operand().map(|expr| resolve(expr, schema));
    let operand = operand.transpose()?.map(|typed| typed.data_type);
    window.function.data_type(operand.as_ref())
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
    let Expr::Aggregate { function, expr } = expr else {
        return expr.map_children(&mut |child| extract_aggregates(child, found));
    };
    let wanted = (*function, expr.as_deref().cloned());
    let known = found.iter().position(|have| *have == wanted);
    let index = known.unwrap_or_else(|| {
        found.push(wanted);
        found.len() - 1
    });
    Expr::Column(aggregate_name(index))
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
