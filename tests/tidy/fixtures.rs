//! Each rule on small trees in memory: it fires where it should, says where, and stays quiet elsewhere.

use super::tables::Tables;
use super::tree::{Finding, Tree};
use super::{doors, kernels, rooms, shape};

const ARCHITECTURE: &str = "\
```rooms
types        ->
plan         -> types
device       -> types
backend      -> types device
backend/cpu  -> types
backend/cuda -> types device
engine       -> types plan backend
memory       -> types

error        <- *
options      -> types
options      <- engine
```
```crates
cudarc -> src/device
parquet -> src/storage
```
```unsafe
src/device
src/memory/buffer.rs
simt
```
```doors
scan: kernel abi launcher bench test cuda -- decoding has kernels of its own
```
";

#[expect(
    clippy::expect_used,
    reason = "a fixture that cannot be read is the test's failure"
)]
fn tables() -> Tables {
    Tables::parse(ARCHITECTURE).expect("the fixture is readable")
}

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(
        files
            .iter()
            .map(|(path, text)| (path.to_string(), text.to_string())),
    )
}

/// `path:line what` of each finding.
fn shown(findings: &[Finding]) -> Vec<String> {
    let shown = findings
        .iter()
        .map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.what));
    shown.collect()
}

#[test]
fn rooms_name_only_allowed_rooms() {
    let tree = tree(&[
        ("src/lib.rs", "use crate::engine;"),
        (
            "src/plan/mod.rs",
            "//! x\nuse crate::types::T;\nuse crate::{error::E,\n  device::{D}};\nuse super::backend::B;",
        ),
        (
            "src/plan/rule.rs",
            "use super::Plan; // crate::device\nuse super::super::engine::E;\nlet x = \"crate::device\";",
        ),
        (
            "src/backend/cpu/filter.rs",
            "use crate::backend::{Backend, cuda::C};\nuse crate::device;",
        ),
        (
            "src/backend/cuda/filter.rs",
            "use crate::device::D;\nuse super::super::Backend;",
        ),
        (
            "src/types.rs",
            "use crate::options::O;\n#[cfg(test)]\nmod tests { use crate::plan::P; }",
        ),
        (
            "src/engine.rs",
            "use crate::options::O;\nuse crate::backend::cuda::C;\nuse crate::Error;\ncrate::bail!();\ncrate::col();",
        ),
        ("src/extra.rs", ""),
    ]);
    let expected = [
        "src/backend/cpu/filter.rs:1 backend/cpu may not name backend/cuda",
        "src/backend/cpu/filter.rs:2 backend/cpu may not name device",
        "src/engine.rs:5 crate::col hides which room is meant",
        "src/extra.rs:0 extra is no room",
        "src/plan/mod.rs:3 plan may not name device",
        "src/plan/mod.rs:5 plan may not name backend",
        "src/plan/rule.rs:2 plan may not name engine",
        "src/types.rs:1 types may not name options",
    ];
    assert_eq!(shown(&rooms::rooms(&tree, &tables())), expected);
}

#[test]
fn crates_have_one_door() {
    let tree = tree(&[
        ("src/device/mod.rs", "use cudarc::driver;"),
        (
            "src/plan/mod.rs",
            "fn f() { cudarc::x(); crate::storage::parquet::y(); }",
        ),
        ("src/storage/mod.rs", "use parquet::file;"),
        ("src/engine.rs", "mod parquet;\nfn f() { parquet::open(); }"),
        ("cli/src/main.rs", "use parquet as p;"),
        ("tests/x.rs", "use parquet::file;"),
    ]);
    let expected = [
        "cli/src/main.rs:1 the crate parquet is named",
        "src/plan/mod.rs:1 the crate cudarc is named",
    ];
    assert_eq!(shown(&rooms::crates(&tree, &tables())), expected);
}

#[test]
fn options_alone_reads_the_environment() {
    let tree = tree(&[
        ("src/options.rs", "std::env::var(\"A\")"),
        (
            "src/plan/mod.rs",
            "std::env::var_os(\"A\");\nenv::temp_dir();\nuse std::env::{self, vars};",
        ),
        ("cli/src/main.rs", "std::env::var(\"A\")"),
        ("simt/build.rs", "std::env::var(\"A\")"),
    ]);
    let expected = [
        "src/plan/mod.rs:1 an environment variable is read",
        "src/plan/mod.rs:3 an environment variable is read",
    ];
    assert_eq!(shown(&rooms::environment(&tree)), expected);
}

#[test]
fn unsafe_code_has_places() {
    let forbidding = "//! x\n#![forbid(unsafe_code)]\n";
    let tree = tree(&[
        ("src/lib.rs", ""),
        ("src/device/mod.rs", "unsafe { x() }"),
        ("src/memory/mod.rs", "#![deny(unsafe_code)]"),
        ("src/memory/buffer.rs", "unsafe fn f() {}"),
        ("src/memory/tier.rs", ""),
        ("src/plan/mod.rs", forbidding),
        (
            "src/plan/rule.rs",
            "// unsafe\nlet x = \"unsafe\";\nunsafe { y() }",
        ),
        ("src/error.rs", "//! x"),
        ("simt/src/lib.rs", "unsafe { z() }"),
        ("cli/src/main.rs", "//! x"),
        ("codegen/src/lib.rs", forbidding),
    ]);
    let expected = [
        "cli/src/main.rs:0 unsafe code is not forbidden",
        "src/error.rs:0 unsafe code is not forbidden",
        "src/memory/tier.rs:0 unsafe code is not forbidden",
        "src/plan/rule.rs:3 unsafe code",
    ];
    let found = shown(&rooms::unsafe_places(&tree, &tables()));
    assert_eq!(found, expected);
    assert_eq!(
        shape::unsafe_inventory(&tree),
        "simt/src/lib.rs 1\nsrc/device/mod.rs 1\nsrc/memory/buffer.rs 1\nsrc/plan/rule.rs 1\n"
    );
}

#[test]
fn files_have_a_shape() {
    let long = "//! x\n".repeat(801);
    let tree = tree(&[
        ("src/long.rs", &long),
        ("src/kernels/abi.rs", &long),
        ("kernels/long.cu", &"//\n".repeat(401)),
        ("src/str_utils.rs", "//! x"),
        ("src/misc/mod.rs", "//! x"),
        ("src/scan_v2.rs", "//! x"),
        ("src/memory/spill_manager.rs", "//! x"),
        ("src/plan.rs", "#![allow(x)]\n//! x"),
        (
            "kernels/a.h",
            "#if 0\n#endif\n/* The value Must Match the other. */\n",
        ),
    ]);
    assert_eq!(
        shown(&shape::sizes(&tree)),
        [
            "kernels/long.cu:400 401 lines, at most 400",
            "src/long.rs:800 801 lines, at most 800"
        ]
    );
    let names = shown(&shape::names(&tree));
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names[0].starts_with("src/misc/mod.rs:0 `misc`")
            && names[1].contains("`_v2`")
            && names[2].contains("`utils`")
    );
    assert_eq!(
        shown(&shape::module_docs(&tree)),
        ["src/plan.rs:1 the module does not say what it is for"]
    );
    let texts = [
        "kernels/a.h:1 code that is switched off",
        "kernels/a.h:3 a comment asks for two places to be equal",
    ];
    assert_eq!(shown(&shape::texts(&tree)), texts);
}

const KERNEL: &str = "\
// Operator  filter
// Kernels   filter_select
// Method    m
// Cost      c
// Source    s

#include \"abi/filter.h\"

/// Lists rows.
///
/// Shape   a -> b
/// Launch  grid
/// Nulls   none
/// Errors  none
/// Tests   tests/operators/filter.rs
extern \"C\" __global__ void filter_select(GRID_CONSTANT(Params) params) {}
";

#[test]
fn kernels_say_what_they_do() {
    let good = [
        ("kernels/filter.cu", KERNEL),
        ("kernels/abi/filter.h", ""),
        ("tests/operators/filter.rs", ""),
    ];
    let good = tree(&good);
    assert_eq!(shown(&kernels::labels(&good)), Vec::<String>::new());
    assert_eq!(shown(&kernels::includes(&good)), Vec::<String>::new());
    assert_eq!(shown(&kernels::unique_names(&good)), Vec::<String>::new());

    let text = KERNEL
        .replace("// Cost      c\n", "")
        .replace("/// Nulls   none\n", "")
        .replace("// Kernels   filter_select", "// Kernels   other");
    let text = text.replace(
        "#include \"abi/filter.h\"",
        "#include \"filter.h\"\n#include <stdint.h>",
    );
    let bad = tree(&[
        ("kernels/parquet/filter.cu", &text),
        ("kernels/filter.cu", KERNEL),
        ("tests/operators/sort.rs", ""),
    ]);
    let labels = shown(&kernels::labels(&bad));
    let expected = [
        "kernels/filter.cu:16 filter_select names tests/operators/filter.rs, which does not exist",
        "kernels/parquet/filter.cu:1 the header block has no Cost",
        "kernels/parquet/filter.cu:15 filter_select names tests/operators/filter.rs, which does not exist",
        "kernels/parquet/filter.cu:15 the comment of filter_select has no Nulls",
        "kernels/parquet/filter.cu:15 the header block does not list filter_select",
    ];
    assert_eq!(labels, expected);
    let expected = [
        "kernels/filter.cu:7 there is no kernels/abi/filter.h",
        "kernels/parquet/filter.cu:6 there is no kernels/filter.h",
        "kernels/parquet/filter.cu:7 a header of a system or of a library",
    ];
    assert_eq!(shown(&kernels::includes(&bad)), expected);
    let expected = [
        "kernels/parquet/filter.cu:0 filter.cu is also in kernels/filter.cu",
        "kernels/parquet/filter.cu:0 filter_select is also in kernels/filter.cu",
    ];
    assert_eq!(shown(&kernels::unique_names(&bad)), expected);
}

#[test]
fn operators_have_their_doors() {
    let all = |name: &str| {
        let places = [
            "src/operators/*.rs",
            "src/backend/cpu/*.rs",
            "src/backend/cuda/*/mod.rs",
            "src/kernels/*.rs",
            "kernels/generated/*_i64.cu",
            "kernels/abi/*.h",
            "tests/operators/*.rs",
            "benches/*.rs",
        ];
        places.map(|place| (place.replace('*', name), String::new()))
    };
    let with_all = all("filter")
        .into_iter()
        .chain(all("scan").into_iter().take(2));
    let complete = Tree::new(with_all.chain([("src/operators/mod.rs".to_string(), String::new())]));
    assert_eq!(
        shown(&doors::doors(&complete, &tables())),
        Vec::<String>::new()
    );

    let without_cpu = all("sort")
        .into_iter()
        .filter(|(path, _)| !path.contains("cpu"));
    let incomplete = Tree::new(without_cpu.chain(all("scan").into_iter().take(3)));
    let expected = [
        "ARCHITECTURE.md:25 scan has its cuda (src/backend/cuda/scan.rs: decoding has kernels of its own)",
        "src/backend/cpu/sort.rs:0 operator sort has no cpu",
    ];
    assert_eq!(shown(&doors::doors(&incomplete, &tables())), expected);
}

#[test]
fn tables_are_checked() {
    let error = |from: &str, to: &str| {
        Tables::parse(&ARCHITECTURE.replace(from, to))
            .map(drop)
            .expect_err("unreadable")
    };
    assert!(error("-- decoding has kernels of its own", "--").contains("ARCHITECTURE.md:25"));
    assert!(error("-> types plan backend", "-> types plans backend").contains("plans"));
    assert!(error("```rooms", "```room").contains("```rooms"));
    let finding = Finding {
        path: "a.rs".into(),
        line: 3,
        rule: "size",
        what: "w".into(),
        remedy: "r".into(),
    };
    assert_eq!(finding.to_string(), "a.rs:3: [size] w\n    remedy: r");
}
