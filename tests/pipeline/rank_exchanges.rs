//! Rows of several ranks are moved where they must, and nowhere else.

use pelton::comm::LocalWorld;
use pelton::expr::Keep;
use pelton::prelude::*;

use crate::files::{engine, failed, folder_of, orders, sorted_rows};
use crate::ranks::together;

/// What `explain` says of the exchanges of a plan whose build sides are all hashed where they may be.
fn exchanges(frame: &LazyFrame) -> Result<Vec<String>> {
    let ranks = LocalWorld::ranks(2);
    let mut options = EngineOptions::default().with("backend", "cpu")?;
    options.set_pair("broadcast_limit=1")?;
    let first = ranks.into_iter().next().ok_or_else(|| failed("no rank"))?;
    let text = frame.explain(&Engine::with_communicator(options, first)?)?;
    let lines = text.lines().map(str::trim);
    Ok(lines
        .filter(|line| line.starts_with("to "))
        .map(str::to_string)
        .collect())
}

/// A plan, and how many exchanges it needs; none where that is another test's matter.
type Case = (&'static str, LazyFrame, Option<usize>);

fn cases(folder: &std::path::Path) -> Result<Vec<Case>> {
    let orders = || scan_parquet(folder);
    let few = || -> Result<LazyFrame> {
        Ok(orders()?.filter(col("customer").lt(lit(9))).select([
            col("customer"),
            col("city"),
            col("amount").alias("few"),
        ]))
    };
    let cities = || -> Result<LazyFrame> {
        Ok(orders()?
            .group_by([col("city")])
            .agg([col("amount").sum().alias("total"), count_rows().alias("n")]))
    };
    let largest = || -> Result<LazyFrame> {
        Ok(few()?
            .group_by([col("city")])
            .agg([col("few").max().alias("largest")]))
    };
    let joined = |kind| -> Result<LazyFrame> {
        let left = orders()?.select([col("customer"), col("amount"), col("day")]);
        Ok(left.join(few()?, kind).on([col("customer")]))
    };
    let grouped = |kind, keys: &[&str]| -> Result<LazyFrame> {
        let keys: Vec<Expr> = keys.iter().map(|key| col(*key)).collect();
        Ok(joined(kind)?.group_by(keys).agg([count_rows().alias("n")]))
    };
    Ok(vec![
        (
            "groups of the keys of an inner join",
            grouped(JoinKind::Inner, &["customer"])?,
            Some(2),
        ),
        (
            "groups of more than the keys of a left join",
            grouped(JoinKind::Left, &["customer", "day"])?,
            Some(2),
        ),
        (
            "groups of more than the keys of a right join",
            grouped(JoinKind::Right, &["customer", "few"])?,
            Some(2),
        ),
        (
            "two joins by one key",
            joined(JoinKind::Inner)?
                .join(
                    orders()?
                        .filter(col("amount").gt(lit(150)))
                        .select([col("customer"), col("ratio")]),
                    JoinKind::Semi,
                )
                .on([col("customer")]),
            Some(3),
        ),
        (
            "a join of groups",
            cities()?
                .filter(col("n").gt(lit(3)))
                .select([(col("total") * lit(2)).alias("twice"), col("city")])
                .join(largest()?, JoinKind::Inner)
                .on([col("city")]),
            Some(2),
        ),
        (
            "a window over groups",
            cities()?.with_windows([col("total")
                .max()
                .over([col("city"), col("n")])
                .alias("most")]),
            Some(1),
        ),
        (
            "groups of a window",
            orders()?
                .with_windows([row_number()
                    .over([col("city")])
                    .order_by([col("day"), col("amount"), col("ratio"), col("customer")])
                    .alias("number")])
                .group_by([col("number"), col("city")])
                .agg([count_rows().alias("n")]),
            Some(1),
        ),
        (
            "groups of a sort's keys",
            orders()?
                .sort([col("city").asc(), col("day").desc()])
                .group_by([col("day"), col("city")])
                .agg([col("amount").sum().alias("sum")]),
            None,
        ),
        // What follows must not lean on what no longer holds.
        (
            "groups by fewer columns than the hash",
            orders()?
                .select([col("city"), col("customer")])
                .distinct(Vec::<String>::new(), Keep::Any)
                .group_by([col("city")])
                .agg([count_rows().alias("n")]),
            Some(2),
        ),
        (
            "a join by more than the groups are hashed by",
            cities()?
                .group_by([col("city"), col("n")])
                .agg([col("total").max().alias("most")])
                .join(
                    orders()?
                        .group_by([col("city"), col("customer")])
                        .agg([count_rows().alias("n")]),
                    JoinKind::Left,
                )
                .on([col("city"), col("n")]),
            None,
        ),
        (
            "groups of a full join",
            grouped(JoinKind::Full, &["customer"])?,
            None,
        ),
        (
            "groups of a computed key",
            joined(JoinKind::Inner)?
                .select([(col("customer") % lit(2)).alias("customer"), col("few")])
                .group_by([col("customer")])
                .agg([col("few").sum().alias("sum")]),
            Some(3),
        ),
        (
            "groups of the other side's column",
            grouped(JoinKind::Left, &["few"])?,
            Some(3),
        ),
    ])
}

#[test]
fn rows_that_are_together_already_are_not_moved() -> Result<()> {
    let folder = folder_of(&orders(600), 25)?;
    for (name, frame, wanted) in cases(folder.path())? {
        let got = exchanges(&frame)?;
        assert!(
            wanted.is_none_or(|wanted| got.len() == wanted),
            "{name}: {got:?}"
        );
    }
    Ok(())
}

#[test]
fn rows_that_are_not_moved_are_where_they_are_needed() -> Result<()> {
    let folder = folder_of(&orders(600), 25)?;
    for (name, frame, _) in cases(folder.path())? {
        let expected = sorted_rows(&frame.collect(&engine(&[])?)?)?;
        for world in [2, 3] {
            for option in ["broadcast_limit=1", "broadcast_limit=1GiB"] {
                let got = together(world, &[option], &frame)?;
                assert_eq!(got, expected, "{name}, {world} ranks, {option}");
            }
        }
    }
    Ok(())
}
