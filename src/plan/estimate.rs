//! How many rows a step gives, about: enough to order joins, and to choose which side of one is built.
//!
//! Rows of files and tables are known, and so are, from footers, the bounds of columns. What filters,
//! joins and groups leave is guessed from these, else from fixed shares, as System R did (Selinger et
//! al., Access Path Selection, SIGMOD 1979).

use super::LogicalPlan;
use crate::expr::{BinaryOp, Expr, JoinKind};
use crate::types::{ColumnEstimate, DataType, Literal};

/// Rows of files whose footers nobody counted.
const ROWS_UNKNOWN: f64 = 1e6;

/// Share of rows that satisfy an equality.
const SHARE_EQUAL: f64 = 0.1;

/// Share of rows that satisfy another predicate.
const SHARE_OTHER: f64 = 0.33;

/// A column with at least this share of different values is a key, about.
const SHARE_UNIQUE: f64 = 0.9;

/// Rows that a plan gives, about; never less than one.
pub(crate) fn rows_of(plan: &LogicalPlan) -> f64 {
    let rows = match plan {
        LogicalPlan::Scan { files } => files.rows.map_or(ROWS_UNKNOWN, |rows| rows as f64),
        LogicalPlan::Memory { table } => table.rows() as f64,
        LogicalPlan::Stored { rows } => rows.rows as f64,
        LogicalPlan::Filter { input, predicate } => {
            rows_of(input) * share_of(predicate, Some(input))
        }
        LogicalPlan::Project { input, .. }
        | LogicalPlan::Sort { input, .. }
        | LogicalPlan::Window { input, .. } => rows_of(input),
        LogicalPlan::Aggregate {
            input, group_keys, ..
        } if group_keys.is_empty() => rows_of(input).min(1.0),
        LogicalPlan::Aggregate {
            input, group_keys, ..
        } => groups_of(input, group_keys),
        LogicalPlan::Distinct { input, on, .. } => {
            let on: Vec<Expr> = on.iter().map(|name| Expr::Column(name.clone())).collect();
            groups_of(input, &on)
        }
        LogicalPlan::Join {
            left,
            right,
            kind,
            on,
            residual,
            ..
        } => {
            let pairs = match on.is_empty() {
                true => rows_of(left) * rows_of(right),
                false => rows_of(left) * rows_of(right) * key_share(left, right, on),
            };
            let residual = residual.as_ref().map(|residual| share_of(residual, None));
            kept(
                rows_of(left),
                rows_of(right),
                *kind,
                pairs * residual.unwrap_or(1.0),
            )
        }
        LogicalPlan::Union { inputs } => inputs.iter().map(rows_of).sum(),
        LogicalPlan::Limit { input, rows, .. } => {
            let all = rows_of(input);
            rows.map_or(all, |rows| all.min(rows as f64))
        }
    };
    rows.max(1.0)
}

/// Rows that leave a join with so many matches.
fn kept(left: f64, right: f64, kind: JoinKind, matches: f64) -> f64 {
    match kind {
        JoinKind::Inner => matches,
        JoinKind::Left => matches.max(left),
        JoinKind::Right => matches.max(right),
        JoinKind::Full => matches.max(left + right),
        JoinKind::Semi | JoinKind::Anti => left * 0.5,
        JoinKind::Mark => left,
    }
}

fn groups_of(input: &LogicalPlan, keys: &[Expr]) -> f64 {
    let rows = rows_of(input);
    let known = keys.iter().map(|key| Some(values_of(input, key)?.max(1.0)));
    match known.collect::<Option<Vec<f64>>>() {
        Some(values) if !values.is_empty() => rows.min(values.into_iter().product()),
        _ => rows * SHARE_EQUAL,
    }
}

