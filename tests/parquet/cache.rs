//! The column cache: what a query brought to the device serves later ones, whatever they choose of it,
//! until memory is short or the file is another one; the rows are always those of the CPU backend.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use pelton::ErrorKind;
use pelton::device::Driver;
use pelton::device::simt::{SimtDriver, SimtOptions};
use pelton::memory::{DiskFiles, Tier};
use pelton::metrics::Snapshot;
use pelton::prelude::*;

use super::files::{engine_with, needed, properties};
use super::selection::{filtered, late_file, predicate, table, uncompressed, unseen, write};
use super::support::backends::cuda_is_there;
use super::support::equality::multiset;
use super::support::random::{Note, for_each_case};
use super::support::values::rows;

/// An engine on the emulated device that neither falls back nor checks every access.
fn engine(options: &[&str]) -> Engine {
    let always = [
        "backend=simt",
        "fallback_mode=raise",
        "num_streaming_threads=2",
        "parquet_late_decoding=off",
    ];
    engine_with(&[&always, options].concat())
}

/// Every engine with a cache, emulated or not.
fn engines(options: &[&str]) -> Vec<Engine> {
    let mut engines = vec![engine(options)];
    if cuda_is_there() {
        engines.push(engine(&[options, &["backend=cuda"]].concat()));
    }
    engines
}

fn collect(path: &Path, columns: &[&str], engine: &Engine) -> Result<(RecordBatch, Snapshot)> {
    let scan = scan_parquet(path)?.select(columns.iter().map(|name| col(*name)));
    let out = scan.collect(engine)?;
    let rows = concat_batches(&out.schema, &out.batches).unwrap();
    Ok((rows, out.metrics))
}

/// Hits, misses, and whether bytes of column chunks were read.
fn counts(metrics: &Snapshot) -> (u64, u64, bool) {
    let hits = metrics.get("column_cache_hits");
    let misses = metrics.get("column_cache_misses");
    (hits, misses, metrics.get("scan_bytes") > 0)
}

const ALL: [&str; 3] = ["number", "key", "word"];

/// Writes over a file's column chunks, and leaves its footer and its times as they are.
fn spoil(path: &Path) {
    let found = std::fs::metadata(path).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let footer = bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap();
    let data = bytes.len() - 8 - u32::from_le_bytes(footer) as usize;
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; data - 4], 4).unwrap();
    file.set_modified(found.modified().unwrap()).unwrap();
}

#[test]
fn a_second_query_reads_nothing_of_the_file() {
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        for engine in engines(&[]) {
            let file = late_file(true, || uncompressed().set_compression(codec));
            let (wanted, first) = collect(file.path(), &ALL, &engine).unwrap();
            assert_eq!(counts(&first), (0, 9, true));
            spoil(file.path());
            for _ in 0..2 {
                let (got, second) = collect(file.path(), &ALL, &engine).unwrap();
                assert_eq!(wanted, got, "{codec}");
                assert_eq!(counts(&second), (9, 0, false));
                let served = second.get("column_cache_bytes");
                assert_eq!(served, first.get("scan_bytes"));
                assert_eq!(second.get("read_nanoseconds"), 0);
            }
            // Some columns of it, in another order.
            let (got, _) = collect(file.path(), &["word", "number"], &engine).unwrap();
            assert_eq!(wanted.project(&[2, 0]).unwrap(), got);
            // The file is spoilt indeed.
            let fresh = engines(&[]).remove(0);
            assert!(collect(file.path(), &ALL, &fresh).is_err());

            assert_eq!(needed(&engine, Tier::Device), 0);
            assert_eq!(needed(&engine, Tier::Host), 0);
            let memory = Arc::clone(engine.memory());
            assert!(memory.used(Tier::Device) > 0);
            drop(engine);
            assert_eq!(memory.used(Tier::Device), 0, "it goes with the engine");
            assert_eq!(memory.used(Tier::Host), 0);
        }
    }
}

