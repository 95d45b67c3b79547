"""`gxt review`: recording on a branch of its own, for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from gxt import behind, render, review, store
from gxt.behind import Behind, Updated
from gxt.cli import moving, output
from gxt.cli.params import json_option, repository
from gxt.git import Repository
from gxt.model import experiment_name
from gxt.render import Column, Table
from gxt.review import NEW, Finished, Review, Started, Unit
from gxt.showing import one_line

_LISTED = 20


@click.group("review", invoke_without_command=True)
@json_option
@click.pass_context
def review_command(ctx: click.Context, as_json: bool) -> None:
    """Record on a branch for a pull request; list such reviews.

    `gxt review start NAME` has this clone's next runs go to the branch gxt-NAME, which forks from the run branch, so
    that the host opens a pull request from it. `gxt review` lists the reviews, `gxt review update` brings what the run
    branch has got meanwhile, so that the two merge, and `gxt review finish` goes back to the run branch and, once the
    pull request is merged, deletes the review branch.

    \b
    gxt review start lr
    gxt review
    gxt review update
    gxt review finish
    """
    if ctx.invoked_subcommand is not None:
        return
    repo = repository(ctx)
    found = review.listing(repo)
    if as_json:
        output.page(render.json_text([review_json(repo, one) for one in found]))
    elif not found:
        click.echo("no reviews: `gxt review start NAME` begins one")
    else:
        _show(repo, found)


def _show(repo: Repository, found: Sequence[Review]) -> None:
    apart = [behind.of(repo, one) for one in found]
    columns = [Column("review"), Column("branch"), Column("runs", "number"), Column("state")]
    rows = [
        [f"{one.name}{' (on)' if one.current else ''}", one.branch, len(one.runs), _state(one, lacks)]
        for one, lacks in zip(found, apart, strict=True)
    ]
    output.page(render.terminal(Table(columns, rows), None, output.width(), output.colour())[0])
    for one, lacks in zip(found, apart, strict=True):
        if lacks.conflicts:
            output.note(f"{one.branch} {conflict_text(lacks)}: `gxt review update {one.name}` joins the two")
        if not one.is_local and one.merged:
            output.note(f"{one.branch} is on remotes alone: `gxt review finish {one.name} --remote` deletes it there")


def _state(one: Review, lacks: Behind) -> str:
    parts = []
    if one.merged:
        parts.append(f"merged into {one.base}")
    else:
        parts += [f"{_counted(one.missing)} not in {one.base}"] if one.missing else ["nothing to merge"]
        parts += ["pushed" if one.pushed else "not pushed"] if one.pushed is not None and one.missing else []
        parts += [f"behind by {moving.runs_text(lacks.runs)}"] if lacks.runs else []
        parts += ["conflicts"] if lacks.conflicts else []
    parts += [] if one.is_local else ["not here"]
    parts += [f"{len(one.waiting)} recording"] if one.waiting else []
    return ", ".join(parts)


def _counted(units: Sequence[Unit]) -> str:
    """`2 runs, 1 experiment`: the documents of experiments count as these."""
    counts = {
        "run": sum(unit.run_id is not None for unit in units),
        "experiment": sum(unit.run_id is None and bool(unit.experiment) for unit in units),
    }
    said = [f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count]
    return ", ".join(said + [unit.path for unit in units if unit.run_id is None and not unit.experiment])


_FILES = 2  # named of those in conflict


def conflict_text(lacks: Behind) -> str:
    """That a host cannot merge a review, and why."""
    files = ", ".join(map(one_line, lacks.conflicts[:_FILES]))
    more = f" and {len(lacks.conflicts) - _FILES} more" if len(lacks.conflicts) > _FILES else ""
    return f"conflicts with {lacks.base} on the host, in {files}{more}"


def remark_base(repo: Repository, settings: Mapping[str, str], remotes: Sequence[str], quiet: bool) -> None:
    """After a sync of a review with remotes: say what their run branch has that it has not."""
    if store.base_of(settings, store.branch_name(settings)) is None:
        return
    lacks = behind.on_now(repo, settings, remotes, moving.talk(", ".join(remotes), quiet))
    if lacks is None or not (lacks.runs or lacks.conflicts):
        return
    branch = store.branch_name(settings)
    has = f"{lacks.base} has {moving.runs_text(lacks.runs)} that {branch} has not" if lacks.runs else ""
    conflicts = f"{'' if has else f'{branch} '}{conflict_text(lacks)}" if lacks.conflicts else ""
    output.note(f"{'; it '.join(filter(None, [has, conflicts]))}: `gxt review update` joins the two")


def review_json(repo: Repository, one: Review) -> dict[str, Any]:
    """A review as docs/json.md describes it."""
    missing = set(one.missing)
    names = _names(repo, one, one.runs)
    lacks = behind.of(repo, one)
    return {
        "name": one.name,
        "branch": one.branch,
        "base": one.base,
        "current": one.current,
        "commit": one.commit,
        "runs": [
            {
                "id": unit.run_id,
                "name": names.get(unit.run_id or "", unit.run_id),
                "experiment": unit.experiment,
                "what": unit.what,
                "merged": unit not in missing,
            }
            for unit in one.runs
        ],
        "documents": [
            {"path": unit.path, "what": unit.what, "merged": unit not in missing}
            for unit in one.units
            if unit.run_id is None
        ],
        "merged": one.merged,
        "pushed": one.pushed,
        "local": one.is_local,
        "behind": [moving.run_json(moved) for moved in lacks.runs],
        "conflicts": list(lacks.conflicts),
        "recording": list(one.waiting),
    }


def _names(repo: Repository, one: Review, units: Sequence[Unit]) -> dict[str, str]:
    entries = [
        store.RunEntry(unit.path.split("/")[1], unit.run_id, unit.oid) for unit in units if unit.run_id and unit.oid
    ]
    return {run.id: run.name for run in store.read_runs(repo, entries, {})[0] if run.name}


@review_command.command("start")
@click.argument("name")
@json_option
@click.pass_context
def start_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """Have the next runs go to the review branch gxt-NAME.

    It forks from the run branch; one that is there already, here or on a remote, is gone on with. Runs that have begun
    by now go to the branch that they began on, whenever they end.
    """
    repo = repository(ctx)
    started = review.start(repo, name)
    if as_json:
        click.echo(render.json_text(review_json(repo, started.review)), nl=False)
        return
    _show_started(started)


def _show_started(started: Started) -> None:
    one = started.review
    begins = f"forked from {one.base}" if started.is_new else "which is there already"
    output.say(f"runs go to {one.branch} now, {begins}")
    if started.begun:
        count = len(started.begun)
        go = "run that has begun goes" if count == 1 else "runs that have begun go"
        output.note(f"{count} {go} to the branch that {'it' if count == 1 else 'they'} began on")
    if started.is_new and started.unpushed:
        output.note(
            f"{one.base} has {started.unpushed} commit{'' if started.unpushed == 1 else 's'} that no remote has, which "
            f"the pull request would show too: push {one.base} first"
        )
    output.note(f"`gxt push` shares it; then open a pull request from {one.branch} into {one.base}")


@review_command.command("update")
@click.argument("name", required=False)
@json_option
@click.pass_context
def update_command(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Bring into a review what the run branch has by now.

    Fetches the run branch, and joins it into the review as `gxt sync` joins runs, so that nobody has to resolve a
    conflict when the host merges the pull request. It is done here alone: `gxt push` sends it.
    """
    repo = repository(ctx)
    done = behind.update(repo, name, moving.talk("the remote"))
    if as_json:
        about = review_json(repo, done.review) | {
            "joined": list(done.bases),
            "received": [moving.run_json(moved) for moved in done.received],
            "merges": done.merges,
            "unreachable": list(done.unreachable),
        }
        click.echo(render.json_text(about), nl=False)
        return
    _show_updated(done)