/// Share of all pairs of rows whose keys are equal. Values of the side with fewer of them are among
/// the other's; where a side's keys are different in every row, each row of the other finds one of
/// them, as far as no filter took it.
pub(super) fn key_share(left: &LogicalPlan, right: &LogicalPlan, on: &[(Expr, Expr)]) -> f64 {
    let keys_of = |plan: &LogicalPlan, keys: &mut dyn Iterator<Item = &Expr>| {
        let rows = rows_before_filters(plan);
        let values = keys
            .map(|key| values_of(plan, key))
            .collect::<Option<Vec<_>>>();
        (
            rows,
            values.map(|values| values.into_iter().product::<f64>().min(rows)),
        )
    };
    let (left_rows, of_left) = keys_of(left, &mut on.iter().map(|(l, _)| l));
    let (right_rows, of_right) = keys_of(right, &mut on.iter().map(|(_, r)| r));
    let values = match (of_left, of_right) {
        (None, None) => left_rows.min(right_rows),
        (Some(known), None) | (None, Some(known)) => known,
        (Some(a), Some(b)) => {
            let a_key = a >= left_rows * SHARE_UNIQUE;
            let b_key = b >= right_rows * SHARE_UNIQUE;
            if a_key || b_key { a.min(b) } else { a.max(b) }
        }
    };
    1.0 / values.max(1.0)
}

/// Rows of a plan if its filters kept all: how many different values its keys came from.
fn rows_before_filters(plan: &LogicalPlan) -> f64 {
    match plan {
        LogicalPlan::Filter { input, .. }
        | LogicalPlan::Project { input, .. }
        | LogicalPlan::Sort { input, .. }
        | LogicalPlan::Window { input, .. } => rows_before_filters(input),
        LogicalPlan::Join {
            left,
            kind: JoinKind::Semi | JoinKind::Anti | JoinKind::Mark,
            ..
        } => rows_before_filters(left),
        other => rows_of(other),
    }
}

/// Number of different values of an expression before filters, if there is a way to know: it is a
/// column with bounds, or the one key of groups.
fn values_of(plan: &LogicalPlan, expr: &Expr) -> Option<f64> {
    let known = column(plan, name_of(expr)?)?;
    let of_bounds = || {
        let (estimate, data_type) = known;
        let discrete = data_type.is_integer() || matches!(data_type, DataType::Date32);
        let range = estimate.max? - estimate.min? + 1.0;
        discrete.then_some(range.max(1.0))
    };
    let values = known.0.distinct.or_else(of_bounds)?;
    Some(values.min(rows_before_filters(plan)))
}

fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(name) => Some(name),
        Expr::Alias { expr, .. } => name_of(expr),
        _ => None,
    }
}

/// What is known of a column, and its type, looked up where it comes from.
fn column(plan: &LogicalPlan, name: &str) -> Option<(ColumnEstimate, DataType)> {
    match plan {
        LogicalPlan::Scan { files } => {
            let index = files.schema.index_of(name).ok()?;
            let estimate = files.columns.get(index).copied().unwrap_or_default();
            Some((estimate, files.schema.field(index).data_type().clone()))
        }
        LogicalPlan::Project { input, exprs } => {
            let expr = exprs.iter().find(|expr| expr.has_name(name))?;
            column(input, name_of(expr)?)
        }
        LogicalPlan::Aggregate {
            input, group_keys, ..
        } => {
            let key = group_keys.iter().find(|key| key.has_name(name))?;
            let (estimate, data_type) = column(input, name_of(key)?)?;
            let groups = (group_keys.len() == 1).then(|| rows_of(plan));
            let distinct = groups.or(estimate.distinct);
            Some((
                ColumnEstimate {
                    distinct,
                    ..estimate
                },
                data_type,
            ))
        }
        LogicalPlan::Filter { input, .. }
        | LogicalPlan::Distinct { input, .. }
        | LogicalPlan::Sort { input, .. }
        | LogicalPlan::Window { input, .. }
        | LogicalPlan::Limit { input, .. } => column(input, name),
        LogicalPlan::Join { left, right, .. } => {
            // A right column under its own name; under another one nothing is known of it.
            column(left, name).or_else(|| column(right, name))
        }
        LogicalPlan::Union { .. } | LogicalPlan::Memory { .. } | LogicalPlan::Stored { .. } => None,
    }
}

