//! `kernels check`: everything about the CUDA sources that can be checked without a GPU.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cuda::{self, Toolkit};
use crate::repository::{
    Check, Outcome, capture, cargo, in_parallel, kernel_files, root, run, run_checks, scratch,
};
use crate::{bindings, docs, format, generate, resources};

/// Where the flags stand that the library's kernels are compiled with.
const BUILD_SCRIPT: &str = include_str!("../../build.rs");
const CHECK_FLAGS: [&str; 6] = [
    "-cubin",
    "-arch=sm_90",
    "-Werror",
    "all-warnings",
    "--resource-usage",
    "-Ikernels",
];
/// Entries of the caches that nobody made for this long are removed.
const CACHE_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

type Sources = BTreeMap<String, String>;

/// Compiles all kernels with nvcc and NVRTC and the headers as C11; checks what is committed.
pub fn check(update: bool) -> Outcome {
    let toolkit = cuda::install()?;
    let sources = kernel_files()?;
    prune_caches()?;
    let checks: [Check<'_>; 8] = [
        ("headers are C11", Box::new(|| headers_are_c11(&sources))),
        (
            "nvcc, and resources per entry",
            Box::new(|| resources::check(&compile_with_nvcc(&toolkit, &sources)?, update)),
        ),
        ("NVRTC", Box::new(|| compile_with_nvrtc(&toolkit, &sources))),
        ("bindings", Box::new(|| bindings::run(!update))),
        ("generated kernels", Box::new(|| generate::run(!update))),
        ("docs/kernels.md", Box::new(|| docs::run(!update))),
        ("format", Box::new(|| format::run(!update))),
        ("cust-interop", Box::new(|| check_cust_interop(&toolkit))),
    ];
    run_checks("kernels check", checks)
}

/// Each header of the ABI must be readable by any C compiler, alone.
fn headers_are_c11(sources: &Sources) -> Outcome {
    let folder = scratch("headers")?;
    let headers = sources
        .keys()
        .filter(|path| path.starts_with("abi/") && path.ends_with(".h"));
    for header in headers {
        let wrapper = folder.join(header.replace('/', "_")).with_extension("c");
        // A C file must declare something.
        fs::write(
            &wrapper,
            format!("#include \"{header}\"\ntypedef int declared;\n"),
        )?;
        let mut gcc = Command::new("gcc");
        gcc.args([
            "-std=c11",
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            "-I",
            "kernels",
        ]);
        run(gcc.arg(&wrapper))?;
    }
    Ok(())
}

/// Compiles every `.cu` file for sm_90 without a warning; answers the file's path and what ptxas
/// said about it.
fn compile_with_nvcc(toolkit: &Toolkit, sources: &Sources) -> Outcome<Vec<(String, String)>> {
    let cache = scratch("nvcc")?;
    let paths = Vec::from_iter(sources.keys().filter(|path| path.ends_with(".cu")).cloned());
    let logs = in_parallel(&paths, |path| {
        let log = cache.join(cache_name(path, sources)).with_extension("log");
        if let Ok(text) = fs::read_to_string(&log) {
            return Ok((path.clone(), text));
        }
        let mut nvcc = Command::new(toolkit.nvcc());
        nvcc.args(build_flags())
            .args(CHECK_FLAGS)
            .arg("-o")
            .arg(log.with_extension("cubin"));
        let text = capture(nvcc.arg(format!("kernels/{path}")))?;
        fs::write(&log, &text)?;
        fs::remove_file(log.with_extension("cubin"))?;
        Ok((path.clone(), text))
    });
    all_or_errors(logs)
}

fn compile_with_nvrtc(toolkit: &Toolkit, sources: &Sources) -> Outcome {
    let program = build_nvrtc_check(toolkit)?;
    let cache = scratch("nvrtc")?;
    let paths = sources.keys().filter(|path| path.ends_with(".cu"));
    let done = |path: &&String| cache.join(cache_name(path, sources)).exists();
    let missing = Vec::from_iter(paths.filter(|path| !done(path)));
    all_or_errors(in_parallel(&missing, |path| {
        let mut command = Command::new(&program);
        // NVRTC looks for its second library by name alone.
        command.env("LD_LIBRARY_PATH", toolkit.lib());
        print!("{}", capture(command.arg("kernels").arg(path))?);
        Ok(fs::write(cache.join(cache_name(path, sources)), "")?)
    }))?;
    Ok(())
}

