//! Contract of `group_by`: one row per group of equal keys, with aggregates.
//!
//! - Shape: `[rows]` keys and values → `[groups]`; with no keys, exactly one row, also for no input.
//! - Order: of the output, unspecified. Of the input: rows of a state come in the order in which its
//!   batches were fed; rows of a state that is merged into another come after those of the other.
//!   `first`, `last`, `any_value` and `collect` go by that order.
//! - Keys: a null is a group of its own; NaNs are one group; −0.0 and 0.0 are one group (shown as
//!   0.0). Strings are equal by their bytes.
//! - Aggregates: over the values that are not null, but for `first`, `last`, `collect`, `any` and
//!   `all`. `min` and `max` of no values are null, `mean` too; `sum` as the semantics say; `count`
//!   and `count_distinct` are 0. Integer sums wrap in 64 bits or fail, as the semantics say. Decimal
//!   sums are taken modulo 2^128; a final sum beyond 38 digits is null, or fails. `min` and `max`
//!   treat NaN as the greatest value, and show −0.0 as 0.0. Float sums are added in no stated order,
//!   in 64 bits, unless [`FloatSums`] says otherwise.
//! - `var` and `std`: states are (count, mean, sum of squared distances from the mean), which merge
//!   without cancellation; null where count ≤ ddof. Values become `Float64` first. A NaN or an
//!   infinity among them gives NaN.
//! - `first` and `last`: the value of the row that came first (last), null or not, bit by bit; all
//!   `first`s of a group are of one row. `any_value`: the first that is not null.
//! - `any` and `all` are Kleene's: a null counts as unknown. Of no rows they are false and true.
//! - `approx_n_unique`: HyperLogLog of 4,096 registers, standard error 1.6 %; [`Sketch`] says exactly
//!   what is hashed and how, so that all backends give equal results.
//! - `quantile`: the place is `q × (count − 1)` among the sorted values; see [`Interpolation`].
//! - Phases: see [`GroupByPhase`].
//! - Errors: overflow as above; `Reservation` if the table does not fit; `Unsupported` for what a
//!   backend has no kernels for.
//! - Equality in tests: multiset; float sums, means and variances approximately (exactly under
//!   [`FloatSums::Exact`]), all else exact.
//!
//! [`Interpolation`]: crate::expr::Interpolation

mod phase;
mod sketch;

pub use phase::{GroupByPhase, aggregate_state};
pub use sketch::{SKETCH_BITS, SKETCH_RANK_MAX, Sketch, estimate_distinct, hash_bytes, hash_words};

use std::sync::Arc;

use crate::error::Result;
use crate::expr::{AggregateFunction, aggregate_type};
use crate::types::{DataType, Field, Schema, SchemaRef, Semantics};

/// One aggregate of a group-by.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateSpec {
    /// The function.
    pub function: AggregateFunction,
    /// Its operand, by index into the input; none counts rows. Where the input has states, the
    /// first column of the aggregate's state.
    pub input: Option<usize>,
}

/// How floats are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatSums {
    /// In no stated order, each addition rounded: the last bits differ from run to run.
    #[default]
    AnyOrder,
    /// As if by exact arithmetic: a sum is rounded once, to nearest, ties to even; a sum of zero is
    /// 0.0. A mean is that sum divided by the count. A variance is made of the exact sums of the
    /// values and of their squares. The bits of a result depend on the values alone, not on order,
    /// batches, states or backend. A sum has 68 words per group and adds to two or three of them
    /// per row; a variance has three times as many.
    Exact,
}

/// Groups rows by key columns and aggregates value columns.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupBySpec {
    /// Schema of the batches that come in.
    pub input: SchemaRef,
    /// Schema of the result: the keys in order, then the aggregates in order, or their states.
    pub output: SchemaRef,
    /// Key columns, by index into the input.
    pub group_keys: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateSpec>,
    /// Overflow and empty sums.
    pub semantics: Semantics,
    /// How floats are added up.
    pub float_sums: FloatSums,
    /// Whether rows or states come in, and results or states go out.
    pub phase: GroupByPhase,
}

impl GroupBySpec {
    /// A group-by from rows to results. Its columns are named as the keys, and by the text of each
    /// aggregate.
    ///
    /// # Errors
    /// `InvalidInput` if an aggregate is not defined for its operand's type.
    ///
    /// # Panics
    /// A key or an operand is not a column of the input.
    pub fn complete(
        input: &SchemaRef,
        group_keys: Vec<usize>,
        aggregates: Vec<AggregateSpec>,
        semantics: Semantics,
    ) -> Result<GroupBySpec> {
        let keys = group_keys.iter().map(|&key| input.field(key).clone());
        let mut fields: Vec<Field> = keys.collect();
        for AggregateSpec {
            function,
            input: operand,
        } in &aggregates
        {
            let operand = operand.map(|operand| input.field(operand));
            let data_type = aggregate_type(*function, operand.map(Field::data_type))?;
            let of = operand.map_or("*", |operand| operand.name());
            fields.push(Field::new(format!("{function}({of})"), data_type, true));
        }
        Ok(GroupBySpec {
            input: Arc::clone(input),
            output: Arc::new(Schema::new(fields)),
            group_keys,
            aggregates,
            semantics,
            float_sums: FloatSums::default(),
            phase: GroupByPhase::default(),
        })
    }

    /// The type of an aggregate's values: of its operand, or of the values that its state is of.
    /// None for a count of rows.
    pub fn operand_type(&self, aggregate: &AggregateSpec) -> Option<DataType> {
        let column = aggregate.input?;
        let data_type = self.input.fields().get(column)?.data_type();
        Some(if self.phase.takes_states() {
            phase::operand_of_state(aggregate.function, data_type)
        } else {
            data_type.clone()
        })
    }

    /// True if an aggregate adds floats up exactly.
    pub fn sums_exactly(&self, function: AggregateFunction, operand: &DataType) -> bool {
        use AggregateFunction::{Mean, StandardDeviation, Sum, Variance};
        self.float_sums == FloatSums::Exact
            && match function {
                Sum | Mean => operand.is_floating(),
                Variance(_) | StandardDeviation(_) => true,
                _ => false,
            }
    }
}
