//! The bytes of a footer: is this Parquet, is it encrypted, can its structure be?

use std::path::Path;

use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataReader,
};

use super::normalise;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::OpenedFile;
use crate::storage::guard::guard;
use crate::storage::thrift::{Malformed, Value, Walker};

/// Footers beyond this are refused: parsed, they take many times their size.
const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// Bytes at the end of a file that hold most footers: a store is asked for them at once.
const FOOTER_BYTES_LIKELY: u64 = 64 << 10;

/// Nesting of a schema beyond this is refused: readers recurse.
const SCHEMA_DEPTH_MAX: usize = 100;

/// Parquet files begin and end with these bytes.
const MAGIC: [u8; 4] = *b"PAR1";

/// What stands there instead where the footer is encrypted.
const MAGIC_ENCRYPTED: [u8; 4] = *b"PARE";

/// The footer's length and the magic number, at the end of a file.
const TAIL_BYTES: u64 = 8;

/// Magic number, footer length, magic number.
const FRAME_BYTES: u64 = 12;

/// Checks magic numbers, footer length and footer structure, then parses the footer.
///
/// # Errors
/// `Corrupt`, `Encrypted`, `TooLarge` for a footer too large to parse, `Unsupported` for one too
/// deep.
pub(super) fn read(path: &Path, file: &OpenedFile, file_bytes: u64) -> Result<ParquetMetaData> {
    let likely = file_bytes.saturating_sub(FOOTER_BYTES_LIKELY)..file_bytes;
    file.prepare(&[0..file_bytes.min(MAGIC.len() as u64), likely])?;
    let footer_bytes = check_frame(path, file, file_bytes)?;
    let mut footer = vec![0; usize::try_from(footer_bytes).unwrap_or(0)];
    file.read_exact_at(&mut footer, file_bytes - TAIL_BYTES - footer_bytes)?;

    let malformed = |_| Error::corrupt(path, "footer", "is not a Thrift structure");
    let facts = walk(&footer).map_err(malformed)?;
    if facts.encrypted_columns > 0 {
        return Err(Error::new(ErrorKind::Encrypted {
            file: path.to_path_buf(),
            place: format!("{} column chunks", facts.encrypted_columns),
        }));
    }
    if facts.schema_depth > SCHEMA_DEPTH_MAX {
        return Err(Error::unsupported(
            "cpu",
            format!("{}", path.display()),
            format!("its schema is nested deeper than {SCHEMA_DEPTH_MAX}"),
        ));
    }
    let footer = normalise::footer(&footer).map_err(malformed)?;
    guard(path, "footer", || {
        repaired(&ParquetMetaDataReader::decode_metadata(&footer)?)
    })
}

/// Says what a file is that does not look like Parquet at all, and how long its footer is if it
/// does.
fn check_frame(path: &Path, file: &OpenedFile, file_bytes: u64) -> Result<u64> {
    let corrupt = |cause: &str| Err(Error::corrupt(path, "", cause));
    if file_bytes == 0 {
        return corrupt("is empty: no Parquet file");
    }
    if file_bytes < FRAME_BYTES {
        return corrupt("is too short for a Parquet file");
    }
    let (mut first, mut tail) = ([0; 4], [0; 8]);
    file.read_exact_at(&mut first, 0)?;
    file.read_exact_at(&mut tail, file_bytes - TAIL_BYTES)?;
    let [a, b, c, d, last @ ..] = tail;
    match (first == MAGIC, last) {
        (_, MAGIC) => {}
        (_, MAGIC_ENCRYPTED) => {
            return Err(Error::new(ErrorKind::Encrypted {
                file: path.to_path_buf(),
                place: "footer".to_string(),
            }));
        }
        (true, _) => {
            return corrupt("begins as a Parquet file and does not end as one: it is cut off");
        }
        (false, _) => {
            return corrupt("is no Parquet file: it neither begins nor ends with `PAR1`");
        }
    }
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    if footer_bytes > file_bytes - FRAME_BYTES {
        let cause = format!("has {footer_bytes} bytes in a file of {file_bytes}");
        return Err(Error::corrupt(path, "footer", cause));
    }
    if footer_bytes > FOOTER_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge {
            file: path.to_path_buf(),
            place: "footer".to_string(),
            cause: format!("has {footer_bytes} bytes; the limit is {FOOTER_BYTES_MAX}"),
        }));
    }
    Ok(footer_bytes)
}

