//! Where rows come from: tables, values, unions.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use datafusion_common::ScalarValue;
use datafusion_expr::{EmptyRelation, Expr as SqlExpr, TableScan, Union, Values};
use pelton::error::{Error, Result};
use pelton::expr::{col, lit};
use pelton::plan::{LogicalPlan, MemoryTable};
use pelton::types::{DataType, Field, Schema};

use super::literal::stored_type;
use super::{Translation, flat, names, renamed};
use crate::problem::{refused, unsupported};

/// The column of a relation that has a row but no columns.
const ROW: &str = "__row";

impl Translation<'_> {
    pub(super) fn scan(&mut self, scan: &TableScan) -> Result<LogicalPlan> {
        let Some(table) = self.tables.get(scan.table_name.table()) else {
            let cause = "is not in the catalog";
            return Err(Error::invalid(
                format!("table `{}`", scan.table_name),
                cause,
                "",
            ));
        };
        if !scan.filters.is_empty() {
            return Err(unsupported("a filter within a scan"));
        }
        let fields = scan.projected_schema.fields().iter();
        let exprs =
            fields.map(|field| col(field.name()).alias(flat(Some(&scan.table_name), field.name())));
        Ok(LogicalPlan::Project {
            exprs: exprs.collect(),
            input: Box::new(table.query().plan.clone()),
        })
    }

    /// The inputs' columns under the names, and of the types, of the first one.
    pub(super) fn union(&mut self, union: &Union) -> Result<LogicalPlan> {
        let mut to = names(&union.schema);
        to.extend(self.extra());
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let plan = self.plan(input)?;
            let mut from = names(input.schema());
            from.extend(self.extra());
            inputs.push(renamed(plan, from, to.clone()));
        }
        if to.is_empty() {
            // Only the number of the rows is asked for.
            let counted = inputs.into_iter().map(|input| LogicalPlan::Project {
                exprs: vec![lit(0).alias(ROW)],
                input: Box::new(input),
            });
            return Ok(LogicalPlan::Union {
                inputs: counted.collect(),
            });
        }
        let schemas = inputs.iter().map(LogicalPlan::schema);
        let schemas = schemas.collect::<Result<Vec<_>>>()?;
        let first = schemas.first().map(|schema| schema.fields());
        let same = |schema: &Arc<Schema>| {
            let types = |fields: &arrow::datatypes::Fields| -> Vec<DataType> {
                fields
                    .iter()
                    .map(|field| field.data_type().clone())
                    .collect()
            };
            Some(types(schema.fields())) == first.map(types)
        };
        if !schemas.iter().all(same) {
            let types = union.schema.fields().iter();
            let types: Vec<_> = types.map(|field| stored_type(field.data_type())).collect();
            let cast = |plan: LogicalPlan| {
                let columns = to.iter().zip(&types);
                let columns = columns.map(|(name, to)| col(name).cast(to.clone()).alias(name));
                let extra = to.iter().skip(types.len()).map(col);
                LogicalPlan::Project {
                    exprs: columns.chain(extra).collect(),
                    input: Box::new(plan),
                }
            };
            inputs = inputs.into_iter().map(cast).collect();
        }
        Ok(LogicalPlan::Union { inputs })
    }

    /// The rows of VALUES. What the optimiser has not made a constant is computed row by row.
    pub(super) fn values(&mut self, values: &Values) -> Result<LogicalPlan> {
        let is_constant = |expr: &SqlExpr| matches!(expr, SqlExpr::Literal(..));
        if values.values.iter().flatten().all(is_constant) {
            return constants(values);
        }
        let names = names(&values.schema);
        let fields = values.schema.fields();
        let mut inputs = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let exprs = row.iter().zip(fields).zip(&names);
            let exprs = exprs.map(|((expr, field), name)| {
                let value = self.plain(expr)?.cast(stored_type(field.data_type()));
                Ok(value.alias(name))
            });
            inputs.push(LogicalPlan::Project {
                exprs: exprs.collect::<Result<_>>()?,
                input: Box::new(one_row()?),
            });
        }
        Ok(LogicalPlan::Union { inputs })
    }
}

/// Rows of constants.
fn constants(values: &Values) -> Result<LogicalPlan> {
    let mut columns = Vec::new();
    for (index, field) in values.schema.fields().iter().enumerate() {
        let of_row = |row: &Vec<SqlExpr>| match row.get(index) {
            Some(SqlExpr::Literal(value, _)) => {
                let cast = value.cast_to(&stored_type(field.data_type()));
                cast.map_err(|error| refused(&error))
            }
            _ => Err(unsupported("an expression in VALUES")),
        };
        let of_column = values
            .values
            .iter()
            .map(of_row)
            .collect::<Result<Vec<_>>>()?;
        let array = ScalarValue::iter_to_array(of_column).map_err(|error| refused(&error))?;
        columns.push(array);
    }
    table(&names(&values.schema), columns, values.values.len())
}

/// One row without columns, or no row.
pub(super) fn empty(empty: &EmptyRelation) -> Result<LogicalPlan> {
    if empty.produce_one_row {
        return one_row();
    }
    let fields = empty.schema.fields().iter();
    let columns =
        fields.map(|field| arrow::array::new_empty_array(&stored_type(field.data_type())));
    table(&names(&empty.schema), columns.collect(), 0)
}

fn one_row() -> Result<LogicalPlan> {
    let row: ArrayRef = Arc::new(Int64Array::from(vec![0]));
    table(&[ROW.to_string()], vec![row], 1)
}

fn table(names: &[String], columns: Vec<ArrayRef>, rows: usize) -> Result<LogicalPlan> {
    let fields = names.iter().zip(&columns);
    let fields = fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
    let batch = batch.map_err(|error| Error::invalid("VALUES", error.to_string(), ""))?;
    Ok(LogicalPlan::Memory {
        table: Arc::new(MemoryTable::new(schema, vec![batch])?),
    })
}
