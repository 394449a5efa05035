//! A second opinion on functions over strings: lists of characters, one step at a time.

use pelton::expr::{LikePattern, StringFunction, TrimSide};

use super::oracle::{Answer, Stop};
use super::values::Value;

/// What a function must give.
pub fn call(function: &StringFunction, operands: &[Value]) -> Answer {
    if let StringFunction::ConcatWith(separator) = function {
        let mut joined: Option<String> = None;
        for operand in operands.iter().filter(|operand| !operand.is_null()) {
            let before = joined.map(|joined| joined + separator).unwrap_or_default();
            joined = Some(before + text(operand));
        }
        return Ok(Value::Text(joined.unwrap_or_default()));
    }
    if operands.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    if *function == StringFunction::Concat {
        let joined = operands
            .iter()
            .fold(String::new(), |all, one| all + text(one));
        return Ok(Value::Text(joined));
    }
    let whole: Vec<char> = text(&operands[0]).chars().collect();
    let count = whole.len() as i64;
    let list = |text: &str| text.chars().collect::<Vec<char>>();
    // The characters at positions that are kept, counted from 1.
    let kept = |keep: &dyn Fn(i64) -> bool| {
        let kept = (1..).zip(&whole).filter(|(position, _)| keep(*position));
        Value::Text(kept.map(|(_, character)| *character).collect())
    };
    Ok(match function {
        StringFunction::ByteLength => {
            Value::Integer(whole.iter().map(|c| c.len_utf8() as i128).sum())
        }
        StringFunction::Length => Value::Integer(count.into()),
        StringFunction::Find(part) => {
            let part = list(part);
            let place = places(&whole, &part).next();
            Value::Integer(place.map_or(0, |place| place as i128 + 1))
        }
        StringFunction::Contains(part) => {
            Value::Boolean(places(&whole, &list(part)).next().is_some())
        }
        StringFunction::StartsWith(start) => {
            Value::Boolean(places(&whole, &list(start)).any(|place| place == 0))
        }
        StringFunction::EndsWith(end) => {
            let end = list(end);
            Value::Boolean(places(&whole, &end).any(|place| place + end.len() == whole.len()))
        }
        StringFunction::Like(pattern) => Value::Boolean(like(&whole, pattern)),
        StringFunction::Left(n) => kept(&|at| if *n < 0 { at <= count + n } else { at <= *n }),
        StringFunction::Right(n) => kept(&|at| {
            if *n < 0 {
                at > n.saturating_neg()
            } else {
                at > count - n
            }
        }),
        StringFunction::Substring { start, length } => {
            let end = length.map_or(i64::MAX, |length| start.saturating_add(length));
            kept(&|at| *start <= at && at < end)
        }
        StringFunction::Reverse => {
            let mut reversed = Vec::new();
            whole.iter().for_each(|c| reversed.insert(0, *c));
            Value::Text(reversed.into_iter().collect())
        }
        StringFunction::Replace { from, to } => Value::Text(if from.is_empty() {
            whole.into_iter().collect()
        } else {
            parts(&whole, &list(from)).join(to)
        }),
        StringFunction::SplitPart { delimiter, index } => {
            let parts = match delimiter.as_str() {
                "" => vec![whole.iter().collect()],
                delimiter => parts(&whole, &list(delimiter)),
            };
            let behind = parts.len() as i64 + 1;
            let place = if *index < 0 { behind + index } else { *index };
            let part = (1..).zip(parts).find(|(at, _)| *at == place);
            Value::Text(part.map(|(_, part)| part).unwrap_or_default())
        }
        StringFunction::Trim { side, characters } => {
            let mut rest = whole;
            while *side != TrimSide::End && rest.first().is_some_and(|c| characters.contains(*c)) {
                rest.remove(0);
            }
            while *side != TrimSide::Start && rest.last().is_some_and(|c| characters.contains(*c)) {
                rest.pop();
            }
            Value::Text(rest.into_iter().collect())
        }
        StringFunction::Upper => {
            Value::Text(whole.into_iter().flat_map(char::to_uppercase).collect())
        }
        // The final sigma depends on what stands around it: the standard library knows.
        StringFunction::Lower => Value::Text(text(&operands[0]).to_lowercase()),
        _ => return Err(Stop::Unknown), // regular expressions have an oracle of their own
    })
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        other => unreachable!("{other} is no string"),
    }
}

/// Where a part begins, first to last.
fn places<'a>(whole: &'a [char], part: &'a [char]) -> impl Iterator<Item = usize> + 'a {
    (0..=whole.len()).filter(|place| whole[*place..].starts_with(part))
}

/// What a delimiter separates.
fn parts(mut whole: &[char], delimiter: &[char]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(place) = places(whole, delimiter).next() {
        found.push(whole[..place].iter().collect());
        whole = &whole[place + delimiter.len()..];
    }
    found.push(whole.iter().collect());
    found
}

/// LIKE by a table: which starts of the string the pattern so far matches.
fn like(whole: &[char], like: &LikePattern) -> bool {
    let equal = |a: char, b: char| {
        let single = |c: char| {
            let lower: Vec<char> = c.to_lowercase().collect();
            if lower.len() == 1 { lower[0] } else { c }
        };
        a == b || like.ignore_case && single(a) == single(b)
    };
    let mut matched = vec![false; whole.len() + 1];
    matched[0] = true;
    let mut pattern = like.pattern.chars();
    while let Some(step) = pattern.next() {
        let escaped = Some(step) == like.escape;
        let step = if escaped {
            pattern.next().expect("a character")
        } else {
            step
        };
        let mut longer = vec![false; whole.len() + 1];
        for at in 0..=whole.len() {
            longer[at] = match step {
                '%' if !escaped => matched[..=at].contains(&true),
                '_' if !escaped => at > 0 && matched[at - 1],
                own => at > 0 && matched[at - 1] && equal(own, whole[at - 1]),
            };
        }
        matched = longer;
    }
    matched[whole.len()]
}
