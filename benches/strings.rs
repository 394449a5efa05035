//! `strings`: functions of codes by tables, and of views by their bytes, which are like the comments
//! of orders: words of an English sentence, 27 bytes on average.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;

use criterion::Criterion;
use pelton::Result;
use pelton::kernels::strings::{self, Dfa, Form, LikeProgram, Measure, Slice, Table};
use pelton::kernels::text::text_collect;
use pelton::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi, project};
use pelton::types::PhysicalType;
use support::{Bench, Case, Clock, mixed, rows};

/// Distinct strings of the codes.
const ENTRIES: u64 = 150;

const WORDS: [&str; 24] = [
    "furiously",
    "regular",
    "special",
    "requests",
    "the",
    "carefully",
    "final",
    "deposits",
    "sleep",
    "blithely",
    "even",
    "accounts",
    "are",
    "quickly",
    "bold",
    "packages",
    "ironic",
    "pending",
    "ac",
    "express",
    "foxes",
    "haggle",
    "about",
    "un",
];

/// How a case is timed, and the bytes that it moves.
struct Run<'a> {
    id: &'a str,
    rows: u64,
    bytes: f64,
    clock: Clock,
}

fn run(
    bench: &mut Bench,
    criterion: &mut Criterion,
    case: Run,
    work: impl Fn(&Launch) -> Result<DeviceColumn>,
) {
    let case = Case {
        id: format!("strings/{}", case.id),
        rows: case.rows,
        bytes: case.bytes as u64,
        peer_ms: None,
        clock: case.clock,
    };
    bench.run(criterion, &case, |launch| work(launch).map(drop));
}

fn comment(row: u64) -> String {
    let draw = mixed(row);
    let count = 2 + draw % 5;
    let word = |place: u64| WORDS[(mixed(row * 8 + place) % WORDS.len() as u64) as usize];
    (0..count).map(word).collect::<Vec<_>>().join(" ")
}

/// Views of comments that lie behind one another, and how many bytes those have.
fn views(bench: &Bench, rows: u64, seed: u64) -> (DeviceColumn, u64) {
    let (mut text, mut ends) = (Vec::new(), vec![0u64]);
    for row in 0..rows {
        text.extend(comment(row + seed).as_bytes());
        ends.push(text.len() as u64);
    }
    let buffer = Arc::new(bench.device.upload(bench.stream, &text).unwrap());
    let mut bytes = Vec::with_capacity(16 * rows as usize);
    for ends in ends.windows(2) {
        bytes.extend((buffer.address() + ends[0]).to_ne_bytes());
        bytes.extend((ends[1] - ends[0]).to_ne_bytes());
    }
    let values = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    let column = DeviceColumn::array(PhysicalType::View, values, None, 0, rows).unwrap();
    (column.keeping(Arc::from([buffer])), text.len() as u64)
}

fn table(bench: &Bench, physical: PhysicalType, bytes: &[u8]) -> Table {
    Table {
        physical,
        values: Arc::new(bench.device.upload(bench.stream, bytes).unwrap()),
        entries: ENTRIES,
        kept: Arc::default(),
    }
}

/// The first rows of a Boolean column must be what a closure says of the comments.
fn verify(bench: &Bench, column: &DeviceColumn, expected: impl Fn(&str) -> bool) {
    let count = column.rows().min(1000);
    let mut bits = vec![0; count.div_ceil(8) as usize];
    let values = column.values().unwrap();
    bench.device.read(bench.stream, values, &mut bits).unwrap();
    for row in 0..count {
        let got = bits[row as usize / 8] >> (row % 8) & 1 == 1;
        assert_eq!(got, expected(&comment(row)), "row {row}");
    }
}

