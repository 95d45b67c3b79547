"""Looking at runs from Python: MLflow's names for it. DataFrames need the `pandas` extra."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from gxt import catalog, fluent, layout, media, query
from gxt.errors import NotFoundError, UsageError
from gxt.model import Experiment, Run, experiment_folder, flatten


def get_run(run_id: str) -> Run:
    """The run as it stands now, by anything that names it: an id, a prefix, a name, `@last`, `@best:rmse`.

    Raises:
        NotFoundError: none answers to it, or several do.

    >>> gxt.get_run("@best:rmse").params["alpha"]  # doctest: +SKIP
    0.1
    """
    return catalog.find(fluent.repository(), run_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """The experiment of that name, None where there is none."""
    found = catalog.all_experiments(fluent.repository())
    return next((experiment for experiment in found if experiment.name == name), None)


def best_run(
    metric: str,
    goal: str | None = None,
    *,
    experiment_names: str | Sequence[str] | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    at: str | None = None,
) -> Run:
    """The run with the best value of a metric; when no experiment is named, of the one that was set, or of all.

    Args:
        metric: its name, or a part of it: `rmse`, `rmse.min`. The last value counts.
        goal: "min" or "max"; when it is not given, what `gxt goal` said of the experiment, else what the
            metric's name implies (`loss`: min, `accuracy`: max), else "min".
        experiment_names, filter_string, search_all_experiments, at: as for `search_runs`.

    Raises:
        NotFoundError: no run has a number for it.
        UsageError: the goals of several experiments differ.

    >>> gxt.best_run("acc", "max", filter_string="params.model = 'lasso'").name  # doctest: +SKIP
    'calm-otter'
    """
    names = None if search_all_experiments else _several(experiment_names) or fluent.experiments_to_read()
    return catalog.best(fluent.repository(), metric, goal, names, where=filter_string, at=at).run


# MLflow's ViewType: https://mlflow.org/docs/latest/python_api/mlflow.entities.html
_VIEW_TYPES = {1: False, 2: True, 3: None, "ACTIVE_ONLY": False, "DELETED_ONLY": True, "ALL": None}


def search_runs(
    experiment_ids: str | Sequence[str] | None = None,
    filter_string: str | None = "",
    run_view_type: int | str = "ACTIVE_ONLY",
    max_results: int | None = None,
    order_by: str | Sequence[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: str | Sequence[str] | None = None,
    *,
    at: str | None = None,
    allow_unknown: bool = False,
) -> Any:
    """The runs of some experiments, live ones included; when none is named, of the one that was set, or of all.

    The arguments before `at` are MLflow's, in its order.

    Args:
        experiment_ids, experiment_names: which experiments.
        filter_string: which runs: `metrics.rmse < 6.5 and params.model = 'xgb'`. docs/guides/query.md describes the
            language; MLflow's filters mean what they mean there.
        run_view_type: "ACTIVE_ONLY", "DELETED_ONLY" or "ALL", or the number that MLflow's ViewType has for it.
        max_results: at most so many.
        order_by: fields such as `metrics.rmse`, `params.alpha DESC`, `start_time`; the latest first when not given.
        output_format: "pandas" for a DataFrame with MLflow's columns (`run_id`, `status` in capitals,
            `start_time`, `metrics.rmse`, `params.alpha`, ...; params keep their types), "list" for `Run`s.
        search_all_experiments: all of them.
        at: a commit, tag or time; the runs as the branch had them there.
        allow_unknown: take a name that no run has for a field that every run lacks, instead of raising.

    Raises:
        NotFoundError: no such experiment, or no run has a field to filter or order by.
        UsageError: the filter cannot be understood; the message shows where.

    >>> gxt.search_runs(filter_string="rmse < 6.5 or tags.stage = 'prod'", order_by=["rmse"])  # doctest: +SKIP
    """
    if output_format not in ("pandas", "list"):
        raise UsageError(f"no output format {output_format!r}", "pandas or list")
    if run_view_type not in _VIEW_TYPES:
        raise UsageError(f"no run view type {run_view_type!r}", "ACTIVE_ONLY, DELETED_ONLY or ALL")
    if max_results is not None and max_results < 0:
        raise UsageError(f"max_results of {max_results}", "0 or more; None for all")
    repo = fluent.repository()
    names = _several(experiment_names) + [fluent._name_of(i) for i in _several(experiment_ids)]
    found = catalog.listing(
        repo,
        None if search_all_experiments else names or fluent.experiments_to_read(),
        _VIEW_TYPES[run_view_type],
        where=filter_string or "",
        order_by=_several(order_by) or ["start_time DESC"],
        limit=max_results,
        at=at,
        allow_unknown=allow_unknown,
    )
    return found.runs if output_format == "list" else _frame(found.runs, found)


def _several(names: str | Sequence[str] | None) -> list[str]:
    """Names as a list, also where somebody gave only one."""
    return [names] if isinstance(names, str) else list(names or ())


def _frame(runs: Sequence[Run], found: catalog.Listing) -> Any:
    pandas = media.require_pandas("search_runs as a DataFrame")
    ids = {experiment.name: experiment.id for experiment in found.experiments}
    branch = found.tip.ref.removeprefix("refs/heads/")
    folders = {
        name: f"{branch}:{layout.EXPERIMENTS}/{experiment_folder(name)}" for name in {r.experiment for r in runs}
    }
    columns: dict[str, Any] = {
        "run_id": [run.id for run in runs],
        "run_name": [run.name for run in runs],
        "experiment_id": [ids.get(run.experiment, "") for run in runs],
        "experiment_name": [run.experiment for run in runs],
        "status": [run.status.upper() for run in runs],
        "artifact_uri": [f"{folders[run.experiment]}/{run.id}/{layout.ARTIFACTS}" for run in runs],
        "start_time": _times(pandas, [run.started for run in runs]),
        "end_time": _times(pandas, [run.ended for run in runs]),
    }
    fields = _by_field(runs)
    return pandas.DataFrame(columns | {name: fields[name] for name in sorted(fields)})


def _times(pandas: Any, moments: Sequence[int | None]) -> Any:
    """Milliseconds since 1970 UTC as pandas has times."""
    try:
        return pandas.to_datetime(pandas.Series(moments, dtype="Int64"), unit="ms", utc=True)
    except ValueError:  # before 1677 or after 2262, which pandas 2 has no time for
        return [None if ms is None else datetime.fromtimestamp(ms / 1000, timezone.utc) for ms in moments]


def _by_field(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What the runs have of each metric, param and tag, NaN where one has it not; by the name of the column."""
    found: dict[str, dict[str, list[Any]]] = {"metrics": {}, "params": {}, "tags": {}}

    def put(kind: str, at: int, values: Mapping[str, Any]) -> None:
        columns = found[kind]
        for name, value in values.items():
            if name not in columns:
                columns[name] = [math.nan] * len(runs)
            columns[name][at] = value

    for at, run in enumerate(runs):
        put("metrics", at, {name: summary.last for name, summary in run.metrics.items()})
        put("params", at, flatten(run.params))
        put("tags", at, run.tags)
        # Where MLflow's users look for these.
        put("tags", at, {"mlflow.runName": run.name} | ({"mlflow.parentRunId": run.parent} if run.parent else {}))
    return {f"{kind}.{name}": column for kind, columns in found.items() for name, column in columns.items()}


