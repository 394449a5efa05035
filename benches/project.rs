//! `project`: one step of an expression each.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use criterion::Criterion;
use pelton::Result;
use pelton::kernels::project::{self, Failures, Rescale};
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
        let (op, to, limit) = (abi::PROJECT_MULTIPLY, PhysicalType::Int64, 10i128.pow(18));
        project::decimal(launch, op, &a, &b, to, limit, &all, &none)
    });
    run(&mut bench, c, "cast/i64-to-f64", 16.125, |launch| {
        project::cast(
            launch,
            &a,
            PhysicalType::Float64,
            Rescale::NONE,
            &all,
            &none,
        )
    });
    run(&mut bench, c, "and", 0.375, |launch| {
        project::logic(launch, abi::PROJECT_AND, &p, &q, &all)
    });
    run(&mut bench, c, "select/i64", 24.125, |launch| {
        project::select(launch, &p, false, &a, &b, &all)
    });
    bench.finish();
}
