//! A tiny file for examples in the documentation.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;

use crate::error::{Error, Result};

/// Writes `orders.parquet` into a folder: five orders of three customers, two of whom have orders
/// above 100.
///
/// # Errors
/// `Io` if the folder cannot be written to.
pub fn write_orders(folder: &Path) -> Result<()> {
    let path = folder.join("orders.parquet");
    let customer_id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1, 3, 2]));
    let amount: ArrayRef = Arc::new(Int64Array::from(vec![150, 300, 250, 50, 100]));
    let refused = |cause: String| Error::io(&path, "write", &std::io::Error::other(cause));
    let batch = RecordBatch::try_from_iter([("customer_id", customer_id), ("amount", amount)])
        .map_err(|cause| refused(cause.to_string()))?;
    let file = File::create(&path).map_err(|cause| Error::io(&path, "write", &cause))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)
        .map_err(|cause| refused(cause.to_string()))?;
    writer
        .write(&batch)
        .and_then(|()| writer.close())
        .map_err(|cause| refused(cause.to_string()))?;
    Ok(())
}
