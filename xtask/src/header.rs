//! Writes `adapters/capi/include/pelton.h` from the functions of that crate.

use crate::repository::{Outcome, root, write_or_compare};

/// Where the header is kept.
const HEADER: &str = "adapters/capi/include/pelton.h";

/// Writes the header, or checks that it is up to date.
pub fn run(check: bool) -> Outcome {
    let folder = root().join("adapters/capi");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"))?;
    let bindings = cbindgen::generate_with_config(folder, config)?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text)?;
    write_or_compare(HEADER, &text, check, "cargo xtask header")
}
