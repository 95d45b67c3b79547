"""What a review is measured against: the runs that a branch has and a base has not, and which run of the base counts.

Everything is read from two commits, the branch's and the base's, so that what is said does not depend on where it is
run: in a clone that records, or in one that CI has just made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gxt import catalog, git, query, review, stats, store
from gxt.cache import Progress
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Experiment, Run
from gxt.query import Field, In
from gxt.review import NEW, Unit

_RUN_ID = Field("attributes", "run_id")
_MOST_IDS = 1000  # in one question to the cache; of more, all runs are looked through


@dataclass(frozen=True)
class Base:
    """What a branch is compared with: what it is called, such as `origin/gxt`, and its commit."""

    name: str
    commit: str


@dataclass(frozen=True)
class News:
    """What a branch has that its base has not.

    Attributes:
        branch: its name.
        commit: where it stands.
        base: what it is compared with.
        runs: the new ones that are not deleted, oldest first.
        units: all that is otherwise, deleted runs and documents included.
        experiments: those of the branch, by name.
    """

    branch: str
    commit: str
    base: Base
    runs: list[Run]
    units: list[Unit]
    experiments: Mapping[str, Experiment]

    @property
    def changed(self) -> list[Unit]:
        """The runs of the base that the branch changes or takes away."""
        return [unit for unit in self.units if unit.run_id is not None and unit.what != NEW]

    def goal(self, experiment: str, metric: str) -> str | None:
        """Which end of a metric is better in an experiment, None where neither it nor the metric's name says so."""
        known = self.experiments.get(experiment)
        return stats.goal_of(metric, known.goals if known else {})


def base_of(repo: Repository, text: str | None = None) -> Base:
    """The base that a text names; without one, the run branch of the review that is on, or what a remote has of the
    branch: there where it is to be merged, as far as that is known.

    Raises:
        NotFoundError: there is nothing of that name, or nothing to go by.
        UsageError: it has no runs.
    """
    settings = git.config(repo)
    if text is not None:
        (commit,) = git.resolve(repo, [text]) if text.isprintable() else [None]
        if commit is None:
            raise NotFoundError(f"no branch or commit {text!r}", "`git branch --all` lists branches")
        if not store.holds_runs(repo, commit):
            raise UsageError(f"{text} is no commit of runs", "name the run branch, such as origin/gxt")
        return Base(text, commit)
    branch = store.branch_name(settings)
    name = store.base_of(settings, branch) or branch
    for ref, commit in git.remote_branches(repo, name, settings).items():
        return Base(ref.removeprefix("refs/remotes/"), commit)
    local = store.branch_tip(repo, name, settings).local_commit
    if name != branch and local is not None:
        return Base(name, local)
    raise NotFoundError(f"nothing to compare {branch} with", "--base BRANCH says what it is to be merged into")


def news(repo: Repository, base: Base, progress: Progress | None = None) -> News:
    """What the run branch, or the review that is on, has that a base has not.

    Raises:
        NotFoundError: it has no commit.
    """
    settings = git.config(repo)
    branch, at = store.branch_name(settings), store.tip(repo, settings)
    if at.commit is None:
        raise NotFoundError(f"there is no branch {branch}", f"`git fetch REMOTE {branch}` brings it")
    _, units = review.compared(repo, at.commit, [base.commit])
    new = tuple(unit.run_id for unit in units if unit.what == NEW and unit.run_id is not None)
    wanted = set(new)
    only = In(_RUN_ID, new) if len(new) <= _MOST_IDS else query.And(())
    found = catalog.listing(repo, at=at.commit, where=only, progress=progress)
    runs = [run for run in found.runs if run.id in wanted]
    return News(branch, at.commit, base, runs, units, {e.name: e for e in found.experiments})


def runs_at(repo: Repository, commit: str, experiments: Iterable[str], progress: Progress | None = None) -> list[Run]:
    """The runs of some experiments at a commit that are not deleted, oldest first."""
    expression = In(Field("attributes", "experiment"), tuple(sorted(set(experiments))))
    return catalog.listing(repo, at=commit, where=expression, progress=progress).runs


def metric_field(metric: str, runs: Sequence[Run], elsewhere: Callable[[], Iterable[str]] = tuple) -> Field:
    """The metric, or the part of one (`rmse.min`), that a text names among the metrics of some runs, or else among
    those that other runs have `elsewhere`.

    Raises:
        NotFoundError: no run has it.
        UsageError: it is no metric.
    """
    if any(metric in run.metrics for run in runs):
        return Field("metrics", metric)
    try:
        field = query.resolve(metric, query.KnownOf(runs), of_metric=True)
    except NotFoundError:
        names = {name for run in runs for name in run.metrics}
        field = query.resolve(metric, query.KnownMetrics(names.union(elsewhere())), of_metric=True)
    if field.kind != "metrics":
        raise UsageError(f"{metric} is no metric", "name a metric")
    return field


def best(runs: Sequence[Run], metric: Field, goal: str) -> Run | None:
    """The run with the best value of a metric, the earliest of equals; None where none has a number."""
    having = [(run, value) for run in runs if stats.is_number(value := metric.value(run)) and value == value]
    if not having:
        return None
    better = min if goal == "min" else max
    return better(having, key=lambda pair: pair[1])[0]


@dataclass(frozen=True)
class Reference:
    """What runs are measured against.

    Attributes:
        text: as it was asked for.
        commit: where its runs are.
        run: the one run that it names; None where the best of each experiment counts.
        metric: the metric of `@best:METRIC`, None where each metric has its own best.
        goal: the goal in `@best:METRIC:max`.
    """

    text: str
    commit: str
    run: Run | None = None
    metric: str | None = None
    goal: str | None = None


def reference(repo: Repository, text: str, base: Base) -> Reference:
    """What `--against` means: `@best:METRIC`, the best of each experiment on the base; a run there; or a revision of
    the run branch, whose best runs count.

    Raises:
        NotFoundError: it is none of these.
    """
    if text.startswith("@best:"):
        metric, goal = text.removeprefix("@best:"), None
        if metric.endswith((":min", ":max")):
            metric, goal = stats.parse_goal(metric)
        if not metric:
            raise UsageError(f"no run can be named {text!r}", "@best:METRIC or @best:METRIC:max")
        return Reference(text, base.commit, metric=metric, goal=goal)
    try:
        return Reference(text, base.commit, catalog.find(repo, text, at=base.commit))
    except NotFoundError as error:
        commit = git.resolve(repo, [text])[0] if text.isprintable() and "@last" not in text else None
        if commit is None:
            raise NotFoundError(f"{base.name} has no run {text!r}, and it is no revision", error.hint) from None
    return Reference(text, base_of(repo, text).commit)
