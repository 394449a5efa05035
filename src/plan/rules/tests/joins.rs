//! The order of joins: queries of TPC-H's shapes, over tables of its sizes at scale 1.

use expect_test::expect;

use super::{check, small, table};
use crate::engine::LazyFrame;
use crate::expr::{JoinKind, Keep, col, count_rows, lit};
use crate::types::{DataType, Literal};

const INT: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8;
const DAYS: (f64, f64) = (8036.0, 10592.0);

fn region() -> LazyFrame {
    table(
        "region",
        5,
        &[
            ("r_regionkey", INT, Some((0.0, 4.0))),
            ("r_name", TEXT, None),
        ],
    )
}

fn nation() -> LazyFrame {
    table(
        "nation",
        25,
        &[
            ("n_nationkey", INT, Some((0.0, 24.0))),
            ("n_name", TEXT, None),
            ("n_regionkey", INT, Some((0.0, 4.0))),
        ],
    )
}

fn supplier() -> LazyFrame {
    table(
        "supplier",
        10_000,
        &[
            ("s_suppkey", INT, Some((1.0, 1e4))),
            ("s_nationkey", INT, Some((0.0, 24.0))),
        ],
    )
}

fn customer() -> LazyFrame {
    table(
        "customer",
        150_000,
        &[
            ("c_custkey", INT, Some((1.0, 150e3))),
            ("c_nationkey", INT, Some((0.0, 24.0))),
            ("c_mktsegment", TEXT, None),
        ],
    )
}

fn orders() -> LazyFrame {
    table(
        "orders",
        1_500_000,
        &[
            ("o_orderkey", INT, Some((1.0, 6e6))),
            ("o_custkey", INT, Some((1.0, 150e3))),
            ("o_orderdate", DataType::Date32, Some(DAYS)),
        ],
    )
}

fn lineitem() -> LazyFrame {
    table(
        "lineitem",
        6_000_000,
        &[
            ("l_orderkey", INT, Some((1.0, 6e6))),
            ("l_partkey", INT, Some((1.0, 200e3))),
            ("l_suppkey", INT, Some((1.0, 1e4))),
            ("l_quantity", DataType::Decimal128(15, 2), Some((1.0, 50.0))),
            ("l_extendedprice", DataType::Decimal128(15, 2), None),
            ("l_shipdate", DataType::Date32, Some(DAYS)),
        ],
    )
}

fn part() -> LazyFrame {
    table(
        "part",
        200_000,
        &[
            ("p_partkey", INT, Some((1.0, 200e3))),
            ("p_brand", TEXT, None),
            ("p_size", INT, Some((1.0, 50.0))),
        ],
    )
}

fn date(year: i32) -> Literal {
    Literal::Date32((year - 1970) * 365 + (year - 1969) / 4)
}

/// Tables with commas between them, and what SQL says behind WHERE.
fn from(tables: Vec<LazyFrame>) -> LazyFrame {
    let mut tables = tables.into_iter();
    let first = tables.next().unwrap_or_else(region);
    tables.fold(first, LazyFrame::cross_join)
}

