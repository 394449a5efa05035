//! Where keys and accumulators lie in the entries of a group table.

use super::abi::{self, GroupByInput, GroupByKey, GroupByLayout};
use super::{DeviceColumn, Launch};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// A key column, as the layout must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupKey {
    /// Layout of its values.
    pub physical: PhysicalType,
    /// Whether a value may be null.
    pub nullable: bool,
    /// Bits that its values need; fewer than the type has, for dictionary codes.
    pub bits: u32,
}

impl GroupKey {
    /// Words of its own that it has in a packed key; none if it shares one.
    fn own_words(&self) -> u32 {
        match self.physical {
            PhysicalType::View => abi::GROUP_BY_TEXT_WORDS,
            _ if self.bits > 64 => self.bits.div_ceil(64),
            _ => 0,
        }
    }
}

/// Choices that change speed and never results; tests choose hostile ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupTuning {
    /// Slots of a new table.
    pub capacity_min: u64,
    /// Most slots that an estimate may ask for; rows that find no slot ask for more.
    pub capacity_estimate_max: u64,
    /// Rows of a batch from which on a sample of them may tell the number of groups.
    pub sample_rows_min: u64,
    /// Slots looked at before a row waits for a larger table.
    pub probe_max: u64,
    /// Shared memory of a block's own table; 0: none.
    pub shared_bytes: u32,
    /// Blocks of `group_by_update` per multiprocessor.
    pub blocks_per_multiprocessor: u32,
    /// Bits of the hash in use.
    pub hash_bits: u32,
    /// Sums of 128 bits use one word while they are proven to be below two to this power.
    pub narrow_bits: u32,
    /// Rows after which digits of exact sums have their carries carried.
    pub exact_rows_max: u64,
    /// Bytes of the buffers that strings of keys lie in, from which on they are brought together.
    pub text_bytes_min: u64,
}

impl Default for GroupTuning {
    fn default() -> Self {
        GroupTuning {
            capacity_min: 1 << 10,
            capacity_estimate_max: 1 << 31,
            sample_rows_min: 1 << 22,
            probe_max: 128,
            shared_bytes: 72 << 10, // three blocks of 512 threads on a multiprocessor of 228 KiB
            blocks_per_multiprocessor: 3,
            hash_bits: 64,
            narrow_bits: 63,
            exact_rows_max: 1 << 30, // a digit of 32 bits has 31 to spare
            text_bytes_min: 256 << 20,
        }
    }
}

/// The layout of a table: keys packed into words, accumulators behind them.
#[derive(Debug, Clone)]
pub struct GroupLayout {
    abi: GroupByLayout,
    keys: Vec<(GroupKey, Place)>,
}

/// Where a key's bits lie in the packed words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    word: u32,
    shift: u32,
    null_word: u32,
    null_shift: u32,
}

impl Place {
    /// Not placed yet; no null bit.
    const NONE: Place = Place {
        word: 0,
        shift: 0,
        null_word: 0,
        null_shift: 64,
    };

    fn with(self, column: abi::ColumnView, bits: u32) -> GroupByKey {
        let Place {
            word,
            shift,
            null_word,
            null_shift,
        } = self;
        GroupByKey {
            column,
            word,
            shift,
            null_word,
            null_shift,
            bits,
            reserved: 0,
        }
    }
}

fn no_column(physical: PhysicalType) -> abi::ColumnView {
    abi::ColumnView {
        values: std::ptr::null(),
        validity: std::ptr::null(),
        offset: 0,
        scalar_low: 0,
        scalar_high: 0,
        type_: physical as u32,
        kind: abi::COLUMN_SCALAR,
    }
}

/// How an accumulator of this kind takes a column: in a way of its own where that is one addition.
fn form(kind: u32, column: &abi::ColumnView) -> u32 {
    const INT64: u32 = PhysicalType::Int64 as u32;
    const UINT64: u32 = PhysicalType::UInt64 as u32;
    const FLOAT64: u32 = PhysicalType::Float64 as u32;
    match (kind, column.kind, column.type_) {
        (abi::ACCUMULATE_COUNT, _, _) => abi::INPUT_ONE,
        (abi::ACCUMULATE_ADD, abi::COLUMN_ARRAY, INT64 | UINT64) => abi::INPUT_WORD,
        (abi::ACCUMULATE_ADD_FLOAT, abi::COLUMN_ARRAY, FLOAT64) => abi::INPUT_FLOAT,
        _ => abi::INPUT_GENERAL,
    }
}

/// What a column is to the accumulator that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The values that it aggregates.
    Values,
    /// The distances of values from the means of their groups.
    Distances,
    /// Integers or floats to be added to one of its words.
    Word(u32),
}

