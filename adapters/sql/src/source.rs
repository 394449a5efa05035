//! A text with its tokens, and errors with the place in it.

use datafusion_common::Span;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use pelton::error::{Error, ErrorKind, Result};

/// Most characters of a line that are shown.
const SHOWN_MAX: usize = 100;

/// Characters before the place that are shown of a longer line.
const SHOWN_BEFORE: usize = 60;

/// Letters of a keyword that no message has by chance.
const LONG: usize = 8;

/// Who is to blame, before the place.
pub(crate) const SQL: &str = "SQL";

/// A text and its tokens.
pub(crate) struct Source<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
}

impl<'a> Source<'a> {
    /// Cuts a text into tokens.
    ///
    /// # Errors
    /// `InvalidInput` for a string, a name or a comment without an end.
    pub(crate) fn new(text: &'a str) -> Result<Source<'a>> {
        let (tokens, failed) = tokens(text);
        let source = Source { text, tokens };
        match failed {
            None => Ok(source),
            Some((message, location)) => {
                let error = Error::invalid(SQL, message, "end it with the mark that begins it");
                Err(source.placed(error, Some(source.token_at(location))))
            }
        }
    }

    pub(crate) fn tokens(&self) -> &[TokenWithSpan] {
        &self.tokens
    }

    /// The token that begins at a place, as a stretch; of one character if none does.
    pub(crate) fn token_at(&self, start: Location) -> Span {
        let mut tokens = self.tokens.iter();
        let token = tokens.find(|token| token.span.start == start);
        let next = Location::of(start.line, start.column + 1);
        let end = token.map_or(next, |token| token.span.end);
        Span::new(start.into(), end.into())
    }

    /// Where the text ends.
    pub(crate) fn end(&self) -> Span {
        let end = self.tokens.iter().rev();
        let mut end = end.filter(|token| !matches!(token.token, Token::Whitespace(_)));
        let end = end
            .next()
            .map_or(Location::of(1, 1), |token| token.span.end);
        self.token_at(end)
    }

    /// The first string constant of this value.
    pub(crate) fn string(&self, value: &str) -> Option<Span> {
        let mut tokens = self.tokens.iter();
        let token = tokens
            .find(|token| matches!(&token.token, Token::SingleQuotedString(text) if text == value));
        token.and_then(|token| Span::try_from_sqlparser_span(token.span))
    }

    /// Where the text has what a message is about: a call of one of the functions that the message
    /// names, else what it quotes, else its keywords, which are those in capitals, else a keyword that
    /// is long enough to be meant.
    pub(crate) fn mention(&self, message: &str, functions: &[&str]) -> Option<Span> {
        let solid: Vec<&TokenWithSpan> = (self.tokens.iter())
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let words = message.split(|c| !is_part(c));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let calls = words.iter().filter(|word| functions.contains(word));
        let calls = calls.map(|name| (format!("{name}("), 1));
        let quoted = (message.split(['`', '\'']).skip(1).step_by(2)).flat_map(|quoted| {
            let unqualified = quoted.rsplit('.').next().unwrap_or(quoted);
            let ways = [
                format!("'{quoted}'"),
                quoted.to_string(),
                unqualified.to_string(),
            ];
            ways.map(|way| (way, usize::MAX))
        });
        let is_keyword =
            |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
        let keywords = words.split(|word| !is_keyword(word));
        let keywords = keywords.map(|keywords| (keywords.join(" "), usize::MAX));
        let is_long = |word: &&&str| word.len() >= LONG;
        let long = words.iter().filter(is_long).filter(|word| {
            let is_keyword = |token: &&TokenWithSpan| match &token.token {
                Token::Word(token) => {
                    token.keyword != Keyword::NoKeyword && token.value.eq_ignore_ascii_case(word)
                }
                _ => false,
            };
            solid.iter().any(is_keyword)
        });
        let long = long.map(|word| (word.to_string(), usize::MAX));
        let mut wanted = calls.chain(quoted).chain(keywords).chain(long);
        wanted.find_map(|(wanted, most)| find(&solid, &wanted, most))
    }

    /// The error with its place: the line and column in its message, the line itself as its excerpt.
    pub(crate) fn placed(&self, error: Error, span: Option<Span>) -> Error {
        let Some(span) = span else {
            return error;
        };
        let (line, column) = (span.start.line, span.start.column);
        let place = format!("{SQL}, line {line}, column {column}");
        let error = match error.kind() {
            ErrorKind::InvalidInput {
                place: who,
                cause,
                remedy,
            } if who == SQL => Error::invalid(place, cause.clone(), remedy.clone()),
            _ => error.context(place),
        };
        match self.excerpt(span) {
            Some(lines) => error.with_excerpt(lines),
            None => error,
        }
    }

    /// A line of the text, and a mark under a stretch of it.
    fn excerpt(&self, span: Span) -> Option<String> {
        let index = usize::try_from(span.start.line).ok()?.checked_sub(1)?;
        let start = usize::try_from(span.start.column).ok()?.checked_sub(1)?;
        let line = self.text.lines().nth(index).unwrap_or_default();
        let line: Vec<char> = line.chars().collect();
        let end = match span.end.line == span.start.line {
            true => usize::try_from(span.end.column).ok()?.saturating_sub(1),
            false => line.len(),
        };
        let skipped = match line.len() > SHOWN_MAX {
            true => start.saturating_sub(SHOWN_BEFORE),
            false => 0,
        };
        let mut shown: String = line.iter().skip(skipped).take(SHOWN_MAX).collect();
        // A tab is as wide as the terminal likes; the mark is not to move.
        shown = shown.replace('\t', " ");
        let before = if skipped > 0 { "…" } else { "" };
        let after = if line.len() > skipped + SHOWN_MAX {
            "…"
        } else {
            ""
        };
        let blank = " ".repeat(start - skipped + before.chars().count());
        let width = end.min(skipped + SHOWN_MAX).saturating_sub(start).max(1);
        let number = span.start.line.to_string();
        let margin = " ".repeat(number.len());
        Some(format!(
            " {number} | {before}{}{after}\n {margin} | {blank}{}",
            shown.trim_end(),
            "^".repeat(width)
        ))
    }
}

/// The first stretch of tokens that are those of another text, of which it shows the first `most`.
fn find(among: &[&TokenWithSpan], wanted: &str, most: usize) -> Option<Span> {
    let (wanted, failed) = tokens(wanted);
    let wanted: Vec<Token> = (wanted.into_iter().map(|token| token.token))
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    if wanted.is_empty() || failed.is_some() {
        return None;
    }
    let is_same = |token: &Token, wanted: &Token| match (token, wanted) {
        (Token::Word(token), Token::Word(wanted)) => {
            token.value.eq_ignore_ascii_case(&wanted.value)
        }
        _ => token == wanted,
    };
    let found = among.windows(wanted.len()).find(|tokens| {
        let mut pairs = tokens.iter().zip(&wanted);
        pairs.all(|(token, wanted)| is_same(&token.token, wanted))
    })?;
    let shown = found.iter().take(most).map(|token| token.span);
    let span = shown.reduce(|all, next| all.union(&next))?;
    Span::try_from_sqlparser_span(span)
}

/// The tokens of a text, and what is wrong with the next one if that is none.
fn tokens(text: &str) -> (Vec<TokenWithSpan>, Option<(String, Location)>) {
    let mut tokens = Vec::new();
    let mut tokenizer = Tokenizer::new(&GenericDialect {}, text);
    let failed = tokenizer.tokenize_with_location_into_buf(&mut tokens);
    let failed = failed.err().map(|error| (error.message, error.location));
    (tokens, failed)
}

/// Whether a text ends with a semicolon that ends a statement: none within a string, a name or a
/// comment. What an interactive prompt asks before it takes a text for complete.
///
/// ```
/// use pelton_sql::ends_statement;
/// assert!(ends_statement("SELECT 1; -- the first"));
/// assert!(!ends_statement("SELECT ';"));
/// assert!(!ends_statement("SELECT 1 -- ;"));
/// ```
pub fn ends_statement(text: &str) -> bool {
    let (tokens, failed) = tokens(text);
    let mut solid = tokens.iter().rev();
    let last = solid.find(|token| !matches!(token.token, Token::Whitespace(_)));
    failed.is_none() && last.is_some_and(|token| token.token == Token::SemiColon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!(
            "SELECT {}oops FROM t WHERE {}",
            "a, ".repeat(50),
            "b".repeat(99)
        );
        let source = Source::new(&text).ok();
        let start = Location::of(1, 158);
        let excerpt = source.and_then(|source| source.excerpt(source.token_at(start)));
        let excerpt = excerpt.unwrap_or_default();
        let (line, mark) = excerpt.split_once('\n').unwrap_or_default();
        let at = mark.chars().position(|c| c == '^').unwrap_or_default();
        let under: String = line.chars().skip(at).take(4).collect();
        assert_eq!(under, "oops", "{excerpt}");
        assert!(mark.ends_with(" ^^^^"), "{excerpt}");
        assert!(
            line.starts_with(" 1 | …") && line.ends_with('…'),
            "{excerpt}"
        );
    }
}
