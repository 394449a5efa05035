//! The launcher's tables: which keys call for which, and what probes of them give.

use std::sync::Arc;

use pelton::kernels::abi;
use pelton::kernels::filter::filter_compact;
use pelton::kernels::hash_join::{JoinKey, JoinLayout, JoinNeed, JoinTable, JoinTuning};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::types::PhysicalType;

use crate::support::backends::devices;

const INT64: JoinKey = JoinKey {
    physical: PhysicalType::Int64,
    nullable: false,
    bits: 64,
};

fn upload_int64(launch: &Launch, values: impl Iterator<Item = i64>) -> DeviceColumn {
    let bytes: Vec<u8> = values.flat_map(i64::to_ne_bytes).collect();
    let rows = bytes.len() as u64 / 8;
    let buffer = launch.device().upload(launch.stream(), &bytes);
    let buffer = Arc::new(buffer.expect("memory"));
    DeviceColumn::array(PhysicalType::Int64, buffer, None, 0, rows).expect("enough bytes")
}

#[test]
fn keys_of_two_columns_are_packed_where_their_values_are_few() {
    let tuning = JoinTuning::default();
    let layout = JoinLayout::new(&[INT64; 2], false, &tuning).expect("two keys");
    assert!(layout.is_wide(), "by their types");
    let (small, large) = (1i64, 0x1e37_79b9_7f4a_7c15);
    let cases = [
        (small, small, abi::HASH_JOIN_DENSE_ROWS, false),
        (small, 1 << 40, abi::HASH_JOIN_DENSE_ROWS, false),
        (small << 30 | 5, 99_991, abi::HASH_JOIN_HASH_ROWS, false),
        (large, large, abi::HASH_JOIN_HASH_ROWS, true),
    ];
    for device in devices() {
        let stream = device.take_stream().expect("a stream");
        let launch = Launch::new(&device, stream);
        for (first, second, kind, wide) in cases {
            let column = |start: i64, step: i64| {
                let values = (start..start + 40).map(|row| row.wrapping_mul(step));
                upload_int64(&launch, values)
            };
            let build = [column(-20, first), column(-30, second)];
            let keys = [&build[0], &build[1]];
            let (layout, need) = (layout.clone(), JoinNeed::Rows);
            let table = JoinTable::build(&launch, layout, &keys, 40, need, tuning);
            let table = table.expect("memory");
            assert_eq!((table.kind(), table.is_wide()), (kind, wide));
            // Ten rows before the build side's, thirty that are there.
            let probe = [column(-30, first), column(-40, second)];
            let rows = DeviceRows::known(40);
            let pairs = table.pairs(&launch, &[&probe[0], &probe[1]], &rows);
            let pairs = pairs.expect("memory").rows.resolve(&launch);
            assert_eq!(pairs.expect("no failure"), 30, "{first} and {second}");
        }
    }
}

/// Every kind of table is made, by the keys that call for it, and rows whose count is on the device
/// meet it.
#[test]
fn tables_are_chosen_by_their_keys() {
    let tuning = JoinTuning::default();
    let close: Vec<i64> = (0..300).map(|row| row * 4 + 100).collect();
    let far: Vec<i64> = (0..300)
        .map(|row: i64| row.wrapping_mul(0x1e37_79b9_7f4a_7c15))
        .collect();
    let twice = |keys: &[i64]| [keys, &keys[..1]].concat();
    let (rows, existence) = (JoinNeed::Rows, JoinNeed::Existence);
    let cases = [
        (close.clone(), existence, abi::HASH_JOIN_DENSE_BITS),
        (twice(&close), existence, abi::HASH_JOIN_DENSE_BITS),
        (close.clone(), rows, abi::HASH_JOIN_DENSE_ROWS),
        (twice(&close), rows, abi::HASH_JOIN_DENSE_LISTS),
        (twice(&far), existence, abi::HASH_JOIN_HASH_KEYS),
        (far.clone(), rows, abi::HASH_JOIN_HASH_ROWS),
        (twice(&far), rows, abi::HASH_JOIN_HASH_LISTS),
    ];
    for device in devices() {
        let stream = device.take_stream().expect("a stream");
        let launch = Launch::new(&device, stream);
        for (keys, need, kind) in &cases {
            let count = keys.len() as u64;
            let column = upload_int64(&launch, keys.iter().copied());
            let layout = JoinLayout::new(&[INT64], false, &tuning).expect("one key");
            let table = JoinTable::build(&launch, layout, &[&column], count, *need, tuning);
            let table = table.expect("memory");
            assert_eq!(table.kind(), *kind);
            // The odd rows of the build side probe it.
            let odd: Vec<u8> = vec![0b1010_1010; count.div_ceil(8) as usize];
            let odd = Arc::new(device.upload(stream, &odd).expect("memory"));
            let odd = DeviceColumn::array(PhysicalType::Boolean, odd, None, 0, count);
            let all = DeviceRows::known(count);
            let (columns, pending) =
                filter_compact(&launch, &odd.expect("enough bits"), &[&column], &all)
                    .expect("memory");
            let probed = count / 2;
            let found = table.found(&launch, &[&columns[0]], &pending, false);
            let ones = filter_compact(&launch, &found.expect("memory"), &[], &pending);
            let ones = ones.expect("memory").1.resolve(&launch);
            assert_eq!(ones.expect("no failure"), probed);
            for (invert, expected) in [(false, probed), (true, 0)] {
                let selected = table.select(&launch, &[&columns[0]], &pending, invert);
                let selected = selected.expect("memory").1.resolve(&launch);
                assert_eq!(selected.expect("no failure"), expected);
            }
            if *need == rows && table.is_unique() {
                let pairs = table
                    .pairs(&launch, &[&columns[0]], &pending)
                    .expect("memory");
                assert_eq!(pairs.rows.resolve(&launch).expect("no failure"), probed);
                let refused = table.count(&launch, &[&columns[0]], &pending, false);
                assert!(refused.is_err(), "a table without lists");
            } else if *need == rows {
                let counted = table.count(&launch, &[&columns[0]], &pending, true);
                let total = counted.expect("memory").resolve(&launch);
                assert_eq!(total.expect("no failure"), probed);
            }
        }
    }
}

