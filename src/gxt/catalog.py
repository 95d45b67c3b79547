"""Every run of a clone, wherever it is: on the branch, waiting to be committed, or still recording."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from gxt import cache, git, large, layout, live, query, stats, store
from gxt.cache import MetricRange, Progress, View
from gxt.errors import FormatError, GxtError, GxtWarning, NotFoundError, UsageError, did_you_mean
from gxt.git import Repository
from gxt.model import RUN_ID, RUNNING, Experiment, MetricPoint, Run, flatten, now, random_digits
from gxt.pointers import Pointer, may_be_pointer, read_pointer, write_pointer
from gxt.query import And, Columns, Comparison, Expression, Field, In, IsNull, Not, Or, SortKey
from gxt.showing import quoted
from gxt.yamlreader import parse_scalar

_LISTED = 5
_NEAR_AMONG = 1000  # of the latest runs, names are looked through for one that is near

Result = TypeVar("Result")


@dataclass(frozen=True)
class Listing:
    """Runs as they stood at one moment.

    Attributes:
        runs: in the order asked for; oldest first where none was.
        experiments: all that are known, deleted ones included, and those whose first run is still to come.
        problems: what could not be read, and why.
        tip: where the run branch stood, or the commit that was asked for.
        total: how many runs there are without the limit.
        columns: the fields that the columns asked for name, and those that they drop.
    """

    runs: list[Run]
    experiments: list[Experiment]
    problems: list[FormatError]
    tip: store.Tip
    total: int
    columns: Columns

    @property
    def goals(self) -> dict[str, str]:
        """Whether less ("min") or more ("max") of a metric is better, where the runs' experiments say so and agree."""
        names = {run.experiment for run in self.runs}
        return stats.agreed_goals(experiment for experiment in self.experiments if experiment.name in names)

    def goal(self, experiment: str, metric: str) -> str:
        """Whether less ("min") or more ("max") of a metric is better there; "min" where nobody knows."""
        goals = next((e.goals for e in self.experiments if e.name == experiment), {})
        return stats.goal_of(metric, goals) or "min"


Where = str | Sequence[str] | Expression
"""A filter: its text, several of which all have to hold, or an expression that is there already."""


def listing(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    deleted: bool | None = False,
    run_id: str | None = None,
    *,
    where: Where = (),
    order_by: Sequence[str] = (),
    columns: Sequence[str] = (),
    limit: int | None = None,
    at: str | None = None,
    allow_unknown: bool = False,
    progress: Progress | None = None,
) -> Listing:
    """The runs of all experiments, or of those named; the deleted ones instead with `deleted`, both where it is None.

    Args:
        run_id: the only run to look for.
        where: which runs; docs/guides/query.md describes the language.
        order_by: sort keys as `query.parse_sort` reads them, the first the strongest.
        columns: names of fields and patterns, as `query.parse_columns` reads them among the names that the runs have.
        limit: at most so many runs.
        at: a commit, tag or time: the runs that were on the branch there, and none that are not on it.
        allow_unknown: let names be those that no run has.
        progress: called while runs are read for the first time.

    Raises:
        NotFoundError: an experiment has no run and no document; or no run has a field of a name.
        UsageError: `where`, `order_by` or a name of a column cannot be understood.
    """

    def ask(look: _Look) -> Listing:
        # Before the first run, no name is a mistake.
        unknown = allow_unknown or look.is_empty()
        expression = where if isinstance(where, Expression) else query.parse_filter(where, look, unknown)
        keys = query.parse_order(order_by, look, unknown)
        chosen = query.parse_columns(columns, look, unknown)
        runs, total = look.select(expression, keys, limit)
        problems = [*look.problems, *look.view.problems()]
        return Listing(runs, look.experiments, problems, look.tip, total, chosen)

    return _ask(repo, ask, experiments, deleted, run_id, at, progress)


