//! From options and a schema to what the `parquet` crate is told. What it would refuse late, or
//! with a panic, is an error here: types without a place in Parquet, encodings that do not hold a
//! column's values, columns that are not there.

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::{ColumnDescriptor, ColumnPath, SchemaDescriptor};

use super::options::{ColumnEncoding, PageVersion, SinkCodec, SinkOptions, StatisticsLevel};
use crate::error::{Error, Result};

/// Most bytes of a page or a dictionary: its header holds them in 32 bits with a sign.
const PAGE_BYTES_MAX: u64 = (1 << 31) - 1;

/// Most rows of a row group, a page or a file that options may ask for: beyond what anybody
/// writes, and within every integer they pass through.
const ROWS_MAX: u64 = 1 << 40;

/// The writer's properties for a schema.
///
/// # Errors
/// `InvalidInput` if an option is out of range, names a column that is not there, or does not fit
/// its column, and if Parquet has no place for a column's type.
pub(super) fn writer_properties(
    options: &SinkOptions,
    schema: &Schema,
) -> Result<WriterProperties> {
    let descriptor = parquet_schema(schema)?;
    let rows = |place, rows| within(place, rows, ROWS_MAX);
    let bytes = |place, bytes| within(place, bytes, PAGE_BYTES_MAX);
    if let Some(limit) = options.row_group_bytes {
        within("row group bytes", limit, u64::MAX)?;
    }
    if let Some(limit) = options.file_rows {
        rows("file rows", limit)?;
    }
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("pelton {}", env!("CARGO_PKG_VERSION")))
        .set_compression(compression(options.codec)?)
        .set_max_row_group_row_count(Some(rows("row group rows", options.row_group_rows)?))
        .set_data_page_size_limit(bytes("page bytes", options.page_bytes)?)
        .set_data_page_row_count_limit(rows("page rows", options.page_rows)?)
        .set_dictionary_page_size_limit(bytes("dictionary bytes", options.dictionary_bytes)?)
        .set_dictionary_enabled(options.dictionary)
        .set_statistics_enabled(match options.statistics {
            StatisticsLevel::None => EnabledStatistics::None,
            StatisticsLevel::RowGroup => EnabledStatistics::Chunk,
            StatisticsLevel::Page => EnabledStatistics::Page,
        })
        .set_writer_version(match options.page_version {
            PageVersion::V1 => WriterVersion::PARQUET_1_0,
            PageVersion::V2 => WriterVersion::PARQUET_2_0,
        });
    for (column, encoding) in &options.encodings {
        for leaf in leaves(&descriptor, column)? {
            check_encoding(*encoding, leaf, options.page_version)?;
            let path = leaf.path().clone();
            builder = match written(*encoding) {
                None => builder.set_column_dictionary_enabled(path, true),
                Some(encoding) => builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, encoding),
            };
        }
    }
    for column in &options.bloom_filters {
        for leaf in leaves(&descriptor, column)? {
            if leaf.physical_type() == Type::BOOLEAN {
                return Err(Error::invalid(
                    format!("column `{}`", leaf.path().string()),
                    "Booleans have no Bloom filters",
                    "",
                ));
            }
            builder = builder.set_column_bloom_filter_enabled(leaf.path().clone(), true);
        }
    }
    Ok(builder.build())
}

fn within(place: &str, value: u64, most: u64) -> Result<usize> {
    let fitting = usize::try_from(value).ok();
    fitting
        .filter(|_| (1..=most).contains(&value))
        .ok_or_else(|| {
            Error::invalid(
                place,
                format!("{value} is out of range"),
                format!("from 1 to {most}"),
            )
        })
}

fn compression(codec: SinkCodec) -> Result<Compression> {
    let level =
        |cause: ParquetError| Error::invalid(format!("codec `{codec}`"), cause.to_string(), "");
    Ok(match codec {
        SinkCodec::Uncompressed => Compression::UNCOMPRESSED,
        SinkCodec::Snappy => Compression::SNAPPY,
        SinkCodec::Lz4Raw => Compression::LZ4_RAW,
        SinkCodec::Zstd(n) => Compression::ZSTD(ZstdLevel::try_new(i32::from(n)).map_err(level)?),
        SinkCodec::Gzip(n) => Compression::GZIP(GzipLevel::try_new(u32::from(n)).map_err(level)?),
        SinkCodec::Brotli(n) => {
            Compression::BROTLI(BrotliLevel::try_new(u32::from(n)).map_err(level)?)
        }
    })
}

