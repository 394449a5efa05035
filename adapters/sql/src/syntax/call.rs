//! Functions that are expressions.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArguments, ObjectNamePart, Value,
};
use pelton::error::Result;

use super::{filled, normal, operands};
use crate::planner::NEAREST;
use crate::problem::unsupported;

/// Functions of one operand that are a part of a date.
const PARTS: &[(&str, &str)] = &[
    ("century", "century"),
    ("day", "day"),
    ("dayofmonth", "day"),
    ("dayofweek", "dow"),
    ("dayofyear", "doy"),
    ("decade", "decade"),
    ("epoch", "epoch"),
    ("hour", "hour"),
    ("isodow", "isodow"),
    ("isoyear", "isoyear"),
    ("microsecond", "microsecond"),
    ("millennium", "millennium"),
    ("millisecond", "millisecond"),
    ("minute", "minute"),
    ("month", "month"),
    ("quarter", "quarter"),
    ("second", "second"),
    ("week", "week"),
    ("weekday", "dow"),
    ("weekofyear", "week"),
    ("year", "year"),
];

/// Names, numbers of operands, and the expression over them.
const TEMPLATES: &[(&str, usize, &str)] = &[
    ("acosh", 1, "ln(__0 + sqrt(__0 * __0 - 1))"),
    ("add", 2, "(__0 + __1)"),
    (
        "asinh",
        1,
        "(sign(__0) * ln(abs(__0) + sqrt(__0 * __0 + 1)))",
    ),
    (
        "atanh",
        1,
        "(0.5 * ln((1 + __0) / CAST(1 - __0 AS DOUBLE)))",
    ),
    ("bit_length", 1, "(8 * octet_length(__0))"),
    ("cosh", 1, "((exp(__0) + exp(-__0)) / 2)"),
    ("cot", 1, "(1 / tan(__0))"),
    (
        "count_if",
        1,
        "sum(CASE WHEN __0 THEN 1 WHEN NOT __0 THEN 0 END)",
    ),
    (
        "countif",
        1,
        "sum(CASE WHEN __0 THEN 1 WHEN NOT __0 THEN 0 END)",
    ),
    ("date_add", 2, "(__0 + __1)"),
    ("divide", 2, "(__0 / __1)"),
    (
        "epoch_us",
        1,
        "CAST(round(date_part('epoch', __0) * 1000000) AS BIGINT)",
    ),
    (
        "era",
        1,
        "CASE WHEN date_part('year', __0) > 0 THEN 1 WHEN date_part('year', __0) <= 0 THEN 0 END",
    ),
    ("even", 1, "(sign(__0) * ceil(abs(__0) / 2.0) * 2)"),
    ("fdiv", 2, "floor(CAST(__0 AS DOUBLE) / __1)"),
    ("if", 3, "CASE WHEN __0 THEN __1 ELSE __2 END"),
    ("iif", 3, "CASE WHEN __0 THEN __1 ELSE __2 END"),
    (
        "isfinite",
        1,
        "(NOT isnan(__0) AND abs(__0) <> CAST('inf' AS DOUBLE))",
    ),
    ("isinf", 1, "(abs(__0) = CAST('inf' AS DOUBLE))"),
    (
        "fmod",
        2,
        "(CAST(__0 AS DOUBLE) - floor(CAST(__0 AS DOUBLE) / __1) * __1)",
    ),
    ("mod", 2, "(__0 % __1)"),
    ("multiply", 2, "(__0 * __1)"),
    ("ord", 1, "CASE WHEN __0 = '' THEN -1 ELSE ascii(__0) END"),
    ("regexp_full_match", 2, "(__0 ~ ('^(?:' || __1 || ')$'))"),
    ("sinh", 1, "((exp(__0) - exp(-__0)) / 2)"),
    ("subtract", 2, "(__0 - __1)"),
    ("tanh", 1, "((exp(2 * __0) - 1) / (exp(2 * __0) + 1))"),
    (
        "unicode",
        1,
        "CASE WHEN __0 = '' THEN -1 ELSE ascii(__0) END",
    ),
    (
        "yearweek",
        1,
        "(date_part('isoyear', __0) * 100 + date_part('week', __0))",
    ),
    ("div", 2, "(__0 / __1)"),
    (
        "dayname",
        1,
        "CASE date_part('dow', __0) WHEN 0 THEN 'Sunday' WHEN 1 THEN 'Monday' WHEN 2 THEN 'Tuesday' \
         WHEN 3 THEN 'Wednesday' WHEN 4 THEN 'Thursday' WHEN 5 THEN 'Friday' WHEN 6 THEN 'Saturday' END",
    ),
    (
        "monthname",
        1,
        "CASE date_part('month', __0) WHEN 1 THEN 'January' WHEN 2 THEN 'February' WHEN 3 THEN 'March' \
         WHEN 4 THEN 'April' WHEN 5 THEN 'May' WHEN 6 THEN 'June' WHEN 7 THEN 'July' WHEN 8 THEN 'August' \
         WHEN 9 THEN 'September' WHEN 10 THEN 'October' WHEN 11 THEN 'November' WHEN 12 THEN 'December' END",
    ),
];

