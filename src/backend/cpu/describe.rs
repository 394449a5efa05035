//! Typed expressions as text, for error messages: columns by their names, as the user wrote them.

use crate::expr::{TypedExpr, TypedKind};
use crate::types::Schema;

/// An expression in the notation of [`Expr`](crate::expr::Expr)'s text.
pub(super) fn describe(expr: &TypedExpr, schema: &Schema) -> String {
    let text = |expr: &TypedExpr| describe(expr, schema);
    match &expr.kind {
        TypedKind::Column(index) => schema
            .fields()
            .get(*index)
            .map_or_else(|| format!("column {index}"), |field| field.name().clone()),
        TypedKind::Literal(literal) => literal.to_string(),
        TypedKind::Arithmetic { op, left, right } | TypedKind::Compare { op, left, right } => {
            format!("({} {op} {})", text(left), text(right))
        }
        TypedKind::And(left, right) => format!("({} and {})", text(left), text(right)),
        TypedKind::Or(left, right) => format!("({} or {})", text(left), text(right)),
        TypedKind::Not(operand) => format!("not {}", text(operand)),
        TypedKind::Negate(operand) => format!("-{}", text(operand)),
        TypedKind::IsNull(operand) => format!("({} is null)", text(operand)),
        TypedKind::IsNotNull(operand) => format!("({} is not null)", text(operand)),
        TypedKind::Cast {
            expr: operand,
            strict,
        } => {
            let verb = if *strict { "cast" } else { "try_cast" };
            format!("{verb}({} as {})", text(operand), expr.data_type)
        }
        TypedKind::Case {
            branches,
            otherwise,
        } => {
            let mut out = String::from("case");
            for (condition, value) in branches {
                out += &format!(" when {} then {}", text(condition), text(value));
            }
            if let Some(otherwise) = otherwise {
                out += &format!(" else {}", text(otherwise));
            }
            out + " end"
        }
        TypedKind::Coalesce(operands) => {
            let operands: Vec<String> = operands.iter().map(text).collect();
            format!("coalesce({})", operands.join(", "))
        }
        TypedKind::Function { function, operands } => {
            function.describe(&operands.iter().map(text).collect::<Vec<_>>())
        }
    }
}
