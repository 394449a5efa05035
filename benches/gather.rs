//! `gather`: random rows of a column.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use pelton::kernels::gather::gather_rows;
use pelton::kernels::{DeviceColumn, DeviceRows, Status};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let column = bench.words(PhysicalType::Float64, rows, |row| row);
    let index = |row: u64| (mixed(row) % rows) as u32;
    let bytes: Vec<u8> = (0..rows).flat_map(|row| index(row).to_ne_bytes()).collect();
    let indices = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    let indices = DeviceColumn::array(PhysicalType::UInt32, indices, None, 0, rows).unwrap();
    let all = DeviceRows::known(rows);
    let launch = bench.launch();
    let status = Status::new(&launch, "gather_rows").unwrap();
    let out = gather_rows(&launch, &indices, &all, &[&column], &all, &status).unwrap();
    status.check(&launch).unwrap();
    let got = bench.read_words(&out[0], rows.min(1000));
    assert!(
        (0u64..)
            .zip(&got)
            .all(|(row, got)| *got == u64::from(index(row))),
        "the rows picked"
    );
    drop(out);
    let case = Case {
        id: "gather/f64/random".to_string(),
        rows,
        bytes: rows * (4 + 32 + 8),
        peer_ms: Some(3.3),
        clock: Clock::Events,
    };
    bench.run(&mut criterion, &case, |launch| {
        gather_rows(launch, &indices, &all, &[&column], &all, &status).map(drop)
    });
    bench.finish();
}
