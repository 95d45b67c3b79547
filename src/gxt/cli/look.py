"""Looking at runs: table, show, tail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from gxt import catalog, git, layout, live, query, render, store
from gxt.cli import output
from gxt.cli.params import (
    complete_experiment,
    complete_field,
    complete_run,
    json_option,
    repository,
    sequence,
)
from gxt.git import Repository
from gxt.model import MetricPoint, Run, now
from gxt.query import Field
from gxt.render import Table

_POLL = 0.2


@click.command("table")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT…]", shell_complete=complete_experiment)
@click.option(
    "--where",
    multiple=True,
    metavar="FILTER",
    help="Only these runs: rmse < 6.5 and params.model = 'xgb'. Of several, all have to hold.",
)
@click.option(
    "--sort",
    "sort_keys",
    multiple=True,
    metavar="FIELD[:desc]",
    shell_complete=complete_field,
    help="Sort by a metric, param, tag or attribute. Default: started:desc.",
)
@click.option("-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Runs shown; 0: all.")
@click.option(
    "--columns",
    multiple=True,
    metavar="FIELD,…",
    shell_complete=complete_field,
    help="Exactly these columns: name, id, rmse, params.alpha, tags.stage, …",
)
@click.option("--deleted", is_flag=True, help="The deleted runs instead.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time: gxt~3, '2 weeks ago'.")
@click.option("--allow-unknown", is_flag=True, help="Let names be those that no run has.")
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    help="How to write it. csv and json have every value in full.",
)
@click.pass_context
def table_command(
    ctx: click.Context,
    experiments: Sequence[str],
    where: Sequence[str],
    sort_keys: Sequence[str],
    limit: int,
    columns: Sequence[str],
    deleted: bool,
    at: str | None,
    allow_unknown: bool,
    as_json: bool,
    form: str,
) -> None:
    """Compare runs in a table: of some experiments, or all.

    On a terminal, columns that do not fit are named below the table; --columns chooses them.

    \b
    gxt table nyc-taxi --sort rmse -n 10
    gxt table --where "rmse < 6.5 and params.model in ('xgb', 'lasso')"
    gxt table --where "started > '2 days ago' or tags.stage = 'prod'"
    gxt table --columns name,rmse,params.alpha --format markdown
    """
    repo = repository(ctx)
    found = catalog.listing(
        repo,
        experiments or None,
        deleted,
        where=where,
        order_by=sequence(sort_keys) or ["started:desc"],
        columns=sequence(columns),
        limit=limit or None,
        at=at,
        allow_unknown=allow_unknown,
        progress=output.progress(),
    )
    if as_json or form == "json":
        output.page(render.json_text([render.run_json(run) for run in found.runs]))
    elif not found.runs:
        output.note(_no_runs(repo, experiments, deleted, at, bool(where)))
    else:
        fields = found.columns or render.default_fields(found.runs, query.fields_of(found.runs))
        _show_table(found.runs, fields, form)
    output.problems(found.problems)
    if len(found.runs) < found.total:
        output.note(f"{len(found.runs)} of {found.total} runs; -n 0 shows all")
    for line in elsewhere(repo, found.tip) if at is None else ():
        output.note(line)


def _no_runs(repo: Repository, experiments: Sequence[str], deleted: bool, at: str | None, filtered: bool) -> str:
    where = f" in {', '.join(experiments)}" if experiments else ""
    there = catalog.listing(repo, experiments or None, deleted, limit=0, at=at).total if filtered else 0
    if there:
        return f"the filter holds for none of {there} {'deleted ' if deleted else ''}runs{where}"
    if deleted:
        return f"no deleted runs{where}"
    hidden = catalog.listing(repo, experiments or None, deleted=True, limit=0, at=at).total
    if hidden:
        return f"no runs{where}, but {hidden} deleted: `gxt table --deleted` shows them"
    if at is not None:
        return f"no runs{where} at {at}"
    return f"no runs yet{where}: `gxt log`, `gxt run` or gxt.start_run() in Python records one"


def _show_table(runs: Sequence[Run], fields: Sequence[Field], form: str) -> None:
    table = render.run_table(runs, fields)
    if form == "markdown":
        output.page(render.markdown(table, now()))
    elif form == "csv":
        output.page(render.csv_text(table))
    else:
        text, hidden = render.terminal(_readable_times(table), now(), output.width(), output.colour())
        output.page(text)
        if hidden:
            count = f"{len(hidden)} columns do" if len(hidden) > 1 else "1 column does"
            remark = f"{count} not fit (--columns chooses): {', '.join(hidden)}"
            output.note(click.wrap_text(remark, output.width() or len(remark)))


def _readable_times(table: Table) -> Table:
    """On a terminal a start is `5 min ago`; in a pipe it stays a time that sorts."""
    if not output.is_terminal():
        return table
    from gxt.model import parse_time

    at = [i for i, column in enumerate(table.columns) if column.kind == "time"]
    rows = [
        [parse_time(cell) if i in at and isinstance(cell, str) else cell for i, cell in enumerate(row)]
        for row in table.rows
    ]
    return Table(table.columns, rows)


def elsewhere(repo: Repository, tip: store.Tip) -> Iterator[str]:
    """What a reader should know of remotes: that one stands in for the local branch, or has runs that it lacks."""
    if tip.remote_ref:
        yield f"read from {tip.remote_ref.removeprefix('refs/remotes/')}; the first run recorded here builds on it"
    settings = git.config(repo)
    for ref, commit in git.remote_branches(repo, store.branch_name(settings), settings).items():
        missing = store.missing_runs(repo, tip.commit, commit)
        if missing:
            name = ref.removeprefix("refs/remotes/")
            yield f"{name} has {len(missing)} run{'s' if len(missing) > 1 else ''} that the local branch lacks"


@click.command("show")
@click.argument("run", metavar="[RUN]", default="@last", shell_complete=complete_run)
@json_option
@click.pass_context
def show_command(ctx: click.Context, run: str, as_json: bool) -> None:
    """Show everything about a run; the latest by default."""
    repo = repository(ctx)
    found = catalog.find(repo, run, progress=output.progress())
    files = catalog.files(repo, found)
    if as_json:
        output.page(render.json_text(render.run_json(found) | {"files": files}))
        return
    output.page(render.run_page(found, files, now(), output.paint))


@click.command("tail")
@click.argument("run", metavar="[RUN]", default="@last", shell_complete=complete_run)
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="Steps shown at first.")
@click.option("--log", is_flag=True, help="The output (output.log) instead of the metrics.")
@click.option("--no-follow", is_flag=True, help="Do not wait for more.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a point.")
@click.pass_context
def tail_command(ctx: click.Context, run: str, lines: int, log: bool, no_follow: bool, as_json: bool) -> None:
    """Follow a run while it records; the latest by default.

    Ends when the run does.
    """
    repo = repository(ctx)
    found = catalog.find(repo, run)
    name = layout.OUTPUT_LOG if log else layout.METRICS_CSV
    data = catalog.read_file(repo, found, name) or b""
    whole = data[: data.rfind(b"\n") + 1]
    if log:
        for line in whole.splitlines(keepends=True)[-lines or len(whole) :]:
            click.echo(line, nl=False)
    else:
        points = list(layout.read_points(whole))
        for group in _steps(points)[-lines or len(points) :]:
            _show_points(group, as_json)
    if no_follow or found.place != "live":
        return
    for more in _growth(repo, found, name, len(whole)):
        if log:
            click.echo(more, nl=False)
        else:
            for group in _steps(list(layout.read_points(more))):
                _show_points(group, as_json)
    ended = catalog.find(repo, found.id)
    output.note(f"{ended.name} {ended.status}")


def _growth(repo: Repository, run: Run, name: str, offset: int) -> Iterator[bytes]:
    """Whole lines as they are added to a live run's file, until the run ends."""
    path = live.live_path(store.root(repo), run.id) / name
    ended = False
    stream = None
    while True:
        if stream is None and path.exists():
            stream = open(path, "rb")  # noqa: SIM115 (kept open: the file may move with its folder when the run ends)
        if stream is not None:
            stream.seek(offset)
            data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]
            offset += len(whole)
            if whole:
                yield whole
        if ended:
            if stream is not None:
                stream.close()
            return
        ended = not path.parent.is_dir() or not live.is_alive(path.parent)
        if not ended:
            time.sleep(_POLL)


def _steps(points: Sequence[MetricPoint]) -> list[list[MetricPoint]]:
    """Points in logging order, those of one step together as long as no metric comes twice."""
    groups: list[list[MetricPoint]] = []
    for point in points:
        last = groups[-1] if groups else []
        if last and last[0].step == point.step and all(other.metric != point.metric for other in last):
            last.append(point)
        else:
            groups.append([point])
    return groups


def _show_points(points: Sequence[MetricPoint], as_json: bool) -> None:
    if as_json:
        for point in points:
            click.echo(render.json_line(point._asdict()), nl=False)
        return
    values = "  ".join(f"{point.metric} {point.value:.6g}" for point in points)
    click.echo(f"step {points[0].step:<6} {values}")
