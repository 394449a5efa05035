//! What a query did, for people: a table of its steps, and its counters.

use pelton::metrics::{Snapshot, StepKind, StepRecord};

use crate::terminal;

/// Names of the table's columns; the first three hold words.
const COLUMNS: [&str; 9] = [
    "step",
    "operator",
    "runs on",
    "batches",
    "rows in",
    "rows out",
    "bytes out",
    "host ms",
    "device ms",
];
const WORDS: usize = 3;

/// A table of steps, then lines of a name and a number.
pub fn text(metrics: &Snapshot) -> String {
    let mut text = table(&metrics.steps);
    for decision in &metrics.decisions {
        let choice = decision.choice.to_string().replace('\n', "; ");
        text += &format!("pipeline {}: {choice}\n", decision.pipeline);
    }
    for tier in metrics.tiers.iter().filter(|tier| tier.peak > 0) {
        text += &format!(
            "{} memory: {} at most, {} spilled, {} brought back\n",
            tier.tier,
            terminal::bytes(tier.peak),
            terminal::bytes(tier.spilled),
            terminal::bytes(tier.unspilled),
        );
    }
    for stream in &metrics.streams {
        text += &format!(
            "stream {}: {} kernels, {} copies of {}\n",
            stream.stream,
            stream.kernels,
            stream.copies,
            terminal::bytes(stream.copy_bytes),
        );
    }
    for (name, value) in &metrics.counters {
        text += &format!("{name} {value}\n");
    }
    text.truncate(text.trim_end().len());
    text
}

fn table(steps: &[StepRecord]) -> String {
    let head = COLUMNS.map(str::to_string);
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(steps.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column < WORDS {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(step: &StepRecord) -> [String; 9] {
    let milliseconds = |nanoseconds: u64| format!("{:.3}", nanoseconds as f64 / 1e6);
    let facts = &step.facts;
    let operator = match facts.kind {
        StepKind::Fold if facts.operator.ends_with("_join") => format!("{} build", facts.operator),
        _ => facts.operator.to_string(),
    };
    [
        format!("{}.{}", facts.pipeline, facts.step),
        operator,
        facts.backend.unwrap_or("-").to_string(),
        step.batches_in.max(step.batches_out).to_string(),
        step.rows_in.to_string(),
        step.rows_out.to_string(),
        terminal::bytes(step.bytes_out),
        milliseconds(step.host_nanoseconds),
        step.device_nanoseconds
            .map_or_else(|| "-".to_string(), milliseconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::metrics::{Metrics, RowCount, StepFacts};

    #[test]
    fn columns_stand_under_their_names() {
        let metrics = Metrics::default();
        let facts = |step, kind, operator, backend| StepFacts {
            pipeline: 1,
            step,
            kind,
            operator,
            backend,
            reason: None,
        };
        let rows = |rows, exact| RowCount { rows, exact };
        let source = metrics.meter(facts(0, StepKind::Source, "table", None));
        source.took(rows(1000, true), 8000);
        source.gave(rows(1000, true), 8000);
        let fold = metrics.meter(facts(1, StepKind::Fold, "hash_join", Some("cuda")));
        fold.took(rows(1000, false), 8000);
        fold.spent(std::time::Duration::from_micros(1500));
        metrics.launched(77);
        let text = text(&metrics.snapshot());
        let expected = "\
step  operator         runs on  batches  rows in  rows out  bytes out  host ms  device ms
1.0   table            -              1     1000      1000    7.8 KiB    0.000          -
1.1   hash_join build  cuda           1    ≤1000         0        0 B    1.500          -
stream 0: 1 kernels, 0 copies of 0 B
kernel_launches 1";
        assert_eq!(text, expected);
    }
}
