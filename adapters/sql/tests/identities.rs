//! What holds of every predicate, whatever the rows are.
//!
//! Ternary logic partitions rows: those for which a predicate is true, false and unknown are all rows, each
//! once (TLP). And a predicate that filters, which rules and kernels may move and rewrite, is true of as many
//! rows as one that is only computed (NoREC). Predicates are drawn from a seed; `PELTON_CASES` says how many.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;

use support::{Database, cells};

/// Predicates, if the environment does not say how many.
const CASES: u64 = 1000;

/// A sequence of numbers that look drawn (SplitMix64).
struct Draw(u64);

impl Draw {
    fn number(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.number(of.len() as u64)).unwrap()]
    }
}

/// Where rows come from, and its columns by type.
struct Source {
    from: &'static str,
    numbers: &'static [&'static str],
    texts: &'static [&'static str],
    dates: &'static [&'static str],
    truths: &'static [&'static str],
}

const SOURCES: [Source; 5] = [
    Source {
        from: "emp",
        numbers: &["id", "boss", "salary", "bonus"],
        texts: &["name", "dept"],
        dates: &["hired"],
        truths: &["active"],
    },
    Source {
        from: "nums",
        numbers: &["k", "a", "b", "d", "f"],
        texts: &["CAST(a AS VARCHAR)"],
        dates: &["DATE '2020-02-29'"],
        truths: &["a > b"],
    },
    Source {
        from: "sales",
        numbers: &["id", "qty", "price"],
        texts: &["region", "product"],
        dates: &["day"],
        truths: &["region = 'north'"],
    },
    Source {
        from: "words JOIN days ON words.id = days.id",
        numbers: &["words.id", "length(s)"],
        texts: &["s", "tag", "note"],
        dates: &["days.d", "CAST(ts AS DATE)"],
        truths: &["s LIKE '%a%'"],
    },
    Source {
        from: "emp LEFT JOIN dept ON dept = code AND salary > 5000",
        numbers: &["id", "salary", "budget"],
        texts: &["name", "title", "city"],
        dates: &["hired"],
        truths: &["active"],
    },
];

const NUMBERS: &[&str] = &[
    "0", "1", "-3", "5", "7", "1.5", "-2.250", "0.1", "5100", "8800.25", "1e0", "NULL",
];
const TEXTS: &[&str] = &[
    "'apple'",
    "'eng'",
    "'pen'",
    "''",
    "'Grüße'",
    "'north'",
    "'日本語'",
    "NULL",
];
const DATES: &[&str] = &[
    "DATE '2020-02-29'",
    "DATE '2023-02-03'",
    "DATE '1970-01-01'",
    "CAST(NULL AS DATE)",
];
const PATTERNS: &[&str] = &[
    "'%a%'", "'_p%'", "'%'", "''", "'e__'", "'%ß%'", "'N%'", "'%_%'",
];