/// Compiles the library with the feature `cust-interop`. The build scripts of that crate look for a
/// folder `lib64`, which the toolkit's wheels call `lib`; nothing is linked here.
fn check_cust_interop(toolkit: &Toolkit) -> Outcome {
    let folder = scratch("cust")?;
    let link = folder.join("lib64");
    if fs::read_link(&link).ok() != Some(toolkit.lib()) {
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(toolkit.lib(), &link)?;
    }
    let mut check = cargo(&["check", "--quiet", "--package", "pelton"]);
    check.args(["--features", "cust-interop"]);
    run(check.env("CUDA_LIBRARY_PATH", folder))
}

/// The program runs NVRTC in a process of its own, so that this one needs no unsafe code.
fn build_nvrtc_check(toolkit: &Toolkit) -> Outcome<PathBuf> {
    let program = scratch("")?.join("nvrtc_check");
    let source = root().join("xtask/src/nvrtc_check.cpp");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if modified(&program) < modified(&source) {
        let mut compiler = Command::new("g++");
        compiler
            .args(["-std=c++17", "-O1", "-Wall", "-Werror", "-I"])
            .arg(toolkit.include());
        compiler
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(toolkit.lib());
        run(compiler
            .arg("-l:libnvrtc.so.13")
            .arg(format!("-Wl,-rpath,{}", toolkit.lib().display())))?;
    }
    Ok(program)
}

/// The flags of build.rs, without its kind of output.
fn build_flags() -> impl Iterator<Item = &'static str> {
    let line = BUILD_SCRIPT
        .lines()
        .find_map(|line| line.strip_prefix("const FLAGS: &str = \""));
    let flags = line.unwrap_or_default().split(['"', ' ']);
    flags.filter(|flag| flag.starts_with('-') && *flag != "-fatbin")
}

/// A name for what depends on a file and on all that it includes.
fn cache_name(path: &str, sources: &Sources) -> String {
    let mut digest = DefaultHasher::new();
    let mut inputs = BTreeMap::new();
    collect_inputs(path, sources, &mut inputs);
    (BUILD_SCRIPT, CHECK_FLAGS, inputs).hash(&mut digest);
    let stem = path
        .rsplit('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".cu");
    format!("{stem}-{:016x}", digest.finish())
}

fn collect_inputs<'a>(path: &'a str, all: &'a Sources, inputs: &mut BTreeMap<&'a str, &'a str>) {
    if let Some(text) = all.get(path).filter(|_| !inputs.contains_key(path)) {
        inputs.insert(path, text);
        let lines = text.lines().filter(|line| line.starts_with("#include"));
        let headers = lines.filter_map(|line| line.split('"').nth(1));
        headers.for_each(|header| collect_inputs(header, all, inputs));
    }
}

fn all_or_errors<T>(results: Vec<Outcome<T>>) -> Outcome<Vec<T>> {
    let (mut values, mut errors) = (Vec::new(), String::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors += &format!("{error}\n"),
        }
    }
    match errors.is_empty() {
        true => Ok(values),
        false => Err(errors.into()),
    }
}

fn prune_caches() -> Outcome {
    // build.rs keeps its fatbins in the first, and copies what it embeds.
    let target = scratch("")?
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    for folder in [
        target.join("kernel-cache"),
        scratch("nvcc")?,
        scratch("nvrtc")?,
    ] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > CACHE_AGE_MAX {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_found_in_the_build_script() {
        let flags = Vec::from_iter(super::build_flags());
        assert!(
            flags.contains(&"-std=c++17") && !flags.contains(&"-fatbin"),
            "{flags:?}"
        );
    }
}
