"""`gxt plot`: curves, scatter, bars, parallel coordinates and importances, in the terminal or as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import click

from gxt import plots, render, stats
from gxt.cli import output
from gxt.cli.params import (
    complete_field,
    complete_run,
    experiments_option,
    goals_option,
    json_option,
    readable_repository,
)
from gxt.errors import UsageError
from gxt.plots import Options

_PIPE_WIDTH = 100


@click.command("plot")
@click.argument("names", nargs=-1, required=True, metavar="FIELD… [RUN…]", shell_complete=complete_field)
@click.option("-r", "--run", "runs", multiple=True, metavar="RUN", shell_complete=complete_run, help="This run.")
@experiments_option("The runs of this experiment. Default, without --run: of all.")
@click.option(
    "--where",
    multiple=True,
    metavar="FILTER",
    help="Only runs such as these: rmse < 6.5 and params.model = 'xgb'. Of several, all have to hold.",
)
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@click.option(
    "-k",
    "--kind",
    type=click.Choice(plots.KINDS),
    default="curve",
    show_default=True,
    help="curve: metrics over --x; scatter: two fields; bar: a field, the best run first; parallel: params and metrics "
    "as axes; importance: what params have to do with a metric.",
)
@click.option("-o", "--output", "target", metavar="FILE", help="Write .png, .svg, .pdf or, interactive, .html.")
@click.option(
    "--x",
    type=click.Choice(plots.X_AXES),
    default="step",
    show_default=True,
    help="What curves run over: steps, time of day, or time since the run's start.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    metavar="WEIGHT",
    help="Exponential moving average, as TensorBoard's: 0 (none) to below 1.",
)
@click.option(
    "-g",
    "--group-by",
    metavar="FIELD",
    shell_complete=complete_field,
    help="Compare the values of a field instead of runs: means of curves and bars; colours elsewhere.",
)
@click.option(
    "--band",
    type=click.Choice(plots.BANDS),
    default="std",
    show_default=True,
    help="Around a group's mean: one standard deviation to both sides, or from its least to its greatest.",
)
@click.option("--log-x", is_flag=True, help="A logarithmic x axis; with parallel, of params.")
@click.option("--log-y", is_flag=True, help="A logarithmic y axis; with parallel, of metrics; with bar, of the bars.")
@goals_option(", for the order of bars and the choice of curves that a legend names", ", else min")
@json_option
@click.pass_context
def plot_command(
    ctx: click.Context,
    names: Sequence[str],
    runs: Sequence[str],
    experiments: Sequence[str],
    where: Sequence[str],
    at: str | None,
    kind: str,
    target: str | None,
    x: str,
    smooth: float,
    group_by: str | None,
    band: str,
    log_x: bool,
    log_y: bool,
    goals: Sequence[str],
    as_json: bool,
) -> None:
    """Plot metrics and params: here, or to a file with -o.

    A FIELD is a metric, or where the kind takes it a param, tag or attribute: rmse, params.alpha, duration. What names
    no field but a run is a run; --run says so where it could be either.

    \b
    gxt plot rmse -e nyc-taxi
    gxt plot loss accuracy @last baseline --smooth 0.6 -o loss.html
    gxt plot loss --group-by params.model --band minmax -o loss.svg
    gxt plot params.alpha rmse --kind scatter --log-x --where "params.model = 'lasso'"
    gxt plot rmse --kind importance -e nyc-taxi
    """
    options = Options(kind, x, smooth, group_by, band, log_x, log_y, dict(map(stats.parse_goal, goals)))
    ending = PurePath(target).suffix.lower().removeprefix(".") if target else ""
    if target and ending not in plots.ENDINGS:
        raise UsageError(f"{target!r} does not say what to write", f"end it in .{', .'.join(plots.ENDINGS)}")
    repo = readable_repository(ctx)
    fields, named = plots.told_apart(repo, names)
    selection = plots.select(repo, [*runs, *named], experiments, where, at)
    width = output.width() or _PIPE_WIDTH
    if target:
        chart = plots.build(repo, selection, fields, options)
        _write(target, plots.file_content(chart, ending))
    elif as_json:
        chart = plots.build(repo, selection, fields, options, columns=None)
        from gxt.plots import charts

        click.echo(render.json_line(charts.chart_json(chart)), nl=False)
    else:
        with plots.needing("plotting in a terminal"):
            from gxt.plots import terminal
        chart = plots.build(repo, selection, fields, options, terminal.columns(width))
        click.echo(terminal.text(chart, width, output.colour()), nl=False)
    output.problems(selection.found.problems)
    for remark in chart.remarks:
        output.note(click.wrap_text(remark, width) if output.is_terminal() else remark)
    if target:
        output.note(f"wrote {target}")


def _write(target: str, content: bytes) -> None:
    try:
        Path(target).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from None
