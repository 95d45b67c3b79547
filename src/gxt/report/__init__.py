"""The report of a review: what a branch has that its base has not, for those who decide on a pull request.

cautions    what to know before trusting the new runs
curves      curves that hosts show in a comment
document    all of it as markdown
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gxt import against, comparison, git, joining, layout, render, stats, store
from gxt.against import Base, News, Reference
from gxt.cache import Progress
from gxt.comparison import Comparison
from gxt.comparison.values import Change, change
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import Run
from gxt.query import Field
from gxt.report.cautions import Caution, cautions_of

MOST_CURVES = 20
"""Of so many runs of an experiment the curves are read."""


@dataclass(frozen=True)
class OfExperiment:
    """The new runs of an experiment.

    Attributes:
        name: the experiment's.
        runs: the new ones, the best first; where there is no metric to go by, the latest first.
        metric: the metric that tells which is best; None where there is none.
        goal: which end of it is better.
        goals: of all its metrics that have one.
        best: the best of the new ones.
        reference: the run that it is measured against; None where the base has none.
        comparison: what differs between the two, the reference first.
        curves: the metric's curve of the first of the runs and of the reference, by run id.
    """

    name: str
    runs: list[Run]
    metric: Field | None
    goal: str
    goals: Mapping[str, str]
    best: Run | None
    reference: Run | None
    comparison: Comparison | None
    curves: Mapping[str, Mapping[int, float]]

    @property
    def change(self) -> Change | None:
        """How the metric went from the reference to the best of the new runs."""
        if self.metric is None or self.best is None or self.reference is None:
            return None
        return change(self.metric.value(self.reference), self.metric.value(self.best), self.goal)


@dataclass(frozen=True)
class Report:
    """What a branch has that its base has not.

    Attributes:
        news: the runs themselves.
        experiments: those that have new runs, by name.
        cautions: what to know of them.
        measured: what the best of them stand against.
        conflicts: the files in which a host cannot merge the branch into its base.
    """

    news: News
    experiments: list[OfExperiment]
    cautions: list[Caution]
    measured: Reference
    conflicts: Sequence[str] = ()

    @property
    def remedy(self) -> str:
        """The command that joins the two, so that there are no conflicts."""
        base, branch = self.news.base.name, self.news.branch
        return "gxt sync" if base.endswith(f"/{branch}") else "gxt review update"

    def to_dict(self) -> dict[str, Any]:
        """As docs/json.md describes it."""
        news = self.news
        return {
            "branch": news.branch,
            "commit": news.commit,
            "base": {"name": news.base.name, "commit": news.base.commit},
            "runs": len(news.runs),
            "experiments": [_experiment_json(one) for one in self.experiments],
            "changed": [{"id": unit.run_id, "experiment": unit.experiment, "what": unit.what} for unit in news.changed],
            "warnings": [
                {"kind": one.kind, "text": one.text, "runs": [run.id for run in one.runs]} for one in self.cautions
            ],
            "conflicts": list(self.conflicts),
        }


def _experiment_json(one: OfExperiment) -> dict[str, Any]:
    def named(run: Run | None) -> dict[str, Any] | None:
        value = None if run is None or one.metric is None else one.metric.value(run)
        return None if run is None else {"id": run.id, "name": run.name, "value": value, "experiment": run.experiment}

    return {
        "name": one.name,
        "metric": str(one.metric).removeprefix("metrics.") if one.metric else None,
        "goal": one.goal if one.metric else None,
        "best": named(one.best),
        "reference": named(one.reference),
        "change": None if one.change is None else one.change._asdict(),
        "runs": [render.run_json(run) for run in one.runs],
        "comparison": None if one.comparison is None else one.comparison.to_dict(),
    }


def report(
    repo: Repository,
    base: Base,
    reference: str | None = None,
    metrics: Sequence[str] = (),
    goals: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The report on what the run branch, or the review that is on, has and a base has not.

    Args:
        reference: what the best of the new runs are measured against, as `against.reference` reads it; without it, the
            best run of the same experiment on the base.
        metrics: the metrics that tell which run is best, the first of them that an experiment has; without them, the
            first with a goal.
        goals: what is better of which metric, where the experiment does not say so or says otherwise.

    Raises:
        NotFoundError: there is no such run or revision, or no run has the metric.
    """
    news = against.news(repo, base, progress)
    measured = against.reference(repo, reference, base) if reference is not None else Reference("", base.commit)
    if measured.metric and not metrics:
        metrics = [measured.metric]
    names = sorted({run.experiment for run in news.runs})
    others = against.runs_at(repo, measured.commit, names, progress)
    before = others if measured.commit == base.commit else against.runs_at(repo, base.commit, names, progress)
    fields = [against.metric_field(metric, [*news.runs, *others]) for metric in metrics]
    said = dict(goals or {}) | ({measured.metric: measured.goal} if measured.metric and measured.goal else {})
    return Report(
        news,
        [_of_experiment(repo, news, name, others, measured, fields, said) for name in names],
        cautions_of(repo, news, before),
        measured,
        joining.conflicts(repo, git.config(repo), news.commit, base.commit),
    )


