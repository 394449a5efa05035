//! From names to types: [`resolve`] checks an expression against a schema and settles every cast.

use std::fmt::Display;
use std::sync::Arc;

use super::coerce::{common_type, integer_digits, is_float, is_numeric, literal_type};
use super::function::temporal_arithmetic;
use super::typed::{TypedExpr, TypedKind, literal_array};
use super::{AggregateFunction, BinaryOp, Expr};
use crate::error::{Error, Result};
use crate::limits::EXPR_DEPTH_MAX;
use crate::types::{
    DECIMAL128_PRECISION_MAX, DataType, Field, Literal, PhysicalType, Schema, decimal_parts,
    is_string,
};

/// Types an expression against the schema of its input.
///
/// # Errors
/// `InvalidInput` for an unknown column, operands that no type holds, a condition that is not
/// Boolean, or an aggregate where none may stand.
pub fn resolve(expr: &Expr, schema: &Schema) -> Result<TypedExpr> {
    if expr.depth() > EXPR_DEPTH_MAX {
        return Err(Error::invalid(
            "expression",
            format!("nested deeper than {EXPR_DEPTH_MAX}"),
            "split it into several projections",
        ));
    }
    typed(expr, schema)
}

/// Resolves two keys that are compared for equality, each over its own schema, in the type in which
/// they meet.
///
/// # Errors
/// `InvalidInput` as [`resolve`], and for keys that no type holds both of.
pub fn resolve_keys(
    left: (&Expr, &Schema),
    right: (&Expr, &Schema),
) -> Result<(TypedExpr, TypedExpr)> {
    let (a, b) = (resolve(left.0, left.1)?, resolve(right.0, right.1)?);
    if a.data_type == b.data_type {
        return Ok((a, b));
    }
    let Some(common) = meeting_type(&a, &b) else {
        let cause = format!("no type holds {} and {}", a.data_type, b.data_type);
        let place = format!("keys `{}` and `{}`", left.0, right.0);
        return Err(Error::invalid(place, cause, "cast one of them"));
    };
    Ok((cast_to(a, &common)?, cast_to(b, &common)?))
}

fn typed(expr: &Expr, schema: &Schema) -> Result<TypedExpr> {
    match expr {
        Expr::Column(name) => resolve_column(name, schema),
        Expr::Literal(literal) => Ok(TypedExpr {
            kind: TypedKind::Literal(literal.clone()),
            data_type: literal.data_type(),
        }),
        Expr::Alias { expr, .. } => typed(expr, schema),
        Expr::Binary { op, left, right } => {
            let (left, right) = (typed(left, schema)?, typed(right, schema)?);
            binary(expr, *op, left, right)
        }
        Expr::Not(operand) => {
            let operand = boolean(typed(operand, schema)?, expr)?;
            Ok(TypedExpr {
                kind: TypedKind::Not(Box::new(operand)),
                data_type: DataType::Boolean,
            })
        }
        Expr::Negate(operand) => negate(expr, typed(operand, schema)?),
        Expr::IsNull(operand) => Ok(TypedExpr {
            kind: TypedKind::IsNull(Box::new(typed(operand, schema)?)),
            data_type: DataType::Boolean,
        }),
        Expr::IsNotNull(operand) => Ok(TypedExpr {
            kind: TypedKind::IsNotNull(Box::new(typed(operand, schema)?)),
            data_type: DataType::Boolean,
        }),
        Expr::Cast {
            expr: operand,
            to,
            strict,
        } => {
            let operand = typed(operand, schema)?;
            if operand.data_type != *to && !arrow::compute::can_cast_types(&operand.data_type, to) {
                return Err(type_error(
                    expr,
                    &format!("{} cannot become {to}", operand.data_type),
                ));
            }
            Ok(TypedExpr {
                kind: TypedKind::Cast {
                    expr: Box::new(operand),
                    strict: *strict,
                },
                data_type: to.clone(),
            })
        }
        Expr::Case {
            branches,
            otherwise,
        } => case(expr, branches, otherwise.as_deref(), schema),
        Expr::Coalesce(operands) => {
            let operands = operands
                .iter()
                .map(|operand| typed(operand, schema))
                .collect::<Result<Vec<_>>>()?;
            let data_type = common_of_all(expr, operands.iter())?;
            let operands = operands
                .into_iter()
                .map(|operand| cast_to(operand, &data_type))
                .collect::<Result<Vec<_>>>()?;
            Ok(TypedExpr {
                kind: TypedKind::Coalesce(operands),
                data_type,
            })
        }
        Expr::Function { function, operands } => {
            let operands = operands.iter().map(|operand| typed(operand, schema));
            let resolved = function.resolve(operands.collect::<Result<_>>()?);
            resolved.map_err(|error| error.context(format!("expression `{expr}`")))
        }
        Expr::Aggregate { .. } => Err(Error::invalid(
            format!("expression `{expr}`"),
            "an aggregate stands outside of an aggregation",
            "use it under `group_by(…).agg(…)`",
        )),
    }
}

