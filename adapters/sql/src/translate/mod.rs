//! DataFusion's logical plan as Pelton's.
//!
//! Columns there have a name and perhaps a table, here a name alone: `lineitem.l_orderkey` is one name.
//! The plan as a whole gives the columns the names that the text asks for.

mod aggregate;
mod expr;
mod function;
mod join;
mod literal;
mod relation;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::{Distinct, LogicalPlan as SqlPlan, SortExpr as SqlSort};
use pelton::engine::LazyFrame;
use pelton::error::Result;
use pelton::expr::{JoinKind, Keep, col};
use pelton::plan::{JOIN_SUFFIX, LogicalPlan, SortExpr};

use crate::problem::unsupported;

/// The plan of an optimised query over these tables.
///
/// # Errors
/// `Unsupported` for what has no translation.
pub(crate) fn translate(
    plan: &SqlPlan,
    tables: &BTreeMap<String, LazyFrame>,
) -> Result<LogicalPlan> {
    let mut translation = Translation {
        tables,
        subqueries: 0,
    };
    let input = translation.plan(plan)?;
    let mut taken = BTreeSet::new();
    let columns = plan.schema().iter().map(|(table, field)| {
        let inner = flat(table, field.name());
        let mut name = field.name().clone();
        for number in 1.. {
            if taken.insert(name.clone()) {
                break;
            }
            name = format!("{}_{number}", field.name());
        }
        col(inner).alias(name)
    });
    Ok(LogicalPlan::Project {
        exprs: columns.collect(),
        input: Box::new(input),
    })
}

/// The one name of a column of a table.
fn flat(table: Option<&TableReference>, name: &str) -> String {
    match table {
        Some(table) => format!("{table}.{name}"),
        None => name.to_string(),
    }
}

/// The names of a schema's columns.
fn names(schema: &DFSchema) -> Vec<String> {
    let columns = schema.iter();
    columns
        .map(|(table, field)| flat(table, field.name()))
        .collect()
}

/// A plan with the columns of another under these names, place by place.
fn renamed(input: LogicalPlan, from: Vec<String>, to: Vec<String>) -> LogicalPlan {
    if from == to {
        return input;
    }
    let exprs = from.into_iter().zip(to);
    LogicalPlan::Project {
        input: Box::new(input),
        exprs: exprs.map(|(from, to)| col(from).alias(to)).collect(),
    }
}

struct Translation<'a> {
    tables: &'a BTreeMap<String, LazyFrame>,
    /// Scalar subqueries so far.
    subqueries: usize,
}

impl Translation<'_> {
    fn plan(&mut self, plan: &SqlPlan) -> Result<LogicalPlan> {
        match plan {
            SqlPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                let (exprs, scalars) = self.exprs(&projection.expr)?;
                let named = exprs.into_iter().zip(names(&projection.schema));
                Ok(LogicalPlan::Project {
                    input: Box::new(beside(input, scalars)),
                    exprs: named.map(|(expr, name)| expr.alias(name)).collect(),
                })
            }
            SqlPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                let (predicate, scalars) = self.expr(&filter.predicate)?;
                let columns = names(filter.input.schema());
                let plain = scalars.is_empty();
                let filtered = LogicalPlan::Filter {
                    input: Box::new(beside(input, scalars)),
                    predicate,
                };
                if plain {
                    return Ok(filtered);
                }
                Ok(LogicalPlan::Project {
                    input: Box::new(filtered),
                    exprs: columns.into_iter().map(col).collect(),
                })
            }
            SqlPlan::Sort(sort) => {
                let input = self.plan(&sort.input)?;
                let keys = self.sort_keys(&sort.expr)?;
                let sorted = LogicalPlan::Sort {
                    input: Box::new(input),
                    keys,
                };
                Ok(match sort.fetch {
                    Some(rows) => limited(sorted, 0, Some(rows as u64)),
                    None => sorted,
                })
            }
            SqlPlan::Limit(limit) => {
                let input = self.plan(&limit.input)?;
                let skip = limit.skip.as_deref().map(literal::count).transpose()?;
                let rows = limit.fetch.as_deref().map(literal::count).transpose()?;
                Ok(limited(input, skip.flatten().unwrap_or(0), rows.flatten()))
            }
            SqlPlan::SubqueryAlias(alias) => {
                let input = self.plan(&alias.input)?;
                let from = names(alias.input.schema());
                Ok(renamed(input, from, names(&alias.schema)))
            }
            SqlPlan::Distinct(Distinct::All(input)) => Ok(LogicalPlan::Distinct {
                input: Box::new(self.plan(input)?),
                on: Vec::new(),
                keep: Keep::Any,
            }),
            SqlPlan::Aggregate(one) => self.aggregate(one),
            SqlPlan::Join(join) => self.join(join),
            SqlPlan::Window(window) => self.window(window),
            SqlPlan::Union(union) => self.union(union),
            SqlPlan::TableScan(scan) => self.scan(scan),
            SqlPlan::Values(values) => relation::values(values),
            SqlPlan::EmptyRelation(empty) => relation::empty(empty),
            SqlPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            other => Err(unsupported(construct(other))),
        }
    }

    fn sort_keys(&mut self, keys: &[SqlSort]) -> Result<Vec<SortExpr>> {
        let keys = keys.iter().map(|key| {
            Ok(SortExpr {
                expr: self.plain(&key.expr)?,
                descending: !key.asc,
                nulls_first: key.nulls_first,
            })
        });
        keys.collect()
    }
}

/// What a user would call a step.
fn construct(plan: &SqlPlan) -> String {
    let text = plan.display().to_string();
    let name = text.split([':', ' ']).next().unwrap_or_default();
    match plan {
        SqlPlan::Distinct(_) => "DISTINCT ON".to_string(),
        SqlPlan::Unnest(_) => "UNNEST".to_string(),
        SqlPlan::RecursiveQuery(_) => "WITH RECURSIVE".to_string(),
        _ => name.to_string(),
    }
}

fn limited(input: LogicalPlan, skip: u64, rows: Option<u64>) -> LogicalPlan {
    LogicalPlan::Limit {
        input: Box::new(input),
        skip,
        rows,
    }
}

/// A join of every pair of rows.
fn crossed(left: LogicalPlan, right: LogicalPlan, kind: JoinKind) -> LogicalPlan {
    LogicalPlan::Join {
        left: Box::new(left),
        right: Box::new(right),
        kind,
        on: Vec::new(),
        null_equals_null: false,
        residual: None,
        suffix: JOIN_SUFFIX.to_string(),
    }
}

/// A plan with the values of scalar subqueries as further columns; null where one has no row.
fn beside(input: LogicalPlan, scalars: Vec<LogicalPlan>) -> LogicalPlan {
    let scalars = scalars.into_iter();
    scalars.fold(input, |plan, scalar| crossed(plan, scalar, JoinKind::Left))
}
