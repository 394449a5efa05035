//! Launchers of `bloom_filter`: which values are certainly not among others.
//!
//! Filters are Parquet's: blocks of 32 bytes over xxHash64 of a value as the format stores it, so that
//! [`BloomFilter::of_blocks`] takes what a file has.

use std::sync::Arc;

use super::abi::{
    self, BloomFilterInsert, BloomFilterInsertParams, BloomFilterProbe, BloomFilterProbeParams,
};
use super::{DeviceColumn, DeviceRows, Launch, OutputColumn, address_of, blocks};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

const BLOCK_BYTES: u64 = abi::BLOOM_FILTER_BLOCK_BYTES as u64;

/// Most blocks of a filter: half of a hash chooses one.
const BLOCKS_MAX: u64 = u32::MAX as u64;

/// A split block Bloom filter in device memory.
#[derive(Debug, Clone)]
pub struct BloomFilter {
    bits: Arc<DeviceBuffer>,
    block_count: u64,
    physical: PhysicalType,
}

/// Integers of at most 64 bits have a stored form of their own; floats, which are equal to others
/// with other bits, and what is longer have not.
fn check_type(physical: PhysicalType) -> Result<()> {
    match physical {
        PhysicalType::Int8
        | PhysicalType::Int16
        | PhysicalType::Int32
        | PhysicalType::Int64
        | PhysicalType::UInt8
        | PhysicalType::UInt16
        | PhysicalType::UInt32
        | PhysicalType::UInt64 => Ok(()),
        other => {
            let cause = format!("values are {other:?}");
            let remedy = "filter integers of at most 64 bits";
            Err(Error::invalid("bloom_filter", cause, remedy))
        }
    }
}

impl BloomFilter {
    /// The filter of a column's values, with about so many bits for each; nulls are left out.
    /// 10 bits let one in a hundred other values pass.
    ///
    /// Shape: `column[rows]` → `ceil(rows * bits_per_value / 256)` blocks.
    ///
    /// # Errors
    /// `InvalidInput` if the values are not integers of at most 64 bits; no memory is left.
    pub fn build(
        launch: &Launch,
        column: &DeviceColumn,
        rows: &DeviceRows,
        bits_per_value: u64,
    ) -> Result<BloomFilter> {
        let bits = rows.max().saturating_mul(bits_per_value);
        let bytes = bits.div_ceil(BLOCK_BYTES * 8).saturating_mul(BLOCK_BYTES);
        let filter = BloomFilter::empty(launch, bytes, column.physical())?;
        filter.insert(launch, column, rows)?;
        Ok(filter)
    }

    /// A filter of so many bytes, rounded up to whole blocks, for values with this layout; nothing is in it
    /// yet.
    ///
    /// # Errors
    /// `InvalidInput` if the values are not integers of at most 64 bits; no memory is left.
    pub fn empty(launch: &Launch, bytes: u64, physical: PhysicalType) -> Result<BloomFilter> {
        check_type(physical)?;
        let block_count = bytes.div_ceil(BLOCK_BYTES).clamp(1, BLOCKS_MAX);
        Ok(BloomFilter {
            bits: Arc::new(launch.alloc_zeroed(block_count * BLOCK_BYTES)?),
            block_count,
            physical,
        })
    }

    /// Puts a column's values in; nulls are left out.
    ///
    /// # Errors
    /// `InvalidInput` for a column of another layout; the driver refuses.
    pub fn insert(&self, launch: &Launch, column: &DeviceColumn, rows: &DeviceRows) -> Result<()> {
        self.check_layout(column)?;
        self.bits.order_write(launch.stream())?;
        let params = BloomFilterInsertParams {
            column: column.view(launch)?,
            blocks: address_of(&self.bits),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            block_count: self.block_count,
        };
        let threads = abi::BLOOM_FILTER_THREADS;
        // SAFETY: the column has `rows` rows, the filter `block_count` blocks.
        unsafe {
            launch.launch::<BloomFilterInsert>(blocks(rows.max(), threads), threads, 0, &params)
        }
    }

    fn check_layout(&self, column: &DeviceColumn) -> Result<()> {
        if column.physical() == self.physical {
            return Ok(());
        }
        let cause = format!("{:?} in a filter of {:?}", column.physical(), self.physical);
        Err(Error::invalid("bloom_filter", cause, "cast the column"))
    }

    /// The filter that a file has of values with this layout, from its blocks.
    ///
    /// # Errors
    /// `InvalidInput` for bytes that are no whole blocks, or values that are not integers of at most
    /// 64 bits; no memory is left.
    pub fn of_blocks(launch: &Launch, bytes: &[u8], physical: PhysicalType) -> Result<BloomFilter> {
        check_type(physical)?;
        let block_count = bytes.len() as u64 / BLOCK_BYTES;
        if !(1..=BLOCKS_MAX).contains(&block_count)
            || block_count * BLOCK_BYTES != bytes.len() as u64
        {
            let cause = format!("{} bytes are no blocks of {BLOCK_BYTES}", bytes.len());
            return Err(Error::invalid("bloom_filter", cause, ""));
        }
        Ok(BloomFilter {
            bits: Arc::new(launch.device().upload(launch.stream(), bytes)?),
            block_count,
            physical,
        })
    }

    /// The layout of its values.
    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    /// Bytes of device memory.
    pub fn bytes(&self) -> u64 {
        self.bits.bytes()
    }

    /// The blocks, as a file would have them. Waits for the stream.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn read(&self, launch: &Launch) -> Result<Vec<u8>> {
        let length = usize::try_from(self.block_count * BLOCK_BYTES).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let (device, stream) = (launch.device(), launch.stream());
        device.read_at(stream, &self.bits, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether each row's value may be among the filter's: a Boolean column without nulls. False is
    /// certain; a null is not there.
    ///
    /// # Errors
    /// `InvalidInput` for a column of another layout; no memory is left.
    pub fn probe(
        &self,
        launch: &Launch,
        column: &DeviceColumn,
        rows: &DeviceRows,
    ) -> Result<DeviceColumn> {
        self.check_layout(column)?;
        self.bits.order_read(launch.stream())?;
        let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), false)?;
        let params = BloomFilterProbeParams {
            column: column.view(launch)?,
            blocks: address_of(&self.bits),
            out_found: output.out().values.cast(),
            row_count_device: rows.pointer(launch)?,
            row_count: rows.max(),
            block_count: self.block_count,
        };
        let threads = abi::BLOOM_FILTER_THREADS;
        let grid = blocks(rows.max(), threads * abi::BLOOM_FILTER_ITEMS);
        // SAFETY: the column has `rows` rows and the output as many bits; the filter has
        // `block_count` blocks.
        unsafe { launch.launch::<BloomFilterProbe>(grid, threads, 0, &params) }?;
        Ok(output.into_column())
    }
}