/// Share of the input's rows that satisfy a predicate; of no input, by the predicate's form alone.
pub(super) fn share_of(predicate: &Expr, input: Option<&LogicalPlan>) -> f64 {
    let share = match predicate {
        Expr::Alias { expr, .. } => share_of(expr, input),
        Expr::Literal(Literal::Boolean(value)) => f64::from(u8::from(*value)),
        Expr::Binary { op, left, right } => match op {
            BinaryOp::And => both(left, right, input),
            BinaryOp::Or => share_of(left, input) + share_of(right, input),
            BinaryOp::Equal => of_equality(left, right, input).unwrap_or(SHARE_EQUAL),
            BinaryOp::NotEqual => 1.0 - of_equality(left, right, input).unwrap_or(SHARE_EQUAL),
            _ => of_range(*op, left, right, input).unwrap_or(SHARE_OTHER),
        },
        Expr::Not(operand) => 1.0 - share_of(operand, input),
        Expr::IsNotNull(_) => 1.0,
        _ => SHARE_OTHER,
    };
    share.clamp(0.0, 1.0)
}

/// Two bounds of one column make a range; other conjuncts are taken to be independent.
fn both(left: &Expr, right: &Expr, input: Option<&LogicalPlan>) -> f64 {
    let (a, b) = (share_of(left, input), share_of(right, input));
    let bound = |expr: &Expr| match expr {
        Expr::Binary { op, left, right } => {
            let (name, _, turned) = comparison(left, right)?;
            let op = if turned { op.swapped() } else { *op };
            let above = match op {
                BinaryOp::Greater | BinaryOp::GreaterOrEqual => true,
                BinaryOp::Less | BinaryOp::LessOrEqual => false,
                _ => return None,
            };
            let known = of_range(op, left, right, input).is_some();
            Some((name.to_string(), above)).filter(|_| known)
        }
        _ => None,
    };
    match (bound(left), bound(right)) {
        (Some((x, above)), Some((y, below))) if x == y && above != below => (a + b - 1.0).max(0.0),
        _ => a * b,
    }
}

/// One over the number of different values.
fn of_equality(left: &Expr, right: &Expr, input: Option<&LogicalPlan>) -> Option<f64> {
    let (name, _, _) = comparison(left, right)?;
    let values = values_of(input?, &Expr::Column(name.to_string()))?;
    Some(1.0 / values.max(1.0))
}

/// The part of a column's range that a comparison with a constant leaves.
fn of_range(op: BinaryOp, left: &Expr, right: &Expr, input: Option<&LogicalPlan>) -> Option<f64> {
    let (name, literal, turned) = comparison(left, right)?;
    let (estimate, data_type) = column(input?, name)?;
    let (min, max) = (estimate.min?, estimate.max?);
    let value = number(literal, &data_type)?;
    let below = ((value - min) / (max - min).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    match if turned { op.swapped() } else { op } {
        BinaryOp::Less | BinaryOp::LessOrEqual => Some(below),
        BinaryOp::Greater | BinaryOp::GreaterOrEqual => Some(1.0 - below),
        _ => None,
    }
}

/// A column and the literal that it is compared with, and whether the literal stands on the left.
fn comparison<'e>(left: &'e Expr, right: &'e Expr) -> Option<(&'e str, &'e Literal, bool)> {
    match (left, right) {
        (Expr::Column(name), Expr::Literal(literal)) => Some((name, literal, false)),
        (Expr::Literal(literal), Expr::Column(name)) => Some((name, literal, true)),
        _ => None,
    }
}

