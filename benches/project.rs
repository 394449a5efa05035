//! `project`: one step of an expression each.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use criterion::Criterion;
use pelton::Result;
use pelton::kernels::math::{self, RoundSteps};
use pelton::kernels::project::{self, Failures, Rescale};
use pelton::kernels::temporal::{self, Step};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, abi};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

fn run(
    bench: &mut Bench,
    criterion: &mut Criterion,
    id: &str,
    bytes_per_row: f64,
    work: impl Fn(&Launch) -> Result<DeviceColumn>,
) {
    let rows = rows();
    let case = Case {
        id: format!("project/{id}"),
        rows,
        bytes: (rows as f64 * bytes_per_row) as u64,
        peer_ms: None,
        clock: Clock::Events,
    };
    bench.run(criterion, &case, |launch| work(launch).map(drop));
}

/// Stops if the first rows of a column are not what they must be.
fn verify(bench: &Bench, what: &str, column: &DeviceColumn, expected: impl Fn(u64) -> u64) {
    let rows = rows().min(1000);
    let bytes = column.physical().bytes(rows);
    let mut got = vec![0; bytes as usize];
    let values = column.values().unwrap();
    bench.device.read(bench.stream, values, &mut got).unwrap();
    let width = bytes / rows.max(1);
    for row in 0..rows {
        let got = match column.physical() {
            PhysicalType::Boolean => u64::from(got[row as usize / 8] >> (row % 8) & 1),
            _ => {
                let start = (row * width) as usize;
                let mut word = [0; 8];
                let low = width.min(8) as usize;
                word[..low].copy_from_slice(&got[start..start + low]);
                u64::from_ne_bytes(word)
            }
        };
        assert_eq!(got, expected(row), "{what}, row {row}");
    }
}

