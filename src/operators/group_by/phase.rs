//! Aggregation in phases: what ranks exchange instead of rows.

use std::sync::Arc;

use super::{AggregateSpec, FloatSums, GroupBySpec};
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, aggregate_type};
use crate::types::{DECIMAL128_PRECISION_MAX, DataType, Field, Schema, decimal_parts};

/// What comes in and goes out of a group-by: rows, states or results.
///
/// A state is one or more columns per aggregate ([`aggregate_state`]), with one row per group.
/// Whatever the split of the rows, `Complete` equals `Final` over the states that `Partial` made of
/// the parts, with any number of `Merge`s in between. Where the order of rows matters, states must
/// be fed in the order of the rows that they are of. Without keys, no rows give no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupByPhase {
    /// Rows in, results out.
    #[default]
    Complete,
    /// Rows in, states out.
    Partial,
    /// States in, states out.
    Merge,
    /// States in, results out.
    Final,
}

impl GroupByPhase {
    /// True if the input has states in the place of operands.
    pub fn takes_states(self) -> bool {
        matches!(self, GroupByPhase::Merge | GroupByPhase::Final)
    }

    /// True if the output has states in the place of results.
    pub fn gives_states(self) -> bool {
        matches!(self, GroupByPhase::Partial | GroupByPhase::Merge)
    }
}

/// The columns of an aggregate's state, by name and type.
///
/// | aggregate | state |
/// | --- | --- |
/// | `count` | `count` Int64 |
/// | `sum` of integers, decimals | `sum` Decimal128(38, scale), any 128 bits: the sum modulo 2^128; null for no values |
/// | `sum` of floats | `sum` Float64, null for no values; exact: `sum` Binary |
/// | `mean` | as `sum`, and `count` Int64 |
/// | `var`, `std` | `count` Int64, `mean` Float64, `m2` Float64; exact: `count`, `sum` Binary, `squares` Binary |
/// | `min`, `max`, `first`, `last`, `any_value` | `value` of the operand's type |
/// | `any`, `all` | `value` Boolean |
/// | `approx_n_unique` | `registers` Binary: 4,096 ranks of a byte |
/// | `count_distinct`, `quantile`, `collect` | `values` List of the operand's type |
///
/// Binary sums are 68 (squares: 136) little-endian words of 64 bits, the digits of a number in two's
/// complement in base 2^32, least significant first, in units of 2^-1074 (squares: 2^-2148), and a
/// last byte of flags: 1 for a NaN, 2 for +∞, 4 for −∞ among the values.
///
/// # Errors
/// `InvalidInput` if the function is not defined for the operand.
pub fn aggregate_state(
    function: AggregateFunction,
    operand: Option<&DataType>,
    float_sums: FloatSums,
) -> Result<Vec<(&'static str, DataType)>> {
    use AggregateFunction as Function;
    aggregate_type(function, operand)?;
    let (Some(operand), true) = (operand, function != Function::Count) else {
        return Ok(vec![("count", DataType::Int64)]);
    };
    let exact = float_sums == FloatSums::Exact;
    let sum = match decimal_parts(operand) {
        Some((_, scale)) => DataType::Decimal128(DECIMAL128_PRECISION_MAX, scale),
        None if operand.is_floating() && exact => DataType::Binary,
        None if operand.is_floating() => DataType::Float64,
        None => DataType::Decimal128(DECIMAL128_PRECISION_MAX, 0),
    };
    Ok(match function {
        Function::Count => vec![("count", DataType::Int64)],
        Function::Sum => vec![("sum", sum)],
        Function::Mean => vec![("sum", sum), ("count", DataType::Int64)],
        Function::Variance(_) | Function::StandardDeviation(_) if exact => vec![
            ("count", DataType::Int64),
            ("sum", DataType::Binary),
            ("squares", DataType::Binary),
        ],
        Function::Variance(_) | Function::StandardDeviation(_) => vec![
            ("count", DataType::Int64),
            ("mean", DataType::Float64),
            ("m2", DataType::Float64),
        ],
        Function::Min
        | Function::Max
        | Function::First
        | Function::Last
        | Function::AnyValue
        | Function::Any
        | Function::All => vec![("value", operand.clone())],
        Function::ApproxCountDistinct => vec![("registers", DataType::Binary)],
        Function::CountDistinct | Function::Quantile { .. } | Function::Collect => {
            let item = Field::new_list_field(operand.clone(), true);
            vec![("values", DataType::List(Arc::new(item)))]
        }
    })
}

/// The type of values that would have a state whose first column is of this type: the operand's,
/// or one of equal use.
pub(super) fn operand_of_state(function: AggregateFunction, state: &DataType) -> DataType {
    use AggregateFunction as Function;
    match (function, state) {
        (Function::Sum | Function::Mean, DataType::Binary)
        | (Function::Variance(_) | Function::StandardDeviation(_), _) => DataType::Float64,
        (
            Function::CountDistinct | Function::Quantile { .. } | Function::Collect,
            DataType::List(item),
        ) => item.data_type().clone(),
        (Function::ApproxCountDistinct, _) => DataType::UInt64,
        _ => state.clone(),
    }
}

impl GroupBySpec {
    /// A complete group-by in three phases: from rows to states, from states to states, and from
    /// states to results. The keys and, in the last phase, the results are named as in the complete
    /// one; a state's columns are named by the aggregate and the part, as in `total.sum`.
    ///
    /// # Errors
    /// `InvalidInput` if this is not a complete group-by.
    pub fn phases(&self) -> Result<[GroupBySpec; 3]> {
        if self.phase != GroupByPhase::Complete {
            let cause = format!("the phase {:?} has no phases", self.phase);
            return Err(Error::invalid(
                "group_by",
                cause,
                "start from a complete one",
            ));
        }
        let keys = self.group_keys.len();
        let mut fields: Vec<Field> = self.output.fields()[..keys]
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let mut merged = Vec::with_capacity(self.aggregates.len());
        for (index, aggregate) in self.aggregates.iter().enumerate() {
            merged.push(AggregateSpec {
                function: aggregate.function,
                input: Some(fields.len()),
            });
            let name = self.output.field(keys + index).name();
            let operand = aggregate
                .input
                .map(|column| self.input.field(column).data_type());
            let state = aggregate_state(aggregate.function, operand, self.float_sums)?;
            let columns = state
                .into_iter()
                .map(|(part, data_type)| Field::new(format!("{name}.{part}"), data_type, true));
            fields.extend(columns);
        }
        let states = Arc::new(Schema::new(fields));
        let partial = GroupBySpec {
            output: Arc::clone(&states),
            phase: GroupByPhase::Partial,
            ..self.clone()
        };
        let merge = GroupBySpec {
            input: Arc::clone(&states),
            group_keys: (0..keys).collect(),
            aggregates: merged,
            phase: GroupByPhase::Merge,
            ..partial.clone()
        };
        let last = GroupBySpec {
            output: Arc::clone(&self.output),
            phase: GroupByPhase::Final,
            ..merge.clone()
        };
        Ok([partial, merge, last])
    }

    /// The number of state columns of an aggregate.
    ///
    /// # Errors
    /// `InvalidInput` if the function is not defined for the operand.
    pub fn state_columns(&self, aggregate: &AggregateSpec) -> Result<usize> {
        let operand = self.operand_type(aggregate);
        let state = aggregate_state(aggregate.function, operand.as_ref(), self.float_sums)?;
        Ok(state.len())
    }
}
