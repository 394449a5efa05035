//! How sort keys become words: the range of each key's codes decides how few bits it needs.

use super::super::abi::{self, ColumnView, SortField, SortSpan};
use crate::types::PhysicalType;

/// Choices that change speed and never results; tests choose hostile ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortTuning {
    /// Rows of a tile; at most what the kernels hold.
    pub tile_rows: u32,
    /// Rows of one launch of a pass.
    pub portion_rows: u64,
    /// Bits of keys in one word: a multiple of 8, at most 64.
    pub word_bits: u32,
    /// Packs keys, though they could be sorted as they are.
    pub force_pack: bool,
    /// Rows of one batch that leaves.
    pub batch_rows: u64,
    /// Rows that `top_k` looks at to learn which of the others cannot win.
    pub sample_rows_min: u64,
}

impl Default for SortTuning {
    fn default() -> Self {
        SortTuning {
            tile_rows: u32::MAX,
            portion_rows: u64::from(abi::SORT_PORTION_ROWS_MAX),
            word_bits: 64,
            force_pack: false,
            batch_rows: crate::limits::ROWS_PER_BATCH_MAX,
            sample_rows_min: 1 << 15, // fewer rows are sorted in the time of the launches
        }
    }
}

/// The codes of a key that `sort_range` saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub least: u128,
    pub greatest: u128,
    /// Bits that are not the same in all codes.
    pub varying: u128,
    pub valid: u64,
    /// Values that their codes do not give back.
    pub odd: u64,
}

impl Range {
    /// What several blocks saw of a key.
    pub fn of<'a>(parts: impl Iterator<Item = &'a SortSpan>) -> Range {
        let wide = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
        let (mut least, mut greatest, mut any, mut all) = (u128::MAX, 0, 0, u128::MAX);
        let (mut valid, mut odd) = (0, 0);
        for part in parts.filter(|part| part.valid_count > 0) {
            least = least.min(wide(part.least_low, part.least_high));
            greatest = greatest.max(wide(part.greatest_low, part.greatest_high));
            any |= wide(part.any_low, part.any_high);
            all &= wide(part.all_low, part.all_high);
            valid += part.valid_count;
            odd += part.odd_count;
        }
        if valid == 0 {
            (least, all) = (0, 0);
        }
        Range {
            least,
            greatest,
            varying: any & !all,
            valid,
            odd,
        }
    }
}

/// A key's bits among those of all keys; bit 0 is the least significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub start: u32,
    value_bits: u32,
    shift: u32,
    base: u128,
    flags: u32,
}

impl Field {
    pub fn bits(&self) -> u32 {
        self.value_bits + u32::from(self.flags & abi::SORT_NULL_BIT != 0)
    }

    /// The field as a kernel sees it, in a word whose first bit is bit `word_start` of all.
    pub fn at(&self, word_start: u32, column: ColumnView) -> SortField {
        SortField {
            column,
            base_low: self.base as u64,
            base_high: (self.base >> 64) as u64,
            shift: self.shift,
            value_bits: self.value_bits,
            place: self.start.cast_signed() - word_start.cast_signed(),
            flags: self.flags,
        }
    }
}

/// Direction and nulls of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    pub descending: bool,
    pub nulls_first: bool,
}

/// The fields of keys, the most significant first, and the bits of all.
pub(super) fn fields(keys: &[(Direction, Range)], rows: u64) -> (Vec<Field>, u32) {
    let mut fields = Vec::with_capacity(keys.len());
    let mut start = 0;
    for (direction, range) in keys.iter().rev() {
        let mut flags = 0;
        if direction.descending {
            flags |= abi::SORT_DESCENDING;
        }
        if direction.nulls_first {
            flags |= abi::SORT_NULLS_FIRST;
        }
        if range.valid > 0 && range.valid < rows {
            flags |= abi::SORT_NULL_BIT;
        }
        // All codes agree below the lowest bit that varies, so their distances have zeros there.
        let shift = if range.varying == 0 {
            0
        } else {
            range.varying.trailing_zeros()
        };
        let distance = (range.greatest - range.least) >> shift;
        let field = Field {
            start,
            value_bits: u128::BITS - distance.leading_zeros(),
            shift,
            base: if direction.descending {
                range.greatest
            } else {
                range.least
            },
            flags,
        };
        start += field.bits();
        fields.push(field);
    }
    fields.reverse();
    (fields, start)
}

/// A key that is sorted without packing: its own values, turned into codes on the fly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direct {
    pub physical: PhysicalType,
    pub word_bytes: u32,
    /// Bits to invert so that greater values come first.
    pub flip: u64,
}

impl Direct {
    /// For the types whose values are as wide as words.
    pub fn of(physical: PhysicalType, descending: bool) -> Option<Direct> {
        let (word_bytes, all) = match physical {
            PhysicalType::Int32 | PhysicalType::UInt32 | PhysicalType::Float32 => {
                (4, u64::from(u32::MAX))
            }
            PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Float64 => (8, u64::MAX),
            _ => return None,
        };
        Some(Direct {
            physical,
            word_bytes,
            flip: if descending { all } else { 0 },
        })
    }

    /// The digits that vary, by their numbers from the lowest.
    pub fn digits(&self, range: &Range) -> Vec<u32> {
        let varies = |digit: &u32| (range.varying >> (digit * abi::SORT_DIGIT_BITS)) as u8 != 0;
        (0..self.word_bytes).filter(varies).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(codes: &[u128]) -> Range {
        let parts: Vec<SortSpan> = codes
            .iter()
            .map(|code| {
                let (low, high) = (*code as u64, (*code >> 64) as u64);
                SortSpan {
                    least_low: low,
                    least_high: high,
                    greatest_low: low,
                    greatest_high: high,
                    any_low: low,
                    any_high: high,
                    all_low: low,
                    all_high: high,
                    valid_count: 1,
                    odd_count: 0,
                }
            })
            .collect();
        Range::of(parts.iter())
    }

    const UP: Direction = Direction {
        descending: false,
        nulls_first: false,
    };

    #[test]
    fn fields_take_the_bits_that_their_ranges_need() {
        // Multiples of 1000 from 5000 on: three bits remain of 0..=5 steps of 8 · 125.
        let thousands = range(&[5000, 6000, 10_000]);
        let (fields, bits) = self::fields(&[(UP, thousands), (UP, range(&[7, 7]))], 3);
        assert_eq!(fields[0].shift, 3);
        assert_eq!((fields[0].value_bits, fields[1].value_bits), (10, 0));
        // The second key has a null in one of three rows, and so a bit, the least significant.
        assert_eq!((fields[1].bits(), fields[0].start, bits), (1, 1, 11));
    }

    #[test]
    fn the_whole_range_and_nothing_at_all() {
        let (fields, bits) = self::fields(&[(UP, range(&[0, u128::MAX])), (UP, range(&[]))], 2);
        assert_eq!(
            (fields[0].value_bits, fields[1].bits(), bits),
            (128, 0, 128)
        );
        assert_eq!(fields[0].at(64, ColumnView::default()).place, -64);
    }

    #[test]
    fn only_digits_that_vary_are_sorted_by() {
        let direct = Direct::of(PhysicalType::Int64, false)
            .map(|direct| direct.digits(&range(&[0x0001_0000_0000, 0x00ff])));
        assert_eq!(direct, Some(vec![0, 4]));
        assert_eq!(Direct::of(PhysicalType::Int16, false), None);
    }
}
