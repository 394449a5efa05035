//! Text as statements: queries, what is asked of them, and where their rows go.

use std::collections::VecDeque;

use datafusion_sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion_sql::sqlparser::ast::{
    Expr, ObjectName, Query, SetExpr, Statement as SqlText, TableFactor, UtilityOption, Value,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use pelton::error::Result;

use crate::problem::{placed, syntax, unsupported};
use crate::source::Source;

/// What a statement asks for, before it is planned.
pub(crate) enum Asked {
    /// The rows of a query.
    Rows(Box<Query>),
    /// How a query would run.
    Explain(Box<Query>),
    /// What went through a query.
    Analyze(Box<Query>),
    /// The rows of a query in a file.
    Copy {
        query: Box<Query>,
        target: String,
        options: Vec<(String, String)>,
    },
}

/// The statements of a text.
///
/// # Errors
/// `InvalidInput` for what is no statement, `Unsupported` for one that asks for something else.
pub(crate) fn parse(source: &Source<'_>) -> Result<VecDeque<Asked>> {
    let mut statements = VecDeque::new();
    let wrong = |error: ParserError| syntax(&error, source);
    let tokens = DFParserBuilder::new(source.tokens().to_vec());
    let parser = tokens.build().map_err(|error| placed(&error, source, &[]));
    let mut parser = parser?;
    loop {
        while parser.parser.consume_token(&Token::SemiColon) {}
        let first = parser.parser.peek_token();
        if first == Token::EOF {
            return Ok(statements);
        }
        statements.push_back(match parser.parser.parse_keyword(Keyword::COPY) {
            true => copy(&mut parser.parser).map_err(wrong)?,
            false => statement(&mut parser, &first, source)?,
        });
        let next = parser.parser.peek_token();
        if next != Token::EOF && next != Token::SemiColon {
            let error = parser
                .parser
                .expected::<()>("the end of the statement", next);
            error.map_err(wrong)?;
        }
    }
}

/// A statement that begins with this token.
fn statement(
    parser: &mut DFParser<'_>,
    first: &TokenWithSpan,
    source: &Source<'_>,
) -> Result<Asked> {
    let statement = parser.parse_statement();
    let statement = statement.map_err(|error| placed(&error, source, &[]))?;
    let (statement, asked): (Statement, fn(Box<Query>) -> Asked) = match statement {
        Statement::Explain(explain) if explain.options.analyze => {
            (*explain.statement, Asked::Analyze)
        }
        Statement::Explain(explain) => (*explain.statement, Asked::Explain),
        other => (other, Asked::Rows),
    };
    if let Statement::Statement(text) = statement
        && let SqlText::Query(query) = *text
    {
        return Ok(asked(query));
    }
    let error = unsupported(format!("the statement `{first}`"));
    Err(source.placed(error, Some(source.token_at(first.span.start))))
}

/// `COPY (query) TO 'file' (option value, …)`, or of a table, behind its first word.
fn copy(parser: &mut Parser<'_>) -> Result<Asked, ParserError> {
    let query = match parser.peek_token_ref().token {
        Token::LParen => {
            parser.expect_token(&Token::LParen)?;
            let query = parser.parse_query()?;
            parser.expect_token(&Token::RParen)?;
            query
        }
        _ => all_of(parser.parse_object_name(true)?)?,
    };
    parser.expect_keyword(Keyword::TO)?;
    let target = parser.parse_literal_string()?;
    let _with = parser.parse_keyword(Keyword::WITH);
    let options = match parser.peek_token_ref().token {
        Token::LParen => parser.parse_utility_options()?,
        _ => Vec::new(),
    };
    Ok(Asked::Copy {
        query,
        target,
        options: options.into_iter().map(option).collect(),
    })
}

/// The rows of a table as a query.
fn all_of(table: ObjectName) -> Result<Box<Query>, ParserError> {
    let mut query = Parser::new(&GenericDialect {})
        .try_with_sql("SELECT * FROM its_place")?
        .parse_query()?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Table { name, .. } = &mut from.relation
    {
        *name = table;
    }
    Ok(query)
}

/// An option's name and value, the name in lower case.
fn option(option: UtilityOption) -> (String, String) {
    let value = match option.arg {
        None => String::new(),
        Some(Expr::Value(value)) => match value.value {
            Value::SingleQuotedString(text) => text,
            other => other.to_string(),
        },
        Some(other) => other.to_string(),
    };
    (option.name.value.to_lowercase(), value)
}
