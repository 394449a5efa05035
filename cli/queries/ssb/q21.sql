-- Star Schema Benchmark, Q2.1.
-- Revenue by year and brand: a category, from the suppliers of a region.
SELECT sum(lo_revenue) AS revenue, d_year, p_brand1
FROM lineorder
JOIN dates ON lo_orderdate = d_datekey
JOIN part ON lo_partkey = p_partkey
JOIN supplier ON lo_suppkey = s_suppkey
WHERE p_category = 'MFGR#12'
  AND s_region = 'AMERICA'
GROUP BY d_year, p_brand1
ORDER BY d_year, p_brand1
