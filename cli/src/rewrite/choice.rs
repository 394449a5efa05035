//! Which encoding suits a column that a GPU is going to decode: decided by its type and by the
//! first rows, so that the same files give the same answer everywhere.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::Type;
use pelton::storage::{ColumnEncoding, DICTIONARY_BYTES_DEFAULT, SinkCodec};

/// Rows that are looked at: enough that a value which repeats does so here, too.
pub const SAMPLE_ROWS: usize = 1 << 17;

/// How often a value must repeat, on average, for a dictionary to pay its extra access to memory.
const REPEATS_MIN: usize = 8;

/// Most values of a number's dictionary: codes of 10 bits. Beyond, deltas are about as small.
const NUMBERS_MAX: usize = 1 << 10;

/// A sample's second half may add one value in so many; if it adds more, the values have not all
/// been seen, and a dictionary may outgrow its page.
const NEW_VALUES_SHARE: usize = 8;

/// A column's encoding and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The encoding; `None` leaves it to the writer.
    pub encoding: Option<ColumnEncoding>,
    /// The reason, in words for people.
    pub reason: String,
}

/// What a sample says of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sample {
    /// Values that are not null.
    values: usize,
    /// Different values of the first half, and of all.
    distinct_half: usize,
    distinct: usize,
    /// Bytes of the different values, about.
    bytes: u64,
    /// Whether there are rows beyond the sample.
    cut: bool,
}

impl Sample {
    /// Looks at a column; `cut` says that there are rows beyond these.
    fn take(column: &ArrayRef, cut: bool) -> Result<Sample, ArrowError> {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(column))?;
        let nulls = column.logical_nulls();
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut sample = Sample {
            cut,
            ..Sample::default()
        };
        for row in 0..column.len() {
            if row == column.len() / 2 {
                sample.distinct_half = seen.len();
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            sample.values += 1;
            let bytes = rows.row(row).data();
            if seen.insert(bytes) {
                sample.bytes += bytes.len() as u64;
            }
        }
        sample.distinct = seen.len();
        Ok(sample)
    }

    /// Whether values repeat so much that a dictionary holds them all.
    fn repeats(&self) -> bool {
        let all_seen =
            !self.cut || (self.distinct - self.distinct_half) * NEW_VALUES_SHARE <= self.distinct;
        self.values > 0
            && self.distinct * REPEATS_MIN <= self.values
            && self.bytes <= DICTIONARY_BYTES_DEFAULT
            && all_seen
    }
}

/// Chooses for every column of the schema, by its first rows.
///
/// # Errors
/// A type that cannot be compared or written.
pub fn choose(
    schema: &Schema,
    sample: &RecordBatch,
    cut: bool,
    codec: SinkCodec,
) -> Result<Vec<Choice>, String> {
    let columns = schema.fields().iter().zip(sample.columns());
    columns
        .map(|(field, column)| {
            choose_one(field, column, cut, codec)
                .map_err(|cause| format!("column `{}`: {cause}", field.name()))
        })
        .collect()
}

fn choose_one(
    field: &Field,
    column: &ArrayRef,
    cut: bool,
    codec: SinkCodec,
) -> Result<Choice, Box<dyn std::error::Error>> {
    let comparable = [SortField::new(field.data_type().clone())];
    let left = |reason: &str| Choice {
        encoding: None,
        reason: reason.to_string(),
    };
    if field.data_type().is_nested() {
        return Ok(left("nested: left to the writer"));
    }
    if !RowConverter::supports_fields(&comparable) {
        return Ok(left("values not compared: left to the writer"));
    }
    let alone = Schema::new(vec![field.clone()]);
    let physical = ArrowSchemaConverter::new()
        .convert(&alone)?
        .column(0)
        .physical_type();
    let sample = Sample::take(column, cut)?;
    Ok(by_sample(physical, &sample, codec))
}

