//! Functions by their SQL names.

use pelton::error::{Error, Result};
use pelton::expr::{
    CalendarUnit, Expr, Function, TextFunction, TrimSide, coalesce, concat, concat_with, greatest,
    least, lit, make_date,
};
use pelton::types::{DataType, Literal};

use super::expr::text;
use crate::planner::{
    DAYS_LATER, EPOCH, LAST_DAY, NEAREST, NEAREST_DECIMAL, POSTPONED, QUOTIENT, REGEXP_EXTRACT,
    TIME_TEXT,
};
use crate::problem::unsupported;

/// Most copies that `repeat` makes of a column.
const COPIES_MAX: i64 = 64;

/// Most characters that a column is padded to.
const PADDED_MAX: usize = 256;

/// A function over one operand.
type Unary = fn(Expr) -> Expr;

/// Names of functions of one operand.
const UNARY: &[(&str, Unary)] = &[
    ("abs", Expr::abs),
    ("acos", Expr::acos),
    ("asin", Expr::asin),
    ("atan", Expr::atan),
    ("cbrt", Expr::cbrt),
    ("ceil", Expr::ceil),
    ("character_length", Expr::length),
    ("cos", Expr::cos),
    ("degrees", Expr::degrees),
    ("exp", Expr::exp),
    ("floor", Expr::floor),
    ("isnan", Expr::is_nan),
    ("ln", Expr::ln),
    ("log10", Expr::log10),
    ("log2", Expr::log2),
    ("lower", Expr::lower),
    ("octet_length", Expr::byte_length),
    ("radians", Expr::radians),
    ("reverse", Expr::reverse),
    ("signum", Expr::sign),
    ("sin", Expr::sin),
    ("sqrt", Expr::sqrt),
    ("tan", Expr::tan),
    ("upper", Expr::upper),
];

/// Functions over strings whose other operands may be columns, by their SQL names.
const TEXTS: &[(&str, TextFunction)] = &[
    ("ascii", TextFunction::CodePoint),
    ("btrim", TextFunction::Trim(TrimSide::Both)),
    ("chr", TextFunction::Character),
    ("contains", TextFunction::Contains),
    ("ends_with", TextFunction::EndsWith),
    ("hamming", TextFunction::Hamming),
    ("left", TextFunction::Left),
    ("levenshtein", TextFunction::Levenshtein),
    ("lpad", TextFunction::PadLeft),
    ("ltrim", TextFunction::Trim(TrimSide::Start)),
    ("repeat", TextFunction::Repeat),
    ("replace", TextFunction::Replace),
    ("right", TextFunction::Right),
    ("rpad", TextFunction::PadRight),
    ("rtrim", TextFunction::Trim(TrimSide::End)),
    ("split_part", TextFunction::SplitPart),
    ("starts_with", TextFunction::StartsWith),
    ("strpos", TextFunction::Find),
    ("substr", TextFunction::Substring),
    ("translate", TextFunction::Translate),
];

/// Parts of dates by their SQL names.
const PARTS: &[(&str, Unary)] = &[
    ("year", Expr::year),
    ("isoyear", Expr::iso_year),
    ("quarter", Expr::quarter),
    ("month", Expr::month),
    ("week", Expr::iso_week),
    ("day", Expr::day),
    ("doy", Expr::day_of_year),
    ("isodow", Expr::day_of_week),
    ("hour", Expr::hour),
    ("minute", Expr::minute),
    ("epoch", Expr::epoch),
];

/// Units that a date is cut to, by their SQL names.
const UNITS: &[(&str, CalendarUnit)] = &[
    ("year", CalendarUnit::Year),
    ("quarter", CalendarUnit::Quarter),
    ("month", CalendarUnit::Month),
    ("week", CalendarUnit::Week),
    ("day", CalendarUnit::Day),
    ("hour", CalendarUnit::Hour),
    ("minute", CalendarUnit::Minute),
    ("second", CalendarUnit::Second),
    ("millisecond", CalendarUnit::Millisecond),
    ("microsecond", CalendarUnit::Microsecond),
];

