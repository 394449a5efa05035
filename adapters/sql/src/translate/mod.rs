//! DataFusion's logical plan as Pelton's.
//!
//! Columns there have a name and perhaps a table, here a name alone: `lineitem.l_orderkey` is one name.
//! The plan as a whole gives the columns the names that the text asks for.

mod aggregate;
mod expr;
mod frame;
mod function;
mod join;
mod list_aggregate;
mod literal;
mod relation;
mod subquery;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::{Distinct, DistinctOn, LogicalPlan as SqlPlan, SortExpr as SqlSort};
use pelton::engine::LazyFrame;
use pelton::error::Result;
use pelton::expr::{Frame, JoinKind, Keep, WindowFunction, col, lit};
use pelton::plan::{JOIN_SUFFIX, LogicalPlan, SortExpr, WindowExpr};
use pelton::types::Literal;

use crate::problem::unsupported;
use subquery::{Beside, Domain};

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
        beside: Vec::new(),
        domain: None,
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

/// The number of a row among those that are equal in DISTINCT ON.
const FIRST: &str = "__first";

struct Translation<'a> {
    tables: &'a BTreeMap<String, LazyFrame>,
    /// Subqueries so far.
    subqueries: usize,
    /// Subqueries of the expressions at hand.
    beside: Vec<Beside>,
    /// What the plan at hand is computed for, if it is a correlated subquery's.
    domain: Option<Domain>,
}

impl Translation<'_> {
    /// A plan; of a correlated subquery with the columns of its domain behind its own.
    fn plan(&mut self, plan: &SqlPlan) -> Result<LogicalPlan> {
        if self.domain.is_some() && !self.is_dependent(plan)? {
            return self.independent(plan);
        }
        match plan {
            SqlPlan::Projection(projection) => {
                let input = self.plan(&projection.input)?;
                let (input, exprs) = self.over(input, |this| this.exprs(&projection.expr))?;
                let named = exprs.into_iter().zip(names(&projection.schema));
                let named = named.map(|(expr, name)| expr.alias(name));
                Ok(LogicalPlan::Project {
                    input: Box::new(input),
                    exprs: named.chain(self.extra().into_iter().map(col)).collect(),
                })
            }
            SqlPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                let plain = self.subqueries;
                let (input, predicate) = self.over(input, |this| this.expr(&filter.predicate))?;
                let filtered = LogicalPlan::Filter {
                    input: Box::new(input),
                    predicate,
                };
                Ok(match plain == self.subqueries {
                    true => filtered,
                    false => self.only(filtered, names(filter.input.schema())),
                })
            }
            SqlPlan::Sort(sort) if self.domain.is_some() => match sort.fetch {
                Some(rows) => self.limited_each(&sort.input, &sort.expr, 0, Some(rows as u64)),
                None => self.plan(&sort.input),
            },
            SqlPlan::Sort(sort) => {
                let input = self.plan(&sort.input)?;
                let plain = self.subqueries;
                let (input, keys) = self.over(input, |this| this.sort_keys(&sort.expr))?;
                let sorted = LogicalPlan::Sort {
                    input: Box::new(input),
                    keys,
                };
                let sorted = match plain == self.subqueries {
                    true => sorted,
                    false => self.only(sorted, names(sort.input.schema())),
                };
                Ok(match sort.fetch {
                    Some(rows) => limited(sorted, 0, Some(rows as u64)),
                    None => sorted,
                })
            }
            SqlPlan::Limit(limit) => {
                let skip = limit.skip.as_deref().map(literal::count).transpose()?;
                let rows = limit.fetch.as_deref().map(literal::count).transpose()?;
                let (skip, rows) = (skip.flatten().unwrap_or(0), rows.flatten());
                if self.domain.is_some() {
                    return match &*limit.input {
                        SqlPlan::Sort(sort) => {
                            self.limited_each(&sort.input, &sort.expr, skip, rows)
                        }
                        input => self.limited_each(input, &[], skip, rows),
                    };
                }
                Ok(limited(self.plan(&limit.input)?, skip, rows))
            }
            SqlPlan::SubqueryAlias(alias) => {
                let input = self.plan(&alias.input)?;
                let mut from = names(alias.input.schema());
                let mut to = names(&alias.schema);
                from.extend(self.extra());
                to.extend(self.extra());
                Ok(renamed(input, from, to))
            }
            SqlPlan::Distinct(Distinct::All(input)) => Ok(LogicalPlan::Distinct {
                input: Box::new(self.plan(input)?),
                on: Vec::new(),
                keep: Keep::Any,
            }),
            SqlPlan::Distinct(Distinct::On(one)) => self.distinct_on(one),
            SqlPlan::Aggregate(one) => self.aggregate(one),
            SqlPlan::Join(join) => self.join(join),
            SqlPlan::Window(window) => self.window(window),
            SqlPlan::Union(union) => self.union(union),
            SqlPlan::TableScan(scan) => self.scan(scan),
            SqlPlan::Values(values) => self.values(values),
            SqlPlan::EmptyRelation(empty) => relation::empty(empty),
            SqlPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            other => Err(unsupported(construct(other))),
        }
    }

    /// The first row of each group of equal values, in an order that begins with them.
    fn distinct_on(&mut self, one: &DistinctOn) -> Result<LogicalPlan> {
        if self.domain.is_some() {
            return Err(unsupported("DISTINCT ON in a correlated subquery"));
        }
        let input = self.plan(&one.input)?;
        let sort = one.sort_expr.clone().unwrap_or_default();
        let (input, (on, keys, exprs)) = self.over(input, |this| {
            let on = this.exprs(&one.on_expr)?;
            Ok((on, this.sort_keys(&sort)?, this.exprs(&one.select_expr)?))
        })?;
        let number = WindowExpr {
            name: FIRST.to_string(),
            function: WindowFunction::RowNumber,
            partition_by: on,
            order_by: keys.clone(),
            frame: Frame::RUNNING,
        };
        let mut plan = LogicalPlan::Filter {
            predicate: col(FIRST).eq(lit(Literal::Int64(1))),
            input: Box::new(LogicalPlan::Window {
                input: Box::new(input),
                functions: vec![number],
            }),
        };
        if !keys.is_empty() {
            plan = LogicalPlan::Sort {
                input: Box::new(plan),
                keys,
            };
        }
        let named = exprs.into_iter().zip(names(&one.schema));
        Ok(LogicalPlan::Project {
            input: Box::new(plan),
            exprs: named.map(|(expr, name)| expr.alias(name)).collect(),
        })
    }

    /// A plan with these columns and those of the domain alone.
    fn only(&self, input: LogicalPlan, columns: Vec<String>) -> LogicalPlan {
        let columns = columns.into_iter().chain(self.extra());
        LogicalPlan::Project {
            exprs: columns.map(col).collect(),
            input: Box::new(input),
        }
    }

    fn sort_keys(&mut self, keys: &[SqlSort]) -> Result<Vec<SortExpr>> {
        let keys = keys.iter().map(|key| {
            Ok(SortExpr {
                expr: self.expr(&key.expr)?,
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
