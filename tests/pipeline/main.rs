//! Plans end to end, over Parquet files in a temporary folder.

mod backends;
mod damage;
mod errors;
mod faults;
mod files;
mod pruning;
mod ranks;
mod results;
mod splits;
mod streams;
