"""What a comparison is made of: things that are not the same in all runs, and how their numbers changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
BETTER, WORSE = "better", "worse"

TOLERANCE = 1e-9
"""Metrics that differ by no more than this share of the greater one are the same: the last bits of a double, as another
order of adding gives."""
NOISE = 1e-6
"""Below this share, a change is neither better nor worse: a float32 has seven digits."""


class Change(NamedTuple):
    """How a number went from the first run to another.

    Attributes:
        difference: the other's value less the first's; nan where they cannot be subtracted.
        percent: the same in per cent of the first's; None where that is 0 or not finite.
        verdict: "better" or "worse" by the metric's goal; None where there is no goal, or a change within NOISE.
    """

    difference: float
    percent: float | None
    verdict: str | None = None


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs.

    Attributes:
        name: what it is: a param, a metric, a package, a path.
        values: one for each run, in the order of the runs; None where a run has none.
        kind: "added" (the first run lacks it), "removed" (only the first has it), "changed", or for packages
            "upgraded" and "downgraded".
        absent: the positions of the runs that have none, to tell that from a param whose value is None.
        changes: for numbers, one for each run: how it changed from the first; else all None.
        goal: which end of a metric is better, "min" or "max"; None where nobody knows.
    """

    name: str
    values: tuple[Any, ...]
    kind: str = CHANGED
    absent: tuple[int, ...] = ()
    changes: tuple[Change | None, ...] = ()
    goal: str | None = None


@dataclass(frozen=True)
class Differences:
    """Those that differ, and how many are the same in all runs.

    >>> found = Differences((Difference("alpha", (0.1, 0.2)),), same=3)
    >>> found["alpha"].values, len(found), found.same
    ((0.1, 0.2), 1, 3)
    """

    different: tuple[Difference, ...] = ()
    same: int = 0

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.different)

    def __len__(self) -> int:
        return len(self.different)

    def __getitem__(self, name: str) -> Difference:
        """The difference of that name. Raises KeyError where there is none."""
        for difference in self.different:
            if difference.name == name:
                return difference
        raise KeyError(name)


NOTHING = Differences()
"""Where nothing was there to compare."""


def same_value(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, and NaN and NaN; 1 and true, or 1 and "1", do not.

    Two numbers may differ by `tolerance`, a share of the greater one.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or (one != one and other != other) or (tolerance > 0 and _is_close(one, other, tolerance))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


def _is_close(one: float, other: float, tolerance: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=tolerance)
    except OverflowError:  # integers too large for a double
        return False


def differences(
    sides: Sequence[Mapping[str, Any]], same: Callable[[Any, Any], bool] = same_value, by_name: bool = False
) -> Differences:
    """What is not the same in all of these mappings, one for each run; sorted by name, or in the order of appearance.

    >>> found = differences([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    >>> [(each.name, each.values, each.kind) for each in found], found.same
    ([('b', (2, 3), 'changed'), ('c', (None, 4), 'added')], 1)
    """
    found, equal = [], 0
    names = dict.fromkeys(name for side in sides for name in side)
    for name in sorted(names) if by_name else names:
        absent = tuple(i for i, side in enumerate(sides) if name not in side)
        values = tuple(side.get(name) for side in sides)
        if not absent and all(same(values[0], value) for value in values[1:]):
            equal += 1
        else:
            found.append(difference(name, values, absent))
    return Differences(tuple(found), equal)


def difference(name: str, values: Sequence[Any], absent: Sequence[int] = (), goal: str | None = None) -> Difference:
    """A Difference with its kind and changes worked out."""
    others = range(1, len(values))
    kind = CHANGED
    if absent and all(i not in absent for i in others):
        kind = ADDED
    elif 0 not in absent and all(i in absent for i in others):
        kind = REMOVED
    changes = tuple(None if i == 0 else change(values[0], value, goal) for i, value in enumerate(values))
    return Difference(name, tuple(values), kind, tuple(absent), changes, goal)


def change(first: Any, other: Any, goal: str | None = None) -> Change | None:
    """How a number changed; None where one of the two is no number, or where nothing changed.

    >>> change(8, 6, "min")
    Change(difference=-2, percent=-25.0, verdict='better')
    """
    if not (_is_number(first) and _is_number(other)) or same_value(first, other):
        return None
    verdict = None
    if goal is not None and not same_value(first, other, NOISE):
        verdict = BETTER if _rank(other, goal) > _rank(first, goal) else WORSE
    try:
        by = other - first
        percent = 100 * (by / abs(first)) if first and math.isfinite(first) and math.isfinite(by) else None
    except OverflowError:  # integers too large for a double
        return Change(other - first if type(first) is type(other) else math.nan, None, verdict)
    return Change(by, percent, verdict)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rank(value: float, goal: str) -> tuple[bool, float]:
    """The greater, the better; NaN is worse than any number."""
    return (value == value, 0 if value != value else value if goal == "max" else -value)
