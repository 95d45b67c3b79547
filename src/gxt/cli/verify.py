"""gxt verify: whether runs can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gxt import catalog, render, verify
from gxt.cli import moving, output
from gxt.cli.params import complete_run, json_option, repository
from gxt.errors import UsageError
from gxt.render import Column, Table
from gxt.showing import one_line
from gxt.verify import CHECKS, FAILED, FOLDER, HISTORY, OK, UNCHECKED, Finding, Report

_ROWS = 50
_STYLES = {OK: "green", FAILED: "red", UNCHECKED: "yellow"}


@click.command("verify")
@click.argument("runs", nargs=-1, metavar="[RUN…]", shell_complete=complete_run)
@click.option("--all", "every", is_flag=True, help="Every run on the run branch, deleted ones too.")
@click.option("--require-signatures", is_flag=True, help="Fail runs of which a commit has no good signature.")
@json_option
@click.pass_context
def verify_command(
    ctx: click.Context, runs: Sequence[str], every: bool, require_signatures: bool, as_json: bool
) -> int:
    """Check signatures, files, artifacts, code and history of runs.

    Looks at the git signatures of the commits that recorded or changed a run, at every file of its folder, at large
    artifacts against their pointers, at whether the code it came from is to be had, and at whether the run branch
    still has all that this clone has seen on it.

    Exits with 1 where something is wrong. What cannot be looked at, and a commit that is not signed, is told and is no
    failure.

    \b
    gxt verify @best:rmse
    gxt verify --all --require-signatures
    """
    if every == bool(runs):
        raise UsageError("RUN and --all say two things" if every else "which runs?", "name some, or say --all")
    repo = repository(ctx)
    ids = None if every else list(dict.fromkeys(run.id for run in catalog.find_all(repo, runs)))
    done = verify.verify(
        repo,
        ids,
        moving.talk("the remote"),
        require_signatures=require_signatures,
        progress=lambda what: output.progress(f"looking at {what}"),
    )
    if as_json:
        output.page(render.json_text(_json(done)))
    else:
        _show(done, every)
    return 1 if done.failed else 0


def _show(done: Report, every: bool) -> None:
    by_run = _by_run(done)
    failed = {finding.run for finding in done.failed if finding.run is not None}
    shown = [run for run in by_run if len(by_run) <= _ROWS or run in failed][:_ROWS]
    if shown:
        rows = [[one_line(done.runs[run]), run, *_cells(by_run[run])] for run in shown]
        columns = [Column("name"), Column("id"), *(Column(check, "status") for check in CHECKS[1:])]
        output.page(render.terminal(Table(columns, rows), None, None, output.colour())[0] + "\n")
    for line in _told(done):
        output.say(line)
    total = f"{len(by_run)} run{'' if len(by_run) == 1 else 's'}"
    of_branch = {finding.check for finding in done.failed if finding.run is None}
    if done.failed:
        said = [f"{len(failed)} of {total}"] if failed else []
        said += ["the history of the run branch"] if HISTORY in of_branch else []
        said += ["what is around the runs"] if FOLDER in of_branch else []
        output.say(f"{output.paint('not all is well', 'red')}: {' and '.join(said)} failed")
    else:
        unsure = len({(one.run, one.check) for one in done.findings if one.status == UNCHECKED})
        but = f", {unsure} thing{'' if unsure == 1 else 's'} could not be told" if unsure else ""
        output.say(f"{output.paint('nothing is wrong', 'green')}: {total}{but}")
    if not by_run:
        output.note("there are no runs on the branch")


def _by_run(done: Report) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {run: [] for run in done.runs}
    for finding in done.findings:
        if finding.run is not None:
            found[finding.run].append(finding)
    return found


def _cells(findings: Sequence[Finding]) -> list[str]:
    """The worst that was found of each check, in a word."""
    cells = []
    for check in CHECKS[1:]:
        found = [finding for finding in findings if finding.check == check]
        counts = verify.worst(finding.status for finding in found)
        cells.append(next((one.word or one.status for one in found if one.status == counts), "-"))
    return cells


def _told(done: Report) -> list[str]:
    """What is wrong, and what could not be told: the same of several runs once."""
    lines: list[str] = []
    for status in (FAILED, UNCHECKED):
        groups: dict[tuple[str, str, str], list[Finding]] = {}
        for finding in done.findings:
            if finding.status == status:
                key = (finding.check, finding.what, finding.advice)
                groups.setdefault(key, []).append(finding)
        for (check, what, advice), found in groups.items():
            where = one_line(found[0].where) + (f" and {len(found) - 1} more" if len(found) > 1 else "")
            lines.append(f"{output.paint(check, _STYLES[status])}: {where}")
            lines.append(f"  {one_line(what)}")
            lines += [f"  → {one_line(advice)}"] if advice else []
    return [*lines, ""] if lines else []


def _json(done: Report) -> dict[str, Any]:
    def shown(finding: Finding) -> dict[str, Any]:
        return {key: value for key, value in finding._asdict().items() if key != "run"}

    return {
        "ok": not done.failed,
        "commit": done.commit,
        "branch": [shown(finding) for finding in done.findings if finding.run is None],
        "runs": [
            {
                "id": run,
                "name": done.runs[run],
                "status": verify.worst(finding.status for finding in found),
                "findings": [shown(finding) for finding in found],
            }
            for run, found in _by_run(done).items()
        ],
    }
