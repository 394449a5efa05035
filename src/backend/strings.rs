//! What the functions over strings give, one string at a time.
//!
//! The CPU backend calls this for every row; the CUDA backend for every entry of a dictionary, so that
//! there is one definition. Strings that are no dictionary's entries have kernels.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::Result;
use crate::expr::{BinaryOp, LikeStep, StringFunction, TrimSide, lower_character, regex};

type Of<T> = Box<dyn for<'a> Fn(&'a str) -> T + Send + Sync>;
/// It may give back a part of what it is given.
type OfText = Box<dyn for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync>;

/// A function of one string, with its patterns compiled.
pub(super) enum Prepared {
    Boolean(Of<bool>),
    Integer(Of<i32>),
    Text(OfText),
}

impl Prepared {
    fn boolean(function: impl Fn(&str) -> bool + Send + Sync + 'static) -> Prepared {
        Prepared::Boolean(Box::new(function))
    }

    fn integer(function: impl Fn(&str) -> usize + Send + Sync + 'static) -> Prepared {
        // Strings of more than 2^31 characters fit no batch.
        let integer = move |text: &str| i32::try_from(function(text)).unwrap_or(i32::MAX);
        Prepared::Integer(Box::new(integer))
    }

    fn slice(function: impl Fn(&str) -> &str + Send + Sync + 'static) -> Prepared {
        Prepared::Text(Box::new(move |text| Cow::Borrowed(function(text))))
    }

    /// A function whose results are new strings.
    pub(super) fn text(function: impl Fn(&str) -> String + Send + Sync + 'static) -> Prepared {
        Prepared::Text(Box::new(move |text| Cow::Owned(function(text))))
    }

    /// A comparison with a constant on the right.
    pub(super) fn compare(op: BinaryOp, right: String) -> Prepared {
        Prepared::boolean(move |left| compares(op, left.as_bytes().cmp(right.as_bytes())))
    }
}

/// Whether an order is what a comparison asks for.
fn compares(op: BinaryOp, order: Ordering) -> bool {
    match op {
        BinaryOp::NotEqual => order.is_ne(),
        BinaryOp::Less => order.is_lt(),
        BinaryOp::LessOrEqual => order.is_le(),
        BinaryOp::Greater => order.is_gt(),
        BinaryOp::GreaterOrEqual => order.is_ge(),
        _ => order.is_eq(),
    }
}

/// A function of one operand, ready to be called.
///
/// # Errors
/// A pattern is malformed.
pub(super) fn prepare(function: &StringFunction) -> Result<Prepared> {
    Ok(match function.clone() {
        StringFunction::ByteLength => Prepared::integer(str::len),
        // Of one operand.
        StringFunction::Concat | StringFunction::ConcatWith(_) => Prepared::slice(|text| text),
        StringFunction::Contains(part) => Prepared::boolean(move |text| text.contains(&part)),
        StringFunction::EndsWith(end) => Prepared::boolean(move |text| text.ends_with(&end)),
        StringFunction::Find(part) => Prepared::integer(move |text| {
            let at = text.find(&part);
            at.map_or(0, |at| text[..at].chars().count() + 1)
        }),
        StringFunction::Left(count) => Prepared::slice(move |text| left(text, count)),
        StringFunction::Length => Prepared::integer(|text| text.chars().count()),
        StringFunction::Like(like) => {
            let (steps, ignore_case) = (like.steps()?, like.ignore_case);
            Prepared::boolean(move |text| matches_like(text, &steps, ignore_case))
        }
        StringFunction::Lower => Prepared::text(str::to_lowercase),
        StringFunction::Matches(pattern) => {
            let regex = regex(&pattern)?;
            Prepared::boolean(move |text| regex.is_match(text))
        }
        StringFunction::Replace { from, .. } if from.is_empty() => Prepared::slice(|text| text),
        StringFunction::Replace { from, to } => {
            Prepared::text(move |text| text.replace(&from, &to))
        }
        StringFunction::Reverse => Prepared::text(|text| text.chars().rev().collect()),
        StringFunction::Right(count) => Prepared::slice(move |text| right(text, count)),
        StringFunction::SplitPart { delimiter, index } => {
            Prepared::slice(move |text| split_part(text, &delimiter, index))
        }
        StringFunction::StartsWith(start) => {
            Prepared::boolean(move |text| text.starts_with(&start))
        }
        StringFunction::Substring { start, length } => {
            let (skip, take) = substring_range(start, length);
            Prepared::slice(move |text| {
                let rest = &text[byte_of(text, skip)..];
                &rest[..byte_of(rest, take)]
            })
        }
        StringFunction::Trim { side, characters } => Prepared::slice(move |text| {
            let in_set = |character| characters.contains(character);
            match side {
                TrimSide::Both => text.trim_matches(in_set),
                TrimSide::Start => text.trim_start_matches(in_set),
                TrimSide::End => text.trim_end_matches(in_set),
            }
        }),
        StringFunction::Upper => Prepared::text(str::to_uppercase),
    })
}

