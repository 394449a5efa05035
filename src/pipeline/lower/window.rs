//! Windows: one fold for functions that share partitions and order.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Lowering;
use super::columns::{columns_of, projected};
use super::sort::{place_keys, typed_keys};
use crate::error::{Error, Result};
use crate::expr::{TypedExpr, resolve};
use crate::operators::{OperatorSpec, WindowCall, WindowSpec, window_type};
use crate::plan::{LogicalPlan, WindowExpr};
use crate::types::{Field, Schema, SchemaRef};

impl Lowering<'_> {
    pub(super) fn window(
        &mut self,
        input: &LogicalPlan,
        functions: &[WindowExpr],
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let used: Vec<&WindowExpr> = functions
            .iter()
            .filter(|window| wanted.contains(&window.name))
            .collect();
        let own = input.schema()?;
        let mut needed: BTreeSet<String> = wanted.clone();
        needed.retain(|name| own.index_of(name).is_ok());
        let passed = needed.clone();
        used.iter().for_each(|window| read_by(window, &mut needed));
        let mut schema = self.step(input, &needed)?;
        let mut passing = passed.clone();
        let mut rest = used.clone();
        while let Some(first) = rest.first().copied() {
            let alike = |window: &&WindowExpr| {
                window.partition_by == first.partition_by && window.order_by == first.order_by
            };
            let (now, later) = rest.into_iter().partition::<Vec<_>, _>(alike);
            let mut kept = passing.clone();
            later.iter().for_each(|window| read_by(window, &mut kept));
            schema = self.window_fold(&schema, &now, &kept)?;
            passing.extend(now.iter().map(|window| window.name.clone()));
            rest = later;
        }
        // What only the functions read goes; the functions stand in the plan's order.
        let mut columns = match passed.is_empty() && !used.is_empty() {
            true => Vec::new(),
            false => columns_of(&schema, &passed)?,
        };
        for window in &used {
            columns.push(index_of(&schema, &window.name)?);
        }
        let output = projected(&schema, &columns);
        self.pick(&schema, &columns, &output);
        Ok(output)
    }

    /// A fold that adds the columns of functions with one partitioning and one order to those that
    /// are kept.
    fn window_fold(
        &mut self,
        schema: &SchemaRef,
        windows: &[&WindowExpr],
        kept: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let Some(first) = windows.first() else {
            return Ok(Arc::clone(schema));
        };
        let partition_by = first.partition_by.iter().map(|expr| resolve(expr, schema));
        let mut exprs: Vec<TypedExpr> = partition_by.collect::<Result<_>>()?;
        exprs.extend(typed_keys(schema, &first.order_by)?);
        for window in windows {
            let operand = window.function.operand().map(|expr| resolve(expr, schema));
            exprs.extend(operand.transpose()?);
        }
        let (input, places) = self.append(schema, exprs);
        let (partition_by, rest) = places.split_at(first.partition_by.len());
        let (order_by, operands) = rest.split_at(first.order_by.len());
        let mut operands = operands.iter().copied();
        let mut calls = Vec::with_capacity(windows.len());
        let is_kept = |&index: &usize| kept.contains(schema.field(index).name());
        let projection: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
        let passed = projection.iter().map(|&index| schema.field(index).clone());
        let mut fields: Vec<Field> = passed.collect();
        for window in windows {
            let operand = window.function.operand().and_then(|_| operands.next());
            let function = window.function.try_map(|expr| {
                let missing = || Error::invalid(format!("expression `{expr}`"), "is no column", "");
                operand.ok_or_else(missing)
            })?;
            fields.push(Field::new(
                &window.name,
                window_type(&function, &input)?,
                true,
            ));
            calls.push(WindowCall {
                function,
                frame: window.frame,
            });
        }
        let output = Arc::new(Schema::new(fields));
        let spec = WindowSpec {
            input: Arc::clone(&input),
            partition_by: partition_by.to_vec(),
            order_by: place_keys(&first.order_by, order_by),
            projection,
            functions: calls,
            output: Arc::clone(&output),
            semantics: self.semantics,
        };
        self.fold(&input, OperatorSpec::Window(spec), &output);
        Ok(output)
    }
}

/// Adds the names of the columns that a function reads.
fn read_by(window: &WindowExpr, names: &mut BTreeSet<String>) {
    let order = window.order_by.iter().map(|key| &key.expr);
    let operand = window.function.operand().into_iter();
    for expr in operand.chain(&window.partition_by).chain(order) {
        expr.collect_columns(names);
    }
}

fn index_of(schema: &Schema, name: &str) -> Result<usize> {
    let cause = |_| Error::invalid(format!("column `{name}`"), "not in the input", "");
    schema.index_of(name).map_err(cause)
}
