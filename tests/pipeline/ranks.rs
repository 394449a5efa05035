//! Several ranks in one process give together what one gives alone.

use std::sync::Arc;

use pelton::comm::LocalWorld;
use pelton::expr::{JoinKind, Keep};
use pelton::prelude::*;

use crate::files::{engine, failed, folder_of, orders, rows, sorted_rows};

/// Runs a query on every rank of a world; each rank's rows.
pub fn on_ranks(world: u32, options: &[&str], frame: &LazyFrame) -> Vec<Result<Vec<String>>> {
    let ranks = LocalWorld::ranks(world);
    std::thread::scope(|scope| {
        let start = |rank: &Arc<pelton::comm::LocalRank>| {
            let rank = Arc::clone(rank);
            scope.spawn(move || -> Result<Vec<String>> {
                let mut all = EngineOptions::default().with("backend", "cpu")?;
                for option in ["target_partition_size=1", "num_streaming_threads=2"] {
                    all.set_pair(option)?;
                }
                for option in options {
                    all.set_pair(option)?;
                }
                let engine = Engine::with_communicator(all, rank)?;
                let out = frame.collect(&engine)?;
                assert_eq!(engine.memory().used(pelton::memory::Tier::Disk), 0);
                rows(&out)
            })
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|rows| rows.unwrap_or_else(|_| Err(failed("a rank panicked"))))
            .collect()
    })
}

/// The rows of all ranks, sorted.
pub fn together(world: u32, options: &[&str], frame: &LazyFrame) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for rows in on_ranks(world, options, frame) {
        all.extend(rows?);
    }
    all.sort();
    Ok(all)
}

fn plans(folder: &std::path::Path) -> Result<Vec<(&'static str, LazyFrame)>> {
    let orders = || scan_parquet(folder);
    let cities = || -> Result<LazyFrame> {
        Ok(orders()?
            .group_by([col("city")])
            .agg([col("amount").sum().alias("total"), count_rows().alias("n")]))
    };
    let mut plans = vec![
        ("scan", orders()?.filter(col("amount").gt(lit(100)))),
        ("groups", cities()?),
        (
            "groups of groups",
            cities()?
                .group_by([(col("n") % lit(2)).alias("odd")])
                .agg([col("total").max().alias("most")]),
        ),
        (
            "aggregates with large states",
            orders()?.group_by([col("customer")]).agg([
                col("amount").n_unique().alias("different"),
                col("ratio").median().alias("median"),
                col("ratio").mean().alias("mean"),
            ]),
        ),
        (
            "one row",
            orders()?.select([col("amount").sum().alias("sum"), count_rows().alias("n")]),
        ),
        (
            "one row of nothing",
            orders()?
                .filter(col("amount").gt(lit(100_000)))
                .select([col("amount").sum().alias("sum"), count_rows().alias("n")]),
        ),
        (
            "distinct",
            orders()?
                .select([col("city"), col("customer")])
                .distinct(Vec::<String>::new(), Keep::Any),
        ),
        (
            "sort",
            orders()?
                .select([col("amount"), col("day")])
                .sort([col("amount"), col("day")]),
        ),
        (
            "top k",
            orders()?
                .select([col("ratio"), col("day"), col("amount")])
                .sort([col("ratio"), col("day"), col("amount")])
                .slice(3, Some(20)),
        ),
        (
            "union",
            concat_frames([
                orders()?
                    .filter(col("amount").lt(lit(0)))
                    .select([col("day")]),
                orders()?
                    .filter(col("amount").gt(lit(250)))
                    .select([col("day")]),
            ]),
        ),
    ];
    for kind in [
        JoinKind::Inner,
        JoinKind::Left,
        JoinKind::Right,
        JoinKind::Full,
        JoinKind::Semi,
        JoinKind::Anti,
    ] {
        let left = orders()?.select([col("customer"), col("amount"), col("day")]);
        let right = orders()?
            .filter(col("customer").gt(lit(6)))
            .group_by([col("customer")])
            .agg([col("ratio").max().alias("best")]);
        plans.push(("join", left.join(right, kind).on([col("customer")])));
    }
    Ok(plans)
}

