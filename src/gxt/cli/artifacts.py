"""`gxt artifacts`: what runs keep, where large ones are, and having them there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from gxt import catalog, git, large, layout, render, store, transfer
from gxt.cli import output
from gxt.cli.moving import transfer_progress
from gxt.cli.params import complete_run, json_option, readable_repository, repository
from gxt.errors import GxtError, UsageError
from gxt.git import Repository
from gxt.model import Run, now
from gxt.pointers import Pointer
from gxt.render import Column, Table
from gxt.showing import one_line
from gxt.transfer import Whereabouts


class _OrRun(click.Group):
    """A group whose first word may also be a run, for the command `of`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["of", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["of", *args]
        return super().parse_args(ctx, args)


@click.group("artifacts", cls=_OrRun)
def artifacts_command() -> None:
    """Show artifacts and where they are; send and fetch large ones.

    Artifacts of over 1 MiB are pointers on the branch. Their bytes are in Git LFS, where git-lfs is installed, or in
    a store. `gxt artifacts RUN` shows those of a run, `gxt artifacts` the large ones of all.

    \b
    gxt artifacts @last
    gxt artifacts push
    gxt artifacts store s3://bucket/folder
    """


runs_argument = click.argument("runs", nargs=-1, metavar="[RUN…]", shell_complete=complete_run)


@artifacts_command.command("of", hidden=True)
@click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)
@json_option
@click.pass_context
def of_command(ctx: click.Context, run: str | None, as_json: bool) -> None:
    """Show the artifacts of a run, or the large ones of all runs, and where their bytes are."""
    repo = readable_repository(ctx)
    if run is None:
        found = transfer.whereabouts(repo)
        rows = [_row(about.named, about.pointer.size, about) for about in found]
    else:
        one = catalog.find(repo, run)
        large_ones = {about.pointer: about for about in transfer.whereabouts(repo, [one])}
        rows = [
            _row(
                path.removeprefix(f"{layout.ARTIFACTS}/"),
                catalog.size_of(content),
                large_ones[content.pointer] if isinstance(content, catalog.LargeFile) else None,
                "git" if isinstance(content, git.TreeFile) else one.place,
            )
            for path, content in catalog.contents(repo, one).items()
            if path.startswith(f"{layout.ARTIFACTS}/")
        ]
    if as_json:
        click.echo(render.json_text(rows), nl=False)
        return
    columns = [Column("artifact"), Column("size", "size"), Column("sha256"), Column("where")]
    table = Table(columns, [[row["path"], row["size"], (row["sha256"] or "")[:12], _where(row)] for row in rows])
    if rows:
        output.page(render.terminal(table, now(), output.width(), output.colour())[0], wide=True)
    else:
        output.note("no artifacts" if run else "no large artifacts on the branch")
    if run is None and rows:
        size = render.size(sum(row["size"] for row in rows))
        output.note(f"{len(rows)} large artifact{_s(rows)}, {size}; new ones go to {_place_name(repo)}")


def _s(items: Sequence[Any] | int) -> str:
    return "" if (items if isinstance(items, int) else len(items)) == 1 else "s"


def _row(path: str, size: int, about: Whereabouts | None, where: str = "") -> dict[str, Any]:
    if about is None:
        return {"path": path, "size": size, "sha256": None, "here": True, "place": where, "problem": None}
    return {
        "path": path,
        "size": size,
        "sha256": about.pointer.oid,
        "here": about.here,
        "place": about.place,
        "problem": about.problem,
    }


def _where(row: dict[str, Any]) -> str:
    if row["problem"]:
        return str(row["problem"])
    if row["sha256"] is None:
        return str(row["place"])
    if row["here"]:
        return f"here and {row['place']}" if row["place"] else "here, not sent yet"
    return str(row["place"]) if row["place"] else "not here"


def _place_name(repo: Repository) -> str:
    return large.source_for(store.artifact_settings(repo))


def _named(repo: Repository, runs: Sequence[str]) -> list[Run] | None:
    return catalog.find_all(repo, runs) if runs else None


@artifacts_command.command("push")
@runs_argument
@click.option("--remote", metavar="NAME", help="Git LFS of this remote. Default: origin, or the only one.")
@click.option("--background", is_flag=True, hidden=True)
@click.pass_context
def push_command(ctx: click.Context, runs: Sequence[str], remote: str | None, background: bool) -> None:
    """Send the large artifacts of runs on the branch; of all, or of those named.

    To the store, where one is set, or to Git LFS of a remote. It is asked for each of them, and gets what it lacks: a
    push that was cut off goes on where it was, and what was lost there is sent again.
    """
    repo = repository(ctx)
    if background:
        trouble = transfer.send_as_they_come(repo)
        if trouble is not None:
            raise trouble
        return
    done = transfer.push(repo, remote, _named(repo, runs), partial(transfer_progress, "sending"))
    _say_sent(done)
    done.check()


def _say_sent(done: transfer.Sending) -> None:
    if done.place and (done.sent or not done.failed):
        sent = f"{len(done.sent)} artifact{_s(done.sent)} ({_size(done.sent)})"
        click.echo(f"sent {sent} to {done.place}; {len(done.there)} there already")
    elif not done.failed:
        output.note("no large artifacts to send")
    if done.missing:
        names = ", ".join(list(done.missing.values())[:3])
        output.note(f"{len(done.missing)} neither here nor there, for whoever recorded them to send: {names}")