/// A literal in the units of a column's bounds.
fn number(literal: &Literal, data_type: &DataType) -> Option<f64> {
    match literal {
        Literal::Int64(value) => Some(*value as f64),
        Literal::UInt64(value) => Some(*value as f64),
        Literal::Float64(value) => Some(*value),
        Literal::Decimal { value, scale, .. } => {
            Some(*value as f64 / 10f64.powi(i32::from(*scale)))
        }
        Literal::Date32(days) if *data_type == DataType::Date32 => Some(f64::from(*days)),
        Literal::Utf8(_) if *data_type == DataType::Date32 => {
            let days = crate::expr::literal_array(literal, data_type).ok()?;
            let days =
                arrow::array::AsArray::as_primitive_opt::<arrow::datatypes::Date32Type>(&days)?;
            Some(f64::from(days.value(0)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{col, lit};
    use crate::plan::ParquetFiles;
    use crate::types::{Field, Schema};

    /// Rows numbered by `key`, with a day of 100 days and a price of 0 to 50.
    fn table(rows: u64) -> LogicalPlan {
        let columns = [
            ("key", DataType::Int64, (1.0, rows as f64)),
            ("day", DataType::Date32, (0.0, 99.0)),
            ("price", DataType::Decimal128(9, 2), (0.0, 50.0)),
        ];
        let fields = columns.iter();
        let fields = fields.map(|(name, data_type, _)| Field::new(*name, data_type.clone(), true));
        LogicalPlan::Scan {
            files: ParquetFiles {
                paths: Vec::new(),
                schema: Schema::new(fields.collect::<Vec<_>>()),
                rows: Some(rows),
                columns: columns
                    .iter()
                    .map(|(_, _, (min, max))| ColumnEstimate {
                        min: Some(*min),
                        max: Some(*max),
                        distinct: None,
                    })
                    .collect(),
            },
        }
    }

    fn filtered(rows: u64, predicate: Expr) -> f64 {
        rows_of(&LogicalPlan::Filter {
            input: Box::new(table(rows)),
            predicate,
        })
    }

    fn joined(left: LogicalPlan, right: LogicalPlan, kind: JoinKind) -> f64 {
        rows_of(&LogicalPlan::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind,
            on: vec![(col("key"), col("key"))],
            null_equals_null: false,
            residual: None,
            suffix: String::new(),
        })
    }

    #[test]
    fn bounds_tell_what_filters_keep() {
        let near =
            |rows: f64, expected: f64| assert!((rows - expected).abs() < 0.02 * expected, "{rows}");
        near(filtered(1000, col("key").eq(lit(7))), 1.0);
        near(filtered(1000, col("day").eq(lit("1970-02-01"))), 10.0);
        near(filtered(1000, col("day").lt(lit("1970-01-11"))), 101.0);
        near(filtered(1000, lit(40).lt(col("price"))), 200.0);
        near(
            filtered(1000, col("price").between(lit(10), lit(15))),
            100.0,
        );
        near(filtered(1000, col("price").gt(lit(99))), 1.0);
        near(filtered(1000, !col("day").lt(lit("1970-01-11"))), 899.0);
        // Nothing is known of the remainder.
        near(filtered(1000, (col("key") % lit(2)).eq(lit(0))), 100.0);
    }

    #[test]
    fn each_reference_finds_its_key() {
        let (many, few) = (table(10_000), table(100));
        for kind in [JoinKind::Inner, JoinKind::Left] {
            assert!((joined(many.clone(), few.clone(), kind) - 10_000.0).abs() < 1.0);
        }
        let half = LogicalPlan::Filter {
            input: Box::new(few),
            predicate: col("price").lt(lit(25)),
        };
        let rows = joined(many, half, JoinKind::Inner);
        assert!((rows - 5000.0).abs() < 1.0, "{rows}");
    }

    #[test]
    fn groups_are_no_more_than_their_keys_values() {
        let groups = |key: &str| {
            rows_of(&LogicalPlan::Aggregate {
                input: Box::new(table(1_000_000)),
                group_keys: vec![col(key)],
                aggregates: Vec::new(),
            })
        };
        assert!((groups("day") - 100.0).abs() < 1.0);
        assert!((groups("key") - 1e6).abs() < 1.0);
    }
}
