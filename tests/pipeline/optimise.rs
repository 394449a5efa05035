//! Random queries give the same rows, and columns, before and after they are optimised.
//!
//! Rows must not depend on what queries leave open: limits stand above sorts by all columns, and
//! nothing picks a first row. What fails before may work behind, never the other way round.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use pelton::expr::{Frame, Keep, MARK_NAME};
use pelton::plan::optimise;
use pelton::prelude::*;
use pelton::types::{DivisionByZero, Overflow, Semantics};

use crate::files::{engine, failed, sorted_rows, write};
use crate::random::{Random, for_each_case};

const DEPTH_MAX: usize = 5;
const JOINS_MAX: usize = 4;
const TABLES: [&str; 3] = ["f", "g", "h"];

fn small_number(random: &mut Random) -> Option<i64> {
    (!random.once_in(6)).then(|| random.between(-1..=4))
}

/// A table whose columns are named after it: a number, a narrower one, a float and a string.
fn table(random: &mut Random, name: &str) -> Result<RecordBatch> {
    let rows = random.below(9);
    let wide: Int64Array = (0..rows).map(|_| small_number(random)).collect();
    let narrow = (0..rows).map(|_| small_number(random).map(|n| n as i32));
    let narrow: Int32Array = narrow.collect();
    let floats = (0..rows).map(|_| match random.below(5) {
        0 => None,
        1 => Some(-0.0),
        2 => Some(f64::NAN),
        _ => Some(random.between(0..=2) as f64),
    });
    let floats: Float64Array = floats.collect();
    let strings = (0..rows).map(|_| *random.pick(&[None, Some(""), Some("a"), Some("b")]));
    let strings: StringArray = strings.collect();
    let columns: [ArrayRef; 4] = [
        Arc::new(wide),
        Arc::new(narrow),
        Arc::new(floats),
        Arc::new(strings),
    ];
    let names = ["k", "n", "x", "s"].map(|column| format!("{name}{column}"));
    let columns = names.into_iter().zip(columns);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, c)| (name, c, true)))
        .map_err(failed)
}

/// Draws queries over tables.
struct Draw<'a> {
    random: &'a mut Random,
    tables: Vec<LazyFrame>,
    joins: usize,
}

