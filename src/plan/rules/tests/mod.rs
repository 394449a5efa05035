//! Plans as text, by the rules.

mod joins;
mod predicates;

use expect_test::Expect;

use super::optimise;
use crate::engine::LazyFrame;
use crate::plan::{LogicalPlan, ParquetFiles, Query};
use crate::types::{ColumnEstimate, DataType, Field, Schema, Semantics};

/// A file of so many rows with columns that have these types and, for estimates, these ranges.
fn table(name: &str, rows: u64, columns: &[(&str, DataType, Option<(f64, f64)>)]) -> LazyFrame {
    let fields = columns.iter();
    let fields = fields.map(|(name, data_type, _)| Field::new(*name, data_type.clone(), true));
    let estimate = |(_, _, range): &(&str, DataType, Option<(f64, f64)>)| ColumnEstimate {
        min: range.map(|(min, _)| min),
        max: range.map(|(_, max)| max),
        distinct: None,
    };
    LazyFrame::new(Query {
        plan: LogicalPlan::Scan {
            files: ParquetFiles {
                paths: vec![name.into()],
                schema: Schema::new(fields.collect::<Vec<_>>()),
                rows: Some(rows),
                columns: columns.iter().map(estimate).collect(),
            },
        },
        semantics: Semantics::default(),
    })
}

/// Three columns of small numbers and one of strings, named after the table.
fn small(name: &str, rows: u64) -> LazyFrame {
    let columns: Vec<String> = ["x", "y", "z", "w"]
        .iter()
        .map(|c| format!("{name}{c}"))
        .collect();
    let types = [
        DataType::Int64,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
    ];
    let columns = columns
        .iter()
        .zip(types)
        .map(|(c, t)| (c.as_str(), t, None));
    table(name, rows, &columns.collect::<Vec<_>>())
}

fn names_and_types(plan: &LogicalPlan) -> Vec<(String, DataType)> {
    let schema = plan.schema();
    let fields = schema.iter().flat_map(|schema| schema.fields().iter());
    let parts = fields.map(|field| (field.name().clone(), field.data_type().clone()));
    parts.collect()
}

/// The optimised plan, of the same schema; optimising it once more changes nothing of that.
#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check(frame: LazyFrame, expected: Expect) {
    let query = optimise(frame.query());
    assert_eq!(
        names_and_types(&query.plan),
        names_and_types(&frame.query().plan)
    );
    let again = optimise(&query);
    assert_eq!(names_and_types(&again.plan), names_and_types(&query.plan));
    expected.assert_eq(&format!("{query}\n"));
}
