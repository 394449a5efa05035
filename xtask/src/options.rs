//! Writes `docs/options.md` from the library's table of options, as `pelton config` shows it, and from
//! the table of other names that stands here.

use std::fs;

use serde_json::Value;

use crate::repository::{Outcome, cargo, run as run_command, scratch, write_or_compare};

const OUTPUT: &str = "docs/options.md";
const COMMAND: &str = "cargo xtask options";

const INTRODUCTION: &str = "\
# Options

A value comes from the program or the command line (`EngineOptions::set`, `-o name=value`), else from
the environment, else from a file, else it is the default. The file is that of
`EngineOptions::from_env_and_file` or `pelton --config FILE`, else the one that `PELTON_CONFIG` names, else
there is none. `pelton config` shows every option with its value and where that came from.

A file is TOML without sections. Text stands in quotes; a number may be an integer, and what is true or
false a boolean. A name that is no option, or a value that is none of it, is an error with its line.

";

const OTHER_NAMES_INTRODUCTION: &str = "
## By the names of cudf-polars

What the options of its `StreamingOptions` are called here.

";

/// Options of cudf-polars, ours, and what is different; where we have none, why.
type OtherName<'a> = (&'a str, &'a [&'a str], &'a str);

const OTHER_NAMES: &[OtherName] = &[
    (
        "num_streaming_threads",
        &["num_streaming_threads"],
        "threads that run partitions, not coroutines",
    ),
    ("num_streams", &["num_streams"], ""),
    (
        "log",
        &["log"],
        "`PRINT` has no counterpart; `error` is one more level",
    ),
    ("statistics", &["statistics"], ""),
    ("memory_reserve_timeout", &["memory_reserve_timeout"], ""),
    (
        "allow_overbooking_by_default",
        &["allow_overbooking_by_default"],
        "never beyond a tier's own limit",
    ),
    (
        "pinned_memory",
        &["pinned_memory"],
        "for reading files too, not for spilling alone",
    ),
    (
        "pinned_initial_pool_size",
        &["pinned_initial_pool_size"],
        "",
    ),
    (
        "pinned_max_pool_size",
        &["pinned_memory_limit"],
        "the pool is all that is pinned, so that its size is the tier's limit",
    ),
    (
        "spill_device_limit",
        &["spill_device_limit", "spill_host_limit"],
        "the host has a limit of its own, and spills to disk",
    ),
    ("periodic_spill_check", &["periodic_spill_check"], ""),
    (
        "unbounded_file_read_cache",
        &[],
        "files stay in the system's page cache, as far as that goes; a query that takes its bytes from \
         memory of ours would measure nothing",
    ),
    (
        "ucxx_progress_mode",
        &[],
        "there is no UCX under the messages of ranks",
    ),
    (
        "fallback_mode",
        &["fallback_mode"],
        "the CPU runs the operator",
    ),
    ("target_partition_size", &["target_partition_size"], ""),
    ("broadcast_limit", &["broadcast_limit"], ""),
    (
        "max_rows_per_partition",
        &["max_rows_per_partition"],
        "for files on the CPU backend, too",
    ),
    (
        "dynamic_planning",
        &["dynamic_planning", "sample_chunk_count"],
        "what filters of a scan drop, and the sides of a join; ranks agree on their exchanges before",
    ),
    (
        "join_filter_pushdown",
        &[
            "join_filter_pushdown",
            "join_filter_threshold",
            "join_filter_bloom_max_size",
        ],
        "an option for each of its fields",
    ),
    (
        "max_concurrent_io_tasks",
        &["max_concurrent_io_tasks"],
        "one number for local and remote files; who reads a partition computes it, too",
    ),
    ("num_py_executors", &[], "there is no Python"),
    ("sink_to_directory", &["sink_to_directory"], ""),
    (
        "client_device_threshold",
        &[],
        "there is no client apart from the engine",
    ),
    (
        "quent_context",
        &["trace"],
        "a file for Perfetto or Chrome; and `tracing` spans for any listener of the program",
    ),
    (
        "kvikio_statistics",
        &["statistics"],
        "bytes read, and time spent reading, are among the counters",
    ),
    (
        "kvikio_nthreads",
        &["max_concurrent_io_tasks", "num_streaming_threads"],
        "workers read for themselves; there is no pool of readers",
    ),
    (
        "kvikio_remote_io_backend",
        &[],
        "there is one client for object stores",
    ),
    (
        "kvikio_task_size",
        &[],
        "fixed: 4 MiB of a local file, 8 MiB of an object",
    ),
    (
        "kvikio_bounce_buffer_bytes",
        &[],
        "fixed: slabs of 4 MiB keep the link to the device full",
    ),
    (
        "kvikio_reactor_count, kvikio_reactor_dispatch, kvikio_request_ceiling",
        &[],
        "requests to object stores belong to the process, not to an engine: 64 at one time",
    ),
];

