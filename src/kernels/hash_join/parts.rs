//! A large table built part by part: keys are split by their hashes until the slots of a part fit
//! shared memory, and no slot is looked for in device memory but for the few rows that are left.

use super::abi::{self, HashJoinKeys, HashJoinParts, HashJoinRest, HashJoinTable};
use super::{JoinTuning, Launch, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::Result;

/// One row in so many may be left, besides `JoinTuning::rest_rows_min`.
const ROWS_PER_LEFT: u64 = 16;

/// Keys of the build side, part by part.
struct Parts {
    words: DeviceBuffer,
    rows: Option<DeviceBuffer>,
    cursors: DeviceBuffer,
    room: u64,
    part_bits: u32,
}

/// Rows that found no place; they are still to be put into the table.
pub(super) struct Rest {
    words: DeviceBuffer,
    rows: Option<DeviceBuffer>,
    /// Rows whose key was there, rows that are left.
    counts: DeviceBuffer,
    room: u64,
}

/// A build side that is not split.
fn unsplit() -> HashJoinParts {
    HashJoinParts {
        words: std::ptr::null_mut(),
        rows: std::ptr::null_mut(),
        cursors: std::ptr::null_mut(),
        room: 0,
        part_bits: 0,
        reserved: 0,
    }
}

/// No rows that are left: the build side itself is meant.
pub(super) fn no_rest() -> HashJoinRest {
    HashJoinRest {
        words: std::ptr::null_mut(),
        rows: std::ptr::null_mut(),
        count: std::ptr::null_mut(),
        room: 0,
    }
}

/// Keys and, if they are wanted, row numbers of so many rows.
fn keys_and_rows(
    launch: &Launch,
    places: u64,
    with_rows: bool,
) -> Result<(DeviceBuffer, Option<DeviceBuffer>)> {
    let rows = with_rows.then(|| launch.alloc(places * 4)).transpose()?;
    Ok((launch.alloc(places * 8)?, rows))
}

impl Parts {
    /// Room for `rows` rows in 2 to the power of `part_bits` parts, as uneven as hashes make them.
    fn new(
        launch: &Launch,
        tuning: &JoinTuning,
        rows: u64,
        part_bits: u32,
        with_rows: bool,
    ) -> Result<Parts> {
        let mean = rows.div_ceil(1 << part_bits);
        let room = mean + u64::from(tuning.part_deviations) * mean.isqrt();
        let room = room.max(1).next_multiple_of(16); // parts begin at lines of the cache
        let (words, rows) = keys_and_rows(launch, room << part_bits, with_rows)?;
        Ok(Parts {
            words,
            rows,
            cursors: launch.alloc_zeroed(4 << part_bits)?,
            room,
            part_bits,
        })
    }

    fn params(&self) -> HashJoinParts {
        HashJoinParts {
            words: address_of(&self.words),
            rows: self.rows.as_ref().map_or(std::ptr::null_mut(), address_of),
            cursors: address_of(&self.cursors),
            room: self.room,
            part_bits: self.part_bits,
            reserved: 0,
        }
    }
}

impl Rest {
    fn new(launch: &Launch, tuning: &JoinTuning, rows: u64, with_rows: bool) -> Result<Rest> {
        let room = rows / ROWS_PER_LEFT + tuning.rest_rows_min;
        let (words, rows) = keys_and_rows(launch, room, with_rows)?;
        Ok(Rest {
            words,
            rows,
            counts: launch.alloc_zeroed(2 * 8)?,
            room,
        })
    }

    /// Rows that there is room for.
    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// Rows whose key was there, then rows that are left.
    pub(super) fn counts(&self) -> &DeviceBuffer {
        &self.counts
    }

    /// For a launch struct.
    pub(super) fn params(&self) -> HashJoinRest {
        HashJoinRest {
            words: address_of(&self.words),
            rows: self.rows.as_ref().map_or(std::ptr::null_mut(), address_of),
            count: address_of::<u64>(&self.counts).wrapping_add(1),
            room: self.room,
        }
    }
}

/// Queues what splits the build side by the next bits.
fn split(
    launch: &Launch,
    tuning: &JoinTuning,
    (build, row_count): (&HashJoinKeys, u64),
    from: Option<&Parts>,
    to: &Parts,
    rest: &Rest,
) -> Result<()> {
    let rows_max = from.map_or(row_count, |from| from.room);
    let tiles = blocks(rows_max, abi::HASH_JOIN_SPLIT_ROWS).max(1);
    let params = abi::HashJoinSplitParams {
        side: *build,
        from: from.map_or_else(unsplit, Parts::params),
        to: to.params(),
        rest: rest.params(),
        row_count,
        tiles_per_part: u32::try_from(tiles).unwrap_or(u32::MAX),
        hash_mask_bits: tuning.hash_bits,
    };
    let grid = tiles << from.map_or(0, |from| from.part_bits);
    let row_bytes = if to.rows.is_some() { 12 } else { 8 };
    let shared = abi::HASH_JOIN_SPLIT_ROWS * row_bytes;
    let threads = abi::HASH_JOIN_PARTS_THREADS;
    // SAFETY: the side's columns have `row_count` rows; `from` has its rows in `room` places a part,
    // `to` and the rest are not written beyond theirs, and their counters started at zero.
    unsafe { launch.launch::<abi::HashJoinSplit>(grid, threads, shared, &params) }
}

/// Queues what fills a table, but for its special slots, from the build side's rows; there is no
/// null key among them. What it could not place is left.
///
/// # Errors
/// No memory is left, or the driver refuses.
pub(super) fn build_parts(
    launch: &Launch,
    tuning: &JoinTuning,
    table: HashJoinTable,
    (build, rows): (&HashJoinKeys, u64),
    part_bits: u32,
) -> Result<Rest> {
    let with_rows = table.slot_words == 2;
    let rest = Rest::new(launch, tuning, rows, with_rows)?;
    let at = |bits| Parts::new(launch, tuning, rows, bits, with_rows);
    let parts = at(part_bits)?;
    if part_bits <= tuning.level_bits() {
        split(launch, tuning, (build, rows), None, &parts, &rest)?;
    } else {
        let first = at(part_bits.div_ceil(2))?;
        split(launch, tuning, (build, rows), None, &first, &rest)?;
        split(launch, tuning, (build, rows), Some(&first), &parts, &rest)?;
    }
    let params = abi::HashJoinBuildPartsParams {
        parts: parts.params(),
        table,
        rest: rest.params(),
        duplicate_count: address_of(&rest.counts),
    };
    let part_bytes = (table.capacity >> part_bits) * u64::from(table.slot_words) * 8;
    let shared = u32::try_from(part_bytes).unwrap_or(u32::MAX);
    let threads = abi::HASH_JOIN_PARTS_THREADS;
    // SAFETY: the slots of all parts are those of the table, whose capacity is a multiple of the
    // parts; shared memory holds those of one; the launches before filled the parts.
    unsafe { launch.launch::<abi::HashJoinBuildParts>(1 << part_bits, threads, shared, &params) }?;
    Ok(rest)
}
