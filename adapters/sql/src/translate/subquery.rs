//! Subqueries within expressions.
//!
//! A subquery's value is a column beside the rows that read it. One that reads columns of those rows, a
//! correlated one, is computed for all their different values at once: the *domain*. Its columns are
//! appended to every step of the subquery, which so becomes a plan of its own (Neumann and Kemper, "Unnesting
//! Arbitrary Queries"), and the result is joined to the rows by them. Nulls are equal there.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr as SqlExpr, LogicalPlan as SqlPlan, SortExpr as SqlSort, Subquery};
use pelton::error::Result;
use pelton::expr::{
    AggregateFunction, Expr, Frame, JoinKind, Keep, MARK_NAME, WindowFunction, coalesce, col,
    concat, count_rows, lit,
};
use pelton::plan::{JOIN_SUFFIX, LogicalPlan, WindowExpr};
use pelton::types::{DataType, Literal};

use super::expr::{column_name, not};
use super::{Translation, crossed, names};
use crate::problem::{refused, unsupported};

/// Number of a subquery's rows, and of those with a value.
const ROWS: &str = "__rows";
const KNOWN: &str = "__known";
/// The value of a subquery, and the number of a row among those of its domain.
pub(super) const VALUE: &str = "__value";
const NUMBER: &str = "__number";

/// The values that a correlated subquery is computed for.
pub(super) struct Domain {
    /// Its different rows.
    plan: LogicalPlan,
    /// Columns there, by the names that they have in the query outside.
    columns: BTreeMap<String, String>,
}

/// A subquery whose value is to be a column.
pub(super) struct Beside {
    subquery: Arc<SqlPlan>,
    kind: Kind,
    /// Name of the column.
    name: String,
}

pub(super) enum Kind {
    /// The value of the only row; null if there is none.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// Whether a value is among those of the rows; perhaps unknown.
    In(Expr),
}

