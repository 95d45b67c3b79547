"""Which runs moved the best value of a metric, over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gxt import catalog, git, query, stats
from gxt.cache import Progress
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run
from gxt.query import Field, KnownMetrics


class Record(NamedTuple):
    """A run that was better than all before it.

    Attributes:
        run: the run.
        value: its value.
        before: the best value until then; None for the first.
        subject: the first line of the message of the commit that it ran; empty where git has no such commit here.
    """

    run: Run
    value: float
    before: float | None
    subject: str = ""

    @property
    def time(self) -> int | None:
        """When it was known: the end of the run, in milliseconds since 1970 UTC."""
        return self.run.ended if self.run.ended is not None else self.run.started

    @property
    def change(self) -> float | None:
        """By how much it moved the best value."""
        return None if self.before is None else self.value - self.before

    @property
    def percent(self) -> float | None:
        """The same in percent of the best value until then; None where that was zero."""
        return None if not self.before or self.change is None else 100 * self.change / abs(self.before)


class Line(NamedTuple):
    """The records of an experiment, the current best last.

    Attributes:
        goal: which end is better, "min" or "max".
        said: whether somebody said so, or the metric's name does; else less is taken for better.
        runs: how many runs were looked at.
    """

    experiment: str
    field: Field
    goal: str
    said: bool
    records: list[Record]
    runs: int


def lines(
    repo: Repository,
    metric: str,
    goal: str | None = None,
    experiments: Sequence[str] | None = None,
    *,
    where: catalog.Where = (),
    at: str | None = None,
    progress: Progress | None = None,
) -> list[Line]:
    """The records of a metric, or of a part of one (`rmse.min`), in each experiment that has it, by name.

    Runs count in the order in which they ended; live and deleted ones do not. Of equal values the first is the record,
    and NaN is none.

    Args:
        goal: "min" or "max"; where it is None, what `gxt goal` said, else the metric's name.
        where, at, progress: as for `catalog.listing`.

    Raises:
        NotFoundError: no run has the metric, or a number for it.
        UsageError: it is no metric.

    >>> lines(repo, "rmse")[0].records[-1].run.name  # doctest: +SKIP
    'hist-boosting'
    """
    if goal is not None and goal not in stats.GOALS:
        raise UsageError(f"best by {goal!r}?", "min or max")
    names = [known.name for known in catalog.fields(repo) if known.kind == "metrics"]
    field = query.resolve(metric, KnownMetrics(names), of_metric=True)
    if field.kind != "metrics":
        raise UsageError(f"{metric} is no metric", f"`gxt table --sort {field}` sorts by it")
    found = catalog.listing(repo, experiments, where=where, at=at, progress=progress)
    goals = {experiment.name: experiment.goals for experiment in found.experiments}
    runs: dict[str, list[Run]] = {}
    for run in sorted(found.runs, key=_when):
        if run.place != "live" and _number(run, field) is not None:
            runs.setdefault(run.experiment, []).append(run)
    if not runs:
        raise NotFoundError(f"no run has a value of the metric {metric!r}")
    stated = {name: goal or stats.goal_of(field.name, goals.get(name, {})) for name in sorted(runs)}
    moved = {name: _records(runs[name], field, stated[name] or "min") for name in stated}
    commits = {_commit(record.run) for records in moved.values() for record in records}
    subjects = git.subjects(repo, sorted(commits))
    return [
        Line(
            name,
            field,
            stated[name] or "min",
            stated[name] is not None,
            [record._replace(subject=subjects.get(_commit(record.run), "")) for record in records],
            len(runs[name]),
        )
        for name, records in moved.items()
    ]


def _when(run: Run) -> tuple[int, str]:
    return run.ended or run.started or 0, run.id


def _number(run: Run, field: Field) -> float | None:
    value = field.value(run)
    return value if value is not None and value == value else None


def _commit(run: Run) -> str:
    return str(run.source.get("commit") or "")


def _records(runs: Sequence[Run], field: Field, goal: str) -> list[Record]:
    found: list[Record] = []
    best: float | None = None
    for run in runs:
        value = _number(run, field)
        assert value is not None
        if best is None or (value < best if goal == "min" else value > best):
            found.append(Record(run, value, best))
            best = value
    return found
