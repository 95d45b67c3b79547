"""A run a row: which columns, in which order, what is best, and which runs stand below which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from gxt import query, stats
from gxt.model import CRASHED, RUNNING, Run, flatten
from gxt.query import Field
from gxt.render import Column, Table, cell_text

_NAME, _ID, _EXPERIMENT, _STATUS, _PROBLEM, _STARTED, _DURATION = (
    Field("attributes", name) for name in ("name", "id", "experiment", "status", "problem", "started", "duration")
)
_ATTRIBUTE_KINDS = {
    "duration": "duration",
    "started": "time",
    "ended": "time",
    "status": "status",
    "exit_code": "number",
}
_PARTS_WITH_GOALS = ("", "last", "min", "max")


def titles(fields: Sequence[Field]) -> list[str]:
    """A short title for each field: its name, with its kind where another has the name too."""
    short = [f"{field.name}.{field.part}" if field.part else field.name for field in fields]
    return [name if short.count(name) == 1 else str(field) for name, field in zip(short, fields, strict=True)]


def column_kind(field: Field, values: Sequence[Any]) -> str:
    """How a field's cells are shown, as Column has it."""
    if field.kind == "attributes" and field.name in _ATTRIBUTE_KINDS:
        return _ATTRIBUTE_KINDS[field.name]
    there = [value for value in values if value is not None]
    return "number" if there and all(map(stats.is_number, there)) else "text"


def _values(runs: Sequence[Run], fields: Iterable[Field]) -> dict[Field, list[Any]]:
    """Each field's value of each run; times in milliseconds."""
    params = [flatten(run.params) for run in runs]  # once, not for each field again
    found: dict[Field, list[Any]] = {}
    for field in fields:
        if field.kind == "params":
            found[field] = [flat.get(field.name) for flat in params]
        else:
            found[field] = [field.of(run) if field.kind == "dataset" else field.value(run) for run in runs]
    return found


# --- a run a row ------------------------------------------------------------------------------------------------


def all_fields(runs: Sequence[Run], goals: Mapping[str, str]) -> list[Field]:
    """What a table shows of runs when nobody chose: of metrics, those with a goal first, then what most runs have; of
    params and tags too, and first what tells most runs apart.
    """
    known = query.fields_of(runs)
    values = _values(runs, known)

    def weight(field: Field) -> tuple[Any, ...]:
        missing = values[field].count(None)
        if field.kind == "metrics":
            return field.name not in goals, missing
        distinct = set(map(repr, values[field])) - {"None"}
        return len(distinct) == 1, missing, -len(distinct)

    by_kind = {kind: sorted((f for f in known if f.kind == kind), key=weight) for kind in ("metrics", "params", "tags")}
    fields = [_NAME, _ID]
    if len({run.experiment for run in runs}) > 1:
        fields.append(_EXPERIMENT)
    fields.append(_STATUS)
    if any(run.problem for run in runs):
        fields.append(_PROBLEM)
    return [*fields, *by_kind["metrics"], _STARTED, _DURATION, *by_kind["params"], *by_kind["tags"]]


def every_field(runs: Sequence[Run]) -> list[Field]:
    """What programs get of runs when nobody chose: every attribute, metric, param and tag, whatever the runs have."""
    attributes = dict.fromkeys(("run_id", *query.ATTRIBUTES))
    known = query.fields_of(runs)
    by_kind = [field for kind in ("metrics", "params", "tags") for field in known if field.kind == kind]
    return [*(Field("attributes", name) for name in attributes if name != "id"), *by_kind]


def told_apart(runs: Sequence[Run], fields: Iterable[Field]) -> tuple[list[Field], list[str]]:
    """The fields in which runs differ, attributes always among them; and what is the same in all, each as
    `params.seed=1`. Of a single run, all fields.

    That a run lacks what those below it have alike is no difference: the parent of a sweep has few params of its own.
    """
    fields = list(fields)
    if len(runs) < 2:
        return fields, []
    values = _values(runs, fields)
    parents = {run.parent for run in runs}
    same: dict[Field, Any] = {}
    for field in fields:
        compared = [v for run, v in zip(runs, values[field], strict=True) if v is not None or run.id not in parents]
        if field.kind != "attributes" and len(set(map(repr, compared))) == 1:
            same[field] = compared[0]
    texts = [f"{field}={cell_text(value, 'text', None)}" for field, value in same.items() if value is not None]
    return [field for field in fields if field not in same], texts


