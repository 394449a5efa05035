//! What a written Parquet file looks like inside: every choice, its default and its spelling.
//!
//! Each type reads the words of a command line (`FromStr`) and names the choices when it cannot.
//! Whether a choice fits a column is decided by `properties`, which knows the schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Rows of a row group unless told otherwise: what most writers do, and small enough that a few
/// row groups fit a GPU together.
pub const ROW_GROUP_ROWS_DEFAULT: u64 = 1 << 20;

/// Encoded bytes after which a page ends unless told otherwise: what most writers do.
pub const PAGE_BYTES_DEFAULT: u64 = 1 << 20;

/// Rows after which a page ends unless told otherwise, so that a page index can skip some.
pub const PAGE_ROWS_DEFAULT: u64 = 20_000;

/// Bytes of a column chunk's dictionary, after which the rest of the chunk goes without one.
pub const DICTIONARY_BYTES_DEFAULT: u64 = 1 << 20;

/// Zstandard's level unless told otherwise: its fastest, which is near its best on encoded pages.
pub const ZSTD_LEVEL_DEFAULT: u8 = 1;

/// Levels of Zstandard, as its library has them.
const ZSTD_LEVELS: (u8, u8) = (1, 22);

/// Gzip's level unless told otherwise: its library's own.
pub const GZIP_LEVEL_DEFAULT: u8 = 6;

/// Levels of gzip, as its library has them.
const GZIP_LEVELS: (u8, u8) = (0, 9);

/// Brotli's level unless told otherwise: the fastest that finds matches.
pub const BROTLI_LEVEL_DEFAULT: u8 = 1;

/// Levels of Brotli, as its library has them.
const BROTLI_LEVELS: (u8, u8) = (0, 11);

/// How pages are compressed.
///
/// ```
/// use pelton::storage::SinkCodec;
/// assert_eq!("zstd(3)".parse::<SinkCodec>().ok(), Some(SinkCodec::Zstd(3)));
/// assert_eq!("none".parse::<SinkCodec>().ok(), Some(SinkCodec::Uncompressed));
/// assert_eq!(SinkCodec::Gzip(6).to_string(), "gzip(6)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkCodec {
    /// Not at all: `uncompressed` or `none`.
    Uncompressed,
    /// Snappy: `snappy`.
    Snappy,
    /// Zstandard at a level from 1 to 22: `zstd` or `zstd(3)`.
    Zstd(u8),
    /// LZ4 without frames: `lz4_raw` or `lz4`.
    Lz4Raw,
    /// Gzip at a level from 0 to 9: `gzip` or `gzip(9)`.
    Gzip(u8),
    /// Brotli at a level from 0 to 11: `brotli` or `brotli(5)`.
    Brotli(u8),
}

/// What a codec may be called.
const CODEC_CHOICES: &str = "the choices are uncompressed (none), snappy, zstd (zstd(1) to zstd(22)), \
     lz4_raw (lz4), gzip (gzip(0) to gzip(9)), brotli (brotli(0) to brotli(11))";

impl FromStr for SinkCodec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::invalid(format!("codec `{text}`"), "no such codec", CODEC_CHOICES);
        let lower = text.trim().to_ascii_lowercase();
        let (name, level) = match lower.split_once(['(', ':']) {
            None => (lower.as_str(), None),
            Some((name, rest)) => {
                let digits = match rest.strip_suffix(')') {
                    Some(digits) if lower.contains('(') => digits,
                    None if lower.contains(':') => rest,
                    _ => return Err(unknown()),
                };
                let level: u8 = digits.trim().parse().map_err(|_| unknown())?;
                (name.trim(), Some(level))
            }
        };
        let levelled = |default: u8, (least, most): (u8, u8)| match level {
            Some(level) if !(least..=most).contains(&level) => Err(Error::invalid(
                format!("codec `{text}`"),
                format!("{name} has no level {level}"),
                format!("its levels are {least} to {most}"),
            )),
            level => Ok(level.unwrap_or(default)),
        };
        match (name, level) {
            ("uncompressed" | "none", None) => Ok(SinkCodec::Uncompressed),
            ("snappy", None) => Ok(SinkCodec::Snappy),
            ("lz4_raw" | "lz4", None) => Ok(SinkCodec::Lz4Raw),
            ("zstd", _) => levelled(ZSTD_LEVEL_DEFAULT, ZSTD_LEVELS).map(SinkCodec::Zstd),
            ("gzip", _) => levelled(GZIP_LEVEL_DEFAULT, GZIP_LEVELS).map(SinkCodec::Gzip),
            ("brotli", _) => levelled(BROTLI_LEVEL_DEFAULT, BROTLI_LEVELS).map(SinkCodec::Brotli),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for SinkCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkCodec::Uncompressed => f.write_str("uncompressed"),
            SinkCodec::Snappy => f.write_str("snappy"),
            SinkCodec::Zstd(level) => write!(f, "zstd({level})"),
            SinkCodec::Lz4Raw => f.write_str("lz4_raw"),
            SinkCodec::Gzip(level) => write!(f, "gzip({level})"),
            SinkCodec::Brotli(level) => write!(f, "brotli({level})"),
        }
    }
}