#[test]
fn a_limit_of_0_switches_it_off() {
    let file = late_file(true, uncompressed);
    let engine = engine(&["column_cache_limit=0"]);
    let (wanted, first) = collect(file.path(), &ALL, &engine).unwrap();
    let (got, second) = collect(file.path(), &ALL, &engine).unwrap();
    assert_eq!(wanted, got);
    for metrics in [&first, &second] {
        assert_eq!(counts(metrics), (0, 0, true));
    }
    assert_eq!(first.get("scan_bytes"), second.get("scan_bytes"));
    assert_eq!(engine.memory().used(Tier::Device), 0);
}

#[test]
fn explain_says_what_the_cache_served() {
    let file = late_file(true, uncompressed);
    let engine = engine(&[]);
    let scan = scan_parquet(file.path()).unwrap();
    let text = scan.explain_analyze(&engine).unwrap();
    let nothing = "0 of 9 column chunks from the column cache (0 bytes)";
    assert!(text.contains(nothing), "{text}");
    let (_, metrics) = collect(file.path(), &["key"], &engine).unwrap();
    assert_eq!(metrics.steps[0].cache.hits, 3);
    let text = scan.explain_analyze(&engine).unwrap();
    let all = "9 of 9 column chunks from the column cache (";
    assert!(text.contains(all), "{text}");
}

#[test]
fn pages_are_served_from_chunks_and_chunks_from_pages() {
    let few = col("key").between(lit(950), lit(1950));
    let odd = unseen().eq(lit(1234.0)).or(unseen().eq(lit(2777.0)));
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let file = late_file(true, || uncompressed().set_compression(codec));
        let cpu = engine_with(&["backend=cpu"]);
        for late in ["parquet_late_decoding=off", "parquet_late_decoding=on"] {
            for size in ["target_partition_size=1", "target_partition_size=1m"] {
                // All of the file first, then some of its pages.
                let engine = engine(&[late, size]);
                let (_, whole) = collect(file.path(), &ALL, &engine).unwrap();
                for predicate in [&few, &odd] {
                    let (wanted, _) = filtered(file.path(), predicate, &cpu).unwrap();
                    let (got, metrics) = filtered(file.path(), predicate, &engine).unwrap();
                    assert_eq!(wanted, got, "{codec}, {late}, {size}");
                    assert!(matches!(counts(&metrics), (1.., 0, false)), "{metrics:?}");
                    let served = metrics.get("column_cache_bytes");
                    assert!(served > 0 && served < whole.get("scan_bytes") * 2);
                }
                // Some of its pages first: they serve the same query, and not the whole.
                let engine = self::engine(&[late, size]);
                let (wanted, first) = filtered(file.path(), &few, &engine).unwrap();
                assert!(first.get("scan_bytes") > 0);
                let (got, second) = filtered(file.path(), &few, &engine).unwrap();
                assert_eq!(wanted, got);
                assert!(matches!(counts(&second), (1.., 0, false)), "{second:?}");
                let (wanted, _) = collect(file.path(), &ALL, &cpu).unwrap();
                let (got, _) = collect(file.path(), &ALL, &engine).unwrap();
                assert_eq!(wanted, got);
                let (got, last) = collect(file.path(), &ALL, &engine).unwrap();
                assert_eq!(wanted, got);
                assert!(matches!(counts(&last), (1.., 0, false)), "{last:?}");
                assert_eq!(needed(&engine, Tier::Device), 0);
            }
        }
    }
}

/// Pages that several scans brought are served together.
#[test]
fn pages_of_several_queries_are_a_chunk_together() {
    let file = late_file(true, uncompressed);
    let engine = engine(&["target_partition_size=10m"]);
    for (low, high) in [(0, 799), (800, 2099), (2100, 2999)] {
        let part = col("key").between(lit(low), lit(high));
        let (rows, metrics) = filtered(file.path(), &part, &engine).unwrap();
        assert_eq!(rows.num_rows() as i64, high - low + 1);
        assert!(metrics.get("scan_bytes") > 0);
    }
    spoil(file.path());
    let (rows, metrics) = collect(file.path(), &ALL, &engine).unwrap();
    assert_eq!(counts(&metrics), (9, 0, false));
    assert_eq!(rows.num_rows(), 3000);
    let keys = rows.column(1).as_any().downcast_ref::<Int64Array>();
    assert_eq!(*keys.unwrap(), Int64Array::from_iter_values(0..3000));
}