fn resolve_column(name: &str, schema: &Schema) -> Result<TypedExpr> {
    match schema.index_of(name) {
        Ok(index) => Ok(TypedExpr::column(
            index,
            schema.field(index).data_type().clone(),
        )),
        Err(_) => {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            Err(Error::invalid(
                format!("column `{name}`"),
                "not in the input",
                format!("the columns are {}", names.join(", ")),
            ))
        }
    }
}

fn type_error(expr: &impl Display, cause: &str) -> Error {
    Error::invalid(format!("expression `{expr}`"), cause, "cast an operand")
}

fn boolean(operand: TypedExpr, whole: &Expr) -> Result<TypedExpr> {
    match operand.data_type {
        DataType::Boolean => Ok(operand),
        DataType::Null => cast_to(operand, &DataType::Boolean),
        ref other => Err(type_error(whole, &format!("needs Boolean, has {other}"))),
    }
}

/// The operand in another type; a literal takes the type at once.
pub(super) fn cast_to(operand: TypedExpr, to: &DataType) -> Result<TypedExpr> {
    if operand.data_type == *to {
        return Ok(operand);
    }
    if let TypedKind::Literal(literal) = &operand.kind {
        literal_array(literal, to)?; // an impossible literal is the plan's error, not the query's
        return Ok(TypedExpr {
            kind: operand.kind,
            data_type: to.clone(),
        });
    }
    Ok(TypedExpr {
        kind: TypedKind::Cast {
            expr: Box::new(operand),
            strict: true,
        },
        data_type: to.clone(),
    })
}

fn meeting_type(left: &TypedExpr, right: &TypedExpr) -> Option<DataType> {
    let by_literal = match (&left.kind, &right.kind) {
        (TypedKind::Literal(_), TypedKind::Literal(_)) => None,
        (TypedKind::Literal(literal), _) => literal_type(literal, &right.data_type)
            .and_then(|literal| common_type(&literal, &right.data_type)),
        (_, TypedKind::Literal(literal)) => literal_type(literal, &left.data_type)
            .and_then(|literal| common_type(&left.data_type, &literal)),
        _ => None,
    };
    by_literal.or_else(|| common_type(&left.data_type, &right.data_type))
}

fn binary(whole: &Expr, op: BinaryOp, left: TypedExpr, right: TypedExpr) -> Result<TypedExpr> {
    if matches!(op, BinaryOp::And | BinaryOp::Or) {
        let (left, right) = (boolean(left, whole)?, boolean(right, whole)?);
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = if op == BinaryOp::And {
            TypedKind::And(left, right)
        } else {
            TypedKind::Or(left, right)
        };
        return Ok(TypedExpr {
            kind,
            data_type: DataType::Boolean,
        });
    }
    if matches!(op, BinaryOp::Add | BinaryOp::Subtract)
        && (left.data_type.is_temporal() || right.data_type.is_temporal())
        && let Some(resolved) = temporal_arithmetic(op, left.clone(), right.clone())?
    {
        return Ok(resolved);
    }
    let no_type = || {
        type_error(
            whole,
            &format!("no type holds {} and {}", left.data_type, right.data_type),
        )
    };
    let common = meeting_type(&left, &right).ok_or_else(no_type)?;
    if op.is_comparison() {
        let (left, right) = (cast_to(left, &common)?, cast_to(right, &common)?);
        return Ok(TypedExpr {
            kind: TypedKind::Compare {
                op,
                left: Box::new(left),
                right: Box::new(right),
            },
            data_type: DataType::Boolean,
        });
    }
    if !is_numeric(&common) {
        return Err(type_error(
            whole,
            &format!("`{op}` needs numbers, has {common}"),
        ));
    }
    let (left, right, data_type) = arithmetic_operands(op, left, right, common)?;
    Ok(TypedExpr {
        kind: TypedKind::Arithmetic {
            op,
            left: Box::new(left),
            right: Box::new(right),
        },
        data_type,
    })
}

