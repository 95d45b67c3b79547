"""Numbers over several runs: what is best, groups, and their statistics."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gxt.errors import UsageError
from gxt.model import Experiment, Run
from gxt.query import Field
from gxt.query.fields import bounded, scalar

GOALS = ("min", "max")
"""Whether less or more of a metric is better."""

AGGREGATES = ("mean", "std", "count", "min", "max", "median", "best")
"""What `aggregate` computes."""


# --- goals ------------------------------------------------------------------------------------------------------


def parse_goal(text: str) -> tuple[str, str]:
    """A metric and its goal.

    Raises:
        UsageError: it does not end in `:min` or `:max`.

    >>> parse_goal("rmse:min")
    ('rmse', 'min')
    """
    metric, _, goal = text.rpartition(":")
    if not metric or goal not in GOALS:
        raise UsageError(f"not a goal: {text!r}", f"say {metric or text}:min or {metric or text}:max")
    return metric, goal


def check_goal(metric: str, goal: str) -> None:
    """Raises UsageError for what is no goal."""
    if goal not in GOALS:
        raise UsageError(f"goal {goal!r} of {metric!r}", "min or max")


# Where nobody has stated a goal, a metric's name may say it all the same.
_LESS = re.compile(r"(loss|err|error|r?mse|mae|mape|rmsle|perplexity|ppl|nll|wer|cer|fid|bce|cross_?entropy|brier)")
_MORE = re.compile(
    r"(acc|accuracy|precision|recall|f[0-9]+|r2|auc|auroc|auprc|map|mrr|ndcg|iou|dice|bleu|rouge\w*|reward|return|psnr|ssim)"
)


def goal_of(metric: str, stated: Mapping[str, str]) -> str | None:
    """Which end of a metric is better: as stated, else as its name implies, None where neither says.

    >>> goal_of("val/loss", {}), goal_of("test_accuracy", {}), goal_of("temperature", {})
    ('min', 'max', None)
    """
    if metric in stated:
        return stated[metric] if stated[metric] in GOALS else None
    words = re.split(r"[^a-z0-9]+|(?<=[a-z])_", metric.lower())
    implied = {"min" for word in words if _LESS.fullmatch(word)} | {"max" for word in words if _MORE.fullmatch(word)}
    return implied.pop() if len(implied) == 1 else None


def agreed_goals(experiments: Iterable[Experiment]) -> dict[str, str]:
    """The goals of several experiments together; empty for a metric that two of them differ about."""
    found: dict[str, set[str]] = {}
    for experiment in experiments:
        for metric, goal in experiment.goals.items():
            found.setdefault(metric, set()).add(goal)
    return {metric: goals.pop() if len(goals) == 1 else "" for metric, goals in found.items()}


def best_of(values: Sequence[Any], goal: str) -> set[int]:
    """Where in a sequence the best values are; nowhere with fewer than two numbers. NaN is never best."""
    numbers = {i: value for i, value in enumerate(values) if is_number(value) and value == value}
    if len(numbers) < 2:
        return set()
    top = min(numbers.values()) if goal == "min" else max(numbers.values())
    return {i for i, value in numbers.items() if value == top}


# --- groups -----------------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """Runs that have the same values of some fields; None among them stands for runs that lack the field."""

    key: tuple[Any, ...]
    runs: list[Run]


def group(runs: Iterable[Run], fields: Sequence[Field]) -> list[Group]:
    """Runs by the values of some fields: numbers before text, each ascending, and what is missing last.

    1 and 1.0 are one value; 1, true and the text "1" are three.
    """
    groups: dict[tuple[Any, ...], Group] = {}
    for run in runs:
        values = tuple(field.of(run) for field in fields)
        key = tuple(value_key(value) for value in values)
        groups.setdefault(key, Group(values, [])).runs.append(run)
    return [groups[key] for key in sorted(groups)]


def value_key(value: Any) -> tuple[int, float, str]:
    """What values of any types are sorted and told apart by, as `group` says."""
    if value is None:
        return 4, 0, ""
    known = scalar(value)
    if known.type == "number":
        return (0, known.number, "") if known.number is not None else (1, 0, "nan")
    if known.type == "boolean":
        return 2, known.number or 0, ""
    return 3, 0, json.dumps(value, sort_keys=True) if known.type == "other" else value


class Sample(NamedTuple):
    """What some runs have of a field: its numbers, how many of its values are NaN, and how many runs have none."""

    numbers: list[float]
    nans: int
    missing: int


def sample(runs: Iterable[Run], field: Field) -> Sample:
    """The values of a field; what is no number (a param that is text) is missing."""
    values = [field.value(run) for run in runs]
    numbers = [bounded(value) for value in values if is_number(value)]
    valid = [number for number in numbers if number is not None]
    return Sample(valid, len(numbers) - len(valid), len(values) - len(numbers))


def is_number(value: Any) -> bool:
    """Whether a value is a number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- statistics ---------------------------------------------------------------------------------------------------


