//! `gpu-pack`: builds what a machine with a GPU should run, where there is a toolchain but no GPU,
//! and packs it with a script for the other machine, where it is the other way round.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cuda;
use crate::repository::{Outcome, cargo, in_parallel, root, run as run_command};

/// Git-ignored, and small enough to travel with a checkout.
const FOLDER: &str = ".gpu-pack";
const PACK_MIB_MAX: u64 = 60;
const MIB: u64 = 1024 * 1024;
const SCRIPT: &str = include_str!("gpu_run.sh");
/// What a GPU adds nothing to.
const LEFT_OUT: [&str; 1] = ["tidy"];

/// Options of `gpu-pack`.
#[derive(clap::Args)]
pub struct Options {
    /// Packs only the test and bench binaries whose name contains one of these.
    #[arg(long, value_name = "NAME")]
    filter: Vec<String>,
    /// Leaves out the criterion binaries.
    #[arg(long)]
    no_benches: bool,
    /// Leaves out the test binaries.
    #[arg(long)]
    no_tests: bool,
    /// Packs a folder too. It comes to lie at PLACE, seen from the checkout; by default where it lies here.
    #[arg(long, value_name = "DIR[:PLACE]")]
    with: Vec<String>,
}

/// A binary to pack: `kind` is the folder in the pack, `package` the folder to run it in.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Binary {
    kind: &'static str,
    name: String,
    package: String,
    built: PathBuf,
}

/// Builds and packs.
pub fn run(options: &Options) -> Outcome {
    cuda::install()?;
    let mut binaries = BTreeSet::new();
    if !options.no_tests {
        // All default members at once, here and below: one set of features, compiled once.
        let tests = build("test", &["test", "--no-run", "--tests"])?;
        let wanted = |binary: &Binary| ["", "simt"].contains(&binary.package.as_str());
        binaries.extend(tests.into_iter().filter(wanted));
    }
    if !options.no_benches {
        let benches = build("bench", &["bench", "--no-run", "--benches"])?;
        binaries.extend(
            benches
                .into_iter()
                .filter(|binary| !binary.name.ends_with("-unit")),
        );
    }
    binaries.retain(|binary| {
        let chosen = options
            .filter
            .iter()
            .any(|filter| binary.name.contains(filter));
        (chosen || options.filter.is_empty()) && !LEFT_OUT.contains(&binary.name.as_str())
    });
    binaries.extend(build("", &["build", "--bins"])?);
    let binaries = Vec::from_iter(binaries);
    let staging = root().join(FOLDER).join("staging");
    let cleared = fs::remove_dir_all(root().join(FOLDER));
    cleared.or_else(|error| {
        if root().join(FOLDER).exists() {
            Err(error)
        } else {
            Ok(())
        }
    })?;
    stage(&binaries, &staging)?;
    stage_folders(&options.with, &staging)?;
    let size = compress(&staging)?;
    fs::remove_dir_all(&staging)?;
    write_script()?;
    println!("{FOLDER}/pack.tar.xz: {:.1} MiB", size as f64 / MIB as f64);
    if size > PACK_MIB_MAX * MIB {
        return Err(format!(
            "the pack is larger than {PACK_MIB_MAX} MiB: use --filter or --no-benches"
        )
        .into());
    }
    println!("on the machine with a GPU, in the root of the checkout: {FOLDER}/run.sh info test");
    Ok(())
}

/// Runs a release build for the H200 and lists the executables that it made.
fn build(kind: &'static str, arguments: &[&str]) -> Outcome<Vec<Binary>> {
    println!("cargo {}", arguments.join(" "));
    let mut command = cargo(arguments);
    command.args(["--message-format=json-render-diagnostics"]);
    if arguments[0] != "bench" {
        command.arg("--release");
    }
    command
        .env("PELTON_REQUIRE_NVCC", "1")
        .env("PELTON_CUDA_ARCHS", "90");
    let output = command
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")).into());
    }
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    let messages = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter_map(|message| executable(kind, &message))
        .collect())
}

