"""`gxt checkout` and `gxt get`: a run's files or its code in a folder, and one of its files."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import click

from gxt import catalog, git, layout, worktrees
from gxt.cli import output
from gxt.cli.moving import talk, transfer_progress
from gxt.cli.params import readable_repository, repository, run_argument
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from gxt.model import Run, experiment_folder


@click.command("checkout")
@run_argument
@click.argument("path", required=False, default="", metavar="[PATH]")
@click.option("--code", is_flag=True, help="The code that ran instead, as a linked work tree of git; PATH is where to.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="DIR",
    help="Where to. Default: a folder named by the run's id; for the code, one beside the repository.",
)
@click.option("-f", "--force", is_flag=True, help="Write into a folder that has files already.")
@click.pass_context
def checkout_command(ctx: click.Context, run: str, path: str, code: bool, target: str | None, force: bool) -> None:
    """Write a run's files to a folder, or the code that ran.

    All files, or those below PATH (such as artifacts/models). Prints the folder. The repository's work tree and
    branches stay as they are.

    With --code, the folder is a linked work tree (git-worktree(1)) with the code as it was when the run started,
    uncommitted changes included; it is fetched where it is not here.

    \b
    gxt checkout @best:rmse artifacts/models -o best
    gxt checkout @best:rmse --code ../best
    """
    if code:
        if path and target:
            raise UsageError("--code takes one folder", "as PATH, or by -o")
        if force:
            raise UsageError("--force does not go with --code", "git makes linked work trees in new folders alone")
        repo = repository(ctx)
        _checkout_code(repo, catalog.find(repo, run), path or target)
        return
    repo = readable_repository(ctx)
    found = catalog.find(repo, run)
    folder = Path(target or found.id)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder} has files in it already", "-o names another folder; --force writes into this one")
    try:
        inside = [content for name, content in catalog.contents(repo, found).items() if name.startswith(path)]
        with transfer_progress("fetching", _size(inside)) as progress:
            written = catalog.export(repo, found, folder, path, progress)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    if not written:
        raise NotFoundError(f"run {found.name} has no file {path!r}", f"`gxt show {found.id}` lists its artifacts")
    click.echo(str(folder))
    if output.is_terminal():
        output.note(f"{len(written)} file{'s' if len(written) > 1 else ''}")


def _checkout_code(repo: Repository, run: Run, target: str | None) -> None:
    folder = Path(target) if target else _beside(repo, run)
    if repo.work_tree is not None and folder.resolve().is_relative_to(repo.work_tree.resolve()):
        raise UsageError(f"{folder} is in your own work tree", "a folder outside of it, such as ../NAME")
    opened = worktrees.open_at(repo, git.config(repo), run, folder, talk("the repository"))
    click.echo(str(folder))
    for remark in worktrees.missing(run, opened):
        output.note(f"gxt: {remark}")
    if output.is_terminal():
        output.note(
            f"commit {opened.commit[:12]}; `git worktree remove --force {shlex.quote(str(folder))}` takes it away"
        )


def _beside(repo: Repository, run: Run) -> Path:
    name = experiment_folder(run.name or run.id)
    if repo.work_tree is None:
        return Path(f"{name}-code")
    return Path(os.path.relpath(repo.work_tree.parent / f"{repo.work_tree.name}-{name}"))


@click.command("get")
@run_argument
@click.argument("path", metavar="PATH")
@click.option(
    "-o", "--output", "target", metavar="FILE", help="Where to; - for standard output. Default: its own name."
)
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there.")
@click.pass_context
def get_command(ctx: click.Context, run: str, path: str, target: str | None, force: bool) -> None:
    """Write one file of a run: an artifact, or another by its name.

    A large artifact is fetched where it is not here, and its SHA-256 checked. Prints where the file is.

    \b
    gxt get @best:rmse model.pkl
    gxt get calm-otter output.log -o -
    """
    repo = readable_repository(ctx)
    found = catalog.find(repo, run)
    files = catalog.contents(repo, found)
    name = PurePosixPath(path).as_posix()
    names = [candidate for candidate in (f"{layout.ARTIFACTS}/{name}", name) if candidate in files]
    if not names:
        folder = any(file.startswith((f"{layout.ARTIFACTS}/{name}/", f"{name}/")) for file in files)
        hint = f"`gxt checkout {found.id}` writes whole folders" if folder else f"`gxt show {found.id}` lists its files"
        raise NotFoundError(f"run {found.name} has no file {path!r}", hint)
    with transfer_progress("fetching", _size([files[names[0]]])) as progress:
        if target == "-":
            catalog.write_through(repo, files[names[0]], sys.stdout.buffer, progress)
            return
        destination = Path(target or PurePosixPath(name).name)
        if destination.is_dir():
            destination /= PurePosixPath(name).name
        if destination.exists() and not force:
            raise UsageError(f"{destination} is there already", "-o names another file; --force replaces this one")
        try:
            catalog.save(repo, files[names[0]], destination, progress)
        except OSError as error:
            raise UsageError(f"cannot write {destination}: {error.strerror}") from None
    click.echo(str(destination))


def _size(contents: Iterable[object]) -> int:
    """Of the large files among some, in bytes."""
    return sum(content.pointer.size for content in contents if isinstance(content, catalog.LargeFile))
