//! Compiles every kernel source twice: `checked`, with the compiler's access hooks, and `plain`.
//!
//! Each source is wrapped in a namespace of its own, as nvcc gives each its own module: two sources may
//! then use one name for two things, and the two variants of a template never meet in the linker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// One `extern "C" __global__` function of a source.
struct Entry {
    name: String,
    /// The first argument of `__launch_bounds__`, as written.
    threads_max: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crate_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let kernels = crate_dir.join("../kernels");
    let include = crate_dir.join("include");
    let test_kernels = crate_dir.join("tests/kernels");
    for watched in [&kernels, &include, &test_kernels] {
        println!("cargo:rerun-if-changed={}", watched.display());
    }
    println!("cargo:rerun-if-changed=build.rs");

    let mut sources = Vec::new();
    find_sources(&kernels, &mut sources)?;
    find_sources(&test_kernels, &mut sources)?;
    sources.sort();

    let mut table = Table::default();
    for variant in ["checked", "plain"] {
        let mut wrappers = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let entries = scan_entries(&fs::read_to_string(source)?)
                .map_err(|problem| format!("{}: {problem}", source.display()))?;
            if variant == "plain" {
                table.add(source, &entries)?;
            }
            let stem = source.file_stem().and_then(|stem| stem.to_str()).unwrap_or("kernel");
            let wrapper = out_dir.join(format!("{variant}_{index}_{stem}.cpp"));
            fs::write(&wrapper, wrapper_text(source, variant, index, &entries))?;
            wrappers.push(wrapper);
        }
        if !wrappers.is_empty() {
            compile(variant, &wrappers, &include, &kernels, &test_kernels);
        }
    }
    fs::write(out_dir.join("entries.rs"), table.text())?;
    Ok(())
}

/// All `.cu` files below `dir`; none if it does not exist.
fn find_sources(dir: &Path, sources: &mut Vec<PathBuf>) -> io::Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.is_dir() {
            find_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path.canonicalize()?);
        }
    }
    Ok(())
}

/// The entries of a source: textual, so an entry must be spelled out, not made by a macro.
fn scan_entries(source: &str) -> Result<Vec<Entry>, String> {
    let text = without_comments(source);
    let mut entries = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("extern \"C\"") {
        rest = rest[at + "extern \"C\"".len()..].trim_start();
        let Some(mut head) = rest.strip_prefix("__global__") else { continue };
        let mut threads_max = None;
        let name = loop {
            let open = head.find('(').ok_or("an entry without parameters")?;
            let word = head[..open].split_whitespace().last().unwrap_or_default();
            let inside_end = open + closing(&head[open..]).ok_or("unbalanced parentheses")?;
            if word != "__launch_bounds__" {
                break word.to_owned();
            }
            threads_max = first_argument(&head[open + 1..inside_end]).map(str::to_owned);
            head = &head[inside_end + 1..];
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("cannot read the entry name {name:?}"));
        }
        entries.push(Entry { name, threads_max });
    }
    Ok(entries)
}

/// `source` with its comments blanked.
fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('/') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest.as_bytes().get(1) {
            Some(b'/') => rest.find('\n').unwrap_or(rest.len()),
            Some(b'*') => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            _ => {
                text.push('/');
                rest = &rest[1..];
                continue;
            }
        };
        text.push(' ');
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

/// Where the parenthesis that `text` starts with closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The text before the first comma outside parentheses.
fn first_argument(arguments: &str) -> Option<&str> {
    let mut depth = 0usize;
    for (at, c) in arguments.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return Some(arguments[..at].trim()),
            _ => {}
        }
    }
    Some(arguments.trim()).filter(|argument| !argument.is_empty())
}

