//! The tables that a text may name, and the way from text to a query.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use datafusion_common::DataFusionError;
use datafusion_expr::LogicalPlan as SqlPlan;
use datafusion_optimizer::{Analyzer, OptimizerConfig, OptimizerContext};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::{Query as SqlQuery, Statement as SqlText};
use pelton::engine::LazyFrame;
use pelton::error::{Error, Result};
use pelton::plan::{LogicalPlan, Query};
use pelton::types::{DivisionByZero, EmptySum, Overflow, Semantics};

use crate::constants;
use crate::files;
use crate::parse::{Asked, parse};
use crate::problem::{mentioned, placed};
use crate::provider::{Functions, Provider};
use crate::source::{SQL, Source};
use crate::subqueries::Rules;
use crate::syntax::prepare;
use crate::translate::translate;
use crate::{floats, multisets, subqueries, times};

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
    /// The rows of a query in a file.
    Copy(CopyTo),
}

/// `COPY … TO 'target' (option value, …)`: which formats and options there are is up to who writes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyTo {
    /// The rows.
    pub rows: LazyFrame,
    /// Where they go.
    pub target: PathBuf,
    /// Options as they are written, their names in lower case; a value that is not there is empty.
    pub options: Vec<(String, String)>,
}

/// The statements of a text, each planned when it is its turn: a statement may read what one before it
/// wrote. The text as a whole has been parsed.
pub struct Statements<'a> {
    catalog: &'a Catalog,
    source: Source<'a>,
    functions: Functions,
    asked: VecDeque<Asked>,
}

impl std::fmt::Debug for Statements<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements")
            .field("left", &self.asked.len())
            .finish_non_exhaustive()
    }
}

impl Iterator for Statements<'_> {
    type Item = Result<SqlStatement>;

    fn next(&mut self) -> Option<Result<SqlStatement>> {
        let asked = self.asked.pop_front()?;
        Some(self.plan(asked))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.asked.len(), Some(self.asked.len()))
    }
}

impl ExactSizeIterator for Statements<'_> {}

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
        match (statements.next().transpose()?, statements.len()) {
            (Some(SqlStatement::Query(frame)), 0) => Ok(frame),
            _ => Err(Error::invalid(
                SQL,
                "is not one query",
                "give one query at a time",
            )),
        }
    }

    /// The statements of a text, with semicolons between them.
    ///
    /// Besides tables, a query may read files, as `read_parquet('data/*.parquet')` or, in the place of a
    /// table, `'data.parquet'`; paths begin at the working directory.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is no SQL, with what is wrong and where; from the iterator also for
    /// names and types that do not fit these tables, `Io` for a file that cannot be read, `Unsupported`
    /// for a construct that Pelton has not got. [`Error::excerpt`] has the line of the text, with a mark
    /// under the place.
    pub fn statements<'a>(&'a self, text: &'a str) -> Result<Statements<'a>> {
        let source = Source::new(text)?;
        let asked = parse(&source)?;
        Ok(Statements {
            catalog: self,
            source,
            functions: Functions::new(),
            asked,
        })
    }
}

impl Statements<'_> {
    fn plan(&self, asked: Asked) -> Result<SqlStatement> {
        Ok(match asked {
            Asked::Rows(query) => SqlStatement::Query(self.query(query)?),
            Asked::Explain(query) => SqlStatement::Explain(self.query(query)?),
            Asked::Analyze(query) => SqlStatement::Analyze(self.query(query)?),
            Asked::Copy {
                query,
                target,
                options,
            } => SqlStatement::Copy(CopyTo {
                rows: self.query(query)?,
                target: target.into(),
                options,
            }),
        })
    }

    fn query(&self, mut query: Box<SqlQuery>) -> Result<LazyFrame> {
        let mut tables = Cow::Borrowed(&self.catalog.tables);
        let files = files::named(&mut query, &self.source)?;
        if !files.is_empty() {
            tables.to_mut().extend(files);
        }
        let provider = Provider {
            tables: &tables,
            functions: &self.functions,
        };
        let functions = self.functions.names();
        let mut statement = SqlText::Query(query);
        prepare(&mut statement, &tables)
            .map_err(|error| mentioned(error, &self.source, &functions))?;
        let attempt = |statement, rules| -> Result<LogicalPlan> {
            let plan = planned(statement, &provider, rules);
            let plan = plan.map_err(|error| placed(&error, &self.source, &functions))?;
            let plan = translate(&plan, &tables).and_then(|plan| {
                // What does not fit is known before anything runs, and here with the text at hand.
                plan.schema()?;
                Ok(plan)
            });
            plan.map_err(|error| mentioned(error, &self.source, &functions))
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
    statement: SqlText,
    provider: &Provider<'_>,
    rules: Rules,
) -> Result<SqlPlan, DataFusionError> {
    let options = provider.functions.shared_options();
    let parser = ParserOptions {
        parse_float_as_decimal: true,
        map_string_types_to_utf8view: false,
        collect_spans: true,
        default_null_ordering: NullOrdering::NullsLast,
        ..ParserOptions::default()
    };
    let planner = SqlToRel::new_with_options(provider, parser);
    let plan = floats::beside(planner.sql_statement_to_plan(statement)?)?;
    // Rule by rule: as a whole, the analyser refuses subqueries that the translation understands.
    let mut analyzer = Analyzer::new().rules.into_iter();
    let plan = analyzer.try_fold(plan, |plan, rule| rule.analyze(plan, &options))?;
    let plan = constants::checked(plan)?;
    let plan = subqueries::kept(times::spelled(multisets::counted(plan)?)?)?;
    let context = OptimizerContext::new_with_config_options(options).with_max_passes(PASSES_MAX);
    let config: &dyn OptimizerConfig = &context;
    subqueries::optimizer(rules).optimize(plan, config, |_, _| {})
}
