"""Histories side by side."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gxt.comparison.curves import Curve, Divergence, comparable, curve_differences, read_curves
from gxt.model import MetricPoint, Run, Summary

CURVES = st.dictionaries(st.integers(-5, 5), st.floats(), max_size=8)


def diverging(one: Curve, other: Curve) -> Divergence | None:
    found = curve_differences([{"loss": one}, {"loss": other}])
    return found["loss"].values[1] if found else None


def test_where_two_curves_are_furthest_apart() -> None:
    one = {0: 3.0, 1: 2.0, 2: 1.0, 3: 0.0}
    assert diverging(one, {0: 3.0, 1: 2.5, 2: 0.0, 4: 9.0}) == Divergence(1.0, 2, 1.0, 0.0, since=1, steps=3)
    assert diverging(one, dict(one)) is None


def test_a_number_that_one_curve_lacks_is_infinitely_far() -> None:
    one = {0: 1.0, 1: 2.0}
    found = diverging(one, {0: 1.5, 1: math.nan})
    assert found is not None and found.largest == math.inf and found.step == 1
    assert diverging({0: math.nan, 1: math.inf}, {0: math.nan, 1: math.inf}) is None


def test_too_little_in_common_is_no_comparison() -> None:
    found = curve_differences([{"loss": {0: 1.0, 1: 2.0}}, {"loss": {1: 3.0, 2: 4.0}}])
    assert not found and found.same == 0


@given(CURVES, CURVES)
def test_divergence_does_not_depend_on_which_comes_first(one: Curve, other: Curve) -> None:
    there, back = diverging(one, other), diverging(other, one)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert (there.largest, there.step, there.since) == (back.largest, back.step, back.since)
        assert there.since <= there.step and there.largest > 0


def test_the_last_value_logged_at_a_step_counts() -> None:
    points = [MetricPoint(0, "loss", 3.0, 1), MetricPoint(0, "loss", 2.0, 2), MetricPoint(0, "other", 1.0, 2)]
    assert read_curves(points, {"loss", "none"}) == {"loss": {0: 2.0}, "none": {}}


def test_only_histories_are_worth_reading() -> None:
    def run(**counts: int) -> Run:
        return Run("20261123-000000-00000000", "e", metrics={n: Summary(1, 1, 1, 1, 1, c) for n, c in counts.items()})

    assert comparable([run(a=2, b=1, c=5), run(a=3, b=9, d=2), run(c=2)]) == {"a", "c"}
