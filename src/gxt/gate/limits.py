"""How much worse than what it is measured against a value may be, and whether one is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gxt.errors import MissingPackageError, UsageError

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

MIN_RUNS = 3
"""How many runs each side needs for Welch's test; fewer say too little of their spread."""


class Tolerance(NamedTuple):
    """How much worse a value may be: so much, or such a part of the size of what it is measured against."""

    amount: float
    relative: bool

    def allowed(self, reference: float) -> float:
        """The difference that is allowed from a value.

        >>> Tolerance(0.01, relative=True).allowed(-200), Tolerance(0.5, relative=False).allowed(-200)
        (2.0, 0.5)
        """
        return self.amount * abs(reference) if self.relative and math.isfinite(reference) else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g} %" if self.relative else f"{self.amount:g}"


def parse_tolerance(text: str) -> Tolerance:
    """`1%`, of what is measured against, or `0.05`, in the metric's own unit.

    Raises:
        UsageError: it is neither, or negative.

    >>> parse_tolerance("1%")
    Tolerance(amount=0.01, relative=True)
    """
    number, percent, rest = text.strip().partition("%")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if rest or not 0 <= amount < math.inf:
        raise UsageError(f"no tolerance {text!r}", "a part of the reference such as 1%, or an amount such as 0.05")
    return Tolerance(amount / 100, True) if percent else Tolerance(amount, False)


def limit(reference: float, goal: str, tolerance: Tolerance) -> float:
    """The worst value that passes: the reference plus what is allowed where less is better, else minus that.

    >>> limit(200, "min", Tolerance(0.01, True)), limit(0.9, "max", Tolerance(0.1, False))
    (202.0, 0.8)
    """
    allowed = tolerance.allowed(reference)
    return reference + allowed if goal == "min" else reference - allowed


def is_within(value: float, worst: float, goal: str) -> bool:
    """Whether a value is no worse than the worst that passes; NaN never is."""
    return value <= worst if goal == "min" else value >= worst


def welch(values: Sequence[float], reference: Sequence[float], goal: str, allowed: float) -> float | None:
    """How likely means at least so much worse would be, if the true one were only worse by what is allowed (Welch's
    one-sided test, https://en.wikipedia.org/wiki/Welch%27s_t-test); None where there is no spread to tell by.

    Args:
        values, reference: three numbers or more, all of them finite.

    Raises:
        MissingPackageError: `pip install 'git-gxt[stats]'` is needed.
    """
    if len(set(values)) == 1 and len(set(reference)) == 1:
        return None
    try:
        from scipy.stats import ttest_ind
    except ImportError:
        raise MissingPackageError("scipy", "a Welch test", "stats") from None
    worst = [value + allowed if goal == "min" else value - allowed for value in reference]
    tested = ttest_ind(values, worst, equal_var=False, alternative="greater" if goal == "min" else "less")
    return float(tested.pvalue)
