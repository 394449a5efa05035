//! Pages out of a column that the `parquet` crate wrote, and their decoding by a device.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::column::page::Page;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pelton::device::{Device, DeviceBuffer};
use pelton::error::Result;
use pelton::kernels::Launch;
use pelton::kernels::page::{
    DeviceSlice, LevelSpec, LevelWidths, PageBatch, PageConversion, PageSpec, PageTarget,
    SLACK_BYTES,
};

/// A file of one column.
pub fn write_file(array: &ArrayRef, properties: WriterProperties) -> Bytes {
    let nullable = array.null_count() > 0;
    let field = Field::new("c", array.data_type().clone(), nullable);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(array)]).unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    Bytes::from(file)
}

/// The pages of a one-column file, decompressed.
pub fn pages_of(file: &Bytes) -> Vec<Page> {
    let reader = SerializedFileReader::new(file.clone()).unwrap();
    let mut pages = Vec::new();
    for index in 0..reader.metadata().num_row_groups() {
        let row_group = reader.get_row_group(index).unwrap();
        pages.extend(
            row_group
                .get_column_page_reader(0)
                .unwrap()
                .map(|page| page.unwrap()),
        );
    }
    pages
}

/// How a column of this type is stored, and what becomes of an element: bytes of an element (0:
/// BYTE_ARRAY) and conversion.
pub fn layout(data_type: &DataType) -> (u32, PageConversion) {
    match data_type {
        DataType::Boolean => (0, PageConversion::Bits1),
        DataType::Int8 | DataType::UInt8 => (4, PageConversion::Bits8),
        DataType::Int16 | DataType::UInt16 => (4, PageConversion::Bits16),
        DataType::Float16 => (2, PageConversion::Bits16),
        DataType::Int32 | DataType::UInt32 | DataType::Date32 | DataType::Float32 => {
            (4, PageConversion::Bits32)
        }
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp(..) => {
            (8, PageConversion::Bits64)
        }
        DataType::Decimal128(precision, _) if *precision <= 9 => (4, PageConversion::Widen64),
        DataType::Decimal128(precision, _) if *precision <= 18 => (8, PageConversion::Bits64),
        DataType::Decimal128(..) => (16, PageConversion::Decimal128),
        DataType::Utf8 | DataType::Binary => (0, PageConversion::View),
        DataType::FixedSizeBinary(bytes) => (*bytes as u32, PageConversion::View),
        other => panic!("no layout for {other}"),
    }
}

/// A column after decoding: raw bytes of values, and validity bits.
pub struct Decoded {
    pub values: Vec<u8>,
    pub validity: Option<Vec<u8>>,
    /// The buffers that views point into: address and bytes.
    buffers: Vec<(u64, Vec<u8>)>,
}

