"""Points to the numbers that are drawn: reading, smoothing, bands over groups, fewer points for a screen."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gxt import layout
from gxt.errors import UsageError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

BANDS = {"std": "± 1 standard deviation", "minmax": "least to greatest"}
"""What a band around a mean can show, and how that is said."""


class History(NamedTuple):
    """One metric's points of one run as columns, in logging order; times in milliseconds since 1970 UTC."""

    step: Floats
    value: Floats
    time: Floats


def read_history(data: bytes, metric: str) -> History:
    """One metric's points out of a metrics.csv; the same as `layout.read_points` gives, several times as fast.

    >>> read_history(b"step,metric,value,time\\n0,rmse,9.5,1763886601123\\n", "rmse").value
    array([9.5])
    """
    try:
        flat = _parse(data[: data.rfind(b"\n") + 1], layout.csv_name(metric).encode())
    except (ValueError, DeprecationWarning):  # quoted where it need not be, or a broken line: one point at a time
        points = [point for point in layout.read_points(data) if point.metric == metric]
        flat = np.array([number for p in points for number in (p.step, p.value, p.time)], dtype=np.float64)
    return History(flat[0::3], flat[1::3], flat[2::3])


def _parse(data: bytes, name: bytes) -> Floats:
    if b'"' in data:
        raise ValueError
    body = data[len(layout.METRICS_HEADER) :]
    count = body.count(b"\n")
    # Of a file with one metric, all lines are taken as they are: what is no number is found below.
    if data.startswith(layout.METRICS_HEADER) and body.count(b"," + name + b",") == count == body.count(b",") / 3:
        text = body[:-1]
    else:
        lines = re.findall(rb"^[^,\n]*," + re.escape(name) + rb",[^,\n]*,[^,\n]*$", data, re.MULTILINE)
        text, count = b"\n".join(lines), len(lines)
    text = text.replace(b"," + name + b",", b",").replace(b"\n", b",")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how numpy before 2.3 says that it cannot read on
        flat: Floats = np.fromstring(text.decode(), sep=",") if text else np.empty(0)
    if len(flat) != 3 * count:
        raise ValueError
    return flat


def by_step(history: History) -> tuple[Floats, Floats]:
    """Steps and values, the steps rising: of several values at one step the latest, then the greatest, counts.

    That is the rule by which a metric's last value is found, so that a curve ends in what a table shows.
    """
    if (history.step[1:] > history.step[:-1]).all():
        return history.step, history.value
    order = np.lexsort((np.nan_to_num(history.value, nan=-np.inf), history.time, history.step))
    step = history.step[order]
    latest = np.append(step[1:] != step[:-1], True)[: len(step)]
    return step[latest], history.value[order][latest]


def by_time(history: History) -> tuple[Floats, Floats]:
    """Times and values, the times rising."""
    order = np.argsort(history.time, kind="stable")
    return history.time[order], history.value[order]


def smooth(values: Floats, weight: float) -> Floats:
    """The exponential moving average with bias correction, as TensorBoard draws it.

    `weight` is how much of the average so far is kept at each point, 0 to below 1. Values that are not finite stay as
    they are and do not enter the average. A constant stays itself. The source is `resmoothDataset` in
    https://github.com/tensorflow/tensorboard/blob/master/tensorboard/components/vz_line_chart2/line-chart.ts

    Raises:
        UsageError: a weight outside [0, 1).

    >>> smooth(np.array([1.0, 2.0]), 0.5).round(4)
    array([1.    , 1.6667])
    """
    if not 0 <= weight < 1:
        raise UsageError(f"smoothing by {weight:g}?", "0 (none) to below 1, such as 0.6")
    finite = np.isfinite(values)
    known = values[finite]
    if weight == 0 or not len(known) or (known == known[0]).all():
        return values
    averages = np.fromiter(
        accumulate(known.tolist(), lambda average, value: average * weight + value * (1 - weight), initial=0.0),
        dtype=np.float64,
        count=len(known) + 1,
    )[1:]
    smoothed: Floats = values.copy()
    smoothed[finite] = averages / (1 - weight ** np.arange(1, len(known) + 1))
    return smoothed


class Band(NamedTuple):
    """A group's mean at each x, and how far its members spread around it."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def band(curves: Sequence[tuple[Floats, Floats]], spread: str) -> Band:
    """The mean of several curves, at every x that one of them has, and the band around it.

    Between its points a curve counts by linear interpolation; before its first and after its last it does not count.
    Values that are not finite are left out. `spread` is "std", the sample's standard deviation (n - 1) to both sides,
    0 where a single curve goes, or "minmax".

    >>> x = np.array([0.0, 1.0])
    >>> band([(x, np.array([1.0, 2.0])), (x, np.array([3.0, 2.0]))], "minmax").high
    array([3., 2.])
    """
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    grid = np.unique(np.concatenate([x for x, _ in finite])) if finite else np.empty(0)
    count, mean, squares = (np.zeros(len(grid)) for _ in range(3))
    low, high = np.full(len(grid), np.inf), np.full(len(grid), -np.inf)
    for x, y in finite:  # one after the other (Welford's method), so that memory does not grow with their number
        if not len(x):
            continue
        start, end = np.searchsorted(grid, (x[0], x[-1]))
        here = slice(int(start), int(end) + 1)
        value = np.interp(grid[here], x, y)
        count[here] += 1
        before = value - mean[here]
        mean[here] += before / count[here]
        squares[here] += before * (value - mean[here])
        low[here], high[here] = np.minimum(low[here], value), np.maximum(high[here], value)
    if spread == "std":
        deviation = np.sqrt(squares / np.maximum(count - 1, 1))
        low, high = mean - deviation, mean + deviation
    return Band(grid, mean, low, high)


def visible(x: Floats, y: Floats, columns: int, log: bool = False) -> Indices:
    """Which points to draw, so that a line looks the same on a screen of that many columns.

    The first, the last, the least and the greatest point of each column are kept: M4 of Jugel, Jerzak, Hackenbroich
    and Markl, "M4: A Visualization-Oriented Time Series Data Aggregation", PVLDB 7(10), 2014,
    https://www.vldb.org/pvldb/vol7/p797-jugel.pdf. No extreme is lost. A column without a finite value keeps its gap.

    `x` rises. With `log` the columns are those of a logarithmic axis, and x is positive.
    """
    if len(x) <= 4 * columns:
        return np.arange(len(x))
    place = np.log10(x) if log else x
    span = place[-1] - place[0]
    column = np.minimum((place - place[0]) * (columns / span if span else 0), columns - 1).astype(np.intp)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    last = np.append(first[1:], len(x)) - 1
    finite = np.where(np.isfinite(y), y, np.nan)
    extremes = []
    for extreme in (np.fmin, np.fmax):  # which leave NaN out
        of_column = np.repeat(extreme.reduceat(finite, first), last - first + 1)
        there = np.flatnonzero(finite == of_column)
        extremes.append(there[np.flatnonzero(np.diff(column[there], prepend=-1))])  # the first of equals
    return np.unique(np.concatenate([first, *extremes, last]))


def alone(y: Floats) -> NDArray[np.bool_]:
    """Which points have no neighbour to draw a line to, so that only a dot can show them.

    >>> alone(np.array([1.0, np.nan, 2.0, 3.0]))
    array([ True, False, False, False])
    """
    finite = np.concatenate([[False], np.isfinite(y), [False]])
    return np.asarray(finite[1:-1] & ~finite[:-2] & ~finite[2:])
