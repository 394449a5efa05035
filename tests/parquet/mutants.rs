//! Hostile files: good ones with bytes changed, read by the CPU and by the emulated kernels. Both
//! give the same rows or both refuse the file, in little time and within the memory limits, and
//! nobody panics.
//!
//! `PELTON_MUTANTS` sets how many files are read, `PELTON_MUTANT` reads one alone and says more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use pelton::prelude::*;
use pelton::storage::ParquetFile;
use pelton::{Error, ErrorKind};

use super::files::{properties, retyped};
use super::support::random::Random;
use super::support::tables::{Domain, batch, schema};

/// Mutants that `cargo test` reads.
const MUTANTS: u64 = 2000;

/// Mutants that got different verdicts once, each for a reason of its own.
const ONCE_DIFFERENT: [u64; 31] = [
    36, 281, 502, 1872, 1980, 2381, 2951, 3006, 3364, 3425, 3466, 3497, 3731, 4101, 4307, 4776,
    5619, 5988, 6263, 6731, 6908, 6930, 7233, 7706, 9507, 10996, 12007, 13105, 13213, 14319, 17097,
];

/// Mutants of one good file, one after the other.
const MUTANTS_PER_FILE: u64 = 10;

/// A file that takes longer, on either engine, is a failure.
const READ_MAX: Duration = Duration::from_secs(2);

/// When the test gives up waiting: the reader hangs.
const HANG: Duration = Duration::from_secs(60);

/// Memory that the process of this test alone may ever have held: the limits of both engines' tiers.
const RESIDENT_BYTES_MAX: u64 = 2 << 30;

/// A good file is read on the engine that met the bad ones, once per so many.
const GOOD_EVERY: u64 = 20;

/// Real files are used up to this size.
const FILE_BYTES_MAX: u64 = 6 << 10;

/// What one mutation does, as the material's reference mutator has it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mutation {
    /// One bit of the footer.
    FlipFooter,
    /// One bit of the pages.
    FlipPage,
    /// Up to 16 bytes anywhere become others.
    FlipAny,
    /// The end is cut off.
    Truncate,
    /// Some bytes become 0.
    ZeroRun,
    /// Some bytes become 0xff.
    OnesRun,
    /// Some bytes come twice.
    Repeat,
    /// Some bytes are left out.
    Remove,
    /// The footer's length is another.
    FooterLength,
    /// A byte of the footer becomes an extreme number.
    ExtremeNumber,
    /// Two words of the footer change places.
    SwapFooter,
    /// A byte of the magic words is another.
    Magic,
}

/// The kinds, drawn evenly: the two that hit most come twice.
const MUTATIONS: [Mutation; 14] = [
    Mutation::FlipFooter,
    Mutation::FlipFooter,
    Mutation::FlipPage,
    Mutation::FlipPage,
    Mutation::FlipAny,
    Mutation::Truncate,
    Mutation::ZeroRun,
    Mutation::OnesRun,
    Mutation::Repeat,
    Mutation::Remove,
    Mutation::FooterLength,
    Mutation::ExtremeNumber,
    Mutation::SwapFooter,
    Mutation::Magic,
];

