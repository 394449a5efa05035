//! The plans: every operator, alone and above others. Data, so that each test runs all of them its
//! own way. Those with an oracle are computed by plain loops in `oracle`, too.

use pelton::expr::{Interpolation, Keep, Probability};
use pelton::plan::{cume_dist, ntile, percent_rank};
use pelton::prelude::*;

use crate::data::Data;
use crate::oracle;
use crate::support::equality::{self, Tolerance};
use crate::support::values::Rows;

/// How results of a plan are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Equality {
    /// As multisets.
    Multiset,
    /// As multisets whose rows are told apart by so many first columns; floats in the others are
    /// about equal.
    ByFirst(usize),
    /// In their order.
    Ordered,
}

/// A plan of the suite.
pub struct Plan {
    pub name: &'static str,
    pub equality: Equality,
    pub frame: fn(&Data) -> Result<LazyFrame>,
    /// Its rows by plain loops.
    pub oracle: Option<fn(&Data) -> Rows>,
}

const NEAR: Tolerance = Tolerance::Approximate {
    relative: 1e-9,
    absolute: 1e-9,
    ulps: 0,
};

impl Plan {
    /// Whether these are the plan's rows.
    pub fn compare(&self, expected: &Rows, got: &Rows) -> Result<(), String> {
        match self.equality {
            Equality::Multiset => equality::multiset(expected, got, 0, &[]),
            Equality::ByFirst(keys) => equality::multiset(expected, got, keys, &[NEAR; 32]),
            Equality::Ordered => equality::ordered(expected, got, &[]),
        }
    }
}

const fn plan(name: &'static str, frame: fn(&Data) -> Result<LazyFrame>) -> Plan {
    Plan {
        name,
        equality: Equality::Multiset,
        frame,
        oracle: None,
    }
}

const fn ordered(name: &'static str, frame: fn(&Data) -> Result<LazyFrame>) -> Plan {
    Plan {
        equality: Equality::Ordered,
        ..plan(name, frame)
    }
}

const fn known(
    name: &'static str,
    oracle: fn(&Data) -> Rows,
    frame: fn(&Data) -> Result<LazyFrame>,
) -> Plan {
    Plan {
        oracle: Some(oracle),
        ..plan(name, frame)
    }
}

fn pick(names: &[&str]) -> Vec<Expr> {
    names.iter().map(|name| col(*name)).collect()
}

/// What joins of facts and dimensions leave.
const JOINED: [&str; 4] = ["id", "amount", "label", "weight"];

fn join(data: &Data, kind: JoinKind) -> Result<pelton::engine::LazyJoin> {
    Ok(data.scan_facts()?.join(data.scan_dims()?, kind))
}

fn on_key(data: &Data, kind: JoinKind) -> Result<LazyFrame> {
    Ok(join(data, kind)?.on([col("key")]).select(pick(&JOINED)))
}

fn totals(data: &Data) -> Result<LazyFrame> {
    Ok(data.scan_facts()?.group_by([col("kind")]).agg([
        col("amount").sum().alias("total"),
        count_rows().alias("rows"),
    ]))
}

