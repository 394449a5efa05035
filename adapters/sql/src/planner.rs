//! Where the planner's types differ from the results here.
//!
//! DataFusion computes constants while it plans, and gives a name and a type to every expression. Both must
//! be what the engine does: a quotient of decimals is a double, a date and an interval make a timestamp, and
//! a cast to an integer rounds.

use std::sync::Arc;

use arrow::datatypes::TimeUnit;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion_sql::sqlparser::ast::{BinaryOperator, DataType as SqlType, TimezoneInfo};
use pelton::types::DataType;

/// Name of the quotient of decimals.
pub(crate) const QUOTIENT: &str = "quotient";
/// Name of what a cast to an integer does first.
pub(crate) const NEAREST: &str = "nearest_integer";
/// The same of decimals.
pub(crate) const NEAREST_DECIMAL: &str = "nearest_integer_of_decimal";
/// Name of the last day of a month.
pub(crate) const LAST_DAY: &str = "last_day";

/// Name of an operation of integers, its operator as text between the operands, that the engine computes.
pub(crate) const POSTPONED: &str = "postponed";
/// Name of what a regular expression finds.
pub(crate) const REGEXP_EXTRACT: &str = "regexp_extract";
/// Name of the number of places in which two strings differ.
const HAMMING: &str = "hamming";

/// Name of a date moved by days.
pub(crate) const DAYS_LATER: &str = "days_later";
/// Name of the text of a timestamp.
pub(crate) const TIME_TEXT: &str = "timestamp_text";
/// Name of a timestamp's seconds since 1970.
pub(crate) const EPOCH: &str = "epoch_of_timestamp";

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Operators whose results have other types here.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(left), Ok(right)) = types else {
            return Ok(PlannerResult::Original(expr));
        };
        let planned = match expr.op {
            BinaryOperator::Divide if is_quotient(&left, &right) => {
                named(QUOTIENT).call(vec![expr.left, expr.right])
            }
            BinaryOperator::Plus if is_date(&left) && is_interval(&right) => {
                arithmetic(cast(expr.left, TIMESTAMP), Operator::Plus, expr.right)
            }
            BinaryOperator::Plus if is_interval(&left) && is_date(&right) => {
                arithmetic(cast(expr.right, TIMESTAMP), Operator::Plus, expr.left)
            }
            // The planner would go by way of seconds.
            BinaryOperator::Plus
                if is_date(&left) && right.is_integer() && integer(&expr.right).is_none() =>
            {
                named(DAYS_LATER).call(vec![expr.left, expr.right])
            }
            BinaryOperator::Minus
                if is_date(&left) && right.is_integer() && integer(&expr.right).is_none() =>
            {
                named(DAYS_LATER).call(vec![expr.left, Expr::Negative(Box::new(expr.right))])
            }
            BinaryOperator::Minus if is_date(&left) && is_interval(&right) => {
                arithmetic(cast(expr.left, TIMESTAMP), Operator::Minus, expr.right)
            }
            BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
                if is_date(&left) || is_date(&right) =>
            {
                return Ok(PlannerResult::Original(RawBinaryExpr {
                    left: if is_date(&right) {
                        as_date(expr.left)
                    } else {
                        expr.left
                    },
                    right: if is_date(&left) {
                        as_date(expr.right)
                    } else {
                        expr.right
                    },
                    op: expr.op,
                }));
            }
            // The planner would make a decimal of the float.
            _ if is_decimal(&left) && right.is_floating() => {
                return Ok(PlannerResult::Original(RawBinaryExpr {
                    left: cast(expr.left, DataType::Float64),
                    ..expr
                }));
            }
            _ if is_decimal(&right) && left.is_floating() => {
                return Ok(PlannerResult::Original(RawBinaryExpr {
                    right: cast(expr.right, DataType::Float64),
                    ..expr
                }));
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(planned))
    }
}

fn arithmetic(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// A date moved by whole days as a date, not a timestamp: beside a column of dates it can be pruned by.
fn as_date(expr: Expr) -> Expr {
    let whole = |interval: &Expr| match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) => value.nanoseconds == 0,
        _ => false,
    };
    match expr {
        Expr::BinaryExpr(moved) if whole(&moved.right) => match *moved.left {
            Expr::Cast(cast) if *cast.field.data_type() == TIMESTAMP => {
                arithmetic(*cast.expr, moved.op, *moved.right)
            }
            left => arithmetic(left, moved.op, *moved.right),
        },
        other => other,
    }
}

pub(crate) fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..)
    )
}

