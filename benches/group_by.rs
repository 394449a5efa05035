//! `group_by`: a new table and one update, by number of groups, accumulators and skew.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::Result;
use pelton::kernels::gather::gather_rows;
use pelton::kernels::group_by::{Emit, GroupKey, GroupLayout, GroupTable, GroupTuning};
use pelton::kernels::quantile::{Quantile, quantile_pick};
use pelton::kernels::sort::{Order, SortInput, SortTuning, sort_rows};
use pelton::kernels::window::WindowRows;
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
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

/// Group counts at which the aggregates without a peer are measured; 100 and 129 are on two sides of
/// a cliff that others have.
const GROUPS: [u64; 5] = [4, 100, 129, 100_000, 1_000_000];

/// What a row of the table aggregates.
struct Shape {
    name: &'static str,
    kinds: &'static [u32],
    /// Of the values: floats or integers.
    float: bool,
    emit: u32,
    accumulator: u32,
    /// Bytes read and written per row.
    bytes: u64,
    /// The result of a group, from its count, the sum of its values and of their squares, and its
    /// first value.
    result: fn(&Group) -> f64,
}

#[derive(Clone, Copy, Default)]
struct Group {
    count: u64,
    sum: u64,
    squares: u64,
    first: u64,
}

const SUM: fn(&Group) -> f64 = |group| group.sum as f64;

const SHAPES: [Shape; 2] = [
    Shape {
        name: "sum(f64)+count",
        kinds: &[abi::ACCUMULATE_COUNT, abi::ACCUMULATE_ADD_FLOAT],
        float: true,
        emit: abi::EMIT_SUM_FLOAT,
        accumulator: 1,
        bytes: 16,
        result: SUM,
    },
    Shape {
        name: "sum(i64)",
        kinds: &[abi::ACCUMULATE_ANY, abi::ACCUMULATE_ADD],
        float: false,
        emit: abi::EMIT_SUM,
        accumulator: 1,
        bytes: 16,
        result: SUM,
    },
];

/// Aggregates without a peer's figure.
const MORE: [Shape; 4] = [
    Shape {
        name: "sum(decimal64)",
        kinds: &[abi::ACCUMULATE_ANY, abi::ACCUMULATE_ADD_INT128],
        float: false,
        emit: abi::EMIT_SUM,
        accumulator: 1,
        bytes: 24, // the values twice: for their bound, too
        result: SUM,
    },
    Shape {
        name: "sum_exact(f64)",
        kinds: &[abi::ACCUMULATE_ANY, abi::ACCUMULATE_ADD_EXACT],
        float: true,
        emit: abi::EMIT_EXACT,
        accumulator: 1,
        bytes: 16,
        result: SUM,
    },
    Shape {
        name: "var(f64)",
        kinds: &[abi::ACCUMULATE_COUNT, abi::ACCUMULATE_VARIANCE],
        float: true,
        emit: abi::EMIT_VARIANCE,
        accumulator: 1,
        bytes: 56, // keys three times, values twice, distances written and read
        result: |group| {
            let count = i128::from(group.count);
            let sum = i128::from(group.sum);
            let distance = count * i128::from(group.squares) - sum * sum;
            distance as f64 / (count * (count - 1)) as f64
        },
    },
    Shape {
        name: "first(i64)",
        kinds: &[abi::ACCUMULATE_ROW_FIRST, abi::ACCUMULATE_CARRY],
        float: false,
        emit: abi::EMIT_CARRY,
        accumulator: 1,
        bytes: 8,
        result: |group| group.first as f64,
    },
];

fn value(row: u64) -> u64 {
    row % 1000
}

/// The key of a group: a bijection spreads the keys over all 64 bits.
fn key(group: u64) -> u64 {
    mixed(group).wrapping_mul(3)
}