fn executable(kind: &'static str, message: &Value) -> Option<Binary> {
    let built = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.strip_prefix(root()).ok()?;
    let target = &message["target"];
    let is = |wanted: &str| {
        target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == wanted))
    };
    // Building integration tests also builds the package's own programs, as they are.
    let tests = message["profile"]["test"].as_bool()?;
    if tests == kind.is_empty() {
        return None;
    }
    let unit_tests = tests && !is("test") && !is("bench");
    let suffix = if unit_tests { "-unit" } else { "" };
    Some(Binary {
        kind,
        name: format!("{}{suffix}", target["name"].as_str()?),
        package: package.display().to_string(),
        built,
    })
}

/// Copies the binaries without their symbols, and the list that the script reads.
fn stage(binaries: &[Binary], staging: &Path) -> Outcome {
    let copied = in_parallel(binaries, |binary| -> Outcome<u64> {
        let folder = staging.join(binary.kind);
        fs::create_dir_all(&folder)?;
        let copy = folder.join(&binary.name);
        run_command(
            Command::new("strip")
                .arg("-o")
                .arg(&copy)
                .arg(&binary.built),
        )?;
        Ok(fs::metadata(copy)?.len())
    });
    let mut list = String::new();
    for (binary, size) in binaries.iter().zip(copied) {
        let Binary {
            kind,
            name,
            package,
            ..
        } = binary;
        println!("{kind:5} {name}: {:.1} MiB", size? as f64 / MIB as f64);
        list += &format!("{kind}\t{name}\t{package}\n");
    }
    Ok(fs::write(staging.join("binaries.txt"), list)?)
}

/// Copies the folders of `--with` and lists where they go, seen from the checkout.
fn stage_folders(folders: &[String], staging: &Path) -> Outcome {
    let mut list = String::new();
    fs::create_dir_all(staging.join("with"))?;
    for (index, folder) in folders.iter().enumerate() {
        let (folder, place) = folder.split_once(':').unwrap_or((folder, ""));
        let source = root()
            .join(folder)
            .canonicalize()
            .map_err(|error| format!("{folder}: {error}"))?;
        let place = match place {
            "" => place_from_root(&source)
                .ok_or(format!("say where {folder} goes: --with {folder}:PLACE"))?,
            place => place.to_string(),
        };
        run_command(
            Command::new("cp")
                .arg("-rL")
                .arg(&source)
                .arg(staging.join("with").join(index.to_string())),
        )?;
        list += &format!("{index}\t{place}\n");
    }
    Ok(fs::write(staging.join("with.txt"), list)?)
}

/// The way from the root to a folder in it or beside it.
fn place_from_root(folder: &Path) -> Option<String> {
    let inside = folder
        .strip_prefix(root())
        .map(|path| path.display().to_string());
    let beside = || {
        Some(format!(
            "../{}",
            folder.strip_prefix(root().parent()?).ok()?.display()
        ))
    };
    inside.ok().or_else(beside)
}

/// Packs the staged files; answers the size of the pack.
fn compress(staging: &Path) -> Outcome<u64> {
    let pack = root().join(FOLDER).join("pack.tar.xz");
    let mut tar = Command::new("tar")
        .args(["--create", "--sort=name", "--directory"])
        .arg(staging)
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()?;
    let archive = tar.stdout.take().ok_or("tar has no output")?;
    let mut xz = Command::new("xz");
    // The binaries share most of their code: the dictionary spans several of them.
    xz.args(["--stdout", "--threads=1", "--lzma2=preset=6,dict=256MiB"]);
    let compressed = xz
        .stdin(archive)
        .stdout(fs::File::create(&pack)?)
        .status()?
        .success();
    if !(tar.wait()?.success() && compressed) {
        return Err("cannot pack the binaries".into());
    }
    Ok(fs::metadata(pack)?.len())
}

fn write_script() -> Outcome {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut digest = DefaultHasher::new();
    fs::read(root().join(FOLDER).join("pack.tar.xz"))?.hash(&mut digest);
    let script = SCRIPT.replace("@ROOT@", &root().display().to_string());
    let script = script.replace("@DIGEST@", &format!("{:016x}", digest.finish()));
    let path = root().join(FOLDER).join("run.sh");
    fs::write(&path, script)?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}