/// The first strings of a column must be what a closure makes of the comments.
fn verify_text(bench: &Bench, column: &DeviceColumn, expected: impl Fn(&str) -> String) {
    let count = column.rows().min(1000);
    let (_, bytes, length) = text_collect(&bench.launch(), column, count).unwrap();
    let mut got = vec![0; length as usize];
    bench.device.read(bench.stream, &bytes, &mut got).unwrap();
    let expected: String = (0..count).map(|row| expected(&comment(row))).collect();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

fn codes(bench: &mut Bench, c: &mut Criterion) {
    let n = rows();
    let all = DeviceRows::known(n);
    let code = |row: u64| (mixed(row) % ENTRIES) as u32;
    let bytes: Vec<u8> = (0..n).flat_map(|row| code(row).to_ne_bytes()).collect();
    let values = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    let codes = DeviceColumn::array(PhysicalType::UInt32, values, None, 0, n).unwrap();
    let bits: Vec<u8> = (0..ENTRIES.div_ceil(8))
        .map(|byte| mixed(byte) as u8)
        .collect();
    let words: Vec<u8> = (0..ENTRIES)
        .flat_map(|e| (mixed(e) as u32).to_ne_bytes())
        .collect();
    let like = table(bench, PhysicalType::Boolean, &bits);
    let substring = table(bench, PhysicalType::UInt32, &words);
    let got = strings::lookup(&bench.launch(), &codes, &like, &all).unwrap();
    let mut read = vec![0; n.min(1000).div_ceil(8) as usize];
    bench
        .device
        .read(bench.stream, got.values().unwrap(), &mut read)
        .unwrap();
    for row in 0..n.min(1000) {
        let entry = code(row);
        let expected = bits[entry as usize / 8] >> (entry % 8) & 1;
        assert_eq!(
            read[row as usize / 8] >> (row % 8) & 1,
            expected,
            "row {row}"
        );
    }
    drop(got);
    let case = |id, per_row: f64| Run {
        id,
        rows: n,
        bytes: n as f64 * per_row,
        clock: Clock::Events,
    };
    run(bench, c, case("codes/like", 4.125), |launch| {
        strings::lookup(launch, &codes, &like, &all)
    });
    run(bench, c, case("codes/substring", 8.0), |launch| {
        strings::lookup(launch, &codes, &substring, &all)
    });
    run(bench, c, case("codes/less", 24.125), |launch| {
        let left = strings::lookup(launch, &codes, &substring, &all)?;
        let right = strings::lookup(launch, &codes, &substring, &all)?;
        project::compare(launch, abi::PROJECT_LESS, &left, &right, &all)
    });
}

/// The DFA of `special.*requests`, as its states' next ones: for each letter that goes on, else back.
fn special_requests(launch: &Launch) -> Dfa {
    let letters = "special requests";
    let (first, second) = letters.split_once(' ').unwrap();
    let mut table: Vec<u16> = [vec![0; 257], vec![1; 257]].concat();
    for (start, word) in [(2u16, first), (2 + first.len() as u16, second)] {
        for (place, _) in word.char_indices() {
            for byte in 0..=255u8 {
                // The longest end of what was read that the word begins with.
                let mut read = word.as_bytes()[..place].to_vec();
                read.push(byte);
                let kept = (0..=read.len()).find(|cut| word.as_bytes().starts_with(&read[*cut..]));
                let next = start + (read.len() - kept.unwrap()) as u16;
                let last = next == start + word.len() as u16 && start > 2;
                table.push(if last { 1 } else { next });
            }
            table.push(0);
        }
    }
    // 256 bytes and the end make 257 classes; the bytes that no word has are one.
    let mut kinds: Vec<usize> = (0..256)
        .filter(|byte| letters.bytes().any(|b| b as usize == *byte))
        .collect();
    kinds.extend([0, 256]);
    let other = kinds.len() - 2;
    let class = |byte: usize| {
        kinds[..other]
            .iter()
            .position(|k| *k == byte)
            .unwrap_or(other) as u8
    };
    let classes: [u8; 256] = std::array::from_fn(class);
    let narrow = table
        .chunks(257)
        .flat_map(|row| kinds.iter().map(|kind| row[*kind]));
    let narrow: Vec<u16> = narrow.collect();
    Dfa::new(launch, &narrow, &classes, kinds.len() as u32, 2).unwrap()
}

fn of_views(bench: &mut Bench, c: &mut Criterion) {
    let n = rows() / 5;
    let all = DeviceRows::known(n);
    let ((left, bytes), (right, _)) = (views(bench, n, 0), views(bench, n, 1));
    let launch = Launch::new(&bench.device, bench.stream);
    let status = Status::new(&launch, "strings").unwrap();
    let constant = strings::constant(&launch, "even accounts", &all).unwrap();
    let piece = |text: &str| text.chars().map(Some).collect::<Vec<_>>();
    let like = LikeProgram::new(&[piece("special"), piece("requests")], false, false).unwrap();
    let contains = LikeProgram::new(&[piece("haggle")], false, false).unwrap();
    let prefix = LikeProgram::new(&[piece("regular")], true, false).unwrap();
    let dfa = special_requests(&launch);
    let is_special = |text: &str| {
        let behind = text.split_once("special");
        behind.is_some_and(|(_, behind)| behind.contains("requests"))
    };
    verify(
        bench,
        &strings::like(&launch, &left, &like, &all).unwrap(),
        is_special,
    );
    verify(
        bench,
        &strings::dfa(&launch, &left, &dfa, &all).unwrap(),
        is_special,
    );
    let found = strings::like(&launch, &left, &contains, &all).unwrap();
    verify(bench, &found, |text| text.contains("haggle"));
    let found = strings::compare(&launch, abi::PROJECT_EQUAL, &left, &constant, &all).unwrap();
    verify(bench, &found, |text| text == "even accounts");
    let upper = strings::ascii_case(&launch, &left, true, &all)
        .unwrap()
        .unwrap();
    verify_text(bench, &upper, str::to_uppercase);
    let part = strings::slice(&launch, &left, Slice::SkipTake(2, 10), &all).unwrap();
    verify_text(bench, &part, |text| text.chars().skip(2).take(10).collect());
    let both = strings::concat(&launch, &[&left, &left], Some("-"), &all, &status).unwrap();
    verify_text(bench, &both, |text| format!("{text}-{text}"));
    let replaced = strings::replace(&launch, &left, ("special", "x"), &all, &status).unwrap();
    verify_text(bench, &replaced, |text| text.replace("special", "x"));
    drop((upper, part, both, replaced, found));

    let (count, text) = (n as f64, bytes as f64);
    let case = |id, bytes: f64| Run {
        id,
        rows: n,
        bytes,
        clock: Clock::Events,
    };
    let read = 16.0 * count + text;
    run(
        bench,
        c,
        case("views/equal-literal", 16.125 * count),
        |launch| strings::compare(launch, abi::PROJECT_EQUAL, &left, &constant, &all),
    );
    // Only strings of equal length are read.
    run(bench, c, case("views/equal", 32.125 * count), |launch| {
        strings::compare(launch, abi::PROJECT_EQUAL, &left, &right, &all)
    });
    run(
        bench,
        c,
        case("views/like=prefix", 24.125 * count),
        |launch| strings::like(launch, &left, &prefix, &all),
    );
    run(
        bench,
        c,
        case("views/like=special-requests", read + count / 8.0),
        |launch| strings::like(launch, &left, &like, &all),
    );
    run(
        bench,
        c,
        case("views/contains", read + count / 8.0),
        |launch| strings::like(launch, &left, &contains, &all),
    );
    run(
        bench,
        c,
        case("views/regex", read + count / 8.0),
        |launch| strings::dfa(launch, &left, &dfa, &all),
    );
    run(
        bench,
        c,
        case("views/length", read + 4.0 * count),
        |launch| strings::measure(launch, &left, Measure::Characters, &all),
    );
    run(
        bench,
        c,
        case("views/substring", (16.0 + 16.0 + 12.0) * count),
        |launch| strings::slice(launch, &left, Slice::SkipTake(2, 10), &all),
    );
    let wall = |id, bytes: f64| Run {
        id,
        rows: n,
        bytes,
        clock: Clock::Wall,
    };
    let written = (16.0 + 16.0 + 16.0 + 16.0) * count;
    run(
        bench,
        c,
        wall("views/upper", written + 2.0 * text),
        |launch| Ok(strings::ascii_case(launch, &left, true, &all)?.unwrap()),
    );
    let twice = 16.0 * (2.0 * 2.0 + 2.0 + 2.0 + 1.0) * count;
    run(
        bench,
        c,
        wall("views/concat", twice + 4.0 * text),
        |launch| strings::concat(launch, &[&left, &left], Some("-"), &all, &status),
    );
    run(
        bench,
        c,
        wall("views/replace", written + 16.0 * count + 3.0 * text),
        |launch| strings::replace(launch, &left, ("special", "x"), &all, &status),
    );
}

/// Values as text, and the places of strings among bounds.
fn texts(bench: &mut Bench, c: &mut Criterion) {
    let n = rows() / 5;
    let all = DeviceRows::known(n);
    let launch = Launch::new(&bench.device, bench.stream);
    let value = |row: u64| mixed(row) % 100_000_000;
    let integers = bench.words(PhysicalType::Int64, n, value);
    let text = |form| strings::format(&launch, &integers, form, &all).map(|text| text.column);
    verify_rows(bench, &text(Form::Number(0)).unwrap(), |row| {
        value(row).to_string()
    });
    verify_rows(bench, &text(Form::Number(2)).unwrap(), |row| {
        format!("{}.{:02}", value(row) / 100, value(row) % 100)
    });
    let (comments, bytes) = views(bench, n, 0);
    let mut bounds: Vec<String> = (0..255).map(|bound| comment(n + bound)).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let places = strings::place(&launch, &comments, &views_of(bench, &bounds), &all).unwrap();
    let mut got = vec![0; 4 * n.min(1000) as usize];
    let values = places.values().unwrap();
    bench.device.read(bench.stream, values, &mut got).unwrap();
    for (row, place) in (0..).zip(got.chunks_exact(4)) {
        let expected = match bounds.binary_search(&comment(row)) {
            Ok(equal) => 2 * equal + 1,
            Err(below) => 2 * below,
        };
        assert_eq!(place, (expected as i32).to_ne_bytes(), "row {row}");
    }
    let case = |id, per_row: f64| Run {
        id,
        rows: n,
        bytes: n as f64 * per_row,
        clock: Clock::Events,
    };
    // A value, a view and the room of the longest text.
    for (id, form, per_row) in [
        ("format/i64", Form::Number(0), 8.0 + 16.0 + 24.0),
        ("format/decimal64", Form::Number(2), 8.0 + 16.0 + 24.0),
        (
            "format/timestamp_micros",
            Form::Timestamp(abi::TEMPORAL_MICROS),
            8.0 + 16.0 + 32.0,
        ),
    ] {
        run(bench, c, case(id, per_row), |launch| {
            strings::format(launch, &integers, form, &all).map(|text| text.column)
        });
    }
    let views = views_of(bench, &bounds);
    let per_row = 16.0 + 4.0 + bytes as f64 / n as f64;
    run(bench, c, case("place/bounds=255", per_row), |launch| {
        strings::place(launch, &comments, &views, &all)
    });
}

/// The first strings of a column must be what a closure says of their rows.
fn verify_rows(bench: &Bench, column: &DeviceColumn, expected: impl Fn(u64) -> String) {
    let count = column.rows().min(1000);
    let (_, bytes, length) = text_collect(&bench.launch(), column, count).unwrap();
    let mut got = vec![0; length as usize];
    bench.device.read(bench.stream, &bytes, &mut got).unwrap();
    let expected: String = (0..count).map(expected).collect();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

/// Views of strings that lie behind one another.
fn views_of(bench: &Bench, strings: &[String]) -> DeviceColumn {
    let text = strings.concat();
    let buffer = Arc::new(bench.device.upload(bench.stream, text.as_bytes()).unwrap());
    let (mut address, mut bytes) = (buffer.address(), Vec::new());
    for string in strings {
        bytes.extend(address.to_ne_bytes());
        bytes.extend((string.len() as u64).to_ne_bytes());
        address += string.len() as u64;
    }
    let values = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    let rows = strings.len() as u64;
    let column = DeviceColumn::array(PhysicalType::View, values, None, 0, rows).unwrap();
    column.keeping(Arc::from([buffer]))
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    codes(&mut bench, &mut criterion);
    of_views(&mut bench, &mut criterion);
    texts(&mut bench, &mut criterion);
    bench.finish();
}
