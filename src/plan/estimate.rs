//! How many rows a step gives, about: enough to choose which side of a join is built.
//!
//! Rows of files and tables are known; what filters, joins and groups leave is guessed from fixed
//! shares, as System R did (Selinger et al., Access Path Selection, SIGMOD 1979).

use super::LogicalPlan;
use crate::expr::{BinaryOp, Expr, JoinKind};

/// Rows of files whose footers nobody counted.
const ROWS_UNKNOWN: f64 = 1e6;

/// Share of rows that satisfy an equality.
const SHARE_EQUAL: f64 = 0.1;

/// Share of rows that satisfy another predicate.
const SHARE_OTHER: f64 = 0.33;

/// Rows that a plan gives, about; never less than one.
pub(crate) fn rows_of(plan: &LogicalPlan) -> f64 {
    let rows = match plan {
        LogicalPlan::Scan { files } => files.rows.map_or(ROWS_UNKNOWN, |rows| rows as f64),
        LogicalPlan::Memory { table } => table.rows() as f64,
        LogicalPlan::Filter { input, predicate } => rows_of(input) * share_of(predicate),
        LogicalPlan::Project { input, .. }
        | LogicalPlan::Sort { input, .. }
        | LogicalPlan::Window { input, .. } => rows_of(input),
        LogicalPlan::Aggregate {
            input, group_keys, ..
        } if group_keys.is_empty() => rows_of(input).min(1.0),
        LogicalPlan::Aggregate { input, .. } | LogicalPlan::Distinct { input, .. } => {
            rows_of(input) * SHARE_EQUAL
        }
        LogicalPlan::Join {
            left,
            right,
            kind,
            on,
            residual,
            ..
        } => {
            let pairs = joined(rows_of(left), rows_of(right), *kind, on.is_empty());
            pairs * residual.as_ref().map_or(1.0, share_of)
        }
        LogicalPlan::Union { inputs } => inputs.iter().map(rows_of).sum(),
        LogicalPlan::Limit { input, rows, .. } => {
            let all = rows_of(input);
            rows.map_or(all, |rows| all.min(rows as f64))
        }
    };
    rows.max(1.0)
}

/// Most joins are of a key and references to it, so that each reference finds one row at most.
fn joined(left: f64, right: f64, kind: JoinKind, cross: bool) -> f64 {
    match kind {
        JoinKind::Mark => left,
        JoinKind::Semi | JoinKind::Anti => left * 0.5,
        JoinKind::Inner if cross => left * right,
        JoinKind::Inner => left.max(right),
        JoinKind::Left => left.max(right),
        JoinKind::Right => right.max(left),
        JoinKind::Full => left + right,
    }
}

fn share_of(predicate: &Expr) -> f64 {
    match predicate {
        Expr::Alias { expr, .. } => share_of(expr),
        Expr::Binary { op, left, right } => match op {
            BinaryOp::And => share_of(left) * share_of(right),
            BinaryOp::Or => (share_of(left) + share_of(right)).min(1.0),
            BinaryOp::Equal => SHARE_EQUAL,
            _ => SHARE_OTHER,
        },
        Expr::Not(operand) => 1.0 - share_of(operand),
        Expr::IsNotNull(_) => 1.0,
        _ => SHARE_OTHER,
    }
}