impl Translation<'_> {
    /// The column of a subquery.
    pub(super) fn beside(&mut self, subquery: &Subquery, kind: Kind) -> Expr {
        let name = format!("__subquery_{}", self.subqueries);
        self.subqueries += 1;
        self.beside.push(Beside {
            subquery: Arc::clone(&subquery.subquery),
            kind,
            name: name.clone(),
        });
        col(name)
    }

    /// What is made of expressions, and the input with the columns of their subqueries.
    pub(super) fn over<T>(
        &mut self,
        input: LogicalPlan,
        translate: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(LogicalPlan, T)> {
        let outside = std::mem::take(&mut self.beside);
        let translated = translate(self);
        let inside = std::mem::replace(&mut self.beside, outside);
        let translated = translated?;
        let mut plan = input;
        for one in inside {
            plan = self.attach(plan, one)?;
        }
        Ok((plan, translated))
    }

    /// Columns of the domain, if the plan is that of a correlated subquery.
    pub(super) fn extra(&self) -> Vec<String> {
        let domain = self.domain.iter();
        domain
            .flat_map(|domain| domain.columns.values().cloned())
            .collect()
    }

    /// The column that stands for one of the query outside.
    pub(super) fn outer(&self, column: &str) -> Result<Expr> {
        let known = self.domain.as_ref();
        let known = known.and_then(|domain| domain.columns.get(column));
        let refused = || unsupported(format!("the column {column} of a query further outside"));
        known.map(col).ok_or_else(refused)
    }

    /// Whether a plan reads columns of the query outside.
    pub(super) fn is_dependent(&self, plan: &SqlPlan) -> Result<bool> {
        let Some(domain) = &self.domain else {
            return Ok(false);
        };
        let columns = outer_columns(plan)?;
        Ok(columns.iter().any(|name| domain.columns.contains_key(name)))
    }

    /// A plan that reads nothing of the query outside, for each row of the domain.
    pub(super) fn independent(&mut self, plan: &SqlPlan) -> Result<LogicalPlan> {
        let domain = self.domain.take();
        let translated = self.plan(plan);
        self.domain = domain;
        let translated = translated?;
        Ok(match &self.domain {
            Some(domain) => crossed(translated, domain.plan.clone(), JoinKind::Inner),
            None => translated,
        })
    }

    /// The aggregate over no group, which has a row for each of the domain's whether or not there are rows.
    pub(super) fn for_all(
        &self,
        aggregated: LogicalPlan,
        counts: &[String],
        results: &[String],
    ) -> LogicalPlan {
        let Some(domain) = &self.domain else {
            return aggregated;
        };
        let of_rows = |name: &String| format!("{ROWS}.{name}");
        let keys: Vec<String> = domain.columns.values().cloned().collect();
        let renamed = keys.iter().map(|name| col(name).alias(of_rows(name)));
        let right = LogicalPlan::Project {
            exprs: renamed.chain(results.iter().map(col)).collect(),
            input: Box::new(aggregated),
        };
        let pairs = keys.iter().map(|name| (col(name), col(of_rows(name))));
        let joined = null_equal(domain.plan.clone(), right, JoinKind::Left, pairs.collect());
        let results = results.iter().map(|name| match counts.contains(name) {
            true => coalesce([col(name), lit(Literal::Int64(0))]).alias(name),
            false => col(name),
        });
        LogicalPlan::Project {
            exprs: results.chain(keys.iter().map(col)).collect(),
            input: Box::new(joined),
        }
    }

    /// Some rows of each of the domain's.
    pub(super) fn limited_each(
        &mut self,
        input: &SqlPlan,
        keys: &[SqlSort],
        skip: u64,
        rows: Option<u64>,
    ) -> Result<LogicalPlan> {
        let plan = self.plan(input)?;
        let (plan, order_by) = self.over(plan, |this| this.sort_keys(keys))?;
        let number = WindowExpr {
            name: NUMBER.to_string(),
            function: WindowFunction::RowNumber,
            partition_by: self.extra().into_iter().map(col).collect(),
            order_by,
            frame: Frame::RUNNING,
        };
        let numbered = LogicalPlan::Window {
            input: Box::new(plan),
            functions: vec![number],
        };
        let at = |number: u64| lit(Literal::Int64(i64::try_from(number).unwrap_or(i64::MAX)));
        let mut predicate = col(NUMBER).gt(at(skip));
        if let Some(rows) = rows {
            predicate = predicate.and(col(NUMBER).lt_eq(at(skip.saturating_add(rows))));
        }
        let columns = names(input.schema()).into_iter().chain(self.extra());
        Ok(LogicalPlan::Project {
            exprs: columns.map(col).collect(),
            input: Box::new(LogicalPlan::Filter {
                input: Box::new(numbered),
                predicate,
            }),
        })
    }

    /// A correlated plan of FROM, joined to the rows that it reads.
    pub(super) fn lateral(
        &mut self,
        left: LogicalPlan,
        right: &SqlPlan,
        kind: JoinKind,
        residual: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let (right, pairs) = self.for_each_row(&left, right)?;
        let columns = column_names(&left)?;
        let own: Vec<String> = names(right.1.schema());
        let joined = LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(right.0),
            kind,
            on: pairs,
            null_equals_null: true,
            residual,
            suffix: JOIN_SUFFIX.to_string(),
        };
        Ok(LogicalPlan::Project {
            exprs: columns.into_iter().chain(own).map(col).collect(),
            input: Box::new(joined),
        })
    }

    /// A subquery for all rows of a plan, and the pairs of columns that join it to them.
    #[expect(clippy::type_complexity, reason = "a plan, its source, and pairs")]
    fn for_each_row<'p>(
        &mut self,
        rows: &LogicalPlan,
        subquery: &'p SqlPlan,
    ) -> Result<((LogicalPlan, &'p SqlPlan), Vec<(Expr, Expr)>)> {
        let available = column_names(rows)?;
        let mut columns = BTreeMap::new();
        let mut pairs = Vec::new();
        let mut exprs = Vec::new();
        for name in outer_columns(subquery)? {
            let further = self
                .domain
                .as_ref()
                .and_then(|domain| domain.columns.get(&name));
            let source = match available.contains(&name) {
                true => Some(name.clone()),
                false => further.cloned(),
            };
            let Some(source) = source else {
                continue;
            };
            let inner = format!("__outer_{}.{name}", self.subqueries);
            exprs.push(col(&source).alias(&inner));
            pairs.push((col(source), col(&inner)));
            columns.insert(name, inner);
        }
        self.subqueries += 1;
        let domain = (!columns.is_empty()).then(|| Domain {
            plan: LogicalPlan::Distinct {
                input: Box::new(LogicalPlan::Project {
                    exprs,
                    input: Box::new(rows.clone()),
                }),
                on: Vec::new(),
                keep: Keep::Any,
            },
            columns,
        });
        let outside = std::mem::replace(&mut self.domain, domain);
        let plan = self.plan(subquery);
        self.domain = outside;
        Ok(((plan?, subquery), pairs))
    }

    /// Rows with the column of a subquery.
    fn attach(&mut self, rows: LogicalPlan, one: Beside) -> Result<LogicalPlan> {
        let kept = column_names(&rows)?;
        let ((inner, _), pairs) = self.for_each_row(&rows, &one.subquery)?;
        let keys: Vec<Expr> = pairs.iter().map(|(_, inner)| inner.clone()).collect();
        let value = names(one.subquery.schema()).into_iter().next().map(col);
        let value = value.ok_or_else(|| unsupported("a subquery without columns"))?;
        let (joined, column) = match one.kind {
            Kind::Scalar => {
                let inner = projected(inner, &keys, [value.alias(VALUE)]);
                (null_equal(rows, inner, JoinKind::Left, pairs), col(VALUE))
            }
            Kind::Exists if pairs.is_empty() => {
                let first = LogicalPlan::Limit {
                    input: Box::new(inner),
                    skip: 0,
                    rows: Some(1),
                };
                let counted = aggregated(first, &[], vec![count_rows().alias(ROWS)]);
                let exists = col(ROWS).gt(lit(Literal::Int64(0)));
                (crossed(rows, counted, JoinKind::Inner), exists)
            }
            Kind::Exists => {
                let inner = projected(inner, &keys, []);
                let joined = null_equal(rows, inner, JoinKind::Mark, pairs);
                (joined, col(MARK_NAME))
            }
            Kind::In(probe) => {
                let inner = projected(inner, &keys, [value.alias(VALUE)]);
                let counts = vec![count_rows().alias(ROWS), col(VALUE).count().alias(KNOWN)];
                let counts = aggregated(inner.clone(), &keys, counts);
                // Nulls among the keys are equal; a null among the values equals nothing.
                let values = LogicalPlan::Filter {
                    input: Box::new(inner),
                    predicate: col(VALUE).is_not_null(),
                };
                let counted = null_equal(rows, counts, JoinKind::Left, pairs.clone());
                let columns = kept.iter().map(String::as_str).chain([ROWS, KNOWN]);
                let counted = LogicalPlan::Project {
                    exprs: columns.map(col).collect(),
                    input: Box::new(counted),
                };
                let mut on = pairs;
                on.push((probe.clone(), col(VALUE)));
                let joined = null_equal(counted, values, JoinKind::Mark, on);
                let nothing = coalesce([col(ROWS), lit(Literal::Int64(0))]);
                let nothing = nothing.eq(lit(Literal::Int64(0)));
                let unknown = probe.is_null().or(col(KNOWN).lt(col(ROWS)));
                let is_in = Expr::Case {
                    branches: vec![
                        (col(MARK_NAME), lit(true)),
                        (nothing, lit(false)),
                        (unknown, lit(Literal::Null).cast(DataType::Boolean)),
                    ],
                    otherwise: Some(Box::new(lit(false))),
                };
                (joined, is_in)
            }
        };
        Ok(LogicalPlan::Project {
            exprs: kept
                .iter()
                .map(col)
                .chain([column.alias(one.name)])
                .collect(),
            input: Box::new(joined),
        })
    }
}

