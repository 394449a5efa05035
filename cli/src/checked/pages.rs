//! Adds up what decoding a file would hold in memory, from its page headers.
//!
//! Only sizes are judged here. Where headers cannot be followed the walk of that chunk ends, and
//! the decoder says what is wrong.

use std::fs::File;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use super::footer::read_at;
use super::inflate;
use super::problem::{Kind, Problem};
use super::thrift::{Malformed, Value, Walker};

/// Bytes first read for a page header; statistics can make it longer.
const HEADER_BYTES_FIRST: u64 = 1 << 10;

/// A page header that is longer is refused.
const HEADER_BYTES_MAX: u64 = 16 << 20;

/// A page that is larger is refused, compressed or not. Writers aim at a megabyte.
const PAGE_BYTES_MAX: u64 = 512 << 20;

/// Rows of a file without columns beyond this are refused: nothing in the file backs them.
const COLUMNLESS_ROWS_MAX: i64 = 1 << 24;

/// Checks every row group and answers the largest mean of uncompressed bytes per row.
///
/// # Errors
/// `Corrupt` for chunks outside the file, `Memory` if the pages in flight would pass the limit.
pub(super) fn check(
    file: &File,
    file_bytes: u64,
    metadata: &ParquetMetaData,
    memory_limit: u64,
) -> Result<u64, Problem> {
    let mut bytes_per_row = 0;
    for (index, row_group) in metadata.row_groups().iter().enumerate() {
        let in_group = |mut problem: Problem| {
            problem.message = format!("row group {index}: {}", problem.message);
            problem
        };
        let bytes = check_row_group(file, file_bytes, row_group, memory_limit).map_err(in_group)?;
        let rows = u64::try_from(row_group.num_rows()).unwrap_or(0).max(1);
        bytes_per_row = bytes_per_row.max(bytes / rows);
    }
    Ok(bytes_per_row)
}

/// The row group's uncompressed bytes.
fn check_row_group(
    file: &File,
    file_bytes: u64,
    row_group: &RowGroupMetaData,
    memory_limit: u64,
) -> Result<u64, Problem> {
    if row_group.num_rows() < 0 {
        return Err(Problem::new(Kind::Corrupt, "a negative number of rows"));
    }
    if row_group.columns().is_empty() && row_group.num_rows() > COLUMNLESS_ROWS_MAX {
        return Err(Problem::new(
            Kind::Corrupt,
            format_args!("{} rows without a column", row_group.num_rows()),
        ));
    }
    let mut held: u64 = 0;
    let mut total: u64 = 0;
    for column in row_group.columns() {
        let sizes = check_column(file, file_bytes, column).map_err(|mut problem| {
            problem.message = format!("column {}: {}", column.column_path(), problem.message);
            problem
        })?;
        held = held.saturating_add(sizes.held);
        total = total.saturating_add(sizes.total);
        if held > memory_limit {
            return Err(Problem::new(
                Kind::Memory,
                format_args!(
                    "column {}: pages of {held} bytes at once; the limit is {memory_limit}",
                    column.column_path()
                ),
            ));
        }
    }
    Ok(total)
}

/// Uncompressed bytes of a column chunk's pages.
#[derive(Default)]
struct Sizes {
    /// Dictionary and largest data page: what is held at once.
    held: u64,
    /// All pages.
    total: u64,
}

