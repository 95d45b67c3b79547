"""Setting up and looking after a repository: init, status, recover, gc, prune."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gxt import catalog, driver, edits, git, live, remotecode, render, sharing, snapshots, store, transfer
from gxt.cli import moving, output
from gxt.cli.params import complete_run, json_option, repository
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import KILLED, Run, now

if TYPE_CHECKING:
    from gxt.replaying import Kept


@click.command("init")
@click.pass_context
def init_command(ctx: click.Context) -> None:
    """Make the run branch, and set git up to merge and fetch it.

    Not needed: the first run makes the branch, and `gxt sync` merges without any set-up. `git merge` and `git rebase`
    of the run branch give the same result once this clone's git knows how (merge.gxt.driver, and a line in
    .git/info/attributes); and `git fetch` brings the run branch in clones of a single branch too.
    """
    repo = repository(ctx)
    branch = store.branch_name(git.config(repo))
    made = store.init(repo)
    output.say(f"{'made the run branch' if made else 'there is the run branch'} {branch} in {repo.common_dir}")
    for done in driver.set_up(repo, _own_command()):
        output.say(done)
    for remote in driver.fetch_always(repo, branch):
        output.say(f"`git fetch {remote}` brings {branch}")


def _own_command() -> str:
    """How git, which may run without this environment's PATH, starts this gxt."""
    found = shutil.which("gxt")
    own = Path(sys.executable).parent / "gxt"
    if found and os.path.realpath(found) == os.path.realpath(own):
        return "gxt"
    return shlex.join([sys.executable, "-m", "gxt"])


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
        output.say("  not pushed yet: `gxt push` does it")
    if unsent := state["unsent_artifacts"]:
        size = render.size(unsent["size"])
        output.say(f"  {_count(unsent['count'], 'large artifact')} ({size}) only here: `gxt push` sends what it can")
    disk = state["disk"]
    output.say(
        f"disk: {render.size(disk['objects'])} of git objects, {render.size(disk['gxt'])} of live runs and caches"
    )
    if state["pending"] or any(run["status"] == "crashed" for run in state["live"]):
        output.note("`gxt recover` commits what crashed or waits")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ahead_and_behind(remote: dict[str, Any]) -> str:
    if remote["rewritten"]:
        return "was rewritten since this clone had all of it: `gxt sync` says what it has no longer, and the ways out"
    ahead, behind = remote["commits"], remote["commits_behind"]
    said = f"{_moved(remote['unpushed'], remote['changed'])} not pushed" if ahead else "everything pushed"
    said += f", in {_count(ahead, 'commit')}" if ahead and remote["unpushed"] + remote["changed"] else ""
    if remote["missing"] or remote["missing_changes"]:
        verb = "is" if remote["missing"] + remote["missing_changes"] == 1 and remote["missing"] else "are"
        said += f"; {_moved(remote['missing'], remote['missing_changes'])} there that {verb} not here"
    elif behind:
        said += f"; {_count(behind, 'commit')} there that {'is' if behind == 1 else 'are'} not here"
    return said


def _moved(new: int, changed: int) -> str:
    said = [_count(new, "run")] if new else []
    said += [f"changes to {_count(changed, 'run')}"] if changed else []
    return " and ".join(said) or "a commit"


