//! Arithmetic on columns: the rules of [`scalar::arithmetic`](super::scalar) for every row that
//! is wanted and has no null operand.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{self as arrow_types, ArrowNativeTypeOp};

use super::compare::Operand;
use super::scalar::arithmetic::{Fault, decimal, integer, negate_integer};
use crate::error::Error;
use crate::expr::BinaryOp;
use crate::types::{DataType, Overflow, Semantics};

/// Where an operation has no value: the first such row of all that are wanted.
#[derive(Debug)]
pub(super) struct RowFault {
    pub(super) row: usize,
    pub(super) fault: Fault,
}

/// Why a column could not be computed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A value has no result.
    Row(RowFault),
    /// The operation is not defined for the type.
    Type(Error),
}

type Computed = std::result::Result<ArrayRef, Failure>;

/// One of the five operators on operands of one type. Rows that are not `active` may be anything.
pub(super) fn arithmetic(
    op: BinaryOp,
    left: &Operand,
    right: &Operand,
    to: &DataType,
    active: Option<&BooleanBuffer>,
    semantics: Semantics,
) -> Computed {
    macro_rules! integers {
        ($type:ty) => {
            zip_rows::<$type>(left, right, to, active, |a, b| integer(op, a, b, semantics))
        };
    }
    let wraps = semantics.overflow == Overflow::Wrap
        && matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply);
    match to {
        DataType::Float32 | DataType::Float64 => by_arrow(op, left, right),
        other if wraps && other.is_integer() => by_arrow(op, left, right),
        DataType::Int8 => integers!(arrow_types::Int8Type),
        DataType::Int16 => integers!(arrow_types::Int16Type),
        DataType::Int32 => integers!(arrow_types::Int32Type),
        DataType::Int64 => integers!(arrow_types::Int64Type),
        DataType::UInt8 => integers!(arrow_types::UInt8Type),
        DataType::UInt16 => integers!(arrow_types::UInt16Type),
        DataType::UInt32 => integers!(arrow_types::UInt32Type),
        DataType::UInt64 => integers!(arrow_types::UInt64Type),
        DataType::Decimal128(precision, _) => {
            zip_rows::<arrow_types::Decimal128Type>(left, right, to, active, |a, b| {
                decimal(op, a, b, *precision, semantics)
            })
        }
        other => Err(undefined(op, other)),
    }
}

/// Arrow's kernels where they have our rules: wrapping integers, and IEEE floats.
fn by_arrow(op: BinaryOp, left: &Operand, right: &Operand) -> Computed {
    let (l, r) = (left.datum(), right.datum());
    let computed = match op {
        BinaryOp::Add => numeric::add_wrapping(&*l, &*r),
        BinaryOp::Subtract => numeric::sub_wrapping(&*l, &*r),
        BinaryOp::Multiply => numeric::mul_wrapping(&*l, &*r),
        BinaryOp::Divide => numeric::div(&*l, &*r),
        BinaryOp::Remainder => numeric::rem(&*l, &*r),
        other => return Err(undefined(other, left.array.data_type())),
    };
    computed.map_err(|cause| Failure::Type(Error::invalid("arithmetic", cause.to_string(), "")))
}

/// `-operand`, of the operand's type.
pub(super) fn negate(
    operand: &ArrayRef,
    active: Option<&BooleanBuffer>,
    semantics: Semantics,
) -> Computed {
    macro_rules! integers {
        ($type:ty) => {
            map_rows::<$type>(operand, active, |value| negate_integer(value, semantics))
        };
    }
    macro_rules! exact {
        ($type:ty) => {
            map_rows::<$type>(operand, active, |value| Ok(Some(value.neg_wrapping())))
        };
    }
    match operand.data_type() {
        DataType::Int8 => integers!(arrow_types::Int8Type),
        DataType::Int16 => integers!(arrow_types::Int16Type),
        DataType::Int32 => integers!(arrow_types::Int32Type),
        DataType::Int64 => integers!(arrow_types::Int64Type),
        DataType::Decimal128(..) => exact!(arrow_types::Decimal128Type),
        DataType::Float32 => exact!(arrow_types::Float32Type),
        DataType::Float64 => exact!(arrow_types::Float64Type),
        other => Err(undefined(BinaryOp::Subtract, other)),
    }
}

fn undefined(op: BinaryOp, data_type: &DataType) -> Failure {
    Failure::Type(Error::invalid(
        format!("`{op}`"),
        format!("undefined for {data_type}"),
        "cast an operand",
    ))
}

fn zip_rows<T: ArrowPrimitiveType>(
    left: &Operand,
    right: &Operand,
    to: &DataType,
    active: Option<&BooleanBuffer>,
    f: impl Fn(T::Native, T::Native) -> std::result::Result<Option<T::Native>, Fault>,
) -> Computed {
    let rows = if left.is_scalar {
        right.array.len()
    } else {
        left.array.len()
    };
    let nulls = NullBuffer::union(
        row_nulls(left, rows).as_ref(),
        row_nulls(right, rows).as_ref(),
    );
    let (a, b) = (
        left.array.as_primitive::<T>(),
        right.array.as_primitive::<T>(),
    );
    let step = |operand: &Operand| usize::from(!operand.is_scalar);
    let (step_a, step_b) = (step(left), step(right));
    compute_rows::<T>(rows, nulls, to, active, |row| {
        f(a.value(row * step_a), b.value(row * step_b))
    })
}

fn map_rows<T: ArrowPrimitiveType>(
    operand: &ArrayRef,
    active: Option<&BooleanBuffer>,
    f: impl Fn(T::Native) -> std::result::Result<Option<T::Native>, Fault>,
) -> Computed {
    let values = operand.as_primitive::<T>();
    let to = operand.data_type();
    compute_rows::<T>(values.len(), values.nulls().cloned(), to, active, |row| {
        f(values.value(row))
    })
}

/// The nulls of an operand, spread over all rows.
fn row_nulls(operand: &Operand, rows: usize) -> Option<NullBuffer> {
    if !operand.is_scalar {
        return operand.array.nulls().cloned();
    }
    operand.array.is_null(0).then(|| NullBuffer::new_null(rows))
}

/// Computes the rows that are wanted and not null; all others are null.
fn compute_rows<T: ArrowPrimitiveType>(
    rows: usize,
    nulls: Option<NullBuffer>,
    to: &DataType,
    active: Option<&BooleanBuffer>,
    f: impl Fn(usize) -> std::result::Result<Option<T::Native>, Fault>,
) -> Computed {
    let wanted = match active {
        None => nulls,
        Some(active) => NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::new(active.clone()))),
    };
    let mut values = vec![T::default_value(); rows];
    let mut lost = Vec::new();
    let mut compute = |row: usize, value: &mut T::Native| match f(row) {
        Ok(Some(result)) => {
            *value = result;
            Ok(())
        }
        Ok(None) => {
            lost.push(row);
            Ok(())
        }
        Err(fault) => Err(Failure::Row(RowFault { row, fault })),
    };
    match &wanted {
        None => {
            for (row, value) in values.iter_mut().enumerate() {
                compute(row, value)?;
            }
        }
        Some(wanted) => {
            for row in wanted.valid_indices() {
                compute(row, &mut values[row])?;
            }
        }
    }
    let nulls = if lost.is_empty() {
        wanted
    } else {
        let mut valid = vec![true; rows];
        for row in lost {
            valid[row] = false;
        }
        NullBuffer::union(wanted.as_ref(), Some(&NullBuffer::from(valid)))
    };
    let array = PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(to.clone());
    Ok(Arc::new(array))
}