/// A file with one mutation.
pub(super) fn mutated(random: &mut Random, good: &[u8]) -> (Mutation, Vec<u8>) {
    let mutation = *random.pick(&MUTATIONS);
    let mut bytes = good.to_vec();
    let count = bytes.len();
    let length = good[count - 8..count - 4].try_into().unwrap();
    let footer_bytes = u32::from_le_bytes(length) as usize;
    let footer = (count - 8).saturating_sub(footer_bytes).max(4);
    let in_footer = |random: &mut Random| footer + random.below((count - 8 - footer).max(1));
    let anywhere = |random: &mut Random| 4 + random.below(count - 4);
    match mutation {
        Mutation::FlipFooter => bytes[in_footer(random)] ^= 1 << random.below(8),
        Mutation::FlipPage => bytes[4 + random.below((footer - 4).max(1))] ^= 1 << random.below(8),
        Mutation::FlipAny => {
            for _ in 0..*random.pick(&[1, 2, 4, 16]) {
                bytes[random.below(count)] = random.bits() as u8;
            }
        }
        Mutation::Truncate => bytes.truncate(random.below(count)),
        Mutation::ZeroRun | Mutation::OnesRun => {
            let byte = if matches!(mutation, Mutation::ZeroRun) {
                0
            } else {
                0xff
            };
            let start = anywhere(random);
            let end = count.min(start + *random.pick(&[1, 2, 4, 8, 64]));
            bytes[start..end].fill(byte);
        }
        Mutation::Repeat => {
            let start = anywhere(random);
            let end = count.min(start + *random.pick(&[1, 4, 16, 256]));
            let run = bytes[start..end].to_vec();
            bytes.splice(start..start, run);
        }
        Mutation::Remove => {
            let start = anywhere(random);
            let end = count.min(start + *random.pick(&[1, 4, 16, 256]));
            bytes.drain(start..end);
        }
        Mutation::FooterLength => {
            let said = footer_bytes as u32;
            let any = random.bits() as u32;
            let count = count as u32;
            let choices = [
                0,
                1,
                said + 1,
                said - 1,
                count,
                count + 1,
                i32::MAX as u32,
                u32::MAX,
                any,
            ];
            let end = bytes.len() - 4;
            bytes[end - 4..end].copy_from_slice(&random.pick(&choices).to_le_bytes());
        }
        Mutation::ExtremeNumber => {
            const NUMBERS: [&[u8]; 4] = [
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
                &[0x01],
            ];
            let at = in_footer(random);
            bytes.splice(at..=at, random.pick(&NUMBERS).iter().copied());
        }
        Mutation::SwapFooter => {
            let word = |random: &mut Random| footer + random.below((count - 12 - footer).max(1));
            let (one, other) = (word(random), word(random));
            for k in 0..4 {
                bytes.swap(one + k, other + k);
            }
        }
        Mutation::Magic => {
            let places = [0, 1, 2, 3, count - 4, count - 3, count - 2, count - 1];
            bytes[*random.pick(&places)] ^= 0xff;
        }
    }
    (mutation, bytes)
}

/// A small table of random columns, and as a file of random properties.
pub(super) fn written(random: &mut Random) -> Vec<u8> {
    let columns = 1 + random.below(3);
    let rows = *random.pick(&[1, 33, 90, 150]);
    let schema = schema(random, columns);
    let domain = *random.pick(&[Domain::Keys, Domain::Any]);
    let drawn = batch(random, &schema, rows, &vec![domain; columns]);
    let strings = [
        DataType::Utf8,
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Binary,
        DataType::Utf8View,
    ];
    let table = retyped(random, &drawn, |random, data_type| match data_type {
        DataType::Utf8 | DataType::Dictionary(..) => random.pick(&strings).clone(),
        DataType::Int8 | DataType::UInt8 if random.once_in(2) => DataType::Utf8,
        other => other.clone(),
    });
    let properties = properties(random, &table.schema(), true);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties)).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    bytes
}

/// Small good files that others wrote, if they are there.
fn real_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../shared/conformance/parquet/parquet-testing/data");
    let Ok(entries) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no conformance material");
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut small: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "parquet")
        })
        .filter(|path| path.metadata().unwrap().len() <= FILE_BYTES_MAX)
        .collect();
    small.sort();
    small
}

/// What an engine makes of a file.
enum Verdict {
    Rows(RecordBatch),
    Refused(Error),
    /// What must not happen, in words.
    Fault(String),
}

impl Verdict {
    fn of(engine: &Engine, path: &Path) -> Verdict {
        match Verdict::timed(engine, path) {
            // The machine may have been busy with something else.
            (_, took) if took > READ_MAX => match Verdict::timed(engine, path) {
                (_, took) if took > READ_MAX => Verdict::Fault(format!("takes {took:?}")),
                (verdict, _) => verdict,
            },
            (verdict, _) => verdict,
        }
    }

    fn timed(engine: &Engine, path: &Path) -> (Verdict, Duration) {
        let started = Instant::now();
        let read = || -> Result<RecordBatch> {
            let result = scan_parquet(path)?.collect(engine)?;
            Ok(concat_batches(&result.schema, &result.batches).unwrap())
        };
        let outcome = catch_unwind(AssertUnwindSafe(read));
        let took = started.elapsed();
        let verdict = match outcome {
            Err(_) => Verdict::Fault("panics".to_string()),
            Ok(Ok(rows)) => Verdict::Rows(rows),
            Ok(Err(error)) => match error.kind() {
                ErrorKind::Corrupt { .. }
                | ErrorKind::Encrypted { .. }
                | ErrorKind::Unsupported { .. }
                | ErrorKind::TooLarge { .. }
                | ErrorKind::Reservation { .. } => Verdict::Refused(error),
                _ => Verdict::Fault(format!("answers {:?}: {error}", error.kind())),
            },
        };
        (verdict, took)
    }

