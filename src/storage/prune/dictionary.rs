//! Dictionaries: all values that a column chunk may hold, if every data page uses its dictionary.
//!
//! The footer says so where it counts pages by encoding; otherwise the dictionary is not asked, for
//! a chunk may have gone on without it. Reading one is worth its while if it is small beside its
//! chunk, and as long as dictionaries of the column do exclude row groups.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use super::file_bytes::FileBytes;
use super::membership::Membership;
use super::plain::Plain;
use super::zones::Zones;
use super::{Bounds, Comparison, Evidence, columns_of, may_match};
use crate::expr::{TypedExpr, TypedKind};
use crate::storage::ParquetFile;
use crate::storage::interval::{Outcome, Point, Sample, Values, compare, sample};
use crate::storage::stored::decompress;

/// A dictionary is read if it is at most this share of its column chunk: one in so many bytes.
const DICTIONARY_SHARE: i64 = 4;

/// Or if it has no more bytes than this: no read costs less.
const DICTIONARY_BYTES_SMALL: i64 = 4 << 10;

/// A larger dictionary is not read, compressed or not. Writers give up theirs at a megabyte.
const DICTIONARY_BYTES_MAX: u64 = 2 << 20;

/// A dictionary of more entries is not compared: that takes longer than what it may save.
const DICTIONARY_ENTRIES_MAX: u32 = 1 << 16;

/// A dictionary of more entries is not tried entry by entry against several comparisons at once.
const DICTIONARY_ENTRIES_TRIED_MAX: usize = 1 << 12;

/// Row groups in a row that a column's dictionaries did not exclude, after which they are no longer
/// asked.
const MISSES_MAX: u32 = 4;

/// How often in a row dictionaries of a column were read for nothing, by column.
#[derive(Debug, Default)]
pub(super) struct Misses(HashMap<usize, u32>);

impl Misses {
    /// Notes whether the dictionaries of these columns excluded a row group.
    pub(super) fn note(&mut self, asked: impl Iterator<Item = usize>, excluded: bool) {
        for column in asked {
            let misses = self.0.entry(column).or_default();
            *misses = if excluded { 0 } else { *misses + 1 };
        }
    }

    fn gave_up(&self, column: usize) -> bool {
        self.0
            .get(&column)
            .is_some_and(|misses| *misses >= MISSES_MAX)
    }
}

/// The dictionaries of one row group.
pub(super) struct GroupDictionaries<'z> {
    file: &'z ParquetFile,
    zones: &'z Zones<'z>,
    bytes: &'z FileBytes<'z>,
    row_group: usize,
    misses: &'z Misses,
    /// Entries by column; `None` where they cannot be read.
    read: RefCell<HashMap<usize, Option<ArrayRef>>>,
}

impl<'z> GroupDictionaries<'z> {
    pub(super) fn new(
        file: &'z ParquetFile,
        zones: &'z Zones<'z>,
        bytes: &'z FileBytes<'z>,
        row_group: usize,
        misses: &'z Misses,
    ) -> Self {
        GroupDictionaries {
            file,
            zones,
            bytes,
            row_group,
            misses,
            read: RefCell::default(),
        }
    }

    /// The columns whose dictionaries were read, or tried to.
    pub(super) fn asked(&self) -> Vec<usize> {
        self.read.borrow().keys().copied().collect()
    }

    /// Whether a part of the predicate that must be true, and that compares one column several
    /// times, is so for no entry of the column's dictionary, nor for null where there may be nulls.
    pub(super) fn exclude_together(&self, group: &dyn Evidence, predicate: &TypedExpr) -> bool {
        if let TypedKind::And(left, right) = &predicate.kind
            && (self.exclude_together(group, left) || self.exclude_together(group, right))
        {
            return true;
        }
        let columns = columns_of(predicate);
        let ([column], TypedKind::And(..)) = (columns.as_slice(), &predicate.kind) else {
            return false; // alone, a comparison was asked for already
        };
        let known = self.is_readable(*column).then(|| self.entries(*column));
        let Some(entries) = known.flatten() else {
            return false;
        };
        if entries.len() > DICTIONARY_ENTRIES_TRIED_MAX {
            return false;
        }
        let one = |bounds: Bounds| OneValue {
            column: *column,
            bounds,
        };
        let null = group.bounds(*column).is_none_or(|bounds| bounds.null);
        let null_matches = null && may_match(&one(Bounds::NULL), predicate);
        let matches = |entry| may_match(&one(Bounds::of(entries.slice(entry, 1))), predicate);
        !null_matches && !(0..entries.len()).any(matches)
    }

