//! Contract of `shuffle_partition`: each row of a batch to one of several partitions.
//!
//! - Shape: columns `[rows]` → one batch per partition, in the order of the partitions, empty ones
//!   included. Together they have exactly the rows that came in; the schema stays.
//! - Order: that of the partitions; within a partition unspecified, for round robin, too.
//! - Which partition: as [`Partitioning`] says, the same on every backend and in every rank, however
//!   the keys lie in memory. Hash and range depend on the values of the keys alone. So rows with equal
//!   keys meet in one partition, whichever batch they are in.
//! - Nulls: a null key is a value of its own; null rows are rows like others.
//! - Waiting: once, for the rows of the partitions, at the end. A backend whose strings are not codes
//!   may hash their bytes; none waits for that.
//! - Errors: `InvalidInput` when made, for partitions out of bounds, columns that are not there, a
//!   hash or range without keys, and bounds of another number, type or order than the partitions ask.
//!   `Unsupported` for keys of nested types.
//! - Equality in tests: per partition, multiset, exact.
//!
//! # The hash
//!
//! A key's value becomes a 64-bit word ([`integer_word`], [`float_word`], [`bytes_word`],
//! [`NULL_WORD`]); the words of a row's keys are mixed in order ([`KeyHash`]); and the upper 32 bits of
//! the result, as a fraction of one, choose the partition: any number of partitions divides the hashes
//! evenly, and what uses lower bits of a hash later sees all of them. Equal values have equal words:
//! integers of any width, decimals of any width and one scale, floats of any width, −0.0 and 0.0, every
//! NaN, strings and bytes of any layout.

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::limits::KEYS_MAX;
use crate::types::SchemaRef;

/// Fewest and most partitions: one would be no partitioning, and beyond 4096 the runs of rows that
/// kernels write would be single rows.
pub const PARTITIONS: std::ops::RangeInclusive<u32> = 2..=4096;

/// Splits batches into partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct ShufflePartitionSpec {
    /// Schema of the batches that come, and of those that leave.
    pub input: SchemaRef,
    /// How many partitions, within [`PARTITIONS`].
    pub partitions: u32,
    /// Which one a row goes to.
    pub by: Partitioning,
}

/// How a row finds its partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Partitioning {
    /// By the hash of keys.
    Hash {
        /// Key columns, by index.
        keys: Vec<usize>,
    },
    /// By where the keys lie among bounds: partition *i* has the rows that are greater than bound
    /// *i* − 1 and not greater than bound *i*, that is, a row goes to the first partition whose bound
    /// is not less than it, and to the last one if all bounds are less.
    Range {
        /// Keys, the most significant first.
        keys: Vec<RangeKey>,
        /// A row per partition but the last, a column per key of the key's type; not descending in
        /// the order of the keys. Where bounds are equal, partitions between them stay empty.
        bounds: RecordBatch,
    },
    /// In turn: row *i* of a batch goes to partition (`start` + *i*) modulo the partitions. Every
    /// batch starts anew.
    RoundRobin {
        /// The partition of a batch's first row.
        start: u32,
    },
}

/// A key of a range, and its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeKey {
    /// Column, by index.
    pub column: usize,
    /// Whether greater values come first. NaN is the greatest; strings are in the order of their
    /// bytes.
    pub descending: bool,
    /// Whether nulls come first, in either direction of the values.
    pub nulls_first: bool,
}

impl Partitioning {
    /// The key columns, by index; none for round robin.
    pub fn keys(&self) -> Vec<usize> {
        match self {
            Partitioning::Hash { keys } => keys.clone(),
            Partitioning::Range { keys, .. } => keys.iter().map(|key| key.column).collect(),
            Partitioning::RoundRobin { .. } => Vec::new(),
        }
    }
}

impl ShufflePartitionSpec {
    /// Checks that the specification does not contradict itself; the order of bounds excepted, which
    /// the backends' own comparison decides.
    ///
    /// # Errors
    /// `InvalidInput` as the contract says.
    pub fn check(&self) -> Result<()> {
        let invalid =
            |cause: String, remedy: &str| Err(Error::invalid("shuffle_partition", cause, remedy));
        let (least, most) = (PARTITIONS.start(), PARTITIONS.end());
        if !PARTITIONS.contains(&self.partitions) {
            let cause = format!("{} partitions", self.partitions);
            return invalid(cause, &format!("ask for {least} to {most}"));
        }
        let fields = self.input.fields();
        let keys = self.by.keys();
        if let Some(index) = keys.iter().find(|index| **index >= fields.len()) {
            return invalid(format!("key {index} of {} columns", fields.len()), "");
        }
        if keys.len() > KEYS_MAX {
            let remedy = format!("use at most {KEYS_MAX}");
            return invalid(format!("{} keys", keys.len()), &remedy);
        }
        match &self.by {
            Partitioning::RoundRobin { start } if *start >= self.partitions => invalid(
                format!("start {start} of {} partitions", self.partitions),
                "start below the number of partitions",
            ),
            Partitioning::RoundRobin { .. } => Ok(()),
            _ if keys.is_empty() => invalid("no keys".to_string(), "use round robin"),
            Partitioning::Hash { .. } => Ok(()),
            Partitioning::Range { bounds, .. } => {
                let rows = bounds.num_rows();
                if rows + 1 != self.partitions as usize {
                    let cause = format!("{rows} bounds for {} partitions", self.partitions);
                    return invalid(cause, "give a bound per partition but the last");
                }
                if bounds.num_columns() != keys.len() {
                    let cause = format!(
                        "bounds of {} columns, {} keys",
                        bounds.num_columns(),
                        keys.len()
                    );
                    return invalid(cause, "give a column per key");
                }
                for (bound, key) in bounds.columns().iter().zip(keys) {
                    let (bound, field) = (bound.data_type(), &fields[key]);
                    if bound != field.data_type() {
                        let (name, own) = (field.name(), field.data_type());
                        let cause = format!("bounds of type {bound} for key `{name}` ({own})");
                        return invalid(cause, "cast the bounds to the key's type");
                    }
                }
                Ok(())
            }
        }
    }
}

