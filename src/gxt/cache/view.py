"""Asking the cache about the runs of one commit."""

from __future__ import annotations

import contextlib
import gc
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from gxt.cache.tables import Damaged, Gone, checksum, runs_from_json
from gxt.cache.update import Place
from gxt.errors import FormatError, UsageError
from gxt.layout import run_path
from gxt.model import Run
from gxt.query import Deadline, Expression, Field, SortKey
from gxt.query.patterns import matches_text
from gxt.query.sql import MATCH, VERSION, compile_filter, compile_order
from gxt.query.versions import version_key

_AT_ONCE = 1000  # runs read in one go
_INSTRUCTIONS = 100_000  # of SQLite's machine between two looks at the clock: some milliseconds


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Runs hold no cycles; going through a hundred thousand new values again and again takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Shown(NamedTuple):
    """Runs in the order asked for, and how many there are without the limit."""

    runs: list[Run]
    total: int


class ValueCount(NamedTuple):
    """A value that a param or tag has in some runs: its type and text as in the table `value`, and in how many runs."""

    name: str
    type: str
    text: str | None
    runs: int


class MetricRange(NamedTuple):
    """A metric that some runs have: in how many, and between what their last values lie; None where all are NaN."""

    name: str
    runs: int
    lowest: float | None
    highest: float | None


