"""What params have to do with a metric: known dependencies are found, and noise is not trusted."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from gxt.errors import NotFoundError, UsageError
from gxt.plots.importance import importances
from helpers import Build, Train


def test_what_the_metric_depends_on_comes_first() -> None:
    chance = random.Random(0)
    columns: dict[str, list[float] | list[str]] = {
        "strong": [chance.random() for _ in range(200)],
        "model": [chance.choice("abc") for _ in range(200)],
        "noise": [chance.random() for _ in range(200)],
        "gaps": [chance.choice([math.nan, 1.0]) for _ in range(200)],
    }
    offset = {"a": 0.0, "b": 1.0, "c": 0.0}
    target = [10 * x + offset[str(m)] for x, m in zip(columns["strong"], columns["model"], strict=True)]
    found = importances(columns, target)
    assert [one.param for one in found.params][:2] == ["strong", "model"]
    by_name = {one.param: one for one in found.params}
    assert by_name["strong"].permutation > 1 and by_name["noise"].permutation < 0.05
    assert sum(one.impurity for one in found.params) == pytest.approx(1)
    assert found.explained > 0.9
    assert by_name["model"].correlation is None and by_name["gaps"].correlation is None


def test_rank_correlation_against_its_formula() -> None:
    chance = random.Random(1)
    x = chance.sample(range(1000), 30)
    y = [chance.random() + value / 500 for value in x]
    (one,) = importances({"x": [float(value) for value in x]}, y).params

    def ranks(values: list[float]) -> list[int]:
        return [sorted(values).index(value) for value in values]

    squares = sum((a - b) ** 2 for a, b in zip(ranks([float(v) for v in x]), ranks(y), strict=True))
    assert one.correlation == pytest.approx(1 - 6 * squares / (30 * (30**2 - 1)))


def test_the_same_runs_give_the_same_importances() -> None:
    columns = {"a": [1.0, 2.0, 3.0, 4.0, 5.0], "b": ["x", "y", "x", "y", "x"]}
    assert importances(columns, [1, 2, 3, 4, 5]) == importances(columns, [1, 2, 3, 4, 5])


def test_the_chart(train: Train, build: Build) -> None:
    for lr, model in itertools.product([0.1, 0.2, 0.3, 0.4], "ab"):
        name = f"{model}{lr}"
        train(name, {"lr": lr, "model": model, "path": f"/out/{name}", "same": 1}, rmse=[9, lr])
    chart = build("rmse", kind="importance")
    assert chart.params[0] == "lr" and set(chart.params) == {"lr", "model"}
    assert chart.correlation[0] == pytest.approx(1)
    assert "8 runs, 2 params; out-of-bag R²" in chart.remarks[0] and "hint" in chart.remarks[0]
    assert chart.remarks[1] == "left out, a text of its own in every run: path"
    assert build("rmse", "model", kind="importance").params == ["model"]
    assert "do not trust this" in build("rmse", "model", kind="importance").remarks[0]
    with pytest.raises(UsageError, match="one metric"):
        build("rmse", "duration", kind="importance")


def test_too_few_runs_or_nothing_that_differs(train: Train, build: Build) -> None:
    for name in "abcd":
        train(name, {"lr": 1}, rmse=[1])
    with pytest.raises(NotFoundError, match="needs 5 runs"):
        build("rmse", kind="importance")
    train("e", {"lr": 1}, rmse=[math.inf])
    with pytest.raises(NotFoundError, match="there are 4"):
        build("rmse", kind="importance")
    train("f", {"lr": 1}, rmse=[1])
    with pytest.raises(NotFoundError, match="differ in no param"):
        build("rmse", kind="importance")
