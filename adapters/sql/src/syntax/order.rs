//! `ORDER BY` in the forms that the planner has.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Ident, OrderByExpr, OrderByKind, Query, SelectItem, SetExpr, TableFactor, Value, Visit,
    Visitor,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use pelton::error::{Error, Result};

use super::columns::{Known, of_query};
use super::normal;

/// Name of a column that is there for the order alone, before its number.
const KEY: &str = "__order_";

/// Rewrites the order of a query: `ALL` becomes every column, and keys with subqueries become columns.
///
/// # Errors
/// Never for a text that was parsed.
pub(super) fn write_out(query: &mut Query, known: Known<'_>) -> Result<()> {
    let columns = of_query(query, known);
    let Some(OrderByKind::Expressions(keys)) =
        query.order_by.as_mut().map(|order_by| &mut order_by.kind)
    else {
        return Ok(());
    };
    if let ([all], Some(columns)) = (keys.as_slice(), columns)
        && matches!(&all.expr, Expr::Identifier(name) if name.quote_style.is_none() && normal(name) == "all")
        && !columns.iter().any(|column| column == "all")
    {
        let all = all.clone();
        let places = 1..=columns.len();
        *keys = places
            .map(|place| OrderByExpr {
                expr: Expr::value(Value::Number(place.to_string(), false)),
                ..all.clone()
            })
            .collect();
        return Ok(());
    }
    if keys.iter().any(|key| has_query(&key.expr)) {
        let keys = std::mem::take(keys);
        let keys = computed(&mut query.body, keys)?;
        if let Some(order_by) = &mut query.order_by {
            order_by.kind = OrderByKind::Expressions(keys);
        }
    }
    Ok(())
}

/// Whether a query stands anywhere in an expression.
pub(super) fn has_query(expr: &Expr) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();
        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Queries).is_break()
}

/// Makes a query over the body that leaves out the keys, which become columns of it.
fn computed(body: &mut SetExpr, mut keys: Vec<OrderByExpr>) -> Result<Vec<OrderByExpr>> {
    let SetExpr::Select(select) = &mut *body else {
        return Ok(keys);
    };
    if select.distinct.is_some() {
        return Ok(keys);
    }
    let names = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(normal(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path)) => path.last().map(normal),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    let mut added = Vec::new();
    for key in &mut keys {
        let stays = match &key.expr {
            Expr::Identifier(name) => names.contains(&normal(name)),
            Expr::Value(_) => true,
            _ => false,
        };
        if !stays {
            let alias = Ident::new(format!("{KEY}{}", added.len()));
            let expr = std::mem::replace(&mut key.expr, Expr::Identifier(alias.clone()));
            select.projection.push(SelectItem::ExprWithAlias {
                expr,
                alias: alias.clone(),
            });
            added.push(alias.value);
        }
    }
    let template = format!(
        "SELECT * EXCLUDE ({}) FROM (SELECT 1) AS __ordered",
        added.join(", ")
    );
    let broken = |cause: String| Error::invalid("SQL", cause, "");
    let parser = Parser::new(&GenericDialect {}).try_with_sql(&template);
    let parsed = parser.and_then(|mut parser| parser.parse_query());
    let mut outer = parsed.map_err(|error| broken(error.to_string()))?;
    std::mem::swap(body, &mut outer.body);
    // What was the body is the relation of the new one.
    if let SetExpr::Select(select) = body
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        subquery.body = outer.body;
    }
    Ok(keys)
}
