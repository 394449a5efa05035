//! Functions of one row by kernels, a family per file.

mod automaton;
pub(super) mod strings;
