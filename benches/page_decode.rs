//! `page_decode`: Parquet pages that lie in device memory, decompressed and decoded.
//!
//! Throughput is in bytes of output. A launch has the upload of its descriptors in it; several are
//! queued in a row, so that this overlaps with the kernels, as in a scan.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it fails")]
#![allow(
    dead_code,
    missing_docs,
    reason = "each benchmark uses a part of the support"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use pelton::Result;
use pelton::error::ErrorKind;
use pelton::kernels::page::{
    DecodeBatch, DecompressBatch, DeviceSlice, LevelSpec, PageCodec, PageConversion, PageSpec,
    PageTarget, SLACK_BYTES,
};
use pelton::kernels::{Launch, Status};
use support::{Bench, mixed};

const PAGES: u64 = 4096;
/// Pages with bytes of their own; the others repeat them at other addresses.
const PAGES_DISTINCT: u64 = 256;
const PAGE_BYTES: usize = 128 << 10;
const PAGE_ROWS: u64 = 20_000;
/// Launches that are queued in a row.
const LAUNCHES: u32 = 4;

/// Pages to run with: `PELTON_BENCH_PAGES`, else 4096.
fn pages() -> u64 {
    let wanted = std::env::var("PELTON_BENCH_PAGES").ok();
    wanted
        .and_then(|text| text.parse().ok())
        .unwrap_or(PAGES)
        .max(1)
}

/// Measures launches of batches, which are built before the clock starts, and adds a line.
fn measure<T>(
    bench: &mut Bench,
    criterion: &mut Criterion,
    id: &str,
    bytes: u64,
    batch: impl Fn() -> T,
    launch: impl Fn(T, &Launch) -> Result<()>,
) {
    let mut samples: Vec<Duration> = Vec::new();
    let mut group = criterion.benchmark_group(id);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("cuda", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut sum = Duration::ZERO;
            for _ in 0..iterations {
                let batches: Vec<T> = (0..LAUNCHES).map(|_| batch()).collect();
                let all = bench.events(|queue| {
                    batches
                        .into_iter()
                        .try_for_each(|batch| launch(batch, queue))
                });
                samples.push(all / LAUNCHES);
                sum += all / LAUNCHES;
            }
            sum
        });
    });
    group.finish();
    if samples.is_empty() {
        return; // filtered out on the command line
    }
    samples.sort_unstable();
    let seconds = samples[samples.len() / 2].as_secs_f64();
    let rate = bytes as f64 / seconds;
    let of_copy = rate / bench.copy_rate();
    let (ms, rate) = (seconds * 1e3, rate / 1e9);
    bench.note(format!("{id},,{ms:.3},,{rate:.0},{of_copy:.3},,"));
}

/// Makes the bytes of a page.
type Shape = fn(u64) -> Vec<u8>;

/// Bit-packed indices of a dictionary: bytes that do not repeat.
fn indices(page: u64) -> Vec<u8> {
    (0..PAGE_BYTES as u64 / 8)
        .flat_map(|word| mixed(page << 20 | word).to_le_bytes())
        .collect()
}

/// Prices as 64-bit PLAIN: three bytes that do not repeat, five that do.
fn decimals(page: u64) -> Vec<u8> {
    (0..PAGE_BYTES as u64 / 8)
        .flat_map(|row| (90_100 + mixed(page << 20 | row) % 10_404_850).to_le_bytes())
        .collect()
}

/// Words of a vocabulary, the first ones more often.
fn text(page: u64) -> Vec<u8> {
    let word = |index: u64| -> Vec<u8> {
        let letters = mixed(index);
        let length = 2 + letters % 9;
        (0..length)
            .map(|at| b'a' + (letters >> (5 * at + 5) & 31).min(25) as u8)
            .collect()
    };
    let vocabulary: Vec<Vec<u8>> = (0..400).map(word).collect();
    let mut out = Vec::with_capacity(PAGE_BYTES + 16);
    let mut draw = page << 20;
    while out.len() < PAGE_BYTES {
        let (a, b) = (mixed(draw) % 400, mixed(draw + 1) % 400);
        out.extend(&vocabulary[(a * b / 400) as usize]);
        out.push(b' ');
        draw += 2;
    }
    out.truncate(PAGE_BYTES);
    out
}

