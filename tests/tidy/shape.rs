//! Rules about single files: size, names, words, first lines.

use super::rooms::word_offsets;
use super::tree::{Finding, Findings, Tree, line_of};

/// Files that a person wrote stay small enough to read in one go.
pub fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("size");
    for (ending, lines_max) in [(".rs", 800), (".cu", 400), (".cuh", 400)] {
        for (path, file) in tree.written(&[ending]) {
            let lines_max = if path == "build.rs" { 150 } else { lines_max };
            let count = file.text.lines().count();
            if count > lines_max {
                let what = format!("{count} lines, at most {lines_max}");
                findings.add(
                    path,
                    lines_max,
                    what,
                    "give one of its subjects a file of its own",
                );
            }
        }
    }
    findings.into_list()
}

/// Paths say what is inside.
pub fn names(tree: &Tree) -> Vec<Finding> {
    const BANNED: [&str; 9] = [
        "util", "utils", "helper", "helpers", "common", "misc", "unused", "manager", "stuff",
    ];
    const BANNED_ENDINGS: [&str; 4] = ["_next", "_v2", "_new", "_old"];
    let mut findings = Findings::new("names");
    for path in tree.paths() {
        for part in path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            let banned_word = stem.split(['_', '-']).find(|word| BANNED.contains(word));
            let banned_ending = BANNED_ENDINGS
                .iter()
                .find(|ending| stem.ends_with(**ending))
                .copied();
            if let Some(word) = banned_word
                .or(banned_ending)
                .filter(|_| stem != "spill_manager")
            {
                let remedy = "name the file after what it holds, and replace the old one";
                findings.add(path, 0, format!("`{word}` in a path says nothing"), remedy);
            }
        }
    }
    findings.into_list()
}

/// Texts that announce a second source of truth or a dead copy.
pub fn texts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("texts");
    for (path, file) in tree.written(&[".rs", ".cu", ".cuh", ".h", ".cpp", ".hpp"]) {
        let comments = file.comments.to_lowercase();
        for (at, _) in comments.match_indices("must match") {
            let remedy =
                "let one side be read from the other (an enumerator in kernels/abi, a constant)";
            findings.add(
                path,
                line_of(&comments, at),
                "a comment asks for two places to be equal",
                remedy,
            );
        }
        for (at, _) in file.code.match_indices("#if 0") {
            findings.add(
                path,
                line_of(&file.code, at),
                "code that is switched off",
                "delete it",
            );
        }
    }
    findings.into_list()
}

/// Every module says first what it is for.
pub fn module_docs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::new("module docs");
    for (path, file) in tree.written(&[".rs"]) {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        if !first.is_some_and(|line| line.starts_with("//!")) {
            let remedy = "begin with `//!`: what is this for, what is not here, what to read next";
            findings.add(path, 1, "the module does not say what it is for", remedy);
        }
    }
    findings.into_list()
}

/// Unsafe sites per file, one line each: the text of the committed inventory.
pub fn unsafe_inventory(tree: &Tree) -> String {
    let mut text = String::new();
    for (path, file) in tree.written(&[".rs"]) {
        let count = word_offsets(&file.code, "unsafe").count();
        if count > 0 {
            text += &format!("{path} {count}\n");
        }
    }
    text
}