/// All plans.
pub const PLANS: &[Plan] = &[
    plan("scan", Data::scan_facts),
    known("filter and project", oracle::filtered, |data| {
        Ok(data
            .scan_facts()?
            .filter(col("amount").gt(lit(100)).and(col("kind").not_eq(lit(3))))
            .select([
                col("id"),
                (col("amount") * lit(2) + col("kind")).alias("sum"),
                when(col("flag"))
                    .then(lit("yes"))
                    .otherwise(col("name"))
                    .alias("what"),
            ]))
    }),
    plan("a filter that keeps nothing", |data| {
        Ok(data.scan_facts()?.filter(col("amount").gt(lit(100_000))))
    }),
    plan("a table in memory", |data| {
        Ok(data
            .facts_in_memory()?
            .filter(col("kind").lt(lit(3)))
            .select(pick(&["id", "name", "price", "day"])))
    }),
    known("one row of aggregates", oracle::aggregated, |data| {
        Ok(data.scan_facts()?.select([
            col("amount").sum().alias("sum"),
            col("amount").count().alias("count"),
            col("amount").min().alias("min"),
            col("ratio").max().alias("max"),
            col("ratio").sum().alias("ratio"),
            col("kind").n_unique().alias("kinds"),
            count_rows().alias("rows"),
        ]))
    }),
    known("groups", oracle::groups, |data| {
        Ok(data.scan_facts()?.group_by([col("key"), col("kind")]).agg([
            col("amount").sum().alias("sum"),
            col("amount").min().alias("min"),
            col("amount").max().alias("max"),
            col("price").sum().alias("price"),
            col("ratio").sum().alias("ratio"),
            count_rows().alias("rows"),
        ]))
    }),
    plan("groups by strings", |data| {
        Ok(data
            .scan_facts()?
            .group_by([col("name"), col("flag")])
            .agg([
                col("amount").mean().alias("mean"),
                col("day").max().alias("last"),
                col("flag").any().alias("any"),
                col("kind").n_unique().alias("kinds"),
                col("key").approx_n_unique().alias("keys"),
            ]))
    }),
    Plan {
        equality: Equality::ByFirst(1),
        ..plan("groups with deviations", |data| {
            Ok(data.scan_facts()?.group_by([col("kind")]).agg([
                col("ratio").var().alias("variance"),
                col("amount").std().alias("deviation"),
                col("ratio").mean().alias("mean"),
            ]))
        })
    },
    Plan {
        equality: Equality::ByFirst(1),
        ..plan("groups with medians", |data| {
            let ninth = Probability::new(0.9)?;
            Ok(data.scan_facts()?.group_by([col("name")]).agg([
                col("ratio").median().alias("median"),
                col("amount")
                    .quantile(ninth, Interpolation::Linear)
                    .alias("ninth"),
            ]))
        })
    },
    known("a group for each row", oracle::many_groups, |data| {
        Ok(data
            .scan_facts()?
            .group_by([(col("id") * lit(7)).alias("seven"), col("name")])
            .agg([col("amount").sum().alias("sum"), count_rows().alias("rows")])
            .filter(col("rows").eq(lit(1)))
            .select(pick(&["seven", "sum"])))
    }),
    plan("groups of nothing", |data| {
        Ok(data
            .scan_none()?
            .group_by([col("label")])
            .agg([col("weight").sum().alias("sum")]))
    }),
    plan("a row of nothing", |data| {
        let none = data.scan_facts()?.filter(col("id").lt(lit(0)));
        Ok(none.select([col("amount").sum().alias("sum"), count_rows().alias("rows")]))
    }),
    known("distinct", oracle::distinct, |data| {
        Ok(data
            .scan_facts()?
            .select(pick(&["name", "kind"]))
            .distinct(["name", "kind"], Keep::Any))
    }),
    known(
        "inner join",
        |d| oracle::joined(d, JoinKind::Inner),
        |d| on_key(d, JoinKind::Inner),
    ),
    known(
        "left join",
        |d| oracle::joined(d, JoinKind::Left),
        |d| on_key(d, JoinKind::Left),
    ),
    known(
        "right join",
        |d| oracle::joined(d, JoinKind::Right),
        |d| on_key(d, JoinKind::Right),
    ),
    known(
        "full join",
        |d| oracle::joined(d, JoinKind::Full),
        |d| on_key(d, JoinKind::Full),
    ),
    known(
        "semi join",
        |d| oracle::matched(d, true),
        |data| {
            let joined = join(data, JoinKind::Semi)?.on([col("key")]);
            Ok(joined.select(pick(&["id", "name"])))
        },
    ),
    known(
        "anti join",
        |d| oracle::matched(d, false),
        |data| {
            let joined = join(data, JoinKind::Anti)?.on([col("key")]);
            Ok(joined.select(pick(&["id", "name"])))
        },
    ),
    known("mark join", oracle::marked, |data| {
        let joined = join(data, JoinKind::Mark)?.on([col("key")]);
        Ok(joined.select(pick(&["id", "mark"])))
    }),
    known(
        "inner join with a residual",
        |d| oracle::residual(d, JoinKind::Inner),
        |data| {
            let joined = join(data, JoinKind::Inner)?.residual(col("weight").gt(col("kind")));
            Ok(joined.on([col("key")]).select(pick(&JOINED)))
        },
    ),
    known(
        "full join with a residual",
        |d| oracle::residual(d, JoinKind::Full),
        |data| {
            let joined = join(data, JoinKind::Full)?.residual(col("weight").gt(col("kind")));
            Ok(joined.on([col("key")]).select(pick(&JOINED)))
        },
    ),
    plan("left and anti joins with residuals", |data| {
        let left = join(data, JoinKind::Left)?.residual(col("weight").gt(col("kind")));
        let left = left.on([col("key")]).select(pick(&JOINED));
        let anti = left.join(data.scan_few()?, JoinKind::Anti);
        Ok(anti
            .residual(col("weight_right").lt(col("amount")))
            .on([col("label")]))
    }),
    known("nulls equal nulls", oracle::null_equals_null, |data| {
        let joined = join(data, JoinKind::Right)?.null_equals_null();
        Ok(joined
            .on([col("key")])
            .select(pick(&["id", "label", "weight"])))
    }),
    plan("join by strings", |data| {
        let dims = data.scan_dims()?.filter(col("weight").gt(lit(10)));
        let joined = data.scan_facts()?.join(dims, JoinKind::Inner);
        Ok(joined
            .on_pairs([(col("name"), col("label"))])
            .select(pick(&["id", "name", "weight"])))
    }),
    plan("join by two keys, one of them computed", |data| {
        let joined = join(data, JoinKind::Left)?;
        let kinds = (col("kind") + lit(1), col("weight"));
        Ok(joined
            .on_pairs([(col("key"), col("key")), kinds])
            .select(pick(&["id", "kind", "label"])))
    }),
    known("cross join", oracle::crossed, |data| {
        let few = data.scan_few()?.select([col("weight").alias("w")]);
        Ok(data
            .scan_few()?
            .cross_join(few)
            .select(pick(&["label", "weight", "w"])))
    }),
    known("join by an inequality", oracle::unequal, |data| {
        let larger = data.scan_dims()?.join_where(
            data.scan_few()?,
            col("weight_right").gt(col("weight") + lit(5)),
        );
        Ok(larger.select(pick(&["label", "weight", "label_right"])))
    }),
    plan("left join by an inequality", |data| {
        let few = data.scan_few()?;
        let joined = data.scan_dims()?.join(few, JoinKind::Full);
        Ok(joined
            .residual(col("weight_right").gt(col("weight") + lit(25)))
            .on([]))
    }),
    plan("joins in a row", |data| {
        let weights = data
            .scan_dims()?
            .rename([("label", "l2"), ("weight", "w2")]);
        let few = data
            .scan_few()?
            .select([col("label").alias("l3"), col("weight").alias("w3")]);
        let joined = on_key_with(data, JoinKind::Left)?
            .join(weights, JoinKind::Full)
            .on([col("key")])
            .join(few, JoinKind::Left)
            .on_pairs([(col("label"), col("l3"))]);
        Ok(joined.select(pick(&["id", "label", "l2", "w2", "w3"])))
    }),
    plan("a bushy join", |data| {
        let left = on_key_with(data, JoinKind::Inner)?;
        let few = data.scan_few()?.rename([("weight", "w")]);
        let right = data
            .scan_dims()?
            .join(few, JoinKind::Inner)
            .on([col("label")]);
        let right = right.select([col("key"), col("w"), col("weight").alias("w2")]);
        let joined = left.join(right, JoinKind::Inner).on([col("key")]);
        Ok(joined.group_by([col("id")]).agg([
            col("w").sum().alias("w"),
            col("w2").max().alias("w2"),
            count_rows().alias("rows"),
        ]))
    }),
    plan("a self join", |data| {
        let other = data.scan_facts()?.filter(col("kind").lt(lit(2)));
        let joined = data.scan_facts()?.join(other, JoinKind::Inner);
        Ok(joined
            .on([col("name"), col("day")])
            .select(pick(&["id", "id_right", "name"])))
    }),
    plan("skewed keys", |data| {
        let hot = data.scan_facts()?.filter(col("key").eq(lit(3))).limit(40);
        let joined = data
            .scan_facts()?
            .join(hot.select(pick(&["key"])), JoinKind::Inner);
        Ok(joined
            .on([col("key")])
            .group_by([col("kind")])
            .agg([count_rows().alias("rows"), col("amount").sum().alias("sum")]))
    }),
    Plan {
        oracle: Some(oracle::sorted),
        ..ordered("sort", |data| {
            let keys = [
                col("name").desc().nulls_first(),
                col("amount").asc(),
                col("id").asc(),
            ];
            Ok(data
                .scan_facts()?
                .sort(keys)
                .select(pick(&["id", "name", "amount"])))
        })
    },
    ordered("sort of a join by an expression", |data| {
        let keys = [
            (col("weight") * lit(-1)).asc(),
            col("id").desc(),
            col("label").asc(),
        ];
        Ok(on_key(data, JoinKind::Full)?.sort(keys))
    }),
    Plan {
        oracle: Some(oracle::stable),
        ..ordered("a stable sort", |data| {
            let sorted = data.facts_in_memory()?.sort([col("kind").desc()]);
            Ok(sorted.select(pick(&["kind", "id"])))
        })
    },
    Plan {
        oracle: Some(oracle::stable_top),
        ..ordered("a stable top k", |data| {
            let first = data.facts_in_memory()?.top_k(50, [col("kind").desc()]);
            Ok(first.select(pick(&["kind", "id"])))
        })
    },
    known("the first of a sort", oracle::firsts, |data| {
        let sorted = data.facts_in_memory()?.sort([col("kind").asc()]);
        let firsts = sorted.clone().distinct(["name"], Keep::First);
        let firsts = firsts.select(pick(&["name", "id"]));
        let lasts = sorted
            .group_by([col("name")])
            .agg([col("id").last().alias("id")]);
        Ok(concat_frames([firsts, lasts]))
    }),
    ordered("a sort by one value", |data| {
        let equal = data.facts_in_memory()?.with_columns([lit(1).alias("one")]);
        Ok(equal.sort([col("one")]).select(pick(&["id", "ratio"])))
    }),
    Plan {
        oracle: Some(oracle::top),
        ..ordered("top k", |data| {
            let keys = [col("ratio").desc(), col("id").asc()];
            Ok(data
                .scan_facts()?
                .top_k(17, keys)
                .select(pick(&["id", "ratio"])))
        })
    },
    Plan {
        oracle: Some(oracle::slice),
        ..ordered("a slice of a sort", |data| {
            let sorted = data
                .scan_facts()?
                .sort([col("amount").asc(), col("id").asc()]);
            Ok(sorted.slice(150, None).select(pick(&["id"])).limit(100))
        })
    },
    Plan {
        oracle: Some(oracle::ranked),
        ..plan("windows with partitions", |data| {
            let order = [col("amount").desc(), col("id").asc()];
            let windows = data.scan_facts()?.with_windows([
                row_number()
                    .over([col("kind")])
                    .order_by(order.clone())
                    .alias("number"),
                col("amount").sum().over([col("kind")]).alias("total"),
            ]);
            Ok(windows.select(pick(&["id", "number", "total"])))
        })
    },
    plan("windows of one partition", |data| {
        let windows = data.scan_facts()?.with_windows([
            col("amount")
                .sum()
                .over([])
                .order_by([col("id")])
                .running()
                .alias("running"),
            rank().over([]).order_by([col("kind")]).alias("rank"),
        ]);
        Ok(windows.select(pick(&["id", "running", "rank"])))
    }),
    plan("windows with two partitionings", |data| {
        let by_day = [col("day").asc(), col("id").desc()];
        let windows = data.scan_facts()?.with_windows([
            col("amount")
                .lag(1)
                .over([col("key")])
                .order_by(by_day.clone())
                .alias("before"),
            col("id")
                .lead(2)
                .or(-1)
                .over([col("name")])
                .order_by(by_day.clone())
                .alias("behind"),
            ntile(4)
                .over([col("name")])
                .order_by(by_day.clone())
                .alias("tile"),
            cume_dist()
                .over([col("key")])
                .order_by([col("kind")])
                .alias("share"),
            percent_rank()
                .over([col("key")])
                .order_by([col("kind")])
                .alias("percent"),
            dense_rank()
                .over([col("key")])
                .order_by([col("kind")])
                .alias("dense"),
        ]);
        Ok(windows.drop(["price", "flag"]))
    }),
    known("a union", oracle::united, |data| {
        let part = |frame: LazyFrame| frame.select(pick(&["id", "name"]));
        Ok(concat_frames([
            part(data.scan_facts()?.filter(col("kind").eq(lit(1)))),
            part(data.facts_in_memory()?),
            part(data.scan_facts()?.filter(col("id").lt(lit(0)))),
            part(data.scan_facts()?.filter(col("kind").gt(lit(4)))),
        ]))
    }),
    plan("groups and a join over a union", |data| {
        let names = |frame: LazyFrame, name: &str| frame.select([col(name).alias("n"), col("key")]);
        let all = concat_frames([
            names(data.scan_facts()?, "name"),
            names(data.scan_dims()?, "label"),
            names(on_key_with(data, JoinKind::Inner)?, "label"),
        ]);
        let groups = all
            .group_by([col("n"), col("key")])
            .agg([count_rows().alias("rows")]);
        let joined = groups
            .join(data.scan_dims()?, JoinKind::Full)
            .on([col("key")]);
        Ok(joined.select(pick(&["n", "key", "rows", "weight"])))
    }),
    plan("limits that are counted", |data| {
        let some = data.scan_facts()?.slice(50, Some(99));
        let counted = some.select([count_rows().alias("rows"), lit(1).max().alias("one")]);
        let rest = data
            .scan_facts()?
            .slice(5, None)
            .select([count_rows().alias("rows")]);
        let none = data
            .scan_facts()?
            .limit(0)
            .select([count_rows().alias("rows")]);
        let with_one = |frame: LazyFrame| frame.with_columns([lit(1).alias("one")]);
        Ok(concat_frames([counted, with_one(rest), with_one(none)]))
    }),
    Plan {
        oracle: Some(oracle::first_of_table),
        ..ordered("the first rows of a table", |data| {
            let table = data.facts_in_memory()?.filter(col("kind").gt(lit(1)));
            Ok(table.select(pick(&["id", "kind"])).slice(10, Some(30)))
        })
    },
    plan("joins with nothing", |data| {
        let pairs = |kind, swap| -> Result<LazyFrame> {
            let (one, two) = (data.scan_few()?, data.scan_none()?);
            let (left, right) = if swap { (two, one) } else { (one, two) };
            let joined = left.join(right, kind).coalesce(false).on([col("key")]);
            Ok(joined.select(pick(&["weight", "weight_right"])))
        };
        let mut all = Vec::new();
        for kind in [
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Full,
        ] {
            all.push(pairs(kind, false)?);
            all.push(pairs(kind, true)?);
        }
        Ok(concat_frames(all))
    }),
    plan("one aggregation read three times", |data| {
        let totals = totals(data)?;
        let most = totals.clone().select([col("total").max().alias("most")]);
        let joined = totals.clone().join(most, JoinKind::Inner);
        let largest = joined
            .on_pairs([(col("total"), col("most"))])
            .select(pick(&["kind", "rows"]));
        let shares = data
            .scan_facts()?
            .join(totals.clone(), JoinKind::Inner)
            .on([col("kind")]);
        let shares = shares.select([col("kind"), (col("rows") + col("total")).alias("rows")]);
        Ok(concat_frames([
            largest,
            totals.select(pick(&["kind", "rows"])),
            shares,
        ]))
    }),
    plan("one join on both sides", |data| {
        let joined = on_key(data, JoinKind::Inner)?;
        let maximum = joined
            .clone()
            .group_by([col("label")])
            .agg([col("weight").max().alias("heaviest")]);
        let both = joined.join(maximum, JoinKind::Inner).null_equals_null();
        Ok(both
            .on([col("label")])
            .filter(col("weight").eq(col("heaviest"))))
    }),
    ordered("everything", |data| {
        let totals = totals(data)?.filter(col("rows").gt(lit(3)));
        let joined = on_key_with(data, JoinKind::Left)?;
        let joined = joined.join(totals, JoinKind::Inner).on([col("kind")]);
        let ranked = joined.with_windows([rank()
            .over([col("kind"), col("label")])
            .order_by([col("amount").desc()])
            .alias("rank")]);
        let groups = ranked
            .filter(col("rank").lt_eq(lit(5)))
            .group_by([col("label"), col("kind")])
            .agg([
                col("amount").sum().alias("sum"),
                col("total").max().alias("total"),
            ]);
        let keys = [col("label").asc().nulls_last(), col("kind").desc()];
        Ok(groups.sort(keys).limit(25))
    }),
];

/// As [`on_key`], with all columns.
fn on_key_with(data: &Data, kind: JoinKind) -> Result<LazyFrame> {
    Ok(join(data, kind)?.on([col("key")]))
}
