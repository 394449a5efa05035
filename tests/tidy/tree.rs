//! The files that tidy looks at, and what it says about them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use super::lexer::{self, Language};

/// Folders and files at the root that hold sources.
const ROOTS: [&str; 10] = [
    "src", "kernels", "codegen", "simt", "cli", "adapters", "benches", "tests", "examples", "xtask",
];
const FILES: [&str; 2] = ["ARCHITECTURE.md", "build.rs"];
const EXTENSIONS: [&str; 8] = ["rs", "cu", "cuh", "h", "cpp", "hpp", "md", "txt"];

/// A source file, read once and split into code and comments.
pub struct File {
    /// The whole text.
    pub text: String,
    /// The text with comments and strings blanked; lines and columns stay.
    pub code: String,
    /// The text with everything but comments blanked.
    pub comments: String,
}

/// Path from the root, with `/` -> file.
pub struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    /// Reads the checkout.
    pub fn read(root: &Path) -> Self {
        let mut texts = Vec::new();
        for name in ROOTS {
            read_below(&root.join(name), name, &mut texts);
        }
        for name in FILES {
            texts.extend(
                fs::read_to_string(root.join(name))
                    .ok()
                    .map(|text| (name.into(), text)),
            );
        }
        Self::new(texts)
    }

    /// A tree of paths and texts.
    pub fn new(texts: impl IntoIterator<Item = (String, String)>) -> Self {
        let files = texts.into_iter().map(|(path, text)| {
            let language = if path.ends_with(".rs") {
                Language::Rust
            } else {
                Language::C
            };
            let (code, comments) = lexer::split(&text, language);
            (
                path,
                File {
                    text,
                    code,
                    comments,
                },
            )
        });
        Self {
            files: files.collect(),
        }
    }

    /// The file at a path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether the file, or a folder of that name, exists.
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths()
            .any(|other| other == path || other.starts_with(&folder))
    }

    /// The files whose path ends in one of `endings` and that a person wrote.
    pub fn written(&self, endings: &[&str]) -> impl Iterator<Item = (&str, &File)> {
        let files = self.files.iter().map(|(path, file)| (path.as_str(), file));
        let ending = move |path: &str| endings.iter().any(|ending| path.ends_with(ending));
        files.filter(move |(path, _)| ending(path) && !is_generated(path))
    }
}

/// Whether a generator writes the file; freshness is then checked elsewhere.
pub fn is_generated(path: &str) -> bool {
    path.starts_with("kernels/generated/")
        || ["src/kernels/abi.rs", "adapters/capi/include/pelton.h"].contains(&path)
}

fn read_below(folder: &Path, prefix: &str, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            if entry.file_name() != "target" {
                read_below(&path, &name, texts);
            }
        } else if EXTENSIONS
            .iter()
            .any(|wanted| path.extension().is_some_and(|e| e == *wanted))
        {
            texts.extend(fs::read_to_string(&path).ok().map(|text| (name, text)));
        }
    }
}

/// Something against the rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root.
    pub path: String,
    /// From 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            what,
            remedy,
        } = self;
        let place = if *line == 0 {
            path.clone()
        } else {
            format!("{path}:{line}")
        };
        write!(formatter, "{place}: [{rule}] {what}\n    remedy: {remedy}")
    }
}

/// Collects the findings of one rule.
pub struct Findings {
    rule: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    /// None yet.
    pub fn new(rule: &'static str) -> Self {
        Self {
            rule,
            list: Vec::new(),
        }
    }

    /// One more; `line` is 0 if the file as a whole is meant.
    pub fn add(
        &mut self,
        path: &str,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (path, what, remedy) = (path.to_string(), what.into(), remedy.into());
        self.list.push(Finding {
            path,
            line,
            rule: self.rule,
            what,
            remedy,
        });
    }

    /// All, in order.
    pub fn into_list(mut self) -> Vec<Finding> {
        self.list.sort();
        self.list.dedup();
        self.list
    }
}

/// The line, from 1, of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}
