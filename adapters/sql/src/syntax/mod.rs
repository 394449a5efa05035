//! What the parser read, in the constructs that the planner has.
//!
//! The planner lacks some of SQL's spellings and gets a few wrong. Each is written here as what it stands for,
//! before anything is planned: [`join`] has `USING`, [`order`] orders, [`aliases`] names of a SELECT within itself, [`subquery`] comparisons with rows and with all rows of a
//! query, [`groups`] grouping sets, [`windows`] windows that add to named ones, [`call`] functions that are
//! expressions, [`names`] what columns without a name are called.

mod aliases;
mod call;
mod columns;
mod groups;
mod join;
mod names;
mod order;
mod precedence;
mod subquery;
mod windows;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, Ident, LimitClause, Query, Select, SelectFlavor,
    SelectItem, SetExpr, Statement, TableAliasColumnDef, TableFactor, UnaryOperator, Value,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use pelton::engine::LazyFrame;
use pelton::error::{Error, Result};

use crate::problem::unsupported;
use columns::{Expressions, Known};

/// Rewrites a statement.
///
/// # Errors
/// `Unsupported` for a construct that would be planned as something else than it says.
pub(crate) fn prepare(
    statement: &mut Statement,
    tables: &BTreeMap<String, LazyFrame>,
) -> Result<()> {
    let mut preparation = Preparation {
        tables,
        expressions: Expressions::new(),
        windows: Vec::new(),
    };
    match statement.visit(&mut preparation) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Preparation<'a> {
    tables: &'a BTreeMap<String, LazyFrame>,
    /// Common table expressions so far, by name.
    expressions: Expressions,
    /// The named windows of the queries at hand, the innermost last.
    windows: Vec<windows::Windows>,
}

/// The visitor's way to hand on a failure.
fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Preparation<'_> {
    fn known(&self) -> Known<'_> {
        Known {
            tables: self.tables,
            expressions: &self.expressions,
        }
    }
}

impl VisitorMut for Preparation<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // Before anything below is rewritten: names are the text as it was given.
        from_alone(&mut query.body);
        names::name_columns(&mut query.body);
        for one in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = columns::of_query(&one.query, self.known());
            let columns = columns.map(|columns| columns::renamed(columns, Some(&one.alias)));
            self.expressions.insert(normal(&one.alias.name), columns);
        }
        self.windows.push(windows::Windows::new());
        let known = Known {
            tables: self.tables,
            expressions: &self.expressions,
        };
        flow(
            fetched(query)
                .and_then(|()| order::write_out(query, known))
                .and_then(|()| join::merge_columns(query, known)),
        )
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.windows.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        aliases::spread(select, self.known());
        if let Some(condition) = &mut select.selection {
            subquery::rows_in_condition(condition);
        }
        // They are there for the ORDER BY behind, too.
        let named = windows::named(select).map(|named| {
            self.windows.pop();
            self.windows.push(named);
        });
        flow(
            named
                .and_then(|()| groups::write_out(select))
                .and_then(|()| join::spell(select)),
        )
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        // An alias may name the first columns alone; the planner wants them all named.
        if let Some(columns) = columns::of_factor(factor, self.known())
            && let TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } = factor
            && let Some(alias) = alias
            && !alias.columns.is_empty()
        {
            let missing = columns.into_iter().skip(alias.columns.len());
            let missing = missing.map(|name| TableAliasColumnDef {
                name: Ident::with_quote('"', name),
                data_type: None,
            });
            alias.columns.extend(missing);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        precedence::restore(expr);
        let completed = match self.windows.last() {
            Some(windows) => windows::rewrite(expr, windows),
            None => Ok(()),
        };
        let rewritten = completed.and_then(|()| subquery::rewrite(expr));
        flow(
            rewritten
                .and_then(|()| operator(expr))
                .and_then(|()| call::rewrite(expr)),
        )
    }
}

