//! Files that a query names itself: `read_parquet('…')`, and a string in the place of a table; and series of
//! numbers.
//!
//! Such a relation becomes a table of its query alone, called as it is written, before the query is
//! planned: from there on it is a table as any other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion_common::Span;
use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Spanned,
    TableFactor, TableFunctionArgs, Value, VisitMut, VisitorMut,
};
use pelton::engine::{LazyFrame, scan_parquet_files};
use pelton::error::{Error, Result};

use crate::series::Series;
use crate::source::{SQL, Source};

/// The function that reads files.
pub(crate) const READ_PARQUET: &str = "read_parquet";

/// Puts names in the place of the files that a query reads, and gives the tables of these names.
///
/// # Errors
/// `InvalidInput` for other operands than files or numbers; as [`scan_parquet_files`].
pub(crate) fn named(query: &mut Query, source: &Source<'_>) -> Result<BTreeMap<String, LazyFrame>> {
    let mut files = Files {
        tables: BTreeMap::new(),
        source,
    };
    match query.visit(&mut files) {
        ControlFlow::Continue(()) => Ok(files.tables),
        ControlFlow::Break(error) => Err(error),
    }
}

/// What a relation's rows are.
enum Rows {
    Files(Vec<String>),
    Series(Series),
}

struct Files<'a> {
    tables: BTreeMap<String, LazyFrame>,
    source: &'a Source<'a>,
}

impl VisitorMut for Files<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<Error> {
        match self.rename(relation) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Files<'_> {
    fn rename(&mut self, relation: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, args, .. } = relation else {
            return Ok(());
        };
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Ok(());
        };
        let name_span = Span::try_from_sqlparser_span(ident.span);
        let series = args
            .as_ref()
            .and_then(|args| Series::of(&ident.value, args))
            .transpose()
            .map_err(|error| self.source.placed(error, name_span))?;
        let (text, rows, span) = match (args.as_ref(), series) {
            (_, Some(series)) => (series.text(), Rows::Series(series), name_span),
            (Some(args), _) if ident.value.eq_ignore_ascii_case(READ_PARQUET) => {
                let (patterns, span) = self.patterns(args, name_span)?;
                let quoted = patterns.iter().map(|pattern| format!("'{pattern}'"));
                let quoted = quoted.collect::<Vec<_>>().join(", ");
                (
                    format!("{READ_PARQUET}({quoted})"),
                    Rows::Files(patterns),
                    span,
                )
            }
            (None, _) if ident.quote_style == Some('\'') => {
                let pattern = ident.value.clone();
                let span = self.source.string(&pattern);
                (format!("'{pattern}'"), Rows::Files(vec![pattern]), span)
            }
            _ => return Ok(()),
        };
        if !self.tables.contains_key(&text) {
            let frame = match &rows {
                Rows::Files(patterns) => scan_parquet_files(patterns),
                Rows::Series(series) => series.table(),
            };
            let frame = frame.map_err(|error| self.source.placed(error, span))?;
            self.tables.insert(text.clone(), frame);
        }
        let mut ident = Ident::with_quote('"', text);
        if let Some(span) = span {
            ident.span = sqlparser_span(span);
        }
        *args = None;
        *name = ObjectName(vec![ObjectNamePart::Identifier(ident)]);
        Ok(())
    }

    /// The files that the function is given, and where.
    fn patterns(
        &self,
        args: &TableFunctionArgs,
        name: Option<Span>,
    ) -> Result<(Vec<String>, Option<Span>)> {
        let refused = |span: Option<Span>| {
            let cause =
                format!("{READ_PARQUET} reads what one string, or a list of strings, names");
            let remedy =
                "as in read_parquet('data/*.parquet') or read_parquet(['a.parquet', 'b.parquet'])";
            self.source.placed(Error::invalid(SQL, cause, remedy), span)
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(operand))] = args.args.as_slice() else {
            return Err(refused(name));
        };
        let span = Span::try_from_sqlparser_span(operand.span()).or(name);
        let one = |expr: &Expr| match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Ok(text.clone()),
                _ => Err(refused(span)),
            },
            _ => Err(refused(span)),
        };
        let patterns = match operand {
            Expr::Array(list) => list.elem.iter().map(one).collect::<Result<Vec<_>>>()?,
            one_file => vec![one(one_file)?],
        };
        Ok((patterns, span))
    }
}

fn sqlparser_span(span: Span) -> datafusion_sql::sqlparser::tokenizer::Span {
    use datafusion_sql::sqlparser::tokenizer::{Location, Span as Parsers};
    Parsers::new(
        Location::of(span.start.line, span.start.column),
        Location::of(span.end.line, span.end.column),
    )
}
