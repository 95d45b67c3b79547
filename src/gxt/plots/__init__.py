"""Plots of runs: curves of metrics, and what params have to do with them.

`curves`, `comparisons` and `importance` make a chart (see `charts`) of runs; `images` (matplotlib), `pages` (plotly)
and `terminal` (uniplot) draw it. All of these need packages of the extra `plot`, `importance` also scikit-learn, so
they are imported only when a plot is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gxt import catalog, fluent, history, stats
from gxt.errors import MissingPackageError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.history import AnyRun
from gxt.model import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gxt.plots.charts import Chart

KINDS = ("curve", "scatter", "bar", "parallel", "importance")
X_AXES = ("step", "time", "relative")
BANDS = ("std", "minmax")
ENDINGS = ("png", "svg", "pdf", "html")
"""What a plot can be written as."""

COLUMNS = 1000
"""Curves keep their look on a picture of so many pixel columns."""


@dataclass(frozen=True)
class Options:
    """How a plot is to look.

    Attributes:
        kind: one of KINDS.
        x: what curves run over: "step", "time" (of day) or "relative" (time since the run's start).
        smooth: weight of the exponential moving average, 0 (none) to below 1.
        group_by: a field such as `params.model`; runs with the same value become one curve, bar or colour.
        band: what is drawn around a group's mean: "std" or "minmax".
        log_x, log_y: logarithmic axes; in parallel coordinates those of params and of metrics.
        goals: whether less ("min") or more ("max") of a metric is better, where the experiments' own goal is not meant.
    """

    kind: str = "curve"
    x: str = "step"
    smooth: float = 0.0
    group_by: str | None = None
    band: str = "std"
    log_x: bool = False
    log_y: bool = False
    goals: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, known in (("kind", self.kind, KINDS), ("x", self.x, X_AXES), ("band", self.band, BANDS)):
            if value not in known:
                raise UsageError(f"no {name} {value!r}", ", ".join(known))
        for metric, goal in self.goals.items():
            stats.check_goal(metric, goal)
        if not 0 <= self.smooth < 1:
            raise UsageError(f"smoothing by {self.smooth:g}?", "0 (none) to below 1, such as 0.6")
        if self.x == "time" and self.log_x and self.kind == "curve":
            raise UsageError("a time of day has no logarithm", "--x relative, or --x step")


@dataclass(frozen=True)
class Selection:
    """The runs to plot, oldest first, the listing that they come from, and the commit where one was asked for; of runs
    that are not on the branch, by id, the commits that have them."""

    runs: list[Run]
    found: catalog.Listing
    commit: str | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def goal(self, metric: str, asked: Mapping[str, str]) -> str:
        """Whether less ("min") or more ("max") of a metric is better: as asked, else by the experiments' goal; "min"
        where they differ."""
        if metric in asked:
            return asked[metric]
        goals = {self.found.goal(run.experiment, metric) for run in self.runs if metric in run.metrics}
        return goals.pop() if len(goals) == 1 else "min"


def select(
    repo: Repository,
    names: Iterable[str] = (),
    experiments: Sequence[str] = (),
    where: catalog.Where = (),
    at: str | None = None,
) -> Selection:
    """The runs of some experiments for which a filter holds, and those that are named; all runs where nothing is given.

    With `at`, a commit, tag or time, they are as the branch had them there.

    Raises:
        NotFoundError: no such run or experiment, or no run at all.
        UsageError: the filter cannot be understood.
    """
    named = [catalog.find(repo, name, at=at) for name in names]
    found = catalog.listing(repo, experiments or None, where=where, at=at)
    listed = found.runs if experiments or where or not named else []
    runs = {run.id: run for run in (*listed, *named)}
    if not runs and at is not None and not where:
        raise NotFoundError(f"there were no runs at {at}")
    if not runs and where:
        raise NotFoundError("there are no runs to plot", "the filter holds for none")
    if not runs:
        raise NotFoundError(
            "there are no runs to plot", "`gxt log`, `gxt run` or gxt.start_run() in Python records one"
        )
    oldest_first = sorted(runs.values(), key=lambda run: (run.started or 0, run.id))
    return Selection(oldest_first, found, found.tip.commit if at is not None else None)


def told_apart(repo: Repository, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of some names are fields, and which are runs: the first is a field, and each other that can be one."""
    fields: list[str] = list(names[:1])
    runs: list[str] = []
    for name in names[1:]:
        is_run = name.startswith("@") or (not catalog.is_field(repo, name) and catalog.is_run(repo, name))
        (runs if is_run else fields).append(name)
    return fields, runs


@contextlib.contextmanager
def needing(purpose: str, extra: str = "plot") -> Iterator[None]:
    """A place where optional packages are imported; without one of them it raises MissingPackageError."""
    try:
        yield
    except MissingPackageError:
        raise
    except ImportError as error:
        raise MissingPackageError((error.name or extra).partition(".")[0], purpose, extra) from None


def build(
    repo: Repository, selection: Selection, fields: Sequence[str], options: Options, columns: int | None = COLUMNS
) -> Chart:
    """What the plot that `options` ask for shows, ready to be drawn.

    Curves keep what is visible on so many columns of a screen; with None, every point.

    Raises:
        NotFoundError: no run has a field, or a number for it.
        UsageError: the fields do not make such a plot.
        MissingPackageError: `pip install 'git-gxt[plot]'` is needed; for importance also `[importance]`.
    """
    if not fields:
        raise UsageError("nothing to plot", "name a metric")
    with needing("plotting"):
        from gxt.plots import comparisons, curves
    if options.kind == "curve":
        return curves.build(repo, selection, fields, options, columns)
    if options.kind == "importance":
        with needing("the importance of params", "importance"):
            from gxt.plots import importance
        return importance.build(selection, fields)
    of_runs: dict[str, Callable[[Selection, Sequence[str], Options], Chart]] = {
        "scatter": comparisons.scatter,
        "bar": comparisons.bars,
        "parallel": comparisons.parallel,
    }
    return of_runs[options.kind](selection, fields, options)


def file_content(chart: Chart, ending: str) -> bytes:
    """The plot as a file of one of ENDINGS; html is an interactive page that needs no network.

    Raises:
        UsageError: another ending.
        MissingPackageError: without the extra `plot`.
    """
    if ending not in ENDINGS:
        raise UsageError(f"a plot is not written as {ending!r}", f"one of {', '.join(ENDINGS)}")
    with needing("plotting"):
        if ending == "html":
            from gxt.plots import pages

            return pages.page(chart)
        from gxt.plots import images

        return images.write(chart, ending)


def plot(
    fields: str | Sequence[str],
    runs: AnyRun | Iterable[AnyRun] | None = None,
    *,
    experiment_names: Sequence[str] = (),
    filter_string: str = "",
    at: str | None = None,
    kind: str = "curve",
    x: str = "step",
    smooth: float = 0.0,
    group_by: str | None = None,
    band: str = "std",
    log_x: bool = False,
    log_y: bool = False,
    goals: Mapping[str, str] | None = None,
) -> Figure:
    """Draw runs, live ones included, as a matplotlib figure, which a notebook shows and `savefig` writes.

    Args:
        fields: what to draw. For "curve" metrics, a panel each; for "bar" and "importance" a metric; for "scatter" two
            fields, such as `["params.alpha", "metrics.rmse"]`; for "parallel" params and metrics, an axis each.
        runs: which runs, by what names them (an id, a name, `@best:rmse`), as `Run`s, or as the DataFrame that
            `search_runs` gives; without them, those of the experiment that was set, or all.
        experiment_names: the runs of these experiments instead, or beside `runs`.
        filter_string: of an experiment's runs, those for which this filter holds; as `search_runs` has it.
        at: a commit, tag or time; the runs as the branch had them there.
        kind: "curve", "scatter", "bar", "parallel" or "importance".
        x: what curves run over: "step", "time" of day, or "relative" to the run's start.
        smooth: weight of the exponential moving average (TensorBoard's, with bias correction), 0 to below 1.
        group_by: a field such as `params.model`: its values are compared instead of runs; curves and bars become
            means.
        band: what surrounds such a mean: "std" (one sample standard deviation to both sides) or "minmax".
        log_x, log_y: logarithmic axes.
        goals: which end of a metric is better, `{"rmse": "min"}`, where that is not the experiment's goal. Bars begin
            with the best, and of many curves the legend names only the best.

    Raises:
        NotFoundError: no run has a field, or no run is there.
        UsageError: fields or options that make no such plot.
        MissingPackageError: `pip install 'git-gxt[plot]'` is needed; for importance also `[importance]`.

    >>> gxt.plot("rmse", smooth=0.6).savefig("rmse.png")  # doctest: +SKIP
    >>> gxt.plot(["params.alpha", "rmse"], kind="scatter", log_x=True)  # doctest: +SKIP
    """
    options = Options(kind, x, smooth, group_by, band, log_x, log_y, goals or {})
    with needing("plotting"):
        from gxt.plots import images
    repo = fluent.repository()
    given = history.names_of(runs) if runs is not None else []
    if runs is None and not experiment_names:
        experiment_names = fluent.experiments_to_read() or ()
    elif not given and not experiment_names:
        raise NotFoundError("there are no runs to plot", "the list of runs is empty")
    selection = select(repo, given, experiment_names, filter_string, at)
    chart = build(repo, selection, [fields] if isinstance(fields, str) else fields, options)
    return images.figure(chart)
