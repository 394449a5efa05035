//! Expressions of one row.

use datafusion_common::Column;
use datafusion_common::tree_node::TreeNode;
use datafusion_expr::expr::{Between, BinaryExpr, Case, InList as SqlInList, Like, SetQuantifier};
use datafusion_expr::{Expr as SqlExpr, Operator};
use pelton::error::Result;
use pelton::expr::{
    BinaryOp, Expr, Function, InList, LikePattern, StringFunction, TextFunction, coalesce, col,
    concat, lit,
};
use pelton::types::{DataType, Literal};

use super::literal::{constant, is_castable, literal, stored_type};
use super::subquery::Kind;
use super::{Translation, flat};
use crate::planner::QUOTIENT;
use crate::problem::unsupported;

/// The name of a column here.
pub(super) fn column_name(column: &Column) -> String {
    flat(column.relation.as_ref(), &column.name)
}

impl Translation<'_> {
    /// Expressions.
    pub(super) fn exprs(&mut self, exprs: &[SqlExpr]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    /// An expression in a place where no subquery may stand.
    pub(super) fn plain(&mut self, expr: &SqlExpr) -> Result<Expr> {
        let outside = self.beside.len();
        let translated = self.expr(expr)?;
        match self.beside.len() == outside {
            true => Ok(translated),
            false => Err(unsupported(format!("a subquery in `{expr}`"))),
        }
    }

    /// An expression, whose subqueries wait to be put beside its rows.
    pub(super) fn expr(&mut self, expr: &SqlExpr) -> Result<Expr> {
        let mut one = |expr: &SqlExpr| self.expr(expr);
        Ok(match expr {
            SqlExpr::Alias(alias) => one(&alias.expr)?,
            SqlExpr::Column(column) => col(column_name(column)),
            SqlExpr::Literal(value, _) => constant(value)?,
            SqlExpr::BinaryExpr(binary) => self.binary(binary)?,
            SqlExpr::Like(like) => self.like(like)?,
            SqlExpr::Not(operand) => not(one(operand)?),
            SqlExpr::IsNull(operand) | SqlExpr::IsUnknown(operand) => one(operand)?.is_null(),
            SqlExpr::IsNotNull(operand) | SqlExpr::IsNotUnknown(operand) => {
                one(operand)?.is_not_null()
            }
            SqlExpr::IsTrue(operand) => coalesce([one(operand)?, lit(false)]),
            SqlExpr::IsNotTrue(operand) => not(coalesce([one(operand)?, lit(false)])),
            SqlExpr::IsFalse(operand) => not(coalesce([one(operand)?, lit(true)])),
            SqlExpr::IsNotFalse(operand) => coalesce([one(operand)?, lit(true)]),
            SqlExpr::Negative(operand) => Expr::Negate(Box::new(one(operand)?)),
            SqlExpr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let between = one(expr)?.between(one(low)?, one(high)?);
                if *negated { not(between) } else { between }
            }
            SqlExpr::Case(case) => self.case(case)?,
            SqlExpr::Cast(cast) => cast_to(one(&cast.expr)?, cast.field.data_type(), true)?,
            SqlExpr::TryCast(cast) => cast_to(one(&cast.expr)?, cast.field.data_type(), false)?,
            SqlExpr::InList(list) => self.in_list(list)?,
            SqlExpr::ScalarFunction(call) => {
                let operands = call.args.iter().map(one).collect::<Result<Vec<_>>>()?;
                super::function::function(call.func.name(), operands)?
            }
            SqlExpr::OuterReferenceColumn(_, column) => self.outer(&column_name(column))?,
            SqlExpr::ScalarSubquery(subquery) => self.beside(subquery, Kind::Scalar),
            SqlExpr::Exists(exists) => {
                let exists_here = self.beside(&exists.subquery, Kind::Exists);
                if exists.negated {
                    not(exists_here)
                } else {
                    exists_here
                }
            }
            SqlExpr::InSubquery(one) => {
                let probe = self.expr(&one.expr)?;
                let is_in = self.beside(&one.subquery, Kind::In(probe));
                if one.negated { not(is_in) } else { is_in }
            }
            SqlExpr::SetComparison(one) => match (one.op, &one.quantifier) {
                (Operator::Eq, SetQuantifier::Any) => {
                    let probe = self.expr(&one.expr)?;
                    self.beside(&one.subquery, Kind::In(probe))
                }
                (Operator::NotEq, SetQuantifier::All) => {
                    let probe = self.expr(&one.expr)?;
                    not(self.beside(&one.subquery, Kind::In(probe)))
                }
                (Operator::IsNotDistinctFrom, SetQuantifier::Any) => {
                    self.beside(&one.subquery, Kind::Exists)
                }
                _ => return Err(unsupported(format!("`{expr}`"))),
            },
            other => return Err(unsupported(format!("`{other}`"))),
        })
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Result<Expr> {
        let left = self.expr(&binary.left)?;
        let right = self.expr(&binary.right)?;
        let plain = |op| Expr::Binary {
            op,
            left: Box::new(left.clone()),
            right: Box::new(right.clone()),
        };
        let matches = |ignore_case: bool| -> Result<Expr> {
            let Ok(pattern) = text(&right, "the pattern of a regular expression") else {
                let pattern = match ignore_case {
                    true => concat([lit("(?i)"), right.clone()]),
                    false => right.clone(),
                };
                return Ok(over_text(TextFunction::Matches, [left.clone(), pattern]));
            };
            let pattern = if ignore_case {
                format!("(?i){pattern}")
            } else {
                pattern
            };
            Ok(left.clone().matches(pattern))
        };
        let like = |ignore_case: bool| like(left.clone(), &right, None, ignore_case);
        Ok(match binary.op {
            Operator::Eq => plain(BinaryOp::Equal),
            Operator::NotEq => plain(BinaryOp::NotEqual),
            Operator::Lt => plain(BinaryOp::Less),
            Operator::LtEq => plain(BinaryOp::LessOrEqual),
            Operator::Gt => plain(BinaryOp::Greater),
            Operator::GtEq => plain(BinaryOp::GreaterOrEqual),
            Operator::Plus => plain(BinaryOp::Add),
            Operator::Minus => plain(BinaryOp::Subtract),
            Operator::Multiply => plain(BinaryOp::Multiply),
            Operator::Divide => plain(BinaryOp::Divide),
            Operator::Modulo => plain(BinaryOp::Remainder),
            Operator::And if may_fail(&binary.right) => {
                // What stands behind a condition is computed where it is not false.
                let guarded = Expr::Case {
                    branches: vec![(coalesce([left.clone(), lit(true)]), right)],
                    otherwise: Some(Box::new(lit(false))),
                };
                left.and(guarded)
            }
            Operator::And => plain(BinaryOp::And),
            Operator::Or => plain(BinaryOp::Or),
            Operator::IsDistinctFrom => distinct(left, right),
            Operator::IsNotDistinctFrom => not(distinct(left, right)),
            Operator::RegexMatch => matches(false)?,
            Operator::RegexIMatch => matches(true)?,
            Operator::RegexNotMatch => not(matches(false)?),
            Operator::RegexNotIMatch => not(matches(true)?),
            Operator::LikeMatch => like(false),
            Operator::ILikeMatch => like(true),
            Operator::NotLikeMatch => not(like(false)),
            Operator::NotILikeMatch => not(like(true)),
            Operator::BitwiseAnd => left.bit_and(right),
            Operator::BitwiseOr => left.bit_or(right),
            Operator::BitwiseXor => left.bit_xor(right),
            Operator::BitwiseShiftLeft => left.shift_left(right),
            Operator::BitwiseShiftRight => left.shift_right(right),
            Operator::StringConcat => concat([left, right]),
            other => return Err(unsupported(format!("the operator `{other}`"))),
        })
    }

    fn like(&mut self, one: &Like) -> Result<Expr> {
        let operand = self.expr(&one.expr)?;
        let pattern = self.expr(&one.pattern)?;
        let like = like(operand, &pattern, one.escape_char, one.case_insensitive);
        Ok(if one.negated { not(like) } else { like })
    }

    fn case(&mut self, case: &Case) -> Result<Expr> {
        let compared = case.expr.as_ref().map(|expr| self.expr(expr));
        let compared = compared.transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = self.expr(when)?;
            let condition = match &compared {
                Some(compared) => compared.clone().eq(when),
                None => when,
            };
            branches.push((condition, self.expr(then)?));
        }
        let otherwise = case.else_expr.as_ref().map(|expr| self.expr(expr));
        Ok(Expr::Case {
            branches,
            otherwise: otherwise.transpose()?.map(Box::new),
        })
    }

    fn in_list(&mut self, list: &SqlInList) -> Result<Expr> {
        let operand = self.expr(&list.expr)?;
        let constants = list.list.iter().map(|expr| match expr {
            SqlExpr::Literal(value, _) => literal(value).ok(),
            _ => None,
        });
        let is_in = match constants.collect::<Option<Vec<Literal>>>() {
            Some(values) if !values.contains(&Literal::Null) => Expr::Function {
                function: Function::InList(InList { values }),
                operands: vec![operand],
            },
            _ => {
                let mut any = lit(false);
                for expr in &list.list {
                    any = any.or(operand.clone().eq(self.expr(expr)?));
                }
                any
            }
        };
        Ok(if list.negated { not(is_in) } else { is_in })
    }
}

