-- Table `customer` of the Star Schema Benchmark, from tables of TPC-H.
-- Cities are ten a nation: nine letters of its name and a digit.
SELECT c_custkey,
       c_name,
       c_address,
       concat(left(concat(n_name, '         '), 9), CAST((c_custkey * 7 + n_nationkey) % 10 AS VARCHAR)) AS c_city,
       n_name AS c_nation,
       r_name AS c_region,
       c_phone,
       c_mktsegment
FROM customer
JOIN nation ON c_nationkey = n_nationkey
JOIN region ON n_regionkey = r_regionkey
