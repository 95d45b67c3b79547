"""`gxt checkout`: a run's files in a folder."""

from __future__ import annotations

from pathlib import Path

import click

from gxt import catalog
from gxt.cli import output
from gxt.cli.params import repository, run_argument
from gxt.errors import NotFoundError, UsageError


@click.command("checkout")
@run_argument
@click.argument("path", required=False, default="", metavar="[PATH]")
@click.option("-o", "--output", "target", metavar="DIR", help="Where to. Default: a folder named by the run's id.")
@click.option("-f", "--force", is_flag=True, help="Write into a folder that has files already.")
@click.pass_context
def checkout_command(ctx: click.Context, run: str, path: str, target: str | None, force: bool) -> None:
    """Write a run's files to a folder.

    All of them, or those below PATH (such as artifacts/models). Prints the folder. The repository's work tree and
    branches stay as they are.
    """
    repo = repository(ctx)
    found = catalog.find(repo, run)
    folder = Path(target or found.id)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder} has files in it already", "-o names another folder; --force writes into this one")
    try:
        written = catalog.export(repo, found, folder, path)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    if not written:
        raise NotFoundError(f"run {found.name} has no file {path!r}", f"`gxt show {found.id}` lists its artifacts")
    click.echo(str(folder))
    if output.is_terminal():
        output.note(f"{len(written)} file{'s' if len(written) > 1 else ''}")