/// The leaves that a name means: those below a column of the schema, or one by its path.
fn leaves<'a>(descriptor: &'a SchemaDescriptor, name: &str) -> Result<Vec<&'a ColumnDescriptor>> {
    let named = |path: &ColumnPath| {
        path.parts().first().is_some_and(|root| root == name) || path.string() == name
    };
    let columns = descriptor.columns().iter().map(AsRef::as_ref);
    let found: Vec<_> = columns.filter(|leaf| named(leaf.path())).collect();
    if found.is_empty() {
        let columns = descriptor.columns().iter();
        let names: Vec<String> = columns.map(|leaf| leaf.path().string()).collect();
        return Err(Error::invalid(
            format!("column `{name}`"),
            "not in the schema",
            format!("the columns are {}", names.join(", ")),
        ));
    }
    Ok(found)
}

/// The schema as Parquet has it.
fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor> {
    let refused = |field: &Field, cause: &str| {
        Error::invalid(
            format!("column `{}`", field.name()),
            format!("Parquet does not hold {}: {cause}", field.data_type()),
            "cast the column or leave it out",
        )
    };
    for field in schema.fields() {
        if let Some(cause) = homeless(field.data_type()) {
            return Err(refused(field, cause));
        }
        // One by one, so that the error names the column.
        ArrowSchemaConverter::new()
            .convert(&Schema::new(vec![field.as_ref().clone()]))
            .map_err(|cause| refused(field, &cause.to_string()))?;
    }
    ArrowSchemaConverter::new()
        .convert(schema)
        .map_err(|cause| Error::invalid("schema", cause.to_string(), ""))
}

/// Why a type has no place in Parquet, if the crate notices only when it is too late.
fn homeless(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Union(..) => Some("it has no unions"),
        DataType::Interval(IntervalUnit::MonthDayNano) => Some("its intervals have no nanoseconds"),
        // The crate stores one digit in INT64 and then finds no way there from 32 bits.
        DataType::Decimal32(1, _) => Some("its writer wants wider decimals of one digit"),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => homeless(field.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|f| homeless(f.data_type())),
        DataType::Dictionary(_, value) => homeless(value),
        DataType::RunEndEncoded(_, field) => homeless(field.data_type()),
        _ => None,
    }
}

/// The crate's name of an encoding; `None` for a dictionary, which is a switch of its own.
fn written(encoding: ColumnEncoding) -> Option<Encoding> {
    match encoding {
        ColumnEncoding::Dictionary => None,
        ColumnEncoding::Plain => Some(Encoding::PLAIN),
        ColumnEncoding::DeltaBinaryPacked => Some(Encoding::DELTA_BINARY_PACKED),
        ColumnEncoding::DeltaLengthByteArray => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ColumnEncoding::DeltaByteArray => Some(Encoding::DELTA_BYTE_ARRAY),
        ColumnEncoding::ByteStreamSplit => Some(Encoding::BYTE_STREAM_SPLIT),
    }
}

fn holds(encoding: ColumnEncoding, physical: Type, version: PageVersion) -> bool {
    match encoding {
        ColumnEncoding::Plain => true,
        // The crate writes no dictionaries of these: their absence would be a silent surprise.
        ColumnEncoding::Dictionary => match physical {
            Type::BOOLEAN => false,
            Type::FIXED_LEN_BYTE_ARRAY => version == PageVersion::V2,
            _ => true,
        },
        ColumnEncoding::DeltaBinaryPacked => matches!(physical, Type::INT32 | Type::INT64),
        ColumnEncoding::DeltaLengthByteArray => physical == Type::BYTE_ARRAY,
        ColumnEncoding::DeltaByteArray => {
            matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY)
        }
        ColumnEncoding::ByteStreamSplit => matches!(
            physical,
            Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE | Type::FIXED_LEN_BYTE_ARRAY
        ),
    }
}

fn check_encoding(
    encoding: ColumnEncoding,
    leaf: &ColumnDescriptor,
    version: PageVersion,
) -> Result<()> {
    let physical = leaf.physical_type();
    if holds(encoding, physical, version) {
        return Ok(());
    }
    let choices = ColumnEncoding::ALL.iter();
    let choices: Vec<String> = choices
        .filter(|choice| holds(**choice, physical, version))
        .map(ToString::to_string)
        .collect();
    Err(Error::invalid(
        format!("column `{}`", leaf.path().string()),
        format!("{encoding} does not hold {physical} in pages of version {version}"),
        format!("the choices are {}", choices.join(", ")),
    ))
}
