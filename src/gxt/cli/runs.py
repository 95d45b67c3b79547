"""`gxt runs`: runs along the history of the code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import click

from gxt import catalog, codehistory, git, remotecode, render, sharing, stats
from gxt.cli import moving, output
from gxt.cli.params import experiments_option, json_option, readable_repository, repository
from gxt.codehistory import CHANGE, TREE, CodeHistory, CodeRuns, Found
from gxt.git import CodeCommit, Repository
from gxt.model import Run, format_time
from gxt.render.cells import cell_text
from gxt.showing import one_line, shortened

_STYLES = {"failed": "red", "killed": "yellow", "running": "cyan", "crashed": "red"}
SHORT = 9
"""Characters of a commit's id, for people."""


@click.command("runs")
@click.argument("commits", required=False, metavar="[COMMIT|RANGE|BRANCH]")
@experiments_option("Only runs of this experiment; may be given several times.")
@click.option("--where", multiple=True, metavar="FILTER", help="Only these runs, as in `gxt table`.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="So many commits are looked through; 0: all.",
)
@click.option(
    "--runs",
    "most",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="So many runs are shown of a commit, the latest; 0: all.",
)
@click.option("--other", is_flag=True, help="Also list the runs of other code.")
@click.option("--fetch", is_flag=True, help="First bring the code of runs that this clone lacks from the remotes.")
@json_option
@click.pass_context
def runs_command(
    ctx: click.Context,
    commits: str | None,
    experiments: Sequence[str],
    where: Sequence[str],
    limit: int,
    most: int,
    other: bool,
    fetch: bool,
    as_json: bool,
) -> None:
    """Show commits of the code, and below each the runs of that code.

    A branch means its history, HEAD's where none is named; a range (v1..main) the commits in it; a commit or tag itself
    alone.

    A run whose commit is not there, since it was rebased, amended or squashed, is shown below the commit that has the
    same files ("same tree"), or that makes the same change ("same change"). Runs with uncommitted changes are shown
    below the commit that these were made on, or below the one that has them, where they were committed as they were.

    \b
    gxt runs
    gxt runs v1..main -e nyc-taxi
    gxt runs HEAD~3 --json
    """
    repo = repository(ctx) if fetch else readable_repository(ctx)
    if fetch:
        fetch_code(repo, experiments or None, where)
    found = codehistory.code_history(
        repo,
        commits,
        experiments or None,
        where=where,
        limit=limit or None,
        progress=output.progress(),
        compared=_comparing(),
    )
    if as_json:
        rows = [_json(row) for row in found.commits] + ([_other_json(found)] if other else [])
        output.page(render.json_text(rows))
        for remark in _remarks(found, other):
            output.note(remark)
        return
    remarks = list(_remarks(found, other))
    lines = list(_lines(found, most)) if any(row.runs for row in found.commits) else []
    if other and found.elsewhere:
        lines += _other_lines(found)
    if not lines:
        remarks.insert(0, f"no runs of the code in {_counted(len(found.commits), 'commit')}")
    output.page_with_notes("".join(f"{line}\n" for line in lines), remarks)


def fetch_code(repo: Repository, experiments: Sequence[str] | None = None, where: Sequence[str] = ()) -> None:
    """Have the code of runs here, of all or of some, that remotes keep."""
    listed = catalog.listing(repo, experiments, where=where, progress=output.progress()).runs
    wanted = [code for run in listed if (code := codehistory.code_of(run)) is not None]
    settings = git.config(repo)
    talk = replace(moving.talk("the remote"), timeout=sharing.timeout(settings))
    left = remotecode.bring(repo, settings, wanted, talk)
    if left:
        output.note(f"no remote keeps {_counted(len(left), 'commit')} of the code of runs, such as {left[0][:SHORT]}")