/// Casts the operands of an arithmetic operator and names its result type.
fn arithmetic_operands(
    op: BinaryOp,
    left: TypedExpr,
    right: TypedExpr,
    common: DataType,
) -> Result<(TypedExpr, TypedExpr, DataType)> {
    let common = if common == DataType::Float16 {
        DataType::Float32
    } else {
        common
    };
    let Some((precision, scale)) = decimal_parts(&common) else {
        return Ok((cast_to(left, &common)?, cast_to(right, &common)?, common));
    };
    match op {
        BinaryOp::Divide => {
            let float = DataType::Float64;
            Ok((cast_to(left, &float)?, cast_to(right, &float)?, float))
        }
        BinaryOp::Multiply => {
            let (left, right) = (as_decimal(left)?, as_decimal(right)?);
            let (a, b) = (decimal_or_zero(&left), decimal_or_zero(&right));
            if i16::from(a.1) + i16::from(b.1) > i16::from(DECIMAL128_PRECISION_MAX) {
                let float = DataType::Float64;
                return Ok((cast_to(left, &float)?, cast_to(right, &float)?, float));
            }
            let result = DataType::Decimal128((a.0 + b.0).min(DECIMAL128_PRECISION_MAX), a.1 + b.1);
            Ok((left, right, result))
        }
        BinaryOp::Remainder => Ok((cast_to(left, &common)?, cast_to(right, &common)?, common)),
        _ => {
            let result = DataType::Decimal128((precision + 1).min(DECIMAL128_PRECISION_MAX), scale);
            Ok((cast_to(left, &common)?, cast_to(right, &common)?, result))
        }
    }
}

fn decimal_or_zero(expr: &TypedExpr) -> (u8, i8) {
    decimal_parts(&expr.data_type).unwrap_or((1, 0))
}

/// An integer or decimal operand as a 128-bit decimal of its own digits.
fn as_decimal(operand: TypedExpr) -> Result<TypedExpr> {
    let target = match (&operand.kind, decimal_parts(&operand.data_type)) {
        (_, Some((precision, scale))) => DataType::Decimal128(precision, scale),
        (TypedKind::Literal(Literal::Int64(value)), None) => {
            let digits = value.unsigned_abs().max(1).ilog10() + 1;
            DataType::Decimal128(u8::try_from(digits).unwrap_or(19), 0)
        }
        (_, None) => DataType::Decimal128(integer_digits(&operand.data_type).unwrap_or(1), 0),
    };
    cast_to(operand, &target)
}

fn negate(whole: &Expr, operand: TypedExpr) -> Result<TypedExpr> {
    let data_type = match &operand.data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Null => DataType::Int64,
        other if is_numeric(other) => match decimal_parts(other) {
            Some((precision, scale)) => DataType::Decimal128(precision, scale),
            None => other.clone(),
        },
        other => {
            return Err(type_error(
                whole,
                &format!("`-` needs a number, has {other}"),
            ));
        }
    };
    let operand = cast_to(operand, &data_type)?;
    Ok(TypedExpr {
        kind: TypedKind::Negate(Box::new(operand)),
        data_type,
    })
}

/// The type that all operands meet in.
pub(super) fn common_of_all<'a>(
    whole: &impl Display,
    operands: impl Iterator<Item = &'a TypedExpr>,
) -> Result<DataType> {
    let mut common: Option<TypedExpr> = None;
    for operand in operands {
        common = Some(match common {
            None => operand.clone(),
            Some(so_far) => {
                let data_type = meeting_type(&so_far, operand).ok_or_else(|| {
                    let cause = format!(
                        "no type holds {} and {}",
                        so_far.data_type, operand.data_type
                    );
                    type_error(whole, &cause)
                })?;
                let kind = match &so_far.kind {
                    TypedKind::Literal(_) => operand.kind.clone(),
                    _ => so_far.kind,
                };
                TypedExpr { kind, data_type }
            }
        });
    }
    common
        .map(|expr| expr.data_type)
        .ok_or_else(|| Error::invalid(format!("expression `{whole}`"), "has no operands", ""))
}

fn case(
    whole: &Expr,
    branches: &[(Expr, Expr)],
    otherwise: Option<&Expr>,
    schema: &Schema,
) -> Result<TypedExpr> {
    let mut conditions = Vec::with_capacity(branches.len());
    let mut values = Vec::with_capacity(branches.len() + 1);
    for (condition, value) in branches {
        conditions.push(boolean(typed(condition, schema)?, whole)?);
        values.push(typed(value, schema)?);
    }
    if let Some(otherwise) = otherwise {
        values.push(typed(otherwise, schema)?);
    }
    let data_type = common_of_all(whole, values.iter())?;
    let mut values = values
        .into_iter()
        .map(|value| cast_to(value, &data_type))
        .collect::<Result<Vec<_>>>()?;
    let otherwise = if otherwise.is_some() {
        values.pop().map(Box::new)
    } else {
        None
    };
    let branches = conditions.into_iter().zip(values).collect();
    Ok(TypedExpr {
        kind: TypedKind::Case {
            branches,
            otherwise,
        },
        data_type,
    })
}