/// An enum of words, with `FromStr` that names the choices and `Display`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $place:literal: $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every choice.
            pub const ALL: &[$name] = &[$($name::$variant),*];
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $($word => Ok($name::$variant),)*
                    _ => Err(Error::invalid(
                        format!(concat!($place, " `{}`"), text),
                        concat!("no such ", $place),
                        format!("the choices are {}", [$($word),*].join(", ")),
                    )),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)*
                })
            }
        }
    };
}

words! {
    /// How the values of a column are laid out in its pages. Only [`Dictionary`](Self::Dictionary)
    /// switches a column's dictionary on; each other one switches it off.
    ColumnEncoding, "encoding":
    /// As they are.
    Plain = "plain",
    /// Codes into a dictionary page. A column chunk whose dictionary grows too large goes on
    /// without, as its page version has it.
    Dictionary = "dictionary",
    /// Differences, packed to bits: for integers, and what is stored as such.
    DeltaBinaryPacked = "delta_binary_packed",
    /// All lengths, then all bytes: for strings and binaries.
    DeltaLengthByteArray = "delta_length_byte_array",
    /// The length of the prefix shared with the value before, then the rest: for sorted strings.
    DeltaByteArray = "delta_byte_array",
    /// All first bytes, then all second bytes, and so on: for numbers that are compressed.
    ByteStreamSplit = "byte_stream_split",
}

words! {
    /// Least and greatest values and null counts that are written.
    StatisticsLevel, "statistics level":
    /// None: nothing can be pruned.
    None = "none",
    /// Per row group.
    RowGroup = "row_group",
    /// And per page, in the page index.
    Page = "page",
}

words! {
    /// The version of data pages. A column of version 2 with no encoding of its own gets deltas
    /// where its dictionary ends; one of version 1 goes on plain.
    PageVersion, "page version":
    /// Levels and values together: every reader knows it.
    V1 = "1",
    /// Levels apart from values, and uncompressed.
    V2 = "2",
}

/// How a Parquet file, or a folder of files, is written.
///
/// ```
/// use pelton::storage::{SinkCodec, ColumnEncoding, SinkOptions};
/// # fn main() -> pelton::Result<()> {
/// let mut options = SinkOptions { codec: "zstd(3)".parse()?, ..SinkOptions::default() };
/// options.set_encoding("l_comment=delta_length_byte_array")?;
/// assert_eq!(options.codec, SinkCodec::Zstd(3));
/// assert_eq!(options.encodings["l_comment"], ColumnEncoding::DeltaLengthByteArray);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// The compression of pages.
    pub codec: SinkCodec,
    /// Most rows of a row group.
    pub row_group_rows: u64,
    /// Encoded bytes before compression after which a row group ends, about; `None` for no limit
    /// but that of rows. Looked at every few thousand rows.
    pub row_group_bytes: Option<u64>,
    /// Encoded bytes after which a page ends, about.
    pub page_bytes: u64,
    /// Rows after which a page ends, about.
    pub page_rows: u64,
    /// Bytes of a column chunk's dictionary, after which the rest goes without.
    pub dictionary_bytes: u64,
    /// Whether a column with no encoding of its own starts with a dictionary.
    pub dictionary: bool,
    /// The encoding of columns, by name: of a column of the schema, or of a leaf of a nested one
    /// (`a.list.item`).
    pub encodings: BTreeMap<String, ColumnEncoding>,
    /// The statistics that are written.
    pub statistics: StatisticsLevel,
    /// The version of data pages.
    pub page_version: PageVersion,
    /// Columns that get a Bloom filter, named as for `encodings`.
    pub bloom_filters: BTreeSet<String>,
    /// Most rows of a file: the target is then a folder of `part-00000.parquet` and so on.
    /// `None` writes one file.
    pub file_rows: Option<u64>,
    /// Whether what is at the target may be replaced: a file, or a folder of Parquet files.
    pub overwrite: bool,
}

