//! Tables in Parquet files, and queries over them.
#![allow(dead_code, reason = "each test uses a part")]

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton::engine::{QueryResult, scan_parquet};
use pelton::error::Result;
use pelton::prelude::*;
use pelton::storage::SinkOptions;
use pelton::types::DataType;
use pelton_sql::Catalog;
use tempfile::TempDir;

/// The tables of a folder of its own.
pub struct Database {
    catalog: Catalog,
    engine: Engine,
    folder: TempDir,
}

impl Database {
    /// No tables, and an engine on a backend.
    pub fn new(backend: &str) -> Database {
        let options = EngineOptions::default().with("backend", backend).unwrap();
        Database {
            catalog: Catalog::new(),
            engine: Engine::new(options).unwrap(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// Makes a table, if that is what a text asks for: `CREATE TABLE name AS query`.
    pub fn create(&mut self, text: &str) -> Result<bool> {
        let Some((name, query)) = text
            .strip_prefix("CREATE TABLE ")
            .and_then(|rest| rest.split_once(" AS "))
        else {
            return Ok(false);
        };
        let path = self.folder.path().join(name).with_extension("parquet");
        let frame = self.catalog.sql(query)?;
        frame.sink_parquet(&self.engine, &path, SinkOptions::default())?;
        self.catalog.register(name, scan_parquet(&path)?)?;
        Ok(true)
    }

    /// The rows of a query.
    pub fn query(&self, text: &str) -> Result<QueryResult> {
        self.catalog.sql(text)?.collect(&self.engine)
    }
}

/// The cells of a result as text, row by row, as sqllogictest has them.
pub fn cells(result: &QueryResult) -> Vec<Vec<String>> {
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"));
    let mut rows = Vec::new();
    for batch in &result.batches {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(widened).collect();
        let columns: Vec<_> = columns
            .iter()
            .map(|column| (column, ArrayFormatter::try_new(column, &options).unwrap()))
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |(column, text): &(&ArrayRef, ArrayFormatter<'_>)| {
                if column.is_null(row) {
                    return "NULL".to_string();
                }
                let text = text.value(row).to_string();
                match (text.as_str(), column.data_type()) {
                    ("", _) => "(empty)".to_string(),
                    ("NaN", _) => "nan".to_string(),
                    (_, DataType::Timestamp(..)) => text.trim_end_matches(".000000").to_string(),
                    _ => text,
                }
            };
            rows.push(columns.iter().map(cell).collect());
        }
    }
    rows
}

/// Floats of single precision as doubles.
fn widened(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => arrow::compute::cast(column, &DataType::Float64).unwrap(),
        _ => ArrayRef::clone(column),
    }
}
