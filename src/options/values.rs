//! Types of option values: how each is read and printed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What of TOML a value may be, beside a string that any other source could give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Nothing else.
    Text,
    /// An integer.
    Number,
    /// A boolean.
    Truth,
}

/// A type of option values.
pub(super) trait OptionValue: Sized {
    /// What a value looks like, with an example where that helps.
    const EXPECTED: &'static str;
    /// What a file may give, beside a string.
    const KIND: ValueKind = ValueKind::Text;
    fn parse(text: &str) -> Option<Self>;
    fn print(&self) -> String;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:literal: $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl OptionValue for $name {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Option<Self> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Some($name::$variant),)*
                    _ => None,
                }
            }
            fn print(&self) -> String {
                match self {
                    $($name::$variant => $word,)*
                }
                .to_string()
            }
        }
    };
}

words! {
    /// Which backend runs a query.
    BackendOption, "auto, cpu, cuda or simt":
    /// CUDA if there is a usable device, else the CPU.
    Auto = "auto",
    /// The CPU reference.
    Cpu = "cpu",
    /// The kernels, on a GPU.
    Cuda = "cuda",
    /// The kernels, emulated on the CPU.
    Simt = "simt",
}

words! {
    /// What happens when the backend has no implementation for a pipeline.
    FallbackMode, "warn, raise or silent":
    /// The CPU backend runs the pipeline, and the result says so.
    Warn = "warn",
    /// The query fails.
    Raise = "raise",
    /// The CPU backend runs the pipeline; only the metrics and `explain` say so.
    Silent = "silent",
}

words! {
    /// How the pipelines of a query are run.
    ExecutorOption, "streaming or tasks":
    /// All at one time, joined by channels that hold little.
    Streaming = "streaming",
    /// One after the other, each when those that it reads have ended.
    Tasks = "tasks",
}

impl fmt::Display for ExecutorOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print())
    }
}

words! {
    /// Whether a device decodes the columns of a scan's predicate first, and of the others only the
    /// pages in which rows are left.
    LateDecodingOption, "auto, on or off":
    /// As long as the first batches of a scan say that it pays.
    Auto = "auto",
    /// Wherever a predicate allows it.
    On = "on",
    /// Never.
    Off = "off",
}

words! {
    /// Least severe message that is logged.
    LogLevel, "none, error, warn, info, debug or trace":
    /// Nothing.
    None = "none",
    /// Errors.
    Error = "error",
    /// And warnings.
    Warn = "warn",
    /// And progress.
    Info = "info",
    /// And decisions.
    Debug = "debug",
    /// And every step.
    Trace = "trace",
}

impl OptionValue for bool {
    const EXPECTED: &'static str = "true or false";
    const KIND: ValueKind = ValueKind::Truth;
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(true),
            "false" | "0" | "off" | "no" => Some(false),
            _ => None,
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

/// A number that is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u32);

impl OptionValue for Count {
    const EXPECTED: &'static str = "a whole number from 1, such as 8";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|count| *count > 0).map(Count)
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
}

impl OptionValue for u32 {
    const EXPECTED: &'static str = "a whole number from 0, such as 0";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for u64 {
    const EXPECTED: &'static str = "a whole number from 0, such as 42";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

/// A number of rows, at least 1 and at most what a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows(pub(super) u64);

impl OptionValue for Rows {
    const EXPECTED: &'static str = "a number of rows from 1 to 2147483647, such as 1000000";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        let rows = text.replace('_', "").parse().ok()?;
        (1..=crate::limits::ROWS_PER_BATCH_MAX)
            .contains(&rows)
            .then_some(Rows(rows))
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
}

/// A share, from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio(pub(super) f64);

impl OptionValue for Ratio {
    const EXPECTED: &'static str = "a share from 0, such as 0.5";
    fn parse(text: &str) -> Option<Self> {
        let share: f64 = text.parse().ok()?;
        (share >= 0.0 && share.is_finite()).then_some(Ratio(share))
    }
    fn print(&self) -> String {
        self.0.to_string()
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl OptionValue for Bytes {
    const EXPECTED: &'static str = "a size such as 512MiB, 1.5GB or 64k";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        parse_bytes(text).map(Bytes)
    }
    fn print(&self) -> String {
        print_bytes(self.0)
    }
}

/// How much of a tier of memory may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of what there is.
    Percent(f64),
}

impl MemoryLimit {
    /// The limit in bytes, for a tier of `total` bytes; of an unknown total (`None`) a share is
    /// no limit.
    pub fn of(self, total: Option<u64>) -> u64 {
        match (self, total) {
            (MemoryLimit::Bytes(bytes), _) => bytes,
            (MemoryLimit::Percent(_), None) => u64::MAX,
            // A float as cast saturates, which is what a limit should do.
            (MemoryLimit::Percent(percent), Some(total)) => (total as f64 * percent / 100.0) as u64,
        }
    }
}

impl OptionValue for MemoryLimit {
    const EXPECTED: &'static str = "a size such as 8GiB, or a share such as 80%";
    const KIND: ValueKind = ValueKind::Number;
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().ok()?;
                (percent > 0.0 && percent <= 100.0).then_some(MemoryLimit::Percent(percent))
            }
            None => parse_bytes(text).map(MemoryLimit::Bytes),
        }
    }
    fn print(&self) -> String {
        match self {
            MemoryLimit::Bytes(bytes) => print_bytes(*bytes),
            MemoryLimit::Percent(percent) => format!("{percent}%"),
        }
    }
}

impl OptionValue for Duration {
    const EXPECTED: &'static str = "a duration such as 100ms, 2s or 1.5m";
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let seconds = match unit.as_str() {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number * seconds).ok()
    }
    fn print(&self) -> String {
        format!("{self:?}")
    }
}

/// A duration, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause(pub(super) Option<Duration>);

impl OptionValue for Pause {
    const EXPECTED: &'static str = "a duration such as 1ms or 2s, or disabled";
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "disabled" | "off" | "none" => Some(Pause(None)),
            _ => Some(Pause(Some(Duration::parse(text)?))),
        }
    }
    fn print(&self) -> String {
        match &self.0 {
            Some(duration) => duration.print(),
            None => "disabled".to_string(),
        }
    }
}

impl OptionValue for Option<String> {
    const EXPECTED: &'static str = "a folder; empty for the default";
    fn parse(text: &str) -> Option<Self> {
        Some((!text.is_empty()).then(|| text.to_string()))
    }
    fn print(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

/// A file, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName(pub(super) Option<PathBuf>);

impl OptionValue for FileName {
    const EXPECTED: &'static str = "a file; empty for none";
    fn parse(text: &str) -> Option<Self> {
        Some(FileName((!text.is_empty()).then(|| PathBuf::from(text))))
    }
    fn print(&self) -> String {
        let text = self.0.as_ref().map(|path| path.display().to_string());
        text.unwrap_or_default()
    }
}

/// A number and what follows it: `1.5 GiB` is 1.5 and `gib`.
fn split_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim().to_lowercase()))
}

pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: f64 = match unit.as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

fn print_bytes(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