fn check_column(
    file: &File,
    file_bytes: u64,
    column: &ColumnChunkMetaData,
) -> Result<Sizes, Problem> {
    let start = column
        .dictionary_page_offset()
        .unwrap_or_else(|| column.data_page_offset());
    let (Ok(start), Ok(length)) = (
        u64::try_from(start),
        u64::try_from(column.compressed_size()),
    ) else {
        return Err(Problem::new(Kind::Corrupt, "a negative offset or size"));
    };
    let end = start.checked_add(length).filter(|end| *end <= file_bytes);
    let Some(end) = end else {
        return Err(Problem::new(
            Kind::Corrupt,
            format_args!("bytes {start} to +{length} of a file of {file_bytes}"),
        ));
    };

    let mut sizes = Sizes::default();
    let mut at = start;
    while at < end {
        let Some(page) = read_header(file, at, end)? else {
            break;
        };
        let page_bytes = page.compressed.max(page.uncompressed);
        if page_bytes > PAGE_BYTES_MAX {
            return Err(Problem::new(
                Kind::Memory,
                format_args!("a page of {page_bytes} bytes; the limit is {PAGE_BYTES_MAX}"),
            ));
        }
        sizes.total = sizes.total.saturating_add(page_bytes);
        if page.is_dictionary {
            sizes.held = sizes.held.saturating_add(page_bytes);
        } else {
            sizes.held = sizes.held.max(page_bytes);
        }
        let body = at.saturating_add(page.header_bytes);
        at = body.saturating_add(page.compressed);
        let levels = page.levels.min(page.compressed);
        let values = page.compressed - levels;
        if at <= end && inflate::is_suspect(column.compression(), values, PAGE_BYTES_MAX) {
            let mut bytes = vec![0; usize::try_from(values).unwrap_or(0)];
            read_at(file, &mut bytes, body + levels)?;
            let declared = page.uncompressed.saturating_sub(levels);
            inflate::check(column.compression(), &bytes, declared)?;
        }
    }
    Ok(sizes)
}

struct PageSizes {
    header_bytes: u64,
    compressed: u64,
    uncompressed: u64,
    /// Bytes of levels, which pages of version 2 have before the compressed ones.
    levels: u64,
    is_dictionary: bool,
}

/// Reads the page header at `at`; `None` if there is none that makes sense.
fn read_header(file: &File, at: u64, end: u64) -> Result<Option<PageSizes>, Problem> {
    let mut window = HEADER_BYTES_FIRST;
    loop {
        let bytes = window.min(end - at);
        let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(0)];
        read_at(file, &mut buffer, at)?;
        match walk_header(&buffer) {
            Ok(page) => return Ok(page),
            Err(Malformed) if bytes < window || window >= HEADER_BYTES_MAX => return Ok(None),
            Err(Malformed) => window *= 16,
        }
    }
}

/// Field numbers of the format's Thrift definition.
mod fields {
    pub const PAGE_TYPE: i64 = 1;
    pub const PAGE_UNCOMPRESSED: i64 = 2;
    pub const PAGE_COMPRESSED: i64 = 3;
    pub const PAGE_HEADER_V2: i64 = 8;
    pub const V2_DEFINITION_LEVELS: i64 = 5;
    pub const V2_REPETITION_LEVELS: i64 = 6;
    pub const DICTIONARY_PAGE: i64 = 2;
}

fn walk_header(bytes: &[u8]) -> Result<Option<PageSizes>, Malformed> {
    let (mut kind, mut uncompressed, mut compressed, mut levels) = (-1, -1, -1, 0_u64);
    let mut walker = Walker::new(bytes);
    walker.fields(|walker, field, value| {
        if let Value::Integer(number) = value {
            match field {
                fields::PAGE_TYPE => kind = number,
                fields::PAGE_UNCOMPRESSED => uncompressed = number,
                fields::PAGE_COMPRESSED => compressed = number,
                _ => {}
            }
        }
        if !matches!((field, &value), (fields::PAGE_HEADER_V2, Value::Struct)) {
            return walker.skip_value(&value);
        }
        walker.fields(|walker, field, value| match (field, &value) {
            (
                fields::V2_DEFINITION_LEVELS | fields::V2_REPETITION_LEVELS,
                Value::Integer(bytes),
            ) => {
                levels = levels.saturating_add(u64::try_from(*bytes).unwrap_or(0));
                Ok(())
            }
            _ => walker.skip_value(&value),
        })
    })?;
    let (Ok(compressed), Ok(uncompressed)) =
        (u64::try_from(compressed), u64::try_from(uncompressed))
    else {
        return Ok(None);
    };
    Ok(Some(PageSizes {
        header_bytes: walker.position() as u64,
        compressed,
        uncompressed,
        levels,
        is_dictionary: kind == fields::DICTIONARY_PAGE,
    }))
}
