//! A second opinion on `group_by`: one row and one plain Rust value at a time, written from the
//! contract and without any Arrow kernel.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use pelton::expr::{AggregateFunction, Interpolation};
use pelton::operators::{GroupBySpec, Sketch, hash_bytes, hash_words};
use pelton::types::{DataType, EmptySum, Overflow, PhysicalType, Semantics, decimal_parts};

use super::oracle::{Answer, Stop, integer_to_float, scale_of};
use super::values::{Rows, Value, cell};

/// What `group_by` must give, in some order.
pub fn group_by(spec: &GroupBySpec, batch: &RecordBatch) -> Answer<Rows> {
    let mut groups: BTreeMap<String, (Vec<Value>, Vec<usize>)> = BTreeMap::new();
    if spec.group_keys.is_empty() {
        groups.insert(String::new(), Default::default());
    }
    for row in 0..batch.num_rows() {
        let keys = spec.group_keys.iter().map(|&index| batch.column(index));
        let key: Vec<Value> = keys
            .map(|column| cell(column.as_ref(), row).canonical())
            .collect();
        let text: Vec<String> = key.iter().map(Value::to_string).collect();
        let group = groups.entry(text.join("|")).or_default();
        group.0 = key;
        group.1.push(row);
    }
    let mut rows = Vec::new();
    for (key, members) in groups.into_values() {
        let mut out = key;
        for aggregate in &spec.aggregates {
            let Some(index) = aggregate.input else {
                out.push(Value::Integer(members.len() as i128));
                continue;
            };
            let column = batch.column(index);
            let values = members.iter().map(|&row| cell(column.as_ref(), row));
            let (function, data_type) = (aggregate.function, spec.input.field(index).data_type());
            let exact = spec.sums_exactly(function, data_type);
            let values = values.collect();
            out.push(self::aggregate(
                (spec.semantics, exact),
                function,
                values,
                data_type,
            )?);
        }
        rows.push(out);
    }
    Ok(rows)
}

/// What an aggregate of these values must be, in their order; floats may be added up exactly.
pub fn aggregate(
    (semantics, exact): (Semantics, bool),
    function: AggregateFunction,
    all: Vec<Value>,
    data_type: &DataType,
) -> Answer {
    let has = |value: &Value| all.contains(value);
    let kleene = |decisive: bool| {
        if has(&Value::Boolean(decisive)) {
            Value::Boolean(decisive)
        } else if has(&Value::Null) {
            Value::Null
        } else {
            Value::Boolean(!decisive)
        }
    };
    match function {
        AggregateFunction::First => return Ok(all.first().cloned().unwrap_or(Value::Null)),
        AggregateFunction::Last => return Ok(all.last().cloned().unwrap_or(Value::Null)),
        AggregateFunction::Any => return Ok(kleene(true)),
        AggregateFunction::All => return Ok(kleene(false)),
        AggregateFunction::Collect => return Ok(Value::List(all)),
        _ => {}
    }
    let values: Vec<Value> = all.into_iter().filter(|value| !value.is_null()).collect();
    let count = values.len();
    Ok(match function {
        AggregateFunction::Count => Value::Integer(count as i128),
        AggregateFunction::CountDistinct => {
            let texts = values
                .into_iter()
                .map(|value| value.canonical().to_string());
            Value::Integer(texts.collect::<BTreeSet<_>>().len() as i128)
        }
        AggregateFunction::ApproxCountDistinct => {
            let mut sketch = Sketch::default();
            values
                .into_iter()
                .for_each(|value| sketch.add(hash(value, data_type)));
            Value::Integer(sketch.estimate().into())
        }
        AggregateFunction::Min => {
            let least = values.into_iter().min_by(Value::compare);
            least.map_or(Value::Null, Value::canonical)
        }
        AggregateFunction::Max => {
            let greatest = values.into_iter().max_by(Value::compare);
            greatest.map_or(Value::Null, Value::canonical)
        }
        AggregateFunction::AnyValue => values.into_iter().next().unwrap_or(Value::Null),
        AggregateFunction::Quantile { q, interpolation } => {
            quantile(values, q.get(), interpolation, data_type)
        }
        AggregateFunction::Variance(ddof) => {
            variance(&values, data_type, ddof.count()).map_or(Value::Null, Value::Float)
        }
        AggregateFunction::StandardDeviation(ddof) => {
            let variance = variance(&values, data_type, ddof.count());
            variance.map_or(Value::Null, |variance| Value::Float(variance.sqrt()))
        }
        AggregateFunction::Mean if count == 0 => Value::Null,
        AggregateFunction::Mean => {
            let sum = match total(exact, &values)? {
                Value::Integer(sum) => integer_to_float(sum, scale_of(data_type)),
                Value::Float(sum) => sum,
                _ => 0.0,
            };
            Value::Float(sum / count as f64)
        }
        AggregateFunction::Sum if count == 0 && semantics.empty_sum == EmptySum::Null => {
            Value::Null
        }
        AggregateFunction::Sum => match total(exact, &values)? {
            Value::Integer(sum) => shown_sum(sum, data_type, semantics)?,
            Value::Null if data_type.is_floating() => Value::Float(0.0),
            Value::Null => Value::Integer(0),
            float => float,
        },
        other => unreachable!("{other} needs all values"),
    })
}

