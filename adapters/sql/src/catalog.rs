//! The tables that a text may name, and the way from text to a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan as SqlPlan;
use datafusion_optimizer::{Analyzer, OptimizerConfig, OptimizerContext};
use datafusion_sql::parser::{DFParser, Statement};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::Statement as SqlText;
use pelton::engine::LazyFrame;
use pelton::error::{Error, Result};
use pelton::plan::{LogicalPlan, Query};
use pelton::types::{DivisionByZero, EmptySum, Overflow, Semantics};

use crate::problem::{refused, unsupported};
use crate::provider::Provider;
use crate::subqueries::Rules;
use crate::syntax::prepare;
use crate::translate::translate;
use crate::{multisets, subqueries, times};

/// How often the optimiser looks at a plan.
const PASSES_MAX: u8 = 3;

/// What Pelton's SQL leaves open in a plan: overflow and division by zero are errors, the sum of no
/// rows is null.
const SEMANTICS: Semantics = Semantics {
    overflow: Overflow::Error,
    division_by_zero: DivisionByZero::Error,
    empty_sum: EmptySum::Null,
};

/// What a statement asks for.
#[derive(Debug, Clone)]
pub enum SqlStatement {
    /// The rows of a query.
    Query(LazyFrame),
    /// How a query would run.
    Explain(LazyFrame),
    /// What went through each step of a query when it ran.
    Analyze(LazyFrame),
}

/// Tables by name. Names are found as SQL has it: without quotes in lower case.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    tables: BTreeMap<String, LazyFrame>,
}

impl Catalog {
    /// No tables.
    pub fn new() -> Catalog {
        Catalog::default()
    }

    /// Adds a table, or replaces the one of that name.
    ///
    /// # Errors
    /// `InvalidInput` for an empty name, and if the frame's plan has no schema.
    pub fn register(&mut self, name: impl Into<String>, table: LazyFrame) -> Result<()> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::invalid("table", "has no name", "name it"));
        }
        table.query().plan.schema()?;
        self.tables.insert(name, table);
        Ok(())
    }

    /// The tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &LazyFrame)> {
        self.tables
            .iter()
            .map(|(name, table)| (name.as_str(), table))
    }

    /// The query that a text asks for, which must be one query.
    ///
    /// # Errors
    /// As [`Catalog::statements`].
    pub fn sql(&self, text: &str) -> Result<LazyFrame> {
        let mut statements = self.statements(text)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(SqlStatement::Query(frame)), true) => Ok(frame),
            _ => Err(Error::invalid(
                "SQL",
                "is not one query",
                "give one query at a time",
            )),
        }
    }

    /// The statements of a text, with semicolons between them. All are planned before any can run.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is no SQL over these tables, with what is wrong and where;
    /// `Unsupported` for a construct that Pelton has not got.
    pub fn statements(&self, text: &str) -> Result<Vec<SqlStatement>> {
        let statements = DFParser::parse_sql(text).map_err(|error| refused(&error))?;
        let options = Arc::new(ConfigOptions::default());
        let provider = Provider::new(&self.tables, options);
        let statements = statements.into_iter();
        statements
            .map(|one| self.statement(one, &provider))
            .collect()
    }

    fn statement(&self, statement: Statement, provider: &Provider<'_>) -> Result<SqlStatement> {
        match statement {
            Statement::Explain(explain) if explain.options.analyze => self
                .query(*explain.statement, provider)
                .map(SqlStatement::Analyze),
            Statement::Explain(explain) => self
                .query(*explain.statement, provider)
                .map(SqlStatement::Explain),
            other => self.query(other, provider).map(SqlStatement::Query),
        }
    }

    fn query(&self, statement: Statement, provider: &Provider<'_>) -> Result<LazyFrame> {
        let attempt = |statement, rules| -> Result<LogicalPlan> {
            let plan = planned(statement, provider, &self.tables, rules)?;
            let plan = translate(&plan, &self.tables)?;
            plan.schema()?;
            Ok(plan)
        };
        let plan = attempt(statement.clone(), Rules::All);
        // The optimiser's joins for subqueries cannot do without some columns that it takes away.
        let plan =
            plan.or_else(|error| attempt(statement, Rules::WithoutSubqueries).map_err(|_| error))?;
        Ok(LazyFrame::new(Query {
            plan,
            semantics: SEMANTICS,
        }))
    }
}

/// The optimised plan of a query.
fn planned(
    mut statement: Statement,
    provider: &Provider<'_>,
    tables: &BTreeMap<String, LazyFrame>,
    rules: Rules,
) -> Result<SqlPlan> {
    match &mut statement {
        Statement::Statement(one) if matches!(**one, SqlText::Query(_)) => prepare(one, tables)?,
        _ => return Err(unsupported("a statement that is no query")),
    }
    let options = provider.shared_options();
    let parser = ParserOptions {
        parse_float_as_decimal: true,
        map_string_types_to_utf8view: false,
        default_null_ordering: NullOrdering::NullsLast,
        ..ParserOptions::default()
    };
    let planned = SqlToRel::new_with_options(provider, parser).statement_to_plan(statement);
    let plan = planned.map_err(|error| refused(&error))?;
    // Rule by rule: as a whole, the analyser refuses subqueries that the translation understands.
    let mut analyzer = Analyzer::new().rules.into_iter();
    let plan = analyzer.try_fold(plan, |plan, rule| rule.analyze(plan, &options));
    let plan = plan.and_then(multisets::counted).and_then(times::spelled);
    let plan = plan.and_then(subqueries::kept);
    let plan = plan.map_err(|error| refused(&error))?;
    let context = OptimizerContext::new_with_config_options(options).with_max_passes(PASSES_MAX);
    let config: &dyn OptimizerConfig = &context;
    let optimized = subqueries::optimizer(rules).optimize(plan, config, |_, _| {});
    optimized.map_err(|error| refused(&error))
}
