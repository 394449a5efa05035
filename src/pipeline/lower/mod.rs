//! The cut at the breakers, and the columns that need not be read.

mod aggregate;
mod columns;
mod join;
mod limit;
mod share;
mod sort;
mod union;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Pipeline, ScanSpec, Source, TransformSpec};
use crate::error::{Error, Result};
use crate::expr::{Expr, TypedExpr, TypedKind, resolve};
use crate::operators::{FilterSpec, OperatorSpec, ProjectSpec};
use crate::plan::{LogicalPlan, MemoryTable, ParquetFiles, Query, StoredRows};
use crate::types::{DataType, Schema, SchemaRef, Semantics};
pub(crate) use columns::map_columns;
use columns::{
    all_names, columns_of, exprs_are_columns, no_columns, output_field, projected, truth,
};
use share::Shared;

/// Steps of a plan. Plans are walked by recursion; this keeps the stack below 1 MiB.
const STEPS_MAX: usize = 256;

/// Filters whose predicates prune a scan; those above are only evaluated.
const PRUNING_FILTERS_MAX: usize = 64;

/// The pipelines of a query, each behind those that it reads; the last one gives the result.
///
/// # Errors
/// `InvalidInput` for whatever is wrong with the plan: unknown columns, type errors, names that
/// stand twice.
pub fn lower(query: &Query) -> Result<Vec<Pipeline>> {
    let steps = query.plan.steps();
    if steps > STEPS_MAX {
        return Err(Error::invalid(
            "plan",
            format!("has {steps} steps, of {STEPS_MAX} at most"),
            "join filters by `and`, and projections into one",
        ));
    }
    let schema = query.plan.schema()?;
    if schema.fields().is_empty() {
        return Err(no_columns());
    }
    let wanted = all_names(&schema);
    let mut shared = Shared::find(&query.plan);
    loop {
        let mut lowering = Lowering {
            semantics: query.semantics,
            done: Vec::new(),
            current: None,
            shared,
            incomplete: false,
        };
        let lowered = lowering.step(&query.plan, &wanted);
        // Whatever came of it, a reader missed columns. This ends, because each time some shared
        // subplan gives more of its own.
        if lowering.incomplete {
            shared = lowering.shared.into_iter().map(Shared::again).collect();
            continue;
        }
        lowered?;
        let mut pipelines = lowering.done;
        pipelines.extend(lowering.current);
        return Ok(share::merge_builds(pipelines));
    }
}

struct Lowering<'p> {
    semantics: Semantics,
    done: Vec<Pipeline>,
    /// The pipeline that is being built; absent only before a source.
    current: Option<Pipeline>,
    /// What the plan has more than once.
    shared: Vec<Shared<'p>>,
    /// Whether a shared subplan was lowered without columns that a later reader wants.
    incomplete: bool,
}