/// Year and month (from 0) of a day of 1970 or later, by counting.
fn civil(day: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut rest) = (1970, day);
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 0;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < days {
            break;
        }
        rest -= days;
        month += 1;
    }
    (year, month, rest)
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let n = rows();
    let all = DeviceRows::known(n);
    let none = Failures::default();
    let a = bench.words(PhysicalType::Int64, n, |row| mixed(row) % 1_000_000);
    let b = bench.words(PhysicalType::Int64, n, |row| mixed(row + 7) % 1_000_000);
    let float = |row: u64| ((mixed(row) >> 11) as f64).to_bits();
    let x = bench.words(PhysicalType::Float64, n, float);
    let y = bench.words(PhysicalType::Float64, n, |row| float(row + 7));
    let p = bench.bits(n, |row| mixed(row) & 1 == 1);
    let q = bench.bits(n, |row| mixed(row) & 2 == 2);
    let limit = DeviceColumn::scalar(PhysicalType::Int64, Some(500_000), n);

    let launch = bench.launch();
    let sum = project::arithmetic(&launch, abi::PROJECT_ADD, &a, &b, &all, &none).unwrap();
    let got = bench.read_words(&sum, n.min(1000));
    let expected = |row: u64| mixed(row) % 1_000_000 + mixed(row + 7) % 1_000_000;
    assert!(
        (0u64..).zip(&got).all(|(row, got)| *got == expected(row)),
        "the sums"
    );
    drop(sum);
    let day = |row: u64| mixed(row) % 20_000;
    let bytes = (0..n).flat_map(|row| (day(row) as u32).to_ne_bytes());
    let buffer = bench
        .device
        .upload(bench.stream, &bytes.collect::<Vec<u8>>());
    let days = DeviceColumn::array(PhysicalType::Int32, Arc::new(buffer.unwrap()), None, 0, n);
    let days = days.unwrap();
    let micros_per_day = 86_400_000_000;
    let micros = |row: u64| day(row) * micros_per_day + mixed(row + 7) % micros_per_day;
    let times = bench.words(PhysicalType::Int64, n, micros);
    let clock = |unit| temporal::Clock {
        unit,
        offset: 0,
        is_time: false,
    };
    let year = |launch: &Launch| {
        let (step, clock) = (Step::Extract(abi::TEMPORAL_YEAR), clock(abi::TEMPORAL_DAYS));
        temporal::apply(launch, step, clock, &days, PhysicalType::Int32, &all, &none)
    };
    let month = |launch: &Launch| {
        let (step, clock) = (
            Step::Truncate(abi::TEMPORAL_MONTH),
            clock(abi::TEMPORAL_MICROS),
        );
        temporal::apply(
            launch,
            step,
            clock,
            &times,
            PhysicalType::Int64,
            &all,
            &none,
        )
    };
    let cents = RoundSteps {
        divisor: 100,
        multiplier: 1,
        limit: 10i128.pow(14),
        factor: 100.0,
        digits_are_behind: true,
        rounding: abi::MATH_ROUND_HALF_AWAY,
    };
    let round = |launch: &Launch| math::round(launch, &a, PhysicalType::Int64, cents, &all, &none);
    let whole = DeviceColumn::scalar(PhysicalType::Float64, Some(0), n);
    let sqrt = |launch: &Launch| math::float(launch, abi::MATH_SQRT, &x, &whole, &all);
    let ln = |launch: &Launch| math::float(launch, abi::MATH_LN, &x, &whole, &all);
    let list: Vec<u128> = (0..10).map(|index| index * 100_000).collect();
    let long: Vec<u128> = (0..1000).map(|index| index * 1000).collect();
    let in_list = |launch: &Launch| math::in_list(launch, &a, &list, false, &all);
    let in_long = |launch: &Launch| math::in_list(launch, &a, &long, false, &all);
    let (low, high) = (100_000, 200_000);
    let scalar = |value: u128| DeviceColumn::scalar(PhysicalType::Int64, Some(value), n);
    let between = |launch: &Launch| {
        let (low, high) = (scalar(low), scalar(high));
        let (from, to) = (abi::PROJECT_GREATER_OR_EQUAL, abi::PROJECT_LESS_OR_EQUAL);
        math::between(launch, &a, (from, &low), (to, &high), &all)
    };
    let and = |launch: &Launch| project::logic(launch, abi::PROJECT_AND, &p, &q, &all);
    let decimal = |launch: &Launch, to: PhysicalType, digits: u32| {
        let (op, limit) = (abi::PROJECT_MULTIPLY, 10i128.pow(digits));
        project::decimal(launch, op, &a, &b, to, limit, &all, &none)
    };
    let value = |row: u64| mixed(row) % 1_000_000;
    let computed = |column: Result<DeviceColumn>| column.unwrap();
    verify(&bench, "year", &computed(year(&launch)), |row| {
        civil(day(row)).0
    });
    verify(&bench, "month", &computed(month(&launch)), |row| {
        (day(row) - civil(day(row)).2) * micros_per_day
    });
    verify(&bench, "round", &computed(round(&launch)), |row| {
        (value(row) + 50) / 100
    });
    verify(&bench, "sqrt", &computed(sqrt(&launch)), |row| {
        f64::from_bits(float(row)).sqrt().to_bits()
    });
    verify(&bench, "is_in", &computed(in_list(&launch)), |row| {
        u64::from(value(row).is_multiple_of(100_000))
    });
    verify(&bench, "is_in", &computed(in_long(&launch)), |row| {
        u64::from(value(row).is_multiple_of(1000))
    });
    verify(&bench, "between", &computed(between(&launch)), |row| {
        u64::from((100_000..=200_000).contains(&value(row)))
    });
    verify(&bench, "and", &computed(and(&launch)), |row| {
        u64::from(mixed(row) & 3 == 3)
    });
    let product = |row: u64| value(row) * (mixed(row + 7) % 1_000_000);
    verify(
        &bench,
        "product",
        &computed(decimal(&launch, PhysicalType::Int64, 18)),
        product,
    );
    verify(
        &bench,
        "product",
        &computed(decimal(&launch, PhysicalType::Int128, 36)),
        product,
    );

    let c = &mut criterion;
    run(&mut bench, c, "compare/i64>literal", 8.125, |launch| {
        project::compare(launch, abi::PROJECT_GREATER, &a, &limit, &all)
    });
    run(&mut bench, c, "compare/f64>f64", 16.125, |launch| {
        project::compare(launch, abi::PROJECT_GREATER, &x, &y, &all)
    });
    run(&mut bench, c, "add/i64", 24.0, |launch| {
        project::arithmetic(launch, abi::PROJECT_ADD, &a, &b, &all, &none)
    });
    run(&mut bench, c, "multiply/f64", 24.0, |launch| {
        project::arithmetic(launch, abi::PROJECT_MULTIPLY, &x, &y, &all, &none)
    });
    run(&mut bench, c, "multiply/decimal64", 24.125, |launch| {
        decimal(launch, PhysicalType::Int64, 18)
    });
    run(
        &mut bench,
        c,
        "multiply/decimal64-to-128",
        32.125,
        |launch| decimal(launch, PhysicalType::Int128, 36),
    );
    run(&mut bench, c, "cast/i64-to-f64", 16.0, |launch| {
        project::cast(
            launch,
            &a,
            PhysicalType::Float64,
            Rescale::NONE,
            &all,
            &none,
        )
    });
    run(
        &mut bench,
        c,
        "cast/decimal(18,2)-to-(16,0)",
        16.125,
        |launch| {
            let rescale = Rescale {
                divisor: 100,
                limit: 10i128.pow(16),
                ..Rescale::NONE
            };
            project::cast(launch, &a, PhysicalType::Int64, rescale, &all, &none)
        },
    );
    run(&mut bench, c, "and", 0.375, and);
    run(&mut bench, c, "select/i64", 24.125, |launch| {
        project::select(launch, &p, false, &a, &b, &all)
    });
    run(&mut bench, c, "year/date32", 8.0, year);
    run(&mut bench, c, "truncate/month/timestamp_us", 16.125, month);
    run(
        &mut bench,
        c,
        "round/decimal(18,2)-to-(16,0)",
        16.125,
        round,
    );
    run(&mut bench, c, "sqrt/f64", 16.0, sqrt);
    run(&mut bench, c, "ln/f64", 16.0, ln);
    run(&mut bench, c, "is_in/i64/values=10", 8.125, in_list);
    run(&mut bench, c, "is_in/i64/values=1000", 8.125, in_long);
    run(&mut bench, c, "between/i64", 8.125, between);
    bench.finish();
}
