//! A second opinion on the CPU backend: expressions and joins, one row and one plain Rust value
//! at a time, written from the contracts and without any Arrow kernel.

use arrow::array::RecordBatch;
use half::f16;
use pelton::expr::{BinaryOp, Function, TypedExpr, TypedKind, literal_array};
use pelton::operators::{FilterSpec, HashJoinSpec, JoinKind, ProjectSpec};
use pelton::types::{
    DataType, DivisionByZero, Overflow, Semantics, TimeUnit, decimal_parts, is_string,
};

use super::oracle_functions;
use super::oracle_strings;
use super::values::{Rows, Value, cell};

/// Why the oracle has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The contract says that this is an error.
    Arithmetic,
    /// The oracle does not know: Arrow's own rules (casts of strings).
    Unknown,
}

pub type Answer<T = Value> = Result<T, Stop>;

/// What `project` must give.
pub fn project(spec: &ProjectSpec, batch: &RecordBatch) -> Answer<Rows> {
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let at = At::new(batch, row, spec.semantics);
        let cells = spec.exprs.iter().map(|expr| at.evaluate(expr));
        rows.push(cells.collect::<Answer<Vec<Value>>>()?);
    }
    Ok(rows)
}

/// What `filter` must give.
pub fn filter(spec: &FilterSpec, batch: &RecordBatch) -> Answer<Rows> {
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        if At::new(batch, row, spec.semantics).evaluate(&spec.predicate)? == Value::Boolean(true) {
            let columns = spec.projection.iter().map(|&index| batch.column(index));
            rows.push(columns.map(|column| cell(column.as_ref(), row)).collect());
        }
    }
    Ok(rows)
}

/// All cells of a batch, row by row.
fn cells(batch: &RecordBatch) -> Rows {
    super::values::rows(std::slice::from_ref(batch))
}

/// What `hash_join` must give, in some order, `finish` included.
pub fn hash_join(spec: &HashJoinSpec, build: &RecordBatch, probe: &RecordBatch) -> Answer<Rows> {
    let (build_cells, probe_cells) = (cells(build), cells(probe));
    let equal = |p: &[Value], b: &[Value]| {
        let mut keys = spec.probe_keys.iter().zip(&spec.build_keys);
        keys.all(|(&p_key, &b_key)| match (&p[p_key], &b[b_key]) {
            (Value::Null, Value::Null) => spec.null_equals_null,
            (Value::Null, _) | (_, Value::Null) => false,
            (p, b) => p.compare(b).is_eq(),
        })
    };
    let nulls = |count: usize| vec![Value::Null; count];
    let mut build_matched = vec![false; build_cells.len()];
    let mut joined: Rows = Vec::new();
    for (p, p_cells) in probe_cells.iter().enumerate() {
        let mut matched = false;
        for (b, b_cells) in build_cells.iter().enumerate() {
            if !equal(p_cells, b_cells) {
                continue;
            }
            if let Some(residual) = &spec.residual {
                let pair = probe.slice(p, 1).columns().to_vec();
                let pair = [pair, build.slice(b, 1).columns().to_vec()].concat();
                let pair = RecordBatch::try_new(spec.pair(), pair).expect("one row of both");
                let pair = At::new(&pair, 0, spec.semantics);
                if pair.evaluate(residual)? != Value::Boolean(true) {
                    continue;
                }
            }
            matched = true;
            build_matched[b] = true;
            if spec.kind.gives_build_rows() {
                joined.push([p_cells.clone(), b_cells.clone()].concat());
            }
        }
        match spec.kind {
            JoinKind::Left | JoinKind::Full if !matched => {
                joined.push([p_cells.clone(), nulls(build.num_columns())].concat());
            }
            JoinKind::Semi if matched => joined.push(p_cells.clone()),
            JoinKind::Anti if !matched => joined.push(p_cells.clone()),
            JoinKind::Mark => {
                joined.push([p_cells.clone(), vec![Value::Boolean(matched)]].concat());
            }
            _ => {}
        }
    }
    if matches!(spec.kind, JoinKind::Right | JoinKind::Full) {
        let alone = build_cells.iter().zip(build_matched);
        for (b_cells, _) in alone.filter(|(_, matched)| !matched) {
            joined.push([nulls(probe.num_columns()), b_cells.clone()].concat());
        }
    }
    let project = |row: Vec<Value>| spec.projection.iter().map(|&i| row[i].clone()).collect();
    Ok(joined.into_iter().map(project).collect())
}