def without_empty(runs: Sequence[Run], fields: Sequence[Field], only: Collection[Field]) -> list[Field]:
    """The fields, but for those in `only` that no run has."""
    values = _values(runs, only)
    return [field for field in fields if field not in values or any(value is not None for value in values[field])]


def ranks(fields: Sequence[Field], kept: Collection[Field] = ()) -> list[int]:
    """In which order columns are kept where there is no room for all: those in `kept`, what a run is, then metrics and
    params in turn, so that neither leaves the other out.
    """
    metrics, params, tags = ([f for f in fields if f.kind == kind] for kind in ("metrics", "params", "tags"))
    pairs = [field for pair in zip_longest(metrics, params) for field in pair if field is not None]
    order = [_NAME, _STATUS, _EXPERIMENT, _PROBLEM, *pairs[:4], _DURATION, *pairs[4:6], _STARTED, _ID]
    place = {field: number for number, field in enumerate([*order, *pairs[6:], *tags])}
    return [-1 if field in kept else place.get(field, len(place)) for field in fields]


def nested(runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Runs with those below each right after it, and how deep each is; otherwise in the order in which they come.

    A run whose parent is not among them is one of the outermost.
    """
    ids = {run.id for run in runs}
    below: dict[str | None, list[Run]] = {}
    for run in runs:
        below.setdefault(run.parent if run.parent in ids else None, []).append(run)
    ordered: dict[str, tuple[Run, int]] = {}
    # Last, in case parents edited by hand go round in a circle, that nobody is left out.
    waiting = [(run, 0) for run in reversed([*below.get(None, ()), *runs])]
    while waiting:
        run, depth = waiting.pop()
        if run.id not in ordered:
            ordered[run.id] = run, depth
            waiting += [(child, depth + 1) for child in reversed(below.get(run.id, ()))]
    return list(ordered.values())


def run_table(
    runs: Sequence[Run],
    fields: Sequence[Field],
    goals: Mapping[str, str] | None = None,
    same: Sequence[str] = (),
    depths: Sequence[int] = (),
    kept: Collection[Field] = (),
) -> Table:
    """A row for each run. A title leaves the kind out where nothing else in the table has the name.

    Args:
        goals: of metrics, as somebody stated them; where there is one, or the metric's name implies one, the best value
            is marked.
        same, depths: as in Table; depths are shown where the name is the first column.
        kept: the columns that stay where there is no room for all.
    """
    values = _values(runs, fields)
    columns, best = [], set()
    for i, (field, title, rank) in enumerate(zip(fields, titles(fields), ranks(fields, kept), strict=True)):
        columns.append(Column(title, column_kind(field, values[field]), str(field), rank))
        goal = stats.goal_of(field.name, goals or {}) if field.kind == "metrics" else None
        if goal and field.part in _PARTS_WITH_GOALS:
            best |= {(row, i) for row in stats.best_of(values[field], goal)}
    rows = [list(row) for row in zip(*(values[field] for field in fields), strict=True)]
    return Table(columns, rows, best, depths if fields[:1] == [_NAME] else (), same)


def with_progress(table: Table, runs: Sequence[Run], elapsed: Mapping[str, float]) -> Table:
    """A table of runs with how far those are that have not ended: the last step beside the status, and for how long
    they have been at it (seconds, by id) as the duration.
    """
    rows = [list(row) for row in table.rows]
    for i, column in enumerate(table.columns):
        for run, row in zip(runs, rows, strict=True):
            if column.name == str(_STATUS) and run.status in (RUNNING, CRASHED) and run.metrics:
                row[i] = f"{run.status}, step {max(summary.step for summary in run.metrics.values())}"
            elif column.name == str(_DURATION) and run.id in elapsed:
                row[i] = elapsed[run.id]
    return table._replace(rows=rows)