/// Words of an accumulator of this kind.
fn accumulator_words(kind: u32) -> u32 {
    match kind {
        abi::ACCUMULATE_ADD_INT128 | abi::ACCUMULATE_CARRY => 2,
        abi::ACCUMULATE_MIN_INT128 | abi::ACCUMULATE_MAX_INT128 | abi::ACCUMULATE_CARRY_INT128 => 3,
        abi::ACCUMULATE_VARIANCE => 4,
        abi::ACCUMULATE_ADD_EXACT => abi::GROUP_BY_EXACT_DIGITS + 1,
        _ => 1,
    }
}

impl GroupLayout {
    /// Whether all rows are of one group.
    pub(super) fn has_no_keys(&self) -> bool {
        self.keys.is_empty()
    }

    /// Packs keys, and lines accumulators (of `abi::ACCUMULATE_*` kinds) up behind them.
    ///
    /// # Errors
    /// `InvalidInput` if there are more keys or accumulators than an entry holds.
    pub fn new(keys: &[GroupKey], kinds: &[u32], tuning: &GroupTuning) -> Result<Self> {
        let mut abi = GroupByLayout {
            key_words: 1,
            entry_words: 0,
            accumulator_start: 1,
            accumulator_words: 0,
            accumulator_count: kinds.len() as u32,
            key_count: keys.len() as u32,
            null_is_special: 0,
            hash_mask_bits: tuning.hash_bits,
            text_words: 0,
            kinds: [0; 64],
            starts: [0; 64],
        };
        if keys.len() > abi::GROUP_BY_KEYS_MAX as usize || kinds.len() > abi.kinds.len() {
            let cause = format!("{} keys and {} accumulators", keys.len(), kinds.len());
            let remedy = "an aggregation has at most 16 keys and 64 accumulators";
            return Err(Error::invalid("group_by", cause, remedy));
        }
        let places = pack(keys, &mut abi);
        if abi.key_words > abi::GROUP_BY_KEY_WORDS_MAX {
            let reason = "keys of one group take more than 40 words";
            return Err(Error::unsupported("cuda", "group_by", reason));
        }
        if abi.key_words > 1 {
            abi.accumulator_start = 1 + abi.key_words;
        }
        for (index, kind) in kinds.iter().enumerate() {
            abi.kinds[index] = *kind as u8;
            abi.starts[index] = u8::try_from(abi.accumulator_words).map_err(|_| {
                let reason = "accumulators of one group take more than 255 words";
                Error::unsupported("cuda", "group_by", reason)
            })?;
            abi.accumulator_words += accumulator_words(*kind);
        }
        let words = abi.accumulator_start + abi.accumulator_words;
        // An entry of up to four words stays within one 32-byte sector.
        abi.entry_words = if words <= 4 {
            words.next_power_of_two()
        } else {
            words.next_multiple_of(4)
        };
        Ok(GroupLayout {
            abi,
            keys: keys.iter().copied().zip(places).collect(),
        })
    }

    /// Kind of an accumulator (`abi::ACCUMULATE_*`).
    ///
    /// # Panics
    /// There are fewer accumulators.
    pub fn kind(&self, accumulator: usize) -> u32 {
        u32::from(self.abi.kinds[..self.abi.accumulator_count as usize][accumulator])
    }

    /// Refuses an accumulator that entries have no room for.
    pub(super) fn check_accumulator(&self, accumulator: u32) -> Result<()> {
        let count = self.abi.accumulator_count;
        if accumulator < count {
            return Ok(());
        }
        let cause = format!("accumulator {accumulator} of {count} is fed");
        let remedy = "count accumulators from 0, as the layout lists them";
        Err(Error::invalid("group_by", cause, remedy))
    }

    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn accumulators(&self) -> usize {
        self.abi.accumulator_count as usize
    }

    pub(super) fn abi(&self) -> GroupByLayout {
        self.abi
    }

    pub(super) fn entry_bytes(&self) -> u64 {
        u64::from(self.abi.entry_words) * 8
    }

    /// Bytes of shared memory for a block's own table.
    pub(super) fn own_bytes(&self, slots: u32, replicas: u32) -> u32 {
        if slots == 0 {
            return 8; // the kernel names its dynamic shared memory, even if it uses none
        }
        let words = self.abi.accumulator_start + self.abi.accumulator_words * replicas;
        (slots + abi::GROUP_BY_SPECIAL_SLOTS) * words * 8
    }

    pub(super) fn key(&self, index: usize) -> (GroupByKey, GroupKey) {
        let (key, place) = &self.keys[index];
        (place.with(no_column(key.physical), key.bits), *key)
    }

    pub(super) fn no_input(&self) -> GroupByInput {
        GroupByInput {
            column: no_column(PhysicalType::Boolean),
            form: abi::INPUT_GENERAL,
            kind: 0,
            start: 0,
        }
    }

