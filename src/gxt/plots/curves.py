"""Metrics over steps or time: the points of runs, or of groups of them, as curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gxt import catalog
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run, now
from gxt.plots import Options, Selection, labels, series
from gxt.plots.charts import Axis, Curve, Curves, Panel
from gxt.plots.series import Floats


def build(
    repo: Repository, selection: Selection, fields: Sequence[str], options: Options, columns: int | None
) -> Curves:
    """The chart of some metrics. See gxt.plots.build."""
    if options.group_by and options.x == "time":
        raise UsageError("runs of a group have no time of day in common", "--x relative, or --x step")
    metrics = list(dict.fromkeys(labels.metric(text, selection.runs) for text in fields))
    runs = [run for run in selection.runs if any(metric in run.metrics for metric in metrics)]
    names, place = labels.groups(runs, options.group_by)
    unit, divisor = _unit(runs) if options.x == "relative" else ("", 1)
    titles = {"step": "step", "time": "time (UTC)", "relative": f"time since start ({unit})"}
    x_axis = Axis(titles[options.x], "time" if options.x == "time" else "number", options.log_x)
    left_out: dict[str, Counter[str]] = {metric: Counter() for metric in metrics}
    members: dict[str, dict[int, list[Curve]]] = {metric: {} for metric in metrics}
    same_step = Counter[str]()
    for run, data in _histories(repo, selection, runs):
        for metric in metrics:
            if metric in run.metrics:
                history = series.read_history(data, metric)
                x, y = _axes(history, run, options, divisor)
                if len(x) == 1 < len(history.value):
                    same_step[metric] += 1
                curve = _usable(Curve(place[run.id], x, y), options, left_out[metric])
                if len(curve.x):
                    members[metric].setdefault(curve.name, []).append(curve)
    panels = []
    for metric in metrics:
        drawn = [_drawn(members[metric][name], options, columns) for name in sorted(members[metric])]
        panels.append(Panel(Axis(metric, log=options.log_y), drawn))
    remarks = [f"{metric}: {_left_out(counts)}" for metric, counts in left_out.items() if counts.total()]
    remarks += [
        f"{metric}: {labels.count(number, 'run')} logged every value at one step: the last is drawn; --x time has all"
        for metric, number in same_step.items()
    ]
    remarks += [
        f"{panel.y.label}: a single point in every run; --kind bar compares them"
        for panel in panels
        if len(panel.curves) > 1 and not options.group_by and all(len(curve.x) == 1 for curve in panel.curves)
    ]
    if not any(panel.curves for panel in panels):
        raise NotFoundError(f"there is no point to draw of {' and '.join(metrics)}", "; ".join(remarks) or None)
    sizes = Counter(place.values())
    if options.group_by:
        names = [f"{name} ({labels.count(sizes[at], 'run')})" for at, name in enumerate(names)]
    return Curves(
        _curves_title(options),
        x_axis,
        panels,
        names,
        _best(panels, selection.goal(metrics[0], options.goals)),
        remarks,
    )


def _histories(repo: Repository, selection: Selection, runs: Sequence[Run]) -> Iterator[tuple[Run, bytes]]:
    yield from catalog.histories(repo, [run for run in runs if run.id not in selection.elsewhere], selection.commit)
    for run in runs:
        if run.id in selection.elsewhere:
            yield from catalog.histories(repo, [run], selection.elsewhere[run.id])


def _curves_title(options: Options) -> str:
    parts = []
    if options.group_by:
        parts.append(f"mean, band: {series.BANDS[options.band]}")
    if options.smooth:
        parts.append(f"smoothed by {options.smooth:g}")
    return "; ".join(parts)


def _unit(runs: Sequence[Run]) -> tuple[str, int]:
    """The unit that fits the longest run, and its milliseconds."""
    at = now()
    longest = max((run.duration if run.ended else (at - (run.started or at)) / 1000) or 0 for run in runs)
    units = (("days", 172_800, 86_400_000), ("h", 7200, 3_600_000), ("min", 120, 60_000))
    return next(((name, ms) for name, least, ms in units if longest >= least), ("s", 1000))


def _axes(history: series.History, run: Run, options: Options, divisor: int) -> tuple[Floats, Floats]:
    if options.x == "step":
        return series.by_step(history)
    x, y = series.by_time(history)
    if options.x == "relative":
        start = run.started if run.started is not None else (x[0] if len(x) else 0)
        x = (x - start) / divisor
    return x, y


def _usable(curve: Curve, options: Options, left_out: Counter[str]) -> Curve:
    """The curve smoothed, with a gap where no number can be drawn, and without what a log axis cannot hold."""
    x, y = curve.x, curve.y
    if options.log_x:
        left_out[f"at {options.x} 0 or below, which a logarithmic axis lacks"] += int((x <= 0).sum())
        x, y = x[x > 0], y[x > 0]
    finite = np.isfinite(y)
    left_out["not finite (nan, inf)"] += int((~finite).sum())
    y = np.where(finite, y, np.nan)
    if options.log_y:
        left_out["0 or below, which a logarithmic axis lacks"] += int((y <= 0).sum())
        y = np.where(y > 0, y, np.nan)
    if not np.isfinite(y).any():
        return replace(curve, x=x[:0], y=y[:0])
    return replace(curve, x=x, y=series.smooth(y, options.smooth), raw=y if options.smooth else None)


def _left_out(counts: Counter[str]) -> str:
    return "; ".join(f"{labels.count(number, 'point')} left out, {why}" for why, number in counts.items() if number)


def _drawn(members: Sequence[Curve], options: Options, columns: int | None) -> Curve:
    """One curve of a run or group, with as many points as show."""
    curve = members[0]
    if options.group_by:
        x, mean, low, high = series.band([(member.x, member.y) for member in members], options.band)
        if options.log_y:
            low = np.maximum(low, mean.min() / 10)  # a standard deviation may reach below 0
        curve = Curve(curve.name, x, mean, None, low, high)
    if columns is None:
        return curve
    lines = [line for line in (curve.y, curve.raw, curve.low, curve.high) if line is not None]
    keep = np.unique(np.concatenate([series.visible(curve.x, line, columns, options.log_x) for line in lines]))
    return replace(
        curve,
        x=curve.x[keep],
        **{name: line[keep] for name in ("y", "raw", "low", "high") if (line := getattr(curve, name)) is not None},
    )


def _best(panels: Sequence[Panel], goal: str) -> list[int]:
    """Names by the last number of their curves in the first panel; then those that have none there."""
    sign = 1 if goal == "min" else -1
    last = {curve.name: sign * float(curve.y[np.isfinite(curve.y)][-1]) for curve in panels[0].curves}
    others = {curve.name for panel in panels for curve in panel.curves} - last.keys()
    return sorted(last, key=lambda name: (last[name], name)) + sorted(others)
