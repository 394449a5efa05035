-- Table `supplier` of the Star Schema Benchmark, from tables of TPC-H.
-- Cities are those of customers.
SELECT s_suppkey,
       s_name,
       s_address,
       concat(left(concat(n_name, '         '), 9), CAST((s_suppkey * 7 + n_nationkey) % 10 AS VARCHAR)) AS s_city,
       n_name AS s_nation,
       r_name AS s_region,
       s_phone
FROM supplier
JOIN nation ON s_nationkey = n_nationkey
JOIN region ON n_regionkey = r_regionkey