def pages(
    repo: Repository, experiments: Sequence[str] | None = None, *, where: Where = (), size: int
) -> Iterator[list[Run]]:
    """The runs that `listing` would give, by id, so many at a time: for more runs than may be in memory.

    What comes or goes meanwhile may or may not be among them. Raises as `listing` does.
    """
    last = ""

    def ask(look: _Look) -> list[Run]:
        beyond = And((_filter(look, where), Comparison(_RUN_ID, ">", last)))
        return look.select(beyond, [SortKey(_RUN_ID, False)], size)[0]

    while some := _ask(repo, ask, experiments):
        yield some
        last = some[-1].id


class Count(NamedTuple):
    """An experiment in numbers: its runs that are not deleted, those that record, and when the latest of them started
    (milliseconds since 1970 UTC).
    """

    experiment: Experiment
    runs: int
    live: int
    last: int | None


def counts(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    *,
    where: Where = (),
    at: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[Count], list[FormatError]]:
    """Every experiment that has runs or a document on the branch, deleted ones included, by name; and what could not
    be read.

    With `where`, only the runs that it holds for are counted, and experiments without any are left out. `at` as for
    `listing`.
    """

    def ask(look: _Look) -> tuple[list[Count], list[FormatError]]:
        expression = _filter(look, where)
        on_branch = look.view.counts(expression)
        waiting = look.matching(expression)
        found = []
        for experiment in look.experiments:
            runs, last = on_branch.get(experiment.name, (0, None))
            beside = [run for run in waiting if run.experiment == experiment.name]
            is_asked = experiments is None or experiment.name in experiments
            if runs or beside or (is_asked and not where and experiment.name in look.documented):
                starts = [start for start in (last, *(run.started for run in beside)) if start is not None]
                live_now = sum(run.place == "live" for run in beside)
                found.append(Count(experiment, runs + len(beside), live_now, max(starts, default=None)))
        return sorted(found, key=lambda count: count.experiment.name), [*look.problems, *look.view.problems()]

    return _ask(repo, ask, experiments, at=at, progress=progress)


class Values(NamedTuple):
    """A param or tag: how many runs have it, how many different values it has, and some of these, the most frequent
    first.
    """

    name: str
    runs: int
    values: int
    examples: list[Any]


_EXAMPLES = 5


def values(
    repo: Repository,
    kind: str,
    experiments: Sequence[str] | None = None,
    deleted: bool = False,
    *,
    where: Where = (),
    at: str | None = None,
    progress: Progress | None = None,
) -> list[Values]:
    """Every param ("params") or tag ("tags") of the runs that `listing` would give, by name.

    Raises as `listing` does.
    """

    def ask(look: _Look) -> list[Values]:
        expression = _filter(look, where)
        found: dict[str, dict[tuple[str, str | None], int]] = {}
        for name, type_, text, runs in look.view.value_counts(kind, expression):
            found.setdefault(name, {})[type_, text] = runs
        for run in look.matching(expression):
            for name, value in (flatten(run.params) if kind == "params" else run.tags).items():
                about = query.scalar(value)
                times = found.setdefault(name, {})
                times[about.type[0], about.text] = times.get((about.type[0], about.text), 0) + 1
        return [_values(name, found[name]) for name in sorted(found)]

    return _ask(repo, ask, experiments, deleted, at=at, progress=progress)


def _values(name: str, times: dict[tuple[str, str | None], int]) -> Values:
    def rank(value: tuple[str, str | None]) -> tuple[int, bool, float, str]:
        number = query.decimal(value[1] or "")
        return -times[value], number is None, number or 0, value[1] or ""

    examples = sorted(times, key=rank)[:_EXAMPLES]
    return Values(name, sum(times.values()), len(times), [_plain_value(*value) for value in examples])


def _plain_value(type_: str, text: str | None) -> Any:
    """The value that a `query.Scalar` was made of."""
    if text is None or type_ == "t":
        return text
    return parse_scalar(text) if type_ in "nb" else json.loads(text)


def metric_ranges(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    deleted: bool = False,
    *,
    where: Where = (),
    at: str | None = None,
    progress: Progress | None = None,
) -> list[MetricRange]:
    """Every metric of the runs that `listing` would give, by name. Raises as `listing` does."""

    def ask(look: _Look) -> list[MetricRange]:
        expression = _filter(look, where)
        found = {known.name: known for known in look.view.metric_ranges(expression)}
        for run in look.matching(expression):
            for name, summary in run.metrics.items():
                found[name] = _widened(found.get(name, MetricRange(name, 0, None, None)), summary.last)
        return [found[name] for name in sorted(found)]

    return _ask(repo, ask, experiments, deleted, at=at, progress=progress)


