//! Every option of the engine: its name, type, default and meaning, in one table.
//!
//! The table drives parsing, listing, errors and `docs/options.md`. A value comes, in this order, from
//! an explicit [`EngineOptions::set`], from the environment (`PELTON_<NAME>`), from a file (`file`), or
//! from the default. This is the only file of the library that reads environment variables, and only
//! [`EngineOptions::from_env`] and [`EngineOptions::from_env_and_file`] do.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod file;
mod names;
mod values;

use names::suggestion;
pub use values::{
    BackendOption, ExecutorOption, FallbackMode, LateDecodingOption, LogLevel, MemoryLimit,
};
use values::{Bytes, Count, FileName, OptionValue, Pause, Ratio, Rows, ValueKind};

use crate::error::{Error, Result};

/// Variables with our prefix that are no options: they steer builds and tests.
const OTHER_VARIABLES: [&str; 14] = [
    "PELTON_BENCH_CSV",
    "PELTON_BENCH_ROWS",
    "PELTON_CACHE_DIR",
    "PELTON_CASES",
    "PELTON_CUDA_ARCHS",
    "PELTON_EMULATED",
    "PELTON_MUTANT",
    "PELTON_MUTANTS",
    "PELTON_NCCL_LIBRARY",
    "PELTON_NVCC",
    "PELTON_PLAN",
    "PELTON_REQUIRE_CONFORMANCE",
    "PELTON_REQUIRE_GPU",
    "PELTON_REQUIRE_NVCC",
];

const PREFIX: &str = "PELTON_";

/// The variable that names a file of options.
pub const FILE_VARIABLE: &str = "PELTON_CONFIG";

/// Where an option's value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptionSource {
    /// Nobody set it.
    Default,
    /// A file of options.
    File,
    /// An environment variable.
    Environment,
    /// The program or the command line.
    Explicit,
}

impl fmt::Display for OptionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OptionSource::Default => "default",
            OptionSource::File => "file",
            OptionSource::Environment => "env",
            OptionSource::Explicit => "explicit",
        })
    }
}

/// One row of the table of options.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The name, as in `name=value`; the environment variable is `PELTON_` and it in capitals.
    pub name: &'static str,
    /// What a value looks like.
    pub expected: &'static str,
    /// The unit, or empty.
    pub unit: &'static str,
    /// What the option does.
    pub doc: &'static str,
    /// What the default is, in words; empty where it is the same on every machine.
    machine_default: &'static str,
    /// What of TOML a value may be, beside a string.
    kind: ValueKind,
    parse: fn(&mut EngineOptions, &str) -> bool,
    print: fn(&EngineOptions) -> String,
}

impl OptionSpec {
    /// The environment variable that sets the option.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_uppercase())
    }

    /// The default: in words where it depends on the machine, else as text that
    /// [`EngineOptions::set`] reads.
    pub fn default_text(&self) -> String {
        match self.machine_default {
            "" => (self.print)(&EngineOptions::default()),
            words => words.to_string(),
        }
    }
}

/// An option with its value and where that came from.
#[derive(Debug, Clone)]
pub struct OptionSetting {
    /// The row of the table.
    pub spec: &'static OptionSpec,
    /// The value, as text that [`EngineOptions::set`] reads.
    pub value: String,
    /// Where it came from.
    pub source: OptionSource,
}

/// A quarter more than there are cores: where some wait for a device, others read files.
fn threads_default() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from((cores + cores / 4).min(20)).unwrap_or(1)
}

macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $unit:literal $(, $machine:literal)?;)*) => {
        /// The options of an engine.
        ///
        /// ```
        /// use pelton::options::{EngineOptions, OptionSource};
        /// # fn main() -> pelton::Result<()> {
        /// let mut options = EngineOptions::default();
        /// options.set("target_partition_size", "64MiB")?;
        /// let error = options.set("target_partition_sizes", "1").unwrap_err().to_string();
        /// assert!(error.contains("did you mean `target_partition_size`?"), "{error}");
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Debug, Clone)]
        pub struct EngineOptions {
            $($name: $type,)*
            sources: BTreeMap<&'static str, OptionSource>,
        }

        impl Default for EngineOptions {
            /// The defaults. Reads no environment.
            fn default() -> Self {
                EngineOptions {
                    $($name: $default,)*
                    sources: BTreeMap::new(),
                }
            }
        }

        /// Every option, in the order in which they are listed.
        pub static OPTIONS: &[OptionSpec] = &[
            $(OptionSpec {
                name: stringify!($name),
                expected: <$type as OptionValue>::EXPECTED,
                unit: $unit,
                doc: concat!($($doc),+).trim_ascii(),
                machine_default: concat!("", $($machine)?),
                kind: <$type as OptionValue>::KIND,
                parse: |options, text| match <$type as OptionValue>::parse(text) {
                    Some(value) => {
                        options.$name = value;
                        true
                    }
                    None => false,
                },
                print: |options| OptionValue::print(&options.$name),
            },)*
        ];
    };
}

