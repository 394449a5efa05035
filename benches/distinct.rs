//! `distinct`: one row of each group of equal keys, with two more columns of it, by number of groups.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use pelton::Result;
use pelton::kernels::group_by::{Emit, GroupKey, GroupLayout, GroupTable, GroupTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// A row number, and the values of two columns that go with it.
const KINDS: [u32; 3] = [
    abi::ACCUMULATE_ROW_FIRST,
    abi::ACCUMULATE_CARRY,
    abi::ACCUMULATE_CARRY,
];

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let all = DeviceRows::known(rows);
    let every = DeviceColumn::scalar(PhysicalType::Boolean, Some(1), rows);
    let first = bench.words(PhysicalType::Int64, rows, |row| row);
    let second = bench.words(PhysicalType::Int64, rows, mixed);
    for groups in [1_000, 1_000_000, 50_000_000] {
        if groups > rows {
            continue;
        }
        let keys = bench.words(PhysicalType::Int64, rows, |row| mixed(row) % groups);
        let make = |launch: &Launch| -> Result<GroupTable> {
            let tuning = GroupTuning::default();
            let key = GroupKey {
                physical: PhysicalType::Int64,
                nullable: true,
                bits: 64,
            };
            let layout = GroupLayout::new(&[key], &KINDS, &tuning)?;
            let mut table = GroupTable::new(launch, layout, tuning)?;
            table.update(launch, &[&keys], &[(0, &every)], &all)?;
            table.carry(launch, 0, 1, &first, &all)?;
            table.carry(launch, 0, 2, &second, &all)?;
            Ok(table)
        };
        verify(&bench, &mut make(&bench.launch()).unwrap(), rows, groups);
        let case = Case {
            id: format!("distinct/columns=3/groups={groups}"),
            rows,
            bytes: rows * 8,
            peer_ms: None,
            clock: Clock::Wall,
        };
        bench.run(&mut criterion, &case, |launch| make(launch).map(drop));
    }
    bench.finish();
}

/// Every group has the values of its first row, and every group of the input is there.
fn verify(bench: &Bench, table: &mut GroupTable, rows: u64, groups: u64) {
    let launch = bench.launch();
    let list = table.list(&launch).unwrap();
    let status = Status::new(&launch, "group_by_emit_aggregate").unwrap();
    let column = |accumulator| {
        let emit = Emit {
            emit: abi::EMIT_CARRY,
            accumulator,
            count_accumulator: 0,
            physical: PhysicalType::Int64,
            limit: 0,
            factor: 1.0,
            empty_is_zero: false,
            overflow_is_error: false,
            ddof: 0,
        };
        let values = table.emit_aggregate(&launch, &list, emit, &status).unwrap();
        bench.read_words(&values, list.groups())
    };
    let (first, second) = (column(1), column(2));
    let keys = table.emit_key(&launch, &list, 0).unwrap();
    let keys = bench.read_words(&keys, list.groups());
    let mut wanted = vec![u64::MAX; groups as usize];
    for row in (0..rows).rev() {
        wanted[(mixed(row) % groups) as usize] = row;
    }
    let present = wanted.iter().filter(|row| **row != u64::MAX).count();
    assert_eq!(keys.len(), present, "the number of groups");
    for ((key, first), second) in keys.into_iter().zip(first).zip(second) {
        assert_eq!(first, wanted[key as usize], "the first row of key {key}");
        assert_eq!(second, mixed(first), "another value of the row");
    }
}
