//! Expressions as text, for plans and column names.

use std::fmt;

use super::{BinaryOp, Expr};

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Remainder => "%",
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "<>",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        })
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Column(name) => f.write_str(name),
            Expr::Literal(value) => write!(f, "{value}"),
            Expr::Alias { expr, name } => write!(f, "{expr} as {name}"),
            Expr::Binary { op, left, right } => write!(f, "({left} {op} {right})"),
            Expr::Not(expr) => write!(f, "not {expr}"),
            Expr::Negate(expr) => write!(f, "-{expr}"),
            Expr::IsNull(expr) => write!(f, "({expr} is null)"),
            Expr::IsNotNull(expr) => write!(f, "({expr} is not null)"),
            Expr::Cast { expr, to, strict } => {
                write!(
                    f,
                    "{}({expr} as {to})",
                    if *strict { "cast" } else { "try_cast" }
                )
            }
            Expr::Case {
                branches,
                otherwise,
            } => {
                f.write_str("case")?;
                for (condition, value) in branches {
                    write!(f, " when {condition} then {value}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " else {otherwise}")?;
                }
                f.write_str(" end")
            }
            Expr::Coalesce(operands) => {
                f.write_str("coalesce(")?;
                for (index, operand) in operands.iter().enumerate() {
                    write!(f, "{}{operand}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Expr::Function { function, operands } => f.write_str(&function.describe(operands)),
            Expr::Aggregate {
                function,
                expr: Some(expr),
            } => write!(f, "{function}({expr})"),
            Expr::Aggregate {
                function,
                expr: None,
            } => write!(f, "{function}(*)"),
        }
    }
}
