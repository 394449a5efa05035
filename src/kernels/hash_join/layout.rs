//! How the keys of a join become words, and where a table of them has its places.

use super::abi::{self, HashJoinKey, HashJoinKeys, HashJoinTable};
use super::{DeviceColumn, Launch};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// Most slots of a table with open addressing: a slot's number fits 32 bits, special ones included.
pub(super) const SLOTS_MAX: u64 = (1 << 32) - 8;

/// Slots come in whole sectors of 32 bytes, at most four of them each.
const SLOTS_MULTIPLE: u64 = 4;

/// A key column of both sides, as the layout must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinKey {
    /// Layout of its values.
    pub physical: PhysicalType,
    /// Whether a value of either side may be null.
    pub nullable: bool,
    /// Bits that its values need; fewer than the type has, for dictionary codes.
    pub bits: u32,
}

/// Choices that change speed and never results; tests choose hostile ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinTuning {
    /// Bits of the hash in use.
    pub hash_bits: u32,
    /// Slots of a table with open addressing, in percent of the keys; 100 and less: just as many.
    pub slots_percent: u64,
    /// The same for tables of at most `small_table_bytes`.
    pub small_slots_percent: u64,
    /// A table that takes no more with `small_slots_percent` has them; one that takes more has as
    /// many slots as these bytes hold, if they are more than `slots_percent`.
    pub small_table_bytes: u64,
    /// Most places of a dense table, per build row.
    pub dense_places_per_row: u64,
    /// Places that a dense table may have, however few the build rows.
    pub dense_places_min: u64,
    /// Makes lists of rows, though no key comes twice.
    pub force_lists: bool,
    /// Treats keys as wide, though they fit one word.
    pub force_wide: bool,
    /// A table with open addressing of at least so many bytes, which the L2 cache does not hold, is
    /// built part by part in shared memory.
    pub parts_table_bytes_min: u64,
    /// Most bytes of the slots of a part, in shared memory.
    pub part_bytes_max: u64,
    /// Standard deviations of an even hash that a part has room for, above the mean.
    pub part_deviations: u32,
    /// Bits of the hash that one pass splits by, at most `abi::HASH_JOIN_LEVEL_BITS_MAX`; there are
    /// two passes.
    pub part_level_bits: u32,
    /// Rows that may find no place in a part, besides one in 16, before the table is built as a
    /// small one is.
    pub rest_rows_min: u64,
    /// Bits per build row of a Bloom filter in front of a table of `parts_table_bytes_min`; 0: none.
    pub filter_bits_per_key: u64,
    /// Most bytes of such a filter: one that the L2 cache does not hold costs what it saves.
    pub filter_bytes_max: u64,
    /// Pairs of rows of a join without keys that are evaluated at a time.
    pub pairs_per_tile: u64,
    /// Evaluates pair by pair, though the condition compares one side with the other.
    pub force_pairs: bool,
    /// Blocks of a launch over rows, per multiprocessor.
    pub blocks_per_multiprocessor: u32,
}

impl Default for JoinTuning {
    fn default() -> Self {
        JoinTuning {
            hash_bits: 64,
            slots_percent: 200, // all slots of one in twenty sectors of four are taken
            small_slots_percent: 400, // and of one in 250
            small_table_bytes: 24 << 20, // well below the 40 MB that stay in the L2 cache
            dense_places_per_row: 8, // 4 bytes each: what two slots per row would take
            dense_places_min: 1 << 20, // 4 MiB stay in the L2 cache
            force_lists: false,
            force_wide: false,
            parts_table_bytes_min: 96 << 20, // twice the 40 MB
            part_bytes_max: 100 << 10,       // a multiprocessor holds two
            part_deviations: 6,              // one part in a billion has more
            part_level_bits: 8,
            rest_rows_min: 1 << 10,
            filter_bits_per_key: 0, // building one costs time, and who joins may know that rows match
            filter_bytes_max: 24 << 20,
            pairs_per_tile: 1 << 23, // 64 MiB of row numbers, and as much per column of 8 bytes
            force_pairs: false,
            blocks_per_multiprocessor: 8, // all the threads that a multiprocessor holds
        }
    }
}

