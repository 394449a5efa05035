//! Figures of runs, as `--json` writes them: what was best of each query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;

/// The best run of each query of a file.
#[derive(Debug)]
pub struct Run {
    /// The file.
    pub path: PathBuf,
    /// Milliseconds by query.
    pub best: BTreeMap<usize, f64>,
}

/// Of what a file says of a query, the part that is compared.
#[derive(Deserialize)]
struct Figures {
    query: usize,
    best_ms: f64,
}

impl Run {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is not what `--json` writes.
    pub fn read(path: &Path) -> Result<Run, Failure> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|cause| Failure::path("read", path, cause))?;
        let wrong = |cause: &dyn std::fmt::Display| {
            let path = path.display();
            Failure::new(format_args!(
                "{path} is not what `pelton bench pdsh --json` writes: {cause}"
            ))
        };
        let figures: Vec<Figures> = serde_json::from_str(&text).map_err(|cause| wrong(&cause))?;
        let mut best = BTreeMap::new();
        for Figures { query, best_ms } in figures {
            if !(best_ms.is_finite() && best_ms > 0.0) {
                return Err(wrong(&format_args!("query {query} took {best_ms} ms")));
            }
            let known = best.entry(query).or_insert(best_ms);
            *known = best_ms.min(*known);
        }
        let path = path.to_path_buf();
        Ok(Run { path, best })
    }

    /// The file's name without folders and ending.
    pub fn name(&self) -> String {
        let name = self.path.file_stem().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

/// The mean of ratios, in which twice and half cancel out; none of no ratio.
pub fn geometric_mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    let logs: f64 = values.map(f64::ln).sum();
    (count > 0).then(|| (logs / count as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_half_are_one() {
        let mean = geometric_mean([2.0, 0.5].into_iter());
        assert!(
            mean.is_some_and(|mean| (mean - 1.0).abs() < 1e-12),
            "{mean:?}"
        );
        assert_eq!(geometric_mean([].into_iter()), None);
    }
}
