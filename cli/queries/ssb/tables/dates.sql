-- Table `dates` of the Star Schema Benchmark, from tables of TPC-H.
-- The days of seven years.
WITH years(y) AS (VALUES (1992), (1993), (1994), (1995), (1996), (1997), (1998)),
     months(m) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12)),
     month_days(d) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16), (17),
                      (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31)),
     days AS (
         SELECT make_date(CAST(y AS INTEGER), CAST(m AS INTEGER), CAST(d AS INTEGER)) AS day, y, m, d
         FROM years, months, month_days
         WHERE d <= CASE WHEN m IN (4, 6, 9, 11) THEN 30 WHEN m = 2 AND y % 4 = 0 THEN 29 WHEN m = 2 THEN 28 ELSE 31 END
     ),
     named AS (
         SELECT day, y, m, d,
                CAST(EXTRACT(DOY FROM day) AS INTEGER) AS of_year,
                CAST(EXTRACT(ISODOW FROM day) AS INTEGER) AS of_week,
                CASE m WHEN 1 THEN 'January' WHEN 2 THEN 'February' WHEN 3 THEN 'March' WHEN 4 THEN 'April' WHEN 5
                THEN 'May' WHEN 6 THEN 'June' WHEN 7 THEN 'July' WHEN 8 THEN 'August' WHEN 9 THEN 'September' WHEN 10
                THEN 'October' WHEN 11 THEN 'November' WHEN 12 THEN 'December' END AS month_name
         FROM days
     )
SELECT CAST(y * 10000 + m * 100 + d AS INTEGER) AS d_datekey,
       day AS d_date,
       CASE of_week WHEN 1 THEN 'Monday' WHEN 2 THEN 'Tuesday' WHEN 3 THEN 'Wednesday' WHEN 4 THEN 'Thursday' WHEN 5
       THEN 'Friday' WHEN 6 THEN 'Saturday' WHEN 7 THEN 'Sunday' END AS d_dayofweek,
       month_name AS d_month,
       CAST(y AS INTEGER) AS d_year,
       CAST(y * 100 + m AS INTEGER) AS d_yearmonthnum,
       concat(left(month_name, 3), CAST(y AS VARCHAR)) AS d_yearmonth,
       of_week AS d_daynuminweek,
       CAST(d AS INTEGER) AS d_daynuminmonth,
       of_year AS d_daynuminyear,
       CAST(m AS INTEGER) AS d_monthnuminyear,
       CAST((of_year - 1) / 7 + 1 AS INTEGER) AS d_weeknuminyear,
       CASE WHEN m >= 11 THEN 'Christmas' WHEN m >= 9 THEN 'Fall' WHEN m >= 6 THEN 'Summer'
            WHEN m >= 3 THEN 'Spring' ELSE 'Winter' END AS d_sellingseason,
       of_week >= 6 AS d_weekend
FROM named
ORDER BY d_datekey
