"""What `gxt table` is asked for, and the table that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gxt import catalog, query, render, stats, tables
from gxt.cache import Progress
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import now
from gxt.query import Field, KnownOf, SortKey
from gxt.render import Table

_SHOWN = 20  # rows, where nobody says how many


@dataclass(frozen=True)
class Asked:
    """What a command line asks for."""

    experiments: Sequence[str]
    where: Sequence[str]
    sort_keys: Sequence[str]
    limit: int | None
    columns: Sequence[str]
    all_columns: bool
    goals: Sequence[str]
    group_by: Sequence[str]
    pivot: tuple[str, str, str] | None
    aggregates: Sequence[str]
    deleted: bool
    at: str | None
    allow_unknown: bool

    def check(self) -> None:
        """Raise UsageError where options do not go together."""
        stats.check_aggregates(self.aggregates)
        if self.pivot and (self.group_by or self.columns or self.sort_keys):
            raise UsageError("--pivot goes without --group-by, --columns and --sort", "it names all that it shows")
        if self.aggregates and not (self.pivot or self.group_by):
            raise UsageError("--agg is for groups of runs", "--group-by FIELD, or --pivot ROW COLUMN METRIC")

    @property
    def is_of_groups(self) -> bool:
        """Whether a row stands for several runs."""
        return bool(self.group_by or self.pivot)


class Answer(NamedTuple):
    """What a table shows.

    Attributes:
        found: the runs.
        table: the table; without columns where there are none.
        total: how many rows it would have without the limit.
        rows: what a row is: "run", "group" or "row".
        is_of_whole_runs: whether nobody chose columns, so that programs get everything about a run.
    """

    found: catalog.Listing
    table: Table
    total: int
    rows: str
    is_of_whole_runs: bool


def answer_to(repo: Repository, asked: Asked, form: str, progress: Progress | None = None) -> Answer:
    """The table that a command line asks for, as people or programs are to have it.

    Raises:
        NotFoundError, UsageError: as `catalog.listing`, and for what a table cannot show.
    """
    readable = form in render.READABLE
    # A screen has room for so many; a file of data has for all.
    most = (_SHOWN if readable else 0) if asked.limit is None else asked.limit
    limit = most or None
    order = asked.sort_keys or ["started:desc"]
    found = catalog.listing(
        repo,
        asked.experiments or None,
        asked.deleted,
        where=asked.where,
        order_by=order,
        columns=asked.columns,
        limit=None if asked.is_of_groups else limit,
        at=asked.at,
        allow_unknown=asked.allow_unknown,
        progress=progress,
    )
    if not found.runs:
        return Answer(found, Table([], []), 0, "run", not asked.columns and not asked.is_of_groups)
    known = KnownOf(found.runs)
    goals = found.goals | dict(_goal(text, known) for text in asked.goals)
    if asked.pivot:
        row, column, value = (query.resolve(name, known, asked.allow_unknown) for name in asked.pivot)
        aggregates = asked.aggregates or ["mean"]
        table = tables.pivot_table(found.runs, (row, column), value, aggregates, goals, limit, readable)
        having = (run for run in found.runs if stats.is_number(value.value(run)))
        return Answer(found, table, len(stats.group(having, [row])), "row", False)
    if asked.group_by:
        return _grouped(found, asked, known, goals, limit, readable)
    runs, depths = found.runs, [0] * len(found.runs)
    if readable and not asked.sort_keys:
        below = tables.nested(runs)
        runs, depths = [run for run, _ in below], [depth for _, depth in below]
    fields, same = _fields(found, goals, readable, asked.all_columns)
    # Of columns that somebody chose, the first ones stay where there is no room; else what the runs are sorted by.
    kept = fields if asked.columns else [key.field for key in _keys(asked, known)]
    table = tables.run_table(runs, fields, goals, same, depths, kept)
    if readable:
        table = tables.with_progress(table, runs, catalog.elapsed(repo, runs, now()))
    return Answer(found, table, found.total, "run", not asked.columns)


def _keys(asked: Asked, known: KnownOf) -> list[SortKey]:
    # Their names were checked among all runs, of which those shown may be a part.
    return query.parse_order(asked.sort_keys, known, allow_unknown=True)


def _goal(text: str, known: KnownOf) -> tuple[str, str]:
    metric, goal = stats.parse_goal(text)
    field = Field("metrics", metric) if "metrics" in known.kinds(metric) else query.resolve(metric, known)
    if field.kind != "metrics":
        raise UsageError(f"{metric} is no metric", "goals are for metrics")
    return field.name, goal


def _fields(
    found: catalog.Listing, goals: dict[str, str], readable: bool, everything: bool
) -> tuple[list[Field], list[str]]:
    """The columns of a table of runs, and what is the same in all and in no column."""
    columns = found.columns
    if columns.chosen:
        return tables.without_empty(found.runs, columns.chosen, columns.matched) or [Field("attributes", "name")], []
    if not readable:
        return columns.without_dropped(tables.every_field(found.runs)), []
    fields = columns.without_dropped(tables.all_fields(found.runs, goals))
    return (fields, []) if everything else tables.told_apart(found.runs, fields)


def _grouped(
    found: catalog.Listing, asked: Asked, known: KnownOf, goals: dict[str, str], limit: int | None, readable: bool
) -> Answer:
    by = [query.resolve(name, known, asked.allow_unknown) for name in asked.group_by]
    aggregates = asked.aggregates or tables.DEFAULT_AGGREGATES
    fields = tables.value_fields(found.runs, by, found.columns, goals)
    groups = stats.group(found.runs, by)
    how = next((name for name in aggregates if name not in ("std", "count")), "mean")
    shown = tables.sort_groups(groups, by, _keys(asked, known), how, goals)[:limit]
    table = tables.group_table(shown, by, fields, aggregates, goals, readable)
    return Answer(found, table, len(groups), "group", False)