pub fn scale_of(data_type: &DataType) -> i32 {
    decimal_parts(data_type).map_or(0, |(_, scale)| scale.into())
}

pub fn integer_to_float(value: i128, scale: i32) -> f64 {
    let power: f64 = format!("1e{}", scale.abs()).parse().expect("a float");
    if scale >= 0 {
        value as f64 / power
    } else {
        value as f64 * power
    }
}

/// One row of a batch.
struct At<'a> {
    batch: &'a RecordBatch,
    row: usize,
    semantics: Semantics,
}

impl<'a> At<'a> {
    fn new(batch: &'a RecordBatch, row: usize, semantics: Semantics) -> Self {
        At {
            batch,
            row,
            semantics,
        }
    }

    fn evaluate(&self, expr: &TypedExpr) -> Answer {
        Ok(match &expr.kind {
            TypedKind::Column(index) => cell(self.batch.column(*index).as_ref(), self.row),
            TypedKind::Literal(literal) => {
                let array = literal_array(literal, &expr.data_type).map_err(|_| Stop::Unknown)?;
                cell(array.as_ref(), 0)
            }
            TypedKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                self.arithmetic(*op, left, right, &expr.data_type)?
            }
            TypedKind::Compare { op, left, right } => {
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                if left.is_null() || right.is_null() {
                    return Ok(Value::Null);
                }
                let order = left.compare(&right);
                Value::Boolean(match op {
                    BinaryOp::Equal => order.is_eq(),
                    BinaryOp::NotEqual => order.is_ne(),
                    BinaryOp::Less => order.is_lt(),
                    BinaryOp::LessOrEqual => order.is_le(),
                    BinaryOp::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            TypedKind::And(left, right) => self.kleene(left, right, false)?,
            TypedKind::Or(left, right) => self.kleene(left, right, true)?,
            TypedKind::Not(inner) => match self.evaluate(inner)? {
                Value::Boolean(value) => Value::Boolean(!value),
                other => other,
            },
            TypedKind::Negate(inner) => match self.evaluate(inner)? {
                Value::Float(value) => Value::Float(-value),
                Value::Integer(value) => self.integer((-value, false), &expr.data_type)?,
                other => other,
            },
            TypedKind::IsNull(inner) => Value::Boolean(self.evaluate(inner)?.is_null()),
            TypedKind::IsNotNull(inner) => Value::Boolean(!self.evaluate(inner)?.is_null()),
            TypedKind::Cast {
                expr: inner,
                strict,
            } => {
                let value = self.evaluate(inner)?;
                if value.is_null() {
                    return Ok(Value::Null);
                }
                match cast(value, &inner.data_type, &expr.data_type)? {
                    Value::Null if *strict => return Err(Stop::Arithmetic),
                    cast => cast,
                }
            }
            TypedKind::Case {
                branches,
                otherwise,
            } => {
                for (condition, value) in branches {
                    if self.evaluate(condition)? == Value::Boolean(true) {
                        return self.evaluate(value);
                    }
                }
                match otherwise {
                    Some(otherwise) => self.evaluate(otherwise)?,
                    None => Value::Null,
                }
            }
            TypedKind::Function {
                function: Function::String(function),
                operands,
            } => {
                let operands = operands.iter().map(|operand| self.evaluate(operand));
                oracle_strings::call(function, &operands.collect::<Answer<Vec<_>>>()?)?
            }
            TypedKind::Function { function, operands } => {
                let values = operands.iter().map(|operand| self.evaluate(operand));
                let values = values.collect::<Answer<Vec<Value>>>()?;
                let types: Vec<&DataType> = operands.iter().map(|o| &o.data_type).collect();
                oracle_functions::call(function, &values, &types, &expr.data_type, self.semantics)?
            }
            TypedKind::Coalesce(operands) => {
                for operand in operands {
                    let value = self.evaluate(operand)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
        })
    }

    /// Both sides are evaluated, for their errors; `decisive` decides alone.
    fn kleene(&self, left: &TypedExpr, right: &TypedExpr, decisive: bool) -> Answer {
        let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
        Ok(if [&left, &right].contains(&&Value::Boolean(decisive)) {
            Value::Boolean(decisive)
        } else if left.is_null() || right.is_null() {
            Value::Null
        } else {
            Value::Boolean(!decisive)
        })
    }

    fn arithmetic(&self, op: BinaryOp, left: Value, right: Value, to: &DataType) -> Answer {
        match (left, right) {
            (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
            (Value::Float(a), Value::Float(b)) => Ok(Value::Float(match to {
                DataType::Float32 => float(op, a as f32, b as f32).into(),
                _ => float(op, a, b),
            })),
            (Value::Integer(_), Value::Integer(0))
                if matches!(op, BinaryOp::Divide | BinaryOp::Remainder) =>
            {
                match self.semantics.division_by_zero {
                    DivisionByZero::Null => Ok(Value::Null),
                    DivisionByZero::Error => Err(Stop::Arithmetic),
                }
            }
            (Value::Integer(a), Value::Integer(b)) => {
                let exact = match op {
                    BinaryOp::Add => a.overflowing_add(b),
                    BinaryOp::Subtract => a.overflowing_sub(b),
                    BinaryOp::Multiply => a.overflowing_mul(b),
                    BinaryOp::Divide => (a / b, false),
                    _ => (a.wrapping_rem(b), false),
                };
                self.integer(exact, to)
            }
            (a, b) => unreachable!("arithmetic on {a} and {b}"),
        }
    }

    /// A result modulo 2^128, and whether it left 128 bits, in a type that it may not fit.
    fn integer(&self, (value, overflowed): (i128, bool), to: &DataType) -> Answer {
        if !overflowed && fits(value, to) {
            return Ok(Value::Integer(value));
        }
        if self.semantics.overflow == Overflow::Error {
            return Err(Stop::Arithmetic);
        }
        let Some((signed, bits)) = integer_bits(to) else {
            return Ok(Value::Null);
        };
        let low = value & ((1i128 << bits) - 1);
        let negative = signed && low >> (bits - 1) == 1;
        Ok(Value::Integer(if negative {
            low - (1i128 << bits)
        } else {
            low
        }))
    }
}

fn float<T>(op: BinaryOp, a: T, b: T) -> T
where
    T: std::ops::Add<Output = T>
        + std::ops::Sub<Output = T>
        + std::ops::Mul<Output = T>
        + std::ops::Div<Output = T>
        + std::ops::Rem<Output = T>,
{
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => a / b,
        _ => a % b,
    }
}

/// Signedness and bits of the integer that holds a type, decimals excepted.
pub fn integer_bits(data_type: &DataType) -> Option<(bool, u32)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => (true, 32),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        DataType::Int64
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Time64(_)
        | DataType::Duration(_) => (true, 64),
        _ => return None,
    })
}

pub fn fits(value: i128, to: &DataType) -> bool {
    if let Some((precision, _)) = decimal_parts(to) {
        return value.unsigned_abs().to_string().len() <= precision.into();
    }
    match integer_bits(to) {
        Some((true, bits)) => -(1i128 << (bits - 1)) <= value && value < 1i128 << (bits - 1),
        Some((false, bits)) => 0 <= value && value < 1i128 << bits,
        None => false,
    }
}

/// A cast value, not null; null if it does not fit.
fn cast(value: Value, from: &DataType, to: &DataType) -> Answer {
    if from == to {
        return Ok(value);
    }
    if is_string(from) && is_string(to) {
        return Ok(value);
    }
    let value = match value {
        Value::Boolean(value) => Value::Integer(value.into()),
        Value::Text(_) | Value::Bytes(_) => return Err(Stop::Unknown),
        other => other,
    };
    if is_string(to) {
        return Err(Stop::Unknown);
    }
    if *to == DataType::Boolean {
        return Ok(Value::Boolean(match value {
            Value::Integer(value) => value != 0,
            Value::Float(value) => value != 0.0,
            _ => return Err(Stop::Unknown),
        }));
    }
    let scale = scale_of(to);
    let from_scale = scale_of(from);
    let from_decimal = decimal_parts(from).is_some();
    let to_decimal = decimal_parts(to).is_some();
    if scale < 0 || from_scale < 0 {
        return Err(Stop::Unknown);
    }
    let exact = match value {
        Value::Float(value) if to.is_floating() => return Ok(narrow(value, to)),
        Value::Integer(value) if to.is_floating() => {
            return Ok(match to {
                DataType::Float64 => Value::Float(integer_to_float(value, from_scale)),
                _ if from_decimal => narrow(integer_to_float(value, from_scale), to),
                _ => narrow(f64::from(value as f32), to),
            });
        }
        Value::Float(value) if to_decimal => whole((value * integer_to_float(1, -scale)).round()),
        Value::Float(value) => whole(value.trunc()),
        Value::Integer(value) if to_decimal && scale >= from_scale => {
            let factor = 10i128.checked_pow((scale - from_scale) as u32);
            factor.and_then(|factor| value.checked_mul(factor))
        }
        Value::Integer(value) if to_decimal => {
            let divisor = 10u128.pow((from_scale - scale) as u32);
            let magnitude = (value.unsigned_abs() + divisor / 2) / divisor;
            Some(value.signum() * magnitude as i128)
        }
        Value::Integer(value) if from_decimal => Some(value / 10i128.pow(from_scale as u32)),
        Value::Integer(value) => match (nanos_per_unit(from), nanos_per_unit(to)) {
            (Some(from_unit), Some(to_unit)) => {
                let nanos = value * from_unit;
                let of_day = matches!(from, DataType::Timestamp(..))
                    && matches!(to, DataType::Time32(_) | DataType::Time64(_));
                let nanos = if of_day {
                    nanos.rem_euclid(86_400_000_000_000)
                } else {
                    nanos
                };
                Some(nanos.div_euclid(to_unit))
            }
            _ => Some(value),
        },
        _ => return Err(Stop::Unknown),
    };
    Ok(match exact.filter(|value| fits(*value, to)) {
        Some(value) => Value::Integer(value),
        None => Value::Null,
    })
}

fn narrow(value: f64, to: &DataType) -> Value {
    Value::Float(match to {
        DataType::Float16 => f16::from_f32(value as f32).to_f64(),
        DataType::Float32 => f64::from(value as f32),
        _ => value,
    })
}

fn whole(value: f64) -> Option<i128> {
    let bound = 2f64.powi(127);
    (value >= -bound && value < bound).then_some(value as i128)
}

pub fn nanos_per_unit(data_type: &DataType) -> Option<i128> {
    let unit = match data_type {
        DataType::Date32 => return Some(86_400_000_000_000),
        DataType::Date64 => return Some(1_000_000),
        DataType::Timestamp(unit, _)
        | DataType::Time32(unit)
        | DataType::Time64(unit)
        | DataType::Duration(unit) => unit,
        _ => return None,
    };
    Some(match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    })
}
