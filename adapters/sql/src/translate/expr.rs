//! Expressions of one row.

use datafusion_common::Column;
use datafusion_expr::expr::{Between, BinaryExpr, Case, InList as SqlInList, Like};
use datafusion_expr::{Expr as SqlExpr, LogicalPlan as SqlPlan, Operator, Subquery};
use pelton::error::Result;
use pelton::expr::{
    BinaryOp, Expr, Function, InList, LikePattern, StringFunction, coalesce, col, concat, lit,
};
use pelton::plan::LogicalPlan;
use pelton::types::{DataType, Literal};

use super::literal::{constant, count, is_castable, literal, stored_type};
use super::{Translation, flat, names, renamed};
use crate::problem::unsupported;

/// Name of the column of a scalar subquery, before its number.
const SCALAR: &str = "__scalar_";

/// The name of a column here.
pub(super) fn column_name(column: &Column) -> String {
    flat(column.relation.as_ref(), &column.name)
}

impl Translation<'_> {
    /// An expression, and the scalar subqueries whose columns it reads.
    pub(super) fn expr(&mut self, expr: &SqlExpr) -> Result<(Expr, Vec<LogicalPlan>)> {
        let mut scalars = Vec::new();
        let expr = self.walk(expr, &mut scalars)?;
        Ok((expr, scalars))
    }

    /// Expressions, and the scalar subqueries whose columns they read.
    pub(super) fn exprs(&mut self, exprs: &[SqlExpr]) -> Result<(Vec<Expr>, Vec<LogicalPlan>)> {
        let mut scalars = Vec::new();
        let exprs = exprs.iter().map(|expr| self.walk(expr, &mut scalars));
        let exprs = exprs.collect::<Result<_>>()?;
        Ok((exprs, scalars))
    }

    /// An expression in a place where no subquery may stand.
    pub(super) fn plain(&mut self, expr: &SqlExpr) -> Result<Expr> {
        let (translated, scalars) = self.expr(expr)?;
        match scalars.is_empty() {
            true => Ok(translated),
            false => Err(unsupported(format!("a subquery in `{expr}`"))),
        }
    }

    fn walk(&mut self, expr: &SqlExpr, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        let mut one = |expr: &SqlExpr| self.walk(expr, scalars);
        Ok(match expr {
            SqlExpr::Alias(alias) => one(&alias.expr)?,
            SqlExpr::Column(column) => col(column_name(column)),
            SqlExpr::Literal(value, _) => constant(value)?,
            SqlExpr::BinaryExpr(binary) => self.binary(binary, scalars)?,
            SqlExpr::Like(like) => self.like(like, scalars)?,
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
            SqlExpr::Case(case) => self.case(case, scalars)?,
            SqlExpr::Cast(cast) => cast_to(one(&cast.expr)?, cast.field.data_type(), true)?,
            SqlExpr::TryCast(cast) => cast_to(one(&cast.expr)?, cast.field.data_type(), false)?,
            SqlExpr::InList(list) => self.in_list(list, scalars)?,
            SqlExpr::ScalarFunction(call) => {
                let operands = call.args.iter().map(one).collect::<Result<Vec<_>>>()?;
                super::function::function(call.func.name(), operands)?
            }
            SqlExpr::ScalarSubquery(subquery) => self.scalar(subquery, scalars)?,
            other => return Err(unsupported(format!("`{other}`"))),
        })
    }

    fn binary(&mut self, binary: &BinaryExpr, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        let left = self.walk(&binary.left, scalars)?;
        let right = self.walk(&binary.right, scalars)?;
        let plain = |op| Expr::Binary {
            op,
            left: Box::new(left.clone()),
            right: Box::new(right.clone()),
        };
        let matches = |ignore_case: bool| -> Result<Expr> {
            let pattern = text(&right, "the pattern of a regular expression")?;
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
            Operator::And => plain(BinaryOp::And),
            Operator::Or => plain(BinaryOp::Or),
            Operator::IsDistinctFrom => distinct(left, right),
            Operator::IsNotDistinctFrom => not(distinct(left, right)),
            Operator::RegexMatch => matches(false)?,
            Operator::RegexIMatch => matches(true)?,
            Operator::RegexNotMatch => not(matches(false)?),
            Operator::RegexNotIMatch => not(matches(true)?),
            Operator::LikeMatch => like(false)?,
            Operator::ILikeMatch => like(true)?,
            Operator::NotLikeMatch => not(like(false)?),
            Operator::NotILikeMatch => not(like(true)?),
            Operator::BitwiseAnd => left.bit_and(right),
            Operator::BitwiseOr => left.bit_or(right),
            Operator::BitwiseXor => left.bit_xor(right),
            Operator::BitwiseShiftLeft => left.shift_left(right),
            Operator::BitwiseShiftRight => left.shift_right(right),
            Operator::StringConcat => concat([left, right]),
            other => return Err(unsupported(format!("the operator `{other}`"))),
        })
    }

    fn like(&mut self, one: &Like, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        let operand = self.walk(&one.expr, scalars)?;
        let pattern = self.walk(&one.pattern, scalars)?;
        let like = like(operand, &pattern, one.escape_char, one.case_insensitive)?;
        Ok(if one.negated { not(like) } else { like })
    }

    fn case(&mut self, case: &Case, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        let compared = case.expr.as_ref().map(|expr| self.walk(expr, scalars));
        let compared = compared.transpose()?;
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = self.walk(when, scalars)?;
            let condition = match &compared {
                Some(compared) => compared.clone().eq(when),
                None => when,
            };
            branches.push((condition, self.walk(then, scalars)?));
        }
        let otherwise = case.else_expr.as_ref().map(|expr| self.walk(expr, scalars));
        Ok(Expr::Case {
            branches,
            otherwise: otherwise.transpose()?.map(Box::new),
        })
    }

    fn in_list(&mut self, list: &SqlInList, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        let operand = self.walk(&list.expr, scalars)?;
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
                    any = any.or(operand.clone().eq(self.walk(expr, scalars)?));
                }
                any
            }
        };
        Ok(if list.negated { not(is_in) } else { is_in })
    }

    /// The column of a scalar subquery, which is joined beside the rows that read it.
    fn scalar(&mut self, subquery: &Subquery, scalars: &mut Vec<LogicalPlan>) -> Result<Expr> {
        if !subquery.outer_ref_columns.is_empty() {
            return Err(unsupported("this correlated scalar subquery"));
        }
        if !has_one_row(&subquery.subquery) {
            return Err(unsupported(
                "a scalar subquery that may have several rows (aggregate it, or add LIMIT 1)",
            ));
        }
        let plan = self.plan(&subquery.subquery)?;
        let name = format!("{SCALAR}{}", self.subqueries);
        self.subqueries += 1;
        let from = names(subquery.subquery.schema());
        scalars.push(renamed(plan, from, vec![name.clone()]));
        Ok(col(name))
    }
}

/// Whether a plan never has more than one row.
fn has_one_row(plan: &SqlPlan) -> bool {
    match plan {
        SqlPlan::Aggregate(one) => one.group_expr.is_empty(),
        SqlPlan::EmptyRelation(_) => true,
        SqlPlan::Values(values) => values.values.len() <= 1,
        SqlPlan::Projection(one) => has_one_row(&one.input),
        SqlPlan::SubqueryAlias(one) => has_one_row(&one.input),
        SqlPlan::Filter(one) => has_one_row(&one.input),
        SqlPlan::Sort(one) => one.fetch.is_some_and(|rows| rows <= 1) || has_one_row(&one.input),
        SqlPlan::Limit(one) => {
            let rows = one.fetch.as_deref().map(count);
            matches!(rows, Some(Ok(Some(0 | 1)))) || has_one_row(&one.input)
        }
        _ => false,
    }
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

fn like(operand: Expr, pattern: &Expr, escape: Option<char>, ignore_case: bool) -> Result<Expr> {
    let pattern = text(pattern, "the pattern of LIKE")?;
    Ok(Expr::Function {
        function: Function::String(StringFunction::Like(LikePattern {
            pattern,
            escape,
            ignore_case,
        })),
        operands: vec![operand],
    })
}