    /// An input of a launch whose accumulators are of the kinds of `layout`, which is this one but
    /// for sums that are narrowed.
    pub(super) fn input(
        layout: &GroupByLayout,
        accumulator: u32,
        part: Part,
        column: abi::ColumnView,
    ) -> GroupByInput {
        let own = u32::from(layout.kinds[accumulator as usize]);
        let float = column.type_ == PhysicalType::Float64 as u32;
        let (kind, word) = match part {
            Part::Values | Part::Distances => (own, 0),
            Part::Word(word) if float => (abi::ACCUMULATE_ADD_FLOAT, word),
            Part::Word(word) => (abi::ACCUMULATE_ADD, word),
        };
        let form = match part {
            Part::Distances => abi::INPUT_DISTANCES,
            _ => form(kind, &column),
        };
        GroupByInput {
            column,
            form,
            kind: kind as u16,
            start: u16::from(layout.starts[accumulator as usize]) + word as u16,
        }
    }

    /// The key columns of a batch at their places.
    pub(super) fn place(
        &self,
        launch: &Launch,
        columns: &[&DeviceColumn],
    ) -> Result<[GroupByKey; 16]> {
        let mut places = [Place::NONE.with(no_column(PhysicalType::Boolean), 1); 16];
        if columns.len() != self.keys.len() {
            let cause = format!("{} key columns for {} keys", columns.len(), self.keys.len());
            return Err(Error::invalid("group_by", cause, ""));
        }
        for (index, column) in columns.iter().enumerate() {
            let (key, place) = &self.keys[index];
            if column.physical() != key.physical || (column.nullable() && !key.nullable) {
                let cause = format!("key {index} is not what the table was made for");
                return Err(Error::invalid("group_by", cause, ""));
            }
            places[index] = place.with(column.view(launch)?, key.bits);
        }
        Ok(places)
    }
}

/// Gives every key its bits. Wide keys go first, so that narrow ones fill what they leave.
fn pack(keys: &[GroupKey], abi: &mut GroupByLayout) -> Vec<Place> {
    let mut places = vec![Place::NONE; keys.len()];
    let alone = keys.len() == 1 && keys[0].own_words() == 0;
    let mut used: Vec<u32> = Vec::new(); // bits taken of each word
    let mut take = |own_words: u32, bits: u32| -> (u32, u32) {
        if own_words > 0 {
            let first = used.len() as u32;
            used.extend((0..own_words).map(|_| 64));
            return (first, 0);
        }
        let free = used.iter().position(|taken| taken + bits <= 64);
        let word = free.unwrap_or_else(|| {
            used.push(0);
            used.len() - 1
        });
        let shift = used[word];
        used[word] += bits;
        (word as u32, shift)
    };
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(keys[*index].bits));
    for index in order {
        let key = &keys[index];
        (places[index].word, places[index].shift) = take(key.own_words(), key.bits);
        if key.physical == PhysicalType::View {
            abi.text_words |= 1 << (places[index].word + abi::GROUP_BY_TEXT_BYTES);
        }
    }
    if alone {
        abi.null_is_special = 1;
    } else {
        for (key, place) in keys.iter().zip(&mut places) {
            if key.nullable {
                (place.null_word, place.null_shift) = take(0, 1);
            }
        }
    }
    abi.key_words = (used.len() as u32).max(1);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(physical: PhysicalType, nullable: bool, bits: u32) -> GroupKey {
        GroupKey {
            physical,
            nullable,
            bits,
        }
    }

    #[test]
    fn two_nullable_codes_fit_one_word() -> Result<()> {
        let code = key(PhysicalType::UInt32, true, 31);
        let layout = GroupLayout::new(
            &[code, code],
            &[abi::ACCUMULATE_COUNT],
            &GroupTuning::default(),
        )?;
        assert_eq!(layout.abi.key_words, 1);
        assert_eq!(layout.abi.entry_words, 2);
        let places: Vec<Place> = layout.keys.iter().map(|(_, place)| *place).collect();
        let expected = [(0, 62), (31, 63)].map(|(shift, null_shift)| Place {
            shift,
            null_shift,
            ..Place::NONE
        });
        assert_eq!(places, expected);
        Ok(())
    }

    #[test]
    fn a_single_key_keeps_its_null_apart_and_wide_keys_take_two_words() -> Result<()> {
        let tuning = GroupTuning::default();
        let single = GroupLayout::new(&[key(PhysicalType::Int64, true, 64)], &[], &tuning)?;
        assert_eq!((single.abi.key_words, single.abi.null_is_special), (1, 1));
        let text = GroupLayout::new(&[key(PhysicalType::View, true, 128)], &[], &tuning)?;
        assert_eq!((text.abi.key_words, text.abi.text_words), (4, 0b10));
        let wide = GroupLayout::new(&[key(PhysicalType::Int128, true, 128)], &[], &tuning)?;
        assert_eq!((wide.abi.key_words, wide.abi.null_is_special), (3, 0));
        assert_eq!(wide.abi.accumulator_start, 4);
        Ok(())
    }
}
