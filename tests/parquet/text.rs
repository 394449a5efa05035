//! Strings that are UTF-8 and strings that are not, in pages of every encoding: both engines read
//! the same files, those whose strings are all UTF-8, and agree on functions of them, which kernels
//! compute where a page's bytes lie.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use pelton::expr::concat;
use pelton::prelude::*;

use super::mutants::engine;
use super::support::random::{Note, Random, for_each_case};
use super::support::values::rows;

/// Characters of every length, and those at the edges of what is well-formed.
const CHARACTERS: [char; 12] = [
    'a',
    '~',
    '\0',
    'é',
    '\u{80}',
    '\u{7ff}',
    '\u{800}',
    '\u{d7ff}',
    '\u{e000}',
    '€',
    '\u{10000}',
    '\u{10ffff}',
];

/// Bytes that are hardly ever right where they are put.
const BYTES: [u8; 12] = [
    0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff, b'a',
];

fn string(random: &mut Random, wrong: bool) -> Vec<u8> {
    let count = *random.pick(&[0, 1, 3, 8, 9, 20, 70, 300]);
    let ascii = random.once_in(2);
    let character = |random: &mut Random| {
        if ascii {
            'x'
        } else {
            *random.pick(&CHARACTERS)
        }
    };
    let text: String = (0..count).map(|_| character(random)).collect();
    let mut bytes = text.into_bytes();
    if wrong && !bytes.is_empty() {
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = *random.pick(&BYTES),
            1 => bytes.truncate(at + 1),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// A file of one column, of whatever bytes.
fn write(random: &mut Random, annotation: &str, values: &[Vec<u8>]) -> tempfile::NamedTempFile {
    let schema = format!("message m {{ required binary s {annotation}; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let encodings = [
        Encoding::PLAIN,
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::DELTA_BYTE_ARRAY,
    ];
    let codecs = [Compression::UNCOMPRESSED, Compression::SNAPPY];
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let properties = WriterProperties::builder()
        .set_writer_version(*random.pick(&versions))
        .set_compression(*random.pick(&codecs))
        .set_encoding(*random.pick(&encodings))
        // Small dictionaries are followed by pages of another encoding.
        .set_dictionary_enabled(random.once_in(3))
        .set_dictionary_page_size_limit(*random.pick(&[64, 1 << 20]))
        .set_data_page_row_count_limit(*random.pick(&[3, 1000]))
        .set_write_batch_size(4)
        .build();
    let file = tempfile::NamedTempFile::new().unwrap();
    let out = file.reopen().unwrap();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = values.iter().map(|value| value.clone().into()).collect();
    let typed = column.typed::<ByteArrayType>();
    typed.write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn functions_of_strings_that_lie_in_pages() {
    let engines = [engine("cpu"), engine("simt")];
    for_each_case("functions of pages", |random| {
        let count = 1 + random.below(60);
        let values: Vec<_> = (0..count).map(|_| string(random, false)).collect();
        let file = write(random, "(STRING)", &values);
        let s = || col("s");
        let wanted = match random.below(4) {
            0 => s().like("%x%"),
            1 => s().not_eq(lit("xxx")),
            2 => s().gt_eq(lit("a")),
            _ => s().matches("[^x]|^$"),
        };
        let exprs = [
            s().upper(),
            s().substring(2, Some(7)),
            s().length(),
            concat([s().left(3), lit("-"), s()]),
            s().replace("x", "yz"),
            s().lt(s().reverse()),
        ];
        let exprs = exprs.into_iter().zip(["a", "b", "c", "d", "e", "f"]);
        let exprs: Vec<_> = exprs.map(|(expr, name)| expr.alias(name)).collect();
        let _note = Note(format!("{count} strings where {wanted}"));
        let [expected, got] = engines.each_ref().map(|engine| {
            let query = scan_parquet(file.path()).unwrap();
            let query = query.filter(wanted.clone()).select(exprs.clone());
            rows(&query.collect(engine).unwrap().batches)
        });
        assert_eq!(expected, got);
    });
}

#[test]
fn strings_are_utf8_on_every_engine() {
    let engines = [engine("cpu"), engine("simt")];
    for_each_case("strings are UTF-8", |random| {
        let annotation = *random.pick(&["(UTF8)", "(STRING)", "(JSON)", ""]);
        let wrong = random.once_in(2);
        let count = 1 + random.below(40);
        let mut values: Vec<_> = (0..count).map(|_| string(random, false)).collect();
        if wrong {
            values[random.below(count)] = string(random, true);
        }
        if random.once_in(8) {
            // One character in two strings.
            values.extend([vec![b'a', 0xc3], vec![0xa9, b'a']]);
        }
        let file = write(random, annotation, &values);
        let all_utf8 = values
            .iter()
            .all(|value| std::str::from_utf8(value).is_ok());
        let note = Note(format!("{count} strings {annotation}, UTF-8: {all_utf8}"));
        for engine in &engines {
            let read = scan_parquet(file.path()).unwrap().collect(engine);
            match read {
                Ok(_) => assert!(all_utf8 || annotation.is_empty(), "not UTF-8"),
                Err(error) => {
                    assert!(!all_utf8 && !annotation.is_empty(), "{error}");
                    let text = error.to_string();
                    assert!(
                        matches!(error.kind(), pelton::ErrorKind::Corrupt { .. }),
                        "{text}"
                    );
                }
            }
        }
        drop(note);
    });
}
