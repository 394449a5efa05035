//! Launchers of `sort`: key columns in, the order of their rows out.
//!
//! [`sort_rows`] finds the range of each key, which the host waits for, packs all keys into as few
//! words as their values need, and sorts words with row numbers, digit by digit from the least
//! significant on. A single key that fills its bits is sorted as it is. Where all that is wanted
//! can be read off the sorted words, there are no row numbers at all.

mod layout;

pub use layout::SortTuning;

use std::sync::Arc;

use super::abi::{self, ColumnView, SortPassParams, SortSpan};
use super::{DeviceColumn, Kernel, Launch, OutputColumn, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::Result;
use crate::types::PhysicalType;
use layout::{Direct, Direction, Field, Range};

/// Blocks of `sort_range` and of `sort_pack`, per multiprocessor: as many as their registers let it
/// hold, so that all run at one time.
const RANGE_BLOCKS: u64 = 2;
const PACK_BLOCKS: u64 = 3;

/// Rows that a block of `sort_range` and `sort_pack` takes at one time.
const BLOCK_ROWS: u32 = 4 * abi::SORT_THREADS;

/// A pass more is cheaper than packing, which reads and writes as much.
const PACK_PASSES: usize = 1;

/// A key column of a sort.
#[derive(Debug, Clone, Copy)]
pub struct SortInput<'a> {
    /// The values; any layout but views.
    pub column: &'a DeviceColumn,
    /// Whether greater values come first.
    pub descending: bool,
    /// Whether nulls come first.
    pub nulls_first: bool,
    /// Whether the sorted column is wanted, if the sorted words show it.
    pub wanted: bool,
}

/// What a sort found.
#[derive(Debug)]
pub struct Sorted {
    /// The order of the rows.
    pub order: Order,
    /// Sorted key columns, of those that were wanted and could be read off.
    pub keys: Vec<Option<DeviceColumn>>,
}

/// In which order rows are.
#[derive(Debug)]
pub enum Order {
    /// They stay where they are.
    Kept,
    /// The rows with these numbers (`UInt32`), one after the other.
    Rows(DeviceColumn),
    /// Nothing is known but the sorted keys, which are all that was wanted.
    KeysAlone,
}

/// Words on their way through the passes.
struct Words {
    words: DeviceBuffer,
    rows: Option<DeviceBuffer>,
}

/// One sort by some digits of words.
struct Radix<'a> {
    launch: &'a Launch<'a>,
    row_count: u64,
    word_bytes: u32,
    /// Whether row numbers travel along.
    rows: bool,
    tuning: &'a SortTuning,
}

/// What the first pass reads and the last one writes.
struct Ends {
    words: *const std::ffi::c_void,
    rows: Option<DeviceBuffer>,
    type_in: u32,
    type_out: u32,
    flip: u64,
}

/// The order of rows by `keys`, the most significant first; equal rows keep theirs. With
/// `others`, row numbers are needed for further columns. Waits for the stream.
///
/// Shape: `keys[rows]` → row numbers `[rows]`, sorted keys `[rows]`.
///
/// # Errors
/// No memory is left, or what failed on the stream.
///
/// # Panics
/// For a column of views, or more rows than 32 bits count.
pub fn sort_rows(
    launch: &Launch,
    keys: &[SortInput],
    rows: u64,
    others: bool,
    tuning: &SortTuning,
) -> Result<Sorted> {
    assert!(rows <= u64::from(u32::MAX), "the caller bounds the rows");
    let views = keys
        .iter()
        .any(|key| key.column.physical() == PhysicalType::View);
    assert!(!views, "the caller makes codes of views");
    let kept = || Sorted {
        order: Order::Kept,
        keys: vec![None; keys.len()],
    };
    if rows < 2 || keys.is_empty() {
        return Ok(kept());
    }
    let direct = direct_of(keys, tuning);
    let (ranges, histogram) = ranges(launch, keys, rows, direct.as_ref())?;
    let directions = keys.iter().map(|key| Direction {
        descending: key.descending,
        nulls_first: key.nulls_first,
    });
    let seen: Vec<_> = directions.zip(ranges.iter().copied()).collect();
    let (fields, bits) = layout::fields(&seen, rows);
    if bits == 0 {
        return Ok(kept());
    }
    let shown = |(key, range): (&SortInput, &Range)| key.wanted && range.odd == 0;
    let mut shown: Vec<bool> = keys.iter().zip(&ranges).map(shown).collect();
    if bits > tuning.word_bits {
        shown.fill(false);
    }
    let unshown = keys
        .iter()
        .zip(&shown)
        .any(|(key, shown)| key.wanted && !shown);
    let mut sort = Sort {
        launch,
        keys,
        row_count: rows,
        with_rows: others || unshown,
        shown,
        tuning,
    };
    let passes = bits.div_ceil(abi::SORT_DIGIT_BITS) as usize;
    if let (Some(direct), Some(histogram)) = (direct, histogram) {
        let digits = direct.digits(&ranges[0]);
        if digits.len() <= passes + PACK_PASSES {
            return sort.direct(direct, &histogram, &digits);
        }
    }
    sort.packed(&fields, bits)
}

