//! Plans end to end, over Parquet files in a temporary folder.

mod damage;
mod errors;
mod faults;
mod files;
mod results;
mod splits;