def _remarks(found: CodeHistory, listed: bool) -> Iterator[str]:
    if found.more:
        yield f"only the latest {_counted(len(found.commits), 'commit')} were looked through; -n 0 takes all"
    if found.elsewhere and not listed:
        ways = "--other lists them" if len(found.elsewhere) > 1 else "--other lists it"
        if found.not_here:
            ways += f", --fetch brings the code of {len(found.not_here)} that this clone lacks"
        yield f"{_counted(len(found.elsewhere), 'run')} of other code: {ways}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _comparing() -> Callable[[int, int], None]:
    """Shows on a terminal how far comparing changes has come, once that takes over a second."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    begun, shown = time.monotonic(), False

    def show(done: int, total: int) -> None:
        nonlocal shown
        if done < total and time.monotonic() - begun > 1:
            click.echo(f"\rcomparing what commits change: {done} of {total}", nl=False, err=True)
            shown = True
        elif shown and done >= total:
            click.echo("\r\x1b[K", nl=False, err=True)

    return show


# --- for people -------------------------------------------------------------------------------------------------------


def _lines(found: CodeHistory, most: int) -> Iterator[str]:
    shown = [(row, row.runs[-most:] if most else row.runs) for row in found.commits]
    runs = [one.run for _, some in shown for one in some]
    several = len({run.experiment for run in runs}) > 1
    names = [_name(run, several) for run in runs]
    widths = max(map(len, names)), max(len(run.status) for run in runs)
    best = _best(found)
    for without, group in groupby(shown, key=lambda pair: not pair[0].runs):
        rows = list(group)
        if without:
            yield output.paint(f"⋮ {_counted(len(rows), 'commit')} without runs", "bright_black")
            continue
        for row, some in rows:
            yield f"{output.paint(row.commit.id[:SHORT], 'yellow')} {one_line(row.commit.subject)}"
            if len(some) < len(row.runs):
                yield f"    … {_counted(len(row.runs) - len(some), 'earlier run')}"
            for one in some:
                yield _line(one, found, several, widths, best).rstrip()


def _other_lines(found: CodeHistory) -> Iterator[str]:
    yield output.paint("runs of other code", "yellow")
    lacking = {run.id for run in found.not_here}
    several = len({run.experiment for run in found.elsewhere}) > 1
    width = max(len(_name(run, several)) for run in found.elsewhere)
    for run in found.elsewhere:
        code = codehistory.code_of(run) or codehistory.base_of(run) or ""
        branch = run.source.get("branch")
        said = [code[:SHORT], f"on {one_line(str(branch))}" if branch else "", "not here" if run.id in lacking else ""]
        yield f"    {_name(run, several):<{width}}  {run.status}  ({', '.join(word for word in said if word)})"


def _name(run: Run, several: bool) -> str:
    name = shortened(one_line(run.name or run.id), 40)
    return f"{shortened(one_line(run.experiment), 40)}/{name}" if several else name


def _line(one: Found, found: CodeHistory, several: bool, widths: tuple[int, int], best: set[tuple[str, str]]) -> str:
    run = one.run
    status = output.paint(f"{run.status:<{widths[1]}}", _STYLES.get(run.status, ""))
    metrics = "  ".join(
        output.paint(metric_text(run, name), "bold" if (run.id, name) in best else "")
        for name in codehistory.key_metrics(run, found.goals)
    )
    remark = _remark(one)
    tail = output.paint(f"({remark})", "bright_black") if remark else ""
    return f"    {_name(run, several):<{widths[0]}}  {status}  {metrics}{'  ' if metrics and tail else ''}{tail}"


def metric_text(run: Run, metric: str) -> str:
    """A metric's last value as people read it."""
    return f"{one_line(metric)} {cell_text(run.metrics[metric].last, 'number', None)}"


def _remark(one: Found) -> str:
    said = {TREE: "same tree as", CHANGE: "same change as"}.get(one.how)
    other = one.code if not one.changed else codehistory.base_of(one.run)
    words = [f"{said} {other[:SHORT]}"] if said and other else []
    if one.changed:
        words.append("with uncommitted changes")
    elif codehistory.code_of(one.run) != codehistory.base_of(one.run):
        words.append("before it was committed")
    return ", ".join(words)


def _best(found: CodeHistory) -> set[tuple[str, str]]:
    """The runs with the best value of a metric in their experiment, each with the metric."""
    by_experiment: dict[str, list[Run]] = {}
    for row in found.commits:
        for one in row.runs:
            by_experiment.setdefault(one.run.experiment, []).append(one.run)
    best = set()
    for runs in by_experiment.values():
        for metric in {name for run in runs for name in run.metrics}:
            goal = stats.goal_of(metric, found.goals)
            values = [run.metrics[metric].last if metric in run.metrics else None for run in runs]
            best |= {(runs[i].id, metric) for i in stats.best_of(values, goal)} if goal else set()
    return best


# --- for programs -----------------------------------------------------------------------------------------------------


def commit_json(commit: CodeCommit) -> dict[str, Any]:
    """What is said of a commit."""
    return {
        "commit": commit.id,
        "subject": commit.subject,
        "author": commit.author,
        "time": format_time(commit.time),
    }


def _json(row: CodeRuns) -> dict[str, Any]:
    return commit_json(row.commit) | {"runs": [_run_json(one) for one in row.runs]}


def _run_json(one: Found) -> dict[str, Any]:
    return _about_json(one.run) | {"matched": one.how, "code": one.code, "uncommitted": one.changed}


def _other_json(found: CodeHistory) -> dict[str, Any]:
    """What `--other` adds: the runs of no commit that was looked through."""
    runs = [
        _about_json(run) | {"matched": None, "code": codehistory.code_of(run), "uncommitted": run.source.get("dirty")}
        for run in found.elsewhere
    ]
    return {"commit": None, "subject": None, "author": None, "time": None, "runs": runs}


def _about_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "started": None if run.started is None else format_time(run.started),
        "metrics": {name: summary.last for name, summary in sorted(run.metrics.items())},
    }
