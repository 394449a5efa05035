//! Pelton.
