//! The header and the example in C: compiled by `cc` without a warning, linked, run on the emulator.

#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

// The library is built because this test depends on it.
use pelton_capi as _;

fn root() -> &'static Path {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR"));
    capi.ancestors().nth(2).expect("the root of the workspace")
}

fn header() -> PathBuf {
    root().join("adapters/capi/include")
}

/// Runs a command, and answers what it printed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The folder of the shared library that cargo built for this test.
fn library_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folders = test.ancestors().skip(1).take(2);
    let has_library = |folder: &&Path| folder.join("libpelton_capi.so").is_file();
    let folder = { folders }.find(has_library);
    folder.expect("libpelton_capi.so beside the test").into()
}

#[test]
fn the_header_is_c11_and_cplusplus() {
    let folder = tempfile::tempdir().expect("a folder");
    for (program, standard, name) in [
        ("cc", "-std=c11", "header.c"),
        ("c++", "-std=c++11", "header.cpp"),
        ("c++", "-std=c++20", "header.cpp"),
    ] {
        let source = folder.path().join(name);
        fs::write(&source, "#include \"pelton.h\"\nint declared;\n").expect("a file");
        let mut compiler = Command::new(program);
        compiler.args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror"]);
        compiler.arg("-fsyntax-only").arg("-I").arg(header());
        output(compiler.arg(&source));
    }
}

#[test]
fn the_example_filters_and_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("link_kernels");
    let library = library_folder();
    let mut search = OsStr::new("-Wl,-rpath,").to_os_string();
    search.push(&library);
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-g"]);
    compiler.arg("-I").arg(header());
    compiler.arg(root().join("examples/link_kernels.c"));
    compiler.arg("-o").arg(&program);
    compiler.arg("-L").arg(&library).arg("-lpelton_capi");
    output(compiler.arg(search));
    expect_test::expect![[r#"
        7 of 12 orders are large
        region 1: 3 orders, sum 1010, min 120, max 640
        region 2: 2 orders, sum 280, min 100, max 180
        region 3: 2 orders, sum 710, min 310, max 400
        status 1: filter: a column of Int64 stands where Boolean is taken; pass a column of that type
    "#]]
    .assert_eq(&output(Command::new(&program).arg("simt")));
}
