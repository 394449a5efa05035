//! The launcher's buffer and table: the wire layout, under hostile tunings.

use std::sync::Arc;

use pelton::device::Device;
use pelton::kernels::shuffle_partition::{
    CodeWords, PackedLayout, PackedPartitions, PackedTable, ShuffleBy, ShuffleHashKey,
    ShuffleTuning, shuffle_partition,
};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch};
use pelton::operators::{KeyHash, integer_word};
use pelton::types::PhysicalType;

use crate::support::backends::devices;

/// Rows whose every value follows from their number.
struct Numbered {
    columns: Vec<DeviceColumn>,
    rows: u64,
}

/// Rows skipped at the start of the columns.
const OFFSET: u64 = 3;

fn upload(launch: &Launch, bytes: &[u8]) -> Arc<pelton::device::DeviceBuffer> {
    let buffer = launch.device().upload(launch.stream(), bytes);
    Arc::new(buffer.expect("there is memory"))
}

fn bits(rows: u64, bit: impl Fn(u64) -> bool) -> Vec<u8> {
    let byte = |byte| (0..8).fold(0, |bits, at| bits | u8::from(bit(byte * 8 + at)) << at);
    (0..(rows + OFFSET).div_ceil(8)).map(byte).collect()
}

/// The bit of a number, and whether it is there.
fn bit_of(number: u64) -> (bool, bool) {
    (number.is_multiple_of(3), !number.is_multiple_of(5))
}

impl Numbered {
    /// A number, a Boolean with nulls, a byte, 128 bits, a scalar and a null, each of them sliced.
    fn new(launch: &Launch, rows: u64) -> Numbered {
        let number = |at: u64| at.wrapping_sub(OFFSET);
        let all = || (0..rows + OFFSET).map(number);
        let array = |physical, bytes: Vec<u8>, validity: Option<Vec<u8>>| {
            let validity = validity.map(|bits| upload(launch, &bits));
            let column =
                DeviceColumn::array(physical, upload(launch, &bytes), validity, OFFSET, rows);
            column.expect("enough bytes")
        };
        let words = |physical, word: fn(u64) -> u64| {
            array(
                physical,
                all().flat_map(|n| word(n).to_le_bytes()).collect(),
                None,
            )
        };
        let wide = all().flat_map(|n| (u128::from(n) << 64 | 1).to_le_bytes());
        let columns = vec![
            words(PhysicalType::Int64, |number| number),
            array(
                PhysicalType::Boolean,
                bits(rows, |at| bit_of(number(at)).0),
                Some(bits(rows, |at| bit_of(number(at)).1)),
            ),
            array(PhysicalType::UInt8, all().map(|n| n as u8).collect(), None),
            array(PhysicalType::Int128, wide.collect(), None),
            DeviceColumn::scalar(PhysicalType::Int16, Some(77), rows),
            DeviceColumn::scalar(PhysicalType::Float32, None, rows),
        ];
        Numbered { columns, rows }
    }

    fn split(&self, launch: &Launch, partitions: u32, tuning: ShuffleTuning) -> PackedPartitions {
        let columns: Vec<&DeviceColumn> = self.columns.iter().collect();
        let rows = DeviceRows::known(self.rows);
        let keys = [ShuffleHashKey {
            column: &self.columns[0],
            words: None,
        }];
        let by = ShuffleBy::Hash(&keys);
        shuffle_partition(launch, &columns, &rows, partitions, by, tuning).expect("it splits")
    }
}

/// All bytes of a buffer up to `bytes`.
fn read(launch: &Launch, buffer: &pelton::device::DeviceBuffer, bytes: u64) -> Vec<u8> {
    let mut host = vec![0; bytes as usize];
    let read = launch.device().read(launch.stream(), buffer, &mut host);
    read.expect("the stream is well");
    host
}

