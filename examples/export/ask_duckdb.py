"""Ask an export of `gxt export` with DuckDB: python ask_duckdb.py FOLDER METRIC"""

import sys

import duckdb

if len(sys.argv) != 3:
    sys.exit((__doc__ or "").split(": ")[1])
folder, metric = sys.argv[1:]
column = '"metrics.' + metric.replace('"', '""') + '"'

runs = f"read_parquet('{folder}/runs/**/*.parquet', hive_partitioning=true)"
points = f"read_parquet('{folder}/points/**/*.parquet', hive_partitioning=true)"

print("The best run of each experiment:")
duckdb.sql(f"""
    select experiment, arg_min(name, {column}) as best, min({column}) as value, count(*) as runs
    from {runs} where {column} is not null group by experiment order by experiment
""").show()

print("How many points it took each run to come within a tenth of its best value:")
duckdb.sql(
    f"""
    with curve as (
        select run_id, value, min(value) over (partition by run_id) as best,
               row_number() over (partition by run_id order by step) as n
        from {points} where metric = $metric
    )
    select experiment, name, min(n) as points from curve join {runs} using (run_id)
    where value <= best + 0.1 * abs(best) group by all order by points, name
""",
    params={"metric": metric},
).show()
