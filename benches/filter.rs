//! `filter`: stable compaction of columns by a bitmap.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::kernels::DeviceRows;
use pelton::kernels::filter::filter_compact;
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let columns: Vec<_> = (0..8)
        .map(|c| bench.words(PhysicalType::Int64, rows, |row| row * 8 + c))
        .collect();
    let peers = [(0.01, 0.37), (0.1, 0.59), (0.5, 1.03), (0.9, 1.44)];
    for (selectivity, peer_ms) in peers {
        let limit = (selectivity * u64::MAX as f64) as u64;
        let keep = |row: u64| row < rows && mixed(row) < limit;
        let predicate = bench.bits(rows, keep);
        let kept = (0..rows).filter(|row| keep(*row)).count() as u64;
        for count in [2, 8] {
            if count == 8 && selectivity != 0.5 {
                continue;
            }
            let taken: Vec<_> = columns.iter().take(count).collect();
            let all = DeviceRows::known(rows);
            let launch = bench.launch();
            let (out, out_rows) = filter_compact(&launch, &predicate, &taken, &all).unwrap();
            assert_eq!(
                out_rows.resolve(&launch).unwrap(),
                kept,
                "the number of rows kept"
            );
            let first: Vec<u64> = (0..rows).filter(|row| keep(*row)).take(100).collect();
            let got = bench.read_words(&out[0], first.len() as u64);
            assert!(
                got.iter().zip(&first).all(|(got, row)| *got == row * 8),
                "the rows kept"
            );
            drop(out);
            let case = Case {
                id: format!("filter/columns={count}/selectivity={selectivity}"),
                rows,
                bytes: rows / 8 + count as u64 * 8 * (rows + kept),
                peer_ms: (count == 2).then_some(peer_ms),
                clock: Clock::Events,
            };
            bench.run(&mut criterion, &case, |launch| {
                filter_compact(launch, &predicate, &taken, &all).map(drop)
            });
        }
    }
    bench.finish();
}
