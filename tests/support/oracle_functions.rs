//! The oracle's opinion on functions: from the documentation, by other ways than the library's. The
//! calendar is one of years that begin in January, found by bisection.

use pelton::expr::{
    BitFunction, CalendarUnit, DatePart, FloatFunction, Function, InList, MathFunction, Rounding,
    TemporalFunction, literal_array,
};
use pelton::types::{DataType, Overflow, Semantics};

use super::oracle::{Answer, Stop, fits, integer_bits, nanos_per_unit, scale_of};
use super::values::{Value, cell};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// What a function must give.
pub fn call(
    function: &Function,
    values: &[Value],
    types: &[&DataType],
    to: &DataType,
    semantics: Semantics,
) -> Answer {
    let any_null = values.iter().any(Value::is_null);
    match function {
        Function::InList(list) => in_list(list, &values[0], types[0]),
        Function::Math(MathFunction::Greatest) => Ok(extreme(values, true)),
        Function::Math(MathFunction::Least) => Ok(extreme(values, false)),
        Function::Math(_) | Function::Temporal(_) if any_null => Ok(Value::Null),
        Function::Math(function) => math(*function, values, types, to, semantics),
        Function::Temporal(function) => {
            let integers: Vec<i128> = values.iter().map(integer).collect();
            match temporal(*function, &integers, types[0])? {
                Some(value) if fits(value, to) => Ok(Value::Integer(value)),
                _ => no_value(semantics),
            }
        }
        Function::ListAggregate(_) | Function::String(_) | Function::Text(_) => Err(Stop::Unknown),
    }
}

fn no_value(semantics: Semantics) -> Answer {
    match semantics.overflow {
        Overflow::Error => Err(Stop::Arithmetic),
        Overflow::Wrap => Ok(Value::Null),
    }
}

fn integer(value: &Value) -> i128 {
    match value {
        Value::Integer(value) => *value,
        other => unreachable!("{other} is no integer"),
    }
}

fn in_list(list: &InList, value: &Value, data_type: &DataType) -> Answer {
    let mut has_null = false;
    for constant in &list.values {
        let array = literal_array(constant, data_type).map_err(|_| Stop::Unknown)?;
        match cell(array.as_ref(), 0) {
            Value::Null => has_null = true,
            constant if !value.is_null() && value.compare(&constant).is_eq() => {
                return Ok(Value::Boolean(true));
            }
            _ => {}
        }
    }
    Ok(if list.values.is_empty() {
        Value::Boolean(false)
    } else if has_null || value.is_null() {
        Value::Null
    } else {
        Value::Boolean(false)
    })
}

fn extreme(values: &[Value], greatest: bool) -> Value {
    let mut best = Value::Null;
    for value in values.iter().filter(|value| !value.is_null()) {
        let order = value.compare(&best);
        if best.is_null() || (greatest && order.is_gt()) || (!greatest && order.is_lt()) {
            best = value.clone();
        }
    }
    best
}

fn math(
    function: MathFunction,
    values: &[Value],
    types: &[&DataType],
    to: &DataType,
    semantics: Semantics,
) -> Answer {
    let narrow = |value: f64| match to {
        DataType::Float32 => f64::from(value as f32),
        _ => value,
    };
    Ok(match (function, &values[0]) {
        (MathFunction::Abs, Value::Float(value)) => Value::Float(value.abs()),
        (MathFunction::Abs, Value::Integer(value)) => {
            return wrapped(
                Some(if *value < 0 { -value } else { *value }),
                to,
                semantics,
            );
        }
        (MathFunction::Sign, Value::Float(value)) => Value::Float(match value {
            value if *value > 0.0 => 1.0,
            value if *value < 0.0 => -1.0,
            other => *other,
        }),
        (MathFunction::Sign, Value::Integer(value)) => Value::Integer(value.signum()),
        (MathFunction::IsNan, Value::Float(value)) => Value::Boolean(value.is_nan()),
        (MathFunction::IsFinite, Value::Float(value)) => {
            Value::Boolean(value.abs() < f64::INFINITY)
        }
        (MathFunction::Round { digits, rounding }, Value::Float(value)) => {
            Value::Float(narrow(round_float(*value, digits, rounding)))
        }
        (MathFunction::Round { digits, rounding }, Value::Integer(value)) => {
            let (from, digits, scale) = (scale_of(types[0]), i32::from(digits), scale_of(to));
            let value = round_integer(*value, (from - digits) as u32, rounding);
            let factor = 10i128.checked_pow((scale - digits) as u32);
            let exact = match value {
                0 => Some(0),
                value => factor.and_then(|factor| factor.checked_mul(value)),
            };
            return wrapped(exact, to, semantics);
        }
        (MathFunction::Float(function), Value::Float(a)) => {
            let b = match values.get(1) {
                Some(Value::Float(b)) => *b,
                _ => 0.0,
            };
            Value::Float(float(function, *a, b))
        }
        (MathFunction::Bits(function), Value::Integer(a)) => {
            let b = values.get(1).map_or(0, integer);
            let (_, width) = integer_bits(to).ok_or(Stop::Unknown)?;
            let in_width = (0..i128::from(width)).contains(&b);
            let lenient = Semantics {
                overflow: Overflow::Wrap,
                ..semantics
            };
            let exact = match function {
                BitFunction::And => a & b,
                BitFunction::Or => a | b,
                BitFunction::Xor => a ^ b,
                BitFunction::Not => -a - 1,
                _ if !in_width => return no_value(semantics),
                BitFunction::ShiftRight => a.div_euclid(1i128 << b),
                // Bits that leave the type do not come back: they may go before the shift.
                BitFunction::ShiftLeft => a.rem_euclid(1 << (i128::from(width) - b)) << b,
            };
            return wrapped(Some(exact), to, lenient);
        }
        (_, other) => unreachable!("{function} of {other}"),
    })
}