/// Decodes pages of a column like `array` on a device; an error is what the kernels' status says.
pub fn decode(device: &Arc<Device>, pages: &[Page], array: &ArrayRef) -> Result<Decoded> {
    let stream = device.take_stream()?;
    let launch = Launch::new(device, stream);
    let (element_bytes, conversion) = layout(array.data_type());
    let rows = array.len() as u64;
    let bitmap = rows.div_ceil(8).max(1);
    let value_bytes = u64::from(conversion.value_bytes());
    let values = match value_bytes {
        0 => Arc::new(device.alloc_zeroed(stream, bitmap)?),
        bytes => Arc::new(device.alloc(stream, rows * bytes)?),
    };
    let nullable = array.null_count() > 0;
    let validity = nullable
        .then(|| device.alloc_zeroed(stream, bitmap).map(Arc::new))
        .transpose()?;
    let target = PageTarget {
        values,
        validity,
        levels: None,
        rows,
    };
    let mut kept = Vec::new();
    let mut dictionary = None;
    let mut batch = PageBatch::default();
    let mut row_start = 0;
    for page in pages {
        let bytes = page.buffer();
        let buffer = Arc::new(device.alloc(stream, bytes.len() as u64 + SLACK_BYTES)?);
        device.write(stream, &buffer, bytes)?;
        kept.push(Arc::clone(&buffer));
        let data = DeviceSlice::new(&buffer, 0, bytes.len() as u64)?;
        let widths = LevelWidths {
            definition_level_max: u16::from(nullable),
            repetition_level_max: 0,
        };
        let mut spec = PageSpec {
            data,
            dictionary: None,
            target: target.clone(),
            row_start,
            level_count: page.num_values(),
            value_count_max: page.num_values(),
            encoding: page.encoding() as u32,
            conversion,
            element_bytes,
            levels: LevelSpec {
                widths,
                ..LevelSpec::default()
            },
            text: array.data_type() == &DataType::Utf8,
        };
        match page {
            Page::DictionaryPage { .. } => {
                let count = page.num_values();
                let entries = device.alloc(stream, (u64::from(count) * value_bytes).max(1))?;
                let entries = Arc::new(entries);
                spec.levels = LevelSpec::default();
                spec.encoding = 0;
                spec.target = PageTarget {
                    values: Arc::clone(&entries),
                    validity: None,
                    levels: None,
                    rows: u64::from(count),
                };
                batch.dictionaries.add(&spec)?;
                let bytes = u64::from(count) * value_bytes;
                dictionary = Some((DeviceSlice::new(&entries, 0, bytes)?, count));
                continue;
            }
            Page::DataPageV2 {
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                spec.levels.section_bytes = Some((*rep_levels_byte_len, *def_levels_byte_len));
            }
            Page::DataPage { .. } => {}
        }
        spec.dictionary.clone_from(&dictionary);
        batch.values.add(&spec)?;
        row_start += u64::from(page.num_values());
    }
    let launched = batch.launch(&launch)?;
    launched.check(&launch)?;
    kept.extend(launched.texts);
    let read = |buffer: &DeviceBuffer, bytes: u64| {
        let mut host = vec![0; bytes as usize];
        device.read(stream, buffer, &mut host).map(|()| host)
    };
    let bytes = if value_bytes == 0 {
        bitmap
    } else {
        rows * value_bytes
    };
    Ok(Decoded {
        values: read(&target.values, bytes)?,
        validity: target
            .validity
            .as_ref()
            .map(|bits| read(bits, bitmap))
            .transpose()?,
        buffers: kept
            .iter()
            .map(|buffer| Ok((buffer.address(), read(buffer, buffer.bytes())?)))
            .collect::<Result<_>>()?,
    })
}

impl Decoded {
    fn bytes_of(&self, address: u64, length: usize) -> &[u8] {
        let inside = |(start, bytes): &&(u64, Vec<u8>)| {
            (*start..*start + bytes.len() as u64).contains(&address)
        };
        let (start, bytes) = self
            .buffers
            .iter()
            .find(inside)
            .expect("a view into a page");
        let first = (address - start) as usize;
        &bytes[first..first + length]
    }

    /// True if the row is not null.
    pub fn is_valid(&self, row: usize) -> bool {
        let bits = self.validity.as_ref();
        bits.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1)
    }

    /// Fails unless the column equals the array, row by row; rows of nulls must be zero.
    pub fn check(&self, array: &ArrayRef) {
        let (_, conversion) = layout(array.data_type());
        let width = conversion.value_bytes() as usize;
        for row in 0..array.len() {
            let valid = self.is_valid(row);
            assert_eq!(valid, array.is_valid(row), "validity of row {row}");
            if conversion == PageConversion::Bits1 {
                let bit = self.values[row / 8] >> (row % 8) & 1 == 1;
                assert_eq!(bit, valid && array.as_boolean().value(row), "row {row}");
                continue;
            }
            let value = &self.values[row * width..(row + 1) * width];
            if !valid {
                assert!(
                    value.iter().all(|byte| *byte == 0),
                    "null row {row} is {value:?}"
                );
            } else if conversion == PageConversion::View {
                let address = u64::from_le_bytes(value[..8].try_into().unwrap());
                let length = u32::from_le_bytes(value[8..12].try_into().unwrap()) as usize;
                let wanted = match array.data_type() {
                    DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes(),
                    DataType::Binary => array.as_binary::<i32>().value(row),
                    _ => array.as_fixed_size_binary().value(row),
                };
                let found: &[u8] = if length == 0 {
                    &[]
                } else {
                    self.bytes_of(address, length)
                };
                assert_eq!(found, wanted, "row {row}");
            } else {
                let data = array.to_data();
                let element = data.buffers()[0].len() / data.len();
                let start = (data.offset() + row) * element;
                let wanted = &data.buffers()[0][start..start + width.min(element)];
                assert_eq!(&value[..wanted.len()], wanted, "row {row}");
            }
        }
    }
}
