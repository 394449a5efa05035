//! Sides of a join in the order of their hashes: rows that lie close meet slots that lie close.

use super::abi::{self, HashJoinKeys, HashJoinSplit, HashJoinSplitParams};
use super::{DeviceRows, JoinTuning, Launch, address_of, blocks, grid};
use crate::device::DeviceBuffer;
use crate::error::Result;

/// The packed keys of a side, and which rows they are of.
pub(super) struct Split {
    words: DeviceBuffer,
    rows: DeviceBuffer,
    specials: DeviceBuffer,
}

/// A side that is not split, for a launch struct.
pub(super) fn not_split() -> HashJoinSplit {
    HashJoinSplit {
        words: std::ptr::null_mut(),
        rows: std::ptr::null_mut(),
        specials: std::ptr::null_mut(),
    }
}

impl Split {
    /// Splits a side with narrow keys into 2 to the power of `part_bits` parts.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub(super) fn new(
        launch: &Launch,
        tuning: &JoinTuning,
        side: &HashJoinKeys,
        rows: &DeviceRows,
        part_bits: u32,
    ) -> Result<Split> {
        let split = Split {
            words: launch.alloc(rows.max() * 8)?,
            rows: launch.alloc(rows.max() * 4)?,
            specials: launch.alloc(2 * 8)?,
        };
        let counters = u64::from(abi::HASH_JOIN_SPLIT_COUNTERS * abi::HASH_JOIN_SPLIT_STRIDE);
        let counters = launch.alloc_zeroed(counters * 8)?;
        let params = HashJoinSplitParams {
            side: *side,
            split: split.sorted(),
            counters: address_of(&counters),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            part_bits: part_bits.clamp(1, abi::HASH_JOIN_SPLIT_BITS_MAX),
            hash_mask_bits: tuning.hash_bits,
        };
        let threads = abi::HASH_JOIN_THREADS;
        let over = grid(launch, tuning, rows.max(), abi::HASH_JOIN_TILE_ROWS);
        // SAFETY: the side's columns have `rows` rows; the counters are zero.
        unsafe { launch.launch::<abi::HashJoinSplitCount>(over, threads, 0, &params) }?;
        let starts = abi::HashJoinSplitStartsParams {
            counters: params.counters,
            specials: address_of(&split.specials),
            part_bits: params.part_bits,
            reserved: 0,
        };
        // SAFETY: there are HASH_JOIN_SPLIT_COUNTERS counters, their stride apart, and two words for the special places.
        unsafe { launch.launch::<abi::HashJoinSplitStarts>(1, threads, 0, &starts) }?;
        let tiles = blocks(rows.max(), abi::HASH_JOIN_SPLIT_ROWS);
        // SAFETY: the counters are the starts of the parts that the first launch counted, whose
        // rows are all there are, so that every place is below `rows`.
        unsafe { launch.launch::<abi::HashJoinSplitRows>(tiles, threads, 0, &params) }?;
        Ok(split)
    }

    /// For a launch struct.
    pub(super) fn sorted(&self) -> HashJoinSplit {
        HashJoinSplit {
            words: address_of(&self.words),
            rows: address_of(&self.rows),
            specials: address_of(&self.specials),
        }
    }
}
