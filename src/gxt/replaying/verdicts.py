"""Whether the metrics of a run that was run again are what they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gxt.errors import NotFoundError
from gxt.gate.limits import Tolerance
from gxt.model import Run, Summary
from gxt.showing import quoted

IDENTICAL, HELD, DIFFERS, MISSING, NEW = "identical", "held", "differs", "missing", "new"

DEFAULT = Tolerance(1e-9, relative=True)
"""What counts as the same number where nobody says otherwise."""


class Verdict(NamedTuple):
    """A value of a metric, then and now.

    Attributes:
        metric: its name, with `.min` or `.max` where its best value is meant and not its last.
        then, now: the two values, None where there is none.
        difference: now minus then.
        status: IDENTICAL, HELD (within the tolerance), DIFFERS, MISSING (now) or NEW.
    """

    metric: str
    then: float | None
    now: float | None
    difference: float | None
    status: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return self._asdict()


Goal = Callable[[str], str | None]
"""Which end of a metric is better: "min", "max", or None where nobody knows."""


def verdicts(
    then: Run, now: Run, goal: Goal, tolerances: Mapping[str, Tolerance], names: Sequence[str] = ()
) -> list[Verdict]:
    """A verdict on each metric's last value, and on its best where that is another, then or now; by name.

    Args:
        tolerances: by metric; "" for all others.
        names: the only metrics to look at.

    Raises:
        NotFoundError: the run that was run again has no metric of a name.
    """
    for name in names:
        if name not in then.metrics:
            raise NotFoundError(f"run {then.name} has no metric {quoted(name)}")
    found = []
    for name in sorted(names or {*then.metrics, *now.metrics}):
        tolerance = tolerances.get(name, tolerances.get("", DEFAULT))
        before, after = then.metrics.get(name), now.metrics.get(name)
        for part in _parts([before, after], goal(name)):
            old, new = (getattr(summary, part) if summary is not None else None for summary in (before, after))
            found.append(_verdict(name if part == "last" else f"{name}.{part}", old, new, tolerance))
    return found


def _parts(summaries: Sequence[Summary | None], goal: str | None) -> Iterator[str]:
    """The values to compare: the best one too where it is not the last in one of the two runs."""
    yield "last"
    if goal is not None and any(one is not None and _is_other(getattr(one, goal), one.last) for one in summaries):
        yield goal


def _is_other(value: float, last: float) -> bool:
    return value != last and not (math.isnan(value) and math.isnan(last))


def _verdict(name: str, then: float | None, now: float | None, tolerance: Tolerance) -> Verdict:
    if then is None or now is None:
        return Verdict(name, then, now, None, NEW if then is None else MISSING)
    if then == now or (math.isnan(then) and math.isnan(now)):
        return Verdict(name, then, now, 0.0, IDENTICAL)
    difference = now - then
    return Verdict(name, then, now, difference, HELD if abs(difference) <= tolerance.allowed(then) else DIFFERS)


def held(found: Sequence[Verdict]) -> bool:
    """Whether every metric that there was is what it was."""
    return all(verdict.status in (IDENTICAL, HELD, NEW) for verdict in found)


def is_compared(found: Sequence[Verdict]) -> bool:
    """Whether there was any metric to compare with."""
    return any(verdict.then is not None for verdict in found)
