"""gxt doctor: what is wrong with the run branch and this clone, and mending it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from gxt import doctor, git, render, store
from gxt.cli import output
from gxt.cli.params import json_option, repository
from gxt.doctor import Finding, Mended, Report
from gxt.errors import UsageError
from gxt.showing import one_line

_BY_HAND = """\
by hand:  git worktree add --detach ../runs {branch}        edit the files in ../runs, then
          git -C ../runs commit -am 'mend' && git -C ../runs push . HEAD:{branch} && git worktree remove ../runs"""


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything, in one commit. Asks first.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, fix: bool, yes: bool, as_json: bool) -> int:
    """Look for what is wrong with the run branch and this clone.

    Reads every document on the branch: broken YAML, half lines, summaries that do not agree with their points, missing
    and foreign files. Exits with 1 where something is wrong.

    --fix writes what follows from other files and takes away lines that readers pass over; all else is left to you.
    """
    repo = repository(ctx)
    branch = store.branch_name(git.config(repo))
    found = doctor.examine(repo, output.progress())
    mended = None
    if fix and found.fixable and (yes or _confirmed(found, branch)):
        mended = doctor.mend(repo)
        found = doctor.examine(repo)
    if as_json:
        click.echo(render.json_text(_json(found, mended)), nl=False)
        return 1 if found.problems else 0
    if mended is not None:
        _show_mended(mended)
    _show(found, branch)
    return 1 if found.problems else 0


def _confirmed(found: Report, branch: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{_count(len(found.fixable))} to mend", "--yes does it")
    for line in _lines(found.fixable):
        output.say(line)
    return click.confirm(f"\nMend {_count(len(found.fixable))} in one commit on {branch}?")


def _show(found: Report, branch: str) -> None:
    remarks = [finding for finding in found.findings if finding.is_remark]
    there = f"{found.runs} run{'' if found.runs == 1 else 's'} in {found.experiments} experiment"
    there += "" if found.experiments == 1 else "s"
    if not found.problems:
        output.say(f"{output.paint('all is well', 'green')}: {there} on {branch}")
    for line in _lines(found.problems):
        output.say(line)
    if remarks:
        output.say(f"\n{output.paint('worth knowing', 'bold')}")
        for line in _lines(remarks):
            output.say(line)
    if found.problems:
        count = len(found.fixable)
        all_of_them = "all of them" if count > 1 else "it"
        mends = f"; `gxt doctor --fix` mends {count if count < len(found.problems) else all_of_them}" if count else ""
        output.say(f"\n{_count(len(found.problems))}, {there} on {branch}{mends}")
    if any(finding.advice.startswith("mend it by hand") for finding in found.problems):
        output.note(_BY_HAND.format(branch=branch))


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Findings by where they are: what is wrong, and what to do."""
    where = None
    for finding in findings:
        if finding.where != where:
            where = finding.where
            yield output.paint(one_line(where), "" if finding.is_remark else "yellow")
        yield f"  {one_line(finding.what)}"
        if finding.advice:
            yield f"  → {one_line(finding.advice)}"


def _count(number: int) -> str:
    return f"{number} problem{'' if number == 1 else 's'}"


def _show_mended(mended: Mended) -> None:
    for path in mended.files:
        output.say(f"mended {one_line(path)}")
    for left in mended.removed:
        output.say(f"removed {left}")
    if mended.commit:
        output.say(f"in the commit {mended.commit[:10]}\n")


def _json(found: Report, mended: Mended | None) -> dict[str, object]:
    shown = [finding._asdict() for finding in found.findings]
    return {
        "runs": found.runs,
        "experiments": found.experiments,
        "problems": [{k: v for k, v in one.items() if k != "is_remark"} for one in shown if not one["is_remark"]],
        "remarks": [
            {k: v for k, v in one.items() if k not in ("is_remark", "fixable")} for one in shown if one["is_remark"]
        ],
        "mended": {
            "commit": mended.commit if mended else None,
            "files": mended.files if mended else [],
            "removed": [str(path) for path in mended.removed] if mended else [],
        },
    }
