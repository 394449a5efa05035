//! Comparisons of columns, and the canonical form in which floats compare by their bits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, PrimitiveArray, Scalar};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type, Float16Type, Float32Type, Float64Type};
use half::f16;

use super::scalar::order::canonical;
use crate::error::{Error, Result};
use crate::expr::BinaryOp;
use crate::types::DataType;

/// A column, or one value for all rows.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    /// All rows, or the one value.
    pub(super) array: ArrayRef,
    /// True if `array` is one value for all rows.
    pub(super) is_scalar: bool,
}

impl Operand {
    /// What Arrow's kernels take.
    pub(super) fn datum(&self) -> Box<dyn Datum> {
        if self.is_scalar {
            Box::new(Scalar::new(Arc::clone(&self.array)))
        } else {
            Box::new(Arc::clone(&self.array))
        }
    }

    fn map(&self, f: impl Fn(&ArrayRef) -> ArrayRef) -> Operand {
        Operand {
            array: f(&self.array),
            is_scalar: self.is_scalar,
        }
    }
}

/// Compares two operands of one type. Arrow orders floats by `totalOrder`, which agrees with ours
/// on canonical values.
pub(super) fn compare(op: BinaryOp, left: &Operand, right: &Operand) -> Result<ArrayRef> {
    let (left, right) = (left.map(comparable), right.map(comparable));
    if *left.array.data_type() == DataType::Null {
        let all = if left.is_scalar { &right } else { &left };
        let rows = all.array.len();
        return Ok(Arc::new(BooleanArray::new_null(rows)));
    }
    let (left, right) = (left.datum(), right.datum());
    let compared = match op {
        BinaryOp::Equal => cmp::eq(&*left, &*right),
        BinaryOp::NotEqual => cmp::neq(&*left, &*right),
        BinaryOp::Less => cmp::lt(&*left, &*right),
        BinaryOp::LessOrEqual => cmp::lt_eq(&*left, &*right),
        BinaryOp::Greater => cmp::gt(&*left, &*right),
        BinaryOp::GreaterOrEqual => cmp::gt_eq(&*left, &*right),
        other => {
            return Err(Error::invalid(
                "comparison",
                format!("`{other}` compares nothing"),
                "",
            ));
        }
    };
    compared
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|cause| Error::unsupported("cpu", format!("`{op}`"), cause.to_string()))
}

/// Floats canonical, decimals of one precision, dictionaries decoded: types that Arrow compares.
fn comparable(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let decimals = array.as_primitive::<Decimal128Type>().clone();
            match decimals.with_precision_and_scale(38, *scale) {
                Ok(widest) => Arc::new(widest),
                Err(_) => Arc::clone(array),
            }
        }
        _ => canonical_floats(array),
    }
}

/// A float column with one zero and one NaN; any other column unchanged.
pub(super) fn canonical_floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float16 => {
            map::<Float16Type>(array, |value| f16::from_f64(canonical(value.to_f64())))
        }
        DataType::Float32 => map::<Float32Type>(array, |value| canonical(f64::from(value)) as f32),
        DataType::Float64 => map::<Float64Type>(array, canonical),
        _ => Arc::clone(array),
    }
}

fn map<T: ArrowPrimitiveType>(array: &ArrayRef, f: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let mapped: PrimitiveArray<T> = array.as_primitive::<T>().unary(f);
    Arc::new(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};

    fn column(array: impl Array + 'static) -> Operand {
        Operand {
            array: Arc::new(array),
            is_scalar: false,
        }
    }

    #[test]
    fn arrow_obeys_our_order_once_floats_are_canonical() -> Result<()> {
        let left = column(Float64Array::from(vec![-0.0, -f64::NAN, f64::NAN, 1.0]));
        let right = column(Float64Array::from(vec![
            0.0,
            f64::NAN,
            f64::INFINITY,
            -f64::NAN,
        ]));
        for (op, expected) in [
            (BinaryOp::Equal, [true, true, false, false]),
            (BinaryOp::Less, [false, false, false, true]),
            (BinaryOp::Greater, [false, false, true, false]),
            (BinaryOp::GreaterOrEqual, [true, true, true, false]),
        ] {
            let got = compare(op, &left, &right)?;
            assert_eq!(*got.as_boolean(), BooleanArray::from(expected.to_vec()));
        }
        Ok(())
    }

    #[test]
    fn arrow_compares_strings_by_bytes() -> Result<()> {
        let left = column(StringArray::from(vec!["", "Z", "z", "\u{ffff}"]));
        let right = column(StringArray::from(vec!["a", "a", "é", "\u{10000}"]));
        let got = compare(BinaryOp::Less, &left, &right)?;
        assert_eq!(got.as_boolean().true_count(), 4);
        Ok(())
    }
}
