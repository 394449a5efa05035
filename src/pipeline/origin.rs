//! Where a column comes from: through the transforms of a pipeline back to its scan.

use super::{Pipeline, Source};
use crate::expr::TypedKind;
use crate::operators::OperatorSpec;

impl Pipeline {
    /// For each of these columns of a transform's input, the column of the scan's files that it is,
    /// unchanged, if it is one. Rows may have been dropped or repeated on the way.
    pub fn scan_columns(&self, transform: usize, columns: &[usize]) -> Vec<Option<usize>> {
        let Source::Scan(scan) = &self.source else {
            return vec![None; columns.len()];
        };
        let before = self.transforms.get(..transform).unwrap_or_default();
        let origin = |&column: &usize| {
            let mut column = column;
            for transform in before.iter().rev() {
                column = before_operator(&transform.spec, column)?;
            }
            scan.projection.get(column).copied()
        };
        columns.iter().map(origin).collect()
    }
}

/// The column of an operator's input that a column of its output is.
fn before_operator(spec: &OperatorSpec, column: usize) -> Option<usize> {
    match spec {
        OperatorSpec::Filter(filter) => filter.projection.get(column).copied(),
        OperatorSpec::Project(project) => match project.exprs.get(column)?.kind {
            TypedKind::Column(index) => Some(index),
            _ => None,
        },
        OperatorSpec::HashJoinProbe(join) => {
            let index = *join.projection.get(column)?;
            (index < join.probe.fields().len()).then_some(index)
        }
        _ => None,
    }
}
