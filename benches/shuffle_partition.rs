//! `shuffle_partition`: rows of a 64-bit key and a 64-bit value into packed partitions by hash, by
//! number of partitions; skewed keys; and a row of mixed widths with nulls.
//!
//! Launchers only: the wait for the rows of the partitions is not in the time, as libcudf's is not.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use pelton::Result;
use pelton::kernels::shuffle_partition::{
    PackedPartitions, ShuffleBounds, ShuffleBy, ShuffleHashKey, ShuffleRangeKey, ShuffleTuning,
    shuffle_partition,
};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::operators::{KeyHash, integer_word};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// Partitions, and libcudf's milliseconds for them.
const PEERS: [(u32, f64); 4] = [(8, 2.1), (64, 2.1), (256, 2.5), (1024, 3.8)];

/// Bytes per row besides the columns: the target, written once and read once.
const TARGET_BYTES: u64 = 2 + 2;

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    for (partitions, peer_ms) in PEERS {
        let axes = format!("hash/partitions={partitions}");
        two_columns(
            &mut bench,
            &mut criterion,
            &axes,
            partitions,
            Some(peer_ms),
            mixed,
        );
    }
    two_columns(
        &mut bench,
        &mut criterion,
        "hash/partitions=4096",
        4096,
        None,
        mixed,
    );
    for (share, key) in [
        ("1.0", (|_| 42) as fn(u64) -> u64),
        ("0.9", |row| if row % 10 > 0 { 42 } else { mixed(row) }),
    ] {
        let axes = format!("skew/share={share}/partitions=256");
        two_columns(&mut bench, &mut criterion, &axes, 256, None, key);
    }
    range(&mut bench, &mut criterion);
    mixed_widths(&mut bench, &mut criterion);
    bench.finish();
}

fn hashed(
    launch: &Launch,
    columns: &[&DeviceColumn],
    rows: u64,
    partitions: u32,
) -> Result<PackedPartitions> {
    let key = ShuffleHashKey {
        column: columns[0],
        words: None,
    };
    let (rows, tuning) = (DeviceRows::known(rows), ShuffleTuning::default());
    shuffle_partition(
        launch,
        columns,
        &rows,
        partitions,
        ShuffleBy::Hash(&[key]),
        tuning,
    )
}

/// Checks that every row came once, in its own partition: `keys` and `numbers` are the columns of the
/// key and of the row's number, and `target` says where a key belongs.
fn verify(
    bench: &Bench,
    packed: &PackedPartitions,
    rows: u64,
    (keys, numbers): (usize, usize),
    key: impl Fn(u64) -> u64,
    target: impl Fn(u64) -> usize,
) {
    let table = packed.resolve(&bench.launch()).unwrap();
    let mut seen = vec![false; rows as usize];
    for partition in 0..table.partitions() {
        let columns = packed.columns(&table, partition).unwrap();
        let count = table.rows(partition);
        let own_keys = bench.read_words(&columns[keys], count);
        let own_numbers = bench.read_words(&columns[numbers], count);
        for (own_key, number) in own_keys.into_iter().zip(own_numbers) {
            assert_eq!(own_key, key(number), "key and number of one row");
            assert_eq!(target(own_key), partition, "the partition of a key");
            assert!(!seen[number as usize], "a row comes once");
            seen[number as usize] = true;
        }
    }
    assert!(seen.into_iter().all(|seen| seen), "no row is lost");
}

fn two_columns(
    bench: &mut Bench,
    criterion: &mut criterion::Criterion,
    axes: &str,
    partitions: u32,
    peer_ms: Option<f64>,
    key: impl Fn(u64) -> u64,
) {
    let rows = rows();
    let keys = bench.words(PhysicalType::Int64, rows, &key);
    let numbers = bench.words(PhysicalType::Float64, rows, |row| row);
    let columns = [&keys, &numbers];
    {
        let packed = hashed(&bench.launch(), &columns, rows, partitions).unwrap();
        let target = |key: u64| {
            let word = integer_word(key.cast_signed().into());
            KeyHash::START.and(word).partition(partitions) as usize
        };
        verify(bench, &packed, rows, (0, 1), &key, target);
    }
    let case = Case {
        id: format!("shuffle_partition/{axes}/rows={rows}"),
        rows,
        bytes: rows * (8 + TARGET_BYTES + 2 * (8 + 8)),
        peer_ms,
        clock: Clock::Events,
    };
    bench.run(criterion, &case, |launch| {
        hashed(launch, &columns, rows, partitions).map(drop)
    });
}