fn shown_sum(sum: i128, data_type: &DataType, semantics: Semantics) -> Answer {
    let wrapped = if decimal_parts(data_type).is_some() {
        (sum.unsigned_abs() < 10u128.pow(38)).then_some(sum)
    } else if data_type.is_unsigned_integer() {
        Some(i128::from(sum as u64))
    } else {
        Some(i128::from(sum as i64))
    };
    match wrapped {
        Some(same) if same == sum => Ok(Value::Integer(sum)),
        _ if semantics.overflow == Overflow::Error => Err(Stop::Arithmetic),
        Some(wrapped) => Ok(Value::Integer(wrapped)),
        None => Ok(Value::Null),
    }
}

fn total(exact: bool, values: &[Value]) -> Answer {
    if exact {
        return exact_total(values).map(Value::Float);
    }
    let mut sum = Value::Null;
    for value in values {
        sum = match (sum, value) {
            (Value::Null, first) => first.clone(),
            (Value::Integer(sum), Value::Integer(value)) => {
                Value::Integer(sum.wrapping_add(*value))
            }
            (Value::Float(sum), Value::Float(value)) => Value::Float(sum + value),
            (_, other) => unreachable!("a sum of {other}"),
        };
    }
    Ok(sum)
}

/// The exact sum, rounded once, by partial sums that do not overlap (J. R. Shewchuk, 1997).
/// Unknown where a partial sum could overflow.
fn exact_total(values: &[Value]) -> Answer<f64> {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let Value::Float(mut x) = *value else {
            continue;
        };
        if x.is_nan() || x.abs() > 1e300 {
            return Err(Stop::Unknown);
        }
        let mut kept = Vec::new();
        for mut y in partials {
            if x.abs() < y.abs() {
                std::mem::swap(&mut x, &mut y);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    let mut rest = partials.into_iter().rev();
    let mut high = rest.next().unwrap_or(0.0);
    let mut low = 0.0;
    for y in rest.by_ref() {
        let x = high;
        high = x + y;
        low = y - (high - x);
        if low != 0.0 {
            break;
        }
    }
    // Half way between two floats, what is left decides.
    if let Some(next) = rest.next()
        && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
    {
        let y = low * 2.0;
        let x = high + y;
        if y == x - high {
            high = x;
        }
    }
    Ok(high + 0.0)
}

fn float(value: &Value, data_type: &DataType) -> f64 {
    match value {
        Value::Integer(value) => integer_to_float(*value, scale_of(data_type)),
        Value::Float(value) => *value,
        other => unreachable!("{other} is no number"),
    }
}

/// Mean of the squared distances from the mean, in two passes.
fn variance(values: &[Value], data_type: &DataType, ddof: u64) -> Option<f64> {
    let values: Vec<f64> = values.iter().map(|value| float(value, data_type)).collect();
    let count = values.len() as u64;
    if count <= ddof {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let squares = values.iter().map(|value| (value - mean) * (value - mean));
    Some(squares.sum::<f64>() / (count - ddof) as f64)
}

fn quantile(
    mut values: Vec<Value>,
    q: f64,
    interpolation: Interpolation,
    data_type: &DataType,
) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    values.sort_by(Value::compare);
    let place = q * (values.len() - 1) as f64;
    let (lower, higher) = (place.floor() as usize, place.ceil() as usize);
    let part = place - place.floor();
    let value = |index: usize| values[index].clone().canonical();
    let between = |part: f64| {
        let (low, high) = (value(lower), value(higher));
        let start = float(&low, data_type);
        if low.compare(&high).is_eq() || part == 0.0 {
            return Value::Float(start);
        }
        Value::Float(start + (float(&high, data_type) - start) * part)
    };
    match interpolation {
        Interpolation::Lower => value(lower),
        Interpolation::Higher => value(higher),
        Interpolation::Nearest => value(if part < 0.5 { lower } else { higher }),
        Interpolation::Linear => between(part),
        Interpolation::Midpoint => between(0.5),
    }
}

fn hash(value: Value, data_type: &DataType) -> u64 {
    match value.canonical() {
        Value::Boolean(value) => hash_words([u64::from(value)]),
        Value::Integer(value) if PhysicalType::of(data_type) == Some(PhysicalType::Int128) => {
            hash_words([value as u64, (value >> 64) as u64])
        }
        Value::Integer(value) => hash_words([value as u64]),
        Value::Float(value) => hash_words([value.to_bits()]),
        Value::Text(value) => hash_bytes(value.as_bytes()),
        Value::Bytes(value) => hash_bytes(&value),
        other => unreachable!("{other} has no hash"),
    }
}