    /// Whether the column's dictionary has none of these values, which are sorted; false where that
    /// cannot be told.
    pub(super) fn have_none(&self, column: usize, values: &[Point]) -> bool {
        let known = self.is_readable(column).then(|| self.entries(column));
        let Some(entries) = known.flatten() else {
            return false;
        };
        let may_be_one = |entry| match sample(entries.as_ref(), entry) {
            Some(Sample::Value(entry)) => {
                let order = |value: &Point| value.order(&entry).unwrap_or(Ordering::Equal);
                values.binary_search_by(order).is_ok()
            }
            _ => true,
        };
        !(0..entries.len()).any(may_be_one)
    }

    fn is_readable(&self, column: usize) -> bool {
        let read = self.read.borrow().get(&column).map(Option::is_some);
        read.unwrap_or_else(|| !self.misses.gave_up(column) && self.place(column).is_some())
    }

    /// Where the column's dictionary lies, if it has all values of its chunk.
    fn place(&self, column: usize) -> Option<(usize, i64, i64)> {
        let leaf = self.zones.leaf(column)?;
        let chunk = self.file.row_group(self.row_group).column(leaf);
        if !is_all_dictionary(chunk) {
            return None;
        }
        let start = chunk.dictionary_page_offset()?;
        let length = chunk.data_page_offset().checked_sub(start)?;
        let small = length <= DICTIONARY_BYTES_SMALL
            || length.checked_mul(DICTIONARY_SHARE)? <= chunk.compressed_size();
        (length > 0 && length <= chunk.compressed_size() && small).then_some((leaf, start, length))
    }

    fn entries(&self, column: usize) -> Option<ArrayRef> {
        if let Some(known) = self.read.borrow().get(&column) {
            return known.clone();
        }
        let entries = self.read_entries(column);
        self.read.borrow_mut().insert(column, entries.clone());
        entries
    }

    fn read_entries(&self, column: usize) -> Option<ArrayRef> {
        let (leaf, start, length) = self.place(column)?;
        let chunk = self.file.chunk(self.row_group, leaf).ok()?;
        let plain = Plain::of(
            chunk.metadata().column_descr(),
            self.zones.data_type(column)?,
        )?;
        let bytes = self.bytes.range(start, length, DICTIONARY_BYTES_MAX)?;
        let page = chunk.dictionary_page(&bytes)?;
        if u64::from(page.uncompressed_bytes) > DICTIONARY_BYTES_MAX
            || page.value_count > DICTIONARY_ENTRIES_MAX
        {
            return None;
        }
        let count = usize::try_from(page.value_count).ok()?;
        let bodies = decompress(&chunk, bytes).ok()?;
        let values = plain.split(bodies.first()?, count)?;
        let values: Vec<_> = values.into_iter().map(Some).collect();
        let entries = plain.array(&values)?;
        (entries.null_count() == 0).then_some(entries)
    }
}

/// Whether every data page of a chunk uses its dictionary.
fn is_all_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    chunk.page_encoding_stats_mask().is_some_and(|encodings| {
        encodings.is_only(Encoding::RLE_DICTIONARY) || encodings.is_only(Encoding::PLAIN_DICTIONARY)
    })
}

impl Membership for GroupDictionaries<'_> {
    fn can_tell(&self, comparison: &Comparison) -> bool {
        self.is_readable(comparison.column)
    }

    fn tell(&self, comparison: &Comparison) -> Option<Outcome> {
        if !self.can_tell(comparison) {
            return None;
        }
        let entries = cast_as(comparison.operand, self.entries(comparison.column)?)?;
        let literal = Values::of_sample(sample(comparison.literal.as_ref(), 0)?);
        let mut outcome = Outcome::NEVER;
        for entry in 0..entries.len() {
            let entry = Values::of_sample(sample(entries.as_ref(), entry)?);
            outcome = outcome.or_also(compare(comparison.op, &entry, &literal));
            if outcome.can_be_true && outcome.can_be_false {
                return None;
            }
        }
        Some(outcome)
    }
}

/// A column that has one value, or is null.
struct OneValue {
    column: usize,
    bounds: Bounds,
}

impl Evidence for OneValue {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        (column == self.column).then(|| self.bounds.clone())
    }
}

/// What the casts of an operand make of its column's values; `None` if one of them fails.
fn cast_as(operand: &TypedExpr, values: ArrayRef) -> Option<ArrayRef> {
    match &operand.kind {
        TypedKind::Cast { expr, strict } => {
            let values = cast_as(expr, values)?;
            let options = CastOptions {
                safe: !strict,
                ..CastOptions::default()
            };
            cast_with_options(&values, &operand.data_type, &options).ok()
        }
        _ => (*values.data_type() == operand.data_type).then_some(values),
    }
}
