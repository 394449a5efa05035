//! Headers cut everywhere, and each refusal.

use super::*;

type Outcome = Result<Vec<Page>, PageProblem>;

/// A field's value in Thrift's compact protocol.
#[derive(Clone)]
enum Field {
    Number(i64),
    Bool(bool),
    Text(usize),
    Struct(Vec<(u8, Field)>),
}
use Field::{Bool, Number, Struct, Text};

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(u8::try_from(value & 127).unwrap_or(0) | 128);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn write(fields: &[(u8, Field)], out: &mut Vec<u8>) {
    let mut last = 0;
    for (number, field) in fields {
        let kind = match field {
            Number(_) => 5,
            Bool(true) => 1,
            Bool(false) => 2,
            Text(_) => 8,
            Struct(_) => 12,
        };
        out.push((number - last) << 4 | kind);
        last = *number;
        match field {
            Number(number) => varint((number << 1 ^ number >> 63).cast_unsigned(), out),
            Bool(_) => {}
            Text(length) => {
                varint(*length as u64, out);
                out.resize(out.len() + length, b'x');
            }
            Struct(fields) => write(fields, out),
        }
    }
    out.push(0);
}

/// A page: a header of these fields, then so many bytes.
fn page(fields: &[(u8, Field)], body: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write(fields, &mut out);
    out.resize(out.len() + body, 0xff);
    out
}

fn numbers(numbers: &[i64]) -> Field {
    let fields = (1..)
        .zip(numbers)
        .map(|(field, number)| (field, Number(*number)));
    Struct(fields.collect())
}

fn dictionary(entries: i64, encoding: i64, body: i64) -> Vec<u8> {
    let fields = [
        (1, Number(2)),
        (2, Number(body)),
        (3, Number(body)),
        (7, numbers(&[entries, encoding])),
    ];
    page(&fields, usize::try_from(body).unwrap_or(0))
}

fn sized_v1(values: i64, encoding: i64, uncompressed: i64, compressed: i64) -> Vec<u8> {
    let fields = [
        (1, Number(0)),
        (2, Number(uncompressed)),
        (3, Number(compressed)),
        (4, Number(-2)),
        (5, numbers(&[values, encoding, 3, 3])),
    ];
    page(&fields, usize::try_from(compressed).unwrap_or(0).min(1000))
}

fn data_v1(values: i64, encoding: i64, body: i64) -> Vec<u8> {
    sized_v1(values, encoding, body, body)
}

/// Values, nulls, rows, encoding, bytes of definition and of repetition levels.
fn data_v2(said: [i64; 6], is_compressed: Option<bool>, sizes: (i64, i64)) -> Vec<u8> {
    let Struct(mut part) = numbers(&said) else {
        return Vec::new();
    };
    part.extend(is_compressed.map(|is_compressed| (7, Bool(is_compressed))));
    let fields = [
        (1, Number(3)),
        (2, Number(sizes.1)),
        (3, Number(sizes.0)),
        (8, Struct(part)),
    ];
    page(&fields, usize::try_from(sizes.0).unwrap_or(0))
}

/// An optional, unrepeated, uncompressed column of `i32`.
fn facts(value_count: u64) -> ChunkFacts {
    ChunkFacts {
        bytes: 0,
        value_count,
        codec: Codec::Uncompressed,
        definition_level_max: 1,
        repetition_level_max: 0,
        physical: PhysicalKind::Int32,
        type_length: 0,
    }
}

fn walk(facts: &ChunkFacts, pages: &[Vec<u8>], portion: usize) -> Outcome {
    let bytes = pages.concat();
    let mut walker = PageWalker::new(ChunkFacts {
        bytes: bytes.len() as u64,
        ..facts.clone()
    });
    for portion in bytes.chunks(portion) {
        walker.feed(portion)?;
    }
    walker.finish()
}

