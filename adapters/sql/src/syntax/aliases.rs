//! Names of columns that a SELECT makes, within itself.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, Query, Select, SelectItem, VisitMut, VisitorMut};

use super::columns::{Known, of_from};
use super::normal;

/// Puts what they stand for in the places of names given before: `SELECT a + 1 AS b, 2 * b`. A column of a
/// table goes before such a name.
pub(super) fn spread(select: &mut Select, known: Known<'_>) {
    let Some(columns) = of_from(select, known) else {
        return;
    };
    let mut names = Names {
        columns,
        given: Vec::new(),
        depth: 0,
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            names.replace(expr);
        }
        if let SelectItem::ExprWithAlias { expr, alias } = item {
            names.given.push((normal(alias), expr.clone()));
        }
    }
    if let Some(condition) = &mut select.selection {
        names.replace(condition);
    }
}

struct Names {
    columns: Vec<String>,
    given: Vec<(String, Expr)>,
    /// How many queries the expression is within.
    depth: usize,
}

impl Names {
    fn replace(&mut self, expr: &mut Expr) {
        let _: ControlFlow<()> = expr.visit(self);
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
        {
            let name = normal(name);
            let given = self.given.iter().find(|(given, _)| *given == name);
            if let Some((_, value)) = given.filter(|_| !self.columns.contains(&name)) {
                *expr = match value {
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => {
                        value.clone()
                    }
                    value => Expr::Nested(Box::new(value.clone())),
                };
            }
        }
        ControlFlow::Continue(())
    }
}