impl JoinTuning {
    /// Bits of the hash that one pass splits by.
    pub(super) fn level_bits(&self) -> u32 {
        self.part_level_bits.clamp(1, abi::HASH_JOIN_LEVEL_BITS_MAX)
    }
}

/// Where a key's bits lie in the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    shift: u32,
    null_shift: u32,
    /// Taken from the value's bits.
    base: u64,
    /// A value beyond is no build row's.
    span: u64,
}

/// How keys become words: packed if they fit 64 bits, else hashed. A table may pack what its layout
/// says is wide, once it knows the build side's values.
#[derive(Debug, Clone)]
pub struct JoinLayout {
    keys: Vec<(JoinKey, Place)>,
    wide: bool,
    null_equals_null: bool,
}

/// No null bit: the key has no nulls, or they match nothing, or have a slot of their own.
const NO_NULL_BIT: u32 = 64;

impl Place {
    /// All bits of the value, from the lowest bit on.
    const WHOLE: Place = Place {
        shift: 0,
        null_shift: NO_NULL_BIT,
        base: 0,
        span: u64::MAX,
    };
}

impl JoinLayout {
    /// Packs keys.
    ///
    /// # Errors
    /// `InvalidInput` if there are none, more than a launch takes, or one of views.
    pub fn new(keys: &[JoinKey], null_equals_null: bool, tuning: &JoinTuning) -> Result<Self> {
        if keys.is_empty() || keys.len() > abi::HASH_JOIN_KEYS_MAX as usize {
            let cause = format!("{} keys", keys.len());
            return Err(Error::invalid("hash_join", cause, "join by 1 to 16 keys"));
        }
        if keys.iter().any(|key| key.physical == PhysicalType::View) {
            return Err(Error::invalid("hash_join", "a key has views", "code them"));
        }
        let has_null_bit = |key: &JoinKey| null_equals_null && key.nullable;
        let alone = keys.len() == 1 && keys[0].bits == 64;
        let (mut used, mut places) = (0, Vec::with_capacity(keys.len()));
        for key in keys {
            let mut place = Place {
                shift: used,
                ..Place::WHOLE
            };
            used += key.bits;
            if has_null_bit(key) && !alone {
                place.null_shift = used;
                used += 1;
            }
            places.push(place);
        }
        Ok(JoinLayout {
            keys: keys.iter().copied().zip(places).collect(),
            wide: used > 64 || tuning.force_wide,
            null_equals_null,
        })
    }

    /// Whether it may be that the keys' values need fewer bits than their types, and fit one word.
    pub(super) fn may_narrow(&self, tuning: &JoinTuning) -> bool {
        self.wide && !tuning.force_wide && self.keys.iter().all(|(key, _)| key.bits <= 64)
    }

    /// A layout for one of the keys alone, in which nulls have no word.
    pub(super) fn alone(&self, key: usize) -> JoinLayout {
        JoinLayout {
            keys: vec![(self.keys[key].0, Place::WHOLE)],
            wide: false,
            null_equals_null: self.null_equals_null,
        }
    }

    /// The keys packed into one word, by the ranges of the build side's values; none if they do not
    /// fit.
    pub(super) fn narrowed(&self, ranges: &[Range]) -> Option<JoinLayout> {
        let (mut used, mut keys) = (0, Vec::with_capacity(self.keys.len()));
        for ((key, _), range) in self.keys.iter().zip(ranges) {
            let mut place = Place::WHOLE;
            place.base = if range.words == 0 { 0 } else { range.least };
            place.span = range.greatest.saturating_sub(place.base);
            let bits = u64::BITS - place.span.leading_zeros();
            if bits > 0 {
                place.shift = used;
            }
            used += bits;
            if self.null_equals_null && key.nullable {
                place.null_shift = used;
                used += 1;
            }
            keys.push((*key, place));
        }
        (used <= 64).then_some(JoinLayout {
            keys,
            wide: false,
            null_equals_null: self.null_equals_null,
        })
    }