    /// The device does not know a column's type, or does not read it as it is stored.
    fn is_unsupported(&self) -> bool {
        const REASONS: [&str; 5] = [
            " is nested",
            " has type ",
            " here",
            "in several ways",
            // Levels beyond their maximum, and nulls in what is required.
            " is left to the host",
        ];
        let Verdict::Refused(error) = self else {
            return false;
        };
        let ErrorKind::Unsupported { reason, .. } = error.kind() else {
            return false;
        };
        REASONS.iter().any(|known| reason.contains(known))
    }
}

/// How two verdicts differ, if they do.
fn difference(cpu: &Verdict, device: &Verdict) -> Option<String> {
    match (cpu, device) {
        (Verdict::Fault(fault), _) => Some(format!("the CPU {fault}")),
        (_, Verdict::Fault(fault)) => Some(format!("the device {fault}")),
        (Verdict::Refused(_), Verdict::Refused(_)) => None,
        (_, device) if device.is_unsupported() => None,
        (Verdict::Refused(error), Verdict::Rows(rows)) => {
            let count = rows.num_rows();
            Some(format!(
                "the device reads {count} rows, the CPU says {error}"
            ))
        }
        (Verdict::Rows(rows), Verdict::Refused(error)) => {
            let count = rows.num_rows();
            Some(format!(
                "the CPU reads {count} rows, the device says {error}"
            ))
        }
        (Verdict::Rows(cpu), Verdict::Rows(device)) => unequal(cpu, device),
    }
}

fn unequal(cpu: &RecordBatch, device: &RecordBatch) -> Option<String> {
    if cpu.schema() != device.schema() || cpu.num_rows() != device.num_rows() {
        return Some("the shapes differ".to_string());
    }
    for (index, (wanted, got)) in cpu.columns().iter().zip(device.columns()).enumerate() {
        if wanted.to_data() == got.to_data() {
            continue;
        }
        let same = |row: &usize| wanted.slice(*row, 1).to_data() == got.slice(*row, 1).to_data();
        let row = (0..cpu.num_rows()).find(|row| !same(row)).unwrap_or(0);
        let (wanted, got) = (wanted.slice(row, 1), got.slice(row, 1));
        return Some(format!("column {index}, row {row}: {wanted:?} and {got:?}"));
    }
    None
}

pub(super) fn engine(backend: &str) -> Engine {
    let mut options = EngineOptions::default();
    for option in [
        &format!("backend={backend}"),
        "simt_checked=true",
        "fallback_mode=raise",
        "parquet_check_crc_device=true",
        "num_streaming_threads=1",
        "memory_reserve_timeout=0ms",
        "device_memory_limit=256MiB",
        "host_memory_limit=256MiB",
        "pinned_memory_limit=256MiB",
    ] {
        options.set_pair(option).unwrap();
    }
    Engine::new(options).unwrap()
}

/// What became of the mutants.
#[derive(Debug, Default)]
struct Tally {
    read: u64,
    refused: u64,
    unsupported: u64,
    differences: Vec<String>,
}

/// Reads the mutants of these numbers.
fn read_mutants(numbers: &[u64], begun: &mpsc::Sender<String>) -> Tally {
    let real = real_files();
    let folder = tempfile::tempdir().unwrap();
    let (cpu, device) = (engine("cpu"), engine("simt"));
    let sample = folder.path().join("good.parquet");
    std::fs::write(&sample, written(&mut Random::new(7))).unwrap();
    let Verdict::Rows(sample_rows) = Verdict::of(&cpu, &sample) else {
        panic!("the sample is not good");
    };
    let alone = std::env::var_os("PELTON_MUTANT").is_some();
    let mut tally = Tally::default();
    let mut good: (u64, String, Vec<u8>) = (u64::MAX, String::new(), Vec::new());
    for &number in numbers {
        let file = number / MUTANTS_PER_FILE;
        if good.0 != file {
            // Every third file is one that others wrote.
            let real = real
                .get((file / 3) as usize % real.len().max(1))
                .filter(|_| file % 3 == 2);
            good = match real {
                Some(path) => (
                    file,
                    path.display().to_string(),
                    std::fs::read(path).unwrap(),
                ),
                None => (file, "written".to_string(), written(&mut Random::new(file))),
            };
        }
        let (mutation, bytes) = mutated(&mut Random::new(!number), &good.2);
        let name = format!("mutant {number}, {mutation:?} of {}", good.1);
        begun.send(name.clone()).unwrap();
        let path = folder.path().join(format!("{number}.parquet"));
        std::fs::write(&path, bytes).unwrap();
        let (on_cpu, on_device) = (Verdict::of(&cpu, &path), Verdict::of(&device, &path));
        match (&on_cpu, &on_device) {
            (Verdict::Rows(_), Verdict::Rows(_)) => tally.read += 1,
            (_, device) if device.is_unsupported() => tally.unsupported += 1,
            _ => tally.refused += 1,
        }
        if alone {
            eprintln!(
                "{}",
                first_change(&good.2, &path, &folder.path().join("original.parquet"))
            );
            for verdict in [&on_cpu, &on_device] {
                match verdict {
                    Verdict::Rows(rows) => eprintln!("{} rows", rows.num_rows()),
                    Verdict::Refused(error) => eprintln!("{error}"),
                    Verdict::Fault(fault) => eprintln!("{fault}"),
                }
            }
        }
        let mut found = difference(&on_cpu, &on_device);
        if found.is_none() && number % GOOD_EVERY == 0 {
            found = match Verdict::of(&device, &sample) {
                Verdict::Rows(rows) => unequal(&sample_rows, &rows),
                Verdict::Refused(error) => Some(error.to_string()),
                Verdict::Fault(fault) => Some(fault),
            };
            found = found.map(|what| format!("behind it a good file fails: {what}"));
        }
        tally
            .differences
            .extend(found.map(|what| format!("{name}: {what}")));
        std::fs::remove_file(&path).unwrap();
    }
    tally
}

