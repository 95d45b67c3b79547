"""Predict how long a green taxi trip takes, and record each attempt with gxt.

The first lesson of experiment tracking in the MLOps Zoomcamp: one weight for each pair of pickup and drop-off zone,
one for the distance; learned from January 2021, judged by February. Without --data the trips are made up.

    python train.py --data data
    python train.py --data data --model lasso --alpha 0.1
"""

import argparse
import pickle
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.metrics import root_mean_squared_error

import gxt
from gxt.demo.trips import generate_trips

TRAIN = "green_tripdata_2021-01.parquet"
VALID = "green_tripdata_2021-02.parquet"


def read_trips(path: Path) -> pd.DataFrame:
    """Trips of 1 to 60 minutes, with their duration and the pair of zones."""
    trips: pd.DataFrame = pd.read_parquet(path)
    trips["duration"] = (trips.lpep_dropoff_datetime - trips.lpep_pickup_datetime).dt.total_seconds() / 60
    trips = trips[trips.duration.between(1, 60)].copy()
    trips["PU_DO"] = trips.PULocationID.astype(str) + "_" + trips.DOLocationID.astype(str)
    return trips


def made_up_trips(folder: Path) -> Path:
    """A folder with trips that look like the real ones, for who has not downloaded those."""
    folder.mkdir(parents=True, exist_ok=True)
    for month, name in ((1, TRAIN), (2, VALID)):
        generate_trips(2021, month, rows=20_000, seed=42).to_parquet(folder / name)
    return folder


def make_model(name: str, alpha: float) -> LinearRegression | Ridge | Lasso:
    """An untrained model; `alpha` says how strongly its weights are kept small."""
    if name == "linear":
        return LinearRegression()
    return Ridge(alpha) if name == "ridge" else Lasso(alpha)


def durations_figure(actual: pd.Series, predicted: pd.Series) -> Figure:
    """How durations and predictions are spread."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.hist(actual, bins=range(0, 62, 2), alpha=0.55, label="actual")
    axes.hist(predicted, bins=range(0, 62, 2), alpha=0.55, label="predicted")
    axes.set(xlabel="duration, minutes", ylabel="trips")
    axes.legend(frameon=False)
    return figure


def train(data: Path, model_name: str, alpha: float) -> float:
    """Train a model on January, record it, and give February's RMSE back."""
    gxt.set_tag("developer", "cristian")
    gxt.log_params({"train-data-path": str(data / TRAIN), "valid-data-path": str(data / VALID), "model": model_name})
    if model_name != "linear":
        gxt.log_param("alpha", alpha)
    gxt.log_input(data / TRAIN, context="training")
    gxt.log_input(data / VALID, context="validation")

    january, february = read_trips(data / TRAIN), read_trips(data / VALID)
    vectorizer = DictVectorizer()
    columns = ["PU_DO", "trip_distance"]
    # The copies: Lasso takes 32-bit indices only, and DictVectorizer can give 64-bit ones, which copying narrows.
    known = vectorizer.fit_transform(january[columns].to_dict("records")).copy()
    unseen = vectorizer.transform(february[columns].to_dict("records")).copy()

    model = make_model(model_name, alpha).fit(known, january.duration)
    predicted = model.predict(unseen)
    rmse: float = root_mean_squared_error(february.duration, predicted)
    gxt.log_metric("rmse", rmse)
    gxt.log_figure(durations_figure(february.duration, predicted), "durations.png", save_kwargs={"dpi": 80})

    file = Path("models/lin_reg.bin")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps((vectorizer, model)))
    gxt.log_artifact(file, artifact_path="models_pickle")
    return rmse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help=f"the folder of {TRAIN} and {VALID}")
    parser.add_argument("--model", choices=("linear", "ridge", "lasso"), default="linear")
    parser.add_argument("--alpha", type=float, default=0.1, help="for ridge and lasso (default: %(default)s)")
    args = parser.parse_args()

    gxt.set_experiment("nyc-taxi")
    with gxt.start_run() as run:
        rmse = train(args.data or made_up_trips(Path("data/made-up")), args.model, args.alpha)
    print(f"{run.name}: {args.model}, rmse {rmse:.4f} minutes")


if __name__ == "__main__":
    main()