#[track_caller]
fn refused(facts: &ChunkFacts, pages: &[Vec<u8>], expected: &str) {
    let problem = match walk(facts, pages, 4096) {
        Ok(_) => "no problem".to_string(),
        Err(problem) => problem.to_string(),
    };
    assert!(problem.contains(expected), "{problem}");
    assert_eq!(problem.lines().count(), 1);
}

/// A chunk with everything, and how many pages are to be seen.
fn everything() -> (ChunkFacts, Vec<Vec<u8>>) {
    let statistics = Struct(vec![(5, Text(300)), (6, Text(7))]);
    let Struct(mut v1) = numbers(&[10, 8, 3, 4]) else {
        return (facts(0), Vec::new());
    };
    v1.push((5, statistics));
    let pages = vec![
        dictionary(3, 2, 12),
        page(
            &[
                (1, Number(1)),
                (2, Number(5)),
                (3, Number(5)),
                (6, Struct(vec![])),
            ],
            5,
        ),
        page(
            &[
                (1, Number(0)),
                (2, Number(9)),
                (3, Number(9)),
                (5, Struct(v1)),
            ],
            9,
        ),
        data_v1(4, 0, 20),
        data_v1(0, 0, 0),
        data_v2([6, 2, 6, 8, 2, 0], None, (7, 7)),
    ];
    (facts(20), pages)
}