def _state(repo: Repository) -> dict[str, Any]:
    settings = git.config(repo)
    found = catalog.listing(repo)
    at = found.tip
    remotes = [
        {
            "ref": distance.ref.removeprefix("refs/remotes/"),
            "unpushed": sum(moved.what == "new" for moved in distance.ahead),
            "changed": sum(moved.what != "new" for moved in distance.ahead),
            "commits": distance.commits_ahead,
            "missing": sum(moved.what == "new" for moved in distance.behind),
            "missing_changes": sum(moved.what != "new" for moved in distance.behind),
            "commits_behind": distance.commits_behind,
            "rewritten": distance.rewritten,
        }
        for distance in sharing.distances(repo, settings, at)
    ]
    unsent = transfer.unsent(repo, settings)
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
        "unsent_artifacts": {"count": len(unsent), "size": sum(pointer.size for pointer in unsent)} if unsent else None,
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
@click.option(
    "--environments", is_flag=True, help="Take away all environments of --env venv. None of them may be in use."
)
@json_option
@click.pass_context
def gc_command(ctx: click.Context, environments: bool, as_json: bool) -> None:
    """Pack the objects, and clear away what crashes left behind.

    This is `git gc` with your own settings, after runs that crashed or wait are committed. gxt packs in the
    background by itself, unless git config gc.auto=0 or maintenance.auto=false forbid it.

    Environments that `gxt reproduce --env venv` made, for any repository, are taken away where they have not been used
    for 30 days.
    """
    repo = repository(ctx)
    before = git.count_objects(repo)
    with store.committing(repo):
        removed = store.clean_up(repo)  # first: it may be what fills the disk
    from gxt import replaying  # here for start-up time
    from gxt.datasets.digests import Digests  # here for start-up time

    if (digests := Digests.beside(repo)) is not None:
        digests.forget_old()
    committed = store.commit_pending(repo)
    git.collect_garbage(repo, progress=sys.stderr.isatty())  # runs that end meanwhile do not wait for it
    after = git.count_objects(repo)
    forgotten, kept = replaying.forget(0.0) if environments else replaying.forget(), replaying.kept()
    if as_json:
        state = {
            "committed": [run.id for run in committed],
            "removed": [str(path) for path in removed],
            "before": before._asdict(),
            "after": after._asdict(),
            "environments": {
                "removed": [str(one.folder) for one in forgotten],
                "kept": len(kept),
                "size": sum(one.size for one in kept),
            },
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
    if forgotten:
        output.say(f"removed {_environments(forgotten)}")
    if kept:
        output.say(f"kept {_environments(kept)}; --environments takes them away")


@click.command("prune")
@click.option("--remote", metavar="REMOTE", help="Take it off this remote instead.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be let go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a remote is pruned.")
@json_option
@click.pass_context
def prune_command(ctx: click.Context, remote: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Let go of the code that no run names any more.

    The code of a run is a commit that refs/gxt/code/ keeps. It stays as long as a run names it on any branch or tag,
    here or known of a remote, or one that waits or records. What is let go, git takes away when it next collects
    garbage. `gxt artifacts prune` clears away large artifacts.

    With --remote, the code goes from there that no run names, neither there nor here; docs/deleting.md says how code
    with a secret goes.
    """
    repo = repository(ctx)
    if remote is not None:
        _prune_remote(repo, remote, dry_run, yes, as_json)
        return
    done = snapshots.prune(repo, dry_run=dry_run)
    if as_json:
        found = {"gone": list(done.gone), "named": done.named, "young": done.young, "dry_run": dry_run}
        click.echo(render.json_text(found), nl=False)
        return
    for commit in done.gone:
        output.say(f"{'would let go' if dry_run else 'let go'}: {commit}")
    young = f", and {done.young} of the last hour" if done.young else ""
    output.say(
        f"kept: {_count(done.named, 'snapshot')} that {'a run names' if done.named == 1 else 'runs name'}{young}"
    )


def _prune_remote(repo: Repository, remote: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    settings = git.config(repo)
    talk = replace(moving.talk(remote), timeout=sharing.timeout(settings))
    found = remotecode.nameless(repo, settings, remote, talk)
    gone = list(found.nameless)
    asks = gone and not dry_run and not yes
    if asks and not sys.stdin.isatty():
        raise UsageError(f"{_count(len(gone), 'snapshot')} to take off {remote}", "--yes does it")
    if asks and not click.confirm(f"Take {_count(len(gone), 'snapshot')} that no run names off {remote}?"):
        output.note("nothing taken off")
        return
    if gone and not dry_run:
        remotecode.take_off(repo, remote, found, talk)
    if as_json:
        state = {"remote": remote, "gone": gone, "named": found.named, "dry_run": dry_run}
        click.echo(render.json_text(state), nl=False)
        return
    for commit in gone:
        output.say(f"{'would take' if dry_run else 'took'} off {remote}: {commit}")
    output.say(
        f"{remote} keeps {_count(found.named, 'snapshot')} that {'a run names' if found.named == 1 else 'runs name'}"
    )


def _environments(some: Sequence[Kept]) -> str:
    return f"{_count(len(some), 'environment')} of --env venv, {render.size(sum(one.size for one in some))}"


def _objects(counts: git.ObjectCounts) -> str:
    return f"{render.size(counts.size)}, {_count(counts.packs, 'pack')}, {_count(counts.loose, 'loose object')}"
