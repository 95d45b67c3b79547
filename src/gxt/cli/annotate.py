"""Changing runs and experiments after the fact: tag, note, goal, rm, restore, purge."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import click

from gxt import catalog, edits, intake, stats, store
from gxt.cli import output
from gxt.cli.params import (
    complete_deleted,
    complete_experiment,
    complete_goal,
    complete_run,
    json_option,
    repository,
    run_argument,
)
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import Experiment, Run
from gxt.render import json_text


@click.command("tag")
@run_argument
@click.argument("tags", nargs=-1, metavar="NAME=TEXT…")
@click.option("-d", "--delete", multiple=True, metavar="NAME", help="Take this tag away.")
@json_option
@click.pass_context
def tag_command(ctx: click.Context, run: str, tags: Sequence[str], delete: Sequence[str], as_json: bool) -> None:
    """Set, delete or show the tags of a run.

    \b
    gxt tag calm-otter stage=production owner=ada
    gxt tag calm-otter -d stage
    """
    repo = repository(ctx)
    found = catalog.find(repo, run)
    if not tags and not delete:
        _show(found.tags, "=", as_json)
        return
    edits.tag(repo, found, dict(map(intake.tag_assignment, tags)), delete)
    _say(f"tagged {found.name}")


@click.command("note")
@run_argument
@click.argument("text", required=False, metavar="[TEXT]")
@click.pass_context
def note_command(ctx: click.Context, run: str, text: str | None) -> None:
    """Set a run's note.

    The note is TEXT, or what standard input holds, or on a terminal what your editor saves. A blank text takes the
    note away.
    """
    repo = repository(ctx)
    found = catalog.find(repo, run)
    if text is None and sys.stdin.isatty():
        text = click.edit(found.note or "", extension=".md", require_save=True)
        if text is None:
            output.note("the note stays as it is")
            return
    elif text is None:
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
        if not text.strip():
            raise UsageError("standard input is empty; the note stays as it is", f'`gxt note {run} ""` takes it away')
    edits.note(repo, found, text)
    _say(f"noted {found.name}")


@click.command("goal")
@click.argument("experiment", metavar="EXPERIMENT", shell_complete=complete_experiment)
@click.argument("goals", nargs=-1, metavar="METRIC:min|max…", shell_complete=complete_goal)
@click.option("-d", "--delete", multiple=True, metavar="METRIC", help="Take this metric's goal away.")
@json_option
@click.pass_context
def goal_command(
    ctx: click.Context, experiment: str, goals: Sequence[str], delete: Sequence[str], as_json: bool
) -> None:
    """Say which end of an experiment's metrics is better, or show it.

    Tables then mark the best values, `gxt best` and @best:METRIC know what is best.

    \b
    gxt goal nyc-taxi rmse:min r2:max
    gxt goal nyc-taxi -d r2
    """
    repo = repository(ctx)
    found = catalog.find_experiment(repo, experiment)
    if not goals and not delete:
        _show(found.goals, ":", as_json)
        return
    given = dict(map(stats.parse_goal, goals))
    edits.set_goals(repo, found, given, delete)
    _say(f"{experiment}: {', '.join(f'{metric}:{goal}' for metric, goal in given.items()) or 'goals taken away'}")
    _warn_of_unknown(repo, found, given)


def _show(pairs: Mapping[str, str], between: str, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(dict(pairs)), nl=False)
        return
    for name, value in sorted(pairs.items()):
        output.say(f"{name}{between}{value}")


def _warn_of_unknown(repo: Repository, experiment: Experiment, metrics: Iterable[str]) -> None:
    """Say which metrics no run has: a goal can be there first, or be misspelt."""
    known = {metric.name for metric in catalog.metric_ranges(repo, [experiment.name])}
    for metric in metrics:
        if metric not in known:
            output.note(f"no run of {experiment.name} has a metric {metric!r} yet")


@click.command("rm")
@click.argument("runs", nargs=-1, metavar="RUN…", shell_complete=complete_run)
@click.option("--experiment", metavar="NAME", shell_complete=complete_experiment, help="An experiment with its runs.")
@click.pass_context
def rm_command(ctx: click.Context, runs: Sequence[str], experiment: str | None) -> None:
    """Delete runs: hide them from every reader until `gxt restore`."""
    repo = repository(ctx)
    if bool(runs) == bool(experiment):
        raise click.UsageError("say which runs to delete, or --experiment NAME")
    if experiment:
        edits.delete_experiment(repo, catalog.find_experiment(repo, experiment))
        _say(f"deleted the experiment {experiment}; `gxt restore --experiment {experiment}` brings it back")
        return
    found = [catalog.find(repo, run) for run in runs]
    for run in found:
        edits.delete(repo, run)
    _say(f"deleted {_names(found)}; `gxt restore` brings {'it' if len(found) == 1 else 'them'} back")


@click.command("restore")
@click.argument("runs", nargs=-1, metavar="RUN…", shell_complete=complete_deleted)
@click.option("--experiment", metavar="NAME", help="An experiment with its runs.")
@click.pass_context
def restore_command(ctx: click.Context, runs: Sequence[str], experiment: str | None) -> None:
    """Bring deleted runs back. `gxt table --deleted` shows them."""
    repo = repository(ctx)
    if bool(runs) == bool(experiment):
        raise click.UsageError("say which runs to restore, or --experiment NAME")
    if experiment:
        edits.restore_experiment(repo, catalog.find_experiment(repo, experiment))
        _say(f"restored the experiment {experiment}")
        return
    found = [catalog.find(repo, run, deleted=True) for run in runs]
    for run in found:
        edits.restore(repo, run)
    _say(f"restored {_names(found)}")


@click.command("purge")
@click.argument("runs", nargs=-1, metavar="[RUN…]", shell_complete=complete_deleted)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def purge_command(ctx: click.Context, runs: Sequence[str], yes: bool) -> None:
    """Take deleted runs off the branch: those named, or all.

    The branch's history keeps them; docs/deleting.md says how to take them out of there too.
    """
    repo = repository(ctx)
    found = [catalog.find(repo, run, deleted=True) for run in runs] or catalog.listing(repo, deleted=True).runs
    if not found:
        output.note("no deleted runs")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{len(found)} deleted run{'s' if len(found) > 1 else ''} to purge", "--yes does it")
        if not click.confirm(f"Take {_names(found)} off the branch?"):
            output.note("nothing purged")
            return
    purged = store.purge(repo, [run.id for run in found])
    _say(f"purged {_names(purged)}; the history of the branch still has {'it' if len(purged) == 1 else 'them'}")


def _names(runs: Sequence[Run]) -> str:
    shown = ", ".join(run.name or run.id for run in runs[:5])
    return f"{shown} and {len(runs) - 5} more" if len(runs) > 5 else shown


def _say(text: str) -> None:
    if output.is_terminal():
        output.say(text)
