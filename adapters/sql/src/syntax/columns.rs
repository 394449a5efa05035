//! Names of columns, as far as the text and the tables tell them before anything is planned.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::{
    Expr, JoinConstraint, ObjectNamePart, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, WildcardAdditionalOptions,
};
use pelton::engine::LazyFrame;

use super::join::constraint_of;
use super::normal;

/// The names of a common table expression's columns; none where they are not known.
pub(super) type Expressions = BTreeMap<String, Option<Vec<String>>>;

/// What names stand for.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) tables: &'a BTreeMap<String, LazyFrame>,
    /// The common table expressions so far, which hide tables.
    pub(super) expressions: &'a Expressions,
}

/// The columns of a query, in their order.
pub(super) fn of_query(query: &Query, known: Known<'_>) -> Option<Vec<String>> {
    match query.with {
        Some(_) => None,
        None => of_body(&query.body, known),
    }
}

fn of_body(body: &SetExpr, known: Known<'_>) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => of_select(select, known),
        SetExpr::Query(query) => of_query(query, known),
        SetExpr::SetOperation { left, .. } => of_body(left, known),
        _ => None,
    }
}

fn of_select(select: &Select, known: Known<'_>) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => columns.push(normal(name)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path)) => {
                columns.push(normal(path.last()?));
            }
            SelectItem::UnnamedExpr(expr) => columns.push(expr.to_string()),
            SelectItem::ExprWithAlias { alias, .. } => columns.push(normal(alias)),
            SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                columns.extend(of_from(select, known)?);
            }
            _ => return None,
        }
    }
    Some(columns)
}

/// The columns of all tables of a SELECT; none where some are merged.
pub(super) fn of_from(select: &Select, known: Known<'_>) -> Option<Vec<String>> {
    let mut columns = Vec::new();
    for from in &select.from {
        columns.extend(of_factor(&from.relation, known)?);
        for join in &from.joins {
            match constraint_of(&join.join_operator) {
                None | Some(JoinConstraint::Using(_) | JoinConstraint::Natural) => return None,
                Some(_) => columns.extend(of_factor(&join.relation, known)?),
            }
        }
    }
    Some(columns)
}

/// The columns of a table of a FROM clause.
pub(super) fn of_factor(factor: &TableFactor, known: Known<'_>) -> Option<Vec<String>> {
    let (columns, alias) = match factor {
        TableFactor::Table { name, alias, .. } => match name.0.as_slice() {
            [ObjectNamePart::Identifier(table)] => (of_table(&normal(table), known)?, alias),
            _ => return None,
        },
        TableFactor::Derived {
            subquery, alias, ..
        } => (of_query(subquery, known)?, alias),
        _ => return None,
    };
    Some(renamed(columns, alias.as_ref()))
}

fn of_table(name: &str, known: Known<'_>) -> Option<Vec<String>> {
    if let Some(columns) = known.expressions.get(name) {
        return columns.clone();
    }
    let schema = known.tables.get(name)?.query().plan.schema().ok()?;
    let fields = schema.fields().iter();
    Some(fields.map(|field| field.name().clone()).collect())
}

/// Columns of which an alias names the first ones anew.
pub(super) fn renamed(columns: Vec<String>, alias: Option<&TableAlias>) -> Vec<String> {
    let names = alias.map(|alias| alias.columns.as_slice());
    let names = names.unwrap_or_default();
    let renamed = names.iter().map(|column| normal(&column.name));
    renamed
        .chain(columns.into_iter().skip(names.len()))
        .collect()
}