#[test]
fn ranks_together_give_what_one_gives() -> Result<()> {
    let folder = folder_of(&orders(600), 25)?;
    for (name, frame) in plans(folder.path())? {
        let expected = sorted_rows(&frame.collect(&engine(&[])?)?)?;
        for world in [1, 2, 3, 5] {
            for options in [
                &[][..],
                &["executor=tasks"],
                &["broadcast_limit=1"],
                &["max_rows_per_partition=7"],
            ] {
                let got = together(world, options, &frame);
                assert_eq!(got?, expected, "{name}, {world} ranks, {options:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_sort_over_ranks_ends_in_order_on_one() -> Result<()> {
    let folder = folder_of(&orders(300), 25)?;
    let frame = scan_parquet(folder.path())?
        .select([col("amount"), col("day")])
        .sort([col("amount"), col("day")])
        .limit(50);
    let expected = rows(&frame.collect(&engine(&[])?)?)?;
    let all = on_ranks(3, &[], &frame)
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    assert_eq!(all, [expected, Vec::new(), Vec::new()]);
    Ok(())
}

#[test]
fn an_error_on_one_rank_ends_the_query_on_all() -> Result<()> {
    let folder = folder_of(&orders(600), 25)?;
    let frame = scan_parquet(folder.path())?
        .group_by([col("city")])
        .agg([(lit(1).divide(col("amount") - lit(299))).sum().alias("sum")])
        .semantics(pelton::types::Semantics {
            division_by_zero: pelton::types::DivisionByZero::Error,
            ..pelton::types::Semantics::default()
        });
    let errors: Vec<String> = on_ranks(3, &[], &frame)
        .into_iter()
        .filter_map(|outcome| outcome.err().map(|error| error.to_string()))
        .collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(
        errors
            .iter()
            .any(|error| error.contains("division by zero"))
    );
    Ok(())
}

#[test]
fn ranks_that_run_other_queries_are_told() -> Result<()> {
    let folder = folder_of(&orders(100), 25)?;
    let frame = scan_parquet(folder.path())?;
    let ranks = LocalWorld::ranks(2);
    let errors: Vec<String> = std::thread::scope(|scope| {
        let start = |rank: &Arc<pelton::comm::LocalRank>| {
            let (rank, frame) = (Arc::clone(rank), frame.clone());
            scope.spawn(move || -> Result<String> {
                let limit = u64::from(pelton::comm::Communicator::rank(rank.as_ref())) + 1;
                let options = EngineOptions::default().with("backend", "cpu")?;
                let engine = Engine::with_communicator(options, rank)?;
                let error = frame.limit(limit).collect(&engine).err();
                Ok(error.map(|error| error.to_string()).unwrap_or_default())
            })
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|text| text.unwrap_or_else(|_| Err(failed("a rank panicked"))))
            .collect::<Result<_>>()
    })?;
    assert!(
        errors
            .iter()
            .any(|error| error.contains("limit 1") && error.contains("limit 2")),
        "{errors:?}"
    );
    Ok(())
}

/// The rows of rank 0, which takes so many batches as they come, and those of the other ranks.
fn streamed_on_first(world: u32, frame: &LazyFrame, batches: usize) -> Vec<Result<Vec<String>>> {
    let ranks = LocalWorld::ranks(world);
    std::thread::scope(|scope| {
        let start = |rank: &Arc<pelton::comm::LocalRank>| {
            let rank = Arc::clone(rank);
            scope.spawn(move || -> Result<Vec<String>> {
                let mut all = EngineOptions::default().with("backend", "cpu")?;
                all.set_pair("target_partition_size=1")?;
                let first = pelton::comm::Communicator::rank(rank.as_ref()) == 0;
                let engine = Engine::with_communicator(all, rank)?;
                let outcome = match first {
                    false => frame.collect(&engine).and_then(|out| rows(&out)),
                    true => {
                        let taken = frame.collect_iter(&engine)?.take(batches);
                        let mut count = 0;
                        for batch in taken {
                            count += batch?.num_rows();
                        }
                        Ok(vec![String::new(); count])
                    }
                };
                // Whatever came of it, all are ready for the next query.
                assert_eq!(frame.clone().limit(0).collect(&engine)?.rows(), 0);
                outcome
            })
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        let joined = handles.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|rows| rows.unwrap_or_else(|_| Err(failed("a rank panicked"))))
            .collect()
    })
}

#[test]
fn a_rank_may_take_its_rows_as_they_come() -> Result<()> {
    let folder = folder_of(&orders(600), 25)?;
    let frame = scan_parquet(folder.path())?;
    let all = streamed_on_first(3, &frame, usize::MAX);
    let all = all.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(all.concat().len(), 600);
    assert!(!all[0].is_empty());
    // One that wants no more ends the query, and keeps nobody waiting.
    let taken = streamed_on_first(3, &frame, 1).into_iter().next();
    assert_eq!(taken.ok_or_else(|| failed("no rank"))??.len(), 25);
    Ok(())
}