impl Lowering<'_> {
    /// Appends a step of the plan so that at least the wanted columns leave it, in the order of
    /// the step's schema, and returns the schema of what leaves.
    fn step(&mut self, plan: &LogicalPlan, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        match self.shared_place(plan) {
            Some(place) => self.shared_step(place, wanted),
            None => self.own_step(plan, wanted),
        }
    }

    /// As [`step`](Lowering::step), for a subplan that is lowered here.
    fn own_step(&mut self, plan: &LogicalPlan, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        match plan {
            LogicalPlan::Scan { files } => self.scan(files, wanted),
            LogicalPlan::Memory { table } => self.memory(table, wanted),
            LogicalPlan::Stored { rows } => self.stored(rows, wanted),
            LogicalPlan::Filter { input, predicate } => self.filter(input, predicate, wanted),
            LogicalPlan::Project { input, exprs } => self.project(input, exprs, wanted),
            LogicalPlan::Aggregate {
                input,
                group_keys,
                aggregates,
            } => self.aggregate(input, group_keys, aggregates, wanted),
            LogicalPlan::Distinct { input, on, keep } => {
                let step = self.distinct(input, on, *keep, wanted);
                step.map_err(|error| error.context("distinct"))
            }
            LogicalPlan::Join { .. } => {
                let step = self.join(plan, wanted);
                step.map_err(|error| error.context("join"))
            }
            LogicalPlan::Sort { input, keys } => self.sort(input, keys, None, wanted),
            LogicalPlan::Window { input, functions } => {
                let step = self.window(input, functions, wanted);
                step.map_err(|error| error.context("window"))
            }
            LogicalPlan::Union { .. } => self.union(plan, wanted),
            LogicalPlan::Limit { input, skip, rows } => self.limit(input, *skip, *rows, wanted),
        }
    }

    /// Ends the current pipeline and returns its number.
    fn close(&mut self) -> usize {
        self.done.extend(self.current.take());
        self.done.len().saturating_sub(1)
    }

    /// The pipeline that the next step belongs to: a new one above a fold.
    fn open(&mut self, schema: &SchemaRef) -> &mut Pipeline {
        if self
            .current
            .as_ref()
            .is_some_and(|pipeline| pipeline.fold.is_some())
        {
            self.reopen(schema);
        }
        self.current
            .get_or_insert_with(|| Pipeline::new(Source::Pipelines(Vec::new()), schema))
    }

    /// Ends the current pipeline and starts one that reads it.
    fn reopen(&mut self, schema: &SchemaRef) {
        let ordered = self.current.as_ref().is_some_and(Pipeline::gives_order);
        let closed = self.close();
        let mut next = Pipeline::new(Source::Pipelines(vec![closed]), schema);
        next.ordered = ordered;
        self.current = Some(next);
    }

    /// As [`open`](Lowering::open), but for a step that must see what a limit left.
    fn open_above_limit(&mut self, schema: &SchemaRef) -> &mut Pipeline {
        if self
            .current
            .as_ref()
            .is_some_and(|pipeline| pipeline.limit.is_some())
        {
            self.reopen(schema);
        }
        self.open(schema)
    }

    fn transform(&mut self, schema: &SchemaRef, spec: OperatorSpec, output: &SchemaRef) {
        self.transform_with(schema, spec, None, output);
    }

    /// A transform, and the pipeline that built what it needs.
    fn transform_with(
        &mut self,
        schema: &SchemaRef,
        spec: OperatorSpec,
        built: Option<usize>,
        output: &SchemaRef,
    ) {
        let pipeline = self.open_above_limit(schema);
        pipeline.transforms.push(TransformSpec { spec, built });
        pipeline.output = Arc::clone(output);
    }

    /// Ends the pipeline with a fold.
    fn fold(&mut self, schema: &SchemaRef, spec: OperatorSpec, output: &SchemaRef) {
        let pipeline = self.open_above_limit(schema);
        pipeline.fold = Some(spec);
        pipeline.output = Arc::clone(output);
    }

    fn memory(&mut self, table: &Arc<MemoryTable>, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        let projection = columns_of(table.schema(), wanted)?;
        let schema = projected(table.schema(), &projection);
        let source = Source::Memory {
            table: Arc::clone(table),
            projection,
        };
        self.current = Some(Pipeline {
            ordered: true,
            ..Pipeline::new(source, &schema)
        });
        Ok(schema)
    }

    /// All columns of a kept result, and a choice of them.
    fn stored(&mut self, rows: &StoredRows, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        let schema = Arc::new(rows.schema.clone());
        self.current = Some(Pipeline {
            ordered: rows.ordered,
            ..Pipeline::new(Source::Stored(rows.clone()), &schema)
        });
        let columns = columns_of(&schema, wanted)?;
        let output = projected(&schema, &columns);
        self.pick(&schema, &columns, &output);
        Ok(output)
    }

    fn scan(&mut self, files: &ParquetFiles, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        let file_schema = Arc::new(files.schema.clone());
        let projection = columns_of(&file_schema, wanted)?;
        let schema = projected(&file_schema, &projection);
        let source = Source::Scan(ScanSpec {
            files: files.paths.clone(),
            file_schema,
            projection,
            predicate: None,
        });
        self.current = Some(Pipeline::new(source, &schema));
        Ok(schema)
    }

    fn filter(
        &mut self,
        input: &LogicalPlan,
        predicate: &Expr,
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let mut needed = wanted.clone();
        predicate.collect_columns(&mut needed);
        let schema = self.step(input, &needed)?;
        let step = |error: Error| error.context("filter");
        if let Some(Pipeline {
            source: Source::Scan(scan),
            transforms,
            fold: None,
            limit: None,
            ..
        }) = &mut self.current
            && transforms.len() < PRUNING_FILTERS_MAX
            && transforms
                .iter()
                .all(|transform| matches!(transform.spec, OperatorSpec::Filter(_)))
        {
            let pruned = truth(resolve(predicate, &scan.file_schema).map_err(step)?)?;
            scan.predicate = Some(match scan.predicate.take() {
                None => pruned,
                Some(before) => TypedExpr {
                    kind: TypedKind::And(Box::new(before), Box::new(pruned)),
                    data_type: DataType::Boolean,
                },
            });
        }
        let projection = columns_of(&schema, wanted)?;
        let spec = FilterSpec {
            input: Arc::clone(&schema),
            predicate: truth(resolve(predicate, &schema).map_err(step)?)?,
            projection,
            semantics: self.semantics,
        };
        let output = spec.output();
        self.transform(&schema, OperatorSpec::Filter(spec), &output);
        Ok(output)
    }

    fn project(
        &mut self,
        input: &LogicalPlan,
        exprs: &[Expr],
        wanted: &BTreeSet<String>,
    ) -> Result<SchemaRef> {
        let kept: Vec<&Expr> = exprs
            .iter()
            .filter(|expr| wanted.contains(&expr.output_name()))
            .collect();
        let mut needed = BTreeSet::new();
        for expr in &kept {
            expr.collect_columns(&mut needed);
        }
        let schema = self.step(input, &needed)?;
        if kept.is_empty() {
            return Ok(schema); // only the number of rows is wanted, and that is the input's
        }
        let mut typed = Vec::with_capacity(kept.len());
        let mut fields = Vec::with_capacity(kept.len());
        for expr in kept {
            let resolved = resolve(expr, &schema).map_err(|error| error.context("project"))?;
            fields.push(output_field(expr.output_name(), &resolved, &schema));
            typed.push(resolved);
        }
        let output = Arc::new(Schema::new(fields));
        self.add_project(&schema, typed, &output);
        Ok(output)
    }

    /// A projection, unless it changes nothing; a choice of columns and what is computed next to it
    /// are one.
    fn add_project(&mut self, input: &SchemaRef, exprs: Vec<TypedExpr>, output: &SchemaRef) {
        let (input, exprs) = match self.merged(input, &exprs) {
            Some(merged) => merged,
            None => (Arc::clone(input), exprs),
        };
        if input == *output
            && exprs_are_columns(&exprs).is_some_and(|c| c.iter().copied().eq(0..c.len()))
        {
            return;
        }
        let spec = ProjectSpec {
            input: Arc::clone(&input),
            output: Arc::clone(output),
            exprs,
            semantics: self.semantics,
        };
        self.transform(&input, OperatorSpec::Project(spec), output);
    }

    /// The expressions over the input of the projection that the pipeline ends with, which is taken
    /// off: if it or they are a mere choice of columns.
    fn merged(
        &mut self,
        input: &SchemaRef,
        exprs: &[TypedExpr],
    ) -> Option<(SchemaRef, Vec<TypedExpr>)> {
        let pipeline = self.current.as_mut()?;
        let TransformSpec { spec, .. } = pipeline.transforms.last()?;
        let OperatorSpec::Project(below) = spec else {
            return None;
        };
        if pipeline.fold.is_some() || pipeline.limit.is_some() || below.output != *input {
            return None;
        }
        let merged = match (exprs_are_columns(&below.exprs), exprs_are_columns(exprs)) {
            (Some(columns), _) => {
                let mut merged = exprs.to_vec();
                for expr in &mut merged {
                    map_columns(expr, &|column| columns[column]);
                }
                merged
            }
            (None, Some(mut columns)) => {
                let merged = columns.iter().map(|&column| below.exprs[column].clone());
                let merged = merged.collect();
                columns.sort_unstable();
                if columns.windows(2).any(|pair| pair[0] == pair[1]) {
                    return None; // nothing is computed twice
                }
                merged
            }
            (None, None) => return None,
        };
        let schema = Arc::clone(&below.input);
        pipeline.transforms.pop();
        pipeline.output = Arc::clone(&schema);
        Some((schema, merged))
    }

    /// A projection that appends columns, and the indices of the expressions in what leaves: columns
    /// that are there already are not computed again.
    fn append(&mut self, schema: &SchemaRef, exprs: Vec<TypedExpr>) -> (SchemaRef, Vec<usize>) {
        let mut all: Vec<TypedExpr> = (0..schema.fields().len())
            .map(|index| TypedExpr::column(index, schema.field(index).data_type().clone()))
            .collect();
        let mut fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let mut places = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let place = all.iter().position(|have| *have == expr);
            places.push(place.unwrap_or(all.len()));
            if place.is_none() {
                let name = format!("__key_{}", all.len());
                fields.push(output_field(name, &expr, schema));
                all.push(expr);
            }
        }
        if all.len() == schema.fields().len() {
            return (Arc::clone(schema), places);
        }
        let output = Arc::new(Schema::new(fields));
        self.add_project(schema, all, &output);
        (output, places)
    }

    /// A projection to some columns under the names of a schema.
    fn pick(&mut self, schema: &SchemaRef, columns: &[usize], output: &SchemaRef) {
        let typed =
            |&column: &usize| TypedExpr::column(column, schema.field(column).data_type().clone());
        self.add_project(schema, columns.iter().map(typed).collect(), output);
    }
}
