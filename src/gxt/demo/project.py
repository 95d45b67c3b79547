"""The text files of the demo's repository: what `gxt demo` commits there before it trains."""

from __future__ import annotations

_README = """\
# A place to try gxt in

`gxt demo` made this repository. Its runs train models that predict how long a taxi trip takes, and are on
the branch `gxt`. The trips in `data/` are made up, though they look like New York's; git ignores them.

    gxt table --sort rmse             # the runs, the best one first
    gxt show @best:rmse               # the best one
    python train.py --alpha 0.3       # a run of your own
    gxt log -e nyc-taxi -m rmse=6.1   # one from the shell
    git log --stat gxt                # it is all plain git

Delete the folder when you are done.
"""

_TRAIN = '''\
"""Predict how long a taxi trip takes, from its zones and distance. Try: python train.py --alpha 0.3"""

import argparse

import pandas as pd
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline

import gxt

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=1.0, help="how strongly weights are kept small")
args = parser.parse_args()


def read(path):
    trips = pd.read_parquet(path)
    trips["PU_DO"] = trips["PULocationID"] + "_" + trips["DOLocationID"]
    return trips[["PU_DO", "trip_distance"]].to_dict("records"), trips["duration"]


gxt.set_experiment("nyc-taxi")
with gxt.start_run():
    gxt.log_params({"model": "ridge", "alpha": args.alpha})
    gxt.log_input("data/green_tripdata_2021-01.parquet", context="training")

    inputs, durations = read("data/green_tripdata_2021-01.parquet")
    model = make_pipeline(DictVectorizer(), Ridge(args.alpha)).fit(inputs, durations)

    inputs, durations = read("data/green_tripdata_2021-02.parquet")
    rmse = root_mean_squared_error(durations, model.predict(inputs))
    gxt.log_metric("rmse", rmse)
    print(f"rmse {rmse:.4f} minutes")
'''

_GITIGNORE = """\
/data/
/models/
__pycache__/
"""


def files() -> dict[str, str]:
    """Each file's path in the demo's repository, and its text."""
    return {"README.md": _README, "train.py": _TRAIN, ".gitignore": _GITIGNORE}