/// Puts right what writers are known to leave wrong and every reader forgives: a file's row count
/// that is not the sum of its row groups', and a dictionary offset inside the magic number, which
/// means that there is no dictionary.
fn repaired(metadata: &ParquetMetaData) -> parquet::errors::Result<ParquetMetaData> {
    let no_dictionary = |column: &ColumnChunkMetaData| {
        column
            .dictionary_page_offset()
            .is_some_and(|offset| (0..MAGIC.len() as i64).contains(&offset))
    };
    let mut rows = 0_i64;
    let mut row_groups = Vec::with_capacity(metadata.num_row_groups());
    for group in metadata.row_groups() {
        rows = rows.saturating_add(group.num_rows().max(0));
        if !group.columns().iter().any(no_dictionary) {
            row_groups.push(group.clone());
            continue;
        }
        let mut columns = group.columns().to_vec();
        for column in &mut columns {
            if no_dictionary(column) {
                let builder = column.clone().into_builder();
                *column = builder.set_dictionary_page_offset(None).build()?;
            }
        }
        let group = group.clone().into_builder().set_column_metadata(columns);
        row_groups.push(group.build()?);
    }
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(str::to_string),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    Ok(ParquetMetaDataBuilder::new(file)
        .set_row_groups(row_groups)
        .build())
}

struct Facts {
    encrypted_columns: u64,
    schema_depth: usize,
}

/// Field numbers of the format's Thrift definition.
mod fields {
    pub const FILE_SCHEMA: i64 = 2;
    pub const FILE_ROW_GROUPS: i64 = 4;
    pub const SCHEMA_NUM_CHILDREN: i64 = 5;
    pub const ROW_GROUP_COLUMNS: i64 = 1;
    pub const COLUMN_CRYPTO_METADATA: i64 = 8;
    pub const COLUMN_ENCRYPTED_METADATA: i64 = 9;
}

fn walk(footer: &[u8]) -> Result<Facts, Malformed> {
    let mut facts = Facts {
        encrypted_columns: 0,
        schema_depth: 0,
    };
    Walker::new(footer).fields(|walker, field, value| match (field, &value) {
        (fields::FILE_SCHEMA, Value::Structs(count)) => {
            facts.schema_depth = walk_schema(walker, *count)?;
            Ok(())
        }
        (fields::FILE_ROW_GROUPS, Value::Structs(count)) => {
            for _ in 0..*count {
                facts.encrypted_columns += walk_row_group(walker)?;
            }
            Ok(())
        }
        _ => walker.skip_value(&value),
    })?;
    Ok(facts)
}

/// The depth of the tree that the elements, in depth-first order, claim to be.
fn walk_schema(walker: &mut Walker<'_>, count: usize) -> Result<usize, Malformed> {
    let mut open: Vec<i64> = Vec::new();
    let mut depth_max = 0;
    for _ in 0..count {
        let mut children = 0;
        walker.fields(|walker, field, value| match (field, &value) {
            (fields::SCHEMA_NUM_CHILDREN, Value::Integer(count)) => {
                children = *count;
                Ok(())
            }
            _ => walker.skip_value(&value),
        })?;
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(siblings) = open.last_mut() {
            *siblings -= 1;
        }
        if children > 0 {
            open.push(children);
            depth_max = depth_max.max(open.len());
        }
    }
    Ok(depth_max)
}