    /// True if the keys are hashed, not packed.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The key columns of one side.
    pub(super) fn side(&self, launch: &Launch, columns: &[&DeviceColumn]) -> Result<HashJoinKeys> {
        if columns.len() != self.keys.len() {
            let cause = format!("{} key columns for {} keys", columns.len(), self.keys.len());
            return Err(Error::invalid("hash_join", cause, ""));
        }
        let mut side = no_side();
        side.key_count = columns.len() as u32;
        side.null_equals_null = u32::from(self.null_equals_null);
        for (index, (column, (key, place))) in columns.iter().zip(&self.keys).enumerate() {
            let unexpected_null = self.null_equals_null && column.nullable() && !key.nullable;
            if column.physical() != key.physical || unexpected_null {
                let cause = format!("key {index} is not what the layout was made for");
                return Err(Error::invalid("hash_join", cause, ""));
            }
            side.keys[index] = HashJoinKey {
                column: column.view(launch)?,
                flip: sign_bit(key.physical),
                base: place.base,
                span: place.span,
                shift: place.shift,
                null_shift: place.null_shift,
            };
        }
        let column = &side.keys[0].column;
        let is_array = column.kind == abi::COLUMN_ARRAY && column.validity.is_null();
        let is_plain = is_array && self.keys[0].1 == Place::WHOLE;
        if is_plain && columns.len() == 1 && !self.wide {
            side.plain_bytes = match self.keys[0].0.physical {
                PhysicalType::Int32 | PhysicalType::UInt32 => 4,
                PhysicalType::Int64 | PhysicalType::UInt64 => 8,
                _ => 0,
            };
        }
        Ok(side)
    }
}

/// The bit to turn around so that words are in the order of a signed integer's values.
fn sign_bit(physical: PhysicalType) -> u64 {
    match physical {
        PhysicalType::Int8 | PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64 => {
            1 << (physical.bits() - 1)
        }
        _ => 0,
    }
}

/// A side without keys.
pub(super) fn no_side() -> HashJoinKeys {
    let column = abi::ColumnView {
        values: std::ptr::null(),
        validity: std::ptr::null(),
        offset: 0,
        scalar_low: 0,
        scalar_high: 0,
        type_: abi::PHYSICAL_BOOLEAN,
        kind: abi::COLUMN_SCALAR,
    };
    let key = HashJoinKey {
        column,
        flip: 0,
        base: 0,
        span: u64::MAX,
        shift: 0,
        null_shift: NO_NULL_BIT,
    };
    HashJoinKeys {
        keys: [key; abi::HASH_JOIN_KEYS_MAX as usize],
        key_count: 0,
        null_equals_null: 0,
        plain_bytes: 0,
        reserved: 0,
    }
}

/// What `hash_join_range` finds out about the words of the build side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub least: u64,
    pub greatest: u64,
    pub in_all: u64,
    pub in_any: u64,
    /// Rows that have a word.
    pub words: u64,
    /// Rows whose key is the null that has no word.
    pub nulls: u64,
}

impl Range {
    /// Before any row was seen, as the kernel expects it.
    pub(super) const NOTHING: [u64; abi::HASH_JOIN_RANGE_WORDS as usize] =
        [u64::MAX, 0, u64::MAX, 0, 0, 0];

    pub(super) fn of([least, greatest, in_all, in_any, words, nulls]: [u64; 6]) -> Range {
        Range {
            least,
            greatest,
            in_all,
            in_any,
            words,
            nulls,
        }
    }

