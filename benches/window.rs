//! `window`: functions over rows that stand in the order of their partitions, by number of those.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::kernels::window::{WindowAggregate, WindowExtent, WindowRows};
use pelton::kernels::{DeviceColumn, Launch, Status, abi};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, rows};

/// Rows that are equal by the order key.
const PEERS: u64 = 4;

/// Bytes that a level of segments takes: two words for 32 rows, and a start for each segment.
fn segment_bytes(rows: u64, segments: u64) -> u64 {
    rows / 4 + segments * 4
}

const RUNNING: WindowExtent = WindowExtent::Rows {
    start: None,
    end: Some(0),
};

/// The last 100 rows.
const TRAILING: WindowExtent = WindowExtent::Rows {
    start: Some(-99),
    end: Some(0),
};

fn sum(physical: PhysicalType) -> WindowAggregate {
    WindowAggregate {
        add: match physical {
            PhysicalType::Float64 => abi::WINDOW_ADD_F64,
            _ => abi::WINDOW_ADD_I64,
        },
        finish: abi::WINDOW_FINISH_SUM,
        smallest: false,
        physical,
        limit: 0,
        factor: 1.0,
        empty_is_zero: false,
        overflow_is_error: false,
    }
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let integers = bench.words(PhysicalType::Int64, rows, |row| row % 1000);
    let floats = bench.words(PhysicalType::Float64, rows, |row| {
        ((row % 1000) as f64).to_bits()
    });
    let days = bench.words(PhysicalType::Int64, rows, |row| row / PEERS);
    for partitions in [1_000, 10_000_000] {
        if partitions > rows {
            continue;
        }
        let size = rows / partitions;
        let keys = bench.words(PhysicalType::Int64, rows, |row| (row / size) * 7);
        let partitions = rows.div_ceil(size);
        let make = |launch: &Launch| WindowRows::new(launch, &[&keys], &[&days], rows);
        let case = |name: &str, bytes: u64, clock: Clock| Case {
            id: format!("window/{name}/partitions={partitions}"),
            rows,
            bytes,
            peer_ms: None,
            clock,
        };
        let level = segment_bytes(rows, partitions);
        let peers = segment_bytes(rows, rows / PEERS);
        let segments = case("segments", rows * 16 + level + peers, Clock::Wall);
        bench.run(&mut criterion, &segments, |launch| make(launch).map(drop));
        let around = make(&bench.launch()).unwrap();
        verify(&bench, &around, &integers, rows, size);

        let ranks = [
            ("row_number", abi::WINDOW_ROW_NUMBER, level),
            ("rank", abi::WINDOW_RANK, level + peers),
        ];
        for (name, rank, read) in ranks {
            let case = case(name, rows * 8 + read, Clock::Events);
            bench.run(&mut criterion, &case, |launch| {
                around.rank(launch, rank, 1).map(drop)
            });
        }
        // No value is null, but the first row of a partition has none before it.
        let lag = case("lag(f64)", rows * 16 + rows / 8 + level, Clock::Events);
        bench.run(&mut criterion, &lag, |launch| {
            around.neighbour(launch, &floats, -1, None).map(drop)
        });
        let segment_values = partitions * 8;
        let partition = rows * 16 + level + rows / 8 + 2 * segment_values;
        let sums = [
            ("running_sum(i64)", &integers, RUNNING, rows * 16 + rows / 8),
            ("running_sum(f64)", &floats, RUNNING, rows * 16 + rows / 8),
            (
                "sum_over_partition(i64)",
                &integers,
                WindowExtent::Partition,
                partition,
            ),
            (
                "trailing_sum(i64)/width=100",
                &integers,
                TRAILING,
                rows * 32 + level + rows / 8,
            ),
            (
                "trailing_sum(f64)/width=100",
                &floats,
                TRAILING,
                rows * 56 + 3 * level,
            ),
        ];
        for (name, column, extent, bytes) in sums {
            let case = case(name, bytes, Clock::Events);
            let how = sum(column.physical());
            bench.run(&mut criterion, &case, |launch| {
                let status = Status::new(launch, "window")?;
                let sums = around.aggregate(launch, Some(column), &how, extent, &status);
                sums.map(drop)
            });
        }
    }
    bench.finish();
}

/// Row numbers, sums up to a row and sums of a partition, of some rows all over the table.
fn verify(bench: &Bench, around: &WindowRows, integers: &DeviceColumn, rows: u64, size: u64) {
    let launch = bench.launch();
    let status = Status::new(&launch, "window").unwrap();
    let how = sum(PhysicalType::Int64);
    let sums = |extent| {
        let sums = around.aggregate(&launch, Some(integers), &how, extent, &status);
        bench.read_words(&sums.unwrap(), rows)
    };
    let (running, whole) = (sums(RUNNING), sums(WindowExtent::Partition));
    let numbers = around.rank(&launch, abi::WINDOW_ROW_NUMBER, 1).unwrap();
    let numbers = bench.read_words(&numbers, rows);
    for row in (0..rows).step_by(997) {
        let first = row - row % size;
        let end = (first + size).min(rows);
        let sum = |end: u64| (first..end).map(|row| row % 1000).sum::<u64>();
        assert_eq!(
            numbers[row as usize],
            row - first + 1,
            "row_number of {row}"
        );
        if row % 7 == 0 {
            assert_eq!(running[row as usize], sum(row + 1), "running sum of {row}");
            assert_eq!(whole[row as usize], sum(end), "partition sum of {row}");
        }
    }
}