/// A file of options, as the page shows it.
const EXAMPLE: &str = "\
backend = \"cuda\"
num_streaming_threads = 8
device_memory_limit = \"60%\"
spill_folder = \"/scratch\"
parquet_bloom_filter = false
";

/// Generates the page, and writes or compares it.
pub fn run(check: bool) -> Outcome {
    let page = page(&table()?, OTHER_NAMES)?;
    write_or_compare(OUTPUT, &page, check, COMMAND)
}

/// The table of options, which the example is read along with.
fn table() -> Outcome<Vec<Value>> {
    let folder = scratch("options")?;
    let (example, table) = (folder.join("example.toml"), folder.join("table.json"));
    fs::write(&example, EXAMPLE)?;
    let mut pelton = cargo(&["run", "--quiet", "--package", "pelton-cli", "--", "config"]);
    pelton.arg("--config").arg(example);
    pelton.arg("--output").arg(&table);
    run_command(&mut pelton)?;
    Ok(serde_json::from_str(&fs::read_to_string(table)?)?)
}

fn page(options: &[Value], other_names: &[OtherName]) -> Outcome<String> {
    let mut text = format!("<!-- Generated by `{COMMAND}`; do not edit. -->\n\n{INTRODUCTION}");
    text += &format!("```toml\n{EXAMPLE}```\n\n");
    text += &head([
        "option",
        "variable",
        "a value is",
        "unit",
        "default",
        "meaning",
    ]);
    let mut names = Vec::new();
    for option in options {
        let cell = |column: &str| match option[column].as_str() {
            Some(text) => Ok(text),
            None => Err(format!("`pelton config` has no {column}")),
        };
        let name = cell("option")?;
        names.push(name);
        text += &row([
            &code(name),
            &code(&format!("PELTON_{}", name.to_uppercase())),
            cell("type")?,
            cell("unit")?,
            match cell("default")? {
                "" => "none",
                default => default,
            },
            cell("meaning")?,
        ]);
    }
    text += OTHER_NAMES_INTRODUCTION;
    text += &head([
        "cudf-polars",
        "here",
        "what is different, or why there is none",
    ]);
    for (theirs, ours, remark) in other_names {
        if let Some(wrong) = ours.iter().find(|name| !names.contains(name)) {
            return Err(format!("`{theirs}` is said to be `{wrong}`, which is no option").into());
        }
        let theirs = Vec::from_iter(theirs.split(", ").map(code)).join(", ");
        let ours = Vec::from_iter(ours.iter().copied().map(code)).join(", ");
        text += &row([&theirs, &ours, remark]);
    }
    Ok(text)
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

/// The first two lines of a table of Markdown.
fn head<const N: usize>(columns: [&str; N]) -> String {
    row(columns) + &row(columns.map(|_| "---"))
}

/// A line of a table of Markdown.
fn row<const N: usize>(cells: [&str; N]) -> String {
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options() -> [Value; 2] {
        let of = |name: &str, default: &str| {
            json!({
                "option": name, "value": "7", "type": "a | b", "unit": "rows",
                "default": default, "meaning": "Means it."
            })
        };
        [of("log", "warn"), of("trace", "")]
    }

    #[test]
    fn every_option_has_a_line() -> Outcome {
        let page = page(&options(), &[("log, logs", &["log"], "less")])?;
        for line in [
            "| `log` | `PELTON_LOG` | a \\| b | rows | warn | Means it. |",
            "| `trace` | `PELTON_TRACE` | a \\| b | rows | none | Means it. |",
            "| `log`, `logs` | `log` | less |",
        ] {
            assert_eq!(
                page.lines().filter(|found| *found == line).count(),
                1,
                "{page}"
            );
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_said_is_an_error() {
        let error = |options: &[Value], names: &[OtherName]| {
            let page = page(options, names);
            page.unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(
            error(&options(), &[("log", &["logs"], "")]),
            "`log` is said to be `logs`, which is no option"
        );
        assert_eq!(
            error(&[json!({"option": "log"})], &[]),
            "`pelton config` has no type"
        );
    }
}
