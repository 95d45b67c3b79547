"""Smoothing, bands and fewer points, against the plain formulas."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import layout
from gxt.errors import UsageError
from gxt.model import MetricPoint
from gxt.plots import series

numbers = st.floats(-1e6, 1e6)
values = st.lists(numbers, min_size=1, max_size=60)
names = st.sampled_from(["loss", "1", "val/loss", 'a "quoted", name', "metric", "l.ss"])
points = st.lists(
    st.builds(MetricPoint, st.integers(0, 9), names, st.floats(), st.integers(0, 2**45)), min_size=1, max_size=40
)


def history(*points: tuple[int, float, int]) -> series.History:
    step, value, time = np.array(points, dtype=float).T
    return series.History(step, value, time)


@given(points, names)
def test_a_history_is_what_layout_reads(some: list[MetricPoint], metric: str) -> None:
    data = layout.write_points(some) + b"99,loss,cut off"
    read = series.read_history(data, metric)
    expected = [point for point in layout.read_points(data) if point.metric == metric]
    assert read.step.tolist() == [point.step for point in expected]
    assert read.time.tolist() == [point.time for point in expected]
    assert list(map(repr, read.value.tolist())) == [repr(point.value) for point in expected]


def test_what_is_not_written_as_gxt_writes_is_read_too() -> None:
    data = b'step,metric,value,time\r\n0,"loss",1,5\r\n1,loss,x,6\r\nbroken\r\n 2,loss, 3 ,7\r\n'
    read = series.read_history(data, "loss")
    assert (read.step.tolist(), read.value.tolist(), read.time.tolist()) == ([0, 2], [1, 3], [5, 7])
    assert series.read_history(b"", "loss").value.tolist() == []
    assert series.read_history(b"0,loss,1,2\n0,loss,oops,2\n", "loss").value.tolist() == [1]


def test_of_several_values_at_a_step_the_last_counts() -> None:
    x, y = series.by_step(history((1, 5.0, 10), (0, 1.0, 20), (1, 7.0, 9), (0, 2.0, 20), (0, math.nan, 20)))
    assert (x.tolist(), y.tolist()) == ([0, 1], [2, 5])
    x, y = series.by_time(history((1, 5.0, 10), (0, 1.0, 20), (1, 7.0, 9)))
    assert (x.tolist(), y.tolist()) == ([9, 10, 20], [7, 5, 1])


@given(values, st.floats(0, 0.99))
def test_smoothing_is_the_weighted_mean_of_what_came_before(some: list[float], weight: float) -> None:
    smoothed = series.smooth(np.array(some), weight)
    for i in range(len(some)):
        weights = [weight ** (i - j) for j in range(i + 1)]
        mean = sum(w * y for w, y in zip(weights, some[: i + 1], strict=True)) / sum(weights)
        assert smoothed[i] == pytest.approx(mean, rel=1e-6, abs=1e-3)


def test_smoothing_as_tensorboard_draws_it() -> None:
    # Worked out by hand from resmoothDataset: 0.6 of the average so far, divided by 1 - 0.6^n.
    assert series.smooth(np.array([1.0, 2.0, 4.0]), 0.6) == pytest.approx([1, 1.04 / 0.64, 2.224 / 0.784])
    gap = series.smooth(np.array([1.0, math.nan, 2.0, math.inf]), 0.5)
    assert gap[[0, 2]] == pytest.approx([1, 1.25 / 0.75]) and math.isnan(gap[1]) and math.isinf(gap[3])
    assert series.smooth(np.full(3, 0.1), 0.9).tolist() == [0.1] * 3
    for weight in (-0.1, 1.0, math.nan):
        with pytest.raises(UsageError):
            series.smooth(np.array([1.0]), weight)


@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=8))
def test_bands_over_the_same_steps(runs: list[list[float]]) -> None:
    x = np.array([0.0, 1.0, 2.0])
    curves = [(x, np.array(run)) for run in runs]
    deviation = [statistics.stdev(column) if len(runs) > 1 else 0 for column in zip(*runs, strict=True)]
    mean = [statistics.fmean(column) for column in zip(*runs, strict=True)]
    spread = series.band(curves, "std")
    assert spread.mean == pytest.approx(mean, rel=1e-9, abs=1e-6)
    assert spread.high - spread.mean == pytest.approx(deviation, rel=1e-6, abs=1e-4)
    assert spread.mean - spread.low == pytest.approx(deviation, rel=1e-6, abs=1e-4)
    extremes = series.band(curves, "minmax")
    assert extremes.low.tolist() == [min(column) for column in zip(*runs, strict=True)]
    assert extremes.high.tolist() == [max(column) for column in zip(*runs, strict=True)]


def test_bands_over_different_steps() -> None:
    long = np.array([0.0, 2.0, 4.0]), np.array([0.0, 2.0, math.nan])
    short = np.array([1.0, 4.0]), np.array([3.0, 6.0])
    found = series.band([long, short], "minmax")
    assert found.x.tolist() == [0, 1, 2, 4]
    assert found.mean.tolist() == [0, 2, 3, 6]
    assert (found.low.tolist(), found.high.tolist()) == ([0, 1, 2, 6], [0, 3, 4, 6])


@given(st.lists(st.one_of(numbers, st.just(math.nan)), min_size=1, max_size=400), st.integers(1, 20), st.booleans())
def test_fewer_points_keep_each_columns_first_last_least_and_greatest(
    some: list[float], columns: int, log: bool
) -> None:
    x, y = np.arange(1.0, len(some) + 1), np.array(some)
    kept = series.visible(x, y, columns, log)
    assert kept.tolist() == sorted(set(kept.tolist())) and len(kept) <= max(4 * columns, 1)
    if len(x) <= 4 * columns:
        assert len(kept) == len(x)
        return
    place = np.log10(x) if log else x
    column = np.minimum((place - place[0]) * (columns / (place[-1] - place[0])), columns - 1).astype(int)
    for at in set(column.tolist()):
        mine = np.flatnonzero(column == at)
        here = set(mine.tolist()) & set(kept.tolist())
        assert {mine[0], mine[-1]} <= here
        if np.isfinite(y[mine]).any():
            assert {np.nanmin(y[mine]), np.nanmax(y[mine])} <= {y[i] for i in here}


def test_points_at_one_place_are_thinned_too() -> None:
    assert len(series.visible(np.ones(1000), np.arange(1000.0), 10)) == 2


def test_points_alone() -> None:
    nan = math.nan
    assert series.alone(np.array([1, nan, 2, 3, nan, 4])).tolist() == [True, False, False, False, False, True]
    assert series.alone(np.array([1.0])).tolist() == [True]