/// Units of time whose boundaries between two times are counted.
const DIFFERENCES: &[(&str, &str)] = &[
    ("year", "(date_part('year', __1) - date_part('year', __0))"),
    (
        "quarter",
        "((date_part('year', __1) - date_part('year', __0)) * 4 + date_part('quarter', __1) - date_part('quarter', __0))",
    ),
    (
        "month",
        "((date_part('year', __1) - date_part('year', __0)) * 12 + date_part('month', __1) - date_part('month', __0))",
    ),
    (
        "week",
        "((CAST(date_trunc('week', __1) AS DATE) - CAST(date_trunc('week', __0) AS DATE)) / 7)",
    ),
    ("day", "(CAST(__1 AS DATE) - CAST(__0 AS DATE))"),
    (
        "hour",
        "CAST((date_part('epoch', date_trunc('hour', __1)) - date_part('epoch', date_trunc('hour', __0))) / 3600 AS BIGINT)",
    ),
    (
        "minute",
        "CAST((date_part('epoch', date_trunc('minute', __1)) - date_part('epoch', date_trunc('minute', __0))) / 60 AS BIGINT)",
    ),
    (
        "second",
        "CAST(date_part('epoch', date_trunc('second', __1)) - date_part('epoch', date_trunc('second', __0)) AS BIGINT)",
    ),
];

/// Units of more than a year, and the first day of the one that a time is in.
const LONG_UNITS: &[(&str, &str)] = &[
    (
        "decade",
        "CAST(make_date(CAST(date_part('year', __0) / 10 * 10 AS INTEGER), 1, 1) AS TIMESTAMP)",
    ),
    (
        "century",
        "CAST(make_date(CAST(date_part('year', __0) / 100 * 100 AS INTEGER), 1, 1) AS TIMESTAMP)",
    ),
    (
        "millennium",
        "CAST(make_date(CAST(date_part('year', __0) / 1000 * 1000 AS INTEGER), 1, 1) AS TIMESTAMP)",
    ),
];

/// Formats of dates: a letter, and the text of a date `__0`.
const FORMATS: &[(char, &str)] = &[
    ('Y', "CAST(date_part('year', __0) AS VARCHAR)"),
    (
        'm',
        "right('0' || CAST(date_part('month', __0) AS VARCHAR), 2)",
    ),
    (
        'd',
        "right('0' || CAST(date_part('day', __0) AS VARCHAR), 2)",
    ),
    (
        'H',
        "right('0' || CAST(date_part('hour', __0) AS VARCHAR), 2)",
    ),
    (
        'M',
        "right('0' || CAST(date_part('minute', __0) AS VARCHAR), 2)",
    ),
    (
        'S',
        "right('0' || CAST(CAST(floor(date_part('second', __0)) AS BIGINT) AS VARCHAR), 2)",
    ),
    (
        'y',
        "right('0' || CAST(date_part('year', __0) % 100 AS VARCHAR), 2)",
    ),
    (
        'j',
        "right('00' || CAST(date_part('doy', __0) AS VARCHAR), 3)",
    ),
    (
        'I',
        "right('0' || CAST((date_part('hour', __0) + 11) % 12 + 1 AS VARCHAR), 2)",
    ),
    (
        'p',
        "CASE WHEN date_part('hour', __0) < 12 THEN 'AM' ELSE 'PM' END",
    ),
    (
        'f',
        "right('00000' || CAST(date_part('microsecond', __0) % 1000000 AS VARCHAR), 6)",
    ),
    ('u', "CAST(date_part('isodow', __0) AS VARCHAR)"),
    ('w', "CAST(date_part('dow', __0) AS VARCHAR)"),
    ('A', "dayname(__0)"),
    ('B', "monthname(__0)"),
    ('a', "left(dayname(__0), 3)"),
    ('b', "left(monthname(__0), 3)"),
];

/// The same without leading zeros, behind `%-`.
const SHORT_FORMATS: &[(char, &str)] = &[
    ('d', "CAST(date_part('day', __0) AS VARCHAR)"),
    ('m', "CAST(date_part('month', __0) AS VARCHAR)"),
    ('y', "CAST(date_part('year', __0) % 100 AS VARCHAR)"),
    ('H', "CAST(date_part('hour', __0) AS VARCHAR)"),
    (
        'I',
        "CAST((date_part('hour', __0) + 11) % 12 + 1 AS VARCHAR)",
    ),
    ('M', "CAST(date_part('minute', __0) AS VARCHAR)"),
    (
        'S',
        "CAST(CAST(floor(date_part('second', __0)) AS BIGINT) AS VARCHAR)",
    ),
    ('j', "CAST(date_part('doy', __0) AS VARCHAR)"),
];

