//! What the backend refuses, and why: asked before anything runs.

use super::evaluate::keeps_bytes;
use super::function;
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, TypedExpr, TypedKind};
use crate::limits::KEYS_MAX;
use crate::operators::{GroupByPhase, GroupBySpec, OperatorSpec, SortKey};
use crate::types::{DataType, Field, PhysicalType, SchemaRef};

/// Checks an operator and every type it meets.
pub(super) fn check(backend: &'static str, spec: &OperatorSpec) -> Result<()> {
    let refuse = |reason: String| Err(Error::unsupported(backend, spec.name(), reason));
    match spec {
        OperatorSpec::Filter(filter) => {
            check_schema(backend, "filter", &filter.input)?;
            check_expr(&filter.predicate).or_else(refuse)
        }
        OperatorSpec::Project(project) => {
            check_schema(backend, "project", &project.input)?;
            check_schema(backend, "project", &project.output)?;
            project
                .exprs
                .iter()
                .try_for_each(check_expr)
                .or_else(refuse)
        }
        OperatorSpec::Gather(gather) => check_schema(backend, "gather", &gather.built),
        OperatorSpec::GroupBy(group_by) => {
            check_states(backend, group_by)?;
            check_aggregates(group_by).or_else(refuse)
        }
        OperatorSpec::HashJoinBuild(join) | OperatorSpec::HashJoinProbe(join) => {
            join.check(backend)?;
            check_schema(backend, "hash_join", &join.build)?;
            check_schema(backend, "hash_join", &join.probe)?;
            join.residual
                .iter()
                .try_for_each(check_expr)
                .or_else(refuse)
        }
        OperatorSpec::ShufflePartition(shuffle) => {
            shuffle.check()?;
            check_schema(backend, "shuffle_partition", &shuffle.input)
        }
        OperatorSpec::NestedLoopJoinBuild(join) | OperatorSpec::NestedLoopJoinProbe(join) => {
            join.check()?;
            check_schema(backend, "nested_loop_join", &join.build)?;
            check_schema(backend, "nested_loop_join", &join.probe)?;
            let mut condition = join.condition.iter();
            condition.try_for_each(check_expr).or_else(refuse)
        }
        OperatorSpec::Sort(sort) => {
            SortKey::check(&sort.keys, &sort.input, "sort")?;
            check_schema(backend, "sort", &sort.input)
        }
        OperatorSpec::TopK(top_k) => {
            top_k.check()?;
            check_schema(backend, "top_k", &top_k.input)
        }
        OperatorSpec::Window(window) => {
            window.check(backend)?;
            check_schema(backend, "window", &window.input)
        }
    }
}

/// The reason why an aggregate cannot be computed, if there is one.
fn check_aggregates(group_by: &GroupBySpec) -> Result<(), String> {
    use AggregateFunction as Function;
    let phased = group_by.phase != GroupByPhase::Complete;
    for aggregate in &group_by.aggregates {
        let function = &aggregate.function;
        // The type of the values, not of their state: the state of an exact sum is bytes.
        let values = group_by.operand_type(aggregate);
        let spread = matches!(
            function,
            Function::Variance(_) | Function::StandardDeviation(_)
        );
        let exact = values.is_some_and(|values| group_by.sums_exactly(*function, &values));
        if exact && (spread || phased) {
            return Err(format!("an exact {function}"));
        }
        let sorted = matches!(function, Function::Quantile { .. });
        if sorted && !group_by.phase.gives_states() && group_by.group_keys.len() >= KEYS_MAX {
            let keys = group_by.group_keys.len();
            return Err(format!(
                "{function} by {keys} keys, with which values are sorted"
            ));
        }
    }
    Ok(())
}

/// As [`check_schema`]; states may be lists, too.
fn check_states(backend: &'static str, group_by: &GroupBySpec) -> Result<()> {
    for field in group_by.input.fields() {
        let values = match field.data_type() {
            DataType::List(item) if group_by.phase.takes_states() => item.data_type(),
            other => other,
        };
        if PhysicalType::of(values).is_none() {
            return Err(refused(backend, "group_by", field));
        }
    }
    Ok(())
}

/// Checks that an operator knows every column of its batches: that each has a value per row in a
/// layout that kernels know.
pub(super) fn check_schema(
    backend: &'static str,
    operator: &'static str,
    schema: &SchemaRef,
) -> Result<()> {
    for field in schema.fields() {
        if PhysicalType::of(field.data_type()).is_none() {
            return Err(refused(backend, operator, field));
        }
    }
    Ok(())
}

/// Checks that a scan can read every column: nested ones it can, if it can read their leaves.
pub(super) fn check_scan(backend: &'static str, schema: &SchemaRef) -> Result<()> {
    for field in schema.fields() {
        let data_type = field.data_type();
        let nested = data_type.is_nested() && leaves_are_known(data_type);
        if !nested && PhysicalType::of(data_type).is_none() {
            return Err(refused(backend, "scan", field));
        }
    }
    Ok(())
}

fn refused(backend: &'static str, operator: &'static str, field: &Field) -> Error {
    let reason = format!("column `{}` has type {}", field.name(), field.data_type());
    Error::unsupported(backend, operator, reason)
}

/// True if each leaf of a type has a layout that kernels know, or has nothing but nulls.
fn leaves_are_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields
            .iter()
            .all(|field| leaves_are_known(field.data_type())),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => leaves_are_known(item.data_type()),
        leaf => *leaf == DataType::Null || PhysicalType::of(leaf).is_some(),
    }
}

/// The reason why an expression cannot be evaluated, if there is one.
pub(super) fn check_expr(expr: &TypedExpr) -> Result<(), String> {
    if PhysicalType::of(&expr.data_type).is_none() && expr.data_type != DataType::Null {
        return Err(format!("an expression of type {}", expr.data_type));
    }
    match &expr.kind {
        TypedKind::Function { function, operands } => {
            function::check(function, operands)?;
        }
        TypedKind::Cast { expr: input, .. } => check_cast(&input.data_type, &expr.data_type)?,
        _ => {}
    }
    expr.children().into_iter().try_for_each(check_expr)
}

fn check_cast(from: &DataType, to: &DataType) -> Result<(), String> {
    if *from == DataType::Null || keeps_bytes(from, to) {
        return Ok(());
    }
    if super::rescale::rescale(from, to).is_none() && !super::cast::is_known(from, to) {
        return Err(format!("a cast from {from} to {to}"));
    }
    Ok(())
}
