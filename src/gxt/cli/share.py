"""Sharing runs with remotes: sync, push, pull; and merging files for git."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from gxt import git, live, sharing, store
from gxt.cli import moving, output
from gxt.cli.params import json_option, repository
from gxt.errors import GxtError
from gxt.git import Repository
from gxt.model import experiment_name
from gxt.sharing import Outcome


def _sharing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options: list[Callable[..., Any]] = [
        click.argument("remotes", nargs=-1, metavar="[REMOTE…]"),
        click.option("--all", "everywhere", is_flag=True, help="With every remote."),
        click.option("-n", "--dry-run", is_flag=True, help="Only list the runs that would go and come."),
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        json_option,
        click.pass_context,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _rewritten_options(command: Callable[..., Any]) -> Callable[..., Any]:
    def one_of(ctx: click.Context, option: click.Parameter, chosen: bool) -> bool:
        if chosen and ctx.params.get("undo_rewrite" if option.name == "take_rewrite" else "take_rewrite"):
            raise click.UsageError("--take-rewrite and --undo-rewrite are opposites: say one of them")
        return chosen

    take = click.option(
        "--take-rewrite",
        is_flag=True,
        callback=one_of,
        help="Where the remote's branch was rewritten: go on from it, with what was not sent yet on top.",
    )
    undo = click.option(
        "--undo-rewrite",
        is_flag=True,
        callback=one_of,
        help="Where the remote's branch was rewritten: bring back what was taken away.",
    )
    return take(undo(command))


@click.command("sync")
@_rewritten_options
@_sharing_options
def sync_command(ctx: click.Context, remotes: Sequence[str], **options: Any) -> int:
    """Bring a remote's runs here, and send it ours.

    Where both sides have new runs, they are joined, and so are changes to one run; nobody has to resolve anything.
    Without a name, the remote is what git config branch.gxt.remote or remote.pushDefault say, the only one, or origin.

    \b
    gxt sync
    gxt sync --all
    gxt sync backup --dry-run
    """
    return _share(ctx, remotes, receive=True, send=True, **options)


@click.command("push")
@_rewritten_options
@_sharing_options
def push_command(ctx: click.Context, remotes: Sequence[str], **options: Any) -> int:
    """Send our runs to a remote.

    Where it has runs that are not here, they are brought here and joined first, as `gxt sync` does.
    """
    return _share(ctx, remotes, receive=False, send=True, **options)


@click.command("pull")
@_rewritten_options
@_sharing_options
@click.option("--code", is_flag=True, help="Bring the code of all runs too, which else comes when it is needed.")
def pull_command(ctx: click.Context, remotes: Sequence[str], code: bool, **options: Any) -> int:
    """Bring a remote's runs here, and join them with ours.

    The code of a run comes when a command needs it, such as `gxt code` or `gxt reproduce`; with --code at once.
    """
    done = _share(ctx, remotes, receive=True, send=False, **options)
    if code and not options["dry_run"]:
        from gxt.cli.runs import fetch_code  # here for start-up time

        fetch_code(repository(ctx))
    return done


def _share(
    ctx: click.Context,
    remotes: Sequence[str],
    everywhere: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    receive: bool,
    send: bool,
    take_rewrite: bool,
    undo_rewrite: bool,
) -> int:
    repo = repository(ctx)
    settings = git.config(repo)
    if everywhere and remotes:
        raise click.UsageError("name remotes, or say --all")
    names = list(git.remote_urls(settings)) if everywhere else list(remotes)
    names = names or [sharing.default_remote(settings)]
    waiting = [folder.name for folder in live.pending_runs(store.root(repo))]
    if not dry_run and (waiting or live.live_runs(store.root(repo))):
        store.commit_pending(repo)
    rewritten = sharing.TAKE if take_rewrite else sharing.UNDO if undo_rewrite else None
    bar = None if quiet else partial(moving.transfer_progress, "sending large artifacts")
    code = 0
    found: list[Outcome | tuple[str, GxtError]] = []
    for name in names:
        talk = moving.talk(name, quiet)
        try:
            if dry_run:
                done = sharing.preview(repo, name, talk)
            else:
                done = sharing.sync(
                    repo, name, talk, receive=receive, send=send, rewritten=rewritten, settings=settings, shown=bar
                )
        except GxtError as error:
            if len(names) == 1:
                raise
            found.append((name, error))
            shown = output.show_error(error)
            code = code or shown
            continue
        found.append(done)
        if not as_json and dry_run:
            _show_preview(repo, done, waiting, receive, send)
        elif not as_json:
            _show(done)
    if as_json:
        from gxt import render  # here for start-up time

        click.echo(render.json_text({"remotes": [_json(one) for one in found]}), nl=False)
    if receive and not dry_run and code == 0 and store.base_of(settings, store.branch_name(settings)):
        from gxt.cli.review import remark_base  # here for start-up time

        remark_base(repo, settings, names, quiet)
    return code


def _show(done: Outcome) -> None:
    came = moving.moved_text(done.received, done.received_experiments, done.is_new_here)
    went = moving.moved_text(done.sent, done.sent_experiments, done.is_new_there, done.artifacts, done.code)
    parts = ([f"received {came}"] if came else []) + ([f"sent {went}"] if went else [])
    if done.tries > 1:
        parts.append(f"others were faster {done.tries - 1} time{'' if done.tries == 2 else 's'}")
    click.echo(f"{done.remote}: {'; '.join(parts) or 'nothing new'}")
    if done.kept:
        output.note(f"what was here before is kept as {done.kept} (`git update-ref -d {done.kept}` lets it go)")


def _show_preview(repo: Repository, found: Outcome, waiting: Sequence[str], receive: bool, send: bool) -> None:
    comes = found.received if receive else []
    goes = found.sent if send else []
    names = sharing.names(repo, [found.there, found.commit], [*comes[: moving.LISTED], *goes[: moving.LISTED]])
    new_here, new_there = receive and found.is_new_here, send and found.is_new_there
    artifacts, code = (found.artifacts, found.code) if send else ((), ())
    for title, moved, text in (
        ("would receive", comes, moving.moved_text(comes, (), new_here)),
        ("would send", goes, moving.moved_text(goes, (), new_there, artifacts, code)),
    ):
        if text:
            click.echo(f"{found.remote}: {title} {text}")
        for line in moving.run_lines(moved, names):
            click.echo(line)
    for run_id in waiting if send else ():
        click.echo(f"{found.remote}: would commit and send {run_id}")
    if not (new_here or new_there or waiting or artifacts or code):
        click.echo(f"{found.remote}: nothing new")


def _json(one: Outcome | tuple[str, GxtError]) -> dict[str, Any]:
    done, error = (Outcome(one[0]), one[1]) if isinstance(one, tuple) else (one, None)
    return {
        "remote": done.remote,
        "received": [moving.run_json(moved) for moved in done.received],
        "sent": [moving.run_json(moved) for moved in done.sent],
        "artifacts": {"count": len(done.artifacts), "size": sum(pointer.size for pointer in done.artifacts)},
        "received_experiments": [experiment_name(folder) for folder in done.received_experiments],
        "sent_experiments": [experiment_name(folder) for folder in done.sent_experiments],
        "code": list(done.code),
        "commit": done.commit,
        "merges": done.merges,
        "tries": done.tries,
        "kept": done.kept,
        "error": None if error is None else {"message": error.message, "hint": error.hint},
    }


@click.command("merge-driver")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("theirs", type=click.Path(path_type=Path))
@click.argument("path")
@click.pass_context
def merge_driver_command(ctx: click.Context, base: Path, ours: Path, theirs: Path, path: str) -> None:
    """Merge a file of the run branch for git.

    git starts this for `git merge` and `git rebase` of the run branch, once `gxt init` has set it up: BASE, OURS and
    THEIRS are the versions of the file at PATH, and what they come to is written to OURS.
    """
    from gxt import driver  # here for start-up time

    repo = repository(ctx)
    merged = driver.merge_file(repo, base.read_bytes(), ours.read_bytes(), theirs.read_bytes(), path)
    ours.write_bytes(merged)
