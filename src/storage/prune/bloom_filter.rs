//! Bloom filters: which values a column chunk does certainly not hold.
//!
//! A split block Bloom filter hashes values in their plain encoding, without a length, by xxHash.
//! Headers are judged here, since the `parquet` crate takes a filter to be as long as the footer
//! says: bits of a wrong number of blocks would miss values that are there. A filter whose header,
//! length and footer disagree is no filter.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use parquet::bloom_filter::{BITSET_MAX_LENGTH, Sbbf};
use parquet::file::metadata::ColumnChunkMetaData;

use super::Comparison;
use super::file_bytes::FileBytes;
use super::membership::Membership;
use super::plain::Plain;
use super::zones::Zones;
use crate::expr::{BinaryOp, TypedExpr, TypedKind};
use crate::storage::ParquetFile;
use crate::storage::interval::{Outcome, Point, Sample, sample};
use crate::storage::thrift::{Malformed, Value, Walker};
use crate::types::{decimal_parts, is_string};

/// Bytes that are read for a filter's header: four small fields.
const HEADER_BYTES: u64 = 64;

/// A block has eight words of 32 bits.
const BLOCK_BYTES: u64 = 32;

/// A larger filter is not read: the column chunk is hardly larger.
const FILTER_BYTES_MAX: u64 = 16 << 20;

/// Bytes of filters kept with a footer; others are read again.
const FILTER_BYTES_KEPT_MAX: u64 = 32 << 20;

const _: () = assert!(
    FILTER_BYTES_MAX <= BITSET_MAX_LENGTH as u64,
    "the format's own limit is higher"
);

/// The filters of a file that were read so far, by row group and leaf column.
#[derive(Default)]
pub(in crate::storage) struct BloomFilters {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// `None` for a filter that cannot be one.
    filters: HashMap<(usize, usize), Option<Arc<Sbbf>>>,
    bytes: u64,
}

impl fmt::Debug for BloomFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BloomFilters").finish_non_exhaustive()
    }
}

impl BloomFilters {
    fn of(
        &self,
        bytes: &FileBytes<'_>,
        file: &ParquetFile,
        place: (usize, usize),
    ) -> Option<Arc<Sbbf>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().filters.get(&place) {
            return known.clone();
        }
        let (row_group, leaf) = place;
        let read = read(bytes, file.row_group(row_group).column(leaf)).map(Arc::new);
        let size = read
            .as_ref()
            .map_or(0, |filter| filter.num_blocks() as u64 * BLOCK_BYTES);
        let mut kept = kept();
        if kept.bytes + size <= FILTER_BYTES_KEPT_MAX
            && kept.filters.insert(place, read.clone()).is_none()
        {
            kept.bytes += size;
        }
        read
    }
}

/// A column chunk's filter, if it has one that can be.
fn read(bytes: &FileBytes<'_>, chunk: &ColumnChunkMetaData) -> Option<Sbbf> {
    let start = chunk.bloom_filter_offset()?;
    let said = chunk.bloom_filter_length().map(i64::from);
    let head = bytes.head(start, said.unwrap_or(i64::MAX), HEADER_BYTES)?;
    let (header_bytes, filter_bytes) = header(&head).ok()??;
    let whole = header_bytes.checked_add(filter_bytes)?;
    if said.is_some_and(|said| said != whole) {
        return None;
    }
    let start = start.checked_add(header_bytes)?;
    let bits = bytes.range(start, filter_bytes, FILTER_BYTES_MAX)?;
    Some(Sbbf::new(&bits))
}

/// Bytes of the header and of the bits behind it; `None` for what is not understood.
fn header(head: &[u8]) -> Result<Option<(i64, i64)>, Malformed> {
    const FILTER_BYTES: i64 = 1;
    const CHOICES: std::ops::RangeInclusive<i64> = 2..=4;
    let mut filter_bytes = None;
    let mut choices = 0;
    let mut walker = Walker::new(head);
    walker.fields(|walker, field, value| match (field, &value) {
        (FILTER_BYTES, Value::Integer(bytes)) => {
            filter_bytes = Some(*bytes);
            Ok(())
        }
        (field, Value::Struct) if CHOICES.contains(&field) => {
            // The algorithm, the hash and the compression: the first of each is all there is.
            walker.fields(|walker, choice, value| {
                choices += u32::from(choice == 1);
                walker.skip_value(&value)
            })
        }
        _ => walker.skip_value(&value),
    })?;
    let blocks = |bytes: &i64| *bytes > 0 && *bytes % BLOCK_BYTES as i64 == 0;
    let known = filter_bytes.filter(blocks).filter(|_| choices == 3);
    Ok(known.map(|bytes| (walker.position() as i64, bytes)))
}

/// The filters of one row group.
pub(super) struct GroupFilters<'z> {
    pub(super) file: &'z ParquetFile,
    pub(super) zones: &'z Zones<'z>,
    pub(super) bytes: &'z FileBytes<'z>,
    pub(super) row_group: usize,
}

