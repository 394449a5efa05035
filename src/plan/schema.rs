//! The schema of each step.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::FieldRef;

use super::{LogicalPlan, WindowExpr};
use crate::error::{Error, Result};
use crate::expr::{
    AggregateFunction, Expr, JoinKind, MARK_NAME, aggregate_type, resolve, resolve_keys,
};
use crate::types::{DataType, Field, Schema, SchemaRef};

pub(super) fn of(plan: &LogicalPlan) -> Result<SchemaRef> {
    Schemas::of(plan).map(|schemas| schemas.own)
}

/// The schemas of a step and of all steps below it, each worked out once: what is asked at every step
/// of a plan would else be worked out as often as there are steps above.
pub(super) struct Schemas {
    /// The step's own.
    pub(super) own: SchemaRef,
    /// Those of its inputs, in order.
    pub(super) inputs: Vec<Schemas>,
}

impl Schemas {
    /// Those of a plan.
    ///
    /// # Errors
    /// As [`LogicalPlan::schema`].
    pub(super) fn of(plan: &LogicalPlan) -> Result<Schemas> {
        let inputs = plan.inputs().into_iter().map(Schemas::of);
        let inputs = inputs.collect::<Result<Vec<Schemas>>>();
        let inputs = inputs.map_err(|error| match plan {
            LogicalPlan::Join { .. } => error.context("join"),
            LogicalPlan::Union { .. } => error.context("union"),
            _ => error,
        })?;
        Ok(Schemas {
            own: of_step(plan, &inputs)?,
            inputs,
        })
    }

    /// The first input's schema; of a step without inputs, its own.
    pub(super) fn input(&self) -> &SchemaRef {
        self.inputs.first().map_or(&self.own, |input| &input.own)
    }
}

impl LogicalPlan {
    /// As [`map_inputs`](LogicalPlan::map_inputs), each input with its schemas.
    pub(super) fn map_inputs_with(
        self,
        schemas: &Schemas,
        map: &mut dyn FnMut(LogicalPlan, &Schemas) -> LogicalPlan,
    ) -> LogicalPlan {
        let mut schemas = schemas.inputs.iter();
        self.map_inputs(&mut |input| match schemas.next() {
            Some(schemas) => map(input, schemas),
            None => input,
        })
    }
}

/// The schema of a step over inputs with these.
fn of_step(plan: &LogicalPlan, inputs: &[Schemas]) -> Result<SchemaRef> {
    let input = || match inputs {
        [input, ..] => Ok(&input.own),
        [] => Err(Error::invalid("plan", "a step has no input", "give it one")),
    };
    match plan {
        LogicalPlan::Scan { files } => Ok(Arc::new(files.schema.clone())),
        LogicalPlan::Memory { table } => Ok(Arc::clone(table.schema())),
        LogicalPlan::Stored { rows } => Ok(Arc::new(rows.schema.clone())),
        LogicalPlan::Filter { predicate, .. } => {
            let schema = input()?;
            check_predicate("filter", predicate, schema)?;
            Ok(Arc::clone(schema))
        }
        LogicalPlan::Project { exprs, .. } => {
            let schema = input()?;
            let fields = exprs.iter().map(|expr| field_of(expr, schema));
            let fields = fields.collect::<Result<_>>();
            named(fields.map_err(|error| error.context("project"))?)
        }
        LogicalPlan::Aggregate {
            group_keys,
            aggregates,
            ..
        } => {
            let schema = input()?;
            let keys = group_keys.iter().map(|key| field_of(key, schema));
            let aggregates = aggregates.iter().map(|expr| aggregate_field(expr, schema));
            let fields = keys.chain(aggregates).collect::<Result<_>>();
            named(fields.map_err(|error| error.context("aggregate"))?)
        }
        LogicalPlan::Distinct { on, .. } => {
            let schema = input()?;
            for name in on {
                let column = Expr::Column(name.clone());
                resolve(&column, schema).map_err(|error| error.context("distinct"))?;
            }
            Ok(nullable(schema))
        }
        LogicalPlan::Join { .. } => joined(plan, inputs).map_err(|error| error.context("join")),
        LogicalPlan::Sort { keys, .. } => {
            let schema = input()?;
            for key in keys {
                resolve(&key.expr, schema).map_err(|error| error.context("sort"))?;
            }
            Ok(Arc::clone(schema))
        }
        LogicalPlan::Window { functions, .. } => {
            let schema = input()?;
            let mut fields = schema.fields().to_vec();
            for window in functions {
                let data_type = window_type(window, schema);
                let data_type = data_type.map_err(|error| error.context("window"))?;
                fields.push(Arc::new(Field::new(&window.name, data_type, true)));
            }
            named(fields)
        }
        LogicalPlan::Union { .. } => union(inputs).map_err(|error| error.context("union")),
        LogicalPlan::Limit { .. } => input().cloned(),
    }
}