/// A file of numbers that take as many bytes whatever they are.
fn file_of(path: &Path, values: impl Fn(i64) -> i64) {
    let column = |add: i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            (0..1000).map(|row| values(row) + add),
        ))
    };
    let columns = [("a", column(0)), ("b", column(1)), ("c", column(2))];
    let table = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(250))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), Some(properties)).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn a_changed_file_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let engine = engine(&[]);
    let cpu = engine_with(&["backend=cpu"]);
    let start = SystemTime::now() - Duration::from_secs(1000);
    let mut length = None;
    for version in 0..4 {
        file_of(&path, |row| row * 3 + version);
        set_modified(&path, start + Duration::from_secs(version as u64));
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert_eq!(*length.get_or_insert(bytes), bytes);
        let (wanted, _) = collect(&path, &["a", "b"], &cpu).unwrap();
        for hits in [0, 8] {
            let (got, metrics) = collect(&path, &["a", "b"], &engine).unwrap();
            assert_eq!(wanted, got, "version {version}");
            assert_eq!(metrics.get("column_cache_hits"), hits);
        }
    }
}

#[test]
fn the_least_recently_used_column_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    file_of(&path, |row| row);
    let sizes = engine(&["target_partition_size=10m"]);
    collect(&path, &["a"], &sizes).unwrap();
    let column = sizes.memory().reclaimable(Tier::Device);
    assert!(column > 8000);
    let limit = format!("column_cache_limit={}", column * 2 + column / 2);
    let engine = engine(&[&limit, "target_partition_size=10m"]);
    // Two of three columns stay.
    for (name, hit) in [
        ("a", false),
        ("b", false),
        ("a", true),
        ("c", false),
        ("a", true),
        ("b", false),
        ("c", false),
        ("b", true),
        ("a", false),
    ] {
        let (got, metrics) = collect(&path, &[name], &engine).unwrap();
        assert_eq!(got.num_rows(), 1000);
        let expected = if hit { (4, 0, false) } else { (0, 4, true) };
        assert_eq!(counts(&metrics), expected, "{name}");
        let held = engine.memory().reclaimable(Tier::Device);
        assert!(held <= column * 2 + column / 2, "{held} bytes");
    }
    // What is larger than the limit is never kept.
    let small = self::engine(&["column_cache_limit=1k", "target_partition_size=10m"]);
    for _ in 0..2 {
        let (_, metrics) = collect(&path, &["a"], &small).unwrap();
        assert_eq!(counts(&metrics), (0, 4, true));
        assert_eq!(small.memory().used(Tier::Device), 0);
    }
}

#[test]
fn it_goes_before_anything_is_spilled_or_fails() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3)
        .map(|number| folder.path().join(format!("{number}.parquet")))
        .collect();
    for path in &paths {
        file_of(path, |row| row * 7919 % 1000);
    }
    let sort = |path: &Path| scan_parquet(path).unwrap().sort([col("a")]);
    let alone = engine(&["column_cache_limit=0", "num_streaming_threads=1"]);
    let wanted = sort(&paths[0]).collect(&alone).unwrap();
    let needs = alone.memory().peak(Tier::Device);
    // Room for the query, twice as much as it spills from on, and a cache that may have all of it.
    let limit = format!("device_memory_limit={}", needs * 2);
    let engine = engine(&[
        &limit,
        "column_cache_limit=100%",
        "num_streaming_threads=1",
        "spill_device_limit=60%",
    ]);
    let memory = engine.memory();
    let mut most = 0;
    for path in paths.iter().cycle().take(9) {
        let out = sort(path).collect(&engine).unwrap();
        assert_eq!(rows(&wanted.batches), rows(&out.batches));
        assert_eq!(out.metrics.get("spilled_device_bytes"), 0);
        assert_eq!(needed(&engine, Tier::Device), 0);
        most = most.max(memory.used(Tier::Device));
    }
    assert!(most > 0 && memory.peak(Tier::Device) <= needs * 2);
    let all = memory.reserve(Tier::Device, needs * 2).unwrap();
    assert_eq!(memory.reclaimable(Tier::Device), 0);
    drop(all);
    let out = sort(&paths[0]).collect(&engine).unwrap();
    assert_eq!(rows(&wanted.batches), rows(&out.batches));
}

