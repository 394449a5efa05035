//! `sort`: keys alone, keys with a payload, and rows of several columns, by spread of the keys.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use pelton::Result;
use pelton::kernels::gather::gather_rows;
use pelton::kernels::sort::{Order, SortInput, SortTuning, sort_rows};
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// Milliseconds for 100 M rows: CUB's radix sort of int64 keys, libcudf's sort of a key with a payload.
const KEYS_MS: f64 = 6.7;
const PAYLOAD_MS: f64 = 13.4;

/// Days of seven years: a date's range.
const DATES: u64 = 2557;

/// Rows sorted and read back before a case is timed.
struct Sorts {
    keys: Vec<DeviceColumn>,
    payload: Vec<DeviceColumn>,
    rows: u64,
}

impl Sorts {
    fn new(keys: Vec<DeviceColumn>, payload: Vec<DeviceColumn>) -> Sorts {
        Sorts {
            keys,
            payload,
            rows: rows(),
        }
    }

    /// All columns in the order of the keys: what `finish` of the operator does.
    fn sorted(&self, launch: &Launch) -> Result<(Vec<DeviceColumn>, Vec<DeviceColumn>)> {
        let inputs = self.keys.iter().map(|column| SortInput {
            column,
            descending: false,
            nulls_first: false,
            wanted: true,
        });
        let inputs: Vec<SortInput> = inputs.collect();
        let others = !self.payload.is_empty();
        let sorted = sort_rows(launch, &inputs, self.rows, others, &SortTuning::default())?;
        let shown = sorted.keys.iter().zip(&self.keys);
        let payload: Vec<&DeviceColumn> = self.payload.iter().collect();
        let Order::Rows(numbers) = &sorted.order else {
            let keys = shown.map(|(shown, key)| shown.clone().unwrap_or_else(|| key.clone()));
            return Ok((keys.collect(), self.payload.clone()));
        };
        let all = DeviceRows::known(self.rows);
        let status = Status::new(launch, "gather_rows")?;
        let gather =
            |columns: &[&DeviceColumn]| gather_rows(launch, numbers, &all, columns, &all, &status);
        let mut keys = Vec::new();
        for (shown, key) in shown {
            match shown {
                Some(shown) => keys.push(shown.clone()),
                None => keys.extend(gather(&[key])?),
            }
        }
        Ok((keys, gather(&payload)?))
    }

    fn run(
        &self,
        bench: &mut Bench,
        criterion: &mut criterion::Criterion,
        id: &str,
        row_bytes: u64,
        peer_ms: Option<f64>,
    ) {
        let case = Case {
            id: format!("sort/{id}/rows={}", self.rows),
            rows: self.rows,
            bytes: self.rows * row_bytes,
            peer_ms,
            clock: Clock::Wall, // the host waits for the keys' ranges
        };
        bench.run(criterion, &case, |launch| self.sorted(launch).map(drop));
    }
}

/// A column of 32-bit values, made by index.
fn halves(bench: &Bench, physical: PhysicalType, value: impl Fn(u64) -> u32) -> DeviceColumn {
    let bytes: Vec<u8> = (0..rows())
        .flat_map(|row| value(row).to_ne_bytes())
        .collect();
    let buffer = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    DeviceColumn::array(physical, buffer, None, 0, rows()).unwrap()
}

/// What a payload value says of its key, so that both can be seen to have stayed together.
fn mark(word: u64) -> u64 {
    mixed(word) >> 12
}

/// Words in order, as many as went in and with their sum.
fn verify(words: impl Iterator<Item = i128>, expected_sum: i128) {
    let (mut last, mut sum) = (i128::MIN, 0i128);
    for word in words {
        assert!(last <= word, "words in order");
        (last, sum) = (word, sum + word);
    }
    assert_eq!(sum, expected_sum, "the words that went in");
}

/// The key of a row.
type Spread = fn(u64) -> u64;

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let rows = rows();
    let signed = |word: u64| i128::from(word.cast_signed());
    let spreads: [(&str, Spread); 4] = [
        ("random", mixed),
        ("sorted", |row| row << 20),
        ("equal", |_| 42),
        ("few", |row| mixed(row) % 100),
    ];
    for (name, key) in spreads {
        let keys = bench.words(PhysicalType::Int64, rows, key);
        let sorts = Sorts::new(vec![keys], Vec::new());
        {
            let (keys, _) = sorts.sorted(&bench.launch()).unwrap();
            let words = bench.read_words(&keys[0], rows).into_iter();
            verify(
                words.map(signed),
                (0..rows).map(|row| signed(key(row))).sum(),
            );
        }
        let passes = if name == "random" { 8 } else { 1 };
        let peer = (name == "random").then_some(KEYS_MS);
        let id = format!("keys=i64/{name}");
        sorts.run(&mut bench, &mut criterion, &id, 8 + 16 * passes, peer);
    }
    {
        let keys = bench.words(PhysicalType::UInt64, rows, mixed);
        let sorts = Sorts::new(vec![keys], Vec::new());
        let (keys, _) = sorts.sorted(&bench.launch()).unwrap();
        let words = bench.read_words(&keys[0], rows).into_iter();
        verify(
            words.map(i128::from),
            (0..rows).map(|row| i128::from(mixed(row))).sum(),
        );
        sorts.run(
            &mut bench,
            &mut criterion,
            "keys=u64/random",
            8 + 16 * 8,
            None,
        );
    }
    narrow(&mut bench, &mut criterion);
    payload(&mut bench, &mut criterion);
    two_keys(&mut bench, &mut criterion);
    wide_rows(&mut bench, &mut criterion);
    bench.finish();
}

