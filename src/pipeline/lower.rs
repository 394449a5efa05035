//! The cut at the breakers, and the columns that need not be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Pipeline, ScanSpec, Source};
use crate::error::{Error, Result};
use crate::expr::{
    AggregateFunction, Expr, Keep, TypedExpr, TypedKind, aggregate_type, literal_array, resolve,
};
use crate::operators::{
    AggregateSpec, DistinctSpec, FilterSpec, FloatSums, GroupByPhase, GroupBySpec, OperatorSpec,
    ProjectSpec,
};
use crate::plan::{LogicalPlan, ParquetFiles, Query, aggregate_name, extract_aggregates};
use crate::types::{DataType, Field, PhysicalType, Schema, SchemaRef, Semantics, is_text};

/// Steps of a plan. Plans are walked by recursion; this keeps the stack below 1 MiB.
const STEPS_MAX: usize = 256;

/// Filters whose predicates prune a scan; those above are only evaluated.
const PRUNING_FILTERS_MAX: usize = 64;

/// The pipelines of a query, in the order in which they run; the last one gives the result.
///
/// # Errors
/// `InvalidInput` for whatever is wrong with the plan: unknown columns, type errors, names that
/// stand twice.
pub fn lower(query: &Query) -> Result<Vec<Pipeline>> {
    let steps = std::iter::successors(Some(&query.plan), |plan| plan.input()).count();
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
    let wanted: BTreeSet<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut lowering = Lowering {
        semantics: query.semantics,
        done: Vec::new(),
        current: None,
    };
    lowering.step(&query.plan, &wanted)?;
    let mut pipelines = lowering.done;
    pipelines.extend(lowering.current);
    Ok(pipelines)
}

struct Lowering {
    semantics: Semantics,
    done: Vec<Pipeline>,
    /// The pipeline that is being built; absent only before the scan.
    current: Option<Pipeline>,
}

impl Lowering {
    /// Appends a step of the plan so that at least the wanted columns leave it, in the order of
    /// the step's schema, and returns the schema of what leaves.
    fn step(&mut self, plan: &LogicalPlan, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        match plan {
            LogicalPlan::Scan { files } => self.scan(files, wanted),
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
            LogicalPlan::Limit { input, rows } => {
                let schema = self.step(input, wanted)?;
                let pipeline = self.open(&schema);
                pipeline.limit = Some(pipeline.limit.map_or(*rows, |limit| limit.min(*rows)));
                Ok(schema)
            }
        }
    }

    /// The pipeline that the next step belongs to: a new one above a fold.
    fn open(&mut self, schema: &SchemaRef) -> &mut Pipeline {
        if let Some(closed) = self.current.take_if(|pipeline| pipeline.fold.is_some()) {
            self.done.push(closed);
        }
        self.current.get_or_insert_with(|| Pipeline {
            source: Source::Previous,
            input: Arc::clone(schema),
            transforms: Vec::new(),
            fold: None,
            limit: None,
            output: Arc::clone(schema),
        })
    }

    /// As [`open`](Lowering::open), but for a step that must see what a limit left.
    fn open_above_limit(&mut self, schema: &SchemaRef) -> &mut Pipeline {
        if let Some(limited) = self.current.take_if(|pipeline| pipeline.limit.is_some()) {
            self.done.push(limited);
        }
        self.open(schema)
    }

    fn transform(&mut self, schema: &SchemaRef, spec: OperatorSpec, output: &SchemaRef) {
        let pipeline = self.open_above_limit(schema);
        pipeline.transforms.push(spec);
        pipeline.output = Arc::clone(output);
    }

