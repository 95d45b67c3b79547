"""The demo's runs: eight of scikit-learn's models learn how long taxi trips take, and gxt records them."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Lasso, LinearRegression, Ridge, SGDRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from gxt import git, recorder, store
from gxt.demo.trips import features, generate_trips
from gxt.git import Repository
from gxt.model import Experiment, Run
from gxt.recorder import ActiveRun

EXPERIMENT = "nyc-taxi"
TRAIN_FILE = "data/green_tripdata_2021-01.parquet"
VALID_FILE = "data/green_tripdata_2021-02.parquet"

_SEED = 42
_EPOCHS = 30


class _Data(NamedTuple):
    """January to learn from, February to be judged by."""

    train: pd.DataFrame
    valid: pd.DataFrame


class _Trial(NamedTuple):
    """A run to be: what it is called, what it is made of, and how it learns."""

    name: str
    developer: str
    params: dict[str, Any]
    inputs: Callable[[pd.DataFrame], list[dict[str, Any]]]
    model: Callable[[], Pipeline]
    fit: Callable[[_Trial, ActiveRun, _Data], Pipeline]
    note: str | None = None


def record_demo_runs(repo_path: str | os.PathLike[str], progress: Callable[[str], None]) -> list[Run]:
    """Make up two months of trips below `data/`, train eight models on them, and record each as a run.

    The trips, the models and their errors are the same each time.

    Args:
        repo_path: the repository to record in.
        progress: is called with one line before each step that takes a while.

    Returns:
        The runs, in the order of training.

    Raises:
        NotARepositoryError: there is no repository at that path.
    """
    folder = Path(repo_path)
    repo = git.find(folder)
    progress("making up two months of taxi trips")
    data = _write_trips(folder)
    _create_experiment(repo)
    runs = []
    for number, trial in enumerate(_TRIALS, start=1):
        progress(f"training {trial.name} ({number} of {len(_TRIALS)})")
        # Its own repository and run, not the process's: whoever calls us may have an active run of theirs.
        run = recorder.begin(
            repo,
            EXPERIMENT,
            name=trial.name,
            tags={"developer": trial.developer},
            note=trial.note,
            origin={"command": "gxt demo", "entrypoint": __name__},
        )
        with run:
            _record(run, trial, data, folder)
        runs.append(run.record)
    return runs


def _create_experiment(repo: Repository) -> None:
    def describe(experiment: Experiment) -> Experiment:
        said = "How long does a taxi trip take? rmse is in minutes, on February's trips."
        return replace(experiment, description=said, goals={"rmse": "min", "mae": "min", "r2": "max"})

    store.edit_experiment(repo, store.experiment(repo, EXPERIMENT), describe, "created")


def _write_trips(folder: Path) -> _Data:
    (folder / "data").mkdir(exist_ok=True)
    data = _Data(generate_trips(2021, 1, 6000, _SEED), generate_trips(2021, 2, 5000, _SEED))
    data.train.to_parquet(folder / TRAIN_FILE)
    data.valid.to_parquet(folder / VALID_FILE)
    return data


def _record(run: ActiveRun, trial: _Trial, data: _Data, folder: Path) -> None:
    run.log_params(trial.params)
    run.log_input(folder / TRAIN_FILE, context="training")
    run.log_input(folder / VALID_FILE, context="validation")
    model = trial.fit(trial, run, data)
    predicted = model.predict(trial.inputs(data.valid))
    actual = data.valid["duration"]
    if trial.fit is _at_once:  # the others have logged it step by step
        run.log_metric("rmse", root_mean_squared_error(actual, predicted))
    run.log_metrics({"mae": mean_absolute_error(actual, predicted), "r2": r2_score(actual, predicted)})
    run.log_figure(_figure(trial.name, actual.to_numpy(), predicted), "predictions.png", save_kwargs={"dpi": 80})
    _log_model(run, model)


def _log_model(run: ActiveRun, model: Pipeline) -> None:
    with tempfile.TemporaryDirectory(prefix="gxt-demo-") as scratch:
        path = Path(scratch) / "model.bin"
        path.write_bytes(pickle.dumps(model))
        run.log_artifact(path, "models_pickle")


def _figure(title: str, actual: Any, predicted: Any) -> Figure:
    """Left, how durations are spread; right, trips one by one. Without pyplot, so without global state."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    spread, trips = figure.subplots(1, 2)
    minutes = np.arange(0, 62, 2)
    spread.hist(actual, bins=minutes, alpha=0.55, label="actual")
    spread.hist(predicted, bins=minutes, alpha=0.55, label="predicted")
    spread.set(xlabel="duration, minutes", ylabel="trips")
    spread.legend(frameon=False)
    trips.scatter(actual[::4], predicted[::4], s=5, alpha=0.35, linewidths=0)
    trips.plot([0, 60], [0, 60], color="0.4", linewidth=0.8)
    trips.set(xlabel="actual, minutes", ylabel="predicted, minutes", xlim=(0, 60), ylim=(0, 60))
    figure.suptitle(title)
    return figure


# --- what the models see ------------------------------------------------------------------------------


