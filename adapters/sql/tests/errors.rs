//! What is said of a text that cannot run: the cause, the place in the text, and what to write instead.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use expect_test::{Expect, expect};
use pelton::ErrorKind;
use pelton::prelude::*;
use pelton_sql::Catalog;

fn catalog() -> Catalog {
    let ids = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let names = Arc::new(StringArray::from(vec!["ann", "bob", "cy"]));
    let rows = RecordBatch::try_from_iter([("id", ids as _), ("surname", names as _)]).unwrap();
    let people = from_batches(vec![rows]).unwrap();
    let mut catalog = Catalog::new();
    catalog.register("people", people.clone()).unwrap();
    catalog.register("parents", people).unwrap();
    catalog
}

/// Compares what is said, and shown, of a text.
fn check(text: &str, expected: &Expect) {
    let error = catalog().sql(text).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    let excerpt = error.excerpt().unwrap_or_default();
    expected.assert_eq(&format!("{error}\n{excerpt}"));
}

#[test]
fn what_cannot_be_read() {
    check(
        "SELEC 1",
        &expect![[r#"
        SQL, line 1, column 1: an SQL statement is expected where `SELEC` stands
         1 | SELEC 1
           | ^^^^^"#]],
    );
    check(
        "SELECT id\nFROM people\nWHERE id >",
        &expect![[r#"
        SQL, line 3, column 11: an expression is missing at the end
         3 | WHERE id >
           |           ^"#]],
    );
    check(
        "SELECT (1",
        &expect![[r#"
        SQL, line 1, column 10: `)` is missing at the end
         1 | SELECT (1
           |          ^"#]],
    );
    check(
        "SELECT 'abc",
        &expect![[r#"
        SQL, line 1, column 8: Unterminated string literal; end it with the mark that begins it
         1 | SELECT 'abc
           |        ^"#]],
    );
    check(
        "SELECT id FROM people people people",
        &expect![[r#"
        SQL, line 1, column 30: the end of the statement is expected where `people` stands
         1 | SELECT id FROM people people people
           |                              ^^^^^^"#]],
    );
}

#[test]
fn names_that_do_not_exist() {
    check(
        "SELECT id FROM poeple",
        &expect![[r#"
        SQL, line 1, column 16: there is no table `poeple`; did you mean `people`?
         1 | SELECT id FROM poeple
           |                ^^^^^^"#]],
    );
    check(
        "SELECT id FROM animals",
        &expect![[r#"
        SQL, line 1, column 16: there is no table `animals`; the tables are parents, people
         1 | SELECT id FROM animals
           |                ^^^^^^^"#]],
    );
    check(
        "SELECT id,\n\tsurnam\nFROM people",
        &expect![[r#"
        SQL, line 2, column 2: there is no column `surnam`; did you mean `surname`?
         2 |  surnam
           |  ^^^^^^"#]],
    );
    check(
        "SELECT p.zzz FROM people p",
        &expect![[r#"
        SQL, line 1, column 8: there is no column `p.zzz`; the columns are p.id, p.surname
         1 | SELECT p.zzz FROM people p
           |        ^^^^^"#]],
    );
    check(
        "SELECT id FROM people ORDER BY surnam",
        &expect![[r#"
        SQL, line 1, column 32: there is no column `surnam`; did you mean `surname`?
         1 | SELECT id FROM people ORDER BY surnam
           |                                ^^^^^^"#]],
    );
    check(
        "SELECT t.big FROM (SELECT 1 AS \"Big\") t",
        &expect![[r#"
        SQL, line 1, column 8: there is no column `t.big`; did you mean `t."Big"`?
         1 | SELECT t.big FROM (SELECT 1 AS "Big") t
           |        ^^^^^"#]],
    );
    check(
        "SELECT summ(id) FROM people",
        &expect![[r#"
        SQL, line 1, column 8: there is no function `summ`; did you mean `sum`?
         1 | SELECT summ(id) FROM people
           |        ^^^^"#]],
    );
    check(
        "SELECT id FROM read_csv('x')",
        &expect![[r#"
            SQL, line 1, column 16: there is no table function `read_csv`; there are read_parquet, range, generate_series
             1 | SELECT id FROM read_csv('x')
               |                ^^^^^^^^"#]],
    );
}

#[test]
fn names_that_may_be_several() {
    check(
        "SELECT surname FROM people, parents",
        &expect![[r#"
        SQL, line 1, column 8: the column `surname` is in several tables; write its table before it: people.surname, parents.surname
         1 | SELECT surname FROM people, parents
           |        ^^^^^^^"#]],
    );
}

#[test]
fn types_that_do_not_fit() {
    check(
        "SELECT surname + 1 FROM people",
        &expect![[r#"
        SQL, line 1, column 8: Cannot coerce arithmetic expression Utf8 + Int64 to valid types
         1 | SELECT surname + 1 FROM people
           |        ^^^^^^^"#]],
    );
    check(
        "SELECT sum(surname) FROM people",
        &expect![[r#"
        SQL, line 1, column 8: there is no sum(Utf8); there is sum(Decimal), sum(UInt64), sum(Int64), sum(Float64), sum(Duration), sum(Interval)
         1 | SELECT sum(surname) FROM people
           |        ^^^"#]],
    );
    check(
        "SELECT id FROM people WHERE surname",
        &expect![[r#"
        SQL, line 1, column 29: Cannot create filter with non-boolean predicate 'people.surname' returning Utf8
         1 | SELECT id FROM people WHERE surname
           |                             ^^^^^^^"#]],
    );
    check(
        "SELECT DATE 'soon'",
        &expect![[r#"
        SQL, line 1, column 13: Cast error: Cannot cast string 'soon' to value of Date32 type
         1 | SELECT DATE 'soon'
           |             ^^^^^^"#]],
    );
    check(
        "SELECT surname, count(*) FROM people GROUP BY id",
        &expect![[r#"
            SQL, line 1, column 8: 'people.surname' must appear in GROUP BY clause because it's not an aggregate expression; Either add 'people.surname' to GROUP BY clause, or use an aggregate function like ANY_VALUE(people.surname)
             1 | SELECT surname, count(*) FROM people GROUP BY id
               |        ^^^^^^^"#]],
    );
}

#[test]
fn constructs_that_are_not_there() {
    check(
        "CREATE TABLE x (a INT)",
        &expect![[r#"
            SQL, line 1, column 1: the sql backend does not support this: the statement `CREATE` is not supported yet; docs/sql.md says what is
             1 | CREATE TABLE x (a INT)
               | ^^^^^^"#]],
    );
    check(
        "WITH RECURSIVE t AS (SELECT 1 UNION SELECT * FROM t) SELECT * FROM t",
        &expect![[r#"
            SQL, line 1, column 6: the sql backend does not support this: Recursive CTE is not supported yet; docs/sql.md says what is
             1 | WITH RECURSIVE t AS (SELECT 1 UNION SELECT * FROM t) SELECT * FROM t
               |      ^^^^^^^^^"#]],
    );
}

#[test]
fn files_that_are_not_there() {
    let missing = "SELECT *\nFROM read_parquet('nowhere/*.parquet')";
    check(
        missing,
        &expect![[r#"
        SQL, line 2, column 19: pattern nowhere/*.parquet: matches no file; `**` stands for any number of folders
         2 | FROM read_parquet('nowhere/*.parquet')
           |                   ^^^^^^^^^^^^^^^^^^^"#]],
    );
    check(
        "SELECT * FROM 'nowhere.parquet'",
        &expect![[r#"
        SQL, line 1, column 15: cannot open nowhere.parquet: No such file or directory (os error 2)
         1 | SELECT * FROM 'nowhere.parquet'
           |               ^^^^^^^^^^^^^^^^^"#]],
    );
    check(
        "SELECT * FROM read_parquet(7)",
        &expect![[r#"
        SQL, line 1, column 28: read_parquet reads what one string, or a list of strings, names; as in read_parquet('data/*.parquet') or read_parquet(['a.parquet', 'b.parquet'])
         1 | SELECT * FROM read_parquet(7)
           |                            ^"#]],
    );
    let error = catalog()
        .sql("SELECT * FROM 'nowhere.parquet'")
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error:?}");
}

#[test]
fn constants_overflow_as_columns_do() {
    check(
        "SELECT id FROM people WHERE id < 9223372036854775807 + 1",
        &expect![[r#"
            SQL, line 1, column 34: `9223372036854775807 + 1`: overflow of Int64
             1 | SELECT id FROM people WHERE id < 9223372036854775807 + 1
               |                                  ^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
    check(
        "SELECT (SELECT -(-9223372036854775807 - 1))",
        &expect![[r#"
        `-(-9223372036854775808)`: overflow of Int64
    "#]],
    );
    check(
        "SELECT CAST(2 AS INTEGER) * CAST(2147483647 AS INTEGER)",
        &expect![[r#"
            `2 * 2147483647`: overflow of Int32
        "#]],
    );
    let error = catalog().sql("SELECT 9223372036854775807 * 2").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Arithmetic { .. }),
        "{error:?}"
    );
    let fits = "SELECT 9223372036854775806 + 1, -9223372036854775808";
    assert!(catalog().sql(fits).is_ok());
}

#[test]
fn a_wrong_text_runs_nothing_and_a_wrong_statement_not_those_before() {
    let catalog = catalog();
    assert!(catalog.statements("SELECT 1; SELEC 2").is_err());
    let mut statements = catalog.statements("SELECT 1; SELECT x; SELECT 3").unwrap();
    assert_eq!(statements.len(), 3);
    assert!(statements.next().unwrap().is_ok());
    let error = statements.next().unwrap().unwrap_err();
    assert!(
        error.to_string().starts_with("SQL, line 1, column 18: "),
        "{error}"
    );
    assert!(statements.next().unwrap().is_ok());
    assert!(statements.next().is_none());
}