/// 256 ranges of a uniform key.
fn range(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    const PARTITIONS: u64 = 256;
    let rows = rows();
    let keys = bench.words(PhysicalType::UInt64, rows, mixed);
    let numbers = bench.words(PhysicalType::Float64, rows, |row| row);
    let columns = [&keys, &numbers];
    let width = u64::MAX / PARTITIONS + 1;
    let bounds = bench.words(PhysicalType::UInt64, PARTITIONS - 1, |bound| {
        (bound + 1) * width - 1
    });
    let bounds = ShuffleBounds::new(&bench.launch(), &bounds, false, true).unwrap();
    let split = |launch: &Launch| {
        let keys = [ShuffleRangeKey {
            column: &keys,
            bounds: &bounds,
        }];
        let (all, tuning) = (DeviceRows::known(rows), ShuffleTuning::default());
        let by = ShuffleBy::Range(&keys);
        shuffle_partition(launch, &columns, &all, PARTITIONS as u32, by, tuning)
    };
    {
        let packed = split(&bench.launch()).unwrap();
        verify(bench, &packed, rows, (0, 1), mixed, |key| {
            (key / width) as usize
        });
    }
    let case = Case {
        id: format!("shuffle_partition/range/partitions={PARTITIONS}/rows={rows}"),
        rows,
        bytes: rows * (8 + TARGET_BYTES + 2 * (8 + 8)),
        peer_ms: None,
        clock: Clock::Events,
    };
    bench.run(criterion, &case, |launch| split(launch).map(drop));
}

/// Eight columns: a key, a row number, 128 bits, 32, 16 and 8 bits, a Boolean, a double; the last six
/// with nulls. A quarter of the usual rows, since a row is three times as wide.
fn mixed_widths(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    const PARTITIONS: u32 = 64;
    let rows = rows() / 4;
    let keys = bench.words(PhysicalType::Int64, rows, mixed);
    let numbers = bench.words(PhysicalType::Int64, rows, |row| row);
    let nulls = bench.bits(rows, |row| row % 10 > 0);
    let nullable = |physical: PhysicalType, values: &DeviceColumn| {
        let (values, nulls) = (values.values().unwrap(), nulls.values().unwrap());
        let (values, nulls) = (Arc::clone(values), Some(Arc::clone(nulls)));
        DeviceColumn::array(physical, values, nulls, 0, rows).unwrap()
    };
    let words = bench.words(PhysicalType::Int64, 2 * rows, mixed);
    let columns = [
        keys,
        numbers,
        nullable(PhysicalType::Int128, &words),
        nullable(PhysicalType::Int32, &words),
        nullable(PhysicalType::Int16, &words),
        nullable(PhysicalType::UInt8, &words),
        nullable(PhysicalType::Boolean, &words),
        nullable(PhysicalType::Float64, &words),
    ];
    let columns: Vec<&DeviceColumn> = columns.iter().collect();
    {
        let packed = hashed(&bench.launch(), &columns, rows, PARTITIONS).unwrap();
        let target = |key: u64| {
            let word = integer_word(key.cast_signed().into());
            KeyHash::START.and(word).partition(PARTITIONS) as usize
        };
        verify(bench, &packed, rows, (0, 1), mixed, target);
        verify_nulls(bench, &packed);
    }
    // 47 bytes and seven bits of values and validity, read and written; the bitmaps cleared before.
    let row_bits = 8 * (8 + 8 + 16 + 4 + 2 + 1 + 8) + 1 + 6;
    let case = Case {
        id: format!("shuffle_partition/mixed/columns=8/partitions={PARTITIONS}/rows={rows}"),
        rows,
        bytes: rows * (8 + TARGET_BYTES) + rows * (2 * row_bits + 7) / 8,
        peer_ms: None,
        clock: Clock::Events,
    };
    bench.run(criterion, &case, |launch| {
        hashed(launch, &columns, rows, PARTITIONS).map(drop)
    });
}

/// Checks, in the first partition, the values and bitmaps of the last column and of the Boolean.
fn verify_nulls(bench: &Bench, packed: &PackedPartitions) {
    let table = packed.resolve(&bench.launch()).unwrap();
    let columns = packed.columns(&table, 0).unwrap();
    let rows = table.rows(0);
    let numbers = bench.read_words(&columns[1], rows);
    let doubles = bench.read_words(&columns[7], rows);
    let bits = |buffer: &pelton::device::DeviceBuffer| {
        let mut bytes = vec![0; rows.div_ceil(8) as usize];
        bench.device.read(bench.stream, buffer, &mut bytes).unwrap();
        bytes
    };
    let (booleans, nulls) = (
        bits(columns[6].values().unwrap()),
        bits(columns[7].validity().unwrap()),
    );
    let bit = |bytes: &[u8], row: usize| bytes[row / 8] >> (row % 8) & 1 == 1;
    for (row, number) in numbers.into_iter().enumerate() {
        assert_eq!(doubles[row], mixed(number), "the double of a row");
        assert_eq!(bit(&nulls, row), number % 10 > 0, "the validity of a row");
        let own = mixed(number / 64) >> (number % 64) & 1 == 1;
        assert_eq!(bit(&booleans, row), own, "the Boolean of a row");
    }
}
