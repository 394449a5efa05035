//! Equality of results, stated per operator, with messages that show the first difference.

use super::values::{Rows, Value};

/// How close two cells of a column must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Equal; floats bit by bit, any NaN equal to any NaN.
    Exact,
    /// Floats within so much of each other; infinities and NaN exactly. All else is exact.
    Approximate {
        /// Of the greater magnitude.
        relative: f64,
        /// For sums that cancel.
        absolute: f64,
        /// Steps between neighbouring `f64`.
        ulps: u64,
    },
}

/// Equal in order.
pub fn ordered(expected: &Rows, got: &Rows, tolerances: &[Tolerance]) -> Result<(), String> {
    if expected.len() != got.len() {
        return Err(format!(
            "{} rows expected, {} rows got",
            expected.len(),
            got.len()
        ));
    }
    for (row, (expected, got)) in expected.iter().zip(got).enumerate() {
        if expected.len() != got.len() {
            let (expected, got) = (expected.len(), got.len());
            return Err(format!("row {row}: {expected} columns expected, {got} got"));
        }
        for (column, (a, b)) in expected.iter().zip(got).enumerate() {
            let tolerance = tolerances.get(column).copied();
            if !equal(a, b, tolerance.unwrap_or(Tolerance::Exact)) {
                let line = show(expected);
                return Err(format!(
                    "row {row}, column {column}: {a} expected, {b} got; the row expected is {line}"
                ));
            }
        }
    }
    Ok(())
}

/// Equal in any order. Rows are matched by their first `key_columns` columns, which are exact; with
/// none, by all columns.
pub fn multiset(
    expected: &Rows,
    got: &Rows,
    key_columns: usize,
    tolerances: &[Tolerance],
) -> Result<(), String> {
    let sorted = |rows: &Rows| {
        let mut rows = rows.clone();
        rows.sort_by_cached_key(|row| match key_columns {
            0 => show(row),
            keys => show(&row[..keys.min(row.len())]),
        });
        rows
    };
    let (expected, got) = (sorted(expected), sorted(got));
    ordered(&expected, &got, tolerances).map_err(|difference| format!("sorted, {difference}"))
}

fn show(row: &[Value]) -> String {
    let cells: Vec<String> = row.iter().map(Value::to_string).collect();
    format!("[{}]", cells.join(", "))
}

fn equal(a: &Value, b: &Value, tolerance: Tolerance) -> bool {
    if let (Value::List(a), Value::List(b)) = (a, b) {
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, tolerance));
    }
    let (Value::Float(a), Value::Float(b)) = (a, b) else {
        return a == b;
    };
    if a.is_nan() && b.is_nan() || a.to_bits() == b.to_bits() {
        return true;
    }
    match tolerance {
        Tolerance::Exact => false,
        Tolerance::Approximate {
            relative,
            absolute,
            ulps,
        } => {
            let near = (a - b).abs() <= absolute.max(relative * a.abs().max(b.abs()));
            a.is_finite() && b.is_finite() && (near || ulps_between(*a, *b) <= ulps)
        }
    }
}

fn ulps_between(a: f64, b: f64) -> u64 {
    let line = |value: f64| {
        let bits = value.to_bits() as i64;
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    line(a).abs_diff(line(b))
}

#[test]
fn differences_name_row_column_and_values() {
    let row = |value: f64| vec![vec![Value::Integer(1), Value::Float(value)]];
    let near = [
        Tolerance::Exact,
        Tolerance::Approximate {
            relative: 1e-9,
            absolute: 0.0,
            ulps: 0,
        },
    ];
    assert_eq!(ordered(&row(1.0), &row(1.0 + 1e-12), &near), Ok(()));
    assert_eq!(ordered(&row(f64::NAN), &row(-f64::NAN), &[]), Ok(()));
    assert_eq!(
        ordered(&row(0.0), &row(-0.0), &[]),
        Err("row 0, column 1: 0.0 expected, -0.0 got; the row expected is [1, 0.0]".to_string())
    );
}
