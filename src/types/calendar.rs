//! The proleptic Gregorian calendar over counts of days since 1970-01-01, for every date that any
//! type holds: years down to −292 billion, with a year 0.
//!
//! Source: the era method of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
//! written from the idea: years begin in March, so that the leap day is the last of a year, and
//! 400 years are an era of 146,097 days.

/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;

/// From 0000-03-01, where an era begins, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Year, month (1 to 12) and day of month (1 to 31) of a day.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of a year, month (1 to 12) and day of month. A day beyond the month counts on from its
/// first.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

/// Number of days of a month (1 to 12).
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The same day of another month, or its last day if it has no such day.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let of_zero = year * 12 + month - 1 + months;
    let (year, month) = (of_zero.div_euclid(12), of_zero.rem_euclid(12) + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

/// The weekday of a day: 0 is Monday, 6 is Sunday.
pub(crate) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) // 1970-01-01 was a Thursday
}

/// The year and the number of the week that ISO 8601 puts a day in: that of the week's Thursday.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - weekday(days) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// Seconds that local time is ahead of UTC in a zone of a fixed offset: `UTC`, `Z`, `+02:00`,
/// `-0330` or `+05`. `None` for every other zone.
pub(crate) fn fixed_offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Etc/UTC" | "GMT" | "Z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match (digits.len(), digits.split_once(':')) {
        (5, Some((hours, minutes))) => (hours, minutes),
        (4, None) => digits.split_at_checked(2)?,
        (2, None) => (digits, "00"),
        _ => return None,
    };
    let number = |text: &str, below: i64| {
        let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let value: i64 = text.parse().ok().filter(|_| two_digits)?;
        (value < below).then_some(value)
    };
    Some(sign * (number(hours, 24)? * 3_600 + number(minutes, 60)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_two_eras_follows_the_one_before() {
        let start = days_from_civil(-401, 12, 31);
        let mut expected = (-401, 12, 31);
        for days in start..start + 2 * ERA_DAYS + 2 {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            assert_eq!(days_from_civil(year, month, day), days);
            expected = if day < days_in_month(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
    }

    #[test]
    fn known_days_have_known_dates() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
        assert_eq!(civil_from_days(-719_528), (0, 1, 1));
        assert_eq!(civil_from_days(i64::from(i32::MIN)), (-5_877_641, 6, 23));
        assert_eq!(civil_from_days(i64::from(i32::MAX)), (5_881_580, 7, 11));
        let far = i64::MAX / 86_400;
        let (year, month, day) = civil_from_days(far);
        assert_eq!(days_from_civil(year, month, day), far);
    }

    #[test]
    fn iso_weeks_follow_the_standard() {
        for (date, week) in [
            ((2005, 1, 1), (2004, 53)),
            ((2005, 1, 2), (2004, 53)),
            ((2007, 12, 31), (2008, 1)),
            ((2008, 12, 28), (2008, 52)),
            ((2010, 1, 3), (2009, 53)),
            ((2010, 1, 4), (2010, 1)),
        ] {
            let (year, month, day) = date;
            assert_eq!(iso_week(days_from_civil(year, month, day)), week);
        }
        assert_eq!(weekday(0), 3);
    }

    #[test]
    fn months_end_where_the_shorter_month_does() {
        let day = |year, month, day| days_from_civil(year, month, day);
        assert_eq!(add_months(day(2023, 1, 31), 1), day(2023, 2, 28));
        assert_eq!(add_months(day(2024, 1, 31), 1), day(2024, 2, 29));
        assert_eq!(add_months(day(2024, 2, 29), -48), day(2020, 2, 29));
        assert_eq!(add_months(day(2024, 2, 29), -12), day(2023, 2, 28));
        assert_eq!(add_months(day(0, 1, 31), -2), day(-1, 11, 30));
    }

    #[test]
    fn offsets_are_read_and_names_are_not() {
        assert_eq!(fixed_offset("+05:30"), Some(19_800));
        assert_eq!(fixed_offset("-0330"), Some(-12_600));
        assert_eq!(fixed_offset("+14"), Some(50_400));
        assert_eq!(fixed_offset("UTC"), Some(0));
        for zone in [
            "Europe/Paris",
            "",
            "+",
            "+1",
            "+1:00",
            "+24:00",
            "+01:60",
            "+é1",
        ] {
            assert_eq!(fixed_offset(zone), None);
        }
    }
}
