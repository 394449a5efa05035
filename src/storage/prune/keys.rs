//! Keys that are few: whether a row group, or a page, may hold one of them.
//!
//! A row with a null in the column has none of the keys.

use super::Bounds;
use super::bloom_filter::GroupFilters;
use super::dictionary::GroupDictionaries;
use crate::storage::interval::{Point, Sample, sample};
use crate::storage::key_filter::KeyFilter;

/// The keys of one column, sorted.
#[derive(Clone, Copy)]
pub(super) struct Keys<'f> {
    pub(super) column: usize,
    pub(super) few: &'f [Point],
}

impl<'f> Keys<'f> {
    /// The keys of a filter, if they are known one by one.
    pub(super) fn of(filter: &'f KeyFilter) -> Option<Keys<'f>> {
        let few = filter.keys().few()?;
        let column = filter.column();
        Some(Keys { column, few })
    }

    /// Whether one of them may be within bounds of the column.
    pub(super) fn meet(&self, bounds: Option<&Bounds>) -> bool {
        let Some(bounds) = bounds else {
            return true;
        };
        let end = |end: Option<&arrow::array::ArrayRef>| match sample(end?.as_ref(), 0) {
            Some(Sample::Value(point)) => Some(point),
            _ => None,
        };
        let (min, max) = (end(bounds.min.as_ref()), end(bounds.max.as_ref()));
        // Values of different types are in no order, and not below each other.
        let is_below = |a: &Point, b: &Point| a.order(b).is_some_and(std::cmp::Ordering::is_lt);
        let first = min.map_or(0, |min| self.few.partition_point(|key| is_below(key, &min)));
        let within = |key: &Point| !max.as_ref().is_some_and(|max| is_below(max, key));
        bounds.any && self.few.get(first).is_some_and(within)
    }

    /// Whether the Bloom filter of a row group misses all of them.
    pub(super) fn are_missed_by(&self, filters: &GroupFilters<'_>) -> bool {
        filters.misses(self.column, self.few)
    }

    /// Whether the dictionary of a row group, which has all of its values, has none of them.
    pub(super) fn are_no_entries(&self, dictionaries: &GroupDictionaries<'_>) -> bool {
        dictionaries.have_none(self.column, self.few)
    }
}