/// A result in its type: integers modulo their width, decimals null, or an error.
fn wrapped(exact: Option<i128>, to: &DataType, semantics: Semantics) -> Answer {
    if let Some(value) = exact.filter(|value| fits(*value, to)) {
        return Ok(Value::Integer(value));
    }
    match (integer_bits(to), exact, semantics.overflow) {
        (Some((signed, width)), Some(exact), Overflow::Wrap) => {
            let low = exact.rem_euclid(1 << width);
            let negative = signed && low >= 1 << (width - 1);
            Ok(Value::Integer(if negative {
                low - (1 << width)
            } else {
                low
            }))
        }
        _ => no_value(semantics),
    }
}

/// `value / 10^drop` as a whole number.
fn round_integer(value: i128, drop: u32, rounding: Rounding) -> i128 {
    let Some(divisor) = 10i128.checked_pow(drop) else {
        return match rounding {
            Rounding::Floor => -i128::from(value < 0),
            Rounding::Ceiling => i128::from(value > 0),
            _ => 0,
        };
    };
    let floor = value.div_euclid(divisor);
    let rest = value.rem_euclid(divisor);
    match rounding {
        Rounding::Floor => floor,
        Rounding::Ceiling => floor + i128::from(rest > 0),
        Rounding::TowardZero => floor + i128::from(rest > 0 && value < 0),
        Rounding::HalfAwayFromZero => {
            let up = if value < 0 {
                rest > divisor - rest
            } else {
                rest >= divisor - rest
            };
            floor + i128::from(up && rest > 0)
        }
    }
}

fn round_float(value: f64, digits: i8, rounding: Rounding) -> f64 {
    let power: f64 = format!("1e{}", digits.unsigned_abs())
        .parse()
        .expect("a float");
    let up = |value: f64| {
        if digits < 0 {
            value / power
        } else {
            value * power
        }
    };
    let down = |value: f64| {
        if digits < 0 {
            value * power
        } else {
            value / power
        }
    };
    let scaled = up(value);
    if !scaled.is_finite() || scaled.abs() >= 2f64.powi(52) {
        return value;
    }
    down(match rounding {
        Rounding::HalfAwayFromZero => scaled.round(),
        Rounding::Floor => scaled.floor(),
        Rounding::Ceiling => scaled.ceil(),
        Rounding::TowardZero => scaled.trunc(),
    })
}

fn float(function: FloatFunction, a: f64, b: f64) -> f64 {
    use std::f64::consts::PI;
    match function {
        FloatFunction::Sqrt => a.sqrt(),
        FloatFunction::Cbrt => a.cbrt(),
        FloatFunction::Exp => a.exp(),
        FloatFunction::Ln => a.ln(),
        FloatFunction::Log10 => a.log10(),
        FloatFunction::Log2 => a.log2(),
        FloatFunction::Sin => a.sin(),
        FloatFunction::Cos => a.cos(),
        FloatFunction::Tan => a.tan(),
        FloatFunction::Asin => a.asin(),
        FloatFunction::Acos => a.acos(),
        FloatFunction::Atan => a.atan(),
        FloatFunction::Degrees => a * (180.0 / PI),
        FloatFunction::Radians => a * (PI / 180.0),
        FloatFunction::Power => a.powf(b),
        FloatFunction::Log => a.ln() / b.ln(),
        FloatFunction::Atan2 => a.atan2(b),
    }
}

fn is_leap(year: i128) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to 1 January of a year.
fn new_year(year: i128) -> i128 {
    let before = year - 1;
    let leaps = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    365 * year + leaps - (365 * 1970 + 477)
}

/// Days from 1 January to the first of each month, and of the next year.
fn month_starts(year: i128) -> [i128; 13] {
    let february = 28 + i128::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut starts = [0; 13];
    for (month, length) in lengths.into_iter().enumerate() {
        starts[month + 1] = starts[month] + length;
    }
    starts
}

