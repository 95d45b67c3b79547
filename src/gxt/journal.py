"""What happened on the run branch, for those who do not read `git log`: told by the messages of its commits.

Messages are for people (docs/format.md), so whatever a commit says beyond gxt's own words is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gxt import catalog, git, layout, query, store
from gxt.errors import UsageError
from gxt.git import LogEntry, Repository
from gxt.model import now


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        time: when it was committed, in milliseconds since 1970 UTC.
        author: who did it: `Name <email>`.
        kind: of a run "finished", "failed", "killed", "running" (a checkpoint), "tagged", "noted", "deleted",
            "restored", "purged" or "edited"; of an experiment "created", "deleted", "restored" or "edited"; "merge";
            "other" for whatever else a commit may be.
        experiment: which one, None where the message does not say.
        run: the run's id, None where it is not about one run.
        text: what the message says of it, less the experiment.
        commit: its id.
    """

    time: int
    author: str
    kind: str
    experiment: str | None
    run: str | None
    text: str
    commit: str


def journal(
    repo: Repository,
    experiments: Sequence[str] | None = None,
    *,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
) -> tuple[list[Event], bool]:
    """What happened, the latest first; and whether there is more than `limit` lets through.

    Args:
        experiments: only these.
        since, until: times as filters have them, both in it: `yesterday`, `2026-11-23`, `'2 weeks ago'`.

    Raises:
        NotFoundError: no such experiment.
        UsageError: `since` or `until` is no time.
    """
    begin, end = (_moment(text) for text in (since, until))
    asked = [catalog.find_experiment(repo, name).name for name in experiments or ()]
    commit = store.tip(repo, git.config(repo)).commit
    if commit is None:
        return [], False
    # A commit may be about nothing of what was asked for: its folder was touched beside others.
    entries = git.log(
        repo,
        commit,
        since=begin.low // 1000 if begin else None,
        until=end.high // 1000 if end else None,
        paths=[layout.experiment_path(name).rpartition("/")[0] for name in asked],
        limit=None if limit is None else limit + 1,
    )
    found = [
        event for entry in entries for event in events_of(entry) if not asked or event.experiment in (None, *asked)
    ]
    return found[:limit], limit is not None and len(found) > limit


def _moment(text: str | None) -> query.Span | None:
    if text is None:
        return None
    span = query.parse_moment(text, now())
    if span is None:
        raise UsageError(f"{text!r} is no time", "such as 2026-11-23, '2026-11-23 08:30', yesterday, '2 weeks ago'")
    return span


# --- what a commit says ---------------------------------------------------------------------------------------------

_LINE = re.compile(r"(?P<experiment>.+?): (?P<text>.+)")
# The name comes first and may hold anything; what stands in a tag may look like any other word.
_WORDS = re.compile(
    r"""(?P<tagged>.+?\ tagged\ (?:-|\S[^=]*=).*)
    |(?P<finished>.+\ (?:finished|ended\ as\ finished))(?:,\ .*)?
    |(?P<failed>.+\ (?:failed|ended\ as\ failed))(?:,\ .*)?
    |(?P<killed>.+\ (?:was\ killed|ended\ as\ killed))(?:,\ .*)?
    |(?P<running>.+\ running)(?:,\ .*)?
    |(?P<noted>.+\ noted)|(?P<deleted>.+\ deleted)|(?P<restored>.+\ restored)|(?P<purged>.+\ purged)""",
    re.VERBOSE,
)
_OF_EXPERIMENTS = {"created": "created", "experiment deleted": "deleted", "experiment restored": "restored"}


def events_of(entry: LogEntry) -> Iterator[Event]:
    """What a commit's message tells, the latest first; one event at least."""
    runs = [value for key, value in entry.trailers if key == layout.RUN_TRAILER]
    begun = [value for key, value in entry.trailers if key == layout.EXPERIMENT_TRAILER]
    several = len(runs) > 1 or entry.subject.startswith("purge ")
    lines = entry.body.split("\n\n")[0].splitlines() if several else [entry.subject]
    if entry.parents > 1:
        yield _event(entry, "merge")
    elif runs and len(runs) == len(lines):
        for run, line in zip(reversed(runs), reversed(lines), strict=True):
            yield _of_run(entry, run, _LINE.fullmatch(line))
        yield from (_event(entry, "created", name, "experiment created") for name in begun)
    elif not runs and (said := _of_experiment(entry.subject, begun)) is not None:
        experiment, text = said
        kind = _OF_EXPERIMENTS.get(text, "edited")
        yield _event(entry, kind, experiment, "experiment created" if kind == "created" else text)
    else:
        yield _event(entry, "edited" if runs else "other")


def _of_experiment(subject: str, begun: Sequence[str]) -> tuple[str, str] | None:
    """The experiment that a subject is about, and what it says of it; None where it is about none."""
    for name in begun:
        if subject.startswith(f"{name}: "):
            return name, subject.removeprefix(f"{name}: ")
    line = _LINE.fullmatch(subject)
    return (line[1], line[2]) if line and line["text"] in _OF_EXPERIMENTS else None


def _of_run(entry: LogEntry, run: str, line: re.Match[str] | None) -> Event:
    if line is None:
        return _event(entry, "edited", run=run)
    experiment, text = line.groups()
    words = _WORDS.fullmatch(text)
    return _event(entry, (words and words.lastgroup) or "edited", experiment, text, run)


def _event(
    entry: LogEntry, kind: str, experiment: str | None = None, text: str | None = None, run: str | None = None
) -> Event:
    said = entry.subject if text is None else text
    return Event(entry.time, str(entry.author), kind, experiment, run, said, entry.id)