    fn scan(&mut self, files: &ParquetFiles, wanted: &BTreeSet<String>) -> Result<SchemaRef> {
        let file_schema = Arc::new(files.schema.clone());
        let projection = columns_of(&file_schema, wanted)?;
        let schema = projected(&file_schema, &projection);
        self.current = Some(Pipeline {
            source: Source::Scan(ScanSpec {
                files: files.paths.clone(),
                file_schema,
                projection,
                predicate: None,
            }),
            input: Arc::clone(&schema),
            transforms: Vec::new(),
            fold: None,
            limit: None,
            output: Arc::clone(&schema),
        });
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
                .all(|spec| matches!(spec, OperatorSpec::Filter(_)))
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

    /// A projection, unless it changes nothing.
    fn add_project(&mut self, input: &SchemaRef, exprs: Vec<TypedExpr>, output: &SchemaRef) {
        if input == output
            && exprs_are_columns(&exprs).is_some_and(|c| c.iter().copied().eq(0..c.len()))
        {
            return;
        }
        let spec = ProjectSpec {
            input: Arc::clone(input),
            output: Arc::clone(output),
            exprs,
            semantics: self.semantics,
        };
        self.transform(input, OperatorSpec::Project(spec), output);
    }

    fn aggregate(
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
        self.add_fold(fold, group_keys, &aggregates, &outer, wanted)
            .map_err(|error| error.context("aggregate"))
    }

    /// A group-by of the compared columns, and the choice of the wanted ones. Columns that are
    /// neither compared nor wanted are not even read.
    fn distinct(
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
        let pipeline = self.open_above_limit(&schema);
        pipeline.fold = Some(OperatorSpec::GroupBy(fold));
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
            shift_columns(&mut typed, keys);
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
        pipeline.output = Arc::clone(&folded);
        self.add_project(&folded, exprs, &output);
        Ok(output)
    }
}

fn no_columns() -> Error {
    Error::invalid(
        "plan",
        "a step has no columns",
        "select one, or count the rows",
    )
}

/// Indices of the wanted columns, in the schema's order; at least one, so that rows are counted.
fn columns_of(schema: &Schema, wanted: &BTreeSet<String>) -> Result<Vec<usize>> {
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

fn projected(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let fields = columns.iter().map(|&index| schema.field(index).clone());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The field of an expression: a column keeps whether it may be null.
fn output_field(name: String, typed: &TypedExpr, input: &Schema) -> Field {
    let nullable = match typed.kind {
        TypedKind::Column(index) => input.field(index).is_nullable(),
        _ => true,
    };
    Field::new(name, typed.data_type.clone(), nullable)
}

/// The columns that the expressions are, if they are nothing else.
fn exprs_are_columns(exprs: &[TypedExpr]) -> Option<Vec<usize>> {
    exprs
        .iter()
        .map(|expr| match expr.kind {
            TypedKind::Column(index) => Some(index),
            _ => None,
        })
        .collect()
}

/// A predicate of type Boolean: a bare null is a Boolean null.
fn truth(predicate: TypedExpr) -> Result<TypedExpr> {
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

/// Adds `by` to every column index of an expression.
fn shift_columns(expr: &mut TypedExpr, by: usize) {
    let shift = |expr: &mut TypedExpr| shift_columns(expr, by);
    match &mut expr.kind {
        TypedKind::Column(index) => *index += by,
        TypedKind::Literal(_) => {}
        TypedKind::Arithmetic { left, right, .. }
        | TypedKind::Compare { left, right, .. }
        | TypedKind::And(left, right)
        | TypedKind::Or(left, right) => {
            shift(left);
            shift(right);
        }
        TypedKind::Not(operand)
        | TypedKind::Negate(operand)
        | TypedKind::IsNull(operand)
        | TypedKind::IsNotNull(operand)
        | TypedKind::Cast { expr: operand, .. } => shift(operand),
        TypedKind::Case {
            branches,
            otherwise,
        } => {
            for (condition, value) in branches {
                shift(condition);
                shift(value);
            }
            if let Some(otherwise) = otherwise {
                shift(otherwise);
            }
        }
        TypedKind::Coalesce(operands) | TypedKind::Function { operands, .. } => {
            operands.iter_mut().for_each(shift);
        }
    }
}