/// The greatest year whose 1 January is not after a day.
fn year_of(day: i128) -> i128 {
    let (mut low, mut high) = (-(1i128 << 60), 1i128 << 60);
    while low < high {
        let middle = (low + high + 1).div_euclid(2);
        if new_year(middle) <= day {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// Year, month from 0, day from 0.
fn date_of(day: i128) -> (i128, usize, i128) {
    let year = year_of(day);
    let of_year = day - new_year(year);
    let starts = month_starts(year);
    let month = starts.iter().rposition(|start| *start <= of_year);
    let month = month.expect("the year has begun");
    (year, month, of_year - starts[month])
}

/// A month counted from January of the year 0: its first day, and its number of days.
fn month_of(count: i128) -> (i128, i128) {
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) as usize);
    let starts = month_starts(year);
    (
        new_year(year) + starts[month],
        starts[month + 1] - starts[month],
    )
}

/// Year and number of the ISO week: week 1 has 4 January.
fn iso_week(day: i128) -> (i128, i128) {
    let monday = |day: i128| day - (day + 3).rem_euclid(7);
    let first = |year: i128| monday(new_year(year) + 3);
    let near = year_of(day);
    let year = (near - 1..=near + 1).rfind(|year| first(*year) <= day);
    let year = year.expect("last year's first week is before");
    (year, (day - first(year)) / 7 + 1)
}

fn offset_nanos(data_type: &DataType) -> i128 {
    let DataType::Timestamp(_, Some(zone)) = data_type else {
        return 0;
    };
    let Some((hours, minutes)) = zone.split_once(':') else {
        return 0; // UTC
    };
    let minutes: i128 = minutes.parse().expect("two digits");
    let whole: i128 = hours.parse().expect("a sign and two digits");
    let sign = if hours.starts_with('-') { -1 } else { 1 };
    (whole * 60 + sign * minutes) * 60_000_000_000
}

fn temporal(function: TemporalFunction, values: &[i128], from: &DataType) -> Answer<Option<i128>> {
    let is_time = matches!(from, DataType::Time32(_) | DataType::Time64(_));
    let per_count = nanos_per_unit(from).unwrap_or(1);
    let value = values[0];
    let offset = offset_nanos(from);
    let mut local = value * per_count + offset;
    if is_time {
        local = local.rem_euclid(NANOS_PER_DAY);
    }
    let (day, nanos) = (
        local.div_euclid(NANOS_PER_DAY),
        local.rem_euclid(NANOS_PER_DAY),
    );
    let count = |day: i128, nanos: i128| (day * NANOS_PER_DAY + nanos - offset) / per_count;
    let (year, month, of_month) = date_of(day);
    let second = 1_000_000_000;
    Ok(Some(match function {
        TemporalFunction::Extract(part) => match part {
            DatePart::Year => year,
            DatePart::IsoYear => iso_week(day).0,
            DatePart::Quarter => month as i128 / 3 + 1,
            DatePart::Month => month as i128 + 1,
            DatePart::IsoWeek => iso_week(day).1,
            DatePart::Day => of_month + 1,
            DatePart::DayOfYear => day - new_year(year) + 1,
            DatePart::DayOfWeek => (day - 4).rem_euclid(7) + 1, // 1970-01-05 was a Monday
            DatePart::Hour => nanos / (3600 * second),
            DatePart::Minute => nanos / (60 * second) % 60,
            DatePart::Second => nanos / second % 60,
            DatePart::Millisecond => nanos % second / 1_000_000,
            DatePart::Microsecond => nanos % second / 1_000,
            DatePart::Nanosecond => nanos % second,
            DatePart::Epoch => (local - offset).div_euclid(second),
        },
        TemporalFunction::Truncate(unit) => {
            let of_day = |unit: i128| count(day, nanos / unit * unit);
            let of_month = |month: i128| count(month_of(year * 12 + month).0, 0);
            match unit {
                CalendarUnit::Year => count(new_year(year), 0),
                CalendarUnit::Quarter => of_month(month as i128 / 3 * 3),
                CalendarUnit::Month => of_month(month as i128),
                CalendarUnit::Week => count(day - (day - 4).rem_euclid(7), 0),
                CalendarUnit::Day => count(day, 0),
                CalendarUnit::Hour => of_day(3600 * second),
                CalendarUnit::Minute => of_day(60 * second),
                CalendarUnit::Second => of_day(second),
                CalendarUnit::Millisecond => of_day(1_000_000),
                CalendarUnit::Microsecond => of_day(1_000),
            }
        }
        TemporalFunction::LastDay => {
            let (first, days) = month_of(year * 12 + month as i128);
            first + days - 1
        }
        TemporalFunction::AddInterval {
            months,
            days,
            nanos: more,
        } => {
            let (first, length) = month_of(year * 12 + month as i128 + i128::from(months));
            let day = first + of_month.min(length - 1) + i128::from(days);
            count(day, nanos + i128::from(more))
        }
        TemporalFunction::MakeDate => {
            let (year, month, day) = (values[0], values[1], values[2]);
            if !(1..=12).contains(&month) {
                return Ok(None);
            }
            let (first, days) = month_of(year * 12 + month - 1);
            if !(1..=days).contains(&day) {
                return Ok(None);
            }
            first + day - 1
        }
        TemporalFunction::Add => value + values[1],
        TemporalFunction::Subtract => value - values[1],
    }))
}