/// The call of a function.
///
/// # Errors
/// `Unsupported` for a function that Pelton has not got, or operands that it takes as constants only.
pub(super) fn function(name: &str, operands: Vec<Expr>) -> Result<Expr> {
    if let ([_], Some((_, unary))) = (
        operands.as_slice(),
        UNARY.iter().find(|(known, _)| *known == name),
    ) {
        let mut operands = operands;
        return operands.pop().map(unary).ok_or_else(|| unsupported(name));
    }
    match name {
        "coalesce" => return Ok(coalesce(operands)),
        "concat" => return Ok(joined("", operands)),
        "greatest" => return Ok(greatest(operands)),
        "least" => return Ok(least(operands)),
        "concat_ws" => {
            let mut operands = operands.into_iter();
            let separator = operands.next().ok_or_else(|| unsupported(name))?;
            return match text(&separator, "a separator") {
                Ok(separator) => Ok(joined(&separator, operands.collect())),
                Err(_) => Ok(joined_by(&separator, operands)),
            };
        }
        _ => {}
    }
    if let Some(general) = over_columns(name, &operands)? {
        return Ok(general);
    }
    let refused = || unsupported(format!("{name} of {} operands", operands.len()));
    Ok(match (name, operands.as_slice()) {
        ("atan2", [y, x]) => y.clone().atan2(x.clone()),
        ("btrim", [value]) => value.clone().trim(" "),
        ("btrim", [value, set]) => value.clone().trim(text(set, "what is trimmed")?),
        ("contains", [value, part]) => value.clone().contains(text(part, "a part")?),
        ("date_part", [part, value]) => date_part(&text(part, "a part of a date")?, value.clone())?,
        ("date_trunc", [unit, value]) => {
            let unit = text(unit, "a unit of time")?.to_lowercase();
            let known = UNITS.iter().find(|(known, _)| *known == unit);
            let (_, unit) = known.ok_or_else(|| unsupported(format!("the unit `{unit}`")))?;
            value.clone().truncate(*unit)
        }
        ("ends_with", [value, end]) => value.clone().ends_with(text(end, "an end")?),
        ("lpad", [value, length]) => padded_left(value, number(length, name)?, " ")?,
        ("lpad", [value, length, fill]) => padded_left(
            value,
            number(length, name)?,
            &text(fill, "what is padded with")?,
        )?,
        ("rpad", [value, length]) => padded_right(value, number(length, name)?, " ")?,
        ("rpad", [value, length, fill]) => padded_right(
            value,
            number(length, name)?,
            &text(fill, "what is padded with")?,
        )?,
        ("left", [value, count]) => value.clone().left(number(count, name)?),
        ("log", [value]) => value.clone().log10(),
        ("log", [base, value]) => value.clone().log(base.clone()),
        (DAYS_LATER, [date, days]) => date.clone().plus(days.clone().cast(DataType::Int64)),
        (EPOCH, [value]) => {
            let seconds = value.clone().epoch().multiply(lit(1_000_000));
            let micros = seconds.plus(value.clone().microsecond());
            micros.cast(DataType::Float64).divide(lit(1e6))
        }
        (TIME_TEXT, [value]) => time_text(value.clone()),
        (LAST_DAY, [value]) => value.clone().last_day(),
        ("ltrim", [value]) => value.clone().ltrim(" "),
        ("ltrim", [value, set]) => value.clone().ltrim(text(set, "what is trimmed")?),
        ("make_date", [year, month, day]) => make_date(year.clone(), month.clone(), day.clone()),
        (NEAREST, [value]) => nearest(value.clone()),
        (NEAREST_DECIMAL, [value]) => value.clone().round(0),
        ("nullif", [value, other]) => value.clone().nullif(other.clone()),
        ("nvl", [value, other]) => coalesce([value.clone(), other.clone()]),
        ("nvl2", [tested, known, null]) => Expr::Case {
            branches: vec![(tested.clone().is_not_null(), known.clone())],
            otherwise: Some(Box::new(null.clone())),
        },
        ("pi", []) => lit(std::f64::consts::PI),
        (POSTPONED, [left, op, right]) => match text(op, "an operator")?.as_str() {
            "+" => left.clone().plus(right.clone()),
            "-" => left.clone().minus(right.clone()),
            _ => left.clone().multiply(right.clone()),
        },
        ("power", [base, exponent]) => base.clone().power(exponent.clone()),
        (QUOTIENT, [left, right]) => left.clone().divide(right.clone()),
        ("regexp_like", [value, pattern]) => value.clone().matches(text(pattern, "a pattern")?),
        ("repeat", [value, count]) => match number(count, name)? {
            ..=0 => concat([value.clone(), lit("")]).left(0),
            count @ 1..=COPIES_MAX => concat((0..count).map(|_| value.clone())),
            _ => {
                return Err(unsupported(format!(
                    "more than {COPIES_MAX} copies of {name}"
                )));
            }
        },
        ("replace", [value, from, to]) => {
            let from = text(from, "what is replaced")?;
            value.clone().replace(from, text(to, "a replacement")?)
        }
        ("right", [value, count]) => value.clone().right(number(count, name)?),
        ("round", [value]) => value.clone().round(0),
        ("round", [value, digits]) => value.clone().round(few(digits, name)?),
        ("rtrim", [value]) => value.clone().rtrim(" "),
        ("rtrim", [value, set]) => value.clone().rtrim(text(set, "what is trimmed")?),
        ("split_part", [value, delimiter, index]) => {
            let delimiter = text(delimiter, "a delimiter")?;
            value.clone().split_part(delimiter, number(index, name)?)
        }
        ("starts_with", [value, start]) => value.clone().starts_with(text(start, "a start")?),
        ("strpos", [value, part]) => value.clone().find(text(part, "a part")?),
        ("substr", [value, start]) => value.clone().substring(number(start, name)?, None),
        ("substr", [value, start, length]) => {
            let length = number(length, name)?;
            value.clone().substring(number(start, name)?, Some(length))
        }
        ("to_date", [value]) => value.clone().cast(DataType::Date32),
        ("trunc", [value]) => value.clone().trunc(0),
        ("trunc", [value, digits]) => value.clone().trunc(few(digits, name)?),
        _ => return Err(refused()),
    })
}

