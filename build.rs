//! Compiles each `kernels/**/*.cu` with nvcc, if there is one, and embeds fatbins and sources.
//!
//! Without nvcc, a normal case, NVRTC builds the sources on first use; `PELTON_REQUIRE_NVCC=1` makes
//! it an error, `PELTON_NVCC=none` asks for it. Fatbins are cached by a digest of all they depend on,
//! so other profiles and checkouts with the same target folder need not compile them again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::{env, fs, process::Command, thread};

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Sources = BTreeMap<String, String>; // path below `kernels/` -> text
type Built = (BTreeMap<String, PathBuf>, String); // stem -> fatbin, and what they were built for
const TOOLKITS: &str = "CUDA_HOME CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR";
const SEARCHED: &str = "PELTON_NVCC NVCC PATH VIRTUAL_ENV";
const CHOICES: &str = "PELTON_CUDA_ARCHS PELTON_REQUIRE_NVCC DOCS_RS";
const FLAGS: &str = "-fatbin -O3 -std=c++17 --fmad=false --expt-relaxed-constexpr";

fn main() -> Fallible<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (folder, mut sources) = (root.join("kernels"), Sources::new());
    read_sources(&folder, "", &mut sources)?;
    println!("cargo:rerun-if-changed=build.rs\ncargo:rerun-if-changed=kernels");
    for name in [TOOLKITS, SEARCHED, CHOICES].join(" ").split(' ') {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let wanted = value("CARGO_FEATURE_CUDA").is_some() && value("DOCS_RS").is_none();
    let nvcc = find_nvcc(&root).filter(|_| wanted);
    if wanted && nvcc.is_none() && value("PELTON_REQUIRE_NVCC").is_some() {
        return Err("PELTON_REQUIRE_NVCC is set, but there is no nvcc: `cargo xtask cuda`".into());
    }
    let built = nvcc.map(|nvcc| compile_all(&nvcc, &folder, &sources, &out));
    let (fatbins, built_for) = built.transpose()?.unwrap_or_default();
    let mut text = "pub static FATBINS: &[(&str, &[u8])] = &[\n".to_string();
    for (stem, fatbin) in &fatbins {
        let copy = out.join(stem); // so that the cache can be emptied at any time
        fs::copy(fatbin, &copy)?;
        text += &format!("    ({stem:?}, include_bytes!({copy:?})),\n");
    }
    text += "];\npub static SOURCES: &[(&str, &str)] = &[\n";
    for path in sources.keys() {
        text += &format!("    ({path:?}, include_str!({:?})),\n", folder.join(path));
    }
    text += &format!("];\npub static BUILT_FOR: &str = {built_for:?};\n");
    Ok(fs::write(out.join("embedded_kernels.rs"), text)?)
}

fn value(name: &str) -> Option<String> {
    let value = env::var(name).ok()?;
    (!value.is_empty() && value != "0").then_some(value)
}

fn read_sources(folder: &Path, prefix: &str, sources: &mut Sources) -> Fallible<()> {
    for path in subpaths(folder, "") {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().display());
        if path.is_dir() {
            read_sources(&path, &(name + "/"), sources)?;
        } else if [".cu", ".cuh", ".h"].iter().any(|end| name.ends_with(end)) {
            sources.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn subpaths(folder: &Path, prefix: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).collect()
}

fn find_nvcc(root: &Path) -> Option<PathBuf> {
    if let Some(chosen) = value("PELTON_NVCC") {
        return (chosen != "none").then(|| chosen.into());
    }
    let mut candidates = Vec::from_iter(value("NVCC").map(PathBuf::from));
    let toolkits = TOOLKITS.split(' ').filter_map(value);
    candidates.extend(toolkits.map(|root| Path::new(&root).join("bin/nvcc")));
    let path = env::var_os("PATH").unwrap_or_default();
    candidates.extend(env::split_paths(&path).map(|folder| folder.join("nvcc")));
    candidates.push(root.join(".cuda/nvidia/cu13/bin/nvcc"));
    let venv = PathBuf::from(value("VIRTUAL_ENV").unwrap_or_default());
    let pythons = subpaths(&venv.join("lib"), "python").into_iter();
    candidates.extend(pythons.map(|python| python.join("site-packages/nvidia/cu13/bin/nvcc")));
    let installed = subpaths(Path::new("/usr/local"), "cuda").into_iter();
    candidates.extend(installed.map(|toolkit| toolkit.join("bin/nvcc")));
    candidates.into_iter().find(|path| path.is_file())
}

/// Compiles what is not in the cache, several files at a time.
fn compile_all(nvcc: &Path, folder: &Path, sources: &Sources, out: &Path) -> Fallible<Built> {
    let output = Command::new(nvcc).arg("--version").output();
    let output = output.map_err(|error| format!("{nvcc:?}: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let release = version.split("release ").last().unwrap_or_default();
    let release = release.split(',').next().unwrap_or_default();
    let archs = value("PELTON_CUDA_ARCHS").unwrap_or("80;90".into());
    let lowest = archs.split(';').min_by_key(|arch| (arch.len(), *arch));
    let lowest = lowest.unwrap_or_default();
    let mut flags = format!("{FLAGS} -gencode arch=compute_{lowest},code=compute_{lowest}");
    for arch in archs.split(';') {
        flags += &format!(" -gencode arch=compute_{arch},code=sm_{arch}");
    }
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let cache = out.ancestors().nth(4).unwrap_or(out).join("kernel-cache");
    fs::create_dir_all(&cache)?;
    let (mut fatbins, mut missing) = (BTreeMap::new(), Vec::new());
    for path in sources.keys().filter(|path| path.ends_with(".cu")) {
        let (mut inputs, mut digest) = (BTreeMap::new(), DefaultHasher::new());
        collect_inputs(path, sources, &mut inputs);
        (&version, &flags, inputs).hash(&mut digest);
        let stem = path[..path.len() - 3].rsplit('/').next().unwrap_or(path);
        let fatbin = cache.join(format!("{stem}-{:016x}.fatbin", digest.finish()));
        if !fatbin.is_file() {
            missing.push((folder.join(path), fatbin.clone()));
        }
        fatbins.insert(stem.to_string(), fatbin);
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let compile_some = || {
        while let Some((source, fatbin)) = missing.get(next.fetch_add(1, Relaxed)) {
            let partial = fatbin.with_extension(std::process::id().to_string());
            let mut command = Command::new(nvcc);
            command.args(flags.split(' ')).arg("-I").arg(folder);
            command.arg(source).arg("-o").arg(&partial);
            let compiled = command.status().is_ok_and(|status| status.success());
            failed.fetch_or(!compiled || fs::rename(&partial, fatbin).is_err(), Relaxed);
        }
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        (0..count).for_each(|_| drop(scope.spawn(compile_some)));
    });
    let names = archs.replace(';', ",sm_");
    let built_for = format!("sm_{names},compute_{lowest} nvcc {release}");
    let built = (!failed.into_inner()).then_some((fatbins, built_for));
    built.ok_or("nvcc failed, see its messages".into())
}

/// The texts that the file at `path` depends on, by following its includes.
fn collect_inputs<'a>(path: &'a str, all: &'a Sources, inputs: &mut BTreeMap<&'a str, &'a str>) {
    if let Some(text) = all.get(path).filter(|_| !inputs.contains_key(path)) {
        inputs.insert(path, text);
        let lines = text.lines().filter(|line| line.starts_with("#include"));
        let headers = lines.filter_map(|line| line.split('"').nth(1));
        headers.for_each(|header| collect_inputs(header, all, inputs));
    }
}