    /// A dense table of these words, without buffers; none if it would have too many places. Bits
    /// that all words share are left out of a place, so that keys which differ in few bits lie
    /// close; of many runs of such bits the longest are left out.
    pub(super) fn dense(&self, tuning: &JoinTuning) -> Option<Shape> {
        let mut table = Shape::NOTHING;
        if self.words == 0 {
            return (self.nulls == 0).then_some(table);
        }
        if self.nulls > 0 {
            return None;
        }
        let mut runs = runs_of(self.in_any & !self.in_all);
        while runs.len() > abi::HASH_JOIN_RUNS_MAX as usize {
            fill_shortest_gap(&mut runs);
        }
        let (mut bits, mut varying) = (0, 0);
        for (index, (start, length)) in runs.iter().enumerate() {
            let mask = ones(*length) << start;
            table.run_masks[index] = mask;
            table.run_shifts[index] = start - bits;
            varying |= mask;
            bits += length;
        }
        table.run_count = runs.len() as u32;
        table.constant_mask = !varying;
        table.constant_bits = self.least & !varying;
        let place = |word: u64| {
            let runs = table.run_masks.iter().zip(table.run_shifts);
            runs.fold(0, |place, (mask, shift)| place | (word & mask) >> shift)
        };
        table.base = place(self.least);
        // Places are in the order of words, since what is left out is the same in all of them.
        let span = place(self.greatest) - table.base;
        let places_max = (self.words.saturating_mul(tuning.dense_places_per_row))
            .max(tuning.dense_places_min)
            .min(SLOTS_MAX);
        if span >= places_max {
            return None;
        }
        table.capacity = span + 1;
        Some(table)
    }
}

fn ones(count: u32) -> u64 {
    u64::MAX.checked_shr(64 - count).unwrap_or(0)
}

/// Runs of set bits: first bit and length, lowest first.
fn runs_of(mut mask: u64) -> Vec<(u32, u32)> {
    let (mut runs, mut start) = (Vec::new(), 0);
    while mask != 0 {
        let gap = mask.trailing_zeros();
        let length = (mask >> gap).trailing_ones();
        runs.push((start + gap, length));
        start += gap + length;
        mask = (mask >> gap).checked_shr(length).unwrap_or(0);
    }
    runs
}

/// Joins the two neighbours with the fewest bits between them.
fn fill_shortest_gap(runs: &mut Vec<(u32, u32)>) {
    let gap = |pair: &[(u32, u32)]| pair[1].0 - pair[0].0 - pair[0].1;
    let pairs = runs.windows(2).enumerate();
    let Some((first, _)) = pairs.min_by_key(|(_, pair)| gap(pair)) else {
        return;
    };
    let (start, length) = runs.remove(first + 1);
    runs[first].1 = start + length - runs[first].0;
}

/// A table without buffers: what kernels know of it besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// One of `abi::HASH_JOIN_DENSE_*` and `abi::HASH_JOIN_HASH_*`.
    pub layout: u32,
    pub slot_words: u32,
    pub capacity: u64,
    constant_mask: u64,
    constant_bits: u64,
    base: u64,
    run_masks: [u64; abi::HASH_JOIN_RUNS_MAX as usize],
    run_shifts: [u32; abi::HASH_JOIN_RUNS_MAX as usize],
    run_count: u32,
    hash_bits: u32,
}

impl Shape {
    /// A dense table without places: nothing is in it.
    const NOTHING: Shape = Shape {
        layout: abi::HASH_JOIN_DENSE_BITS,
        slot_words: 1,
        capacity: 0,
        constant_mask: 0,
        constant_bits: 0,
        base: 0,
        run_masks: [0; abi::HASH_JOIN_RUNS_MAX as usize],
        run_shifts: [0; abi::HASH_JOIN_RUNS_MAX as usize],
        run_count: 0,
        hash_bits: 64,
    };

    /// The table with its buffers; a layout without one of them passes null.
    pub(super) fn with(&self, slots: *mut u64, rows: *mut u32) -> HashJoinTable {
        HashJoinTable {
            slots,
            rows,
            capacity: self.capacity,
            constant_mask: self.constant_mask,
            constant_bits: self.constant_bits,
            base: self.base,
            run_masks: self.run_masks,
            run_shifts: self.run_shifts,
            run_count: self.run_count,
            layout: self.layout,
            slot_words: self.slot_words,
            hash_mask_bits: self.hash_bits,
        }
    }
}