def aggregate(of: Sample, how: str, goal: str | None = None) -> float | int | None:
    """One of AGGREGATES over a sample's numbers; NaN and what is missing are left out.

    `std` is the sample standard deviation, with n - 1 below the line: sqrt(sum((x - mean)²) / (n - 1))
    (https://en.wikipedia.org/wiki/Standard_deviation#Corrected_sample_standard_deviation). `count` is the number of
    numbers. `best` is the least or the greatest, as `goal` says, and None without a goal.

    None where there is nothing to compute: no number at all, or fewer than two for `std`. Where all that is there is
    NaN, so is the result.

    >>> aggregate(Sample([1.0, 2.0, 3.0], nans=1, missing=0), "std")
    1.0
    """
    numbers = of.numbers
    if how == "count":
        return len(numbers)
    if how == "std":
        return _deviation(numbers) if len(numbers) > 1 else None
    if how == "best":
        how = goal or ""
    if not numbers:
        return math.nan if of.nans and how else None
    if how == "mean":
        return _mean(numbers)
    if how == "median":
        middle = sorted(numbers)[(len(numbers) - 1) // 2 : len(numbers) // 2 + 1]
        return middle[0] if len(middle) == 1 else _mean(middle)
    return {"min": min, "max": max}[how](numbers) if how else None


def _mean(numbers: Sequence[float]) -> float:
    if not all(map(math.isfinite, numbers)):
        return sum(numbers) / len(numbers)  # an infinity, or NaN where there are both
    try:
        mean = math.fsum(numbers) / len(numbers)
    except OverflowError:  # the sum is larger than a double, and the mean is not
        mean = math.fsum(number / len(numbers) for number in numbers)
    return min(max(mean, min(numbers)), max(numbers))


def _deviation(numbers: Sequence[float]) -> float:
    mean = _mean(numbers)
    if not math.isfinite(mean):
        return math.nan
    # In units of the largest, whose square may be larger than a double.
    differences = [number - mean for number in numbers]
    largest = max(map(abs, differences))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(math.fsum((d / largest) ** 2 for d in differences) / (len(numbers) - 1))


def left_out(samples: Mapping[str, Iterable[Sample]]) -> str | None:
    """A sentence on what statistics leave out, by the name of the field; None where that is nothing."""
    said = []
    for name, found in samples.items():
        taken = list(found)
        counts = (sum(one.nans for one in taken), "NaN"), (sum(one.missing for one in taken), "missing")
        if parts := [f"{count} {what}" for count, what in counts if count]:
            said.append(f"{name} ({', '.join(parts)})")
    return f"left out: {', '.join(said)}" if said else None


def check_aggregates(names: Collection[str]) -> None:
    """Raise UsageError where one of the names is none of AGGREGATES."""
    for name in names:
        if name not in AGGREGATES:
            raise UsageError(f"no aggregate {name!r}", ", ".join(AGGREGATES))