/// Names of the columns of queries outside that a plan reads, each once.
pub(super) fn outer_columns(plan: &SqlPlan) -> Result<Vec<String>> {
    let mut columns = Vec::new();
    let found = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let SqlExpr::OuterReferenceColumn(_, column) = expr {
                    let name = column_name(column);
                    if !columns.contains(&name) {
                        columns.push(name);
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.map_err(|error| refused(&error))?;
    Ok(columns)
}

pub(super) fn column_names(plan: &LogicalPlan) -> Result<Vec<String>> {
    let schema = plan.schema()?;
    let fields = schema.fields().iter();
    Ok(fields.map(|field| field.name().clone()).collect())
}

/// The keys, and more columns.
fn projected(
    input: LogicalPlan,
    keys: &[Expr],
    more: impl IntoIterator<Item = Expr>,
) -> LogicalPlan {
    LogicalPlan::Project {
        exprs: keys.iter().cloned().chain(more).collect(),
        input: Box::new(input),
    }
}

fn aggregated(input: LogicalPlan, keys: &[Expr], aggregates: Vec<Expr>) -> LogicalPlan {
    LogicalPlan::Aggregate {
        input: Box::new(input),
        group_keys: keys.to_vec(),
        aggregates,
    }
}

/// A join by keys of which nulls are equal; of no keys, every pair of rows.
pub(super) fn null_equal(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    on: Vec<(Expr, Expr)>,
) -> LogicalPlan {
    null_equal_where(left, right, kind, on, None)
}

/// The same of pairs of rows for which the residual is true.
pub(super) fn null_equal_where(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinKind,
    on: Vec<(Expr, Expr)>,
    residual: Option<Expr>,
) -> LogicalPlan {
    LogicalPlan::Join {
        left: Box::new(left),
        right: Box::new(right),
        kind,
        on,
        null_equals_null: true,
        residual,
        suffix: JOIN_SUFFIX.to_string(),
    }
}

/// The value of the only row for each key, under the name of [`VALUE`]. Where there are more, a cast fails and says so.
pub(super) fn only_row(input: LogicalPlan, keys: &[Expr], value: Expr) -> LogicalPlan {
    let any = Expr::Aggregate {
        function: AggregateFunction::AnyValue,
        expr: Some(Box::new(value)),
    };
    let counted = aggregated(
        input,
        keys,
        vec![count_rows().alias(ROWS), any.alias(VALUE)],
    );
    let several = concat([
        lit("a subquery that stands for one value has "),
        col(ROWS).cast(DataType::Utf8),
        lit(" rows"),
    ]);
    let failure = Expr::Case {
        branches: vec![(col(ROWS).gt(lit(Literal::Int64(1))), several)],
        otherwise: None,
    };
    let checked = LogicalPlan::Filter {
        input: Box::new(counted),
        predicate: not(failure.cast(DataType::Int64).is_not_null()),
    };
    projected(checked, keys, [col(VALUE)])
}
