//! Pages with changed bytes: no kernel reads or writes where it must not, none hangs, and what is
//! accepted, and as what, is what the `parquet` crate says of a file with the same page.
//!
//! Where the two differ on purpose:
//!
//! - A page whose values are all null has an empty value section for the kernels; the crate reads
//!   the headers of the section and may refuse them.
//! - Strings of the delta encodings: a count of lengths above the page's number of rows is refused
//!   before memory is spent on them, and a prefix that is longer than the string before is refused,
//!   as the format demands; the crate cuts it off.
//! - A BYTE_STREAM_SPLIT section that is shorter than its values is refused; the crate takes an
//!   eighth of it (or whatever the length of a value is) for a stream, and reads the last values
//!   from bytes of the next one.
//! - A run of indices or Booleans whose header is 0 is padding and ends them; the crate goes on
//!   behind it if it is the first, or if its caller asks again.
//! - Bytes behind the last index are not read; the crate reads indices of strings ahead, and refuses
//!   what it finds there.
//! - A dictionary page of strings that ends early is refused; the crate takes the entries that it
//!   finds, and refuses indices beyond them.
//! - Where the crate panics it gives no verdict, and the kernels may say either.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::reader::ColumnReader;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use pelton::error::ErrorKind;

use super::encodings::column;
use super::pages::{decode, layout, pages_of, write_file};
use super::support::backends::devices;
use super::support::random::{Random, for_each_case};

/// Rows of a case; the pages are small, so that changes hit what matters.
const ROWS: [usize; 6] = [1, 5, 33, 100, 257, 700];

/// A page like this one, with other bytes.
fn with_bytes(page: &Page, bytes: Vec<u8>) -> Page {
    let mut page = page.clone();
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = bytes.into(),
        Page::DataPageV2 { buf, num_nulls, .. } => {
            *buf = bytes.into();
            // The crate would take the header's word for the number of values; the levels have it.
            *num_nulls = 0;
        }
    }
    page
}

/// Changes some bytes: bits, whole bytes, long varints; or the length.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let near_front = random.once_in(2);
        let bound = if near_front {
            bytes.len().min(24)
        } else {
            bytes.len()
        };
        let at = random.below(bound.max(1));
        let extreme = *random.pick(&[0, 1, 2, 3, 32, 33, 64, 65, 127, 128, 254, 255]);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.extend((0..1 + random.below(40)).map(|_| random.bits() as u8)),
            2 => bytes.insert(at.min(bytes.len()), extreme),
            3 => {
                let end = (at + 1 + random.below(12)).min(bytes.len());
                bytes
                    .get_mut(at..end)
                    .into_iter()
                    .flatten()
                    .for_each(|byte| *byte = 255);
            }
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 | 6 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = extreme,
            _ => {}
        }
    }
}

