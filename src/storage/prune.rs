//! What a predicate can be where some things are known of its columns, and the ladder of steps that
//! asks for more and more of them.
//!
//! Sound: rows are dropped only if the predicate is true for none of them. Unknown, incomplete or
//! doubtful evidence keeps them. A [`Judge`] follows the predicate; [`Evidence`] is what it knows
//! of a file, a row group or a page: bounds of each column's values (`zones`, `page_index`), and
//! whether a column holds a value at all (`membership`, from `bloom_filter` and `dictionary`).
//! `ladder` puts the steps in order. Keys of which a row must have one (`keys`) are judged beside the
//! predicate. Bounds may be cut short; they are then values that no row
//! attains, which is all that is asked of them here. Bounds of floats say nothing about NaN, so
//! NaN is always possible.
//!
//! What a file says of itself is believed if its structure can be: a Bloom filter, a dictionary or
//! an index that cannot be read is passed over, as if the writer had made none. It is optional, and
//! the rows are all there without it.

mod bloom_filter;
mod counts;
mod dictionary;
mod file_bytes;
mod keys;
mod ladder;
mod membership;
mod page_index;
mod plain;
mod zones;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;

use super::interval::{Interval, Outcome, Point, Sample, Values, compare, sample};
use crate::expr::{BinaryOp, TypedExpr, TypedKind, literal_array};
use crate::types::{decimal_parts, is_string};

pub(super) use bloom_filter::BloomFilters;
pub use counts::{PruneSteps, Pruned, Removed};
pub(super) use file_bytes::FileBytes;
pub(super) use ladder::{Ladder, Verdict};

/// The ends of an expression's values as arrays of one row, so that they can be cast.
#[derive(Debug, Clone)]
struct Bounds {
    /// Absent: unknown.
    min: Option<ArrayRef>,
    /// Absent: unknown.
    max: Option<ArrayRef>,
    /// Whether there are values besides null.
    any: bool,
    null: bool,
    /// Whether all values are the same one, which both ends are.
    one: bool,
}

impl Bounds {
    /// Nothing but null.
    const NULL: Bounds = Bounds {
        min: None,
        max: None,
        any: false,
        null: true,
        one: false,
    };

    /// Nothing at all.
    const NOTHING: Bounds = Bounds {
        null: false,
        ..Bounds::NULL
    };

    /// Anything.
    const ANYTHING: Bounds = Bounds {
        any: true,
        ..Bounds::NULL
    };

    /// Exactly the value of an array of one row, which is not null.
    fn of(value: ArrayRef) -> Bounds {
        Bounds {
            min: Some(value.clone()),
            max: Some(value),
            any: true,
            null: false,
            one: true,
        }
    }
}

/// What is known of the rows of a file, a row group or a page.
trait Evidence {
    /// The ends of a column's values; `None` if nothing is known, or the column is nested.
    fn bounds(&self, column: usize) -> Option<Bounds>;

    /// What a comparison may give by the values that the column holds, besides null.
    fn membership(&self, _comparison: &Comparison) -> Option<Outcome> {
        None
    }
}

/// A comparison of a column, perhaps cast, with a literal.
struct Comparison<'p> {
    op: BinaryOp,
    column: usize,
    /// The column under its casts.
    operand: &'p TypedExpr,
    /// The literal as an array of one row, of the operand's type.
    literal: ArrayRef,
}

impl<'p> Comparison<'p> {
    fn of(op: BinaryOp, left: &'p TypedExpr, right: &'p TypedExpr) -> Option<Comparison<'p>> {
        let (op, operand, literal) = match (&left.kind, &right.kind) {
            (_, TypedKind::Literal(literal)) => (op, left, literal),
            (TypedKind::Literal(literal), _) => (turned(op)?, right, literal),
            _ => return None,
        };
        let mut inner = operand;
        while let TypedKind::Cast { expr, .. } = &inner.kind {
            inner = expr;
        }
        let TypedKind::Column(column) = inner.kind else {
            return None;
        };
        let literal = literal_array(literal, &operand.data_type).ok()?;
        Some(Comparison {
            op,
            column,
            operand,
            literal,
        })
    }
}

/// The comparison with its operands the other way round.
fn turned(op: BinaryOp) -> Option<BinaryOp> {
    Some(match op {
        BinaryOp::Equal | BinaryOp::NotEqual => op,
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        _ => return None,
    })
}

/// The columns that an expression names, each once.
pub(super) fn columns_of(expr: &TypedExpr) -> Vec<usize> {
    fn add(expr: &TypedExpr, columns: &mut Vec<usize>) {
        if let TypedKind::Column(column) = expr.kind
            && !columns.contains(&column)
        {
            columns.push(column);
        }
        for child in expr.children() {
            add(child, columns);
        }
    }
    let mut columns = Vec::new();
    add(expr, &mut columns);
    columns
}

/// Follows a predicate over what is known.
struct Judge<'e> {
    evidence: &'e dyn Evidence,
}

/// Whether the predicate may be true of a row that the evidence is about.
fn may_match(evidence: &dyn Evidence, predicate: &TypedExpr) -> bool {
    Judge { evidence }.outcome(predicate).can_be_true
}

