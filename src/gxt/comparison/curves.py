"""Metric histories side by side: where two of them are furthest apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gxt.comparison.values import Difference, Differences, same_value
from gxt.model import MetricPoint, Run

Curve = dict[int, float]
"""A metric's value at each step; the last one logged, where a step has several."""


class Divergence(NamedTuple):
    """Where a metric's curve is furthest from the first run's, over the steps that both have.

    Attributes:
        largest: how far apart; infinite where only one of the two is a finite number.
        step: where; the first of several.
        first, here: the two values there.
        since: the first step at which the two differ at all.
        steps: how many steps both have.
    """

    largest: float
    step: int
    first: float
    here: float
    since: int
    steps: int


def comparable(runs: Sequence[Run]) -> set[str]:
    """The metrics with a history, and not only a value, in the first run and another: the only ones worth reading."""

    def histories(run: Run) -> set[str]:
        return {name for name, summary in run.metrics.items() if summary.count > 1}

    return histories(runs[0]) & set().union(*map(histories, runs[1:]))


def read_curves(points: Iterable[MetricPoint], wanted: set[str]) -> dict[str, Curve]:
    """The curves of some metrics."""
    curves: dict[str, Curve] = {name: {} for name in wanted}
    for step, metric, value, _ in points:
        curve = curves.get(metric)
        if curve is not None:
            curve[step] = value
    return curves


def curve_differences(sides: Sequence[Mapping[str, Curve]], tolerance: float = 0.0) -> Differences:
    """How far each run's curves are from the first run's. Each value is a Divergence, None where there is none.

    A gap of no more than `tolerance`, a share of the greater value, is none.
    Curves with less than two steps in common are passed over: their last values say all.
    """
    found, same = [], 0
    for name in sorted(sides[0]):
        compared = [_divergence(sides[0][name], side.get(name, {}), tolerance) for side in sides[1:]]
        if any(compared):
            values = (None, *(divergence or None for divergence in compared))
            found.append(Difference(name, values, changes=(None,) * len(values)))
        elif all(divergence is not None for divergence in compared):
            same += 1
    return Differences(tuple(found), same)


def _divergence(first: Curve, other: Curve, tolerance: float) -> Divergence | tuple[()] | None:
    """The divergence; () where the curves are the same at all common steps, None where they have not two of them."""
    steps = first.keys() & other.keys()
    if len(steps) < 2:
        return None
    largest, at, since = 0.0, 0, None
    for step in sorted(steps):
        gap = _gap(first[step], other[step], tolerance)
        if gap > 0:
            if since is None:
                since = step
            if gap > largest:
                largest, at = gap, step
    if since is None:
        return ()
    return Divergence(largest, at, first[at], other[at], since, len(steps))


def _gap(one: float, other: float, tolerance: float) -> float:
    if same_value(one, other, tolerance):
        return 0.0
    gap = abs(one - other)
    return gap if gap == gap else math.inf
