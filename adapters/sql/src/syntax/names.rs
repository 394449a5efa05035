//! Names of columns that the text gives none: what the text says.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast::{Expr, Ident, Select, SelectItem, SetExpr};

use super::normal;

/// Names the columns of each SELECT of a body, not those of the queries within.
pub(super) fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name(select),
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        _ => {}
    }
}

fn name(select: &mut Select) {
    let takes_all = |item: &SelectItem| match item {
        SelectItem::Wildcard(options) => options.opt_exclude.is_none(),
        _ => false,
    };
    let all = select.projection.iter().any(takes_all);
    let mut taken = BTreeSet::new();
    let mut columns = BTreeSet::new();
    for item in &mut select.projection {
        let expr = match item {
            SelectItem::UnnamedExpr(expr) => expr.clone(),
            SelectItem::ExprWithAlias { alias, .. } => {
                taken.insert(normal(alias));
                continue;
            }
            _ => continue,
        };
        let text = expr.to_string();
        let (name, is_column) = match &expr {
            Expr::Identifier(column) => (normal(column), true),
            Expr::CompoundIdentifier(path) => (path.last().map(normal).unwrap_or_default(), true),
            _ => (text.clone(), false),
        };
        let is_free = taken.insert(name.clone());
        // Columns of one name from two tables stay as they are: the plan's last step counts them.
        let of_all = all && matches!(expr, Expr::Identifier(_));
        if is_column && columns.insert(text) && !of_all {
            continue;
        }
        let mut alias = name.clone();
        if is_column || !is_free {
            for number in 1.. {
                alias = format!("{name}_{number}");
                if taken.insert(alias.clone()) {
                    break;
                }
            }
        }
        *item = SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', alias),
        };
    }
}
