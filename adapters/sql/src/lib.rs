//! SQL over Pelton: text becomes a [`LazyFrame`](pelton::engine::LazyFrame).
//!
//! DataFusion's parser, analyser and logical optimiser read the text; what they leave is translated into
//! Pelton's plan, which Pelton's own rules optimise and its engine runs. Nothing of DataFusion's executor
//! is here. What cannot be translated is refused by name before anything runs.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{Int64Array, RecordBatch};
//! use pelton::prelude::*;
//! use pelton_sql::Catalog;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let amounts = Arc::new(Int64Array::from(vec![7, 5, 8]));
//! let sales = RecordBatch::try_from_iter([("amount", amounts as _)])?;
//! let mut catalog = Catalog::new();
//! catalog.register("sales", from_batches(vec![sales])?)?;
//! let engine = Engine::new(EngineOptions::default().with("backend", "cpu")?)?;
//! let result = catalog.sql("SELECT sum(amount) AS total FROM sales WHERE amount > 5")?.collect(&engine)?;
//! let total = result.batches[0].column(0).as_any().downcast_ref::<Int64Array>();
//! assert_eq!(total.map(|total| total.value(0)), Some(15));
//! # Ok(())
//! # }
//! ```
//!
//! The meaning of each construct is in `docs/sql.md`.

#![forbid(unsafe_code)]

mod aggregates;
mod catalog;
mod constants;
mod files;
mod floats;
mod multisets;
mod parse;
mod planner;
mod problem;
mod provider;
mod series;
mod source;
mod subqueries;
mod syntax;
mod times;
mod translate;

pub use catalog::{Catalog, CopyTo, SqlStatement, Statements};
pub use source::ends_statement;