options! {
    /// The backend that runs queries.
    backend: BackendOption = BackendOption::Auto, "";
    /// The CUDA device, by index.
    device: u32 = 0, "";
    /// How the pipelines of a query are run.
    executor: ExecutorOption = ExecutorOption::Streaming, "";
    /// Threads that each run partitions on a stream of their own.
    num_streaming_threads: Count = Count(threads_default()), "threads", "five for four cores, at most 20";
    /// CUDA streams of the engine.
    num_streams: Count = Count(20), "streams";
    /// Uncompressed bytes that are read together; 0 chooses by the size of the scan.
    target_partition_size: Bytes = Bytes(0), "bytes";
    /// Most rows of one batch.
    max_rows_per_partition: Rows = Rows(1_000_000), "rows";
    /// Partitions of one scan that are read, and then computed, at one time; 0 for as many as there are
    /// threads.
    max_concurrent_io_tasks: u32 = 0, "partitions";
    /// Device memory that may be reserved, of what is free.
    device_memory_limit: MemoryLimit = MemoryLimit::Percent(90.0), "bytes or %";
    /// Device memory in which column chunks of files are kept for later queries, of the limit; 0 for none.
    column_cache_limit: MemoryLimit = MemoryLimit::Percent(30.0), "bytes or %";
    /// Pinned host memory that may be reserved, of the host's memory. Half of it may hold what is
    /// spilled from a device, which goes to other host memory when that is full.
    pinned_memory_limit: MemoryLimit = MemoryLimit::Percent(50.0), "bytes or %";
    /// Whether bytes on their way to and from the device pass pinned memory; else pageable memory, which
    /// counts as host memory and is slower.
    pinned_memory: bool = true, "";
    /// Pinned memory that is allocated when the engine starts, of the host's memory; more follows as it
    /// is needed.
    pinned_initial_pool_size: MemoryLimit = MemoryLimit::Bytes(0), "bytes or %";
    /// Host memory that may be reserved, of the host's memory.
    host_memory_limit: MemoryLimit = MemoryLimit::Percent(90.0), "bytes or %";
    /// Bytes of spill files.
    disk_limit: MemoryLimit = MemoryLimit::Percent(100.0), "bytes or %";
    /// Whether batches that wait are moved to lower tiers when memory is short.
    spill: bool = true, "";
    /// Device memory in use beyond which batches that wait are moved to the host, of the limit.
    spill_device_limit: MemoryLimit = MemoryLimit::Percent(80.0), "bytes or %";
    /// Host memory in use beyond which batches that wait are moved to disk, of the limit.
    spill_host_limit: MemoryLimit = MemoryLimit::Percent(80.0), "bytes or %";
    /// Folder of spill files, which have no names there.
    spill_folder: Option<String> = None, "", "the system's temporary folder";
    /// How often a thread looks whether memory in use is beyond the limits of spilling.
    periodic_spill_check: Pause = Pause(Some(Duration::from_millis(1))), "duration";
    /// How long a reservation waits for others to end before it fails.
    memory_reserve_timeout: Duration = Duration::from_millis(100), "duration";
    /// How long a query may take; it then ends with an error.
    deadline: Pause = Pause(None), "duration";
    /// Batches that wait between two pipelines at most.
    channel_messages: Count = Count(1), "batches";
    /// Bytes of the batches that wait between two pipelines; one always may.
    channel_bytes: Bytes = Bytes(2 << 30), "bytes";
    /// Whether the keys of a join's build side prune the scan of its probe side.
    join_filter_pushdown: bool = true, "";
    /// Most bytes of a Bloom filter of a build side's keys, which drops rows of the probe side's scan; 0
    /// makes none.
    join_filter_bloom_max_size: Bytes = Bytes(32 << 20), "bytes";
    /// Such a filter is made if the build side has at most this share of the scan's rows.
    join_filter_threshold: Ratio = Ratio(0.5), "";
    /// Whether what the first batches of an input are like changes what was planned.
    dynamic_planning: bool = true, "";
    /// Batches of an input that are sampled for it.
    sample_chunk_count: Count = Count(2), "batches";
    /// Bytes of a build side that every one of several ranks may get; 0 chooses by the device's memory.
    broadcast_limit: Bytes = Bytes(0), "bytes";
    /// Whether memory that was waited for in vain is taken beyond the limit of spilling, never beyond the
    /// tier's own.
    allow_overbooking_by_default: bool = true, "";
    /// Compare the pages of Parquet files with their checksums, where they have any.
    parquet_check_crc: bool = true, "";
    /// Compare them also where kernels decompress the pages: the host then reads every byte.
    parquet_check_crc_device: bool = false, "";
    /// Read Bloom filters where they may exclude row groups.
    parquet_bloom_filter: bool = true, "";
    /// Read dictionaries where they may exclude row groups.
    parquet_dictionary_pruning: bool = true, "";
    /// Read page indexes where they may exclude row groups or pages.
    parquet_page_index: bool = true, "";
    /// On a device decode columns only where the predicate of the scan leaves rows.
    parquet_late_decoding: LateDecodingOption = LateDecodingOption::Auto, "";
    /// Write a result as a folder of Parquet files instead of one; each has as many rows as a row group
    /// may have, unless told otherwise.
    sink_to_directory: bool = false, "";
    /// What happens when the backend does not support a pipeline.
    fallback_mode: FallbackMode = FallbackMode::Warn, "";
    /// Least severe message that is logged.
    log: LogLevel = LogLevel::Warn, "";
    /// File that the trace of each query is written to, in the place of the one before.
    trace: FileName = FileName(None), "";
    /// Print the counters of a query after it.
    statistics: bool = false, "";
    /// Folder of compiled kernels that outlives the process.
    kernel_cache_dir: Option<String> = None, "", "pelton/kernels in the user's cache folder";
    /// Seed of the emulator's schedule.
    simt_seed: u64 = 0, "";
    /// Check every memory access of emulated kernels: slow.
    simt_checked: bool = false, "";
}