/// The sections of a partition, by the documentation alone: name, first byte, bytes in use.
fn sections(start: u64, rows: u64) -> Vec<(&'static str, usize, usize)> {
    let bitmap = rows.div_ceil(8);
    let sizes = [
        ("number", rows * 8),
        ("bit", bitmap),
        ("bit's validity", bitmap),
        ("byte", rows),
        ("wide", rows * 16),
        ("scalar", rows * 2),
        ("null", rows * 4),
        ("null's validity", bitmap),
    ];
    let mut at = start;
    let place = |(name, bytes): (_, u64)| {
        let section = (name, at as usize, bytes as usize);
        at += bytes.next_multiple_of(64);
        section
    };
    sizes.map(place).to_vec()
}

fn check_partition(bytes: &[u8], start: u64, rows: u64, is_own: impl Fn(u64) -> bool) -> Vec<u64> {
    let sections = sections(start, rows);
    for (name, at, used) in &sections {
        let padding = &bytes[at + used..at + used.next_multiple_of(64)];
        assert!(
            padding.iter().all(|byte| *byte == 0),
            "the padding of {name}"
        );
    }
    let section = |index: usize| {
        let (_, at, used) = sections[index];
        &bytes[at..at + used]
    };
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let bit = |index: usize, row: usize| section(index)[row / 8] >> (row % 8) & 1 == 1;
    let numbers: Vec<u64> = section(0).chunks_exact(8).map(word).collect();
    for (row, &number) in numbers.iter().enumerate() {
        assert!(is_own(number), "row {number} is in another's partition");
        let (value, valid) = bit_of(number);
        assert_eq!(
            (bit(1, row), bit(2, row)),
            (value, valid),
            "the bit of row {number}"
        );
        assert_eq!(section(3)[row], number as u8, "the byte of row {number}");
        let wide = &section(4)[row * 16..row * 16 + 16];
        assert_eq!(
            (word(&wide[..8]), word(&wide[8..])),
            (1, number),
            "128 bits of {number}"
        );
        assert_eq!(
            section(5)[row * 2..row * 2 + 2],
            [77, 0],
            "the scalar of row {number}"
        );
        assert!(!bit(7, row), "the null of row {number}");
    }
    numbers
}

fn check(device: &Arc<Device>, rows: u64, partitions: u32, tuning: ShuffleTuning) {
    let stream = device.take_stream().expect("a stream");
    let launch = Launch::new(device, stream);
    let packed = Numbered::new(&launch, rows).split(&launch, partitions, tuning);
    let table: PackedTable = packed.resolve(&launch).expect("the stream is well");
    let end = table.bytes(partitions as usize - 1).end;
    let bytes = read(&launch, packed.buffer(), end);
    let of = |number: u64| {
        KeyHash::START
            .and(integer_word(number.into()))
            .partition(partitions)
    };
    let mut all = Vec::new();
    for partition in 0..partitions as usize {
        let (range, own_rows) = (table.bytes(partition), table.rows(partition));
        assert_eq!(
            range.end - range.start,
            packed.layout().bytes(own_rows),
            "bytes by layout"
        );
        let is_own = |number| of(number) == partition as u32;
        all.extend(check_partition(&bytes, range.start, own_rows, is_own));
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..rows), "every row comes once");

    // The device's table says the same, section by section.
    let words = partitions as usize * 9 + 1;
    let words = read(&launch, packed.device_table(), words as u64 * 8);
    let words: Vec<u64> = words
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")))
        .collect();
    let (counts, starts) = words.split_at(partitions as usize);
    for (partition, &count) in counts.iter().enumerate() {
        assert_eq!(count, table.rows(partition));
        for (index, (name, at, _)) in sections(table.bytes(partition).start, count)
            .iter()
            .enumerate()
        {
            let word = starts[index * partitions as usize + partition];
            assert_eq!(word, *at as u64, "{name} of partition {partition}");
        }
    }
    assert_eq!(starts.last(), Some(&end));
    device.give_back_stream(stream);
}

