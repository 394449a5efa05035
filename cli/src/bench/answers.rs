//! Results against answers that are written down: one file per query, columns separated by `|`, with a
//! header.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;

use crate::failure::Failure;

/// Floats are summed in any order.
const RELATIVE: f64 = 1e-9;

/// The first difference between a result and the answer in a file, if there is one.
///
/// # Errors
/// The file cannot be read.
pub fn difference(path: &Path, batches: &[RecordBatch]) -> Result<Option<String>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| Failure::new(format_args!("cannot read {}: {cause}", path.display())))?;
    let want = records(&text);
    let got = rows(batches)?;
    if want.len() != got.len() {
        return Ok(Some(format!("{} rows, not {}", got.len(), want.len())));
    }
    let mut rows = want.iter().zip(&got).enumerate();
    let different = rows.find(|(_, (want, got))| {
        want.len() != got.len() || !want.iter().zip(*got).all(|(want, got)| is_same(want, got))
    });
    Ok(different.map(|(row, (want, got))| {
        format!(
            "row {} is `{}`, not `{}`",
            row + 1,
            got.join("|"),
            want.join("|")
        )
    }))
}

/// The cells of a file's rows, without its header.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '|' if !quoted => record.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    if !records.is_empty() {
        records.remove(0);
    }
    records
}

/// The cells of a result; a null is empty.
fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, Failure> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch
                .columns()
                .iter()
                .map(|column| match column.is_null(row) {
                    true => Ok(String::new()),
                    false => array_value_to_string(column, row).map_err(Failure::new),
                });
            rows.push(cells.collect::<Result<_, _>>()?);
        }
    }
    Ok(rows)
}

fn is_same(want: &str, got: &str) -> bool {
    if want == got {
        return true;
    }
    let (Ok(want), Ok(got)) = (want.parse::<f64>(), got.parse::<f64>()) else {
        return false;
    };
    (want - got).abs() <= RELATIVE * want.abs().max(got.abs())
}
