//! Which expressions may fail a query.

use super::coerce::common_type;
use super::coerce::is_float;
use super::{Function, TypedExpr, TypedKind};
use crate::types::{DataType, DivisionByZero, Overflow, Semantics, is_string};

impl TypedExpr {
    /// True if some values of its columns may make the evaluation an error, rather than a value or a
    /// null. It says true where it does not know.
    ///
    /// ```
    /// use pelton::expr::{col, lit, resolve};
    /// use pelton::types::{DataType, Field, Schema, Semantics};
    /// # fn main() -> pelton::Result<()> {
    /// let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    /// let semantics = Semantics::default();
    /// assert!(!resolve(&(col("n") * lit(2)), &schema)?.may_fail(semantics));
    /// assert!(resolve(&col("n").cast(DataType::Int8), &schema)?.may_fail(semantics));
    /// # Ok(())
    /// # }
    /// ```
    pub fn may_fail(&self, semantics: Semantics) -> bool {
        let strict = semantics.overflow == Overflow::Error
            || semantics.division_by_zero == DivisionByZero::Error;
        let own = match &self.kind {
            TypedKind::Column(_)
            | TypedKind::Literal(_)
            | TypedKind::Compare { .. }
            | TypedKind::And(..)
            | TypedKind::Or(..)
            | TypedKind::Not(_)
            | TypedKind::IsNull(_)
            | TypedKind::IsNotNull(_)
            | TypedKind::Case { .. }
            | TypedKind::Coalesce(_) => false,
            TypedKind::Arithmetic { .. } | TypedKind::Negate(_) => {
                strict && !is_float(&self.data_type)
            }
            TypedKind::Cast { expr, strict } => *strict && !fits(&expr.data_type, &self.data_type),
            TypedKind::Function { function, .. } => match function {
                Function::InList(_) | Function::ListAggregate(_) | Function::String(_) => false,
                Function::Math(_) | Function::Temporal(_) => strict,
                // A pattern may be malformed, a string too long.
                Function::Text(_) => true,
            },
        };
        own || self
            .children()
            .into_iter()
            .any(|child| child.may_fail(semantics))
    }
}

/// True if every value of one type has a place in the other.
fn fits(from: &DataType, to: &DataType) -> bool {
    let known = |data_type: &DataType| data_type.is_numeric() || is_string(data_type);
    from == to || known(from) && known(to) && common_type(from, to).as_ref() == Some(to)
}