def _widened(known: MetricRange, value: float) -> MetricRange:
    ends = [end for end in (known.lowest, known.highest, value) if end is not None and end == end]
    return MetricRange(known.name, known.runs + 1, min(ends, default=None), max(ends, default=None))


def _filter(look: _Look, where: Where) -> Expression:
    if isinstance(where, Expression):
        return where
    return query.parse_filter(where, look, allow_unknown=look.is_empty())


def fields(repo: Repository) -> list[Field]:
    """Every param, metric and tag that some run has."""
    return _ask(repo, lambda look: look.fields())


def is_field(repo: Repository, text: str) -> bool:
    """Whether some run has what a text names, as a filter would read it."""

    def ask(look: _Look) -> bool:
        try:
            query.resolve(text, look)
        except NotFoundError:
            return False
        except UsageError:  # several things
            pass
        return True

    return _ask(repo, ask)


# --- looking at one moment ------------------------------------------------------------------------------------------


class _Look:
    """Runs on the branch and beside it, at one moment; as a `query.Known`, which names they have."""

    def __init__(
        self,
        view: View,
        waiting: list[Run],
        experiments: list[Experiment],
        documented: set[str],
        problems: list[FormatError],
        tip: store.Tip,
    ) -> None:
        self.view = view
        self.waiting = waiting
        self.experiments = experiments
        self.documented = documented
        self.problems = problems
        self.tip = tip
        self._known = query.KnownOf(waiting)

    def kinds(self, name: str) -> set[str]:
        """As `query.Known` says."""
        return self.view.kinds(name) | set(self._known.kinds(name))

    def fields(self) -> list[Field]:
        """As `query.Known` says."""
        return sorted({*self.view.fields(), *self._known.fields()})

    def is_empty(self) -> bool:
        """Whether there is no run at all."""
        return not self.waiting and self.view.is_empty()

    def matching(self, expression: Expression) -> list[Run]:
        """The runs beside the branch that a filter holds for."""
        deadline = query.Deadline()
        return [run for run in self.waiting if query.matches(expression, run, deadline)]

    def select(self, expression: Expression, keys: Sequence[SortKey], limit: int | None) -> tuple[list[Run], int]:
        """The runs that a filter holds for, in order, and how many there are without the limit."""
        found, total = self.view.select(expression, keys, limit)
        waiting = self.matching(expression)
        if waiting:
            oldest_first = sorted([*found, *waiting], key=lambda run: (run.started or 0, run.id))
            found = query.sort(oldest_first, keys)[:limit]
        return found, total + len(waiting)


