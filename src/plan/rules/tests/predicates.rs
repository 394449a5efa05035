//! Where predicates, limits and sorts go.

use expect_test::expect;

use super::{check, small};
use crate::engine::concat_frames;
use crate::expr::{Frame, JoinKind, Keep, MARK_NAME, col, count_rows, lit, when};
use crate::plan::row_number;
use crate::types::{DataType, DivisionByZero, Semantics};

#[test]
fn predicates_pass_projections_sorts_and_unions() {
    check(
        small("a", 9)
            .select([
                col("ax").alias("k"),
                (col("ay") + lit(1)).alias("next"),
                col("aw").upper().alias("u"),
            ])
            .sort([col("next")])
            .filter(
                col("k")
                    .gt(lit(1))
                    .and(col("next").lt(lit(5)))
                    .and(col("u").eq(lit("X"))),
            ),
        expect![[r#"
            sort by next
              filter (u = "X")
                project ax as k, (ay + 1) as next, upper(aw) as u
                  filter ((ax > 1) and ((ay + 1) < 5))
                    scan 1 file(s), first a
        "#]],
    );
    check(
        concat_frames([small("a", 9), small("b", 9).limit(3), small("c", 9)])
            .filter(col("ax").eq(lit(1))),
        expect![[r#"
            union of 3
              filter (ax = 1)
                scan 1 file(s), first a
              filter (bx = 1)
                limit 3
                  scan 1 file(s), first b
              filter (cx = 1)
                scan 1 file(s), first c
        "#]],
    );
    check(
        concat_frames([concat_frames([small("a", 9), small("b", 9)]), small("c", 9)]).limit(4),
        expect![[r#"
            limit 4
              union of 3
                limit 4
                  scan 1 file(s), first a
                limit 4
                  scan 1 file(s), first b
                limit 4
                  scan 1 file(s), first c
        "#]],
    );
}

#[test]
fn predicates_pass_groups_by_their_keys_alone() {
    check(
        small("a", 9)
            .group_by([
                col("ax").alias("k"),
                col("az"),
                (col("ay") % lit(2)).alias("odd"),
            ])
            .agg([count_rows().alias("n")])
            .filter(col("k").eq(lit(1)))
            .filter(col("n").gt(lit(1)))
            .filter(col("az").gt(lit(1.0)))
            .filter(col("odd").eq(lit(1))),
        expect![[r#"
            filter (((n > 1) and (az > 1.0)) and (odd = 1))
              aggregate count(*) as n by ax as k, az, (ay % 2) as odd
                filter (ax = 1)
                  scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9)
            .distinct(["ax"], Keep::First)
            .filter(col("ax").gt(lit(1)).and(col("ay").gt(lit(1)))),
        expect![[r#"
            filter (ay > 1)
              distinct, keep first, on ax
                filter (ax > 1)
                  scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9)
            .with_windows([
                row_number().over([col("ax"), col("ay")]).alias("n"),
                col("az")
                    .sum()
                    .over([col("ax")])
                    .frame(Frame::Partition)
                    .alias("s"),
            ])
            .filter(
                col("ax")
                    .eq(lit(1))
                    .and(col("ay").eq(lit(2)))
                    .and(col("n").eq(lit(1))),
            ),
        expect![[r#"
            filter ((ay = 2) and (n = 1))
              window row_number() over (partition by ax, ay whole partition) as n, sum(az) over (partition by ax whole partition) as s
                filter (ax = 1)
                  scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9)
            .select([count_rows().alias("n")])
            .filter(lit(false)),
        expect![[r#"
            filter false
              aggregate count(*) as n
                scan 1 file(s), first a
        "#]],
    );
}

#[test]
fn a_predicate_that_may_fail_stays() {
    let strict = Semantics {
        division_by_zero: DivisionByZero::Error,
        ..Semantics::default()
    };
    let filtered = || {
        small("a", 9)
            .filter(col("ax").not_eq(lit(0)))
            .filter((lit(10) / col("ax")).gt(lit(3)))
            .filter(col("ay").eq(lit(1)))
    };
    check(
        filtered(),
        expect![[r#"
        filter (((ax <> 0) and ((10 / ax) > 3)) and (ay = 1))
          scan 1 file(s), first a
    "#]],
    );
    check(
        filtered().semantics(strict),
        expect![[r#"
        filter ((10 / ax) > 3)
          filter ((ax <> 0) and (ay = 1))
            scan 1 file(s), first a
    "#]],
    );
    let joined = || {
        small("a", 9)
            .join_where(
                small("b", 9),
                col("ax")
                    .eq(lit(7) / col("bx"))
                    .and(col("ay").eq(col("by"))),
            )
            .filter(col("aw").cast(DataType::Int64).eq(lit(1)))
    };
    check(
        joined(),
        expect![[r#"
        filter (cast(aw as Int64) = 1)
          inner join on ax = (7 / bx) and ay = by
            scan 1 file(s), first a
            scan 1 file(s), first b
    "#]],
    );
    check(
        joined().semantics(strict),
        expect![[r#"
        filter (cast(aw as Int64) = 1)
          inner join on ay = by where (ax = (7 / bx))
            scan 1 file(s), first a
            scan 1 file(s), first b
    "#]],
    );
}

#[test]
fn predicates_go_to_the_sides_of_a_join_as_its_kind_allows() {
    let by_kind = |kind| {
        small("a", 9)
            .join(small("b", 9), kind)
            .coalesce(false)
            .residual(
                col("ay")
                    .gt(lit(1))
                    .and(col("by").gt(lit(2)))
                    .and(col("az").lt(col("bz"))),
            )
            .on([])
    };
    let sides = |kind| {
        by_kind(kind)
            .filter(col("ax").is_null().or(col("ay").eq(lit(1))))
            .filter(col("bx").is_null().or(col("by").eq(lit(1))))
    };
    check(
        sides(JoinKind::Inner),
        expect![[r#"
        inner join where (az < bz)
          filter (((ax is null) or (ay = 1)) and (ay > 1))
            scan 1 file(s), first a
          filter (((bx is null) or (by = 1)) and (by > 2))
            scan 1 file(s), first b
    "#]],
    );
    check(
        sides(JoinKind::Left),
        expect![[r#"
        filter ((bx is null) or (by = 1))
          left join where ((ay > 1) and (az < bz))
            filter ((ax is null) or (ay = 1))
              scan 1 file(s), first a
            filter (by > 2)
              scan 1 file(s), first b
    "#]],
    );
    check(
        sides(JoinKind::Right),
        expect![[r#"
        filter ((ax is null) or (ay = 1))
          right join where ((by > 2) and (az < bz))
            filter (ay > 1)
              scan 1 file(s), first a
            filter ((bx is null) or (by = 1))
              scan 1 file(s), first b
    "#]],
    );
    check(
        sides(JoinKind::Full),
        expect![[r#"
        filter (((ax is null) or (ay = 1)) and ((bx is null) or (by = 1)))
          full join where (((ay > 1) and (by > 2)) and (az < bz))
            scan 1 file(s), first a
            scan 1 file(s), first b
    "#]],
    );
    let left = |kind| by_kind(kind).filter(col("ax").eq(lit(1)));
    check(
        left(JoinKind::Semi),
        expect![[r#"
        semi join where (az < bz)
          filter ((ax = 1) and (ay > 1))
            scan 1 file(s), first a
          filter (by > 2)
            scan 1 file(s), first b
    "#]],
    );
    check(
        left(JoinKind::Anti),
        expect![[r#"
        anti join where ((ay > 1) and (az < bz))
          filter (ax = 1)
            scan 1 file(s), first a
          filter (by > 2)
            scan 1 file(s), first b
    "#]],
    );
    check(
        left(JoinKind::Mark).filter(!col(MARK_NAME)),
        expect![[r#"
        filter not mark
          mark join where ((ay > 1) and (az < bz))
            filter (ax = 1)
              scan 1 file(s), first a
            filter (by > 2)
              scan 1 file(s), first b
    "#]],
    );
}

#[test]
fn outer_joins_whose_null_rows_go_are_inner() {
    let full = || {
        small("a", 9)
            .join(small("b", 9), JoinKind::Full)
            .coalesce(false)
    };
    let full = || full().on_pairs([(col("ax"), col("bx"))]);
    check(
        full().filter(col("ay").gt(col("by"))),
        expect![[r#"
        inner join on ax = bx where (ay > by)
          scan 1 file(s), first a
          scan 1 file(s), first b
    "#]],
    );
    check(
        full().filter(col("ay").is_in([1, 2])),
        expect![[r#"
        left join on ax = bx
          filter is_in(ay, 1, 2)
            scan 1 file(s), first a
          scan 1 file(s), first b
    "#]],
    );
    check(
        full().filter(col("bw").like("%x").or(col("by").eq(lit(1)))),
        expect![[r#"
        right join on ax = bx
          scan 1 file(s), first a
          filter (like["%x"](bw) or (by = 1))
            scan 1 file(s), first b
    "#]],
    );
    check(
        small("a", 9)
            .join(small("b", 9), JoinKind::Left)
            .on_pairs([(col("ax"), col("bx"))])
            .filter(
                when(col("by").is_null())
                    .then(lit(true))
                    .end()
                    .and(col("ay").eq(lit(1))),
            ),
        expect![[r#"
            project ax, ay, az, aw, by, bz, bw
              filter case when (by is null) then true end
                left join on ax = bx
                  filter (ay = 1)
                    scan 1 file(s), first a
                  scan 1 file(s), first b
        "#]],
    );
}

#[test]
fn constants_are_computed_and_alternatives_are_factored() {
    check(
        small("a", 9).filter(
            lit(true)
                .and(col("ax").gt(lit(2) * lit(3) + lit(1)))
                .and(lit("a").lt(lit("b")))
                .and(!!col("ay").eq(lit(1))),
        ),
        expect![[r#"
            filter ((ax > 7) and (ay = 1))
              scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9).select([lit(1) + lit(2), (col("ax") + (lit(1) + lit(2))).alias("b")]),
        expect![[r#"
            project 3 as (1 + 2), (ax + 3) as b
              scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9).filter(
            col("ax")
                .eq(lit(1))
                .and(col("ay").eq(lit(2)))
                .and(col("az").gt(lit(0.5)))
                .or(col("ay").eq(lit(2)).and(col("ax").eq(lit(3))))
                .or(col("aw").eq(lit("w")).and(col("ay").eq(lit(2)))),
        ),
        expect![[r#"
            filter ((ay = 2) and ((((ax = 1) and (az > 0.5)) or (ax = 3)) or (aw = "w")))
              scan 1 file(s), first a
        "#]],
    );
    check(
        small("a", 9).filter(
            col("ax")
                .eq(lit(1))
                .or(col("ay").eq(lit(2)).and(col("ax").eq(lit(1)))),
        ),
        expect![[r#"
            filter (ax = 1)
              scan 1 file(s), first a
        "#]],
    );
}

#[test]
fn projections_and_filters_are_merged() {
    check(
        small("a", 9)
            .with_columns([(col("ax") + lit(1)).alias("p")])
            .filter(col("ay").gt(lit(1)))
            .filter(col("ay").gt(lit(1)).and(col("az").gt(lit(2.0))))
            .select([(col("p") * lit(2)).alias("q"), col("ax").alias("r")])
            .select([col("q"), col("r")])
            .select([(col("q") + col("q")).alias("s"), col("r")]),
        expect![[r#"
            project (q + q) as s, r
              project ((ax + 1) * 2) as q, ax as r
                filter ((ay > 1) and (az > 2.0))
                  scan 1 file(s), first a
        "#]],
    );
}

#[test]
fn sorts_that_nobody_sees_go() {
    check(
        small("a", 9)
            .sort([col("ax")])
            .join(small("b", 9).sort([col("bx")]).limit(3), JoinKind::Inner)
            .on_pairs([(col("ax"), col("bx"))])
            .sort([col("ay")])
            .group_by([col("ax")])
            .agg([col("ay").sum()])
            .sort([col("ax")]),
        expect![[r#"
            sort by ax
              aggregate sum(ay) by ax
                project ax, ay, az, aw, by, bz, bw
                  inner join on ax = bx
                    scan 1 file(s), first a
                    limit 3
                      sort by bx
                        scan 1 file(s), first b
        "#]],
    );
    check(
        small("a", 9)
            .sort([col("ax")])
            .filter(col("ay").gt(lit(1)))
            .group_by([col("ay")])
            .agg([col("ax").first()]),
        expect![[r#"
            aggregate first(ax) by ay
              sort by ax
                filter (ay > 1)
                  scan 1 file(s), first a
        "#]],
    );
    check(
        concat_frames([
            small("a", 9).sort([col("ax")]),
            small("b", 9).sort([col("bx")]).limit(1),
        ]),
        expect![[r#"
            union of 2
              scan 1 file(s), first a
              limit 1
                sort by bx
                  scan 1 file(s), first b
        "#]],
    );
}

#[test]
fn limits_go_below_what_makes_more_of_them() {
    check(
        small("a", 9)
            .join(small("b", 9), JoinKind::Left)
            .on_pairs([(col("ax"), col("bx"))])
            .slice(2, Some(5)),
        expect![[r#"
            project ax, ay, az, aw, by, bz, bw
              limit 5 from 2
                left join on ax = bx
                  limit 7
                    scan 1 file(s), first a
                  scan 1 file(s), first b
        "#]],
    );
    check(
        small("a", 9)
            .sort([col("ay")])
            .select([col("ax"), (col("ay") * lit(2)).alias("d")])
            .select([(col("d") - col("ax")).alias("e"), col("d")])
            .slice(1, Some(5))
            .slice(1, None),
        expect![[r#"
            project (d - ax) as e, d
              project ax, (ay * 2) as d
                limit 4 from 2
                  sort by ay
                    scan 1 file(s), first a
        "#]],
    );
}
