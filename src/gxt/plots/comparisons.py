"""A dot, a bar or a line a run: fields of runs against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gxt.errors import NotFoundError, UsageError
from gxt.model import Run
from gxt.plots import Options, Selection, labels, series
from gxt.plots.charts import Bar, Bars, Dots, Parallel, Scatter
from gxt.query import Field

_MOST_BARS = 30


def scatter(selection: Selection, fields: Sequence[str], options: Options) -> Scatter:
    if len(fields) != 2:
        raise UsageError(
            f"a scatter plot shows two fields, not {len(fields)}", "gxt plot params.alpha rmse --kind scatter"
        )
    runs = selection.runs
    x_field, y_field = (labels.resolve(text, runs) for text in fields)
    x_axis, x = labels.placed(x_field, runs, options.log_x)
    y_axis, y = labels.placed(y_field, runs, options.log_y)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise NotFoundError(f"no run has a place for both {x_field} and {y_field}")
    names, place = labels.groups(runs, options.group_by) if options.group_by else ([""], {run.id: 0 for run in runs})
    run_names = labels.run_names(runs)
    dots = {}
    for at in range(len(names)):
        mine = [i for i, run in enumerate(runs) if known[i] and place[run.id] == at]
        if mine:
            dots[names[at]] = Dots(x[mine], y[mine], [run_names[i] for i in mine])
    return Scatter("", x_axis, y_axis, list(dots), list(dots.values()), labels.lacking(runs, known))


def bars(selection: Selection, fields: Sequence[str], options: Options) -> Bars:
    """A field that is a number, a bar a run or group, the best first."""
    if len(fields) != 1:
        raise UsageError(f"a bar plot shows one field, not {len(fields)}", "gxt plot rmse --kind bar")
    runs = selection.runs
    shown = labels.resolve(fields[0], runs)
    axis, values = labels.placed(shown, runs, options.log_y)
    if axis.kind != "number":
        raise UsageError(f"{fields[0]!r} is no number in every run", "a bar needs one")
    known = np.isfinite(values)
    if not known.any():
        raise NotFoundError(f"no run has a number for {shown}")
    names, place = labels.groups(runs, options.group_by)
    members: dict[int, list[float]] = {}
    for run, value, is_known in zip(runs, values, known, strict=True):
        if is_known:
            members.setdefault(place[run.id], []).append(float(value))
    drawn = [_bar(names[at], found, options) for at, found in members.items()]
    sign = -1 if selection.goal(shown.name, options.goals) == "max" else 1
    drawn.sort(key=lambda bar: sign * bar.value)
    remarks = labels.lacking(runs, known)
    if len(drawn) > _MOST_BARS:
        remarks.append(f"the best {_MOST_BARS} of {len(drawn)}")
    title = f"mean, line: {series.BANDS[options.band]}" if options.group_by else ""
    return Bars(title, axis, drawn[:_MOST_BARS], remarks)


def _bar(name: str, values: Sequence[float], options: Options) -> Bar:
    if options.group_by is None:
        return Bar(name, values[0])
    found = series.band([(np.zeros(1), np.array([value])) for value in values], options.band)
    return Bar(
        f"{name} ({labels.count(len(values), 'run')})", float(found.mean[0]), float(found.low[0]), float(found.high[0])
    )


def parallel(selection: Selection, fields: Sequence[str], options: Options) -> Parallel:
    """Fields as axes, a line a run; where no param is named, the params that differ come first.

    A run that lacks a param has its own place below the others; one without the last field, which gives the colour, is
    left out.
    """
    runs = selection.runs
    shown = list(dict.fromkeys(labels.resolve(text, runs) for text in fields))
    last = shown[-1]
    kept = np.isfinite(labels.placed(last, runs, False)[1])
    remarks = []
    if not kept.all():
        without = labels.count(int((~kept).sum()), "run")
        remarks.append(f"{without} of {len(runs)} left out: no value of {labels.title(last)}")
    if not kept.any():
        raise NotFoundError(f"no run has a place for {last}")
    having = [run for run, keep in zip(runs, kept, strict=True) if keep]
    if not any(one.kind == "params" for one in shown):
        params, left = _most_common(labels.varying_params(having), having)
        shown = [*params, *shown]
        if left:
            remarks.append(f"the {len(params)} params that most runs have; left out, name them to see them: {left}")
    if len(shown) < 2:
        raise UsageError("parallel coordinates need two axes", "the runs differ in no param; name more fields")
    axes, columns = [], []
    for one in shown:
        values = [one.of(run) for run in having]
        wanted = options.log_y if one.kind == "metrics" else options.log_x
        log = wanted and all(number > 0 for number in map(labels.number, values) if number is not None)
        axis, placed = labels.placed(one, having, log)
        axes.append(axis)
        columns.append(placed)
    names, place = labels.groups(having, options.group_by) if options.group_by else ([], {})
    groups = [place[run.id] for run in having] if options.group_by else []
    return Parallel("", axes, np.column_stack(columns), labels.run_names(having), names, groups, remarks)


_MOST_PARAMS = 9


def _most_common(params: Sequence[Field], runs: Sequence[Run]) -> tuple[list[Field], str]:
    """As many of the params as have room beside each other, those first that most runs have; the names of the rest."""
    ordered = sorted(params, key=lambda one: sum(one.of(run) is None for run in runs))
    return ordered[:_MOST_PARAMS], ", ".join(one.name for one in ordered[_MOST_PARAMS:])