fn by_sample(physical: Type, sample: &Sample, codec: SinkCodec) -> Choice {
    let distinct = sample.distinct;
    let few_numbers = sample.repeats() && distinct <= NUMBERS_MAX;
    let dictionary = || {
        let values = if distinct == 1 { "value" } else { "values" };
        (
            ColumnEncoding::Dictionary,
            format!("{distinct} {values} in {}", sample.values),
        )
    };
    let uncompressed = codec == SinkCodec::Uncompressed;
    let (encoding, reason) = match physical {
        Type::BYTE_ARRAY if sample.repeats() => dictionary(),
        Type::BYTE_ARRAY => (
            ColumnEncoding::DeltaLengthByteArray,
            format!("{distinct} strings in {}", sample.values),
        ),
        Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE if few_numbers => dictionary(),
        Type::INT32 | Type::INT64 => (
            ColumnEncoding::DeltaBinaryPacked,
            format!("{distinct} numbers in {}", sample.values),
        ),
        Type::FLOAT | Type::DOUBLE | Type::FIXED_LEN_BYTE_ARRAY if !uncompressed => (
            ColumnEncoding::ByteStreamSplit,
            format!("split bytes compress better ({codec})"),
        ),
        Type::FLOAT | Type::DOUBLE | Type::FIXED_LEN_BYTE_ARRAY => (
            ColumnEncoding::Plain,
            "split bytes gain nothing without a codec".to_string(),
        ),
        Type::BOOLEAN => (ColumnEncoding::Plain, "a bit each".to_string()),
        Type::INT96 => (ColumnEncoding::Plain, "an old timestamp".to_string()),
    };
    Choice {
        encoding: Some(encoding),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray};

    fn encodings(
        columns: &[(&str, ArrayRef)],
        cut: bool,
        codec: SinkCodec,
    ) -> Result<Vec<String>, String> {
        let batch =
            RecordBatch::try_from_iter(columns.iter().cloned()).map_err(|e| e.to_string())?;
        let choices = choose(&batch.schema(), &batch, cut, codec)?;
        let name = |choice: Choice| choice.encoding.map_or_else(String::new, |e| e.to_string());
        Ok(choices.into_iter().map(name).collect())
    }

    #[test]
    fn by_type_and_repetition() -> Result<(), String> {
        let numbers = |f: fn(i64) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values((0..10_000).map(f)))
        };
        let strings = |f: fn(i64) -> i64| -> ArrayRef {
            let text = (0..10_000).map(|n| format!("s{}", f(n)));
            Arc::new(StringArray::from_iter_values(text))
        };
        let floats = |f: fn(i64) -> i64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(
                (0..10_000).map(|n| f(n) as f64),
            ))
        };
        let wide: ArrayRef = Arc::new(Decimal128Array::from(vec![1; 10_000]));
        let columns = [
            ("few", numbers(|n| n % 7)),
            ("many", numbers(|n| n)),
            ("more than codes", numbers(|n| n % 1100)),
            ("nulls", Arc::new(Int64Array::new_null(10_000)) as ArrayRef),
            ("words", strings(|n| n % 1100)),
            ("text", strings(|n| n)),
            ("steps", floats(|n| n % 5)),
            ("measures", floats(|n| n)),
            ("wide", wide),
        ];
        let expected = "dictionary delta_binary_packed delta_binary_packed delta_binary_packed \
             dictionary delta_length_byte_array dictionary";
        let plain = encodings(&columns, false, SinkCodec::Uncompressed)?.join(" ");
        assert_eq!(plain, format!("{expected} plain plain"));
        let split = encodings(&columns, false, SinkCodec::Snappy)?.join(" ");
        assert_eq!(
            split,
            format!("{expected} byte_stream_split byte_stream_split")
        );
        Ok(())
    }

    #[test]
    fn values_that_keep_coming_get_no_dictionary() -> Result<(), String> {
        let sorted: ArrayRef = Arc::new(Int64Array::from_iter_values((0..10_000).map(|n| n / 100)));
        let columns = [("sorted", sorted)];
        assert_eq!(
            encodings(&columns, true, SinkCodec::Snappy)?,
            ["delta_binary_packed"]
        );
        assert_eq!(
            encodings(&columns, false, SinkCodec::Snappy)?,
            ["dictionary"]
        );
        Ok(())
    }
}
