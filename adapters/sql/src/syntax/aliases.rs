//! Names of columns that a SELECT makes, within itself.

use datafusion_sql::sqlparser::ast::{Expr, Select, SelectItem};

use super::columns::{Known, of_from};
use super::{closed, normal, replace_names};

/// Puts what they stand for in the places of names given before: `SELECT a + 1 AS b, 2 * b`. A column of a
/// table goes before such a name.
pub(super) fn spread(select: &mut Select, known: Known<'_>) {
    let Some(columns) = of_from(select, known) else {
        return;
    };
    let mut names = Names {
        columns,
        given: Vec::new(),
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
}

impl Names {
    fn replace(&self, expr: &mut Expr) {
        replace_names(expr, |name| {
            let given = self.given.iter().find(|(given, _)| given == name);
            let given = given.filter(|_| !self.columns.iter().any(|column| column == name));
            given.map(|(_, value)| closed(value))
        });
    }
}
