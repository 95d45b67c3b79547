"""stats.py against the standard library's statistics, which computes in fractions."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gxt import stats
from gxt.errors import UsageError
from gxt.model import Experiment, Run, Summary
from gxt.query import Field
from gxt.stats import Sample

NUMBERS = st.lists(st.floats(-1e300, 1e300) | st.integers(-(10**9), 10**9), min_size=1, max_size=8)


def a_run(number: int, metrics: dict[str, float] | None = None, **params: Any) -> Run:
    summaries = {name: Summary(value, value, value, value, 0, 1) for name, value in (metrics or {}).items()}
    return Run(f"20261123-{number:06}-{number:08x}", "taxi", f"run-{number}", params=params, metrics=summaries)


def aggregates(numbers: list[float]) -> dict[str, Any]:
    return {how: stats.aggregate(Sample(numbers, 0, 0), how) for how in stats.AGGREGATES}


@given(NUMBERS)
def test_aggregates_are_those_of_the_standard_library(numbers: list[float]) -> None:
    found = aggregates(numbers)
    assert found["count"] == len(numbers)
    assert found["min"] == min(numbers) and found["max"] == max(numbers)
    assert min(numbers) <= found["mean"] <= max(numbers)
    exact = [*map(float, numbers)]
    # Where large values of both signs all but cancel, the last digits of the sum are all that is left.
    scale = max(map(abs, exact)) * 1e-12
    assert found["mean"] == pytest.approx(statistics.mean(exact), rel=1e-12, abs=scale)
    assert found["median"] == pytest.approx(statistics.median(exact), rel=1e-12, abs=scale)
    if len(numbers) == 1:
        assert found["std"] is None
    elif max(map(abs, exact)) < 1e150:  # its squares are doubles there
        assert found["std"] == pytest.approx(statistics.stdev(exact), rel=1e-9, abs=scale)


def test_the_deviation_is_the_sample_one() -> None:
    assert stats.aggregate(Sample([2.0, 4.0], 0, 0), "std") == pytest.approx(math.sqrt(2))


@given(st.floats(0.1, 10), st.floats(-5, 5), st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_the_deviation_scales_and_does_not_move(factor: float, shift: float, numbers: list[float]) -> None:
    before = stats.aggregate(Sample(numbers, 0, 0), "std")
    after = stats.aggregate(Sample([factor * number + shift for number in numbers], 0, 0), "std")
    assert before is not None
    assert after == pytest.approx(factor * before, abs=1e-9)


@pytest.mark.parametrize(
    ("numbers", "mean", "std"),
    [
        ([1.7e308, 1.7e308], 1.7e308, 0.0),
        ([5e-324, 5e-324, 5e-324], 5e-324, 0.0),
        ([math.inf, 1.0], math.inf, math.nan),
        ([math.inf, -math.inf], math.nan, math.nan),
        ([0.1, 0.1, 0.1], 0.1, 0.0),
    ],
)
def test_extreme_values(numbers: list[float], mean: float, std: float) -> None:
    found = aggregates(numbers)
    assert found["mean"] == pytest.approx(mean, nan_ok=True)
    assert found["std"] == pytest.approx(std, nan_ok=True)


def test_nan_and_missing_are_left_out_and_counted() -> None:
    runs = [a_run(i, {"m": value}) for i, value in enumerate([1.0, math.nan, 3.0])] + [a_run(9)]
    found = stats.sample(runs, Field("metrics", "m"))
    assert found == Sample([1.0, 3.0], nans=1, missing=1)
    assert stats.aggregate(found, "mean") == 2 and stats.aggregate(found, "count") == 2
    assert stats.left_out({"m": [found], "n": [Sample([1.0], 0, 0)]}) == "left out: m (1 NaN, 1 missing)"
    assert stats.left_out({"n": [Sample([1.0], 0, 0)]}) is None


def test_nothing_but_nan_is_nan_and_nothing_at_all_is_none() -> None:
    for how in ("mean", "min", "max", "median"):
        nothing_but_nan = stats.aggregate(Sample([], 2, 0), how)
        assert nothing_but_nan is not None and math.isnan(nothing_but_nan)
        assert stats.aggregate(Sample([], 0, 2), how) is None
    assert stats.aggregate(Sample([], 2, 0), "count") == 0 and stats.aggregate(Sample([], 2, 0), "std") is None


def test_the_best_goes_by_the_goal() -> None:
    numbers = Sample([1.0, 3.0, 2.0], 0, 0)
    assert stats.aggregate(numbers, "best", "min") == 1 and stats.aggregate(numbers, "best", "max") == 3
    assert stats.aggregate(numbers, "best") is None


@pytest.mark.parametrize(
    ("values", "goal", "best"),
    [
        ([3, 1, 2], "min", {1}),
        ([3, 1, 3], "max", {0, 2}),
        ([math.nan, 1.0, None, 2.0], "min", {1}),
        ([1.0], "min", set()),
        ([1.0, math.nan, None], "min", set()),
        (["1", "2"], "min", set()),
        ([-math.inf, 1.0], "min", {0}),
    ],
)
def test_best_of(values: list[Any], goal: str, best: set[int]) -> None:
    assert stats.best_of(values, goal) == best


def test_groups_tell_values_apart_and_come_in_order() -> None:
    values = [2, 1.0, "b", 1, None, "a", True, math.nan, "1", [2], math.nan, 2]
    runs = [a_run(i, **({} if value is None else {"x": value})) for i, value in enumerate(values)]
    groups = stats.group(runs, [Field("params", "x")])
    assert [(repr(one.key[0]), len(one.runs)) for one in groups] == [
        ("1.0", 2),
        ("2", 2),
        ("nan", 2),
        ("True", 1),
        ("'1'", 1),
        ("[2]", 1),
        ("'a'", 1),
        ("'b'", 1),
        ("None", 1),
    ]


@given(st.lists(st.tuples(st.none() | st.integers(0, 2), st.sampled_from("ab")), max_size=12))
def test_groups_are_a_partition(pairs: list[tuple[int | None, str]]) -> None:
    runs = [a_run(i, x=x, y=y) for i, (x, y) in enumerate(pairs)]
    groups = stats.group(runs, [Field("params", "x"), Field("params", "y")])
    assert sorted(run.id for one in groups for run in one.runs) == [run.id for run in runs]
    assert len({one.key for one in groups}) == len(groups) == len(set(pairs))
    assert all((run.params["x"], run.params["y"]) == one.key for one in groups for run in one.runs)


def test_huge_integers_among_params_count() -> None:
    huge = stats.sample([a_run(1, x=10**400), a_run(2, x=1)], Field("params", "x"))
    assert stats.aggregate(huge, "max") == math.inf


@pytest.mark.parametrize(
    ("text", "metric", "goal"),
    [("rmse:min", "rmse", "min"), ("a:b:max", "a:b", "max"), ("val/acc:max", "val/acc", "max")],
)
def test_goals(text: str, metric: str, goal: str) -> None:
    assert stats.parse_goal(text) == (metric, goal)


@pytest.mark.parametrize("text", ["rmse", "rmse:", ":min", "rmse:least"])
def test_what_is_no_goal(text: str) -> None:
    with pytest.raises(UsageError, match="not a goal"):
        stats.parse_goal(text)


def test_experiments_agree_about_goals_or_have_none() -> None:
    one = Experiment("one", "1", goals={"rmse": "min", "acc": "max"})
    other = Experiment("other", "2", goals={"rmse": "max", "r2": "max", "odd": "least"})
    assert stats.agreed_goals([one, other]) == {"acc": "max", "r2": "max", "rmse": "", "odd": "least"}
    assert stats.goal_of("rmse", {"rmse": ""}) is None and stats.goal_of("odd", {"odd": "least"}) is None


@pytest.mark.parametrize(
    ("metric", "goal"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("train/rmse", "min"),
        ("test_accuracy", "max"),
        ("acc", "max"),
        ("f1", "max"),
        ("f1_macro", "max"),
        ("r2", "max"),
        ("lr", None),
        ("glossary", None),
        ("accuracy_loss", None),
        ("epoch", None),
    ],
)
def test_goals_that_names_imply(metric: str, goal: str | None) -> None:
    assert stats.goal_of(metric, {}) == goal
    assert stats.goal_of(metric, {metric: "max"}) == "max"