/// Rewrites a call, or a cast.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    if let Expr::Cast {
        expr: operand,
        data_type,
        ..
    } = expr
        && is_integer(data_type)
    {
        **operand = filled(&format!("{NEAREST}(__0)"), std::slice::from_ref(&**operand))?;
        return Ok(());
    }
    let Expr::Function(call) = expr else {
        return Ok(());
    };
    let Some((name, operands)) = plain(call) else {
        return Ok(());
    };
    let one = |(known, count): (&str, usize)| known == name && operands.len() == count;
    if let Some((_, part)) = PARTS.iter().find(|(known, _)| one((known, 1))) {
        *expr = filled(&format!("date_part('{part}', __0)"), &operands)?;
        return Ok(());
    }
    let mut templates = TEMPLATES.iter();
    if let Some((.., template)) = templates.find(|(known, count, _)| one((known, *count))) {
        *expr = filled(template, &operands)?;
        return Ok(());
    }
    match (name.as_str(), operands.as_slice()) {
        // A null of no type is a number where numbers are added up.
        ("sum" | "avg", [Expr::Value(value)]) if value.value == Value::Null => {
            *expr = filled(&format!("{name}(CAST(NULL AS BIGINT))"), &[])?;
        }
        ("date_diff" | "datediff", [unit, from, to]) => {
            let unit = literal(unit).unwrap_or_default().to_lowercase();
            let known = DIFFERENCES.iter().find(|(known, _)| *known == unit);
            let (_, template) =
                known.ok_or_else(|| unsupported(format!("{name} in the unit `{unit}`")))?;
            *expr = filled(template, &[from.clone(), to.clone()])?;
        }
        ("date_trunc" | "datetrunc", [unit, time]) => {
            let unit = literal(unit).unwrap_or_default().to_lowercase();
            if let Some((_, template)) = LONG_UNITS.iter().find(|(known, _)| *known == unit) {
                *expr = filled(template, std::slice::from_ref(time))?;
            }
        }
        ("strftime", [time, format]) => {
            let format = literal(format);
            let format =
                format.ok_or_else(|| unsupported("strftime by a format that is no constant"))?;
            *expr = filled(&formatted(&format)?, std::slice::from_ref(time))?;
            // The names of days and months are calls themselves.
            nested_calls(expr)?;
        }
        ("xor", [left, right]) => {
            let nested = |operand: &Expr| Box::new(Expr::Nested(Box::new(operand.clone())));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: nested(left),
                op: BinaryOperator::BitwiseXor,
                right: nested(right),
            }));
        }
        _ => {}
    }
    Ok(())
}

fn is_integer(data_type: &DataType) -> bool {
    use DataType::{
        BigInt, Int, Int2, Int4, Int8, Int16, Int32, Int64, Integer, SmallInt, TinyInt, UBigInt,
        UInt8, UInt16, UInt32, UInt64, USmallInt, UTinyInt,
    };
    matches!(
        data_type,
        TinyInt(_)
            | SmallInt(_)
            | Int(_)
            | Integer(_)
            | BigInt(_)
            | Int2(_)
            | Int4(_)
            | Int8(_)
            | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | UTinyInt
            | USmallInt
            | UBigInt
    )
}

/// The name and operands of a call that is a name and operands.
fn plain(call: &Function) -> Option<(String, Vec<Expr>)> {
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else {
        return None;
    };
    let simple = call.over.is_none()
        && call.filter.is_none()
        && call.null_treatment.is_none()
        && call.within_group.is_empty()
        && matches!(call.parameters, FunctionArguments::None);
    let operands = operands(&call.args)?;
    simple.then(|| (normal(name), operands))
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Identifier(name) => Some(name.value.clone()),
        _ => None,
    }
}

/// The expression of a date in a format.
fn formatted(format: &str) -> Result<String> {
    let mut pieces = vec!["''".to_string()];
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => text.push('%'),
            Some(letter) => {
                let (formats, letter, minus) = match letter {
                    '-' => (SHORT_FORMATS, letters.next().unwrap_or('-'), "-"),
                    _ => (FORMATS, letter, ""),
                };
                let known = formats.iter().find(|(known, _)| *known == letter);
                let refused = || unsupported(format!("`%{minus}{letter}` in a format of dates"));
                let (_, piece) = known.ok_or_else(refused)?;
                if !text.is_empty() {
                    pieces.push(format!("'{}'", text.replace('\'', "''")));
                    text.clear();
                }
                pieces.push((*piece).to_string());
            }
            None => return Err(unsupported("`%` at the end of a format of dates")),
        }
    }
    if !text.is_empty() {
        pieces.push(format!("'{}'", text.replace('\'', "''")));
    }
    Ok(format!("({})", pieces.join(" || ")))
}

fn nested_calls(expr: &mut Expr) -> Result<()> {
    use std::ops::ControlFlow;

    use datafusion_sql::sqlparser::ast::{VisitMut, VisitorMut};

    struct Calls;
    impl VisitorMut for Calls {
        type Break = pelton::error::Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
            super::flow(rewrite(expr))
        }
    }
    match expr.visit(&mut Calls) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}