def _show_updated(done: Updated) -> None:
    one = done.review
    for words in done.unreachable:
        output.note(f"{words}; what was known of it counts")
    if done.received:
        output.say(f"{one.branch}: received {moving.runs_text(done.received)} from {', '.join(done.bases)}")
    elif done.merges:
        output.say(f"{one.branch}: joined with {', '.join(done.bases)}, which has no new runs")
    else:
        output.say(f"{one.branch} has all of {', '.join(done.bases)}")
    if done.shared:
        push = f"gxt push {done.shared[0]}" if len(done.shared) > 1 else "gxt push"
        if not one.current:
            push = f"git push {done.shared[0]} {one.branch}"
        output.note(f"the pull request has this once `{push}` has sent it")


@review_command.command("finish")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Delete the review branch also where its runs are not merged.")
@click.option("--remote", "on_remotes", is_flag=True, help="Delete it on remotes too.")
@json_option
@click.pass_context
def finish_command(ctx: click.Context, name: str | None, force: bool, on_remotes: bool, as_json: bool) -> int:
    """Go back to the run branch; delete a review branch that is merged.

    Fetches the run branch, and compares run by run, so that it does not matter how the host merged: by a merge commit,
    squashed or rebased. Where something is not merged, it says what, and keeps the branch.

    Exits with 1 where the branch is kept although it was to be deleted: by --force or --remote, or of a review that
    was not on.
    """
    repo = repository(ctx)
    done = review.finish(repo, name, force, on_remotes)
    code = 1 if (done.kept or done.stays) and (force or on_remotes or not done.left) else 0
    if as_json:
        about = review_json(repo, done.review) | {
            "deleted": done.dropped,
            "deleted_on": list(done.remotes),
            "kept": list(done.kept),
            "forwarded": done.forwarded,
            "unreachable": list(done.unreachable),
        }
        click.echo(render.json_text(about), nl=False)
    else:
        _show_finished(repo, done, on_remotes)
    return code