#[test]
fn small_sides_are_joined_first_and_equalities_become_keys() {
    // Q5.
    check(
        from(vec![
            customer(),
            orders(),
            lineitem(),
            supplier(),
            nation(),
            region(),
        ])
        .filter(
            col("c_custkey")
                .eq(col("o_custkey"))
                .and(col("l_orderkey").eq(col("o_orderkey")))
                .and(col("l_suppkey").eq(col("s_suppkey")))
                .and(col("c_nationkey").eq(col("s_nationkey")))
                .and(col("s_nationkey").eq(col("n_nationkey")))
                .and(col("n_regionkey").eq(col("r_regionkey")))
                .and(col("r_name").eq(lit("ASIA")))
                .and(col("o_orderdate").gt_eq(lit(date(1994))))
                .and(col("o_orderdate").lt(lit(date(1995)))),
        )
        .group_by([col("n_name")])
        .agg([col("l_extendedprice").sum().alias("revenue")]),
        expect![[r#"
            aggregate sum(l_extendedprice) as revenue by n_name
              inner join on c_custkey = o_custkey and c_nationkey = s_nationkey
                scan 1 file(s), first customer
                inner join on l_suppkey = s_suppkey
                  inner join on o_orderkey = l_orderkey
                    filter ((o_orderdate >= date(8766)) and (o_orderdate < date(9131)))
                      scan 1 file(s), first orders
                    scan 1 file(s), first lineitem
                  inner join on s_nationkey = n_nationkey
                    scan 1 file(s), first supplier
                    inner join on n_regionkey = r_regionkey
                      scan 1 file(s), first nation
                      filter (r_name = "ASIA")
                        scan 1 file(s), first region
        "#]],
    );
}

#[test]
fn a_table_twice_keeps_its_names_and_alternatives_are_asked_of_each() {
    // Q7.
    let named = |prefix: &str| {
        nation().select([
            col("n_nationkey").alias(format!("{prefix}_key")),
            col("n_name").alias(format!("{prefix}_name")),
        ])
    };
    let pair = |a: &str, b: &str| col("n1_name").eq(lit(a)).and(col("n2_name").eq(lit(b)));
    check(
        from(vec![
            supplier(),
            lineitem(),
            orders(),
            customer(),
            named("n1"),
            named("n2"),
        ])
        .filter(
            col("s_suppkey")
                .eq(col("l_suppkey"))
                .and(col("o_orderkey").eq(col("l_orderkey")))
                .and(col("c_custkey").eq(col("o_custkey")))
                .and(col("s_nationkey").eq(col("n1_key")))
                .and(col("c_nationkey").eq(col("n2_key")))
                .and(pair("FRANCE", "GERMANY").or(pair("GERMANY", "FRANCE"))),
        )
        .select([col("n1_name"), col("n2_name"), col("l_extendedprice")]),
        expect![[r#"
            project n1_name, n2_name, l_extendedprice
              inner join on l_orderkey = o_orderkey where (((n1_name = "FRANCE") and (n2_name = "GERMANY")) or ((n1_name = "GERMANY") and (n2_name = "FRANCE")))
                inner join on s_suppkey = l_suppkey
                  inner join on s_nationkey = n1_key
                    scan 1 file(s), first supplier
                    project n_nationkey as n1_key, n_name as n1_name
                      filter ((n_name = "FRANCE") or (n_name = "GERMANY"))
                        scan 1 file(s), first nation
                  scan 1 file(s), first lineitem
                inner join on o_custkey = c_custkey
                  scan 1 file(s), first orders
                  inner join on c_nationkey = n2_key
                    scan 1 file(s), first customer
                    project n_nationkey as n2_key, n_name as n2_name
                      filter ((n_name = "GERMANY") or (n_name = "FRANCE"))
                        scan 1 file(s), first nation
        "#]],
    );
    // Columns of one name: the joins' suffixes are seen above alone.
    check(
        nation()
            .join(supplier(), JoinKind::Inner)
            .on_pairs([(col("n_nationkey"), col("s_nationkey"))])
            .join(nation(), JoinKind::Inner)
            .on([col("n_regionkey")])
            .filter(col("n_name").not_eq(col("n_name_right"))),
        expect![[r#"
            project n_nationkey, n_name, n_regionkey, s_suppkey, n_nationkey__2 as n_nationkey_right, n_name__2 as n_name_right
              inner join on n_nationkey = s_nationkey
                inner join on n_regionkey = n_regionkey__2 where (n_name <> n_name__2)
                  scan 1 file(s), first nation
                  project n_nationkey as n_nationkey__2, n_name as n_name__2, n_regionkey as n_regionkey__2
                    scan 1 file(s), first nation
                scan 1 file(s), first supplier
        "#]],
    );
}

#[test]
fn what_all_alternatives_ask_is_a_key() {
    // Q19.
    let brand = |brand: &str, low: i64| {
        col("p_partkey")
            .eq(col("l_partkey"))
            .and(col("p_brand").eq(lit(brand)))
            .and(col("l_quantity").between(lit(low), lit(low + 10)))
            .and(col("p_size").lt_eq(lit(5)))
    };
    check(
        from(vec![lineitem(), part()])
            .filter(brand("12", 1).or(brand("23", 10)).or(brand("34", 20)))
            .select([col("l_extendedprice").sum().alias("revenue")]),
        expect![[r#"
            aggregate sum(l_extendedprice) as revenue
              inner join on l_partkey = p_partkey where (((((p_brand = "12") and (l_quantity >= 1)) and (l_quantity <= 11)) or (((p_brand = "23") and (l_quantity >= 10)) and (l_quantity <= 20))) or (((p_brand = "34") and (l_quantity >= 20)) and (l_quantity <= 30)))
                filter ((((l_quantity >= 1) and (l_quantity <= 11)) or ((l_quantity >= 10) and (l_quantity <= 20))) or ((l_quantity >= 20) and (l_quantity <= 30)))
                  scan 1 file(s), first lineitem
                filter ((p_size <= 5) and (((p_brand = "12") or (p_brand = "23")) or (p_brand = "34")))
                  scan 1 file(s), first part
        "#]],
    );
}

#[test]
fn semi_joins_go_to_the_table_that_they_ask_about() {
    // Q18.
    let large = lineitem()
        .group_by([col("l_orderkey").alias("large")])
        .agg([col("l_quantity").sum().alias("sum")])
        .filter(col("sum").gt(lit(300)))
        .select([col("large")])
        .distinct([""; 0], Keep::Any);
    check(
        from(vec![customer(), orders(), lineitem()])
            .filter(
                col("c_custkey")
                    .eq(col("o_custkey"))
                    .and(col("o_orderkey").eq(col("l_orderkey"))),
            )
            .join(large, JoinKind::Semi)
            .on_pairs([(col("o_orderkey"), col("large"))])
            .select([col("c_custkey"), col("o_orderkey"), col("l_quantity")]),
        expect![[r#"
            project c_custkey, o_orderkey, l_quantity
              inner join on o_orderkey = l_orderkey
                inner join on c_custkey = o_custkey
                  scan 1 file(s), first customer
                  semi join on o_orderkey = large
                    scan 1 file(s), first orders
                    project large
                      filter (sum > 300)
                        aggregate sum(l_quantity) as sum by l_orderkey as large
                          scan 1 file(s), first lineitem
                scan 1 file(s), first lineitem
        "#]],
    );
}

#[test]
fn outer_joins_and_keys_of_nulls_end_what_is_ordered() {
    check(
        small("a", 1000)
            .join(small("b", 10), JoinKind::Inner)
            .null_equals_null()
            .coalesce(false)
            .on_pairs([(col("ax"), col("bx"))])
            .join(small("c", 100), JoinKind::Inner)
            .coalesce(false)
            .on_pairs([(col("ay"), col("cy"))])
            .join(small("d", 5), JoinKind::Left)
            .on_pairs([(col("az"), col("dz"))])
            .select([count_rows().alias("n")]),
        expect![[r#"
            aggregate count(*) as n
              project ax, ay, az, aw, bx, by, bz, bw, cx, cy, cz, cw, dx, dy, dw
                left join on az = dz
                  inner join on ay = cy
                    inner join on ax = bx
                      scan 1 file(s), first a
                      scan 1 file(s), first b
                    scan 1 file(s), first c
                  scan 1 file(s), first d
        "#]],
    );
    check(
        from(vec![small("a", 10), small("b", 1000), small("c", 2)]),
        expect![[r#"
        project ax, ay, az, aw, bx, by, bz, bw, cx, cy, cz, cw
          inner join
            inner join
              scan 1 file(s), first a
              scan 1 file(s), first c
            scan 1 file(s), first b
    "#]],
    );
}

#[test]
fn many_tables_are_ordered_greedily() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let tables = names
        .iter()
        .zip(1..)
        .map(|(name, rows)| small(name, rows * 10));
    let chain = names
        .windows(2)
        .map(|pair| col(format!("{}y", pair[0])).eq(col(format!("{}x", pair[1]))));
    let all = chain
        .reduce(crate::expr::Expr::and)
        .unwrap_or_else(|| lit(true));
    check(
        from(tables.collect())
            .filter(all)
            .select([col("ax"), col("lw")]),
        expect![[r#"
            project ax, lw
              inner join on lx = ky
                scan 1 file(s), first l
                inner join on kx = jy
                  scan 1 file(s), first k
                  inner join on jx = iy
                    scan 1 file(s), first j
                    inner join on ix = hy
                      scan 1 file(s), first i
                      inner join on hx = gy
                        scan 1 file(s), first h
                        inner join on gx = fy
                          scan 1 file(s), first g
                          inner join on fx = ey
                            scan 1 file(s), first f
                            inner join on ex = dy
                              scan 1 file(s), first e
                              inner join on dx = cy
                                scan 1 file(s), first d
                                inner join on cx = by
                                  scan 1 file(s), first c
                                  inner join on ay = bx
                                    scan 1 file(s), first a
                                    scan 1 file(s), first b
        "#]],
    );
}