/// `FROM t` is `SELECT * FROM t`.
fn from_alone(body: &mut SetExpr) {
    if let SetExpr::Select(select) = body
        && select.flavor == SelectFlavor::FromFirstNoSelect
    {
        select.flavor = SelectFlavor::Standard;
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetched(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else {
        return Ok(());
    };
    if fetch.with_ties || fetch.percent {
        return Err(unsupported("FETCH with PERCENT or WITH TIES"));
    }
    let rows = fetch
        .quantity
        .unwrap_or_else(|| Expr::value(Value::Number("1".to_string(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(rows),
                offset: None,
                limit_by: Vec::new(),
            });
        }
        Some(LimitClause::LimitOffset { limit, .. }) if limit.is_none() => *limit = Some(rows),
        Some(_) => return Err(Error::invalid("SQL", "LIMIT and FETCH", "give one of them")),
    }
    Ok(())
}

/// Operators that the planner has not got: `^` is a power, as in PostgreSQL, `~x` turns all bits.
fn operator(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::BitwiseXor,
            right,
        } => {
            // The parser lets `*` and `+` go before `^`.
            let loose = |operand: &Expr| matches!(operand, Expr::BinaryOp { .. });
            if loose(left) || loose(right) {
                let construct = "`^` beside another operator without parentheses";
                return Err(unsupported(construct));
            }
            *expr = filled("power(__0, __1)", &[(**left).clone(), (**right).clone()])?;
        }
        Expr::UnaryOp {
            op: UnaryOperator::BitwiseNot,
            expr: operand,
        } => *expr = filled("(-1 - __0)", &[(**operand).clone()])?,
        Expr::BinaryOp {
            left,
            op: BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide,
            right,
        } => *expr = filled("(__0 / __1)", &[(**left).clone(), (**right).clone()])?,
        // Where the planner computes constants, a backslash escapes; here it is a character like any other.
        Expr::Like {
            pattern,
            escape_char,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            ..
        } if escape_char.is_none() => {
            if let Expr::Value(value) = &mut **pattern
                && let Value::SingleQuotedString(text) = &mut value.value
                && text.contains('\\')
            {
                *text = text.replace('\\', "\\\\");
                *escape_char = Some(Value::SingleQuotedString("\\".to_string()).into());
            }
        }
        Expr::BinaryOp {
            left,
            op: BinaryOperator::PGStartsWith,
            right,
        } => {
            let operands = [(**left).clone(), (**right).clone()];
            *expr = filled("starts_with(__0, __1)", &operands)?;
        }
        // Of the whole string, with the syntax of regular expressions.
        Expr::SimilarTo {
            negated,
            expr: operand,
            pattern,
            escape_char: None,
        } => {
            let template = match negated {
                true => "(__0 !~ ('^(?:' || __1 || ')$'))",
                false => "(__0 ~ ('^(?:' || __1 || ')$'))",
            };
            *expr = filled(template, &[(**operand).clone(), (**pattern).clone()])?;
        }
        // With an exponent a constant is a float.
        Expr::Value(value) => {
            if let Value::Number(text, _) = &value.value
                && text.contains(['e', 'E'])
            {
                *expr = filled(&format!("CAST('{text}' AS DOUBLE)"), &[])?;
            }
        }
        // `INTERVAL 2 DAY` is `INTERVAL '2' DAY`; the planner knows the former in some places only.
        Expr::Interval(interval) => {
            if let Expr::Value(value) = &mut *interval.value
                && let Value::Number(count, _) = &value.value
            {
                value.value = Value::SingleQuotedString(count.clone());
            }
        }
        _ => {}
    }
    Ok(())
}

/// A text as an expression, with operands in the places of `__0`, `__1` and so on.
fn filled(template: &str, operands: &[Expr]) -> Result<Expr> {
    let broken = |cause: String| Error::invalid("SQL", cause, "");
    let parser = Parser::new(&GenericDialect {}).try_with_sql(template);
    let parsed = parser.and_then(|mut parser| parser.parse_expr());
    let mut expr = parsed.map_err(|error| broken(error.to_string()))?;
    let _: ControlFlow<()> = expr.visit(&mut Operands(operands));
    Ok(expr)
}

struct Operands<'a>(&'a [Expr]);

impl VisitorMut for Operands<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let place = match expr {
            Expr::Identifier(name) => name.value.strip_prefix("__"),
            _ => None,
        };
        let place = place.and_then(|place| place.parse::<usize>().ok());
        if let Some(operand) = place.and_then(|place| self.0.get(place)) {
            *expr = closed(operand);
        }
        ControlFlow::Continue(())
    }
}

/// An expression as a part of any other one: in parentheses, unless it is a name or a value.
fn closed(expr: &Expr) -> Expr {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => expr.clone(),
        other => Expr::Nested(Box::new(other.clone())),
    }
}

/// Puts something else in the place of names that stand alone, by how SQL finds them; not within queries
/// in the expression.
fn replace_names(expr: &mut Expr, by: impl Fn(&str) -> Option<Expr>) {
    let _: ControlFlow<()> = expr.visit(&mut Names { by, depth: 0 });
}

struct Names<F> {
    by: F,
    /// How many queries the expression is within.
    depth: usize,
}

impl<F: Fn(&str) -> Option<Expr>> VisitorMut for Names<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && self.depth == 0
            && let Some(other) = (self.by)(&normal(name))
        {
            *expr = other;
        }
        ControlFlow::Continue(())
    }
}

/// The operands of a call that has nothing but operands.
fn operands(arguments: &FunctionArguments) -> Option<Vec<Expr>> {
    use datafusion_sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    let FunctionArguments::List(list) = arguments else {
        return None;
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return None;
    }
    let operands = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    operands.collect()
}

/// How SQL finds a name: without quotes in lower case.
fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