/// The same columns, all of which may be null.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields();
    if fields.iter().all(|field| field.is_nullable()) && schema.metadata().is_empty() {
        return Arc::clone(schema);
    }
    let fields = fields.iter().map(|field| match field.is_nullable() {
        true => Arc::clone(field),
        false => Arc::new(field.as_ref().clone().with_nullable(true)),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
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

fn joined(plan: &LogicalPlan, inputs: &[Schemas]) -> Result<SchemaRef> {
    let (
        LogicalPlan::Join {
            kind,
            on,
            residual,
            suffix,
            ..
        },
        [left, right],
    ) = (plan, inputs)
    else {
        return Err(Error::invalid("plan", "is no join of two inputs", ""));
    };
    let (left, right) = (&left.own, &right.own);
    for (l, r) in on {
        resolve_keys((l, left), (r, right))?;
    }
    if let Some(residual) = residual {
        let pair = join_pair(left, right, suffix)?;
        check_predicate("residual", residual, &pair)?;
    }
    Ok(match kind {
        JoinKind::Semi | JoinKind::Anti => Arc::clone(left),
        JoinKind::Mark => {
            let mut fields = left.fields().to_vec();
            fields.push(Arc::new(Field::new(MARK_NAME, DataType::Boolean, false)));
            named(fields)?
        }
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            nullable(&join_pair(left, right, suffix)?)
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
    let fields = fields.zip(names).map(|(field, name)| {
        if *field.name() == name {
            return Arc::clone(field);
        }
        Arc::new(field.as_ref().clone().with_name(name))
    });
    named(fields.collect())
}

/// Whether there is a column of this name. Where there may well be none, this is for a fraction of what
/// `Schema::index_of` takes to write its error.
pub(super) fn has_column(schema: &Schema, name: &str) -> bool {
    schema.fields().find(name).is_some()
}

/// The names of [`join_pair`]'s columns, whether or not they differ.
pub fn join_names(left: &Schema, right: &Schema, suffix: &str) -> Vec<String> {
    let own = left.fields().iter().map(|field| field.name().clone());
    let other = right
        .fields()
        .iter()
        .map(|field| match has_column(left, field.name()) {
            true => format!("{}{suffix}", field.name()),
            false => field.name().clone(),
        });
    own.chain(other).collect()
}

fn union(inputs: &[Schemas]) -> Result<SchemaRef> {
    let Some((first, others)) = inputs.split_first() else {
        return Err(Error::invalid(
            "plan",
            "a union of nothing",
            "give an input",
        ));
    };
    let first = &first.own;
    let mut nullable: Vec<bool> = first.fields().iter().map(|f| f.is_nullable()).collect();
    for (index, Schemas { own: schema, .. }) in others.iter().enumerate() {
        let types = |schema: &Schema| -> Vec<DataType> {
            let fields = schema.fields().iter();
            fields.map(|field| field.data_type().clone()).collect()
        };
        if types(schema) != types(first) {
            let list = |schema: &Schema| {
                let texts: Vec<String> = types(schema).iter().map(DataType::to_string).collect();
                texts.join(", ")
            };
            let cause = format!("({}), not ({})", list(schema), list(first));
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

fn field_of(expr: &Expr, schema: &Schema) -> Result<FieldRef> {
    if let Expr::Column(name) = expr
        && let Some((_, field)) = schema.fields().find(name)
        && field.is_nullable()
        && field.metadata().is_empty()
    {
        return Ok(Arc::clone(field));
    }
    let typed = resolve(expr, schema)?;
    let field = Field::new(expr.output_name(), typed.data_type, true);
    Ok(Arc::new(field))
}

/// The field of an expression over aggregates: each aggregate is typed on its own, then the
/// expression around them.
fn aggregate_field(expr: &Expr, schema: &Schema) -> Result<FieldRef> {
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
    let field = Field::new(expr.output_name(), typed.data_type, true);
    Ok(Arc::new(field))
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

fn named(fields: Vec<FieldRef>) -> Result<SchemaRef> {
    let mut names = HashSet::with_capacity(fields.len());
    for field in &fields {
        if !names.insert(field.name().as_str()) {
            return Err(Error::invalid(
                format!("column `{}`", field.name()),
                "stands twice in the output",
                "give one of them another name with `.alias(…)`",
            ));
        }
    }
    drop(names);
    Ok(Arc::new(Schema::new(fields)))
}