fn narrow(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    let key = |row: u64| mixed(row) as u32;
    let sorts = Sorts::new(vec![halves(bench, PhysicalType::UInt32, key)], Vec::new());
    let (keys, _) = sorts.sorted(&bench.launch()).unwrap();
    let words = bench.read_words(&keys[0], sorts.rows / 2).into_iter();
    let words = words.flat_map(|word| [word as u32, (word >> 32) as u32]);
    if sorts.rows.is_multiple_of(2) {
        let sum = (0..sorts.rows).map(|row| i128::from(key(row))).sum();
        verify(words.map(i128::from), sum);
    }
    sorts.run(bench, criterion, "keys=u32/random", 4 + 8 * 4, None);
}

fn payload(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    let keys = bench.words(PhysicalType::Int64, rows(), mixed);
    let values = bench.words(PhysicalType::Float64, rows(), |row| mark(mixed(row)));
    let sorts = Sorts::new(vec![keys], vec![values]);
    let (keys, values) = sorts.sorted(&bench.launch()).unwrap();
    let keys = bench.read_words(&keys[0], sorts.rows);
    let values = bench.read_words(&values[0], sorts.rows);
    assert!(
        keys.iter()
            .zip(values)
            .all(|(key, value)| mark(*key) == value),
        "payload and key stay together"
    );
    let signed = |word: u64| i128::from(word.cast_signed());
    let sum = (0..sorts.rows).map(|row| signed(mixed(row))).sum();
    verify(keys.into_iter().map(signed), sum);
    let row_bytes = 8 + 20 + 7 * 24 + 4 + 32 + 8;
    sorts.run(
        bench,
        criterion,
        "keys=i64/payload=f64",
        row_bytes,
        Some(PAYLOAD_MS),
    );
}

/// A date and an int64 of 40 bits: 52 bits in all.
fn two_keys(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    let date = |row: u64| (mixed(row) % DATES) as u32;
    let number = |row: u64| mixed(row ^ 1 << 40) >> 24;
    let dates = halves(bench, PhysicalType::Int32, date);
    let numbers = bench.words(PhysicalType::Int64, rows(), number);
    let sorts = Sorts::new(vec![dates, numbers], Vec::new());
    let (keys, _) = sorts.sorted(&bench.launch()).unwrap();
    let numbers = bench.read_words(&keys[1], sorts.rows);
    let dates = bench.read_words(&keys[0], sorts.rows / 2).into_iter();
    let dates = dates.flat_map(|word| [word as u32, (word >> 32) as u32]);
    if sorts.rows.is_multiple_of(2) {
        let pair = |date: u32, number: u64| i128::from(date) << 40 | i128::from(number);
        let sum = (0..sorts.rows)
            .map(|row| pair(date(row), number(row)))
            .sum();
        verify(
            dates.zip(numbers).map(|(date, number)| pair(date, number)),
            sum,
        );
    }
    let row_bytes = 12 + 20 + 16 * 7 + 20;
    sorts.run(bench, criterion, "keys=date,i64", row_bytes, None);
}

/// One key and seven columns more.
fn wide_rows(bench: &mut Bench, criterion: &mut criterion::Criterion) {
    let keys = bench.words(PhysicalType::Int64, rows(), mixed);
    let values = |_| bench.words(PhysicalType::Int64, rows(), |row| mark(mixed(row)));
    let sorts = Sorts::new(vec![keys], (0..7).map(values).collect());
    let (keys, columns) = sorts.sorted(&bench.launch()).unwrap();
    let keys = bench.read_words(&keys[0], sorts.rows);
    assert!(
        keys.iter().map(|key| key.cast_signed()).is_sorted(),
        "words in order"
    );
    for column in &columns {
        let values = bench.read_words(column, sorts.rows);
        assert!(
            keys.iter()
                .zip(values)
                .all(|(key, value)| mark(*key) == value),
            "columns and key stay together"
        );
    }
    let row_bytes = 8 + 20 + 7 * 24 + 4 + 7 * 40;
    sorts.run(bench, criterion, "keys=i64/columns=8", row_bytes, None);
}
