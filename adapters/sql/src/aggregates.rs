//! Aggregates by names that the planner does not know, or with other operands.

use std::sync::Arc;

use datafusion_common::{DataFusionError, Result};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use pelton::types::DataType;

/// What an aggregate gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gives {
    Float,
    /// A value of its first operand's type.
    Own,
    Text,
}

/// Name, other names, numbers of operands, and what it gives.
type Known = (
    &'static str,
    &'static [&'static str],
    &'static [usize],
    Gives,
);

const KNOWN: &[Known] = &[
    ("arg_max", &["argmax", "max_by"], &[2], Gives::Own),
    ("arg_min", &["argmin", "min_by"], &[2], Gives::Own),
    ("entropy", &[], &[1], Gives::Float),
    ("kurtosis", &[], &[1], Gives::Float),
    ("kurtosis_pop", &[], &[1], Gives::Float),
    ("mad", &[], &[1], Gives::Float),
    ("mode", &[], &[1], Gives::Own),
    (
        "percentile_disc",
        &["quantile_disc", "quantile"],
        &[1, 2],
        Gives::Own,
    ),
    ("product", &[], &[1], Gives::Float),
    ("skewness", &[], &[1], Gives::Float),
    (
        "string_agg",
        &["group_concat", "listagg"],
        &[1, 2],
        Gives::Text,
    ),
];

/// The aggregates.
pub(crate) fn functions() -> impl Iterator<Item = Arc<AggregateUDF>> {
    KNOWN
        .iter()
        .map(|known| Arc::new(AggregateUDF::from(Named::new(known))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    gives: Gives,
}

impl Named {
    fn new((name, aliases, operands, gives): &Known) -> Named {
        use datafusion_expr::TypeSignature::{Any, OneOf};
        let counts = operands.iter().map(|count| Any(*count)).collect();
        Named {
            name,
            aliases: aliases.iter().map(ToString::to_string).collect(),
            signature: Signature::new(OneOf(counts), Volatility::Immutable),
            gives: *gives,
        }
    }
}

impl AggregateUDFImpl for Named {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, operands: &[DataType]) -> Result<DataType> {
        Ok(match self.gives {
            Gives::Float => DataType::Float64,
            Gives::Own => operands.first().cloned().unwrap_or(DataType::Null),
            Gives::Text => DataType::Utf8,
        })
    }

    /// `mode() WITHIN GROUP (ORDER BY x)` is `mode(x)`.
    fn supports_within_group_clause(&self) -> bool {
        matches!(self.name, "mode" | "percentile_disc")
    }

    fn accumulator(&self, _operands: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let cause = format!("{} while planning", self.name);
        Err(DataFusionError::NotImplemented(cause))
    }
}
