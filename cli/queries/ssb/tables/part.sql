-- Table `part` of the Star Schema Benchmark, from tables of TPC-H.
-- Manufacturer and category are those of the brand, which has forty brands of its own below it.
SELECT p_partkey,
       p_name,
       concat('MFGR#', left(right(p_brand, 2), 1)) AS p_mfgr,
       concat('MFGR#', right(p_brand, 2)) AS p_category,
       concat('MFGR#', right(p_brand, 2), CAST((p_partkey * 17 + p_size) % 40 + 1 AS VARCHAR)) AS p_brand1,
       split_part(p_name, ' ', 1) AS p_color,
       p_type,
       p_size,
       p_container
FROM part
