//! Rows of several values, and comparisons with every row of a query.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
    VisitMut,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use pelton::error::{Error, Result};

use super::filled;
use crate::problem::unsupported;

/// `(a, b) IN (query)` where a condition only asks whether it is true: whether an equal row exists. Elsewhere
/// it may be unknown, which takes a second look.
pub(super) fn rows_in_condition(condition: &mut Expr) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            rows_in_condition(left);
            rows_in_condition(right);
        }
        Expr::Nested(inner) => rows_in_condition(inner),
        Expr::InSubquery {
            expr,
            subquery,
            negated: false,
        } => {
            if let Expr::Tuple(values) = &**expr
                && let Ok(exists) = exists(subquery, values.len(), &equal(values))
            {
                *condition = exists;
            }
        }
        _ => {}
    }
}

/// Rewrites a comparison of rows, or with the rows of a query.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            if let (Expr::Tuple(left), Expr::Tuple(right)) = (&**left, &**right) {
                *expr = compared(left, op, right)?;
            }
        }
        Expr::InList {
            expr: row,
            list,
            negated,
        } => {
            if let Expr::Tuple(values) = &**row {
                let rows = list.iter().map(|other| match other {
                    Expr::Tuple(others) => compared(values, &BinaryOperator::Eq, others),
                    _ => Err(unequal()),
                });
                let rows = rows.collect::<Result<Vec<_>>>()?;
                let any = joined(&rows, " OR ")?;
                *expr = if *negated {
                    filled("(NOT __0)", &[any])?
                } else {
                    any
                };
            }
        }
        Expr::InSubquery {
            expr: row,
            subquery,
            negated,
        } => {
            if let Expr::Tuple(values) = &**row {
                let equal = equal(values);
                let any = any(subquery, values.len(), &equal)?;
                *expr = if *negated {
                    filled("(NOT __0)", &[any])?
                } else {
                    any
                };
            }
        }
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => {
            // `= ANY` is IN, which has a plan of its own.
            if let Expr::Subquery(query) = &**right
                && *compare_op != BinaryOperator::Eq
            {
                *expr = any(query, 1, &condition(left, compare_op))?;
            }
        }
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => {
            if let Expr::Subquery(query) = &**right
                && *compare_op != BinaryOperator::NotEq
            {
                let opposite = match compare_op {
                    BinaryOperator::Eq => BinaryOperator::NotEq,
                    BinaryOperator::Lt => BinaryOperator::GtEq,
                    BinaryOperator::LtEq => BinaryOperator::Gt,
                    BinaryOperator::Gt => BinaryOperator::LtEq,
                    BinaryOperator::GtEq => BinaryOperator::Lt,
                    other => return Err(unsupported(format!("`{other} ALL`"))),
                };
                let any = any(query, 1, &condition(left, &opposite))?;
                *expr = filled("(NOT __0)", &[any])?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn unequal() -> Error {
    Error::invalid(
        "SQL",
        "rows of different numbers of values are compared",
        "",
    )
}

/// The comparison of two rows, value by value.
fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr> {
    if left.len() != right.len() {
        return Err(unequal());
    }
    let pairs = left.iter().zip(right);
    let equal = pairs.map(|(one, other)| filled("(__0 = __1)", &[one.clone(), other.clone()]));
    let all = joined(&equal.collect::<Result<Vec<_>>>()?, " AND ")?;
    match op {
        BinaryOperator::Eq => Ok(all),
        BinaryOperator::NotEq => filled("(NOT __0)", &[all]),
        BinaryOperator::Lt => in_order(left, right, "<", "<"),
        BinaryOperator::LtEq => in_order(left, right, "<", "<="),
        BinaryOperator::Gt => in_order(left, right, ">", ">"),
        BinaryOperator::GtEq => in_order(left, right, ">", ">="),
        other => Err(unsupported(format!("`{other}` of rows"))),
    }
}

/// Whether one row stands before another: by the first values that differ.
fn in_order(left: &[Expr], right: &[Expr], strict: &str, last: &str) -> Result<Expr> {
    let mut pairs = left.iter().zip(right).rev();
    let Some((one, other)) = pairs.next() else {
        return Err(unequal());
    };
    let mut rest = filled(&format!("(__0 {last} __1)"), &[one.clone(), other.clone()])?;
    for (one, other) in pairs {
        let template = format!("((__0 {strict} __1) OR ((__0 = __1) AND __2))");
        rest = filled(&template, &[one.clone(), other.clone(), rest])?;
    }
    Ok(rest)
}

fn joined(exprs: &[Expr], between: &str) -> Result<Expr> {
    let places: Vec<String> = (0..exprs.len()).map(|place| format!("__{place}")).collect();
    filled(&format!("({})", places.join(between)), exprs)
}

/// Name of the query whose rows are compared, and of its columns before their numbers.
const ROWS: &str = "__rows";
const VALUE: &str = "__value";

/// A condition over the columns of the query, as text, and the operands in it.
struct Condition {
    text: String,
    operands: Vec<Expr>,
}

fn equal(values: &[Expr]) -> Condition {
    let places = 0..values.len();
    let pairs: Vec<String> = places
        .map(|place| format!("{ROWS}.{VALUE}{place} = __{place}"))
        .collect();
    Condition {
        text: format!("({})", pairs.join(" AND ")),
        operands: values.to_vec(),
    }
}

fn condition(left: &Expr, op: &BinaryOperator) -> Condition {
    Condition {
        text: format!("(__0 {op} {ROWS}.{VALUE}0)"),
        operands: vec![left.clone()],
    }
}

/// Whether a condition is true of any row: true if of one, else unknown if it is of one, else false.
fn any(query: &Query, columns: usize, condition: &Condition) -> Result<Expr> {
    let is_true = exists(query, columns, condition)?;
    let unknown = Condition {
        text: format!("({} IS NULL)", condition.text),
        operands: condition.operands.clone(),
    };
    let is_unknown = exists(query, columns, &unknown)?;
    let template = "CASE WHEN __0 THEN true WHEN __1 THEN CAST(NULL AS BOOLEAN) ELSE false END";
    filled(template, &[is_true, is_unknown])
}

/// `EXISTS (SELECT 1 FROM (query) AS rows WHERE condition)`.
fn exists(query: &Query, columns: usize, condition: &Condition) -> Result<Expr> {
    let broken = || Error::invalid("SQL", "a comparison with the rows of a query", "");
    let template = format!(
        "EXISTS (SELECT 1 FROM (SELECT 1) AS {ROWS} WHERE {})",
        condition.text
    );
    let parser = Parser::new(&GenericDialect {}).try_with_sql(&template);
    let mut expr = parser
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|_| broken())?;
    let _: ControlFlow<()> = expr.visit(&mut super::Operands(&condition.operands));
    let Expr::Exists { subquery, .. } = &mut expr else {
        return Err(broken());
    };
    let SetExpr::Select(select) = &mut *subquery.body else {
        return Err(broken());
    };
    let named = (0..columns).map(|place| TableAliasColumnDef {
        name: Ident::new(format!("{VALUE}{place}")),
        data_type: None,
    });
    for table in &mut select.from {
        if let TableFactor::Derived {
            subquery, alias, ..
        } = &mut table.relation
        {
            **subquery = query.clone();
            *alias = Some(TableAlias {
                explicit: true,
                name: Ident::new(ROWS),
                columns: named.clone().collect(),
                at: None,
            });
        }
    }
    Ok(expr)
}
