//! The checkout and its files, and the commands that run in it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// What a task answers.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The root of the checkout that this binary was built from.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where tasks keep what they need not keep: below cargo's target directory.
pub fn scratch(name: &str) -> Outcome<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let folder = root().join(target).join("xtask").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs a command in the root of the checkout, showing what it prints.
pub fn run(command: &mut Command) -> Outcome {
    let status = command.current_dir(root()).status();
    match status
        .map_err(|error| start_error(command, &error))?
        .success()
    {
        true => Ok(()),
        false => Err(format!("failed: {}", shown(command)).into()),
    }
}

/// Runs a command in the root of the checkout. Answers what it printed on both outputs, as an error
/// if it failed.
pub fn capture(command: &mut Command) -> Outcome<String> {
    let output = command.current_dir(root()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| start_error(command, &error))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("failed: {}\n{text}", shown(command)).into()),
    }
}

fn start_error(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    format!("cannot start {program}: {error}")
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Vec::from_iter(words.map(|word| word.to_string_lossy())).join(" ")
}

/// A cargo command of the toolchain that runs this task.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// The files below `folder` that end in one of `extensions`: path below the folder, text.
pub fn read_files(folder: &Path, extensions: &[&str]) -> Outcome<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    read_files_below(folder, "", extensions, &mut files)?;
    Ok(files)
}

fn read_files_below(
    folder: &Path,
    prefix: &str,
    extensions: &[&str],
    files: &mut BTreeMap<String, String>,
) -> Outcome {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            read_files_below(&path, &format!("{prefix}{name}/"), extensions, files)?;
        } else if extensions
            .iter()
            .any(|extension| path.extension().is_some_and(|e| e == *extension))
        {
            files.insert(format!("{prefix}{name}"), fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The CUDA sources and headers: path below `kernels/`, text.
pub fn kernel_files() -> Outcome<BTreeMap<String, String>> {
    read_files(&root().join("kernels"), &["cu", "cuh", "h"])
}

/// Writes `text` to a file of the checkout, or checks that the file holds it.
pub fn write_or_compare(path: &str, text: &str, check: bool, command: &str) -> Outcome {
    let file = root().join(path);
    let committed = fs::read_to_string(&file).unwrap_or_default();
    if committed == text {
        println!("{path} is up to date");
    } else if check {
        let difference = difference(&committed, text);
        return Err(format!("{path} is stale, run `{command}`\n{difference}").into());
    } else {
        fs::create_dir_all(file.parent().unwrap_or(root()))?;
        fs::write(&file, text)?;
        println!("{path} written");
    }
    Ok(())
}

/// The lines that stand in one text only: good enough to see what changed in a generated file.
pub fn difference(old: &str, new: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let lines_not_in = |from: &str, other: &str, mark: char| {
        let mut counts = BTreeMap::<&str, usize>::new();
        other
            .lines()
            .for_each(|line| *counts.entry(line).or_default() += 1);
        let mut missing = Vec::new();
        for line in from.lines() {
            match counts.get_mut(line) {
                Some(count) if *count > 0 => *count -= 1,
                _ => missing.push(format!("{mark} {line}\n")),
            }
        }
        missing
    };
    let mut lines = lines_not_in(old, new, '-');
    lines.extend(lines_not_in(new, old, '+'));
    let hidden = lines.len().saturating_sub(SHOWN_MAX);
    lines.truncate(SHOWN_MAX);
    if hidden > 0 {
        lines.push(format!("  and {hidden} more lines\n"));
    }
    lines.concat()
}

/// Calls `work` for every item, several at a time; answers in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.iter().enumerate());
    let done = Mutex::new(BTreeMap::new());
    let take = || queue.lock().ok().and_then(|mut queue| queue.next());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((index, item)) = take() {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.insert(index, result);
                    }
                }
            });
        }
    });
    done.into_inner()
        .map(|done| done.into_values().collect())
        .unwrap_or_default()
}

/// A check's name and what it does.
pub type Check<'a> = (&'static str, Box<dyn FnOnce() -> Outcome + 'a>);

/// Runs every check, also after one failed, with a line of verdict each; the error names the failed.
pub fn run_checks<'a>(task: &str, checks: impl IntoIterator<Item = Check<'a>>) -> Outcome {
    let mut failed = Vec::new();
    for (name, check) in checks {
        let start = Instant::now();
        let result = check();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        if let Err(error) = result {
            eprintln!("{error}");
            failed.push(name);
        }
        println!(
            "{task}: {name}: {verdict} ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("{task} failed: {}", failed.join(", ")).into()),
    }
}
