"""Ask an export of `gxt export` with Dask, a few files at a time: python ask_dask.py FOLDER METRIC"""

import sys

import dask.dataframe as dd

if len(sys.argv) != 3:
    sys.exit((__doc__ or "").split(": ")[1])
folder, metric = sys.argv[1:]


def main() -> None:
    points = dd.read_parquet(f"{folder}/points", filters=[("metric", "==", metric)])
    runs = dd.read_parquet(f"{folder}/runs", columns=["run_id", "name", "status"])
    best = points.groupby("run_id")["value"].agg(["min", "count"]).reset_index()
    print(runs.merge(best, on="run_id").compute().sort_values("min").to_string(index=False))


if __name__ == "__main__":
    main()
