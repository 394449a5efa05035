//! A query that ran, as text: its pipelines with what went through each step.

use std::fmt::Write;
use std::time::Duration;

use super::{Engine, QueryControl, QueryResult, threads};
use crate::error::Result;
use crate::metrics::{CacheRecord, Choice, Snapshot, StepKind, StepRecord, names};
use crate::pipeline::{Pipeline, describe};
use crate::plan::Query;

impl Engine {
    /// Runs a query and gives, in the place of its rows, its plan and pipelines with what was measured
    /// beside each step: rows and bytes, time of the host and, where there is one, of the device; where
    /// a step ran, and why if not on the engine's backend; and what was decided while the query ran.
    /// Rows that only the device counted are an upper bound (`≤`). Times of steps are added up over
    /// workers.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// # fn main() -> pelton::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # pelton::doc_support::write_orders(folder.path())?;
    /// # let orders = folder.path().join("orders.parquet");
    /// let engine = Engine::new(EngineOptions::default().with("backend", "cpu")?)?;
    /// let frame = scan_parquet(&orders)?.filter(col("amount").gt(lit(100)));
    /// let text = frame.explain_analyze(&engine)?;
    /// assert!(text.contains("filter (amount > 100) [cpu: 5 rows in, 3 out"), "{text}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn explain_analyze(&self, query: &Query) -> Result<String> {
        let result = self.execute_with(query, &QueryControl::new().timed())?;
        threads::on_own_stack(|| self.analysis(query, &result))
    }

    /// What a query did; as [`Engine::explain_analyze`], of a query that has run.
    ///
    /// # Errors
    /// As [`Engine::explain`].
    pub fn analysis(&self, query: &Query, result: &QueryResult) -> Result<String> {
        let metrics = &result.metrics;
        let ceiling = self.backend.memory_bytes_per_second();
        let query = self.chosen(query);
        let mut text = self.heading(&query);
        for (pipeline, number) in self.pipelines(&query)?.iter().zip(1..) {
            let block = measured(number, pipeline, metrics, ceiling);
            for line in block.lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text += &totals(metrics);
        Ok(text)
    }
}

/// A pipeline with what went through its steps.
fn measured(
    number: usize,
    pipeline: &Pipeline,
    metrics: &Snapshot,
    ceiling: Option<u64>,
) -> String {
    let (mut source, mut about, mut reasons) = (String::new(), Vec::new(), Vec::new());
    for decision in metrics.decisions.iter().filter(|d| d.pipeline == number) {
        if let Choice::Scan(record) = &decision.choice {
            let _ = writeln!(source, "{record}");
        }
    }
    for step in metrics.steps_of(number) {
        match step.facts.kind {
            StepKind::Source => {
                let _ = writeln!(source, "[{}]", figures(step, ceiling));
            }
            _ => about.push(figures(step, ceiling)),
        }
        if let Some(reason) = &step.facts.reason {
            reasons.push(format!("on the CPU, because {reason}"));
        }
    }
    reasons.dedup();
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    let mut text = describe(number, pipeline, &source, &about);
    for decision in metrics.decisions.iter().filter(|d| d.pipeline == number) {
        if !matches!(decision.choice, Choice::Scan(_)) {
            let _ = writeln!(text, "   {}", decision.choice);
        }
    }
    for reason in reasons {
        let _ = writeln!(text, "   {reason}");
    }
    text
}

/// What went through a step, on a line.
fn figures(step: &StepRecord, ceiling: Option<u64>) -> String {
    let mut text = match step.facts.backend {
        Some(backend) => format!("{backend}: "),
        None => String::new(),
    };
    let (rows_in, rows_out) = (step.rows_in, step.rows_out);
    let batches = |count: u64| match count {
        1 => "1 batch".to_string(),
        count => format!("{count} batches"),
    };
    let _ = match step.facts.kind {
        StepKind::Source => write!(text, "{rows_out} rows in {}", batches(step.batches_out)),
        _ => {
            let batches = batches(step.batches_in.max(step.batches_out));
            write!(text, "{rows_in} rows in, {rows_out} out, {batches}")
        }
    };
    let _ = write!(
        text,
        ", {} bytes, host {}",
        step.bytes_out,
        milliseconds(step.host_nanoseconds)
    );
    let CacheRecord {
        hits,
        misses,
        bytes,
    } = step.cache;
    if hits + misses > 0 {
        let all = hits + misses;
        let _ = write!(
            text,
            ", {hits} of {all} column chunks from the column cache ({bytes} bytes)"
        );
    }
    if let Some(device) = step.device_nanoseconds {
        let _ = write!(text, ", device {}", milliseconds(device));
        let moved = step.bytes_in + step.bytes_out;
        if let Some(speed) = per_second(moved, device) {
            let _ = write!(text, ", {:.1} GB/s", speed / 1e9);
            if let Some(ceiling) = ceiling {
                let share = speed / ceiling as f64 * 100.0;
                let _ = write!(text, " ({share:.0} % of the device's memory)");
            }
        }
    }
    text
}

/// What holds for the whole query.
fn totals(metrics: &Snapshot) -> String {
    let mut text = String::from("memory\n");
    for tier in metrics.tiers.iter().filter(|tier| tier.peak > 0) {
        let _ = write!(text, "  {}: {} bytes at most", tier.tier, tier.peak);
        if tier.spilled > 0 {
            let _ = write!(text, ", {} bytes spilled", tier.spilled);
        }
        if tier.unspilled > 0 {
            let _ = write!(text, ", {} bytes brought back", tier.unspilled);
        }
        text.push('\n');
    }
    if !metrics.streams.is_empty() {
        text += "streams\n";
    }
    for stream in &metrics.streams {
        let _ = writeln!(
            text,
            "  {}: {} kernels, {} copies of {} bytes",
            stream.stream, stream.kernels, stream.copies, stream.copy_bytes
        );
    }
    let nanoseconds = metrics.get(names::QUERY_NANOSECONDS);
    let _ = write!(
        text,
        "query\n  {} rows in {}",
        metrics.get(names::RESULT_ROWS),
        milliseconds(nanoseconds)
    );
    for (name, what) in [
        (names::SCAN_BYTES, "of files"),
        (names::SCAN_DECODED_BYTES, "decoded"),
    ] {
        let bytes = metrics.get(name);
        if let (1.., Some(speed)) = (bytes, per_second(bytes, nanoseconds)) {
            let _ = write!(text, "; {bytes} bytes {what}, {:.3} GB/s", speed / 1e9);
        }
    }
    text.push('\n');
    text
}

fn milliseconds(nanoseconds: u64) -> String {
    let time = Duration::from_nanos(nanoseconds);
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn per_second(bytes: u64, nanoseconds: u64) -> Option<f64> {
    (nanoseconds > 0).then(|| bytes as f64 * 1e9 / nanoseconds as f64)
}
