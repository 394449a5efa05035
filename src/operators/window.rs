//! Contract of `window`: values of each row that depend on the rows around it.
//!
//! A fold over all rows. They fall into partitions of equal `partition_by` keys, each in the order
//! of `order_by`; rows of a partition that are equal by `order_by` are peers (without keys: all of
//! them). Every row leaves once, with the columns of the projection and a column per function.
//!
//! - Shape: `[rows]` → `[rows]`, as one batch.
//! - Order: unspecified. Peers stand in the order in which they came in (batch by batch as they
//!   were folded, a merged state's behind the state's own), which is what functions that tell peers
//!   apart go by: `row_number`, `ntile`, `lag`, `lead`, the values of a frame, frames of rows.
//! - Keys: a null equals a null, and [`SortKey`] says where it stands. NaNs are equal, and greater
//!   than all numbers; −0.0 equals 0.0; strings are ordered by their bytes.
//! - Ranks ([`WindowFunction::RowNumber`] and on): numbers from 1, or shares from 0 to 1; never null.
//! - Offsets (`lag`, `lead`): the value of the row so many rows before or behind, within the
//!   partition; the default where there is none. The frame means nothing to them.
//! - Values (`first_value`, `last_value`, `nth_value`): of a row of the frame; null where the frame
//!   has no such row. Nulls count as rows, for offsets and for values.
//! - Aggregates: over the frame's values that are not null, with the types and rules of `group_by`
//!   (its contract: nulls, NaN, overflow, decimals, the semantics' choice for the sum of nothing).
//!   A frame may be empty: it has no values. Each sum adds the values of its own frame only; a NaN
//!   or an infinity outside of it leaves no trace. Float sums are added in no stated order.
//! - Waiting: `finish` waits for the stream.
//! - Errors: `InvalidInput` when made, for a specification that contradicts itself (columns that are
//!   not there, types, more than [`KEYS_MAX`] keys, a frame that ends before it starts, `ntile(0)`,
//!   `nth_value(0)`), and for more than [`ROWS_PER_BATCH_MAX`] rows. `Unsupported` for `count_distinct` over a frame. Overflow of
//!   sums as in `group_by`, of any row's frame.
//! - Equality in tests: multiset; float sums and means approximately, all else exact.
//!
//! Dataframes' `over` is a window with a partition, no order, and [`Frame::Partition`]; SQL's default
//! frame is [`Frame::RangeToCurrent`] where there is an order, else [`Frame::Partition`].

use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, Frame, WindowFunction, literal_array};
use crate::limits::{KEYS_MAX, ROWS_PER_BATCH_MAX};
use crate::operators::SortKey;
use crate::types::{DataType, Schema, SchemaRef, Semantics};

/// A function and the frame that it looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowCall {
    /// The function.
    /// An operand is a column, by index into the input.
    pub function: WindowFunction<usize>,
    /// The frame, for values and aggregates.
    pub frame: Frame,
}

/// Computes functions of rows among the rows of their partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSpec {
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// Columns whose equal values make a partition; none: all rows are one.
    pub partition_by: Vec<usize>,
    /// The order within a partition; none: all its rows are peers.
    pub order_by: Vec<SortKey>,
    /// Columns of the input that leave, in output order.
    pub projection: Vec<usize>,
    /// The functions, whose columns follow the projection's.
    pub functions: Vec<WindowCall>,
    /// Schema of the result.
    pub output: SchemaRef,
    /// Overflow and empty sums.
    pub semantics: Semantics,
}

/// The type of a function's column.
///
/// # Errors
/// `InvalidInput` if the column is not there, or the function is not defined for its type.
pub fn window_type(function: &WindowFunction<usize>, input: &Schema) -> Result<DataType> {
    let operand = match function.operand() {
        Some(&column) if column >= input.fields().len() => {
            let cause = format!("column {column} of {}", input.fields().len());
            return Err(Error::invalid("window", cause, ""));
        }
        column => column.map(|&column| input.field(column).data_type()),
    };
    function.data_type(operand)
}

/// More rows than a window takes.
pub fn too_many_window_rows(rows: u64) -> Error {
    let cause = format!("{rows} rows; the most is {ROWS_PER_BATCH_MAX}");
    Error::invalid("window", cause, "filter the rows first")
}

impl WindowSpec {
    /// Checks that the specification makes sense, for a backend that is named where it refuses.
    ///
    /// # Errors
    /// `InvalidInput` and `Unsupported` as the contract says.
    pub fn check(&self, backend: &'static str) -> Result<()> {
        let invalid = |cause: String| Err(Error::invalid("window", cause, ""));
        let columns = self.input.fields().len();
        let keys = self.order_by.iter().map(|key| key.column);
        let mut used = keys.chain(self.partition_by.iter().chain(&self.projection).copied());
        if let Some(index) = used.find(|index| *index >= columns) {
            return invalid(format!("column {index} of {columns}"));
        }
        let keys = self.partition_by.len() + self.order_by.len();
        if keys > KEYS_MAX {
            return invalid(format!("{keys} keys; the most is {KEYS_MAX}"));
        }
        let (fields, steps) = (
            self.output.fields().len(),
            self.projection.len() + self.functions.len(),
        );
        if fields != steps {
            return invalid(format!("{fields} fields for {steps} columns and functions"));
        }
        let (passed, computed) = self.output.fields().split_at(self.projection.len());
        for (field, &index) in passed.iter().zip(&self.projection) {
            let own = self.input.field(index).data_type();
            if field.data_type() != own {
                return invalid(format!("`{}` is {own}", field.name()));
            }
        }
        for (field, call) in computed.iter().zip(&self.functions) {
            let own = window_type(&call.function, &self.input)?;
            if *field.data_type() != own {
                return invalid(format!("`{}` is {own}", field.name()));
            }
            self.check_call(backend, call)
                .map_err(|error| error.context(format!("window, `{}`", field.name())))?;
        }
        Ok(())
    }

    fn check_call(&self, backend: &'static str, call: &WindowCall) -> Result<()> {
        if let Frame::Rows {
            start: Some(start),
            end: Some(end),
        } = call.frame
            && start > end
        {
            let cause = format!("a frame of rows from {start} to {end}");
            return Err(Error::invalid("window", cause, "start before the end"));
        }
        match &call.function {
            WindowFunction::Ntile(0) => {
                let remedy = "ask for at least one";
                Err(Error::invalid("ntile", "no buckets", remedy))
            }
            WindowFunction::NthValue { n: 0, .. } => {
                let remedy = "the first row is 1";
                Err(Error::invalid("nth_value", "row 0", remedy))
            }
            WindowFunction::Lag {
                operand, default, ..
            }
            | WindowFunction::Lead {
                operand, default, ..
            } => literal_array(default, self.input.field(*operand).data_type()).map(drop),
            WindowFunction::Aggregate { function, .. }
                if !matches!(
                    function,
                    AggregateFunction::Count
                        | AggregateFunction::Max
                        | AggregateFunction::Mean
                        | AggregateFunction::Min
                        | AggregateFunction::Sum
                ) =>
            {
                let reason = format!("{function} over a frame");
                Err(Error::unsupported(backend, "window", reason))
            }
            _ => Ok(()),
        }
    }
}