#[test]
fn the_buffer_is_what_its_documentation_says() {
    for device in devices() {
        for tile_rows in [0, 1, 32, 96, 8192] {
            let tuning = ShuffleTuning {
                tile_rows,
                blocks_per_multiprocessor: 1,
            };
            for (rows, partitions) in [(0, 2), (1, 5), (700, 2), (2_500, 9), (3_000, 1000)] {
                check(&device, rows, partitions, tuning);
            }
        }
        check(&device, 20_000, 4096, ShuffleTuning::default());
        check(&device, 40_000, 3, ShuffleTuning::default());
    }
}

#[test]
fn a_partition_is_columns_again_wherever_its_bytes_are() {
    for device in devices() {
        let stream = device.take_stream().expect("a stream");
        let launch = Launch::new(&device, stream);
        let packed = Numbered::new(&launch, 1_000).split(&launch, 3, ShuffleTuning::default());
        let table = packed.resolve(&launch).expect("the stream is well");
        let (range, rows) = (table.bytes(1), table.rows(1));
        let whole = read(&launch, packed.buffer(), range.end);
        // As if another rank had received it, behind something else.
        let mut received = vec![0xee; 128];
        received.extend(&whole[range.start as usize..]);
        let received = upload(&launch, &received);
        let columns = packed
            .layout()
            .columns(&received, 128, rows)
            .expect("it is within");
        let own = packed.columns(&table, 1).expect("its own table");
        drop(packed);
        for (own, other) in own.iter().zip(&columns) {
            for (a, b) in [
                (own.values(), other.values()),
                (own.validity(), other.validity()),
            ] {
                assert_eq!(a.is_some(), b.is_some());
                let (Some(a), Some(b)) = (a, b) else {
                    continue;
                };
                assert_eq!(read(&launch, a, a.bytes()), read(&launch, b, b.bytes()));
            }
        }
        let layout: &PackedLayout = &PackedLayout::new(vec![(PhysicalType::Int64, false)]);
        let beyond = layout.columns(&received, 64, u64::from(u32::MAX));
        let beyond = beyond.expect_err("so many rows are not there");
        assert!(
            beyond.to_string().starts_with("packed partition: "),
            "{beyond}"
        );
        layout
            .columns(&received, 8, 1)
            .expect_err("not at a multiple of 64");
        drop((own, columns, received));
        device.give_back_stream(stream);
    }
}

#[test]
fn arguments_that_do_not_fit_are_invalid() {
    for device in devices() {
        let stream = device.take_stream().expect("a stream");
        let launch = Launch::new(&device, stream);
        let column = DeviceColumn::scalar(PhysicalType::Int64, Some(1), 10);
        let words = CodeWords::new(&launch, &[1, 2]).expect("there is memory");
        let key = ShuffleHashKey {
            column: &column,
            words: None,
        };
        let coded = ShuffleHashKey {
            words: Some(&words),
            ..key
        };
        let tuning = ShuffleTuning::default();
        let (ten, eleven) = (DeviceRows::known(10), DeviceRows::known(11));
        let (one, many, of_codes) = ([key], [key; 17], [coded]);
        let cases = [
            (&ten, 1, ShuffleBy::Hash(&one), "1 partitions"),
            (&ten, 4097, ShuffleBy::Hash(&one), "4097 partitions"),
            (&ten, 2, ShuffleBy::Hash(&many), "17 keys"),
            (
                &ten,
                2,
                ShuffleBy::Hash(&of_codes),
                "words for a key that has no codes",
            ),
            (
                &eleven,
                2,
                ShuffleBy::RoundRobin { start: 0 },
                "a column of 10 rows, of 11",
            ),
        ];
        for (rows, partitions, by, message) in cases {
            let split = shuffle_partition(&launch, &[&column], rows, partitions, by, tuning);
            let error = split.expect_err(message).to_string();
            assert_eq!(error, format!("shuffle_partition: {message}"));
        }
        drop(words);
        device.give_back_stream(stream);
    }
}