/// The columns of a case.
struct Columns<'a> {
    keys: &'a DeviceColumn,
    values: &'a DeviceColumn,
    every: &'a DeviceColumn,
    rows: &'a DeviceRows,
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let all = DeviceRows::known(rows);
    let floats = |row| (value(row) as f64).to_bits();
    let floats = bench.words(PhysicalType::Float64, rows, floats);
    let integers = bench.words(PhysicalType::Int64, rows, value);
    let every = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows);
    let peers = PEERS
        .iter()
        .map(|(groups, peer)| (*groups, *peer, &SHAPES[..]));
    let more = GROUPS.iter().map(|groups| (*groups, None, &MORE[..]));
    for (groups, peer, shapes) in peers.chain(more) {
        for skewed in [false, true] {
            let wanted = [1_000, 1_000_000, 50_000_000].contains(&groups) && shapes.len() == 2;
            if groups > rows || (skewed && !wanted) {
                continue;
            }
            let draw = |row| {
                if skewed {
                    zipf(row, groups)
                } else {
                    mixed(row) % groups
                }
            };
            let keys = bench.words(PhysicalType::Int64, rows, |row| key(draw(row)));
            let expected = expected(rows, groups, draw);
            for shape in shapes {
                let columns = Columns {
                    keys: &keys,
                    values: if shape.float { &floats } else { &integers },
                    every: &every,
                    rows: &all,
                };
                let mut table = make(&bench.launch(), shape, &columns).unwrap();
                verify(&bench, shape, &mut table, &expected);
                drop(table);
                let skew = if skewed { "zipf1.5" } else { "uniform" };
                let peer_ms = peer
                    .filter(|_| !skewed)
                    .map(|(float, integer)| if shape.float { float } else { integer });
                let case = Case {
                    id: format!("group_by/{}/groups={groups}/{skew}", shape.name),
                    rows,
                    bytes: rows * shape.bytes,
                    peer_ms,
                    clock: Clock::Wall,
                };
                bench.run(&mut criterion, &case, |launch| {
                    make(launch, shape, &columns).map(drop)
                });
            }
        }
    }
    medians(&mut bench, &mut criterion, rows, &floats);
    bench.finish();
}

/// Medians of the values of groups: keys and values sorted together, and the middle of each segment.
fn medians(
    bench: &mut Bench,
    criterion: &mut criterion::Criterion,
    rows: u64,
    values: &DeviceColumn,
) {
    for groups in GROUPS {
        if groups > rows {
            continue;
        }
        let draw = |row| mixed(row) % groups;
        let keys = bench.words(PhysicalType::Int64, rows, |row| key(draw(row)));
        let (first, found) = median(&bench.launch(), &keys, values, rows).unwrap();
        let count = found.rows();
        let got = bench.read_words(&first, count).into_iter();
        let got: Vec<(u64, u64)> = got.zip(bench.read_words(&found, count)).collect();
        let mut expected: Vec<(u64, Vec<u64>)> = (0..groups).map(|g| (key(g), vec![])).collect();
        for row in 0..rows {
            expected[draw(row) as usize].1.push(value(row));
        }
        expected.retain(|(_, values)| !values.is_empty());
        expected.sort_unstable_by_key(|(key, _)| key.cast_signed());
        assert_eq!(got.len(), expected.len(), "the number of groups");
        for ((key, bits), (wanted, mut values)) in got.into_iter().zip(expected) {
            assert_eq!(key, wanted, "a key");
            values.sort_unstable();
            let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
            let middle = (values[low] + values[high]) as f64 / 2.0;
            assert_eq!(f64::from_bits(bits), middle, "the median of key {key}");
        }
        let case = Case {
            id: format!("group_by/median(f64)/groups={groups}/uniform"),
            rows,
            bytes: rows * 16, // what is sorted, read once
            peer_ms: None,
            clock: Clock::Wall,
        };
        bench.run(criterion, &case, |launch| {
            median(launch, &keys, values, rows).map(drop)
        });
    }
}

/// Keys in ascending order, and the median of each.
fn median(
    launch: &Launch,
    keys: &DeviceColumn,
    values: &DeviceColumn,
    rows: u64,
) -> Result<(DeviceColumn, DeviceColumn)> {
    let input = |column| SortInput {
        column,
        descending: false,
        nulls_first: false,
        wanted: true,
    };
    let inputs = [input(keys), input(values)];
    let sorted = sort_rows(launch, &inputs, rows, false, &SortTuning::default())?;
    let all = DeviceRows::known(rows);
    let status = Status::new(launch, "gather_rows")?;
    let gathered = match &sorted.order {
        Order::Rows(numbers) => gather_rows(launch, numbers, &all, &[keys, values], &all, &status)?,
        _ => sorted.keys.into_iter().flatten().collect(),
    };
    let found = WindowRows::new(launch, &[&gathered[0]], &[], rows)?;
    let (starts, count) = (found.partition_starts()?, found.partitions());
    let quantile = Quantile {
        q: 0.5,
        interpolation: abi::QUANTILE_LINEAR,
        divisor: 1.0,
        multiplier: 1.0,
    };
    let medians = quantile_pick(launch, &gathered[1], &starts, count, &quantile)?;
    let groups = DeviceRows::known(count);
    let first = gather_rows(launch, &starts, &groups, &[&gathered[0]], &all, &status)?;
    let first = first.into_iter().next().unwrap();
    Ok((first, medians))
}

