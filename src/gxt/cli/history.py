"""gxt history: the points of metrics, of one run or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gxt import catalog, history, render
from gxt.cli import output
from gxt.cli.params import complete_metric, complete_run, json_option, readable_repository, sequence
from gxt.history import Series
from gxt.model import format_time, now
from gxt.render import Column, Table


@click.command("history")
@click.argument("metric", metavar="METRIC", shell_complete=complete_metric)
@click.argument("runs", nargs=-1, metavar="[RUN…]", shell_complete=complete_run)
@click.option("-n", "--lines", type=click.IntRange(min=0), default=0, help="The last so many lines. Default: all.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    help="How to write it. csv and json have every value in full.",
)
@click.pass_context
def history_command(
    ctx: click.Context, metric: str, runs: Sequence[str], lines: int, at: str | None, as_json: bool, form: str
) -> None:
    """Show the points of a metric; of the latest run by default.

    Of one run: step, value and time. Of several, or of several metrics, their values side by side by step.

    METRIC is a name, several with commas between them, or a pattern such as 'train_*'.

    \b
    gxt history rmse @best:rmse
    gxt history rmse ridge lasso -n 10
    gxt history 'train_*,val_*' @last --format csv
    """
    repo = readable_repository(ctx)
    found = catalog.find_all(repo, list(dict.fromkeys(runs)) or ["@last"], at)
    unique = list({run.id: run for run in found}.values())
    series = history.series(repo, unique, sequence([metric]), at)
    if as_json or form == "json":
        output.page(render.json_text(_points(series, lines)))
        return
    table = _one(series[0]) if len(series) == 1 else _several(series)
    shown = table._replace(rows=table.rows[-lines:])
    if form == "markdown":
        output.page(render.markdown(shown, now()))
    elif form == "csv":
        output.page(render.csv_text(shown))
    else:
        text, hidden = render.terminal(shown, now(), output.width(), output.colour())
        output.page(text)
        if hidden:
            output.note(f"not shown, for want of room (--format csv has all): {', '.join(hidden)}")


def _one(only: Series) -> Table:
    columns = [Column("step", "number"), Column(only.metric, "number"), Column("time")]
    return Table(columns, [[point.step, point.value, format_time(point.time)] for point in only.points])


def _several(found: Sequence[Series]) -> Table:
    columns = [Column("step", "number"), *(Column(title, "number") for title in _titles(found))]
    return Table(columns, [[row.step, *row.values] for row in history.side_by_side(found)])


def _titles(found: Sequence[Series]) -> list[str]:
    """What tells the series apart: run, metric or both."""
    runs = {one.run.id: one.run.name or one.run.id for one in found}
    names = list(runs.values())
    runs = {run_id: name if names.count(name) == 1 else f"{name} {run_id[-8:]}" for run_id, name in runs.items()}
    if len({one.metric for one in found}) == 1:
        return [runs[one.run.id] for one in found]
    return [one.metric if len(runs) == 1 else f"{runs[one.run.id]} {one.metric}" for one in found]


def _points(found: Sequence[Series], last: int) -> list[dict[str, object]]:
    """Each series' points, or the last of each."""
    return [
        {
            "run": one.run.id,
            "name": one.run.name,
            "metric": one.metric,
            "step": point.step,
            "value": point.value,
            "time": format_time(point.time),
        }
        for one in found
        for point in one.points[-last:]
    ]