fn read_u32(launch: &Launch, column: &DeviceColumn, rows: u64) -> Vec<u32> {
    let mut bytes = vec![0u8; rows as usize * 4];
    let values = column.values().expect("an array");
    let read = launch
        .device()
        .read_at(launch.stream(), values, 0, &mut bytes);
    read.expect("no failure");
    let words = bytes.chunks_exact(4);
    words
        .map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes")))
        .collect()
}

/// Tables that are built in parts, by one pass and by two, by parts that are too small for what
/// comes, and by so few places for what is left that the table is built anew; a key that repeats
/// shows late.
#[test]
fn large_tables_are_built_in_parts() {
    let parts = JoinTuning {
        dense_places_min: 0,
        dense_places_per_row: 0,
        parts_table_bytes_min: 0,
        small_table_bytes: 0,
        part_bytes_max: 8 << 10,
        ..JoinTuning::default()
    };
    let two_passes = JoinTuning {
        part_level_bits: 2,
        ..parts
    };
    let tight = JoinTuning {
        part_deviations: 0,
        slots_percent: 100,
        ..two_passes
    };
    let too_tight = JoinTuning {
        rest_rows_min: 0,
        hash_bits: 63, // half of the parts stay empty
        ..parts
    };
    // The greatest key's word is the mark of an empty slot.
    let mut keys: Vec<i64> = (0..4999i64)
        .map(|row| row.wrapping_mul(0x1e37_79b9_7f4a_7c15))
        .collect();
    keys.push(i64::MAX);
    for device in devices() {
        let stream = device.take_stream().expect("a stream");
        let launch = Launch::new(&device, stream);
        let absent = (0..3000i64).map(|row| row.wrapping_mul(0x1e37_79b9_7f4a_7c15) + 1);
        let probe = upload_int64(&launch, absent.chain(keys.iter().rev().copied()));
        let all = DeviceRows::known(8000);
        for (case, tuning) in [parts, two_passes, tight, too_tight]
            .into_iter()
            .enumerate()
        {
            let layout = JoinLayout::new(&[INT64], false, &tuning).expect("one key");
            let build = |keys: &[i64], need: JoinNeed| {
                let column = upload_int64(&launch, keys.iter().copied());
                let (layout, rows) = (layout.clone(), keys.len() as u64);
                JoinTable::build(&launch, layout, &[&column], rows, need, tuning).expect("memory")
            };
            let twice = [&keys[..], &keys[17..18]].concat();
            for keys in [&keys, &twice] {
                let table = build(keys, JoinNeed::Existence);
                assert_eq!(table.kind(), abi::HASH_JOIN_HASH_KEYS);
                let (kept, rows) = table
                    .select(&launch, &[&probe], &all, false)
                    .expect("memory");
                let mut kept = read_u32(&launch, &kept, rows.resolve(&launch).expect("rows"));
                kept.sort_unstable();
                assert_eq!(kept, (3000..8000).collect::<Vec<u32>>(), "case {case}");
            }
            let table = build(&keys, JoinNeed::Rows);
            assert_eq!(table.kind(), abi::HASH_JOIN_HASH_ROWS, "case {case}");
            let pairs = table.pairs(&launch, &[&probe], &all).expect("memory");
            let rows = pairs.rows.resolve(&launch).expect("rows");
            let probe_rows = read_u32(&launch, &pairs.probe_rows, rows);
            let build_rows = read_u32(&launch, &pairs.build_rows, rows);
            let mut pairs: Vec<_> = probe_rows.into_iter().zip(build_rows).collect();
            pairs.sort_unstable();
            let expected = (0..5000).map(|row| (3000 + row, 4999 - row));
            assert_eq!(pairs, expected.collect::<Vec<_>>(), "case {case}");
            let table = build(&twice, JoinNeed::Rows);
            assert_eq!(table.kind(), abi::HASH_JOIN_HASH_LISTS, "case {case}");
            let counted = table
                .count(&launch, &[&probe], &all, false)
                .expect("memory");
            assert_eq!(counted.resolve(&launch).expect("rows"), 5001, "case {case}");
        }
    }
}