def _size(pointers: Sequence[Pointer]) -> str:
    return render.size(sum(pointer.size for pointer in pointers))


@artifacts_command.command("pull")
@runs_argument
@click.pass_context
def pull_command(ctx: click.Context, runs: Sequence[str]) -> None:
    """Fetch the large artifacts of runs on the branch; of all, or of those named.

    Not needed: what is opened is fetched by itself.
    """
    repo = repository(ctx)
    done = transfer.pull(repo, _named(repo, runs), partial(transfer_progress, "fetching"))
    came = f"{len(done.fetched)} artifact{_s(done.fetched)} ({_size(done.fetched)})"
    click.echo(f"fetched {came}; {len(done.here)} here already")
    if done.failed:
        first = next(iter(done.failed.values()))
        raise GxtError(f"{len(done.failed)} did not come: {first.message}", first.hint)


@artifacts_command.command("verify")
@runs_argument
@json_option
@click.pass_context
def verify_command(ctx: click.Context, runs: Sequence[str], as_json: bool) -> None:
    """Check the copies here against their SHA-256, and ask the store for each large artifact.

    A damaged copy is set aside, and fetched again when it is opened. Git LFS is not asked, since git-lfs asks a server
    only when it sends or fetches: `gxt artifacts push` does. Exits with 1 where something is wrong.
    """
    repo = repository(ctx)
    found = transfer.verify(repo, _named(repo, runs), partial(transfer_progress, "checking"))
    wrong = [about for about in found if about.problem]
    if as_json:
        rows = [_row(about.named, about.pointer.size, about) for about in found]
        click.echo(render.json_text(rows), nl=False)
    else:
        for about in wrong:
            click.echo(f"{one_line(about.named)}: {about.problem}")
        here = sum(about.here for about in found)
        click.echo(f"{len(found)} large artifact{_s(found)}: {here} whole here, {len(wrong)} with a problem")
    if found and not as_json and store.artifact_settings(repo).store is None and git.has_lfs():
        output.note("Git LFS was not asked: `gxt artifacts push` does, and sends what it lacks")
    if wrong:
        ctx.exit(1)


@artifacts_command.command("prune")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--all", "everything", is_flag=True, help="Every copy here that is elsewhere too, in use or not.")
@click.option("--store", "of_store", is_flag=True, help="Objects of the store instead of copies here.")
@click.option("--force", is_flag=True, help="Also copies that are nowhere else; with --store, no question.")
@json_option
@click.pass_context
def prune_command(
    ctx: click.Context, dry_run: bool, everything: bool, of_store: bool, force: bool, as_json: bool
) -> None:
    """Clear away bytes that no run on any ref names.

    Copies here go only if they are in the store or on the Git LFS server too, which is asked first; git-lfs then sends
    what the server has lost. --dry-run goes by what is known of the server.

    With --store, objects of the store go that no ref of this clone names, and that came over two weeks ago. Fetch
    first, and see --dry-run: what other clones have not pushed is not known here.
    """
    repo = repository(ctx)
    if of_store:
        if everything:
            raise UsageError("--all is for copies here", "without --store")
        if not (dry_run or force):
            would = transfer.prune_store(repo, dry_run=True)
            if would.removed and not _confirmed(would):
                raise UsageError("nothing was taken from the store", "--dry-run shows what would go; --force takes it")
        done = transfer.prune_store(repo, dry_run)
    else:
        done = transfer.prune(repo, dry_run, force, everything)
    if as_json:
        click.echo(render.json_text(done._asdict()), nl=False)
        return
    for oid, size in done.removed.items():
        click.echo(f"{'would remove' if dry_run else 'removed'} {oid[:12]}  {render.size(size)}")
    verb = "would free" if dry_run else "freed"
    click.echo(
        f"{verb} {render.size(sum(done.removed.values()))} of {_place_name(repo) if of_store else 'copies here'}"
    )
    if done.kept:
        why = "younger than two weeks" if of_store else "not found anywhere else; --force takes them too"
        output.note(f"{len(done.kept)} kept ({render.size(sum(done.kept.values()))}): {why}")


def _confirmed(would: transfer.Pruning) -> bool:
    if not output.is_terminal():
        return False
    what = f"{len(would.removed)} object{_s(len(would.removed))}, {render.size(sum(would.removed.values()))}"
    return click.confirm(f"take {what} from the store for ever?", err=True)


@artifacts_command.command("store")
@click.argument("url", required=False)
@click.option("--clone", "only_here", is_flag=True, help="For this clone alone (git config gxt.artifactStore).")
@click.option("--none", "unset", is_flag=True, help="No store: Git LFS again, where it is installed.")
@click.pass_context
def store_command(ctx: click.Context, url: str | None, only_here: bool, unset: bool) -> None:
    """Show or name the store for large artifacts: a URL that fsspec opens, or an absolute path.

    For the team, in gxt.yaml on the run branch; with --clone for this clone alone, which then counts.

    \b
    gxt artifacts store s3://bucket/folder
    gxt artifacts store /mnt/team/artifacts --clone
    """
    repo = repository(ctx)
    if url is not None and unset:
        raise UsageError("a URL and --none", "one of them")
    if url is not None:
        large.check_kind(url)
    if url is None and not unset:
        click.echo(_place_name(repo))
    elif only_here:
        git.set_config(repo, "gxt.artifactStore", None if unset or url is None else large.checked_url(url))
    else:
        store.set_artifact_store(repo, None if unset else url)