def load_table(
    artifact_file: str, run_ids: Sequence[str] | None = None, extra_columns: Sequence[str] | None = None
) -> Any:
    """A table that `log_table` recorded, as a DataFrame: of the runs named, or of those that `search_runs` gives.

    `extra_columns` adds what tells the runs apart: `run_id`, `name`, or a field such as `params.alpha`.

    Raises:
        NotFoundError: none of the runs has it.
    """
    pandas = media.require_pandas("load_table")
    repo = fluent.repository()
    if run_ids is not None:
        runs = [catalog.find(repo, run_id) for run_id in run_ids]
    else:
        runs = catalog.listing(repo, fluent.experiments_to_read()).runs
    known = query.KnownOf(runs)
    frames = []
    for run in runs:
        data = catalog.read_file(repo, run, f"{layout.ARTIFACTS}/{artifact_file}")
        if data is None:
            continue
        columns, rows = media.read_table(data, artifact_file)
        frame = pandas.DataFrame(rows, columns=columns)
        for column in extra_columns or ():
            frame[column] = query.resolve(column, known).of(run)
        frames.append(frame)
    if not frames:
        raise NotFoundError(f"no table {artifact_file!r} in {len(runs)} run{'' if len(runs) == 1 else 's'}")
    return pandas.concat(frames, ignore_index=True)


def download_artifacts(
    run_id: str, artifact_path: str | None = None, dst_path: str | os.PathLike[str] | None = None
) -> str:
    """Write a run's artifacts, or one file or folder of them, to `dst_path` (a new temporary folder when not given).

    Returns the path of what was asked for.

    Raises:
        NotFoundError: the run has no such artifact.
    """
    repo = fluent.repository()
    run = catalog.find(repo, run_id)
    wanted = PurePosixPath(layout.ARTIFACTS, artifact_path or "").as_posix()
    target = Path(dst_path) if dst_path is not None else Path(tempfile.mkdtemp(prefix="gxt-"))
    # Paths begin with artifacts/, which is ours and not the user's.
    with tempfile.TemporaryDirectory(prefix=".gxt-", dir=_existing(target)) as aside:
        written = catalog.export(repo, run, Path(aside), wanted)
        if not written:
            raise NotFoundError(f"run {run.name} has no artifact {artifact_path or 'at all'!r}")
        for path in written:
            destination = target / PurePosixPath(path).relative_to(layout.ARTIFACTS)
            destination.parent.mkdir(parents=True, exist_ok=True)
            Path(aside, path).replace(destination)
    return str(target / artifact_path if artifact_path else target)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