/// A file with these pages in place of its own.
fn rebuild(file: &Bytes, pages: &[Page]) -> Result<Bytes> {
    let reader = SerializedFileReader::new(file.clone())?;
    let metadata = reader.metadata();
    let column = metadata.row_group(0).column(0);
    let mut chunk = TrackedWrite::new(Vec::new());
    let mut data_page_offset = None;
    let mut dictionary_page_offset = None;
    for page in pages {
        let bytes = page.buffer().len();
        let compressed = CompressedPage::new(page.clone(), bytes);
        let offset = SerializedPageWriter::new(&mut chunk)
            .write_page(compressed)?
            .offset as i64;
        match page {
            Page::DictionaryPage { .. } => dictionary_page_offset = Some(offset),
            _ => data_page_offset = data_page_offset.or(Some(offset)),
        }
    }
    let chunk = Bytes::from(chunk.into_inner()?);
    let rows = metadata.row_group(0).num_rows();
    let close = ColumnCloseResult {
        bytes_written: chunk.len() as u64,
        rows_written: rows as u64,
        metadata: ColumnChunkMetaData::builder(column.column_descr_ptr())
            .set_encodings(column.encodings().collect())
            .set_compression(Compression::UNCOMPRESSED)
            .set_num_values(column.num_values())
            .set_total_compressed_size(chunk.len() as i64)
            .set_total_uncompressed_size(chunk.len() as i64)
            .set_data_page_offset(data_page_offset.unwrap_or(0))
            .set_dictionary_page_offset(dictionary_page_offset)
            .build()?,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    let file_metadata = metadata.file_metadata();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(file_metadata.key_value_metadata().cloned())
        .build();
    let schema = file_metadata.schema_descr().root_schema_ptr();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut row_group = writer.next_row_group()?;
    row_group.append_column(&chunk, close)?;
    row_group.close()?;
    writer.into_inner().map(Bytes::from)
}

/// What the crate says of a file.
enum Verdict {
    Column(ArrayRef),
    Refused,
    /// It panicked, or would ask for too much memory.
    None,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn crate_verdict(file: &Bytes, rows: usize) -> Verdict {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let read = || -> Result<ArrayRef> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone())?;
        let mut reader = builder.with_batch_size(rows).build()?;
        let batch = reader.next().ok_or(ParquetError::EOF(String::new()))?;
        Ok(Arc::clone(batch?.column(0)))
    };
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    QUIET.set(false);
    match outcome {
        Err(_) => Verdict::None,
        Ok(Ok(array)) if array.len() == rows => Verdict::Column(array),
        Ok(_) => Verdict::Refused,
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(value);
        }
    }
    None
}

/// Count and end of the lengths that begin at byte `at`; none if they are malformed.
fn lengths_end(bytes: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let block = varint(bytes, &mut at)?;
    let miniblocks = varint(bytes, &mut at)?;
    let total = varint(bytes, &mut at)?;
    varint(bytes, &mut at)?;
    let per_miniblock = block.checked_div(miniblocks)?;
    let mut left = total.saturating_sub(1);
    while left > 0 && per_miniblock > 0 && total <= COUNT_MAX {
        varint(bytes, &mut at)?;
        let widths_end = at.checked_add(usize::try_from(miniblocks).ok()?)?;
        let widths = bytes.get(at..widths_end)?;
        at = widths_end;
        for width in widths {
            if left > 0 {
                let bytes = u64::from(*width).checked_mul(per_miniblock / 8)?;
                at = at.checked_add(usize::try_from(bytes).ok()?)?;
                left = left.saturating_sub(per_miniblock);
            }
        }
    }
    Some((total, at))
}

/// Lengths for which the crate may be asked to allocate memory.
const COUNT_MAX: u64 = 1 << 20;

/// Where the values of a page begin, if its levels are not malformed.
fn values_at(page: &Page, nullable: bool) -> usize {
    let bytes = page.buffer();
    match page {
        Page::DataPageV2 {
            def_levels_byte_len,
            ..
        } => *def_levels_byte_len as usize,
        _ if nullable && bytes.len() >= 4 => {
            4 + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        }
        _ => 0,
    }
}

/// How many lengths a page of strings says that it has, at most.
fn length_count(page: &Page, nullable: bool) -> u64 {
    let bytes = page.buffer();
    let at = values_at(page, nullable);
    let Some((first, end)) = lengths_end(bytes, at) else {
        return 0;
    };
    let second = match page.encoding() {
        Encoding::DELTA_BYTE_ARRAY if first <= COUNT_MAX => lengths_end(bytes, end),
        _ => None,
    };
    first.max(second.map_or(0, |(count, _)| count))
}

/// True if a header of 0 is among those of the runs from byte `at` on.
fn runs_end_early(bytes: &[u8], mut at: usize, bits: usize) -> bool {
    while let Some(header) = varint(bytes, &mut at) {
        let length = usize::try_from(header >> 1).unwrap_or(usize::MAX);
        match header {
            0 => return true,
            _ if header & 1 == 1 => at = at.saturating_add(length.saturating_mul(bits)),
            _ => at += bits.div_ceil(8),
        }
    }
    false
}

