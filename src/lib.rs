//! Pelton streams Parquet row groups through hand-written and generated CUDA kernels, on one GPU
//! or on many, with every kernel checked against a CPU reference.
//!
//! The rooms, and which of them may name which, are drawn in ARCHITECTURE.md. Start reading at
//! [`plan`] (what a query is), [`operators`] (what each step promises) and [`engine`] (how a
//! query runs). A machine without a GPU runs the same API on the CPU backend.
//!
//! # Example
//!
//! ```
//! use pelton::prelude::*;
//! # fn main() -> pelton::Result<()> {
//! # let folder = tempfile::tempdir().map_err(pelton::Error::from)?;
//! # pelton::doc_support::write_orders(folder.path())?;
//! # let pattern = folder.path().join("*.parquet");
//! let engine = Engine::new(EngineOptions::default())?;
//! let out = scan_parquet(&pattern)?
//!     .filter(col("amount").gt(lit(100)))
//!     .group_by([col("customer_id")])
//!     .agg([col("amount").sum().alias("total")])
//!     .collect(&engine)?;
//! assert_eq!(out.rows(), 2);
//! # Ok(())
//! # }
//! ```
#![deny(rustdoc::broken_intra_doc_links)]

pub mod error;
pub mod limits;
pub mod metrics;
pub mod options;

pub mod types;

pub mod expr;

pub mod plan;

pub mod memory;

#[cfg(any(feature = "cuda", feature = "simt"))]
pub mod device;

#[cfg(any(feature = "cuda", feature = "simt"))]
pub mod kernels;

pub mod operators;

pub mod backend;

pub mod storage;

pub mod network;

pub mod comm;

pub mod pipeline;

pub mod engine;

/// What most programs need: `use pelton::prelude::*`.
pub mod prelude {
    pub use crate::engine::{
        Engine, LazyFrame, QueryResult, concat_frames, from_batches, scan_parquet,
        scan_parquet_files,
    };
    pub use crate::error::Result;
    pub use crate::expr::{
        Expr, JoinKind, coalesce, col, count_rows, greatest, least, lit, make_date, when,
    };
    pub use crate::options::EngineOptions;
    pub use crate::plan::{dense_rank, rank, row_number};
    pub use crate::types::DataType;
}

#[doc(hidden)]
pub mod doc_support {
    //! Files for the examples of this documentation; no part of the interface.
    pub use crate::storage::write_orders;
}

/// The examples of docs/linking.md, run as tests.
#[cfg(all(doctest, feature = "simt"))]
#[doc = include_str!("../docs/linking.md")]
mod linking {}

pub use error::{Error, ErrorKind, Result};
