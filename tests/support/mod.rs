//! What the tests of operators share: random tables and expressions, an oracle that knows no
//! Arrow kernel, equality with messages that show the first difference, and the backends.

#![allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]

pub mod backends;
pub mod draws;
pub mod equality;
pub mod exprs;
pub mod oracle;
pub mod oracle_functions;
pub mod oracle_group_by;
pub mod oracle_strings;
pub mod oracle_window;
pub mod random;
pub mod tables;
pub mod values;