/// Where the first changed byte lies, for whoever looks into one mutant.
fn first_change(good: &[u8], mutant: &Path, original: &Path) -> String {
    let changed = std::fs::read(mutant).unwrap();
    let same = good
        .iter()
        .zip(&changed)
        .take_while(|(one, other)| one == other)
        .count();
    std::fs::write(original, good).unwrap();
    let file = ParquetFile::open(original).unwrap();
    let schema = file.schema();
    for row_group in 0..file.row_group_count() {
        for leaf in 0.. {
            let Ok(chunk) = file.chunk(row_group, leaf) else {
                break;
            };
            let start = chunk.start() as usize;
            let bytes = good[start..start + chunk.facts().bytes as usize].to_vec();
            let mut end = start;
            for page in chunk.pages(&bytes.into(), false).unwrap() {
                let header = end;
                let body = start + page.body_start as usize;
                end = body + page.compressed_bytes as usize;
                if (header..end).contains(&same) {
                    let clip = |bytes: &[u8]| {
                        format!(
                            "{:02x?}",
                            &bytes[header.min(bytes.len())..end.min(bytes.len())]
                        )
                    };
                    return format!(
                        "byte {same}, of {header}..{body}..{end}, row group {row_group}, leaf {leaf} of {schema:?}\n{:?}\n{page:?}\n{}\n{}",
                        chunk.facts(),
                        clip(good),
                        clip(&changed)
                    );
                }
            }
        }
    }
    format!("byte {same}, in no page")
}

/// The most memory that this process has held, where the system tells.
fn resident_bytes_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// Panics that are caught and become an answer say nothing: there are thousands.
fn silence_guarded_decoders() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !pelton::storage::decoder_is_guarded() {
            usual(panic);
        }
    }));
}

/// Set in the process that the test starts for itself.
const ALONE: &str = "PELTON_MUTANTS_ALONE";

/// The mutants are read in a process of their own, whose memory is not that of the tests beside them.
#[test]
fn mutants_get_the_same_verdict_everywhere() {
    if std::env::var_os(ALONE).is_some() {
        return read_all();
    }
    let name = "mutants::mutants_get_the_same_verdict_everywhere";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

fn read_all() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let numbers: Vec<u64> = match number("PELTON_MUTANT") {
        Some(one) => vec![one],
        None => {
            let count = number("PELTON_MUTANTS").unwrap_or(MUTANTS);
            let more = ONCE_DIFFERENT.into_iter().filter(|number| *number >= count);
            (0..count).chain(more).collect()
        }
    };
    silence_guarded_decoders();
    let (begun, current) = mpsc::channel();
    let reader = std::thread::spawn(move || read_mutants(&numbers, &begun));
    let mut name = String::new();
    loop {
        match current.recv_timeout(HANG) {
            Ok(now) => name = now,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("{name}: does not end"),
        }
    }
    let tally = reader.join().unwrap();
    let Tally {
        read,
        refused,
        unsupported,
        differences,
    } = &tally;
    eprintln!("{read} mutants read, {refused} refused, {unsupported} unknown to the device");
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    if let Some(bytes) = resident_bytes_max() {
        eprintln!("{} MiB were held at most", bytes >> 20);
        assert!(bytes <= RESIDENT_BYTES_MAX, "{bytes} bytes were held");
    }
}
