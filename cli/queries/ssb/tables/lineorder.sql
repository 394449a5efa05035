-- Table `lineorder` of the Star Schema Benchmark, from tables of TPC-H.
-- A line with what it needs of its order; money is in cents, discounts and taxes in hundredths.
SELECT l_orderkey AS lo_orderkey,
       l_linenumber AS lo_linenumber,
       o_custkey AS lo_custkey,
       l_partkey AS lo_partkey,
       l_suppkey AS lo_suppkey,
       CAST(EXTRACT(YEAR FROM o_orderdate) * 10000 + EXTRACT(MONTH FROM o_orderdate) * 100
            + EXTRACT(DAY FROM o_orderdate) AS INTEGER) AS lo_orderdate,
       o_orderpriority AS lo_orderpriority,
       CAST(o_shippriority AS VARCHAR) AS lo_shippriority,
       CAST(l_quantity AS INTEGER) AS lo_quantity,
       CAST(l_extendedprice * 100 AS BIGINT) AS lo_extendedprice,
       CAST(o_totalprice * 100 AS BIGINT) AS lo_ordtotalprice,
       CAST(l_discount * 100 AS INTEGER) AS lo_discount,
       CAST(l_extendedprice * 100 AS BIGINT) * (100 - CAST(l_discount * 100 AS BIGINT)) / 100 AS lo_revenue,
       CAST(ps_supplycost * 100 AS BIGINT) AS lo_supplycost,
       CAST(l_tax * 100 AS INTEGER) AS lo_tax,
       CAST(EXTRACT(YEAR FROM l_commitdate) * 10000 + EXTRACT(MONTH FROM l_commitdate) * 100
            + EXTRACT(DAY FROM l_commitdate) AS INTEGER) AS lo_commitdate,
       l_shipmode AS lo_shipmode
FROM lineitem
JOIN orders ON l_orderkey = o_orderkey
JOIN (
    -- At the smallest scales a supplier offers a part more than once.
    SELECT ps_partkey, ps_suppkey, min(ps_supplycost) AS ps_supplycost
    FROM partsupp
    GROUP BY ps_partkey, ps_suppkey
) AS offers ON l_partkey = ps_partkey AND l_suppkey = ps_suppkey
