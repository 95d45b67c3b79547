"""gxt data: which data runs saw, and whether it is still here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from gxt import catalog, render
from gxt.cli import output
from gxt.cli.moving import transfer_progress
from gxt.cli.params import complete_run, experiments_option, json_option, readable_repository
from gxt.datasets import usage
from gxt.model import Run, format_time, now
from gxt.render import Column, Table

_NAMED = 3


@click.command("data")
@click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)
@experiments_option("Without RUN: only what runs of this experiment saw.")
@click.option("--where", multiple=True, metavar="FILTER", help="Without RUN: only of these runs, as in `gxt table`.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where data of RUN has changed or is gone.")
@json_option
@click.pass_context
def data_command(
    ctx: click.Context,
    run: str | None,
    experiments: Sequence[str],
    where: Sequence[str],
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show which data a run saw, and whether it is still here.

    Of a RUN, each input is looked up where it was: it is the same, changed or gone. The other runs that saw the same
    data are named. Without RUN, all data that runs saw, the last used first.

    \b
    gxt data @last
    gxt data -e nyc-taxi
    gxt table --where "dataset.digest like 'sha256:3c5feb%'"
    """
    repo = readable_repository(ctx)
    if run is None:
        if exit_code:
            raise click.UsageError("--exit-code is for a RUN")
        found = usage.known(repo, list(experiments) or None, where, output.progress())
        if as_json:
            output.page(render.json_text([_dataset_json(one) for one in found]))
        elif found:
            _show(_known_table(found))
        else:
            output.note("no run has recorded an input: `gxt log --input PATH`, gxt.log_input()")
        return 0
    if experiments or where:
        raise click.UsageError("-e and --where choose among all runs; RUN is one")
    of_run = catalog.find(repo, run, progress=output.progress())
    with transfer_progress("reading") as progress:
        inputs = usage.inputs(repo, of_run, progress)
    if as_json:
        output.page(render.json_text({"run": of_run.id, "inputs": [_input_json(one) for one in inputs]}))
    elif inputs:
        _show(_input_table(inputs))
    else:
        output.note(f"run {of_run.name} has recorded no input: gxt.log_input(), or `gxt log --run RUN --input PATH`")
    return 1 if exit_code and any(one.here in (usage.CHANGED, usage.GONE) for one in inputs) else 0


def _show(table: Table) -> None:
    text, hidden = render.terminal(table, now(), output.width(), output.colour())
    output.page(text)
    if hidden:
        output.note(f"not shown, for want of room (--json has all): {', '.join(hidden)}")


def _input_table(inputs: Sequence[usage.Input]) -> Table:
    columns = [Column("input"), Column("for"), Column("here"), Column("also seen by"), *_ABOUT]
    rows = [[one.name, one.about.get("context"), one.here, _named(one.others), *_about(one.about)] for one in inputs]
    return _without_empty(Table(columns, rows))


def _known_table(found: Sequence[usage.Dataset]) -> Table:
    columns = [Column("input"), Column("runs", "number"), Column("seen by"), *_ABOUT]
    rows = [[", ".join(one.names), len(one.runs), _named(one.runs), *_about(one.about)] for one in found]
    return _without_empty(Table(columns, rows))


_ABOUT = [Column("rows", "number"), Column("size", "size"), Column("digest"), Column("source")]


def _about(about: Mapping[str, Any]) -> list[Any]:
    size = about.get("size")
    digest = str(about.get("digest") or "")[:19]
    return [about.get("rows"), size if isinstance(size, int) else None, digest or None, about.get("source")]


def _named(runs: Sequence[Run]) -> str | None:
    """The latest of some runs by their names."""
    names = ", ".join(run.name or run.id for run in runs[:_NAMED])
    return f"{names} and {len(runs) - _NAMED} more" if len(runs) > _NAMED else names or None


def _without_empty(table: Table) -> Table:
    kept = [i for i in range(len(table.columns)) if any(row[i] is not None for row in table.rows)]
    return Table([table.columns[i] for i in kept], [[row[i] for i in kept] for row in table.rows])


def _run_json(run: Run) -> dict[str, Any]:
    started = None if run.started is None else format_time(run.started)
    return {"id": run.id, "name": run.name, "experiment": run.experiment, "started": started}


def _input_json(one: usage.Input) -> dict[str, Any]:
    return {"name": one.name, "here": one.here, "about": dict(one.about), "others": list(map(_run_json, one.others))}


def _dataset_json(one: usage.Dataset) -> dict[str, Any]:
    return {
        "digest": one.digest,
        "names": list(one.names),
        "about": dict(one.about),
        "runs": list(map(_run_json, one.runs)),
    }
