"""gxt journal: what happened on the run branch, day by day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import click

from gxt import journal, render
from gxt.cli import output
from gxt.cli.params import experiments_option, json_option, readable_repository
from gxt.journal import Event
from gxt.model import format_time
from gxt.showing import one_line, shortened

_STYLES = {
    "finished": "green",
    "failed": "red",
    "killed": "yellow",
    "running": "cyan",
    "deleted": "red",
    "purged": "red",
}
_WIDEST_NAME = 24


@click.command("journal")
@experiments_option("Only of this experiment; may be given several times.")
@click.option("-n", "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Lines shown; 0: all.")
@click.option("--since", metavar="TIME", help="Not before: yesterday, 2026-11-23, '2 weeks ago'.")
@click.option("--until", metavar="TIME", help="Not after. A day is in it to its end.")
@json_option
@click.pass_context
def journal_command(
    ctx: click.Context,
    experiments: Sequence[str],
    limit: int,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Show what happened on the run branch, the latest day first.

    Runs that ended, were tagged, noted, deleted or restored, experiments that were created, and by whom. Merges, and
    commits made by hand, are shown by their subject. Times are local.

    \b
    gxt journal --since yesterday
    gxt journal -e nyc-taxi -n 10
    """
    found, more = journal.journal(
        readable_repository(ctx), experiments or None, since=since, until=until, limit=limit or None
    )
    if as_json:
        output.page(render.json_text([_json(event) for event in found]))
    elif not found:
        output.note("nothing happened" if since or until or experiments else "nothing yet")
    else:
        output.page("".join(f"{line}\n" for line in _lines(found)))
    if more:
        output.note(f"the latest {len(found)}; -n 0 shows all")


def _json(event: Event) -> dict[str, object]:
    return {**event._asdict(), "time": format_time(event.time)}


def _lines(found: Sequence[Event]) -> Iterator[str]:
    names = {event.author: _cut(event.author.rpartition(" <")[0] or event.author, _WIDEST_NAME) for event in found}
    widest = max(len(name) for name in names.values())
    for number, (day, events) in enumerate(groupby(found, lambda event: _local(event).date())):
        if number:
            yield ""
        yield output.paint(f"{day:%A}, {day}", "bold")
        for event in events:
            begin = f"  {_local(event):%H:%M}  {names[event.author]:<{widest}}  "
            text = f"{event.experiment}: {event.text}" if event.experiment else event.text
            room = max((output.width() or len(text) + len(begin)) - len(begin), 20)
            yield begin + output.paint(_cut(text, room), _STYLES.get(event.kind, ""))


def _local(event: Event) -> datetime:
    return datetime.fromtimestamp(event.time / 1000)


def _cut(text: str, room: int) -> str:
    return shortened(one_line(text), room)