/// Whether an expression may fail for values that a condition before it leaves out.
fn may_fail(expr: &SqlExpr) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            SqlExpr::BinaryExpr(one) => matches!(one.op, Operator::Divide | Operator::Modulo),
            SqlExpr::ScalarFunction(call) => call.func.name() == QUOTIENT,
            SqlExpr::Cast(cast) => !matches!(*cast.expr, SqlExpr::Column(_) | SqlExpr::Literal(..)),
            _ => false,
        })
    })
    .unwrap_or(true)
}

pub(super) fn not(operand: Expr) -> Expr {
    Expr::Not(Box::new(operand))
}

/// True where one operand is null and the other is not, or their values differ; never null.
fn distinct(left: Expr, right: Expr) -> Expr {
    let both = left.clone().is_null().and(right.clone().is_null());
    let one = left.clone().is_null().or(right.clone().is_null());
    Expr::Case {
        branches: vec![(both, lit(false)), (one, lit(true))],
        otherwise: Some(Box::new(left.not_eq(right))),
    }
}

fn cast_to(expr: Expr, to: &DataType, strict: bool) -> Result<Expr> {
    let to = stored_type(to);
    if !is_castable(&to) {
        return Err(unsupported(format!("a cast to {to}")));
    }
    Ok(Expr::Cast {
        expr: Box::new(expr),
        to,
        strict,
    })
}

/// The text of a constant, without casts between string types.
pub(super) fn text(expr: &Expr, what: &str) -> Result<String> {
    match expr {
        Expr::Literal(Literal::Utf8(text)) => Ok(text.clone()),
        Expr::Cast {
            expr,
            to: DataType::Utf8 | DataType::LargeUtf8,
            ..
        } => text(expr, what),
        _ => Err(unsupported(format!("{what} that is no constant"))),
    }
}

fn like(operand: Expr, pattern: &Expr, escape: Option<char>, ignore_case: bool) -> Expr {
    match text(pattern, "the pattern of LIKE") {
        Ok(pattern) => Expr::Function {
            function: Function::String(StringFunction::Like(LikePattern {
                pattern,
                escape,
                ignore_case,
            })),
            operands: vec![operand],
        },
        Err(_) => {
            let function = TextFunction::Like {
                escape,
                ignore_case,
            };
            over_text(function, [operand, pattern.clone()])
        }
    }
}

fn over_text(function: TextFunction, operands: [Expr; 2]) -> Expr {
    Expr::Function {
        function: Function::Text(function),
        operands: operands.into(),
    }
}