/// A table with open addressing for so many keys, without buffers.
pub(super) fn hashed(keys: u64, slot_words: u32, tuning: &JoinTuning) -> Shape {
    let percent = |percent: u64| u128::from(keys) * u128::from(percent.max(100)) / 100;
    let small = u128::from(tuning.small_table_bytes / (8 * u64::from(slot_words)));
    let wanted = percent(tuning.small_slots_percent)
        .min(small)
        .max(percent(tuning.slots_percent));
    let slots = u64::try_from(wanted).unwrap_or(u64::MAX).min(SLOTS_MAX);
    let mut table = Shape::NOTHING;
    table.slot_words = slot_words;
    table.capacity = slots.max(1).next_multiple_of(SLOTS_MULTIPLE);
    table.hash_bits = tuning.hash_bits;
    table
}

impl Shape {
    /// Bytes of the slots of a table with open addressing.
    pub(super) fn slot_bytes(&self) -> u64 {
        let slots = self.capacity + u64::from(abi::HASH_JOIN_SPECIAL_SLOTS);
        slots * u64::from(self.slot_words) * 8
    }

    /// Whether it is so large that it is built part by part, and may have a filter.
    pub(super) fn is_large(&self, tuning: &JoinTuning) -> bool {
        self.slot_bytes() >= tuning.parts_table_bytes_min
    }

