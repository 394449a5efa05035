//! What flows: columns of equal length, in one tier.

#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};

use crate::types::SchemaRef;

/// Columns of equal length that a backend holds in its own layout: in a device's memory, or beside a
/// table of their keys (a join's build side). Only the backend that made it looks inside, through
/// `as_any`.
pub trait DeviceBatch: Any + Send + Sync + fmt::Debug {
    /// Upper bound of the rows. The exact number may still be on the device.
    fn rows_max(&self) -> u64;
    /// The exact number of rows, if the host knows it.
    fn rows_exact(&self) -> Option<u64> {
        None
    }
    /// Bytes of the backend's memory that the columns hold on to.
    fn bytes(&self) -> u64;
    /// For the backend's own downcast.
    fn as_any(&self) -> &dyn Any;
}

/// Where a batch's columns are.
#[derive(Debug, Clone)]
pub enum BatchData {
    /// Arrow arrays in host memory.
    Host(RecordBatch),
    /// Columns in a backend's own layout.
    Device(Arc<dyn DeviceBatch>),
}

/// Columns of equal length and their schema. Cloning shares the columns.
#[derive(Debug, Clone)]
pub struct Batch {
    schema: SchemaRef,
    data: BatchData,
}

impl Batch {
    /// A batch in host memory.
    pub fn host(batch: RecordBatch) -> Self {
        Batch {
            schema: batch.schema(),
            data: BatchData::Host(batch),
        }
    }

    /// A batch in a backend's own layout.
    pub fn device(schema: SchemaRef, columns: Arc<dyn DeviceBatch>) -> Self {
        Batch {
            schema,
            data: BatchData::Device(columns),
        }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns.
    pub fn data(&self) -> &BatchData {
        &self.data
    }

    /// The host columns, if that is where they are.
    pub fn as_host(&self) -> Option<&RecordBatch> {
        match &self.data {
            BatchData::Host(batch) => Some(batch),
            BatchData::Device(_) => None,
        }
    }

    /// Upper bound of the rows; exact for a host batch.
    pub fn rows_max(&self) -> u64 {
        match &self.data {
            BatchData::Host(batch) => batch.num_rows() as u64,
            BatchData::Device(columns) => columns.rows_max(),
        }
    }

    /// The exact number of rows, if the host knows it.
    pub fn rows_exact(&self) -> Option<u64> {
        match &self.data {
            BatchData::Host(batch) => Some(batch.num_rows() as u64),
            BatchData::Device(columns) => columns.rows_exact(),
        }
    }

    /// Bytes of the rows: of host columns those that the rows take, not what their buffers have beside.
    pub fn bytes(&self) -> u64 {
        match &self.data {
            BatchData::Host(batch) => {
                let columns = batch.columns().iter();
                let bytes = columns.map(|column| {
                    let data = column.to_data();
                    data.get_slice_memory_size()
                        .unwrap_or_else(|_| column.get_buffer_memory_size())
                });
                bytes.sum::<usize>() as u64
            }
            BatchData::Device(columns) => columns.bytes(),
        }
    }
}

/// Order token of a morsel within its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// A batch with its place in the stream of batches: the message that actors exchange.
#[derive(Debug, Clone)]
pub struct Morsel {
    /// The columns.
    pub batch: Batch,
    /// Its place.
    pub sequence: Sequence,
}