fn is_quotient(left: &DataType, right: &DataType) -> bool {
    let exact = |data_type: &DataType| data_type.is_integer() || is_decimal(data_type);
    exact(left) && exact(right) && (is_decimal(left) || is_decimal(right))
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// The value of a constant expression of integers.
fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => *value,
        Expr::Negative(operand) => integer(operand)?.checked_neg(),
        Expr::BinaryExpr(one) => {
            let (left, right) = (integer(&one.left)?, integer(&one.right)?);
            match one.op {
                Operator::Plus => left.checked_add(right),
                Operator::Minus => left.checked_sub(right),
                Operator::Multiply => left.checked_mul(right),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Types by their SQL names.
#[derive(Debug)]
pub(crate) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<arrow::datatypes::FieldRef>> {
        let zoneless = |zone: &TimezoneInfo| {
            matches!(zone, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        };
        let data_type = match sql_type {
            // In microseconds, as PostgreSQL has it: nanoseconds end in the year 2262.
            SqlType::Timestamp(None | Some(0..=6), zone) if zoneless(zone) => TIMESTAMP,
            SqlType::Datetime(None | Some(0..=6)) => TIMESTAMP,
            SqlType::Blob(None) => DataType::Binary,
            SqlType::HugeInt => DataType::Decimal128(38, 0),
            _ => return Ok(None),
        };
        let field = arrow::datatypes::Field::new("", data_type, true);
        Ok(Some(Arc::new(field)))
    }
}

/// The functions that only the translation knows.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let names = [QUOTIENT, NEAREST, LAST_DAY, REGEXP_EXTRACT, HAMMING];
    names.map(|name| Arc::new(named(name))).into()
}

/// A function that only the translation knows.
pub(crate) fn named(name: &'static str) -> ScalarUDF {
    ScalarUDF::new_from_impl(Named::new(name))
}

/// A function by its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    name: &'static str,
    signature: Signature,
}

impl Named {
    fn new(name: &'static str) -> Named {
        use datafusion_expr::TypeSignature::{Any, OneOf};
        let operands = match name {
            QUOTIENT | DAYS_LATER | HAMMING => Any(2),
            REGEXP_EXTRACT => OneOf(vec![Any(2), Any(3)]),
            POSTPONED => Any(3),
            _ => Any(1),
        };
        Named {
            name,
            signature: Signature::new(operands, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, operands: &[DataType]) -> Result<DataType> {
        Ok(match self.name {
            QUOTIENT | EPOCH => DataType::Float64,
            TIME_TEXT | REGEXP_EXTRACT => DataType::Utf8,
            HAMMING => DataType::Int32,
            LAST_DAY => DataType::Date32,
            _ => operands.first().cloned().unwrap_or(DataType::Null),
        })
    }

    fn simplify(
        &self,
        mut operands: Vec<Expr>,
        info: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        if self.name == NEAREST
            && let [operand] = operands.as_slice()
        {
            let data_type = info.get_data_type(operand)?;
            if is_decimal(&data_type) {
                let rounded = named(NEAREST_DECIMAL).call(operands);
                return Ok(ExprSimplifyResult::Simplified(rounded));
            }
            if !data_type.is_floating()
                && let Some(operand) = operands.pop()
            {
                return Ok(ExprSimplifyResult::Simplified(operand));
            }
        }
        Ok(ExprSimplifyResult::Original(operands))
    }

    /// Constants alone: the engine computes the rest.
    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants: Vec<Option<&ScalarValue>> = call
            .args
            .iter()
            .map(|operand| match operand {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let value = match (self.name, constants.as_slice()) {
            (NEAREST | NEAREST_DECIMAL, [Some(value)]) => nearest(value),
            (QUOTIENT, [Some(left), Some(right)]) => quotient(left, right),
            _ => None,
        };
        let unknown = || DataFusionError::NotImplemented(format!("{} while planning", self.name));
        value.map(ColumnarValue::Scalar).ok_or_else(unknown)
    }
}

/// A constant rounded: halves of decimals away from zero, of floats to the even integer.
fn nearest(value: &ScalarValue) -> Option<ScalarValue> {
    Some(match value {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            let one = 10i128.checked_pow(u32::try_from(*scale).ok()?)?;
            let (whole, rest) = (value / one, value % one);
            let carry = i128::from(rest.abs() >= one - rest.abs()) * rest.signum();
            let rounded = (whole + carry).checked_mul(one)?;
            ScalarValue::Decimal128(Some(rounded), *precision, *scale)
        }
        ScalarValue::Float64(Some(value)) => ScalarValue::Float64(Some(value.round_ties_even())),
        ScalarValue::Float32(Some(value)) => ScalarValue::Float32(Some(value.round_ties_even())),
        _ => return None,
    })
}

fn quotient(left: &ScalarValue, right: &ScalarValue) -> Option<ScalarValue> {
    let number = |value: &ScalarValue| match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(value)) => value,
        _ => None,
    };
    let (left, right) = (number(left)?, number(right)?);
    (right != 0.0).then(|| ScalarValue::Float64(Some(left / right)))
}