def _show_finished(repo: Repository, done: Finished, on_remotes: bool) -> None:
    one = done.review
    for words in done.unreachable:
        output.note(f"{words}; what was known of it counts")
    if done.left:
        output.say(f"runs go to {one.base} again")
    if one.merged:
        runs = f"{len(one.runs)} run{'' if len(one.runs) == 1 else 's'}"
        output.say(f"{one.branch} is merged: {one.base} has {runs} of it")
    elif not one.missing:
        output.say(f"{one.branch} has nothing that {one.base} has not")
    else:
        _show_missing(repo, one)
    if done.dropped:
        output.say(f"deleted the branch {one.branch} (was {(one.commit or '')[:10]})")
    for remote in done.remotes:
        output.say(f"deleted {one.branch} on {remote}")
    if done.dropped and not on_remotes:
        _remark_left(done)
    for reason in done.kept:
        output.note(f"{one.branch} is kept: {reason}")
    if done.stays:
        options = "--force" if one.is_local else "--remote --force"
        output.note(f"{one.branch} is kept; `gxt review finish {one.name} {options}` deletes it with what it has")
    if not done.forwarded:
        output.note(f"{one.base} here and on a remote have both gone on: `gxt pull` joins them")


def _remark_left(done: Finished) -> None:
    """That a branch which was deleted here is still on remotes, and how it is deleted there."""
    one = done.review
    if done.shared:
        force = " --force" if one.missing else ""
        again = f"`gxt review finish {one.name} --remote{force}` deletes it there"
        output.note(
            f"{', '.join(done.shared)} still {'has' if len(done.shared) == 1 else 'have'} {one.branch}: {again}"
        )


def _show_missing(repo: Repository, one: Review) -> None:
    names = _names(repo, one, one.missing)
    output.say(f"not merged into {one.base}:")
    for unit in one.missing[:_LISTED]:
        if unit.run_id is None:
            output.say(f"  {unit.path}, {unit.what}")
            continue
        name = one_line(names.get(unit.run_id, ""))
        about = "" if unit.what == NEW else f", {unit.what}"
        output.say(f"  {name} ({unit.run_id}) in {experiment_name(unit.path.split('/')[1])}{about}")
    if len(one.missing) > _LISTED:
        output.say(f"  and {len(one.missing) - _LISTED} more")
