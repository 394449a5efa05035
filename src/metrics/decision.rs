//! What was decided while a query ran, because only then enough was known.

use std::fmt;

/// Row groups that one step of pruning removed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PrunedRecord {
    /// The step: `statistics`, `Bloom filters` and so on.
    pub step: &'static str,
    /// Row groups removed.
    pub row_groups: u64,
    /// Their compressed bytes.
    pub bytes: u64,
}

/// What of its files a scan reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScanRecord {
    /// Row groups that are read.
    pub row_groups: u64,
    /// Row groups of the files.
    pub row_groups_total: u64,
    /// Rows of those that are read.
    pub rows: u64,
    /// Uncompressed bytes of their columns that are read.
    pub bytes: u64,
    /// Partitions in which they are read, by all ranks together.
    pub partitions: u64,
    /// What each step of pruning removed; those that removed nothing are left out.
    pub pruned: Vec<PrunedRecord>,
    /// Files of which nothing is read.
    pub files_pruned: u64,
    /// Pages of the row groups that are read of which no row is needed, by page indexes.
    pub pages_pruned: u64,
    /// Compressed bytes of those pages.
    pub page_bytes_pruned: u64,
}

impl fmt::Display for ScanRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} row groups, {} rows, {} bytes, in {} partitions",
            self.row_groups, self.row_groups_total, self.rows, self.bytes, self.partitions
        )?;
        for PrunedRecord {
            step,
            row_groups,
            bytes,
        } in &self.pruned
        {
            let files = match (*step, self.files_pruned) {
                ("statistics", files @ 1..) => format!(", {files} whole files among them"),
                _ => String::new(),
            };
            write!(
                f,
                "\npruned by {step}: {row_groups} row groups of {bytes} compressed bytes{files}"
            )?;
        }
        if self.pages_pruned > 0 {
            let (pages, bytes) = (self.pages_pruned, self.page_bytes_pruned);
            write!(
                f,
                "\npruned by page indexes: {pages} pages of {bytes} compressed bytes in the others"
            )?;
        }
        Ok(())
    }
}

/// Whether a Bloom filter of a build side's keys drops rows of a scan, and why not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BloomChoice {
    /// One of so many bytes.
    Made {
        /// Bytes.
        bytes: u64,
    },
    /// It is switched off.
    Off,
    /// No filter takes keys of this type.
    Type,
    /// The build side has too many rows for those of the scan.
    Rows {
        /// Rows of the build side, or more.
        build: u64,
        /// Rows of the scan's files.
        scan: u64,
    },
    /// It would be larger than the option allows.
    Size {
        /// Bytes.
        bytes: u64,
    },
    /// There is no memory for it.
    Memory,
}

impl fmt::Display for BloomChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BloomChoice::Made { bytes } => write!(f, "Bloom filter of {bytes} bytes"),
            BloomChoice::Off => write!(f, "no Bloom filter: switched off"),
            BloomChoice::Type => write!(f, "no Bloom filter of such keys"),
            BloomChoice::Rows { build, scan } => {
                write!(
                    f,
                    "no Bloom filter: {build} build rows for {scan} of the scan"
                )
            }
            BloomChoice::Size { bytes } => {
                write!(f, "no Bloom filter: it would have {bytes} bytes")
            }
            BloomChoice::Memory => write!(f, "no Bloom filter: no memory"),
        }
    }
}

/// What the keys of a build side say of a column of a scan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyFilterRecord {
    /// The column.
    pub column: String,
    /// The pipeline that builds, from 1.
    pub builder: usize,
    /// Whether the least and the greatest key are known.
    pub bounds: bool,
    /// How many keys there are, if row groups are pruned by each.
    pub keys: Option<usize>,
    /// Whether rows are dropped.
    pub bloom: BloomChoice,
}

impl fmt::Display for KeyFilterRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` by the keys of pipeline {}: ",
            self.column, self.builder
        )?;
        if self.bounds {
            write!(f, "min/max, ")?;
        }
        if let Some(keys) = self.keys {
            write!(f, "{keys} keys one by one, ")?;
        }
        write!(f, "{}", self.bloom)
    }
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Choice {
    /// What a scan reads.
    Scan(ScanRecord),
    /// So many workers share a pipeline's input.
    Workers(usize),
    /// Memory does not suffice to read a batch while another one is computed.
    OneBatchAtATime,
    /// A scan leaves out rows whose keys a built side has not, as far as that is known.
    KeyFilter(KeyFilterRecord),
    /// A scan leaves out all rows, for a built side has no key at all.
    NoKeys {
        /// The pipeline that built, from 1.
        builder: usize,
    },
    /// What the first batches of a scan said of a Bloom filter.
    KeyFilterSampled {
        /// The column.
        column: String,
        /// Rows that were asked for.
        rows: u64,
        /// Those of them that passed.
        passed: u64,
        /// Whether the filter is used on.
        pays: bool,
    },
    /// A join builds from the side that was to probe: the other one has far more rows than was thought.
    OtherSideBuilt {
        /// Rows that were to be built.
        build: u64,
        /// Rows of the side that is built in their place, at most.
        probe: u64,
    },
    /// What an operator keeps does not fit at one time, and is split into parts.
    Parts {
        /// The operator.
        operator: &'static str,
        /// How many parts.
        parts: u32,
    },
    /// The rows of a pipeline go to other ranks.
    Exchange {
        /// `hash`, `range`, `broadcast` or `first`.
        way: &'static str,
    },
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Scan(record) => write!(f, "{record}"),
            Choice::Workers(1) => write!(f, "1 worker"),
            Choice::Workers(workers) => write!(f, "{workers} workers"),
            Choice::OneBatchAtATime => {
                write!(f, "a worker reads one batch at a time: memory is short")
            }
            Choice::KeyFilter(record) => write!(f, "{record}"),
            Choice::NoKeys { builder } => write!(f, "no row: pipeline {builder} built no keys"),
            Choice::KeyFilterSampled {
                column,
                rows,
                passed,
                pays,
            } => {
                let then = if *pays {
                    "it is used on"
                } else {
                    "it is left out then"
                };
                write!(
                    f,
                    "Bloom filter of `{column}`: {passed} of {rows} sampled rows pass, {then}"
                )
            }
            Choice::OtherSideBuilt { build, probe } => write!(
                f,
                "hash_join builds from its probe side, of at most {probe} rows: the other one has {build}"
            ),
            Choice::Parts { operator, parts } => match *operator {
                "sort" => write!(f, "sort in {parts} ranges of its keys"),
                "hash_join" => write!(f, "hash_join in {parts} parts of both sides"),
                operator => write!(f, "{operator} in {parts} parts by its keys"),
            },
            Choice::Exchange { way } => write!(f, "exchange: {way}"),
        }
    }
}

/// A decision, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// The pipeline's number, from 1.
    pub pipeline: usize,
    /// What was decided.
    pub choice: Choice,
}
