"""What came of running a run again, as values that Python, the command line and notebooks show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gxt import layout, stats, worktrees
from gxt.cards import Section, card
from gxt.model import FINISHED, KILLED, Run, flatten
from gxt.replaying.verdicts import DIFFERS, HELD, IDENTICAL, MISSING, NEW, Verdict, is_compared
from gxt.replaying.verdicts import held as all_held
from gxt.showing import one_line

FAILED_CODE = 8
"""What `gxt reproduce` exits with where the command failed: no GxtError has it."""

_STATUSES = (IDENTICAL, HELD, DIFFERS, MISSING, NEW)


@dataclass(frozen=True, repr=False)
class Again:
    """A run that was run again.

    Attributes:
        then: the run that was there.
        run: the new one.
        compared: the run that answers to the old one: the new one, or one that it recorded.
        exit_code: of the command, as a shell has it.
        remarks: what differed from then, and what was not kept, as it was said.
        pointers: files in Git LFS of which the command found only the pointers.
        timed_out: whether the command was ended since it took longer than it was given.
    """

    then: Run
    run: Run
    compared: Run
    exit_code: int
    remarks: tuple[str, ...]
    pointers: tuple[str, ...]
    timed_out: bool

    @property
    def other_inputs(self) -> list[str]:
        """The inputs whose digest is another one."""
        digests = {name: about.get("digest") for name, about in self.compared.inputs.items()}
        inputs = self.then.inputs.items()
        return [name for name, about in inputs if name in digests and digests[name] != about.get("digest")]

    def lines(self) -> Iterator[str]:
        """What is to be said of it besides its metrics, a line each."""
        if self.compared.id != self.run.id:
            yield f"compared with {self.compared.name} ({self.compared.id}), which it recorded"
        if self.timed_out:
            yield "the command took longer than the timeout, and was ended"
        elif self.exit_code and self.then.status == FINISHED:
            yield f"the command failed with exit code {self.exit_code}; then, it finished"
        if self.pointers:
            yield f"in Git LFS, and there as pointers alone: {worktrees.names_of(self.pointers)}"
        for path in self.other_inputs:
            yield f"the input {one_line(path)} is not what it was"

    def _facts(self) -> dict[str, Any]:
        return {
            "of": f"{self.then.name} ({self.then.id})",
            "new run": f"{self.run.name} ({self.run.id})",
            "experiment": self.run.experiment,
        }

    def _folding(self) -> list[Section]:
        return [Section("worth knowing", text="\n".join([*self.lines(), *self.remarks]))]


@dataclass(frozen=True, repr=False)
class Reproduction(Again):
    """Whether a run that was run again came to the same. A notebook shows it as a card.

    Attributes:
        metrics: a verdict on each: `metric`, the values `then` and `now`, their `difference`, and the `status`:
            "identical", "held" (within the tolerance), "differs", "missing" or "new".
    """

    metrics: tuple[Verdict, ...]

    @property
    def held(self) -> bool | None:
        """Whether every metric held; None where the command failed or was ended, or there was nothing to compare."""
        if self._why_untold or not is_compared(self.metrics):
            return None
        return all_held(self.metrics)

    @property
    def _why_untold(self) -> str:
        """Why the metrics tell nothing: the command did not come to its end. Nothing where it did."""
        if self.timed_out:
            return "the command was ended at the timeout"
        if self.run.status == KILLED:
            return "the command was ended before its own end"
        return "the command failed" if self.exit_code and self.then.status == FINISHED else ""

    @property
    def verdict_code(self) -> int:
        """What `gxt reproduce` exits with: 0 where all held, 1 where not, 8 where the command failed or was ended, 2
        where there was nothing to compare."""
        if self._why_untold:
            return FAILED_CODE
        return {True: 0, False: 1, None: 2}[self.held]

    @property
    def summary(self) -> str:
        """The verdict in a line.

        >>> gxt.reproduce("@last").summary  # doctest: +SKIP
        'held: 1 identical'
        """
        counts = {status: sum(one.status == status for one in self.metrics) for status in _STATUSES}
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no metric to compare"
        word = {True: "held", False: "did not hold", None: "cannot be told"}[self.held]
        return f"{word}: {', '.join(filter(None, [self._why_untold, said]))}"

    def to_dict(self) -> dict[str, Any]:
        """As `gxt reproduce --json` gives it."""
        return {
            "run": self.then.id,
            "new_run": self.run.id,
            "compared_with": self.compared.id,
            "status": self.run.status,
            "exit_code": self.exit_code,
            "timed_out": self.timed_out,
            "held": self.held,
            "metrics": [verdict.to_dict() for verdict in self.metrics],
            "other_inputs": self.other_inputs,
            "pointers": list(self.pointers),
            "remarks": list(self.remarks),
        }

    def __repr__(self) -> str:
        return f"<Reproduction of {self.then.name} by {self.run.name}: {self.summary}>"

    def _repr_html_(self) -> str:
        rows = [(v.metric, exact(v.then), exact(v.now), v.difference, v.status) for v in self.metrics]
        sections = [Section("metrics", rows, ("", "then", "now", "difference", "verdict")), *self._folding()]
        return card(self.summary, self.run.status, self._facts(), sections)


@dataclass(frozen=True, repr=False)
class Rerun(Again):
    """What a run that was run again with changes came to. A notebook shows it as a card.

    Attributes:
        goals: which end of a metric is better, where somebody said so.
    """

    goals: Mapping[str, str]

    @property
    def params(self) -> dict[str, tuple[Any, Any]]:
        """The params that are others: what they were, and what they are; None where there is none."""
        before, after = flatten(self.then.params), flatten(self.compared.params)
        names = sorted({*before, *after})
        return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}

    @property
    def metrics(self) -> dict[str, tuple[float | None, float | None, str]]:
        """The last value of each metric: what it was, what it is, and whether that is "better" or "worse", if known."""
        found = {}
        for name in sorted({*self.then.metrics, *self.compared.metrics}):
            old, new = (run.metrics[name].last if name in run.metrics else None for run in (self.then, self.compared))
            found[name] = (old, new, _change(stats.goal_of(name, self.goals), old, new))
        return found

    def __repr__(self) -> str:
        return f"<Rerun of {self.then.name} as {self.run.name}: {self.run.status}>"

    def _repr_html_(self) -> str:
        metrics = [(name, exact(old), exact(new), word) for name, (old, new, word) in self.metrics.items()]
        params = [(name, *pair) for name, pair in self.params.items()]
        sections = [
            Section("metrics", metrics, ("", "then", "now", "")),
            Section("params", params, ("", "then", "now")),
            *self._folding(),
        ]
        return card(self.run.name or self.run.id, self.run.status, self._facts(), sections)


def _change(goal: str | None, old: float | None, new: float | None) -> str:
    if goal is None or old is None or new is None or old == new:
        return ""
    return "better" if (new < old) == (goal == "min") else "worse"


def exact(value: float | None) -> str | None:
    """A value to the last digit, which is what is asked about."""
    return None if value is None else layout.metric_value(value)