#[test]
fn queries_at_the_same_time_share_it() {
    let file = late_file(true, || uncompressed().set_compression(Compression::SNAPPY));
    let cpu = engine_with(&["backend=cpu"]);
    let few = col("key").between(lit(950), lit(1950));
    let (whole, _) = collect(file.path(), &ALL, &cpu).unwrap();
    let (part, _) = filtered(file.path(), &few, &cpu).unwrap();
    for (seed, limit) in [(1, "30%"), (2, "60k"), (3, "20k"), (4, "30%")] {
        let engine = engine(&[
            &format!("column_cache_limit={limit}"),
            &format!("simt_seed={seed}"),
            "target_partition_size=10k",
        ]);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (engine, file, whole, part, few) = (&engine, &file, &whole, &part, &few);
                scope.spawn(move || {
                    for turn in 0..4 {
                        if (thread + turn) % 2 == 0 {
                            let (got, _) = collect(file.path(), &ALL, engine).unwrap();
                            let same =
                                multiset(&rows(std::slice::from_ref(whole)), &rows(&[got]), 0, &[]);
                            assert_eq!(same, Ok(()));
                        } else {
                            let (got, _) = filtered(file.path(), few, engine).unwrap();
                            let same =
                                multiset(&rows(std::slice::from_ref(part)), &rows(&[got]), 0, &[]);
                            assert_eq!(same, Ok(()));
                        }
                    }
                });
            }
        });
        assert_eq!(needed(&engine, Tier::Device), 0);
        assert_eq!(needed(&engine, Tier::Host), 0);
        if limit == "30%" {
            let (_, metrics) = collect(file.path(), &ALL, &engine).unwrap();
            assert!(matches!(counts(&metrics), (1.., 0, false)), "{metrics:?}");
        }
    }
}

#[test]
fn a_query_that_ends_early_leaves_nothing_half_done() {
    let file = late_file(true, uncompressed);
    let (wanted, _) = collect(file.path(), &ALL, &engine_with(&["backend=cpu"])).unwrap();
    for seed in 0..6 {
        let engine = engine(&[&format!("simt_seed={seed}"), "target_partition_size=1"]);
        let scan = || scan_parquet(file.path()).unwrap();
        let failing = scan().filter(col("key").cast(DataType::Int8).eq(lit(3)));
        assert!(failing.collect(&engine).is_err());
        assert_eq!(scan().limit(3).collect(&engine).unwrap().rows(), 3);
        let mut stream = scan().collect_iter(&engine).unwrap();
        assert!(stream.next().is_some_and(|batch| batch.is_ok()));
        drop(stream);
        for _ in 0..2 {
            let (got, _) = collect(file.path(), &ALL, &engine).unwrap();
            assert_eq!(wanted, got);
        }
        assert_eq!(needed(&engine, Tier::Device), 0);
    }
}

/// Whatever allocation or copy fails, the queries behind it are right, and served what was read.
#[test]
fn failures_of_the_device_do_not_stay_in_it() {
    let file = late_file(true, || uncompressed().set_compression(Compression::SNAPPY));
    let (wanted, _) = collect(file.path(), &ALL, &engine_with(&["backend=cpu"])).unwrap();
    let mut failures = 0;
    for at in [1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 27, 36, 50, 70] {
        for copies in [false, true] {
            let options = SimtOptions {
                seed: at,
                checked: false,
                fail_alloc_at: (!copies).then_some(at),
                fail_copy_at: copies.then_some(at),
                ..SimtOptions::default()
            };
            let mut all = EngineOptions::default();
            for option in ["num_streaming_threads=2", "target_partition_size=30k"] {
                all.set_pair(option).unwrap();
            }
            let driver: Arc<dyn Driver> = Arc::new(SimtDriver::new(options));
            let engine = Engine::with_driver(all, Some(driver), Arc::new(DiskFiles)).unwrap();
            let mut failed = 0;
            for turn in 0..4 {
                match collect(file.path(), &ALL, &engine) {
                    Ok((got, _)) => assert_eq!(wanted, got, "{at}, {copies}, {turn}"),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Device { .. }), "{error}");
                        failed += 1;
                    }
                }
                assert_eq!(needed(&engine, Tier::Device), 0, "{at}, {copies}, {turn}");
                assert_eq!(needed(&engine, Tier::Host), 0, "{at}, {copies}, {turn}");
            }
            assert!(failed <= 1, "{at}, {copies}: {failed} queries failed");
            failures += failed;
            // The fault may have come last, and taken the cache with it.
            let served = (0..3).any(|_| {
                let (_, metrics) = collect(file.path(), &ALL, &engine).unwrap();
                metrics.get("scan_bytes") == 0
            });
            assert!(served, "{at}, {copies}");
        }
    }
    assert!(failures > 4, "only {failures} faults were met");
}

