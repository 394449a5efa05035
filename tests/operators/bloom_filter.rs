//! `bloom_filter`: a value that was put in is found; filters are bit by bit those of Parquet files.

use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use pelton::kernels::bloom_filter::BloomFilter;
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::types::PhysicalType;

use crate::support::backends::devices;
use crate::support::random::{Random, for_each_case};

/// Integer layouts and the bytes of one value.
const LAYOUTS: [(PhysicalType, usize); 8] = [
    (PhysicalType::Int8, 1),
    (PhysicalType::Int16, 2),
    (PhysicalType::Int32, 4),
    (PhysicalType::Int64, 8),
    (PhysicalType::UInt8, 1),
    (PhysicalType::UInt16, 2),
    (PhysicalType::UInt32, 4),
    (PhysicalType::UInt64, 8),
];

/// A value as Parquet stores it: integers of less than 32 bits are widened to these.
fn stored(physical: PhysicalType, value: u64) -> Vec<u8> {
    match physical {
        PhysicalType::Int8 => i32::from(value as i8).to_le_bytes().to_vec(),
        PhysicalType::Int16 => i32::from(value as i16).to_le_bytes().to_vec(),
        PhysicalType::UInt8 => u32::from(value as u8).to_le_bytes().to_vec(),
        PhysicalType::UInt16 => u32::from(value as u16).to_le_bytes().to_vec(),
        PhysicalType::Int32 | PhysicalType::UInt32 => (value as u32).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

/// A column of values, null where `valid` says so, behind some rows that are sliced away.
fn upload(
    launch: &Launch,
    (physical, bytes): (PhysicalType, usize),
    values: &[u64],
    valid: Option<&[bool]>,
    offset: usize,
) -> DeviceColumn {
    let (device, stream) = (launch.device(), launch.stream());
    let mut all = vec![0xa5; offset * bytes];
    for value in values {
        all.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }
    let buffer = Arc::new(device.upload(stream, &all).expect("memory"));
    let validity = valid.map(|valid| {
        let mut bits = vec![0u8; (offset + valid.len()).div_ceil(8)];
        for (row, _) in valid.iter().enumerate().filter(|(_, valid)| **valid) {
            bits[(offset + row) / 8] |= 1 << ((offset + row) % 8);
        }
        Arc::new(device.upload(stream, &bits).expect("memory"))
    });
    let rows = values.len() as u64;
    DeviceColumn::array(physical, buffer, validity, offset as u64, rows).expect("enough bytes")
}

fn bits_of(launch: &Launch, column: &DeviceColumn, rows: usize) -> Vec<bool> {
    let mut bytes = vec![0; rows.div_ceil(8)];
    let values = column.values().expect("an array");
    let (device, stream) = (launch.device(), launch.stream());
    device
        .read_at(stream, values, 0, &mut bytes)
        .expect("no failure");
    (0..rows)
        .map(|row| bytes[row / 8] >> (row % 8) & 1 == 1)
        .collect()
}

/// The filter's bits are those that Parquet's own filter of the same size has, and both say the same
/// of every value; a null is never there.
#[test]
fn filters_are_those_of_parquet_files() {
    for_each_case("bloom_filter", |random| {
        let layout = *random.pick(&LAYOUTS);
        let rows = *random.pick(&[0, 1, 31, 33, 257, 1025]);
        let values = |random: &mut Random, rows: usize| -> Vec<u64> {
            (0..rows)
                .map(|_| random.bits() >> random.below(64))
                .collect()
        };
        let (inside, probed) = (values(random, rows), values(random, 300));
        let probed: Vec<u64> = probed.into_iter().chain(inside.iter().copied()).collect();
        let nullable = random.once_in(2);
        let valid: Vec<bool> = (0..probed.len())
            .map(|_| !nullable || !random.once_in(3))
            .collect();
        let inside_valid = &valid[..rows];
        let bits_per_value = *random.pick(&[0, 1, 10, 300]);
        let offset = random.below(9);
        for device in devices() {
            let launch = Launch::new(&device, device.take_stream().expect("a stream"));
            let nulls = nullable.then_some(inside_valid);
            let column = upload(&launch, layout, &inside, nulls, offset);
            let known = DeviceRows::known(rows as u64);
            let filter = BloomFilter::build(&launch, &column, &known, bits_per_value);
            let filter = filter.expect("memory");
            let blocks = filter.read(&launch).expect("no failure");
            assert_eq!(
                blocks.len(),
                32 * (rows * bits_per_value as usize).div_ceil(256).max(1)
            );
            let mut expected = Sbbf::new(&vec![0; blocks.len()]);
            for (value, _) in inside.iter().zip(inside_valid).filter(|(_, valid)| **valid) {
                expected.insert(stored(layout.0, *value).as_slice());
            }
            let mut written = Vec::new();
            expected.write(&mut written).expect("memory");
            assert!(written.ends_with(&blocks), "the bits of {layout:?}");

            let read = BloomFilter::of_blocks(&launch, &blocks, layout.0).expect("whole blocks");
            let nulls = nullable.then_some(valid.as_slice());
            let column = upload(&launch, layout, &probed, nulls, offset);
            let known = DeviceRows::known(probed.len() as u64);
            for filter in [&filter, &read] {
                let found = filter.probe(&launch, &column, &known).expect("memory");
                let found = bits_of(&launch, &found, probed.len());
                let says = |value: &u64| expected.check(stored(layout.0, *value).as_slice());
                let mut expected = probed
                    .iter()
                    .zip(&valid)
                    .map(|(v, valid)| *valid && says(v));
                assert!(found.iter().all(|found| expected.next() == Some(*found)));
            }
        }
    });
}

#[test]
fn what_has_no_stored_form_of_its_own_is_refused() {
    for device in devices() {
        let launch = Launch::new(&device, device.take_stream().expect("a stream"));
        let rows = DeviceRows::known(3);
        for physical in [
            PhysicalType::Float64,
            PhysicalType::Boolean,
            PhysicalType::Int128,
        ] {
            let column = DeviceColumn::scalar(physical, Some(0), 3);
            assert!(BloomFilter::build(&launch, &column, &rows, 10).is_err());
            assert!(BloomFilter::of_blocks(&launch, &[0; 32], physical).is_err());
        }
        for bytes in [0, 31, 33] {
            let blocks = vec![0; bytes];
            assert!(BloomFilter::of_blocks(&launch, &blocks, PhysicalType::Int32).is_err());
        }
        // A scalar stands for all rows, and another layout's values have other hashes.
        let seven = DeviceColumn::scalar(PhysicalType::Int32, Some(7), 3);
        let filter = BloomFilter::build(&launch, &seven, &rows, 10).expect("memory");
        let found = filter.probe(&launch, &seven, &rows).expect("memory");
        assert_eq!(bits_of(&launch, &found, 3), [true; 3]);
        let wide = DeviceColumn::scalar(PhysicalType::Int64, Some(7), 3);
        assert!(filter.probe(&launch, &wide, &rows).is_err());
    }
}
