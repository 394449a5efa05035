//! What people see on standard error while a command works: progress, notes, sizes in words.
//!
//! Results never come through here; they go to standard output.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pelton::metrics::FALLBACK_TARGET;
use pelton::options::LogLevel;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How much a command tells about its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Progress and summaries.
    Normal,
    /// And decisions.
    Verbose,
}

/// Standard error, at some verbosity.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    verbosity: Verbosity,
}

impl Terminal {
    /// Standard error at this verbosity.
    pub fn new(verbosity: Verbosity) -> Self {
        Terminal { verbosity }
    }

    /// Tells a line, unless quiet.
    pub fn note(self, line: &str) {
        self.line(Verbosity::Normal, line);
    }

    /// Tells a line if verbose.
    pub fn detail(self, line: &str) {
        self.line(Verbosity::Verbose, line);
    }

    /// Tells a line that was asked for.
    pub fn always(self, line: &str) {
        self.line(Verbosity::Quiet, line);
    }

    /// Tells why the command ends, and shows the lines that this is about.
    pub fn error(self, message: &str, excerpt: Option<&str>) {
        let words: Vec<&str> = message.split_whitespace().collect();
        let mut text = format!("error: {}", words.join(" "));
        for line in excerpt.into_iter().flat_map(str::lines) {
            text.push('\n');
            text.push_str(line);
        }
        self.line(Verbosity::Quiet, &text);
    }

    fn line(self, least: Verbosity, line: &str) {
        if self.verbosity >= least {
            // If standard error is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Has the engine's events told, those at least as severe as `level`; errors alone if quiet. The first
    /// call counts.
    pub fn listen(self, level: LogLevel) {
        let quiet = self.verbosity == Verbosity::Quiet;
        let level = match level {
            LogLevel::None => LevelFilter::OFF,
            _ if quiet => LevelFilter::ERROR,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        // What runs on the CPU instead is told by a note after the query in any case.
        let fallbacks = match level {
            LevelFilter::WARN => LevelFilter::ERROR,
            level => level,
        };
        let events = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .without_time();
        let filter = Targets::new()
            .with_default(level)
            .with_target(FALLBACK_TARGET, fallbacks);
        let listening = tracing_subscriber::registry().with(events.with_filter(filter));
        let _already = listening.try_init();
    }

    /// A progress bar over `total` rows; hidden unless people watch.
    pub fn progress(self, total: u64, what: &'static str) -> ProgressBar {
        let watched = self.verbosity >= Verbosity::Normal && std::io::stderr().is_terminal();
        let target = if watched {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        let style = "{msg} {bar:32} {percent:>3} %  {human_pos} rows  {elapsed}, {eta} left";
        match ProgressStyle::with_template(style) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// Bytes with a binary unit: `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = count as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A count with its thousands apart: `600_572`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// So many a second, rounded down.
pub fn per_second(count: u64, time: Duration) -> u64 {
    let nanoseconds = time.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(grouped(600_572), "600_572");
        assert_eq!(grouped(12), "12");
        assert_eq!(per_second(10, Duration::from_millis(500)), 20);
    }
}