/// The C++ file that holds one source in one variant, and what Rust calls.
fn wrapper_text(source: &Path, variant: &str, index: usize, entries: &[Entry]) -> String {
    let mut text = String::from("#include \"simt.h\"\n");
    for Entry { name, .. } in entries {
        let _ = writeln!(text, "#define {name} {name}__{variant}");
    }
    let namespace = format!("simt_{variant}_{index}");
    let _ = writeln!(text, "namespace {namespace} {{\n#include \"{}\"\n}}", source.display());
    for Entry { name, threads_max } in entries {
        let _ = writeln!(
            text,
            "extern \"C\" void simt_run_{variant}_{name}(const void *params) {{ \
             simt_call({namespace}::{name}, params); }}"
        );
        if variant == "plain" {
            let bound = threads_max.as_deref().unwrap_or("1024");
            let _ = writeln!(
                text,
                "extern \"C\" uint64_t simt_params_bytes_{name}(void) {{ \
                 return simt_params_bytes({namespace}::{name}); }}\n\
                 namespace {namespace} {{ static const uint32_t simt_bound_{name} = (uint32_t)({bound}); }}\n\
                 extern \"C\" uint32_t simt_threads_max_{name}(void) {{ \
                 return {namespace}::simt_bound_{name}; }}"
            );
        }
    }
    text
}

/// What Rust includes: declarations of the wrappers, and the table of entries.
#[derive(Default)]
struct Table {
    names: Vec<String>,
}

impl Table {
    fn add(&mut self, source: &Path, entries: &[Entry]) -> Result<(), String> {
        for Entry { name, .. } in entries {
            if self.names.contains(name) {
                return Err(format!("{}: a second entry named {name}", source.display()));
            }
            self.names.push(name.clone());
        }
        Ok(())
    }

    fn text(mut self) -> String {
        self.names.sort();
        let mut text = String::from("unsafe extern \"C\" {\n");
        for name in &self.names {
            let _ = writeln!(
                text,
                "    fn simt_run_checked_{name}(params: *const u8);\n    \
                 fn simt_run_plain_{name}(params: *const u8);\n    \
                 safe fn simt_params_bytes_{name}() -> u64;\n    \
                 safe fn simt_threads_max_{name}() -> u32;"
            );
        }
        text.push_str("}\n/// Every entry, sorted by name.\npub(crate) static ENTRIES: &[Entry] = &[\n");
        for name in &self.names {
            let _ = writeln!(
                text,
                "    Entry {{ name: {name:?}, checked: simt_run_checked_{name}, \
                 plain: simt_run_plain_{name}, params_bytes: simt_params_bytes_{name}, \
                 threads_max: simt_threads_max_{name} }},"
            );
        }
        text.push_str("];\n");
        text
    }
}

fn compile(variant: &str, wrappers: &[PathBuf], include: &Path, kernels: &Path, tests: &Path) {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .cpp_link_stdlib(None)
        .files(wrappers)
        .include(include)
        .include(kernels)
        .std("c++17")
        // Kernels run for every row of every test, whatever the profile of the tests.
        .opt_level(2)
        .debug(false)
        .flag("-g1")
        .flag("-fno-strict-aliasing")
        .flag("-fno-exceptions")
        .flag("-fno-rtti")
        .flag("-fno-threadsafe-statics")
        .flag("-ffp-contract=off")
        .flag("-fwrapv")
        .flag("-Wno-unknown-pragmas")
        .flag("-Wno-unused-function")
        .flag("-Wno-unused-variable")
        .flag_if_supported("-Wno-tsan")
        .extra_warnings(false);
    for (dir, shown) in [(kernels, "kernels"), (tests, "simt/tests/kernels")] {
        if let Ok(dir) = dir.canonicalize() {
            build.flag_if_supported(format!("-fmacro-prefix-map={}={shown}", dir.display()));
        }
    }
    if variant == "checked" {
        build
            .flag("-fsanitize=thread")
            // Functions need no hooks, only accesses; and no access may be made up or merged.
            .flag_if_supported("--param=tsan-instrument-func-entry-exit=0")
            .flag_if_supported("-fno-hoist-adjacent-loads")
            .flag_if_supported("-fno-tree-vectorize")
            .flag_if_supported("-fno-store-merging");
    }
    build.compile(&format!("pelton_simt_{variant}"));
}