class View:
    """The runs in some places, as a snapshot: what other processes add meanwhile does not show.

    Args:
        deleted: whether the deleted runs are meant, or those that are not; None for both.
        without: ids of runs to leave out.
        run_id: the only run that is meant.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        places: Iterable[Place],
        deleted: bool | None = False,
        without: Collection[str] = (),
        run_id: str | None = None,
    ) -> None:
        self._db = db
        condition, values = "run.run_id not in (select value from json_each(?))", [json.dumps(list(without))]
        if run_id is not None:
            condition, values = f"{condition} and run.run_id = ?", [*values, run_id]
        places = list(places)
        wanted = {place.listing for place in places if place.listing is not None}  # equal folders have one listing
        asked = (json.dumps(list(wanted)),)
        found = db.execute("select count(*) from listing where id in (select value from json_each(?))", asked)
        if found.fetchone()[0] != len(wanted):  # others looked at so many commits meanwhile that these went
            raise Gone("the listings are gone")
        lacking = db.execute(
            "select 1 from listing, json_each(listing.runs) as member where listing.id in (select value from"
            " json_each(?)) and not exists (select 1 from run where run.id = member.value) limit 1",
            asked,
        )
        if lacking.fetchone():
            raise Damaged("a run of a listing is not there")
        db.execute("drop table if exists temp.listed")
        # A run that was copied from one experiment to another is there twice.
        db.execute("create temp table listed (run integer, experiment, primary key (run, experiment)) without rowid")
        for place in places:
            hidden = place.experiment.deleted is not None
            if deleted is None or (hidden and deleted):
                state = "1"
            else:
                state = "0" if hidden else f"run.deleted is {'not ' if deleted else ''}null"
            db.execute(
                "insert into listed select run.id, ? from listing, json_each(listing.runs) as member"
                f" join run on run.id = member.value where listing.id = ? and {state} and {condition}",
                (place.experiment.name, place.listing, *values),
            )

    def kinds(self, name: str) -> set[str]:
        """Under which of "params", "metrics", "tags", "code" and "environment" some run has the name."""
        found = self._db.execute("select kind, id from field where name = ?", (name,)).fetchall()
        return {kind for kind, key in found if self._has(kind, key)}

    def fields(self) -> list[Field]:
        """Every param, metric and tag that some run has."""
        found = self._db.execute(
            "select kind, name, id from field where kind in ('metrics', 'params', 'tags') order by kind, name"
        ).fetchall()
        return [Field(kind, name) for kind, name, key in found if self._has(kind, key)]

    def _has(self, kind: str, field: int) -> bool:
        table = "metric" if kind == "metrics" else "value"
        found = f"select 1 from {table} where field = ? and run in (select run from listed) limit 1"
        return self._db.execute(found, (field,)).fetchone() is not None

    def select(self, expression: Expression, keys: Sequence[SortKey] = (), limit: int | None = None) -> Shown:
        """The runs that a filter holds for, in order; of equals, the earliest first."""
        condition, order = compile_filter(expression), compile_order(keys)
        # One is needed to learn how many there are.
        values = (*condition.values, *order.values, -1 if limit is None else max(limit, 1))
        found = self._bounded(
            "select run.id, listed.experiment, count(*) over () from listed join run on run.id = listed.run"
            f" where {condition.text} order by {order.text} limit ?",
            values,
        )
        return Shown(self._runs(found[:limit]), found[0][2] if found else 0)

    def _bounded(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """All rows of a question that may come from anywhere, in bounded time."""
        deadline = Deadline()
        self._db.set_progress_handler(deadline.is_over, _INSTRUCTIONS)
        # SQLite does not look at the clock while it is in here.
        self._db.create_function(MATCH, 3, partial(_match, deadline), deterministic=True)
        self._db.create_function(VERSION, 1, _version, deterministic=True)
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if deadline.is_over() and any(words in str(error) for words in ("interrupted", "user-defined function")):
                raise deadline.error() from None
            if "stack overflow" in str(error):
                raise UsageError("this filter's parentheses are too deep in each other", "ask for less") from None
            raise
        finally:
            self._db.set_progress_handler(None, 0)

    def _runs(self, found: Sequence[tuple[int, str, int]]) -> list[Run]:
        asked = json.dumps([key for key, _, _ in found])
        contents = self._db.execute(
            "select content, sum from json_each(?) as asked left join document on document.run = asked.value"
            " order by asked.key",
            (asked,),
        )
        runs: list[Run] = []
        with _without_collector():
            while some := contents.fetchmany(_AT_ONCE):
                if any(content is None or checksum(content) != known for content, known in some):
                    raise Damaged("a run is not as it was written")
                experiments = [experiment for _, experiment, _ in found[len(runs) : len(runs) + len(some)]]
                runs += runs_from_json([content for content, _ in some], experiments)
        return runs

    def is_empty(self) -> bool:
        """Whether there is no run at all."""
        return self._db.execute("select 1 from listed limit 1").fetchone() is None

    def counts(self, expression: Expression) -> dict[str, tuple[int, int | None]]:
        """How many runs a filter holds for in each experiment, and when the latest of them started; of those that have
        any.
        """
        condition = compile_filter(expression)
        found = self._bounded(
            "select experiment, count(*), max(run.started) from listed join run on run.id = listed.run"
            f" where {condition.text} group by 1",
            condition.values,
        )
        return {experiment: (count, latest) for experiment, count, latest in found}

    def value_counts(self, kind: str, expression: Expression) -> list[ValueCount]:
        """The values of every param ("params") or tag ("tags") in the runs that a filter holds for."""
        found = self._of_field(
            "field.name, value.type, value.text, sum(chosen.times)", "value", "value.type, value.text", kind, expression
        )
        return [ValueCount(*row) for row in found]

    def metric_ranges(self, expression: Expression) -> list[MetricRange]:
        """The last values of every metric in the runs that a filter holds for."""
        found = self._of_field(
            "field.name, sum(chosen.times), min(metric.last), max(metric.last)",
            "metric",
            "field.id",
            "metrics",
            expression,
        )
        return [MetricRange(*row) for row in found]

    def _of_field(self, selected: str, table: str, grouped: str, kind: str, expression: Expression) -> list[Any]:
        """What is selected from a table of fields, grouped by field and whatever else, of the runs that a filter holds
        for; `chosen.times` says in how many experiments a run is."""
        condition = compile_filter(expression)
        chosen = (
            "select run.id as id, count(*) as times from listed join run on run.id = listed.run"
            f" where {condition.text} group by 1"
        )
        return self._bounded(
            f"with chosen as materialized ({chosen}) select {selected} from field join {table}"
            f" on field.id = {table}.field join chosen on chosen.id = {table}.run"
            f" where field.kind = ? group by field.id, {grouped}",
            (*condition.values, kind),
        )

    def problems(self) -> list[FormatError]:
        """What could not be read of which runs."""
        found = self._db.execute(
            "select listed.experiment, run.run_id, run.problem from run join listed on listed.run = run.id"
            " where run.problem is not null order by run.run_id"
        )
        return [FormatError(f"{run_path(experiment, run_id)}: {problem}") for experiment, run_id, problem in found]


def _version(text: Any) -> str | None:
    return None if text is None else version_key(str(text))


def _match(deadline: Deadline, how: str, pattern: str, text: Any) -> int | None:
    deadline.check()
    return None if text is None else int(matches_text(how, pattern, str(text)))