fn compress(codec: PageCodec, page: &[u8]) -> Vec<u8> {
    match codec {
        PageCodec::Snappy => snap::raw::Encoder::new().compress_vec(page).unwrap(),
        PageCodec::Lz4Raw => lz4_flex::block::compress(page),
    }
}

fn decompress(
    bench: &mut Bench,
    criterion: &mut Criterion,
    codec: PageCodec,
    shape: &str,
    page: Shape,
) {
    let count = pages();
    let distinct = PAGES_DISTINCT.min(count);
    let plain: Vec<Vec<u8>> = (0..distinct).map(page).collect();
    let compressed: Vec<Vec<u8>> = plain.iter().map(|page| compress(codec, page)).collect();
    let mut starts = Vec::new();
    let mut bytes = Vec::new();
    for index in 0..count {
        starts.push(bytes.len() as u64);
        bytes.extend(&compressed[(index % distinct) as usize]);
    }
    let ratio = (count * PAGE_BYTES as u64) as f64 / bytes.len() as f64;
    bytes.extend([0; SLACK_BYTES as usize]);
    let source = Arc::new(bench.device.upload(bench.stream, &bytes).unwrap());
    let out_bytes = count * PAGE_BYTES as u64;
    let target = bench.device.alloc(bench.stream, out_bytes + SLACK_BYTES);
    let target = Arc::new(target.unwrap());
    let batch = || {
        let mut batch = DecompressBatch::default();
        for index in 0..count {
            let length = compressed[(index % distinct) as usize].len() as u64;
            let read = DeviceSlice::new(&source, starts[index as usize], length);
            let write = DeviceSlice::new(&target, index * PAGE_BYTES as u64, PAGE_BYTES as u64);
            let (read, write) = (read.unwrap(), write.unwrap());
            batch.add(codec, index as u32, read, write).unwrap();
        }
        batch
    };
    let status = Status::new(&bench.launch(), "page_decompress").unwrap();
    batch().launch(&bench.launch(), &status).unwrap();
    status.check(&bench.launch()).unwrap();
    let mut got = vec![0; out_bytes as usize];
    bench.device.read(bench.stream, &target, &mut got).unwrap();
    for (index, page) in got.chunks_exact(PAGE_BYTES).enumerate() {
        let same = page == plain[index % distinct as usize];
        assert!(same, "{codec:?}, {shape}: page {index}");
    }
    let codec = match codec {
        PageCodec::Snappy => "snappy",
        PageCodec::Lz4Raw => "lz4",
    };
    let id = format!("page_decode/{codec}/{shape}/ratio={ratio:.2}");
    measure(bench, criterion, &id, out_bytes, batch, |batch, launch| {
        batch.launch(launch, &status)
    });
}

/// The pages of a column that the `parquet` crate wrote, dictionary first if there is one.
fn write_pages(array: ArrayRef, encoding: Option<Encoding>) -> Vec<Page> {
    let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(encoding.is_none())
        .set_data_page_row_count_limit(PAGE_ROWS as usize)
        .set_write_batch_size(PAGE_ROWS as usize / 20)
        .set_encoding(encoding.unwrap_or(Encoding::PLAIN))
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let pages = group.get_column_page_reader(0).unwrap();
    pages.map(|page| page.unwrap()).collect()
}