impl EngineOptions {
    /// The defaults, overlaid with the file that `PELTON_CONFIG` names, if it names one, and that with
    /// the environment.
    ///
    /// # Errors
    /// `InvalidInput` for a variable that is no option, or a value that cannot be read; as
    /// [`EngineOptions::from_file`].
    pub fn from_env() -> Result<Self> {
        Self::from_variables(environment())
    }

    /// As [`EngineOptions::from_env`], with this file instead of the one that `PELTON_CONFIG` names.
    ///
    /// # Errors
    /// As [`EngineOptions::from_env`].
    pub fn from_env_and_file(file: impl AsRef<Path>) -> Result<Self> {
        let mut options = EngineOptions::from_file(file)?;
        options.overlay_variables(environment())?;
        Ok(options)
    }

    /// The defaults, overlaid with these variables as with those of the environment; those without our
    /// prefix are passed over.
    ///
    /// # Errors
    /// As [`EngineOptions::from_env`].
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut options = EngineOptions::default();
        let file = options.overlay_variables(variables)?;
        if let Some(file) = file {
            options.overlay_file(file)?;
        }
        Ok(options)
    }

    /// Overlays variables; answers the file that one of them names.
    fn overlay_variables(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<PathBuf>> {
        let mut file = None;
        for (variable, value) in variables {
            let Some(suffix) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            if variable == FILE_VARIABLE {
                file = (!value.is_empty()).then(|| PathBuf::from(value));
                continue;
            }
            if OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let wanted = suffix.to_lowercase();
            let Some(spec) = OPTIONS.iter().find(|spec| spec.name == wanted) else {
                let known = OPTIONS.iter().map(OptionSpec::variable);
                let others = OTHER_VARIABLES.into_iter().chain([FILE_VARIABLE]);
                let known: Vec<_> = known.chain(others.map(str::to_string)).collect();
                return Err(Error::invalid(
                    format!("environment variable `{variable}`"),
                    "no such option",
                    suggestion(&variable, known.iter().map(String::as_str)),
                ));
            };
            let place = format!("option `{variable}`");
            self.store(spec, &value, OptionSource::Environment, place)?;
        }
        Ok(file)
    }

    /// Sets an option, before the environment, a file and the default.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown name, with the nearest one, or a value that cannot be read,
    /// with an example of one that can.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let spec = spec_of(name.trim(), || format!("option `{name}`"))?;
        let place = format!("option `{}`", spec.name);
        self.store(spec, value, OptionSource::Explicit, place)
    }

    /// Sets an option from `name=value`, as a command line has it.
    ///
    /// # Errors
    /// As [`EngineOptions::set`], and for a missing `=`.
    pub fn set_pair(&mut self, pair: &str) -> Result<()> {
        match pair.split_once('=') {
            Some((name, value)) => self.set(name, value),
            None => Err(Error::invalid(
                format!("option `{pair}`"),
                "has no value",
                "write `name=value`",
            )),
        }
    }

    /// [`set`](EngineOptions::set) for chains.
    ///
    /// # Errors
    /// As [`EngineOptions::set`].
    pub fn with(mut self, name: &str, value: &str) -> Result<Self> {
        self.set(name, value)?;
        Ok(self)
    }

    /// Reads a value, which counts unless a stronger source has set the option.
    fn store(
        &mut self,
        spec: &'static OptionSpec,
        value: &str,
        source: OptionSource,
        place: String,
    ) -> Result<()> {
        let known = self.sources.get(spec.name);
        let overruled = known.is_some_and(|known| *known > source);
        // What is overruled is read nevertheless: a mistake is one, whoever else sets the option.
        let mut unused = EngineOptions::default();
        let options = if overruled { &mut unused } else { &mut *self };
        if !(spec.parse)(options, value.trim()) {
            return Err(Error::invalid(
                place,
                format!("`{value}` is not a value of it"),
                format!("expected is {}", spec.expected),
            ));
        }
        if !overruled {
            self.sources.insert(spec.name, source);
        }
        Ok(())
    }

    /// Where compiled kernels are kept: the option, else a folder of the user's cache, where there
    /// is one.
    pub fn kernel_cache_folder(&self) -> Option<PathBuf> {
        if let Some(folder) = self.kernel_cache_dir() {
            return Some(PathBuf::from(folder));
        }
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        Some(cache.join("pelton").join("kernels"))
    }

    /// Every option with its value and where that came from.
    pub fn list(&self) -> Vec<OptionSetting> {
        OPTIONS
            .iter()
            .map(|spec| OptionSetting {
                spec,
                value: (spec.print)(self),
                source: self
                    .sources
                    .get(spec.name)
                    .copied()
                    .unwrap_or(OptionSource::Default),
            })
            .collect()
    }

    /// The backend that runs queries.
    pub fn backend(&self) -> BackendOption {
        self.backend
    }

    /// The CUDA device.
    pub fn device(&self) -> u32 {
        self.device
    }

    /// Threads that run partitions.
    pub fn num_streaming_threads(&self) -> usize {
        self.num_streaming_threads.0 as usize
    }

    /// How pipelines are run.
    pub fn executor(&self) -> ExecutorOption {
        self.executor
    }

    /// Bytes of spill files; a share is no limit, the disk's own space is.
    pub fn disk_limit(&self) -> u64 {
        self.disk_limit.of(None)
    }

    /// Whether batches that wait are spilled.
    pub fn spill(&self) -> bool {
        self.spill
    }

    /// Device memory in use beyond which spilling starts.
    pub fn spill_device_limit(&self) -> MemoryLimit {
        self.spill_device_limit
    }

    /// Host memory in use beyond which spilling starts.
    pub fn spill_host_limit(&self) -> MemoryLimit {
        self.spill_host_limit
    }

    /// Folder of spill files; none for the system's.
    pub fn spill_folder(&self) -> Option<PathBuf> {
        self.spill_folder.as_ref().map(PathBuf::from)
    }

    /// Pause between two looks at the limits of spilling.
    pub fn periodic_spill_check(&self) -> Option<Duration> {
        self.periodic_spill_check.0
    }

    /// How long a query may take.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline.0
    }

    /// Batches that wait between two pipelines.
    pub fn channel_messages(&self) -> usize {
        self.channel_messages.0 as usize
    }

    /// Bytes of the batches that wait between two pipelines.
    pub fn channel_bytes(&self) -> u64 {
        self.channel_bytes.0
    }

    /// Bytes of a build side that every rank may get; `None` chooses by the device's memory.
    pub fn broadcast_limit(&self) -> Option<u64> {
        Some(self.broadcast_limit.0).filter(|bytes| *bytes > 0)
    }

    /// Whether build sides prune the scans of probe sides.
    pub fn join_filter_pushdown(&self) -> bool {
        self.join_filter_pushdown
    }

    /// Most bytes of a Bloom filter of a build side's keys; 0 makes none.
    pub fn join_filter_bloom_max_size(&self) -> u64 {
        self.join_filter_bloom_max_size.0
    }

    /// Most rows of a build side for a Bloom filter, as a share of the scan's.
    pub fn join_filter_threshold(&self) -> f64 {
        self.join_filter_threshold.0
    }

    /// Whether samples change what was planned.
    pub fn dynamic_planning(&self) -> bool {
        self.dynamic_planning
    }

    /// Batches of an input that are sampled.
    pub fn sample_chunk_count(&self) -> u64 {
        self.sample_chunk_count.0.into()
    }

    /// Whether memory is taken beyond the limit of spilling.
    pub fn allow_overbooking_by_default(&self) -> bool {
        self.allow_overbooking_by_default
    }

    /// CUDA streams of the engine.
    pub fn num_streams(&self) -> usize {
        self.num_streams.0 as usize
    }

    /// Partitions of one scan that are read at one time; `None` for as many as there are threads.
    pub fn max_concurrent_io_tasks(&self) -> Option<usize> {
        Some(self.max_concurrent_io_tasks as usize).filter(|tasks| *tasks > 0)
    }

    /// Bytes that are read together; `None` chooses by the size of the scan.
    pub fn target_partition_size(&self) -> Option<u64> {
        Some(self.target_partition_size.0).filter(|bytes| *bytes > 0)
    }

    /// Most rows of one batch.
    pub fn max_rows_per_partition(&self) -> u64 {
        self.max_rows_per_partition.0
    }

    /// Limit of device memory.
    pub fn device_memory_limit(&self) -> MemoryLimit {
        self.device_memory_limit
    }

    /// Device memory in which column chunks of files are kept.
    pub fn column_cache_limit(&self) -> MemoryLimit {
        self.column_cache_limit
    }

    /// Limit of pinned host memory.
    pub fn pinned_memory_limit(&self) -> MemoryLimit {
        self.pinned_memory_limit
    }

    /// Whether bytes pass pinned memory.
    pub fn pinned_memory(&self) -> bool {
        self.pinned_memory
    }

    /// Pinned memory that is allocated at the start.
    pub fn pinned_initial_pool_size(&self) -> MemoryLimit {
        self.pinned_initial_pool_size
    }

    /// Limit of host memory.
    pub fn host_memory_limit(&self) -> MemoryLimit {
        self.host_memory_limit
    }

    /// How long a reservation waits.
    pub fn memory_reserve_timeout(&self) -> Duration {
        self.memory_reserve_timeout
    }

    /// Whether checksums of pages are compared.
    pub fn parquet_check_crc(&self) -> bool {
        self.parquet_check_crc
    }

    /// Whether checksums of pages that kernels decompress are compared.
    pub fn parquet_check_crc_device(&self) -> bool {
        self.parquet_check_crc_device
    }

    /// Whether Bloom filters are read.
    pub fn parquet_bloom_filter(&self) -> bool {
        self.parquet_bloom_filter
    }

    /// Whether dictionaries are read to exclude row groups.
    pub fn parquet_dictionary_pruning(&self) -> bool {
        self.parquet_dictionary_pruning
    }

    /// Whether page indexes are read.
    pub fn parquet_page_index(&self) -> bool {
        self.parquet_page_index
    }

    /// Whether columns are decoded only where a predicate leaves rows.
    pub fn parquet_late_decoding(&self) -> LateDecodingOption {
        self.parquet_late_decoding
    }

    /// Whether results are written as folders.
    pub fn sink_to_directory(&self) -> bool {
        self.sink_to_directory
    }

    /// What happens when the backend does not support a pipeline.
    pub fn fallback_mode(&self) -> FallbackMode {
        self.fallback_mode
    }

    /// Least severe message that is logged.
    pub fn log(&self) -> LogLevel {
        self.log
    }

    /// File that traces are written to.
    pub fn trace_file(&self) -> Option<PathBuf> {
        self.trace.0.clone()
    }

    /// Whether counters are printed.
    pub fn statistics(&self) -> bool {
        self.statistics
    }

    /// Folder of compiled kernels.
    pub fn kernel_cache_dir(&self) -> Option<&str> {
        self.kernel_cache_dir.as_deref()
    }

    /// Seed of the emulator's schedule.
    pub fn simt_seed(&self) -> u64 {
        self.simt_seed
    }

    /// Whether emulated kernels are checked.
    pub fn simt_checked(&self) -> bool {
        self.simt_checked
    }
}

/// The row of the table with this name.
fn spec_of(name: &str, place: impl FnOnce() -> String) -> Result<&'static OptionSpec> {
    let found = OPTIONS.iter().find(|spec| spec.name == name);
    found.ok_or_else(|| {
        let remedy = suggestion(name, OPTIONS.iter().map(|spec| spec.name));
        Error::invalid(place(), "no such option", remedy)
    })
}

/// The environment's variables, as text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

#[cfg(test)]
mod tests;
