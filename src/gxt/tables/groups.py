"""Several runs a row: groups and their statistics, and two fields against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gxt import query, stats
from gxt.errors import UsageError
from gxt.model import RUNNING, Run
from gxt.query import Field, SortKey
from gxt.render import Column, Spread, Table, cell_text
from gxt.stats import Group, Sample
from gxt.tables.runs import all_fields, column_kind, titles

DEFAULT_AGGREGATES = ("mean", "std", "count")
_SPREAD = ("mean", "std")
_DEVIATION = "± is the sample standard deviation (n - 1)"
_NEEDS_GOAL = "--goal METRIC:min or METRIC:max; `gxt goal` keeps it for an experiment"


def value_fields(
    runs: Sequence[Run], by: Sequence[Field], columns: query.Columns, goals: Mapping[str, str]
) -> list[Field]:
    """What is aggregated over groups: the fields chosen, or all metrics, those with a goal first.

    Raises:
        UsageError: a field named has text where numbers are needed.
    """
    if not columns.chosen:
        metrics = [field for field in all_fields(runs, goals) if field.kind == "metrics" and field not in by]
        return columns.without_dropped(metrics)
    fields = [field for field in columns.chosen if field not in by]
    numeric = [field for field in fields if any(stats.is_number(field.value(run)) for run in runs)]
    for field in fields:
        if field not in numeric and field not in columns.matched and any(field.value(run) is not None for run in runs):
            raise UsageError(f"{field} is no number", "of a group, only numbers can be shown")
    return numeric


def sort_groups(
    groups: Sequence[Group], by: Sequence[Field], keys: Sequence[SortKey], how: str, goals: Mapping[str, str]
) -> list[Group]:
    """Groups in order of what they are grouped by, or of an aggregate of another field; what has no value, or NaN,
    comes last both ways.
    """

    def value(of: Group, field: Field) -> Any:
        if field in by:
            known = of.key[by.index(field)]
            return None if known is None else stats.value_key(known)
        result = stats.aggregate(stats.sample(of.runs, field), how, stats.goal_of(field.name, goals))
        return None if result is None or math.isnan(result) else result

    ordered = list(groups)
    for key in reversed(keys):
        found = [(value(one, key.field), one) for one in ordered]
        have = sorted((pair for pair in found if pair[0] is not None), key=lambda p: p[0], reverse=key.descending)
        ordered = [one for _, one in have] + [one for known, one in found if known is None]
    return ordered


class _Cells(NamedTuple):
    """A column with its cells. `how` says which aggregate they are, "spread" for mean and deviation together."""

    column: Column
    cells: list[Any]
    how: str = ""

    def numbers(self) -> list[Any]:
        """What the cells are compared by, where one can be better than another."""
        if self.how in ("", "std", "count"):
            return [None] * len(self.cells)
        return [cell.mean if isinstance(cell, Spread) else cell for cell in self.cells]


def _table(columns: Sequence[_Cells], best: set[tuple[int, int]], notes: Sequence[str]) -> Table:
    rows = [list(row) for row in zip(*(one.cells for one in columns), strict=True)]
    return Table([one.column for one in columns], rows, best, notes=notes)


def group_table(
    groups: Sequence[Group],
    by: Sequence[Field],
    fields: Sequence[Field],
    aggregates: Sequence[str],
    goals: Mapping[str, str],
    readable: bool = True,
) -> Table:
    """A row for each group: what its runs have in common, how many they are, and aggregates of fields.

    Args:
        readable: put mean and deviation into one cell, and the count of a field only where runs of a group lack it.

    Raises:
        UsageError: `best` is asked for, and none of the fields has a goal.
    """
    short = titles([*by, *fields])
    columns = []
    for i, field in enumerate(by):
        keys = [one.key[i] for one in groups]
        columns.append(_Cells(Column(short[i], column_kind(field, keys), str(field)), keys))
    columns.append(_Cells(Column("runs", "number"), [len(one.runs) for one in groups]))
    samples = {field: [stats.sample(one.runs, field) for one in groups] for field in fields}
    best: set[tuple[int, int]] = set()
    for field, title in zip(fields, short[len(by) :], strict=True):
        goal = _goal(field, goals)
        for made in _aggregated(field, title, samples[field], aggregates, goal, readable):
            if goal:
                best |= {(row, len(columns)) for row in stats.best_of(made.numbers(), goal)}
            columns.append(made)
    if "best" in aggregates and not any(one.how == "best" for one in columns):
        raise UsageError("the best of a group needs a goal", _NEEDS_GOAL)
    named = dict(zip(short[len(by) :], samples.values(), strict=True))
    return _table(columns, best, _notes(groups, aggregates, named))


def _goal(field: Field, goals: Mapping[str, str]) -> str | None:
    return stats.goal_of(field.name, goals) if field.kind == "metrics" else None


def _aggregated(
    field: Field, title: str, samples: Sequence[Sample], aggregates: Sequence[str], goal: str | None, readable: bool
) -> list[_Cells]:
    """A field's columns, one for each aggregate but what a reader needs not see."""
    made = []
    unit = "duration" if field.type == "duration" else "number"
    together = readable and set(_SPREAD) <= set(aggregates)
    for how in aggregates:
        if (how == "std" and together) or (how == "best" and goal is None):
            continue
        if how == "count" and readable and not any(one.numbers and (one.nans or one.missing) for one in samples):
            continue
        if how == "mean" and together:
            made.append(_Cells(Column(title, unit), _spreads(samples), "spread"))
            continue
        column = Column(f"{how}({title})", "number" if how == "count" else unit, f"{how}({field})")
        made.append(_Cells(column, [stats.aggregate(one, how, goal) for one in samples], how))
    return made