#[test]
fn any_sequence_of_scans_has_the_rows_of_the_cpu() {
    for_each_case("sequences of cached scans", |random| {
        let folder = tempfile::tempdir().unwrap();
        let tables = [table(random), table(random), table(random)];
        let mut paths = Vec::new();
        for (number, table) in tables.iter().enumerate() {
            let encoded = random.once_in(2);
            let written = write(table, properties(random, &table.schema(), encoded));
            let path = folder.path().join(format!("{number}.parquet"));
            std::fs::copy(written.path(), &path).unwrap();
            paths.push(path);
        }
        let limit = *random.pick(&["1k", "10k", "30%"]);
        let options = [
            format!("column_cache_limit={limit}"),
            format!("simt_seed={}", random.bits() % 1000),
            format!("target_partition_size={}", random.pick(&["5k", "10m"])),
            format!(
                "parquet_late_decoding={}",
                random.pick(&["on", "off", "auto"])
            ),
            format!("device_memory_limit={}", random.pick(&["4m", "1g"])),
        ];
        let note = Note(options.join(" "));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (cached, cpu) = (engine(&options), engine_with(&["backend=cpu"]));
        for _ in 0..6 {
            let chosen = random.below(3);
            let (table, path) = (&tables[chosen], &paths[chosen]);
            let mut scan = scan_parquet(path).unwrap();
            if random.once_in(2) {
                scan = scan.filter(predicate(random, table));
            }
            if random.once_in(2) {
                let schema = table.schema();
                let field = schema.field(random.below(schema.fields().len()));
                scan = scan.select([col(field.name()), col("key").alias("again")]);
            }
            let wanted = scan.collect(&cpu).unwrap();
            let got = scan.collect(&cached).unwrap();
            let same = multiset(&rows(&wanted.batches), &rows(&got.batches), 0, &[]);
            assert_eq!(same, Ok(()));
            drop(got);
            assert_eq!(needed(&cached, Tier::Device), 0);
            assert_eq!(needed(&cached, Tier::Host), 0);
            let held = cached.memory().reclaimable(Tier::Device);
            assert!(limit == "30%" || held <= 10 << 10, "{held} bytes");
        }
        drop(note);
    });
}

/// Strings that are not all in dictionaries are views into what the cache holds: they outlive it.
#[test]
fn views_outlive_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let words = |add: i64| {
        let words = (0..600).map(|row| format!("a long word, number {}", row + add));
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(words));
        RecordBatch::try_from_iter([("word", column)]).unwrap()
    };
    let plain = || uncompressed().set_column_dictionary_enabled("word".into(), false);
    let mut paths = Vec::new();
    for number in 0..3 {
        let written = write(&words(number * 1000), plain().build());
        let path = folder.path().join(format!("{number}.parquet"));
        std::fs::copy(written.path(), &path).unwrap();
        paths.push(path);
    }
    let scans = paths.iter().map(|path| scan_parquet(path).unwrap());
    let frame = concat_frames(scans).sort([col("word")]);
    let wanted = frame.collect(&engine_with(&["backend=cpu"])).unwrap();
    // The files push each other out of it.
    let engine = engine(&["column_cache_limit=30k"]);
    for _ in 0..3 {
        let got = frame.collect(&engine).unwrap();
        let same = multiset(&rows(&wanted.batches), &rows(&got.batches), 0, &[]);
        assert_eq!(same, Ok(()));
        drop(got);
        assert_eq!(needed(&engine, Tier::Device), 0);
    }
}