/// True if the crate's reader of strings without Arrow takes the file: it refuses prefixes that are
/// longer than the string before, which the other one cuts off.
fn prefixes_are_good(file: &Bytes, rows: usize) -> bool {
    let read = || -> Result<bool> {
        let reader = SerializedFileReader::new(file.clone())?;
        let mut levels = Vec::new();
        let counts = match reader.get_row_group(0)?.get_column_reader(0)? {
            ColumnReader::ByteArrayColumnReader(mut reader) => {
                reader.read_records(rows, Some(&mut levels), None, &mut Vec::new())?
            }
            ColumnReader::FixedLenByteArrayColumnReader(mut reader) => {
                reader.read_records(rows, Some(&mut levels), None, &mut Vec::new())?
            }
            _ => return Ok(true),
        };
        Ok(counts.0 == rows)
    };
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(read));
    QUIET.set(false);
    matches!(outcome, Ok(Ok(true)))
}

/// What the crate makes of a page of indices without the bytes behind its last value, if there are
/// any.
fn shorter_verdict(file: &Bytes, pages: &[Page], chosen: usize, rows: usize) -> Option<ArrayRef> {
    if pages[chosen].encoding() != Encoding::RLE_DICTIONARY {
        return None;
    }
    let bytes = pages[chosen].buffer();
    (0..bytes.len()).rev().find_map(|length| {
        let mut pages = pages.to_vec();
        pages[chosen] = with_bytes(&pages[chosen], bytes[..length].to_vec());
        let file = rebuild(file, &pages).expect("a file of any pages can be written");
        match crate_verdict(&file, rows) {
            Verdict::Column(column) => Some(column),
            _ => None,
        }
    })
}

/// What happened in the cases of a test: a test that never sees a side proves nothing.
#[derive(Debug, Default)]
struct Seen {
    accepted: u32,
    refused: u32,
    no_verdict: u32,
}

/// Writes a column, changes bytes of one page, and compares what the kernels make of it with what
/// the crate does.
fn check_case(
    random: &mut Random,
    types: &[DataType],
    encoding: Option<Encoding>,
    seen: &mut Seen,
) {
    let rows = *random.pick(&ROWS);
    let data_type = random.pick(types).clone();
    let array = column(random, &data_type, rows);
    let version = *random.pick(&[WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0]);
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_dictionary_enabled(encoding.is_none())
        .set_encoding(encoding.unwrap_or(Encoding::PLAIN))
        .set_data_page_row_count_limit(*random.pick(&[100, 1000]))
        .set_write_batch_size(64)
        .build();
    let file = write_file(&array, properties);
    let mut pages = pages_of(&file);
    let chosen = random.below(pages.len());
    let mut bytes = pages[chosen].buffer().to_vec();
    mutate(random, &mut bytes);
    pages[chosen] = with_bytes(&pages[chosen], bytes);
    let page = &pages[chosen];
    let file = rebuild(&file, &pages).expect("a file of any pages can be written");

    let delta_text = matches!(
        page.encoding(),
        Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY
    );
    let count = if delta_text {
        length_count(page, array.null_count() > 0)
    } else {
        0
    };
    let verdict = if count > COUNT_MAX {
        Verdict::None
    } else {
        crate_verdict(&file, rows)
    };
    let is_dictionary = matches!(page, Page::DictionaryPage { .. });
    let is_data = |page: &&Page| !matches!(page, Page::DictionaryPage { .. });
    let before = pages[..chosen].iter().filter(is_data);
    let first: usize = before.map(|page| page.num_values() as usize).sum();
    let page_rows = first..first + page.num_values() as usize;
    let may_refuse = match (page.encoding(), &verdict) {
        (Encoding::PLAIN, _) => is_dictionary && data_type == DataType::Binary,
        (Encoding::DELTA_LENGTH_BYTE_ARRAY, _) => count > u64::from(page.num_values()),
        (Encoding::DELTA_BYTE_ARRAY, _) => {
            count > u64::from(page.num_values()) || !prefixes_are_good(&file, rows)
        }
        (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, _) => {
            let at = values_at(page, array.null_count() > 0);
            let bits = page.buffer().get(at).copied().unwrap_or(0);
            runs_end_early(page.buffer(), at + 1, usize::from(bits))
        }
        (Encoding::RLE, _) => runs_end_early(
            page.buffer(),
            values_at(page, array.null_count() > 0) + 4,
            1,
        ),
        (Encoding::BYTE_STREAM_SPLIT, Verdict::Column(column)) => {
            let values = page_rows
                .clone()
                .filter(|row| column.is_valid(*row))
                .count();
            let section = page.buffer().len() - values_at(page, array.null_count() > 0);
            section < values * layout(&data_type).0 as usize
        }
        _ => false,
    };
    for device in devices() {
        match (decode(&device, &pages, &array), &verdict) {
            (Ok(decoded), Verdict::Column(expected)) => {
                decoded.check(expected);
                seen.accepted += 1;
            }
            (Ok(decoded), Verdict::Refused) => {
                let empty = !is_dictionary && page_rows.clone().all(|row| !decoded.is_valid(row));
                if let Some(expected) = shorter_verdict(&file, &pages, chosen, rows) {
                    decoded.check(&expected);
                    continue;
                }
                assert!(empty, "kernels accept what the crate refuses: {page:?}");
            }
            (Err(error), verdict) => {
                match error.kind() {
                    ErrorKind::Kernel { .. } | ErrorKind::Reservation { .. } => {}
                    _ => panic!("{error}"),
                }
                let accepted = matches!(verdict, Verdict::Column(_));
                assert!(
                    !accepted || may_refuse,
                    "kernels refuse what the crate accepts: {error} {chosen} {page:?}"
                );
                seen.refused += 1;
            }
            (Ok(_), Verdict::None) => {}
        }
        seen.no_verdict += u32::from(matches!(verdict, Verdict::None));
    }
}