impl GroupFilters<'_> {
    /// Every stored form of the value that the comparison is about.
    fn sought(&self, comparison: &Comparison) -> Option<(usize, Vec<Vec<u8>>)> {
        if !matches!(comparison.op, BinaryOp::Equal | BinaryOp::NotEqual) {
            return None;
        }
        let leaf = self.zones.leaf(comparison.column)?;
        let chunk = self.file.row_group(self.row_group).column(leaf);
        chunk.bloom_filter_offset()?;
        let data_type = self.zones.data_type(comparison.column)?;
        let plain = Plain::of(chunk.column_descr(), data_type)?;
        let value = before_casts(comparison.operand, &comparison.literal)?;
        if value.data_type() != data_type {
            return None;
        }
        Some((leaf, plain.stored(&sample(value.as_ref(), 0)?)?))
    }
}

impl GroupFilters<'_> {
    /// Whether the column's filter misses all of these values; false where that cannot be told.
    pub(super) fn misses(&self, column: usize, values: &[Point]) -> bool {
        let missed = || {
            let leaf = self.zones.leaf(column)?;
            let chunk = self.file.row_group(self.row_group).column(leaf);
            chunk.bloom_filter_offset()?;
            let plain = Plain::of(chunk.column_descr(), self.zones.data_type(column)?)?;
            let stored = |value: &Point| plain.stored(&Sample::Value(value.clone()));
            let forms = values.iter().map(stored).collect::<Option<Vec<_>>>()?;
            let filters = self.file.bloom_filters();
            let filter = filters.of(self.bytes, self.file, (self.row_group, leaf))?;
            let mut forms = forms.iter().flatten();
            Some(!forms.any(|form| filter.check(form.as_slice())))
        };
        missed().unwrap_or(false)
    }
}

impl Membership for GroupFilters<'_> {
    fn can_tell(&self, comparison: &Comparison) -> bool {
        self.sought(comparison).is_some()
    }

    fn tell(&self, comparison: &Comparison) -> Option<Outcome> {
        let (leaf, forms) = self.sought(comparison)?;
        let filters = self.file.bloom_filters();
        let filter = filters.of(self.bytes, self.file, (self.row_group, leaf))?;
        if forms.iter().any(|form| filter.check(form.as_slice())) {
            return None;
        }
        let never = Outcome {
            can_be_true: false,
            can_be_false: true,
            can_be_null: true,
        };
        Some(match comparison.op {
            BinaryOp::Equal => never,
            _ => never.not(),
        })
    }
}

/// The one value that an operand's casts turn into this one; `None` if there is none, or several.
fn before_casts(operand: &TypedExpr, value: &ArrayRef) -> Option<ArrayRef> {
    let TypedKind::Cast { expr: inner, .. } = &operand.kind else {
        return Some(value.clone());
    };
    if !keeps_apart(&inner.data_type, &operand.data_type) {
        return None;
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let before = cast_with_options(value, &inner.data_type, &options).ok()?;
    let again = cast_with_options(&before, &operand.data_type, &options).ok()?;
    let same = match (sample(value.as_ref(), 0)?, sample(again.as_ref(), 0)?) {
        (Sample::Value(value), Sample::Value(again)) => value == again,
        _ => false,
    };
    if !same {
        return None;
    }
    before_casts(inner, &before)
}

/// Whether no two values become one by the cast.
fn keeps_apart(from: &DataType, to: &DataType) -> bool {
    let narrow = |t: &DataType| t.is_integer() && !matches!(t, DataType::Int64 | DataType::UInt64);
    let fineness = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if from.is_integer() && to.is_integer() => true,
        (from, DataType::Float64) if narrow(from) || *from == DataType::Float32 => true,
        (DataType::Date32, DataType::Date64 | DataType::Timestamp(_, None)) => true,
        (DataType::Timestamp(from, a), DataType::Timestamp(to, b)) => {
            a == b && fineness(from) <= fineness(to)
        }
        (from, to) if is_string(from) && is_string(to) => true,
        (from, to) => match (decimal_parts(from), decimal_parts(to)) {
            (None, Some((_, scale))) => from.is_integer() && scale >= 0,
            (Some((_, scale)), Some((_, finer))) => scale <= finer,
            _ => false,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_not_understood_are_no_filters() {
        let filter = Sbbf::new_with_num_of_bytes(64);
        let mut bytes = Vec::new();
        filter.write(&mut bytes).unwrap();
        let header_bytes = i64::try_from(bytes.len()).unwrap() - 64;
        assert_eq!(header(&bytes), Ok(Some((header_bytes, 64))));
        for place in 0..usize::try_from(header_bytes).unwrap() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[place] = value;
                if let Ok(Some((_, length))) = header(&changed) {
                    assert!(length > 0 && length % 32 == 0);
                }
            }
            assert_eq!(header(&bytes[..place]), Err(Malformed::Ended));
        }
    }

    #[test]
    fn casts_that_join_values_are_not_undone() {
        let decimal = |scale| DataType::Decimal128(20, scale);
        for (from, to, expected) in [
            (DataType::Int64, DataType::Float64, false),
            (DataType::Int32, DataType::Float64, true),
            (DataType::Int64, DataType::Int8, true),
            (DataType::Int64, decimal(2), true),
            (decimal(2), decimal(1), false),
            (decimal(1), decimal(2), true),
            (decimal(1), DataType::Int64, false),
            (DataType::Float64, DataType::Float32, false),
            (DataType::Utf8View, DataType::Utf8, true),
        ] {
            assert_eq!(keeps_apart(&from, &to), expected, "{from} to {to}");
        }
    }
}