/// Values of 4 or 8 bytes in an encoding.
fn decode(
    bench: &mut Bench,
    criterion: &mut Criterion,
    name: &str,
    encoding: Option<Encoding>,
    wide: bool,
) {
    let count = pages();
    let distinct = 16.min(count);
    // A thousand values for the dictionary; small steps for the deltas; any value otherwise.
    let value = |row: u64| match encoding {
        None => (mixed(row) % 1000) as i64 * 7919,
        Some(Encoding::DELTA_BINARY_PACKED) => row as i64 * 50 + (mixed(row) % 1000) as i64,
        Some(_) => mixed(row) as i64,
    };
    let values = (0..distinct * PAGE_ROWS).map(value);
    let (array, width, conversion): (ArrayRef, usize, _) = if wide {
        let array = Int64Array::from_iter_values(values);
        (Arc::new(array), 8, PageConversion::Bits64)
    } else {
        let array = Int32Array::from_iter_values(values.map(|value| value as i32));
        (Arc::new(array), 4, PageConversion::Bits32)
    };
    let written = write_pages(Arc::clone(&array), encoding);
    let (stream, rows) = (bench.stream, count * PAGE_ROWS);
    let (mut dictionary, mut starts, mut bytes) = (None, Vec::new(), Vec::new());
    let mut data = Vec::new();
    for page in &written {
        if let Page::DictionaryPage { num_values, .. } = page {
            // PLAIN values of the column's type, hence decoded already.
            let entries = Arc::new(bench.device.upload(stream, page.buffer()).unwrap());
            let length = page.buffer().len() as u64;
            dictionary = Some((DeviceSlice::new(&entries, 0, length).unwrap(), *num_values));
        } else {
            assert_eq!(u64::from(page.num_values()), PAGE_ROWS, "rows of a page");
            data.push(page);
        }
    }
    for index in 0..count {
        starts.push(bytes.len() as u64);
        bytes.extend_from_slice(data[(index % distinct) as usize].buffer());
    }
    bytes.extend([0; SLACK_BYTES as usize]);
    let source = Arc::new(bench.device.upload(stream, &bytes).unwrap());
    let out_bytes = rows * width as u64;
    let target = PageTarget {
        values: Arc::new(bench.device.alloc(stream, out_bytes).unwrap()),
        validity: None,
        levels: None,
        rows,
    };
    let batch = || {
        let mut batch = DecodeBatch::default();
        for index in 0..count {
            let page = data[(index % distinct) as usize];
            let length = page.buffer().len() as u64;
            let spec = PageSpec {
                data: DeviceSlice::new(&source, starts[index as usize], length).unwrap(),
                dictionary: dictionary.clone(),
                target: target.clone(),
                row_start: index * PAGE_ROWS,
                level_count: PAGE_ROWS as u32,
                value_count_max: PAGE_ROWS as u32,
                encoding: page.encoding() as u32,
                conversion,
                element_bytes: width as u32,
                levels: LevelSpec::default(),
                text: false,
            };
            batch.add(&spec).unwrap();
        }
        batch
    };
    let id = format!("page_decode/{name}/i{}", width * 8);
    let status = Status::new(&bench.launch(), "page_decode").unwrap();
    if let Err(error) = batch().launch(&bench.launch(), &status) {
        let unsupported = matches!(error.kind(), ErrorKind::Unsupported { .. });
        assert!(unsupported, "{id}: {error}");
        return bench.note(format!("{id},,no kernel,,,,,"));
    }
    status.check(&bench.launch()).unwrap();
    let mut got = vec![0; out_bytes as usize];
    bench.device.read(stream, &target.values, &mut got).unwrap();
    let expected = array.to_data();
    let expected =
        &expected.buffers()[0].as_slice()[..distinct as usize * PAGE_ROWS as usize * width];
    for (index, part) in got.chunks(expected.len()).enumerate() {
        assert!(part == &expected[..part.len()], "{id}: part {index}");
    }
    measure(bench, criterion, &id, out_bytes, batch, |batch, launch| {
        batch.launch(launch, &status).map(drop)
    });
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let shapes: [(&str, Shape); 3] = [("indices", indices), ("decimals", decimals), ("text", text)];
    for codec in [PageCodec::Snappy, PageCodec::Lz4Raw] {
        for (shape, page) in shapes {
            decompress(&mut bench, &mut criterion, codec, shape, page);
        }
    }
    let encodings = [
        ("plain", Some(Encoding::PLAIN)),
        ("dictionary", None),
        ("delta", Some(Encoding::DELTA_BINARY_PACKED)),
        ("byte_stream_split", Some(Encoding::BYTE_STREAM_SPLIT)),
    ];
    for (name, encoding) in encodings {
        for wide in [false, true] {
            decode(&mut bench, &mut criterion, name, encoding, wide);
        }
    }
    bench.finish();
}
