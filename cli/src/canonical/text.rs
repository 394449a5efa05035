//! The spelling of single values in canonical text.

use std::fmt::{self, Write};

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
const NANOSECONDS_PER_DAY: i128 = 86_400 * NANOSECONDS_PER_SECOND;

/// Shortest digits that round-trip, as `d.ddde±x`; `NaN`, `inf`, `-inf`.
///
/// Where two shortest texts are equally near, the one with the even last digit, as most languages
/// have it; `{:e}` takes the larger.
pub(super) fn float(value: f64, out: &mut String) -> fmt::Result {
    if !value.is_finite() {
        out.push_str(match value {
            value if value.is_nan() => "NaN",
            value if value > 0.0 => "inf",
            _ => "-inf",
        });
        return Ok(());
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let padded = format!("{whole}{fraction}");
    let digits = padded.trim_start_matches('0');
    if value.is_sign_negative() {
        out.push('-');
    }
    if digits.is_empty() {
        out.push_str("0e0");
        return Ok(());
    }
    // The place of the first digit that is not 0: 0 for units, -1 for tenths.
    let leading_zeros = padded.len() - digits.len();
    let places = |length: usize| i32::try_from(length).map_err(|_| fmt::Error);
    let exponent = exponent + places(whole.len())? - 1 - places(leading_zeros)?;
    let digits = digits.trim_end_matches('0');
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    write!(out, "e{exponent}")
}

/// An unscaled integer with exactly `scale` digits after the point; zeros appended if it is
/// negative.
pub(super) fn decimal(unscaled: &str, scale: i8, out: &mut String) {
    let digits = unscaled.strip_prefix('-').unwrap_or(unscaled);
    if unscaled.starts_with('-') {
        out.push('-');
    }
    let Ok(places) = usize::try_from(scale) else {
        out.push_str(digits);
        if digits != "0" {
            out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    if places == 0 {
        out.push_str(digits);
        return;
    }
    let whole = digits.len().saturating_sub(places);
    out.push_str(if whole == 0 { "0" } else { &digits[..whole] });
    out.push('.');
    out.extend(std::iter::repeat_n(
        '0',
        places.saturating_sub(digits.len()),
    ));
    out.push_str(&digits[whole..]);
}

/// Text in double quotes, with control characters, backslashes and quotes escaped.
pub(super) fn string(value: &str, out: &mut String) -> fmt::Result {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&value[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.push_str("\"\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => write!(out, "\\u{{{control:x}}}")?,
        }
    }
    out.push_str(&value[plain_from..]);
    out.push('"');
    Ok(())
}

/// Bytes as `x'hex'`.
pub(super) fn binary(value: &[u8], out: &mut String) {
    out.push_str("x'");
    push_hex(value, out);
    out.push('\'');
}

/// Sixteen bytes as a quoted UUID; any other number of bytes as binary.
pub(super) fn uuid(value: &[u8], out: &mut String) {
    if value.len() != 16 {
        return binary(value, out);
    }
    out.push('"');
    for (index, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if index > 0 {
            out.push('-');
        }
        push_hex(&value[range], out);
    }
    out.push('"');
}

fn push_hex(value: &[u8], out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    for byte in value {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Days since 1970-01-01 as `YYYY-MM-DD`, or `days:N` outside the years 1 to 9999.
pub(super) fn date(days: i64, out: &mut String) -> fmt::Result {
    match civil(days) {
        Some((year, month, day)) => write!(out, "{year:04}-{month:02}-{day:02}"),
        None => write!(out, "days:{days}"),
    }
}

/// Nanoseconds since midnight as `HH:MM:SS[.fff]`, trailing zeros cut.
pub(super) fn time(nanoseconds: i128, out: &mut String) -> fmt::Result {
    let seconds = nanoseconds.div_euclid(NANOSECONDS_PER_SECOND);
    let fraction = nanoseconds.rem_euclid(NANOSECONDS_PER_SECOND);
    let hours = seconds.div_euclid(3600);
    let minutes = seconds.div_euclid(60).rem_euclid(60);
    write!(out, "{hours:02}:{minutes:02}:{:02}", seconds.rem_euclid(60))?;
    if fraction != 0 {
        write!(out, ".{fraction:09}")?;
        out.truncate(out.trim_end_matches('0').len());
    }
    Ok(())
}

/// Nanoseconds since 1970-01-01T00:00 UTC, or `ns:N` outside the years 1 to 9999.
pub(super) fn timestamp(nanoseconds: i128, out: &mut String) -> fmt::Result {
    let days = i64::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_DAY)).unwrap_or(i64::MAX);
    if civil(days).is_none() {
        return write!(out, "ns:{nanoseconds}");
    }
    date(days, out)?;
    out.push('T');
    time(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY), out)
}

/// Year, month and day of a day number in the proleptic Gregorian calendar, for years 1 to 9999.
/// The method is Howard Hinnant's `civil_from_days`, written from the idea.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let shifted = days.checked_add(719_468)?;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (1..=9999).contains(&year).then_some((year, month, day))
}
