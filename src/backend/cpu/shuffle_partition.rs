//! `shuffle_partition` on host batches; the contract is [`ShufflePartitionSpec`].
//!
//! Rows keep their order within a partition.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{SortOptions, cast, take};
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::accumulate::{plain, plain_type};
use super::host_batch;
use super::values::{Numbers, numbers, storage_range};
use crate::error::{Error, Result};
use crate::memory::Batch;
use crate::operators::{
    Context, KeyHash, NULL_WORD, Partition, Partitioning, RangeKey, ShufflePartitionSpec,
    bounds_descend, bytes_word, float_word, integer_word,
};
use crate::types::{DataType, is_binary, is_string};

pub(super) struct ShufflePartition {
    spec: ShufflePartitionSpec,
    /// Of a range alone.
    bounds: Option<Bounds>,
}

/// Bounds as rows of bytes that are in the order of the keys.
struct Bounds {
    converter: RowConverter,
    rows: Vec<OwnedRow>,
}

fn refused(reason: String) -> Error {
    Error::unsupported("cpu", "shuffle_partition", reason)
}

impl ShufflePartition {
    /// # Errors
    /// `InvalidInput` and `Unsupported` as the contract says.
    pub(super) fn new(spec: &ShufflePartitionSpec) -> Result<ShufflePartition> {
        spec.check()?;
        for index in spec.by.keys() {
            let field = spec.input.field(index);
            if !has_words(&plain_type(field.data_type())) {
                let (name, data_type) = (field.name(), field.data_type());
                return Err(refused(format!("key `{name}` has type {data_type}")));
            }
        }
        let bounds = match &spec.by {
            Partitioning::Range { keys, bounds } => Some(Bounds::new(spec, keys, bounds)?),
            _ => None,
        };
        let spec = spec.clone();
        Ok(ShufflePartition { spec, bounds })
    }

    /// The partition of each row.
    fn targets(&self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let partitions = self.spec.partitions;
        let columns = self.spec.by.keys();
        let columns = columns.iter().map(|index| plain(batch.column(*index)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        match (&self.spec.by, &self.bounds) {
            (Partitioning::RoundRobin { start }, _) => {
                let rows = 0..batch.num_rows() as u64;
                let target = |row| (u64::from(*start) + row) % u64::from(partitions);
                Ok(rows.map(|row| target(row) as u32).collect())
            }
            (Partitioning::Range { .. }, Some(bounds)) => bounds.targets(&columns),
            _ => {
                let mut hashes = vec![KeyHash::START; batch.num_rows()];
                for column in &columns {
                    for (hash, word) in hashes.iter_mut().zip(words(column)?) {
                        *hash = hash.and(word);
                    }
                }
                Ok(hashes
                    .iter()
                    .map(|hash| hash.partition(partitions))
                    .collect())
            }
        }
    }
}

/// True if the values of a type have words of the hash, and an order.
fn has_words(data_type: &DataType) -> bool {
    storage_range(data_type).is_some()
        || matches!(data_type, DataType::Boolean | DataType::Null)
        || data_type.is_floating()
        || is_string(data_type)
        || is_binary(data_type)
}

/// The word of each row of a key.
fn words(column: &ArrayRef) -> Result<Vec<u64>> {
    let words: Vec<u64> = match numbers(column) {
        Some(Numbers::Integers(values)) => values.into_iter().map(integer_word).collect(),
        Some(Numbers::Floats(values)) => values.into_iter().map(float_word).collect(),
        None if *column.data_type() == DataType::Null => vec![NULL_WORD; column.len()],
        None => {
            let bytes = cast(column, &DataType::LargeBinary);
            let bytes = bytes.map_err(|cause| refused(cause.to_string()))?;
            let values = bytes.as_binary::<i64>();
            (0..values.len())
                .map(|row| bytes_word(values.value(row)))
                .collect()
        }
    };
    let nulls = column.logical_nulls();
    let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let words = words.into_iter().enumerate();
    Ok(words
        .map(|(row, word)| if is_null(row) { NULL_WORD } else { word })
        .collect())
}

impl Bounds {
    fn new(spec: &ShufflePartitionSpec, keys: &[RangeKey], bounds: &RecordBatch) -> Result<Bounds> {
        let fields = keys.iter().map(|key| {
            let data_type = plain_type(spec.input.field(key.column).data_type());
            let options = SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            SortField::new_with_options(data_type, options)
        });
        let converter = RowConverter::new(fields.collect());
        let converter = converter.map_err(|cause| refused(cause.to_string()))?;
        let columns = bounds.columns().iter().map(plain);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = converter.convert_columns(&columns);
        let rows = rows.map_err(|cause| refused(cause.to_string()))?;
        let rows: Vec<OwnedRow> = rows.iter().map(|row| row.owned()).collect();
        match rows.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(before) => Err(bounds_descend(before + 1)),
            None => Ok(Bounds { converter, rows }),
        }
    }

    fn targets(&self, columns: &[ArrayRef]) -> Result<Vec<u32>> {
        let rows = self.converter.convert_columns(columns);
        let rows = rows.map_err(|cause| refused(cause.to_string()))?;
        let target = |row| self.rows.partition_point(|bound| bound.row() < row) as u32;
        Ok(rows.iter().map(target).collect())
    }
}

impl Partition for ShufflePartition {
    fn next(&self, _: &Context, batch: Batch) -> Result<Vec<Batch>> {
        let batch = host_batch("shuffle_partition", &batch)?;
        let mut rows_of = vec![Vec::new(); self.spec.partitions as usize];
        for (row, target) in (0u32..).zip(self.targets(batch)?) {
            rows_of[target as usize].push(row);
        }
        let picked = rows_of.into_iter().map(|rows| {
            let rows = UInt32Array::from(rows);
            let columns = batch.columns().iter();
            let columns = columns.map(|column| take(column, &rows, None));
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            columns
                .collect::<std::result::Result<Vec<_>, _>>()
                .and_then(|columns| {
                    let schema = Arc::clone(&self.spec.input);
                    RecordBatch::try_new_with_options(schema, columns, &options)
                })
                .map(Batch::host)
                .map_err(|cause| Error::invalid("shuffle_partition", cause.to_string(), ""))
        });
        picked.collect()
    }
}