impl Draw<'_> {
    fn columns(frame: &LazyFrame) -> Vec<(String, DataType)> {
        let schema = frame.query().plan.schema();
        let fields = schema.iter().flat_map(|schema| schema.fields().iter());
        let parts = fields.map(|field| (field.name().clone(), field.data_type().clone()));
        parts.collect()
    }

    fn column(&mut self, frame: &LazyFrame) -> (String, DataType) {
        self.random.pick(&Self::columns(frame)).clone()
    }

    /// A comparison of a column with a constant or with a column of any type that it meets.
    fn comparison(&mut self, frame: &LazyFrame) -> Expr {
        let (name, data_type) = self.column(frame);
        if self.random.once_in(8) {
            return col(name).is_null();
        }
        let other = match data_type {
            _ if self.random.once_in(3) => {
                let all = Self::columns(frame);
                let alike = all
                    .iter()
                    .filter(|(_, t)| t.is_numeric() == data_type.is_numeric());
                let alike: Vec<_> = alike.collect();
                col(self.random.pick(&alike).0.clone())
            }
            DataType::Utf8 => lit(*self.random.pick(&["", "a", "b"])),
            DataType::Boolean => lit(true),
            _ => lit(self.random.between(-1..=4)),
        };
        let own = match data_type.is_integer() && self.random.once_in(5) {
            true => lit(self.random.between(1..=6)) / col(name),
            false => col(name),
        };
        match self.random.below(5) {
            0 | 1 => own.eq(other),
            2 => own.not_eq(other),
            3 => own.lt(other),
            _ => own.gt_eq(other),
        }
    }

    fn predicate(&mut self, frame: &LazyFrame, depth: usize) -> Expr {
        if depth == 0 || self.random.once_in(3) {
            return self.comparison(frame);
        }
        let left = self.predicate(frame, depth - 1);
        match self.random.below(5) {
            0 => !left,
            1 => left
                .clone()
                .and(self.comparison(frame))
                .or(left.and(self.comparison(frame))),
            2 => left.or(self.predicate(frame, depth - 1)),
            _ => left.and(self.predicate(frame, depth - 1)),
        }
    }

    fn frame(&mut self, depth: usize) -> LazyFrame {
        if depth == 0 {
            return self.random.pick(&self.tables).clone();
        }
        let below = self.frame(depth - 1);
        let drawn = self.step(below.clone());
        // Names may clash, and types may not meet: then the step is left out.
        match drawn.query().plan.schema() {
            Ok(_) => drawn,
            Err(_) => below,
        }
    }

    fn step(&mut self, below: LazyFrame) -> LazyFrame {
        match self.random.below(12) {
            0..=2 => {
                let predicate = self.predicate(&below, 2);
                below.filter(predicate)
            }
            3 => self.projection(below),
            4 => self.groups(below),
            5 => self.window(below),
            6 => {
                let predicate = self.predicate(&below, 1);
                concat_frames([below.clone(), below.filter(predicate)])
            }
            7 => {
                let keys: Vec<Expr> = Self::columns(&below)
                    .into_iter()
                    .map(|(n, _)| col(n))
                    .collect();
                let (skip, rows) = (self.random.below(2) as u64, self.random.below(6) as u64);
                below.sort(keys).slice(skip, Some(rows))
            }
            8 => {
                let names: Vec<String> =
                    Self::columns(&below).into_iter().map(|(n, _)| n).collect();
                below.distinct(names, Keep::Any)
            }
            _ if self.joins == 0 => below,
            _ => {
                self.joins -= 1;
                self.join(below)
            }
        }
    }

    fn projection(&mut self, below: LazyFrame) -> LazyFrame {
        let mut exprs = Vec::new();
        for (place, (name, data_type)) in Self::columns(&below).into_iter().enumerate() {
            match self.random.below(5) {
                0 => {}
                1 if data_type.is_integer() => {
                    exprs.push((col(name) + lit(1)).alias(format!("p{place}")));
                }
                2 => exprs.push(col(name).alias(format!("r{place}"))),
                _ => exprs.push(col(name)),
            }
        }
        match exprs.is_empty() {
            true => below,
            false => below.select(exprs),
        }
    }

    fn groups(&mut self, below: LazyFrame) -> LazyFrame {
        let (key, _) = self.column(&below);
        let (value, data_type) = self.column(&below);
        let aggregate = match data_type.is_integer() {
            true => col(value).sum(),
            false => col(value).count(),
        };
        let aggregates = [aggregate.alias("agg"), count_rows().alias("rows")];
        match self.random.once_in(5) {
            true => below.select(aggregates),
            false => below.group_by([col(key)]).agg(aggregates),
        }
    }

    fn window(&mut self, below: LazyFrame) -> LazyFrame {
        let (key, _) = self.column(&below);
        let (order, _) = self.column(&below);
        below.with_windows([
            rank()
                .over([col(&key)])
                .order_by([col(order).desc()])
                .alias("rank"),
            count_rows()
                .over([col(key)])
                .frame(Frame::Partition)
                .alias("peers"),
        ])
    }

    fn join(&mut self, below: LazyFrame) -> LazyFrame {
        let depth = self.random.below(2);
        let other = self.frame(depth);
        let kind = match self.random.below(3) {
            0 => *self.random.pick(&JoinKind::ALL),
            _ => JoinKind::Inner,
        };
        let keys: Vec<(Expr, Expr)> = (0..self.random.below(3))
            .map(|_| (col(self.column(&below).0), col(self.column(&other).0)))
            .collect();
        let mut join = below
            .clone()
            .join(other.clone(), kind)
            .suffix(format!("_{}", self.joins));
        if self.random.once_in(2) {
            let pair = below.cross_join(other);
            join = match pair.query().plan.schema() {
                Ok(_) => join.residual(self.predicate(&pair, 1)),
                Err(_) => join,
            };
        }
        if self.random.once_in(4) {
            join = join.null_equals_null();
        }
        let joined = join.on_pairs(keys);
        match kind {
            JoinKind::Mark => joined.rename([(MARK_NAME, format!("mark{}", self.joins))]),
            _ => joined,
        }
    }
}

#[test]
fn optimised_queries_give_the_same() -> Result<()> {
    let (engine, folder) = (engine(&["num_streaming_threads=1"])?, tempfile::tempdir()?);
    let (mut compared, mut changed) = (0, 0);
    for_each_case("optimised_queries_give_the_same", |random| {
        let mut tables = Vec::new();
        for name in TABLES {
            let batch = table(random, name).unwrap_or_else(|error| panic!("{error}"));
            let path = folder.path().join(format!("{name}.parquet"));
            let written = write(&path, &batch, 4).and_then(|()| scan_parquet(&path));
            let in_memory = from_batches(vec![batch]);
            let frame = if random.once_in(2) {
                written
            } else {
                in_memory
            };
            tables.push(frame.unwrap_or_else(|error| panic!("{error}")));
        }
        let mut draw = Draw {
            random,
            tables,
            joins: JOINS_MAX,
        };
        let depth = 1 + draw.random.below(DEPTH_MAX);
        let frame = draw.frame(depth);
        let strict = Semantics {
            division_by_zero: DivisionByZero::Error,
            overflow: Overflow::Error,
            ..Semantics::default()
        };
        let semantics = if draw.random.once_in(2) {
            strict
        } else {
            Semantics::default()
        };
        let query = frame.semantics(semantics).query().clone();
        let better = optimise(&query);
        changed += usize::from(better != query);
        let names = |query: &pelton::plan::Query| {
            let schema = query
                .plan
                .schema()
                .unwrap_or_else(|error| panic!("{error}\n{query}"));
            let fields = schema.fields().iter();
            let parts = fields.map(|f| (f.name().clone(), f.data_type().clone()));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(names(&query), names(&better), "{query}\n{better}");
        let Ok(expected) = engine.execute(&query) else {
            return;
        };
        compared += 1;
        let got = engine.execute(&better);
        let got = got.unwrap_or_else(|error| panic!("{error}\n{query}\nbecame\n{better}"));
        let rows = |result| sorted_rows(result).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rows(&expected), rows(&got), "{query}\nbecame\n{better}");
    });
    assert!(
        compared > 0 && changed > 0,
        "{compared} compared, {changed} changed"
    );
    Ok(())
}
