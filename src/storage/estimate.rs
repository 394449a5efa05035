//! Bounds of columns for estimates, from the footers that are in memory already.
//!
//! Not for pruning: bounds here are floats, rounded, and believed without asking by which order they
//! were taken.

use arrow::datatypes::DataType;
use parquet::file::statistics::Statistics;

use super::{Dataset, ParquetFile};
use crate::types::{ColumnEstimate, decimal_parts};

/// Statistics that are looked at; beyond, nothing is estimated, so that opening stays quick.
const STATISTICS_MAX: usize = 1 << 20;

impl Dataset {
    /// What the footers say of each column of the schema; nothing of columns that are no numbers, dates
    /// or times, and of files without statistics.
    pub fn column_estimates(&self) -> Vec<ColumnEstimate> {
        let fields = self.schema().fields();
        let row_groups: usize = self.files().iter().map(|f| f.row_group_count()).sum();
        if row_groups.saturating_mul(fields.len()) > STATISTICS_MAX {
            return vec![ColumnEstimate::default(); fields.len()];
        }
        let of_column = |(column, data_type): (usize, &DataType)| {
            let files = self.files().iter().enumerate();
            let each = files.map(|(place, file)| {
                let own = self.columns_of(place).get(column);
                own.map_or_else(ColumnEstimate::default, |own| {
                    of_file(file, *own, data_type)
                })
            });
            each.reduce(ColumnEstimate::union).unwrap_or_default()
        };
        let types = fields.iter().map(|field| field.data_type()).enumerate();
        types.map(of_column).collect()
    }
}

fn of_file(file: &ParquetFile, column: usize, data_type: &DataType) -> ColumnEstimate {
    let [leaf] = file.leaves_of(column) else {
        return ColumnEstimate::default();
    };
    let groups = (0..file.row_group_count()).map(|index| {
        let row_group = file.row_group(index);
        match row_group.column(*leaf).statistics() {
            _ if row_group.num_rows() == 0 => None,
            Some(statistics) => Some(bounds(statistics, data_type)),
            None => Some(ColumnEstimate::default()),
        }
    });
    let known = groups.flatten().reduce(ColumnEstimate::union);
    known.unwrap_or_default()
}

/// The ends of a column chunk. A count of different values says nothing of the whole column's.
fn bounds(statistics: &Statistics, data_type: &DataType) -> ColumnEstimate {
    let (min, max) = match statistics {
        Statistics::Int32(s) if is_unsigned(data_type) => (
            s.min_opt().map(|v| f64::from(v.cast_unsigned())),
            s.max_opt().map(|v| f64::from(v.cast_unsigned())),
        ),
        Statistics::Int32(s) => (
            s.min_opt().map(|v| f64::from(*v)),
            s.max_opt().map(|v| f64::from(*v)),
        ),
        Statistics::Int64(s) if is_unsigned(data_type) => (
            s.min_opt().map(|v| v.cast_unsigned() as f64),
            s.max_opt().map(|v| v.cast_unsigned() as f64),
        ),
        Statistics::Int64(s) => (
            s.min_opt().map(|v| *v as f64),
            s.max_opt().map(|v| *v as f64),
        ),
        Statistics::Float(s) => (
            s.min_opt().map(|v| f64::from(*v)),
            s.max_opt().map(|v| f64::from(*v)),
        ),
        Statistics::Double(s) => (s.min_opt().copied(), s.max_opt().copied()),
        Statistics::FixedLenByteArray(s) if decimal_parts(data_type).is_some() => (
            s.min_opt().and_then(|v| big_endian(v.data())),
            s.max_opt().and_then(|v| big_endian(v.data())),
        ),
        _ => (None, None),
    };
    let scale = decimal_parts(data_type).map_or(0, |(_, scale)| scale);
    let scaled = |value: Option<f64>| {
        let value = value.filter(|value| value.is_finite())?;
        Some(value / 10f64.powi(i32::from(scale)))
    };
    ColumnEstimate {
        min: scaled(min),
        max: scaled(max),
        distinct: None,
    }
}

fn is_unsigned(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64
    )
}

/// The number that a decimal's bytes are, the highest first.
fn big_endian(bytes: &[u8]) -> Option<f64> {
    let (first, rest) = bytes.split_first()?;
    let value = f64::from(first.cast_signed());
    Some(
        rest.iter()
            .fold(value, |sum, byte| sum * 256.0 + f64::from(*byte)),
    )
}