def _spreads(samples: Sequence[Sample]) -> list[Spread | None]:
    found = [(stats.aggregate(one, "mean"), stats.aggregate(one, "std")) for one in samples]
    return [None if mean is None else Spread(mean, std) for mean, std in found]


def _notes(groups: Sequence[Group], aggregates: Sequence[str], samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    notes = [_DEVIATION] if "std" in aggregates and samples else []
    left_out = stats.left_out(samples)
    recording = sum(run.status == RUNNING for one in groups for run in one.runs)
    if recording:
        still = "1 run still records" if recording == 1 else f"{recording} runs still record"
        notes.append(f"{still}: the values so far count")
    return [*notes, *([left_out] if left_out else [])]


def pivot_table(
    runs: Sequence[Run],
    by: tuple[Field, Field],
    value: Field,
    aggregates: Sequence[str],
    goals: Mapping[str, str],
    limit: int | None = None,
    readable: bool = True,
) -> Table:
    """A row for each value of one field, a column for each of another, and in the cells an aggregate of a third.

    Raises:
        UsageError: there are several aggregates, but for mean with std; `best` without a goal; no run has a number.
    """
    goal = _goal(value, goals)
    if len(aggregates) != 1 and sorted(aggregates) != sorted(_SPREAD):
        raise UsageError("a cell of a pivot holds one aggregate", f"--agg {aggregates[0]}, or --agg mean,std")
    if "best" in aggregates and goal is None:
        raise UsageError(f"the best {value.name} needs a goal", _NEEDS_GOAL)
    having = [run for run in runs if stats.is_number(value.value(run))]
    if not having:
        raise UsageError(
            f"no run has a number for {value}", "the third field of a pivot is a metric, or another number"
        )
    row_title, column_title = titles(by)
    rows = stats.group(having, by[:1])[:limit]
    keys = [row.key[0] for row in rows]
    columns = [_Cells(Column(row_title, column_kind(by[0], keys), str(by[0])), keys)]
    by_key = [{stats.value_key(one.key[0]): one.runs for one in stats.group(row.runs, by[1:])} for row in rows]
    for column in stats.group(having, by[1:]):
        cells = [found.get(stats.value_key(column.key[0]), []) for found in by_key]
        samples = [stats.sample(cell, value) for cell in cells]
        for made in _aggregated(value, "", samples, aggregates, goal, readable and len(aggregates) > 1):
            title, name = _labelled(column_title, column.key[0]), _labelled(str(by[1]), column.key[0])
            if len(aggregates) > 1 and not readable:
                name = f"{made.how}({name})"
            # A count of no runs is no cell.
            content = [known if cell else None for known, cell in zip(made.cells, cells, strict=True)]
            columns.append(made._replace(column=made.column._replace(title=title, name=name), cells=content))
    said = aggregates[0] if len(aggregates) == 1 else "mean ± std"
    left_out = {value.name: [stats.sample(runs, value)]}
    notes = [f"{said} of {value} by {by[0]} and {by[1]}", *_notes(rows, aggregates, left_out)]
    return _table(columns, _best_cells(columns, goal) if goal else set(), notes)


def _best_cells(columns: Sequence[_Cells], goal: str) -> set[tuple[int, int]]:
    """The best of all cells, as (row, column)."""
    places = [(row, i) for i, one in enumerate(columns) for row in range(len(one.cells))]
    best = stats.best_of([number for one in columns for number in one.numbers()], goal)
    return {places[at] for at in best}


def _labelled(name: str, value: Any) -> str:
    return f"no {name}" if value is None else f"{name}={cell_text(value, 'text', None)}"
