"""What differs between mappings, and how numbers change."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt.comparison.values import NOISE, Change, change, differences, same_value

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=8
)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, "", False),
        (math.nan, math.nan, True),
        ([1, 2], [1, 2.0], True),
        ([1, 2], [1], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ],
)
def test_same_value(one: Any, other: Any, same: bool) -> None:
    assert same_value(one, other) is same
    assert same_value(other, one) is same


@given(VALUES)
def test_every_value_is_the_same_as_itself(value: Any) -> None:
    assert same_value(value, value)


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), SCALARS), min_size=2, max_size=4))
def test_each_name_is_either_different_or_the_same(sides: list[dict[str, Any]]) -> None:
    found = differences(sides)
    assert len(found) + found.same == len(set().union(*sides))
    for difference in found:
        assert len(difference.values) == len(sides)
        assert [i for i, side in enumerate(sides) if difference.name not in side] == list(difference.absent)
        assert not all(i in difference.absent for i in range(len(sides)))
    assert not differences([sides[0]] * 3)


def test_kinds() -> None:
    found = differences([{"a": 1, "b": None, "d": 1}, {"a": 2, "c": None, "d": 1}])
    assert {each.name: (each.kind, each.absent) for each in found} == {
        "a": ("changed", ()),
        "b": ("removed", (1,)),
        "c": ("added", (0,)),
    }
    with pytest.raises(KeyError):
        found["d"]


def test_kinds_among_three() -> None:
    found = differences([{"a": 1}, {"b": 1}, {"b": 1, "c": 1}], by_name=True)
    assert [(each.name, each.kind) for each in found] == [("a", "removed"), ("b", "added"), ("c", "changed")]


@pytest.mark.parametrize(
    ("first", "other", "goal", "expected"),
    [
        (8, 6, "min", Change(-2, -25.0, "better")),
        (8, 6, "max", Change(-2, -25.0, "worse")),
        (8, 6, None, Change(-2, -25.0, None)),
        (-8, -6, "max", Change(2, 25.0, "better")),
        (0, 2, "min", Change(2, None, "worse")),
        (2.0, math.inf, "min", Change(math.inf, None, "worse")),
        (5, 5.0, "min", None),
        (True, 2, None, None),
        ("5", 5, None, None),
        (None, 5, None, None),
    ],
)
def test_change(first: Any, other: Any, goal: str | None, expected: Change | None) -> None:
    assert change(first, other, goal) == expected


@pytest.mark.parametrize("goal", ["min", "max"])
def test_nan_is_worse_than_any_number(goal: str) -> None:
    for number in (0.0, -math.inf, math.inf):
        worse, better = change(number, math.nan, goal), change(math.nan, number, goal)
        assert worse is not None and worse.verdict == "worse"
        assert better is not None and better.verdict == "better"


@given(st.integers() | st.floats(), st.integers() | st.floats(), st.sampled_from(["min", "max", None]))
def test_a_change_of_any_numbers(first: float, other: float, goal: str | None) -> None:
    found = change(first, other, goal)
    assert (found is None) == same_value(first, other)
    assert found is None or (found.verdict is None) == (goal is None or same_value(first, other, NOISE))


def test_integers_beyond_doubles() -> None:
    assert change(10**400, 10**400 + 1) == Change(1, None, None)
    found = change(10**400, 1.5, "min")
    assert found is not None and math.isnan(found.difference) and found.percent is None
