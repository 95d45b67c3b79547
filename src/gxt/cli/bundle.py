"""`gxt bundle` and `gxt unbundle`: runs in one file, for where no network leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gxt import bundles, catalog, render, store
from gxt.cli import moving, output
from gxt.cli.params import json_option, repository
from gxt.errors import UsageError
from gxt.pointers import Pointer


@click.command("bundle")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--since",
    metavar="REV",
    help="Only what came after a commit, tag or time of the run branch that the other side has: origin/gxt, yesterday.",
)
@click.option("--no-artifacts", is_flag=True, help="Leave large artifacts out.")
@click.option("--no-code", is_flag=True, help="Leave the code of the runs out.")
@click.option("--skip-missing", is_flag=True, help="Leave out large artifacts whose bytes cannot be had.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there.")
@json_option
@click.pass_context
def bundle_command(
    ctx: click.Context,
    file: Path,
    since: str | None,
    no_artifacts: bool,
    no_code: bool,
    skip_missing: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write runs to one file, to carry where no network leads.

    The file holds the run branch, or what came to it since a commit, as a git bundle, the large artifacts of these
    runs, and their code as far as no remote has it. `gxt unbundle` joins it with the runs of another clone; `unzip` and
    `git bundle` open it without gxt.

    A bundle is of the branch, and not of single runs: what a run was before is part of what lets it be joined.

    \b
    gxt bundle runs.zip
    gxt bundle new.zip --since 8f2c1a9e40
    """
    repo = repository(ctx)
    if file.exists() and not force:
        raise UsageError(f"{file} is there already", "--force replaces it")
    store.commit_pending(repo)
    base = catalog.commit_at(repo, since) if since is not None else None
    with moving.transfer_progress("bundling") as progress:
        done = bundles.bundle(
            repo,
            file,
            base,
            artifacts=not no_artifacts,
            code=not no_code,
            skip_missing=skip_missing,
            progress=progress,
            said=moving.talk("git").said,
        )
    for where in done.missing.values():
        output.note(f"gxt: left out: {where}")
    if as_json:
        found = {
            "file": str(file),
            "size": done.size,
            "commit": done.commit,
            "since": done.since,
            "runs": [moving.run_json(moved) for moved in done.runs],
            **_of_artifacts(done.artifacts, done.missing),
            "code": list(done.code),
        }
        click.echo(render.json_text(found), nl=False)
        return
    said = f"{moving.runs_text(done.runs) or 'no run'}{_artifacts(done.artifacts)}"
    click.echo(f"{file}: {said}, {render.size(done.size)}")
    click.echo(f"  the run branch up to {done.commit[:12]}; the next one: gxt bundle FILE --since {done.commit[:12]}")


@click.command("unbundle")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-n", "--dry-run", is_flag=True, help="Only list the runs that would come.")
@click.option("--no-artifacts", is_flag=True, help="Leave its large artifacts there.")
@json_option
@click.pass_context
def unbundle_command(ctx: click.Context, file: Path, dry_run: bool, no_artifacts: bool, as_json: bool) -> None:
    """Join the runs of a bundle with those that are here.

    All of it is checked first, and comes whole or not at all. Runs that are here stay; what both sides have changed is
    joined as `gxt pull` does. A file that `git bundle` wrote will do as well.

    \b
    gxt unbundle --dry-run runs.zip
    gxt unbundle runs.zip
    """
    repo = repository(ctx)
    if not dry_run:
        store.commit_pending(repo)
    with moving.transfer_progress("unbundling") as progress:
        done = bundles.unbundle(
            repo,
            file,
            artifacts=not no_artifacts,
            dry_run=dry_run,
            progress=progress,
            said=moving.talk("git").said,
        )
    if as_json:
        found = {
            "received": [moving.run_json(moved) for moved in done.received],
            "commit": done.commit,
            **_of_artifacts(done.artifacts, done.missing),
            "code": list(done.code),
            "code_lacks": list(done.code_lacks),
            "dry_run": dry_run,
        }
        click.echo(render.json_text(found), nl=False)
        return
    verb = "would receive " if dry_run else "received "
    came = moving.runs_text(done.received)
    click.echo(f"{file}: {verb if came else ''}{came or 'nothing new'}{_artifacts(done.artifacts)}")
    if dry_run:
        for line in moving.run_lines(done.received, done.names):
            click.echo(line)
    if done.code_lacks:
        lacking = ", ".join(commit[:12] for commit in done.code_lacks[:5])
        output.note(
            f"without the code of its runs, which builds on commits that are not here: {lacking}; fetch them first"
        )
    if done.missing:
        output.note(
            f"{len(done.missing)} large artifact{'' if len(done.missing) == 1 else 's'} of its runs"
            " neither in it nor here; they are fetched when they are opened"
        )


def _of_artifacts(pointers: Sequence[Pointer], missing: Mapping[Pointer, str]) -> dict[str, Any]:
    return {
        "artifacts": [{"sha256": pointer.oid, "size": pointer.size} for pointer in pointers],
        "missing": sorted(missing.values()),
    }


def _artifacts(pointers: Sequence[Pointer]) -> str:
    if not pointers:
        return ""
    size = render.size(sum(pointer.size for pointer in pointers))
    return f", {len(pointers)} large artifact{'' if len(pointers) == 1 else 's'} ({size})"
