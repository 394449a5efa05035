//! Plans end to end, over Parquet files in a temporary folder.

#[path = "../support/random.rs"]
#[expect(dead_code, reason = "shared with tests that draw more")]
mod random;

mod backends;
mod damage;
mod driver_calls;
mod dynamic_filters;
mod errors;
mod faults;
mod files;
mod observe;
mod optimise;
mod options;
mod planning;
mod pruning;
mod rank_exchanges;
mod rank_sorts;
mod ranks;
mod results;
mod splits;
mod streams;
mod traces;
