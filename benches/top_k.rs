//! `top_k`: one batch's first rows, by how many and by the order in which they come.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::Result;
use pelton::kernels::gather::gather_rows;
use pelton::kernels::sort::{Order, SortInput, SortTuning, sort_rows};
use pelton::kernels::top_k::TopKRows;
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

fn input(column: &DeviceColumn) -> SortInput<'_> {
    SortInput {
        column,
        descending: false,
        nulls_first: false,
        wanted: true,
    }
}

/// The rows that can be among the first `k`, and those sorted.
fn first_rows(launch: &Launch, keys: &DeviceColumn, k: u64) -> Result<DeviceColumn> {
    let tuning = SortTuning::default();
    let inputs = [input(keys)];
    let all = TopKRows {
        launch: *launch,
        keys: &inputs,
        rows: rows(),
        tuning: &tuning,
    };
    let (column, count) = match all.list(k, None)? {
        None => (keys.clone(), rows()),
        Some(list) => {
            let status = Status::new(launch, "gather_rows")?;
            let (count, built) = (DeviceRows::known(list.count), DeviceRows::known(rows()));
            let picked = gather_rows(launch, &list.numbers, &count, &[keys], &built, &status)?;
            (picked[0].clone(), list.count)
        }
    };
    let mut sorted = sort_rows(launch, &[input(&column)], count, false, &tuning)?;
    Ok(match (sorted.order, sorted.keys.pop().flatten()) {
        (Order::Kept, _) | (_, None) => column,
        (_, Some(sorted)) => sorted,
    })
}

/// The key of a row.
type Spread = fn(u64) -> u64;

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let orders: [(&str, Spread); 3] = [
        ("random", |row| mixed(row) >> 1),
        ("descending", |row| (1 << 40) - row),
        ("equal", |_| 42),
    ];
    for (order, key) in orders {
        let keys = bench.words(PhysicalType::Int64, rows, key);
        let mut expected: Vec<u64> = (0..rows).map(key).collect();
        expected.sort_unstable();
        for k in [10, 1000, 100_000] {
            if k > rows {
                continue;
            }
            {
                let first = first_rows(&bench.launch(), &keys, k).unwrap();
                let got = bench.read_words(&first, k);
                assert!(got == expected[..k as usize], "the first rows, in order");
            }
            let case = Case {
                id: format!("top_k/i64/{order}/k={k}/rows={rows}"),
                rows,
                bytes: rows * 8,
                peer_ms: None,
                clock: Clock::Wall, // the host waits for how many rows are left
            };
            bench.run(&mut criterion, &case, |launch| {
                first_rows(launch, &keys, k).map(drop)
            });
        }
    }
    bench.finish();
}
