"""What is written beside axes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt.plots import ticks
from gxt.plots.charts import Axis

numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-300, 1e300)


@given(numbers, numbers, st.integers(2, 20), st.booleans())
def test_round_numbers_lie_on_the_axis_and_differ(one: float, other: float, most: int, whole: bool) -> None:
    low, high = sorted((one, other))
    found = ticks.of_axis(Axis(""), low, high, most, whole)
    assert len(found) <= most and len({text for _, text in found}) == len(found)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= value <= high + slack or len(found) == 1 for value, _ in found)


@given(positive, positive, st.integers(2, 20))
def test_ticks_of_logarithmic_axes(one: float, other: float, most: int) -> None:
    low, high = sorted((one, other))
    found = ticks.of_axis(Axis("", log=True), low, high, most)
    assert 0 < len(found) <= max(most, 3) or high / low < 1 + 1e-6
    assert all(low * (1 - 1e-6) <= value <= high * (1 + 1e-6) for value, _ in found)


@given(st.floats(0, 4e12), st.floats(0, 4e12), st.integers(2, 12))
def test_moments(one: float, other: float, most: int) -> None:
    low, high = sorted((one, other))
    found = ticks.of_axis(Axis("", "time"), low, high, most)
    assert len(found) <= most and len({text for _, text in found}) == len(found)
    assert all(low <= value <= high for value, _ in found)
    assert len(found) >= 1 or high - low < 1000 or most < 3


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1e12, ["0", "2.5e11", "5e11", "7.5e11", "1e12"]),
        (1.9, 8.4, ["2", "4", "6", "8"]),
        (6.0012, 6.0031, ["6.0015", "6.002", "6.0025", "6.003"]),
        (99999, 100003, ["99999", "100000", "100001", "100002", "100003"]),
    ],
)
def test_texts(low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in ticks.of_axis(Axis(""), low, high, 5)] == expected


def test_whole_numbers_have_no_ticks_between_them() -> None:
    assert ticks.numbers(0, 2, 8) == [0, 0.5, 1, 1.5, 2]
    assert ticks.numbers(0, 2, 8, whole=True) == [0, 1, 2]
    assert ticks.is_whole(np.array([1.0, math.nan]), np.empty(0))
    assert not ticks.is_whole(np.array([1.5])) and not ticks.is_whole(np.empty(0))


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (300, ["2026-11-23 18:53:20.000", "18:53:20.100", "18:53:20.200", "18:53:20.300"]),
        (70_000, ["2026-11-23 18:53:30", "18:53:45", "18:54:00", "18:54:15", "18:54:30"]),
        (10_800_000, ["2026-11-23 19:00", "20:00", "21:00"]),
        (172_800_000, ["2026-11-24 00:00", "12:00", "2026-11-25 00:00", "12:00"]),
        (1_728_000_000, ["2026-11-26", "2026-12-03", "2026-12-10"]),
        (17_280_000_000, ["2027-01", "2027-04"]),
        (172_800_000_000, ["2028", "2030", "2032"]),
    ],
)
def test_moments_as_text(span: int, expected: list[str]) -> None:
    start = 1_795_460_000_000
    assert [text for _, text in ticks.of_axis(Axis("", "time"), start, start + span, 5)] == expected