/// The way without packing, for a single key that can go it.
fn direct_of(keys: &[SortInput], tuning: &SortTuning) -> Option<Direct> {
    match keys {
        [key] if !key.column.nullable() && key.column.values().is_some() && !tuning.force_pack => {
            Direct::of(key.column.physical(), key.descending)
        }
        _ => None,
    }
}

/// Blocks for a launch over rows in grid strides.
fn grid(launch: &Launch, rows: u64, per_multiprocessor: u64) -> u64 {
    let resident = u64::from(launch.device().properties().multiprocessors) * per_multiprocessor;
    blocks(rows, BLOCK_ROWS).min(resident)
}

/// Bytes of the counts of some digits.
fn histogram_bytes(digits: u32) -> u64 {
    4 * u64::from(digits) * u64::from(abi::SORT_DIGITS)
}

/// What there is to know of each key, and how often each digit of a direct one has each value.
/// Waits for the stream.
fn ranges(
    launch: &Launch,
    keys: &[SortInput],
    rows: u64,
    direct: Option<&Direct>,
) -> Result<(Vec<Range>, Option<DeviceBuffer>)> {
    let grid = grid(launch, rows, RANGE_BLOCKS);
    let part_bytes = size_of::<SortSpan>() as u64;
    let parts = launch.alloc(grid * keys.len() as u64 * part_bytes)?;
    let histogram = direct
        .map(|direct| launch.alloc_zeroed(histogram_bytes(direct.word_bytes)))
        .transpose()?;
    let mut params = abi::SortRangeParams {
        keys: [ColumnView::default(); abi::SORT_KEYS_MAX as usize],
        out_ranges: address_of(&parts),
        histogram: histogram.as_ref().map_or(std::ptr::null_mut(), address_of),
        flip: direct.map_or(0, |direct| direct.flip),
        row_count: rows,
        key_count: keys.len() as u32,
        reserved: 0,
    };
    for (view, key) in params.keys.iter_mut().zip(keys) {
        *view = key.column.view(launch)?;
    }
    // SAFETY: the columns have `rows` rows; `parts` has room for each block's and key's part; a
    // histogram is there only for a key without nulls of 4 or 8 bytes.
    unsafe { launch.launch::<abi::SortRange>(grid, abi::SORT_THREADS, 0, &params) }?;
    let mut bytes = vec![0u8; (grid * keys.len() as u64 * part_bytes) as usize];
    launch.device().read(launch.stream(), &parts, &mut bytes)?;
    let parts: Vec<SortSpan> = bytes
        .chunks_exact(part_bytes as usize)
        .map(part_of)
        .collect();
    let of_key = |key| Range::of(parts.iter().skip(key).step_by(keys.len()));
    Ok(((0..keys.len()).map(of_key).collect(), histogram))
}

/// A part as the device wrote it.
fn part_of(bytes: &[u8]) -> SortSpan {
    let mut words = bytes
        .chunks_exact(8)
        .map(|bytes| bytes.try_into().map_or(0, u64::from_ne_bytes));
    let mut next = || words.next().unwrap_or_default();
    SortSpan {
        least_low: next(),
        least_high: next(),
        greatest_low: next(),
        greatest_high: next(),
        any_low: next(),
        any_high: next(),
        all_low: next(),
        all_high: next(),
        valid_count: next(),
        odd_count: next(),
    }
}

/// A sort whose keys' ranges are known.
struct Sort<'a> {
    launch: &'a Launch<'a>,
    keys: &'a [SortInput<'a>],
    row_count: u64,
    with_rows: bool,
    /// Which keys are read off the sorted words.
    shown: Vec<bool>,
    tuning: &'a SortTuning,
}

