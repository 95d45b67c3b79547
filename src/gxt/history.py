"""Metric histories of runs: as DataFrames in one tidy form, and side by side. DataFrames need the `pandas` extra."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from gxt import catalog, fluent, layout, media
from gxt.errors import NotFoundError, UsageError, did_you_mean
from gxt.git import Repository
from gxt.model import MetricPoint, Run
from gxt.recorder import ActiveRun

if TYPE_CHECKING:
    from pandas import DataFrame

AnyRun = str | Run | ActiveRun
"""A run, or what names it: an id, a name, `@last`, `@best:rmse`."""


def names_of(runs: AnyRun | Iterable[AnyRun]) -> list[str]:
    """What names some runs: of one, of several, or of the DataFrame that `search_runs` gives, by its `run_id`.

    Raises:
        UsageError: something is neither a run nor a text, or a DataFrame has no `run_id`.

    >>> names_of("@last"), names_of(["ridge", "lasso"])
    (['@last'], ['ridge', 'lasso'])
    """
    if isinstance(runs, (str, Run, ActiveRun)):
        return [_name_of(runs)]
    columns = getattr(runs, "columns", None)
    if columns is not None:
        index = getattr(runs, "index", None)
        if "run_id" not in columns and getattr(index, "name", None) != "run_id":
            raise UsageError("a DataFrame without a column run_id names no runs", "pass what search_runs() gives")
        runs = runs["run_id"] if "run_id" in columns else index  # type: ignore[index,assignment]
    if not isinstance(runs, Iterable):
        raise UsageError(f"{runs!r} is no run", _WANTED)
    return [_name_of(run) for run in runs]


def metric_history(run: AnyRun, metric: str) -> DataFrame:
    """Every point of a metric of one run, in logging order.

    The columns are those of `load_metrics`.

    Raises:
        NotFoundError: no such run, or it has no such metric.

    >>> gxt.metric_history("@last", "rmse").plot(x="step", y="value")  # doctest: +SKIP
    """
    return load_metrics([run], [metric])


def load_metrics(runs: AnyRun | Iterable[AnyRun], metrics: str | Sequence[str] | None = None) -> DataFrame:
    """Every point of some runs, live ones included, as a DataFrame with a row for each.

    The columns are `run_id`, `run_name`, `experiment`, `metric`, `step`, `value` and `time`, a timestamp in UTC. The
    rows of a run stand together, in logging order.

    Args:
        runs: a run or several, what names them, or the DataFrame that `search_runs` gives.
        metrics: only these: names, or patterns such as "train_*"; all when not given.

    Raises:
        NotFoundError: no such run, or none of them has a metric of a name.
        MissingPackageError: pandas is not installed.

    >>> points = gxt.load_metrics(["ridge", "lasso"], ["rmse"])  # doctest: +SKIP
    >>> points.pivot_table(index="step", columns="run_name", values="value")  # doctest: +SKIP
    """
    pandas = media.require_pandas("metrics as a DataFrame")
    repo = fluent.repository()
    found = catalog.find_all(repo, names_of(runs))
    wanted = [metrics] if isinstance(metrics, str) else metrics
    frames = [_frame_of_runs([])]
    known: set[str] = set()
    for some in _together(catalog.histories(repo, found)):
        points = _frame_of_runs(some)
        if wanted is not None:
            names = points["metric"].unique()
            known.update(names)
            points = points[points["metric"].isin(matching(wanted, names))]
        frames.append(points)
    check_known(wanted or (), known, found)
    # An empty frame would take part in finding the types.
    whole: DataFrame = pandas.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    return whole


_WANTED = "a run, what names it (an id, a name, @last), a list of those, or the DataFrame of search_runs()"


def _name_of(run: AnyRun) -> str:
    if not isinstance(run, (str, Run, ActiveRun)):
        raise UsageError(f"{run!r} is no run", _WANTED)
    return run if isinstance(run, str) else run.id if isinstance(run, Run) else run.run_id


_TOGETHER = 16 << 20  # bytes of small files that pandas reads at once


def _together(files: Iterable[tuple[Run, bytes]]) -> Iterator[list[tuple[Run, bytes]]]:
    """Runs with their metrics.csv in groups worth a call of pandas, which takes milliseconds for a single point."""
    some: list[tuple[Run, bytes]] = []
    size = 0
    for run, data in files:
        some.append((run, data))
        size += len(data)
        if size > _TOGETHER:
            yield some
            some, size = [], 0
    if some:
        yield some


def _frame_of_runs(files: Sequence[tuple[Run, bytes]]) -> DataFrame:
    """The points of some runs, with all columns that `load_metrics` has."""
    pandas = media.require_pandas("metrics as a DataFrame")
    wholes = [_whole_lines(data) for _, data in files]
    points, counts = None, [whole.count(b"\n") - 1 if whole else 0 for whole in wholes]
    if all(not whole or whole.startswith(layout.METRICS_HEADER) for whole in wholes):
        bodies = [whole[len(layout.METRICS_HEADER) :] for whole in wholes]
        points = _read_clean(layout.METRICS_HEADER + b"".join(bodies))
    if points is None:
        frames = [read_frame(whole) for whole in wholes]
        points, counts = pandas.concat(frames, ignore_index=True), [len(frame) for frame in frames]
    for at, (name, attribute) in enumerate((("run_id", "id"), ("run_name", "name"), ("experiment", "experiment"))):
        texts = pandas.Series([getattr(run, attribute) for run, _ in files], dtype=str)
        points.insert(at, name, texts.repeat(counts).array)
    return points


# --- which metrics --------------------------------------------------------------------------------------------------


def matching(wanted: Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that are wanted, by themselves or by a pattern.

    >>> matching(["train_*"], ["rmse", "train_rmse"])
    ['train_rmse']
    """
    return [name for name in names if any(name == text or fnmatchcase(name, text) for text in wanted)]


