"""Looking at runs: show, best, tail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from gxt import catalog, git, layout, live, render, stats, store
from gxt.cli import output
from gxt.cli.params import complete_goal, complete_run, experiments_option, json_option, readable_repository
from gxt.git import Repository
from gxt.model import MetricPoint, Run, now

_POLL = 0.2


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
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@json_option
@click.pass_context
def show_command(ctx: click.Context, run: str, at: str | None, as_json: bool) -> None:
    """Show everything about a run; the latest by default."""
    repo = readable_repository(ctx)
    found = catalog.find(repo, run, progress=output.progress(), at=at)
    files = catalog.files(repo, found, at)
    if as_json:
        output.page(render.json_text(render.run_json(found) | {"files": files}))
        return
    output.page(render.run_page(found, files, now(), output.paint))


@click.command("best")
@click.argument("metric", metavar="METRIC[:min|max]", shell_complete=complete_goal)
@experiments_option("Only runs of this experiment.")
@click.option("--where", multiple=True, metavar="FILTER", help="Only these runs, as in `gxt table`.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@json_option
@click.pass_context
def best_command(
    ctx: click.Context,
    metric: str,
    experiments: Sequence[str],
    where: Sequence[str],
    at: str | None,
    as_json: bool,
) -> None:
    """Show the best run by a metric.

    Less is better, or more, as `gxt goal` said of the experiment, or as the command line says.

    \b
    gxt best rmse
    gxt best acc:max -e nyc-taxi --where "params.model = 'xgb'"
    """
    repo = readable_repository(ctx)
    name, goal = metric, None
    if metric.endswith((":min", ":max")):
        name, goal = stats.parse_goal(metric)
    found = catalog.best(repo, name, goal, list(experiments) or None, where=where, at=at, progress=output.progress())
    value = found.field.value(found.run)
    if as_json:
        about = {"metric": str(found.field).removeprefix("metrics."), "goal": found.goal, "value": value}
        output.page(render.json_text(render.run_json(found.run) | about))
    else:
        output.page(render.best_page(found.run, found.field, found.goal, found.total, now(), output.paint))
    if not found.said:
        keep = f"gxt goal {found.run.experiment} {found.field.name}"
        output.note(f"nobody said which {name} is better, so less is: `{keep}:min` or `:max` says it")


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
    repo = readable_repository(ctx)
    found = catalog.find(repo, run)
    name = layout.OUTPUT_LOG if log else layout.METRICS_CSV
    data = catalog.read_file(repo, found, name) or b""
    whole = data[: data.rfind(b"\n") + 1]
    if log:
        for line in whole.splitlines(keepends=True)[-lines or len(whole) :]:
            output.log(line)
    else:
        points = list(layout.read_points(whole))
        for group in _steps(points)[-lines or len(points) :]:
            _show_points(group, as_json)
    if no_follow or found.place != "live":
        return
    for more in _growth(repo, found, name, len(whole)):
        if log:
            output.log(more)
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
    output.say(f"step {points[0].step:<6} {values}")