/// How many column chunks of a row group are encrypted.
fn walk_row_group(walker: &mut Walker<'_>) -> Result<u64, Malformed> {
    let mut encrypted = 0;
    walker.fields(|walker, field, value| match (field, &value) {
        (fields::ROW_GROUP_COLUMNS, Value::Structs(count)) => {
            for _ in 0..*count {
                let mut is_encrypted = false;
                walker.fields(|walker, field, value| {
                    is_encrypted |= matches!(
                        field,
                        fields::COLUMN_CRYPTO_METADATA | fields::COLUMN_ENCRYPTED_METADATA
                    );
                    walker.skip_value(&value)
                })?;
                encrypted += u64::from(is_encrypted);
            }
            Ok(())
        }
        _ => walker.skip_value(&value),
    })?;
    Ok(encrypted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    /// Why a file with this footer, said to have so many bytes, is refused.
    fn refusal(footer: &[u8], bytes: u32, magic: &[u8; 4]) -> ErrorKind {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[&MAGIC, footer, &bytes.to_le_bytes(), magic].concat())
            .unwrap();
        let file_bytes = file.as_file().metadata().unwrap().len();
        let path = Path::new("a.parquet");
        let opened = OpenedFile::open(file.path()).unwrap();
        read(path, &opened, file_bytes).unwrap_err().kind().clone()
    }

    fn of_footer(footer: &[u8]) -> ErrorKind {
        refusal(footer, u32::try_from(footer.len()).unwrap(), &MAGIC)
    }

    #[test]
    fn frames_that_cannot_be_are_refused() {
        let text = |kind: ErrorKind| kind.to_string();
        assert_eq!(
            text(refusal(&[0; 10], 11, &MAGIC)),
            "a.parquet: footer: has 11 bytes in a file of 22"
        );
        assert!(text(refusal(&[0; 10], 10, b"PAR2")).contains("it is cut off"));
        let encrypted = refusal(&[0; 10], 10, &MAGIC_ENCRYPTED);
        assert!(matches!(encrypted, ErrorKind::Encrypted { .. }));

        // Sparse: its footer is never read.
        let file = tempfile::NamedTempFile::new().unwrap();
        let file_bytes = 3 * FOOTER_BYTES_MAX;
        file.as_file().set_len(file_bytes).unwrap();
        let mut handle = file.as_file();
        handle.write_all(&MAGIC).unwrap();
        handle.seek(SeekFrom::End(-8)).unwrap();
        let says = u32::try_from(2 * FOOTER_BYTES_MAX).unwrap();
        handle.write_all(&says.to_le_bytes()).unwrap();
        handle.write_all(&MAGIC).unwrap();
        let opened = OpenedFile::open(file.path()).unwrap();
        let error = read(Path::new("a.parquet"), &opened, file_bytes).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::TooLarge { .. }),
            "{error}"
        );
    }

    #[test]
    fn structures_that_cannot_be_are_refused() {
        assert_eq!(
            of_footer(&[0xff; 10]).to_string(),
            "a.parquet: footer: is not a Thrift structure"
        );
        assert!(matches!(of_footer(&[0]), ErrorKind::Corrupt { .. }));

        // A row group (field 4) of one column chunk (field 1) with a key (field 8).
        let encrypted = of_footer(&[0x49, 0x1c, 0x19, 0x1c, 0x8c, 0, 0, 0, 0]);
        assert_eq!(
            encrypted.to_string(),
            "a.parquet: 1 column chunks: encrypted; write the file anew without encryption"
        );

        // A schema (field 2) of so many elements that each say they have one child (field 5).
        let nested = |depth: usize| {
            let mut footer = vec![0x29, 0xfc, u8::try_from(depth).unwrap() | 128, 0];
            for _ in 0..depth {
                footer.extend([0x55, 2, 0]);
            }
            footer.push(0);
            of_footer(&footer)
        };
        let deep = nested(SCHEMA_DEPTH_MAX + 1);
        assert!(matches!(deep, ErrorKind::Unsupported { .. }), "{deep}");
        let flat = nested(SCHEMA_DEPTH_MAX);
        assert!(matches!(flat, ErrorKind::Corrupt { .. }), "{flat}");
    }
}
