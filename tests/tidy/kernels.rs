//! Rules about the CUDA sources: labels, includes, names. What a compiler can say, `cargo xtask
//! kernels check` lets the compilers say.

use std::collections::BTreeMap;

use super::kernel_source::{ENTRY_LABELS, HEADER_LABELS, entries, header_labels};
use super::tree::{Finding, Findings, Tree};

/// Rows may stay where they are: this label is then left out.
const OPTIONAL_LABEL: &str = "Order";

/// The block that opens a file and the comment above an entry carry their labels.
pub fn labels(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("kernel labels");
    let kernels = tree
        .written(&[".cu"])
        .filter(|(path, _)| path.starts_with("kernels/"));
    for (path, file) in kernels {
        let header = header_labels(&file.text);
        for label in HEADER_LABELS {
            if !header
                .iter()
                .any(|(present, text)| present == label && !text.is_empty())
            {
                let remedy =
                    format!("begin the file with a `//` block that has `{label}  …` (STYLE.md)");
                findings.add(path, 1, format!("the header block has no {label}"), remedy);
            }
        }
        let entries = match entries(&file.text) {
            Ok(entries) => entries,
            Err(error) => {
                findings.add(
                    path,
                    0,
                    error,
                    "pass one launch struct by value, declared in kernels/abi",
                );
                continue;
            }
        };
        for entry in entries {
            if entry.first_sentence().is_empty() {
                let what = format!("{} does not say what it does", entry.name);
                findings.add(
                    path,
                    entry.line,
                    what,
                    "begin its `///` comment with a sentence",
                );
            }
            for label in ENTRY_LABELS
                .iter()
                .filter(|label| **label != OPTIONAL_LABEL)
            {
                if !entry
                    .labels
                    .iter()
                    .any(|(present, text)| present == label && !text.is_empty())
                {
                    let what = format!("the comment of {} has no {label}", entry.name);
                    findings.add(
                        path,
                        entry.line,
                        what,
                        format!("add a line `/// {label}  …` (STYLE.md)"),
                    );
                }
            }
            let listed = header
                .iter()
                .any(|(label, names)| label == "Kernels" && names.contains(&entry.name));
            if !listed {
                let what = format!("the header block does not list {}", entry.name);
                findings.add(path, entry.line, what, "add it to Kernels");
            }
            for (_, tests) in entry.labels.iter().filter(|(label, _)| label == "Tests") {
                let paths = tests
                    .split([' ', ',', ';'])
                    .filter(|word| word.starts_with("tests/"));
                let folder = |test: &str| {
                    test.rsplit_once('/')
                        .is_some_and(|(folder, _)| tree.exists(folder))
                };
                for missing in paths.filter(|test| folder(test) && !tree.exists(test)) {
                    let what = format!("{} names {missing}, which does not exist", entry.name);
                    findings.add(path, entry.line, what, "name the file that tests it");
                }
            }
        }
    }
    findings.into_list()
}

/// Includes are written from `kernels/`, so that the compilers, NVRTC and the caches agree on them.
pub fn includes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("kernel includes");
    for (path, file) in tree
        .written(&[".cu", ".cuh", ".h"])
        .filter(|(path, _)| path.starts_with("kernels/"))
    {
        let lines = file.text.lines().zip(file.code.lines()).enumerate();
        for (index, (text, _)) in
            lines.filter(|(_, (_, code))| code.trim_start().starts_with("#include"))
        {
            if !text.starts_with("#include ") {
                findings.add(
                    path,
                    index + 1,
                    "an include that is indented or unusual",
                    "write `#include \"…\"` at the start of the line",
                );
            }
            match text.split('"').nth(1) {
                Some(header) if tree.get(&format!("kernels/{header}")).is_none() => {
                    let what = format!("there is no kernels/{header}");
                    findings.add(
                        path,
                        index + 1,
                        what,
                        "write the path from kernels/, such as \"abi/filter.h\"",
                    );
                }
                None if path.ends_with(".cu") => {
                    let remedy = "use kernels/primitives and kernels/abi: NVRTC and the emulator have no other headers";
                    findings.add(
                        path,
                        index + 1,
                        "a header of a system or of a library",
                        remedy,
                    );
                }
                _ => {}
            }
        }
    }
    findings.into_list()
}

/// A module is named by its file's stem, an entry by its symbol: both once.
pub fn unique_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("kernel names");
    let mut seen = BTreeMap::<String, String>::new();
    for path in tree
        .paths()
        .filter(|path| path.starts_with("kernels/") && path.ends_with(".cu"))
    {
        let stem = path.rsplit('/').next().unwrap_or(path).to_string();
        let names = tree
            .get(path)
            .and_then(|file| entries(&file.text).ok())
            .unwrap_or_default();
        for name in names.into_iter().map(|entry| entry.name).chain([stem]) {
            if let Some(other) = seen.insert(name.clone(), path.to_string()) {
                findings.add(
                    path,
                    0,
                    format!("{name} is also in {other}"),
                    "rename one of them",
                );
            }
        }
    }
    findings.into_list()
}
