"""`gxt code`: the code that a run ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from gxt import catalog, codehistory, git, layout, render, worktrees
from gxt.cli import output
from gxt.cli.moving import talk
from gxt.cli.params import json_option, repository, run_argument
from gxt.errors import GxtError, UsageError
from gxt.git import FileChange, Repository
from gxt.model import Run
from gxt.showing import one_line


@click.command("code")
@run_argument
@click.option("--patch", is_flag=True, help="The uncommitted changes, as git shows them.")
@click.option("--stat", is_flag=True, help="How much is changed in which file, as git shows it.")
@json_option
@click.pass_context
def code_command(ctx: click.Context, run: str, patch: bool, stat: bool, as_json: bool) -> None:
    """Show the code that a run ran, uncommitted changes included.

    `gxt checkout RUN --code` has all of it in a folder, `gxt diff A B --code` compares that of two runs.
    """
    if patch + stat + as_json > 1:
        raise UsageError("--patch, --stat and --json are three ways to show it", "give one of them")
    repo = repository(ctx)
    found = catalog.find(repo, run)
    settings = git.config(repo)
    if patch or stat:
        _show_changes(repo, found, "--patch" if patch else "--stat")
        return
    base = worktrees.base_of(found, settings)
    trouble: GxtError | None = None
    changes: list[FileChange] = []
    try:
        commit = worktrees.fetched(repo, settings, found, talk("the repository"))
        changes = git.changed_files(repo, base, commit)
    except GxtError as error:
        trouble = error
    if as_json:
        output.page(render.json_text(_json(found, changes, trouble)))
        return
    output.page("".join(f"{line}\n" for line in _lines(found, changes)))
    if trouble is not None:
        raise trouble


def _show_changes(repo: Repository, run: Run, how: str) -> None:
    settings = git.config(repo)
    try:
        commit = worktrees.fetched(repo, settings, run, talk("the repository"))
    except GxtError:
        patch = catalog.read_file(repo, run, layout.CODE_PATCH) if how == "--patch" else None
        if patch is None:
            raise
        output.note("gxt: the code is not here, and no remote has it; this is the patch that is kept with the run")
        output.page(patch.decode("utf-8", "replace"))
        return
    git.show_diff(repo, worktrees.base_of(run, settings), commit, [how])


def _lines(run: Run, changes: Sequence[FileChange]) -> Iterator[str]:
    source = run.source
    facts = {
        "run": f"{run.name} ({run.id})",
        "command": source.get("command"),
        "entrypoint": source.get("entrypoint"),
        "directory": source.get("cwd"),
        "commit": source.get("commit"),
        "snapshot": source.get("snapshot") if source.get("snapshot") != source.get("commit") else None,
        "branch": source.get("branch"),
        "dirty": ("yes" if source["dirty"] else "no") if "dirty" in source and not changes else None,
        "remote": source.get("remote"),
        "reproduces": source.get("reproduces"),
        "rerun of": source.get("rerun_of"),
        "problem": source.get("problem"),
    }
    for name, value in facts.items():
        if value is not None:
            yield f"{output.paint(f'{name:<10}', 'bold')}  {one_line(str(value))}"
    if changes:
        yield output.paint("changes", "bold")
        yield from (f"  {change.kind:<7}  {_name(change)}" for change in changes)
    left_out = codehistory.not_kept(run)
    if left_out:
        yield output.paint("not kept", "bold")
        yield from (f"  {one_line(file)}" for file in render.not_kept(left_out))
    for path in map(one_line, codehistory.edited(run)):
        yield f"{path} was changed after the program had begun: what ran may be an older text"
    for command in worktrees.went_on(run):
        yield f"the run went on with other code, by {command}"
    for path in map(one_line, codehistory.changed_submodules(run)):
        yield f"the submodule {path} had changes of its own, which are not kept"


def _name(change: FileChange) -> str:
    path = one_line(change.path)
    return path if change.was is None else f"{one_line(change.was)} => {path}"


def _json(run: Run, changes: Sequence[FileChange], trouble: GxtError | None) -> dict[str, Any]:
    source = run.source
    keys = ("command", "entrypoint", "cwd", "commit", "snapshot", "branch", "dirty", "remote", "reproduces", "rerun_of")
    return {
        "run": run.id,
        **{key: source.get(key) for key in keys},
        "changes": [
            {"path": change.path, "what": change.kind, **({"was": change.was} if change.was is not None else {})}
            for change in changes
        ],
        "left_out": codehistory.not_kept(run),
        "edited": codehistory.edited(run),
        "resumed": source.get("resumed") or [],
        "submodules": source.get("submodules") or {},
        "problem": str(source["problem"]) if "problem" in source else trouble.message if trouble else None,
    }