/// The general form of a function over strings, where one with constants does not do.
fn over_columns(name: &str, operands: &[Expr]) -> Result<Option<Expr>> {
    let constant = |expr: &Expr| text(expr, name).is_ok() || number(expr, name).is_ok();
    let call = |function, operands: Vec<Expr>| Expr::Function {
        function: Function::Text(function),
        operands,
    };
    Ok(match (name, operands) {
        // Which groups there are, and how often it matches, is a matter of the expression.
        ("regexp_replace", [value, pattern, replacement]) => {
            let function = TextFunction::RegexReplace {
                every: false,
                ignore_case: false,
            };
            let operands = vec![value.clone(), pattern.clone(), replacement.clone()];
            Some(call(function, operands))
        }
        ("regexp_replace", [value, pattern, replacement, flags]) => {
            let flags = text(flags, "how an expression matches")?;
            if let Some(other) = flags.chars().find(|flag| !"gic".contains(*flag)) {
                return Err(unsupported(format!("the flag `{other}` of {name}")));
            }
            let function = TextFunction::RegexReplace {
                every: flags.contains('g'),
                ignore_case: flags.contains('i'),
            };
            let operands = vec![value.clone(), pattern.clone(), replacement.clone()];
            Some(call(function, operands))
        }
        (REGEXP_EXTRACT, [value, pattern, rest @ ..]) => {
            let group = rest.first().cloned().unwrap_or(lit(0));
            let operands = vec![value.clone(), pattern.clone(), group];
            Some(call(TextFunction::RegexExtract, operands))
        }
        ("regexp_like", [value, pattern]) if !constant(pattern) => {
            let operands = vec![value.clone(), pattern.clone()];
            Some(call(TextFunction::Matches, operands))
        }
        (name, [_, rest @ ..]) => {
            let mut known = TEXTS.iter();
            let known = known.find(|(known, _)| *known == name);
            let only_general = ["ascii", "chr", "hamming", "levenshtein", "translate"];
            let few = match (name, rest) {
                ("repeat", [count]) => number(count, name).is_ok_and(|count| count <= COPIES_MAX),
                ("lpad" | "rpad", [count, ..]) => {
                    number(count, name).is_ok_and(|count| count <= PADDED_MAX as i64)
                }
                _ => true,
            };
            let special = rest.iter().all(constant) && few && !only_general.contains(&name);
            known.filter(|_| !special).map(|(_, function)| {
                let mut operands = operands.to_vec();
                if matches!((name, rest), ("lpad" | "rpad", [_])) {
                    operands.push(lit(" "));
                }
                call(*function, operands)
            })
        }
        _ => None,
    })
}

/// The operands that are not null behind one another, as SQL's functions have it; `||` differs.
fn joined(separator: &str, operands: Vec<Expr>) -> Expr {
    let texts = operands
        .into_iter()
        .map(|operand| operand.cast(DataType::Utf8));
    match separator {
        "" => concat(texts.map(|text| coalesce([text, lit("")]))),
        separator => concat_with(separator, texts),
    }
}

/// The operands that are not null, with a separator that is a column between each two; null where that is.
fn joined_by(separator: &Expr, operands: impl Iterator<Item = Expr>) -> Expr {
    let texts: Vec<Expr> = operands.map(|one| one.cast(DataType::Utf8)).collect();
    let mut so_far = lit(Literal::Null).cast(DataType::Utf8);
    for text in texts {
        let both = concat([so_far.clone(), separator.clone(), text.clone()]);
        so_far = coalesce([both, so_far, text]);
    }
    Expr::Case {
        branches: vec![(separator.clone().is_not_null(), coalesce([so_far, lit("")]))],
        otherwise: None,
    }
}