impl Default for SinkOptions {
    /// Snappy, dictionaries where they help, statistics per page, pages of version 1: files that
    /// every reader reads.
    fn default() -> Self {
        SinkOptions {
            codec: SinkCodec::Snappy,
            row_group_rows: ROW_GROUP_ROWS_DEFAULT,
            row_group_bytes: None,
            page_bytes: PAGE_BYTES_DEFAULT,
            page_rows: PAGE_ROWS_DEFAULT,
            dictionary_bytes: DICTIONARY_BYTES_DEFAULT,
            dictionary: true,
            encodings: BTreeMap::new(),
            statistics: StatisticsLevel::Page,
            page_version: PageVersion::V1,
            bloom_filters: BTreeSet::new(),
            file_rows: None,
            overwrite: false,
        }
    }
}

impl SinkOptions {
    /// With a folder as the target: of files that hold as many rows as a row group may have, unless
    /// the rows of a file are given.
    #[must_use]
    pub fn into_folder(self) -> Self {
        SinkOptions {
            file_rows: Some(self.file_rows.unwrap_or(self.row_group_rows)),
            ..self
        }
    }

    /// Sets the encoding of a column, as `column=encoding`. What stands behind the last `=` is the
    /// encoding.
    ///
    /// # Errors
    /// `InvalidInput` if there is no `=` or no such encoding. Whether there is such a column shows
    /// when the sink is made.
    pub fn set_encoding(&mut self, pair: &str) -> Result<()> {
        let Some((column, encoding)) = pair.rsplit_once('=') else {
            return Err(Error::invalid(
                format!("encoding `{pair}`"),
                "is not `column=encoding`",
                "as in l_comment=delta_length_byte_array",
            ));
        };
        self.encodings
            .insert(column.trim().to_string(), encoding.parse()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_printed() -> Result<()> {
        for text in [
            "uncompressed",
            "snappy",
            "zstd(22)",
            "lz4_raw",
            "gzip(0)",
            "brotli(11)",
        ] {
            assert_eq!(text.parse::<SinkCodec>()?.to_string(), text);
        }
        assert_eq!("ZSTD:7".parse::<SinkCodec>()?, SinkCodec::Zstd(7));
        assert_eq!(
            "gzip".parse::<SinkCodec>()?,
            SinkCodec::Gzip(GZIP_LEVEL_DEFAULT)
        );
        for encoding in ColumnEncoding::ALL {
            assert_eq!(encoding.to_string().parse::<ColumnEncoding>()?, *encoding);
        }
        assert_eq!(
            "row_group".parse::<StatisticsLevel>()?,
            StatisticsLevel::RowGroup
        );
        assert_eq!("2".parse::<PageVersion>()?, PageVersion::V2);
        Ok(())
    }

    #[test]
    fn errors_name_the_choices() {
        let message =
            |outcome: Result<SinkCodec>| outcome.map_or_else(|e| e.to_string(), |c| c.to_string());
        assert_eq!(
            message("zstd(23)".parse()),
            "codec `zstd(23)`: zstd has no level 23; its levels are 1 to 22"
        );
        for text in [
            "lzo",
            "snappy(1)",
            "zstd(",
            "zstd(3",
            "zstd3",
            "zstd()",
            "zstd(-1)",
            "gzip:1)",
        ] {
            let message = message(text.parse());
            assert!(
                message.contains("the choices are uncompressed (none), snappy"),
                "{message}"
            );
        }
        let mut options = SinkOptions::default();
        let refused =
            |outcome: Result<()>| outcome.map_or_else(|e| e.to_string(), |()| String::new());
        assert_eq!(
            refused(options.set_encoding("a=rle")),
            "encoding `rle`: no such encoding; the choices are plain, dictionary, \
             delta_binary_packed, delta_length_byte_array, delta_byte_array, byte_stream_split"
        );
        assert!(refused(options.set_encoding("plain")).contains("is not `column=encoding`"));
        assert_eq!(refused(options.set_encoding("a=b=plain")), "");
        assert_eq!(options.encodings.get("a=b"), Some(&ColumnEncoding::Plain));
    }
}
