"""`gxt check`: a gate for CI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gxt import against, catalog, gate, git, render, stats, store
from gxt.against import Base, Reference
from gxt.cli import output
from gxt.cli.params import complete_field, complete_metric, complete_run, goals_option, json_option, repository
from gxt.errors import NotFoundError, UsageError
from gxt.gate import Result, Terms, Verdict
from gxt.gate.junit import junit
from gxt.gate.limits import Tolerance, parse_tolerance
from gxt.git import Repository
from gxt.model import Run
from gxt.render import Column, Table
from gxt.showing import one_line


@click.command("check")
@click.option(
    "--against",
    "reference",
    required=True,
    metavar="@best:METRIC|RUN|REV",
    shell_complete=complete_run,
    help="What runs may not be worse than: the best run of their experiment on the base, a run there, or the best "
    "runs of another state of the run branch.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    required=True,
    metavar="NAME",
    shell_complete=complete_metric,
    help="A metric that may not be worse; can be given several times.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="[METRIC=]AMOUNT",
    help="How much worse: 1% of what it is measured against, or 0.05. Default: 0. For one metric: rmse=1%.",
)
@click.option("--runs", "names", multiple=True, metavar="RUN", shell_complete=complete_run, help="A run to check.")
@click.option("--where", "filters", multiple=True, metavar="FILTER", help="Only check runs for which this holds.")
@click.option("--base", "base_text", metavar="BRANCH|REV", help="What the branch is to be merged into.")
@click.option("--any", "any_passes", is_flag=True, help="It is enough that one run of each experiment passes.")
@click.option(
    "--group-by",
    multiple=True,
    metavar="FIELD",
    shell_complete=complete_field,
    help="Check groups of runs that have the same value of this.",
)
@click.option(
    "--over",
    multiple=True,
    metavar="PARAM",
    shell_complete=complete_field,
    help="Check groups of runs whose params differ in nothing else, such as the seed.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="A group of 3 runs or more fails where Welch's test gives less than this.",
)
@goals_option()
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Also write JUnit XML to this file.")
@json_option
@click.pass_context
def check_command(
    ctx: click.Context,
    reference: str,
    metrics: Sequence[str],
    tolerances: Sequence[str],
    names: Sequence[str],
    filters: Sequence[str],
    base_text: str | None,
    any_passes: bool,
    group_by: Sequence[str],
    over: Sequence[str],
    alpha: float,
    goals: Sequence[str],
    junit_file: Path | None,
    as_json: bool,
) -> int:
    """Fail where runs are worse than others: a gate for CI.

    Checks the runs that the review, or the local run branch, has and its base has not; where there is no base, the
    latest run. Exits with 0 where all pass, 1 where one fails, and 2 or more where that cannot be told.

    \b
    gxt check --against @best:rmse --metric rmse --tolerance 1%
    gxt check --against baseline --metric acc --tolerance 0.5% --over seed
    gxt check --against origin/gxt --metric rmse --metric mae --junit check.xml
    """
    if group_by and over:
        raise UsageError("--group-by and --over say two things of groups", "give one of them")
    repo = repository(ctx)
    terms = Terms(
        metrics=list(dict.fromkeys(metrics)),
        tolerances=_tolerances(tolerances, metrics),
        goals=dict(map(stats.parse_goal, goals)),
        group_by=group_by,
        over=over,
        alpha=alpha,
        any_passes=any_passes,
    )
    result = _check(repo, reference, names, filters, base_text, terms)
    if junit_file is not None:
        output.save(junit_file, junit(result))
    if as_json:
        output.page(render.json_text(result.to_dict()))
    else:
        output.page(_drawn(result, output.width()))
        click.echo(_summary(result, any_passes))
    return 0 if result.passed else 1


def _tolerances(texts: Sequence[str], metrics: Sequence[str]) -> dict[str, Tolerance]:
    found = {}
    for text in texts:
        metric, _, amount = text.rpartition("=")
        if metric and metric not in metrics:
            raise UsageError(f"a tolerance for {metric!r}, which is not checked", f"--metric {metric}")
        found[metric] = parse_tolerance(amount)
    return found


def _check(
    repo: Repository, text: str, names: Sequence[str], filters: Sequence[str], base_text: str | None, terms: Terms
) -> Result:
    try:
        base = against.base_of(repo, base_text)
        news = against.news(repo, base, output.progress())
    except NotFoundError:
        if base_text is not None:
            raise
        base, runs = _without_base(repo)
    else:
        runs = news.runs
        if not runs and not names:
            raise NotFoundError(
                f"{news.branch} has no new run against {base.name}", "--runs names some, --base another base"
            )
    found = catalog.listing(repo, where=filters, limit=None if filters else 1, progress=output.progress())
    if names:
        runs = [catalog.find(repo, name) for name in names]
    elif filters:
        held = {run.id for run in found.runs}
        runs = [run for run in runs if run.id in held]
        if not runs:
            raise NotFoundError("there are no runs to check", "the filter holds for none of the new ones")
    measured = against.reference(repo, text, base)
    experiments = {experiment.name: experiment.goals for experiment in found.experiments}
    return gate.check(
        runs,
        against.runs_at(repo, measured.commit, _experiments(runs, measured), output.progress()),
        measured,
        lambda experiment, metric: stats.goal_of(metric, experiments.get(experiment, {})),
        terms,
        lambda: [one.name for at in (None, measured.commit) for one in catalog.metric_ranges(repo, at=at)],
    )


def _experiments(runs: Sequence[Run], measured: Reference) -> list[str]:
    return [run.experiment for run in (*runs, *([measured.run] if measured.run else []))]


def _without_base(repo: Repository) -> tuple[Base, list[Run]]:
    """The branch itself, and the latest run."""
    settings = git.config(repo)
    at = store.tip(repo, settings)
    latest = catalog.find(repo, "@last")
    if at.commit is None:
        raise NotFoundError("the run branch has no runs to measure against", "--base BRANCH names another")
    return Base(store.branch_name(settings), at.commit), [latest]


def _drawn(result: Result, width: int | None) -> str:
    """All in one table, or, where the terminal has no room for that, the reasons below it."""
    text, hidden = render.terminal(_table(result, with_why=True), None, width, output.colour())
    if width is None or (not hidden and all(one_line(verdict.why) in text for verdict in result.verdicts)):
        return text
    text, hidden = render.terminal(_table(result, with_why=False), None, width, output.colour())
    several = len(dict.fromkeys(verdict.metric for verdict in result.verdicts)) > 1
    lines = [click.wrap_text(_reason(one, several), width, "", "  ") for one in result.verdicts]
    if hidden:
        lines.append(click.wrap_text(f"no room for {', '.join(hidden)}: a wider terminal, a pipe or --json", width))
    return f"{text}\n{''.join(f'{line}{chr(10)}' for line in lines)}"


def _reason(one: Verdict, several: bool) -> str:
    return f"{one.status}: {one_line(one.subject)}{f', {one.metric}' if several else ''}: {one_line(one.why)}"


def _table(result: Result, with_why: bool) -> Table:
    """The verdict first, so that it is never what there is no room for."""
    grouped = any(len(verdict.runs) > 1 for verdict in result.verdicts)
    columns = [
        Column("verdict"),
        Column("experiment", rank=3),
        Column("group" if grouped else "run"),
        Column("metric", rank=1),
        Column("value", "number", rank=1),
        Column("limit", "number", rank=1),
        Column("against", rank=2),
        Column("reference", "number", rank=3),
        Column("why", rank=4),
    ]
    rows: list[list[Any]] = [
        [v.status, v.experiment, v.subject, v.metric, v.value, v.limit, v.reference, v.reference_value, v.why]
        for v in result.verdicts
    ]
    kept = len(columns) if with_why else -1
    return Table(columns[:kept], [row[:kept] for row in rows])


def _summary(result: Result, any_passes: bool) -> str:
    counts = {status: sum(v.status == status for v in result.verdicts) for status in ("passed", "failed", "skipped")}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    way = " (one run of each experiment is enough)" if any_passes else ""
    return output.paint(f"{'passed' if result.passed else 'failed'}: {said}{way}", "green" if result.passed else "red")
