"""Setting up and looking after a repository: init, status, recover, gc."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from gxt import catalog, edits, git, live, render, store
from gxt.cli import output
from gxt.cli.params import complete_run, json_option, repository
from gxt.git import Repository
from gxt.model import KILLED, Run, now


@click.command("init")
@click.pass_context
def init_command(ctx: click.Context) -> None:
    """Make the run branch. Not needed: the first run makes it too."""
    repo = repository(ctx)
    branch = store.branch_name(git.config(repo))
    made = store.init(repo)
    output.say(f"{'made the run branch' if made else 'there is the run branch'} {branch} in {repo.common_dir}")


@click.command("status")
@json_option
@click.pass_context
def status_command(ctx: click.Context, as_json: bool) -> None:
    """Show the run branch, live and unpushed runs, and disk use."""
    repo = repository(ctx)
    state = _state(repo)
    if as_json:
        click.echo(render.json_text(state), nl=False)
        return
    runs = f"{_count(state['runs'], 'run')} in {_count(state['experiments'], 'experiment')}"
    tip = f" at {state['tip'][:10]}" if state["tip"] else ""
    if state["read_from"]:
        tip += f", read from {state['read_from'].removeprefix('refs/remotes/')}"
    output.say(f"branch {output.paint(state['branch'], 'bold')}{tip}: {runs if state['tip'] else 'no runs yet'}")
    for run in state["live"]:
        output.say(f"  {run['status']:<8} {run['name']} ({run['id']}) in {run['experiment']}, {run['since']}")
    for run in state["pending"]:
        output.say(f"  waiting to be committed: {run['name']} ({run['id']})")
    for remote in state["remotes"]:
        output.say(f"  {remote['ref']}: {_ahead_and_behind(remote)}")
    if not state["remotes"] and state["has_remote"] and state["tip"]:
        output.say(f"  not pushed yet: git push origin {state['branch']}")
    disk = state["disk"]
    output.say(
        f"disk: {render.size(disk['objects'])} of git objects, {render.size(disk['gxt'])} of live runs and caches"
    )
    if state["pending"] or any(run["status"] == "crashed" for run in state["live"]):
        output.note("`gxt recover` commits what crashed or waits")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ahead_and_behind(remote: dict[str, Any]) -> str:
    runs, commits = _count(remote["unpushed"], "run"), _count(remote["commits"], "commit")
    ahead = f"{runs} not pushed, in {commits}" if remote["unpushed"] else f"{commits} not pushed"
    said = ahead if remote["commits"] else "everything pushed"
    if remote["missing"]:
        said += f"; {_count(remote['missing'], 'run')} there that {'is' if remote['missing'] == 1 else 'are'} not here"
    return said


def _state(repo: Repository) -> dict[str, Any]:
    settings = git.config(repo)
    found = catalog.listing(repo)
    at = found.tip
    remotes = [
        {
            "ref": ref.removeprefix("refs/remotes/"),
            "unpushed": len(store.missing_runs(repo, commit, at.local_commit)) if at.local_commit else 0,
            "commits": git.count_commits(repo, at.local_commit, commit) if at.local_commit else 0,
            "missing": len(store.missing_runs(repo, at.commit, commit)),
        }
        for ref, commit in git.remote_branches(repo, store.branch_name(settings), settings).items()
    ]
    return {
        "branch": store.branch_name(settings),
        "tip": at.commit,
        "read_from": at.remote_ref,
        "repository": str(repo.common_dir),
        "runs": len(found.runs),
        "experiments": len({run.experiment for run in found.runs}),
        "live": [_waiting(run) for run in found.runs if run.place == "live"],
        "pending": [_waiting(run) for run in found.runs if run.place == "pending"],
        "remotes": remotes,
        "has_remote": bool(git.remote_urls(settings)),
        "disk": {"objects": git.count_objects(repo).size, "gxt": live.disk_usage(store.root(repo))},
    }


def _waiting(run: Run) -> dict[str, Any]:
    started = run.started or 0
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "started": render.time_text(run.started),
        "since": f"started {render.when(started, now())}",
    }


@click.command("recover")
@click.argument("runs", nargs=-1, metavar="[RUN…]", shell_complete=complete_run)
@click.option("--all", "everything", is_flag=True, help="Also end the runs of `gxt start` that nobody finished.")
@click.pass_context
def recover_command(ctx: click.Context, runs: Sequence[str], everything: bool) -> None:
    """Commit what a crash left behind.

    Runs whose process is gone are committed as killed, and so are ended runs that wait.

    A run that `gxt start` began belongs to no process; name it, or say --all, to end it as killed.
    """
    repo = repository(ctx)
    ids = [catalog.find(repo, text).id for text in runs]
    base = store.root(repo)
    with store.committing(repo):
        store.clean_up(repo)  # first: it may be what fills the disk
    if everything:
        ids += [folder.name for folder in live.live_runs(base) if not live.is_owned(folder)]
    committed: list[Run] = []
    for run_id in ids:
        if live.live_path(base, run_id).is_dir():
            committed.append(live.read(live.live_path(base, run_id)))
            edits.finish(repo, run_id, KILLED)
    committed += store.commit_pending(repo)
    completed = edits.take_back_rescued(repo)
    for run_id in completed:
        output.say(f"completed: {run_id}")
    for run in committed:
        output.say(f"{KILLED if run.ended is None else run.status}: {run.name} ({run.id}) in {run.experiment}")
    if not committed and not completed:
        output.note("nothing to recover")
    open_ended = [folder.name for folder in live.live_runs(base) if not live.is_owned(folder)]
    if open_ended:
        output.note(
            f"still open, by `gxt start`: {', '.join(open_ended)}; `gxt finish` or `gxt recover --all` ends them"
        )


@click.command("gc")
@json_option
@click.pass_context
def gc_command(ctx: click.Context, as_json: bool) -> None:
    """Pack the objects, and clear away what crashes left behind.

    This is `git gc` with your own settings, after runs that crashed or wait are committed. gxt packs in the
    background by itself, unless git config gc.auto=0 or maintenance.auto=false forbid it.
    """
    repo = repository(ctx)
    before = git.count_objects(repo)
    with store.committing(repo):
        removed = store.clean_up(repo)  # first: it may be what fills the disk
    committed = store.commit_pending(repo)
    git.collect_garbage(repo, progress=sys.stderr.isatty())  # runs that end meanwhile do not wait for it
    after = git.count_objects(repo)
    if as_json:
        state = {
            "committed": [run.id for run in committed],
            "removed": [str(path) for path in removed],
            "before": before._asdict(),
            "after": after._asdict(),
        }
        click.echo(render.json_text(state), nl=False)
        return
    for run in committed:
        output.say(f"{run.status}: {run.name} ({run.id}) in {run.experiment}")
    for path in removed:
        output.say(f"removed {path}, left behind by a crash")
    output.say(f"before: {_objects(before)}")
    output.say(f"after:  {_objects(after)}")
    if after.size < before.size:
        output.say(f"{render.size(before.size - after.size)} less")


def _objects(counts: git.ObjectCounts) -> str:
    return f"{render.size(counts.size)}, {_count(counts.packs, 'pack')}, {_count(counts.loose, 'loose object')}"