def _ask(
    repo: Repository,
    question: Callable[[_Look], Result],
    experiments: Sequence[str] | None = None,
    deleted: bool | None = False,
    run_id: str | None = None,
    at: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """The answer to a question about the runs that `listing` describes; it may be asked again from the start."""
    # In the order in which a run moves on, so that one that ends meanwhile is seen at least once.
    waiting, problems = _not_on_branch(repo, run_id) if at is None else ([], [])
    tip = store.tip(repo, git.config(repo))
    if at is not None:
        tip = tip._replace(commit=_moment(repo, tip, at))

    def work(db: sqlite3.Connection) -> Result:
        places, of_branch = cache.places(db, repo, tip.commit, progress) if tip.commit else ([], [])
        new = live.new_experiments(store.root(repo)) if at is None else []
        all_experiments = {e.name: e for e in (*new, *(place.experiment for place in places))}
        for name in experiments or ():
            if name not in all_experiments and not any(run.experiment == name for run in waiting):
                raise _no_experiment(name, all_experiments)
        asked = [place for place in places if experiments is None or place.experiment.name in experiments]
        beside = [run for run in waiting if experiments is None or run.experiment in experiments]
        hidden = {e.name for e in all_experiments.values() if e.deleted}
        shown = [run for run in beside if deleted in (None, bool(run.deleted or run.experiment in hidden))]
        wrong = [*problems, *of_branch, *(place.problem for place in places if place.problem)]
        view = View(db, asked, deleted, {run.id for run in beside}, run_id)
        documented = {place.experiment.name for place in places}
        return question(_Look(view, shown, list(all_experiments.values()), documented, wrong, tip))

    return cache.use(store.root(repo), work, keep=tip.commit is not None)


def _moment(repo: Repository, tip: store.Tip, text: str) -> str:
    """The commit that `--at` means: a revision of the run branch, or the last commit until a time."""
    commit, why = git.resolve_one(repo, text)
    if commit is not None:
        if not store.holds_runs(repo, commit):
            raise UsageError(f"{text} is no commit of runs", _MOMENTS)
        return commit
    span = query.parse_moment(text, now())
    if span is None:
        raise NotFoundError(f"{quoted(text)} is neither a commit nor a time{f': {why}' if why else ''}", _MOMENTS)
    commit = git.commit_before(repo, tip.commit, span.high // 1000) if tip.commit else None
    if commit is None:
        raise NotFoundError(f"the run branch has no commit from {text!r} or before")
    return commit


def commit_at(repo: Repository, at: str | None) -> str | None:
    """The commit that `at` means for `listing`; the tip's for None, and None where there is no run branch.

    Raises:
        NotFoundError: it is neither a commit nor a time, or the branch had no commit then.
        UsageError: it is a commit without runs.
    """
    tip = store.tip(repo, git.config(repo))
    return tip.commit if at is None else _moment(repo, tip, at)


_MOMENTS = "a commit or tag of the run branch, or a time: gxt~3, v1-runs, 2026-11-23, '2 weeks ago', yesterday"


def _not_on_branch(repo: Repository, run_id: str | None) -> tuple[list[Run], list[FormatError]]:
    """Live and pending runs, a live one after a pending one of the same id (it was resumed)."""
    base = store.root(repo)
    runs: dict[str, Run] = {}
    problems = []
    for folders in (live.live_runs, live.pending_runs):
        for folder in folders(base):
            if run_id is not None and folder.name != run_id:
                continue
            try:
                runs.setdefault(folder.name, live.read(folder))
            except FormatError as error:
                problems.append(error)
            except FileNotFoundError:  # it has just moved on
                continue
    return list(runs.values()), problems


def find_experiment(repo: Repository, name: str) -> Experiment:
    """The experiment of that name, deleted or not. Raises NotFoundError where there is none."""
    known = {experiment.name: experiment for experiment in all_experiments(repo)}
    if name not in known:
        raise _no_experiment(name, known)
    return known[name]


def all_experiments(repo: Repository) -> list[Experiment]:
    """All experiments that are known, deleted ones included, and those whose first run is still to come."""
    return _ask(repo, lambda look: look.experiments)


def _no_experiment(name: str, known: Iterable[str]) -> NotFoundError:
    return NotFoundError(f"no experiment {name!r}", did_you_mean(name, known) or "`gxt list` shows them")


def find(
    repo: Repository, text: str, deleted: bool = False, progress: Progress | None = None, at: str | None = None
) -> Run:
    """The run that a text names: id, unique prefix of it or of its random part, unique name, `@last`,
    `@best:rmse`, `@best:acc:max`, or one of those two within an experiment: `nyc-taxi/@last`. With `at`, as `listing`
    has it, among the runs that were on the branch there.

    Raises:
        NotFoundError: none answers to it, or several do; the message lists them.
    """
    if RUN_ID.fullmatch(text):
        runs = listing(repo, deleted=deleted, run_id=text, at=at, progress=progress).runs
        if not runs:
            raise NotFoundError(f"no run {text}{_then(at)}", _deleted_hint(repo, text, deleted))
        return runs[0]
    experiment, slash, reference = text.rpartition("/@")
    if slash or text.startswith("@"):
        within = [experiment] if slash else None
        return _ask(
            repo,
            lambda look: _referred(look, reference if slash else text[1:], text),
            within,
            deleted,
            None,
            at,
            progress,
        )
    matching = _matching(repo, text, deleted, progress, at)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise NotFoundError(f"no run {text!r}{_then(at)}", _elsewhere_hint(repo, text, deleted))
    several = ", ".join(f"{run.id} ({run.name}, {run.experiment})" for run in matching[-_LISTED:])
    more = f" and {len(matching) - _LISTED} more" if len(matching) > _LISTED else ""
    raise NotFoundError(f"{text!r} names {len(matching)} runs: {several}{more}", "say the id")


def is_run(repo: Repository, text: str) -> bool:
    """Whether a text names a run, or several."""
    return bool(RUN_ID.fullmatch(text) or _matching(repo, text, False, None))


def find_all(repo: Repository, texts: Sequence[str], at: str | None = None) -> list[Run]:
    """The run that each text names, as `find` has it; ids are looked up all at once."""
    ids = tuple(text for text in dict.fromkeys(texts) if RUN_ID.fullmatch(text))
    found = {run.id: run for run in listing(repo, where=In(_RUN_ID, ids), at=at).runs} if len(ids) > 1 else {}
    return [found.get(text) or find(repo, text, at=at) for text in texts]


def _then(at: str | None) -> str:
    return f" at {at}" if at is not None else ""


def _matching(
    repo: Repository, text: str, deleted: bool, progress: Progress | None = None, at: str | None = None
) -> list[Run]:
    """The runs of that name; where there are none, those whose id begins so, by as much of it as can be meant."""
    named = listing(repo, deleted=deleted, where=Comparison(_NAME, "=", text), at=at, progress=progress).runs
    if named or len(text) < _LEAST_OF_ID:
        return named
    return _beginning(repo, text, deleted, at)


_LEAST_OF_ID = 4  # characters, as of git's own


def _beginning(repo: Repository, text: str, deleted: bool, at: str | None = None) -> list[Run]:
    begins = Or((_begins(_RUN_ID, text), _begins(_SHORT_ID, text)))
    return listing(repo, deleted=deleted, where=begins, at=at).runs


_NAME, _RUN_ID, _SHORT_ID = (Field("attributes", name) for name in ("name", "run_id", "id"))


_EVERY = And(())


def _begins(field: Field, text: str) -> Expression:
    return And((Comparison(field, ">=", text), Comparison(field, "<", text + chr(0x10FFFF))))


def _elsewhere_hint(repo: Repository, text: str, deleted: bool) -> str:
    """What may have been meant by a name that no run has."""
    others = _matching(repo, text, not deleted)
    if len(others) == 1:
        return _deleted_hint(repo, others[0].id, deleted) or ""
    if any(experiment.name == text and not experiment.deleted for experiment in all_experiments(repo)):
        return f"it is an experiment: `gxt table {text}` shows its runs"
    latest = listing(repo, deleted=deleted, order_by=["started:desc"], limit=_NEAR_AMONG).runs
    near = did_you_mean(text, {run.name for run in latest})
    if not near and text and len(text) < _LEAST_OF_ID and (begun := _beginning(repo, text, deleted)):
        return f"say {_LEAST_OF_ID} characters of an id or more: {', '.join(run.short_id for run in begun[-_LISTED:])}"
    return near or f"`gxt table{' --deleted' if deleted else ''}` shows them"


def _deleted_hint(repo: Repository, run_id: str, deleted: bool) -> str | None:
    others = listing(repo, deleted=not deleted, run_id=run_id).runs
    if not others:
        return None
    if deleted:
        return "it is not deleted"
    what = run_id if others[0].deleted else f"--experiment {others[0].experiment}"
    return f"it is deleted; `gxt restore {what}` brings it back"


def _referred(look: _Look, reference: str, text: str) -> Run:
    word, *rest = reference.split(":")
    if word == "last" and not rest:
        started, run_id = (SortKey(Field("attributes", name), True) for name in ("started", "run_id"))
        latest, _ = look.select(And(()), [started, run_id], 1)
        if not latest:
            raise NotFoundError(
                "there are no runs yet", "`gxt log`, `gxt run` or gxt.start_run() in Python records one"
            )
        return latest[0]
    if word == "best" and rest and rest[0]:
        *metric, goal = rest if rest[-1] in ("min", "max") and len(rest) > 1 else (*rest, "")
        return _best(look, Field("metrics", ":".join(metric)), goal or None, text).run
    raise UsageError(f"no run can be named {text!r}", "@last, @best:METRIC or @best:METRIC:max")


class Best(NamedTuple):
    """The best run by a metric.

    Attributes:
        run: the run; the earliest of equals.
        field: the metric, or the part of it that was compared.
        goal: which end of it is better, "min" or "max".
        said: whether somebody said so, or the metric's name does; else less is taken for better.
        total: how many runs have it.
    """

    run: Run
    field: Field
    goal: str
    said: bool
    total: int


def best(
    repo: Repository,
    metric: str,
    goal: str | None = None,
    experiments: Sequence[str] | None = None,
    *,
    where: Where = (),
    at: str | None = None,
    progress: Progress | None = None,
) -> Best:
    """The run with the best value of a metric, or of a part of one (`rmse.min`), of all experiments or those named.

    Args:
        goal: "min" or "max"; where it is None, what the experiments' goals say, else the metric's name, and "min" where
            neither does.
        where, at, progress: as for `listing`.

    Raises:
        NotFoundError: no run has the metric, or a number for it.
        UsageError: it is no metric, or the experiments' goals differ.
    """
    if goal is not None and goal not in stats.GOALS:
        raise UsageError(f"best by {goal!r}?", "min or max")

    def ask(look: _Look) -> Best:
        is_metric = "metrics" in look.kinds(metric)
        field = Field("metrics", metric) if is_metric else query.resolve(metric, look, of_metric=True)
        if field.kind != "metrics":
            raise UsageError(f"{metric} is no metric", f"`gxt table --sort {field}` sorts by it")
        expression = where if isinstance(where, Expression) else query.parse_filter(where, look)
        return _best(look, field, goal, metric, expression)

    return _ask(repo, ask, experiments, at=at, progress=progress)


def _best(look: _Look, field: Field, goal: str | None, text: str, expression: Expression = _EVERY) -> Best:
    having = And((expression, Not(IsNull(field))))
    said = goal or _goal(look, field, having, text)
    found, total = look.select(having, [SortKey(field, said == "max")], 1)
    if not found or field.value(found[0]) != field.value(found[0]):  # NaN comes last
        raise NotFoundError(f"no run has a value of the metric {str(field).removeprefix('metrics.')!r}")
    return Best(found[0], field, said or "min", said is not None, total)


def _goal(look: _Look, metric: Field, having: Expression, text: str) -> str | None:
    """Which end of a metric is better in the experiments that have it; None where nobody knows."""
    goals = {experiment.name: stats.goal_of(metric.name, experiment.goals) for experiment in look.experiments}
    if len(set(goals.values())) <= 1:
        return next(iter(goals.values()), stats.goal_of(metric.name, {}))
    runs, _ = look.select(having, [], None)
    found = {goal for run in runs if (goal := goals.get(run.experiment))}
    if len(found) > 1:
        raise UsageError(
            f"{text}: experiments differ in which {metric.name} is better", f"say {text}:min or {text}:max"
        )
    return next(iter(found), None)


# --- what is in a run ---------------------------------------------------------------------------------------------


def folder_of(repo: Repository, run: Run) -> Path | None:
    """Where a run's files are while it is not on the branch."""
    if run.place == "branch":
        return None
    where = live.live_path if run.place == "live" else live.pending_path
    return where(store.root(repo), run.id)


def elapsed(repo: Repository, runs: Iterable[Run], at: int) -> dict[str, float]:
    """For how long (seconds, by id) those of the runs that still record have done so at a moment in milliseconds since
    1970 UTC; one whose process is gone, until its last sign of life.
    """
    found = {}
    for run in runs:
        if run.place == "live" and run.started is not None:
            with contextlib.suppress(OSError, ValueError):  # it has just ended, and its folder is gone
                folder = live.live_path(store.root(repo), run.id)
                until = at if run.status == RUNNING else live.last_sign_of_life(folder)
                found[run.id] = max(0, until - run.started) / 1000
    return found


class LargeFile(NamedTuple):
    """An artifact on the branch that is there as a pointer: its path in the run's folder, and what the pointer says."""

    path: str
    pointer: Pointer

    @property
    def size(self) -> int:
        """The bytes that the pointer stands for."""
        return self.pointer.size


Content = git.TreeFile | LargeFile | live.Piece | bytes
"""Where a run's file is to be read: on the branch, behind a pointer there, in the run's folder, or made from its
journal."""


def contents(repo: Repository, run: Run, also_at: str | None = None, at: str | None = None) -> dict[str, Content]:
    """A run's files: path in its folder, and where to read each. For a resumed run, those of before too.

    `also_at` is a commit where runs are looked for that the branch has not; `at` as for `listing`.
    """
    found: dict[str, Content] = dict(_files_on_branch(repo, run, also_at, at))
    found.pop(layout.GITATTRIBUTES, None)  # of the branch's making, and no part of the run
    folder = folder_of(repo, run)
    if folder is not None:
        found |= live.snapshot(folder).files
    return dict(sorted(found.items()))


def files(repo: Repository, run: Run, at: str | None = None) -> dict[str, int]:
    """The same with each file's size in bytes."""
    return {path: size_of(content) for path, content in contents(repo, run, at=at).items()}


def size_of(content: Content) -> int:
    """A file's size in bytes."""
    return len(content) if isinstance(content, bytes) else content.size


def _files_on_branch(
    repo: Repository, run: Run, also_at: str | None, at: str | None
) -> dict[str, git.TreeFile | LargeFile]:
    """A run's files on the branch by path; none for a run that has never been there."""
    commits = [commit for commit in (commit_at(repo, at), also_at) if commit is not None]
    has_it = (commit for commit in commits if store.read_file(repo, commit, run, layout.RUN_YAML) is not None)
    commit = next(has_it, None)
    if commit is None:
        return {}
    files: dict[str, git.TreeFile | LargeFile] = {file.path: file for file in store.run_files(repo, commit, run)}
    return files | _large_files(repo, [file for file in files.values() if isinstance(file, git.TreeFile)])


def _large_files(repo: Repository, files: Sequence[git.TreeFile]) -> dict[str, LargeFile]:
    """Those of the files that are pointers."""
    small = [file for file in files if file.path.startswith(f"{layout.ARTIFACTS}/") and may_be_pointer(file.size)]
    contents = git.read_objects(repo, [file.oid for file in small])
    pointers = ((file.path, read_pointer(data or b"")) for file, data in zip(small, contents, strict=True))
    return {path: LargeFile(path, pointer) for path, pointer in pointers if pointer is not None}


def read_file(repo: Repository, run: Run, path: str) -> bytes | None:
    """One of a run's files whole, None where it has none of that name."""
    folder = folder_of(repo, run)
    content = live.snapshot(folder).files.get(path) if folder is not None else None
    if content is not None:
        return content if isinstance(content, bytes) else content.read()
    at = store.tip(repo, git.config(repo))
    data = None if at.commit is None else store.read_file(repo, at.commit, run, path)
    is_artifact = path.startswith(f"{layout.ARTIFACTS}/")
    return store.behind_pointer(repo, data) if data is not None and is_artifact else data


def read_large(repo: Repository, file: LargeFile) -> bytes:
    """The bytes of a large artifact, in memory; fetched where they are not here."""
    return store.behind_pointer(repo, write_pointer(file.pointer))


def points(repo: Repository, run: Run) -> list[MetricPoint]:
    """A run's metric history in logging order."""
    return list(layout.read_points(read_file(repo, run, layout.METRICS_CSV) or b""))


_AT_ONCE = 16  # histories in memory; each may have millions of points


def histories(
    repo: Repository, runs: Sequence[Run], commit: str | None = None, at_once: int = _AT_ONCE
) -> Iterator[tuple[Run, bytes]]:
    """Each run, in order, with its metrics.csv as it stands, or stood at a commit; a live run's last line may be cut.

    `at_once` says how many of them may be in memory.
    """
    at = commit or store.tip(repo, git.config(repo)).commit
    for start in range(0, len(runs), at_once):
        some = runs[start : start + at_once]
        on_branch = store.read_histories(repo, at, some) if at else [None] * len(some)
        for run, committed in zip(some, on_branch, strict=True):
            if run.place == "branch":
                remark_broken_lines(run, committed or b"")
            yield run, (committed if run.place == "branch" else _growing_history(repo, run)) or b""


def remark_broken_lines(run: Run, data: bytes) -> None:
    """Warn of lines in a run's metrics.csv on the branch that are no points."""
    broken = layout.broken_lines(data)
    if broken:
        count = f"{len(broken)} lines are no points" if len(broken) > 1 else "a line is no point"
        shown = quoted(broken[0].decode("utf-8", "replace"))
        where = f"{layout.run_path(run.experiment, run.id)}/{layout.METRICS_CSV}"
        warnings.warn(GxtWarning(f"{where}: {count}, and passed over: {shown}"), stacklevel=2)


def _growing_history(repo: Repository, run: Run) -> bytes | None:
    """The points of a run that was not on the branch when it was listed, wherever it has moved since."""
    for where in (live.live_path, live.pending_path):
        with contextlib.suppress(FileNotFoundError):
            return (where(store.root(repo), run.id) / layout.METRICS_CSV).read_bytes()
    commit = store.tip(repo, git.config(repo)).commit
    return store.read_histories(repo, commit, [run])[0] if commit else None


def export(
    repo: Repository, run: Run, target: Path, below: str = "", progress: large.Progress | None = None
) -> list[str]:
    """Write a run's files, or those below a path in its folder, to a folder; returns their paths.

    A file that is there already is replaced; others in the folder are left alone. Large artifacts that are not here
    are fetched; `progress` is told of that.

    Raises:
        NotFoundError, GxtError: the bytes of one are neither here nor to be had.
    """
    found = contents(repo, run)
    prefix = below.rstrip("/")
    wanted = [path for path in found if not prefix or (path + "/").startswith(prefix + "/")]
    for path in wanted:
        destination = target / path
        with _folder_for(destination):
            save(repo, found[path], destination, progress)
    return wanted


@contextlib.contextmanager
def _folder_for(file: Path) -> Iterator[None]:
    """Make the folder that a file is to be in; what was made for nothing is taken away."""
    made = [folder for folder in file.parents if not folder.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # somebody else has put something there
            for folder in made:
                folder.rmdir()
        raise


def save(repo: Repository, content: Content, destination: Path, progress: large.Progress | None = None) -> None:
    """Write one of a run's files, which appears whole or not at all. Raises as `export`."""
    beside = destination.with_name(f".{random_digits(16)}.gxt.tmp")
    try:
        with open(beside, "wb") as out:
            write(repo, content, out, progress)
        beside.replace(destination)
    finally:
        beside.unlink(missing_ok=True)


def write_through(repo: Repository, content: Content, out: IO[bytes], progress: large.Progress | None = None) -> None:
    """Write one of a run's files to a stream that nothing can be taken back from: checked first. Raises as `export`."""
    if not isinstance(content, LargeFile):
        write(repo, content, out, progress)
        return
    with store.checked_artifact(repo, content.pointer, progress) as stream:
        shutil.copyfileobj(stream, out, 1 << 20)


def write(repo: Repository, content: Content, out: IO[bytes], progress: large.Progress | None = None) -> None:
    """Write one of a run's files into an empty one. Raises as `export`."""
    if isinstance(content, LargeFile):
        try:
            store.save_artifact(repo, content.pointer, out, progress)
        except GxtError as error:
            raise type(error)(f"{content.path}: {error.message}", error.hint) from None
    elif isinstance(content, git.TreeFile):
        with store.open_file(repo, content) as stream:
            shutil.copyfileobj(stream, out, 1 << 20)
    else:
        out.writelines([content] if isinstance(content, bytes) else content.chunks())