/// How many characters `substring` skips, and how many of the rest it takes.
pub(super) fn substring_range(start: i64, length: Option<i64>) -> (u64, u64) {
    let first = start.max(1);
    let count = length.map_or(i64::MAX, |length| {
        start.saturating_add(length).saturating_sub(first)
    });
    ((first - 1).unsigned_abs(), count.max(0).unsigned_abs())
}

/// Where the character after `count` characters begins; the end, if there are not so many.
fn byte_of(text: &str, count: u64) -> usize {
    let mut starts = text.char_indices().map(|(at, _)| at);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    starts.nth(count).unwrap_or(text.len())
}

fn left(text: &str, count: i64) -> &str {
    let kept = match u64::try_from(count) {
        Ok(count) => count,
        Err(_) => (text.chars().count() as u64).saturating_sub(count.unsigned_abs()),
    };
    &text[..byte_of(text, kept)]
}

fn right(text: &str, count: i64) -> &str {
    let dropped = match u64::try_from(count) {
        Ok(count) => (text.chars().count() as u64).saturating_sub(count),
        Err(_) => count.unsigned_abs(),
    };
    &text[byte_of(text, dropped)..]
}

fn split_part<'a>(text: &'a str, delimiter: &str, index: i64) -> &'a str {
    let parts: Vec<&str> = match delimiter {
        "" => vec![text],
        delimiter => text.split(delimiter).collect(),
    };
    let place = match u64::try_from(index) {
        Ok(index) => index.checked_sub(1),
        Err(_) => (parts.len() as u64).checked_sub(index.unsigned_abs()),
    };
    let place = place.and_then(|place| usize::try_from(place).ok());
    place
        .and_then(|place| parts.get(place))
        .copied()
        .unwrap_or("")
}

/// Whether a string matches a LIKE pattern. Where a step does not fit, the last `%` takes one
/// character more; those before it need not, because what follows them fits as early as it can.
fn matches_like(text: &str, steps: &[LikeStep], ignore_case: bool) -> bool {
    let lower = |c| if ignore_case { lower_character(c) } else { c };
    let text: Vec<char> = text.chars().map(lower).collect();
    let (mut at, mut step) = (0, 0);
    let mut again = None; // the step behind the last `%`, and where it is tried next
    while at < text.len() {
        match steps.get(step) {
            Some(LikeStep::Any) => {
                step += 1;
                again = Some((step, at + 1));
            }
            Some(LikeStep::One) => (at, step) = (at + 1, step + 1),
            Some(LikeStep::Character(own)) if *own == text[at] => (at, step) = (at + 1, step + 1),
            _ => match again {
                None => return false,
                Some((behind, from)) => {
                    (at, step) = (from, behind);
                    again = Some((behind, from + 1));
                }
            },
        }
    }
    steps[step..].iter().all(|step| *step == LikeStep::Any)
}
