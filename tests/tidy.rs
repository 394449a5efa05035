//! The rules of the house as a test: rooms, doors, sizes, names, labels, unsafe code.
//!
//! ARCHITECTURE.md holds the tables, STYLE.md the reasons. Each rule reads sources only, so all of
//! them take less than a second. `UPDATE=1` rewrites the inventory of unsafe code.

#![forbid(unsafe_code)]

#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/fixtures.rs"]
mod fixtures;
#[path = "../xtask/src/kernel_source.rs"]
mod kernel_source;
#[path = "tidy/kernels.rs"]
mod kernels;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/tables.rs"]
mod tables;
#[path = "tidy/tree.rs"]
mod tree;

use std::fs;
use std::path::Path;

use tables::Tables;
use tree::{Finding, Tree};

const INVENTORY: &str = "tests/golden/unsafe_inventory.txt";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What all rules say about a tree.
fn findings(tree: &Tree) -> Result<Vec<Finding>, String> {
    let architecture = tree
        .get("ARCHITECTURE.md")
        .ok_or("there is no ARCHITECTURE.md")?;
    let tables = Tables::parse(&architecture.text)?;
    Ok([
        rooms::rooms(tree, &tables),
        rooms::crates(tree, &tables),
        rooms::environment(tree),
        rooms::unsafe_places(tree, &tables),
        shape::sizes(tree),
        shape::names(tree),
        shape::texts(tree),
        shape::module_docs(tree),
        kernels::labels(tree),
        kernels::includes(tree),
        kernels::unique_names(tree),
        doors::doors(tree, &tables),
    ]
    .concat())
}

#[test]
fn the_house_is_tidy() {
    let findings = findings(&Tree::read(root())).expect("ARCHITECTURE.md is readable");
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} findings\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn unsafe_code_is_counted() {
    let inventory = shape::unsafe_inventory(&Tree::read(root()));
    let file = root().join(INVENTORY);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("the file is in a folder"))
            .expect("a folder for the inventory");
        fs::write(&file, &inventory).expect("the inventory is writable");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let changed: Vec<&str> = inventory
        .lines()
        .filter(|line| !committed.lines().any(|other| other == *line))
        .collect();
    assert!(
        inventory == committed,
        "{INVENTORY} is stale, new or changed: {changed:?}\nrewrite it: UPDATE=1 cargo test --test tidy"
    );
}