/// The error for bounds that descend.
pub fn bounds_descend(row: usize) -> Error {
    let cause = format!("bound {row} is less than the one before it");
    Error::invalid(
        "shuffle_partition",
        cause,
        "sort the bounds as the keys are",
    )
}

/// The word of a null key: 2^64 divided by the golden ratio, plus one.
pub const NULL_WORD: u64 = 0x9e37_79b9_7f4a_7c16;

/// What a row's words are mixed with, odd: 2^64 divided by the golden ratio.
pub const HASH_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the mixing starts from: the first digits of π after the point. Not zero, so that tables that
/// hash the same words with the same function do not find their keys close together.
pub const HASH_SEED: u64 = 0x243f_6a88_85a3_08d3;

/// Mixes a word so that every bit of it changes half of the result's bits: the finaliser of
/// MurmurHash3 (A. Appleby, public domain).
fn mixed(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

/// The hash of a row's keys so far.
///
/// ```
/// use pelton::operators::{KeyHash, bytes_word, integer_word};
/// let hash = KeyHash::START.and(integer_word(7)).and(bytes_word(b"seven"));
/// assert_eq!(hash.partition(64), 40);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The hash of no key.
    pub const START: KeyHash = KeyHash(HASH_SEED);

    /// The hash with the word of the next key mixed in.
    #[must_use]
    pub fn and(self, word: u64) -> KeyHash {
        KeyHash(mixed(word.wrapping_add(HASH_STEP.wrapping_mul(self.0))))
    }

    /// The partition: the upper 32 bits times `partitions`, divided by 2^32.
    pub fn partition(self, partitions: u32) -> u32 {
        (((self.0 >> 32) * u64::from(partitions)) >> 32) as u32
    }
}

/// The word of an integer, a decimal's digits, a date, a time, or a Boolean (0 or 1): its low 64 bits
/// where they are enough to tell it, else both halves mixed.
pub fn integer_word(value: i128) -> u64 {
    let (low, high) = (value as u64, (value >> 64) as u64);
    if i128::from(value as i64) == value {
        low
    } else {
        mixed(low.wrapping_add(HASH_STEP.wrapping_mul(high)))
    }
}

/// The word of a float of any width: its bits as binary64, with one zero and one NaN.
pub fn float_word(value: f64) -> u64 {
    if value.is_nan() {
        0x7ff8_0000_0000_0000
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

/// The word of a string or of bytes: their number, then eight at a time, least significant first, what
/// is missing at the end being zero.
pub fn bytes_word(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mixed(u64::from_le_bytes(word).wrapping_add(HASH_STEP.wrapping_mul(hash)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_words() {
        assert_eq!(float_word(-0.0), float_word(0.0));
        assert_eq!(float_word(-f64::NAN), float_word(f64::NAN));
        assert_eq!(integer_word(-1), u64::MAX);
        assert_ne!(integer_word(-1), integer_word(i128::from(u64::MAX)));
    }

    /// The hash is a promise to other ranks, versions and languages: these never change.
    #[test]
    fn hashes_are_what_they_were() {
        let one = |word| KeyHash::START.and(word).0;
        let words = [
            one(integer_word(0)),
            one(integer_word(-1)),
            one(integer_word(i128::MAX)),
            one(float_word(1.5)),
            one(bytes_word(b"")),
            one(bytes_word("12345678日本".as_bytes())),
            one(NULL_WORD),
        ];
        expect_test::expect!["[226e040144470ef3, eb9d7b183712074c, d5809d9def5e62af, d1eb469fc3b24144, 226e040144470ef3, c6b4cde1f26992a5, 3897f7d20b9c6613]"].assert_eq(&format!("{words:x?}"));
    }

    #[test]
    fn partitions_are_even_for_any_count() {
        for partitions in [2, 7, 1000, 4096] {
            let mut counts = vec![0u32; partitions as usize];
            let rows = 100 * partitions;
            for row in 0..rows {
                let hash = KeyHash::START.and(integer_word(i128::from(row)));
                counts[hash.partition(partitions) as usize] += 1;
            }
            assert_eq!(counts.iter().sum::<u32>(), rows);
            assert!(counts.iter().all(|count| (40..180).contains(count)));
        }
    }
}