    /// Bits of the hash that tell the parts of a large table apart; its slots become a multiple of
    /// the parts. None if the table is small, or parts that fit `shared_bytes_max` would be more than
    /// two passes make.
    pub(super) fn divide(&mut self, tuning: &JoinTuning, shared_bytes_max: u64) -> Option<u32> {
        let part_bytes = tuning.part_bytes_max.min(shared_bytes_max).max(1);
        let parts = self.slot_bytes().div_ceil(part_bytes);
        let bits = parts.max(2).next_power_of_two().trailing_zeros();
        if !self.is_large(tuning) || bits > 2 * tuning.level_bits() {
            return None;
        }
        let capacity = self.capacity.next_multiple_of(SLOTS_MULTIPLE << bits);
        if capacity > SLOTS_MAX {
            return None;
        }
        self.capacity = capacity;
        Some(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_room_by_their_size_and_are_built_in_parts_where_they_are_large() {
        let tuning = JoinTuning::default();
        let table = |keys, slot_words| {
            let mut table = hashed(keys, slot_words, &tuning);
            let bits = table.divide(&tuning, 96 << 10);
            if let Some(bits) = bits {
                let part_bytes = (table.capacity >> bits) * u64::from(slot_words) * 8;
                assert!(part_bytes <= 96 << 10, "{part_bytes}");
            }
            (table.capacity, bits)
        };
        assert_eq!(table(0, 1), (4, None));
        assert_eq!(table(1_000, 2), (4_000, None));
        assert_eq!(table(1_000_000, 1), (3 << 20, None), "24 MiB");
        assert_eq!(table(1_000_000, 2), (2_000_000, None));
        assert_eq!(table(10_000_000, 1), (20_004_864, Some(11)), "153 MiB");
        assert_eq!(table(40_000_000, 2), (80_019_456, Some(14)), "1.2 GiB");
        assert_eq!(table(400_000_000, 2), (800_000_000, None), "too many parts");
        assert_eq!(table(1 << 40, 2), (SLOTS_MAX, None));
    }

    fn range(words: &[u64]) -> Range {
        Range {
            least: words.iter().copied().min().unwrap_or(u64::MAX),
            greatest: words.iter().copied().max().unwrap_or(0),
            in_all: words.iter().fold(u64::MAX, |all, word| all & word),
            in_any: words.iter().fold(0, |any, word| any | word),
            words: words.len() as u64,
            nulls: 0,
        }
    }

    fn place(table: &Shape, word: u64) -> Option<u64> {
        let runs = table.run_masks.iter().zip(table.run_shifts);
        let place = runs.fold(0, |place, (mask, shift)| place | (word & mask) >> shift);
        let place = place.wrapping_sub(table.base);
        let fits = word & table.constant_mask == table.constant_bits && place < table.capacity;
        fits.then_some(place)
    }

    #[test]
    fn bits_that_all_keys_share_take_no_places() {
        // As TPC-H numbers orders: 8 of every 32.
        let keys: Vec<u64> = (0..1000).map(|n| n / 8 * 32 + n % 8).collect();
        let table = range(&keys).dense(&JoinTuning::default());
        let table = table.expect("close keys");
        assert_eq!((table.capacity, table.run_count), (1000, 2));
        for (index, key) in (0u64..).zip(&keys) {
            assert_eq!(place(&table, *key), Some(index));
        }
        for absent in [8, 31, 1 << 40, keys[999] + 1, u64::MAX] {
            assert_eq!(place(&table, absent), None, "{absent}");
        }
    }

    #[test]
    fn any_keys_have_places_of_their_own_or_no_dense_table() {
        let scattered = [0, 1 << 63 | 1, 1 << 40, 5 << 20, 9, 1 << 50];
        let tuning = JoinTuning {
            dense_places_min: SLOTS_MAX,
            ..JoinTuning::default()
        };
        for keys in [
            &scattered[..],
            &scattered[2..4],
            &scattered[..1],
            &[u64::MAX, 0],
        ] {
            let Some(table) = range(keys).dense(&tuning) else {
                continue;
            };
            let mut places: Vec<_> = keys.iter().map(|key| place(&table, *key)).collect();
            places.sort_unstable();
            places.dedup();
            assert!(
                places.len() == keys.len() && !places.contains(&None),
                "{keys:?}"
            );
        }
        assert_eq!(range(&[7, 7]).dense(&tuning).map(|t| t.capacity), Some(1));
        assert_eq!(range(&[]).dense(&tuning).map(|t| t.capacity), Some(0));
        let far: Vec<u64> = (0..64u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        assert_eq!(range(&far).dense(&JoinTuning::default()), None);
    }

    #[test]
    fn wide_keys_are_packed_by_their_ranges() -> Result<()> {
        let key = JoinKey {
            physical: PhysicalType::Int64,
            nullable: true,
            bits: 64,
        };
        let tuning = JoinTuning::default();
        let layout = JoinLayout::new(&[key; 3], true, &tuning)?;
        assert!(layout.may_narrow(&tuning));
        let spread = range(&[1 << 63, (1 << 63) + (1 << 40)]);
        let narrowed = layout.narrowed(&[range(&[9, 12]), range(&[]), spread]);
        let places = narrowed.map(|layout| layout.keys.iter().map(|(_, place)| *place).collect());
        let place = |shift, null_shift, base, span| Place {
            shift,
            null_shift,
            base,
            span,
        };
        let expected: Vec<Place> = vec![
            place(0, 2, 9, 3),
            place(0, 3, 0, 0),
            place(4, 45, 1 << 63, 1 << 40),
        ];
        assert_eq!(places, Some(expected));
        assert!(layout.narrowed(&[spread, spread, range(&[1])]).is_none());
        Ok(())
    }

    #[test]
    fn keys_of_64_bits_are_one_word_and_nulls_may_take_more() -> Result<()> {
        let key = |bits, nullable| JoinKey {
            physical: PhysicalType::Int32,
            nullable,
            bits,
        };
        let tuning = JoinTuning::default();
        let wide = |keys: &[JoinKey], null_equals_null| {
            JoinLayout::new(keys, null_equals_null, &tuning).map(|layout| layout.is_wide())
        };
        assert!(!wide(&[key(32, true); 2], false)?);
        assert!(wide(&[key(32, true); 2], true)?);
        assert!(!wide(&[key(31, true); 2], true)?);
        assert!(!wide(&[key(64, true)], true)?);
        assert!(wide(&[key(128, false)], false)?);
        Ok(())
    }
}