def _zone_features(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The zones one by one, for the trees, which find the pairs themselves."""
    columns = ("PULocationID", "DOLocationID", "trip_distance")
    rows = zip(*(frame[column].tolist() for column in columns), _hours(frame), strict=True)
    return [{"PU": pickup, "DO": dropoff, "trip_distance": miles, "hour": h} for pickup, dropoff, miles, h in rows]


def _time_features(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What neighbours can be near in: distance and hour."""
    rows = zip(frame["trip_distance"].tolist(), _hours(frame), strict=True)
    return [{"trip_distance": miles, "hour": hour} for miles, hour in rows]


def _hours(frame: pd.DataFrame) -> list[int]:
    return [int(hour) for hour in frame["lpep_pickup_datetime"].dt.hour]


def _linear(estimator: Any) -> Pipeline:
    return make_pipeline(DictVectorizer(), MaxAbsScaler(), estimator)


def _trees(estimator: Any) -> Pipeline:
    return make_pipeline(DictVectorizer(sparse=False, dtype=np.float32), estimator)


# --- how they learn -----------------------------------------------------------------------------------


def _at_once(trial: _Trial, run: ActiveRun, data: _Data) -> Pipeline:
    model = trial.model().fit(trial.inputs(data.train), data.train["duration"])
    fitted = model.predict(trial.inputs(data.train))
    run.log_metric("train_rmse", root_mean_squared_error(data.train["duration"], fitted))
    return model


def _by_epochs(trial: _Trial, run: ActiveRun, data: _Data) -> Pipeline:
    """Pass over the trips again and again, and look at the error after each pass."""
    model = trial.model()
    learner = model[-1]
    train = model[:-1].fit_transform(trial.inputs(data.train))
    valid = model[:-1].transform(trial.inputs(data.valid))
    order = np.random.default_rng(_SEED)
    target = data.train["duration"].to_numpy()
    for epoch in range(1, _EPOCHS + 1):
        shuffled = order.permutation(len(target))
        learner.partial_fit(train[shuffled], target[shuffled])
        _log_errors(run, data, learner.predict(train), learner.predict(valid), epoch)
    return model


def _by_stages(trial: _Trial, run: ActiveRun, data: _Data) -> Pipeline:
    """Fit all the trees, then look at the error with one tree, with two, and so on."""
    model = trial.model().fit(trial.inputs(data.train), data.train["duration"])
    stages: Iterable[tuple[Any, Any]] = zip(
        model[-1].staged_predict(model[:-1].transform(trial.inputs(data.train))),
        model[-1].staged_predict(model[:-1].transform(trial.inputs(data.valid))),
        strict=True,
    )
    for stage, (fitted, predicted) in enumerate(stages, start=1):
        _log_errors(run, data, fitted, predicted, stage)
    return model


def _log_errors(run: ActiveRun, data: _Data, fitted: Any, predicted: Any, step: int) -> None:
    errors = {
        "train_rmse": root_mean_squared_error(data.train["duration"], fitted),
        "rmse": root_mean_squared_error(data.valid["duration"], predicted),
    }
    run.log_metrics(errors, step=step)


# --- the runs -----------------------------------------------------------------------------------------

_TRIALS = (
    _Trial(
        "linear-regression",
        "cristian",
        {"model": "linear", "features": "PU_DO + trip_distance"},
        features,
        lambda: make_pipeline(DictVectorizer(), LinearRegression()),
        _at_once,
        note="The lesson's first model: one weight for each pair of zones, one for the distance.",
    ),
    _Trial(
        "ridge",
        "cristian",
        {"model": "ridge", "alpha": 1.0, "features": "PU_DO + trip_distance"},
        features,
        lambda: _linear(Ridge(alpha=1.0, solver="lsqr")),
        _at_once,
    ),
    _Trial(
        "lasso",
        "cristian",
        {"model": "lasso", "alpha": 0.01, "features": "PU_DO + trip_distance"},
        features,
        lambda: _linear(Lasso(alpha=0.01)),
        _at_once,
    ),
    _Trial(
        "sgd",
        "ada",
        {"model": "sgd", "alpha": 1e-5, "eta0": 0.02, "epochs": _EPOCHS, "features": "PU_DO + trip_distance"},
        features,
        lambda: _linear(SGDRegressor(alpha=1e-5, eta0=0.02, random_state=_SEED)),
        _by_epochs,
    ),
    _Trial(
        "nearest-neighbours",
        "ada",
        {"model": "knn", "n_neighbors": 25, "features": "trip_distance + hour"},
        _time_features,
        lambda: make_pipeline(
            DictVectorizer(sparse=False, dtype=np.float32),
            StandardScaler(),
            # A tree of neighbours would double the size of the model's file.
            KNeighborsRegressor(n_neighbors=25, algorithm="brute"),
        ),
        _at_once,
    ),
    _Trial(
        "random-forest",
        "ada",
        {
            "model": "random-forest",
            "n_estimators": 20,
            "max_leaf_nodes": 64,
            "features": "PU + DO + distance + hour",
        },
        _zone_features,
        lambda: _trees(RandomForestRegressor(n_estimators=20, max_leaf_nodes=64, random_state=_SEED)),
        _at_once,
    ),
    _Trial(
        "gradient-boosting",
        "cristian",
        {
            "model": "gradient-boosting",
            "n_estimators": 80,
            "max_depth": 3,
            "learning_rate": 0.1,
            "features": "PU + DO + distance + hour",
        },
        _zone_features,
        lambda: _trees(GradientBoostingRegressor(n_estimators=80, max_depth=3, learning_rate=0.1, random_state=_SEED)),
        _by_stages,
    ),
    _Trial(
        "hist-boosting",
        "ada",
        {
            "model": "hist-gradient-boosting",
            "max_iter": 100,
            "max_leaf_nodes": 8,
            "learning_rate": 0.15,
            "features": "PU + DO + distance + hour",
        },
        _zone_features,
        lambda: _trees(
            HistGradientBoostingRegressor(
                max_iter=100, max_leaf_nodes=8, learning_rate=0.15, early_stopping=False, random_state=_SEED
            )
        ),
        _by_stages,
        note="Trees find the pairs of zones themselves, and the hour of the day helps.",
    ),
)
