"""A gate for CI: whether runs are no worse than others, by more than is allowed.

limits      how much worse a value may be; Welch's test
junit       what came of it, as JUnit's readers take it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from gxt import against, query, render, stats
from gxt.against import Reference
from gxt.errors import UsageError
from gxt.gate.limits import FAILED, MIN_RUNS, PASSED, SKIPPED, Tolerance, is_within, limit, welch
from gxt.model import Run, flatten
from gxt.query import Field

_LEFT_OUT = "(not logged)"

KnownGoals = Callable[[str, str], str | None]
"""Says of an experiment and a metric which end of it is better, None where nobody knows."""


@dataclass(frozen=True)
class Terms:
    """What is asked of runs.

    Attributes:
        metrics: those that are looked at.
        tolerances: how much worse each may be; under "" what holds for the rest.
        goals: what is better of which metric, where neither the experiment nor the metric's name says so.
        group_by: fields: runs with the same values of them are one group, and their mean counts.
        over: fields: runs that differ in nothing else of their params are one group.
        alpha: a group fails where Welch's test gives less than this.
        any_passes: whether it is enough that one run, or group, of an experiment passes.
    """

    metrics: Sequence[str]
    tolerances: Mapping[str, Tolerance]
    goals: Mapping[str, str]
    group_by: Sequence[str] = ()
    over: Sequence[str] = ()
    alpha: float = 0.05
    any_passes: bool = False

    def tolerance(self, metric: str) -> Tolerance:
        """How much worse a metric may be."""
        return self.tolerances.get(metric, self.tolerances.get("", Tolerance(0.0, False)))


class Subject(NamedTuple):
    """What is checked, or measured against: a run, or the runs of a group."""

    label: str
    runs: list[Run]


@dataclass(frozen=True)
class Verdict:
    """What came of one metric of one run, or group.

    Attributes:
        experiment, subject, metric, goal: what was looked at; the goal is None where nobody knows it, and nothing is
            measured.
        status: "passed", "failed" or "skipped".
        why: a sentence.
        runs: the ids of the run, or of the group's.
        value: the run's value, or the group's mean; None where there is none.
        reference: what it is measured against: a run's name, or a group; None where there is nothing.
        reference_runs: their ids.
        reference_value: its value, or mean.
        limit: the worst value that passes.
        tolerance: as it was asked for.
        p: of Welch's test, where there were enough runs for it.
    """

    experiment: str
    subject: str
    metric: str
    goal: str | None
    status: str
    why: str
    runs: tuple[str, ...]
    value: float | None = None
    reference: str | None = None
    reference_runs: tuple[str, ...] = ()
    reference_value: float | None = None
    limit: float | None = None
    tolerance: str = ""
    p: float | None = None


@dataclass(frozen=True)
class Result:
    """What came of all.

    Attributes:
        verdicts: one for each metric of each run, or group.
        passed: whether the gate is open.
        against: what runs were measured against, as it was asked for.
    """

    verdicts: tuple[Verdict, ...]
    passed: bool
    against: str

    def to_dict(self) -> dict[str, Any]:
        """As docs/json.md describes it."""
        return {"passed": self.passed, "against": self.against, "checks": [asdict(one) for one in self.verdicts]}


def check(
    runs: Sequence[Run],
    others: Sequence[Run],
    reference: Reference,
    known_goals: KnownGoals,
    terms: Terms,
    elsewhere: Callable[[], Iterable[str]] = tuple,
) -> Result:
    """Whether runs are no worse than the reference, which is one of `others` or the best of them in each experiment.

    Where that has nothing to measure a metric against, the metric is skipped. `elsewhere` gives the metrics that runs
    of other experiments have.

    Raises:
        NotFoundError: no run at all has a metric.
        UsageError: nobody knows what is better of a metric.
    """
    checked = {run.id for run in runs}
    others = [run for run in others if run.id not in checked]
    named = [] if reference.run is None else [reference.run]
    everything = [*runs, *others, *named]
    asked = dict.fromkeys([*terms.metrics, *([reference.metric] if reference.metric else [])])
    fields = {metric: against.metric_field(metric, everything, elsewhere) for metric in asked}
    verdicts = []
    for experiment in dict.fromkeys(run.experiment for run in runs):
        mine = _subjects([run for run in runs if run.experiment == experiment], everything, terms)
        theirs = _subjects([run for run in others if run.experiment == experiment], everything, terms)
        if reference.run is not None:
            theirs = _with(reference.run, [*others, *named], everything, terms)

        def goal(metric: str, experiment: str = experiment) -> str:
            return _goal(metric, fields[metric], experiment, reference, known_goals, terms)

        for metric in terms.metrics:
            by = reference.metric or metric
            lacking = next((one for one in (by, metric) if not any(_values(s, fields[one]) for s in theirs)), None)
            if reference.run is None and lacking is not None:
                verdicts += [_not_measured(experiment, subject, metric, fields[metric], lacking) for subject in mine]
                continue
            measured = _best(theirs, fields[by], goal(by))
            verdicts += [_verdict(experiment, s, measured, metric, fields[metric], goal(metric), terms) for s in mine]
    return Result(tuple(verdicts), _is_open(verdicts, terms), reference.text)


def _goal(
    metric: str, field: Field, experiment: str, reference: Reference, known_goals: KnownGoals, terms: Terms
) -> str:
    said = terms.goals.get(metric) or (reference.goal if metric == reference.metric else None)
    goal: str | None = said or known_goals(experiment, field.name)
    if goal is None:
        raise UsageError(
            f"what is better of {metric}?", f"--goal {metric}:min or {metric}:max; `gxt goal` says it for all readers"
        )
    return goal


# --- what is compared with what ------------------------------------------------------------------------------------


def _subjects(runs: Sequence[Run], everything: Sequence[Run], terms: Terms) -> list[Subject]:
    """The runs one by one, or in groups."""
    if not terms.group_by and not terms.over:
        return [Subject(run.name or run.id, [run]) for run in runs]
    fields = _key_fields(everything, terms)
    groups = stats.group(runs, fields)
    shown = [field for i, field in enumerate(fields) if terms.group_by or len({repr(g.key[i]) for g in groups}) > 1]
    return [Subject(_label(group, fields, shown, bool(terms.group_by)), group.runs) for group in groups]


def _key_fields(everything: Sequence[Run], terms: Terms) -> list[Field]:
    known = query.KnownOf(everything)
    if terms.group_by:
        return [query.resolve(name, known) for name in terms.group_by]
    left_out = {query.resolve(name, known) for name in terms.over}
    names = sorted({name for run in everything for name in flatten(run.params)})
    return [field for name in names if (field := Field("params", name)) not in left_out]


def _label(group: stats.Group, fields: Sequence[Field], shown: Sequence[Field], says_none: bool) -> str:
    # Of params, what a group lacks goes without saying: another experiment's, most of the time.
    parts = [
        f"{field.name}={_LEFT_OUT if value is None else render.cell_text(value, 'text', None)}"
        for field, value in zip(fields, group.key, strict=True)
        if field in shown and (value is not None or says_none)
    ]
    count = f"{len(group.runs)} run{'' if len(group.runs) == 1 else 's'}"
    return f"{', '.join(parts)} ({count})" if parts else f"{group.runs[0].name or group.runs[0].id} ({count})"


def _with(run: Run, candidates: Sequence[Run], everything: Sequence[Run], terms: Terms) -> list[Subject]:
    """The one subject that a run is, or is in."""
    near = list({one.id: one for one in candidates if one.experiment == run.experiment}.values())
    return [s for s in _subjects(near, everything, terms) if run.id in {one.id for one in s.runs}]


def _best(subjects: Sequence[Subject], metric: Field, goal: str) -> Subject | None:
    having = [(subject, mean) for subject in subjects if (mean := _mean(subject, metric)) is not None and mean == mean]
    if not having:
        return subjects[0] if len(subjects) == 1 else None
    better = min if goal == "min" else max
    return better(having, key=lambda pair: pair[1])[0]


def _mean(subject: Subject, metric: Field) -> float | None:
    """The mean over the runs that have the metric; NaN where one of them is."""
    values = _values(subject, metric)
    if any(value != value for value in values):
        return math.nan
    return stats.aggregate(stats.Sample(values, 0, 0), "mean") if values else None


def _values(subject: Subject, metric: Field) -> list[float]:
    return [value for run in subject.runs if stats.is_number(value := metric.value(run))]


# --- verdicts ------------------------------------------------------------------------------------------------------


def _not_measured(experiment: str, subject: Subject, metric: str, field: Field, lacking: str) -> Verdict:
    """Of a metric that nothing is measured against, since no run of the experiment there has what is `lacking`."""
    value = _mean(subject, field)
    status, why = SKIPPED, f"nothing to measure against: no run of {experiment} there has {lacking}"
    if value is not None and value != value:
        status, why = FAILED, f"{metric} is NaN"
    ids = tuple(run.id for run in subject.runs)
    return Verdict(experiment, subject.label, metric, None, status, why, ids, value)


def _verdict(
    experiment: str, subject: Subject, measured: Subject | None, metric: str, field: Field, goal: str, terms: Terms
) -> Verdict:
    value = _mean(subject, field)
    tolerance = terms.tolerance(metric)
    other = None if measured is None else _mean(measured, field)
    worst = None if other is None or other != other else limit(other, goal, tolerance)
    p = None
    if value is None:
        status, why = FAILED, f"{metric} was not logged"
    elif value != value:
        status, why = FAILED, f"{metric} is NaN"
    elif len(_values(subject, field)) < len(subject.runs):
        status, why = FAILED, f"{len(subject.runs) - len(_values(subject, field))} of the runs did not log {metric}"
    elif measured is None:
        status, why = FAILED, f"{metric} is NaN in all that it is measured against"
    elif other is None or worst is None:
        status, why = FAILED, f"{measured.label} has {'NaN as' if other is not None else 'no'} {metric}"
    else:
        status, why, p = _judged(subject, measured, field, value, other, worst, goal, terms, tolerance)
    return Verdict(
        experiment=experiment,
        subject=subject.label,
        metric=metric,
        goal=goal,
        status=status,
        why=why,
        runs=tuple(run.id for run in subject.runs),
        value=value,
        reference=None if measured is None else _reference_label(measured, experiment),
        reference_runs=() if measured is None else tuple(run.id for run in measured.runs),
        reference_value=other,
        limit=worst,
        tolerance=str(tolerance),
        p=p,
    )


def _reference_label(measured: Subject, experiment: str) -> str:
    """What it is measured against, with its experiment where that is another: somebody has named it then."""
    other = measured.runs[0].experiment
    return measured.label if other == experiment else f"{other}/{measured.label}"


def _judged(
    subject: Subject,
    measured: Subject,
    field: Field,
    value: float,
    other: float,
    worst: float,
    goal: str,
    terms: Terms,
    tolerance: Tolerance,
) -> tuple[str, str, float | None]:
    """The status, why, and Welch's p where both sides are groups of enough runs."""
    mine, theirs = _values(subject, field), _values(measured, field)
    p = None
    if min(len(mine), len(theirs)) >= MIN_RUNS and all(map(math.isfinite, [*mine, *theirs])):
        p = welch(mine, theirs, goal, tolerance.allowed(other))
    sign = "≤" if goal == "min" else "≥"
    if p is not None:
        status = FAILED if p < terms.alpha else PASSED
        if status == FAILED:
            return status, f"its mean is worse than {worst:.6g} (p = {p:.3g} < {terms.alpha:g})", p
        return status, f"its mean may be as good as {worst:.6g} (p = {p:.3g} ≥ {terms.alpha:g})", p
    status = PASSED if is_within(value, worst, goal) else FAILED
    return status, f"{value:.6g} {sign if status == PASSED else 'is not ' + sign} {worst:.6g}", None


def _is_open(verdicts: Sequence[Verdict], terms: Terms) -> bool:
    if not terms.any_passes:
        return all(verdict.status != FAILED for verdict in verdicts)
    good: dict[str, dict[str, bool]] = {}
    for verdict in verdicts:
        of_experiment = good.setdefault(verdict.experiment, {})
        of_experiment[verdict.subject] = of_experiment.get(verdict.subject, True) and verdict.status != FAILED
    return all(any(of_experiment.values()) for of_experiment in good.values())