def _of_experiment(
    repo: Repository,
    news: News,
    name: str,
    others: Sequence[Run],
    measured: Reference,
    wanted: Sequence[Field],
    said: Mapping[str, str],
) -> OfExperiment:
    runs = [run for run in news.runs if run.experiment == name]
    goals = _goals(news, name, runs, said)
    metric = next((field for field in wanted if any(field.value(run) is not None for run in runs)), None)
    if metric is None and not wanted:
        metric = _telling(news, name, runs, goals)
    if metric is not None and metric.name not in goals:
        if wanted:
            raise UsageError(f"what is better of {metric.name}?", f"--goal {metric.name}:min or {metric.name}:max")
        metric = None
    goal = goals[metric.name] if metric else "min"
    best = against.best(runs, metric, goal) if metric else None
    reference = measured.run
    if reference is None and metric is not None:
        ids = {run.id for run in runs}
        reference = against.best([run for run in others if run.experiment == name and run.id not in ids], metric, goal)
    compared = None
    if best is not None and reference is not None:
        named = goals_of([best, reference], said)
        compared = comparison.of(repo, [reference, best], named, False, also_at=measured.commit)
    ranked = _ranked(runs, metric, goal)
    curves = _curves(repo, news.commit, ranked[:MOST_CURVES], metric)
    curves |= _curves(repo, measured.commit, [reference] if reference else [], metric)
    return OfExperiment(name, ranked, metric, goal, goals, best, reference, compared, curves)


def goals_of(runs: Sequence[Run], said: Mapping[str, str]) -> dict[str, str]:
    """Those of some goals that are about metrics of these runs."""
    return {metric: goal for metric, goal in said.items() if any(metric in run.metrics for run in runs)}


def _goals(news: News, name: str, runs: Sequence[Run], said: Mapping[str, str]) -> dict[str, str]:
    """What is better of the metrics that the runs have: those that somebody stated first."""
    for metric, goal in said.items():
        stats.check_goal(metric, goal)
    stated = news.experiments[name].goals if name in news.experiments else {}
    known = sorted({metric for run in runs for metric in run.metrics})
    order = sorted(known, key=lambda metric: (metric not in said, metric not in stated, _is_of_training(metric)))
    found = {metric: said.get(metric) or stats.goal_of(metric, stated) for metric in order}
    return {metric: goal for metric, goal in found.items() if goal is not None}


def _is_of_training(metric: str) -> bool:
    return metric.lower().startswith("train")


def _telling(news: News, name: str, runs: Sequence[Run], goals: Mapping[str, str]) -> Field | None:
    """The metric that tells which run is best: of those with a stated goal, else of all, the one that most have."""
    stated = news.experiments[name].goals if name in news.experiments else {}
    among = [metric for metric in goals if metric in stated] or list(goals)
    if not among:
        return None
    best = max(among, key=lambda metric: sum(metric in run.metrics for run in runs))  # the first of equals
    return Field("metrics", best)


def _ranked(runs: Sequence[Run], metric: Field | None, goal: str) -> list[Run]:
    def rank(run: Run) -> tuple[bool, float, int]:
        value = metric.value(run) if metric else None
        if value is None or value != value:
            return True, 0, -(run.started or 0)
        return False, value if goal == "min" else -value, -(run.started or 0)

    return sorted(runs, key=rank)


def _curves(repo: Repository, commit: str, runs: Sequence[Run], metric: Field | None) -> dict[str, dict[int, float]]:
    """The metric's curve of those runs that have more than one value of it."""
    having = [run for run in runs if metric and metric.name in run.metrics and run.metrics[metric.name].count > 1]
    found: dict[str, dict[int, float]] = {}
    for run in having:
        (data,) = store.read_histories(repo, commit, [run])
        points = layout.read_points(data or b"")
        found[run.id] = {point.step: point.value for point in points if metric and point.metric == metric.name}
    return found