def check_known(wanted: Sequence[str], names: Iterable[str], runs: Sequence[Run]) -> None:
    """Raise NotFoundError where no run has a metric of some name or pattern."""
    known = sorted(names)
    for text in wanted:
        if not matching([text], known):
            has = f"run {runs[0].name or runs[0].id} has no" if len(runs) == 1 else f"none of {len(runs)} runs has a"
            hint = did_you_mean(text, known) or "`gxt list metrics` shows them"
            raise NotFoundError(f"{has} metric {text!r}", hint)


# --- metrics.csv as a DataFrame -------------------------------------------------------------------------------------

# Quotes, what pandas takes for a line's end, and words that some versions of it take for numbers.
_SIGNS = (b'"', b"\r", b"\0", *(b",%s," % word for word in (b"True", b"TRUE", b"true", b"False", b"FALSE", b"false")))


def read_frame(data: bytes) -> DataFrame:
    """The points of a metrics.csv as `layout.read_points` reads them: `metric`, `step`, `value`, `time`.

    A file without a broken or unusual line is read by pandas, which takes a tenth of the time.
    """
    whole = _whole_lines(data)
    clean = _read_clean(whole)
    return _frame_of(list(layout.read_points(whole))) if clean is None else clean


def _whole_lines(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]  # what follows the last newline was never finished


def _read_clean(whole: bytes) -> DataFrame | None:
    """A metrics.csv as pandas reads it, a row for each line but the first; None where it may not be what we read."""
    pandas = media.require_pandas("metrics as a DataFrame")
    # If all lines together have three commas each, and none lacks its last field, each has its four fields.
    if (
        not whole.startswith(layout.METRICS_HEADER)
        or whole.count(b",") != 3 * whole.count(b"\n")
        or any(sign in whole for sign in _SIGNS)
    ):
        return None
    try:
        points = pandas.read_csv(
            io.BytesIO(whole),
            dtype={"metric": str, "value": "float64"},
            keep_default_na=False,
            na_values={"value": ["nan"]},
            skip_blank_lines=False,
            **_exact(pandas.__version__),
        )
    except (ValueError, OverflowError):  # pandas' own errors are ValueErrors
        return None
    # Where pandas found anything but whole numbers (`1.0`, a field that is not there), so do these types.
    if len(points) and not points["step"].dtype == points["time"].dtype == "int64":
        return None
    return _typed(points) if len(points) else _frame_of([])


def _exact(version: str) -> dict[str, str]:
    """What read_csv has to be told so that a number is the nearest double, as it is by itself from 3.1 on."""
    major, minor = version.split(".")[:2]
    return {} if (int(major), int(minor)) >= (3, 1) else {"float_precision": "round_trip"}


def _frame_of(points: Sequence[MetricPoint]) -> DataFrame:
    """The same for points one by one, whatever numbers there are in them."""
    pandas = media.require_pandas("metrics as a DataFrame")
    steps, times = [point.step for point in points], [point.time for point in points]
    # pandas.NaT is the least number of 64 bits.
    times = [time if abs(time) < 1 << 63 else -1 << 63 for time in times]
    return _typed(
        pandas.DataFrame(
            {
                "metric": pandas.Series([point.metric for point in points], dtype=str),
                "step": pandas.Series(steps, dtype="int64" if all(map(_fits, steps)) else object),
                "value": pandas.Series([point.value for point in points], dtype="float64"),
                "time": pandas.Series(times, dtype="int64"),
            }
        )
    )


def _fits(number: int) -> bool:
    return -1 << 63 <= number < 1 << 63


def _typed(points: DataFrame) -> DataFrame:
    """The columns in their order, times as timestamps; one that is on no calendar is NaT."""
    typed: DataFrame = points[["metric", "step", "value"]].copy()
    typed["time"] = points["time"].astype("datetime64[ms]").dt.tz_localize("UTC")
    return typed


# --- side by side ---------------------------------------------------------------------------------------------------


class Series(NamedTuple):
    """The points of one metric of one run, in logging order."""

    run: Run
    metric: str
    points: list[MetricPoint]


def series(repo: Repository, runs: Sequence[Run], metrics: Sequence[str], at: str | None = None) -> list[Series]:
    """The histories of some metrics, by names or patterns, in each of some runs; as the branch was at a commit or time
    with `at`.

    Raises:
        NotFoundError: none of the runs has a metric of a name.
    """
    found: list[Series] = []
    known: set[str] = set()
    for run, data in catalog.histories(repo, runs, catalog.commit_at(repo, at)):
        by_name: dict[str, list[MetricPoint]] = {}
        for point in layout.read_points(data):
            by_name.setdefault(point.metric, []).append(point)
        known |= by_name.keys()
        found += [Series(run, name, by_name[name]) for name in sorted(matching(metrics, by_name))]
    check_known(metrics, known, runs)
    return found


class Row(NamedTuple):
    """What several series have at a step: a value each, None for one that has none there."""

    step: int
    values: list[float | None]


def side_by_side(found: Sequence[Series]) -> list[Row]:
    """Series by step. A step that one of them has several times has as many rows, in logging order."""
    rows: dict[tuple[int, int], list[float | None]] = {}
    for at, one in enumerate(found):
        times: dict[int, int] = {}
        for point in one.points:
            turn = times[point.step] = times.get(point.step, -1) + 1
            rows.setdefault((point.step, turn), [None] * len(found))[at] = point.value
    return [Row(step, rows[step, turn]) for step, turn in sorted(rows)]