/// A part of a date: Sunday is day 0 of `dow`, and what is below the second counts the seconds, too.
fn date_part(part: &str, value: Expr) -> Result<Expr> {
    let part = part.to_lowercase();
    if let Some((_, function)) = PARTS.iter().find(|(known, _)| *known == part) {
        return Ok(function(value));
    }
    let seconds = value.clone().second();
    let year = value.clone().year();
    let ceiling = |year: Expr, years: i64| {
        let years_less_one = lit(years - 1);
        year.plus(years_less_one).divide(lit(years))
    };
    Ok(match part.as_str() {
        "decade" => year.divide(lit(10)),
        "century" => ceiling(year, 100),
        "millennium" => ceiling(year, 1000),
        "dow" => value.day_of_week().remainder(lit(7)),
        "second" => seconds,
        "millisecond" => seconds.multiply(lit(1_000)).plus(value.millisecond()),
        "microsecond" => seconds.multiply(lit(1_000_000)).plus(value.microsecond()),
        "nanosecond" => {
            let seconds = seconds.cast(DataType::Int64);
            seconds
                .multiply(lit(1_000_000_000))
                .plus(value.nanosecond())
        }
        _ => return Err(unsupported(format!("the part `{part}` of a date"))),
    })
}

/// The text of a timestamp: a blank between day and time, and no zeros at the end of a fraction.
fn time_text(value: Expr) -> Expr {
    let text = value.cast(DataType::Utf8).replace("T", " ");
    Expr::Case {
        branches: vec![(text.clone().contains("."), text.clone().rtrim("0"))],
        otherwise: Some(Box::new(text)),
    }
}

/// A float's nearest integer: of two, the even one.
fn nearest(value: Expr) -> Expr {
    let half = value
        .clone()
        .minus(value.clone().trunc(0))
        .abs()
        .eq(lit(0.5));
    let even = value.clone().divide(lit(2.0)).round(0).multiply(lit(2.0));
    Expr::Case {
        branches: vec![(half, even)],
        otherwise: Some(Box::new(value.round(0))),
    }
}

/// A string of so many characters: its first ones, or with others before it.
fn padded_left(value: &Expr, length: i64, fill: &str) -> Result<Expr> {
    let pad = pad(length, fill)?;
    let mut branches = Vec::new();
    let mut single = fill.chars();
    let short = |count: i64| value.clone().length().cast(DataType::Int64).eq(lit(count));
    let first = |count: i64| {
        pad.chars()
            .take(usize::try_from(count).unwrap_or(0))
            .collect::<String>()
    };
    if single.next().is_some() && single.next().is_none() {
        let is_short = value.clone().length().cast(DataType::Int64).lt(lit(length));
        let padded = concat([lit(pad.clone()), value.clone()]).right(length);
        branches.push((is_short, padded));
    } else if !fill.is_empty() {
        for count in 0..length {
            let padded = concat([lit(first(length - count)), value.clone()]);
            branches.push((short(count), padded));
        }
    }
    let cut = value.clone().left(length.max(0));
    if branches.is_empty() {
        return Ok(cut);
    }
    Ok(Expr::Case {
        branches,
        otherwise: Some(Box::new(cut)),
    })
}

fn padded_right(value: &Expr, length: i64, fill: &str) -> Result<Expr> {
    let pad = pad(length, fill)?;
    Ok(concat([value.clone(), lit(pad)]).left(length.max(0)))
}

/// At least so many characters of padding, if there is anything to pad with.
fn pad(length: i64, fill: &str) -> Result<String> {
    match usize::try_from(length.max(0)) {
        Ok(length) if length <= PADDED_MAX => Ok(fill.chars().cycle().take(length).collect()),
        _ => Err(unsupported(format!(
            "padding to more than {PADDED_MAX} characters"
        ))),
    }
}

fn number(expr: &Expr, name: &str) -> Result<i64> {
    match expr {
        Expr::Literal(Literal::Int64(value)) => Ok(*value),
        Expr::Negate(operand) => number(operand, name).map(i64::wrapping_neg),
        Expr::Cast { expr, .. } => number(expr, name),
        _ => Err(unsupported(format!(
            "{name} by a number that is no constant"
        ))),
    }
}

fn few(expr: &Expr, name: &str) -> Result<i8> {
    let value = number(expr, name)?;
    let invalid = |_| Error::invalid(name, format!("{value} digits"), "use at most 38");
    i8::try_from(value).map_err(invalid)
}
