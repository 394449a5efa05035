//! Aggregations and distinct rows: group-bys, and expressions around them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Lowering;
use super::columns::{columns_of, exprs_are_columns, map_columns, output_field, projected};
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, Expr, Keep, TypedExpr, aggregate_type, resolve};
use crate::operators::{
    AggregateSpec, DistinctSpec, FloatSums, GroupByPhase, GroupBySpec, OperatorSpec,
};
use crate::plan::{LogicalPlan, aggregate_name, extract_aggregates, rows_of};
use crate::types::{Field, Schema, SchemaRef};

impl Lowering<'_> {
    pub(super) fn aggregate(
        &mut self,
        input: &LogicalPlan,
        group_keys: &[Expr],
        aggregates: &[Expr],
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        // With no keys, an aggregate makes the one row even if nobody wants its value.
        let carrier = aggregates.first().filter(|_| group_keys.is_empty());
        let of_use = |expr: &&Expr| wanted.contains(&expr.output_name());
        let mut aggregates: Vec<&Expr> = aggregates.iter().filter(of_use).collect();
        if aggregates.is_empty() {
            aggregates.extend(carrier);
        }
        let mut found: Vec<(AggregateFunction, Option<Expr>)> = Vec::new();
        let outer: Vec<Expr> = aggregates
            .iter()
            .map(|expr| extract_aggregates(expr, &mut found))
            .collect();
        let mut needed = BTreeSet::new();
        for expr in group_keys
            .iter()
            .chain(found.iter().filter_map(|(_, operand)| operand.as_ref()))
        {
            expr.collect_columns(&mut needed);
        }
        let schema = self.step(input, &needed)?;
        let (operands, fold) = self
            .group_by(&schema, group_keys, &found)
            .map_err(|error| error.context("aggregate"))?;
        if let Some((exprs, output)) = operands {
            self.add_project(&schema, exprs, &output);
        }
        self.add_fold(
            fold,
            rows_of(input) as u64,
            group_keys,
            &aggregates,
            &outer,
            wanted,
        )
        .map_err(|error| error.context("aggregate"))
    }

    /// A group-by of the compared columns, and the choice of the wanted ones. Columns that are
    /// neither compared nor wanted are not even read.
    pub(super) fn distinct(
        &mut self,
        input: &LogicalPlan,
        on: &[String],
        keep: Keep,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let mut needed = wanted.clone();
        needed.extend(on.iter().cloned());
        if on.is_empty() {
            let schema = input.schema()?;
            needed.extend(schema.fields().iter().map(|field| field.name().clone()));
        }
        let schema = self.step(input, &needed)?;
        let compared = |name: &String| {
            let cause = |_| Error::invalid(format!("column `{name}`"), "not in the input", "");
            schema.index_of(name).map_err(cause)
        };
        let spec = DistinctSpec {
            input: Arc::clone(&schema),
            on: on.iter().map(compared).collect::<Result<_>>()?,
            keep,
        };
        let (fold, projection) = (spec.group_by()?, spec.projection()?);
        let folded = Arc::clone(&fold.output);
        let rows = rows_of(input) as u64; // saturates
        let pipeline = self.open_above_limit(&schema);
        pipeline.fold = Some(OperatorSpec::GroupBy(fold));
        pipeline.fold_rows = rows;
        pipeline.output = Arc::clone(&folded);
        let columns = columns_of(&schema, wanted)?;
        let columns: Vec<usize> = columns
            .into_iter()
            .map(|column| projection[column])
            .collect();
        let typed =
            |&column: &usize| TypedExpr::column(column, folded.field(column).data_type().clone());
        let exprs = columns.iter().map(typed).collect();
        let output = projected(&folded, &columns);
        self.add_project(&folded, exprs, &output);
        Ok(output)
    }

    /// The group-by, and the projection that it needs below it: none if all its keys and operands
    /// are columns already.
    #[expect(clippy::type_complexity, reason = "a pair of a private function")]
    fn group_by(
        &self,
        schema: &SchemaRef,
        group_keys: &[Expr],
        found: &[(AggregateFunction, Option<Expr>)],
    ) -> Result<(Option<(Vec<TypedExpr>, SchemaRef)>, GroupBySpec)> {
        let mut operands = Vec::new();
        let mut place_of = |typed: TypedExpr| {
            let known = operands.iter().position(|have| *have == typed);
            known.unwrap_or_else(|| {
                operands.push(typed);
                operands.len() - 1
            })
        };
        let mut keys = Vec::with_capacity(group_keys.len());
        let mut fields = Vec::new();
        for key in group_keys {
            let typed = resolve(key, schema)?;
            fields.push(output_field(key.output_name(), &typed, schema));
            keys.push(place_of(typed));
        }
        let mut specs = Vec::with_capacity(found.len());
        for (index, (function, operand)) in found.iter().enumerate() {
            let operand = operand.as_ref().map(|expr| resolve(expr, schema));
            let operand = operand.transpose()?;
            let data_type = aggregate_type(*function, operand.as_ref().map(|o| &o.data_type))?;
            fields.push(Field::new(aggregate_name(index), data_type, true));
            specs.push(AggregateSpec {
                function: *function,
                input: operand.map(&mut place_of),
            });
        }
        let mut spec = GroupBySpec {
            input: Arc::clone(schema),
            output: Arc::new(Schema::new(fields)),
            group_keys: keys,
            aggregates: specs,
            semantics: self.semantics,
            float_sums: FloatSums::default(),
            phase: GroupByPhase::default(),
        };
        if let Some(columns) = exprs_are_columns(&operands) {
            for key in &mut spec.group_keys {
                *key = columns[*key];
            }
            for aggregate in &mut spec.aggregates {
                aggregate.input = aggregate.input.map(|operand| columns[operand]);
            }
            return Ok((None, spec));
        }
        let fields = operands
            .iter()
            .enumerate()
            .map(|(index, typed)| output_field(format!("__operand_{index}"), typed, schema));
        spec.input = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let input = Arc::clone(&spec.input);
        Ok((Some((operands, input)), spec))
    }

    /// Ends the pipeline with the group-by; expressions over its aggregates start the next one.
    fn add_fold(
        &mut self,
        mut fold: GroupBySpec,
        rows: u64,
        group_keys: &[Expr],
        aggregates: &[&Expr],
        outer: &[Expr],
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let keys = group_keys.len();
        let inner = Schema::new(fold.output.fields()[keys..].to_vec());
        let mut exprs = Vec::new();
        let mut fields = Vec::new();
        for (index, key) in group_keys.iter().enumerate() {
            if wanted.contains(&key.output_name()) {
                let field = fold.output.field(index).clone();
                exprs.push(TypedExpr::column(index, field.data_type().clone()));
                fields.push(field);
            }
        }
        for (expr, outer) in aggregates.iter().zip(outer) {
            let mut typed = resolve(outer, &inner)?;
            map_columns(&mut typed, &|column| column + keys);
            fields.push(Field::new(
                expr.output_name(),
                typed.data_type.clone(),
                true,
            ));
            exprs.push(typed);
        }
        if exprs.is_empty() {
            // Only the number of groups is wanted: any column carries it.
            let carrier = columns_of(&fold.output, &BTreeSet::new())?;
            for index in carrier {
                let field = fold.output.field(index).clone();
                exprs.push(TypedExpr::column(index, field.data_type().clone()));
                fields.push(field);
            }
        }
        let output = Arc::new(Schema::new(fields));
        let count = fold.output.fields().len();
        if exprs_are_columns(&exprs).is_some_and(|columns| columns.into_iter().eq(0..count)) {
            fold.output = Arc::clone(&output); // only the names differ
        }
        let folded = Arc::clone(&fold.output);
        let input = Arc::clone(&fold.input);
        let pipeline = self.open_above_limit(&input);
        pipeline.fold = Some(OperatorSpec::GroupBy(fold));
        pipeline.fold_rows = rows;
        pipeline.output = Arc::clone(&folded);
        self.add_project(&folded, exprs, &output);
        Ok(output)
    }
}
