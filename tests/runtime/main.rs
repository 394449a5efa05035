//! Queries as a whole: the same plans give equal results however they are run, in however little
//! memory; whatever fails, an error says so, and nothing is left behind.

#[path = "../support/mod.rs"]
mod support;

mod data;
mod limits;
mod matrix;
mod oracle;
mod plans;
mod run;
