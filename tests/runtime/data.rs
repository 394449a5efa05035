//! The tables that the plans read, as plain rows and as files: a fact table with skewed keys and
//! nulls, a dimension with keys that come twice, a few rows, and none.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pelton::prelude::*;

use crate::support::random::Random;

/// A row of the fact table.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Counts the rows.
    pub id: i64,
    /// Of a dimension; a third of all rows have the same one, some have none.
    pub key: Option<i64>,
    pub kind: i32,
    pub name: Option<String>,
    pub amount: Option<i64>,
    /// A multiple of an eighth, so that sums are exact in any order.
    pub ratio: f64,
    /// Cents.
    pub price: i128,
    pub day: i32,
    pub flag: Option<bool>,
}

/// A row of the dimension.
#[derive(Debug, Clone)]
pub struct Dim {
    /// Some come twice, one is missing, some are null.
    pub key: Option<i64>,
    pub label: Option<String>,
    pub weight: i64,
}

/// All tables, in memory and in files.
pub struct Data {
    pub facts: Vec<Fact>,
    pub dims: Vec<Dim>,
    pub few: Vec<Dim>,
    facts_batch: RecordBatch,
    folder: tempfile::TempDir,
}

/// The name that makes up half of all, which are none.
pub const NAMES: [&str; 7] = [
    "",
    "ada",
    "bo",
    "Köln",
    "dora",
    "e",
    "a name of some length",
];

pub fn failed(cause: impl std::fmt::Display) -> pelton::Error {
    pelton::Error::invalid("test", cause.to_string(), "")
}

fn facts(random: &mut Random, count: usize) -> Vec<Fact> {
    let keys = (count / 8).max(4);
    let fact = |id: usize| Fact {
        id: id as i64,
        key: match random.below(12) {
            0 => None,
            1..5 => Some(3),
            _ => Some(random.below(keys) as i64),
        },
        kind: random.below(7) as i32,
        name: Some(random.below(9))
            .and_then(|name| NAMES.get(name))
            .map(|name| (*name).to_string()),
        amount: Some(random.between(-500..=500)).filter(|amount| amount % 13 != 0),
        ratio: random.between(-4000..=4000) as f64 / 8.0,
        price: random.between(-100_000..=100_000).into(),
        day: random.below(400) as i32,
        flag: Some(random.once_in(3)).filter(|_| !random.once_in(5)),
    };
    (0..count).map(fact).collect()
}

fn dims(random: &mut Random, count: usize, keys: usize) -> Vec<Dim> {
    let dim = |number: usize| Dim {
        key: match random.below(15) {
            0 => None,
            1 | 2 => Some(number as i64 / 2),
            _ => Some((number % keys) as i64),
        },
        label: Some(random.below(8))
            .and_then(|name| NAMES.get(name))
            .map(|name| (*name).to_string()),
        weight: random.between(-20..=20),
    };
    (0..count).map(dim).collect()
}

fn facts_batch(facts: &[Fact]) -> Result<RecordBatch> {
    let price = Decimal128Array::from_iter_values(facts.iter().map(|fact| fact.price));
    let price = price.with_precision_and_scale(12, 2).map_err(failed)?;
    let names = facts.iter().map(|fact| fact.name.as_deref());
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "id",
            column::<Int64Array, _>(facts, |fact| Some(fact.id)),
            false,
        ),
        ("key", column::<Int64Array, _>(facts, |fact| fact.key), true),
        (
            "kind",
            column::<Int32Array, _>(facts, |fact| Some(fact.kind)),
            false,
        ),
        ("name", Arc::new(names.collect::<StringArray>()), true),
        (
            "amount",
            column::<Int64Array, _>(facts, |fact| fact.amount),
            true,
        ),
        (
            "ratio",
            column::<Float64Array, _>(facts, |fact| Some(fact.ratio)),
            false,
        ),
        ("price", Arc::new(price), false),
        (
            "day",
            column::<Date32Array, _>(facts, |fact| Some(fact.day)),
            false,
        ),
        (
            "flag",
            column::<BooleanArray, _>(facts, |fact| fact.flag),
            true,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

fn column<A, T>(facts: &[Fact], of: impl Fn(&Fact) -> Option<T>) -> ArrayRef
where
    A: FromIterator<Option<T>> + arrow::array::Array + 'static,
{
    Arc::new(facts.iter().map(of).collect::<A>())
}

fn dims_batch(dims: &[Dim]) -> Result<RecordBatch> {
    let labels = dims.iter().map(|dim| dim.label.as_deref());
    let weights = dims.iter().map(|dim| dim.weight);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "key",
            Arc::new(dims.iter().map(|dim| dim.key).collect::<Int64Array>()),
            true,
        ),
        ("label", Arc::new(labels.collect::<StringArray>()), true),
        (
            "weight",
            Arc::new(Int64Array::from_iter_values(weights)),
            false,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).map_err(failed)
}

/// Writes a batch as a file with row groups of so many rows.
fn write(path: &Path, batch: &RecordBatch, rows_per_group: usize) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let file = File::create(path)?;
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(failed)?;
    for start in (0..batch.num_rows()).step_by(rows_per_group) {
        let rows = rows_per_group.min(batch.num_rows() - start);
        writer.write(&batch.slice(start, rows)).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

impl Data {
    /// A fact table of so many rows, and what belongs to it.
    pub fn new(count: usize, rows_per_group: usize) -> Result<Data> {
        let mut random = Random::new(count as u64);
        let facts = facts(&mut random, count);
        let dims = dims(&mut random, (count / 5).max(5), (count / 9).max(3));
        let few = dims[..5].to_vec();
        let folder = tempfile::tempdir()?;
        let batch = facts_batch(&facts)?;
        let path = |name: &str| folder.path().join(name);
        write(&path("facts.parquet"), &batch, rows_per_group)?;
        write(&path("dims.parquet"), &dims_batch(&dims)?, rows_per_group)?;
        write(&path("few.parquet"), &dims_batch(&few)?, 2)?;
        write(&path("none.parquet"), &dims_batch(&[])?, 2)?;
        Ok(Data {
            facts,
            dims,
            few,
            facts_batch: batch,
            folder,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn scan_facts(&self) -> Result<LazyFrame> {
        scan_parquet(self.path("facts.parquet"))
    }

    pub fn scan_dims(&self) -> Result<LazyFrame> {
        scan_parquet(self.path("dims.parquet"))
    }

    pub fn scan_few(&self) -> Result<LazyFrame> {
        scan_parquet(self.path("few.parquet"))
    }

    pub fn scan_none(&self) -> Result<LazyFrame> {
        scan_parquet(self.path("none.parquet"))
    }

    /// The facts in memory, in batches of several sizes, one of them empty.
    pub fn facts_in_memory(&self) -> Result<LazyFrame> {
        let rows = self.facts_batch.num_rows();
        let cuts = [0, rows / 7, rows / 7, rows / 2, rows];
        let pieces = cuts.windows(2);
        from_batches(
            pieces
                .map(|cut| self.facts_batch.slice(cut[0], cut[1] - cut[0]))
                .collect(),
        )
    }

    /// Bytes of the fact table in memory.
    pub fn bytes(&self) -> u64 {
        self.facts_batch.get_array_memory_size() as u64
    }
}