impl Sort<'_> {
    fn radix(&self, word_bytes: u32) -> Radix<'_> {
        Radix {
            launch: self.launch,
            row_count: self.row_count,
            word_bytes,
            rows: self.with_rows,
            tuning: self.tuning,
        }
    }

    fn order(&self, rows: Option<DeviceBuffer>) -> Result<Order> {
        let Some(rows) = rows else {
            return Ok(Order::KeysAlone);
        };
        let column = DeviceColumn::array(
            PhysicalType::UInt32,
            Arc::new(rows),
            None,
            0,
            self.row_count,
        );
        Ok(Order::Rows(column?))
    }

    /// Sorts a single key by its own values.
    fn direct(
        &mut self,
        direct: Direct,
        histogram: &DeviceBuffer,
        digits: &[u32],
    ) -> Result<Sorted> {
        let key = &self.keys[0];
        let view = key.column.view(self.launch)?;
        let skipped = view.offset * u64::from(direct.word_bytes);
        let ends = Ends {
            words: view
                .values
                .cast::<u8>()
                .wrapping_add(skipped as usize)
                .cast(),
            rows: None,
            type_in: direct.physical as u32,
            type_out: if self.shown[0] {
                direct.physical as u32
            } else {
                abi::SORT_CODES
            },
            flip: direct.flip,
        };
        let sorted =
            self.radix(direct.word_bytes)
                .run(&ends, histogram, direct.word_bytes, digits)?;
        let words = Arc::new(sorted.words);
        let shown = self.shown[0]
            .then(|| DeviceColumn::array(direct.physical, words, None, 0, self.row_count));
        Ok(Sorted {
            order: self.order(sorted.rows)?,
            keys: vec![shown.transpose()?],
        })
    }

    /// Sorts by packed words, the least significant one first.
    fn packed(&mut self, fields: &[Field], bits: u32) -> Result<Sorted> {
        let word_bits = self.tuning.word_bits;
        let mut rows: Option<DeviceBuffer> = None;
        for word_start in (0..bits).step_by(word_bits as usize) {
            let own_bits = word_bits.min(bits - word_start);
            let digit_count = own_bits.div_ceil(abi::SORT_DIGIT_BITS);
            let word_bytes = if own_bits <= 32 { 4 } else { 8 };
            let (words, histogram) = self.pack(fields, word_start, own_bits, rows.as_ref())?;
            let ends = Ends {
                words: address_of(&words),
                rows,
                type_in: abi::SORT_CODES,
                type_out: abi::SORT_CODES,
                flip: 0,
            };
            let digits: Vec<u32> = (0..digit_count).collect();
            let sorted = self
                .radix(word_bytes)
                .run(&ends, &histogram, digit_count, &digits)?;
            if bits <= word_bits {
                let keys = self.unpack(fields, &sorted.words, word_bytes)?;
                let order = self.order(sorted.rows)?;
                return Ok(Sorted { order, keys });
            }
            rows = sorted.rows;
        }
        Ok(Sorted {
            order: self.order(rows)?,
            keys: vec![None; self.keys.len()],
        })
    }

    /// The words that begin at bit `word_start` of all, of `rows` in their order, and the counts
    /// of their digits.
    fn pack(
        &self,
        fields: &[Field],
        word_start: u32,
        own_bits: u32,
        rows: Option<&DeviceBuffer>,
    ) -> Result<(DeviceBuffer, DeviceBuffer)> {
        let word_bytes = if own_bits <= 32 { 4 } else { 8 };
        let digit_count = own_bits.div_ceil(abi::SORT_DIGIT_BITS);
        let words = self.launch.alloc(self.row_count * u64::from(word_bytes))?;
        let histogram = self.launch.alloc_zeroed(histogram_bytes(digit_count))?;
        let mut params = abi::SortPackParams {
            fields: Default::default(),
            rows: rows.map_or(std::ptr::null(), |rows| address_of(rows)),
            out_words: address_of(&words),
            histogram: address_of(&histogram),
            row_count: self.row_count,
            field_count: 0,
            word_bytes,
            digit_count,
            reserved: 0,
        };
        for (field, key) in fields.iter().zip(self.keys) {
            let end = field.start + field.bits();
            if end <= word_start || field.start >= word_start + own_bits || field.bits() == 0 {
                continue;
            }
            let view = key.column.view(self.launch)?;
            params.fields[params.field_count as usize] = field.at(word_start, view);
            params.field_count += 1;
        }
        let grid = grid(self.launch, self.row_count, PACK_BLOCKS);
        // SAFETY: the columns, `rows` and `words` have `row_count` rows, and `rows` are numbers of
        // rows of the columns; the histogram has a count for each value of each digit.
        unsafe {
            self.launch
                .launch::<abi::SortPack>(grid, abi::SORT_THREADS, 0, &params)
        }?;
        Ok((words, histogram))
    }

    /// The keys that sorted words show.
    fn unpack(
        &self,
        fields: &[Field],
        words: &DeviceBuffer,
        word_bytes: u32,
    ) -> Result<Vec<Option<DeviceColumn>>> {
        let mut params = abi::SortUnpackParams {
            fields: Default::default(),
            outputs: [abi::ColumnOut {
                values: std::ptr::null_mut(),
                validity: std::ptr::null_mut(),
                type_: 0,
                reserved: 0,
            }; abi::SORT_KEYS_MAX as usize],
            words: address_of(words),
            row_count: self.row_count,
            field_count: 0,
            word_bytes,
        };
        let mut outputs = Vec::with_capacity(fields.len());
        for ((field, key), shown) in fields.iter().zip(self.keys).zip(&self.shown) {
            // A key without bits has one value in all rows, or none: any order of it is the same.
            if !shown || field.bits() == 0 {
                outputs.push(shown.then(|| Shown::Same(key.column.clone())));
                continue;
            }
            let (physical, nullable) = (key.column.physical(), key.column.nullable());
            let output = OutputColumn::new(self.launch, physical, self.row_count, nullable)?;
            let index = params.field_count as usize;
            params.fields[index] = field.at(0, key.column.view(self.launch)?);
            params.outputs[index] = output.out();
            params.field_count += 1;
            outputs.push(Some(Shown::Read(output)));
        }
        if params.field_count > 0 {
            let grid = blocks(self.row_count, abi::SORT_THREADS);
            // SAFETY: `words` and the outputs have `row_count` rows; all fields lie in one word.
            unsafe {
                self.launch
                    .launch::<abi::SortUnpack>(grid, abi::SORT_THREADS, 0, &params)
            }?;
        }
        let columns = outputs.into_iter().map(|shown| {
            shown.map(|shown| match shown {
                Shown::Same(column) => column,
                Shown::Read(output) => output.into_column(),
            })
        });
        Ok(columns.collect())
    }
}

