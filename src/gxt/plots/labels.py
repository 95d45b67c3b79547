"""What runs, groups and fields are called in a plot, and where on an axis their values are."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gxt import query
from gxt.errors import UsageError
from gxt.model import Run
from gxt.plots.charts import Axis, Curves
from gxt.plots.series import Floats
from gxt.query import Field

NONE = "(none)"
"""What a param is called in runs that do not have it."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Colours that colour-blind people tell apart: Okabe and Ito, https://jfly.uni-koeln.de/color/, without the yellow,
which is hard to see on white."""
GREY = "#BBBBBB"
MOST_NAMED, BEST_NAMED = 14, 7
"""A legend lists so many curves, each unlike the others; of more, the best, and the others are grey."""

IMPORTANCE = "permutation: R² lost by shuffling the param; impurity: share in the splits"

_LONGEST = 40
_UNITS = {"time": "UTC", "duration": "s"}


def cut(text: str, length: int = _LONGEST) -> str:
    """A label on one line, short enough to leave room for the plot."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def run_names(runs: Sequence[Run]) -> list[str]:
    """What to call runs: their names, with the id where two share one."""
    shared = Counter(run.name for run in runs)
    return [
        cut(run.name, _LONGEST - 9) + ("" if shared[run.name] == 1 else f" {run.short_id}")
        if run.name
        else run.short_id
        for run in runs
    ]


def groups(runs: Sequence[Run], by: str | None) -> tuple[list[str], dict[str, int]]:
    """What is compared, the runs or the values of a field, and for each run's id its place among them."""
    if by is None:
        return run_names(runs), {run.id: place for place, run in enumerate(runs)}
    chosen = resolve(by, runs)
    values = [category(chosen.of(run)) for run in runs]
    names = sorted(set(values), key=lambda name: (name == NONE, _in_order(name)))
    return [cut(f"{chosen.name}={name}") for name in names], {
        run.id: names.index(value) for run, value in zip(runs, values, strict=True)
    }


def _in_order(category: str) -> tuple[int, float, str]:
    try:
        return 0, float(category), ""
    except ValueError:
        return 1, 0.0, category


def resolve(text: str, runs: Sequence[Run], of_metric: bool = False) -> Field:
    """The field that a text names, as in a table. Raises as `query.resolve` does."""
    exactly = [one for one in query.fields_of(runs) if one.name == text and '"' in text]
    return exactly[0] if len(exactly) == 1 else query.resolve(text, query.KnownOf(runs), of_metric=of_metric)


def metric(text: str, runs: Sequence[Run]) -> str:
    """The metric that a text names, which may be called as a param or attribute is. Raises as `query.resolve` does."""
    if any(text in run.metrics for run in runs):
        return text
    found = resolve(text, runs, of_metric=True)
    if found.kind != "metrics" or found.part:
        raise UsageError(
            f"{text!r} is no metric", "curves show metrics; scatter, bar and parallel take other fields too"
        )
    return found.name


def title(field: Field) -> str:
    """What an axis calls a field."""
    name = f"{field.name}.{field.part}" if field.part else field.name
    return f"{name} ({_UNITS[field.type]})" if field.type in _UNITS else name


def number(value: Any) -> float | None:
    """A field's value as a number, True and False as 1 and 0; None where it is none."""
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return None


def category(value: Any) -> str:
    """A field's value as the name of a category."""
    if value is None:
        return NONE
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_category(values: Iterable[Any]) -> bool:
    """Whether some of a field's values are no numbers, so that none counts as one."""
    return any(value is not None and number(value) is None for value in values)


def placed(field: Field, runs: Sequence[Run], log: bool) -> tuple[Axis, Floats]:
    """An axis for a field, and where on it each run's value is; NaN where it has no place."""
    values = [field.value(run) if field.type == "time" else field.of(run) for run in runs]
    if is_category(values):
        texts = [category(value) for value in values]
        known = sorted(set(texts), key=lambda text: (text == NONE, _in_order(text)))
        axis = Axis(title(field), "category", categories=tuple(cut(text, 24) for text in known))
        return axis, np.array([float(known.index(text)) for text in texts])
    numbers = np.array([math.nan if value is None else number(value) for value in values], dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    if field.type == "time":
        return Axis(title(field), "time"), numbers
    if log:
        numbers[numbers <= 0] = np.nan
    return Axis(title(field), log=log), numbers


def count(many: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{many} {what}{'' if many == 1 else 's'}"


MISSING = -0.12
"""Where on an axis from 0 to 1 runs are that have no value there, as in HiPlot: below the others."""
_APART = 0.04  # texts that are closer than that run into each other


def share(axis: Axis, values: Floats) -> Floats:
    """Where between an axis's ends values are, from 0 to 1; MISSING for NaN."""
    if axis.kind == "category":
        return values / max(len(axis.categories) - 1, 1) if len(axis.categories) > 1 else values + 0.5
    values = np.log10(values) if axis.log else values
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(values), MISSING)
    span = np.ptp(known)
    places = (values - known.min()) / span if span else np.full(len(values), 0.5)
    return np.where(np.isfinite(values), places, MISSING)


def ticks(axis: Axis, values: Floats) -> list[tuple[float, str]]:
    """Where between an axis's ends, from 0 to 1, what is written beside it; NONE at MISSING, if a value is."""
    if axis.kind == "category":
        places = np.arange(len(axis.categories), dtype=np.float64)
        return list(zip(share(axis, places).tolist(), axis.categories, strict=True))
    known = np.unique(values[np.isfinite(values)])
    missing = [] if len(known) and np.isfinite(values).all() else [(MISSING, NONE)]
    if len(known) > 6:
        low, high = float(known[0]), float(known[-1])
        some = np.geomspace(low, high, 5) if axis.log else np.linspace(low, high, 5)
        # The ends as they are: a sum of logarithms may fall beside them.
        known = np.unique([low, *(np.round(some) if (known == np.round(known)).all() else some)[1:-1], high])
    texts = [_moment(value) if axis.kind == "time" else f"{value:.4g}" for value in known]
    ticks = [*missing]
    for place, text in zip(share(axis, known).tolist(), texts, strict=True):
        if ticks and place - ticks[-1][0] < _APART:
            ticks.pop()  # so that the greatest, which comes last, stays
        ticks.append((place, text))
    return ticks


def _moment(ms: float) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, timezone.utc):%Y-%m-%d %H:%M}"


def varying_params(runs: Sequence[Run]) -> list[Field]:
    """The params that not all runs have alike."""
    params = [one for one in query.fields_of(runs) if one.kind == "params"]
    return [one for one in params if len({category(one.of(run)) for run in runs}) > 1]


def lacking(runs: Sequence[Run], known: NDArray[np.bool_]) -> list[str]:
    """The remark that some runs are not shown, where that is so."""
    without = len(runs) - int(known.sum())
    return [f"{without} of {count(len(runs), 'run')} left out: no number there that the axis holds"] if without else []


def highlighted(chart: Curves, most: int = MOST_NAMED, best: int = BEST_NAMED) -> list[int]:
    """The places of the names that a legend lists: all of them up to `most`, else only so many of the best."""
    drawn = sorted(chart.best)
    return drawn if len(drawn) <= most else chart.best[:best]


def others(chart: Curves, shown: Sequence[int]) -> str:
    """What a legend calls the curves that it does not list."""
    return f"{len(chart.best) - len(shown)} others" if len(chart.best) > len(shown) else ""
