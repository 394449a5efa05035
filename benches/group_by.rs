//! `group_by`: a new table and one update, by number of groups, accumulators and skew.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::kernels::group_by::{GroupKey, GroupLayout, GroupTable, GroupTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, abi};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// Ranks by Zipf's law with exponent 1.5, by inverting the continuous distribution.
fn zipf(row: u64, groups: u64) -> u64 {
    let unit = (mixed(row) >> 11) as f64 / (1u64 << 53) as f64;
    let most = 1.0 - (groups as f64 + 1.0).powf(-0.5);
    ((1.0 - unit * most).powi(-2) as u64 - 1).min(groups - 1)
}

/// libcudf's milliseconds: groups, sum of f64 and count, sum of i64.
const PEERS: [(u64, Option<(f64, f64)>); 7] = [
    (2, None),
    (4, Some((14.9, 8.4))),
    (1_000, Some((10.1, 6.2))),
    (100_000, Some((6.6, 5.8))),
    (1_000_000, Some((11.7, 9.5))),
    (10_000_000, Some((19.1, 14.3))),
    (50_000_000, Some((23.4, 19.4))),
];

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let all = DeviceRows::known(rows);
    let value = |row: u64| ((row % 1000) as f64).to_bits();
    let floats = bench.words(PhysicalType::Float64, rows, value);
    let integers = bench.words(PhysicalType::Int64, rows, |row| row % 1000);
    let every = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows);
    let tuning = GroupTuning::default();
    let key = GroupKey {
        physical: PhysicalType::Int64,
        nullable: true,
        bits: 64,
    };
    let shapes = [
        (
            "sum(f64)+count",
            [abi::ACCUMULATE_COUNT, abi::ACCUMULATE_ADD_FLOAT],
            &floats,
        ),
        (
            "sum(i64)",
            [abi::ACCUMULATE_ANY, abi::ACCUMULATE_ADD],
            &integers,
        ),
    ];
    for (groups, peer) in PEERS {
        for skewed in [false, true] {
            if groups > rows || (skewed && ![1_000, 1_000_000, 50_000_000].contains(&groups)) {
                continue;
            }
            // A bijection spreads the keys over all 64 bits.
            let draw = |row| {
                if skewed {
                    zipf(row, groups)
                } else {
                    mixed(row) % groups
                }
            };
            let keys = bench.words(PhysicalType::Int64, rows, |row| {
                mixed(draw(row)).wrapping_mul(3)
            });
            for (name, kinds, values) in shapes {
                let layout = GroupLayout::new(&[key], &kinds, &tuning).unwrap();
                let inputs = [
                    (
                        0,
                        if kinds[0] == abi::ACCUMULATE_COUNT {
                            &every
                        } else {
                            values
                        },
                    ),
                    (1, values),
                ];
                let make = |launch: &pelton::kernels::Launch| {
                    let mut table = GroupTable::new(launch, layout.clone(), tuning)?;
                    table.update(launch, &[&keys], &inputs, &all)?;
                    Ok(table)
                };
                verify(&bench, &make(&bench.launch()).unwrap(), rows);
                let skew = if skewed { "zipf1.5" } else { "uniform" };
                let case = Case {
                    id: format!("group_by/{name}/groups={groups}/{skew}"),
                    rows,
                    bytes: rows * 16,
                    peer_ms: peer.filter(|_| !skewed).map(|(float, integer)| {
                        if kinds[1] == abi::ACCUMULATE_ADD {
                            integer
                        } else {
                            float
                        }
                    }),
                    clock: Clock::Wall,
                };
                bench.run(&mut criterion, &case, |launch| make(launch).map(drop));
            }
        }
    }
    bench.finish();
}

/// The sums of all groups are the sum of all rows.
fn verify(bench: &Bench, table: &GroupTable, rows: u64) {
    let launch = bench.launch();
    let list = table.list(&launch).unwrap();
    let status = pelton::kernels::Status::new(&launch, "group_by_emit_aggregate").unwrap();
    let float = table.layout().kind(1) == abi::ACCUMULATE_ADD_FLOAT;
    let emit = pelton::kernels::group_by::Emit {
        emit: if float {
            abi::EMIT_SUM_FLOAT
        } else {
            abi::EMIT_SUM
        },
        accumulator: 1,
        count_accumulator: 0,
        physical: if float {
            PhysicalType::Float64
        } else {
            PhysicalType::Int64
        },
        limit: 0,
        factor: 1.0,
        empty_is_zero: false,
        overflow_is_error: false,
    };
    let sums = table.emit_aggregate(&launch, &list, emit, &status).unwrap();
    let sums = bench.read_words(&sums, list.groups());
    let sum: f64 = sums
        .iter()
        .map(|bits| {
            if float {
                f64::from_bits(*bits)
            } else {
                *bits as f64
            }
        })
        .sum();
    let expected: f64 = (0..rows).map(|row| (row % 1000) as f64).sum();
    assert!(
        (sum - expected).abs() <= expected * 1e-9,
        "the sums: {sum}, expected {expected}"
    );
}
