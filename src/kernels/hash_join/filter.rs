//! A Bloom filter in front of a table: probe rows that it keeps away do not look for a slot.

use std::sync::Arc;

use super::abi::{self, HashJoinFilter, HashJoinFilterParams, HashJoinKeys};
use super::{DeviceRows, JoinTuning, Launch, address_of, blocks, filled, grid};
use crate::device::DeviceBuffer;
use crate::error::Result;

const BLOCK_BYTES: u64 = abi::BLOOM_FILTER_BLOCK_BYTES as u64;

/// A filter of the build side's words.
#[derive(Debug)]
pub(super) struct Filter {
    bits: Arc<DeviceBuffer>,
    block_count: u64,
}

/// What a filter is for one launch: with what a sample of its probe rows says.
pub(super) struct SampledFilter {
    sampled: Option<DeviceBuffer>,
    filter: HashJoinFilter,
}

impl Filter {
    /// The filter of a side with narrow keys; none if the tuning wants none, or it would take more
    /// than the tuning allows.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub(super) fn new(
        launch: &Launch,
        tuning: &JoinTuning,
        build: &HashJoinKeys,
        rows: u64,
    ) -> Result<Option<Filter>> {
        let bits = rows.saturating_mul(tuning.filter_bits_per_key);
        let block_count = bits.div_ceil(BLOCK_BYTES * 8).max(1);
        let is_wanted = tuning.filter_bits_per_key > 0;
        if !is_wanted || block_count > tuning.filter_bytes_max / BLOCK_BYTES {
            return Ok(None);
        }
        let bits = filled(launch, block_count * BLOCK_BYTES, 0)?;
        let filter = Filter { bits, block_count };
        let params = HashJoinFilterParams {
            side: *build,
            filter: filter.params(std::ptr::null_mut()),
            row_count_device: std::ptr::null(),
            row_count: rows,
        };
        let grid = grid(launch, tuning, rows, abi::HASH_JOIN_TILE_ROWS);
        // SAFETY: the side's columns have `rows` rows, the filter its number of blocks.
        unsafe {
            launch.launch::<abi::HashJoinFilterInsert>(grid, abi::HASH_JOIN_THREADS, 0, &params)
        }?;
        Ok(Some(filter))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bits.bytes()
    }

    fn params(&self, sampled: *mut u64) -> HashJoinFilter {
        HashJoinFilter {
            blocks: address_of(&self.bits),
            sampled,
            block_count: self.block_count,
        }
    }

    /// Samples probe rows; what follows on the stream knows whether the filter pays.
    ///
    /// # Errors
    /// No memory is left, or the driver refuses.
    pub(super) fn sample(
        &self,
        launch: &Launch,
        probe: &HashJoinKeys,
        rows: &DeviceRows,
    ) -> Result<SampledFilter> {
        self.bits.order_read(launch.stream())?;
        let sampled = launch.alloc_zeroed(2 * 8)?;
        let filter = self.params(address_of(&sampled));
        let params = HashJoinFilterParams {
            side: *probe,
            filter,
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
        };
        let tiles = blocks(rows.max(), 1).min(u64::from(abi::HASH_JOIN_SAMPLE_TILES));
        // SAFETY: the side's columns have `rows` rows; there are two words for the samples.
        unsafe {
            launch.launch::<abi::HashJoinFilterSample>(tiles, abi::HASH_JOIN_THREADS, 0, &params)
        }?;
        Ok(SampledFilter {
            sampled: Some(sampled),
            filter,
        })
    }
}

impl SampledFilter {
    /// No filter.
    pub(super) fn none() -> SampledFilter {
        SampledFilter {
            sampled: None,
            filter: HashJoinFilter {
                blocks: std::ptr::null_mut(),
                sampled: std::ptr::null_mut(),
                block_count: 0,
            },
        }
    }

    /// For a launch struct; the samples must live until the launch is queued.
    pub(super) fn params(&self) -> HashJoinFilter {
        debug_assert!(self.sampled.is_some() || self.filter.blocks.is_null());
        self.filter
    }
}
