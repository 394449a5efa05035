//! What a word at the prompt may become: a keyword, a table, a column, a command.

use pelton_sql::Catalog;

use super::prompt::COMMANDS;
use crate::failure::Failure;

/// The words of the SQL that is understood.
const KEYWORDS: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COMPRESSION",
    "COPY",
    "CROSS",
    "CUBE",
    "CURRENT",
    "DATE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FORMAT",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "RANGE",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SELECT",
    "SETS",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
    "read_parquet",
];

/// The names that there are.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Tables, each with its columns.
    tables: Vec<(String, Vec<String>)>,
}

impl Names {
    /// The names of a catalog.
    ///
    /// # Errors
    /// A table has no schema.
    pub(super) fn of(catalog: &Catalog) -> Result<Names, Failure> {
        let mut tables = Vec::new();
        for (name, table) in catalog.tables() {
            let schema = table.query().plan.schema()?;
            let columns = schema.fields().iter().map(|field| quoted(field.name()));
            tables.push((quoted(name), columns.collect()));
        }
        Ok(Names { tables })
    }

    /// Where the word before a position begins, and what it may become. Keywords are in the case of
    /// the word.
    pub(super) fn complete(&self, line: &str, position: usize) -> (usize, Vec<String>) {
        let before = line.get(..position).unwrap_or(line);
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
        let start = before.trim_end_matches(is_part).len();
        let word = before.get(start..).unwrap_or_default();
        let ahead = before.get(..start).unwrap_or_default();
        if ahead.trim() == "." {
            let start = start - 1;
            let begun =
                |command: &&&str| command.get(1..).is_some_and(|name| name.starts_with(word));
            let commands = COMMANDS.iter().filter(begun);
            return (start, commands.map(ToString::to_string).collect());
        }
        let columns = |of: &str| {
            let own = self.tables.iter().find(|(table, _)| table == of);
            own.map(|(_, columns)| columns.clone())
        };
        let qualifier = ahead.strip_suffix('.').map(|ahead| {
            let start = ahead.trim_end_matches(is_part).len();
            ahead.get(start..).unwrap_or_default()
        });
        let all = || self.tables.iter().flat_map(|(_, columns)| columns.clone());
        let names: Vec<String> = match qualifier {
            // A name that is no table's is an alias, of whichever.
            Some(table) => columns(table).unwrap_or_else(|| all().collect()),
            None => {
                let tables = self.tables.iter().map(|(table, _)| table.clone());
                let lower = word.chars().any(char::is_lowercase);
                let keywords = KEYWORDS.iter().map(|keyword| match lower {
                    true => keyword.to_lowercase(),
                    false => keyword.to_string(),
                });
                keywords
                    .filter(|_| !word.is_empty())
                    .chain(tables)
                    .chain(all())
                    .collect()
            }
        };
        let mut names: Vec<String> = (names.into_iter())
            .filter(|name| name.starts_with(word))
            .collect();
        names.sort();
        names.dedup();
        (start, names)
    }
}

/// A name as it is written: within quotes unless it is one without.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    match begins && name.chars().all(is_plain) {
        true => name.to_string(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let columns = |names: &[&str]| names.iter().map(|name| quoted(name)).collect();
        let orders = (
            "orders".to_string(),
            columns(&["id", "amount", "Customer name"]),
        );
        let items = ("items".to_string(), columns(&["id", "price"]));
        Names {
            tables: vec![items, orders],
        }
    }

    #[track_caller]
    fn check(before: &str, start: usize, expected: &[&str]) {
        let completed = names().complete(&format!("{before} FROM x"), before.len());
        assert_eq!(
            (completed.0, completed.1.as_slice()),
            (
                start,
                &expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
            )
        );
    }

    #[test]
    fn words_become_names_and_keywords_in_their_case() {
        check("SEL", 0, &["SELECT"]);
        check("sel", 0, &["select"]);
        check("SELECT * FROM or", 14, &["or", "order", "orders"]);
        check("SELECT am", 7, &["amount"]);
        check(
            "SELECT i",
            7,
            &[
                "id",
                "ilike",
                "in",
                "inner",
                "intersect",
                "interval",
                "is",
                "items",
            ],
        );
        check("SELECT count(pr", 13, &["preceding", "price"]);
        check("SELECT \"C", 7, &["\"Customer name\""]);
        check("SELECT zz", 7, &[]);
        check(
            "SELECT ",
            7,
            &[
                "\"Customer name\"",
                "amount",
                "id",
                "items",
                "orders",
                "price",
            ],
        );
    }

    #[test]
    fn behind_a_point_stand_columns_and_before_it_commands() {
        check("SELECT items.", 13, &["id", "price"]);
        check("SELECT o.a", 9, &["amount"]);
        check(".s", 0, &[".schema"]);
        check(
            " .",
            1,
            &[".tables", ".schema", ".format", ".timer", ".help", ".quit"],
        );
    }

    #[test]
    fn positions_are_of_bytes() {
        let line = "SELECT 'é', am";
        assert_eq!(
            names().complete(line, line.len()),
            (line.len() - 2, vec!["amount".to_string()])
        );
    }
}