/// The type of an aggregate over values of `input`; `None` is the aggregate without operand.
///
/// # Errors
/// `InvalidInput` if the function is not defined for the type.
pub fn aggregate_type(function: AggregateFunction, input: Option<&DataType>) -> Result<DataType> {
    let Some(input) = input else {
        return match function {
            AggregateFunction::Count => Ok(DataType::Int64),
            other => Err(Error::invalid(
                format!("aggregate {other}"),
                "needs an operand",
                "",
            )),
        };
    };
    let refuse = || {
        Err(Error::invalid(
            format!("aggregate {function}"),
            format!("undefined for {input}"),
            "",
        ))
    };
    match function {
        AggregateFunction::Count | AggregateFunction::CountDistinct => Ok(DataType::Int64),
        AggregateFunction::Mean if is_numeric(input) => Ok(DataType::Float64),
        AggregateFunction::Sum => match input {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Ok(DataType::Int64)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Ok(DataType::UInt64)
            }
            other if is_float(other) => Ok(DataType::Float64),
            other => match decimal_parts(other) {
                Some((_, scale)) => Ok(DataType::Decimal128(DECIMAL128_PRECISION_MAX, scale)),
                None => refuse(),
            },
        },
        AggregateFunction::Variance(_) | AggregateFunction::StandardDeviation(_)
            if is_numeric(input) =>
        {
            Ok(DataType::Float64)
        }
        AggregateFunction::Quantile { interpolation, .. } => {
            let picks = interpolation.picks_a_value() && PhysicalType::of(input).is_some();
            match input {
                _ if is_numeric(input) && !interpolation.picks_a_value() => Ok(DataType::Float64),
                _ if is_numeric(input) || (picks && input.is_temporal()) => Ok(input.clone()),
                _ => refuse(),
            }
        }
        AggregateFunction::First | AggregateFunction::Last | AggregateFunction::AnyValue => {
            Ok(input.clone())
        }
        AggregateFunction::Any | AggregateFunction::All if *input == DataType::Boolean => {
            Ok(DataType::Boolean)
        }
        AggregateFunction::ApproxCountDistinct if PhysicalType::of(input).is_some() => {
            Ok(DataType::Int64)
        }
        AggregateFunction::Collect => Ok(DataType::List(Arc::new(Field::new_list_field(
            input.clone(),
            true,
        )))),
        AggregateFunction::Min | AggregateFunction::Max
            if !input.is_nested() && *input != DataType::Null || is_string(input) =>
        {
            Ok(input.clone())
        }
        _ => refuse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{col, lit, when};

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("tiny", DataType::Int8, true),
            Field::new("big", DataType::Int64, true),
            Field::new("huge", DataType::UInt64, true),
            Field::new("price", DataType::Decimal128(15, 2), true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("day", DataType::Date32, true),
        ])
    }

    fn type_of(expr: &Expr) -> DataType {
        match resolve(expr, &schema()) {
            Ok(typed) => typed.data_type,
            Err(error) => panic_with(&error),
        }
    }

    fn panic_with(error: &Error) -> ! {
        panic!("{error}")
    }

    #[test]
    fn results_have_the_documented_types() {
        assert_eq!(type_of(&(col("tiny") + lit(1))), DataType::Int8);
        assert_eq!(type_of(&(col("tiny") + lit(1000))), DataType::Int64);
        assert_eq!(
            type_of(&(col("big") + col("huge"))),
            DataType::Decimal128(21, 0)
        );
        assert_eq!(
            type_of(&(col("price") * (lit(1) - col("price")))),
            DataType::Decimal128(31, 4)
        );
        assert_eq!(type_of(&(col("price") / lit(2))), DataType::Float64);
        assert_eq!(type_of(&(col("price") + col("ratio"))), DataType::Float64);
        assert_eq!(
            type_of(&col("day").lt(lit("1998-09-02"))),
            DataType::Boolean
        );
        assert_eq!(
            type_of(
                &when(col("big").gt(lit(1)))
                    .then(col("tiny"))
                    .otherwise(col("ratio"))
            ),
            DataType::Float64
        );
    }

    #[test]
    fn errors_name_the_expression_and_the_remedy() {
        let text = |expr: &Expr| match resolve(expr, &schema()) {
            Ok(_) => "no error".to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            text(&col("nmae")),
            "column `nmae`: not in the input; \
             the columns are tiny, big, huge, price, ratio, name, day"
        );
        assert_eq!(
            text(&(col("name") + lit(1))),
            "expression `(name + 1)`: no type holds Utf8 and Int64; cast an operand"
        );
    }
}