/// A new table and one update, with what the aggregate needs besides.
fn make(launch: &Launch, shape: &Shape, columns: &Columns) -> Result<GroupTable> {
    let tuning = GroupTuning::default();
    let key = GroupKey {
        physical: PhysicalType::Int64,
        nullable: true,
        bits: 64,
    };
    let layout = GroupLayout::new(&[key], shape.kinds, &tuning)?;
    let mut table = GroupTable::new(launch, layout, tuning)?;
    let column = |kind: u32| match kind {
        abi::ACCUMULATE_COUNT | abi::ACCUMULATE_ROW_FIRST => columns.every,
        _ => columns.values,
    };
    let inputs = shape.kinds.iter().zip(0..);
    let inputs = inputs.filter(|(kind, _)| **kind != abi::ACCUMULATE_CARRY);
    let inputs: Vec<(u32, &DeviceColumn)> =
        inputs.map(|(kind, index)| (index, column(*kind))).collect();
    let keys = [columns.keys];
    table.update(launch, &keys, &inputs, columns.rows)?;
    match shape.kinds[1] {
        abi::ACCUMULATE_CARRY => table.carry(launch, 0, 1, columns.values, columns.rows)?,
        abi::ACCUMULATE_VARIANCE => {
            let distances = table.distances(launch, &keys, 1, columns.values, columns.rows)?;
            table.update_distances(launch, &keys, &[(1, &distances)], columns.rows)?;
        }
        _ => {}
    }
    Ok(table)
}

/// What each group must have, by key.
fn expected(rows: u64, groups: u64, draw: impl Fn(u64) -> u64) -> Vec<(u64, Group)> {
    let mut all = vec![Group::default(); groups as usize];
    for row in 0..rows {
        let group = &mut all[draw(row) as usize];
        if group.count == 0 {
            group.first = value(row);
        }
        group.count += 1;
        group.sum += value(row);
        group.squares += value(row) * value(row);
    }
    let all = (0..).map(key).zip(all);
    let mut all: Vec<(u64, Group)> = all.filter(|(_, group)| group.count > 0).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all
}

/// Compares the result of every group. Sums are exact, whatever their order: they are whole numbers.
fn verify(bench: &Bench, shape: &Shape, table: &mut GroupTable, expected: &[(u64, Group)]) {
    let launch = bench.launch();
    let list = table.list(&launch).unwrap();
    let status = Status::new(&launch, "group_by_emit_aggregate").unwrap();
    let float = shape.float;
    let emit = Emit {
        emit: shape.emit,
        accumulator: shape.accumulator,
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
        ddof: 1,
    };
    let results = table.emit_aggregate(&launch, &list, emit, &status).unwrap();
    let keys = table.emit_key(&launch, &list, 0).unwrap();
    let keys = bench.read_words(&keys, list.groups());
    let results = bench.read_words(&results, list.groups());
    let mut got: Vec<(u64, u64)> = keys.into_iter().zip(results).collect();
    got.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(got.len(), expected.len(), "the number of groups");
    for ((key, bits), (wanted, group)) in got.into_iter().zip(expected) {
        assert_eq!(key, *wanted, "a key");
        let result = if float {
            f64::from_bits(bits)
        } else {
            bits as f64
        };
        let wanted = (shape.result)(group);
        let near = wanted.abs()
            * if shape.emit == abi::EMIT_VARIANCE {
                1e-9
            } else {
                0.0
            };
        let alone = shape.emit == abi::EMIT_VARIANCE && group.count == 1;
        assert!(
            alone || (result - wanted).abs() <= near,
            "{}: {result} of key {key}, expected {wanted}",
            shape.name
        );
    }
}