fn check(property: &str, types: &[DataType], encoding: Option<Encoding>) {
    let mut seen = Seen::default();
    for_each_case(property, |random| {
        check_case(random, types, encoding, &mut seen);
    });
    let both = seen.accepted > 0 && seen.refused > 0;
    let few = seen.accepted + seen.refused < 50;
    assert!(both || few, "{property} has seen one side only: {seen:?}");
}

const INTEGERS: [DataType; 6] = [
    DataType::Int8,
    DataType::Int32,
    DataType::Int64,
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Decimal128(9, 2),
    DataType::Decimal128(18, 2),
];

const WIDE: [DataType; 3] = [
    DataType::Float16,
    DataType::Decimal128(38, 5),
    DataType::FixedSizeBinary(11),
];

#[test]
fn plain() {
    check("hostile plain", &INTEGERS, Some(Encoding::PLAIN));
    check("hostile plain, fixed length", &WIDE, Some(Encoding::PLAIN));
    let types = [DataType::Binary];
    check("hostile plain strings", &types, Some(Encoding::PLAIN));
    let types = [DataType::Boolean];
    check("hostile plain Booleans", &types, Some(Encoding::PLAIN));
}

#[test]
fn dictionaries() {
    check("hostile dictionaries", &INTEGERS, None);
    check("hostile dictionaries of strings", &[DataType::Binary], None);
}

#[test]
fn runs() {
    let types = [DataType::Boolean];
    check("hostile runs", &types, Some(Encoding::RLE));
}

#[test]
fn deltas() {
    check(
        "hostile deltas",
        &INTEGERS,
        Some(Encoding::DELTA_BINARY_PACKED),
    );
}

#[test]
fn strings_by_length() {
    let types = [DataType::Binary];
    check(
        "hostile lengths",
        &types,
        Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
    );
}

#[test]
fn strings_by_prefix() {
    let types = [DataType::Binary];
    check("hostile prefixes", &types, Some(Encoding::DELTA_BYTE_ARRAY));
    check(
        "hostile prefixes, fixed length",
        &WIDE,
        Some(Encoding::DELTA_BYTE_ARRAY),
    );
}

#[test]
fn streams_of_bytes() {
    let types = &INTEGERS[1..];
    check("hostile streams", types, Some(Encoding::BYTE_STREAM_SPLIT));
    check(
        "hostile streams, fixed length",
        &WIDE,
        Some(Encoding::BYTE_STREAM_SPLIT),
    );
}
