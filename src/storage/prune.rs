//! Row groups that no row of can satisfy a predicate, by the zone maps in the footer.
//!
//! Sound: a row group is dropped only if the predicate is true for none of its rows. Unknown,
//! incomplete or doubtful zone maps keep it. Zone maps of strings may be cut short; they are then
//! bounds that no row attains, which is all that is asked of them here. A zone map of floats says
//! nothing about NaN, so NaN is always possible.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::{ColumnOrder, SortOrder, Type};
use parquet::file::statistics::Statistics;

use super::ParquetFile;
use super::interval::{Interval, Outcome, Sample, Values, compare, sample};
use crate::expr::{TypedExpr, TypedKind, literal_array};
use crate::types::{decimal_parts, is_string};

/// Whether a row of the row group may satisfy the predicate. `columns` has the file's index of
/// each column that the predicate may name.
pub(super) fn may_match(
    file: &ParquetFile,
    row_group: usize,
    columns: &[usize],
    predicate: &TypedExpr,
) -> bool {
    let zone = Zone {
        file,
        row_group,
        columns,
    };
    // A footer is hostile input too; what cannot be judged is kept.
    catch_unwind(AssertUnwindSafe(|| {
        file.row_group(row_group).num_rows() > 0 && zone.outcome(predicate).can_be_true
    }))
    .unwrap_or(true)
}

struct Zone<'a> {
    file: &'a ParquetFile,
    row_group: usize,
    columns: &'a [usize],
}

/// The ends of an expression's values as arrays of one row, so that they can be cast.
struct Bounds {
    /// Absent: unknown.
    min: Option<ArrayRef>,
    /// Absent: unknown.
    max: Option<ArrayRef>,
    /// Whether there are values besides null.
    any: bool,
    null: bool,
}

impl Zone<'_> {
    fn outcome(&self, expr: &TypedExpr) -> Outcome {
        match &expr.kind {
            TypedKind::Compare { op, left, right } => {
                compare(*op, &self.values(left), &self.values(right))
            }
            TypedKind::And(left, right) => self.outcome(left).and(self.outcome(right)),
            TypedKind::Or(left, right) => self.outcome(left).or(self.outcome(right)),
            TypedKind::Not(operand) => self.outcome(operand).not(),
            TypedKind::IsNull(operand) => self.is_null(operand),
            TypedKind::IsNotNull(operand) => self.is_null(operand).not(),
            TypedKind::Column(_) | TypedKind::Literal(_) if expr.data_type == DataType::Boolean => {
                // A truth value is itself compared with true.
                let truth = Values::of_sample(Sample::Value(super::interval::Point::Integer(1)));
                compare(crate::expr::BinaryOp::Equal, &self.values(expr), &truth)
            }
            _ => Outcome::ANY,
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
            nan: bounds.any && floating && !matches!(expr.kind, TypedKind::Literal(_)),
            null: bounds.null,
        };
        let end = |array: Option<&ArrayRef>| array.and_then(|array| sample(array.as_ref(), 0));
        let (min, max) = (end(bounds.min.as_ref()), end(bounds.max.as_ref()));
        if let (TypedKind::Literal(_), Some(value)) = (&expr.kind, &min) {
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
            TypedKind::Column(index) => self.column(*index, &expr.data_type),
            TypedKind::Literal(literal) => {
                let value = literal_array(literal, &expr.data_type).ok()?;
                let null = value.is_null(0);
                Some(Bounds {
                    min: Some(value.clone()),
                    max: Some(value),
                    any: !null,
                    null,
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
                })
            }
            _ => None,
        }
    }

    fn column(&self, index: usize, data_type: &DataType) -> Option<Bounds> {
        let column = *self.columns.get(index)?;
        let [leaf] = self.file.leaves_of(column) else {
            return None; // a nested column
        };
        if data_type.is_nested() {
            return None;
        }
        let row_group = self.file.row_group(self.row_group);
        let statistics = row_group.column(*leaf).statistics()?;
        let rows = u64::try_from(row_group.num_rows()).ok()?;
        let nulls = statistics.null_count_opt();
        let mut bounds = Bounds {
            min: None,
            max: None,
            any: nulls.is_none_or(|nulls| nulls < rows),
            null: nulls.is_none_or(|nulls| nulls > 0),
        };
        if self.order_is_known(*leaf, data_type, statistics) {
            let descriptor = self.file.footer().parquet_schema();
            let field = self.file.schema().field(column);
            let zone = StatisticsConverter::from_column_index(*leaf, field, descriptor).ok()?;
            let known = |end: ArrayRef| (end.len() == 1 && end.is_valid(0)).then_some(end);
            bounds.min = zone.row_group_mins([row_group]).ok().and_then(known);
            bounds.max = zone.row_group_maxes([row_group]).ok().and_then(known);
        }
        Some(bounds)
    }

    /// Whether the writer's order of the column's values was ours. Before `ColumnOrder`, writers
    /// compared everything as signed, which is right for plain numbers only.
    fn order_is_known(&self, leaf: usize, data_type: &DataType, statistics: &Statistics) -> bool {
        let footer = self.file.footer().metadata().file_metadata();
        let ours = match data_type {
            DataType::Boolean | DataType::Float32 | DataType::Float64 => SortOrder::SIGNED,
            other if other.is_signed_integer() || other.is_temporal() => SortOrder::SIGNED,
            other if decimal_parts(other).is_some() => SortOrder::SIGNED,
            other if other.is_unsigned_integer() || is_string(other) || is_binary(other) => {
                SortOrder::UNSIGNED
            }
            _ => return false,
        };
        let physical = statistics.physical_type();
        let plain = matches!(
            physical,
            Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
        );
        match footer.column_order(leaf) {
            _ if physical == Type::INT96 => false,
            ColumnOrder::TYPE_DEFINED_ORDER(order) if !statistics.is_min_max_deprecated() => {
                order == ours || physical == Type::BOOLEAN
            }
            ColumnOrder::TYPE_DEFINED_ORDER(_) | ColumnOrder::UNDEFINED => {
                plain && ours == SortOrder::SIGNED
            }
            ColumnOrder::UNKNOWN => false,
        }
    }
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// Whether the expression's own step gives a truth value that [`Zone::outcome`] judges.
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
