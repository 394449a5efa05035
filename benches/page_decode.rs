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

use arrow::array::{
    Array, ArrayData, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, make_array,
};
use arrow::buffer::Buffer;
use criterion::{Criterion, Throughput};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use pelton::Result;
use pelton::device::DeviceBuffer;
use pelton::error::ErrorKind;
use pelton::kernels::Launch;
use pelton::kernels::page::{
    DeviceSlice, LevelSpec, LevelWidths, PageBatch, PageCodec, PageConversion, PageSpec,
    PageTarget, SLACK_BYTES,
};
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
type Bytes = fn(u64) -> Vec<u8>;

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
    page: Bytes,
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
        let mut batch = PageBatch::default();
        for index in 0..count {
            let length = compressed[(index % distinct) as usize].len() as u64;
            let read = DeviceSlice::new(&source, starts[index as usize], length);
            let write = DeviceSlice::new(&target, index * PAGE_BYTES as u64, PAGE_BYTES as u64);
            let (read, write) = (read.unwrap(), write.unwrap());
            batch
                .decompress
                .add(codec, index as u32, read, write)
                .unwrap();
        }
        batch
    };
    let launched = batch().launch(&bench.launch()).unwrap();
    launched.check(&bench.launch()).unwrap();
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
        batch.launch(launch).map(drop)
    });
}

/// The pages of a column that the `parquet` crate wrote, dictionary first if there is one.
fn write_pages(array: ArrayRef, encoding: Option<Encoding>, nullable: bool) -> Vec<Page> {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array, nullable)]).unwrap();
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

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Boolean,
    I32,
    I64,
}

/// A column of a benchmark.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// None: a dictionary.
    encoding: Option<Encoding>,
    kind: Kind,
    nullable: bool,
}

impl Shape {
    /// A thousand values for the dictionary; small steps for the deltas; runs of 1 to 200 Booleans;
    /// any value otherwise. One row of ten is null, where rows may be.
    fn array(self, rows: u64) -> ArrayRef {
        let value = move |row: u64| match self.encoding {
            None => (mixed(row) % 1000) as i64 * 7919,
            Some(Encoding::DELTA_BINARY_PACKED) => row as i64 * 50 + (mixed(row) % 1000) as i64,
            Some(_) => mixed(row) as i64,
        };
        let valid = move |row: u64| !self.nullable || !mixed(!row).is_multiple_of(10);
        let rows = (0..rows).map(move |row| valid(row).then(|| value(row)));
        match self.kind {
            Kind::Boolean => {
                let bit = |(row, value): (usize, Option<i64>)| {
                    value.map(|_| mixed(row as u64 / 200) as usize % 200 < row % 200)
                };
                Arc::new(rows.enumerate().map(bit).collect::<BooleanArray>())
            }
            Kind::I32 => Arc::new(Int32Array::from_iter(
                rows.map(|value| value.map(|value| value as i32)),
            )),
            Kind::I64 => Arc::new(Int64Array::from_iter(rows)),
        }
    }

    fn conversion(self) -> PageConversion {
        match self.kind {
            Kind::Boolean => PageConversion::Bits1,
            Kind::I32 => PageConversion::Bits32,
            Kind::I64 => PageConversion::Bits64,
        }
    }

    fn id(self) -> String {
        let kind = match self.kind {
            Kind::Boolean => "boolean",
            Kind::I32 => "i32",
            Kind::I64 => "i64",
        };
        let nulls = if self.nullable { "/nulls=0.1" } else { "" };
        format!("page_decode/{}/{kind}{nulls}", self.name)
    }
}

/// Where the levels of a page are that the `parquet` crate wrote.
fn levels_of(page: &Page, nullable: bool) -> LevelSpec {
    let section_bytes = match page {
        Page::DataPageV2 {
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => Some((*rep_levels_byte_len, *def_levels_byte_len)),
        _ => None,
    };
    LevelSpec {
        widths: LevelWidths {
            definition_level_max: nullable.into(),
            repetition_level_max: 0,
        },
        section_bytes,
        packed: false,
    }
}

/// Fixed-width values in an encoding.
fn decode(bench: &mut Bench, criterion: &mut Criterion, shape: Shape) {
    let count = pages();
    let distinct = 16.min(count);
    let array = shape.array(distinct * PAGE_ROWS);
    let width = match shape.kind {
        Kind::Boolean => 0,
        Kind::I32 => 4,
        Kind::I64 => 8,
    };
    let written = write_pages(Arc::clone(&array), shape.encoding, shape.nullable);
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
    let bitmap_bytes = rows.div_ceil(8).next_multiple_of(SLACK_BYTES);
    let value_bytes = match shape.kind {
        Kind::Boolean => bitmap_bytes,
        _ => rows * width,
    };
    let zeroed = |bytes| Arc::new(bench.device.alloc_zeroed(stream, bytes).unwrap());
    let target = PageTarget {
        values: zeroed(value_bytes),
        validity: shape.nullable.then(|| zeroed(bitmap_bytes)),
        levels: None,
        rows,
    };
    let out_bytes = match shape.nullable {
        true => value_bytes + bitmap_bytes,
        false => value_bytes,
    };
    let batch = || {
        let mut batch = PageBatch::default();
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
                conversion: shape.conversion(),
                element_bytes: width as u32,
                levels: levels_of(page, shape.nullable),
                text: false,
            };
            batch.values.add(&spec).unwrap();
        }
        batch
    };
    let id = shape.id();
    match batch().launch(&bench.launch()) {
        Ok(launched) => launched.check(&bench.launch()).unwrap(),
        Err(error) => {
            let unsupported = matches!(error.kind(), ErrorKind::Unsupported { .. });
            assert!(unsupported, "{id}: {error}");
            return bench.note(format!("{id},,no kernel,,,,,"));
        }
    }
    let read = |buffer: &Arc<DeviceBuffer>, bytes: u64| {
        let mut got = vec![0; bytes as usize];
        bench.device.read(stream, buffer, &mut got).unwrap();
        Buffer::from(got)
    };
    let validity = target.validity.as_ref();
    let validity = validity.map(|validity| read(validity, bitmap_bytes));
    let got = ArrayData::builder(array.data_type().clone())
        .len(rows as usize)
        .add_buffer(read(&target.values, value_bytes))
        .null_bit_buffer(validity)
        .build()
        .unwrap();
    let got = make_array(got);
    for start in (0..got.len()).step_by(array.len()) {
        let part = got.slice(start, array.len().min(got.len() - start));
        assert!(
            part.as_ref() == array.slice(0, part.len()).as_ref(),
            "{id}: rows from {start}"
        );
    }
    measure(bench, criterion, &id, out_bytes, batch, |batch, launch| {
        batch.launch(launch).map(drop)
    });
}

fn main() {
    let Some(mut bench) = Bench::open() else {
        return;
    };
    let mut criterion = support::criterion();
    let shapes: [(&str, Bytes); 3] = [("indices", indices), ("decimals", decimals), ("text", text)];
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
    let number = |(name, encoding)| {
        [(Kind::I32, false), (Kind::I64, false), (Kind::I64, true)].map(|(kind, nullable)| Shape {
            name,
            encoding,
            kind,
            nullable,
        })
    };
    let boolean =
        [("plain", Encoding::PLAIN), ("rle", Encoding::RLE)].map(|(name, encoding)| Shape {
            name,
            encoding: Some(encoding),
            kind: Kind::Boolean,
            nullable: false,
        });
    for shape in encodings.into_iter().flat_map(number).chain(boolean) {
        decode(&mut bench, &mut criterion, shape);
    }
    bench.finish();
}
