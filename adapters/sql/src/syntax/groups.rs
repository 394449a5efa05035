//! Grouping sets in the forms that the planner has: plain lists of plain expressions.

use datafusion_sql::sqlparser::ast::{Expr, GroupByExpr, Select, SelectItem, Value};
use pelton::error::Result;

use super::{normal, operands};
use crate::problem::unsupported;

/// Most sets that a clause may stand for.
const SETS_MAX: usize = 4096;

/// Rewrites the grouping sets of a SELECT: numbers become the columns that they count, and sets within sets,
/// and lists within ROLLUP and CUBE, are written out.
///
/// # Errors
/// `Unsupported` for more sets than anybody means.
pub(super) fn write_out(select: &mut Select) -> Result<()> {
    let columns: Vec<Option<Expr>> = select
        .projection
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                Some(expr.clone())
            }
            _ => None,
        })
        .collect();
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else {
        return Ok(());
    };
    for key in keys {
        let (Expr::GroupingSets(lists) | Expr::Rollup(lists) | Expr::Cube(lists)) = &mut *key
        else {
            continue;
        };
        for expr in lists.iter_mut().flatten() {
            if let Some(column) = counted(expr).and_then(|place| columns.get(place)?.clone()) {
                *expr = column;
            }
        }
        let plain = match &*key {
            Expr::GroupingSets(lists) => lists
                .iter()
                .all(|list| list.iter().all(|expr| nested(expr).is_none())),
            Expr::Rollup(lists) | Expr::Cube(lists) => lists.iter().all(|list| list.len() == 1),
            _ => true,
        };
        if !plain {
            *key = Expr::GroupingSets(sets(key)?);
        }
    }
    Ok(())
}

/// The place of the column that a number counts.
fn counted(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// ROLLUP or CUBE within GROUPING SETS, which the parser takes for a call.
fn nested(expr: &Expr) -> Option<Expr> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let name = call.name.0.last()?.as_ident().map(normal)?;
    let lists = operands(&call.args)?
        .into_iter()
        .map(|operand| match operand {
            Expr::Tuple(list) => list,
            other => vec![other],
        });
    match name.as_str() {
        "rollup" => Some(Expr::Rollup(lists.collect())),
        "cube" => Some(Expr::Cube(lists.collect())),
        _ => None,
    }
}

/// The sets that an expression of GROUP BY stands for.
fn sets(expr: &Expr) -> Result<Vec<Vec<Expr>>> {
    let sets = match expr {
        Expr::Rollup(lists) => {
            let ends = (0..=lists.len()).rev();
            let sets = ends.map(|end| lists.iter().take(end).flatten().cloned().collect());
            sets.collect()
        }
        Expr::Cube(lists) if lists.len() <= 12 => {
            let bits = (0..1u32 << lists.len()).rev();
            let chosen = |bits: u32| {
                let lists = lists.iter().enumerate();
                let lists = lists.filter(move |(index, _)| bits >> index & 1 == 1);
                lists.flat_map(|(_, list)| list.clone()).collect()
            };
            bits.map(chosen).collect()
        }
        Expr::GroupingSets(lists) => {
            let mut all = Vec::new();
            for list in lists {
                match list.as_slice() {
                    [only] => match nested(only) {
                        Some(inner) => all.extend(sets(&inner)?),
                        None => all.push(list.clone()),
                    },
                    _ => all.push(list.clone()),
                }
            }
            all
        }
        other => vec![vec![other.clone()]],
    };
    match sets.len() <= SETS_MAX {
        true => Ok(sets),
        false => Err(unsupported(format!("more than {SETS_MAX} grouping sets"))),
    }
}