impl Judge<'_> {
    fn outcome(&self, expr: &TypedExpr) -> Outcome {
        match &expr.kind {
            TypedKind::Compare { op, left, right } => self.compared(*op, left, right),
            TypedKind::And(left, right) => match self.outcome(left) {
                // What the right side says changes nothing that counts, and may cost a read.
                left if !left.can_be_true && left.can_be_false => left,
                left => left.and(self.outcome(right)),
            },
            TypedKind::Or(left, right) => match self.outcome(left) {
                left if !left.can_be_false && left.can_be_true => left,
                left => left.or(self.outcome(right)),
            },
            TypedKind::Not(operand) => self.outcome(operand).not(),
            TypedKind::IsNull(operand) => self.is_null(operand),
            TypedKind::IsNotNull(operand) => self.is_null(operand).not(),
            TypedKind::Column(_) | TypedKind::Literal(_) if expr.data_type == DataType::Boolean => {
                // A truth value is itself compared with true.
                let truth = Values::of_sample(Sample::Value(Point::Integer(1)));
                compare(BinaryOp::Equal, &self.values(expr), &truth)
            }
            _ => Outcome::ANY,
        }
    }

    fn compared(&self, op: BinaryOp, left: &TypedExpr, right: &TypedExpr) -> Outcome {
        let outcome = compare(op, &self.values(left), &self.values(right));
        if !(outcome.can_be_true && outcome.can_be_false) {
            return outcome; // bounds decide
        }
        let comparison = Comparison::of(op, left, right);
        let told = comparison.and_then(|comparison| self.evidence.membership(&comparison));
        match told {
            Some(told) => Outcome {
                can_be_true: told.can_be_true,
                can_be_false: told.can_be_false,
                ..outcome
            },
            None => outcome,
        }
    }

    fn is_null(&self, operand: &TypedExpr) -> Outcome {
        let (null, value) = if is_condition(operand) {
            let outcome = self.outcome(operand);
            (
                outcome.can_be_null,
                outcome.can_be_true || outcome.can_be_false,
            )
        } else {
            match self.bounds(operand) {
                Some(bounds) => (bounds.null, bounds.any),
                None => (true, true),
            }
        };
        Outcome {
            can_be_true: null,
            can_be_false: value,
            can_be_null: false,
        }
    }

    fn values(&self, expr: &TypedExpr) -> Values {
        let Some(bounds) = self.bounds(expr) else {
            return Values::ANY;
        };
        let floating = expr.data_type.is_floating();
        let mut values = Values {
            interval: bounds.any.then(Interval::default),
            nan: bounds.any && floating,
            null: bounds.null,
        };
        let end = |array: Option<&ArrayRef>| array.and_then(|array| sample(array.as_ref(), 0));
        let (min, max) = (end(bounds.min.as_ref()), end(bounds.max.as_ref()));
        if let (true, false, Some(value)) = (bounds.one, bounds.null, &min) {
            return Values::of_sample(value.clone());
        }
        if let Some(interval) = &mut values.interval {
            let point = |sample| match sample {
                Some(Sample::Value(point)) => Some(point),
                _ => None, // a NaN or a null bounds nothing
            };
            (interval.min, interval.max) = (point(min), point(max));
            if let (Some(min), Some(max)) = (&interval.min, &interval.max)
                && !min.order(max).is_some_and(std::cmp::Ordering::is_le)
            {
                *interval = Interval::default(); // a zone map that contradicts itself
            }
        }
        values
    }

    fn bounds(&self, expr: &TypedExpr) -> Option<Bounds> {
        match &expr.kind {
            TypedKind::Column(index) => self.evidence.bounds(*index),
            TypedKind::Literal(literal) => {
                let value = literal_array(literal, &expr.data_type).ok()?;
                let null = value.is_null(0);
                Some(if null {
                    Bounds::NULL
                } else {
                    Bounds::of(value)
                })
            }
            TypedKind::Cast {
                expr: operand,
                strict,
            } => {
                if !keeps_order(&operand.data_type, &expr.data_type) {
                    return None;
                }
                let bounds = self.bounds(operand)?;
                let cast = |end: Option<ArrayRef>| {
                    let options = CastOptions {
                        safe: false,
                        ..CastOptions::default()
                    };
                    cast_with_options(&end?, &expr.data_type, &options).ok()
                };
                Some(Bounds {
                    min: cast(bounds.min),
                    max: cast(bounds.max),
                    any: bounds.any,
                    null: bounds.null || !strict,
                    one: bounds.one,
                })
            }
            _ => None,
        }
    }
}

/// Whether the expression's own step gives a truth value that [`Judge::outcome`] judges.
fn is_condition(expr: &TypedExpr) -> bool {
    matches!(
        expr.kind,
        TypedKind::Compare { .. }
            | TypedKind::And(..)
            | TypedKind::Or(..)
            | TypedKind::Not(_)
            | TypedKind::IsNull(_)
            | TypedKind::IsNotNull(_)
    )
}

/// Whether `a <= b` implies `cast(a) <= cast(b)`, so that cast bounds are bounds.
fn keeps_order(from: &DataType, to: &DataType) -> bool {
    let number = |t: &DataType| t.is_integer() || decimal_parts(t).is_some();
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if number(from) && (number(to) || *to == DataType::Float64) => true,
        (DataType::Float32, DataType::Float64) => true,
        (DataType::Date32, DataType::Date64 | DataType::Timestamp(_, None)) => true,
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a == b,
        (from, to) => is_string(from) && is_string(to),
    }
}

#[cfg(test)]
mod tests;