#[test]
fn headers_may_be_cut_anywhere() -> Result<(), PageProblem> {
    let (facts, pages) = everything();
    let whole = walk(&facts, &pages, usize::MAX)?;
    let kinds: Vec<_> = whole.iter().map(|page| page.kind).collect();
    use PageKind::{DataV1, DataV2, Dictionary};
    assert_eq!(kinds, [Dictionary, DataV1, DataV1, DataV1, DataV2]);
    let last = whole.last().cloned();
    let bytes = pages.concat();
    assert_eq!(
        last,
        Some(Page {
            kind: DataV2,
            body_start: bytes.len() as u64 - 7,
            compressed_bytes: 7,
            uncompressed_bytes: 7,
            value_count: 6,
            encoding: PageEncoding::RleDictionary,
            definition_encoding: PageEncoding::Rle,
            repetition_encoding: PageEncoding::Rle,
            repetition_bytes: 0,
            definition_bytes: 2,
            null_count: Some(2),
            row_count: Some(6),
            compressed: false,
            crc: None,
        })
    );
    assert_eq!(whole[2].crc, Some(0xffff_fffe));
    for portion in 1..60 {
        assert_eq!(
            walk(&facts, &pages, portion)?,
            whole,
            "portions of {portion}"
        );
    }
    for cut in 0..=bytes.len() {
        let mut walker = PageWalker::new(ChunkFacts {
            bytes: bytes.len() as u64,
            ..facts.clone()
        });
        walker.feed(&bytes[..cut])?;
        walker.feed(&[])?;
        walker.feed(&bytes[cut..])?;
        assert_eq!(walker.finish()?, whole, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn chunks_that_end_anywhere_else_are_refused() {
    let (facts, pages) = everything();
    let bytes = pages.concat();
    for length in 0..bytes.len() {
        let cut = vec![bytes[..length].to_vec()];
        assert!(walk(&facts, &cut, 4096).is_err(), "cut to {length}");
        let mut walker = PageWalker::new(ChunkFacts {
            bytes: bytes.len() as u64,
            ..facts.clone()
        });
        let fed = walker.feed(&bytes[..length]);
        assert_eq!(fed, Ok(()), "{length}");
        assert!(walker.finish().is_err(), "only {length}");
    }
    let mut walker = PageWalker::new(ChunkFacts { bytes: 3, ..facts });
    assert!(walker.feed(&bytes).is_err());
    assert!(walker.feed(&[]).is_err(), "a problem is final");
    assert!(walker.finish().is_err());
}

#[test]
fn what_follows_the_last_value_is_a_page_without_values() {
    let one = facts(4);
    let data = data_v1(4, 0, 20);
    for (more, expected) in [
        (vec![0; 40], "page 1: its header says no type"),
        (vec![0xff; 40], "page 1: has no header that can be read"),
        (vec![0x15], "page 1: its header is cut off"),
        (
            data.clone(),
            "page 1: has 4 values, 0 of the footer's 4 are left",
        ),
    ] {
        refused(&one, &[data.clone(), more], expected);
    }
    let pages = walk(&one, &[data.clone(), data_v1(0, 0, 0)], 7);
    assert_eq!(pages.map(|pages| pages.len()), Ok(2));
}

#[test]
fn parts_of_a_header_are_whole_and_of_their_types() {
    let one = facts(4);
    let of = |part: (u8, Field)| {
        let sizes = [(1, Number(0)), (2, Number(20)), (3, Number(20))];
        page(&[&sizes[..], &[part]].concat(), 20)
    };
    // The host's decoder reads every part, whatever the page is.
    for (part, expected) in [
        ((5, numbers(&[4, 0, 3])), "no encoding of repetition levels"),
        (
            (5, numbers(&[4, 0, 3, 39])),
            "encoding of repetition levels is 39",
        ),
        ((7, numbers(&[4])), "no encoding"),
        (
            (8, numbers(&[4, 0, 4, 0, 2])),
            "no size of repetition levels",
        ),
        ((6, Number(3)), "no header that can be read"),
        ((4, Text(3)), "no header that can be read"),
    ] {
        refused(&one, &[of(part)], expected);
    }
    let unknown = [(1, Number(9)), (2, Number(20)), (3, Number(20))];
    refused(
        &one,
        &[page(&unknown, 20)],
        "is of type 9, which is unknown",
    );
}

#[test]
fn counts_and_sizes_that_cannot_be_are_refused() {
    let one = facts(4);
    refused(
        &one,
        &[],
        "page 0: is missing: 0 values so far, the footer says 4",
    );
    refused(
        &one,
        &[data_v1(3, 0, 20)],
        "page 1: is missing: 3 values so far",
    );
    refused(
        &one,
        &[data_v1(5, 0, 20)],
        "has 5 values, 4 of the footer's 4 are left",
    );
    refused(&one, &[data_v1(-1, 0, 20)], "its number of values is -1");
    refused(
        &one,
        &[data_v1(1 << 33, 0, 20)],
        "its number of values is 8589934592",
    );
    refused(
        &one,
        &[sized_v1(4, 0, -5, 20)],
        "its uncompressed size is -5",
    );
    refused(&one, &[sized_v1(4, 0, 20, -5)], "its compressed size is -5");
    refused(
        &one,
        &[sized_v1(4, 0, 2000, 2000)],
        "pass the column chunk's",
    );
    refused(&one, &[sized_v1(4, 0, 21, 20)], "has 20 bytes for 21");
    refused(&one, &[vec![0]], "its header says no type");
    refused(
        &one,
        &[page(&[(1, Number(0))], 0)],
        "its header says no compressed size",
    );
    let without_part = [(1, Number(0)), (2, Number(0)), (3, Number(0))];
    refused(
        &one,
        &[page(&without_part, 0)],
        "lacks the part of its type",
    );
    refused(&one, &[vec![0xff; 30]], "has no header that can be read");
    refused(&one, &[vec![0x15]], "its header is cut off");

    let huge = sized_v1(4, 0, i64::from(PAGE_BYTES_MAX) + 1, 20);
    refused(&one, std::slice::from_ref(&huge), "the limit is 536870912");
    let problem = walk(&one, &[huge], 4096).err();
    assert!(matches!(
        problem,
        Some(PageProblem::TooLarge { page: 0, .. })
    ));
}

#[test]
fn a_header_without_an_end_is_refused() {
    let header = [(
        5,
        Struct(vec![(5, Struct(vec![(5, Text(HEADER_BYTES_MAX))]))]),
    )];
    let pages = [page(&header, 0)];
    for portion in [1 << 20, usize::MAX] {
        let problem = walk(&facts(4), &pages, portion).err();
        let text = problem.map(|problem| problem.to_string());
        let expected = "page 0: has a header of more than 16777216 bytes";
        assert_eq!(text.as_deref(), Some(expected));
    }
}

#[test]
fn inflation_is_bounded_by_the_codec() {
    for (codec, inflated_max) in [
        (Codec::Snappy, 22 * 10 + 64),
        (Codec::Lz4, 256 * 10 + 64),
        (Codec::Lz4Raw, 256 * 10 + 64),
        (Codec::Gzip, 1032 * 10 + 64),
        (Codec::Zstd, i64::from(PAGE_BYTES_MAX)),
        (Codec::Brotli, i64::from(PAGE_BYTES_MAX)),
        (Codec::Uncompressed, 10),
    ] {
        let facts = ChunkFacts { codec, ..facts(4) };
        let most = walk(&facts, &[sized_v1(4, 0, inflated_max, 10)], 9);
        assert_eq!(most.map(|pages| pages.len()), Ok(1), "{codec:?}");
        assert!(walk(&facts, &[sized_v1(4, 0, inflated_max + 1, 10)], 9).is_err());
        assert!(walk(&facts, &[sized_v1(4, 0, 1, 0)], 9).is_err());
        let empty = walk(&facts, &[sized_v1(4, 0, 0, 0)], 9);
        assert_eq!(empty.map(|pages| pages[0].compressed), Ok(false));
    }
    let snappy = ChunkFacts {
        codec: Codec::Snappy,
        ..facts(6)
    };
    let said = [6, 2, 6, 0, 2, 0];
    let stored = data_v2(said, Some(false), (20, 21));
    refused(
        &snappy,
        &[stored],
        "is not compressed and has 18 bytes for 19",
    );
    let compressed = walk(&snappy, &[data_v2(said, Some(true), (20, 21))], 9);
    assert_eq!(compressed.map(|pages| pages[0].compressed), Ok(true));
    // Levels are not compressed: they do not count.
    refused(
        &snappy,
        &[data_v2([6, 2, 6, 0, 20, 0], None, (20, 300))],
        "from 0 of Snappy",
    );
}

#[test]
fn version_2_counts_fit_each_other() {
    let six = facts(6);
    refused(
        &six,
        &[data_v2([6, 7, 6, 0, 2, 0], None, (30, 30))],
        "7 nulls among 6 values",
    );
    refused(
        &six,
        &[data_v2([6, -1, 6, 0, 2, 0], None, (30, 30))],
        "number of nulls is -1",
    );
    refused(
        &six,
        &[data_v2([6, 1, 7, 0, 2, 0], None, (30, 30))],
        "7 rows of 6 values",
    );
    refused(
        &six,
        &[data_v2([6, 1, 6, 0, 20, 11], None, (30, 30))],
        "levels of 11 and 20 bytes",
    );
    refused(
        &six,
        &[data_v2([6, 1, 6, 0, -1, 0], None, (30, 30))],
        "definition levels is -1",
    );
    refused(
        &six,
        &[data_v2([6, 1, 6, 0, 0, -1], None, (30, 30))],
        "repetition levels is -1",
    );
    refused(
        &six,
        &[data_v2([6, 1, 6, 0, 2, 0], None, (21, 21))],
        "19 bytes for 5 values",
    );
    let required = ChunkFacts {
        definition_level_max: 0,
        ..six
    };
    refused(
        &required,
        &[data_v2([6, 1, 6, 0, 2, 0], None, (30, 30))],
        "in a required column",
    );
}

#[test]
fn a_dictionary_comes_first_once_and_whole() {
    let four = facts(4);
    let (dict, data) = (dictionary(3, 0, 12), data_v1(4, 8, 3));
    let good = walk(&four, &[dict.clone(), data.clone()], 5);
    assert_eq!(good.map(|pages| pages.len()), Ok(2));
    refused(
        &four,
        &[dict.clone(), dict.clone(), data.clone()],
        "page 1: is a second dictionary",
    );
    refused(
        &facts(8),
        &[data_v1(4, 0, 20), dict.clone(), data.clone()],
        "behind data",
    );
    refused(&four, &[data], "indices of a dictionary that is not there");
    refused(
        &four,
        &[dictionary(4, 0, 12)],
        "has 12 bytes for 4 values, which need 16",
    );
    refused(
        &four,
        &[dictionary(3, 8, 12)],
        "is a dictionary encoded as RleDictionary",
    );
    refused(
        &four,
        &[dictionary(-3, 0, 12)],
        "its number of entries is -3",
    );
    let of = |physical| ChunkFacts {
        physical,
        ..facts(4)
    };
    refused(
        &of(PhysicalKind::Boolean),
        std::slice::from_ref(&dict),
        "dictionary of truth values",
    );
    refused(
        &of(PhysicalKind::Int64),
        std::slice::from_ref(&dict),
        "which need 24",
    );
    refused(
        &of(PhysicalKind::Int96),
        std::slice::from_ref(&dict),
        "which need 36",
    );
    refused(
        &of(PhysicalKind::ByteArray),
        &[dictionary(4, 0, 12)],
        "which need 16",
    );
    let fixed = ChunkFacts {
        type_length: 5,
        ..of(PhysicalKind::FixedLenByteArray)
    };
    refused(&fixed, &[dict], "which need 15");
}

#[test]
fn encodings_fit_the_values() {
    use PhysicalKind::{Boolean, ByteArray, Double, FixedLenByteArray, Float, Int32, Int64, Int96};
    let all = [
        Boolean,
        Int32,
        Int64,
        Int96,
        Float,
        Double,
        ByteArray,
        FixedLenByteArray,
    ];
    let fitting: [(i64, &[PhysicalKind]); 7] = [
        (0, &all),
        (3, &[Boolean]),
        (4, &[]),
        (5, &[Int32, Int64]),
        (6, &[ByteArray]),
        (7, &[ByteArray, FixedLenByteArray]),
        (9, &[Int32, Int64, Float, Double, FixedLenByteArray]),
    ];
    for physical in all {
        let facts = ChunkFacts {
            physical,
            ..facts(4)
        };
        for (encoding, fitting) in fitting {
            let fits = walk(&facts, &[data_v1(4, encoding, 90)], 9).is_ok();
            assert_eq!(
                fits,
                fitting.contains(&physical),
                "{physical:?} as {encoding}"
            );
        }
        let unknown = walk(&facts, &[data_v1(4, 11, 90)], 9).err();
        assert!(matches!(
            unknown,
            Some(PageProblem::Unsupported { page: 0, .. })
        ));
    }
    let booleans = ChunkFacts {
        physical: Boolean,
        ..facts(4)
    };
    refused(
        &booleans,
        &[data_v1(4, 8, 90)],
        "Boolean values encoded as RleDictionary",
    );
    let levels = |definition, repetition| {
        let part = numbers(&[4, 0, definition, repetition]);
        page(
            &[(1, Number(0)), (2, Number(20)), (3, Number(20)), (5, part)],
            20,
        )
    };
    refused(
        &facts(4),
        &[levels(0, 3)],
        "has definition levels encoded as Plain",
    );
    let repeated = ChunkFacts {
        repetition_level_max: 1,
        ..facts(4)
    };
    refused(
        &repeated,
        &[levels(3, 5)],
        "has repetition levels encoded as DeltaBinaryPacked",
    );
    refused(
        &repeated,
        &[levels(3, 77)],
        "encoding of repetition levels is 77",
    );
    // Where there are no levels, nobody looks at how they are encoded.
    let found = walk(&facts(4), &[levels(4, 5)], 9);
    assert_eq!(
        found.map(|pages| (pages[0].definition_encoding, pages[0].repetition_encoding)),
        Ok((PageEncoding::BitPacked, PageEncoding::Rle))
    );
    let required = ChunkFacts {
        definition_level_max: 0,
        ..facts(4)
    };
    refused(&required, &[data_v1(4, 0, 15)], "has 15 bytes for 4 values");
}
