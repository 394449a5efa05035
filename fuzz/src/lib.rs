//! What the fuzz targets do with their bytes. The library's tests include this file and run it over
//! random inputs, so that it never rots.

use std::io::Write;

use pelton::storage::{
    ChunkFacts, Codec, Page, PageChecksums, PageKind, PageProblem, PageWalker, ParquetFile,
    PhysicalKind,
};

/// Opens the bytes as a file: its footer is read or refused, and its chunks lie within it.
///
/// # Panics
/// If a chunk passes the file, or the system has no temporary file.
pub fn footer(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let Ok(opened) = ParquetFile::open(file.path()) else {
        return;
    };
    for row_group in 0..opened.row_group_count() {
        let mut leaf = 0;
        while let Ok(chunk) = opened.chunk(row_group, leaf) {
            let end = chunk.start() + chunk.facts().bytes;
            assert!(end <= bytes.len() as u64, "a chunk passes its file");
            leaf += 1;
        }
    }
}

/// Walks the bytes as a column chunk, whole and in portions; the first ones choose what the footer
/// says of it.
///
/// # Panics
/// If portions change the outcome, or a page is not what the footer says.
pub fn page_headers(bytes: &[u8]) {
    let Some((choices, chunk)) = bytes.split_first_chunk::<6>() else {
        return;
    };
    let [codec, physical, levels, portion, low, high] = *choices;
    let facts = ChunkFacts {
        bytes: chunk.len() as u64,
        value_count: u64::from(u16::from_le_bytes([low, high])),
        codec: CODECS[usize::from(codec) % CODECS.len()],
        definition_level_max: u16::from(levels & 3),
        repetition_level_max: u16::from(levels >> 2 & 1),
        physical: KINDS[usize::from(physical) % KINDS.len()],
        type_length: u32::from(levels >> 3),
    };
    let whole = walk(&facts, chunk, chunk.len().max(1));
    let parts = walk(&facts, chunk, usize::from(portion).max(1));
    assert_eq!(whole, parts, "portions change the outcome");
    let Ok(pages) = whole else { return };
    let (mut values, mut end) = (0, 0);
    for page in &pages {
        assert!(page.body_start >= end, "a page begins within another");
        end = page.body_start + u64::from(page.compressed_bytes);
        if page.kind != PageKind::Dictionary {
            values += u64::from(page.value_count);
        }
    }
    assert!(end <= facts.bytes, "a page passes its chunk");
    assert_eq!(values, facts.value_count, "the values of the pages");
}

fn walk(facts: &ChunkFacts, chunk: &[u8], portion: usize) -> Result<Vec<Page>, PageProblem> {
    let mut walker = PageWalker::new(facts.clone());
    let mut checksums = PageChecksums::default();
    for portion in chunk.chunks(portion) {
        walker.feed(portion)?;
        // A wrong checksum is found where the body ends: later than what the walker finds.
        let _ = checksums.feed(walker.pages(), portion);
    }
    walker.finish()
}

const CODECS: [Codec; 8] = [
    Codec::Uncompressed,
    Codec::Snappy,
    Codec::Gzip,
    Codec::Lzo,
    Codec::Brotli,
    Codec::Lz4,
    Codec::Zstd,
    Codec::Lz4Raw,
];

const KINDS: [PhysicalKind; 8] = [
    PhysicalKind::Boolean,
    PhysicalKind::Int32,
    PhysicalKind::Int64,
    PhysicalKind::Int96,
    PhysicalKind::Float,
    PhysicalKind::Double,
    PhysicalKind::ByteArray,
    PhysicalKind::FixedLenByteArray,
];
