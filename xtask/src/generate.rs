//! Writes `kernels/generated`: the per-type instances that the code generator emits.

use std::fs;

use crate::repository::{Outcome, read_files, root, write_or_compare};

const FOLDER: &str = "kernels/generated";
const COMMAND: &str = "cargo xtask kernels generate";

/// Generates all instances, and writes or compares them. Files that nothing generates any more are
/// removed, or reported.
pub fn run(check: bool) -> Outcome {
    let mut files = pelton_codegen::generate();
    if files.is_empty() && !root().join(FOLDER).exists() {
        println!("{FOLDER}: nothing is generated");
        return Ok(());
    }
    let manifest = String::from_iter(files.iter().map(|(path, _)| format!("{path}\n")));
    files.push(("MANIFEST.txt".to_string(), manifest));
    for committed in read_files(&root().join(FOLDER), &["cu", "cuh", "h", "txt"])?.into_keys() {
        if files.iter().any(|(path, _)| *path == committed) {
            continue;
        }
        if check {
            return Err(
                format!("{FOLDER}/{committed} is not generated any more, run `{COMMAND}`").into(),
            );
        }
        fs::remove_file(root().join(FOLDER).join(&committed))?;
        println!("{FOLDER}/{committed} removed");
    }
    for (path, text) in &files {
        write_or_compare(&format!("{FOLDER}/{path}"), text, check, COMMAND)?;
    }
    Ok(())
}
