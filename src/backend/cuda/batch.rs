//! Batches in device memory.

use std::any::Any;
use std::sync::Arc;

use super::dictionary::Dictionary;
use super::hash_join::JoinBuilt;
use super::nested::NestedColumn;
use crate::error::{Error, Result};
use crate::kernels::{DeviceColumn, DeviceRows};
use crate::memory::{Batch, BatchData, DeviceBatch};
use crate::types::SchemaRef;

/// Columns in device memory and their number of rows.
#[derive(Debug, Clone)]
pub(super) struct CudaBatch {
    /// Columns of a value per row. Operators know no others.
    pub columns: Vec<DeviceColumn>,
    /// Columns between them that only pass from a scan to the result.
    pub nested: Vec<NestedColumn>,
    pub rows: DeviceRows,
    /// What string columns' codes mean; kept alive by every batch that has some.
    pub dictionary: Arc<Dictionary>,
}

impl DeviceBatch for CudaBatch {
    fn rows_max(&self) -> u64 {
        self.rows.max()
    }

    fn rows_exact(&self) -> Option<u64> {
        self.rows.exact()
    }

    fn bytes(&self) -> u64 {
        let flat: u64 = self.columns.iter().map(DeviceColumn::bytes).sum();
        flat + self.nested.iter().map(NestedColumn::bytes).sum::<u64>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl CudaBatch {
    /// A batch without nested columns.
    pub(super) fn flat(
        columns: Vec<DeviceColumn>,
        rows: DeviceRows,
        dictionary: Arc<Dictionary>,
    ) -> CudaBatch {
        CudaBatch {
            columns,
            nested: Vec::new(),
            rows,
            dictionary,
        }
    }

    /// The batch, as it flows through pipelines.
    pub(super) fn into_batch(self, schema: SchemaRef) -> Batch {
        let mut flat = schema.fields().iter().zip(&self.columns);
        debug_assert!(
            !self.nested.is_empty()
                || flat.all(|(field, column)| field.is_nullable() || !column.nullable()),
            "a column that the schema {schema} calls required has a validity bitmap"
        );
        Batch::device(schema, Arc::new(self))
    }

    /// The device columns of a batch; of a join's built batch, those of its build side.
    pub(super) fn of(batch: &Batch) -> Result<&CudaBatch> {
        match batch.data() {
            BatchData::Device(columns) => {
                let columns = columns.as_any();
                let built = || columns.downcast_ref().map(|built: &JoinBuilt| &built.batch);
                columns.downcast_ref::<CudaBatch>().or_else(built)
            }
            BatchData::Host(_) => None,
        }
        .ok_or_else(|| Error::invalid("batch", "is not in this device's memory", "upload it first"))
    }
}
