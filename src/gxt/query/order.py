"""Sorting runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gxt.errors import UsageError
from gxt.model import Run
from gxt.query.fields import Field, Known, bounded, resolve, scalar


class SortKey(NamedTuple):
    """A field to sort by."""

    field: Field
    descending: bool


_SORT = re.compile(r"(?P<name>.+?)(?:[:\s]\s*(?P<direction>asc|desc))?", re.IGNORECASE)


def parse_sort(text: str, known: Known, allow_unknown: bool = False) -> SortKey:
    """`rmse`, `rmse:desc`, or MLflow's `metrics.rmse DESC`. Raises as `resolve` does."""
    name, colon, direction = text.partition(":")
    if colon and direction.strip().lower() not in ("asc", "desc") and not known.kinds(text):
        raise UsageError(f"sort {name!r} by {direction!r}?", f"{name}:asc or {name}:desc")
    match = _SORT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a sort key: {text!r}", "a field, and perhaps :desc")
    field = resolve(match["name"].strip(), known, allow_unknown)
    return SortKey(field, (match["direction"] or "asc").lower() == "desc")


def sort(runs: Iterable[Run], keys: Sequence[SortKey]) -> list[Run]:
    """The runs in order, the first key the strongest; what has no value, or NaN, comes last both ways."""
    ordered = list(runs)
    for key in reversed(keys):
        ranked = [(rank(key.field, run), run) for run in ordered]
        have = [(found, run) for found, run in ranked if found is not None]
        have.sort(key=lambda item: item[0], reverse=key.descending)
        ordered = [run for _, run in have] + [run for found, run in ranked if found is None]
    return ordered


def rank(field: Field, run: Run) -> tuple[int, Any] | None:
    """What a run is sorted by: numbers before text before the rest, so that a param that is sometimes text can still
    be sorted. None where it has no value, or NaN.
    """
    value = field.value(run)
    if field.kind == "dataset":
        value = min(value, default=None)
    if value is None:
        return None
    if field.type != "any":
        known = value if isinstance(value, str) else bounded(value)
        return None if known is None else (0, known)
    found = scalar(value)
    if found.type in ("number", "boolean"):
        return None if found.number is None else (0, found.number)
    return (1 if found.type == "text" else 2, found.text)
