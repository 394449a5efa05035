//! Contract of `distinct`: one row per group of rows that are equal in some columns.
//!
//! - Shape: `[rows]` → `[groups]`, all columns of the input, in its order.
//! - Order: of the output, unspecified; which row of a group is kept goes by the order of the input,
//!   as in `group_by`.
//! - Keys: equal as in `group_by`: nulls are equal, NaNs too, −0.0 equals 0.0 and is shown as 0.0.
//!   The other columns come from the one row that is kept, bit by bit.
//! - Errors: as `group_by`'s.
//!
//! It is a `group_by` whose keys are the columns and whose aggregates are `first`s or `last`s, and
//! a choice of that one's columns: [`DistinctSpec::group_by`] and [`DistinctSpec::projection`]. It
//! has no kernel, and no variant of `OperatorSpec`.

use std::sync::Arc;

use super::{AggregateSpec, FloatSums, GroupByPhase, GroupBySpec};
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, Keep};
use crate::types::{Schema, SchemaRef, Semantics};

/// Keeps one row of each group of rows that are equal in some columns.
#[derive(Debug, Clone, PartialEq)]
pub struct DistinctSpec {
    /// Schema of the batches that come in, and of the result.
    pub input: SchemaRef,
    /// The columns that are compared, by index; none: all.
    pub on: Vec<usize>,
    /// Which row of a group is kept.
    pub keep: Keep,
}

impl DistinctSpec {
    /// The group-by that does it. The first columns of its result are the compared ones.
    ///
    /// # Errors
    /// `InvalidInput` if a column is not in the input, or stands twice.
    pub fn group_by(&self) -> Result<GroupBySpec> {
        let order = self.order()?;
        let (keys, rest) = order.split_at(self.key_count());
        let function = match self.keep {
            Keep::Any | Keep::First => AggregateFunction::First,
            Keep::Last => AggregateFunction::Last,
        };
        let fields = order.iter().map(|&column| {
            let field = self.input.field(column).clone();
            let nullable = field.is_nullable() || rest.contains(&column);
            field.with_nullable(nullable)
        });
        Ok(GroupBySpec {
            input: Arc::clone(&self.input),
            output: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            group_keys: keys.to_vec(),
            aggregates: rest
                .iter()
                .map(|&column| AggregateSpec {
                    function,
                    input: Some(column),
                })
                .collect(),
            semantics: Semantics::default(),
            float_sums: FloatSums::default(),
            phase: GroupByPhase::Complete,
        })
    }

    /// For each column of the input, its index in the result of [`DistinctSpec::group_by`].
    ///
    /// # Errors
    /// As [`DistinctSpec::group_by`].
    pub fn projection(&self) -> Result<Vec<usize>> {
        let order = self.order()?;
        let mut projection = vec![0; order.len()];
        for (index, column) in order.into_iter().enumerate() {
            projection[column] = index;
        }
        Ok(projection)
    }

    fn key_count(&self) -> usize {
        if self.on.is_empty() {
            self.input.fields().len()
        } else {
            self.on.len()
        }
    }

    /// The input's columns, the compared ones first.
    fn order(&self) -> Result<Vec<usize>> {
        let columns = self.input.fields().len();
        let mut order = self.on.clone();
        for (place, column) in order.iter().enumerate() {
            if *column >= columns || order[..place].contains(column) {
                let cause = format!("column {column} of {columns} stands twice or not at all");
                return Err(Error::invalid("distinct", cause, "name each column once"));
            }
        }
        order.extend((0..columns).filter(|column| !self.on.contains(column)));
        Ok(order)
    }
}
