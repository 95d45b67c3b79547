"""Runs along the history of the code: gxt blame, gxt annotate-commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gxt import codenotes, records, render, stats
from gxt.cli import output
from gxt.cli.params import (
    complete_goal,
    experiments_option,
    json_option,
    readable_repository,
    repository,
)
from gxt.errors import UsageError
from gxt.model import now
from gxt.records import Line, Record
from gxt.render import Column, Table

_FORMATS = tuple(form for form in render.FORMATS if form != "parquet")


@click.command("blame")
@click.argument("metric", metavar="METRIC[:min|max]", shell_complete=complete_goal)
@experiments_option("Only this experiment; can be given several times.")
@click.option("--where", multiple=True, metavar="FILTER", help="Only these runs, as in `gxt table`.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="How to write it. csv, tsv and json have every value in full. Default: table.",
)
@click.pass_context
def blame_command(
    ctx: click.Context,
    metric: str,
    experiments: Sequence[str],
    where: Sequence[str],
    at: str | None,
    as_json: bool,
    form: str | None,
) -> None:
    """Show which runs moved the best value of a metric.

    A line for each run that was better than all that had ended before it, with who ran which commit of the code; the
    best one last. Each experiment for itself. Less is better, or more, as `gxt goal` said, or as the command line says.

    \b
    gxt blame rmse
    gxt blame acc:max -e nyc-taxi --format markdown
    """
    if as_json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form}", "one of them")
    repo = readable_repository(ctx)
    name, goal = stats.parse_goal(metric) if metric.endswith((":min", ":max")) else (metric, None)
    found = records.lines(repo, name, goal, list(experiments) or None, where=where, at=at, progress=output.progress())
    if as_json or form == "json":
        output.page(render.json_text([_json(line) for line in found]))
    elif form == "jsonl":
        output.page("".join(render.json_line(_json(line)) for line in found))
    elif form in (None, "table"):
        text, hidden = render.terminal(
            _table(found, shorten=True), now() if output.is_terminal() else None, output.width(), output.colour()
        )
        output.page(text)
        if hidden:
            output.note(f"not shown, for want of room (--format csv has all): {', '.join(hidden)}")
    else:
        output.page(render.document(_table(found), form).decode())
    for line in found:
        if not line.said:
            keep = f"gxt goal {line.experiment} {line.field.name}"
            output.note(f"nobody said which {name} is better, so less is: `{keep}:min` or `:max` says it")


def _table(found: Sequence[Line], shorten: bool = False) -> Table:
    """Where there is little room, which run and which commit it was comes first, then who, and by how much."""
    title = str(found[0].field).removeprefix("metrics.")
    columns = [
        Column("experiment"),
        Column("ended", "time", rank=2),
        Column("name", rank=1),
        Column("id"),
        Column(title, "number", str(found[0].field)),
        Column("change", "number", rank=5),
        Column("percent", "number", rank=6),
        Column("author", rank=4),
        Column("commit"),
        Column("subject", rank=3),
    ]
    rows = [
        [
            line.experiment,
            record.time,
            record.run.name or record.run.id,
            record.run.short_id if shorten else record.run.id,
            record.value,
            record.change,
            record.percent,
            _name(record.run.author) if shorten else record.run.author,
            _code(record, "-dirty" if shorten else " and changes"),
            record.subject or None,
        ]
        for line in found
        for record in line.records
    ]
    if len(found) == 1:
        columns, rows = columns[1:], [row[1:] for row in rows]
    return Table(columns, rows)


def _name(author: str | None) -> str | None:
    """An author without the address."""
    return author.partition(" <")[0] if author else None


def _code(record: Record, changed: str) -> str | None:
    commit = str(record.run.source.get("commit") or "")[:12]
    return f"{commit}{changed}" if commit and record.run.source.get("dirty") else commit or None


def _json(line: Line) -> dict[str, Any]:
    return {
        "experiment": line.experiment,
        "metric": str(line.field).removeprefix("metrics."),
        "goal": line.goal,
        "runs": line.runs,
        "records": [
            {
                "run": record.run.id,
                "name": record.run.name,
                "status": record.run.status,
                "author": record.run.author,
                "time": render.time_text(record.time),
                "value": record.value,
                "before": record.before,
                "change": record.change,
                "percent": record.percent,
                "commit": record.run.source.get("commit"),
                "snapshot": record.run.source.get("snapshot"),
                "dirty": bool(record.run.source.get("dirty")),
                "subject": record.subject or None,
            }
            for record in line.records
        ],
    }


@click.command("annotate-commits")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@json_option
@click.pass_context
def annotate_commits_command(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Write what runs came to as git notes on the commits they ran.

    `git log --notes=gxt` shows the metrics below each commit then. Runs with uncommitted changes are told apart; where
    a commit has many runs, the best is named. Where a commit was rebased, amended or squashed, the one in HEAD's
    history that has the same files, or makes the same change, has a note too, which says so.

    What others wrote in refs/notes/gxt stays, and what was right is not written again. `git push origin refs/notes/gxt`
    shares it.
    """
    done = codenotes.annotate(repository(ctx), dry_run=dry_run, progress=output.progress())
    if as_json:
        changes = [
            {"commit": commit, "text": text or None, "before": done.before[commit] or None}
            for commit, text in done.texts.items()
        ]
        state: dict[str, Any] = {"ref": codenotes.REF, "commit": done.commit, "changes": changes}
        state |= {"same": done.same, "unseen": list(done.unseen)}
        click.echo(render.json_text(state), nl=False)
        return
    if dry_run:
        for commit, text in done.texts.items():
            what = "would go" if not text else "would change" if done.before[commit] else "would be new"
            output.say(f"{output.paint(commit[:12], 'yellow')} {what}")
            for line in text.splitlines()[1:-1]:
                output.say(f"  {line}")
    elif done.texts:
        gone = sum(not text for text in done.texts.values())
        changed = sum(bool(text and done.before[commit]) for commit, text in done.texts.items())
        new = len(done.texts) - gone - changed
        counts = [f"{count} {what}" for count, what in ((new, "new"), (changed, "changed"), (gone, "gone")) if count]
        output.say(f"{codenotes.REF}: {', '.join(counts)}; `git log --notes=gxt` shows them")
    if done.unseen:
        one = len(done.unseen) == 1
        count = "1 note is on a commit" if one else f"{len(done.unseen)} notes are on commits"
        output.note(f"{count} that no branch or tag leads to, such as {done.unseen[0][:12]}: git log shows none there")
    if not done.texts:
        said = f"{done.same} commits have the notes they should"
        said = "1 commit has the notes it should" if done.same == 1 else said
        output.note(said if done.same else "no run names a commit")