/// A key that needs no gather.
enum Shown {
    /// It is the same in any order.
    Same(DeviceColumn),
    /// It is read off the words.
    Read(OutputColumn),
}

impl Radix<'_> {
    /// Sorts by some digits, by their numbers from the lowest. `histogram` counts `counted`
    /// digits from the lowest on.
    fn run(
        &self,
        ends: &Ends,
        histogram: &DeviceBuffer,
        counted: u32,
        digits: &[u32],
    ) -> Result<Words> {
        let tile_rows = self.tile_rows_max().min(self.tuning.tile_rows);
        // Whole tiles, so that only the last portion has a part of one.
        let tiles = (self.tuning.portion_rows / u64::from(tile_rows)).max(1);
        let portion_rows = tiles * u64::from(tile_rows);
        let portions = self.row_count.div_ceil(portion_rows);
        let starts = self.starts(histogram, counted, portions)?;
        let tiles = blocks(self.row_count.min(portion_rows), tile_rows);
        let state_words = u64::from(abi::SORT_STATES_START) + tiles * u64::from(abi::SORT_DIGITS);
        let states = self.launch.alloc(4 * state_words)?;
        let room = || {
            let words = self
                .launch
                .alloc(self.row_count * u64::from(self.word_bytes))?;
            let rows = self.rows.then(|| self.launch.alloc(4 * self.row_count));
            let rows = rows.transpose()?;
            Ok::<_, crate::error::Error>(Words { words, rows })
        };
        let mut source: Option<Words> = None;
        let mut spare: Option<Words> = None;
        for (pass, digit) in digits.iter().enumerate() {
            let target = match spare.take() {
                Some(spare) => spare,
                None => room()?,
            };
            let rows_in = match &source {
                Some(source) => source.rows.as_ref(),
                None => ends.rows.as_ref(),
            };
            let (first, last) = (pass == 0, pass + 1 == digits.len());
            let mut params = SortPassParams {
                words: source
                    .as_ref()
                    .map_or(ends.words, |source| address_of(&source.words)),
                rows: rows_in.map_or(std::ptr::null(), |rows| address_of(rows)),
                out_words: address_of(&target.words),
                out_rows: target
                    .rows
                    .as_ref()
                    .map_or(std::ptr::null_mut(), address_of),
                starts: std::ptr::null(),
                out_starts: std::ptr::null_mut(),
                states: address_of(&states),
                flip_in: if first { ends.flip } else { 0 },
                flip_out: if last { ends.flip } else { 0 },
                first_row: 0,
                row_count: 0,
                tile_rows,
                shift: digit * abi::SORT_DIGIT_BITS,
                type_in: if first { ends.type_in } else { abi::SORT_CODES },
                type_out: if last { ends.type_out } else { abi::SORT_CODES },
            };
            for portion in 0..portions {
                let own = u64::from(*digit) * portions + portion;
                let at = |index: u64| {
                    let words = index * u64::from(abi::SORT_DIGITS);
                    address_of::<u32>(&starts).wrapping_add(words as usize)
                };
                params.starts = at(own);
                if portion + 1 < portions {
                    params.out_starts = at(own + 1);
                } else {
                    params.out_starts = std::ptr::null_mut();
                }
                params.first_row = portion * portion_rows;
                params.row_count = portion_rows.min(self.row_count - params.first_row);
                let driver = self.launch.device().driver();
                driver.fill(self.launch.stream(), states.address(), 0, states.bytes())?;
                self.pass(&params)?;
            }
            spare = source.replace(target);
        }
        match source {
            Some(sorted) => Ok(sorted),
            None => room(), // unreached: a key without digits that vary has no bits
        }
    }

    /// Where the rows of each value of each digit begin, with room for those of later portions.
    fn starts(
        &self,
        histogram: &DeviceBuffer,
        counted: u32,
        portions: u64,
    ) -> Result<DeviceBuffer> {
        let stride = portions * u64::from(abi::SORT_DIGITS);
        let starts = self.launch.alloc(4 * stride * u64::from(counted))?;
        let params = abi::SortStartsParams {
            histogram: address_of(histogram),
            out_starts: address_of(&starts),
            start_stride: stride,
        };
        // SAFETY: the histogram counts `counted` digits, and there are starts for each.
        unsafe {
            self.launch
                .launch::<abi::SortStarts>(counted.into(), abi::SORT_THREADS, 0, &params)
        }?;
        Ok(starts)
    }

    fn items(&self) -> u32 {
        match (self.word_bytes, self.rows) {
            (4, false) => abi::SORT_ITEMS_U32,
            (4, true) => abi::SORT_ITEMS_U32_ROWS,
            (_, false) => abi::SORT_ITEMS_U64,
            (_, true) => abi::SORT_ITEMS_U64_ROWS,
        }
    }

    fn tile_rows_max(&self) -> u32 {
        self.items() * abi::SORT_PASS_THREADS
    }

    fn pass(&self, params: &SortPassParams) -> Result<()> {
        match (self.word_bytes, self.rows) {
            (4, false) => self.queue::<abi::SortPassU32>(params),
            (4, true) => self.queue::<abi::SortPassU32Rows>(params),
            (_, false) => self.queue::<abi::SortPassU64>(params),
            (_, true) => self.queue::<abi::SortPassU64Rows>(params),
        }
    }

    fn queue<K: Kernel<Params = SortPassParams>>(&self, params: &SortPassParams) -> Result<()> {
        let grid = blocks(params.row_count, params.tile_rows);
        let row_bytes = self.word_bytes + if self.rows { 4 } else { 0 };
        let per_value = 4 * abi::SORT_DIGITS * (abi::SORT_PASS_THREADS / 32);
        let shared = self.tile_rows_max() * row_bytes + 2 * per_value;
        // SAFETY: words and row numbers have room for all rows; the starts come from counts of the
        // very words, so that every row has a place of its own; the states, zeroed, are as many as
        // a portion has tiles; shared memory holds a tile, and a counter and a mask per warp
        // and value.
        unsafe {
            self.launch
                .launch::<K>(grid, abi::SORT_PASS_THREADS, shared, params)
        }
    }
}