impl Source {
    fn number(&self, draw: &mut Draw, depth: u32) -> String {
        if depth == 0 {
            return match draw.number(3) {
                0 => draw.one(NUMBERS).to_string(),
                _ => draw.one(self.numbers).to_string(),
            };
        }
        let below = depth - 1;
        match draw.number(9) {
            0 => format!(
                "({} + {})",
                self.number(draw, below),
                self.number(draw, below)
            ),
            1 => format!(
                "({} - {})",
                self.number(draw, below),
                self.number(draw, below)
            ),
            2 => format!(
                "({} * {})",
                self.number(draw, below),
                draw.one(&["2", "-1", "0.5"])
            ),
            3 => format!("(- {})", self.number(draw, below)),
            4 => format!("abs({})", self.number(draw, below)),
            5 => format!(
                "coalesce({}, {})",
                self.number(draw, below),
                self.number(draw, below)
            ),
            6 => format!("length({})", self.text(draw, below)),
            7 => format!(
                "date_part('{}', {})",
                draw.one(&["year", "month", "doy"]),
                self.date(draw, below)
            ),
            _ => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.predicate(draw, below),
                self.number(draw, below),
                self.number(draw, below)
            ),
        }
    }

    fn text(&self, draw: &mut Draw, depth: u32) -> String {
        if depth == 0 {
            return match draw.number(4) {
                0 => draw.one(TEXTS).to_string(),
                _ => draw.one(self.texts).to_string(),
            };
        }
        let below = depth - 1;
        match draw.number(6) {
            0 => format!("upper({})", self.text(draw, below)),
            1 => format!("lower({})", self.text(draw, below)),
            2 => format!(
                "substring({}, {}, 3)",
                self.text(draw, below),
                draw.one(&["0", "1", "2"])
            ),
            3 => format!("({} || {})", self.text(draw, below), self.text(draw, below)),
            4 => format!("replace({}, 'a', 'e')", self.text(draw, below)),
            _ => format!(
                "coalesce({}, {})",
                self.text(draw, below),
                self.text(draw, below)
            ),
        }
    }

    fn date(&self, draw: &mut Draw, depth: u32) -> String {
        match draw.number(6) {
            0 => draw.one(DATES).to_string(),
            1 if depth > 0 => format!(
                "({} + {})",
                self.date(draw, depth - 1),
                draw.one(&["1", "365"])
            ),
            2 if depth > 0 => {
                let moved = draw.one(&[
                    "INTERVAL '1' MONTH",
                    "INTERVAL '2' DAY",
                    "INTERVAL '1' YEAR",
                ]);
                format!("CAST({} - {moved} AS DATE)", self.date(draw, depth - 1))
            }
            _ => draw.one(self.dates).to_string(),
        }
    }

    fn predicate(&self, draw: &mut Draw, depth: u32) -> String {
        let below = depth.saturating_sub(1);
        let compare = [
            "=",
            "<>",
            "<",
            "<=",
            ">",
            ">=",
            "IS DISTINCT FROM",
            "IS NOT DISTINCT FROM",
        ];
        let leaves = 8;
        match draw.number(if depth == 0 { leaves } else { 2 * leaves }) {
            0 => {
                let op = draw.one(&compare);
                format!(
                    "({} {op} {})",
                    self.number(draw, below),
                    self.number(draw, below)
                )
            }
            1 => {
                let op = draw.one(&compare);
                format!(
                    "({} {op} {})",
                    self.text(draw, below),
                    self.text(draw, below)
                )
            }
            2 => {
                let op = draw.one(&compare);
                format!(
                    "({} {op} {})",
                    self.date(draw, below),
                    self.date(draw, below)
                )
            }
            3 => {
                let op = draw.one(&["LIKE", "NOT LIKE", "ILIKE"]);
                format!("({} {op} {})", self.text(draw, below), draw.one(PATTERNS))
            }
            4 => {
                let op = draw.one(&["IN", "NOT IN"]);
                let list = [draw.one(NUMBERS), draw.one(NUMBERS), draw.one(self.numbers)];
                format!("({} {op} ({}))", self.number(draw, below), list.join(", "))
            }
            5 => {
                let op = draw.one(&["BETWEEN", "NOT BETWEEN"]);
                let (low, high) = (self.number(draw, below), self.number(draw, below));
                format!("({} {op} {low} AND {high})", self.number(draw, below))
            }
            6 => {
                let op = draw.one(&["IS NULL", "IS NOT NULL"]);
                match draw.number(3) {
                    0 => format!("({} {op})", self.number(draw, below)),
                    1 => format!("({} {op})", self.text(draw, below)),
                    _ => format!("({} {op})", self.date(draw, below)),
                }
            }
            7 => draw.one(self.truths).to_string(),
            8..=10 => format!(
                "({} AND {})",
                self.predicate(draw, below),
                self.predicate(draw, below)
            ),
            11..=12 => format!(
                "({} OR {})",
                self.predicate(draw, below),
                self.predicate(draw, below)
            ),
            13 => format!("(NOT {})", self.predicate(draw, below)),
            14 => {
                let op = draw.one(&["IS TRUE", "IS NOT FALSE", "IS UNKNOWN"]);
                format!("({} {op})", self.predicate(draw, below))
            }
            _ => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.predicate(draw, below),
                self.predicate(draw, below),
                self.predicate(draw, below)
            ),
        }
    }
}

/// The tables that the files of `slt/` have, too.
fn database() -> Database {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt/tables.slt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut database = Database::new("cpu");
    let statements = text
        .split("\n\n")
        .filter_map(|record| record.strip_prefix("statement ok\n"));
    for statement in statements {
        assert!(database.create(statement.trim()).unwrap());
    }
    database
}

/// Checks every fourth predicate from this one on.
fn check(first: u64) {
    let database = database();
    let cases = std::env::var("PELTON_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let rows = |text: &str, seed: u64| {
        let result = database.query(text);
        let result = result.unwrap_or_else(|error| panic!("seed {seed}: {text}: {error}"));
        let mut rows = cells(&result);
        rows.sort();
        rows
    };
    let mut some = 0;
    for seed in (first..cases).step_by(4) {
        let mut draw = Draw(seed);
        let source = &SOURCES[usize::try_from(seed % SOURCES.len() as u64).unwrap()];
        let predicate = source.predicate(&mut draw, 3);
        let from = source.from;
        let all = rows(&format!("SELECT * FROM {from}"), seed);
        let having =
            |condition: String| rows(&format!("SELECT * FROM {from} WHERE {condition}"), seed);
        let is_true = having(predicate.clone());
        let matching = is_true.len();
        let mut parts = is_true;
        parts.extend(having(format!("NOT ({predicate})")));
        parts.extend(having(format!("({predicate}) IS NULL")));
        parts.sort();
        assert_eq!(parts, all, "seed {seed}: {from}: {predicate}");
        let computed = rows(&format!("SELECT ({predicate}) AS p FROM {from}"), seed);
        let trues = computed.iter().filter(|row| row[0] == "true").count();
        assert_eq!(trues, matching, "seed {seed}: {from}: {predicate}");
        some += u64::from(matching > 0 && matching < all.len());
    }
    // Predicates that decide nothing would find nothing.
    assert!(some * 4 > (cases - first) / 4, "{some} predicates decide");
}

#[test]
fn predicates_partition_rows() {
    check(0);
}

#[test]
fn predicates_partition_rows_from_1() {
    check(1);
}

#[test]
fn predicates_partition_rows_from_2() {
    check(2);
}

#[test]
fn predicates_partition_rows_from_3() {
    check(3);
}
